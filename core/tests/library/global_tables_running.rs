//! Global tables of topologies that run in threads: whole before the first record, followed, and whole again after a restart.

use std::{sync::Arc, time::Duration};

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Produced},
    log::{Append, SharedLog, TopicConfig, Transaction, partition_for_key},
    record::{Offset, PartitionId, Record, Records, TopicName, TopicPartition},
    runtime::{Status, Streams, StreamsConfig},
    testing::MemoryLog,
    topology::Topology,
};
use millstream_state::{StateBackend, StateConfig};

const PARTITIONS: u32 = 4;

fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    let table = builder.global_table::<String, String>("table", Consumed::kafka(), "table");
    let stream = builder.stream::<String, String>("in", Consumed::kafka());
    stream
        .left_join_global(&table, |_, value| Some(value.clone()), |_, _, row| row.unwrap_or("none".to_owned()))
        .to("out", Produced::kafka());
    builder.build().expect("legal")
}

fn place(topic: &str, partition: u32) -> TopicPartition {
    TopicPartition::new(TopicName::new(topic).expect("legal"), PartitionId(partition))
}

fn append(log: &SharedLog, topic: &str, key: &str, value: &str) {
    let partition = place(topic, partition_for_key(key.as_bytes(), PARTITIONS).0);
    let records = Records::from_iter([Record::new(key, value)]);
    let transaction = Transaction { appends: vec![Append { partition, records }], offsets: vec![] };
    log.producer("test").expect("opens").commit(transaction).expect("commits");
}

/// What came out, sorted.
fn out(log: &SharedLog) -> Vec<String> {
    let mut values = Vec::new();
    for partition in 0..PARTITIONS {
        let fetched = log.fetch(&place("out", partition), Offset::ZERO, usize::MAX).expect("readable");
        let records = fetched.batches.iter().flat_map(|batch| batch.records.iter());
        values.extend(records.map(|record| String::from_utf8(record.value.expect("a value").to_vec()).expect("text")));
    }
    values.sort();
    values
}

fn wait(streams: &Streams, mut done: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        assert_eq!(streams.status(), Status::Running);
        if done() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    panic!("it did not come to that");
}

fn rows(streams: &Streams) -> usize {
    let mut rows = 0;
    let snapshot = streams.view("table").expect("a view").snapshot().expect("a snapshot");
    let count = &mut |batch: arrow::array::RecordBatch| {
        rows += batch.num_rows();
        Ok(())
    };
    snapshot.scan(100, count).expect("readable");
    rows
}

#[test]
fn every_life_begins_with_the_whole_table_and_follows_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let log: SharedLog = Arc::new(MemoryLog::new());
    for topic in ["table", "in", "out"] {
        let config = TopicConfig { partitions: PARTITIONS, ..TopicConfig::default() };
        log.create_topic(&TopicName::new(topic).expect("legal"), &config).expect("made");
    }
    for number in 0..100 {
        append(&log, "table", &format!("t{number}"), "first");
        append(&log, "in", &format!("k{number}"), &format!("t{number}"));
    }
    let start = || {
        let state = StateBackend::open(StateConfig::new(directory.path(), 16 << 20)).expect("opens");
        let mut config = StreamsConfig::new("app", Arc::clone(&log), state);
        config.threads = 2;
        config.commit_interval = Duration::from_millis(1);
        Streams::start(&topology(), config).expect("starts")
    };
    let streams = start();
    wait(&streams, || streams.lag().expect("a lag") == 0);
    assert_eq!((rows(&streams), out(&log)), (100, vec!["first".to_owned(); 100]), "the table was whole before all");
    append(&log, "table", "t0", "second");
    append(&log, "table", "t100", "second");
    wait(&streams, || rows(&streams) == 101);
    append(&log, "in", "again", "t100");
    wait(&streams, || out(&log).len() == 101);
    assert_eq!(out(&log).last().map(String::as_str), Some("second"));
    streams.stop().expect("stops");

    append(&log, "table", "t1", "third");
    append(&log, "in", "then", "t1");
    let streams = start();
    wait(&streams, || out(&log).len() == 102);
    assert_eq!((rows(&streams), out(&log).last().map(String::as_str)), (101, Some("third")));
    streams.stop().expect("stops");
}
