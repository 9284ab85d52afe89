//! Joins in which records of a stream meet others: of a stream, or the rows of a table.

use std::time::Duration;

use millstream::{
    dsl::{Materialized, StreamJoined, Unmatched},
    window::JoinWindows,
};

use super::topology::{Text, Topology, both, even, first_of, met, out, stream, table, text};

fn windows(before: u64, after: u64, grace: u64) -> StreamJoined {
    let windows = JoinWindows::new(Duration::from_millis(before), Duration::from_millis(after));
    let joined = StreamJoined::within(windows.with_grace(Duration::from_millis(grace)));
    joined.unmatched(Unmatched::AsKafkaStreams)
}

fn streams(name: &str, windows: &StreamJoined) -> Vec<Topology> {
    let [inner, left, outer] = [(); 3].map(|()| windows.clone());
    let topologies = vec![
        Topology::new(format!("stream-join-{name}"), move |b| {
            out(stream(b, "a").join_stream(&stream(b, "b"), inner.clone(), met));
        }),
        Topology::new(format!("stream-left-join-{name}"), move |b| {
            let joiner = |_: &Text, l: Text, r: Option<Text>| both(&l, &r.flatten());
            out(stream(b, "a").left_join_stream(&stream(b, "b"), left.clone(), joiner));
        }),
        Topology::new(format!("stream-outer-join-{name}"), move |b| {
            let joiner = |_: &Text, l: Option<Text>, r: Option<Text>| both(&l.flatten(), &r.flatten());
            out(stream(b, "a").outer_join_stream(&stream(b, "b"), outer.clone(), joiner));
        }),
    ];
    topologies.into_iter().map(|topology| topology.reads(&["a", "b"])).collect()
}

/// What meets what here goes through repartition topics at different speeds if there is more than one record at a time.
fn rekeyed() -> Vec<Topology> {
    let topologies = vec![
        Topology::new("stream-join-rekeyed", |b| {
            let left = stream(b, "a").select_key(|_, v| first_of(v));
            out(left.join_stream(&stream(b, "b"), windows(10, 10, 6), met));
        }),
        Topology::new("table-join-rekeyed", |b| {
            out(stream(b, "a").select_key(|_, v| first_of(v)).join(&table(b, "b"), |_, v, row| beside(&v, &row)));
        }),
        Topology::new("table-left-join-rekeyed", |b| {
            let left = stream(b, "a").select_key(|_, v| first_of(v));
            out(left.left_join(&table(b, "b"), |_, v, row| both(&v, &row)));
        }),
    ];
    topologies.into_iter().map(|topology| topology.reads(&["a", "b"]).one_by_one()).collect()
}

fn beside(value: &Text, row: &str) -> String {
    format!("{}+{row}", text(value))
}

fn with_tables() -> Vec<Topology> {
    let topologies = vec![
        Topology::new("table-join", |b| out(stream(b, "a").join(&table(b, "b"), |_, v, row| beside(&v, &row)))),
        Topology::new("table-left-join", |b| {
            out(stream(b, "a").left_join(&table(b, "b"), |_, v, row| both(&v, &row)));
        }),
        Topology::new("table-join-filtered", |b| {
            out(stream(b, "a").join(&table(b, "b").filter(|_, v| even(v)), |_, v, row| beside(&v, &row)));
        }),
        Topology::new("table-join-aggregated", |b| {
            let reducer = |state: Text, v: Text| Some(format!("{}{}", text(&state), text(&v)));
            let rows = stream(b, "b").group_by_key().reduce(reducer, Materialized::default());
            out(stream(b, "a").left_join(&rows, |_, v, row| both(&v, &row.flatten())));
        }),
    ];
    topologies.into_iter().map(|topology| topology.reads(&["a", "b"])).collect()
}

pub(crate) fn topologies() -> Vec<Topology> {
    let mut topologies = streams("no-grace", &windows(10, 10, 0));
    topologies.extend(streams("grace", &windows(10, 10, 6)));
    topologies.extend(streams("uneven", &windows(0, 10, 15)));
    topologies.extend(streams("same-time", &windows(0, 0, 8)));
    topologies.extend(streams("long-before", &windows(15, 3, 5)));
    topologies.push(Topology::new("stream-self-join", |b| {
        let stream = stream(b, "a");
        out(stream.join_stream(&stream, windows(5, 5, 10), met));
    }));
    topologies.extend(with_tables());
    topologies.extend(rekeyed());
    topologies
}
