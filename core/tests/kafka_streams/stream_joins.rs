//! Joins in which records of a stream meet others: of a stream, or the rows of a table.

use std::time::Duration;

use millstream::{
    StreamsBuilder,
    dsl::{KStream, Materialized},
    operator::StreamJoinKind,
    window::JoinWindows,
};
use serde::{Deserialize, Serialize};

use super::topology::{Text, Topology, both, even, first_of, out, stream, table, text};

/// The columns of a join.
#[derive(Clone, Serialize, Deserialize)]
struct Pair {
    l: Text,
    r: Text,
}

fn windows(before: u64, after: u64, grace: u64) -> JoinWindows {
    JoinWindows::new(Duration::from_millis(before), Duration::from_millis(after))
        .with_grace(Duration::from_millis(grace))
}

fn joined(left: &KStream<Text, Text>, right: &KStream<Text, Text>, kind: StreamJoinKind, windows: JoinWindows) {
    let names = ["l", "r"].map(str::to_owned);
    let pairs =
        KStream::<Text, Pair>::from_columns(&left.columns().join_stream(right.columns(), kind, windows, &names));
    out(pairs.map_values(|pair| both(&pair.l, &pair.r)));
}

fn streams(name: &str, windows: JoinWindows) -> Vec<Topology> {
    let topology = |kind: &str, join: StreamJoinKind| {
        let build = move |b: &StreamsBuilder| joined(&stream(b, "a"), &stream(b, "b"), join, windows);
        Topology::new(format!("stream-{kind}-{name}"), build).reads(&["a", "b"])
    };
    vec![
        topology("join", StreamJoinKind::Inner),
        topology("left-join", StreamJoinKind::Left),
        topology("outer-join", StreamJoinKind::Outer),
    ]
}

fn with_tables() -> Vec<Topology> {
    let joiner = |v: Text, row: String| format!("{}+{row}", text(&v));
    let left_joiner = |v: Text, row: Option<String>| both(&v, &row);
    let topologies = vec![
        Topology::new("table-join", move |b| out(stream(b, "a").join(&table(b, "b"), joiner))),
        Topology::new("table-left-join", move |b| out(stream(b, "a").left_join(&table(b, "b"), left_joiner))),
        Topology::new("table-join-rekeyed", move |b| {
            out(stream(b, "a").select_key(|_, v| first_of(v)).join(&table(b, "b"), joiner));
        }),
        Topology::new("table-left-join-rekeyed", move |b| {
            out(stream(b, "a").select_key(|_, v| first_of(v)).left_join(&table(b, "b"), left_joiner));
        }),
        Topology::new("table-join-filtered", move |b| {
            out(stream(b, "a").join(&table(b, "b").filter(|_, v| even(v)), joiner));
        }),
        Topology::new("table-join-aggregated", |b| {
            let reducer = |state: Text, v: Text| Some(format!("{}{}", text(&state), text(&v)));
            let rows = stream(b, "b").group_by_key().reduce(reducer, Materialized::default());
            out(stream(b, "a").left_join(&rows, |v, row| both(&v, &row.flatten())));
        }),
    ];
    topologies.into_iter().map(|topology| topology.reads(&["a", "b"])).collect()
}

pub(crate) fn topologies() -> Vec<Topology> {
    let mut topologies = streams("no-grace", windows(10, 10, 0));
    topologies.extend(streams("grace", windows(10, 10, 6)));
    topologies.extend(streams("uneven", windows(0, 10, 15)));
    topologies.extend(streams("same-time", windows(0, 0, 8)));
    topologies.extend(streams("long-before", windows(15, 3, 5)));
    topologies.push(Topology::new("stream-self-join", |b| {
        let stream = stream(b, "a");
        joined(&stream, &stream, StreamJoinKind::Inner, windows(5, 5, 10));
    }));
    let rekeyed = Topology::new("stream-join-rekeyed", |b| {
        let left = stream(b, "a").select_key(|_, v| first_of(v));
        joined(&left, &stream(b, "b"), StreamJoinKind::Inner, windows(10, 10, 6));
    });
    topologies.push(rekeyed.reads(&["a", "b"]).one_by_one());
    topologies.extend(with_tables());
    topologies
}
