//! A topology that runs: its threads, what is known of them, and its views.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
};

use parking_lot::Mutex;

use super::{
    Metrics, RestoreProgress, StreamsConfig, StreamsError,
    restore::RestoreBoard,
    start::{Sharing, start},
    worker::Shared,
};
use crate::{
    log::{GroupPeer, SharedLog},
    operator::{AsyncPool, TaskId},
    query::View,
    record::{GroupId, Offset, TopicPartition},
    topology::Topology,
};

/// What a running topology is doing.
///
/// ```
/// # use millstream::runtime::Status;
/// assert_eq!(Status::Failed { error: "disk full".to_owned() }, Status::Failed { error: "disk full".to_owned() });
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Working, or waiting for records.
    Running,
    /// Ended by an error; what was committed is kept.
    Failed {
        /// What happened.
        error: String,
    },
    /// Ended because it was told to.
    Stopped,
}

/// How far a partition is processed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionLag {
    /// The group that commits there.
    pub group: GroupId,
    /// The partition.
    pub partition: TopicPartition,
    /// The first record that is not committed as processed.
    pub next: Offset,
    /// The end of the partition.
    pub end: Offset,
}

impl PartitionLag {
    /// How many records are left, those counted that were removed or are no records.
    pub fn records(&self) -> u64 {
        self.end.0.saturating_sub(self.next.0)
    }
}

/// A running topology. Dropping it stops it without a last commit; [`stop`](Self::stop) commits first.
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use millstream::{StreamsBuilder, dsl::Consumed, record::{PartitionId, Record, TopicPartition}, log::{Append, Log, Transaction}};
/// # use millstream::{runtime::{Status, Streams, StreamsConfig}, testing::MemoryLog};
/// # use millstream_state::{StateBackend, StateConfig};
/// # let directory = tempfile::tempdir()?;
/// # let log = Arc::new(MemoryLog::new());
/// # log.create_topic(&"orders".parse()?, &Default::default())?;
/// # let builder = StreamsBuilder::new();
/// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
/// # let state = StateBackend::open(StateConfig::new(directory.path(), 8 << 20))?;
/// # let partition = TopicPartition::new("orders".parse()?, PartitionId(0));
/// # let records = ["ada", "bob", "ada"].map(|key| Record::new(key, 30_i64.to_be_bytes())).into_iter().collect();
/// # log.producer("till")?.commit(Transaction { appends: vec![Append { partition, records }], offsets: vec![] })?;
/// let streams = Streams::start(&builder.build()?, StreamsConfig::new("app", log.clone(), state))?;
/// let mut commits = 0;
/// while streams.lag()? > 0 && streams.status() == Status::Running {
///     commits = log.wait_for_commit(commits, Duration::from_millis(100));
/// }
/// assert_eq!(streams.store::<String, i64>("counts")?.get("ada")?, Some(2));
/// streams.stop()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Streams {
    pub(super) shared: Arc<Shared>,
    pub(super) status: Arc<Mutex<Status>>,
    pub(super) threads: Vec<JoinHandle<()>>,
    pub(super) views: BTreeMap<String, View>,
    pub(super) inputs: Vec<(GroupId, TopicPartition)>,
    pub(super) application: String,
    pub(super) log: SharedLog,
    /// Where futures of operators run.
    pub(super) futures: Arc<AsyncPool>,
    pub(super) board: Arc<RestoreBoard>,
    /// What shares the work with other processes, if it is shared.
    pub(super) sharing: Option<Sharing>,
    /// Stores checkpoint themselves for want of memory only while their backend is there.
    pub(super) _state: Arc<millstream_state::StateBackend>,
}

impl Streams {
    /// Makes internal topics, brings stores up to date and starts the threads.
    ///
    /// # Errors
    /// If a topic that is read or written does not exist, if joined topics differ in partitions, or if log or stores fail.
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
    /// let streams = Streams::start(&builder.build()?, StreamsConfig::new("app", log, state))?;
    /// streams.stop()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn start(topology: &Topology, config: StreamsConfig) -> Result<Self, StreamsError> {
        start(topology, &config)
    }

    /// What it is doing.
    pub fn status(&self) -> Status {
        self.status.lock().clone()
    }

    /// Stops reading, after what was read is committed, or goes on. Views stay.
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
    /// streams.set_paused(true); // until `streams.set_paused(false)`
    /// assert!(streams.is_paused());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_paused(&self, paused: bool) {
        self.shared.paused.store(paused, Ordering::Release);
    }

    /// Whether it was told not to read.
    pub fn is_paused(&self) -> bool {
        self.shared.paused.load(Ordering::Acquire)
    }

    /// What it has done since it was started.
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
    /// assert_eq!(streams.metrics().records_in, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn metrics(&self) -> Metrics {
        self.shared.counters.read()
    }

    /// How many committed records of its inputs, repartition topics included, it has not yet committed as processed.
    ///
    /// # Errors
    /// Those of the log.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, record::{PartitionId, Record, TopicPartition}, log::{Append, Log, Transaction}};
    /// # use millstream::{runtime::{Streams, StreamsConfig}, testing::MemoryLog};
    /// # use millstream_state::{StateBackend, StateConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let log = Arc::new(MemoryLog::new());
    /// # log.create_topic(&"orders".parse()?, &Default::default())?;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let state = StateBackend::open(StateConfig::new(directory.path(), 8 << 20))?;
    /// # let partition = TopicPartition::new("orders".parse()?, PartitionId(0));
    /// # let records = ["ada", "bob", "ada"].map(|key| Record::new(key, 30_i64.to_be_bytes())).into_iter().collect();
    /// # log.producer("till")?.commit(Transaction { appends: vec![Append { partition, records }], offsets: vec![] })?;
    /// # let config = StreamsConfig { paused: true, ..StreamsConfig::new("app", log, state) };
    /// # let streams = Streams::start(&builder.build()?, config)?;
    /// assert_eq!(streams.lag()?, 3); // paused, and there are three records
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lag(&self) -> Result<u64, StreamsError> {
        Ok(self.lags()?.iter().map(PartitionLag::records).sum())
    }

    /// The same by partition, in the order of names.
    ///
    /// # Errors
    /// Those of the log.
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
    /// let streams = Streams::start(&builder.build()?, StreamsConfig::new("app", log, state))?;
    /// let lags = streams.lags()?;
    /// assert_eq!((lags.len(), lags[0].partition.topic.as_str(), lags[0].records()), (1, "orders", 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lags(&self) -> Result<Vec<PartitionLag>, StreamsError> {
        let lag = |(group, input): &(GroupId, TopicPartition)| {
            let end = self.log.end_offset(input)?;
            let committed = self.log.committed(group, input)?.map(|position| position.next);
            let next = committed.map_or_else(|| self.log.start_offset(input), Ok)?;
            Ok(PartitionLag { group: group.clone(), partition: input.clone(), next, end })
        };
        let mut lags = self.inputs.iter().map(lag).collect::<Result<Vec<_>, StreamsError>>()?;
        lags.sort_by(|a, b| (&a.partition, &a.group).cmp(&(&b.partition, &b.group)));
        Ok(lags)
    }

    /// The stores that are brought up to date now, before their tasks begin.
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
    /// let streams = Streams::start(&builder.build()?, StreamsConfig::new("app", log, state))?;
    /// assert!(streams.restoring().is_empty()); // of a log of its own everything is ready when it has started
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn restoring(&self) -> Vec<RestoreProgress> {
        self.board.stores()
    }

    /// The tasks that this process has now: all, or what the group has given it.
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
    /// let streams = Streams::start(&builder.build()?, StreamsConfig::new("app", log, state))?;
    /// assert_eq!(streams.tasks().iter().map(ToString::to_string).collect::<Vec<_>>(), ["0_0"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tasks(&self) -> Vec<TaskId> {
        self.shared.visibility.progress().tasks()
    }

    /// The processes that share the work, this one included, as far as they say where they answer; none if it is not shared.
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
    /// let streams = Streams::start(&builder.build()?, StreamsConfig::new("app", log, state))?;
    /// assert!(streams.peers().is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn peers(&self) -> Vec<GroupPeer> {
        self.sharing.as_ref().map(|sharing| sharing.group.peers()).unwrap_or_default()
    }

    /// The view of a store.
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
    /// assert!(streams.view("counts").is_some() && streams.view("count").is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn view(&self, store: &str) -> Option<View> {
        self.views.get(store).cloned()
    }

    /// The views of all stores, by name.
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
    /// assert_eq!(streams.views().map(|(name, _)| name).collect::<Vec<_>>(), ["counts"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn views(&self) -> impl Iterator<Item = (&str, &View)> {
        self.views.iter().map(|(name, view)| (name.as_str(), view))
    }

    /// Commits what was processed, writes stores to disk, and ends the threads.
    ///
    /// # Errors
    /// What the topology had failed with, if it had.
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
    /// streams.stop()?; // or the error that it had ended with
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stop(mut self) -> Result<(), String> {
        self.join();
        match self.status() {
            Status::Failed { error } => Err(error),
            Status::Running | Status::Stopped => Ok(()),
        }
    }

    fn join(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.futures.stop();
        for thread in self.threads.drain(..) {
            // A panic was caught and made the status already.
            let _ = thread.join();
        }
        if let Some(sharing) = self.sharing.take() {
            sharing.end(&self.board);
        }
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.shared.abandon.store(true, Ordering::Release);
        self.futures.abandon();
        self.join();
    }
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streams")
            .field("application", &self.application)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
