//! Opening the stores of a task, and bringing them up to their changelogs.
//!
//! A store without changelog begins empty, wherever it is kept: what disk holds of it is of no known moment. A changelog is read to its end
//! with what is not settled yet: a former owner's last commit is in it, even if the engine has still to say so.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    StreamsError,
    build::{Builder, StoreHandle, changelog_topic},
    stores::{PersistentStore, store_name},
    task::{Changelog, RunningStore},
};
use crate::{
    log::{Log, LogError},
    operator::{CommittedStore, MemoryStore, StoreKind, StoreLogging, StoreSpec, TaskId, TaskStore},
    record::{Offset, PartitionId, TopicPartition},
};

/// Bytes of a changelog replayed at once.
pub(super) const RESTORE_BYTES: usize = 4 << 20;
/// How long a changelog may keep silent before its end.
const LONGEST_SILENCE: Duration = Duration::from_secs(120);
/// How often it is said how far a store has come.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// How far a store that is brought up to date has come.
///
/// ```
/// # use std::sync::Arc;
/// # use millstream::{StreamsBuilder, dsl::Consumed, log::Log, runtime::{Streams, StreamsConfig}, testing::MemoryLog};
/// # use millstream_state::{StateBackend, StateConfig};
/// # let directory = tempfile::tempdir()?;
/// # let log = Arc::new(MemoryLog::new());
/// # log.create_topic(&"orders".parse()?, &Default::default())?;
/// # let builder = StreamsBuilder::new();
/// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
/// # let state = StateBackend::open(StateConfig::new(directory.path(), 8 << 20))?;
/// # let streams = Streams::start(&builder.build()?, StreamsConfig::new("app", log, state))?;
/// for store in streams.restoring() {
///     let left = store.end.since(store.next);
///     assert!(left > 0, "{} on {}: {left} records left", store.store, store.partition);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreProgress {
    /// The store.
    pub store: String,
    /// Its partition.
    pub partition: PartitionId,
    /// Where in the changelog it began.
    pub start: Offset,
    /// The record that it needs next.
    pub next: Offset,
    /// Where it is up to date.
    pub end: Offset,
}

/// The stores that are brought up to date, for those who look on, and tasks nobody wants any more.
#[derive(Debug, Default)]
pub(super) struct RestoreBoard {
    stores: Mutex<BTreeMap<(String, PartitionId), RestoreProgress>>,
    unwanted: Mutex<BTreeSet<TaskId>>,
    closed: AtomicBool,
}

impl RestoreBoard {
    pub(super) fn stores(&self) -> Vec<RestoreProgress> {
        self.stores.lock().values().cloned().collect()
    }

    /// Says that a task need not be brought up to date any more, or that it is to be.
    pub(super) fn want(&self, task: TaskId, wanted: Wanted) {
        let mut unwanted = self.unwanted.lock();
        match wanted {
            Wanted::Yes => unwanted.remove(&task),
            Wanted::No => unwanted.insert(task),
        };
    }

    pub(super) fn is_unwanted(&self, task: TaskId) -> bool {
        self.closed.load(Ordering::Acquire) || self.unwanted.lock().contains(&task)
    }

    /// Says that no task is wanted any more.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    fn tell(&self, progress: RestoreProgress) {
        self.stores.lock().insert((progress.store.clone(), progress.partition), progress);
    }

    fn done(&self, store: &str, partition: PartitionId) {
        self.stores.lock().remove(&(store.to_owned(), partition));
    }
}

/// Whether a task is to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Yes,
    No,
}

impl Builder<'_> {
    /// A store of a task as its changelog says it is, and the way in which others read it.
    pub(super) fn store(&self, spec: &StoreSpec, task: TaskId) -> Result<(RunningStore, StoreHandle), StreamsError> {
        let (mut running, handle) = self.open_store(spec, task.partition)?;
        if let Some(changelog) = &running.changelog {
            let restored = self.restore(task, spec, &mut running.store, changelog);
            self.restoring.done(&spec.name, task.partition);
            restored?;
        }
        Ok((running, handle))
    }

    /// A store on one partition as it was left: empty, if nothing says of which moment it is.
    pub(super) fn open_store(
        &self,
        spec: &StoreSpec,
        partition: PartitionId,
    ) -> Result<(RunningStore, StoreHandle), StreamsError> {
        let error = |problem: String| StreamsError::Store { store: spec.name.clone(), problem };
        let (mut committed, handle): (Box<dyn CommittedStore>, _) = match self.state {
            Some(backend) if spec.options.kind == StoreKind::Persistent => {
                let name = store_name(self.application, &spec.name, partition);
                let store = PersistentStore::open(backend, &name, &spec.retention).map_err(|e| error(e.to_string()))?;
                let handle = StoreHandle::Persistent(store.store());
                (Box::new(store), handle)
            }
            _ => {
                let store = MemoryStore::default();
                let handle = StoreHandle::Memory(store.rows());
                (Box::new(store), handle)
            }
        };
        let changelog = match spec.options.logging {
            StoreLogging::Enabled => {
                let topic = changelog_topic(self.application, &spec.name)?;
                let incarnation = self.log.describe_topic(&topic)?.incarnation;
                Some(Changelog { topic: TopicPartition::new(topic, partition), incarnation })
            }
            StoreLogging::Disabled => {
                committed.reset().map_err(error)?;
                None
            }
        };
        let store = TaskStore::new(committed, spec.retention.clone());
        Ok((RunningStore { name: spec.name.clone(), store, changelog }, handle))
    }

    /// Brings a store up to the end of its changelog: from where it is, or from the start if it does not belong to this changelog.
    fn restore(
        &self,
        task: TaskId,
        spec: &StoreSpec,
        store: &mut TaskStore,
        changelog: &Changelog,
    ) -> Result<(), StreamsError> {
        let log = self.log.as_ref();
        let topic = &changelog.topic;
        let end = log.unsettled_end(topic)?;
        let start = begin(store, log, changelog, end).map_err(|failure| failure.of(&spec.name))?;
        let mut next = start;
        let (mut heard, mut told, mut seen) = (self.clock.monotonic(), self.clock.monotonic(), 0);
        while next < end {
            if self.restoring.is_unwanted(task) {
                return Err(StreamsError::TaskGone);
            }
            let (store_name, partition) = (spec.name.clone(), topic.partition);
            self.restoring.tell(RestoreProgress { store: store_name, partition, start, next, end });
            let taken = take(store, log, changelog, next).map_err(|failure| failure.of(&spec.name))?;
            self.counters.add_restored(taken.records);
            let now = self.clock.monotonic();
            if taken.next > next {
                (next, heard) = (taken.next, now);
            } else if !log.is_shared() {
                break;
            } else if now.saturating_sub(heard) > LONGEST_SILENCE {
                let problem = format!(
                    "its changelog {topic} ends at {end}, but nothing came after {next} for {} s: a transaction may hang (Kafka's tool kafka-transactions finds such and can abort them), or a broker be away",
                    LONGEST_SILENCE.as_secs()
                );
                return Err(StreamsError::Store { store: spec.name.clone(), problem });
            } else {
                seen = log.wait_for_commit(seen, WAIT_FOR_RECORDS);
            }
            if now.saturating_sub(told) > TELL_EVERY {
                told = now;
                tracing::info!("store {} on {}: at {next} of {end} of its changelog", spec.name, topic.partition);
            }
        }
        Ok(())
    }
}

/// How long a store waits for records that were announced, before it looks again.
const WAIT_FOR_RECORDS: Duration = Duration::from_millis(20);

/// Why a store could not take changes.
pub(super) enum Failure {
    Log(LogError),
    Store(String),
}

impl Failure {
    /// The error of a store.
    pub(super) fn of(self, store: &str) -> StreamsError {
        match self {
            Self::Log(error) => error.into(),
            Self::Store(problem) => StreamsError::Store { store: store.to_owned(), problem },
        }
    }
}

/// What a store took from its changelog.
pub(super) struct Taken {
    /// Where to read on.
    pub(super) next: Offset,
    pub(super) records: u64,
}

/// Where a store begins to follow its changelog, which ends at `end`. One that does not belong to it is emptied.
pub(super) fn begin(
    store: &mut TaskStore,
    log: &dyn Log,
    changelog: &Changelog,
    end: Offset,
) -> Result<Offset, Failure> {
    let (topic, incarnation) = (&changelog.topic, changelog.incarnation);
    let start = log.start_offset(topic).map_err(Failure::Log)?;
    match store.committed().position() {
        None => Ok(start),
        Some((known, next)) if known == incarnation && (start.0..=end.0).contains(&next) => Ok(Offset(next)),
        Some((known, next)) => {
            let why = if known == incarnation {
                "its position is outside the changelog"
            } else {
                "the changelog was made anew"
            };
            tracing::warn!("{topic}: the store at {next} is rebuilt from {start} to {end}: {why}");
            store.committed().reset().map_err(Failure::Store)?;
            Ok(start)
        }
    }
}

/// Takes what comes next in a changelog, if there is anything.
pub(super) fn take(
    store: &mut TaskStore,
    log: &dyn Log,
    changelog: &Changelog,
    next: Offset,
) -> Result<Taken, Failure> {
    let fetched = log.fetch(&changelog.topic, next, RESTORE_BYTES).map_err(Failure::Log)?;
    let mut records = 0;
    for batch in &fetched.batches {
        let last = batch.offsets.at(batch.records.len() - 1);
        store.apply(&batch.records, changelog.incarnation, last.next().0).map_err(Failure::Store)?;
        records += batch.records.len() as u64;
    }
    Ok(Taken { next: fetched.next, records })
}
