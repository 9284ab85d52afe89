//! The times without output after faults, as a table.

use std::{collections::BTreeMap, fmt};

use super::traffic::Millis;

/// Times without output, by kind of fault.
#[derive(Debug, Default)]
pub(super) struct Outages(BTreeMap<&'static str, Vec<Millis>>);

impl Outages {
    pub(super) fn add(&mut self, kind: &'static str, pause: Millis) {
        self.0.entry(kind).or_default().push(pause);
    }
}

impl fmt::Display for Outages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<26}{:>6}{:>12}{:>12}", "without output after", "times", "median, s", "max, s")?;
        for (kind, pauses) in &self.0 {
            let mut sorted = pauses.clone();
            sorted.sort_unstable();
            let seconds = |at: usize| sorted[at] as f64 / 1e3;
            writeln!(
                f,
                "{kind:<26}{:>6}{:>12.1}{:>12.1}",
                sorted.len(),
                seconds((sorted.len() - 1) / 2),
                seconds(sorted.len() - 1)
            )?;
        }
        Ok(())
    }
}

#[test]
fn the_table_has_the_median_and_the_worst() {
    let mut outages = Outages::default();
    [300, 100, 9000].into_iter().for_each(|pause| outages.add("kill worker", pause));
    let table = outages.to_string();
    assert_eq!(table.lines().nth(1), Some("kill worker                    3         0.3         9.0"));
}
