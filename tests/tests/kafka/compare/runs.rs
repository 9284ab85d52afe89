//! One side of a comparison as a process, and what it took.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use millstream_tests::kafka_cluster::{Guarded, KafkaCluster};
use serde_json::Value;

use super::side::{JOB, Job};

/// Who does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Millstream,
    KafkaStreams,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Millstream, Self::KafkaStreams];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Millstream => "millstream",
            Self::KafkaStreams => "kafka-streams",
        }
    }

    fn command(self, cluster: &KafkaCluster, job: &Job) -> Command {
        match self {
            Self::Millstream => {
                let mut command = Command::new(std::env::current_exe().expect("a test knows where it is"));
                command.args(["--ignored", "--exact", "--nocapture", "compare::side::side"]);
                command.env(JOB, serde_json::to_string(job).expect("text and numbers"));
                command
            }
            Self::KafkaStreams => {
                let until = job.until.map_or_else(|| "stopped".to_owned(), |records| records.to_string());
                let Job { workload, bootstrap, application, directory, inputs, .. } = job;
                let arguments = [workload, bootstrap, application, directory, "1", &until, inputs];
                let options = ["-Xmx2g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"];
                cluster.java(&options, "KafkaStreamsSide", &arguments)
            }
        }
    }
}

/// A process of one side, on the second core where that can be had: the broker has the first.
pub(super) struct Run {
    process: Guarded,
    log: PathBuf,
}

impl Run {
    pub(super) fn start(cluster: &KafkaCluster, side: Side, job: &Job) -> Self {
        let log = cluster.directory().join(format!("{}.log", job.application));
        drop(fs::remove_file(&log));
        let command = pinned(side.command(cluster, job));
        Self { process: Guarded::spawn(&command, &log), log }
    }

    /// Waits for its end, and for its report.
    pub(super) fn wait(self) -> Value {
        assert!(self.process.ended_within(Duration::from_secs(3600)), "no end after an hour\n{}", self.said());
        self.report()
    }

    /// Tells it to end.
    pub(super) fn stop(self) -> Value {
        self.process.signal("TERM");
        assert!(self.process.ended_within(Duration::from_secs(120)), "it does not stop\n{}", self.said());
        self.report()
    }

    pub(super) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(super) fn runs(&self) -> bool {
        self.process.runs()
    }

    fn report(&self) -> Value {
        let said = self.said();
        let line = said.lines().rev().find(|line| line.starts_with('{'));
        let line = line.unwrap_or_else(|| panic!("it has said nothing of what it took:\n{said}"));
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }
}

/// The same command on the second core.
fn pinned(command: Command) -> Command {
    if !can_pin() {
        return command;
    }
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", "1"]).arg(command.get_program()).args(command.get_args());
    pinned.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    pinned
}

/// Puts a broker on the first core.
pub(super) fn pin_broker(cluster: &KafkaCluster) {
    if can_pin() {
        let status = Command::new("taskset").args(["-a", "-c", "-p", "0", &cluster.pid(1).to_string()]).output();
        assert!(status.is_ok_and(|output| output.status.success()), "the broker cannot be put on a core");
    }
}

/// Whether there are two cores and a way to choose one.
pub(super) fn can_pin() -> bool {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    cores >= 2 && Command::new("taskset").arg("-V").output().is_ok()
}
