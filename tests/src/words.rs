//! Short names for the replies that tests expect.

use perilune_resp::Value;

/// The status `OK`.
pub fn ok() -> Value {
    Value::Status(b"OK".to_vec())
}

/// An integer.
pub fn int(value: i64) -> Value {
    Value::Int(value)
}

/// An error with this text.
pub fn error(text: &str) -> Value {
    Value::Error(text.as_bytes().to_vec())
}

/// An array of strings.
pub fn bulks(items: &[&str]) -> Value {
    array(items.iter().map(Value::bulk))
}

/// An array.
pub fn array(items: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(items.into_iter().collect())
}
