//! Several processes that are the same Postgres sink at once, each with the same log: the newest one writes, the others end fenced, and every
//! record is in its table once.
//!
//! A process is stopped (SIGSTOP) at any moment, its log is copied, and a second process opens the copy: that is what a machine amounts to that
//! was taken for dead and replaced, with its disk. Then the first one wakes up. `MILLSTREAM_CONNECTOR_FAULTS=n` sets how often, a fourth of it
//! (default 8: twice); in the end two of them start at the same time.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use arrow::datatypes::DataType;
use millstream_connectors::{
    Direction,
    rows::{RowKind, TopicRows},
    runtime::start,
};
use millstream_tests::{kafka_cluster::Guarded, postgres_server::PostgresServer};
use rand::RngExt;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::{
    log::{append, make_topic, open_log, record},
    postgres_faults::commits,
    running::{columns, config, rows_of, wait_until_drained},
};

const CHILD: &str = "postgres_rivals::child_that_sinks";
const SEED: u64 = 20_261_129;
/// Records of each topic, at least, and for each fault: so many that there is something to write until the end.
const RECORDS: i64 = 20_000;
const RECORDS_A_FAULT: i64 = 1_500;
const KEYS: i64 = 300;
const PATIENCE: Duration = Duration::from_secs(60);

fn settings(port: u16) -> String {
    format!(
        "connector.class=postgres topics=events,stock connection.url=postgresql://127.0.0.1:{port}/shop connection.user=postgres auto.create=true \
         max.retries=1000000 batch.rows=40"
    )
}

/// `events` is appended to, so that what is written twice is there twice; rows of `stock` are written again and again, so that rivals meet.
fn rows() -> TopicRows {
    let value = [("AMOUNT", DataType::Int64)];
    rows_of(&[("events", columns(RowKind::Stream, &value)), ("stock", columns(RowKind::Table, &value))])
}

/// Sinks until it fails, and says why.
#[test]
#[ignore = "the child process of another test"]
fn child_that_sinks() {
    let variable = |name: &str| std::env::var(name).expect("the parent sets it");
    let log = open_log(Path::new(&variable("LOG")));
    let port = variable("PORT").parse().expect("a port");
    let running = start("twin", config(Direction::Sink, &settings(port), rows()), log).expect("started");
    let failed = |status: &millstream_connectors::ConnectorStatus| status.state.to_string() == "FAILED";
    let status = running.wait_for_status(None, failed).expect("it waits for ever");
    eprintln!("ended: {:?}", status.last_error);
}

struct Twin {
    process: Guarded,
    log: PathBuf,
}

impl Twin {
    /// Opens a log of its own, a copy of another one's.
    fn spawn(server: &PostgresServer, from: &Path, name: &str) -> Self {
        let log = from.with_file_name(name);
        copy(from, &log);
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", CHILD, "--ignored", "--nocapture"]);
        command.env("LOG", &log).env("PORT", server.port().to_string());
        Self { process: Guarded::spawn(&command, &log.with_extension("output")), log }
    }

    fn said(&self) -> String {
        fs::read_to_string(self.log.with_extension("output")).unwrap_or_default()
    }

    fn is_fenced(&self) -> bool {
        self.said().contains("ended: Some(") && self.said().contains("fenced: another connector named twin")
    }

    /// It must end, and because of the other one.
    fn wait_until_fenced(&self) {
        assert!(self.process.ended_within(PATIENCE), "it goes on writing:\n{}", self.said());
        assert!(self.is_fenced(), "it ended for another reason:\n{}", self.said());
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-r").arg(from).arg(to).status().expect("cp is there");
    assert!(copied.success(), "{} is copied", from.display());
}

/// Waits for a commit; how long it took.
fn wait_for_commit(server: &PostgresServer, twin: &Twin) -> Duration {
    #[expect(clippy::disallowed_methods, reason = "how long it takes is what is measured")]
    let start = Instant::now();
    let before = commits(server);
    while commits(server) == before {
        assert!(start.elapsed() < PATIENCE && twin.process.runs(), "nothing is written any more:\n{}", twin.said());
        thread::sleep(Duration::from_millis(2));
    }
    start.elapsed()
}

#[test]
fn the_newest_of_several_writes_and_nothing_is_doubled() {
    let Some(server) = PostgresServer::start() else { return };
    let faults: u32 = std::env::var("MILLSTREAM_CONNECTOR_FAULTS").map_or(8, |count| count.parse().expect("a count"));
    let seed = std::env::var("MILLSTREAM_CONNECTOR_SEED").map_or(SEED, |seed| seed.parse().expect("a number"));
    eprintln!("MILLSTREAM_CONNECTOR_SEED={seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let count = RECORDS.max(RECORDS_A_FAULT * i64::from(faults));
    let directory = tempfile::tempdir().expect("a directory");
    let origin = directory.path().join("origin");
    let log = open_log(&origin);
    let value = |amount: i64| format!(r#"{{"AMOUNT":{amount}}}"#);
    for (name, keys) in [("events", count), ("stock", KEYS)] {
        make_topic(log.as_ref(), name, 2);
        let all: Vec<_> = (0..count).map(|n| record(n % keys, Some(&value(n)))).collect();
        append(log.as_ref(), name, &all);
    }
    drop(log);
    let mut writer = Twin::spawn(&server, &origin, "log-0");
    let mut longest = Duration::ZERO;
    for round in 1..=faults.div_ceil(4) {
        wait_for_commit(&server, &writer);
        thread::sleep(Duration::from_millis(random.random_range(0..60)));
        writer.process.signal("STOP");
        let successor = Twin::spawn(&server, &writer.log, &format!("log-{round}"));
        longest = longest.max(wait_for_commit(&server, &successor));
        writer.process.signal("CONT");
        wait_for_commit(&server, &successor);
        writer.wait_until_fenced();
        writer = successor;
    }
    // Two at the same time: whoever opened it last goes on.
    let last = writer.log.clone();
    drop(writer);
    let twins = ["left", "right"].map(|name| Twin::spawn(&server, &last, name));
    for _ in 0..PATIENCE.as_millis() / 10 {
        if twins.iter().any(Twin::is_fenced) {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let [left, right] = twins;
    let (fenced, writer) = if left.is_fenced() { (left, right) } else { (right, left) };
    fenced.wait_until_fenced();
    assert!(writer.process.runs() && !writer.is_fenced(), "one goes on:\n{}", writer.said());
    let log = writer.log.clone();
    drop(writer);
    let log = open_log(&log);
    let running = start("twin", config(Direction::Sink, &settings(server.port()), rows()), log).expect("started");
    wait_until_drained(&running);
    running.stop();
    eprintln!("longest until a successor has written: {longest:?}");
    let events = server.shop("SELECT count(*), count(DISTINCT id), min(id), max(id) FROM events");
    assert_eq!(events, format!("{count}|{count}|0|{}\n", count - 1));
    let stock = server.shop("SELECT id, amount FROM stock ORDER BY id");
    let newest = |key: i64| (0..count).rev().find(|n| n % KEYS == key).expect("there is one");
    let expected: String = (0..KEYS).map(|key| format!("{key}|{}\n", newest(key))).collect();
    assert_eq!(stock, expected);
}
