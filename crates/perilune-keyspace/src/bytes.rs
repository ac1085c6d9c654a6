//! A small binary-safe string: the unit of keys, fields, members and values.
//!
//! ```text
//! Inline   | tag | len | up to 22 bytes ...................... |   24 bytes, no allocation
//! Heap     | tag | ....... | pointer .......... | length ..... |   24 bytes + the bytes
//! ```
//!
//! Invariant: content of [`INLINE_MAX`] bytes or fewer is always inline, so equal contents have
//! equal representations. The string is immutable; growing strings are `Vec<u8>`.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

/// Longest content, in bytes, that is kept without an allocation.
pub const INLINE_MAX: usize = 22;

/// An immutable byte string that stores short content in place.
#[derive(Clone)]
pub struct Bytes(Repr);

#[derive(Clone)]
enum Repr {
    Inline { len: u8, buf: [u8; INLINE_MAX] },
    Heap(Box<[u8]>),
}

impl Bytes {
    /// Copies `content`.
    #[inline]
    pub fn new(content: &[u8]) -> Self {
        if content.len() <= INLINE_MAX {
            let mut buf = [0; INLINE_MAX];
            buf[..content.len()].copy_from_slice(content);
            Bytes(Repr::Inline { len: content.len() as u8, buf })
        } else {
            Bytes(Repr::Heap(content.into()))
        }
    }

    /// The content.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, buf } => &buf[..usize::from(*len).min(INLINE_MAX)],
            Repr::Heap(heap) => heap,
        }
    }

    /// Bytes allocated outside of the value itself.
    #[inline]
    pub fn heap_size(&self) -> usize {
        match &self.0 {
            Repr::Inline { .. } => 0,
            Repr::Heap(heap) => heap.len(),
        }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(content: Vec<u8>) -> Self {
        if content.len() <= INLINE_MAX {
            Bytes::new(&content)
        } else {
            Bytes(Repr::Heap(content.into_boxed_slice()))
        }
    }
}

impl From<Bytes> for Vec<u8> {
    fn from(content: Bytes) -> Self {
        match content.0 {
            Repr::Inline { .. } => content.to_vec(),
            Repr::Heap(heap) => heap.into_vec(),
        }
    }
}

impl From<&[u8]> for Bytes {
    fn from(content: &[u8]) -> Self {
        Bytes::new(content)
    }
}

impl Deref for Bytes {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Borrow<[u8]> for Bytes {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Bytes {}

impl PartialOrd for Bytes {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Bytes {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (**self).cmp(&**other)
    }
}

impl Hash for Bytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_survives_at_the_inline_boundary() {
        for len in [0, 1, INLINE_MAX - 1, INLINE_MAX, INLINE_MAX + 1, 1000] {
            let content = vec![b'x'; len];
            assert_eq!(Bytes::new(&content).as_slice(), content);
            assert_eq!(Bytes::from(content.clone()), Bytes::new(&content));
        }
    }

    #[test]
    fn is_three_words() {
        assert_eq!(std::mem::size_of::<Bytes>(), 24);
        assert_eq!(std::mem::size_of::<Option<Bytes>>(), 24);
    }
}
