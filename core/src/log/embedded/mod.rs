//! The embedded log engine: one directory, one process, real durability.
//!
//! ```text
//! LOCK                  held while open; says who holds it
//! FORMAT                `millstream log format 1`
//! CLOSED                where the log ended, if it was closed in order      (commit_log.rs)
//! commit/<number>.log   what is committed: topics, extents, group offsets   (commit_log.rs, change.rs)
//! topics/<id>/<partition>-<base offset>-<generation>.segment   batches      (segment.rs, batch.rs)
//! ```
//! A commit appends its batches to segments, syncs them, then writes and syncs one frame of the commit log that names what
//! it covers (`writer.rs`); transactions of many threads share both syncs (`committer.rs`). What no frame covers does not
//! exist: recovery cuts it off (`recovery.rs`). The state that readers see changes only by the changes of written frames
//! (`state.rs`).
//!
//! The engine has no clock and no threads: [`EmbeddedLog::maintain`] does retention and compaction when it is called.
//!
//! Limits: 4,096 partitions a topic, records of about 64 MiB, group metadata of 4 KiB. Memory per open log: the state, and
//! a mark for each 32 KiB of the segments that were read.

mod batch;
mod change;
mod commit_log;
mod committer;
mod compaction;
mod compaction_gain;
mod disk;
pub mod fault_disk;
mod recovery;
mod retention;
mod segment;
mod state;
mod storage;
mod wire;
mod writer;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;

use std::{
    any::Any,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use parking_lot::{Condvar, Mutex, RwLock};

pub use self::disk::{Disk, DiskFile, Lock, RealDisk};
use self::{
    change::Change,
    commit_log::ClosedNote,
    committer::{EmbeddedProducer, Queue},
    segment::Limit,
    state::{Segment, State},
    storage::{Storage, is_not_found},
    writer::{WriteError, Writer},
};
use super::{Fetched, FetchedBatch, GroupOffset, Log, LogError, Offsets, Producer, TopicConfig, TopicDescription};
use crate::record::{GroupId, Offset, PartitionId, Timestamp, TopicName, TopicPartition};

/// Partitions that a topic can have.
const MAX_PARTITIONS: u32 = 4096;
/// Room in a batch of one record for what is not the record.
const RECORD_OVERHEAD: usize = 64 << 10;
/// Segments that one read looks at before it looks at the state again.
const SEGMENTS_AT_ONCE: usize = 4;

/// When a commit counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// When it is on the disk. What was acknowledged survives a power cut.
    #[default]
    Fsync,
    /// When the operating system has it. A kill of the process loses nothing; a power cut loses the commits since the last
    /// time the commit log was full, a topic was made or deleted, or maintenance changed something. What is left is still
    /// a prefix of the commits, each whole.
    Os,
}

/// Settings of an embedded log.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// When a commit counts as done.
    pub durability: Durability,
    /// Room for frames in one commit log file; a full file is followed by a new one that starts with a snapshot.
    pub commit_log_bytes: u64,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self { durability: Durability::Fsync, commit_log_bytes: 2 << 20 }
    }
}

/// What one call of [`EmbeddedLog::maintain`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Maintenance {
    /// Segments dropped by retention.
    pub segments_dropped: u64,
    /// Segments written anew by compaction.
    pub segments_compacted: u64,
    /// Records that compaction left out.
    pub records_dropped: u64,
    /// Bytes of the segments that were removed; those of compacted ones come back in part.
    pub bytes_freed: u64,
}

/// What the log and its producers share.
struct Shared {
    directory: PathBuf,
    storage: Arc<Storage>,
    state: RwLock<State>,
    writer: Mutex<Writer>,
    queue: Queue,
    commits: Mutex<u64>,
    committed: Condvar,
    /// Held by the one that maintains; what it remembers.
    maintenance: Mutex<compaction_gain::Looks>,
    lock: Mutex<Option<Box<dyn Any + Send + Sync>>>,
}

impl Shared {
    fn count_commits(&self, count: u64) {
        *self.commits.lock() += count;
        self.committed.notify_all();
    }
}

/// The log of one data directory.
///
/// Dropping it closes the log and gives up the directory, also while producers are left: their commits fail.
///
/// # Examples
/// ```
/// use millstream::log::{Append, Log, Transaction, TopicConfig};
/// use millstream::log::embedded::{EmbeddedConfig, EmbeddedLog};
/// use millstream::record::{Offset, PartitionId, Record, TopicName, TopicPartition};
///
/// # let directory = tempfile::tempdir()?;
/// let log = EmbeddedLog::open(directory.path(), EmbeddedConfig::default())?;
/// let orders = TopicPartition::new(TopicName::new("orders")?, PartitionId(0));
/// log.create_topic(&orders.topic, &TopicConfig::default())?;
/// let records = [Record { value: Some(b"42".to_vec()), ..Record::default() }].into_iter().collect();
/// let append = Append { partition: orders.clone(), records };
/// let receipt = log.producer("me")?.commit(Transaction { appends: vec![append], offsets: vec![] })?;
/// assert_eq!(receipt.base_offsets, [Offset(0)]);
/// assert_eq!(log.fetch(&orders, Offset(0), 1 << 20)?.next, Offset(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct EmbeddedLog {
    shared: Arc<Shared>,
}

impl EmbeddedLog {
    /// Opens the log in a directory, making it if there is none.
    ///
    /// # Errors
    /// [`LogError::InUse`] if it is open already, here or in another process; [`LogError::UnknownVersion`],
    /// [`LogError::Corrupt`]; [`LogError::Io`].
    pub fn open(directory: &Path, config: EmbeddedConfig) -> Result<Arc<Self>, LogError> {
        Self::open_on(Arc::new(RealDisk), directory, config)
    }

    /// Opens the log on a disk that is not the file system, for tests of faults.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(disk: Arc<dyn Disk>, directory: &Path, config: EmbeddedConfig) -> Result<Arc<Self>, LogError> {
        let recovery::Opened { storage, lock, state, writer } = recovery::open(disk, directory, config)?;
        let shared = Shared {
            directory: directory.into(),
            storage,
            state: RwLock::new(state),
            writer: Mutex::new(writer),
            queue: Queue::default(),
            commits: Mutex::new(0),
            committed: Condvar::new(),
            maintenance: Mutex::default(),
            lock: Mutex::new(Some(lock)),
        };
        Ok(Arc::new(Self { shared: Arc::new(shared) }))
    }

    /// The positions that groups have committed, by group and partition.
    pub fn group_positions(&self) -> Vec<(GroupId, TopicPartition, GroupOffset)> {
        let state = self.shared.state.read();
        let mut positions = Vec::new();
        for (place, groups) in &state.groups {
            let Some(topic) = state.topics.get(&place.topic) else { continue };
            let partition = TopicPartition::new(topic.name.clone(), PartitionId(place.partition));
            positions.extend(groups.iter().map(|(group, at)| (group.clone(), partition.clone(), at.clone())));
        }
        positions.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        positions
    }

    /// Drops segments past their retention at `now` and compacts what is worth it. Commits and reads go on meanwhile.
    ///
    /// # Errors
    /// [`LogError::Poisoned`], [`LogError::Corrupt`], [`LogError::Io`]. What was done before the error stays done.
    pub fn maintain(&self, now: Timestamp) -> Result<Maintenance, LogError> {
        let mut looks = self.shared.maintenance.lock();
        self.sync_ahead()?;
        let mut done = Maintenance::default();
        retention::retain(&self.shared, now, &mut done)?;
        compaction::compact(&self.shared, &mut looks, now, &mut done)?;
        Ok(done)
    }

    /// With [`Durability::Os`]: writes to the disk what waits for it, while commits go on, so that the sync at the end of a commit log file,
    /// for which they wait, has little left to do.
    fn sync_ahead(&self) -> Result<(), LogError> {
        let files = {
            let writer = self.shared.writer.lock();
            writer.check()?;
            writer.dirty()
        };
        files
            .iter()
            .try_for_each(|file| file.sync().inspect_err(|error| self.shared.writer.lock().poison(error.to_string())))
    }

    /// Makes everything committed so far durable, also with [`Durability::Os`].
    ///
    /// # Errors
    /// [`LogError::Poisoned`], [`LogError::Io`]; the log stops after a failed sync.
    pub fn sync(&self) -> Result<(), LogError> {
        let mut writer = self.shared.writer.lock();
        writer.check()?;
        writer.sync_all().inspect_err(|error| writer.poison(error.to_string()))
    }

    /// Bytes handed to the disk since the log was opened.
    pub fn bytes_written(&self) -> u64 {
        self.shared.storage.written.load(Ordering::Relaxed)
    }

    /// Syncs of files and directories since the log was opened.
    pub fn sync_count(&self) -> u64 {
        self.shared.storage.syncs.load(Ordering::Relaxed)
    }

    /// Runs a read until no file it needs is removed under it: compaction and retention may replace segments between the
    /// look at the state and the opening of a file.
    fn read<T>(&self, read: impl Fn() -> Result<T, LogError>) -> Result<T, LogError> {
        let mut result = read();
        for _ in 0..8 {
            match &result {
                Err(error) if is_not_found(error) => result = read(),
                _ => break,
            }
        }
        result
    }

    /// The partition as it is, with a few segments from the one that holds `from` on.
    fn look(&self, partition: &TopicPartition, from: Offset) -> Result<(Offset, Offset, Vec<Segment>), LogError> {
        let state = self.shared.state.read();
        let (.., found) = state.place(partition)?;
        let first = found.segments.partition_point(|segment| segment.meta.end <= from.0);
        let last = (first + SEGMENTS_AT_ONCE).min(found.segments.len());
        Ok((Offset(found.start), Offset(found.end), found.segments[first..last].to_vec()))
    }

    fn fetch_once(&self, partition: &TopicPartition, wanted: Offset, max_bytes: usize) -> Result<Fetched, LogError> {
        let (mut batches, mut bytes, mut from) = (Vec::new(), 0, wanted);
        loop {
            let (start, end, segments) = self.look(partition, from)?;
            if from < start || from > end {
                return Err(LogError::OffsetOutOfRange { partition: partition.clone(), wanted: from, start, end });
            }
            for segment in segments {
                let limit = Limit { length: segment.meta.length, end: segment.meta.end };
                let mut full = false;
                segment.file.visit(from.0, limit, |header, read| {
                    if header.count > 0
                        && let Some(batch) = from_offset(read()?, from)
                    {
                        bytes += batch.records.payload_bytes();
                        batches.push(batch);
                    }
                    from = Offset(header.end);
                    full = bytes >= max_bytes && !batches.is_empty();
                    Ok(!full)
                })?;
                if full {
                    return Ok(Fetched { batches, next: from, end });
                }
            }
            if from >= end {
                return Ok(Fetched { batches, next: from, end });
            }
        }
    }
}

/// The part of a batch from an offset on.
fn from_offset(batch: FetchedBatch, from: Offset) -> Option<FetchedBatch> {
    let row = match &batch.offsets {
        Offsets::From(base) => from.since(*base) as usize,
        Offsets::Each(offsets) => offsets.partition_point(|offset| *offset < from),
    };
    match row {
        0 => Some(batch),
        row if row >= batch.records.len() => None,
        row => Some(FetchedBatch {
            records: batch.records.slice(row, batch.records.len() - row),
            offsets: batch.offsets.skip(row),
        }),
    }
}

fn check_config(topic: &TopicName, config: &TopicConfig) -> Result<(), LogError> {
    let refuse = |setting, problem: String| Err(LogError::InvalidTopic { topic: topic.clone(), setting, problem });
    match config {
        TopicConfig { partitions, .. } if !(1..=MAX_PARTITIONS).contains(partitions) => {
            refuse("partitions", format!("is {partitions}; use 1 to {MAX_PARTITIONS}"))
        }
        TopicConfig { segment_bytes: 0, .. } => refuse("segment_bytes", "is 0; use at least 1".to_owned()),
        _ => Ok(()),
    }
}

impl Log for EmbeddedLog {
    fn largest_record(&self) -> usize {
        batch::MAX_BODY_BYTES - RECORD_OVERHEAD
    }

    fn create_topic(&self, topic: &TopicName, config: &TopicConfig) -> Result<(), LogError> {
        check_config(topic, config)?;
        let shared = &*self.shared;
        let mut writer = shared.writer.lock();
        writer.check()?;
        let (id, directory) = {
            let state = shared.state.read();
            if state.has_topic(topic) {
                return Err(LogError::TopicExists { topic: topic.clone() });
            }
            (state.next_topic_id, state.topic_dir(state.next_topic_id))
        };
        // A directory that nothing names is a stray: it is removed at the next opening.
        shared.storage.create_dir(&directory)?;
        shared.storage.sync_dir(&shared.directory.join("topics")).inspect_err(|e| writer.poison(e.to_string()))?;
        let (name, config, incarnation) = (topic.clone(), config.clone(), recovery::random_identity());
        let change = Change::TopicMade { id, incarnation, name, config };
        writer.commit_durably(&shared.state, vec![change]).map_err(WriteError::into_inner)
    }

    fn delete_topic(&self, topic: &TopicName) -> Result<(), LogError> {
        let shared = &*self.shared;
        let mut writer = shared.writer.lock();
        writer.check()?;
        let (id, directory) = {
            let state = shared.state.read();
            let id = state.topic(topic)?.id;
            (id, state.topic_dir(id))
        };
        writer.commit_durably(&shared.state, vec![Change::TopicDeleted { id }]).map_err(WriteError::into_inner)?;
        writer.forget_topic(id, &directory);
        if let Err(error) = shared.storage.remove_dir(&directory) {
            tracing::warn!(%topic, %error, "the files of a deleted topic stay until the log is opened again");
        }
        Ok(())
    }

    fn describe_topic(&self, topic: &TopicName) -> Result<TopicDescription, LogError> {
        Ok(self.shared.state.read().topic(topic)?.describe())
    }

    fn topics(&self) -> Result<Vec<TopicDescription>, LogError> {
        let mut topics: Vec<_> = self.shared.state.read().topics.values().map(state::Topic::describe).collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    fn fetch(&self, partition: &TopicPartition, from: Offset, max_bytes: usize) -> Result<Fetched, LogError> {
        self.read(|| self.fetch_once(partition, from, max_bytes))
    }

    fn start_offset(&self, partition: &TopicPartition) -> Result<Offset, LogError> {
        Ok(Offset(self.shared.state.read().place(partition)?.2.start))
    }

    fn end_offset(&self, partition: &TopicPartition) -> Result<Offset, LogError> {
        Ok(Offset(self.shared.state.read().place(partition)?.2.end))
    }

    fn offset_at(&self, partition: &TopicPartition, timestamp: Timestamp) -> Result<Option<Offset>, LogError> {
        self.read(|| {
            let (start, segments) = {
                let state = self.shared.state.read();
                let (.., found) = state.place(partition)?;
                let late = found.segments.iter().filter(|segment| segment.meta.max_timestamp >= timestamp.0);
                (found.start, late.cloned().collect::<Vec<_>>())
            };
            for segment in segments {
                let limit = Limit { length: segment.meta.length, end: segment.meta.end };
                if let Some(offset) = segment.file.offset_at(start, timestamp, limit)? {
                    return Ok(Some(Offset(offset)));
                }
            }
            Ok(None)
        })
    }

    fn delete_records(&self, partition: &TopicPartition, before: Offset) -> Result<(), LogError> {
        let place = self.shared.state.read().place(partition).map(|(place, ..)| place)?;
        let _one_at_a_time = self.shared.maintenance.lock();
        retention::drop_below(&self.shared, place, before)
    }

    fn committed(&self, group: &GroupId, partition: &TopicPartition) -> Result<Option<GroupOffset>, LogError> {
        let state = self.shared.state.read();
        let (place, ..) = state.place(partition)?;
        Ok(state.groups.get(&place).and_then(|groups| groups.get(group)).cloned())
    }

    fn producer(&self, name: &str) -> Result<Box<dyn Producer>, LogError> {
        Ok(Box::new(EmbeddedProducer::open(&self.shared, name)?))
    }

    fn wait_for_commit(&self, seen: u64, timeout: Duration) -> u64 {
        let mut commits = self.shared.commits.lock();
        self.shared.committed.wait_while_for(&mut commits, |commits| *commits <= seen, timeout);
        *commits
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        let shared = &*self.shared;
        let mut writer = shared.writer.lock();
        if writer.check().is_ok() {
            let noted = writer.sync_all().and_then(|()| {
                let note = ClosedNote::of(&writer.log).encode();
                shared.storage.replace(&shared.directory, recovery::CLOSED, &note)
            });
            if let Err(error) = noted {
                tracing::warn!(%error, "the log could not be closed in order; it will be recovered when it is opened again");
            }
        }
        writer.close();
        shared.lock.lock().take();
    }
}
