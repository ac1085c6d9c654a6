//! What of a reply is legitimately free, and replies without that.
//!
//! Most replies are compared byte for byte. Only where two correct servers may differ, a reply is
//! brought to a form in which they do not.

use super::generate::{Step, Words};
use super::{CURRENT, Version};
use perilune_resp::Value;

/// How many members `SPOP` is asked for to take all.
pub(super) const SPOP_ALL: &str = "1000000";

/// What is free in the replies of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freedom {
    /// Nothing.
    Nothing,
    /// The order of the elements.
    Order,
    /// The order of pairs.
    PairOrder,
    /// The order of everything within it.
    OrderWithin,
    /// Which elements, but not how many.
    Choice,
    /// Everything but the length.
    Length,
    /// Everything but the kind of reply.
    Content,
    /// The last digits of times.
    Time,
    /// How many elements one step of an iteration has.
    Scan,
    /// Times within what is told of a stream.
    StreamTimes,
    /// Everything.
    All,
}

/// The freedom of a command, by its words.
pub fn freedom(words: &Words) -> Freedom {
    let word = |at: usize| {
        let word = words.get(at).map_or(&b""[..], Vec::as_slice);
        String::from_utf8_lossy(word).to_ascii_lowercase()
    };
    match word(0).as_str() {
        "smembers" | "sinter" | "sunion" | "sdiff" | "keys" | "hkeys" | "hvals" | "acl"
        | "pubsub" => Freedom::Order,
        "hgetall" | "config" => Freedom::PairOrder,
        // Redis walks a hash table, whose seed is new in every process, over subcommands.
        "command" if matches!(word(1).as_str(), "getkeysandflags" | "info") => Freedom::OrderWithin,
        // Without an order of its own a set is taken as it lies, and a limit leaves in any of it.
        "sort" | "sort_ro" => {
            let place = |name: &[u8]| words.iter().position(|word| word.eq_ignore_ascii_case(name));
            let pattern = place(b"by").and_then(|by| words.get(by + 1));
            match pattern.is_some_and(|pattern| !pattern.contains(&b'*')) {
                true if place(b"limit").is_some() => Freedom::Choice,
                true => Freedom::Order,
                false => Freedom::Nothing,
            }
        }
        // Everything, in some order.
        "spop" if word(2) == SPOP_ALL => Freedom::Order,
        "spop" | "srandmember" | "hrandfield" | "zrandmember" => Freedom::Choice,
        // The bytes are compared at the end of the sequence, without compression.
        "dump" => Freedom::Content,
        "randomkey" | "hello" => Freedom::Content,
        "memory" => Freedom::Content,
        // How many hold on to a value in the memory of Redis: its key, the queue of the transaction
        // that set it, all keys with the same small integer but those that `COPY` made.
        "object" if matches!(word(1).as_str(), "idletime" | "freq" | "refcount") => {
            Freedom::Content
        }
        "function" if word(1) == "dump" => Freedom::Length,
        "function" if word(1) == "list" => Freedom::OrderWithin,
        "ttl" | "pttl" | "expiretime" | "pexpiretime" => Freedom::Time,
        // A cursor means something only to the server that gave it.
        "scan" if word(1) != "0" => Freedom::Content,
        "sscan" | "hscan" | "zscan" if word(2) != "0" => Freedom::Content,
        "scan" | "sscan" | "hscan" | "zscan" => Freedom::Scan,
        "xinfo" | "xpending" => Freedom::StreamTimes,
        _ => Freedom::Nothing,
    }
}

/// Follows the transactions of a connection and tells whether replies are equal.
#[derive(Debug)]
pub struct Judge {
    queued: Vec<Step>,
    /// The version of the other side.
    version: Version,
}

impl Judge {
    /// Of replies of ours and of a Redis of this version.
    pub fn new(version: Version) -> Self {
        Judge { queued: Vec::new(), version }
    }

    /// Whether the replies to a step are equal but for what is free.
    pub fn equal(&mut self, step: &Step, ours: &Value, theirs: &Value) -> bool {
        let name = step.words.first().map(|name| name.to_ascii_uppercase()).unwrap_or_default();
        if *theirs == Value::Status(b"QUEUED".to_vec()) {
            self.queued.push(step.clone());
            return ours == theirs;
        }
        let (ours, theirs) = (&comparable(ours, self.version), &comparable(theirs, self.version));
        let queued = match name.as_slice() {
            b"EXEC" | b"DISCARD" | b"RESET" => std::mem::take(&mut self.queued),
            _ => Vec::new(),
        };
        match (name.as_slice(), ours, theirs) {
            (b"EXEC", Value::Array(ours), Value::Array(theirs)) => {
                ours.len() == theirs.len()
                    && queued.len() == theirs.len()
                    && queued
                        .iter()
                        .zip(ours.iter().zip(theirs))
                        .all(|(step, (ours, theirs))| equal_alone(step, ours, theirs))
            }
            _ => equal_alone(step, ours, theirs),
        }
    }
}

/// Whole numbers of up to so many digits are written with these by every version.
const WHOLE_DIGITS_MAX: usize = 16;

/// A reply as it can be compared: before 7.2 numbers were written with other digits, and which
/// scores of -0 were taken for 0 followed from other encodings.
pub(super) fn comparable(reply: &Value, version: Version) -> Value {
    if version == CURRENT {
        return reply.clone();
    }
    let all = |items: &[Value]| items.iter().map(|item| comparable(item, version)).collect();
    match reply {
        Value::Bulk(text) => {
            let text = String::from_utf8_lossy(text);
            let number = text.parse::<f64>().ok().filter(|number| {
                text.contains(['.', 'e']) || text.len() > WHOLE_DIGITS_MAX || number.is_nan()
            });
            match number {
                _ if text == "-0" => Value::bulk("0"),
                Some(number) => Value::bulk(format!("{number:e}")),
                None => reply.clone(),
            }
        }
        Value::Double(number) => Value::Double(number + 0.0),
        Value::Array(items) => Value::Array(all(items)),
        Value::Set(items) => Value::Set(all(items)),
        Value::Push(items) => Value::Push(all(items)),
        Value::Map(pairs) => {
            let pair = |(name, value)| (comparable(name, version), comparable(value, version));
            Value::Map(pairs.iter().map(|(name, value)| pair((name, value))).collect())
        }
        other => other.clone(),
    }
}

/// What is free of a reply that went through a script, where a map is a table without order.
fn freedom_in_script(words: &Words) -> Freedom {
    let is_lcs = words.first().is_some_and(|name| name.eq_ignore_ascii_case(b"lcs"));
    match freedom(words) {
        Freedom::StreamTimes => Freedom::Content,
        Freedom::Nothing if is_lcs => Freedom::Content,
        other => other,
    }
}

fn equal_alone(step: &Step, ours: &Value, theirs: &Value) -> bool {
    if step.inner.is_empty() {
        return same(ours, theirs, freedom(&step.words));
    }
    match (ours, theirs) {
        (Value::Array(our), Value::Array(their)) if their.len() == step.inner.len() => {
            our.len() == their.len()
                && step
                    .inner
                    .iter()
                    .zip(our.iter().zip(their))
                    .all(|(words, (our, their))| same(our, their, freedom_in_script(words)))
        }
        _ => same(ours, theirs, Freedom::Nothing),
    }
}

/// Whether two replies are equal but for what is free.
pub fn same(ours: &Value, theirs: &Value, free: Freedom) -> bool {
    // Also for a NaN, which equals nothing.
    let text = |value: &Value| format!("{value:?}");
    if text(ours) == text(theirs) {
        return true;
    }
    if ours.as_error().is_some() || theirs.as_error().is_some() {
        return false;
    }
    match free {
        Freedom::Nothing => false,
        Freedom::All => true,
        Freedom::Order => sorted(ours, 1) == sorted(theirs, 1),
        Freedom::PairOrder => sorted(ours, 2) == sorted(theirs, 2),
        Freedom::Choice => size(ours) == size(theirs),
        Freedom::OrderWithin => sorted_within(ours) == sorted_within(theirs),
        Freedom::Length => ours.as_bytes().map(<[u8]>::len) == theirs.as_bytes().map(<[u8]>::len),
        Freedom::Content => is_nothing(ours) == is_nothing(theirs),
        Freedom::Time => close(ours, theirs),
        Freedom::Scan => same_scan(ours, theirs),
        Freedom::StreamTimes => text(&timeless(ours)) == text(&timeless(theirs)),
    }
}

fn is_nothing(value: &Value) -> bool {
    matches!(value, Value::Null | Value::NullArray)
}

fn items(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(items) | Value::Set(items) | Value::Push(items) => Some(items),
        _ => None,
    }
}

fn size(value: &Value) -> Option<usize> {
    match value {
        Value::Map(pairs) => Some(pairs.len()),
        _ if is_nothing(value) => None,
        _ => Some(items(value).map_or(1, <[Value]>::len)),
    }
}

/// The elements in an order of their own, so many at a time; with the kind of aggregate.
fn sorted(value: &Value, width: usize) -> Vec<String> {
    let mut texts: Vec<String> = match value {
        Value::Map(pairs) => pairs.iter().map(|pair| format!("{pair:?}")).collect(),
        _ => items(value).unwrap_or_default().chunks(width).map(|it| format!("{it:?}")).collect(),
    };
    texts.sort();
    let kind = match value {
        Value::Map(_) => "map".into(),
        Value::Set(_) => "set".into(),
        Value::Array(_) => "array".into(),
        other => format!("{other:?}"),
    };
    texts.push(kind);
    texts
}

/// The reply as text, with the elements of all its aggregates in an order of their own.
fn sorted_within(value: &Value) -> String {
    let mut texts: Vec<String> = match value {
        Value::Map(pairs) => {
            let pair = |(name, value)| format!("{} {}", sorted_within(name), sorted_within(value));
            pairs.iter().map(|(name, value)| pair((name, value))).collect()
        }
        _ => match items(value) {
            Some(items) => items.iter().map(sorted_within).collect(),
            None => return format!("{value:?}"),
        },
    };
    texts.sort();
    format!("{:?} {}", std::mem::discriminant(value), texts.join(", "))
}

/// Times in seconds or milliseconds that are at most a minute apart.
fn close(ours: &Value, theirs: &Value) -> bool {
    const TIME_MIN: i64 = 100_000;
    const APART_MAX: u64 = 60_000;
    match (ours, theirs) {
        (Value::Int(ours), Value::Int(theirs)) => {
            *ours > TIME_MIN && *theirs > TIME_MIN && ours.abs_diff(*theirs) <= APART_MAX
        }
        _ => false,
    }
}

/// Complete iterations have the same elements; of incomplete ones nothing is known.
fn same_scan(ours: &Value, theirs: &Value) -> bool {
    let complete = |value: &Value| {
        items(value).and_then(<[Value]>::first).and_then(Value::as_bytes) == Some(b"0".as_slice())
    };
    match (items(ours), items(theirs)) {
        (Some([_, ours_found]), Some([_, theirs_found])) if complete(ours) && complete(theirs) => {
            sorted(ours_found, 1) == sorted(theirs_found, 1)
                || sorted(ours_found, 2) == sorted(theirs_found, 2)
        }
        (Some([..]), Some([..])) => true,
        _ => false,
    }
}

/// A reply about a stream without moments, and without how long something was idle.
fn timeless(value: &Value) -> Value {
    const MOMENT_MIN: i64 = 1_000_000_000_000;
    let is_idle = |name: &Value| {
        matches!(name.as_bytes(), Some(b"idle" | b"inactive" | b"seen-time" | b"active-time"))
    };
    let moment = |value: &Value| match value {
        Value::Int(number) if *number >= 0 => Value::bulk("a time"),
        other => other.clone(),
    };
    match value {
        Value::Int(number) if *number >= MOMENT_MIN => Value::bulk("a time"),
        Value::Map(pairs) => {
            let pair = |(name, value): &(Value, Value)| {
                let value = if is_idle(name) { moment(value) } else { timeless(value) };
                (name.clone(), value)
            };
            Value::Map(pairs.iter().map(pair).collect())
        }
        // An entry that waits: its id, its consumer, how long, how often.
        Value::Array(items)
            if matches!(
                items[..],
                [Value::Bulk(_), Value::Bulk(_), Value::Int(_), Value::Int(_)]
            ) =>
        {
            let mut items = items.clone();
            items[2] = moment(&items[2]);
            Value::Array(items)
        }
        Value::Array(items) => {
            let item = |at: usize| match at.checked_sub(1).map(|before| &items[before]) {
                Some(name) if is_idle(name) => moment(&items[at]),
                _ => timeless(&items[at]),
            };
            Value::Array((0..items.len()).map(item).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perilune_resp::parse_reply;

    fn reply(text: &str) -> Value {
        parse_reply(text.as_bytes()).expect("valid").expect("complete").0
    }

    #[test]
    fn only_what_is_free_may_differ() {
        let (ab, ba) = (reply("*2\r\n:1\r\n:2\r\n"), reply("*2\r\n:2\r\n:1\r\n"));
        assert!(!same(&ab, &ba, Freedom::Nothing));
        assert!(same(&ab, &ba, Freedom::Order));
        assert!(!same(&ab, &reply("~2\r\n:2\r\n:1\r\n"), Freedom::Order));
        assert!(!same(&ab, &reply("*1\r\n:2\r\n"), Freedom::Choice));
        assert!(same(&reply(":200000\r\n"), &reply(":200009\r\n"), Freedom::Time));
        assert!(!same(&reply(":-1\r\n"), &reply(":200009\r\n"), Freedom::Time));
        assert!(!same(&reply("-ERR a\r\n"), &reply("-ERR b\r\n"), Freedom::Content));
    }

    #[test]
    fn numbers_of_an_older_server_are_compared_as_numbers() {
        let (ours, theirs) = (reply("$3\r\n0.1\r\n"), reply("$19\r\n0.10000000000000001\r\n"));
        let step = Step::plain(vec![b"GET".to_vec(), b"key".to_vec()]);
        assert!(Judge::new([7, 0]).equal(&step, &ours, &theirs));
        assert!(!Judge::new(CURRENT).equal(&step, &ours, &theirs));
    }

    #[test]
    fn replies_of_a_transaction_have_the_freedom_of_its_commands() {
        let words = |text: &str| text.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        let step = |text: &str| Step::plain(words(text));
        let mut judge = Judge::new(CURRENT);
        let queued = reply("+QUEUED\r\n");
        assert!(judge.equal(&step("SMEMBERS s"), &queued, &queued));
        assert!(judge.equal(&step("LRANGE l 0 -1"), &queued, &queued));
        let ours = reply("*2\r\n*2\r\n:1\r\n:2\r\n*1\r\n:1\r\n");
        let theirs = reply("*2\r\n*2\r\n:2\r\n:1\r\n*1\r\n:1\r\n");
        assert!(judge.equal(&step("EXEC"), &ours, &theirs));
    }
}
