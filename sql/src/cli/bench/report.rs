//! What a run has to say: one JSON object, or a table for people.

use serde::Serialize;

use super::{baseline::BatchResult, latency::Latency, table_hash::shown};
use crate::output::group_digits;

/// The outcome of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Its name.
    pub workload: String,
    /// How it was run.
    pub options: Options,
    /// Records read from the log.
    pub events: u64,
    /// Filling the log, before the query; 0 with `--rate`.
    pub load_seconds: f64,
    /// Its rate, in millions of bytes of values.
    pub load_mb_per_second: f64,
    /// From the query's start to the commit of its last record.
    pub wall_seconds: f64,
    /// Processor time of all threads meanwhile.
    pub cpu_seconds: Option<f64>,
    /// Records read a second, by all queries together.
    pub events_per_second: f64,
    /// Bytes of values read a second, by all queries together.
    pub bytes_per_second: f64,
    /// Rows of the final table, or of the stream.
    pub output_rows: u64,
    /// Their hash.
    pub table_hash: String,
    /// Updates written to the output topic.
    pub output_records: u64,
    /// Commits.
    pub commits: u64,
    /// Keys in the state stores, about.
    pub state_keys: u64,
    /// The most memory that the process held.
    pub peak_rss_bytes: Option<u64>,
    /// Bytes handed to the file system for the disk.
    pub bytes_written: Option<u64>,
    /// The same for each byte of keys and values in the output topic.
    pub write_amplification: Option<f64>,
    /// From append to committed output, with `--rate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<Latency>,
    /// The batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// Seconds of the baseline, once for each query, for each second of ours: 1 is as fast as the batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
}

/// How a run was set up.
#[derive(Debug, Clone, Serialize)]
pub struct Options {
    /// Partitions of each topic.
    pub partitions: u32,
    /// Pairs of auction and bidder, where a number was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<u64>,
    /// Queries that read the same topic.
    pub queries: u32,
    /// Windows that a bid is in, where windows overlap.
    pub hops: u32,
    /// Threads of each query.
    pub threads: usize,
    /// `commit` or `record`.
    pub emit: String,
    /// Milliseconds between commits.
    pub commit_interval_ms: u64,
    /// `fsync` or `os`.
    pub durability: &'static str,
    /// Memory for state.
    pub memory_bytes: usize,
    /// Events a second, if they came at a rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
}

/// The batch beside it.
#[derive(Debug, Clone, Serialize)]
pub struct Baseline {
    /// Which engine.
    pub engine: &'static str,
    /// How long it took.
    pub seconds: f64,
    /// Rows of its result.
    pub output_rows: u64,
    /// Their hash.
    pub table_hash: String,
}

impl From<BatchResult> for Baseline {
    fn from(result: BatchResult) -> Self {
        let BatchResult { seconds, rows, hash } = result;
        Self { engine: "datafusion", seconds, output_rows: rows, table_hash: shown(hash) }
    }
}

/// Bytes for people.
pub(super) fn mib(bytes: u64) -> String {
    format!("{} MiB", group_digits(bytes >> 20))
}

impl Report {
    /// Name and value of each figure, for people.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let count = |number: u64| group_digits(number);
        let mut lines = vec![
            ("workload", self.workload.clone()),
            ("events", count(self.events)),
            ("load", format!("{:.2} s, {:.0} MB/s", self.load_seconds, self.load_mb_per_second)),
            ("wall", format!("{:.2} s", self.wall_seconds)),
            ("events a second", count(self.events_per_second as u64)),
            ("bytes a second", mib(self.bytes_per_second as u64)),
            ("output rows", count(self.output_rows)),
            ("output records", count(self.output_records)),
            ("table hash", self.table_hash.clone()),
            ("commits", count(self.commits)),
            ("keys in state", count(self.state_keys)),
        ];
        lines.extend(self.cpu_seconds.map(|seconds| ("processor time", format!("{seconds:.2} s"))));
        lines.extend(self.peak_rss_bytes.map(|bytes| ("peak memory", mib(bytes))));
        lines.extend(self.bytes_written.map(|bytes| ("bytes written", mib(bytes))));
        lines.extend(self.write_amplification.map(|times| ("write amplification", format!("{times:.2}"))));
        if let Some(latency) = &self.latency_ms {
            let Latency { p50, p90, p99, p99_9, .. } = latency;
            lines.push(("latency p50, p90, p99, p99.9", format!("{p50:.1}, {p90:.1}, {p99:.1}, {p99_9:.1} ms")));
        }
        if let Some(baseline) = &self.baseline {
            lines.push(("DataFusion as a batch", format!("{:.2} s", baseline.seconds)));
        }
        lines.extend(self.ratio.map(|ratio| ("ratio to it", format!("{ratio:.2}"))));
        lines
    }
}
