//! A topology that is stopped, or dropped without a last commit, goes on where its last commit was.

use std::sync::Arc;

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Produced},
    log::{Append, SharedLog, TopicConfig, Transaction},
    record::{Offset, PartitionId, Record, Records, TimeSpan, TopicName, TopicPartition},
    runtime::{Status, Streams, StreamsConfig},
    testing::MemoryLog,
    topology::Topology,
    window::TimeWindows,
};
use millstream_state::{StateBackend, StateConfig};

fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    let windows = TimeWindows::tumbling(TimeSpan::from_millis(10).expect("positive"), TimeSpan::ZERO).expect("legal");
    let stream = builder.stream::<String, i64>("in", Consumed::kafka());
    stream.group_by(|_, value| value % 3).windowed_by(windows).count("counts").to_stream().to("out", Produced::kafka());
    builder.build().expect("legal")
}

fn append(log: &SharedLog, values: std::ops::Range<i64>) {
    let records: Records =
        values.map(|value| Record::new(format!("{value}"), value.to_be_bytes()).at_ms(value)).collect();
    let partition = TopicPartition::new(TopicName::new("in").expect("legal"), PartitionId(0));
    let transaction = Transaction { appends: vec![Append { partition, records }], offsets: vec![] };
    log.producer("test").expect("opens").commit(transaction).expect("commits");
}

fn wait_until_done(streams: &Streams) {
    for _ in 0..2_000 {
        assert_eq!(streams.status(), Status::Running);
        if streams.lag().expect("a lag") == 0 {
            return;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
    panic!("the topology did not catch up");
}

fn rows(streams: &Streams) -> usize {
    let mut rows = 0;
    let snapshot = streams.view("counts").expect("a view").snapshot().expect("a snapshot");
    snapshot
        .scan(100, &mut |batch| {
            rows += batch.num_rows();
            Ok(())
        })
        .expect("readable");
    rows
}

#[test]
fn a_restart_goes_on_with_state_and_stream_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let log: SharedLog = Arc::new(MemoryLog::new());
    for topic in ["in", "out"] {
        log.create_topic(&TopicName::new(topic).expect("legal"), &TopicConfig::default()).expect("made");
    }
    let topology = topology();
    let config = |state: &Arc<StateBackend>| {
        let mut config = StreamsConfig::new("app", Arc::clone(&log), Arc::clone(state));
        config.commit_interval = std::time::Duration::from_millis(1);
        config.checkpoint_interval = std::time::Duration::from_millis(3);
        config
    };
    // Three lives: each ends in another way, none loses anything.
    for (life, range) in [0..100, 100..200, 200..300].into_iter().enumerate() {
        let state = StateBackend::open(StateConfig::new(directory.path(), 16 << 20)).expect("opens");
        let streams = Streams::start(&topology, config(&state)).expect("starts");
        append(&log, range);
        wait_until_done(&streams);
        assert_eq!(rows(&streams), 3, "windows whose retention is over are gone: one window of three keys is left");
        if life == 0 {
            streams.stop().expect("stops");
        }
    }
    // A record for a window closed in an earlier life is late in this one.
    let state = StateBackend::open(StateConfig::new(directory.path(), 16 << 20)).expect("opens");
    let streams = Streams::start(&topology, config(&state)).expect("starts");
    append(&log, 5..6);
    wait_until_done(&streams);
    assert_eq!(streams.metrics().dead_letters.iter().map(|(_, count)| count).sum::<u64>(), 1);
    streams.stop().expect("stops");

    let out = TopicPartition::new(TopicName::new("out").expect("legal"), PartitionId(0));
    let fetched = log.fetch(&out, Offset::ZERO, usize::MAX).expect("readable");
    let mut counts = std::collections::BTreeMap::new();
    for record in fetched.batches.iter().flat_map(|batch| batch.records.iter()) {
        let count = i64::from_be_bytes(record.value.expect("a count").try_into().expect("eight bytes"));
        counts.insert(record.key.expect("a key").to_vec(), count);
    }
    assert_eq!(counts.values().sum::<i64>(), 300, "every record was counted once");
    assert_eq!(counts.len(), 90, "30 windows of three keys");
}
