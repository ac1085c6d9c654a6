//! A listpack that is written once, from its first element to its last.

use super::element::{Encoded, push_backlen};
use super::{COUNT_UNKNOWN, END, HEADER, Listpack};

/// A listpack being written.
pub(crate) struct Builder {
    buf: Vec<u8>,
    count: usize,
}

impl Builder {
    /// Begins one that will take `bytes`, header and end included.
    pub(crate) fn new(bytes: usize) -> Self {
        let mut buf = Vec::with_capacity(bytes.max(HEADER + 1));
        buf.resize(HEADER, 0);
        Builder { buf, count: 0 }
    }

    /// Appends an integer.
    #[inline]
    pub(crate) fn push_int(&mut self, value: i64) {
        match u8::try_from(value) {
            // Most numbers are their own encoding, of one byte.
            Ok(small @ 0..128) => self.push_content(&[small]),
            _ => {
                let start = self.buf.len();
                Encoded::int(value).push_content(&mut self.buf);
                self.close(self.buf.len() - start);
            }
        }
    }

    /// Appends an element by its encoding and data.
    #[inline]
    pub(crate) fn push_content(&mut self, content: &[u8]) {
        self.buf.extend_from_slice(content);
        self.close(content.len());
    }

    /// The listpack. As everywhere, callers see to it that it stays below 4 GiB.
    pub(crate) fn finish(mut self) -> Listpack {
        self.buf.push(END);
        let mut lp = Listpack { buf: self.buf.into_boxed_slice() };
        lp.store_count(u16::try_from(self.count).unwrap_or(COUNT_UNKNOWN));
        lp.store_total(lp.buf.len());
        lp
    }

    /// Ends an element of so many bytes.
    #[inline]
    fn close(&mut self, content: usize) {
        push_backlen(&mut self.buf, content);
        self.count += 1;
    }
}
