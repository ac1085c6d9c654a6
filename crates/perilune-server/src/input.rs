//! The read buffer of a connection.
//!
//! ```text
//! | filled ................ | spare, of any content |
//! ```
//!
//! All of it is initialised memory, so that reading into the spare part neither zeroes it every
//! time nor needs unsafe code.

/// An empty buffer above this size is given back at once; a smaller one when it was not needed for
/// a while, see [`Input::shrink`].
const KEEP: usize = 1024 * 1024;

/// Bytes received and not yet used up.
#[derive(Debug, Default)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    filled: usize,
    /// Most bytes filled since the last [`shrink`](Input::shrink).
    peak: usize,
}

impl Input {
    /// What was received.
    #[inline]
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }

    /// Number of bytes received.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.filled
    }

    /// Bytes allocated.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The most bytes it held at once since it was last asked to shrink.
    pub(crate) fn peak(&self) -> usize {
        self.peak
    }

    /// Gives back what is allocated beyond `size` bytes and beyond those received.
    pub(crate) fn shrink(&mut self, size: usize) {
        self.bytes.truncate(size.max(self.filled));
        self.bytes.shrink_to_fit();
        self.peak = self.filled;
    }

    /// Bytes allocated beyond those received.
    pub(crate) fn spare_len(&self) -> usize {
        self.bytes.len() - self.filled
    }

    /// Room for at least `wanted` more bytes. Grows by doubling, so that a long request is not
    /// copied over and over, but not beyond `enough` where that is known to be all that will come.
    pub(crate) fn spare(&mut self, wanted: usize, enough: Option<usize>) -> &mut [u8] {
        if self.bytes.len() - self.filled < wanted {
            let doubled = self.bytes.len() * 2;
            let bounded = enough.map_or(doubled, |enough| doubled.min(self.filled + enough));
            let size = bounded.max(self.filled + wanted);
            self.bytes.reserve_exact(size - self.bytes.len());
            self.bytes.resize(size, 0);
        }
        &mut self.bytes[self.filled..]
    }

    /// Takes `n` bytes of the spare part as received.
    pub(crate) fn advance(&mut self, n: usize) {
        self.filled = (self.filled + n).min(self.bytes.len());
        self.peak = self.peak.max(self.filled);
    }

    /// Forgets the first `n` bytes received.
    pub(crate) fn consume(&mut self, n: usize) {
        let n = n.min(self.filled);
        self.bytes.copy_within(n..self.filled, 0);
        self.filled -= n;
        if self.filled == 0 && self.bytes.len() > KEEP {
            self.bytes = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_came_in_and_lets_go_of_big_buffers() {
        let mut input = Input::default();
        input.spare(5, None)[..5].copy_from_slice(b"hello");
        input.advance(5);
        input.consume(2);
        assert_eq!((input.filled(), input.len()), (&b"llo"[..], 3));
        input.spare(KEEP + 1, None);
        input.consume(3);
        assert_eq!((input.len(), input.spare_len()), (0, 0));
    }
}
