//! A topology that runs: its threads, what is known of them, and its views.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use millstream_state::Store;
use parking_lot::Mutex;

use super::{
    Metrics, StreamsConfig, StreamsError, TaskSettings,
    build::{Builder, Built, StoreHandle, dead_letter_topic},
    carry_over::{delete_store, delete_topic},
    global_tables::{GlobalTables, global_store_name},
    metrics::Counters,
    partitions::Partitions,
    visibility::Visibility,
    worker::{Moment, Shared, Worker},
};
use crate::{
    log::{Log, SharedLog},
    operator::AsyncPool,
    query::View,
    record::{GroupId, PartitionId, TopicPartition},
    topology::{GlobalTable, NodeKind, SourceNode, TopicRef, Topology},
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
    shared: Arc<Shared>,
    status: Arc<Mutex<Status>>,
    threads: Vec<JoinHandle<()>>,
    views: BTreeMap<String, View>,
    inputs: Vec<(GroupId, TopicPartition)>,
    application: String,
    log: SharedLog,
    /// Where futures of operators run.
    futures: Arc<AsyncPool>,
    /// Stores checkpoint themselves for want of memory only while their backend is there.
    _state: Arc<millstream_state::StateBackend>,
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
        let counters = Arc::new(Counters::default());
        let settings = TaskSettings::of(&config);
        let builder = Builder {
            topology,
            application: &config.application_id,
            log: &config.log,
            state: Some(config.state.as_ref()),
            reads: Some(config.reads.as_ref()),
            emit: config.emit,
            clock: config.clock.as_ref(),
            counters: Arc::clone(&counters),
            settings: settings.clone(),
        };
        // Fences an earlier life before its positions are read: what it has not committed by now it never will.
        let name = |number: usize| format!("{}-{number}", config.application_id);
        let producers: Vec<_> =
            (0..config.threads.max(1)).map(|number| config.log.producer(&name(number))).collect::<Result<_, _>>()?;
        let Built { tasks, stores, globals, progress } = builder.build()?;
        let visibility = Arc::new(Visibility::new(progress));
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            abandon: AtomicBool::new(false),
            paused: AtomicBool::new(config.paused),
            counters,
            visibility: Arc::clone(&visibility),
        });
        let status = Arc::new(Mutex::new(Status::Running));
        let inputs = tasks
            .iter()
            .flat_map(|task| task.readers.iter().map(|reader| (task.group.clone(), reader.partition.clone())));
        let inputs = inputs.collect();
        let views = views(topology, &stores, &globals, &visibility);
        let mut globals = Some(globals);

        let workers = config.threads.clamp(1, tasks.len().max(1));
        let mut shares: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
        for (index, task) in tasks.into_iter().enumerate() {
            shares[index % workers].push(task);
        }
        let own_stores: Vec<_> = stores
            .into_iter()
            .filter_map(|(_, _, handle)| match handle {
                StoreHandle::Persistent(store) => Some(store),
                StoreHandle::Memory(_) => None,
            })
            .collect();
        // Begun before the first thread, so that a failure on the way ends what runs already.
        let mut streams = Self {
            shared: Arc::clone(&shared),
            status: Arc::clone(&status),
            threads: Vec::new(),
            views,
            inputs,
            application: config.application_id.clone(),
            log: Arc::clone(&config.log),
            futures: Arc::clone(&settings.futures),
            _state: Arc::clone(&config.state),
        };
        for (number, (tasks, producer)) in shares.into_iter().zip(producers).enumerate() {
            // The first worker checkpoints for all: while it works, the state's own thread writes.
            let stores = if number == 0 { own_stores.clone() } else { Vec::new() };
            let checkpoint = move |moment| stores.iter().try_for_each(|store| checkpoint(store, moment));
            let worker = Worker {
                tasks,
                globals: globals.take().unwrap_or_default(),
                producer,
                log: Arc::clone(&config.log),
                clock: Arc::clone(&config.clock),
                commit_interval: config.commit_interval,
                transaction_bytes: config.transaction_bytes,
                checkpoint_interval: config.checkpoint_interval,
                checkpoint: Box::new(checkpoint),
                shared: Arc::clone(&shared),
            };
            streams.threads.push(spawn(name(number), worker, Arc::clone(&status), Arc::clone(&shared))?);
        }
        Ok(streams)
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
        let mut lag = 0;
        for (group, input) in &self.inputs {
            let end = self.log.end_offset(input)?;
            let next = match self.log.committed(group, input)? {
                Some(position) => position.next,
                None => self.log.start_offset(input)?,
            };
            lag += end.since(next);
        }
        Ok(lag)
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

fn checkpoint(store: &Store, moment: Moment) -> Result<(), StreamsError> {
    match moment {
        Moment::AtWork => {
            store.ask_checkpoint();
            Ok(())
        }
        Moment::AtTheEnd => store
            .checkpoint()
            .map_err(|error| StreamsError::Store { store: store.name().to_owned(), problem: error.to_string() }),
    }
}

fn spawn(
    name: String,
    mut worker: Worker,
    status: Arc<Mutex<Status>>,
    shared: Arc<Shared>,
) -> Result<JoinHandle<()>, StreamsError> {
    let work = move || {
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| worker.run()));
        let result = result.unwrap_or_else(|panic| {
            let what = panic.downcast_ref::<String>().cloned();
            let what = what.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(StreamsError::Panic { what: what.unwrap_or_else(|| "no message".to_owned()) })
        });
        let mut status = status.lock();
        match result {
            Ok(()) if *status == Status::Running => *status = Status::Stopped,
            Ok(()) => {}
            Err(error) => {
                tracing::error!("{error}");
                shared.stop.store(true, Ordering::Release);
                if !matches!(*status, Status::Failed { .. }) {
                    *status = Status::Failed { error: error.to_string() };
                }
            }
        }
    };
    std::thread::Builder::new().name(name).spawn(work).map_err(StreamsError::Thread)
}

/// The views over stores, each over all its partitions.
pub(super) fn views(
    topology: &Topology,
    stores: &[(usize, PartitionId, StoreHandle)],
    globals: &GlobalTables,
    visibility: &Arc<Visibility>,
) -> BTreeMap<String, View> {
    let view = |(number, spec): (usize, &crate::operator::StoreSpec)| {
        let of = |number: usize| -> Vec<StoreHandle> {
            stores.iter().filter(|(store, ..)| *store == number).map(|(.., handle)| handle.clone()).collect()
        };
        let part = topology.subtopologies().iter().position(|part| part.stores.contains(&number));
        let view = View::new(spec.clone(), of(number), Arc::clone(visibility), part, topology.owner_of(number));
        let view = match topology.versions(number) {
            Some(versions) => view.with_history(of(versions.history), versions.span),
            None => view,
        };
        (spec.name.clone(), view)
    };
    let global = |(table, handle): (&GlobalTable, StoreHandle)| {
        (table.store.name.clone(), View::new(table.store.clone(), vec![handle], Arc::clone(visibility), None, None))
    };
    let globals = topology.globals().iter().zip(globals.handles()).map(global);
    let own = topology.stores().iter().enumerate().filter(|(_, spec)| spec.layout.is_readable()).map(view);
    own.chain(globals).collect()
}

/// Removes what an application has left: its internal topics and its stores. It must not be running.
///
/// # Errors
/// Those of the log and of the stores; what was removed until then stays removed.
///
/// ```
/// # use std::sync::Arc;
/// # use millstream::{StreamsBuilder, dsl::Consumed, log::Log, runtime::{Streams, StreamsConfig, delete_application}};
/// # use millstream::testing::MemoryLog;
/// # use millstream_state::{StateBackend, StateConfig};
/// # let directory = tempfile::tempdir()?;
/// # let log = Arc::new(MemoryLog::new());
/// # log.create_topic(&"orders".parse()?, &Default::default())?;
/// # let builder = StreamsBuilder::new();
/// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
/// # let state = StateBackend::open(StateConfig::new(directory.path(), 8 << 20))?;
/// # let topology = builder.build()?;
/// # Streams::start(&topology, StreamsConfig::new("app", log.clone(), Arc::clone(&state)))?.stop()?;
/// delete_application(&topology, "app", log.as_ref(), &state)?;
/// assert_eq!(log.topics()?.len(), 1); // `orders`, which is not the application's own
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn delete_application(
    topology: &Topology,
    application: &str,
    log: &dyn Log,
    state: &millstream_state::StateBackend,
) -> Result<(), StreamsError> {
    for node in topology.nodes() {
        if let NodeKind::Source(SourceNode { topic: topic @ TopicRef::Internal { .. }, .. }) = &node.kind {
            delete_topic(&Partitions::resolve(application, topic)?, log)?;
        }
    }
    delete_topic(&dead_letter_topic(application)?, log)?;
    for table in topology.globals() {
        let name = global_store_name(application, &table.store.name);
        if state.store_names().contains(&name) {
            let error =
                |e: millstream_state::StoreError| StreamsError::Store { store: name.clone(), problem: e.to_string() };
            state.drop_store(&name).map_err(error)?;
        }
    }
    topology.stores().iter().try_for_each(|spec| delete_store(&spec.name, application, log, Some(state)))
}
