//! What a running engine has done so far, on standard error: a line that renews itself on a terminal, else one now and then.

use std::{io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

use super::stopwatch::Stopwatch;
use crate::{
    engine::{Progress, QueryState},
    output::group_digits,
};

/// How often a line is printed where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(2);

/// Shows progress while a command runs.
#[derive(Debug)]
pub struct Reporter {
    watch: Stopwatch,
    bar: Option<ProgressBar>,
    next_line: Duration,
    last: String,
}

impl Default for Reporter {
    fn default() -> Self {
        Self::new()
    }
}

impl Reporter {
    /// A reporter that starts its clock now.
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(
                ProgressStyle::with_template("{spinner} {wide_msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            bar
        });
        Self { watch: Stopwatch::start(), bar, next_line: LINE_INTERVAL, last: String::new() }
    }

    /// Shows how far the work is.
    pub fn show(&mut self, progress: &Progress) {
        self.show_line(&line(progress, self.watch.elapsed()));
    }

    /// Shows a line: in place on a terminal; elsewhere if it is new and the last one was a while ago.
    pub fn show_line(&mut self, line: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(line.to_owned());
            bar.tick();
        } else if self.is_line_due() && self.last != line {
            self.next_line = self.watch.elapsed() + LINE_INTERVAL;
            self.last = line.to_owned();
            eprintln!("{line}");
        }
    }

    /// Whether a line would be shown now.
    pub fn is_line_due(&self) -> bool {
        self.bar.is_some() || self.watch.elapsed() >= self.next_line
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.watch.elapsed()
    }

    /// Takes the line away.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// One line: how much of the input is read, rows and their rate, how far queries are behind, what went wrong.
pub fn line(progress: &Progress, elapsed: Duration) -> String {
    let mut parts = Vec::new();
    let total: Option<u64> =
        progress.connectors.iter().filter_map(|connector| connector.total).reduce(u64::saturating_add);
    if let Some(total) = total.filter(|total| *total > 0) {
        let bounded = progress.connectors.iter().filter(|connector| connector.total.is_some());
        let done = bounded.map(|connector| connector.done).fold(0, u64::saturating_add);
        let percent = u128::from(done.min(total)) * 100 / u128::from(total);
        parts.push(format!("{percent}% read"));
    }
    let rows: u64 = progress.connectors.iter().map(|connector| connector.rows).sum();
    let rate = (rows as f64 / elapsed.as_secs_f64().max(0.001)) as u64;
    parts.push(format!("{} rows, {}/s", group_digits(rows), group_digits(rate)));
    // A lag that is not known is the greatest number.
    let lag = progress.queries.iter().map(|query| query.lag).fold(0, u64::saturating_add);
    parts.push(format!("queries {} behind", group_digits(lag)));
    parts.extend(troubles(progress));
    parts.join(" | ")
}

/// What was done in all, a line a connector and query, with what went wrong.
pub fn summary(progress: &Progress) -> String {
    let because = |error: &Option<String>| error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    let connectors = progress.connectors.iter().map(|connector| {
        let (rows, rejected) = (group_digits(connector.rows), group_digits(connector.rejected));
        let state = format!("{}{}", connector.state, because(&connector.error));
        format!("connector {}: {rows} rows, {rejected} rejected, {state}", connector.name)
    });
    let queries = progress.queries.iter().map(|query| {
        format!(
            "query {}: {} records in, {} out, {} behind, {} late, {} errors, {}{}",
            query.id,
            group_digits(query.records_in),
            group_digits(query.records_out),
            group_digits(query.lag),
            group_digits(query.late),
            group_digits(query.errors),
            query.state,
            because(&query.error),
        )
    });
    connectors.chain(queries).collect::<Vec<_>>().join("\n")
}

/// The connectors and queries that ended with an error, if any did.
pub fn failed(progress: &Progress) -> Option<String> {
    let connectors = progress.connectors.iter().filter(|connector| connector.state == "FAILED");
    let queries = progress.queries.iter().filter(|query| query.state == QueryState::Failed);
    let names: Vec<String> = connectors
        .map(|connector| format!("connector {}", connector.name))
        .chain(queries.map(|query| format!("query {}", query.id)))
        .collect();
    (!names.is_empty()).then(|| names.join(", "))
}

fn troubles(progress: &Progress) -> Vec<String> {
    let late: u64 = progress.queries.iter().map(|query| query.late).sum();
    let errors: u64 = progress.queries.iter().map(|query| query.errors).sum();
    [(late, "late"), (errors, "errors")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", group_digits(count)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{ConnectorProgress, QueryProgress};

    fn progress(state: &str, query: QueryState, late: u64) -> Progress {
        Progress {
            connectors: vec![ConnectorProgress {
                name: "F".into(),
                state: state.into(),
                idle: false,
                rows: 2_000,
                rejected: 0,
                done: 50,
                lag: None,
                commits: 0,
                retries: 0,
                total: Some(200),
                error: None,
            }],
            queries: vec![QueryProgress {
                id: "Q".into(),
                state: query,
                records_in: 1_500,
                records_out: 3,
                commits: 1,
                lag: 500,
                late,
                errors: 0,
                error: None,
            }],
        }
    }

    #[test]
    fn a_line_tells_how_far_the_work_is() {
        let check = |late: u64, expected: &str| {
            assert_eq!(line(&progress("RUNNING", QueryState::Running, late), Duration::from_secs(2)), expected);
        };
        check(0, "25% read | 2,000 rows, 1,000/s | queries 500 behind");
        check(7, "25% read | 2,000 rows, 1,000/s | queries 500 behind | 7 late");
    }

    #[test]
    fn lags_that_are_not_known_are_no_overflow() {
        let mut two = progress("RUNNING", QueryState::Running, 0);
        two.queries.push(QueryProgress { lag: u64::MAX, ..two.queries[0].clone() });
        let shown = line(&two, Duration::from_secs(2));
        assert!(shown.ends_with("queries 18,446,744,073,709,551,615 behind"), "{shown}");
    }

    #[test]
    fn what_failed_is_named() {
        let check = |state: &str, query: QueryState, expected: Option<&str>| {
            assert_eq!(failed(&progress(state, query, 0)).as_deref(), expected);
        };
        check("EXHAUSTED", QueryState::Running, None);
        check("FAILED", QueryState::Stopped, Some("connector F"));
        check("FAILED", QueryState::Failed, Some("connector F, query Q"));
    }
}
