//! How the entries of a table are spread over its buckets. It visits every bucket, so it is for
//! looking into a table, not for running.

use super::bucket::Bucket;
use super::directory::Directory;
use super::{Entry, HashTable};

/// The spread of the entries of one array of buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArrayStatistics {
    /// Number of buckets.
    pub buckets: usize,
    /// Number of entries.
    pub entries: usize,
    /// Number of buckets that hold so many entries, by that number; the last one is not zero.
    pub spread: Vec<usize>,
}

impl ArrayStatistics {
    /// Buckets that hold an entry.
    pub fn used(&self) -> usize {
        self.spread.iter().skip(1).sum()
    }

    /// Entries in the fullest bucket.
    pub fn longest(&self) -> usize {
        self.spread.len().saturating_sub(1)
    }

    fn of<E>(array: &Directory<E>) -> Self {
        let mut statistics = ArrayStatistics { buckets: array.buckets(), ..Default::default() };
        let written = array.segments().iter().flatten().flat_map(|segment| segment.iter());
        let lengths = written.map(Bucket::chain_len);
        for length in lengths {
            statistics.entries += length;
            if statistics.spread.len() <= length {
                statistics.spread.resize(length + 1, 0);
            }
            statistics.spread[length] += 1;
        }
        let unwritten = array.buckets() - statistics.spread.iter().sum::<usize>();
        if unwritten > 0 {
            statistics.spread.resize(statistics.spread.len().max(1), 0);
            statistics.spread[0] += unwritten;
        }
        statistics
    }
}

impl<E: Entry> HashTable<E> {
    /// The spread of the entries over the array in use, and over the one they are being moved to
    /// while the table is resized.
    pub fn statistics(&self) -> (ArrayStatistics, Option<ArrayStatistics>) {
        let current = ArrayStatistics::of(&self.current);
        match self.is_rehashing() {
            true => (ArrayStatistics::of(&self.old), Some(current)),
            false => (current, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bytes, Slim};

    #[test]
    fn every_entry_is_counted_whether_the_table_is_resized_or_not() {
        let mut table: HashTable<Slim<Box<Bytes>>> = HashTable::new();
        assert_eq!(table.statistics(), (ArrayStatistics::default(), None));
        let mut resized = 0;
        for n in 0..5000u32 {
            table.insert(Slim::from(Box::new(Bytes::from(&n.to_le_bytes()[..]))));
            let (main, target) = table.statistics();
            resized += usize::from(target.is_some());
            let arrays = [Some(main), target];
            let entries = |array: &ArrayStatistics| {
                let spread = array.spread.iter().enumerate();
                assert_eq!(array.spread.iter().sum::<usize>(), array.buckets);
                assert_eq!(spread.map(|(n, count)| n * count).sum::<usize>(), array.entries);
                assert!(array.used() <= array.entries && array.longest() <= array.entries);
                array.entries
            };
            assert_eq!(arrays.iter().flatten().map(entries).sum::<usize>(), table.len());
        }
        assert!(resized > 0);
    }
}
