//! Nodes of streams that are made up: entries with and without the master fields, deleted ones, ids
//! that mostly rise, counts that are mostly right.

use super::packed::{Elements, int, string, text};
use crate::random::Random;

const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;

/// Mistakes are made in so many of 100 cases where one can be made.
const MISTAKE_PERCENT: usize = 2;

/// A node as a listpack.
pub(super) fn node(random: &mut Random) -> Vec<u8> {
    let fields = random.below(4);
    let (mut entries, mut live, mut deleted) = (Vec::new(), 0, 0);
    let (mut ms, mut seq) = (0, 0);
    for _ in 0..random.below(12) {
        let flags = random.below(4) as i64;
        *(if flags & DELETED == 0 { &mut live } else { &mut deleted }) += 1;
        let own_fields = (flags & SAME_FIELDS == 0).then(|| random.below(4));
        entries.extend([int(flags), int(mistaken(random, ms)), int(mistaken(random, seq))]);
        let mut pieces = 3;
        if let Some(count) = own_fields {
            entries.push(int(mistaken(random, count as i64)));
            pieces += 1;
        }
        let body = own_fields.map_or(fields, |count| 2 * count);
        entries.extend((0..body).map(|_| string(&text(random))));
        entries.push(int(mistaken(random, pieces + body as i64)));
        match random.below(3) {
            0 => seq += 1,
            1 => (ms, seq) = (ms + 1 + random.below(1000) as i64, random.below(3) as i64),
            _ => (ms, seq) = (ms + 1, -seq),
        }
    }
    let mut elements = vec![int(mistaken(random, live)), int(mistaken(random, deleted))];
    elements.push(int(mistaken(random, fields as i64)));
    elements.extend((0..fields).map(|_| string(&text(random))));
    elements.push(int(mistaken(random, 0)));
    elements.extend(entries);
    Elements::new(elements).into_bytes()
}

/// A number, or rarely another one.
fn mistaken(random: &mut Random, number: i64) -> i64 {
    const OTHERS: &[i64] = &[0, -1, 1, i64::MAX, i64::MIN, 1 << 32];
    match random.percent(MISTAKE_PERCENT) {
        true if random.percent(50) => number.wrapping_add(1),
        true => *random.pick(OTHERS),
        false => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perilune_keyspace::stream::StreamParts;
    use perilune_keyspace::{Listpack, StreamId};

    #[test]
    fn many_nodes_are_sound() {
        let mut random = Random::new(7);
        let sound = (0..400).filter(|_| {
            let listpack = Listpack::from_bytes(node(&mut random)).expect("a listpack");
            StreamParts::default().add_node(StreamId { ms: 5, seq: 5 }, listpack).is_ok()
        });
        let sound = sound.count();
        assert!((40..360).contains(&sound), "{sound} of 400");
    }
}
