//! Aggregations of streams without windows.

use std::time::Duration;

use millstream::{
    StreamsBuilder,
    dsl::{CogroupedKStream, Materialized},
    window::{SessionWindows, SlidingWindows, TimeWindows},
};

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
    .into_iter()
    .chain(cogrouped())
    .collect()
}

/// Two streams folded into one state, the values of the second in brackets.
fn two(builder: &StreamsBuilder) -> CogroupedKStream<Text, String> {
    let left = stream(builder, "a").group_by_key();
    left.cogroup(first_line).cogroup(&stream(builder, "b").group_by_key(), second_line)
}

fn first_line(_: &Text, value: Text, state: String) -> String {
    format!("{state}{}", text(&value))
}

fn second_line(_: &Text, value: Text, state: String) -> String {
    format!("{state}({})", text(&value))
}

fn begin() -> String {
    "=".to_owned()
}

fn cogrouped() -> Vec<Topology> {
    let kept = Materialized::default;
    let ms = Duration::from_millis;
    let topologies = vec![
        Topology::new("cogroup", move |b| changes(two(b).aggregate(begin, kept()))),
        Topology::new("cogroup-tumbling", move |b| {
            let windows = TimeWindows::tumbling(ms(10), ms(7)).expect("legal");
            changes(two(b).windowed_by(windows).aggregate(begin, kept()));
        })
        .in_order(),
        Topology::new("cogroup-session", move |b| {
            let windows = SessionWindows::new(ms(5), ms(10)).expect("legal");
            let merger = |one, two| format!("{one}|{two}");
            changes(two(b).windowed_by(windows).aggregate_merging(begin, merger, kept()));
        })
        .in_order()
        .without_headers(),
        Topology::new("cogroup-sliding", move |b| {
            changes(two(b).windowed_by(SlidingWindows::new(ms(10), ms(7))).aggregate(begin, kept()));
        })
        .in_order(),
        Topology::new("cogroup-rekeyed", move |b| {
            let right = stream(b, "b").group_by(|_, v| first_of(v));
            let left = stream(b, "a").group_by_key().cogroup(first_line);
            changes(left.cogroup(&right, second_line).aggregate(begin, kept()));
        })
        .one_by_one(),
    ];
    topologies.into_iter().map(|topology| topology.reads(&["a", "b"])).collect()
}
