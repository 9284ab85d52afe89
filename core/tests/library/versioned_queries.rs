//! Questions about versions of rows, against a map of all of them.

use std::collections::BTreeMap;

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Materialized},
    log::partition_for_key,
    query::{KeyQuery, MultiVersionedKeyQuery, ReadOnlyStore, VersionedKeyQuery, VersionedRecord},
    record::TimeSpan,
    testing::{DriverOptions, TopologyTestDriver},
    topology::Topology,
};
use proptest::prelude::*;

const HISTORY: i64 = 60;

fn prices() -> Topology {
    let builder = StreamsBuilder::new();
    let kept = Materialized::named("prices").versioned(TimeSpan::from_millis(HISTORY).expect("not negative"));
    builder.table::<String, i64>("prices", Consumed::kafka(), kept);
    builder.build().expect("legal")
}

/// The puts of one partition, by key and time; the last one of a time counts. And stream time.
#[derive(Default, Clone)]
struct Model {
    puts: BTreeMap<String, BTreeMap<i64, Option<i64>>>,
    stream_time: i64,
}

impl Model {
    fn put(&mut self, key: &str, value: Option<i64>, time: i64) {
        if time >= self.stream_time - HISTORY {
            self.stream_time = self.stream_time.max(time);
            self.puts.entry(key.to_owned()).or_default().insert(time, value);
        }
    }

    /// Value, since when, until when.
    fn versions(&self, key: &str) -> Vec<(i64, i64, Option<i64>)> {
        let Some(puts) = self.puts.get(key) else { return Vec::new() };
        let ends = puts.keys().skip(1).map(|end| Some(*end)).chain([None]);
        puts.iter().zip(ends).filter_map(|((from, value), to)| Some(((*value)?, *from, to))).collect()
    }

    /// Whether what held at `time` is known for certain: it holds still, or is within the history.
    fn knows(&self, time: i64, to: Option<i64>) -> bool {
        to.is_none() || time >= self.stream_time - HISTORY
    }
}

fn seen(version: VersionedRecord<i64>) -> (i64, i64, Option<i64>) {
    (version.value, version.timestamp.millis(), version.valid_to.map(|time| time.millis()))
}

fn check(store: &ReadOnlyStore<String, i64>, models: &[Model], times: (i64, i64)) {
    for number in 0..4 {
        let key = format!("k{number}");
        let model = &models[partition_for_key(key.as_bytes(), models.len() as u32).0 as usize];
        let versions = model.versions(&key);
        let newest = versions.iter().find(|(.., to)| to.is_none());
        let found = store.query(KeyQuery::with_key(key.as_str())).expect("readable").result;
        assert_eq!(found.map(|found| found.value), newest.map(|(value, ..)| *value));
        let found = store.query(VersionedKeyQuery::with_key(key.as_str())).expect("readable").result;
        assert_eq!(found.map(seen), newest.copied());
        for time in [times.0, times.1, model.stream_time, model.stream_time - HISTORY] {
            let held = versions.iter().find(|(_, from, to)| *from <= time && to.is_none_or(|to| time < to));
            let held = held.filter(|(.., to)| model.knows(time, *to));
            let found = store.query(VersionedKeyQuery::with_key(key.as_str()).as_of(time)).expect("readable").result;
            assert_eq!(found.map(seen), held.copied(), "{key} at {time}");
        }
        let oldest = model.stream_time - HISTORY;
        let (from, to) = (times.0.min(times.1).max(oldest), times.0.max(times.1).max(oldest));
        let query = MultiVersionedKeyQuery::with_key(key.as_str()).from_time(from).to_time(to);
        let held =
            |(_, since, until): &&(i64, i64, Option<i64>)| *since <= to && until.is_none_or(|until| from < until);
        let expected: Vec<_> = versions.iter().filter(held).copied().collect();
        let found = store.query(query.clone()).expect("readable").result;
        assert_eq!(found.into_iter().map(seen).collect::<Vec<_>>(), expected, "{key} from {from} to {to}");
        let newest_first = store.query(query.with_descending_timestamps()).expect("readable").result;
        assert!(newest_first.into_iter().map(seen).eq(expected.into_iter().rev()));
    }
}

fn run(options: DriverOptions, steps: &[(u8, Option<i64>, i64)], times: (i64, i64)) {
    let mut models = vec![Model::default(); options.partitions as usize];
    let driver = TopologyTestDriver::with_options(&prices(), options).expect("starts");
    let topic = driver.input_topic::<String, i64>("prices").expect("is read");
    for (number, (key, value, time)) in steps.iter().enumerate() {
        let key = format!("k{key}");
        match value {
            Some(value) => topic.pipe_at(key.as_str(), *value, *time).expect("works"),
            None => topic.pipe_null_value_at(key.as_str(), *time).expect("works"),
        }
        let partition = partition_for_key(key.as_bytes(), models.len() as u32).0;
        models[partition as usize].put(&key, *value, *time);
        if number % 20 == 10 {
            driver.checkpoint().expect("writes");
            driver.restart().expect("starts again");
        }
    }
    check(&driver.store::<String, i64>("prices").expect("is there"), &models, times);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn versions_are_those_of_a_map(
        steps in prop::collection::vec((0_u8..4, prop::option::weighted(0.8, 0_i64..100), 0_i64..200), 1..50),
        times in (0_i64..200, 0_i64..200),
        partitions in 1_u32..4,
    ) {
        run(DriverOptions { partitions, ..DriverOptions::default() }, &steps, times);
    }
}

#[test]
fn versions_on_disk_are_those_of_a_map() {
    let directory = tempfile::tempdir().expect("made");
    let steps: Vec<(u8, Option<i64>, i64)> = (0..80_i64)
        .map(|step| ((step * 7 % 4) as u8, (step % 5 != 4).then_some(step), step * 3 + (step * 31 % 17)))
        .collect();
    let state_directory = Some(directory.path().to_path_buf());
    run(DriverOptions { partitions: 2, state_directory, ..DriverOptions::default() }, &steps, (200, 230));
}

#[test]
fn a_table_without_versions_says_so() {
    let builder = StreamsBuilder::new();
    builder.table::<String, i64>("prices", Consumed::kafka(), Materialized::named("prices"));
    let driver = TopologyTestDriver::new(&builder.build().expect("legal")).expect("starts");
    let store = driver.store::<String, i64>("prices").expect("is there");
    let error = store.query(VersionedKeyQuery::with_key("tea")).err().map(|error| error.to_string());
    assert_eq!(
        error.as_deref(),
        Some(
            "store prices holds one row a key without its versions and knows no answer to VersionedKeyQuery; ask KeyQuery, \
             KeysQuery or RangeQuery, or make the table versioned"
        )
    );
}
