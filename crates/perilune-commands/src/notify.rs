//! Keyspace notifications: which events are published (`notify-keyspace-events`).

/// A set of event classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventClass(pub u32);

impl EventClass {
    /// `K`: `__keyspace@<db>__:<key>` channels.
    pub const KEYSPACE: EventClass = EventClass(1);
    /// `E`: `__keyevent@<db>__:<event>` channels.
    pub const KEYEVENT: EventClass = EventClass(1 << 1);
    /// `g`: commands of no particular type.
    pub const GENERIC: EventClass = EventClass(1 << 2);
    /// `$`
    pub const STRING: EventClass = EventClass(1 << 3);
    /// `l`
    pub const LIST: EventClass = EventClass(1 << 4);
    /// `s`
    pub const SET: EventClass = EventClass(1 << 5);
    /// `h`
    pub const HASH: EventClass = EventClass(1 << 6);
    /// `z`
    pub const ZSET: EventClass = EventClass(1 << 7);
    /// `x`
    pub const EXPIRED: EventClass = EventClass(1 << 8);
    /// `e`
    pub const EVICTED: EventClass = EventClass(1 << 9);
    /// `t`
    pub const STREAM: EventClass = EventClass(1 << 10);
    /// `m`: not part of `A`.
    pub const KEY_MISS: EventClass = EventClass(1 << 11);
    /// `d`
    pub const MODULE: EventClass = EventClass(1 << 13);
    /// `n`: not part of `A`.
    pub const NEW: EventClass = EventClass(1 << 14);
    /// `A`
    pub const ALL: EventClass = EventClass(0b0010_0111_1111_1100);

    /// Letters and classes, in the order Redis prints them.
    const LETTERS: [(u8, EventClass); 14] = [
        (b'g', Self::GENERIC),
        (b'$', Self::STRING),
        (b'l', Self::LIST),
        (b's', Self::SET),
        (b'h', Self::HASH),
        (b'z', Self::ZSET),
        (b'x', Self::EXPIRED),
        (b'e', Self::EVICTED),
        (b't', Self::STREAM),
        (b'd', Self::MODULE),
        (b'K', Self::KEYSPACE),
        (b'E', Self::KEYEVENT),
        (b'm', Self::KEY_MISS),
        (b'n', Self::NEW),
    ];

    /// Whether any class of `other` is in the set.
    #[inline]
    pub fn intersects(self, other: EventClass) -> bool {
        self.0 & other.0 != 0
    }

    /// Reads the letters of `notify-keyspace-events`; `None` on a letter that means nothing.
    pub fn parse(letters: &[u8]) -> Option<EventClass> {
        let mut set = EventClass::default();
        for letter in letters {
            let class = match letter {
                b'A' => Self::ALL,
                _ => Self::LETTERS.iter().find(|(known, _)| known == letter)?.1,
            };
            set.0 |= class.0;
        }
        Some(set)
    }

    /// The letters of the set as `CONFIG GET` prints them.
    pub fn letters(self) -> String {
        let all = self.0 & Self::ALL.0 == Self::ALL.0;
        let mut letters = String::new();
        if all {
            letters.push('A');
        }
        for (letter, class) in Self::LETTERS {
            let covered = all && Self::ALL.intersects(class);
            if self.intersects(class) && !covered {
                letters.push(letter as char);
            }
        }
        letters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_round_trip_in_redis_order() {
        for (given, printed) in
            [("KEA", "AKE"), ("", ""), ("Kg$", "g$K"), ("AmK", "AKm"), ("g$lshzxetdKE", "AKE")]
        {
            let set = EventClass::parse(given.as_bytes());
            assert_eq!(set.map(EventClass::letters).as_deref(), Some(printed), "{given}");
        }
        assert_eq!(EventClass::parse(b"q"), None);
    }
}
