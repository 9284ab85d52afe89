//! State larger than the memory budget: a count per key over more keys than memory can hold, and how much memory that takes.
//!
//! Memory is measured in a process of its own: this test binary, started again for the one test that does the work.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arrow::{
    array::{AsArray, Int64Array},
    datatypes::{DataType, Field, Int64Type},
};
use millstream::{
    StreamsBuilder,
    dsl::{Materialized, SourceOptions},
    expression::{count, lit},
    format::{Format, Wrapping},
    log::{
        Append, SharedLog, TopicConfig, Transaction,
        embedded::{Durability, EmbeddedConfig, EmbeddedLog},
        partition_for_key,
    },
    record::{PartitionId, RecordRef, RecordsBuilder, Timestamp, TopicPartition},
    runtime::{Status, Streams, StreamsConfig},
    topology::{Formats, OffsetReset, TimestampExtractor},
};
use millstream_state::{StateBackend, StateConfig};

use super::topics::topic;

const PARTITIONS: u32 = 2;
/// What a process needs beside its stores: uncommitted work, batches being decoded, RocksDB's own threads, what the allocator keeps.
/// With a budget that these keys do not exceed, the same run takes about 1,700 MiB in all; with this one, about 800 MiB.
const ALLOWANCE_MIB: u64 = 768;
/// How the parent tells the child what to do.
const TASK: &str = "MILLSTREAM_TEST_MEMORY";

/// Counts keys in a child process; fails if results are wrong or the child takes more memory than it may.
fn check(keys: u64, budget_mib: u64) {
    let child = Command::new(std::env::current_exe().expect("a test knows where it is"))
        .args(["--exact", "memory::child_that_counts", "--ignored", "--nocapture", "--test-threads", "1"])
        .env(TASK, format!("{keys} {budget_mib}"))
        .output()
        .expect("the child starts");
    let said = String::from_utf8_lossy(&child.stderr);
    let figures = said.lines().filter(|line| line.starts_with("memory:")).collect::<Vec<_>>().join("\n");
    assert!(child.status.success(), "{}\n{said}", String::from_utf8_lossy(&child.stdout));
    assert!(!figures.is_empty(), "the child did nothing:\n{said}");
    eprintln!("{figures}");
}

#[test]
fn ten_million_keys_under_a_budget_of_256_mib() {
    check(10_000_000, 256);
}

#[test]
#[ignore = "the other half of the test above, in a process of its own"]
fn child_that_counts() {
    let Ok(task) = std::env::var(TASK) else { return };
    let (keys, budget_mib) = task.split_once(' ').expect("two numbers");
    count_keys(keys.parse().expect("a number"), budget_mib.parse().expect("a number"));
}

/// The key with a number: all over the range, so that neighbours in the input are none in the store.
fn scattered(number: u64) -> [u8; 8] {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()
}

/// Every key once, then every fourth again: by then most are out of memory and have to be fetched.
fn fill(log: &SharedLog, keys: u64) {
    log.create_topic(&topic("events"), &TopicConfig { partitions: PARTITIONS, ..TopicConfig::default() })
        .expect("a topic");
    let mut producer = log.producer("tests").expect("a producer opens");
    let numbers: Vec<u64> = (0..keys).chain((0..keys).step_by(4)).collect();
    for part in numbers.chunks(200_000) {
        let mut builders: Vec<RecordsBuilder> = (0..PARTITIONS).map(|_| RecordsBuilder::default()).collect();
        for number in part {
            let key = scattered(*number);
            let record = RecordRef {
                key: Some(&key),
                value: Some(&[0, 0, 0, 0, 0, 0, 0, 1]),
                timestamp: Timestamp(0),
                headers: &[],
            };
            builders[partition_for_key(&key, PARTITIONS).0 as usize].push(record);
        }
        let append = |(partition, mut builder): (u32, RecordsBuilder)| Append {
            partition: TopicPartition::new(topic("events"), PartitionId(partition)),
            records: builder.finish(),
        };
        let appends = (0..).zip(builders).map(append).collect();
        producer.commit(Transaction { appends, offsets: Vec::new() }).expect("committed");
    }
}

fn count_keys(keys: u64, budget_mib: u64) {
    let directory = tempfile::tempdir().expect("a directory");
    let config = EmbeddedConfig { durability: Durability::Os, ..EmbeddedConfig::default() };
    let log: SharedLog = EmbeddedLog::open(&directory.path().join("log"), config).expect("the log opens");
    fill(&log, keys);
    let state = StateBackend::open(StateConfig::new(directory.path().join("state"), (budget_mib << 20) as usize));
    let state = state.expect("the state opens");

    let builder = StreamsBuilder::new();
    let field = |name: &str| Arc::new(Field::new(name, DataType::Int64, true));
    let options = SourceOptions {
        key: vec![field("K")],
        value: vec![field("V")],
        parts: Vec::new(),
        window: millstream::schema::WindowKind::None,
        formats: Formats { key: Format::Kafka, value: Format::Kafka, wrapping: Wrapping::Unwrapped },
        timestamp: TimestampExtractor::Record,
        reset: OffsetReset::Earliest,
    };
    let group = builder.stream_columns("events", options).group_by_key();
    group.aggregate(&[count(lit(1_i64)).alias("N")], Materialized::named("counts"));
    let topology = builder.build().expect("a topology");

    let before_mib = status_mib("RssAnon:");
    let sampler = Sampler::start();
    let config = StreamsConfig { threads: 2, ..StreamsConfig::new("memory", Arc::clone(&log), Arc::clone(&state)) };
    let streams = Streams::start(&topology, config).expect("it starts");
    let mut stores_bytes = 0;
    while streams.lag().expect("the lag is known") > 0 {
        assert_eq!(streams.status(), Status::Running);
        stores_bytes = stores_bytes.max(state.memory_usage().total_bytes());
        std::thread::sleep(Duration::from_millis(10));
    }
    let (mut rows, mut records) = (0_u64, 0_i64);
    let view = streams.view("counts").expect("the view is there");
    let scan = view.snapshot().expect("it can be read").scan(8192, &mut |batch| {
        let counts: &Int64Array = batch.column_by_name("N").ok_or("no column N")?.as_primitive::<Int64Type>();
        rows += batch.num_rows() as u64;
        records += arrow::compute::sum(counts).unwrap_or_default();
        Ok(())
    });
    scan.expect("it can be scanned");
    let peak_mib = sampler.stop();
    let metrics = streams.metrics();
    streams.stop().expect("it stops in order");
    eprintln!(
        "memory: {keys} keys, budget {budget_mib} MiB, private memory {before_mib} MiB before and at most {peak_mib} MiB, most resident {} MiB, stores at most {} MiB, {} commits",
        status_mib("VmHWM:"),
        stores_bytes >> 20,
        metrics.commits
    );
    assert_eq!(rows, keys, "a row for each key");
    assert_eq!(records as u64, keys + keys.div_ceil(4), "the counts are those of all records");
    assert!(metrics.dead_letters.is_empty(), "{:?}", metrics.dead_letters);
    // RocksDB's block cache and memtables go beyond their shares for moments (24 MiB was seen): a quarter is allowed for that.
    let stores_limit = (budget_mib << 20) / 4 * 5;
    assert!(stores_bytes as u64 <= stores_limit, "stores took {stores_bytes} bytes, more than {stores_limit}");
    assert!(peak_mib <= budget_mib + ALLOWANCE_MIB, "{peak_mib} MiB is more than {budget_mib} and {ALLOWANCE_MIB}");
}

/// A figure of `/proc/self/status`.
fn status_mib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells about its processes");
    let line = status.lines().find(|line| line.starts_with(name)).expect("the figure is there");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number of KiB") >> 10
}

/// Watches the private memory of the process (`RssAnon`): pages of mapped log files are the system's to take back.
struct Sampler {
    stop: Arc<AtomicBool>,
    peak_mib: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<()>,
}

impl Sampler {
    fn start() -> Self {
        let (stop, peak_mib) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (told, peak) = (Arc::clone(&stop), Arc::clone(&peak_mib));
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Acquire) {
                peak.fetch_max(status_mib("RssAnon:"), Ordering::AcqRel);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Self { stop, peak_mib, thread }
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Release);
        self.thread.join().expect("the sampler does not panic");
        self.peak_mib.load(Ordering::Acquire)
    }
}
