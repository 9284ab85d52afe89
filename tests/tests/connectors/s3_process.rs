//! A process that fills a topic with orders and writes it to S3: what the tests kill, and put to sleep.
//!
//! Order n lies in partition n % 2, at offset n / 2, so what is there says which come next, and a copy of the log goes on as the log does. All of
//! rows, parts and wall clock end files. It ends when all orders are written, or with the error of its connector; it says which.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use millstream::{
    log::SharedLog,
    record::{Offset, PartitionId, TopicPartition},
};
use millstream_connectors::{
    ConnectorState, RunningConnector,
    file_format::{Compression, WrittenFormat},
    rows::{RowKind, TopicRows},
    s3::{Partitioner, Rotation, S3Sink},
};
use millstream_tests::kafka_cluster::Guarded;

use super::{
    log::{append_to, make_topic, open_log, topic},
    orders::{bucket, large_order, order, order_rows, start},
};

/// The bucket, and the connector.
pub(crate) const NAME: &str = "faults";
const PARTITIONS: u64 = 2;
const BEGUN: &str = "the connector has committed";
const WRITTEN: &str = "all orders are written";
const FAILED: &str = "the connector has failed: ";
/// How long it may take for the rest.
const PATIENCE: Duration = Duration::from_secs(150);

/// What orders are written into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Files {
    /// Parquet, by directories.
    Parquet,
    /// JSON of large orders, in parts.
    Parts,
}

impl Files {
    /// Orders of one transaction.
    fn step(self) -> u64 {
        match self {
            Self::Parquet => 100,
            Self::Parts => 10,
        }
    }
}

/// What is written, and where to.
pub(crate) struct Work {
    /// The server, or a proxy in front of it.
    pub(crate) url: String,
    pub(crate) orders: u64,
    /// How long it waits after each transaction: of 100 orders, or of 10 large ones.
    pub(crate) pause: Duration,
    pub(crate) files: Files,
}

/// The process.
pub(crate) struct Writer {
    folder: PathBuf,
    /// How much former processes have said.
    said_before: usize,
    process: Guarded,
}

impl Writer {
    /// Starts it on the log in a folder, which is made if it is not there.
    pub(crate) fn spawn(folder: &Path, work: &Work) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("it runs"));
        command.args(["--ignored", "--exact", "s3_process::child", "--nocapture"]);
        command.env("S3_CHILD_FOLDER", folder).env("S3_CHILD_URL", &work.url);
        command.env("S3_CHILD_ORDERS", work.orders.to_string());
        command.env("S3_CHILD_PAUSE_MS", work.pause.as_millis().to_string());
        command.env("S3_CHILD_FILES", format!("{:?}", work.files));
        fs::create_dir_all(folder).expect("a folder");
        let output = folder.join("output");
        let said_before = fs::read(&output).map_or(0, |said| said.len());
        Self { folder: folder.to_owned(), said_before, process: Guarded::spawn(&command, &output) }
    }

    /// Kills it and starts it again.
    pub(crate) fn restart(self, work: &Work) -> Self {
        let folder = self.folder.clone();
        drop(self);
        Self::spawn(&folder, work)
    }

    pub(crate) fn runs(&self) -> bool {
        self.process.runs()
    }

    pub(crate) fn pause(&self) {
        self.process.signal("STOP");
    }

    pub(crate) fn resume(&self) {
        self.process.signal("CONT");
    }

    /// Copies its log, for another process; it must stand still.
    pub(crate) fn copy_log(&self, to: &Path) {
        copy(&self.folder.join("log"), &to.join("log"));
    }

    fn said(&self) -> String {
        let said = fs::read(self.folder.join("output")).unwrap_or_default();
        String::from_utf8_lossy(said.get(self.said_before..).unwrap_or_default()).into_owned()
    }

    /// Waits until its connector has written for the first time, or it has ended.
    pub(crate) fn wait_until_begun(&self) {
        let step = Duration::from_millis(20);
        for _ in 0..PATIENCE.as_millis() / step.as_millis() {
            if self.said().contains(BEGUN) || !self.runs() {
                return;
            }
            thread::sleep(step);
        }
        panic!("it does not begin:\n{}", self.said());
    }

    /// Waits until it has ended with the error of its connector.
    pub(crate) fn error(&self) -> String {
        self.wait();
        let said = self.said();
        let error = said.lines().find_map(|line| line.split_once(FAILED)).map(|(_, error)| error.to_owned());
        error.unwrap_or_else(|| panic!("it has not failed:\n{said}"))
    }

    /// Waits until it has ended because all is written.
    pub(crate) fn wait_until_written(&self) {
        self.wait();
        assert!(self.said().contains(WRITTEN), "it has failed:\n{}", self.said());
    }

    fn wait(&self) {
        assert!(self.process.ended_within(PATIENCE), "it does not end:\n{}", self.said());
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("it is there").flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("copied");
        }
    }
}

fn sink(url: &str, files: Files) -> S3Sink {
    let mut of = bucket(url, NAME);
    of.timeout = Duration::from_secs(2);
    let schedule = Some(Duration::from_millis(150));
    let format = match files {
        Files::Parquet => WrittenFormat::Parquet(Compression::Snappy),
        Files::Parts => WrittenFormat::Json(Compression::None),
    };
    let sink = S3Sink::new(of, vec![topic("orders")], format);
    match files {
        Files::Parquet => S3Sink {
            rotation: Rotation { rows: 150, schedule, ..Rotation::default() },
            partitioner: Partitioner::Field(vec!["NAME".into()]),
            ..sink
        },
        Files::Parts => S3Sink {
            rotation: Rotation {
                rows: 100,
                schedule: schedule.map(|wait| wait * 10),
                part_bytes: 5 << 20,
                ..Rotation::default()
            },
            ..sink
        },
    }
}

/// Fills the topic up to a count of orders, at a pace, and writes it out.
#[test]
#[ignore = "the process that other tests kill"]
fn child() {
    let variable = |name: &str| std::env::var(name).expect("the parent sets it");
    let number = |name: &str| variable(name).parse::<u64>().expect("a number");
    let log = open_log(&Path::new(&variable("S3_CHILD_FOLDER")).join("log"));
    if log.describe_topic(&topic("orders")).is_err() {
        make_topic(log.as_ref(), "orders", PARTITIONS as u32);
    }
    let files = if variable("S3_CHILD_FILES") == "Parts" { Files::Parts } else { Files::Parquet };
    let rows = match files {
        Files::Parquet => order_rows("orders", RowKind::Stream),
        // Values are written as they are.
        Files::Parts => TopicRows::default(),
    };
    let running = start(NAME, sink(&variable("S3_CHILD_URL"), files), rows, &log);
    let (orders, pause) = (number("S3_CHILD_ORDERS"), Duration::from_millis(number("S3_CHILD_PAUSE_MS")));
    let mut has_begun = false;
    while !has_failed(&running) {
        if !has_begun && running.status().commits > 0 {
            has_begun = true;
            eprintln!("{BEGUN}");
        }
        (0..PARTITIONS).for_each(|partition| append_next(&log, partition, files, orders));
        thread::sleep(pause);
        if (0..PARTITIONS).map(|partition| end(&log, partition)).sum::<u64>() == orders
            && running.is_idle().expect("the log answers")
        {
            eprintln!("{WRITTEN}");
            return;
        }
    }
}

/// Whether the connector has failed, which it says.
fn has_failed(running: &RunningConnector) -> bool {
    let status = running.status();
    if status.state != ConnectorState::Failed {
        return false;
    }
    eprintln!("{FAILED}{}", status.last_error.unwrap_or_default());
    true
}

fn end(log: &SharedLog, partition: u64) -> u64 {
    let partition = TopicPartition::new(topic("orders"), PartitionId(partition as u32));
    log.end_offset(&partition).unwrap_or(Offset(0)).0
}

fn append_next(log: &SharedLog, partition: u64, files: Files, orders: u64) {
    let next = end(log, partition);
    let numbers = (next..next + files.step() / PARTITIONS).map(|offset| offset * PARTITIONS + partition);
    let make = match files {
        Files::Parquet => order,
        Files::Parts => large_order,
    };
    let records = numbers.filter(|n| *n < orders).map(make).collect::<Vec<_>>();
    if !records.is_empty() {
        append_to(log.as_ref(), "orders", partition as u32, records);
    }
}
