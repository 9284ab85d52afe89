//! Asynchronous calls: order, failures, and what is committed, whatever the cuts, restarts and crashes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use millstream::{
    StreamsBuilder,
    dsl::{AsyncOptions, AsyncOrder, AsyncRetry, Consumed, ProcessorError, Produced},
    log::{Append, SharedLog, TopicConfig, Transaction},
    operator::EmitPolicy,
    record::{Offset, PartitionId, Record, Records, TopicName, TopicPartition},
    runtime::{Streams, StreamsConfig},
    testing::{CommitPolicy, CrashPoint, DriverOptions, MemoryLog, TopologyTestDriver},
    topology::Topology,
};
use millstream_state::{StateBackend, StateConfig};
use proptest::prelude::*;
use tokio::sync::Notify;

fn text(bytes: Option<Vec<u8>>) -> String {
    bytes.map_or("-".to_owned(), |bytes| String::from_utf8(bytes).expect("text"))
}

fn values(driver: &mut TopologyTestDriver) -> Vec<String> {
    let rows = driver.drain("out").expect("a topic").into_iter();
    rows.map(|record| format!("{}@{}", text(record.value), record.timestamp.millis())).collect()
}

/// Asks about each record, and takes the longer the less the number; odd ones are told in tens. Multiples of 7 fail.
fn asking(options: AsyncOptions, rows_a_call: Option<usize>, calls: Arc<AtomicUsize>) -> Topology {
    let builder = StreamsBuilder::new();
    let numbers = builder.stream::<String, String>("in", Consumed::kafka());
    let answer = |number: &str| -> Result<String, ProcessorError> {
        let number: u64 = number.parse().map_err(ProcessorError::of)?;
        if number % 7 == 6 { Err(format!("{number} fails").into()) } else { Ok((number * 10).to_string()) }
    };
    let answered = match rows_a_call {
        None => numbers.map_values_async(
            move |_, number| {
                calls.fetch_add(1, Ordering::SeqCst);
                async move {
                    let wait = 20_u64.saturating_sub(number.parse().unwrap_or_default());
                    tokio::time::sleep(Duration::from_micros(wait * 100)).await;
                    answer(&number)
                }
            },
            options,
        ),
        Some(most) => numbers.map_values_batch_async(
            most,
            move |numbers| {
                calls.fetch_add(1, Ordering::SeqCst);
                async move { numbers.iter().map(|(_, number)| answer(number)).collect() }
            },
            options,
        ),
    };
    answered.to("out", Produced::kafka());
    builder.build().expect("legal")
}

fn records(numbers: &[Option<u8>]) -> impl Iterator<Item = Record> + '_ {
    let value = |number: &Option<u8>| number.map(|number| number.to_string().into_bytes());
    let record = move |number: &Option<u8>| Record { value: value(number), ..Record::new("k", "") };
    numbers.iter().enumerate().map(move |(time, number)| record(number).at_ms(time as i64))
}

/// What comes of numbers, and how many fail.
fn model(numbers: &[Option<u8>]) -> (Vec<String>, usize) {
    let of = |(time, number): (usize, &Option<u8>)| match number {
        None => Some(format!("-@{time}")),
        Some(number) if number % 7 == 6 => None,
        Some(number) => Some(format!("{}@{time}", u64::from(*number) * 10)),
    };
    let out: Vec<String> = numbers.iter().enumerate().filter_map(of).collect();
    (out.clone(), numbers.len() - out.len())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn answers_are_those_of_the_model_once_each(
        numbers in prop::collection::vec(prop::option::weighted(0.9, 0_u8..25), 0..40),
        cut in 1_usize..12,
        lives in 1_usize..4,
        max_in_flight in 1_usize..9,
        unordered in any::<bool>(),
        together in any::<bool>(),
    ) {
        let order = if unordered { AsyncOrder::Unordered } else { AsyncOrder::Ordered };
        let options = AsyncOptions { max_in_flight, order, ..AsyncOptions::default() };
        let numbers: Vec<Option<u8>> = if together { numbers.into_iter().map(|n| n.map(|n| n % 6)).collect() } else { numbers };
        let topology = asking(options, together.then_some(max_in_flight), Arc::default());
        let driver_options = DriverOptions { commit: CommitPolicy::ByHand, ..DriverOptions::default() };
        let mut driver = TopologyTestDriver::with_options(&topology, driver_options).expect("can be run");
        let all: Vec<Record> = records(&numbers).collect();
        for (number, part) in all.chunks(cut).enumerate() {
            driver.push_all("in", part.to_vec()).expect("runs");
            match number % (lives + 2) {
                0 => driver.commit().expect("commits"),
                1 => driver.restart().expect("starts again"),
                2 => {
                    driver.crash_at(if number % 2 == 0 { CrashPoint::BeforeCommit } else { CrashPoint::AfterCommit });
                    driver.commit().expect("crashes");
                    if driver.has_crashed() {
                        driver.restart().expect("starts again");
                    }
                }
                _ => {}
            }
        }
        driver.commit().expect("commits");
        let (mut expected, failed) = model(&numbers);
        let mut found = values(&mut driver);
        if unordered {
            found.sort();
            expected.sort();
        }
        prop_assert_eq!(found, expected);
        prop_assert_eq!(driver.dead_letters().expect("a topic").len(), failed);
    }
}

#[test]
fn records_are_asked_about_together() {
    let calls: Arc<AtomicUsize> = Arc::default();
    let topology = asking(AsyncOptions::default(), Some(3), Arc::clone(&calls));
    let mut driver = TopologyTestDriver::with(&topology, 1, EmitPolicy::Commit).expect("can be run");
    let numbers = [0, 1, 2, 3, 6, 4, 5].map(Some);
    driver.push_all("in", records(&numbers)).expect("runs");
    assert_eq!(values(&mut driver), ["0@0", "10@1", "20@2", "50@6"], "a call that fails takes its records with it");
    assert_eq!(driver.dead_letters().expect("a topic").len(), 3);
    assert_eq!(calls.load(Ordering::SeqCst), 3);
}

#[test]
fn a_crash_before_the_commit_calls_again_and_commits_once() {
    let calls: Arc<AtomicUsize> = Arc::default();
    let topology = asking(AsyncOptions::default(), None, Arc::clone(&calls));
    let options = DriverOptions { commit: CommitPolicy::ByHand, ..DriverOptions::default() };
    let mut driver = TopologyTestDriver::with_options(&topology, options).expect("can be run");
    driver.push_all("in", records(&[Some(1), Some(2)])).expect("runs");
    driver.crash_at(CrashPoint::BeforeCommit);
    driver.commit().expect("crashes");
    assert!(driver.has_crashed());
    driver.restart().expect("starts again");
    driver.commit().expect("commits");
    assert_eq!(values(&mut driver), ["10@0", "20@1"]);
    assert_eq!(calls.load(Ordering::SeqCst), 4);
    driver.restart().expect("starts again");
    driver.commit_until_idle().expect("has nothing to do");
    assert_eq!(calls.load(Ordering::SeqCst), 4);
}

/// Answers the nth attempt only.
fn flaky(nth: usize, options: AsyncOptions) -> (Vec<String>, Vec<String>) {
    let attempts: Arc<AtomicUsize> = Arc::default();
    let builder = StreamsBuilder::new();
    let answered = builder.stream::<String, String>("in", Consumed::kafka()).map_values_async(
        move |_, value| {
            let attempt = attempts.fetch_add(1, Ordering::SeqCst) + 1;
            async move {
                match value.as_str() {
                    "hangs" => std::future::pending().await,
                    "panics" => panic!("it was told to"),
                    _ if attempt < nth => Err(format!("attempt {attempt} failed").into()),
                    _ => Ok(value),
                }
            }
        },
        options,
    );
    answered.to("out", Produced::kafka());
    let mut driver = TopologyTestDriver::new(&builder.build().expect("legal")).expect("can be run");
    let kept = ["a", "hangs", "panics"].map(|value| Record::new("k", value));
    driver.push("in", kept[0].clone()).expect("runs");
    driver.push_all("in", kept[1..].to_vec()).expect("runs");
    let problem = |record: Record| {
        let header = record.headers.into_iter().find(|header| header.name == "millstream.problem");
        text(header.and_then(|header| header.value))
    };
    let problems = driver.dead_letters().expect("a topic").into_iter().map(problem).collect();
    (values(&mut driver), problems)
}

#[test]
fn calls_are_made_again_and_given_up() {
    let retry = |attempts| AsyncRetry { attempts, back_off: Duration::from_millis(1) };
    let timeout = Duration::from_millis(60);
    let (found, problems) = flaky(3, AsyncOptions { retry: retry(3), timeout, ..AsyncOptions::default() });
    assert_eq!(found, ["a@0"]);
    assert_eq!(problems, ["no answer came within 60ms", "the call panicked"]);
    let (found, problems) = flaky(3, AsyncOptions { retry: retry(2), timeout, ..AsyncOptions::default() });
    assert_eq!((found.len(), problems[0].as_str()), (0, "attempt 2 failed"));
}

#[test]
fn options_that_cannot_be_are_refused() {
    let check = |options: AsyncOptions, most: usize| {
        let builder = StreamsBuilder::new();
        let numbers = builder.stream::<String, String>("in", Consumed::kafka());
        let _ = numbers.map_values_batch_async(most, |_| async { Ok(Vec::<String>::new()) }, options);
        builder.build().err().map(|error| error.to_string())
    };
    let usual = AsyncOptions::default();
    assert_eq!(check(usual, 1), None);
    let refused = |problem: &str| Some(format!("map-values-async: {problem}"));
    assert_eq!(check(usual, 0), refused("a call needs a record at least"));
    assert_eq!(check(AsyncOptions { max_in_flight: 0, ..usual }, 1), refused("at least one call must be in flight"));
    let never = AsyncRetry { attempts: 0, ..AsyncRetry::default() };
    assert_eq!(check(AsyncOptions { retry: never, ..usual }, 1), refused("at least one attempt must be made"));
    let timeout = Duration::ZERO;
    assert_eq!(check(AsyncOptions { timeout, ..usual }, 1), refused("the timeout must be longer than nothing"));
}

#[test]
fn an_application_ends_though_a_call_does_not() {
    let asked = Arc::new(Notify::new());
    let builder = StreamsBuilder::new();
    let told = Arc::clone(&asked);
    let hanging = builder.stream::<String, String>("in", Consumed::kafka()).map_values_async(
        move |_, _| {
            told.notify_one();
            std::future::pending::<Result<String, ProcessorError>>()
        },
        AsyncOptions { timeout: Duration::from_secs(3_600), ..AsyncOptions::default() },
    );
    hanging.to("out", Produced::kafka());
    let topology = builder.build().expect("legal");
    let log: SharedLog = Arc::new(MemoryLog::new());
    for topic in ["in", "out"] {
        log.create_topic(&TopicName::new(topic).expect("legal"), &TopicConfig::default()).expect("made");
    }
    let partition = TopicPartition::new(TopicName::new("in").expect("legal"), PartitionId(0));
    let records: Records = [Record::new("k", "a")].into_iter().collect();
    let transaction = Transaction { appends: vec![Append { partition: partition.clone(), records }], offsets: vec![] };
    log.producer("test").expect("opens").commit(transaction).expect("commits");
    let directory = tempfile::tempdir().expect("a directory");
    let state = StateBackend::open(StateConfig::new(directory.path(), 16 << 20)).expect("opens");
    let start =
        || Streams::start(&topology, StreamsConfig::new("app", log.clone(), Arc::clone(&state))).expect("starts");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("starts");
    let streams = start();
    runtime.block_on(asked.notified());
    let error = streams.stop().expect_err("what it was asked about is not committed");
    assert!(error.contains("1 calls had no answer"), "{error}");
    let streams = start();
    runtime.block_on(asked.notified());
    drop(streams);
    let group = millstream::record::GroupId::new("app-0").expect("legal");
    let committed = log.committed(&group, &partition).expect("readable");
    assert!(committed.is_none_or(|position| position.next == Offset::ZERO), "it will be asked again");
}
