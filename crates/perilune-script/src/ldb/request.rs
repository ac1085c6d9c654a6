//! Commands of the debugger as they come over the wire: [`Request`].
//!
//! They are requests like those to the server, an array of bulk strings. What stands before the
//! first `*` is skipped.

use perilune_resp::parse_int;

/// Most words of a command.
const WORDS_MAX: i64 = 1024;

/// What a buffer begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// A command, and the bytes it takes.
    Complete { words: Vec<Vec<u8>>, length: usize },
    /// More must come.
    Unfinished,
    /// Nothing that could become a command.
    Broken,
}

impl Request {
    /// Looks at what was received so far.
    pub(super) fn parse(input: &[u8]) -> Request {
        if input.is_empty() {
            return Request::Unfinished;
        }
        let Some(start) = input.iter().position(|byte| *byte == b'*') else {
            return Request::Broken;
        };
        let mut rest = &input[start + 1..];
        let count = match take_number(&mut rest) {
            Ok(count @ 1..=WORDS_MAX) => count,
            Ok(_) => return Request::Broken,
            Err(outcome) => return outcome,
        };
        let mut words = Vec::new();
        for _ in 0..count {
            match take_word(&mut rest) {
                Ok(word) => words.push(word.to_vec()),
                Err(outcome) => return outcome,
            }
        }
        Request::Complete { words, length: input.len() - rest.len() }
    }
}

/// Takes a number and its line end.
fn take_number(rest: &mut &[u8]) -> Result<i64, Request> {
    let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") else {
        return Err(if rest.len() > 32 { Request::Broken } else { Request::Unfinished });
    };
    let number = parse_int(&rest[..end]).ok_or(Request::Broken)?;
    *rest = &rest[end + 2..];
    Ok(number)
}

/// Takes a bulk string.
fn take_word<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Request> {
    match rest.first() {
        None => return Err(Request::Unfinished),
        Some(b'$') => *rest = &rest[1..],
        Some(_) => return Err(Request::Broken),
    }
    let length = usize::try_from(take_number(rest)?).map_err(|_| Request::Broken)?;
    if length > super::REQUEST_BYTES_MAX {
        return Err(Request::Broken);
    }
    let Some((word, after)) = rest.split_at_checked(length) else {
        return Err(Request::Unfinished);
    };
    match after {
        [b'\r', b'\n', after @ ..] => {
            *rest = after;
            Ok(word)
        }
        [] | [b'\r'] => Err(Request::Unfinished),
        _ => Err(Request::Broken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_beginning_of_a_command_is_unfinished() {
        let input = b"*2\r\n$5\r\nbreak\r\n$0\r\n\r\n*1\r\n";
        let complete = input.len() - 4;
        for end in 0..complete {
            assert_eq!(Request::parse(&input[..end]), Request::Unfinished, "{end}");
        }
        let words = vec![b"break".to_vec(), Vec::new()];
        assert_eq!(Request::parse(input), Request::Complete { words, length: complete });
    }

    #[test]
    fn what_cannot_become_a_command_is_broken() {
        for input in [
            &b"step\r\n"[..],
            b"*0\r\n",
            b"*-1\r\n",
            b"*1025\r\n",
            b"*x\r\n",
            b"*1\r\n:1\r\n",
            b"*1\r\n$-1\r\n",
            b"*1\r\n$1048577\r\n",
            b"*1\r\n$1\r\nsss",
        ] {
            assert_eq!(Request::parse(input), Request::Broken, "{}", input.escape_ascii());
        }
    }

    #[test]
    fn what_stands_before_is_skipped() {
        let words = vec![b"s".to_vec()];
        assert_eq!(
            Request::parse(b"\r\n*1\r\n$1\r\ns\r\n"),
            Request::Complete { words, length: 13 }
        );
    }
}
