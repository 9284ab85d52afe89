//! What waits in the inputs of queries: by query and partition, told from the log, whichever process works on it.
//!
//! Engines other than the embedded one write marks of their own into partitions. What lies behind a position may then be marks alone, which
//! nobody ever commits: such a tail is looked at once, and counts as nothing.

use std::collections::HashMap;

use millstream::{
    log::{Log, LogError},
    record::{Offset, TopicPartition},
    runtime::{PartitionLag, Streams, StreamsError},
};
use parking_lot::Mutex;

/// Tails that are longer hold records.
const MARKS_AT_MOST: u64 = 64;
const FETCH_BYTES: usize = 1;

/// How far a query is in one partition that it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputLag {
    /// The partition.
    pub partition: TopicPartition,
    /// The first offset that is not committed as processed.
    pub next: Offset,
    /// The end of the partition.
    pub end: Offset,
    /// How many records wait.
    pub lag: u64,
}

/// Tails that were found to hold no record: from where to where.
#[derive(Default)]
pub(super) struct Tails {
    empty: Mutex<HashMap<TopicPartition, (Offset, Offset)>>,
}

impl Tails {
    /// How far a query is in each partition that it reads, repartition topics included.
    ///
    /// # Errors
    /// Those of the log.
    pub(super) fn lags(&self, streams: &Streams, log: &dyn Log) -> Result<Vec<InputLag>, StreamsError> {
        let lag = |found: PartitionLag| {
            let lag = self.records_behind(&found, log)?;
            Ok(InputLag { partition: found.partition, next: found.next, end: found.end, lag })
        };
        streams.lags()?.into_iter().map(lag).collect()
    }

    fn records_behind(&self, found: &PartitionLag, log: &dyn Log) -> Result<u64, LogError> {
        let lag = found.records();
        if lag == 0 || lag > MARKS_AT_MOST || !log.is_shared() {
            return Ok(lag);
        }
        let tail = (found.next, found.end);
        if self.empty.lock().get(&found.partition) == Some(&tail) {
            return Ok(0);
        }
        let fetched = log.fetch(&found.partition, found.next, FETCH_BYTES)?;
        let is_empty = fetched.batches.iter().all(|batch| batch.records.is_empty()) && fetched.next >= found.end;
        if is_empty {
            self.empty.lock().insert(found.partition.clone(), tail);
            return Ok(0);
        }
        Ok(lag)
    }
}
