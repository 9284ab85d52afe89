//! Sessions and final results against a model that looks at one record after another, under every way of cutting and running.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{DataType, Field, Int64Type},
};
use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Materialized, Produced, SourceOptions},
    expression::{col, count, lit, max, sum},
    format::{Format, Wrapping},
    log::{Append, SharedLog, TopicConfig, Transaction},
    operator::{Column, EmitPolicy},
    record::{Offset, PartitionId, Record, RecordRef, Records, TimeSpan, TopicName, TopicPartition},
    runtime::{Status, Streams, StreamsConfig, SynchronousStreams},
    schema::WindowKind,
    testing::{MemoryLog, TopologyTestDriver},
    topology::{Formats, OffsetReset, TimestampExtractor, Topology},
    window::{EmitStrategy, SessionWindows, TimeWindows, WindowBounds, Windows, split_key},
};
use millstream_state::{StateBackend, StateConfig};
use proptest::prelude::*;

/// A record: key, value, time.
pub(super) type Input = (u8, char, i64);
/// A row of the result: key, start, end, values joined or none for a tombstone, time.
pub(super) type Row = (String, i64, i64, Option<String>, i64);

pub(super) fn span(millis: i64) -> TimeSpan {
    TimeSpan::from_millis(millis).expect("not negative")
}

pub(super) fn sessions(gap: i64, grace: i64) -> SessionWindows {
    SessionWindows::new(span(gap), span(grace)).expect("legal sessions")
}

/// Joins the values of each key and window, in the order in which they came.
pub(super) fn joining(windows: Windows, strategy: EmitStrategy) -> Topology {
    let builder = StreamsBuilder::new();
    let grouped = builder.stream::<String, String>("in", Consumed::kafka()).group_by_key().windowed_by(windows);
    let grouped = match strategy {
        EmitStrategy::OnUpdate => grouped,
        _ => grouped.emit_final(),
    };
    grouped.reduce(|joined, value| joined + &value, "joined").to_stream().to("out", Produced::kafka());
    builder.build().expect("a legal topology")
}

/// The records of `out`, after `inputs` were written in cuts, with a restart after every so many cuts.
pub(super) fn run(
    topology: &Topology,
    kind: WindowKind,
    inputs: &[Input],
    emit: EmitPolicy,
    cut: usize,
    lives: usize,
) -> Vec<Row> {
    let log = new_log();
    let mut streams = SynchronousStreams::new(topology, "app", Arc::clone(&log), emit).expect("starts");
    for (number, part) in inputs.chunks(cut).enumerate() {
        append(&log, part);
        streams.run_until_idle().expect("runs");
        if number % lives == lives - 1 {
            streams = SynchronousStreams::new(topology, "app", Arc::clone(&log), emit).expect("starts again");
        }
    }
    read(&log, kind)
}

pub(super) fn new_log() -> SharedLog {
    let log: SharedLog = Arc::new(MemoryLog::new());
    for topic in ["in", "out"] {
        log.create_topic(&TopicName::new(topic).expect("legal"), &TopicConfig::default()).expect("made");
    }
    log
}

pub(super) fn partition(topic: &str) -> TopicPartition {
    TopicPartition::new(TopicName::new(topic).expect("legal"), PartitionId(0))
}

pub(super) fn append(log: &SharedLog, inputs: &[Input]) {
    let record = |&(key, value, time): &Input| Record::new(format!("k{key}"), value.to_string()).at_ms(time);
    let records: Records = inputs.iter().map(record).collect();
    let transaction = Transaction { appends: vec![Append { partition: partition("in"), records }], offsets: vec![] };
    log.producer("test").expect("opens").commit(transaction).expect("commits");
}

/// The records of `out`.
pub(super) fn read(log: &SharedLog, kind: WindowKind) -> Vec<Row> {
    let fetched = log.fetch(&partition("out"), Offset::ZERO, usize::MAX).expect("readable");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let records = fetched.batches.iter().flat_map(|batch| batch.records.iter());
    let row = |record: RecordRef<'_>| {
        let (key, WindowBounds { start, end }) = split_key(kind, record.key.expect("a key")).expect("a window");
        (text(key), start, end, record.value.map(text), record.timestamp.millis())
    };
    records.map(row).collect()
}

/// Every update that Kafka Streams passes on, and the final results in the order of closing.
pub(super) fn model_of_sessions(inputs: &[Input], gap: i64, grace: i64) -> (Vec<Row>, Vec<Row>) {
    // Stores forget by what they have seen before the record; final results are open to records until they close.
    let (updates, _) =
        sessions_found_from(inputs, (gap, grace), |before, _| before.saturating_sub(gap + grace).saturating_add(1));
    let (_, finals) = sessions_found_from(inputs, (gap, grace), |_, closed_before| closed_before);
    (updates, finals)
}

/// Updates, and the sessions that have closed, if those are found that end at what `found_from` gives, for the stream time before the record and the
/// least end of an open session, or later.
fn sessions_found_from(
    inputs: &[Input],
    (gap, grace): (i64, i64),
    found_from: impl Fn(i64, i64) -> i64,
) -> (Vec<Row>, Vec<Row>) {
    let mut live: Vec<Row> = Vec::new();
    let mut updates = Vec::new();
    let mut stream_time = i64::MIN;
    for &(key, value, time) in inputs {
        let before = stream_time;
        stream_time = stream_time.max(time);
        let closed_before = stream_time - gap - grace;
        let kept_from = found_from(before, closed_before);
        let key = format!("k{key}");
        let reached = |row: &Row| row.0 == key && row.2 >= (time - gap).max(kept_from) && row.1 <= time + gap;
        let mut joined: Vec<Row> = live.iter().filter(|row| reached(row)).cloned().collect();
        joined.sort_by_key(|row| row.2);
        let start = joined.iter().map(|row| row.1).min().unwrap_or(time).min(time);
        let end = joined.iter().map(|row| row.2).max().unwrap_or(time).max(time);
        if end < closed_before {
            continue;
        }
        if (start, end) != (time, time) {
            updates.extend(joined.iter().map(|row| (key.clone(), row.1, row.2, None, row.2)));
        }
        live.retain(|row| !reached(row));
        let values: String = joined.into_iter().filter_map(|row| row.3).chain([value.to_string()]).collect();
        let row = (key, start, end, Some(values), end);
        updates.push(row.clone());
        live.push(row);
    }
    live.retain(|row| row.2 < stream_time - gap - grace);
    live.sort_by(|a, b| (a.2, a.1, &a.0).cmp(&(b.2, b.1, &b.0)));
    (updates, live)
}

/// The final results of time windows, in the order of closing.
pub(super) fn model_of_windows(inputs: &[Input], size: i64, advance: i64, grace: i64) -> Vec<Row> {
    let mut open: BTreeMap<(i64, String), (String, i64)> = BTreeMap::new();
    let mut finals = Vec::new();
    let mut stream_time = i64::MIN;
    for &(key, value, time) in inputs {
        stream_time = stream_time.max(time);
        for start in (0..=time).step_by(advance as usize).filter(|start| time < start + size) {
            if start + size + grace > stream_time {
                let row = open.entry((start, format!("k{key}"))).or_insert((String::new(), time));
                row.0.push(value);
                row.1 = row.1.max(time);
            }
        }
        while let Some(first) = open.first_entry() {
            if first.key().0 + size + grace > stream_time {
                break;
            }
            let ((start, key), (values, time)) = first.remove_entry();
            finals.push((key, start, start + size, Some(values), time));
        }
    }
    finals
}

/// The rows that a sequence of updates leaves behind.
pub(super) fn table(updates: &[Row]) -> BTreeMap<(String, i64, i64), (String, i64)> {
    let mut rows = BTreeMap::new();
    for (key, start, end, value, time) in updates {
        let key = (key.clone(), *start, *end);
        match value {
            Some(value) => drop(rows.insert(key, (value.clone(), *time))),
            None => drop(rows.remove(&key)),
        }
    }
    rows
}

fn check_sessions(inputs: &[Input], (gap, grace): (i64, i64), cut: usize, lives: usize) {
    let (updates, finals) = model_of_sessions(inputs, gap, grace);
    let windows: Windows = sessions(gap, grace).into();
    for (strategy, emit) in [
        (EmitStrategy::OnUpdate, EmitPolicy::Record),
        (EmitStrategy::OnUpdate, EmitPolicy::Commit),
        (EmitStrategy::OnClose, EmitPolicy::Record),
        (EmitStrategy::OnClose, EmitPolicy::Commit),
    ] {
        let found = run(&joining(windows.clone(), strategy), WindowKind::Session, inputs, emit, cut, lives);
        match (strategy, emit) {
            (EmitStrategy::OnUpdate, EmitPolicy::Record) => assert_eq!(found, updates, "every update"),
            (EmitStrategy::OnUpdate, EmitPolicy::Commit) => {
                assert_eq!(table(&found), table(&updates), "the same table");
                assert!(found.len() <= updates.len(), "no more updates than records made");
            }
            _ => assert_eq!(found, finals, "final results under {emit}"),
        }
    }
}

pub(super) fn inputs(most: i64) -> impl Strategy<Value = Vec<Input>> {
    let record = (0..3_u8, proptest::char::range('a', 'z'), 0..most);
    proptest::collection::vec(record, 1..50)
}

/// A record that may no longer join a session, and lies beside it in the store, once made the store forget it.
#[test]
fn a_record_beside_a_closed_session_leaves_it_alone() {
    let inputs = [(1, 'c', 52), (2, 'h', 76), (1, 'e', 53), (2, 'z', 90), (0, 'y', 200)];
    for cut in 1..=inputs.len() {
        check_sessions(&inputs, (3, 20), cut, 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn sessions_are_those_of_the_model(inputs in inputs(80), cut in 1_usize..20, lives in 1_usize..4) {
        for windows in [(5, 0), (3, 20), (10, 100)] {
            check_sessions(&inputs, windows, cut, lives);
        }
    }

    #[test]
    fn a_table_of_sessions_can_be_taken_back(inputs in inputs(80), cut in 1_usize..20) {
        let builder = StreamsBuilder::new();
        let stream = builder.stream::<String, String>("in", Consumed::kafka());
        let group = stream.columns().group_by_key().windowed_by(sessions(5, 10));
        let counted = group.aggregate(&[count(lit(1_i64)).alias("n")], "counted".into());
        let of_key = counted.group_by(&[Column::new("of", col("key"))], &[Column::new("n", col("n"))]);
        of_key.aggregate(&[sum(col("n")).alias("total")], "totals".into());
        let topology = builder.build().expect("legal");
        // Each record that is not late is in one session.
        let mut expected: BTreeMap<String, i64> = BTreeMap::new();
        let (updates, _) = model_of_sessions(&inputs, 5, 10);
        for (key, ..) in updates.into_iter().filter(|update| update.3.is_some()) {
            *expected.entry(key).or_default() += 1;
        }
        for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
            let mut driver = TopologyTestDriver::with(&topology, 1, emit).expect("can be run");
            for part in inputs.chunks(cut) {
                let record = |&(key, value, time): &Input| Record::new(format!("k{key}"), value.to_string()).at_ms(time);
                driver.push_all("in", part.iter().map(record)).expect("runs");
            }
            let mut found = BTreeMap::new();
            for batch in driver.view("totals").expect("a view") {
                let keys = batch.column_by_name("of").expect("a key").as_string::<i32>();
                let totals = batch.column_by_name("total").expect("a sum").as_primitive::<Int64Type>();
                found.extend((0..batch.num_rows()).map(|row| (keys.value(row).to_owned(), totals.value(row))));
            }
            prop_assert_eq!(&found, &expected, "under {}", emit);
        }
    }

    #[test]
    fn final_results_are_those_of_the_model(inputs in inputs(60), cut in 1_usize..20, lives in 1_usize..4) {
        for (size, advance, grace) in [(10, 10, 5), (10, 3, 0), (7, 2, 20)] {
            let windows = TimeWindows::hopping(span(size), span(advance), span(grace)).expect("legal windows");
            let topology = joining(windows.into(), EmitStrategy::OnClose);
            let expected = model_of_windows(&inputs, size, advance, grace);
            for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
                let found = run(&topology, WindowKind::time(span(size)), &inputs, emit, cut, lives);
                prop_assert_eq!(&found, &expected, "under {}", emit);
            }
        }
    }
}

#[test]
fn sessions_follow_one_another_as_in_kafka_streams() {
    let check = |grace: i64, times: &[i64]| {
        let inputs: Vec<Input> = times.iter().map(|&time| (0, 'x', time)).collect();
        let topology = joining(sessions(5, grace).into(), EmitStrategy::OnUpdate);
        let found = run(&topology, WindowKind::Session, &inputs, EmitPolicy::Record, 10, 9);
        let value = |row: &Row| row.3.as_ref().map_or("gone".to_owned(), |value| value.len().to_string());
        let text = |row: Row| format!("{}..{} {}", row.1, row.2, value(&row));
        found.into_iter().map(text).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(check(0, &[10, 14, 19, 25]), "10..10 1, 10..10 gone, 10..14 2, 10..14 gone, 10..19 3, 25..25 1");
    assert_eq!(check(0, &[10, 10]), "10..10 1, 10..10 2", "a moment of its own has no tombstone");
    assert_eq!(check(0, &[10, 14, 12]), "10..10 1, 10..10 gone, 10..14 2, 10..14 gone, 10..14 3");
    assert_eq!(check(5, &[10, 16, 13]), "10..10 1, 16..16 1, 10..10 gone, 16..16 gone, 10..16 3");
    assert_eq!(check(0, &[10, 16, 13]), "10..10 1, 16..16 1, 16..16 gone, 13..16 2", "the first one is closed");
    assert_eq!(check(0, &[10, 16, 10, 9]), "10..10 1, 16..16 1", "late");
}

#[test]
fn windows_no_longer_kept_when_they_close_are_left_out_if_so_wanted() {
    let check = |strategy: EmitStrategy, retention: Option<i64>, times: &[i64]| {
        let builder = StreamsBuilder::new();
        let stream = builder.stream::<String, String>("in", Consumed::kafka());
        let windows = TimeWindows::tumbling(span(2), span(1)).expect("legal windows");
        let group = stream.columns().group_by_key().windowed_by(windows).emit_strategy(strategy);
        let kept = Materialized { retention: retention.map(span), ..Materialized::default() };
        let last = max(col("value")).alias("value");
        group.aggregate(&[last], kept).to_stream().to("out", Produced::kafka());
        let inputs: Vec<Input> = times.iter().map(|&time| (0, 'x', time)).collect();
        let topology = builder.build().expect("legal");
        let starts = |emit, cut| {
            let found = run(&topology, WindowKind::time(span(2)), &inputs, emit, cut, 2);
            found.into_iter().map(|row| row.1).collect::<Vec<_>>()
        };
        let found = starts(EmitPolicy::Record, 1);
        assert_eq!(starts(EmitPolicy::Commit, 100), found, "the cut changes nothing");
        found
    };
    assert_eq!(check(EmitStrategy::OnClose, None, &[0, 1, 2, 5]), [0, 2]);
    assert_eq!(check(EmitStrategy::OnCloseIfKept, None, &[0, 1, 2, 5]), [2]);
    assert_eq!(check(EmitStrategy::OnCloseIfKept, None, &[0, 1, 2, 3, 5]), [0, 2]);
    assert_eq!(check(EmitStrategy::OnCloseIfKept, Some(4), &[0, 1, 2, 5]), [0, 2]);
}

/// Three lives on disk, the second one abandoned without a last commit: rows of `out`.
pub(super) fn run_on_disk(topology: &Topology, kind: WindowKind, lives: &[Vec<Input>]) -> Vec<Row> {
    let directory = tempfile::tempdir().expect("a directory");
    let log = new_log();
    for (life, inputs) in lives.iter().enumerate() {
        let state = StateBackend::open(StateConfig::new(directory.path(), 16 << 20)).expect("opens");
        let mut config = StreamsConfig::new("app", Arc::clone(&log), Arc::clone(&state));
        config.commit_interval = Duration::from_millis(1);
        config.checkpoint_interval = Duration::from_millis(2);
        let streams = Streams::start(topology, config).expect("starts");
        for part in inputs.chunks(7) {
            append(&log, part);
        }
        for _ in 0..2_000 {
            assert_eq!(streams.status(), Status::Running);
            if streams.lag().expect("a lag") == 0 {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        if life != 1 {
            streams.stop().expect("stops");
        }
    }
    read(&log, kind)
}

#[test]
fn sessions_and_final_results_survive_restarts_on_disk() {
    let input = |number: i64| ((number % 5) as u8, 'x', number * 3 + (number * 7) % 11 - number % 4);
    let lives: Vec<Vec<Input>> =
        [0..60, 60..130, 130..200].into_iter().map(|range| range.map(input).collect()).collect();
    let all = lives.concat();
    for (gap, grace) in [(12, 0), (20, 15)] {
        let (updates, finals) = model_of_sessions(&all, gap, grace);
        let windows: Windows = sessions(gap, grace).into();
        let found = run_on_disk(&joining(windows.clone(), EmitStrategy::OnUpdate), WindowKind::Session, &lives);
        assert_eq!(table(&found), table(&updates));
        let found = run_on_disk(&joining(windows, EmitStrategy::OnClose), WindowKind::Session, &lives);
        assert_eq!(found, finals);
    }
    let windows = TimeWindows::hopping(span(30), span(10), span(5)).expect("legal windows");
    let found = run_on_disk(&joining(windows.into(), EmitStrategy::OnClose), WindowKind::time(span(30)), &lives);
    assert_eq!(found, model_of_windows(&all, 30, 10, 5));
}

/// Rows of a view: key, start, end, value.
fn rows(batches: &[RecordBatch]) -> Vec<String> {
    let mut lines = Vec::new();
    for batch in batches {
        let text = |name: &str| batch.column_by_name(name).expect("a column").as_string::<i32>().clone();
        let moment = |name: &str| batch.column_by_name(name).expect("a bound").as_primitive::<Int64Type>().clone();
        let (keys, values) = (text("key"), text("value"));
        let (starts, ends) = (moment("WINDOWSTART"), moment("WINDOWEND"));
        let line = |row: usize| {
            format!("{} {}..{} {}", keys.value(row), starts.value(row), ends.value(row), values.value(row))
        };
        lines.extend((0..batch.num_rows()).map(line));
    }
    lines.sort();
    lines
}

#[test]
fn a_table_of_sessions_is_filtered_viewed_and_read_back() {
    let builder = StreamsBuilder::new();
    let grouped = builder.stream::<String, String>("in", Consumed::kafka()).group_by_key();
    let joined = grouped.windowed_by(sessions(5, 50)).reduce(|joined, value| joined + &value, "joined");
    joined.filter(|_, value| value.len() > 1).to_stream().to("out", Produced::kafka());
    let options = SourceOptions {
        key: vec![Arc::new(Field::new("key", DataType::Utf8, true))],
        value: vec![Arc::new(Field::new("value", DataType::Utf8, true))],
        parts: Vec::new(),
        window: WindowKind::Session,
        formats: Formats { key: Format::Kafka, value: Format::Kafka, wrapping: Wrapping::Unwrapped },
        timestamp: TimestampExtractor::Record,
        reset: OffsetReset::Earliest,
    };
    builder.table_columns("out", options, Materialized::named("read_back"));
    let topology = builder.build().expect("legal");
    for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
        let mut driver = TopologyTestDriver::with(&topology, 1, emit).expect("can be run");
        for (key, value, time) in [("a", "1", 0), ("b", "2", 1), ("a", "3", 4), ("a", "4", 20), ("a", "5", 22)] {
            driver.push("in", Record::new(key, value).at_ms(time)).expect("runs");
        }
        let view = |driver: &TopologyTestDriver, store: &str| rows(&driver.view(store).expect("a view"));
        assert_eq!(view(&driver, "joined"), ["a 0..4 13", "a 20..22 45", "b 1..1 2"]);
        assert_eq!(view(&driver, "read_back"), ["a 0..4 13", "a 20..22 45"]);
        driver.push("in", Record::new("a", "6").at_ms(9)).expect("runs");
        driver.push("in", Record::new("a", "7").at_ms(14)).expect("runs");
        driver.push("in", Record::new("a", "8").at_ms(19)).expect("runs");
        assert_eq!(view(&driver, "joined"), ["a 0..22 1367458", "b 1..1 2"]);
        assert_eq!(view(&driver, "read_back"), ["a 0..22 1367458"]);
    }
}

#[test]
fn the_topology_tells_windows_and_what_is_passed_on() {
    let check = |windows: Windows, strategy: EmitStrategy| {
        let description = joining(windows, strategy).description();
        let operators = description.subtopologies.iter().flat_map(|part| &part.operators);
        let aggregate = operators.map(|operator| &operator.what).find(|what| what.starts_with("aggregate:"));
        let kept = description.stores.iter().find(|store| store.name == "joined").and_then(|store| store.retention_ms);
        format!("{}, kept {kept:?}", aggregate.cloned().unwrap_or_default())
    };
    assert_eq!(
        check(sessions(5, 0).into(), EmitStrategy::OnUpdate),
        "aggregate: reduce by a closure WINDOW SESSION (5 ms, GRACE PERIOD 0 ms), store `joined`, kept Some(10)"
    );
    let tumbling = TimeWindows::tumbling(span(10), span(5)).expect("legal windows");
    assert_eq!(
        check(tumbling.into(), EmitStrategy::OnClose),
        "aggregate: reduce by a closure WINDOW TUMBLING (SIZE 10 ms, GRACE PERIOD 5 ms), final results, \
         store `joined`, kept Some(15)"
    );
}

#[test]
fn windows_that_cannot_be_are_refused() {
    let check = |make: &dyn Fn(&StreamsBuilder)| {
        let builder = StreamsBuilder::new();
        make(&builder);
        builder.build().err().map(|error| error.to_string()).unwrap_or_default()
    };
    let grouped = |builder: &StreamsBuilder| builder.stream::<String, String>("in", Consumed::kafka()).group_by_key();
    let closure = check(&|builder| {
        let fold = |_: &String, value: String, all: String| all + &value;
        drop(grouped(builder).windowed_by(sessions(5, 0)).aggregate(String::new, fold, "a"));
    });
    assert!(closure.contains("aggregate_merging"), "{closure}");
    let unwindowed = check(&|builder| {
        let stream = builder.stream::<String, String>("in", Consumed::kafka());
        drop(stream.columns().group_by_key().emit_final().aggregate(&[count(lit(1_i64)).alias("n")], "a".into()));
    });
    assert!(unwindowed.contains("final results need windows"), "{unwindowed}");
}
