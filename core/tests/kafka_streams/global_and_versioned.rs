//! Joins with tables that are whole everywhere, and with tables that remember their past.

use std::time::Duration;

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, GlobalKTable, Joined, KTable, Materialized},
};

use super::topology::{Text, Topology, both, changes, even, first, first_of, foreign_key, out, stream, text};

fn global(builder: &StreamsBuilder) -> GlobalKTable<Text, String> {
    builder.global_table("b", Consumed::kafka(), Materialized::default())
}

/// A table whose rows can be looked up as of up to 30 ms ago.
fn versioned(builder: &StreamsBuilder, topic: &str) -> KTable<Text, String> {
    builder.table(topic, Consumed::kafka(), Materialized::default().versioned(Duration::from_millis(30)))
}

fn beside(_: &Text, value: Text, row: String) -> String {
    format!("{}+{row}", text(&value))
}

fn beside_maybe(_: &Text, value: Text, row: Option<String>) -> String {
    both(&value, &row)
}

fn of_global_tables() -> Vec<Topology> {
    let by_value = |_: &Text, v: &Text| Some(first_of(v));
    let named = |_: &Text, v: &Text| foreign_key(v.as_deref().unwrap_or_default());
    vec![
        Topology::new("global-join", move |b| out(stream(b, "a").join_global(&global(b), by_value, beside))),
        Topology::new("global-left-join", move |b| {
            out(stream(b, "a").left_join_global(&global(b), by_value, beside_maybe));
        }),
        Topology::new("global-join-by-key", |b| {
            out(stream(b, "a").join_global(&global(b), |k, _| k.clone().map(Some), beside));
        }),
        Topology::new("global-left-join-null-key", move |b| {
            out(stream(b, "a").left_join_global(&global(b), named, beside_maybe));
        }),
    ]
}

fn of_streams() -> Vec<Topology> {
    let grace = Duration::from_millis(8);
    vec![
        Topology::new("versioned-join", |b| out(stream(b, "a").join(&versioned(b, "b"), beside))),
        Topology::new("versioned-left-join", |b| out(stream(b, "a").left_join(&versioned(b, "b"), beside_maybe))),
        Topology::new("versioned-join-grace", move |b| {
            out(stream(b, "a").join(Joined::with(&versioned(b, "b")).grace(grace), beside));
        }),
        Topology::new("versioned-left-join-grace", move |b| {
            out(stream(b, "a").left_join(Joined::with(&versioned(b, "b")).grace(grace), beside_maybe));
        })
        .without_null_keys(),
    ]
}

fn joined(_: &Text, left: String, right: String) -> String {
    format!("{left}+{right}")
}

fn of_tables() -> Vec<Topology> {
    vec![
        Topology::new("versioned-tables-join", |b| changes(versioned(b, "a").join(&versioned(b, "b"), joined))),
        Topology::new("versioned-tables-left-join", |b| {
            changes(versioned(b, "a").left_join(&versioned(b, "b"), |_, l, r| both(&Some(l), &r)));
        }),
        Topology::new("versioned-tables-outer-join", |b| {
            changes(versioned(b, "a").outer_join(&versioned(b, "b"), |_, l, r| both(&l, &r)));
        }),
        Topology::new("versioned-foreign-key-join", |b| {
            changes(versioned(b, "a").join_foreign(&versioned(b, "b"), |_, v| foreign_key(v), joined));
        })
        .one_by_one()
        .without_empty_values(),
    ]
}

pub(crate) fn topologies() -> Vec<Topology> {
    let joins = of_global_tables().into_iter().chain(of_streams()).chain(of_tables());
    let mut topologies: Vec<Topology> = joins.map(|topology| topology.reads(&["a", "b"])).collect();
    topologies.extend([
        Topology::new("versioned-table", |b| changes(versioned(b, "a"))),
        Topology::new("versioned-filter", |b| changes(versioned(b, "a").filter(|_, v| even(v)))),
        Topology::new("versioned-group-by-count", |b| {
            let grouped = versioned(b, "a").group_by(|_, v| (first(v), v.clone()));
            changes(grouped.count(Materialized::default()));
        }),
    ]);
    topologies.into_iter().map(Topology::without_tied_deletions).collect()
}
