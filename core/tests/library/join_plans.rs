//! What joins become: their nodes, stores and topics as text.

use std::sync::Arc;

use millstream::{
    StreamsBuilder,
    dsl::{Materialized, Produced},
    expression::col,
    log::{Append, Log, TopicConfig, Transaction, partition_for_key},
    operator::{EmitPolicy, JoinKind, StreamJoinKind, TableJoinKind},
    record::{Offset, PartitionId, Record, Records, TopicName, TopicPartition},
    runtime::SynchronousStreams,
    testing::MemoryLog,
    topology::Topology,
    window::JoinWindows,
};

use crate::join_sequences::{FORMATS, names, options, span, stream, table};

fn foreign() -> Topology {
    let builder = StreamsBuilder::new();
    let left = builder.table_columns("left", options(&["fk"]), Materialized::named("left"));
    let joined = left.join_foreign(&table(&builder, "right"), &[col("fk")], JoinKind::Inner, &names(&["fk", "r"]));
    joined.to_stream().to("out", Produced::of(FORMATS));
    builder.build().expect("legal")
}

/// What each part does, without sources, sinks and names.
fn check(topology: &Topology, expected: &[&[&str]]) {
    let text = topology.describe();
    let mut parts: Vec<Vec<&str>> = Vec::new();
    let description = topology.description();
    for part in &description.subtopologies {
        let what = part.operators.iter().map(|operator| operator.what.as_str());
        parts.push(what.filter(|what| !what.contains("topic out")).collect());
    }
    assert_eq!(parts, expected, "{text}");
}

#[test]
fn joins_are_described_with_all_that_can_change_a_result() {
    let builder = StreamsBuilder::new();
    let windows = JoinWindows::new(span(10_000), span(5_000)).with_grace(span(1_000));
    let (left, right) = (stream(&builder, "left"), stream(&builder, "right"));
    let joined = left.join_stream(&right, StreamJoinKind::Outer, windows, &names(&["l", "r"]));
    joined.to("out", Produced::of(FORMATS));
    let source = |topic: &str| format!("topic {topic} (key KAFKA, value DELIMITED), decodes [v]");
    let (left, right) = (source("left"), source("right"));
    let join = "outer join of streams WITHIN (10 s, 5 s) GRACE PERIOD 1 s, records in store `join-left-right-by-k-left` and store `join-left-right-by-k-right`, waiting ones in store `join-left-right-by-k-waiting`";
    check(&builder.build().expect("legal"), &[&[&left, &right, join]]);

    let builder = StreamsBuilder::new();
    let joined =
        table(&builder, "left").join_table(&table(&builder, "right"), TableJoinKind::Right, &names(&["l", "r"]));
    joined.to_stream().to("out", Produced::of(FORMATS));
    let kept = |name: &str| format!("table: newest record per key, store `{name}`");
    let join = "right join of the tables in store `left` and store `right`";
    check(&builder.build().expect("legal"), &[&[&left, &kept("left"), &right, &kept("right"), join, "to stream"]]);
}

#[test]
fn a_foreign_key_join_has_two_parts() {
    let topology = foreign();
    assert_eq!(topology.subtopologies().len(), 2, "{}", topology.describe());
    let text = topology.describe();
    for what in [
        "inner foreign-key join: subscribe to fk",
        "foreign-key join: answer from the table in store `right`, subscriptions in store",
        "foreign-key join: notify subscribers, subscriptions in store",
        "inner foreign-key join: resolve with the table in store `left`",
        "-subscription-registration (key KAFKA, value ROW)",
        "-subscription-response (key ROW, value ROW)",
    ] {
        assert!(text.contains(what), "{what} in\n{text}");
    }
}

#[test]
fn tables_of_different_partitions_are_joined_by_foreign_key() {
    let log = MemoryLog::new();
    for (topic, partitions) in [("left", 3), ("right", 2), ("out", 1)] {
        let config = TopicConfig { partitions, ..TopicConfig::default() };
        log.create_topic(&TopicName::new(topic).expect("legal"), &config).expect("made");
    }
    let topology = foreign();
    let mut streams =
        SynchronousStreams::new(&topology, "app", Arc::new(log.clone()), EmitPolicy::Record).expect("runs");
    let mut producer = log.producer("test").expect("opens");
    let mut push = |topic: &str, partitions: u32, record: Record| {
        let partition = partition_for_key(record.key.as_deref().expect("a key"), partitions);
        let partition = TopicPartition::new(TopicName::new(topic).expect("legal"), partition);
        let appends = vec![Append { partition, records: Records::from_iter([record]) }];
        producer.commit(Transaction { appends, offsets: vec![] }).expect("commits");
    };
    for number in 0..20 {
        push("left", 3, Record::new(format!("l{number}"), format!("r{}", number % 7)));
    }
    for number in 0..5 {
        push("right", 2, Record::new(format!("r{number}"), format!("v{number}")));
    }
    streams.run_until_idle().expect("runs");
    let out = TopicPartition::new(TopicName::new("out").expect("legal"), PartitionId(0));
    let fetched = log.fetch(&out, Offset::ZERO, usize::MAX).expect("readable");
    let rows = fetched.batches.iter().flat_map(|batch| batch.records.iter());
    let mut rows: Vec<String> = rows
        .filter_map(|record| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            Some(format!("{} {}", text(record.key?), text(record.value?)))
        })
        .collect();
    rows.sort();
    let mut expected: Vec<String> =
        (0..20).filter(|number| number % 7 < 5).map(|number| format!("l{number} r{0},v{0}", number % 7)).collect();
    expected.sort();
    assert_eq!(rows, expected);
}
