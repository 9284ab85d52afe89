//! A topology that runs in the caller's thread, step by step: what tests and tools use.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use parking_lot::RwLock;

use super::{
    Clock, ErrorHandlers, ManualClock, MaxTaskIdle, Metrics, StreamTimeAtStart, StreamsError, TaskSettings,
    build::{Builder, Built},
    metrics::Counters,
    streams::views,
    worker::{Shared, Worker},
};
use crate::{log::SharedLog, operator::EmitPolicy, query::View, record::Timestamp, topology::Topology};

/// Tasks with stores in memory, driven by hand. It reads no clock but the one it is given.
pub struct SynchronousStreams {
    worker: Worker,
    views: BTreeMap<String, View>,
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
        }
    }
}

impl SynchronousStreams {
    /// Builds every task of `topology` over `log`.
    ///
    /// # Errors
    /// As [`Streams::start`](super::Streams::start).
    pub fn new(topology: &Topology, application: &str, log: SharedLog, emit: EmitPolicy) -> Result<Self, StreamsError> {
        Self::with_config(topology, application, log, SynchronousConfig { emit, ..SynchronousConfig::default() })
    }

    /// Builds every task of `topology` over `log`, with settings.
    ///
    /// # Errors
    /// As [`Streams::start`](super::Streams::start).
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
            state: None,
            reads: None,
            emit: config.emit,
            counters: Arc::clone(&counters),
            settings: TaskSettings::of_synchronous(&config),
        };
        let Built { tasks, stores } = builder.build()?;
        let visibility = Arc::new(RwLock::new(()));
        let views = views(topology, &stores, &visibility);
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            abandon: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            counters,
            visibility,
        });
        let worker = Worker {
            tasks,
            producer: log.producer(application)?,
            log,
            clock: config.clock,
            commit_interval: Duration::ZERO,
            transaction_bytes: usize::MAX,
            checkpoint_interval: Duration::MAX,
            checkpoint: Box::new(|_| Ok(())),
            shared,
        };
        Ok(Self { worker, views })
    }

    /// Processes and commits until there is nothing left to read, through all repartition topics.
    ///
    /// # Errors
    /// What a task or a commit fails with.
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
    pub fn run_in_order_of_arrival(&mut self) -> Result<(), StreamsError> {
        while self.worker.process_next_arrival()? {
            self.worker.commit()?;
        }
        if self.worker.is_dirty() { self.worker.commit() } else { Ok(()) }
    }

    /// What was done so far.
    pub fn metrics(&self) -> Metrics {
        self.worker.shared.counters.read()
    }

    /// The view of a store.
    pub fn view(&self, store: &str) -> Option<View> {
        self.views.get(store).cloned()
    }
}
