//! Updates of tables that are held back.

use std::time::Duration;

use millstream::{
    StreamsBuilder,
    dsl::{BufferLimit, Materialized, Suppressed},
    window::{SessionWindows, SlidingWindows, TimeWindows, Windows},
};

use super::topology::{Text, Topology, WindowedTable, changes, even, stream, table, text};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn tumbling(builder: &StreamsBuilder, grace: u64) -> WindowedTable<i64> {
    let windows = TimeWindows::tumbling(ms(10), ms(grace)).expect("legal");
    stream(builder, "a").group_by_key().windowed_by(windows).count(Materialized::default())
}

fn aggregated(builder: &StreamsBuilder, windows: impl Into<Windows>) -> WindowedTable<String> {
    let add = |_: &Text, value: Text, state: String| format!("{state}{}", text(&value));
    let windowed = stream(builder, "a").group_by_key().windowed_by(windows);
    windowed.aggregate_merging(String::new, add, |one, two| format!("{one}|{two}"), Materialized::default())
}

fn hopping(builder: &StreamsBuilder) -> WindowedTable<String> {
    aggregated(builder, TimeWindows::hopping(ms(10), ms(4), ms(7)).expect("legal"))
}

fn session(builder: &StreamsBuilder) -> WindowedTable<String> {
    aggregated(builder, SessionWindows::new(ms(5), ms(10)).expect("legal"))
}

fn closed<K>() -> Suppressed<millstream::dsl::Windowed<K>> {
    Suppressed::until_window_closes(BufferLimit::unbounded())
}

fn limit<K>(millis: u64) -> Suppressed<K> {
    Suppressed::until_time_limit(ms(millis), BufferLimit::unbounded())
}

pub(crate) fn topologies() -> Vec<Topology> {
    vec![
        Topology::new("suppress-tumbling", |b| changes(tumbling(b, 0).suppress(closed()))),
        Topology::new("suppress-tumbling-grace", |b| changes(tumbling(b, 7).suppress(closed()))),
        Topology::new("suppress-hopping", |b| changes(hopping(b).suppress(closed()))),
        Topology::new("suppress-session", |b| changes(session(b).suppress(closed()))).without_headers(),
        Topology::new("suppress-sliding", |b| {
            changes(aggregated(b, SlidingWindows::new(ms(10), ms(7))).suppress(closed()));
        }),
        Topology::new("suppress-mapped", |b| changes(hopping(b).map_values(|v| v + "!").suppress(closed()))),
        Topology::new("suppress-filtered", |b| changes(hopping(b).filter(|_, v| even(v)).suppress(closed()))),
        Topology::new("suppress-then-map-values", |b| changes(hopping(b).suppress(closed()).map_values(|v| v + "!"))),
        Topology::new("suppress-limit-windowed", |b| changes(tumbling(b, 7).suppress(limit(6)))),
        Topology::new("suppress-limit-session", |b| changes(session(b).suppress(limit(6)))).without_headers(),
        Topology::new("suppress-limit-table", |b| changes(table(b, "a").suppress(limit(8)))),
        Topology::new("suppress-no-limit", |b| changes(table(b, "a").suppress(limit(0)))),
        Topology::new("suppress-limit-records", |b| {
            let two = BufferLimit::max_records(2);
            changes(table(b, "a").suppress(Suppressed::until_time_limit(ms(20), two)));
        }),
        Topology::new("suppress-limit-filtered", |b| {
            changes(table(b, "a").filter(|_, v| even(v)).suppress(limit(8)));
        }),
    ]
}
