//! Two processes of an application on a cluster: tasks are shared, any of them answers for both, copies follow, and who leaves is replaced at once.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Produced},
    log::{
        Append, SharedLog, TopicConfig, Transaction,
        kafka::{GroupProtocol, KafkaConfig, KafkaLog},
    },
    operator::EmitPolicy,
    query::{QueryServer, QueryServerConfig, RangeQuery},
    record::{Offset, PartitionId, Record, Records, TopicName, TopicPartition},
    runtime::{Status, Streams, StreamsConfig},
    topology::Topology,
};
use millstream_state::{StateBackend, StateConfig};
use millstream_tests::kafka_cluster::KafkaCluster;
use tempfile::TempDir;

const PARTITIONS: u32 = 4;
const KEYS: i64 = 10;

struct Process {
    streams: Streams,
    _state: Arc<StateBackend>,
    _directory: TempDir,
}

fn topology(input: &str, output: &str) -> Topology {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, i64>(input, Consumed::kafka());
    stream.group_by(|_, value| value % KEYS).count("counts").to_stream().to(output, Produced::kafka());
    builder.build().expect("legal")
}

fn log(cluster: &KafkaCluster, protocol: GroupProtocol) -> SharedLog {
    let config = KafkaConfig::new(&cluster.bootstrap()).expect("an address").with_group_protocol(protocol);
    Arc::new(KafkaLog::connect(config).expect("it is reached"))
}

fn start(cluster: &KafkaCluster, application: &str, protocol: GroupProtocol, topology: &Topology) -> Process {
    let directory = tempfile::tempdir().expect("made");
    let state = StateBackend::open(StateConfig::new(directory.path(), 8 << 20)).expect("opens");
    let config = StreamsConfig {
        emit: EmitPolicy::Record,
        threads: 2,
        standby_replicas: 1,
        queries: Some(QueryServer::start(QueryServerConfig::default()).expect("listens")),
        session_timeout: Duration::from_secs(6),
        ..StreamsConfig::new(application, log(cluster, protocol), Arc::clone(&state))
    };
    let streams = Streams::start(topology, config).expect("it starts");
    Process { streams, _state: state, _directory: directory }
}

fn write(log: &SharedLog, input: &TopicName, values: std::ops::Range<i64>) {
    let mut producer = log.producer(&format!("{input}-writer")).expect("opens");
    let mut by_partition: BTreeMap<u32, Vec<Record>> = BTreeMap::new();
    for value in values {
        let record = Record::new(format!("{value}"), value.to_be_bytes()).at_ms(value + 1);
        by_partition.entry((value % i64::from(PARTITIONS)) as u32).or_default().push(record);
    }
    let append = |(partition, records): (u32, Vec<Record>)| {
        let records: Records = records.into_iter().collect();
        Append { partition: TopicPartition::new(input.clone(), PartitionId(partition)), records }
    };
    let appends = by_partition.into_iter().map(append).collect();
    producer.commit(Transaction { appends, offsets: vec![] }).expect("commits");
}

#[expect(clippy::disallowed_methods, reason = "how long it took is told")]
fn wait(processes: &[&Process], what: &str, mut done: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !done() {
        processes.iter().for_each(|process| assert_eq!(process.streams.status(), Status::Running, "{what}"));
        let tasks: Vec<usize> = processes.iter().map(|process| process.streams.tasks().len()).collect();
        assert!(began.elapsed() < Duration::from_secs(60), "{what}: {tasks:?} tasks");
        std::thread::sleep(Duration::from_millis(10));
    }
    began.elapsed()
}

/// The counts that left for each key, in order.
fn counts(log: &SharedLog, output: &TopicName) -> BTreeMap<i64, Vec<i64>> {
    let mut counts: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for partition in 0..PARTITIONS {
        let from = TopicPartition::new(output.clone(), PartitionId(partition));
        let (mut next, end) = (Offset::ZERO, log.end_offset(&from).expect("known"));
        while next < end {
            let fetched = log.fetch(&from, next, 1 << 20).expect("readable");
            for record in fetched.batches.iter().flat_map(|batch| batch.records.iter()) {
                let number =
                    |bytes: Option<&[u8]>| i64::from_be_bytes(bytes.expect("there").try_into().expect("a number"));
                counts.entry(number(record.key)).or_default().push(number(record.value));
            }
            next = fetched.next;
        }
    }
    counts
}

fn two_processes(protocol: GroupProtocol, name: &str) {
    let Some(cluster) = KafkaCluster::shared() else { return };
    let [input, output] = ["in", "out"].map(|of| TopicName::new(&format!("{name}-{of}")).expect("legal"));
    let own = log(cluster, protocol);
    let config = TopicConfig { partitions: PARTITIONS, ..TopicConfig::default() };
    [&input, &output].iter().for_each(|topic| own.create_topic(topic, &config).expect("made"));
    let topology = topology(input.as_str(), output.as_str());

    let a = start(cluster, name, protocol, &topology);
    let alone = wait(&[&a], "the only one has all tasks", || a.streams.tasks().len() == 8);
    write(&own, &input, 0..1_000);
    let b = start(cluster, name, protocol, &topology);
    let shared =
        wait(&[&a, &b], "each has half of them", || a.streams.tasks().len() == 4 && b.streams.tasks().len() == 4);
    write(&own, &input, 1_000..2_000);
    wait(&[&a, &b], "all is processed", || a.streams.lag().expect("known") == 0);

    wait(&[&a, &b], "each knows the other one", || [&a, &b].iter().all(|process| process.streams.peers().len() == 2));
    for process in [&a, &b] {
        let store = process.streams.store::<i64, i64>("counts").expect("it is there");
        assert_eq!(store.get(3).expect("readable"), Some(200));
        assert_eq!(store.query(RangeQuery::with_no_bounds()).expect("readable").result.len(), KEYS as usize);
    }
    // Each follows what the other one has.
    let stale = a.streams.store::<i64, i64>("counts").expect("it is there").enable_stale_stores(10);
    wait(&[&a, &b], "copies are up to date", || (0..KEYS).all(|key| matches!(stale.get(key), Ok(Some(200)))));

    a.streams.stop().expect("stops");
    let moved = wait(&[&b], "the other one has all of them", || b.streams.tasks().len() == 8);
    write(&own, &input, 2_000..3_000);
    wait(&[&b], "all is processed", || b.streams.lag().expect("known") == 0);
    b.streams.stop().expect("stops");
    let expected: BTreeMap<i64, Vec<i64>> = (0..KEYS).map(|key| (key, (1..=300).collect())).collect();
    assert_eq!(counts(&own, &output), expected);
    eprintln!("{name}: all tasks after {alone:?}, half of them after {shared:?}, the others' after {moved:?}");
}

#[test]
fn two_processes_share_a_streams_group() {
    two_processes(GroupProtocol::BestKnown, "sharing-streams");
}

#[test]
fn two_processes_share_a_classic_group() {
    two_processes(GroupProtocol::Classic, "sharing-classic");
}
