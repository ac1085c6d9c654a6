//! Ways to break an input.

use crate::random::Random;

/// Changes an input a little, several times in a row. `others` are inputs to take pieces of.
pub fn mutate(random: &mut Random, input: &mut Vec<u8>, others: &[Vec<u8>], words: &[&str]) {
    for _ in 0..1 + random.below(4) {
        let at = random.below(input.len() + 1);
        let end = (at + 1 + random.below(16)).min(input.len());
        match random.below(10) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = random.next() as u8,
            2 if at < input.len() => {
                input[at] = *random.pick(&[0, 1, 0x7F, 0x80, 0xC0, 0xFE, 0xFF])
            }
            3 if at < input.len() => {
                input[at] = input[at].wrapping_add(random.below(9) as u8).wrapping_sub(4)
            }
            4 if at < input.len() => drop(input.drain(at..end)),
            5 if at < input.len() => {
                let again = input[at..end].to_vec();
                input.splice(at..at, again);
            }
            6 => input.insert(at, random.next() as u8),
            7 if !others.is_empty() => {
                let other = random.pick(others);
                let from = random.below(other.len() + 1);
                let to = (from + random.below(32)).min(other.len());
                input.splice(at..end.max(at), other[from..to].iter().copied());
            }
            8 if !words.is_empty() => {
                let word = random.pick(words).bytes();
                input.splice(at..at, word);
            }
            _ => set_number(random, input, at),
        }
    }
}

/// Overwrites a field of two, four or eight bytes with a number at some edge.
fn set_number(random: &mut Random, input: &mut [u8], at: usize) {
    let number =
        *random.pick(&[0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, u64::MAX]);
    let bytes = if random.percent(50) { number.to_le_bytes() } else { number.to_be_bytes() };
    let width = *random.pick(&[2, 4, 8]);
    let bytes = if random.percent(50) { &bytes[..width] } else { &bytes[8 - width..] };
    if let Some(field) = input.get_mut(at..at + width) {
        field.copy_from_slice(bytes);
    }
}
