//! Replies as text for people, laid out as `redis-cli` does on a terminal.
//!
//! Elements are numbered from one, the numbers of an aggregate are equally wide, and what is inside
//! of an element is indented to stand behind its number. The first element shares the line of its
//! parent, which is why it alone gets no indentation of its own.

use crate::double::format_double;
use crate::quote::append_quoted;
use crate::{Attributed, Value};

/// Formats a reply, ending with a line break. Bytes that are no UTF-8 are escaped in strings and
/// replaced elsewhere.
///
/// ```
/// use perilune_resp::{Value, format_cli};
///
/// let reply = Value::Array(vec![Value::bulk("a"), Value::Int(2), Value::Null]);
/// assert_eq!(format_cli(&reply), "1) \"a\"\n2) (integer) 2\n3) (nil)\n");
/// ```
pub fn format_cli(value: &Value) -> String {
    let mut out = Vec::new();
    format(value, "", &mut out);
    match String::from_utf8(out) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}

fn format(value: &Value, prefix: &str, out: &mut Vec<u8>) {
    match value {
        Value::Null | Value::NullArray => line(&[b"(nil)"], out),
        Value::Bool(true) => line(&[b"(true)"], out),
        Value::Bool(false) => line(&[b"(false)"], out),
        Value::Int(value) => {
            line(&[b"(integer) ", itoa::Buffer::new().format(*value).as_bytes()], out);
        }
        Value::Double(value) => {
            out.extend_from_slice(b"(double) ");
            format_double(*value, out);
            out.push(b'\n');
        }
        Value::BigNumber(digits) => line(&[b"(big number) ", digits], out),
        Value::Status(text) | Value::Verbatim { text, .. } => line(&[text], out),
        Value::Error(text) => line(&[b"(error) ", text], out),
        Value::Bulk(text) => {
            append_quoted(out, text);
            out.push(b'\n');
        }
        Value::Array(items) => list(items, ')', "(empty array)", prefix, out),
        Value::Set(items) => list(items, '~', "(empty set)", prefix, out),
        Value::Push(items) => list(items, ')', "(empty push)", prefix, out),
        Value::Map(pairs) => map(pairs, '#', prefix, out),
        Value::Attributed(attributed) => {
            let Attributed { attributes, value } = &**attributed;
            map(attributes, '|', prefix, out);
            out.extend_from_slice(prefix.as_bytes());
            format(value, prefix, out);
        }
    }
}

fn line(parts: &[&[u8]], out: &mut Vec<u8>) {
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out.push(b'\n');
}

/// The layout of one aggregate's numbers.
struct Numbering<'a> {
    prefix: &'a str,
    inner_prefix: String,
    width: usize,
    separator: char,
}

impl<'a> Numbering<'a> {
    fn new(count: usize, separator: char, prefix: &'a str) -> Self {
        let width = itoa::Buffer::new().format(count).len();
        let inner_prefix = format!("{prefix}{:1$}", "", width + 2);
        Self { prefix, inner_prefix, width, separator }
    }

    fn number(&self, index: usize, out: &mut Vec<u8>) {
        let prefix = if index == 0 { "" } else { self.prefix };
        let text = format!("{prefix}{:1$}{2} ", index + 1, self.width, self.separator);
        out.extend_from_slice(text.as_bytes());
    }
}

fn list(items: &[Value], separator: char, empty: &str, prefix: &str, out: &mut Vec<u8>) {
    if items.is_empty() {
        return line(&[empty.as_bytes()], out);
    }
    let numbering = Numbering::new(items.len(), separator, prefix);
    for (index, item) in items.iter().enumerate() {
        numbering.number(index, out);
        format(item, &numbering.inner_prefix, out);
    }
}

fn map(pairs: &[(Value, Value)], separator: char, prefix: &str, out: &mut Vec<u8>) {
    if pairs.is_empty() {
        return line(&[b"(empty hash)"], out);
    }
    let numbering = Numbering::new(pairs.len(), separator, prefix);
    for (index, (key, value)) in pairs.iter().enumerate() {
        numbering.number(index, out);
        format(key, &numbering.inner_prefix, out);
        out.pop();
        out.extend_from_slice(b" => ");
        if takes_lines(value) {
            out.push(b'\n');
            out.extend_from_slice(numbering.inner_prefix.as_bytes());
        }
        format(value, &numbering.inner_prefix, out);
    }
}

/// Whether a value is laid out on more than one line.
fn takes_lines(value: &Value) -> bool {
    match value {
        Value::Array(items) | Value::Set(items) | Value::Push(items) => match &items[..] {
            [] => false,
            [item] => takes_lines(item),
            _ => true,
        },
        Value::Map(pairs) => match &pairs[..] {
            [] => false,
            [(_, value)] => takes_lines(value),
            _ => true,
        },
        Value::Attributed(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ints(range: std::ops::RangeInclusive<i64>) -> Vec<Value> {
        range.map(Value::Int).collect()
    }

    fn check(value: Value, expected: &str) {
        assert_eq!(format_cli(&value), expected);
    }

    #[test]
    fn scalars() {
        check(Value::Null, "(nil)\n");
        check(Value::NullArray, "(nil)\n");
        check(Value::Bool(true), "(true)\n");
        check(Value::Int(-5), "(integer) -5\n");
        check(Value::Double(1.5), "(double) 1.5\n");
        check(Value::Status(b"OK".to_vec()), "OK\n");
        check(Value::Error(b"ERR no".to_vec()), "(error) ERR no\n");
        check(
            Value::bulk(b"a\"\\\n\r\t\x07\x08\x00\xff~"),
            "\"a\\\"\\\\\\n\\r\\t\\a\\b\\x00\\xff~\"\n",
        );
        check(Value::Verbatim { format: *b"txt", text: b"a\nb\"".to_vec() }, "a\nb\"\n");
        check(Value::Status(b"\xff".to_vec()), "\u{fffd}\n");
    }

    #[test]
    fn empty_aggregates() {
        check(Value::Array(vec![]), "(empty array)\n");
        check(Value::Map(vec![]), "(empty hash)\n");
        check(Value::Set(vec![]), "(empty set)\n");
        check(Value::Push(vec![]), "(empty push)\n");
    }

    #[test]
    fn nested_aggregates() {
        let inner = Value::Array(vec![Value::Array(ints(1..=2)), Value::Int(3)]);
        check(
            Value::Array(vec![inner, Value::Set(ints(4..=5))]),
            "1) 1) 1) (integer) 1\n      2) (integer) 2\n   2) (integer) 3\n\
             2) 1~ (integer) 4\n   2~ (integer) 5\n",
        );
        let ten = format_cli(&Value::Array(ints(1..=10)));
        assert!(ten.starts_with(" 1) (integer) 1\n") && ten.ends_with("10) (integer) 10\n"));
    }

    #[test]
    fn maps() {
        check(
            Value::Map(vec![
                (Value::bulk("a"), Value::Int(1)),
                (Value::bulk("b"), Value::Array(ints(1..=2))),
                (Value::bulk("c"), Value::Array(ints(1..=1))),
            ]),
            "1# \"a\" => (integer) 1\n\
             2# \"b\" => \n   1) (integer) 1\n   2) (integer) 2\n\
             3# \"c\" => 1) (integer) 1\n",
        );
    }
}
