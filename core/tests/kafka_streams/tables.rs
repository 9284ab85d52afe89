//! Tables: their rows chosen, changed and grouped.

use millstream::{
    StreamsBuilder,
    dsl::{KGroupedTable, Materialized},
};

use super::topology::{Text, Topology, changes, even, first, stream, table};

fn by_first(builder: &StreamsBuilder) -> KGroupedTable<String, String> {
    table(builder, "a").group_by(|_, v| (first(v), v.clone()))
}

fn add(_: &String, value: String, state: String) -> String {
    format!("{state}+{value}")
}

fn subtract(_: &String, value: String, state: String) -> String {
    format!("{state}-{value}")
}

fn chosen_and_changed() -> Vec<Topology> {
    vec![
        Topology::new("table", |b| changes(table(b, "a"))),
        Topology::new("table-filter", |b| changes(table(b, "a").filter(|_, v| even(v)))),
        Topology::new("table-filter-not", |b| changes(table(b, "a").filter_not(|_, v| even(v)))),
        Topology::new("table-map-values", |b| changes(table(b, "a").map_values(|v| v + "!"))),
        Topology::new("table-map-values-to-null", |b| {
            changes(table(b, "a").map_values(|v| if even(&v) { None } else { Some(v) }));
        }),
        Topology::new("table-filter-map-values", |b| {
            changes(table(b, "a").filter(|_, v| even(v)).map_values(|v| v + "!"));
        }),
        Topology::new("table-filter-materialized", |b| {
            changes(table(b, "a").filter(|_, v| even(v)).materialize(Materialized::default()));
        }),
        Topology::new("table-to-stream-count", |b| {
            changes(table(b, "a").to_stream().group_by_key().count(Materialized::default()));
        }),
    ]
}

pub(crate) fn topologies() -> Vec<Topology> {
    let kept = Materialized::default;
    let mut topologies = chosen_and_changed();
    topologies.extend([
        Topology::new("table-group-by-count", move |b| changes(by_first(b).count(kept()))),
        Topology::new("table-group-by-reduce", move |b| {
            let (add, subtract) =
                (|state: String, v: String| state + "+" + &v, |state: String, v: String| state + "-" + &v);
            changes(by_first(b).reduce(add, subtract, kept()));
        }),
        Topology::new("table-group-by-aggregate", move |b| {
            changes(by_first(b).aggregate(|| "=".to_owned(), add, subtract, kept()));
        }),
        Topology::new("table-filter-group-by-count", move |b| {
            let rows = table(b, "a").filter(|_, v| even(v));
            changes(rows.group_by(|_, v| (first(v), v.clone())).count(kept()));
        }),
        Topology::new("reduce-group-by-count", move |b| {
            let newest = stream(b, "a").group_by_key().reduce(|_: Text, v| v, kept());
            changes(newest.group_by(|_, v| (first(v.as_deref().unwrap_or_default()), v.clone())).count(kept()));
        }),
    ]);
    topologies
}
