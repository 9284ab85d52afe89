//! A topology that runs in the caller's thread, step by step: what tests and tools use.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use parking_lot::RwLock;

use super::{
    Clock, ManualClock, Metrics, StreamsError,
    build::{Builder, Built},
    metrics::Counters,
    streams::views,
    worker::{Shared, Worker},
};
use crate::{log::SharedLog, operator::EmitPolicy, query::View, record::Timestamp, topology::Topology};

/// Tasks with stores in memory, driven by hand. Its clock stands still at 0, unless it is given one.
pub struct SynchronousStreams {
    worker: Worker,
    views: BTreeMap<String, View>,
}

impl SynchronousStreams {
    /// Builds every task of `topology` over `log`.
    ///
    /// # Errors
    /// As [`Streams::start`](super::Streams::start).
    pub fn new(topology: &Topology, application: &str, log: SharedLog, emit: EmitPolicy) -> Result<Self, StreamsError> {
        Self::with_clock(topology, application, log, emit, Arc::new(ManualClock::at(Timestamp(0))))
    }

    /// The same with a clock that says the time of day. It is looked at when something is run, so that a tick by the time of day waits for
    /// [`run_due_punctuations`](Self::run_due_punctuations) or for records.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_clock(
        topology: &Topology,
        application: &str,
        log: SharedLog,
        emit: EmitPolicy,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StreamsError> {
        let counters = Arc::new(Counters::default());
        let builder = Builder {
            topology,
            application,
            log: log.as_ref(),
            state: None,
            reads: None,
            emit,
            clock: clock.as_ref(),
            counters: Arc::clone(&counters),
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
            clock,
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
            if !worked {
                return Ok(());
            }
        }
    }

    /// Makes the ticks that are due by the time of day and commits what comes of them, then goes on as [`run_until_idle`](Self::run_until_idle).
    ///
    /// # Errors
    /// As [`run_until_idle`](Self::run_until_idle).
    pub fn run_due_punctuations(&mut self) -> Result<(), StreamsError> {
        if self.worker.punctuate()? {
            self.worker.commit()?;
        }
        self.run_until_idle()
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
        Ok(worked)
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
