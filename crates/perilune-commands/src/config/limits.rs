//! The encoding thresholds among the parameters, as the keyspace takes them.

use super::Config;
use perilune_keyspace::EncodingLimits;

impl Config {
    /// The thresholds at which values change their encoding.
    pub fn encoding_limits(&self) -> EncodingLimits {
        EncodingLimits {
            hash_max_listpack_entries: self.hash_max_listpack_entries,
            hash_max_listpack_value: self.hash_max_listpack_value,
            set_max_intset_entries: self.set_max_intset_entries,
            set_max_listpack_entries: self.set_max_listpack_entries,
            set_max_listpack_value: self.set_max_listpack_value,
            zset_max_listpack_entries: self.zset_max_listpack_entries,
            zset_max_listpack_value: self.zset_max_listpack_value,
            list_max_listpack_size: i64::from(self.list_max_listpack_size),
            list_compress_depth: self.list_compress_depth as usize,
            stream_node_max_bytes: self.stream_node_max_bytes,
            stream_node_max_entries: usize::try_from(self.stream_node_max_entries)
                .unwrap_or(usize::MAX),
            hll_sparse_max_bytes: self.hll_sparse_max_bytes,
            ..EncodingLimits::default()
        }
    }
}
