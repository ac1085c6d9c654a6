//! Messages of the protocol: a header with the length, and JSON.

use serde_json::Value;
use std::io::{self, BufRead, Read, Write};

/// Longest message that is read.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Longest line of a header.
const HEADER_LINE_MAX: u64 = 1024;

/// Reads one message. `None` at the end of the input.
pub(super) fn read(input: &mut impl BufRead) -> io::Result<Option<Value>> {
    let mut length = None;
    loop {
        let mut line = String::new();
        if input.by_ref().take(HEADER_LINE_MAX).read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("Content-Length")
        {
            length = value.trim().parse::<usize>().ok();
        }
    }
    let length = length.filter(|length| *length <= MESSAGE_BYTES_MAX);
    let length = length.ok_or_else(|| invalid("a message needs a Content-Length"))?;
    let mut body = vec![0; length];
    input.read_exact(&mut body)?;
    serde_json::from_slice(&body).map(Some).map_err(|error| invalid(&error.to_string()))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Writes one message.
pub(super) fn write(output: &mut impl Write, message: &Value) -> io::Result<()> {
    let body = message.to_string();
    write!(output, "Content-Length: {}\r\n\r\n{body}", body.len())?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_written_can_be_read() {
        let messages = [json!({"seq": 1, "text": "ü\r\n"}), json!([])];
        let mut bytes = Vec::new();
        for message in &messages {
            write(&mut bytes, message).expect("memory takes everything");
        }
        let mut input = bytes.as_slice();
        for message in messages {
            assert_eq!(read(&mut input).expect("fine"), Some(message));
        }
        assert_eq!(read(&mut input).expect("fine"), None);
    }

    #[test]
    fn broken_messages_are_errors() {
        for bytes in [
            "Content-Length: x\r\n\r\n{}",
            "\r\n{}",
            "Content-Length: 5\r\n\r\n{}",
            "Content-Length: 2\r\n\r\n{,",
            "Content-Length: 99999999999\r\n\r\n{}",
        ] {
            assert!(read(&mut bytes.as_bytes()).is_err(), "{bytes:?}");
        }
    }
}
