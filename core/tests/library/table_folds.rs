//! Tables grouped by closures: what comes is added, what goes is subtracted, `None` deletes. Against a recomputation from the rows that are there.

use std::collections::BTreeMap;

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Produced, Tombstones},
    operator::EmitPolicy,
    testing::{DriverOptions, TopologyTestDriver},
    topology::Topology,
};
use proptest::prelude::*;

/// A change of a table: the key, then the number, or none where it is deleted. Its group is what is left when it is divided by three.
type Change = (u8, Option<i64>);

fn topology(tombstones: Tombstones) -> Topology {
    let builder = StreamsBuilder::new().with_tombstones(tombstones);
    let numbers = builder.table::<String, i64>("numbers", Consumed::kafka(), "numbers".into());
    let by_rest = numbers.group_by(|_, number| (number % 3, *number));
    by_rest.reduce(|all, one| all + one, |all, one| all - one, "sums").to_stream().to("sums", Produced::kafka());
    // How many and their sum; no row where there are none.
    let add = |_: &i64, number: i64, state: Option<String>| {
        let (count, sum) = parts(state.as_deref());
        Some(format!("{}:{}", count + 1, sum + number))
    };
    let subtract = |_: &i64, number: i64, state: Option<String>| {
        let (count, sum) = parts(state.as_deref());
        (count > 1).then(|| format!("{}:{}", count - 1, sum - number))
    };
    by_rest.aggregate(|| None, add, subtract, "states").to_stream().to("states", Produced::kafka());
    builder.build().expect("a legal topology")
}

fn parts(state: Option<&str>) -> (i64, i64) {
    let split = state.and_then(|state| state.split_once(':'));
    split.map_or((0, 0), |(count, sum)| (count.parse().expect("a count"), sum.parse().expect("a sum")))
}

type Table<V> = BTreeMap<i64, V>;

/// The tables that the updates of both topics end in.
fn run(changes: &[Change], emit: EmitPolicy, cut: usize, lives: usize) -> (Table<i64>, Table<String>) {
    let options = DriverOptions { emit, ..DriverOptions::default() };
    let mut driver = TopologyTestDriver::with_options(&topology(Tombstones::OfRows), options).expect("starts");
    let input = driver.input_topic::<String, i64>("numbers").expect("is read");
    for (number, part) in changes.chunks(cut).enumerate() {
        driver.pause();
        for (key, row) in part {
            match row {
                Some(row) => input.pipe(format!("k{key}"), *row),
                None => input.pipe_null_value(format!("k{key}")),
            }
            .expect("is piped");
        }
        driver.resume().expect("runs");
        if number % lives == lives - 1 {
            driver.restart().expect("starts again");
        }
    }
    let sums = driver.output_topic::<i64, i64>("sums").expect("is written");
    let sums = sums.read_key_values_to_list().expect("readable").into_iter();
    let states = driver.output_topic::<i64, Option<String>>("states").expect("is written");
    let mut table = Table::new();
    for (group, state) in states.read_key_values_to_list().expect("readable") {
        match state.flatten() {
            Some(state) => drop(table.insert(group, state)),
            None => assert!(table.remove(&group).is_some(), "only what was there is deleted"),
        }
    }
    (sums.map(|(group, sum)| (group, sum.expect("a sum stays"))).collect(), table)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn groups_are_what_their_rows_make(
        changes in prop::collection::vec((0_u8..5, prop::option::weighted(0.8, 0_i64..20)), 0..40),
        cut in 1_usize..12,
        lives in 1_usize..4,
    ) {
        let mut rows: BTreeMap<u8, i64> = BTreeMap::new();
        let mut met = std::collections::BTreeSet::new();
        for (key, row) in &changes {
            match row {
                Some(row) => { rows.insert(*key, *row); }
                None => { rows.remove(key); }
            }
            met.extend(row.map(|row| row % 3));
        }
        let of = |group: i64| rows.values().filter(move |number| *number % 3 == group);
        for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
            let (sums, states) = run(&changes, emit, cut, lives);
            for group in 0..3 {
                prop_assert_eq!(sums.get(&group).copied(), met.contains(&group).then(|| of(group).sum::<i64>()).filter(|_| emit == EmitPolicy::Record || sums.contains_key(&group)));
                let state = (of(group).count() > 0).then(|| format!("{}:{}", of(group).count(), of(group).sum::<i64>()));
                prop_assert_eq!(states.get(&group).cloned(), state, "{} group {}", emit, group);
            }
        }
    }
}

#[test]
fn tombstones_of_what_was_not_there_are_passed_on_only_if_they_are_asked_for() {
    let deletions = |tombstones: Tombstones| {
        let builder = StreamsBuilder::new().with_tombstones(tombstones);
        let numbers = builder.table::<String, i64>("numbers", Consumed::kafka(), "numbers".into());
        let never = |_: &i64, _: i64, _: Option<i64>| None;
        let grouped = numbers.group_by(|_, number| (number % 3, *number));
        grouped.aggregate(|| None::<i64>, never, never, "never").to_stream().to("never", Produced::kafka());
        // Of a table whose changes say what was there anyway a filter would know, here as in Kafka Streams.
        let others = builder.table::<String, i64>("others", Consumed::kafka(), "others".into());
        others.filter(|_, number| *number > 10).to_stream().to("big", Produced::kafka());
        let mut driver = TopologyTestDriver::new(&builder.build().expect("legal")).expect("starts");
        for topic in ["numbers", "others"] {
            let input = driver.input_topic::<String, i64>(topic).expect("is read");
            [1, 2, 30, 4].into_iter().for_each(|number| input.pipe("k", number).expect("is piped"));
        }
        (driver.drain("never").expect("readable").len(), driver.drain("big").expect("readable").len())
    };
    assert_eq!(deletions(Tombstones::OfRows), (0, 2), "30 came and went");
    // Each change of the group is told, moves between groups twice.
    assert_eq!(deletions(Tombstones::AsKafkaStreams), (7, 4));
}
