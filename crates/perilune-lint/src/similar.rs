//! The name somebody may have meant.

/// Longest name that is compared, bytes.
const NAME_MAX: usize = 64;

/// The candidate that differs from `name` by one or two letters, if there is one.
pub(crate) fn nearest<'c>(
    name: &str,
    candidates: impl Iterator<Item = &'c str>,
) -> Option<&'c str> {
    if name.len() > NAME_MAX {
        return None;
    }
    let allowed = if name.len() < 4 { 1 } else { 2 };
    let near = candidates.filter(|other| other.len().abs_diff(name.len()) <= allowed);
    let measured = near.map(|other| (distance(name.as_bytes(), other.as_bytes()), other));
    measured.filter(|(distance, _)| *distance <= allowed).min().map(|(_, other)| other)
}

/// `; did you mean 'x'?`, or nothing.
pub(crate) fn hint<'c>(name: &str, candidates: impl Iterator<Item = &'c str>) -> String {
    nearest(name, candidates).map_or_else(String::new, |other| format!("; did you mean '{other}'?"))
}

/// Letters to insert, remove or replace to make one of the other.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (line, x) in a.iter().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b) {
            let replaced = diagonal + usize::from(!x.eq_ignore_ascii_case(y));
            diagonal = *cell;
            left = replaced.min(left + 1).min(diagonal + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in
            [("", "", 0), ("get", "gett", 1), ("abc", "", 3), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), expected, "{a} {b}");
        }
        assert_eq!(nearest("gte", ["get", "hget", "hset"].into_iter()), None);
        assert_eq!(nearest("hgetal", ["hget", "hgetall"].into_iter()), Some("hgetall"));
    }
}
