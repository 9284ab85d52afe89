//! A difference as text: the input, both outputs side by side, and how to see it again.

use std::fmt::Write as _;

use millstream::record::Record;

use super::{
    case::{Outcome, Output, Step},
    ours::Way,
    topology::Topology,
};

/// Columns of the left one of two outputs.
const WIDTH: usize = 60;

/// Describes a difference.
pub(crate) fn difference(
    topology: &Topology,
    seed: u64,
    way: Way,
    steps: &[Step],
    expected: &Outcome,
    got: &Outcome,
) -> String {
    let mut text = format!("topology {}, seed {seed}, {way:?}: with this input, shortened,\n", topology.name);
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Clock(millis) => writeln!(text, "  {number:3}  clock +{millis}").expect("text takes it"),
            Step::Record { topic, record } => {
                writeln!(text, "  {number:3}  {topic} {}", shown(record)).expect("text takes it");
            }
        }
    }
    writeln!(text, "  {:WIDTH$} | Millstream", "Kafka Streams").expect("text takes it");
    let (left, right) = (lines(expected), lines(got));
    for row in 0..left.len().max(right.len()) {
        let line = |lines: &[String]| lines.get(row).cloned().unwrap_or_default();
        let mark = if left.get(row) == right.get(row) { '|' } else { '#' };
        writeln!(text, "  {:WIDTH$} {mark} {}", line(&left), line(&right)).expect("text takes it");
    }
    let again = "cargo test --workspace --test kafka_streams";
    write!(text, "again: MILLSTREAM_ORACLE_TOPOLOGY={} MILLSTREAM_ORACLE_SEED={seed} {again}", topology.name)
        .expect("text takes it");
    text
}

fn lines(outcome: &Outcome) -> Vec<String> {
    let line = |output: &Output| format!("{:3}  {} {}", output.step, output.topic, shown(&output.record));
    let failure = outcome.failure.iter().map(|failure| format!("failed: {failure}"));
    outcome.outputs.iter().map(line).chain(failure).collect()
}

fn shown(record: &Record) -> String {
    let bytes = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or("null".to_owned(), |bytes| shown_bytes(bytes));
    let headers: Vec<String> = record
        .headers
        .iter()
        .map(|header| format!(" {}={:?}", header.name, header.value.as_deref().unwrap_or_default()))
        .collect();
    format!("{} = {} @{}{}", bytes(&record.key), bytes(&record.value), record.timestamp.0, headers.concat())
}

/// Text as it is, numbers behind it (a window, a count) as numbers.
fn shown_bytes(bytes: &[u8]) -> String {
    let number = |bytes: &[u8; 8]| i64::from_be_bytes(*bytes);
    match bytes.split_last_chunk::<8>() {
        Some((rest, last)) if last[0] == 0 => {
            let rest = if rest.is_empty() { String::new() } else { shown_bytes(rest) };
            format!("{rest}[{}]", number(last))
        }
        _ => format!("{:?}", String::from_utf8_lossy(bytes)),
    }
}
