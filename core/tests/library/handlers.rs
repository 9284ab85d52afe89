//! Error handlers: what becomes of records that cannot be read, processed or written, for each answer of a handler and any cut.

use std::sync::{Arc, Mutex};

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Produced},
    format::{
        Format, RegisteredFormat,
        registry::{EmbeddedRegistry, Schema, SchemaType, SharedRegistry},
    },
    log::{Append, Log, SharedLog, TopicConfig, Transaction},
    operator::{EmitPolicy, Reason},
    record::{Header, Offset, PartitionId, Record, Records, TopicName, TopicPartition},
    runtime::{
        ErrorHandler, ErrorHandlers, ErrorKind, HandlerResponse, Status, Streams, StreamsConfig, StreamsError,
        SynchronousConfig, SynchronousStreams,
    },
    testing::{DriverOptions, MemoryLog, TopologyTestDriver},
    topology::Topology,
    window::TimeWindows,
};
use millstream_state::{StateBackend, StateConfig};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

fn partition(topic: &str) -> TopicPartition {
    TopicPartition::new(TopicName::new(topic).expect("legal"), PartitionId(0))
}

fn log_of(log: MemoryLog) -> SharedLog {
    for topic in ["in", "out", "late"] {
        log.create_topic(&TopicName::new(topic).expect("legal"), &TopicConfig::default()).expect("made");
    }
    Arc::new(log)
}

fn write(log: &SharedLog, values: &[&str]) {
    let record = |(time, value): (usize, &&str)| Record::new("key", *value).at_ms(time as i64);
    let records: Records = values.iter().enumerate().map(record).collect();
    let transaction = Transaction { appends: vec![Append { partition: partition("in"), records }], offsets: vec![] };
    log.producer("test").expect("opens").commit(transaction).expect("commits");
}

fn read(log: &SharedLog, topic: &str) -> Vec<Record> {
    let fetched = log.fetch(&partition(topic), Offset::ZERO, usize::MAX).expect("readable");
    let record = |record: millstream::record::RecordRef<'_>| Record {
        key: record.key.map(Into::into),
        value: record.value.map(Into::into),
        timestamp: record.timestamp,
        headers: record.headers.to_vec(),
    };
    fetched.batches.iter().flat_map(|batch| batch.records.iter()).map(record).collect()
}

fn values(log: &SharedLog, topic: &str) -> Vec<String> {
    let text = |record: Record| String::from_utf8(record.value.expect("a value")).expect("text");
    read(log, topic).into_iter().map(text).collect()
}

fn start(topology: &Topology, log: &SharedLog, handlers: ErrorHandlers) -> SynchronousStreams {
    let config = SynchronousConfig { handlers, emit: EmitPolicy::Record, ..SynchronousConfig::default() };
    SynchronousStreams::with_config(topology, "app", Arc::clone(log), config).expect("starts")
}

fn header(record: &Record, name: &str) -> String {
    let name = format!("millstream.{name}");
    let found = record.headers.iter().find(|header| header.name == name);
    found
        .and_then(|Header { value, .. }| value.clone())
        .map_or("none".to_owned(), |value| String::from_utf8_lossy(&value).into_owned())
}

#[derive(Clone, Serialize, Deserialize)]
struct Number {
    number: i64,
}

/// JSON objects in, JSON objects out.
fn copying() -> Topology {
    let builder = StreamsBuilder::new();
    builder.stream::<String, Number>("in", Consumed::json()).to("out", Produced::json());
    builder.build().expect("legal")
}

/// Numbers as text in, numbers as text out.
fn parsing() -> Topology {
    let builder = StreamsBuilder::new();
    let texts = builder.stream::<String, String>("in", Consumed::kafka());
    let numbers = texts.try_map_values(|text| text.parse::<i64>()).named("parse");
    numbers.map_values(|number| number.to_string()).to("out", Produced::kafka());
    builder.build().expect("legal")
}

#[test]
fn fail_names_the_record_and_commits_nothing_and_continue_goes_on_from_there() {
    let (topology, log) = (copying(), log_of(MemoryLog::new()));
    write(&log, &[r#"{"number":1}"#, "{oops", r#"{"number":2}"#]);
    let fail = ErrorHandlers { deserialization: HandlerResponse::Fail.into(), ..ErrorHandlers::default() };
    let error = start(&topology, &log, fail).run_until_idle().expect_err("the handler says so");
    assert!(matches!(error, StreamsError::Rejected { reason: Reason::Undecodable, .. }));
    let text = error.to_string();
    for part in ["task 0_0", "operator=source-in", "topic=in partition=0 offset=1", "undecodable"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(values(&log, "out"), [""; 0], "not even what came before it");

    let go_on = ErrorHandlers { deserialization: HandlerResponse::Continue.into(), ..ErrorHandlers::default() };
    let mut streams = start(&topology, &log, go_on);
    streams.run_until_idle().expect("runs");
    assert_eq!(values(&log, "out"), [r#"{"number":1}"#, r#"{"number":2}"#]);
    assert_eq!(values(&log, "app-dead-letter"), [""; 0]);
    let metrics = streams.metrics();
    assert_eq!((metrics.dropped_for(Reason::Undecodable), metrics.dead_letters.len()), (1, 0));
    assert_eq!(metrics.dropped[0].operator, "source-in");
}

#[test]
fn a_closure_is_told_everything_and_decides_record_by_record() {
    let (topology, log) = (parsing(), log_of(MemoryLog::new()));
    write(&log, &["1", "one", "two", "3"]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    let handler = ErrorHandler::from_fn(move |error| {
        let row = error.row.map(|row| String::from_utf8_lossy(row).into_owned()).unwrap_or_default();
        assert_eq!((error.kind, error.reason), (ErrorKind::Processing, Reason::Expression));
        assert_eq!((error.task.to_string(), error.operator, error.problem.len()), ("0_0".to_owned(), "parse", 29));
        let place = (error.topic.map(ToString::to_string), error.partition, error.offset, error.timestamp.millis());
        told.lock().expect("not poisoned").push((place, row.clone()));
        if row.contains("one") { HandlerResponse::Continue } else { HandlerResponse::DeadLetter }
    });
    let mut streams = start(&topology, &log, ErrorHandlers { processing: handler, ..ErrorHandlers::default() });
    streams.run_until_idle().expect("runs");
    let place = |offset: u64| (Some("in".to_owned()), Some(PartitionId(0)), Some(Offset(offset)), offset as i64);
    let seen = seen.lock().expect("not poisoned");
    assert_eq!(seen.iter().map(|(place, _)| place.clone()).collect::<Vec<_>>(), [place(1), place(2)]);
    assert!(seen[0].1.contains(r#""value":"one""#), "{}", seen[0].1);
    assert_eq!(values(&log, "out"), ["1", "3"]);
    let letters = read(&log, "app-dead-letter");
    let headers = ["reason", "operator", "topic", "partition", "offset", "task"].map(|name| header(&letters[0], name));
    assert_eq!((letters.len(), headers), (1, ["expression", "parse", "in", "0", "2", "0_0"].map(str::to_owned)));
    assert_eq!(streams.metrics().dropped_for(Reason::Expression), 2);
}

#[test]
fn a_handler_that_panics_means_fail() {
    let (topology, log) = (parsing(), log_of(MemoryLog::new()));
    write(&log, &["one"]);
    let handler = ErrorHandler::from_fn(|_| panic!("no idea"));
    let mut streams = start(&topology, &log, ErrorHandlers { processing: handler, ..ErrorHandlers::default() });
    let error = streams.run_until_idle().expect_err("fails").to_string();
    assert!(error.contains("operator=parse topic=in partition=0 offset=0: expression: invalid digit"), "{error}");
}

#[test]
fn dead_letters_go_where_they_are_told_to() {
    let (topology, log) = (parsing(), log_of(MemoryLog::new()));
    write(&log, &["one"]);
    let name = TopicName::new("broken").expect("legal");
    let handlers = ErrorHandlers { dead_letter_topic: Some(name), ..ErrorHandlers::default() };
    start(&topology, &log, handlers).run_until_idle().expect("runs");
    assert_eq!(read(&log, "broken").len(), 1);
    assert!(log.describe_topic(&TopicName::new("app-dead-letter").expect("legal")).is_err(), "not made");
}

/// Panics for texts that are no numbers, in each kind of closure.
fn panicking(kind: u8) -> Topology {
    let builder = StreamsBuilder::new();
    let texts = builder.stream::<String, String>("in", Consumed::kafka());
    let parsed = |text: &String| text.parse::<i64>().expect("a number");
    match kind {
        0 => texts.map_values(move |text| parsed(&text).to_string()),
        1 => texts.filter(move |_, text| parsed(text) >= 0),
        2 => texts.flat_map(move |key, text| [(key, parsed(&text).to_string())]),
        3 => texts.map(move |key, text| (key, parsed(&text).to_string())),
        _ => texts.flat_map_values(move |_, text| [parsed(&text).to_string()]),
    }
    .to("out", Produced::kafka());
    builder.build().expect("legal")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_panic_is_an_error_of_its_record_alone(
        texts in proptest::collection::vec(prop_oneof!["[0-9]", "x"], 1..12), cut in 1_usize..6, kind in 0_u8..5,
    ) {
        let (topology, log) = (panicking(kind), log_of(MemoryLog::new()));
        let mut streams = start(&topology, &log, ErrorHandlers::default());
        for part in texts.chunks(cut) {
            write(&log, &part.iter().map(String::as_str).collect::<Vec<_>>());
            streams.run_until_idle().expect("the thread lives");
        }
        let good: Vec<String> = texts.iter().filter(|text| *text != "x").cloned().collect();
        prop_assert_eq!(values(&log, "out"), good);
        let offsets: Vec<String> = read(&log, "app-dead-letter").iter().map(|letter| header(letter, "offset")).collect();
        let bad = (0..texts.len()).filter(|&offset| texts[offset] == "x").map(|offset| offset.to_string());
        prop_assert_eq!(offsets, bad.collect::<Vec<_>>());
    }
}

#[test]
fn a_row_of_a_table_that_panics_takes_the_old_one_back() {
    let builder = StreamsBuilder::new();
    let texts = builder.table::<String, String>("in", Consumed::kafka(), "texts".into());
    let numbers = texts.map_values(|text| text.parse::<i64>().expect("a number"));
    // A sum by another key looks at both sides of a change.
    numbers.group_by(|_, number| ("all".to_owned(), *number)).count("count").to_stream().to("out", Produced::kafka());
    let (topology, log) = (builder.build().expect("legal"), log_of(MemoryLog::new()));
    let mut streams = start(&topology, &log, ErrorHandlers::default());
    write(&log, &["1", "x", "2"]);
    streams.run_until_idle().expect("runs");
    let counts = |record: Record| i64::from_be_bytes(record.value.expect("a count").try_into().expect("eight bytes"));
    let counts: Vec<i64> = read(&log, "out").into_iter().map(counts).collect();
    assert_eq!(
        counts.last(),
        Some(&1),
        "the row that panicked was not counted, nor the one before it any more: {counts:?}"
    );
    assert_eq!(read(&log, "app-dead-letter").len(), 1);
}

#[test]
fn a_record_that_a_fold_panics_for_changes_no_state() {
    let builder = StreamsBuilder::new();
    let grouped = builder.stream::<String, String>("in", Consumed::kafka()).group_by_key();
    let add = |_: &String, text: String, sum: i64| sum + text.parse::<i64>().expect("a number");
    let sums = grouped.aggregate(|| 0_i64, add, "sums").to_stream();
    sums.map_values(|sum| sum.to_string()).to("out", Produced::kafka());
    let topology = builder.build().expect("legal");
    for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
        for cut in [1, 2, 4] {
            let log = log_of(MemoryLog::new());
            let config = SynchronousConfig { emit, ..SynchronousConfig::default() };
            let mut streams =
                SynchronousStreams::with_config(&topology, "app", Arc::clone(&log), config).expect("starts");
            for part in ["x", "1", "y", "2"].chunks(cut) {
                write(&log, part);
                streams.run_until_idle().expect("the thread lives");
            }
            let sums = values(&log, "out");
            assert_eq!(sums.last().map(String::as_str), Some("3"), "{emit}, {cut}");
            assert!(emit == EmitPolicy::Commit || sums == ["1", "3"], "{sums:?}");
            let letters = read(&log, "app-dead-letter");
            let found = letters.iter().map(|letter| ["topic", "offset"].map(|name| header(letter, name)));
            assert_eq!(found.collect::<Vec<_>>(), [["in", "0"], ["in", "2"]].map(|place| place.map(str::to_owned)));
            assert!(String::from_utf8_lossy(letters[0].value.as_deref().expect("a row")).contains(r#""value":"x""#));
        }
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Paint {
    color: String,
}

/// Colours to an Avro enum that has only two of them.
fn painting() -> Topology {
    let registry: SharedRegistry = Arc::new(EmbeddedRegistry::in_memory());
    let color = r#"{"type":"enum","name":"Color","symbols":["red","blue"]}"#;
    let text = format!(r#"{{"type":"record","name":"Paint","fields":[{{"name":"color","type":{color}}}]}}"#);
    let id = registry.register("out-value", &Schema::new(SchemaType::Avro, text)).expect("legal");
    let avro = RegisteredFormat { schema_id: Some(id), ..RegisteredFormat::new(registry, "out-value") };
    let builder = StreamsBuilder::new();
    let paints = builder.stream::<String, Paint>("in", Consumed::json());
    paints.to("out", Produced::with(Format::Kafka, Format::Avro(Arc::new(avro))));
    builder.build().expect("legal")
}

#[test]
fn a_row_that_its_format_cannot_hold_is_a_production_error_of_its_own() {
    let (topology, log) = (painting(), log_of(MemoryLog::new()));
    let colors = ["red", "green", "blue", "blue", "mauve", "red"];
    let paints = colors.map(|color| format!(r#"{{"color":"{color}"}}"#));
    write(&log, &paints.each_ref().map(String::as_str));
    let mut streams = start(&topology, &log, ErrorHandlers::default());
    streams.run_until_idle().expect("runs");
    assert_eq!(read(&log, "out").len(), 4);
    let letters = read(&log, "app-dead-letter");
    let of = |name: &str| letters.iter().map(|letter| header(letter, name)).collect::<Vec<_>>();
    assert_eq!((of("reason"), of("offset")), (vec!["unwritable".to_owned(); 2], vec!["1".to_owned(), "4".to_owned()]));
    assert_eq!(of("operator")[0], "sink-out");
    assert!(of("problem")[0].contains("green"), "{}", of("problem")[0]);

    let log = log_of(MemoryLog::new());
    write(&log, &paints.each_ref().map(String::as_str));
    let fail = ErrorHandlers { production: HandlerResponse::Fail.into(), ..ErrorHandlers::default() };
    let error = start(&topology, &log, fail).run_until_idle().expect_err("fails").to_string();
    assert!(error.contains("operator=sink-out topic=in partition=0 offset=1: unwritable"), "{error}");
    assert_eq!(read(&log, "out").len(), 0);
}

#[test]
fn a_record_that_the_log_refuses_is_a_production_error() {
    let builder = StreamsBuilder::new();
    let texts = builder.stream::<String, String>("in", Consumed::kafka());
    texts.map_values(|text| text.repeat(if text.starts_with("big") { 100 } else { 1 })).to("out", Produced::kafka());
    let (topology, log) = (builder.build().expect("legal"), log_of(MemoryLog::new().with_largest_record(200)));
    write(&log, &["small", "big one", "small too"]);
    let mut streams = start(&topology, &log, ErrorHandlers::default());
    streams.run_until_idle().expect("runs");
    assert_eq!(values(&log, "out"), ["small", "small too"]);
    let letters = read(&log, "app-dead-letter");
    let found = ["reason", "offset"].map(|name| header(&letters[0], name));
    assert_eq!((letters.len(), found), (1, ["too large", "1"].map(str::to_owned)));
    assert_eq!(letters[0].value.as_ref().map(Vec::len), Some(100), "half of what the log takes");
    assert_ne!(header(&letters[0], "truncated"), "none");
    assert_eq!(streams.metrics().dropped_for(Reason::TooLarge), 1);
}

#[test]
fn records_that_are_left_out_by_rule_have_a_handler_of_their_own() {
    let builder = StreamsBuilder::new();
    let windows = TimeWindows::tumbling(std::time::Duration::from_millis(1), std::time::Duration::ZERO).expect("legal");
    let grouped = builder.stream::<String, String>("in", Consumed::kafka()).group_by_key().windowed_by(windows);
    grouped.count("counts").to_stream().to("out", Produced::kafka());
    let (topology, log) = (builder.build().expect("legal"), log_of(MemoryLog::new()));
    write(&log, &["a", "b"]);
    write(&log, &["late"]);
    let handlers = |skipped: HandlerResponse| ErrorHandlers {
        skipped: skipped.into(),
        processing: HandlerResponse::Fail.into(),
        ..ErrorHandlers::default()
    };
    let error = start(&topology, &log, handlers(HandlerResponse::Fail)).run_until_idle().expect_err("fails");
    assert!(error.to_string().contains("topic=in partition=0 offset=2: late"), "{error}");
    let mut streams = start(&topology, &log, handlers(HandlerResponse::Continue));
    streams.run_until_idle().expect("runs");
    assert_eq!((streams.metrics().dropped_for(Reason::Late), read(&log, "app-dead-letter").len()), (1, 0));
    assert_eq!(streams.metrics().record_lateness_ms_max, 1);
}

#[test]
fn the_driver_and_running_threads_have_handlers_too() {
    let handlers = ErrorHandlers { processing: HandlerResponse::Fail.into(), ..ErrorHandlers::default() };
    let options = DriverOptions { handlers: handlers.clone(), ..DriverOptions::default() };
    let mut driver = TopologyTestDriver::with_options(&parsing(), options).expect("can be run");
    let error = driver.push("in", Record::new("key", "one")).expect_err("the handler says so");
    assert!(error.to_string().contains("operator=parse topic=in partition=0 offset=0"), "{error}");

    let directory = tempfile::tempdir().expect("a directory");
    let state = StateBackend::open(StateConfig::new(directory.path(), 16 << 20)).expect("opens");
    let log = log_of(MemoryLog::new());
    write(&log, &["1", "one"]);
    let config = StreamsConfig { handlers, ..StreamsConfig::new("app", Arc::clone(&log), state) };
    let streams = Streams::start(&parsing(), config).expect("starts");
    while streams.status() == Status::Running {
        log.wait_for_commit(0, std::time::Duration::from_millis(5));
    }
    let error = streams.stop().expect_err("the handler says so");
    assert!(error.contains("operator=parse topic=in partition=0 offset=1: expression"), "{error}");
    assert_eq!(values(&log, "out"), [""; 0]);
}
