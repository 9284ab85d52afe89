//! What a running topology has done: plain counters, read at any time.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;

use crate::operator::Reason;

/// Counters of a running topology, shared by its threads.
///
/// ```
/// # use millstream::runtime::Counters;
/// assert!(format!("{:?}", Counters::default()).contains("records_in: 0"));
/// ```
#[derive(Debug, Default)]
pub struct Counters {
    records_in: AtomicU64,
    records_out: AtomicU64,
    commits: AtomicU64,
    dead_letters: [AtomicU64; Reason::ALL.len()],
    dropped: Mutex<BTreeMap<(String, Reason), u64>>,
    enforced: AtomicU64,
    lateness_sum: AtomicU64,
    lateness_max: AtomicU64,
    restored: AtomicU64,
    commit_us_sum: AtomicU64,
    commit_us_max: AtomicU64,
    begun_again: AtomicU64,
}

/// Counters at one moment.
///
/// ```
/// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::TopologyTestDriver};
/// # let builder = StreamsBuilder::new();
/// # builder.stream::<String, i64>("orders", Consumed::kafka()).filter(|_, amount| *amount > 10).to("big", Produced::kafka());
/// # let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input_topic::<String, i64>("orders")?.pipe_key_value_list([("ada", 5), ("ada", 15)])?;
/// let metrics = driver.metrics();
/// assert_eq!((metrics.records_in, metrics.records_out), (2, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Records read and processed.
    pub records_in: u64,
    /// Records written to topics, repartition topics included, changelogs not.
    pub records_out: u64,
    /// Commits.
    pub commits: u64,
    /// Records that could not be processed and are in the dead-letter topic, by reason.
    pub dead_letters: Vec<(Reason, u64)>,
    /// All records that were not processed, by operator and reason, whatever became of them: dead letters, those that a handler has dropped,
    /// and late ones that went to whoever asked for them. Counted when the interval they belong to is committed.
    pub dropped: Vec<Dropped>,
    /// How often a task went on without an input that it had waited for: see [`MaxTaskIdle`](super::MaxTaskIdle).
    pub enforced_processing: u64,
    /// By how much records were behind the highest timestamp that their task had read before them, in milliseconds: the mean over all records.
    pub record_lateness_ms_avg: u64,
    /// The same, the most.
    pub record_lateness_ms_max: u64,
    /// Records of changelogs that were replayed to bring stores up to date.
    pub records_restored: u64,
    /// How long the log took for a commit, in microseconds: the mean.
    pub commit_latency_us_avg: u64,
    /// The same, the most.
    pub commit_latency_us_max: u64,
    /// How often tasks were thrown away because a commit did not take place, and begun again at what is committed.
    pub tasks_begun_again: u64,
}

/// How many records an operator has not processed for one reason.
///
/// ```
/// # use millstream::runtime::Metrics;
/// let metrics = Metrics::default();
/// assert_eq!(metrics.dropped.iter().map(|dropped| dropped.records).sum::<u64>(), 0);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The name of the operator.
    pub operator: String,
    /// Why.
    pub reason: Reason,
    /// How many; a record that is late for several windows counts for each.
    pub records: u64,
}

impl Metrics {
    /// How many records were not processed for a reason, by whatever operator.
    ///
    /// ```
    /// # use millstream::{operator::Reason, runtime::Metrics};
    /// assert_eq!(Metrics::default().dropped_for(Reason::Late), 0);
    /// ```
    pub fn dropped_for(&self, reason: Reason) -> u64 {
        self.dropped.iter().filter(|dropped| dropped.reason == reason).map(|dropped| dropped.records).sum()
    }
}

impl Counters {
    pub(super) fn add_in(&self, records: usize) {
        self.records_in.fetch_add(records as u64, Ordering::Relaxed);
    }

    pub(super) fn add_commit(&self, records_out: usize) {
        self.records_out.fetch_add(records_out as u64, Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_commit_latency(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.commit_us_sum.fetch_add(micros, Ordering::Relaxed);
        self.commit_us_max.fetch_max(micros, Ordering::Relaxed);
    }

    pub(super) fn add_restored(&self, records: u64) {
        self.restored.fetch_add(records, Ordering::Relaxed);
    }

    pub(super) fn add_begun_again(&self, tasks: usize) {
        self.begun_again.fetch_add(tasks as u64, Ordering::Relaxed);
    }

    pub(super) fn add_dead_letter(&self, reason: Reason) {
        self.dead_letters[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_dropped(&self, counts: BTreeMap<(String, Reason), u64>) {
        if !counts.is_empty() {
            let mut dropped = self.dropped.lock();
            counts.into_iter().for_each(|(of, records)| *dropped.entry(of).or_default() += records);
        }
    }

    pub(super) fn add_enforced(&self) {
        self.enforced.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes the lateness of records: the sum, and the most.
    pub(super) fn add_lateness(&self, sum: u64, most: u64) {
        if most > 0 {
            self.lateness_sum.fetch_add(sum, Ordering::Relaxed);
            self.lateness_max.fetch_max(most, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self) -> Metrics {
        let dropped = |((operator, reason), &records): (&(String, Reason), &u64)| Dropped {
            operator: operator.clone(),
            reason: *reason,
            records,
        };
        let records_in = self.records_in.load(Ordering::Relaxed);
        let commits = self.commits.load(Ordering::Relaxed);
        let dead = |reason: Reason| (reason, self.dead_letters[reason as usize].load(Ordering::Relaxed));
        Metrics {
            records_in,
            records_out: self.records_out.load(Ordering::Relaxed),
            commits,
            dead_letters: Reason::ALL.into_iter().map(dead).filter(|(_, count)| *count > 0).collect(),
            dropped: self.dropped.lock().iter().map(dropped).collect(),
            enforced_processing: self.enforced.load(Ordering::Relaxed),
            record_lateness_ms_avg: self.lateness_sum.load(Ordering::Relaxed).checked_div(records_in).unwrap_or(0),
            record_lateness_ms_max: self.lateness_max.load(Ordering::Relaxed),
            records_restored: self.restored.load(Ordering::Relaxed),
            commit_latency_us_avg: self.commit_us_sum.load(Ordering::Relaxed).checked_div(commits).unwrap_or(0),
            commit_latency_us_max: self.commit_us_max.load(Ordering::Relaxed),
            tasks_begun_again: self.begun_again.load(Ordering::Relaxed),
        }
    }
}
