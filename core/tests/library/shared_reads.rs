//! Topologies that read one topic together come to what each would come to alone, also where records are broken for some of them only.

use std::{sync::Arc, time::Duration};

use arrow::datatypes::{DataType, Field, FieldRef};
use millstream::{
    StreamsBuilder,
    dsl::{Produced, SourceOptions},
    expression::col,
    format::{Format, Wrapping},
    log::{Append, SharedLog, TopicConfig, Transaction},
    operator::Column,
    record::{Offset, PartitionId, Record, Records, TopicName, TopicPartition},
    runtime::{SharedReads, Status, Streams, StreamsConfig},
    schema::WindowKind,
    testing::MemoryLog,
    topology::{Formats, OffsetReset, TimestampExtractor, Topology},
};
use millstream_state::{StateBackend, StateConfig};

/// The columns that each topology reads.
const READERS: [&[&str]; 4] = [&["A"], &["A", "B"], &["C"], &["A", "B", "C"]];

fn partition(topic: &str) -> TopicPartition {
    TopicPartition::new(TopicName::new(topic).expect("legal"), PartitionId(0))
}

fn topology(reader: usize) -> Topology {
    let field = |(name, data_type)| -> FieldRef { Arc::new(Field::new(name, data_type, true)) };
    let builder = StreamsBuilder::new();
    let stream = builder.stream_columns(
        "in",
        SourceOptions {
            key: vec![field(("K", DataType::Utf8))],
            value: [("A", DataType::Int64), ("B", DataType::Int64), ("C", DataType::Utf8)].map(field).to_vec(),
            parts: vec![],
            window: WindowKind::None,
            formats: Formats { key: Format::Kafka, value: Format::Json, wrapping: Wrapping::Wrapped },
            timestamp: TimestampExtractor::Record,
            reset: OffsetReset::Earliest,
        },
    );
    let columns: Vec<Column> = READERS[reader].iter().map(|name| Column::new(*name, col(name))).collect();
    stream.select(&columns).to(&format!("out-{reader}"), Produced::json());
    builder.build().expect("legal")
}

/// Batches of records; in some of them `A`, in others `B` is no number.
fn input() -> Vec<Records> {
    let value = |number: usize| match number {
        137 => r#"{"a":"no","b":1,"c":"x"}"#.to_owned(),
        250..260 => format!(r#"{{"a":{number},"b":"no","c":"x"}}"#),
        _ => format!(r#"{{"a":{number},"b":{},"c":"{}"}}"#, number * 2, number % 7),
    };
    let record = |number: usize| Record::new(format!("{}", number % 5), value(number)).at_ms(number as i64);
    (0..40).map(|batch| (batch * 10..batch * 10 + 10).map(record).collect()).collect()
}

fn append(log: &SharedLog, batches: &[Records]) {
    for records in batches {
        let transaction = Transaction {
            appends: vec![Append { partition: partition("in"), records: records.clone() }],
            offsets: vec![],
        };
        log.producer("test").expect("opens").commit(transaction).expect("commits");
    }
}

/// What each topology writes, and how many dead letters it has.
fn run(readers: std::ops::Range<usize>) -> Vec<(Vec<String>, u64)> {
    let directory = tempfile::tempdir().expect("a directory");
    let log: SharedLog = Arc::new(MemoryLog::new());
    let topics = (0..READERS.len()).map(|reader| format!("out-{reader}")).chain(["in".to_owned()]);
    for topic in topics {
        log.create_topic(&TopicName::new(&topic).expect("legal"), &TopicConfig::default()).expect("made");
    }
    let input = input();
    append(&log, &input[..20]);
    let state = StateBackend::open(StateConfig::new(directory.path(), 16 << 20)).expect("opens");
    // Small, so that some of what is kept has to go.
    let reads = Arc::new(SharedReads::new(8 << 10));
    let start = |reader: usize| {
        let mut config = StreamsConfig::new(&format!("app-{reader}"), Arc::clone(&log), Arc::clone(&state));
        config.commit_interval = Duration::from_millis(1);
        config.reads = Arc::clone(&reads);
        Streams::start(&topology(reader), config).expect("starts")
    };
    let running: Vec<Streams> = readers.clone().map(start).collect();
    append(&log, &input[20..]);
    let mut results = Vec::new();
    for (reader, streams) in readers.zip(running) {
        for _ in 0..2_000 {
            assert_eq!(streams.status(), Status::Running);
            if streams.lag().expect("a lag") == 0 {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        assert_eq!(streams.lag().expect("a lag"), 0, "it did not catch up");
        let dead = streams.metrics().dead_letters.iter().map(|(_, count)| count).sum();
        streams.stop().expect("stops");
        let fetched = log.fetch(&partition(&format!("out-{reader}")), Offset::ZERO, usize::MAX).expect("readable");
        let records = fetched.batches.iter().flat_map(|batch| batch.records.iter());
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        results.push((records.map(|record| format!("{} {}", text(record.key), text(record.value))).collect(), dead));
    }
    results
}

#[test]
fn readers_together_see_what_each_sees_alone() {
    let alone: Vec<_> = (0..READERS.len()).flat_map(|reader| run(reader..reader + 1)).collect();
    assert_eq!(
        alone.iter().map(|(rows, dead)| (rows.len(), *dead)).collect::<Vec<_>>(),
        [(399, 1), (389, 11), (400, 0), (389, 11)]
    );
    for _ in 0..3 {
        assert_eq!(run(0..READERS.len()), alone);
    }
}
