//! Values of the program and replies of commands as text.

use crate::debug::DebugValue;
use perilune_resp::{Protocol, Value, append_quoted, format_double};

/// Digits of a number that are shown, as many as the language itself shows.
const DIGITS: usize = 14;

/// Appends a value of the program.
pub(super) fn append_value(out: &mut Vec<u8>, value: &DebugValue) {
    match value {
        DebugValue::Nil => out.extend_from_slice(b"nil"),
        DebugValue::Bool(true) => out.extend_from_slice(b"true"),
        DebugValue::Bool(false) => out.extend_from_slice(b"false"),
        DebugValue::Number(number) => out.extend_from_slice(number_text(*number).as_bytes()),
        DebugValue::Text(text) => append_quoted(out, text),
        DebugValue::Table(pairs) => append_table(out, pairs),
        DebugValue::Opaque { kind, address } => {
            out.extend_from_slice(format!("\"{kind}@0x{address:x}\"").as_bytes());
        }
        DebugValue::TooDeep => {
            out.extend_from_slice(b"<max recursion level reached! Nested table?>");
        }
        DebugValue::TooMany => out.extend_from_slice(b"<more>"),
    }
}

/// Appends a table: its values alone when the keys count from 1.
fn append_table(out: &mut Vec<u8>, pairs: &[(DebugValue, DebugValue)]) {
    let mut numbers = 1_u32..;
    let counts = |key: &DebugValue| match key {
        DebugValue::Number(number) => numbers.next().is_some_and(|n| f64::from(n) == *number),
        DebugValue::TooMany => true,
        _ => false,
    };
    let is_array = pairs.iter().map(|(key, _)| key).all(counts);
    out.push(b'{');
    for (at, (key, value)) in pairs.iter().enumerate() {
        if at > 0 {
            out.extend_from_slice(b"; ");
        }
        if !is_array && *key != DebugValue::TooMany {
            out.push(b'[');
            append_value(out, key);
            out.extend_from_slice(b"]=");
        }
        append_value(out, value);
    }
    out.push(b'}');
}

/// A number as `%.14g` prints it.
fn number_text(number: f64) -> String {
    if number.is_nan() {
        return if number.is_sign_negative() { "-nan" } else { "nan" }.to_owned();
    }
    if number.is_infinite() {
        return if number < 0.0 { "-inf" } else { "inf" }.to_owned();
    }
    let scientific = format!("{number:.*e}", DIGITS - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if exponent < -4 || exponent >= DIGITS as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trim(mantissa), exponent.abs());
    }
    let decimals = usize::try_from(DIGITS as i32 - 1 - exponent).unwrap_or(0);
    trim(&format!("{number:.decimals$}"))
}

/// Appends the reply of a command that was given in `protocol`.
pub(super) fn append_reply(out: &mut Vec<u8>, reply: &Value, protocol: Protocol) {
    match reply {
        Value::Null if protocol == Protocol::Resp3 => out.extend_from_slice(b"(null)"),
        Value::Null => out.extend_from_slice(b"NULL"),
        Value::NullArray => out.extend_from_slice(b"NULL"),
        Value::Bool(true) => out.extend_from_slice(b"#true"),
        Value::Bool(false) => out.extend_from_slice(b"#false"),
        Value::Int(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Double(number) => {
            out.extend_from_slice(b"(double) ");
            format_double(*number, out);
        }
        Value::BigNumber(digits) => {
            out.extend_from_slice(b"(big number) ");
            out.extend_from_slice(digits);
        }
        Value::Status(text) => append_quoted(out, &[b"+", &text[..]].concat()),
        Value::Error(text) => append_quoted(out, &[b"-", &text[..]].concat()),
        Value::Bulk(text) | Value::Verbatim { text, .. } => append_quoted(out, text),
        Value::Array(items) | Value::Push(items) => append_list(out, b"[", items, b"]", protocol),
        Value::Set(items) => append_list(out, b"~(", items, b")", protocol),
        Value::Map(pairs) => {
            out.push(b'{');
            for (at, (key, value)) in pairs.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                append_reply(out, key, protocol);
                out.extend_from_slice(b" => ");
                append_reply(out, value, protocol);
            }
            out.push(b'}');
        }
        Value::Attributed(attributed) => append_reply(out, &attributed.value, protocol),
    }
}

fn append_list(out: &mut Vec<u8>, open: &[u8], items: &[Value], close: &[u8], protocol: Protocol) {
    out.extend_from_slice(open);
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        append_reply(out, item, protocol);
    }
    out.extend_from_slice(close);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_language() {
        for (number, text) in [
            (0.0, "0"),
            (-0.5, "-0.5"),
            (3.0, "3"),
            (1_234_567.0, "1234567"),
            (0.1, "0.1"),
            (1.0 / 3.0, "0.33333333333333"),
            (1e14, "1e+14"),
            (99_999_999_999_999.0, "99999999999999"),
            (1.5e-5, "1.5e-05"),
            (1e100, "1e+100"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(number_text(number), text);
        }
    }

    #[test]
    fn tables_are_lists_where_their_keys_count() {
        let number = DebugValue::Number;
        let shown = |pairs: Vec<(DebugValue, DebugValue)>| {
            let mut out = Vec::new();
            append_value(&mut out, &DebugValue::Table(pairs));
            String::from_utf8(out).expect("text")
        };
        let list = vec![(number(1.0), number(5.0)), (number(2.0), DebugValue::Nil)];
        assert_eq!(shown(list.clone()), "{5; nil}");
        let mut cut = list.clone();
        cut.push((DebugValue::TooMany, DebugValue::TooMany));
        assert_eq!(shown(cut), "{5; nil; <more>}");
        let mut other = list;
        other.push((DebugValue::Text(b"a\n".to_vec()), DebugValue::Bool(true)));
        assert_eq!(shown(other), r#"{[1]=5; [2]=nil; ["a\n"]=true}"#);
    }
}
