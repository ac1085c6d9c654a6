//! Glob patterns as `KEYS`, `SCAN`, `PSUBSCRIBE`, ACL rules and `CONFIG GET` understand them.
//!
//! A pattern is a byte string of `*`, `?`, `[...]` (ranges, `^` negation), `\x` escapes and literal
//! bytes. The matcher walks pattern and text once and remembers only the last `*` it passed: when
//! something behind that star fails, giving an earlier star more text cannot help, because the later
//! one could have taken that text itself. So the cost is bounded by `pattern * text` and there is no
//! recursion.
//!
//! Two habits of Redis are kept on purpose: an empty text matches only an empty pattern (not even
//! `*`), and a class that is never closed ends with the pattern.

/// Whether `text` matches `pattern`; `nocase` folds ASCII letters on both sides.
pub fn matches(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut p, mut t) = (0, 0);
    // Where to resume when a tail fails: the pattern behind the last star, and the text it tried.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            p += 1;
            if p == pattern.len() {
                return true;
            }
            retry = Some((p, t));
            continue;
        }
        match step(&pattern[p..], text[t], nocase) {
            Some(used) => {
                p += used;
                t += 1;
            }
            None => match retry {
                Some((after_star, tried)) => {
                    p = after_star;
                    t = tried + 1;
                    retry = Some((after_star, t));
                }
                None => return false,
            },
        }
    }
    // A tail that began at the end of the text never consumed a byte, so it is no match even when
    // only stars are left; such a tail always starts with something other than a star.
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// Matches one byte against the first element of `pattern` (not a star): how many pattern bytes the
/// element takes, or `None` when it does not match.
fn step(pattern: &[u8], byte: u8, nocase: bool) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', class @ ..] => {
            let (matched, used) = class_matches(class, byte, nocase);
            matched.then_some(used + 1)
        }
        [b'\\', escaped, ..] => same(*escaped, byte, nocase).then_some(2),
        [literal, ..] => same(*literal, byte, nocase).then_some(1),
    }
}

/// Matches one byte against a class (the part behind `[`): the verdict and the bytes the class takes.
fn class_matches(class: &[u8], byte: u8, nocase: bool) -> (bool, usize) {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match &class[at..] {
            [] => break,
            // An escaped member is compared exactly, also when letters are folded elsewhere.
            [b'\\', member, ..] => {
                found |= *member == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [start, b'-', end, ..] => {
                found |= in_range(*start, *end, byte, nocase);
                at += 3;
            }
            [member, ..] => {
                found |= same(*member, byte, nocase);
                at += 1;
            }
        }
    }
    (found != negated, at)
}

/// Range membership; bytes compare as signed characters, so 0x80..=0xff sort before ASCII.
fn in_range(start: u8, end: u8, byte: u8, nocase: bool) -> bool {
    let (low, high) = if (start as i8) > (end as i8) { (end, start) } else { (start, end) };
    let fold = |b: u8| (if nocase { b.to_ascii_lowercase() } else { b }) as i8;
    (fold(low)..=fold(high)).contains(&fold(byte))
}

fn same(a: u8, b: u8, nocase: bool) -> bool {
    if nocase { a.eq_ignore_ascii_case(&b) } else { a == b }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(pattern: &str, text: &str) -> bool {
        matches(pattern.as_bytes(), text.as_bytes(), false)
    }

    #[test]
    fn literals_stars_and_question_marks() {
        assert!(check("abc", "abc"));
        assert!(!check("abc", "abcd"));
        assert!(!check("abcd", "abc"));
        assert!(check("a*", "a"));
        assert!(check("a**", "a"));
        assert!(check("*c", "abc"));
        assert!(check("a*b*c", "a__b_b__c"));
        assert!(!check("a*b*c", "a__b_b__"));
        assert!(check("h?llo", "hello"));
        assert!(!check("h?llo", "hllo"));
        assert!(check("*", "anything"));
        assert!(!check("*?", ""));
    }

    #[test]
    fn an_empty_text_matches_only_an_empty_pattern() {
        assert!(check("", ""));
        assert!(!check("*", ""));
        assert!(!check("", "a"));
    }

    #[test]
    fn classes() {
        assert!(check("h[ae]llo", "hallo"));
        assert!(!check("h[ae]llo", "hillo"));
        assert!(check("h[^e]llo", "hallo"));
        assert!(!check("h[^e]llo", "hello"));
        assert!(check("h[a-c]llo", "hbllo"));
        assert!(check("h[c-a]llo", "hbllo"));
        assert!(check("[\\]]", "]"));
        assert!(check("[\\-]x", "-x"));
        assert!(check("[abc", "b"), "an unclosed class ends with the pattern");
        assert!(check("[a-]", "_") && !check("[a-]", "-"), "a range may end in a bracket");
        assert!(!check("[]", "a"));
        assert!(check("[^]", "a"));
    }

    #[test]
    fn escapes() {
        assert!(check("\\*", "*"));
        assert!(!check("\\*", "a"));
        assert!(check("a\\", "a\\"));
        assert!(check("\\a", "a"));
    }

    #[test]
    fn folding_case() {
        assert!(matches(b"MAX*", b"maxmemory", true));
        assert!(matches(b"[A-C]", b"b", true));
        assert!(!matches(b"[\\A]", b"a", true), "escaped members stay exact");
        assert!(!matches(b"MAX*", b"maxmemory", false));
    }

    #[test]
    fn many_stars_stay_cheap() {
        let pattern = b"a*".repeat(2000);
        let text = b"a".repeat(1999);
        assert!(!matches(&pattern, &text, false));
    }

    /// The definition, by recursion over every split a star allows.
    fn naive(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
        match pattern.first() {
            None => text.is_empty(),
            Some(b'*') => {
                (0..=text.len()).any(|taken| naive(&pattern[1..], &text[taken..], nocase))
            }
            Some(_) => text.first().is_some_and(|&byte| {
                step(pattern, byte, nocase)
                    .is_some_and(|used| naive(&pattern[used..], &text[1..], nocase))
            }),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(
            pattern in proptest::collection::vec(proptest::sample::select(b"ab*?[]^-\\A\xff".to_vec()), 0..9),
            text in proptest::collection::vec(proptest::sample::select(b"abA-]\\\xff".to_vec()), 1..8),
            nocase: bool,
        ) {
            prop_assert_eq!(matches(&pattern, &text, nocase), naive(&pattern, &text, nocase));
        }

        #[test]
        fn arbitrary_bytes_never_panic(pattern: Vec<u8>, text: Vec<u8>, nocase: bool) {
            matches(&pattern, &text, nocase);
        }
    }
}
