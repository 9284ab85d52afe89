//! What a log has asked of its cluster and had from it: plain counters, read at any time.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::log::{Fetched, Transaction};

/// Counters of a [`KafkaLog`](super::KafkaLog) since it was connected, shared by all that use it.
///
/// ```
/// # use millstream::log::kafka::ClientMetrics;
/// assert_eq!(ClientMetrics::default().commits_refused, 0);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientMetrics {
    /// Fetches that brought records; records that arrived ahead of them are not counted before they are fetched.
    pub fetches: u64,
    /// Records fetched.
    pub records_read: u64,
    /// About how many bytes their keys and values take in memory.
    pub bytes_read: u64,
    /// Transactions committed.
    pub commits: u64,
    /// Records in them.
    pub records_written: u64,
    /// About how many bytes their keys and values take in memory.
    pub bytes_written: u64,
    /// Transactions of which nothing was committed.
    pub commits_refused: u64,
    /// Transactions whose outcome had to be looked up, because the answer was lost.
    pub commits_looked_up: u64,
    /// Questions that were asked again because the cluster did not answer, or was not ready to.
    pub retries: u64,
}

/// The counters at work.
#[derive(Debug, Default)]
pub(super) struct ClientCounters {
    fetches: AtomicU64,
    records_read: AtomicU64,
    bytes_read: AtomicU64,
    commits: AtomicU64,
    records_written: AtomicU64,
    bytes_written: AtomicU64,
    commits_refused: AtomicU64,
    commits_looked_up: AtomicU64,
    retries: AtomicU64,
}

fn add(counter: &AtomicU64, number: usize) {
    counter.fetch_add(number as u64, Ordering::Relaxed);
}

impl ClientCounters {
    pub(super) fn fetched(&self, fetched: &Fetched) {
        if fetched.batches.is_empty() {
            return;
        }
        add(&self.fetches, 1);
        add(&self.records_read, fetched.batches.iter().map(|batch| batch.records.len()).sum());
        add(&self.bytes_read, fetched.batches.iter().map(|batch| batch.records.payload_bytes()).sum());
    }

    pub(super) fn committed(&self, transaction: &Transaction) {
        add(&self.commits, 1);
        add(&self.records_written, transaction.appends.iter().map(|append| append.records.len()).sum());
        add(&self.bytes_written, transaction.appends.iter().map(|append| append.records.payload_bytes()).sum());
    }

    pub(super) fn refused(&self) {
        add(&self.commits_refused, 1);
    }

    pub(super) fn looked_up(&self) {
        add(&self.commits_looked_up, 1);
    }

    pub(super) fn retried(&self) {
        add(&self.retries, 1);
    }

    pub(super) fn read(&self) -> ClientMetrics {
        let now = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ClientMetrics {
            fetches: now(&self.fetches),
            records_read: now(&self.records_read),
            bytes_read: now(&self.bytes_read),
            commits: now(&self.commits),
            records_written: now(&self.records_written),
            bytes_written: now(&self.bytes_written),
            commits_refused: now(&self.commits_refused),
            commits_looked_up: now(&self.commits_looked_up),
            retries: now(&self.retries),
        }
    }
}
