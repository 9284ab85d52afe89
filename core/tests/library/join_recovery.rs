//! Joins that are stopped, or dropped without a last commit, or lose their state, go on where their last commit was.

use std::{sync::Arc, time::Duration};

use millstream::{
    StreamsBuilder,
    dsl::{Materialized, Produced},
    expression::col,
    log::{Append, SharedLog, TopicConfig, Transaction, partition_for_key},
    operator::{EmitPolicy, JoinKind, StreamJoinKind, TableJoinKind},
    record::{Offset, PartitionId, Records, TopicName, TopicPartition},
    runtime::{Status, Streams, StreamsConfig},
    testing::{MemoryLog, TopologyTestDriver},
    topology::Topology,
    window::JoinWindows,
};
use millstream_state::{StateBackend, StateConfig};

use crate::join_sequences::{FORMATS, Push, drained, names, options, record, span, stream, table};

const PARTITIONS: u32 = 2;

fn topologies() -> Vec<Topology> {
    let streams = StreamsBuilder::new();
    let (left, right) = (stream(&streams, "left"), stream(&streams, "right"));
    let windows = JoinWindows::new(span(10), span(10)).with_grace(span(20));
    let joined = left.join_stream(&right, StreamJoinKind::Outer, windows, &names(&["l", "r"]));
    joined.to("out", Produced::of(FORMATS));

    let tables = StreamsBuilder::new();
    let (left, right) = (table(&tables, "left"), table(&tables, "right"));
    let joined = left.join_table(&right, TableJoinKind::Outer, &names(&["l", "r"]));
    joined.to_stream().to("out", Produced::of(FORMATS));

    let foreign = StreamsBuilder::new();
    let left = foreign.table_columns("left", options(&["fk"]), Materialized::named("left"));
    let joined = left.join_foreign(&table(&foreign, "right"), &[col("fk")], JoinKind::Left, &names(&["fk", "r"]));
    joined.to_stream().to("out", Produced::of(FORMATS));
    [streams, tables, foreign].into_iter().map(|builder| builder.build().expect("legal")).collect()
}

fn append(log: &SharedLog, push: &Push<'_>) {
    let record = record(push);
    let partition = partition_for_key(record.key.as_deref().expect("a key"), PARTITIONS);
    let partition = TopicPartition::new(TopicName::new(push.0).expect("legal"), partition);
    let append = Append { partition, records: Records::from_iter([record]) };
    let transaction = Transaction { appends: vec![append], offsets: vec![] };
    log.producer("test").expect("opens").commit(transaction).expect("commits");
}

fn wait_until_done(streams: &Streams) {
    // What is read of one input may have come from one that was looked at before: three looks for two repartitions.
    let mut done = 0;
    for _ in 0..4_000 {
        assert_eq!(streams.status(), Status::Running);
        done = if streams.lag().expect("a lag") == 0 { done + 1 } else { 0 };
        if done == 3 {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    panic!("the topology did not catch up");
}

fn written(log: &SharedLog) -> Vec<String> {
    let mut lines = Vec::new();
    for partition in (0..PARTITIONS).map(PartitionId) {
        let partition = TopicPartition::new(TopicName::new("out").expect("legal"), partition);
        let fetched = log.fetch(&partition, Offset::ZERO, usize::MAX).expect("readable");
        for record in fetched.batches.iter().flat_map(|batch| batch.records.iter()) {
            let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            let (key, value) = (text(record.key).unwrap_or("?".into()), text(record.value).unwrap_or("-".into()));
            lines.push(format!("{key} {value}@{}", record.timestamp.millis()));
        }
    }
    lines.sort();
    lines
}

#[test]
fn joins_go_on_after_every_kind_of_end() {
    let keys = ["a", "b", "c", "d"];
    let pushes: Vec<Push<'_>> = (0..48_usize)
        .map(|number| {
            let topic = if number % 3 == 0 { "right" } else { "left" };
            let value = if number % 11 == 10 { None } else { Some(keys[(number / 2) % 4]) };
            (topic, Some(keys[number * 7 % 4]), value, number as i64 * 3)
        })
        .collect();
    for topology in topologies() {
        let mut driver = TopologyTestDriver::with(&topology, PARTITIONS, EmitPolicy::Record).expect("can be run");
        pushes.iter().for_each(|push| driver.push(push.0, record(push)).expect("runs"));
        let mut expected = drained(&mut driver);
        expected.sort();

        let log: SharedLog = Arc::new(MemoryLog::new());
        for topic in ["left", "right", "out"] {
            let config = TopicConfig { partitions: PARTITIONS, ..TopicConfig::default() };
            log.create_topic(&TopicName::new(topic).expect("legal"), &config).expect("made");
        }
        let mut directory = tempfile::tempdir().expect("a directory");
        for (life, pushes) in pushes.chunks(12).enumerate() {
            if life == 3 {
                // All that is left are the changelogs.
                directory = tempfile::tempdir().expect("a directory");
            }
            let state = StateBackend::open(StateConfig::new(directory.path(), 16 << 20)).expect("opens");
            let mut config = StreamsConfig::new("app", Arc::clone(&log), state);
            config.commit_interval = Duration::from_millis(1);
            config.checkpoint_interval = Duration::from_millis(3);
            config.emit = EmitPolicy::Record;
            let streams = Streams::start(&topology, config).expect("starts");
            for push in pushes {
                append(&log, push);
                wait_until_done(&streams);
            }
            if life % 2 == 0 {
                streams.stop().expect("stops");
            }
        }
        assert_eq!(written(&log), expected);
    }
}
