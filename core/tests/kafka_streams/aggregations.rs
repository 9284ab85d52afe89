//! Aggregations of streams without windows.

use millstream::dsl::Materialized;

use super::topology::{Text, Topology, changes, first_of, is_even, stream, text};

/// Two values, one behind the other.
fn joined(state: Text, value: Text) -> Text {
    Some(format!("{}{}", text(&state), text(&value)))
}

pub(crate) fn topologies() -> Vec<Topology> {
    let kept = Materialized::default;
    vec![
        Topology::new("count", move |b| changes(stream(b, "a").group_by_key().count(kept()))),
        Topology::new("reduce", move |b| changes(stream(b, "a").group_by_key().reduce(joined, kept()))),
        Topology::new("aggregate", move |b| {
            let add = |k: &Text, v: Text, state: String| format!("{state}{}{}", text(k), text(&v));
            changes(stream(b, "a").group_by_key().aggregate(|| "=".to_owned(), add, kept()));
        }),
        Topology::new("aggregate-to-null", move |b| {
            let add = |_: &Text, v: Text, state: Text| if is_even(&v) { None } else { joined(state, v) };
            changes(stream(b, "a").group_by_key().aggregate(|| Some("=".to_owned()), add, kept()));
        }),
        Topology::new("group-by-count", move |b| changes(stream(b, "a").group_by(|_, v| first_of(v)).count(kept()))),
        Topology::new("group-by-aggregate", move |b| {
            let add = |_: &Text, v: Text, state: String| format!("{state}{}", text(&v));
            changes(stream(b, "a").group_by(|_, v| first_of(v)).aggregate(String::new, add, kept()));
        }),
        Topology::new("select-key-reduce", move |b| {
            let rekeyed = stream(b, "a").select_key(|_, v| Some(if is_even(v) { "even" } else { "odd" }.to_owned()));
            changes(rekeyed.group_by_key().reduce(joined, kept()));
        }),
        Topology::new("filter-count", move |b| {
            changes(stream(b, "a").filter(|_, v| is_even(v)).group_by_key().count(kept()));
        }),
        Topology::new("merge-reduce", move |b| {
            changes(stream(b, "a").merge(&stream(b, "b")).group_by_key().reduce(joined, kept()));
        })
        .reads(&["a", "b"]),
        Topology::new("count-filter", move |b| {
            changes(stream(b, "a").group_by_key().count(kept()).filter(|_, n| n % 3 != 0));
        }),
        Topology::new("reduce-map-values", move |b| {
            let marked = |v: Text| if is_even(&v) { Some(format!("{}!", text(&v))) } else { v };
            changes(stream(b, "a").group_by_key().reduce(joined, kept()).map_values(marked));
        }),
    ]
}
