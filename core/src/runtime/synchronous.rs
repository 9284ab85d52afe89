//! A topology that runs in the caller's thread, step by step: what tests and tools use.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use millstream_state::{StateBackend, Store};

use super::{
    Clock, ErrorHandlers, ManualClock, MaxTaskIdle, Metrics, StreamTimeAtStart, StreamsError, TaskSettings,
    build::{Builder, Built},
    metrics::Counters,
    restore::RestoreBoard,
    store_partitions::StoreRegistry,
    views::views,
    visibility::Visibility,
    worker::{Shared, Worker},
};
use crate::{log::SharedLog, operator::EmitPolicy, query::View, record::Timestamp, topology::Topology};

/// Tasks with stores in memory, driven by hand. It reads no clock but the one it is given.
///
/// ```
/// # use std::sync::Arc;
/// # use millstream::{StreamsBuilder, dsl::Consumed, operator::EmitPolicy, record::{PartitionId, Record, TopicPartition}};
/// # use millstream::{log::{Append, Log, Transaction}, runtime::SynchronousStreams, testing::MemoryLog};
/// # let log = Arc::new(MemoryLog::new());
/// # log.create_topic(&"orders".parse()?, &Default::default())?;
/// # let builder = StreamsBuilder::new();
/// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
/// # let partition = TopicPartition::new("orders".parse()?, PartitionId(0));
/// # let records = ["ada", "bob", "ada"].map(|key| Record::new(key, 30_i64.to_be_bytes())).into_iter().collect();
/// # log.producer("till")?.commit(Transaction { appends: vec![Append { partition, records }], offsets: vec![] })?;
/// let mut streams = SynchronousStreams::new(&builder.build()?, "app", log, EmitPolicy::Commit)?;
/// streams.run_until_idle()?;
/// assert_eq!(streams.store::<String, i64>("counts")?.get("ada")?, Some(2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SynchronousStreams {
    worker: Worker,
    views: BTreeMap<String, View>,
    /// Those on disk.
    stores: Vec<Arc<Store>>,
}

/// The settings of a topology that is run step by step; the default is that of a running one, with a clock that nobody moves.
///
/// ```
/// # use millstream::{operator::EmitPolicy, runtime::SynchronousConfig};
/// let config = SynchronousConfig { emit: EmitPolicy::Record, ..SynchronousConfig::default() };
/// # let _ = config;
/// ```
#[derive(Clone)]
pub struct SynchronousConfig {
    /// When updates of tables are passed on.
    pub emit: EmitPolicy,
    /// What becomes of records that cannot be read, processed or written.
    pub handlers: ErrorHandlers,
    /// How long a task waits for an input that is empty while others are not.
    pub max_task_idle: MaxTaskIdle,
    /// What operators know at the start of the stream time that they had observed before.
    pub stream_time_at_start: StreamTimeAtStart,
    /// After how long without a record stream time goes on all the same: see [`StreamsConfig::idle_advance`](super::StreamsConfig::idle_advance).
    pub idle_advance: Option<Duration>,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where stores are, if they are to be on disk; `None`, the default: in memory.
    pub state: Option<Arc<StateBackend>>,
}

impl Default for SynchronousConfig {
    fn default() -> Self {
        Self {
            emit: EmitPolicy::default(),
            handlers: ErrorHandlers::default(),
            max_task_idle: MaxTaskIdle::default(),
            stream_time_at_start: StreamTimeAtStart::default(),
            idle_advance: None,
            clock: Arc::new(ManualClock::at(Timestamp(0))),
            state: None,
        }
    }
}

impl SynchronousStreams {
    /// Builds every task of `topology` over `log`.
    ///
    /// # Errors
    /// As [`Streams::start`](super::Streams::start).
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, operator::EmitPolicy, log::Log, runtime::SynchronousStreams, testing::MemoryLog};
    /// # let log = Arc::new(MemoryLog::new());
    /// # log.create_topic(&"orders".parse()?, &Default::default())?;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// let streams = SynchronousStreams::new(&builder.build()?, "app", log, EmitPolicy::Record)?;
    /// assert_eq!(streams.stores_on_disk(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(topology: &Topology, application: &str, log: SharedLog, emit: EmitPolicy) -> Result<Self, StreamsError> {
        Self::with_config(topology, application, log, SynchronousConfig { emit, ..SynchronousConfig::default() })
    }

    /// Builds every task of `topology` over `log`, with settings.
    ///
    /// # Errors
    /// As [`Streams::start`](super::Streams::start).
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, log::Log, runtime::{SynchronousConfig, SynchronousStreams}, testing::MemoryLog};
    /// # use millstream_state::{StateBackend, StateConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let log = Arc::new(MemoryLog::new());
    /// # log.create_topic(&"orders".parse()?, &Default::default())?;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// let state = Some(StateBackend::open(StateConfig::new(directory.path(), 8 << 20))?);
    /// let config = SynchronousConfig { state, ..SynchronousConfig::default() };
    /// let streams = SynchronousStreams::with_config(&builder.build()?, "app", log, config)?;
    /// assert_eq!(streams.stores_on_disk(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_config(
        topology: &Topology,
        application: &str,
        log: SharedLog,
        config: SynchronousConfig,
    ) -> Result<Self, StreamsError> {
        let counters = Arc::new(Counters::default());
        let builder = Builder {
            topology,
            application,
            log: &log,
            state: config.state.as_deref(),
            reads: None,
            emit: config.emit,
            clock: config.clock.as_ref(),
            counters: Arc::clone(&counters),
            settings: TaskSettings::of_synchronous(&config),
            restoring: &RestoreBoard::default(),
        };
        let Built { tasks, stores, globals, progress } = builder.build()?;
        let visibility = Arc::new(Visibility::new(progress));
        let registry = StoreRegistry::whole(topology.stores().len(), &stores);
        let views = views(topology, &registry, &globals, &visibility, None);
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            abandon: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            counters,
            visibility,
        });
        let worker = Worker {
            tasks,
            globals,
            producer: log.producer(application)?,
            log,
            clock: config.clock,
            commit_interval: Duration::ZERO,
            transaction_bytes: usize::MAX,
            checkpoint_interval: Duration::MAX,
            checkpoint: Box::new(|_| Ok(())),
            shared,
            seat: None,
        };
        Ok(Self { worker, views, stores: registry.persistent() })
    }

    /// Processes runs of input of at most `rows` rows together, each task some, without a commit; says whether there was any work, and how many
    /// rows it was.
    ///
    /// # Errors
    /// What a task fails with.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, operator::EmitPolicy, record::{PartitionId, Record, TopicPartition}};
    /// # use millstream::{log::{Append, Log, Transaction}, runtime::SynchronousStreams, testing::MemoryLog};
    /// # let log = Arc::new(MemoryLog::new());
    /// # log.create_topic(&"orders".parse()?, &Default::default())?;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let partition = TopicPartition::new("orders".parse()?, PartitionId(0));
    /// # let records = ["ada", "bob", "ada"].map(|key| Record::new(key, 30_i64.to_be_bytes())).into_iter().collect();
    /// # log.producer("till")?.commit(Transaction { appends: vec![Append { partition, records }], offsets: vec![] })?;
    /// # let mut streams = SynchronousStreams::new(&builder.build()?, "app", log, EmitPolicy::Commit)?;
    /// assert_eq!(streams.process(2)?, (true, 2)); // of three records
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn process(&mut self, rows: usize) -> Result<(bool, usize), StreamsError> {
        let counters = Arc::clone(&self.worker.shared.counters);
        let before = counters.read().records_in;
        let done = || (counters.read().records_in - before) as usize;
        if rows == usize::MAX {
            return Ok((self.worker.process()?, done()));
        }
        let mut worked = self.worker.globals.update(self.worker.log.as_ref())?;
        for task in &mut self.worker.tasks {
            let left = rows - done();
            if left == 0 {
                break;
            }
            task.readers.iter_mut().for_each(|reader| reader.most_rows = left);
            worked |= task.process(self.worker.log.as_ref(), self.worker.clock.monotonic())?;
            task.readers.iter_mut().for_each(|reader| reader.most_rows = usize::MAX);
        }
        Ok((worked, done()))
    }

    /// Processes the one record that arrived first of all that wait, as [`run_in_order_of_arrival`](Self::run_in_order_of_arrival) does,
    /// without a commit; says whether there was one.
    ///
    /// # Errors
    /// What a task fails with.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, operator::EmitPolicy, record::{PartitionId, Record, TopicPartition}};
    /// # use millstream::{log::{Append, Log, Transaction}, runtime::SynchronousStreams, testing::MemoryLog};
    /// # let log = Arc::new(MemoryLog::new());
    /// # log.create_topic(&"orders".parse()?, &Default::default())?;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let partition = TopicPartition::new("orders".parse()?, PartitionId(0));
    /// # let records = ["ada", "bob", "ada"].map(|key| Record::new(key, 30_i64.to_be_bytes())).into_iter().collect();
    /// # log.producer("till")?.commit(Transaction { appends: vec![Append { partition, records }], offsets: vec![] })?;
    /// # let mut streams = SynchronousStreams::new(&builder.build()?, "app", log, EmitPolicy::Commit)?;
    /// assert!(streams.process_next_arrival()?);
    /// assert_eq!(streams.metrics().records_in, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn process_next_arrival(&mut self) -> Result<bool, StreamsError> {
        self.worker.process_next_arrival()
    }

    /// Whether a commit would change anything.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, operator::EmitPolicy, record::{PartitionId, Record, TopicPartition}};
    /// # use millstream::{log::{Append, Log, Transaction}, runtime::SynchronousStreams, testing::MemoryLog};
    /// # let log = Arc::new(MemoryLog::new());
    /// # log.create_topic(&"orders".parse()?, &Default::default())?;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let partition = TopicPartition::new("orders".parse()?, PartitionId(0));
    /// # let records = ["ada", "bob", "ada"].map(|key| Record::new(key, 30_i64.to_be_bytes())).into_iter().collect();
    /// # log.producer("till")?.commit(Transaction { appends: vec![Append { partition, records }], offsets: vec![] })?;
    /// # let mut streams = SynchronousStreams::new(&builder.build()?, "app", log, EmitPolicy::Commit)?;
    /// streams.process(usize::MAX)?;
    /// assert!(streams.is_dirty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_dirty(&self) -> bool {
        self.worker.is_dirty()
    }

    /// Commits what was processed, in one step.
    ///
    /// # Errors
    /// What a task or the commit fails with; the tasks are then of no further use.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, operator::EmitPolicy, record::{PartitionId, Record, TopicPartition}};
    /// # use millstream::{log::{Append, Log, Transaction}, runtime::SynchronousStreams, testing::MemoryLog};
    /// # let log = Arc::new(MemoryLog::new());
    /// # log.create_topic(&"orders".parse()?, &Default::default())?;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let partition = TopicPartition::new("orders".parse()?, PartitionId(0));
    /// # let records = ["ada", "bob", "ada"].map(|key| Record::new(key, 30_i64.to_be_bytes())).into_iter().collect();
    /// # log.producer("till")?.commit(Transaction { appends: vec![Append { partition, records }], offsets: vec![] })?;
    /// # let mut streams = SynchronousStreams::new(&builder.build()?, "app", log, EmitPolicy::Commit)?;
    /// streams.process(usize::MAX)?;
    /// streams.commit()?;
    /// assert_eq!(streams.store::<String, i64>("counts")?.get("ada")?, Some(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn commit(&mut self) -> Result<(), StreamsError> {
        self.worker.commit()
    }

    /// Lets stream time go on for tasks that have been idle for long, if they are to: see [`SynchronousConfig::idle_advance`]. Says whether
    /// anything came of it; what did waits for a commit.
    ///
    /// # Errors
    /// What a task fails with.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, operator::EmitPolicy, log::Log, runtime::SynchronousStreams, testing::MemoryLog};
    /// # let log = Arc::new(MemoryLog::new());
    /// # log.create_topic(&"orders".parse()?, &Default::default())?;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let mut streams = SynchronousStreams::new(&builder.build()?, "app", log, EmitPolicy::Commit)?;
    /// assert!(!streams.advance_idle()?); // it has no `idle_advance`
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn advance_idle(&mut self) -> Result<bool, StreamsError> {
        self.worker.advance_idle()
    }

    /// How many stores it has on disk.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, operator::EmitPolicy, log::Log, runtime::SynchronousStreams, testing::MemoryLog};
    /// # let log = Arc::new(MemoryLog::new());
    /// # log.create_topic(&"orders".parse()?, &Default::default())?;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let mut streams = SynchronousStreams::new(&builder.build()?, "app", log, EmitPolicy::Commit)?;
    /// assert_eq!(streams.stores_on_disk(), 0); // they are in memory
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stores_on_disk(&self) -> usize {
        self.stores.len()
    }

    /// Writes the first `stores` of the stores on disk as they were at the last commit, durably.
    ///
    /// # Errors
    /// Those of the stores.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, operator::EmitPolicy, log::Log, runtime::SynchronousStreams, testing::MemoryLog};
    /// # let log = Arc::new(MemoryLog::new());
    /// # log.create_topic(&"orders".parse()?, &Default::default())?;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let mut streams = SynchronousStreams::new(&builder.build()?, "app", log, EmitPolicy::Commit)?;
    /// streams.checkpoint(streams.stores_on_disk())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn checkpoint(&self, stores: usize) -> Result<(), StreamsError> {
        let error = |store: &Arc<Store>, problem: millstream_state::StoreError| StreamsError::Store {
            store: store.name().to_owned(),
            problem: problem.to_string(),
        };
        let mut stores = self.stores.iter().take(stores);
        stores.try_for_each(|store| store.checkpoint().map_err(|problem| error(store, problem)))
    }

    /// Processes and commits until there is nothing left to read, through all repartition topics.
    ///
    /// # Errors
    /// What a task or a commit fails with.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, operator::EmitPolicy, record::{PartitionId, Record, TopicPartition}};
    /// # use millstream::{log::{Append, Log, Transaction}, runtime::SynchronousStreams, testing::MemoryLog};
    /// # let log = Arc::new(MemoryLog::new());
    /// # log.create_topic(&"orders".parse()?, &Default::default())?;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let partition = TopicPartition::new("orders".parse()?, PartitionId(0));
    /// # let records = ["ada", "bob", "ada"].map(|key| Record::new(key, 30_i64.to_be_bytes())).into_iter().collect();
    /// # log.producer("till")?.commit(Transaction { appends: vec![Append { partition, records }], offsets: vec![] })?;
    /// # let mut streams = SynchronousStreams::new(&builder.build()?, "app", log, EmitPolicy::Commit)?;
    /// streams.run_until_idle()?;
    /// assert_eq!(streams.metrics().records_in, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run_until_idle(&mut self) -> Result<(), StreamsError> {
        loop {
            let mut worked = false;
            while self.worker.process()? {
                worked = true;
            }
            if self.worker.is_dirty() {
                self.worker.commit()?;
                worked = true;
            }
            worked |= self.worker.advance_idle()?;
            if !worked {
                return Ok(());
            }
        }
    }

    /// Processes one stretch of input and commits it; whether there was any.
    ///
    /// # Errors
    /// What a task or a commit fails with.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, operator::EmitPolicy, record::{PartitionId, Record, TopicPartition}};
    /// # use millstream::{log::{Append, Log, Transaction}, runtime::SynchronousStreams, testing::MemoryLog};
    /// # let log = Arc::new(MemoryLog::new());
    /// # log.create_topic(&"orders".parse()?, &Default::default())?;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let partition = TopicPartition::new("orders".parse()?, PartitionId(0));
    /// # let records = ["ada", "bob", "ada"].map(|key| Record::new(key, 30_i64.to_be_bytes())).into_iter().collect();
    /// # log.producer("till")?.commit(Transaction { appends: vec![Append { partition, records }], offsets: vec![] })?;
    /// # let mut streams = SynchronousStreams::new(&builder.build()?, "app", log, EmitPolicy::Commit)?;
    /// while streams.run_step()? {}
    /// assert_eq!(streams.metrics().records_in, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run_step(&mut self) -> Result<bool, StreamsError> {
        let worked = self.worker.process()?;
        if self.worker.is_dirty() {
            self.worker.commit()?;
        }
        Ok(worked | self.worker.advance_idle()?)
    }

    /// Processes and commits one record after another, in the order in which they were written to whatever topic, each through all
    /// repartition topics before the next: as Kafka Streams' test driver does. It needs a log that keeps that order
    /// ([`Log::arrival`](crate::log::Log::arrival)); with another one the order within a topic is all that is certain.
    ///
    /// # Errors
    /// As [`run_until_idle`](Self::run_until_idle).
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, operator::EmitPolicy, record::{PartitionId, Record, TopicPartition}};
    /// # use millstream::{log::{Append, Log, Transaction}, runtime::SynchronousStreams, testing::MemoryLog};
    /// # let log = Arc::new(MemoryLog::new());
    /// # log.create_topic(&"orders".parse()?, &Default::default())?;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let partition = TopicPartition::new("orders".parse()?, PartitionId(0));
    /// # let records = ["ada", "bob", "ada"].map(|key| Record::new(key, 30_i64.to_be_bytes())).into_iter().collect();
    /// # log.producer("till")?.commit(Transaction { appends: vec![Append { partition, records }], offsets: vec![] })?;
    /// # let mut streams = SynchronousStreams::new(&builder.build()?, "app", log, EmitPolicy::Commit)?;
    /// streams.run_in_order_of_arrival()?;
    /// assert_eq!(streams.metrics().commits, 3); // one a record
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run_in_order_of_arrival(&mut self) -> Result<(), StreamsError> {
        while self.worker.process_next_arrival()? {
            self.worker.commit()?;
        }
        if self.worker.is_dirty() { self.worker.commit() } else { Ok(()) }
    }

    /// What was done so far.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, operator::EmitPolicy, log::Log, runtime::SynchronousStreams, testing::MemoryLog};
    /// # let log = Arc::new(MemoryLog::new());
    /// # log.create_topic(&"orders".parse()?, &Default::default())?;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let mut streams = SynchronousStreams::new(&builder.build()?, "app", log, EmitPolicy::Commit)?;
    /// assert_eq!(streams.metrics().records_in, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn metrics(&self) -> Metrics {
        self.worker.shared.counters.read()
    }

    /// The views of all stores, by name.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, operator::EmitPolicy, log::Log, runtime::SynchronousStreams, testing::MemoryLog};
    /// # let log = Arc::new(MemoryLog::new());
    /// # log.create_topic(&"orders".parse()?, &Default::default())?;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let mut streams = SynchronousStreams::new(&builder.build()?, "app", log, EmitPolicy::Commit)?;
    /// assert_eq!(streams.views().map(|(name, _)| name).collect::<Vec<_>>(), ["counts"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn views(&self) -> impl Iterator<Item = (&str, &View)> {
        self.views.iter().map(|(name, view)| (name.as_str(), view))
    }

    /// The view of a store.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, operator::EmitPolicy, log::Log, runtime::SynchronousStreams, testing::MemoryLog};
    /// # let log = Arc::new(MemoryLog::new());
    /// # log.create_topic(&"orders".parse()?, &Default::default())?;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let mut streams = SynchronousStreams::new(&builder.build()?, "app", log, EmitPolicy::Commit)?;
    /// assert!(streams.view("counts").is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn view(&self, store: &str) -> Option<View> {
        self.views.get(store).cloned()
    }
}
