//! Joins against recomputation: a model that knows no store, no batch and no commit, over random input.

use std::collections::BTreeMap;

use millstream::{
    StreamsBuilder,
    dsl::{Materialized, Produced},
    expression::col,
    operator::{EmitPolicy, JoinKind, StreamJoinKind, TableJoinKind},
    testing::TopologyTestDriver,
    topology::Topology,
    window::JoinWindows,
};
use proptest::prelude::*;

use crate::join_sequences::{FORMATS, Push, drained, names, options, record, span, stream, table};

/// A record of one side: whether it is the left one, key, value, timestamp. A null value is none.
type Input = (bool, u8, Option<u8>, i64);

#[derive(Debug, Clone, Copy)]
struct Case {
    kind: StreamJoinKind,
    before: i64,
    after: i64,
    grace: Option<i64>,
}

/// A stream-stream join as Kafka Streams does it, by scanning everything.
#[derive(Default)]
struct StreamModel {
    /// Key, timestamp, value of what was taken in, by side.
    records: [Vec<(u8, i64, u8)>; 2],
    clocks: [i64; 2],
    /// By timestamp, side (the right one first) and key.
    waiting: BTreeMap<(i64, bool, u8), Vec<u8>>,
    out: Vec<String>,
}

impl StreamModel {
    fn emit(&mut self, key: u8, left: Option<u8>, right: Option<u8>, time: i64) {
        let text = |value: Option<u8>| value.map(|value| value.to_string()).unwrap_or_default();
        self.out.push(format!("{key} {},{}@{time}", text(left), text(right)));
    }

    fn alone(&mut self, is_left: bool, key: u8, value: u8, time: i64) {
        let (left, right) = if is_left { (Some(value), None) } else { (None, Some(value)) };
        self.emit(key, left, right, time);
    }

    fn push(&mut self, case: Case, (is_left, key, value, time): Input) {
        let own = usize::from(!is_left);
        self.clocks[own] = self.clocks[own].max(time);
        let Some(value) = value else { return };
        let is_outer = match case.kind {
            StreamJoinKind::Inner => false,
            StreamJoinKind::Left => is_left,
            StreamJoinKind::Right => !is_left,
            StreamJoinKind::Outer => true,
        };
        let ahead = |is_left: bool| if is_left { case.after } else { case.before };
        let (from, to) = (time - ahead(!is_left), time + ahead(is_left));
        let retention = case.before + case.after + case.grace.unwrap_or(86_400_000);
        let other = usize::from(is_left);
        let now = self.clocks[0].max(self.clocks[1]);
        if let (Some(grace), true) = (case.grace, time == now) {
            let closed = |&(time, is_left, _): &(i64, bool, u8)| time + ahead(is_left) + grace < now;
            let released: Vec<_> = self.waiting.keys().filter(|name| closed(name)).copied().collect();
            for name in released {
                for value in self.waiting.remove(&name).unwrap_or_default() {
                    self.alone(name.1, name.2, value, name.0);
                }
            }
        }
        let visible = self.clocks[other] - retention;
        let reachable = self.records[other].iter().filter(|(other_key, other_time, _)| {
            *other_key == key && (from..=to).contains(other_time) && *other_time > visible
        });
        let mut met: Vec<_> = reachable.copied().collect();
        met.sort_by_key(|(_, time, _)| *time);
        for &(_, other_time, other_value) in &met {
            self.waiting.remove(&(other_time, !is_left, key));
            let (left, right) = if is_left { (value, other_value) } else { (other_value, value) };
            self.emit(key, Some(left), Some(right), time.max(other_time));
        }
        if met.is_empty() && is_outer {
            if case.grace.is_none() || to < now {
                self.alone(is_left, key, value, time);
            } else {
                self.waiting.entry((time, is_left, key)).or_default().push(value);
            }
        }
        if time > self.clocks[own] - retention {
            self.records[own].push((key, time, value));
        }
    }
}

fn streams(case: Case) -> Topology {
    let builder = StreamsBuilder::new();
    let (left, right) = (stream(&builder, "left"), stream(&builder, "right"));
    let windows = JoinWindows::new(span(case.before), span(case.after));
    let windows = case.grace.map_or(windows, |grace| windows.with_grace(span(grace)));
    left.join_stream(&right, case.kind, windows, &names(&["l", "r"])).to("out", Produced::of(FORMATS));
    builder.build().expect("legal")
}

fn push(driver: &mut TopologyTestDriver, &(is_left, key, value, time): &Input) {
    let (key, value) = (key.to_string(), value.map(|value| value.to_string()));
    let topic = if is_left { "left" } else { "right" };
    let push: Push<'_> = (topic, Some(&key), value.as_deref(), time);
    driver.push(topic, record(&push)).expect("runs");
}

fn inputs(times: std::ops::Range<i64>) -> impl Strategy<Value = Vec<Input>> {
    let value = prop_oneof![9 => any::<u8>().prop_map(Some), 1 => Just(None)];
    prop::collection::vec((any::<bool>(), 0..3_u8, value, times), 1..60)
}

fn cases() -> impl Strategy<Value = Case> {
    let kind = prop::sample::select(vec![
        StreamJoinKind::Inner,
        StreamJoinKind::Left,
        StreamJoinKind::Right,
        StreamJoinKind::Outer,
    ]);
    let grace = prop::option::of(0..30_i64);
    (kind, 0..20_i64, 0..20_i64, grace).prop_map(|(kind, before, after, grace)| Case { kind, before, after, grace })
}

/// The last value of each key, without what is gone.
fn folded(lines: &[String]) -> BTreeMap<String, String> {
    let mut rows = BTreeMap::new();
    for line in lines {
        let (key, rest) = line.split_once(' ').expect("a key");
        let (value, time) = rest.rsplit_once('@').expect("a time");
        match value {
            "-" => rows.remove(key),
            _ => rows.insert(key.to_owned(), format!("{value}@{time}")),
        };
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn streams_join_as_in_the_model(case in cases(), inputs in inputs(0..100), restart in 0..60_usize) {
        let mut model = StreamModel { clocks: [i64::MIN / 2; 2], ..StreamModel::default() };
        inputs.iter().for_each(|input| model.push(case, *input));
        let topology = streams(case);
        for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
            let mut driver = TopologyTestDriver::with(&topology, 1, emit).expect("can be run");
            for (number, input) in inputs.iter().enumerate() {
                push(&mut driver, input);
                if number == restart {
                    driver.restart().expect("starts again");
                }
            }
            prop_assert_eq!(&drained(&mut driver), &model.out);
        }
    }

    #[test]
    fn cuts_change_nothing_where_time_does_not_go_back(case in cases(), mut inputs in inputs(0..200), cut in 0..60_usize) {
        // Of one time the left topic comes first.
        inputs.sort_by_key(|&(is_left, _, _, time)| (time, !is_left));
        let cut = cut.min(inputs.len());
        let same_time = |cut: usize| cut > 0 && inputs.get(cut).is_some_and(|next| next.3 == inputs[cut - 1].3);
        let cut = (cut..).find(|&cut| !same_time(cut)).unwrap_or(0);
        let mut model = StreamModel { clocks: [i64::MIN / 2; 2], ..StreamModel::default() };
        inputs.iter().for_each(|input| model.push(case, *input));
        let mut driver = TopologyTestDriver::with(&streams(case), 1, EmitPolicy::Commit).expect("can be run");
        for part in [&inputs[..cut], &inputs[cut..]] {
            driver.pause();
            part.iter().for_each(|input| push(&mut driver, input));
            driver.resume().expect("runs");
        }
        prop_assert_eq!(&drained(&mut driver), &model.out);
    }

    #[test]
    fn tables_join_to_what_their_last_rows_give(inputs in inputs(0..100), cut in 0..60_usize, partitions in 1..4_u32) {
        for kind in [TableJoinKind::Inner, TableJoinKind::Left, TableJoinKind::Right, TableJoinKind::Outer] {
            let builder = StreamsBuilder::new();
            let (left, right) = (table(&builder, "left"), table(&builder, "right"));
            let joined = left.join_table(&right, kind, &names(&["l", "r"]));
            joined.to_stream().to("out", Produced::of(FORMATS));
            let kept = joined.filter(&col("l").is_not_null());
            kept.to_stream().to("filtered", Produced::of(FORMATS));
            let topology = builder.build().expect("legal");
            let mut last: [BTreeMap<u8, (u8, i64)>; 2] = Default::default();
            for &(is_left, key, value, time) in &inputs {
                let rows = &mut last[usize::from(!is_left)];
                match value {
                    Some(value) => rows.insert(key, (value, time)),
                    None => rows.remove(&key),
                };
            }
            let mut expected = BTreeMap::new();
            for key in 0..3_u8 {
                let (left, right) = (last[0].get(&key), last[1].get(&key));
                let is_there = match kind {
                    TableJoinKind::Inner => left.is_some() && right.is_some(),
                    TableJoinKind::Left => left.is_some(),
                    TableJoinKind::Right => right.is_some(),
                    TableJoinKind::Outer => left.is_some() || right.is_some(),
                };
                let text = |row: Option<&(u8, i64)>| row.map(|(value, _)| value.to_string()).unwrap_or_default();
                if is_there {
                    expected.insert(key.to_string(), format!("{},{}", text(left), text(right)));
                }
            }
            for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
                let mut driver = TopologyTestDriver::with(&topology, partitions, emit).expect("can be run");
                let cut = cut.min(inputs.len());
                for part in [&inputs[..cut], &inputs[cut..]] {
                    driver.pause();
                    part.iter().for_each(|input| push(&mut driver, input));
                    driver.resume().expect("runs");
                    driver.restart().expect("starts again");
                }
                let values = |rows: BTreeMap<String, String>| -> BTreeMap<String, String> {
                    rows.into_iter().map(|(key, row)| (key, row.split('@').next().unwrap_or_default().to_owned())).collect()
                };
                prop_assert_eq!(values(folded(&drained(&mut driver))), expected.clone());
            }
        }
    }

    #[test]
    fn foreign_keys_join_to_what_the_last_rows_give(
        inputs in prop::collection::vec((any::<bool>(), 0..6_u8, prop::option::weighted(0.85, 0..4_u8), 0..100_i64), 1..60),
        cut in 0..60_usize,
        partitions in 1..4_u32,
    ) {
        for kind in [JoinKind::Inner, JoinKind::Left] {
            let builder = StreamsBuilder::new();
            let left = builder.table_columns("left", options(&["fk"]), Materialized::named("left"));
            let joined = left.join_foreign(&table(&builder, "right"), &[col("fk")], kind, &names(&["fk", "r"]));
            joined.to_stream().to("out", Produced::of(FORMATS));
            let topology = builder.build().expect("legal");
            let mut last: [BTreeMap<u8, u8>; 2] = Default::default();
            for &(is_left, key, value, _) in &inputs {
                let rows = &mut last[usize::from(!is_left)];
                match value {
                    Some(value) => rows.insert(key, value),
                    None => rows.remove(&key),
                };
            }
            let mut expected = BTreeMap::new();
            for (key, foreign) in &last[0] {
                match (last[1].get(foreign), kind) {
                    (Some(right), _) => drop(expected.insert(key.to_string(), format!("{foreign},{right}"))),
                    (None, JoinKind::Left) => drop(expected.insert(key.to_string(), format!("{foreign},"))),
                    (None, JoinKind::Inner) => {}
                }
            }
            for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
                let mut driver = TopologyTestDriver::with(&topology, partitions, emit).expect("can be run");
                let cut = cut.min(inputs.len());
                for part in [&inputs[..cut], &inputs[cut..]] {
                    driver.pause();
                    part.iter().for_each(|input| push(&mut driver, input));
                    driver.resume().expect("runs");
                    driver.restart().expect("starts again");
                }
                let rows = folded(&drained(&mut driver)).into_iter();
                let rows = rows.map(|(key, row)| (key, row.split('@').next().unwrap_or_default().to_owned()));
                prop_assert_eq!(rows.collect::<BTreeMap<_, _>>(), expected.clone());
            }
        }
    }
}
