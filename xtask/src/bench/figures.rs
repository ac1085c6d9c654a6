//! Tables of figures, one to a line, with a column for each server and one for each comparison.

use std::path::PathBuf;

/// A figure, and whether more of it is better.
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) more_is_better: bool,
}

/// The head of a table for servers, each a name and a binary.
pub(super) fn heading(servers: &[(String, PathBuf)]) -> String {
    let mut line = "| figure |".to_owned();
    for (name, _) in servers {
        line += &format!(" {name} |");
    }
    for (name, _) in servers.iter().skip(1) {
        line += &format!(" times better than {name} |");
    }
    let columns = line.matches('|').count() - 2;
    format!("{line}\n|---|{}", "---:|".repeat(columns))
}

/// The line of a figure, as it was measured with each server.
pub(super) fn line(figure: &Figure, values: &[f64]) -> String {
    let digits = if values.iter().any(|value| *value >= 1000.0) { 0 } else { 3 };
    let mut line = format!("| {} |", figure.name);
    for value in values {
        line += &format!(" {value:.digits$} |");
    }
    for rival in values.iter().skip(1) {
        let ratio = if figure.more_is_better { values[0] / rival } else { rival / values[0] };
        line += &format!(" {ratio:.2} |");
    }
    line
}

/// The middle of several figures.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() % 2 {
        1 => values[half],
        _ => (values[half.saturating_sub(1)] + values[half]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Figure = Figure { name: "load, s", more_is_better: false };
    const WRITES: Figure = Figure { name: "SET, AOF everysec, P1, req/s", more_is_better: true };

    #[test]
    fn a_line_says_how_many_times_better() {
        assert_eq!(line(&LOAD, &[2.0, 3.0]), "| load, s | 2.000 | 3.000 | 1.50 |");
        let faster = line(&WRITES, &[9000.0, 6000.0]);
        assert_eq!(faster, "| SET, AOF everysec, P1, req/s | 9000 | 6000 | 1.50 |");
    }

    #[test]
    fn the_heading_has_a_column_for_each_cell() {
        let servers = [("a".to_owned(), PathBuf::new()), ("b".to_owned(), PathBuf::new())];
        let expected = "| figure | a | b | times better than b |\n|---|---:|---:|---:|";
        assert_eq!(heading(&servers), expected);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
    }
}
