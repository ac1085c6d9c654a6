//! Where the snapshot begins and ends in what a master sends.
//!
//! Its length is told in front of it, or it ends with a mark told in front of it. The master sends
//! nothing behind a mark until it has heard that the snapshot arrived, so the mark is looked for at
//! the end of what was received only.

/// Number of bytes of a mark.
const MARK_LEN: usize = 40;

#[derive(Debug)]
enum End {
    /// After so many more bytes.
    After(u64),
    /// At this mark.
    Mark([u8; MARK_LEN]),
}

/// A snapshot that is being received.
#[derive(Debug)]
pub struct Payload {
    end: End,
    /// Its length, where it was told.
    length: Option<u64>,
    received: u64,
    /// The last bytes received, which may be the mark.
    held: Vec<u8>,
    complete: bool,
}

impl Payload {
    /// Reads the announcement of a snapshot, a line without its end: `$12345` or `$EOF:mark`.
    pub fn announced(line: &[u8]) -> Option<Self> {
        let told = line.strip_prefix(b"$")?;
        let (end, length) = match told.strip_prefix(b"EOF:") {
            Some(mark) => (End::Mark(mark.try_into().ok()?), None),
            None => {
                let length = perilune_resp::parse_int(told).and_then(|n| u64::try_from(n).ok())?;
                (End::After(length), Some(length))
            }
        };
        let complete = length == Some(0);
        Some(Payload { end, length, received: 0, held: Vec::new(), complete })
    }

    /// Its length, where it was told.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Number of its bytes received.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Whether all of it was received.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Takes what belongs to the snapshot from `bytes`: how many of them were used, and the part of
    /// the snapshot that is known now.
    pub fn take(&mut self, bytes: &[u8]) -> (usize, Vec<u8>) {
        let (used, part) = match &mut self.end {
            End::After(missing) => {
                let used = usize::try_from(*missing).unwrap_or(usize::MAX).min(bytes.len());
                *missing -= used as u64;
                self.complete = *missing == 0;
                (used, bytes[..used].to_vec())
            }
            End::Mark(mark) => {
                self.held.extend_from_slice(bytes);
                self.complete = self.held.ends_with(mark);
                let held = self.held.len().min(MARK_LEN);
                let tail = self.held.split_off(self.held.len() - held);
                let part = std::mem::replace(&mut self.held, tail);
                (bytes.len(), part)
            }
        };
        self.received += part.len() as u64;
        (used, part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds `wire` in pieces of `step` bytes; the snapshot and what was left over.
    fn receive(line: &[u8], wire: &[u8], step: usize) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut payload = Payload::announced(line)?;
        let (mut snapshot, mut rest) = (Vec::new(), wire);
        while !payload.is_complete() && !rest.is_empty() {
            let (used, part) = payload.take(&rest[..rest.len().min(step)]);
            snapshot.extend(part);
            rest = &rest[used..];
        }
        assert_eq!(payload.received(), snapshot.len() as u64);
        payload.is_complete().then(|| (snapshot, rest.to_vec()))
    }

    proptest! {
        #[test]
        fn finds_the_end_however_it_is_cut(body: Vec<u8>, rest: Vec<u8>, step in 1usize..90) {
            let line = format!("${}", body.len());
            let wire = [body.as_slice(), &rest].concat();
            prop_assert_eq!(receive(line.as_bytes(), &wire, step), Some((body.clone(), rest)));
            let mark = "0123456789abcdef0123456789abcdef01234567";
            let wire = [body.as_slice(), mark.as_bytes()].concat();
            let received = receive(format!("$EOF:{mark}").as_bytes(), &wire, step);
            prop_assert_eq!(received, Some((body, Vec::new())));
        }
    }

    #[test]
    fn announcements_that_are_none() {
        for line in ["", "$", "$-1", "+OK", "$EOF:", "$EOF:short", "$12x", "-ERR no"] {
            assert!(Payload::announced(line.as_bytes()).is_none(), "{line}");
        }
        assert_eq!(receive(b"$5", b"abc", 2), None);
    }
}
