//! The report: a markdown table with one row per case and pipeline depth.

use std::fmt::Write;

use super::load::Sample;

/// Below this share of a core the server was not the limit.
const BUSY_MIN: f64 = 0.9;

/// One row: what each server did, in the order of the servers.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) depth: usize,
    pub(super) cells: Vec<Result<Sample, String>>,
}

/// The middle of several samples, each figure by itself.
pub(super) fn median(samples: &[Sample]) -> Option<Sample> {
    let middle = |figure: fn(&Sample) -> f64| {
        let mut values: Vec<f64> = samples.iter().map(figure).collect();
        values.sort_by(f64::total_cmp);
        let half = values.len() / 2;
        match values.len() % 2 {
            1 => Some(values[half]),
            _ => Some((values.get(half.checked_sub(1)?)? + values[half]) / 2.0),
        }
    };
    Some(Sample {
        requests_per_second: middle(|s| s.requests_per_second)?,
        cpu_us_per_request: middle(|s| s.cpu_us_per_request)?,
        busy: middle(|s| s.busy)?,
    })
}

/// The column titles; `names` begins with the server under test.
pub(super) fn heading(names: &[String]) -> String {
    let mut line = "| case | P |".to_owned();
    for name in names {
        let _ = write!(line, " {name} req/s | CPU µs |");
    }
    for rival in names.iter().skip(1) {
        let _ = write!(line, " req/s ÷ {rival} | CPU ÷ {rival} |");
    }
    let columns = line.matches('|').count() - 1;
    format!("{line}\n|---|{}", "---:|".repeat(columns - 1))
}

/// One line of the table.
pub(super) fn line(row: &Row) -> String {
    let mut line = format!("| {} | {} |", row.name, row.depth);
    for cell in &row.cells {
        match cell {
            Ok(sample) => {
                let mark = if sample.busy < BUSY_MIN { "\\*" } else { "" };
                let rate = sample.requests_per_second;
                let _ = write!(line, " {rate:.0}{mark} | {:.3} |", sample.cpu_us_per_request);
            }
            Err(error) => {
                let _ =
                    write!(line, " error: {} | |", error.replace('|', "\\|").replace('\n', " "));
            }
        }
    }
    for rival in 1..row.cells.len() {
        match ratios(row, rival) {
            Some((rate, cpu)) => {
                let _ = write!(line, " {rate:.2} | {cpu:.2} |");
            }
            None => line.push_str(" | |"),
        }
    }
    line
}

/// The last line of the table: the geometric means of the ratios to each rival.
pub(super) fn means(rows: &[Row], servers: usize) -> String {
    let mut line = format!("| geometric mean | |{}", " | |".repeat(servers));
    for rival in 1..servers {
        let pairs: Vec<_> = rows.iter().filter_map(|row| ratios(row, rival)).collect();
        if pairs.is_empty() {
            line.push_str(" | |");
            continue;
        }
        let count = pairs.len() as f64;
        let rate = (pairs.iter().map(|(rate, _)| rate.ln()).sum::<f64>() / count).exp();
        let cpu = (pairs.iter().map(|(_, cpu)| cpu.ln()).sum::<f64>() / count).exp();
        let _ = write!(line, " {rate:.2} | {cpu:.2} |");
    }
    line
}

/// Requests per second and processor time per request of the first server, relative to a rival.
fn ratios(row: &Row, rival: usize) -> Option<(f64, f64)> {
    let (ours, theirs) = (row.cells.first()?.as_ref().ok()?, row.cells.get(rival)?.as_ref().ok()?);
    Some((
        ours.requests_per_second / theirs.requests_per_second,
        ours.cpu_us_per_request / theirs.cpu_us_per_request,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(rate: f64, cpu: f64) -> Sample {
        Sample { requests_per_second: rate, cpu_us_per_request: cpu, busy: 1.0 }
    }

    fn row(cells: Vec<Result<Sample, String>>) -> Row {
        Row { name: "get".to_owned(), depth: 16, cells }
    }

    #[test]
    fn the_median_takes_each_figure_by_itself() {
        let middle = median(&[sample(1.0, 9.0), sample(3.0, 7.0), sample(2.0, 8.0)]).unwrap();
        assert_eq!((middle.requests_per_second, middle.cpu_us_per_request), (2.0, 8.0));
        let even = median(&[sample(1.0, 1.0), sample(3.0, 1.0)]).unwrap();
        assert_eq!(even.requests_per_second, 2.0);
        assert!(median(&[]).is_none());
    }

    #[test]
    fn every_line_has_the_columns_of_the_heading() {
        let names = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let heading = heading(&names);
        let row =
            row(vec![Ok(sample(300.0, 2.0)), Ok(sample(100.0, 4.0)), Err("ERR x".to_owned())]);
        let bars = |line: &str| line.matches('|').count();
        for other in
            heading.lines().skip(1).map(str::to_owned).chain([line(&row), means(&[row], 3)])
        {
            assert_eq!(bars(&other), bars(heading.lines().next().unwrap()), "{other}");
        }
    }

    #[test]
    fn ratios_are_ours_to_theirs_and_an_error_has_none() {
        let row =
            row(vec![Ok(sample(300.0, 2.0)), Ok(sample(100.0, 4.0)), Err("ERR x".to_owned())]);
        assert_eq!(
            line(&row),
            "| get | 16 | 300 | 2.000 | 100 | 4.000 | error: ERR x | | 3.00 | 0.50 | | |"
        );
    }
}
