//! The log engine: topics of partitions of records, and the one step in which work on them is committed.
//!
//! [`Log`] is the contract; [`embedded`] keeps it in one directory of one process, [`kafka`] on a cluster of Apache Kafka.
//!
//! A [`Transaction`] is a plain value: everything that one commit writes (records for any partitions, positions of any
//! groups). It is built in memory and handed over whole to a [`Producer`], so that an engine never holds half of one,
//! and there is no way to read what is not committed.

pub mod embedded;
mod error;
mod group;
pub mod kafka;
mod partitioner;
mod topic;
mod transaction;

use std::{sync::Arc, time::Duration};

pub use error::{CommitError, LogError};
pub use group::{
    Assignment, GroupEvent, GroupMember, GroupMembership, GroupPart, GroupPeer, GroupSettings, GroupTask, GroupTopology,
};
pub use partitioner::partition_for_key;
pub use topic::{CleanupPolicy, Compression, TopicConfig, TopicDescription};
pub use transaction::{Append, CommitReceipt, GroupOffset, OffsetCommit, Transaction};

use crate::record::{GroupId, Offset, Records, Timestamp, TopicName, TopicPartition};

/// A log engine.
///
/// # Contract
/// - Records of one partition have strictly rising offsets; they are read in that order, each once per pass. Offsets
///   need not be dense: compaction leaves holes, and other engines use some for their own marks.
/// - Readers see committed records only. A commit becomes visible as a whole, after it is durable.
/// - All methods may be called from any thread. Those that read do not wait for writers.
pub trait Log: Send + Sync {
    /// Makes a topic.
    ///
    /// # Errors
    /// [`LogError::TopicExists`] if there is one of that name, whatever its configuration.
    fn create_topic(&self, topic: &TopicName, config: &TopicConfig) -> Result<(), LogError>;

    /// Removes a topic, its records and the group offsets in it.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`] if there is none.
    fn delete_topic(&self, topic: &TopicName) -> Result<(), LogError>;

    /// What is known of a topic.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`] if there is none.
    fn describe_topic(&self, topic: &TopicName) -> Result<TopicDescription, LogError>;

    /// All topics by name, internal ones included.
    ///
    /// # Errors
    /// Those of reaching the engine.
    fn topics(&self) -> Result<Vec<TopicDescription>, LogError>;

    /// Reads on from `from`: whole batches until about `max_bytes` of payload (always at least one batch, if any is there).
    /// An empty answer means that there is nothing more. `from` may lie in a hole, and a hole may reach the end: read on from
    /// [`Fetched::next`] in any case.
    ///
    /// # Errors
    /// [`LogError::OffsetOutOfRange`] below the log start or past the end, [`LogError::Corrupt`] for damage.
    fn fetch(&self, partition: &TopicPartition, from: Offset, max_bytes: usize) -> Result<Fetched, LogError>;

    /// The first offset still there.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`], [`LogError::UnknownPartition`].
    fn start_offset(&self, partition: &TopicPartition) -> Result<Offset, LogError>;

    /// The offset that the next committed record gets, or a later one.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`], [`LogError::UnknownPartition`].
    fn end_offset(&self, partition: &TopicPartition) -> Result<Offset, LogError>;

    /// The end of a partition with everything in it that somebody has written and not settled yet. Who reads up to here has read what a
    /// writer that is gone has committed, even if the engine is still about to say so.
    ///
    /// # Errors
    /// As [`end_offset`](Self::end_offset).
    fn unsettled_end(&self, partition: &TopicPartition) -> Result<Offset, LogError> {
        self.end_offset(partition)
    }

    /// The lowest offset whose record has this timestamp or a later one; `None` if no record has.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch).
    fn offset_at(&self, partition: &TopicPartition, timestamp: Timestamp) -> Result<Option<Offset>, LogError>;

    /// Says that the records below `before` are needed no more. The engine may keep some of them: the start offset tells what is left.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`], [`LogError::UnknownPartition`], and those of changing the log.
    fn delete_records(&self, partition: &TopicPartition, before: Offset) -> Result<(), LogError>;

    /// How far `group` has committed in `partition`; `None` if never.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`], and those of reaching the engine.
    fn committed(&self, group: &GroupId, partition: &TopicPartition) -> Result<Option<GroupOffset>, LogError>;

    /// Opens the producer of a name, fencing an older one: its commits fail with [`CommitError::Fenced`] from now on.
    ///
    /// # Errors
    /// Those of reaching the engine.
    fn producer(&self, name: &str) -> Result<Box<dyn Producer>, LogError>;

    /// Opens the producer of a name that one process has at a time, where several share the log: it fences an older one in whatever process,
    /// and what that has committed can be read when this returns.
    ///
    /// # Errors
    /// Those of reaching the engine.
    fn exclusive_producer(&self, name: &str) -> Result<Box<dyn Producer>, LogError> {
        self.producer(name)
    }

    /// The place of a record among those of all partitions, in the order in which they were committed; `None` if the engine does not keep
    /// that order. It rises within a partition, too, but not with every record.
    fn arrival(&self, _partition: &TopicPartition, _offset: Offset) -> Option<u64> {
        None
    }

    /// How large a record may be: bytes of its key, its value and its headers. One that is larger makes a commit fail.
    fn largest_record(&self) -> usize {
        usize::MAX
    }

    /// Whether other processes may work on the same topics and applications. If so, an application commits in one group of its own name.
    fn is_shared(&self) -> bool {
        false
    }

    /// Takes part in a group that shares the work on an application; `None` if the engine belongs to one process, which does all of it.
    ///
    /// # Errors
    /// Those of reaching the engine.
    fn join_group(&self, _settings: GroupSettings) -> Result<Option<Arc<dyn GroupMembership>>, LogError> {
        Ok(None)
    }

    /// Waits until something was committed after `seen`, or for `timeout`; returns the present count of commits, to be
    /// passed as `seen` the next time. The first call passes 0.
    fn wait_for_commit(&self, seen: u64, timeout: Duration) -> u64;
}

/// A log engine shared by the parts of a process.
pub type SharedLog = Arc<dyn Log>;

/// The writing side: commits transactions one after another.
pub trait Producer: Send {
    /// Commits everything in `transaction` or nothing, and returns when it is as durable as the engine was told to be.
    /// A transaction without records and offsets is committed like any other.
    ///
    /// # Errors
    /// [`CommitError::Unknown`] if it may have been committed; [`CommitError::Rejected`] and
    /// [`CommitError::Fenced`] promise that nothing was.
    fn commit(&mut self, transaction: Transaction) -> Result<CommitReceipt, CommitError>;

    /// The same in the name of a member of a group.
    ///
    /// # Errors
    /// Beside those of [`commit`](Self::commit), [`CommitError::NotOwner`] if the group has given the member up.
    fn commit_as(&mut self, _member: &GroupMember, transaction: Transaction) -> Result<CommitReceipt, CommitError> {
        self.commit(transaction)
    }
}

/// What a fetch brings.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Batches in offset order.
    pub batches: Vec<FetchedBatch>,
    /// Where to read on: past the last record here, and past holes that follow it.
    pub next: Offset,
    /// The end of the partition when it was read.
    pub end: Offset,
}

/// Consecutive records of one partition.
#[derive(Debug, Clone)]
pub struct FetchedBatch {
    /// The records.
    pub records: Records,
    /// Their offsets.
    pub offsets: Offsets,
}

/// The offsets of a batch: dense from a base, or one by one where compaction has left holes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offsets {
    /// `base`, `base + 1`, ...
    From(Offset),
    /// One a record, rising.
    Each(Arc<[Offset]>),
}

impl Offsets {
    /// The offset of record `row` of the batch.
    pub fn at(&self, row: usize) -> Offset {
        match self {
            Self::From(base) => base.advance(row as u64),
            Self::Each(offsets) => offsets[row],
        }
    }

    /// The offsets from record `row` on.
    pub fn skip(&self, row: usize) -> Self {
        match self {
            Self::From(base) => Self::From(base.advance(row as u64)),
            Self::Each(offsets) => Self::Each(offsets[row..].into()),
        }
    }
}
