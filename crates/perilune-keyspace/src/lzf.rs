//! The LZF compression format, as list nodes and snapshot strings use it.
//!
//! ```text
//! 000LLLLL  data                    literal run of L+1 bytes
//! LLLooooo  oooooooo                copy L+2 bytes (L is 1..=6) from o+1 bytes back
//! 111ooooo  LLLLLLLL  oooooooo      copy L+9 bytes from o+1 bytes back
//! ```
//!
//! The compressor remembers the last place of every three-byte hash and takes the first match it
//! sees; its output is read by every LZF decompressor, but another compressor may choose other
//! matches. The decompressor takes untrusted input: it never reads or writes out of bounds, and
//! what it allocates is bounded by a multiple of its input. The format has no length, no header
//! and no checksum; whoever stores it keeps the original length beside it.

/// Number of places that are remembered, for inputs of up to so many bytes. Emptying a table takes
/// longer than compressing something small.
const SLOTS: [(usize, usize); 3] = [(128, 1 << 8), (1024, 1 << 10), (usize::MAX, 1 << 13)];
const LITERAL_MAX: usize = 32;
const OFFSET_MAX: usize = 1 << 13;
const MATCH_MIN: usize = 3;
const MATCH_MAX: usize = 264;

/// Compresses `input` if the result is at most `size_max` bytes long.
pub fn compress(input: &[u8], size_max: usize) -> Option<Vec<u8>> {
    if input.is_empty() || u32::try_from(input.len()).is_err() {
        return None;
    }
    match input.len() {
        len if len <= SLOTS[0].0 => compress_with::<{ SLOTS[0].1 }>(input, size_max),
        len if len <= SLOTS[1].0 => compress_with::<{ SLOTS[1].1 }>(input, size_max),
        _ => compress_with::<{ SLOTS[2].1 }>(input, size_max),
    }
}

/// The same with a table of so many places, a power of two.
fn compress_with<const SLOTS: usize>(input: &[u8], size_max: usize) -> Option<Vec<u8>> {
    // A slot holds the position after the one remembered, so that zero is "none".
    let mut seen = [0u32; SLOTS];
    let mut out = Vec::with_capacity(size_max.min(input.len()));
    let (mut at, mut literals) = (0, 0);
    while at + MATCH_MIN <= input.len() {
        let slot = hash::<SLOTS>(input, at);
        let candidate = std::mem::replace(&mut seen[slot], at as u32 + 1) as usize;
        let length = match candidate.checked_sub(1) {
            Some(from) if at - from <= OFFSET_MAX => match_length(input, from, at),
            _ => 0,
        };
        if length < MATCH_MIN {
            at += 1;
            // Not even if all of the rest were one match.
            if out.len() + (at - literals) >= size_max {
                return None;
            }
            continue;
        }
        put_literals(&mut out, &input[literals..at]);
        put_match(&mut out, at - candidate, length);
        if out.len() > size_max {
            return None;
        }
        at += length;
        literals = at;
        // The last two positions of the match are where the next one most likely continues.
        for place in at - 2..at {
            if place + MATCH_MIN <= input.len() {
                seen[hash::<SLOTS>(input, place)] = place as u32 + 1;
            }
        }
    }
    put_literals(&mut out, &input[literals..]);
    (out.len() <= size_max).then_some(out)
}

/// Decompresses `input`, which must come out as exactly `size` bytes.
pub fn decompress(input: &[u8], size: usize) -> Option<Vec<u8>> {
    // Three bytes of input make at most MATCH_MAX bytes of output.
    if size > input.len().saturating_mul(MATCH_MAX / 3) {
        return None;
    }
    let mut out = Vec::with_capacity(size);
    let mut rest = input;
    while let [control, tail @ ..] = rest {
        let control = usize::from(*control);
        rest = if control < LITERAL_MAX {
            let (run, tail) = tail.split_at_checked(control + 1)?;
            out.extend_from_slice(run);
            tail
        } else {
            let (length, tail) = match (control >> 5, tail) {
                (7, [more, tail @ ..]) => (9 + usize::from(*more), tail),
                (7, []) => return None,
                (short, tail) => (short + 2, tail),
            };
            let (low, tail) = tail.split_first()?;
            let back = ((control & 0x1F) << 8 | usize::from(*low)) + 1;
            copy_back(&mut out, back, length)?;
            tail
        };
        if out.len() > size {
            return None;
        }
    }
    (out.len() == size).then_some(out)
}

fn hash<const SLOTS: usize>(input: &[u8], at: usize) -> usize {
    let [a, b, c] = *input[at..].first_chunk::<MATCH_MIN>().unwrap_or(&[0; MATCH_MIN]);
    let three = u32::from_le_bytes([0, a, b, c]);
    (three.wrapping_mul(0x9E37_79B1) >> (32 - SLOTS.ilog2())) as usize
}

fn match_length(input: &[u8], from: usize, at: usize) -> usize {
    let ahead = &input[at..input.len().min(at + MATCH_MAX)];
    input[from..].iter().zip(ahead).take_while(|(old, new)| old == new).count()
}

fn put_literals(out: &mut Vec<u8>, literals: &[u8]) {
    for run in literals.chunks(LITERAL_MAX) {
        out.push(run.len() as u8 - 1);
        out.extend_from_slice(run);
    }
}

/// `distance` counts from one, `length` is between [`MATCH_MIN`] and [`MATCH_MAX`].
fn put_match(out: &mut Vec<u8>, distance: usize, length: usize) {
    let (offset, code) = (distance, length - 2);
    let high = (offset >> 8) as u8;
    if code < 7 {
        out.push((code as u8) << 5 | high);
    } else {
        out.push(7 << 5 | high);
        out.push((code - 7) as u8);
    }
    out.push(offset as u8);
}

/// Appends `length` bytes that start `back` bytes before the end; they may overlap themselves.
fn copy_back(out: &mut Vec<u8>, back: usize, length: usize) -> Option<()> {
    let from = out.len().checked_sub(back)?;
    if back >= length {
        out.extend_from_within(from..from + length);
    } else {
        for place in from..from + length {
            out.push(out[place]);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_stream_is_read() {
        // Two literals, then 20 bytes copied from two bytes back.
        let packed = [1, b'a', b'b', 7 << 5, 11, 1];
        assert_eq!(decompress(&packed, 22).as_deref(), Some(&b"ababababababababababab"[..]));
        assert_eq!(decompress(&packed, 21), None);
        assert_eq!(decompress(&packed, 23), None);
    }

    #[test]
    fn malformed_streams_are_refused() {
        for bad in [&[5, b'a'][..], &[0x20], &[0xE0], &[0xE0, 1], &[0x20, 0], &[0, b'a', 0x20, 9]] {
            for size in 1..20 {
                assert_eq!(decompress(bad, size), None, "{bad:?}");
            }
        }
        assert_eq!(decompress(&[0, b'a'], usize::MAX), None);
    }

    #[test]
    fn repetition_shrinks_and_noise_is_refused() {
        let zeros = vec![0; 100_000];
        let packed = compress(&zeros, zeros.len()).unwrap();
        assert!(packed.len() < 1300);
        assert_eq!(decompress(&packed, zeros.len()), Some(zeros));
        let noise: Vec<u8> = (0..=255).collect();
        assert_eq!(compress(&noise, noise.len()), None);
    }

    proptest! {
        #[test]
        fn content_survives(
            words in proptest::collection::vec((0u8..6, 1usize..400), 0..200),
        ) {
            let content: Vec<u8> = words
                .iter()
                .flat_map(|&(seed, len)| (0..len).map(move |i| seed.wrapping_mul(i as u8 >> 2)))
                .collect();
            if let Some(packed) = compress(&content, content.len() * 2) {
                prop_assert_eq!(decompress(&packed, content.len()), Some(content));
            } else {
                prop_assert!(content.is_empty());
            }
        }

        #[test]
        fn any_input_is_safe(input in proptest::collection::vec(any::<u8>(), 0..60), size in 0usize..900) {
            if let Some(out) = decompress(&input, size) {
                prop_assert_eq!(out.len(), size);
            }
        }
    }
}
