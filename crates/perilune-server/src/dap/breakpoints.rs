//! Breakpoints: where the program stops, and under which conditions.
//!
//! The session knows lines only. What else an editor asks for is decided here, whenever the
//! program stands at a line: the condition first, then how often it was fulfilled; a breakpoint
//! with a message says it instead of stopping.

use serde_json::Value;

/// A breakpoint of the editor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Breakpoint {
    /// The line, from 1.
    pub(super) line: u64,
    /// An expression that must be true.
    pub(super) condition: Option<String>,
    pub(super) hits: Option<Hits>,
    /// What to say instead of stopping.
    pub(super) message: Option<Vec<Piece>>,
    /// How often it was come by with the condition fulfilled.
    pub(super) count: u64,
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Said as it is.
    Text(String),
    /// Said with its value.
    Expression(String),
}

/// At which counts a breakpoint has an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hits {
    Exactly(u64),
    AtLeast(u64),
    Below(u64),
    /// At multiples.
    Every(u64),
}

impl Breakpoint {
    /// Reads what the editor wants at a line. `Err` is for the user.
    pub(super) fn read(line: u64, wanted: &Value) -> Result<Self, &'static str> {
        let text = |name: &str| {
            let text = wanted[name].as_str().unwrap_or_default().trim();
            (!text.is_empty()).then(|| text.to_owned())
        };
        let hits = match text("hitCondition") {
            None => None,
            Some(text) => Some(Hits::read(&text).ok_or(
                "a hit condition is a number, alone or behind one of ==, >, >=, <, <= and %",
            )?),
        };
        let message = match text("logMessage") {
            None => None,
            Some(text) => Some(pieces(&text).ok_or("a brace of the message is not closed")?),
        };
        Ok(Breakpoint { line, condition: text("condition"), hits, message, count: 0 })
    }

    /// Counts once more; whether the breakpoint has an effect this time.
    pub(super) fn hit(&mut self) -> bool {
        self.count += 1;
        match self.hits {
            None => true,
            Some(Hits::Exactly(count)) => self.count == count,
            Some(Hits::AtLeast(count)) => self.count >= count,
            Some(Hits::Below(count)) => self.count < count,
            Some(Hits::Every(count)) => self.count.is_multiple_of(count),
        }
    }
}

impl Hits {
    fn read(text: &str) -> Option<Hits> {
        let number = |text: &str| text.trim().parse::<u64>().ok();
        let behind = |sign: &str| text.strip_prefix(sign).map(number);
        if let Some(count) = behind(">=") {
            return Some(Hits::AtLeast(count?));
        }
        if let Some(count) = behind("<=") {
            return Some(Hits::Below(count?.saturating_add(1)));
        }
        if let Some(count) = behind("==").or_else(|| behind("=")) {
            return Some(Hits::Exactly(count?));
        }
        if let Some(count) = behind(">") {
            return Some(Hits::AtLeast(count?.saturating_add(1)));
        }
        if let Some(count) = behind("<") {
            return Some(Hits::Below(count?));
        }
        if let Some(count) = behind("%") {
            return Some(Hits::Every(count?.max(1)));
        }
        number(text).map(Hits::Exactly)
    }
}

/// The parts of a message: expressions stand in braces, which may be nested.
fn pieces(text: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, inner)) = rest.split_once('{') {
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        let mut depth = 1_u32;
        let end = inner.char_indices().find_map(|(at, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            (depth == 0).then_some(at)
        })?;
        pieces.push(Piece::Expression(inner[..end].to_owned()));
        rest = &inner[end + 1..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Some(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The first ten counts at which a breakpoint with this hit condition has an effect.
    fn effects(hits: &str) -> Vec<u64> {
        let wanted = json!({ "line": 1, "hitCondition": hits });
        let mut breakpoint = Breakpoint::read(1, &wanted).expect("it can be read");
        (1..=10).filter(|_| breakpoint.hit()).collect()
    }

    #[test]
    fn hits_are_counted() {
        assert_eq!(effects(""), (1..=10).collect::<Vec<_>>());
        assert_eq!(effects("3"), [3]);
        assert_eq!((effects("== 3"), effects("=3")), (vec![3], vec![3]));
        assert_eq!((effects(">8"), effects(">= 8")), (vec![9, 10], vec![8, 9, 10]));
        assert_eq!((effects("<3"), effects("<=3")), (vec![1, 2], vec![1, 2, 3]));
        assert_eq!((effects("%4"), effects("%0").len()), (vec![4, 8], 10));
        for wrong in ["x", ">", "3 times", "-1", "%x"] {
            assert!(Breakpoint::read(1, &json!({ "hitCondition": wrong })).is_err(), "{wrong}");
        }
    }

    #[test]
    fn messages_have_expressions_in_braces() {
        let text = |text: &str| Piece::Text(text.to_owned());
        let expression = |text: &str| Piece::Expression(text.to_owned());
        assert_eq!(
            pieces("a is {a}, {#{1, {2}}}!"),
            Some(vec![
                text("a is "),
                expression("a"),
                text(", "),
                expression("#{1, {2}}"),
                text("!")
            ])
        );
        assert_eq!(pieces("{"), None);
        assert_eq!(pieces(""), Some(Vec::new()));
    }
}
