//! What a running engine has done so far, on standard error: a line that renews itself on a terminal, else one now and then.

use std::{io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

use super::stopwatch::Stopwatch;
use crate::{engine::Progress, output::group_digits};

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
    let total: Option<u64> = progress.connectors.iter().filter_map(|connector| connector.total).reduce(|a, b| a + b);
    if let Some(total) = total.filter(|total| *total > 0) {
        let bounded = progress.connectors.iter().filter(|connector| connector.total.is_some());
        let done: u64 = bounded.map(|connector| connector.done).sum();
        parts.push(format!("{}% read", done.min(total) * 100 / total));
    }
    let rows: u64 = progress.connectors.iter().map(|connector| connector.rows).sum();
    let rate = (rows as f64 / elapsed.as_secs_f64().max(0.001)) as u64;
    parts.push(format!("{} rows, {}/s", group_digits(rows), group_digits(rate)));
    let lag: u64 = progress.queries.iter().map(|query| query.lag).sum();
    parts.push(format!("queries {} behind", group_digits(lag)));
    parts.extend(troubles(progress));
    parts.join(" | ")
}

/// What was done in all, a line a connector and query.
pub fn summary(progress: &Progress) -> String {
    let connectors = progress.connectors.iter().map(|connector| {
        format!("connector {}: {}, {} rows", connector.name, connector.state, group_digits(connector.rows))
    });
    let queries = progress.queries.iter().map(|query| {
        format!(
            "query {}: {}, {} records in, {} out, {} behind, {} late, {} errors",
            query.id,
            query.state,
            group_digits(query.records_in),
            group_digits(query.records_out),
            group_digits(query.lag),
            group_digits(query.late),
            group_digits(query.errors)
        )
    });
    connectors.chain(queries).collect::<Vec<_>>().join("\n")
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
