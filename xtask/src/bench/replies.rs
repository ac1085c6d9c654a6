//! Counts RESP2 replies in a byte stream without keeping them.
//!
//! A reply is complete once as many elements have ended as were announced: `pending` starts at one
//! and an array header of n elements replaces one by n, so nesting needs no stack. Bulk bodies are
//! skipped by length. The stream may be cut anywhere.

/// What broke the stream: the bytes are not RESP2.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotResp;

/// The longest header line that is kept when a read ends inside of it.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// The state between two reads.
#[derive(Debug, Default)]
pub(super) struct ReplyCounter {
    /// Elements that must still end before the current reply has; zero between replies.
    pending: u64,
    /// Bytes of a bulk body, with its line end, still to skip.
    skip: u64,
    /// The start of a header line whose end was not read yet.
    partial: Vec<u8>,
    /// The first error reply, without its `-`.
    first_error: Option<String>,
}

impl ReplyCounter {
    /// Takes the next bytes of the stream and says how many replies end in them.
    pub(super) fn feed(&mut self, mut data: &[u8]) -> Result<u64, NotResp> {
        let mut complete = 0;
        while !data.is_empty() {
            if self.skip > 0 {
                let taken = self.skip.min(data.len() as u64);
                self.skip -= taken;
                data = &data[taken as usize..];
                if self.skip == 0 {
                    complete += self.element_ended();
                }
                continue;
            }
            let Some(end) = data.iter().position(|byte| *byte == b'\n') else {
                self.partial.extend_from_slice(data);
                return if self.partial.len() > LINE_BYTES_MAX {
                    Err(NotResp)
                } else {
                    Ok(complete)
                };
            };
            let (line, rest) = data.split_at(end + 1);
            data = rest;
            complete += if self.partial.is_empty() {
                self.header(line)?
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                self.header(&whole)?
            };
        }
        Ok(complete)
    }

    /// The first error reply there was, if any.
    pub(super) fn first_error(&self) -> Option<&str> {
        self.first_error.as_deref()
    }

    /// Takes one header line with its line end; says how many replies it completes.
    fn header(&mut self, line: &[u8]) -> Result<u64, NotResp> {
        let (kind, text) =
            line.strip_suffix(b"\r\n").and_then(|line| line.split_first()).ok_or(NotResp)?;
        if self.pending == 0 {
            self.pending = 1;
        }
        match kind {
            b'+' | b':' => Ok(self.element_ended()),
            b'-' => {
                if self.first_error.is_none() {
                    self.first_error = Some(String::from_utf8_lossy(text).into_owned());
                }
                Ok(self.element_ended())
            }
            b'$' => match length(text)? {
                None => Ok(self.element_ended()),
                Some(bytes) => {
                    self.skip = bytes + 2;
                    Ok(0)
                }
            },
            b'*' => {
                self.pending = self.pending.saturating_add(length(text)?.unwrap_or(0));
                Ok(self.element_ended())
            }
            _ => Err(NotResp),
        }
    }

    fn element_ended(&mut self) -> u64 {
        self.pending -= 1;
        u64::from(self.pending == 0)
    }
}

/// The length in a bulk or array header; `None` for the null of either.
fn length(text: &[u8]) -> Result<Option<u64>, NotResp> {
    if text == b"-1" {
        return Ok(None);
    }
    if text.is_empty() || text.len() > 10 || !text.iter().all(u8::is_ascii_digit) {
        return Err(NotResp);
    }
    Ok(Some(text.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"+OK\r\n:12\r\n$-1\r\n*-1\r\n*0\r\n$0\r\n\r\n$5\r\n\r\n*1\n\r\n\
        *2\r\n*2\r\n:1\r\n$2\r\nab\r\n*0\r\n-ERR no\r\n-ERR later\r\n";
    const REPLIES: u64 = 10;

    #[test]
    fn every_kind_of_reply_is_counted_once() {
        let mut counter = ReplyCounter::default();
        assert_eq!(counter.feed(STREAM), Ok(REPLIES));
        assert_eq!(counter.first_error(), Some("ERR no"));
    }

    #[test]
    fn the_count_does_not_depend_on_where_the_stream_is_cut() {
        for first in 0..=STREAM.len() {
            for second in first..=STREAM.len() {
                let mut counter = ReplyCounter::default();
                let parts = [&STREAM[..first], &STREAM[first..second], &STREAM[second..]];
                let sum: u64 = parts.iter().map(|part| counter.feed(part).unwrap()).sum();
                assert_eq!(sum, REPLIES, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn an_array_is_one_reply_and_ends_with_its_last_element() {
        let mut counter = ReplyCounter::default();
        assert_eq!(counter.feed(b"*2\r\n*1\r\n:1\r\n$1\r\nx\r"), Ok(0));
        assert_eq!(counter.feed(b"\n"), Ok(1));
        assert_eq!(counter.feed(b"*0\r\n"), Ok(1));
    }

    #[test]
    fn other_bytes_are_refused() {
        for stream in [
            &b"HTTP/1.1 400\r\n"[..],
            b"\r\n",
            b"\n",
            b"$x\r\n",
            b"$\r\n",
            b"*-2\r\n",
            b"$99999999999\r\n",
            b"+OK\n",
        ] {
            assert_eq!(ReplyCounter::default().feed(stream), Err(NotResp), "{stream:?}");
        }
        assert_eq!(ReplyCounter::default().feed(&vec![b'+'; LINE_BYTES_MAX + 1]), Err(NotResp));
    }
}
