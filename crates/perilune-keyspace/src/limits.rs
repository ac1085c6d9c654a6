//! The thresholds at which a value leaves its compact encoding.
//!
//! Every operation that may grow a value takes these as an argument: a value does not remember
//! them, so a changed setting takes effect at the next write to the value, as clients of Redis
//! expect. The exception is a long list, which keeps the two of lists from when it became long, as
//! in Redis. This module holds numbers only; the rules that use them stand with each value type.

/// The encoding thresholds, one field per configuration parameter of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodingLimits {
    /// Most fields of a hash kept as a listpack.
    pub hash_max_listpack_entries: usize,
    /// Longest field or value, in bytes, of a hash kept as a listpack.
    pub hash_max_listpack_value: usize,
    /// Most members of a set kept as an intset.
    pub set_max_intset_entries: usize,
    /// Most members of a set kept as a listpack.
    pub set_max_listpack_entries: usize,
    /// Longest member, in bytes, of a set kept as a listpack.
    pub set_max_listpack_value: usize,
    /// Most members of a sorted set kept as a listpack.
    pub zset_max_listpack_entries: usize,
    /// Longest member, in bytes, of a sorted set kept as a listpack.
    pub zset_max_listpack_value: usize,
    /// Size of one list node: a count of elements if positive, a size class (-1 is 4 KiB, -2
    /// is 8 KiB, up to -5, 64 KiB) if negative.
    pub list_max_listpack_size: i64,
    /// Elements of this many bytes or more get a list node of their own, without a listpack.
    pub list_packed_threshold: usize,
    /// Nodes at each end of a list that are never compressed; zero compresses nothing.
    pub list_compress_depth: usize,
    /// Most bytes of one stream node; zero is no limit.
    pub stream_node_max_bytes: usize,
    /// Most entries of one stream node; zero is no limit.
    pub stream_node_max_entries: usize,
    /// Longest sparse representation, in bytes, of a HyperLogLog.
    pub hll_sparse_max_bytes: usize,
}

impl Default for EncodingLimits {
    /// The values a server has without a configuration file.
    fn default() -> Self {
        EncodingLimits {
            hash_max_listpack_entries: 512,
            hash_max_listpack_value: 64,
            set_max_intset_entries: 512,
            set_max_listpack_entries: 128,
            set_max_listpack_value: 64,
            zset_max_listpack_entries: 128,
            zset_max_listpack_value: 64,
            list_max_listpack_size: -2,
            list_packed_threshold: 1 << 30,
            list_compress_depth: 0,
            stream_node_max_bytes: 4096,
            stream_node_max_entries: 100,
            hll_sparse_max_bytes: 3000,
        }
    }
}
