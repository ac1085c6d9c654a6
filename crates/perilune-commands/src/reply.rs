//! Writing what several command groups answer with.

use perilune_keyspace::LpValue;
use perilune_resp::ReplyWriter;

/// An element of a collection as a bulk string.
#[inline]
pub(crate) fn bulk_value(out: &mut dyn ReplyWriter, value: LpValue<'_>) {
    match value {
        LpValue::Int(number) => out.bulk_int(number),
        LpValue::Str(text) => out.bulk(text),
    }
}

/// An element of a collection, or null where there is none.
#[inline]
pub(crate) fn bulk_value_or_null(out: &mut dyn ReplyWriter, value: Option<LpValue<'_>>) {
    match value {
        Some(value) => bulk_value(out, value),
        None => out.null(),
    }
}
