//! The pipeline that is under fire, and the process that runs it: this test binary, started with the name of [`worker`].
//!
//! Numbered records are moved to the partition of another key, and there counted and summed; every update goes to a topic:
//!
//! ```text
//! numbers (8 partitions)      key "17", value "17"
//!   -> totals-repartition     key "g1" (17 modulo 16), value "17"
//!   -> totals                 key "g1", value {"count":2,"sum":18}
//! ```

use std::{fs, path::Path, time::Duration};

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Produced},
    operator::EmitPolicy,
    runtime::{Status, Streams, StreamsConfig},
    topology::Topology,
};
use millstream_state::{StateBackend, StateConfig};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::kafka_log;

/// The variable that says what a worker is to do: see [`Work`].
pub(super) const WORK: &str = "MILLSTREAM_FAULTS_WORK";

/// Into how many groups numbers are put.
pub(super) const GROUPS: u64 = 64;

/// What a worker is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Work {
    pub(super) bootstrap: String,
    pub(super) application: String,
    /// Where it keeps its files.
    pub(super) directory: String,
    pub(super) threads: usize,
    pub(super) session_timeout_ms: u64,
    pub(super) transaction_timeout_ms: u64,
    pub(super) standby_replicas: usize,
}

/// The running state of a group of numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Total {
    pub(super) count: i64,
    pub(super) sum: i64,
}

/// The group of a number.
pub(super) fn group(number: u64) -> String {
    format!("g{}", number % GROUPS)
}

pub(super) fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    let number = |text: &str| text.parse::<u64>().expect("values are numbers");
    builder
        .stream::<String, String>("numbers", Consumed::kafka())
        .select_key(move |_, value| group(number(value)))
        .group_by_key()
        .aggregate(
            Total::default,
            move |_: &String, value: String, total: Total| Total {
                count: total.count + 1,
                sum: total.sum + number(&value) as i64,
            },
            "totals-by-group",
        )
        .to_stream()
        .to("totals", Produced::json());
    builder.build().expect("the topology is legal")
}

/// The name of the process, which lasts as long as its files do.
fn process_name(directory: &Path) -> String {
    let file = directory.join("name");
    fs::read_to_string(&file).unwrap_or_else(|_| {
        let name = format!("worker-{}", std::process::id());
        fs::write(&file, &name).expect("the directory can be written");
        name
    })
}

/// Runs the pipeline until it is told to stop by SIGTERM; it fails when the pipeline does.
#[test]
#[ignore = "a process of the tests of faults"]
fn worker() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    let work = std::env::var(WORK).expect("it is told what to do");
    let work: Work = serde_json::from_str(&work).expect("it is JSON");
    let directory = Path::new(&work.directory);
    fs::create_dir_all(directory).expect("the directory can be made");
    let connection = kafka_log::Connection {
        process: Some(process_name(directory)),
        transaction_timeout: Some(Duration::from_millis(work.transaction_timeout_ms)),
        ..kafka_log::Connection::to(&work.bootstrap)
    };
    let log = connection.open();
    let state = StateBackend::open(StateConfig::new(directory.join("state"), 64 << 20)).expect("state opens");
    let config = StreamsConfig {
        threads: work.threads,
        emit: EmitPolicy::Record,
        session_timeout: Duration::from_millis(work.session_timeout_ms),
        standby_replicas: work.standby_replicas,
        ..StreamsConfig::new(&work.application, log, state)
    };
    let streams = Streams::start(&topology(), config).expect("it starts");
    eprintln!("started");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut term = signal(SignalKind::terminate()).expect("signals can be had");
        loop {
            match tokio::time::timeout(Duration::from_millis(100), term.recv()).await {
                Ok(_) => return,
                Err(_) => assert_eq!(streams.status(), Status::Running),
            }
        }
    });
    eprintln!("stopping");
    streams.stop().expect("it stops");
    eprintln!("stopped");
}
