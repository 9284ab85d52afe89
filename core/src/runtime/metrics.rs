//! What a running topology has done: plain counters, read at any time.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::operator::Reason;

/// Counters of a running topology, shared by its threads.
#[derive(Debug, Default)]
pub struct Counters {
    records_in: AtomicU64,
    records_out: AtomicU64,
    commits: AtomicU64,
    dead_letters: [AtomicU64; Reason::ALL.len()],
}

/// Counters at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Records read and processed.
    pub records_in: u64,
    /// Records written to topics, repartition topics included, changelogs not.
    pub records_out: u64,
    /// Commits.
    pub commits: u64,
    /// Records that could not be processed, by reason; all are in the dead-letter topic.
    pub dead_letters: Vec<(Reason, u64)>,
}

impl Counters {
    pub(super) fn add_in(&self, records: usize) {
        self.records_in.fetch_add(records as u64, Ordering::Relaxed);
    }

    pub(super) fn add_commit(&self, records_out: usize) {
        self.records_out.fetch_add(records_out as u64, Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_dead_letter(&self, reason: Reason) {
        self.dead_letters[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Metrics {
        let dead = |reason: Reason| (reason, self.dead_letters[reason as usize].load(Ordering::Relaxed));
        Metrics {
            records_in: self.records_in.load(Ordering::Relaxed),
            records_out: self.records_out.load(Ordering::Relaxed),
            commits: self.commits.load(Ordering::Relaxed),
            dead_letters: Reason::ALL.into_iter().map(dead).filter(|(_, count)| *count > 0).collect(),
        }
    }
}
