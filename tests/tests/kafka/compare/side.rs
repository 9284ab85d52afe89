//! Our side of the comparison: the workloads of `tests/kafka/KafkaStreamsSide.java`, in a process of its own.

use std::{fs, path::Path, thread, time::Duration};

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Produced},
    runtime::{Clock, Status, Streams, StreamsConfig, SystemClock},
    topology::Topology,
    window::TimeWindows,
};
use millstream_state::{StateBackend, StateConfig};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

use crate::kafka_log::Connection;

/// The variable that says what is to be done: see [`Job`].
pub(super) const JOB: &str = "MILLSTREAM_COMPARE_JOB";

/// The memory for state.
const STATE_BYTES: usize = 256 << 20;
const WINDOW: Duration = Duration::from_secs(10);

/// What one process does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Job {
    /// `count` or `join`.
    pub(super) workload: String,
    pub(super) bootstrap: String,
    /// The application; its output is the topic `APPLICATION-out`.
    pub(super) application: String,
    pub(super) directory: String,
    /// The records to process; `None` means until SIGTERM.
    pub(super) until: Option<u64>,
    /// The inputs are the topics `INPUTS-bids` and `INPUTS-bidders`.
    pub(super) inputs: String,
}

fn topology(job: &Job) -> Topology {
    let builder = StreamsBuilder::new();
    let bids = builder.stream::<String, String>(&format!("{}-bids", job.inputs), Consumed::kafka());
    let output = format!("{}-out", job.application);
    match job.workload.as_str() {
        "count" => {
            let windows = TimeWindows::tumbling(WINDOW, WINDOW).expect("legal");
            let counts = bids.group_by_key().windowed_by(windows).count("counts-by-key");
            counts.to_stream().to(&output, Produced::kafka());
        }
        "join" => {
            let topic = format!("{}-bidders", job.inputs);
            let bidders = builder.table::<String, String>(&topic, Consumed::kafka(), "bidders-store".into());
            let joined = bids.join(&bidders, |_, bid: String, bidder: String| bid + &bidder);
            joined.to(&output, Produced::kafka());
        }
        other => panic!("unknown workload {other}"),
    }
    builder.build().expect("the topology is legal")
}

/// Runs a job to its end, and prints what it took.
#[test]
#[ignore = "a process of the comparison"]
fn side() {
    let job = std::env::var(JOB).expect("it is told what to do");
    let job: Job = serde_json::from_str(&job).expect("it is JSON");
    let clock = SystemClock::default();
    let log = Connection::to(&job.bootstrap).open();
    let state = StateConfig::new(Path::new(&job.directory), STATE_BYTES);
    let state = StateBackend::open(state).expect("state opens");
    let streams = Streams::start(&topology(&job), StreamsConfig::new(&job.application, log, state));
    let streams = streams.expect("it starts");
    match job.until {
        Some(records) => {
            while streams.metrics().records_in < records {
                assert_eq!(streams.status(), Status::Running);
                thread::sleep(Duration::from_millis(20));
            }
        }
        None => wait_for_signal(&streams),
    }
    let metrics = streams.metrics();
    streams.stop().expect("it stops");
    let seconds = clock.monotonic().as_secs_f64();
    let report = serde_json::json!({
        "seconds": seconds,
        "cpu_seconds": cpu_seconds("self"),
        "peak_memory_mib": peak_memory_mib(),
        "commits": metrics.commits,
        "records_restored": metrics.records_restored,
    });
    // A line of its own: the harness has begun one with the name of the test.
    eprintln!("\n{report}");
}

fn wait_for_signal(streams: &Streams) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut term = signal(SignalKind::terminate()).expect("signals can be had");
        while tokio::time::timeout(Duration::from_millis(100), term.recv()).await.is_err() {
            assert_eq!(streams.status(), Status::Running);
        }
    });
}

/// What a process has used of the CPU. Linux shows 100 ticks a second whatever the kernel's own rate.
pub(super) fn cpu_seconds(pid: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) / 100.0
}

fn peak_memory_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() / 1024
}
