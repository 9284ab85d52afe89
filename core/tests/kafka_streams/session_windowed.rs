//! Aggregations over sessions, and their final results.

use std::time::Duration;

use millstream::{
    StreamsBuilder,
    dsl::{KWindowedStream, Materialized},
    window::{EmitStrategy, SessionWindows},
};

use super::topology::{Text, Topology, WindowedTable, changes, stream, text};

fn by(builder: &StreamsBuilder, gap: u64, grace: u64) -> KWindowedStream<Text, Text> {
    let windows = SessionWindows::new(Duration::from_millis(gap), Duration::from_millis(grace)).expect("legal");
    stream(builder, "a").group_by_key().windowed_by(windows)
}

fn aggregated(windowed: &KWindowedStream<Text, Text>) -> WindowedTable<String> {
    let add = |_: &Text, value: Text, state: String| format!("{state}{}", text(&value));
    windowed.aggregate_merging(String::new, add, |one, two| format!("{one}|{two}"), Materialized::default())
}

pub(crate) fn topologies() -> Vec<Topology> {
    let kept = Materialized::default;
    let topologies = vec![
        Topology::new("session-count", move |b| changes(by(b, 5, 0).count(kept()))),
        Topology::new("session-grace-count", move |b| changes(by(b, 5, 10).count(kept()))),
        Topology::new("session-grace-reduce", move |b| {
            let reducer = |state: Text, v: Text| Some(format!("{}{}", text(&state), text(&v)));
            changes(by(b, 4, 20).reduce(reducer, kept()));
        }),
        Topology::new("session-aggregate", |b| changes(aggregated(&by(b, 5, 0)))),
        Topology::new("session-grace-aggregate", |b| changes(aggregated(&by(b, 5, 10)))),
        Topology::new("session-final", |b| {
            changes(aggregated(&by(b, 5, 0).emit_strategy(EmitStrategy::OnCloseIfKept)))
        }),
        Topology::new("session-grace-final", |b| {
            changes(aggregated(&by(b, 5, 10).emit_strategy(EmitStrategy::OnCloseIfKept)))
        }),
        Topology::new("session-short-count", move |b| changes(by(b, 1, 10).count(kept()))),
    ];
    topologies.into_iter().map(Topology::without_headers).collect()
}
