//! Processors: what they forward, drop and keep, against a model, under every way of cutting and running.

use std::{
    collections::BTreeMap,
    ops::{Bound, ControlFlow},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use millstream::{
    StreamsBuilder,
    dsl::{
        Consumed, KeyValueStore, Materialized, Processor, ProcessorContext, ProcessorError, ProcessorRecord, Produced,
        Stores,
    },
    operator::{EmitPolicy, Reason},
    record::{Header, Record, Timestamp},
    testing::{CommitPolicy, DriverOptions, TopologyTestDriver},
    topology::Topology,
};
use proptest::prelude::*;

fn text(bytes: Option<Vec<u8>>) -> String {
    bytes.map_or("-".to_owned(), |bytes| String::from_utf8(bytes).expect("text"))
}

fn rows(driver: &mut TopologyTestDriver, topic: &str) -> Vec<(String, String, i64)> {
    let row = |record: Record| (text(record.key), text(record.value), record.timestamp.millis());
    driver.drain(topic).expect("a topic").into_iter().map(row).collect()
}

fn with_emit(topology: &Topology, emit: EmitPolicy) -> TopologyTestDriver {
    TopologyTestDriver::with(topology, 1, emit).expect("can be run")
}

/// Counts values of each key, and forwards each value with its count and the stream time; `drop` is dropped.
fn counting(stores: impl Fn(&StreamsBuilder) -> KeyValueStore<String, i64>) -> Topology {
    let builder = StreamsBuilder::new();
    let counts = stores(&builder);
    let store = counts.clone();
    let lines = builder.stream::<String, String>("in", Consumed::kafka());
    let passed = lines.filter(|_, line| line != "filtered");
    let counted = passed.process_each(
        move |record, context| {
            if record.value == "drop" {
                context.drop_record("told to");
                return Ok(());
            }
            let mut counts = context.store(&store)?;
            let count = counts.get(&record.value)?.unwrap_or(0) + 1;
            match record.value.as_str() {
                "fail" => return Err("cannot".into()),
                "reset" => {
                    for (key, _) in counts.all()? {
                        counts.delete(&key)?;
                    }
                }
                _ => counts.put(&record.value, &count)?,
            }
            let value = format!("{count} at {}", context.current_stream_time().millis());
            context.forward(ProcessorRecord::new(record.value.clone(), value.clone(), record.timestamp));
            if count % 3 == 0 {
                context.forward(record.with_value(value));
            }
            Ok(())
        },
        &[&counts],
    );
    counted.to("out", Produced::kafka());
    builder.build().expect("legal")
}

fn model(inputs: &[(u8, i64)]) -> Vec<(String, String, i64)> {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    let (mut stream_time, mut out) = (i64::MIN, Vec::new());
    for &(value, time) in inputs {
        stream_time = stream_time.max(time);
        let value = VALUES[usize::from(value)];
        if ["drop", "fail", "filtered"].contains(&value) {
            continue;
        }
        let count = counts.get(value).copied().unwrap_or(0) + 1;
        if value == "reset" {
            counts.clear();
        } else {
            counts.insert(value, count);
        }
        let made = format!("{count} at {stream_time}");
        out.push((value.to_owned(), made.clone(), time));
        if count % 3 == 0 {
            out.push(("k".to_owned(), made, time));
        }
    }
    out
}

const VALUES: [&str; 7] = ["a", "b", "c", "drop", "fail", "reset", "filtered"];

fn records(inputs: &[(u8, i64)]) -> Vec<Record> {
    inputs.iter().map(|&(value, time)| Record::new("k", VALUES[usize::from(value)]).at_ms(time)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn cuts_restarts_and_crashes_change_nothing(
        inputs in prop::collection::vec((0_u8..7, 0_i64..50), 0..40),
        cut in 1_usize..12,
        lives in 1_usize..4,
    ) {
        let in_memory = |builder: &StreamsBuilder| builder.add_state_store(Stores::key_value("counts").in_memory());
        let on_disk = |builder: &StreamsBuilder| builder.add_state_store(Stores::key_value("counts"));
        for (topology, emit) in [(counting(in_memory), EmitPolicy::Record), (counting(on_disk), EmitPolicy::Commit)] {
            let options = DriverOptions { emit, commit: CommitPolicy::ByHand, ..DriverOptions::default() };
            let mut driver = TopologyTestDriver::with_options(&topology, options).expect("can be run");
            for (number, part) in inputs.chunks(cut).enumerate() {
                driver.push_all("in", records(part)).expect("runs");
                match number % (lives + 1) {
                    0 => driver.commit().expect("commits"),
                    1 => driver.restart().expect("starts again"),
                    _ => {}
                }
            }
            driver.commit().expect("commits");
            prop_assert_eq!(rows(&mut driver, "out"), model(&inputs));
            let dead = inputs.iter().filter(|(value, _)| [3, 4].contains(value)).count();
            prop_assert_eq!(driver.dead_letters().expect("a topic").len(), dead);
        }
    }
}

#[test]
fn dropped_and_failed_records_say_why() {
    let topology = counting(|builder| builder.add_state_store(Stores::key_value("counts")));
    let mut driver = with_emit(&topology, EmitPolicy::Record);
    driver.push_all("in", records(&[(3, 1), (4, 2)])).expect("runs");
    let letters = driver.dead_letters().expect("a topic");
    let header = |record: &Record, name: &str| {
        let header = record.headers.iter().find(|header| header.name == format!("millstream.{name}"));
        text(header.and_then(|header| header.value.clone()))
    };
    let seen: Vec<_> = letters.iter().map(|record| (header(record, "reason"), header(record, "problem"))).collect();
    assert_eq!(seen, [("dropped", "told to"), ("processor", "cannot")].map(|(a, b)| (a.to_owned(), b.to_owned())));
    assert_eq!(header(&letters[1], "offset"), "1");
    assert_eq!(driver.metrics().dead_letters, [(Reason::Processor, 1), (Reason::Dropped, 1)]);
}

#[test]
fn a_supplier_makes_a_processor_a_task_and_closes_it() {
    struct Counted(Arc<AtomicUsize>);
    impl Processor<String, String, String, String> for Counted {
        fn init(&mut self, _: &mut ProcessorContext<'_, String, String>) -> Result<(), ProcessorError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
        fn process(
            &mut self,
            record: ProcessorRecord<String, String>,
            context: &mut ProcessorContext<'_, String, String>,
        ) -> Result<(), ProcessorError> {
            let task = context.task_id().to_string();
            context.forward(record.with_value(task));
            Ok(())
        }
        fn close(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let alive = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&alive);
    let builder = StreamsBuilder::new();
    let lines = builder.stream::<String, String>("in", Consumed::kafka());
    lines.process(move || Counted(Arc::clone(&counted)), &[]).to("out", Produced::kafka());
    let topology = builder.build().expect("legal");
    let mut driver = TopologyTestDriver::with(&topology, 3, EmitPolicy::Commit).expect("can be run");
    assert_eq!(alive.load(Ordering::SeqCst), 3);
    let keys = ["a", "b", "c", "d", "e", "f", "g"];
    driver.push_all("in", keys.map(|key| Record::new(key, "x"))).expect("runs");
    let mut tasks: Vec<String> = rows(&mut driver, "out").into_iter().map(|(_, task, _)| task).collect();
    tasks.sort();
    tasks.dedup();
    assert_eq!(tasks, ["0_0", "0_1", "0_2"]);
    drop(driver);
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

#[test]
fn ranges_come_in_the_order_of_keys_with_what_was_just_written() {
    let builder = StreamsBuilder::new();
    let numbers = builder.add_state_store(Stores::key_value::<i64, String>("numbers"));
    let store = numbers.clone();
    builder
        .stream::<String, i64>("in", Consumed::kafka())
        .process_each(
            move |record, context| {
                let mut rows = context.store(&store)?;
                assert_eq!(rows.put_if_absent(&record.value, &record.key)?, None);
                let there = rows.get_with_timestamp(&record.value)?;
                assert_eq!(there.map(|(_, at)| at), Some(record.timestamp));
                let keys = |rows: Vec<(i64, String)>| rows.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
                let mut first = Vec::new();
                rows.scan(.., |key, _| {
                    first.push(key);
                    if first.len() < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                })?;
                let value = format!(
                    "{:?} {:?} {:?} {:?} {first:?}",
                    keys(rows.all()?),
                    keys(rows.range(-5..5)?),
                    keys(rows.range((Bound::Excluded(-5), Bound::Included(5)))?),
                    keys(rows.reverse_range(1..)?),
                );
                context.forward(record.with_value(value));
                Ok(())
            },
            &[&numbers],
        )
        .to("out", Produced::kafka());
    let mut driver = with_emit(&builder.build().expect("legal"), EmitPolicy::Record);
    let record = |value: i64, time| Record::new("k", value.to_be_bytes()).at_ms(time);
    driver.push_all("in", [5, -5, 700, -300].map(|value| record(value, 9))).expect("runs");
    driver.push("in", record(1, 10)).expect("runs");
    let last = rows(&mut driver, "out").pop().expect("a row");
    assert_eq!(last.1, "[-300, -5, 1, 5, 700] [-5, 1] [1, 5] [700, 5, 1] [-300, -5]");
    assert_eq!(driver.view("numbers").expect("a view")[0].num_rows(), 5);
}

#[test]
fn long_ranges_are_read_to_their_end() {
    let builder = StreamsBuilder::new();
    let all = builder.add_state_store(Stores::key_value::<i64, i64>("all"));
    let store = all.clone();
    let counted = builder.stream::<String, i64>("in", Consumed::kafka()).process_values_each(
        move |record, context| {
            context.store(&store)?.put(record.value(), &0)?;
            let count = context.store(&store)?.all()?.len() as i64;
            context.forward(record.with_value(count));
            Ok(())
        },
        &[&all],
    );
    counted.to("out", Produced::kafka());
    let mut driver = with_emit(&builder.build().expect("legal"), EmitPolicy::Commit);
    let record = |value: i64| Record::new("k", value.to_be_bytes());
    driver.push_all("in", (0..600).map(record)).expect("runs");
    let counts: Vec<_> = driver.drain("out").expect("a topic").into_iter().filter_map(|record| record.value).collect();
    assert_eq!(counts, (1..=600_i64).map(|count| count.to_be_bytes().to_vec()).collect::<Vec<_>>());
}

#[test]
fn processors_that_share_a_store_see_each_others_writes_record_by_record() {
    for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
        let builder = StreamsBuilder::new();
        let last = builder.add_state_store(Stores::key_value::<String, String>("last"));
        let (writes, reads) = (last.clone(), last.clone());
        let lines = builder.stream::<String, String>("in", Consumed::kafka());
        let written = lines.process_values_each(
            move |record, context| {
                context.store(&writes)?.put(&"last".to_owned(), record.value())?;
                context.forward(record);
                Ok(())
            },
            &[&last],
        );
        let read = written.process_values_each(
            move |record, context| {
                let last = context.store(&reads)?.get(&"last".to_owned())?.unwrap_or_default();
                context.forward(record.map_value(|value| format!("{value}={last}")));
                Ok(())
            },
            &[&last],
        );
        read.to("out", Produced::kafka());
        let mut driver = with_emit(&builder.build().expect("legal"), emit);
        driver.push_all("in", ["a", "b", "c"].map(|line| Record::new("k", line))).expect("runs");
        let values: Vec<String> = rows(&mut driver, "out").into_iter().map(|row| row.1).collect();
        assert_eq!(values, ["a=a", "b=b", "c=c"]);
    }
}

#[test]
fn headers_timestamps_and_keys_can_be_set() {
    let builder = StreamsBuilder::new();
    let lines = builder.stream::<String, String>("in", Consumed::kafka());
    let made = lines.process_each(
        |record, context| {
            let mut headers = record.headers.clone();
            headers.push(Header { name: "seen".to_owned(), value: None });
            let moved = Timestamp(record.timestamp.millis() + 5);
            context.forward(record.with_headers(headers).with_timestamp(moved).with_key(7_i64));
            Ok(())
        },
        &[],
    );
    made.to("out", Produced::kafka());
    let mut driver = with_emit(&builder.build().expect("legal"), EmitPolicy::Commit);
    let header = |name: &str| Header { name: name.to_owned(), value: None };
    driver.push("in", Record { headers: vec![header("first")], ..Record::new("k", "x").at_ms(3) }).expect("runs");
    let out = driver.drain("out").expect("a topic");
    let expected = Record { headers: vec![header("first"), header("seen")], ..Record::new(7_i64.to_be_bytes(), "x") };
    assert_eq!(out, [expected.at_ms(8)]);
}

#[test]
fn a_store_without_changelog_is_empty_after_a_restart() {
    let builder = StreamsBuilder::new();
    let lines = builder.stream::<String, String>("in", Consumed::kafka()).group_by_key();
    lines.count(Materialized::named("kept").in_memory()).to_stream().to("kept-out", Produced::kafka());
    let since_start = Materialized::named("since-start").with_logging_disabled();
    lines.count(since_start).to_stream().to("since-start-out", Produced::kafka());
    let topology = builder.build().expect("legal");
    assert!(!topology.describe().contains("since-start-changelog"), "{}", topology.describe());
    let directory = tempfile::tempdir().expect("a directory");
    for state_directory in [None, Some(directory.path().to_owned())] {
        let options = DriverOptions { state_directory, ..DriverOptions::default() };
        let mut driver = TopologyTestDriver::with_options(&topology, options).expect("can be run");
        driver.push_all("in", ["a", "b"].map(|value| Record::new("k", value))).expect("runs");
        driver.checkpoint().expect("is written");
        driver.restart().expect("starts again");
        driver.push("in", Record::new("k", "c")).expect("runs");
        let mut last = |topic: &str| driver.drain(topic).expect("a topic").pop().and_then(|record| record.value);
        assert_eq!(last("kept-out"), Some(3_i64.to_be_bytes().to_vec()));
        assert_eq!(last("since-start-out"), Some(1_i64.to_be_bytes().to_vec()));
    }
}

#[test]
fn tables_are_transformed_with_state_and_deleted() {
    let builder = StreamsBuilder::new();
    let changes = builder.add_state_store(Stores::key_value::<String, i64>("changes"));
    let store = changes.clone();
    let cities = builder.table::<String, String>("cities", Consumed::kafka(), Materialized::named("cities"));
    let numbered = cities.transform_values_each(
        move |record, context| {
            let times = context.store(&store)?.get(record.key())?.unwrap_or(0) + 1;
            context.store(&store)?.put(record.key(), &times)?;
            context.forward(record.map_value(|city| format!("{city}{times}")));
            Ok(())
        },
        &[&changes],
        "numbered",
    );
    numbered.filter(|_, city| !city.starts_with('X')).to_stream().to("out", Produced::kafka());
    let mut driver = with_emit(&builder.build().expect("legal"), EmitPolicy::Record);
    let city = |value: Option<&str>| Record { value: value.map(Into::into), ..Record::new("ada", "") };
    driver.push_all("cities", [Some("Rome"), Some("Xi"), Some("Bonn"), None].map(city)).expect("runs");
    let values: Vec<String> = rows(&mut driver, "out").into_iter().map(|row| row.1).collect();
    assert_eq!(values, ["Rome1", "-", "Bonn3", "-"]);
}

#[test]
fn mistakes_are_told() {
    let builder = StreamsBuilder::new();
    let other = StreamsBuilder::new().add_state_store(Stores::key_value::<String, i64>("other"));
    let lines = builder.stream::<String, String>("in", Consumed::kafka());
    let nothing = |_: ProcessorRecord<String, String>, _: &mut ProcessorContext<'_, String, String>| Ok(());
    lines.process_each(nothing, &[&other]);
    let error = builder.build().err().map(|error| error.to_string());
    let expected = "process: there is no state store `other`: add it with `add_state_store` first";
    assert_eq!(error.as_deref(), Some(expected));

    let builder = StreamsBuilder::new();
    let store = builder.add_state_store(Stores::key_value::<String, i64>("known"));
    let opens = move |record: ProcessorRecord<String, String>, context: &mut ProcessorContext<'_, String, String>| {
        context.store(&store)?.get(&record.key).map(drop)
    };
    builder.stream::<String, String>("in", Consumed::kafka()).process_each(opens, &[]);
    let mut driver = with_emit(&builder.build().expect("legal"), EmitPolicy::Record);
    let error = driver.push("in", Record::new("k", "x")).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("store `known` is not connected to this processor, which has []"), "{error}");
}
