//! What cases came to, as tables for people and JSON for programs.

use std::collections::BTreeMap;

use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};

use super::{case::Case, run::Outcome, value::Value};

/// How many characters of a record are shown.
const SHOWN: usize = 160;

/// Expected and actual side by side, line by line.
pub(super) fn beside(title: &str, expected: &[String], actual: &[String]) -> String {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY);
    table.set_header(["", "expected", "actual"]);
    let cut = |text: Option<&String>| text.map_or_else(String::new, |text| text.chars().take(SHOWN).collect());
    for row in 0..expected.len().max(actual.len()) {
        let mark = if expected.get(row) == actual.get(row) { "" } else { "!" };
        table.add_row([mark.to_owned(), cut(expected.get(row)), cut(actual.get(row))]);
    }
    format!("{title}\n{table}")
}

/// Counts of one group of cases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// As expected.
    pub passed: usize,
    /// Not as expected.
    pub failed: usize,
    /// Not run.
    pub skipped: usize,
    /// Of those that had to fail and did: with the expected message.
    pub messages: usize,
    /// Of those that had to fail and did.
    pub rejected: usize,
}

impl Count {
    fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Passed { message_fits, .. } => {
                self.passed += 1;
                self.rejected += usize::from(message_fits.is_some());
                self.messages += usize::from(*message_fits == Some(true));
            }
            Outcome::Failed(_) => self.failed += 1,
            Outcome::Skipped(_) => self.skipped += 1,
        }
    }
}

/// Counts by group.
pub fn counts<'a>(
    outcomes: impl Iterator<Item = (&'a Case, &'a Outcome)>,
    group: fn(&Case) -> String,
) -> BTreeMap<String, Count> {
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    for (case, outcome) in outcomes {
        counts.entry(group(case)).or_default().add(outcome);
    }
    counts
}

/// Counts as a table.
pub fn table(counts: &BTreeMap<String, Count>) -> String {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY);
    table.set_header(["cases", "passed", "failed", "skipped", "%", "messages"]);
    for (name, count) in counts {
        let all = count.passed + count.failed + count.skipped;
        let share = 100.0 * count.passed as f64 / all.max(1) as f64;
        let messages =
            if count.rejected == 0 { String::new() } else { format!("{}/{}", count.messages, count.rejected) };
        table.add_row([
            name.clone(),
            count.passed.to_string(),
            count.failed.to_string(),
            count.skipped.to_string(),
            format!("{share:.1}"),
            messages,
        ]);
    }
    table.to_string()
}

/// One JSON object a case, in a list.
pub fn json<'a>(outcomes: impl Iterator<Item = (&'a Case, &'a Outcome)>) -> String {
    let text = |text: &str| Value::Text(text.to_owned());
    let object = |(case, outcome): (&Case, &Outcome)| {
        let (word, reason) = match outcome {
            Outcome::Passed { .. } => ("passed", ""),
            Outcome::Failed(reason) => ("failed", reason.as_str()),
            Outcome::Skipped(reason) => ("skipped", reason.as_str()),
        };
        let fields = [
            ("id", case.id.as_str()),
            ("tier", &case.tier),
            ("area", &case.area),
            ("outcome", word),
            ("reason", reason),
        ];
        let mut fields = fields.map(|(name, value)| (name.to_owned(), text(value))).to_vec();
        if let (Some(failure), Outcome::Passed { message_fits: Some(fits), message }) = (&case.failure, outcome) {
            fields.push(("message_fits".to_owned(), Value::Bool(*fits)));
            fields.push(("message".to_owned(), text(message.as_deref().unwrap_or_default())));
            fields.push(("expected_message".to_owned(), text(&failure.message)));
        }
        Value::Object(fields).to_string()
    };
    format!("[\n{}\n]\n", outcomes.map(object).collect::<Vec<_>>().join(",\n"))
}
