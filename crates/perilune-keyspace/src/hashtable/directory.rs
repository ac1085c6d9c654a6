//! A power-of-two array of buckets, held as segments that come into being when first written.
//!
//! ```text
//! directory   [ * | - | * | * ]        one pointer per segment, "-" never written
//!               |       |   |
//! segment     [ 1024 buckets of 64 bytes ]
//! ```
//!
//! So a table of any size is made by filling a directory (one pointer per 64 KiB), and given back
//! segment by segment. A table of fewer buckets than a segment holds has one short segment.

use super::bucket::Bucket;

const SEGMENT_BITS: u32 = 10;
/// Buckets in one segment.
pub(super) const SEGMENT_BUCKETS: usize = 1 << SEGMENT_BITS;

/// Buckets that were written at least once, or nothing.
pub(super) type Segment<E> = Option<Box<[Bucket<E>]>>;

/// The array of buckets.
#[derive(Clone)]
pub(super) struct Directory<E> {
    segments: Vec<Segment<E>>,
    /// Zero or a power of two.
    buckets: usize,
    /// Segments that are allocated.
    written: usize,
}

impl<E> Directory<E> {
    /// An array of no buckets.
    pub(super) const fn none() -> Self {
        Directory { segments: Vec::new(), buckets: 0, written: 0 }
    }

    /// An array of `buckets` buckets, which must be a power of two.
    pub(super) fn new(buckets: usize) -> Self {
        let mut segments = Vec::new();
        segments.resize_with(buckets.div_ceil(SEGMENT_BUCKETS), || None);
        Directory { segments, buckets, written: 0 }
    }

    #[inline]
    pub(super) fn buckets(&self) -> usize {
        self.buckets
    }

    #[inline]
    pub(super) fn index_of(&self, hash: u64) -> usize {
        hash as usize & self.buckets.wrapping_sub(1)
    }

    /// The bucket, or nothing if its segment was never written.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<&Bucket<E>> {
        self.segments.get(index >> SEGMENT_BITS)?.as_ref()?.get(index & (SEGMENT_BUCKETS - 1))
    }

    /// The bucket, or nothing if its segment was never written.
    #[inline]
    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Bucket<E>> {
        let segment = self.segments.get_mut(index >> SEGMENT_BITS)?.as_mut()?;
        segment.get_mut(index & (SEGMENT_BUCKETS - 1))
    }

    /// The bucket, whose segment is made if it was never written. `index` must be in range.
    #[inline]
    pub(super) fn touch(&mut self, index: usize) -> &mut Bucket<E> {
        let length = self.buckets.min(SEGMENT_BUCKETS);
        let written = &mut self.written;
        let segment = self.segments[index >> SEGMENT_BITS].get_or_insert_with(|| {
            *written += 1;
            empty_buckets(length)
        });
        &mut segment[index & (SEGMENT_BUCKETS - 1)]
    }

    /// Frees the segment that holds the bucket `index`.
    pub(super) fn free_segment_of(&mut self, index: usize) {
        if let Some(segment) = self.segments.get_mut(index >> SEGMENT_BITS)
            && segment.take().is_some()
        {
            self.written -= 1;
        }
    }

    pub(super) fn segments(&self) -> &[Segment<E>] {
        &self.segments
    }

    pub(super) fn segments_mut(&mut self) -> &mut [Segment<E>] {
        &mut self.segments
    }

    pub(super) fn into_segments(self) -> Vec<Segment<E>> {
        self.segments
    }

    /// Bytes allocated for the directory and its segments, without chained buckets.
    pub(super) fn memory_usage(&self) -> usize {
        self.segments.capacity() * size_of::<Segment<E>>()
            + self.written * self.buckets.min(SEGMENT_BUCKETS) * size_of::<Bucket<E>>()
    }
}

fn empty_buckets<E>(length: usize) -> Box<[Bucket<E>]> {
    std::iter::repeat_with(Bucket::empty).take(length).collect()
}
