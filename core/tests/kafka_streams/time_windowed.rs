//! Aggregations over windows whose bounds lie in the time line or follow from the records, and their final results.

use std::time::Duration;

use millstream::{
    StreamsBuilder,
    dsl::{KWindowedStream, Materialized},
    record::Timestamp,
    window::{EmitStrategy, SlidingWindows, TimeWindows, Windows},
};

use super::topology::{Text, Topology, changes, first_of, stream, text};

/// A kind of window by the name of its topologies.
#[derive(Clone)]
struct By {
    name: &'static str,
    windows: Windows,
}

impl By {
    fn stream(&self, builder: &StreamsBuilder) -> KWindowedStream<Text, Text> {
        stream(builder, "a").group_by_key().windowed_by(self.windows.clone())
    }

    fn counted(&self) -> Topology {
        let by = self.clone();
        Topology::new(format!("{}-count", self.name), move |b| changes(by.stream(b).count(Materialized::default())))
    }

    fn reduced(&self) -> Topology {
        let by = self.clone();
        let reducer = |state: Text, v: Text| Some(format!("{}{}", text(&state), text(&v)));
        Topology::new(format!("{}-reduce", self.name), move |b| {
            changes(by.stream(b).reduce(reducer, Materialized::default()));
        })
    }

    fn aggregated(&self) -> Topology {
        let by = self.clone();
        Topology::new(format!("{}-aggregate", self.name), move |b| {
            changes(by.stream(b).aggregate(String::new, add, Materialized::default()));
        })
    }

    fn when_closed(&self) -> Topology {
        let by = self.clone();
        Topology::new(format!("{}-final", self.name), move |b| {
            changes(by.stream(b).emit_strategy(EmitStrategy::OnCloseIfKept).aggregate(
                String::new,
                add,
                Materialized::default(),
            ));
        })
        .without_headers()
    }
}

fn add(_: &Text, value: Text, state: String) -> String {
    format!("{state}{}", text(&value))
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn tumbling(name: &'static str, size: u64, grace: u64) -> By {
    By { name, windows: TimeWindows::tumbling(ms(size), ms(grace)).expect("legal").into() }
}

fn hopping(name: &'static str, size: u64, advance: u64, grace: u64) -> By {
    By { name, windows: TimeWindows::hopping(ms(size), ms(advance), ms(grace)).expect("legal").into() }
}

fn sliding(name: &'static str, difference: u64, grace: u64) -> By {
    By { name, windows: SlidingWindows::new(ms(difference), ms(grace)).into() }
}

fn unlimited(name: &'static str, start: i64) -> By {
    By { name, windows: TimeWindows::unlimited(Timestamp(start)).into() }
}

pub(crate) fn topologies() -> Vec<Topology> {
    vec![
        tumbling("tumbling", 10, 0).counted(),
        tumbling("tumbling-grace", 10, 7).counted(),
        tumbling("tumbling-grace", 10, 7).reduced(),
        tumbling("tumbling-grace", 10, 7).aggregated(),
        tumbling("tumbling", 10, 0).when_closed(),
        tumbling("tumbling-grace", 10, 7).when_closed(),
        hopping("hopping", 10, 4, 0).counted(),
        hopping("hopping-grace", 10, 4, 7).aggregated(),
        hopping("hopping-half", 12, 6, 5).reduced(),
        hopping("hopping-grace", 10, 4, 7).when_closed(),
        Topology::new("tumbling-filter", |b| {
            let counts = tumbling("", 10, 7).stream(b).count(Materialized::default());
            changes(counts.filter(|_, n| n % 3 == 2));
        }),
        Topology::new("tumbling-map-values", |b| {
            let counts = tumbling("", 10, 7).stream(b).count(Materialized::default());
            changes(counts.map_values(|n| format!("n{n}")));
        }),
        Topology::new("tumbling-rekeyed-count", |b| {
            let counts = tumbling("", 10, 7).stream(b).count(Materialized::default());
            let rekeyed = counts.to_stream().select_key(|windowed, _| windowed.key.clone());
            changes(rekeyed.group_by_key().count(Materialized::default()));
        }),
        // A count would not do: Kafka Streams says that a window that is new was at the initial value before, so that its count never grows.
        Topology::new("tumbling-group-by-key-sum", |b| {
            let counts = tumbling("", 10, 7).stream(b).count(Materialized::default());
            let grouped = counts.group_by(|windowed, n| (windowed.key.clone(), *n));
            changes(grouped.aggregate(|| 0_i64, |_, n, sum| sum + n, |_, n, sum| sum - n, Materialized::default()));
        }),
        sliding("sliding", 10, 0).counted(),
        sliding("sliding-grace", 10, 7).counted(),
        sliding("sliding-grace", 10, 7).aggregated(),
        sliding("sliding-grace", 6, 20).reduced(),
        sliding("sliding-grace", 10, 7).when_closed(),
        unlimited("unlimited", 20).counted(),
        unlimited("unlimited", 0).aggregated(),
        Topology::new("tumbling-group-by-count", |b| {
            let windows = tumbling("", 10, 7).windows;
            let grouped = stream(b, "a").group_by(|_, v| first_of(v)).windowed_by(windows);
            changes(grouped.count(Materialized::default()));
        }),
    ]
}
