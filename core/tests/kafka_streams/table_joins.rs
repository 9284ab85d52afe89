//! Joins of tables, by their keys and by foreign keys.

use millstream::dsl::Materialized;

use super::topology::{Text, Topology, both, changes, even, foreign_key, stream, table, text};

fn joined(_: &Text, left: String, right: String) -> String {
    format!("{left}+{right}")
}

fn left_joined(_: &Text, left: String, right: Option<String>) -> String {
    both(&Some(left), &right)
}

fn outer_joined(_: &Text, left: Option<String>, right: Option<String>) -> String {
    both(&left, &right)
}

fn by_key() -> Vec<Topology> {
    let topologies = vec![
        Topology::new("tables-join", |b| changes(table(b, "a").join(&table(b, "b"), joined))),
        Topology::new("tables-left-join", |b| changes(table(b, "a").left_join(&table(b, "b"), left_joined))),
        Topology::new("tables-outer-join", |b| changes(table(b, "a").outer_join(&table(b, "b"), outer_joined))),
        Topology::new("tables-join-materialized", |b| {
            changes(table(b, "a").join(&table(b, "b"), joined).materialize(Materialized::default()));
        }),
        Topology::new("tables-join-filtered", |b| {
            let right = table(b, "b").filter(|_, v| !even(v));
            changes(table(b, "a").filter(|_, v| even(v)).left_join(&right, left_joined));
        }),
        Topology::new("tables-join-aggregated", |b| {
            let reducer = |state: Text, v: Text| Some(format!("{}{}", text(&state), text(&v)));
            let left = stream(b, "a").group_by_key().reduce(reducer, Materialized::default());
            changes(left.outer_join(&table(b, "b"), |_, l, r| both(&l.flatten(), &r)));
        }),
        Topology::new("tables-join-then-filter", |b| {
            changes(table(b, "a").outer_join(&table(b, "b"), outer_joined).filter(|_, v| even(v)));
        }),
        Topology::new("tables-join-three", |b| {
            let pairs = table(b, "a").left_join(&table(b, "b"), left_joined);
            changes(pairs.outer_join(&table(b, "c"), |_, both, third| format!("({}){}", text(&both), text(&third))));
        })
        .reads(&["a", "b", "c"]),
    ];
    let both =
        |topology: Topology| if topology.input.topics.len() == 1 { topology.reads(&["a", "b"]) } else { topology };
    topologies.into_iter().map(both).collect()
}

/// What a row subscribes to is answered through a topic: with more than one record on the way, answers that are no longer wanted are left out.
fn by_foreign_key() -> Vec<Topology> {
    let topologies = vec![
        Topology::new("foreign-key-join", |b| {
            changes(table(b, "a").join_foreign(&table(b, "b"), |_, v| foreign_key(v), joined));
        }),
        Topology::new("foreign-key-left-join", |b| {
            changes(table(b, "a").left_join_foreign(&table(b, "b"), |_, v| foreign_key(v), left_joined));
        }),
        Topology::new("foreign-key-join-filtered", |b| {
            let left = table(b, "a").filter(|_, v| even(v));
            changes(left.join_foreign(&table(b, "b"), |_, v| foreign_key(v), joined));
        }),
    ];
    topologies.into_iter().map(|topology| topology.reads(&["a", "b"]).one_by_one().without_empty_values()).collect()
}

pub(crate) fn topologies() -> Vec<Topology> {
    let mut topologies = by_key();
    topologies.extend(by_foreign_key());
    topologies
}
