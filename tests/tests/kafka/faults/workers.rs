//! The workers from outside: processes that are started, killed, frozen and told to stop.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use millstream_tests::kafka_cluster::{Guarded, KafkaCluster};

use super::{
    pipeline::{WORK, Work},
    plan::Files,
};

/// Whose workers they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Millstream,
    /// The same pipeline in Kafka Streams, for comparison.
    KafkaStreams,
}

/// The workers that run.
pub(super) struct Workers {
    side: Side,
    template: Work,
    directory: PathBuf,
    running: BTreeMap<usize, Guarded>,
}

impl Workers {
    pub(super) fn new(side: Side, template: Work, directory: &Path) -> Self {
        Self { side, template, directory: directory.to_owned(), running: BTreeMap::new() }
    }

    fn files(&self, worker: usize) -> PathBuf {
        self.directory.join(format!("worker-{worker}"))
    }

    fn log(&self, worker: usize) -> PathBuf {
        self.directory.join(format!("worker-{worker}.log"))
    }

    pub(super) fn start(&mut self, cluster: &KafkaCluster, worker: usize) {
        let directory = self.files(worker).to_string_lossy().into_owned();
        let command = match self.side {
            Side::Millstream => self.millstream(directory),
            Side::KafkaStreams => self.kafka_streams(cluster, &directory),
        };
        self.running.insert(worker, Guarded::spawn(&command, &self.log(worker)));
    }

    fn millstream(&self, directory: String) -> Command {
        let work = Work { directory, ..self.template.clone() };
        let mut command = Command::new(std::env::current_exe().expect("a test knows where it is"));
        command.args(["--ignored", "--exact", "--nocapture", "faults::pipeline::worker"]);
        command.env(WORK, serde_json::to_string(&work).expect("text and numbers"));
        command
    }

    fn kafka_streams(&self, cluster: &KafkaCluster, directory: &str) -> Command {
        let Work { bootstrap, application, threads, .. } = &self.template;
        let threads = threads.to_string();
        let arguments = ["totals", bootstrap, application, directory, &threads, "stopped"];
        cluster.java(
            &["-Xmx256m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"],
            "KafkaStreamsSide",
            &arguments,
        )
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self, worker: usize, files: Files) {
        drop(self.running.remove(&worker).expect("it runs"));
        if files == Files::Lost {
            fs::remove_dir_all(self.files(worker)).expect("its files can be removed");
        }
    }

    /// SIGTERM; it has to end by itself.
    pub(super) fn stop(&mut self, worker: usize) {
        let process = self.running.remove(&worker).expect("it runs");
        assert!(process.terminate(Duration::from_secs(60)), "worker {worker} does not stop\n{}", self.said(worker));
        let log = self.said(worker);
        let last_words = match self.side {
            Side::Millstream => "test result: ok",
            Side::KafkaStreams => "\"seconds\"",
        };
        assert!(log.contains(last_words), "worker {worker} did not stop well\n{log}");
    }

    pub(super) fn stop_all(&mut self) {
        let workers: Vec<usize> = self.running.keys().copied().collect();
        workers.into_iter().for_each(|worker| self.stop(worker));
    }

    pub(super) fn freeze(&self, worker: usize) {
        self.running[&worker].signal("STOP");
    }

    pub(super) fn thaw(&self, worker: usize) {
        self.running[&worker].signal("CONT");
    }

    /// Fails if one has ended by itself.
    pub(super) fn assert_running(&self) {
        for (worker, process) in &self.running {
            assert!(process.runs(), "worker {worker} ended by itself\n{}", self.said(*worker));
        }
    }

    /// What all of them have said lately, for a failure.
    pub(super) fn all_said(&self) -> String {
        let said = |worker: &usize| format!("--- worker {worker}\n{}\n", self.said(*worker));
        self.running.keys().map(said).collect()
    }

    fn said(&self, worker: usize) -> String {
        let log = fs::read_to_string(self.log(worker)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}
