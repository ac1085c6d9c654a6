//! How a listpack writes down one of its elements: encoding and data, and behind them their length.
//!
//! Encoding and data, the content of an element, tell by themselves where they end. The length behind
//! them serves whoever comes from the end, who then finds the start of the content.

use super::{LpError, LpValue, parse_int};

const INT16: u8 = 0xF1;
const INT24: u8 = 0xF2;
const INT32: u8 = 0xF3;
const INT64: u8 = 0xF4;
const STR32: u8 = 0xF0;

/// An element about to be written.
pub(crate) struct Encoded<'a> {
    head: [u8; 9],
    head_len: usize,
    body: &'a [u8],
}

impl<'a> Encoded<'a> {
    /// Text, which becomes an integer if it reads as one.
    pub(crate) fn text(text: &'a [u8]) -> Self {
        if let Some(number) = parse_int(text) {
            return Encoded::int(number);
        }
        let (mut head, len) = ([0; 9], text.len());
        let head_len = text_head_size(len);
        match head_len {
            1 => head[0] = 0x80 | len as u8,
            2 => head[..2].copy_from_slice(&(0xE000 | len as u16).to_be_bytes()),
            _ => {
                head[0] = STR32;
                head[1..5].copy_from_slice(&(len as u32).to_le_bytes());
            }
        }
        Encoded { head, head_len, body: text }
    }

    /// An integer in the fewest bytes.
    pub(crate) fn int(value: i64) -> Self {
        let mut head = [0; 9];
        let wide = value.to_le_bytes();
        let head_len = if (0..128).contains(&value) {
            head[0] = value as u8;
            1
        } else if (-4096..4096).contains(&value) {
            head[..2].copy_from_slice(&(0xC000 | (value as u16 & 0x1FFF)).to_be_bytes());
            2
        } else {
            let (tag, width) = if i16::try_from(value).is_ok() {
                (INT16, 2)
            } else if (-(1 << 23)..1 << 23).contains(&value) {
                (INT24, 3)
            } else if i32::try_from(value).is_ok() {
                (INT32, 4)
            } else {
                (INT64, 8)
            };
            head[0] = tag;
            head[1..=width].copy_from_slice(&wide[..width]);
            1 + width
        };
        Encoded { head, head_len, body: &[] }
    }

    /// What is encoded already.
    pub(crate) fn content(content: &'a [u8]) -> Self {
        Encoded { head: [0; 9], head_len: 0, body: content }
    }

    /// Bytes it takes in a listpack.
    pub(crate) fn len(&self) -> usize {
        let content = self.content_len();
        content + backlen_size(content)
    }

    /// Bytes of its encoding and data.
    #[inline]
    pub(crate) fn content_len(&self) -> usize {
        self.head_len + self.body.len()
    }

    /// Writes it into its place in a listpack.
    pub(super) fn write_to(&self, out: &mut [u8]) {
        let content = self.content_len();
        out[..self.head_len].copy_from_slice(&self.head[..self.head_len]);
        out[self.head_len..content].copy_from_slice(self.body);
        let mut rest = content;
        let back = &mut out[content..];
        for i in (0..back.len()).rev() {
            back[i] = (rest & 127) as u8 | if i > 0 { 128 } else { 0 };
            rest >>= 7;
        }
    }

    /// Appends its encoding and data, without the length behind them.
    #[inline]
    pub(crate) fn push_content(&self, out: &mut Vec<u8>) {
        match self.head_len {
            1 => out.push(self.head[0]),
            len => out.extend_from_slice(&self.head[..len]),
        }
        out.extend_from_slice(self.body);
    }
}

/// How many bytes an entry for `text` takes in a listpack.
pub fn entry_size(text: &[u8]) -> usize {
    Encoded::text(text).len()
}

/// Bytes that stand before a text of `len` bytes.
#[inline]
pub(crate) fn text_head_size(len: usize) -> usize {
    match len {
        0..64 => 1,
        64..4096 => 2,
        _ => 5,
    }
}

/// Bytes that the back length of an entry of `content` bytes takes. The limits are one lower than
/// the bits allow, as in every listpack ever written.
#[inline]
pub(crate) fn backlen_size(content: usize) -> usize {
    match content {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    }
}

/// Appends the length of `content` bytes, to be read from the end.
#[inline]
pub(crate) fn push_backlen(out: &mut Vec<u8>, content: usize) {
    let groups = backlen_size(content);
    if groups == 1 {
        return out.push(content as u8);
    }
    for group in (0..groups).rev() {
        let more = if group + 1 < groups { 128 } else { 0 };
        out.push((content >> (7 * group) & 127) as u8 | more);
    }
}

/// Length of the encoding and data of the entry at `at`.
#[inline]
pub(crate) fn content_size(buf: &[u8], at: usize) -> usize {
    match buf[at] {
        0..=0x7F => 1,
        tag @ 0x80..=0xBF => 1 + usize::from(tag & 0x3F),
        0xC0..=0xDF => 2,
        tag @ 0xE0..=0xEF => 2 + (usize::from(tag & 0x0F) << 8 | usize::from(buf[at + 1])),
        INT16 => 3,
        INT24 => 4,
        INT32 => 5,
        INT64 => 9,
        STR32 => 5 + str32_len(buf, at),
        _ => 1,
    }
}

#[inline]
fn str32_len(buf: &[u8], at: usize) -> usize {
    u32::from_le_bytes([buf[at + 1], buf[at + 2], buf[at + 3], buf[at + 4]]) as usize
}

/// Offset just after the entry at `at`.
#[inline]
pub(super) fn entry_end(buf: &[u8], at: usize) -> usize {
    let content = content_size(buf, at);
    at + content + backlen_size(content)
}

/// Offset of the entry that ends just before `end`.
#[inline]
pub(crate) fn entry_start(buf: &[u8], end: usize) -> usize {
    let (mut content, mut shift, mut at) = (0, 0, end - 1);
    loop {
        content |= usize::from(buf[at] & 127) << shift;
        if buf[at] & 128 == 0 {
            return at - content;
        }
        shift += 7;
        at -= 1;
    }
}

/// The value whose encoding is at `at`.
#[inline]
pub(crate) fn decode(buf: &[u8], at: usize) -> LpValue<'_> {
    match buf[at] {
        tag @ 0..=0x7F => LpValue::Int(i64::from(tag)),
        tag @ 0x80..=0xBF => LpValue::Str(&buf[at + 1..at + 1 + usize::from(tag & 0x3F)]),
        tag @ 0xC0..=0xDF => {
            let raw = u16::from_be_bytes([tag, buf[at + 1]]);
            // Shifting the three tag bits out and back extends the sign.
            LpValue::Int(i64::from(((raw << 3) as i16) >> 3))
        }
        0xE0..=0xEF => LpValue::Str(&buf[at + 2..at + content_size(buf, at)]),
        STR32 => LpValue::Str(&buf[at + 5..at + content_size(buf, at)]),
        _ => LpValue::Int(decode_wide(&buf[at + 1..at + content_size(buf, at)])),
    }
}

/// A little-endian two's complement integer of up to eight bytes.
fn decode_wide(bytes: &[u8]) -> i64 {
    let fill = if bytes.last().is_some_and(|top| top & 0x80 != 0) { 0xFF } else { 0 };
    let mut wide = [fill; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(wide)
}

/// Checks the entry at `at` without reading at or beyond `end`; returns where the next one starts.
pub(super) fn validate_entry(buf: &[u8], at: usize, end: usize) -> Result<usize, LpError> {
    let head = match buf[at] {
        0xE0..=0xEF => 2,
        STR32 => 5,
        0xF5..=0xFF => return Err(LpError::Entry),
        _ => 1,
    };
    if end - at < head {
        return Err(LpError::Entry);
    }
    let content = content_size(buf, at);
    let size = content + backlen_size(content);
    if end - at < size {
        return Err(LpError::Entry);
    }
    let next = at + size;
    let mut rest = content;
    for i in (at + content..next).rev() {
        let more = if i > at + content { 128 } else { 0 };
        if buf[i] != (rest & 127) as u8 | more {
            return Err(LpError::Entry);
        }
        rest >>= 7;
    }
    Ok(next)
}
