//! `millstream bench sink FILE`: how fast a sink connector takes made-up bids from a topic to its target.
//!
//! FILE is a script with one `CREATE SINK CONNECTOR`, as `millstream connector validate` reads it; the stream `BIDS` over the topic `bids` is
//! declared before it. The topic is filled first; then the script is run, until the connector has committed all of it. What is measured begins
//! with the script, so the connector's way to its target is in it, and files that are still open count until they end by the connector's own rules.

use std::{fs, path::PathBuf};

use clap::Args;
use millstream::log::TopicConfig;
use serde::Serialize;

use super::{
    DEFAULT_EVENTS,
    bids::{BidReader, BidWriter},
    load::{Lines, Loaded},
    measure::{Meter, Usage},
    report::mib,
    run::{topic_name, wait},
    workload::BIDS_SOURCE,
};
use crate::{
    cli::{failure::Failure, stopwatch::Stopwatch},
    engine::{CheckedConnector, ConnectorProgress, Engine, EngineConfig, check_connectors_after},
    output::group_digits,
};

/// What the connector reads.
const TOPIC: &str = "bids";
const PARTITIONS: &str = "${partitions}";

/// `millstream bench sink`
#[derive(Debug, Args)]
pub struct SinkArguments {
    /// A script with one CREATE SINK CONNECTOR, which reads the stream BIDS or the topic bids. What it writes stays at its target.
    pub file: PathBuf,
    /// How many bids.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_EVENTS, value_parser = clap::value_parser!(u64).range(1..))]
    pub events: u64,
    /// What they follow from.
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Partitions of the topic.
    #[arg(long, value_name = "P", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub partitions: u32,
    /// One JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Where the topic is: a directory that is not there yet; removed in the end.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// The outcome of a run.
#[derive(Debug, Clone, Serialize)]
pub struct SinkReport {
    /// Always `sink`.
    pub workload: &'static str,
    /// The connector's name.
    pub connector: String,
    /// Its class.
    pub class: String,
    /// What it wrote to, and what has now what it wrote.
    pub target: String,
    /// Partitions of the topic.
    pub partitions: u32,
    /// Records in the topic.
    pub events: u64,
    /// Filling the topic, before.
    pub load_seconds: f64,
    /// From the connector's declaration to its last commit.
    pub wall_seconds: f64,
    /// Processor time of all threads meanwhile; that of the target, elsewhere, is not in it.
    pub cpu_seconds: Option<f64>,
    /// Records a second.
    pub rows_per_second: f64,
    /// Millions of bytes of their values a second.
    pub mb_per_second: f64,
    /// Records that were taken, those that a query leaves out included.
    pub rows: u64,
    /// Records that the target did not take.
    pub rejected: u64,
    /// Commits.
    pub commits: u64,
    /// Attempts after errors that may pass.
    pub retries: u64,
    /// The most memory that the process held.
    pub peak_rss_bytes: Option<u64>,
    /// Bytes handed to the file system for the disk.
    pub bytes_written: Option<u64>,
}

impl SinkReport {
    /// The lines of the table, each with its name.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![
            ("connector", format!("{}, {}, {} partitions", self.connector, self.class, self.partitions)),
            ("records", group_digits(self.events)),
            ("load", format!("{:.2} s", self.load_seconds)),
            ("wall", format!("{:.2} s", self.wall_seconds)),
            ("records a second", group_digits(self.rows_per_second as u64)),
            ("payload a second", format!("{:.1} MB", self.mb_per_second)),
            ("commits", group_digits(self.commits)),
        ];
        lines.extend(self.cpu_seconds.map(|seconds| ("processor time", format!("{seconds:.2} s"))));
        lines.extend(self.peak_rss_bytes.map(|bytes| ("peak memory", mib(bytes))));
        lines.extend(self.bytes_written.map(|bytes| ("bytes written", mib(bytes))));
        if self.retries > 0 {
            lines.push(("retries", group_digits(self.retries)));
        }
        if self.rejected > 0 {
            lines.push(("not taken", format!("{} records", group_digits(self.rejected))));
        }
        lines.push(("left behind", format!("what {} records became, in {}", group_digits(self.rows), self.target)));
        lines
    }
}

impl SinkArguments {
    /// Fills the topic in `config`'s directory and runs the connector.
    ///
    /// # Errors
    /// [`Failure`]; also if the script is not one of a single sink over the topic, or the connector fails.
    pub fn run(&self, config: EngineConfig, on_progress: &mut dyn FnMut(&str)) -> Result<SinkReport, Failure> {
        let script = fs::read_to_string(&self.file).map_err(Failure::file(&self.file, "read"))?;
        let sources = BIDS_SOURCE.replace(PARTITIONS, &self.partitions.to_string());
        let connector = self.only_sink(check_connectors_after(&sources, &script)?)?;
        let engine = Engine::open(config)?;
        let watch = Stopwatch::start();
        let loaded = self.fill(&engine, on_progress)?;
        let load_seconds = watch.elapsed().as_secs_f64();
        let mut session = engine.session();
        session.run_script(&sources, &mut |_, _| {})?;
        let meter = Meter::start();
        session.run_script(&script, &mut |_, _| {})?;
        if let Some(query) = engine.progress().queries.first() {
            let problem = format!("starts the query {}; only the connector would be measured", query.id);
            return Err(self.refused(&format!("{problem}: let it write AS SELECT, or leave the query out")));
        }
        wait(&engine, on_progress)?;
        let usage = meter.read();
        let progress = engine.progress().connectors.into_iter().find(|found| found.name == connector.name);
        let progress = progress.ok_or_else(|| self.refused("drops its connector; leave that out"))?;
        drop(session);
        engine.shutdown()?;
        Ok(self.report(connector, &progress, loaded, load_seconds, usage))
    }

    fn refused(&self, problem: &str) -> Failure {
        Failure::Refused(format!("{}: it {problem}", self.file.display()))
    }

    fn only_sink(&self, checked: Vec<CheckedConnector>) -> Result<CheckedConnector, Failure> {
        let count = checked.len();
        let Ok([connector]) = <[CheckedConnector; 1]>::try_from(checked) else {
            return Err(self.refused(&format!("has {count} connectors; a run measures one CREATE SINK CONNECTOR")));
        };
        if let Some(problem) = &connector.problem {
            return Err(self.refused(&format!("has a connector that cannot run: {problem}")));
        }
        if connector.topics != [TOPIC] {
            let problem = "is to have a sink connector FROM bids, or with 'topics' = 'bids', which is what is made";
            return Err(self.refused(problem));
        }
        Ok(connector)
    }

    fn fill(&self, engine: &Engine, on_progress: &mut dyn FnMut(&str)) -> Result<Loaded, Failure> {
        let (log, topic) = (engine.log(), topic_name(TOPIC)?);
        log.create_topic(&topic, &TopicConfig { partitions: self.partitions, ..TopicConfig::default() })?;
        let (partitions, timestamp) = (self.partitions, Some("date_time"));
        let path = std::path::Path::new("made-up bids");
        let lines = Lines { path, topic, partitions, key: "auction", timestamp, limit: self.events };
        let bids = BidReader::new(BidWriter::new(self.seed), self.events);
        lines.load_from(bids, &log, &mut |rows| on_progress(&format!("{rows} bids made")))
    }

    fn report(
        &self,
        connector: CheckedConnector,
        progress: &ConnectorProgress,
        loaded: Loaded,
        load_seconds: f64,
        usage: Usage,
    ) -> SinkReport {
        let Usage { wall_seconds, cpu_seconds, peak_rss_bytes, bytes_written } = usage;
        SinkReport {
            workload: "sink",
            connector: connector.name,
            class: connector.class,
            target: connector.target,
            partitions: self.partitions,
            events: loaded.rows,
            load_seconds,
            wall_seconds,
            cpu_seconds,
            rows_per_second: loaded.rows as f64 / wall_seconds,
            mb_per_second: loaded.bytes as f64 / 1e6 / wall_seconds,
            rows: progress.rows,
            rejected: progress.rejected,
            commits: progress.commits,
            retries: progress.retries,
            peak_rss_bytes,
            bytes_written,
        }
    }
}
