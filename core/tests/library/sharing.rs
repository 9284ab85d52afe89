//! Several processes share an application: they come, go, and are expelled while records arrive; every count leaves exactly once, in order.
//!
//! The processes are those of one test, each with a state of its own, on a log in memory whose groups follow the rules of Kafka's streams groups.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Produced},
    log::{Append, SharedLog, TopicConfig, Transaction},
    operator::EmitPolicy,
    query::{QueryError, QueryServer, QueryServerConfig, RangeQuery},
    record::{GroupId, Offset, PartitionId, Record, Records, TopicName, TopicPartition},
    runtime::{Status, Streams, StreamsConfig, StreamsError},
    testing::MemoryCluster,
    topology::Topology,
};
use millstream_state::{StateBackend, StateConfig};
use proptest::prelude::*;
use tempfile::TempDir;

const PARTITIONS: u32 = 4;
const KEYS: i64 = 13;

fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, i64>("in", Consumed::kafka());
    stream.group_by(|_, value| value % KEYS).count("counts").to_stream().to("out", Produced::kafka());
    builder.build().expect("legal")
}

fn topic(name: &str) -> TopicName {
    TopicName::new(name).expect("legal")
}

/// Processes on one log, and how much was written.
struct World {
    cluster: MemoryCluster,
    log: SharedLog,
    running: BTreeMap<String, (Streams, Arc<StateBackend>)>,
    directories: BTreeMap<String, TempDir>,
    written: i64,
    standby_replicas: usize,
    /// Whether processes answer each other.
    serving: bool,
}

impl World {
    fn new(standby_replicas: usize) -> Self {
        let cluster = MemoryCluster::new();
        let log = cluster.process("producer");
        for name in ["in", "out"] {
            let config = TopicConfig { partitions: PARTITIONS, ..TopicConfig::default() };
            log.create_topic(&topic(name), &config).expect("made");
        }
        let (running, directories) = (BTreeMap::new(), BTreeMap::new());
        Self { cluster, log, running, directories, written: 0, standby_replicas, serving: false }
    }

    fn start(&mut self, process: &str) {
        let directory =
            self.directories.entry(process.to_owned()).or_insert_with(|| tempfile::tempdir().expect("made"));
        let state = StateBackend::open(StateConfig::new(directory.path(), 8 << 20)).expect("opens");
        let config = StreamsConfig {
            commit_interval: Duration::from_millis(2),
            checkpoint_interval: Duration::from_millis(20),
            emit: EmitPolicy::Record,
            threads: 2,
            standby_replicas: self.standby_replicas,
            queries: self.serving.then(|| QueryServer::start(QueryServerConfig::default()).expect("listens")),
            ..StreamsConfig::new("app", self.cluster.process(process), Arc::clone(&state))
        };
        let streams = Streams::start(&topology(), config).expect("starts");
        self.running.insert(process.to_owned(), (streams, state));
    }

    fn write(&mut self, records: i64) {
        let mut producer = self.log.producer("writer").expect("opens");
        for value in self.written..self.written + records {
            let partition = TopicPartition::new(topic("in"), PartitionId((value % i64::from(PARTITIONS)) as u32));
            let records: Records =
                [Record::new(format!("{value}"), value.to_be_bytes()).at_ms(value)].into_iter().collect();
            let appends = vec![Append { partition, records }];
            producer.commit(Transaction { appends, offsets: vec![] }).expect("commits");
        }
        self.written += records;
    }

    fn lag(&self) -> u64 {
        let (streams, _) = self.running.values().next().expect("somebody works");
        streams.lag().expect("a lag")
    }

    #[expect(clippy::disallowed_methods, reason = "a test that hangs is to fail")]
    fn wait(&self, mut done: impl FnMut(&Self) -> bool, what: &str) {
        let until = Instant::now() + Duration::from_secs(30);
        while !done(self) {
            for (process, (streams, _)) in &self.running {
                assert_eq!(streams.status(), Status::Running, "{process}");
            }
            assert!(Instant::now() < until, "{what}: {:?}", self.tasks());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn tasks(&self) -> Vec<(String, usize)> {
        self.running.iter().map(|(process, (streams, _))| (process.clone(), streams.tasks().len())).collect()
    }

    /// The counts that left for each key, in order.
    fn counts(&self) -> BTreeMap<i64, Vec<i64>> {
        let mut counts: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for partition in 0..PARTITIONS {
            let from = TopicPartition::new(topic("out"), PartitionId(partition));
            let fetched = self.log.fetch(&from, Offset::ZERO, usize::MAX).expect("readable");
            for record in fetched.batches.iter().flat_map(|batch| batch.records.iter()) {
                let number =
                    |bytes: Option<&[u8]>| i64::from_be_bytes(bytes.expect("there").try_into().expect("a number"));
                counts.entry(number(record.key)).or_default().push(number(record.value));
            }
        }
        counts
    }

    fn check(&self) {
        self.wait(|world| world.lag() == 0, "not all was processed");
        let expected = |key: i64| (1..=(0..self.written).filter(|value| value % KEYS == key).count() as i64).collect();
        let expected: BTreeMap<i64, Vec<i64>> = (0..KEYS)
            .map(|key| (key, expected(key)))
            .filter(|(_, counts): &(i64, Vec<i64>)| !counts.is_empty())
            .collect();
        assert_eq!(self.counts(), expected);
    }
}

#[test]
fn tasks_are_spread_and_come_back_when_a_process_leaves() {
    let mut world = World::new(0);
    world.start("a");
    world.wait(|world| world.tasks() == [("a".to_owned(), 8)], "the only process has all tasks");
    world.write(100);
    world.start("b");
    world.wait(|world| world.tasks().iter().all(|(_, tasks)| *tasks == 4), "each has half of them");
    world.write(100);
    let (streams, _) = world.running.remove("a").expect("it runs");
    streams.stop().expect("stops");
    world.wait(|world| world.tasks() == [("b".to_owned(), 8)], "the other one has all of them again");
    world.write(50);
    world.check();
}

#[test]
fn who_was_expelled_begins_again_without_what_it_had_not_committed() {
    let mut world = World::new(0);
    world.start("a");
    world.start("b");
    for _ in 0..5 {
        world.write(40);
        world.cluster.expel(&GroupId::new("app").expect("legal"), "a");
    }
    world.check();
    world.wait(|world| world.tasks().iter().map(|(_, tasks)| tasks).sum::<usize>() == 8, "all tasks are somewhere");
}

#[test]
fn a_store_is_asked_in_the_process_that_has_it() {
    let mut world = World::new(0);
    world.start("a");
    world.write(60);
    world.wait(|world| world.tasks() == [("a".to_owned(), 8)], "the only process has all tasks");
    world.check();
    let store = |world: &World, process: &str| {
        let (streams, _) = &world.running[process];
        streams.store::<i64, i64>("counts").expect("it is there").get(3)
    };
    assert_eq!(store(&world, "a").expect("readable"), Some(5));
    world.start("b");
    world.wait(|world| world.tasks().iter().all(|(_, tasks)| *tasks == 4), "each has half of them");
    let answers = ["a", "b"].map(|process| store(&world, process));
    let here = answers.iter().filter(|answer| matches!(answer, Ok(Some(5)))).count();
    let elsewhere = answers.iter().filter(|answer| matches!(answer, Err(QueryError::NotHere { .. }))).count();
    assert_eq!((here, elsewhere), (1, 1), "{answers:?}");
}

#[test]
fn any_process_answers_for_all_of_them() {
    let mut world = World { serving: true, ..World::new(1) };
    world.start("a");
    world.start("b");
    world.wait(|world| world.tasks().iter().all(|(_, tasks)| *tasks == 4), "each has half of them");
    world.write(130);
    world.check();
    for process in ["a", "b"] {
        let (streams, _) = &world.running[process];
        let store = streams.store::<i64, i64>("counts").expect("it is there");
        for key in 0..KEYS {
            assert_eq!(store.get(key).expect("readable"), Some(10), "{process} {key}");
        }
        let all = store.query(RangeQuery::with_no_bounds()).expect("readable").result;
        assert_eq!(all.iter().map(|row| row.key).collect::<Vec<_>>(), (0..KEYS).collect::<Vec<_>>(), "{process}");
        let half = store.query(RangeQuery::with_range(3, 7).with_descending_keys()).expect("readable").result;
        assert_eq!(half.iter().map(|row| row.key).collect::<Vec<_>>(), [7, 6, 5, 4, 3], "{process}");
    }
    // Who follows answers, too, if that will do, without asking the other one.
    std::thread::sleep(Duration::from_millis(300));
    let (a, _) = &world.running["a"];
    let stale = a.store::<i64, i64>("counts").expect("it is there").enable_stale_stores(0);
    assert!((0..KEYS).all(|key| stale.get(key).expect("readable") == Some(10)));
}

#[test]
fn standby_stores_spare_the_restoring() {
    let mut world = World::new(1);
    world.start("a");
    world.start("b");
    world.wait(|world| world.tasks().iter().all(|(_, tasks)| *tasks == 4), "each has half of them");
    world.write(400);
    world.check();
    // What is followed is not restored: the stores are at the end of their changelogs when they are taken over.
    std::thread::sleep(Duration::from_millis(300));
    let (a, _) = world.running.remove("a").expect("it runs");
    let before = world.running["b"].0.metrics().records_restored;
    a.stop().expect("stops");
    world.wait(|world| world.tasks() == [("b".to_owned(), 8)], "the other one has all of them");
    assert_eq!(world.running["b"].0.metrics().records_restored, before);
    world.write(40);
    world.check();
}

#[test]
fn what_was_asked_before_a_task_was_taken_away_does_not_count_when_it_comes_back() {
    let mut world = World::new(0);
    world.start("b");
    world.wait(|world| world.tasks() == [("b".to_owned(), 8)], "the only process has all tasks");
    world.write(50);
    world.check();
    // It asks for the positions of its half, and is expelled and has all tasks again before it hears of any.
    world.cluster.hold_positions("a");
    world.cluster.keep_out("a");
    world.start("a");
    let b_has = |world: &World, tasks: usize| world.running["b"].0.tasks().len() == tasks;
    world.wait(|world| b_has(world, 4), "the new one is given half of them");
    std::thread::sleep(Duration::from_millis(100));
    world.cluster.expel(&GroupId::new("app").expect("legal"), "a");
    world.wait(|world| b_has(world, 8), "the old one has them back");
    world.write(50);
    world.wait(|world| world.running["b"].0.lag().is_ok_and(|lag| lag == 0), "they are processed");
    let (b, _) = world.running.remove("b").expect("it runs");
    b.stop().expect("stops");
    world.cluster.let_in("a");
    std::thread::sleep(Duration::from_millis(100));
    world.cluster.let_positions_go("a");
    world.wait(|world| world.tasks() == [("a".to_owned(), 8)], "the new one has all of them");
    world.write(50);
    world.check();
}

#[test]
fn what_cannot_be_shared_is_refused() {
    let world = World::new(0);
    let directory = tempfile::tempdir().expect("made");
    let state = StateBackend::open(StateConfig::new(directory.path(), 8 << 20)).expect("opens");
    let idle = StreamsConfig {
        idle_advance: Some(Duration::from_secs(1)),
        ..StreamsConfig::new("app", world.cluster.process("a"), state)
    };
    let error = Streams::start(&topology(), idle).map(drop).expect_err("refused");
    assert!(matches!(error, StreamsError::NotShared { setting: "idle_advance", .. }), "{error}");
}

#[derive(Debug, Clone)]
enum Event {
    Write(i64),
    Start(u8),
    Stop(u8),
    Kill(u8),
    Expel(u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1..40_i64).prop_map(Event::Write),
        2 => (0..3_u8).prop_map(Event::Start),
        1 => (0..3_u8).prop_map(Event::Stop),
        1 => (0..3_u8).prop_map(Event::Kill),
        2 => (0..3_u8).prop_map(Event::Expel),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn whatever_happens_to_processes_every_count_leaves_once(
        events in proptest::collection::vec(event(), 4..24),
        standby in 0..2_usize,
    ) {
        let mut world = World::new(standby);
        for event in events {
            match event {
                Event::Write(records) => world.write(records),
                Event::Start(process) if !world.running.contains_key(&format!("p{process}")) => world.start(&format!("p{process}")),
                Event::Start(_) => {}
                Event::Stop(process) => {
                    if let Some((streams, _)) = world.running.remove(&format!("p{process}")) {
                        streams.stop().expect("stops");
                    }
                }
                Event::Kill(process) => drop(world.running.remove(&format!("p{process}"))),
                Event::Expel(process) => {
                    world.cluster.expel(&GroupId::new("app").expect("legal"), &format!("p{process}"));
                }
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        world.start("last");
        world.check();
    }
}
