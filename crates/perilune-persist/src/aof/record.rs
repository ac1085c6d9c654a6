//! The records of an append-only file: commands in the wire format, and lines that begin with `#`.
//!
//! [`Records`] reads them from any reader and knows at each moment how far the file was sound, which
//! is where a tail that a crash left behind is cut off. It keeps one window of the file in memory:
//! at least one record, usually many.

use std::io::{self, Read};
use std::ops::Range;

/// Bytes asked for at once.
const READ_BYTES: usize = 64 * 1024;
/// Longest line: a header of a command or an argument.
const LINE_BYTES_MAX: usize = 128;

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record<'a> {
    /// A command; at least one argument.
    Command(Arguments<'a>),
    /// A line for readers with an interest in it, without its line break.
    Annotation(&'a [u8]),
}

/// The arguments of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arguments<'a> {
    window: &'a [u8],
    ranges: &'a [Range<usize>],
}

impl<'a> Arguments<'a> {
    /// The arguments in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let window = self.window;
        self.ranges.iter().map(move |range| &window[range.clone()])
    }

    /// The command's name.
    pub fn name(&self) -> &'a [u8] {
        self.iter().next().unwrap_or_default()
    }
}

/// Why reading stopped before the end of the file.
#[derive(Debug)]
pub enum RecordError {
    /// The file ends within a record.
    Truncated,
    /// These are no records: what was expected at which offset.
    Format {
        /// Offset of what is wrong.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// The file could not be read.
    Io(io::Error),
}

/// What the window holds at a record's beginning.
enum Parsed {
    Command {
        end: usize,
    },
    Annotation {
        line: Range<usize>,
        end: usize,
    },
    /// More is needed, at least up to this place.
    More(usize),
}

/// Reads records.
#[derive(Debug)]
pub struct Records<R> {
    input: R,
    window: Vec<u8>,
    /// Where in the window the next record begins.
    start: usize,
    /// Offset of the window in the file.
    window_offset: u64,
    /// Lines read so far, for people.
    lines: u64,
    ranges: Vec<Range<usize>>,
    ended: bool,
}

impl<R: Read> Records<R> {
    /// Reads the records of `input`, whose first byte is at `offset` of the file.
    pub fn new(input: R, offset: u64) -> Self {
        Records {
            input,
            window: Vec::new(),
            start: 0,
            window_offset: offset,
            lines: 0,
            ranges: Vec::new(),
            ended: false,
        }
    }

    /// Offset behind the last record that was read.
    pub fn offset(&self) -> u64 {
        self.window_offset + self.start as u64
    }

    /// Number of lines up to there.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The next record; none at the end of the file.
    pub fn read(&mut self) -> Result<Option<Record<'_>>, RecordError> {
        loop {
            let needed = match self.parse()? {
                Parsed::Command { end } => {
                    self.start = end;
                    let (window, ranges) = (&self.window[..], &self.ranges[..]);
                    return Ok(Some(Record::Command(Arguments { window, ranges })));
                }
                Parsed::Annotation { line, end } => {
                    self.start = end;
                    self.lines += 1;
                    return Ok(Some(Record::Annotation(&self.window[line])));
                }
                Parsed::More(needed) => needed,
            };
            if self.ended {
                return match self.start == self.window.len() {
                    true => Ok(None),
                    false => Err(RecordError::Truncated),
                };
            }
            self.fill(needed).map_err(RecordError::Io)?;
        }
    }

    /// Looks at the record that begins at `start`.
    fn parse(&mut self) -> Result<Parsed, RecordError> {
        let rest = &self.window[self.start..];
        match rest.first() {
            None => Ok(Parsed::More(self.start + 1)),
            Some(b'#') => Ok(match memchr::memchr(b'\n', rest) {
                Some(at) => {
                    let len = rest[..at].trim_ascii_end().len();
                    let line = self.start..self.start + len;
                    Parsed::Annotation { line, end: self.start + at + 1 }
                }
                None => Parsed::More(self.window.len() + 1),
            }),
            Some(_) => self.parse_command(),
        }
    }

    fn parse_command(&mut self) -> Result<Parsed, RecordError> {
        self.ranges.clear();
        let (mut at, mut lines) = (self.start, 0);
        let count = match self.header(at, b'*')? {
            Some((count @ 1.., end)) => {
                at = end;
                lines += 1;
                count
            }
            Some((count, _)) => return Err(self.wrong(at, format!("{count} arguments"))),
            None => return Ok(Parsed::More(self.window.len() + 1)),
        };
        for _ in 0..count {
            let Some((len, begin)) = self.header(at, b'$')? else {
                return Ok(Parsed::More(self.window.len() + 1));
            };
            let end = usize::try_from(len).ok().and_then(|len| begin.checked_add(len + 2));
            let Some(end) = end else {
                return Err(self.wrong(at, format!("an argument of {len} bytes")));
            };
            if end > self.window.len() {
                return Ok(Parsed::More(end));
            }
            let line_break = &self.window[end - 2..end];
            if line_break != b"\r\n" {
                let text = line_break.escape_ascii();
                return Err(self.wrong(end - 2, format!("\\r\\n expected, not {text}")));
            }
            self.ranges.push(begin..end - 2);
            at = end;
            lines += 2;
        }
        self.lines += lines;
        Ok(Parsed::Command { end: at })
    }

    /// The number in the line at `at`, which must begin with `prefix`, and where the line ends. None
    /// when the line is not complete.
    fn header(&self, at: usize, prefix: u8) -> Result<Option<(i64, usize)>, RecordError> {
        let rest = &self.window[at..];
        match rest.first() {
            None => return Ok(None),
            Some(byte) if *byte != prefix => {
                let (expected, found) = (char::from(prefix), byte.escape_ascii());
                return Err(self.wrong(at, format!("'{expected}' expected, not '{found}'")));
            }
            Some(_) => {}
        }
        let rest = &rest[..rest.len().min(LINE_BYTES_MAX)];
        let Some(len) = memchr::memchr(b'\n', rest) else {
            return match rest.len() < LINE_BYTES_MAX {
                true => Ok(None),
                false => Err(self.wrong(at, "a number expected".to_owned())),
            };
        };
        let number = rest[1..len].strip_suffix(b"\r").and_then(perilune_resp::parse_int);
        match number {
            Some(number) => Ok(Some((number, at + len + 1))),
            None => Err(self.wrong(at, "a number expected".to_owned())),
        }
    }

    fn wrong(&self, at: usize, reason: String) -> RecordError {
        RecordError::Format { offset: self.window_offset + at as u64, reason }
    }

    /// Forgets what was read and reads on, if the file has so much up to `needed`.
    fn fill(&mut self, needed: usize) -> io::Result<()> {
        let needed = needed - self.start;
        self.window.drain(..self.start);
        self.window_offset += self.start as u64;
        self.start = 0;
        // Twice as much each time, so that a long record is not parsed too often.
        let wanted = needed.max(self.window.len() * 2).max(READ_BYTES) - self.window.len();
        let read = (&mut self.input).take(wanted as u64).read_to_end(&mut self.window)?;
        self.ended = read < wanted;
        Ok(())
    }
}

/// The Unix time in seconds that an annotation tells, if it is one that does.
pub fn timestamp(annotation: &[u8]) -> Option<Result<i64, ()>> {
    let digits = annotation.strip_prefix(b"#TS:")?;
    Some(perilune_resp::parse_int(digits).ok_or(()))
}

/// Appends the annotation for a Unix time in seconds.
pub fn append_timestamp(out: &mut Vec<u8>, unix_s: i64) {
    out.extend_from_slice(format!("#TS:{unix_s}\r\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives its bytes in small pieces.
    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = self.0.len().min(self.1).min(buffer.len());
            let (now, later) = self.0.split_at(len);
            buffer[..len].copy_from_slice(now);
            self.0 = later;
            Ok(len)
        }
    }

    fn encode(commands: &[Vec<Vec<u8>>]) -> Vec<u8> {
        let mut out = Vec::new();
        for command in commands {
            out.extend_from_slice(format!("*{}\r\n", command.len()).as_bytes());
            for arg in command {
                out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
                out.extend_from_slice(arg);
                out.extend_from_slice(b"\r\n");
            }
        }
        out
    }

    /// All commands, the offset where reading stopped, and why if not at the end.
    fn read_all(bytes: &[u8]) -> (Vec<Vec<Vec<u8>>>, u64, Option<RecordError>) {
        let mut records = Records::new(bytes, 0);
        let mut commands = Vec::new();
        loop {
            match records.read() {
                Ok(Some(Record::Command(args))) => {
                    commands.push(args.iter().map(<[u8]>::to_vec).collect());
                }
                Ok(Some(Record::Annotation(_))) => {}
                Ok(None) => return (commands, records.offset(), None),
                Err(error) => return (commands, records.offset(), Some(error)),
            }
        }
    }

    #[test]
    fn annotations_are_told_and_counted() {
        let bytes = b"#TS:17\r\n*1\r\n$4\r\nPING\r\n# else\n";
        let mut records = Records::new(&bytes[..], 0);
        let Ok(Some(Record::Annotation(line))) = records.read() else { panic!("an annotation") };
        assert_eq!(timestamp(line), Some(Ok(17)));
        let Ok(Some(Record::Command(args))) = records.read() else { panic!("a command") };
        assert_eq!(args.name(), b"PING");
        let Ok(Some(Record::Annotation(line))) = records.read() else { panic!("an annotation") };
        assert_eq!((line, timestamp(line)), (&b"# else"[..], None));
        assert!(matches!(records.read(), Ok(None)));
        assert_eq!((records.lines(), records.offset()), (5, bytes.len() as u64));
        assert_eq!(timestamp(b"#TS:x"), Some(Err(())));
    }

    #[test]
    fn what_is_no_record_is_told_with_its_offset() {
        for (bytes, offset) in [
            (&b"!!!"[..], 0),
            (b"*1\r\n$4\r\nPING\r\n!", 14),
            (b"*0\r\n", 0),
            (b"*1\r\n$-1\r\n", 4),
            (b"*1\n$4\r\nPING\r\n", 0),
            (b"*1\r\n$4\r\nPINGxx", 12),
            (b"*1\r\nx", 4),
        ] {
            match read_all(bytes).2 {
                Some(RecordError::Format { offset: found, .. }) => assert_eq!(found, offset),
                other => panic!("{}: {other:?}", bytes.escape_ascii()),
            }
        }
    }

    proptest! {
        #[test]
        fn a_file_cut_anywhere_is_sound_up_to_a_record(
            commands in prop::collection::vec(
                prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 1..5), 0..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let bytes = encode(&commands);
            let cut = cut.index(bytes.len() + 1);
            let (read, offset, error) = read_all(&bytes[..cut]);
            prop_assert_eq!(&encode(&read)[..], &bytes[..offset as usize]);
            prop_assert_eq!(&read[..], &commands[..read.len()]);
            match error {
                None => prop_assert_eq!(offset, cut as u64),
                Some(RecordError::Truncated) => prop_assert!(offset < cut as u64),
                Some(other) => prop_assert!(false, "{:?}", other),
            }
        }

        #[test]
        fn pieces_make_no_difference(
            commands in prop::collection::vec(
                prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..5), 0..8),
            piece in 1usize..50,
        ) {
            let bytes = encode(&commands);
            let mut records = Records::new(Dribble(&bytes, piece), 0);
            let mut read = Vec::new();
            while let Ok(Some(Record::Command(args))) = records.read() {
                read.push(args.iter().map(<[u8]>::to_vec).collect::<Vec<_>>());
            }
            prop_assert_eq!(read, commands);
        }

        #[test]
        fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            read_all(&bytes);
        }
    }
}
