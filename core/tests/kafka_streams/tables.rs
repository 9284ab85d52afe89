//! Tables: their rows chosen, changed and grouped.

use millstream::dsl::Materialized;

use super::topology::{Topology, changes, even, table};

pub(crate) fn topologies() -> Vec<Topology> {
    vec![
        Topology::new("table", |b| changes(table(b, "a"))),
        Topology::new("table-filter", |b| changes(table(b, "a").filter(|_, v| even(v)))),
        Topology::new("table-filter-not", |b| changes(table(b, "a").filter(|_, v| !even(v)))),
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
