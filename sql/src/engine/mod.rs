//! The engine: one data directory, what is declared in it, what runs in it.
//!
//! An [`Engine`] owns the log, the state stores, the catalog, the persistent queries and the connectors of a directory; a [`Session`]
//! is a client of it, with properties of its own. Statements that declare something are recorded in a topic of the log and brought back
//! when the directory is opened again.
//!
//! On a cluster the log is there, and the engine is one of the processes of a *service*: all of them follow the one record of statements, and
//! share the work of its queries. The directory then holds state and the name of the process.
//!
//! # Invariants
//! - Statements that change the catalog run one at a time; what is answered with success is recorded durably.
//! - A query commits under a name made of its id, and ids never come back: no query ever finds the positions of another.
//!
//! # Map
//! - [`config`], [`error`], [`progress`]; `properties`: those of sessions; `names`: which names are free; `variables`: their values in texts
//! - `session`: statements to answers; `declare`: those that change the catalog, `carry_out`: what they do beside, `replace`: a query in the place of another; `show`, `show_inputs`: those that tell about it; `insert`: rows; `assert`: what is there;
//!   `push`: endless answers
//! - [`in_memory`]: an engine without a directory, whose queries run when they are told to
//! - `schemas`: the schema registry beside statements
//! - `queues`: work given out from topics
//! - `commands`: the record of statements; `open`: bringing it back; `running`: what runs; `idle`: when everything is done
//! - [`service`]: processes that share a record; `follow`: what others declare; `connectors`: what they are to do, `validate`: the same without running them, `claim`: each in one of the processes; [`lag`]: what waits where

mod assert;
mod carry_out;
mod claim;
mod commands;
pub mod config;
mod connectors;
mod declare;
pub mod error;
mod follow;
mod idle;
pub mod in_memory;
mod insert;
pub mod lag;
pub(crate) mod names;
mod open;
pub mod progress;
mod properties;
mod push;
mod queues;
mod replace;
mod running;
mod schemas;
pub mod service;
mod session;
mod show;
mod show_inputs;
mod text_table;
mod validate;
pub(crate) mod variables;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use millstream::{
    format::registry::SharedRegistry,
    log::{Producer, SharedLog, embedded::EmbeddedLog, kafka::KafkaLog},
    record::Timestamp,
    runtime::{Clock, SharedReads},
};
use millstream_state::StateBackend;
use parking_lot::{Condvar, Mutex, RwLock};

use self::{commands::CommandLog, follow::Follower, lag::Tails, running::Running, service::Member};
use crate::catalog::{Catalog, RegistryHandle, Source};

pub use config::EngineConfig;
pub use error::EngineError;
pub use lag::InputLag;
pub use progress::{ConnectorProgress, Progress, QueryProgress, QueryState};
pub use service::{ClusterConfig, ServiceId};
pub use session::Session;
pub use validate::{CheckedConnector, check_connectors, check_connectors_after};

/// An engine. Cloning gives another handle to the same one; the directory is free when all handles and sessions are gone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

/// What handles and sessions share. Locks are taken in the order of the fields.
pub(crate) struct Inner {
    config: EngineConfig,
    /// Held by a statement that changes the catalog.
    commands: Mutex<CommandLog>,
    catalog: RwLock<Catalog>,
    running: Mutex<Running>,
    queues: Mutex<queues::OpenQueues>,
    /// The log, if it is one of the data directory, which then has to be looked after.
    embedded: Option<Arc<EmbeddedLog>>,
    shared: SharedLog,
    /// The same, if it is that of a cluster, which can be asked about groups.
    cluster: Option<Arc<KafkaLog>>,
    /// Which process of which service this is, on a log that others share.
    member: Option<Member>,
    /// What is known of the ends of inputs.
    tails: Tails,
    state: Arc<StateBackend>,
    /// What queries share that read the same topics.
    reads: Arc<SharedReads>,
    clock: Arc<dyn Clock>,
    maintenance: Mutex<Option<Maintenance>>,
    /// Looks for what other processes declare.
    follower: Mutex<Option<Follower>>,
    /// Writes rows of INSERT VALUES.
    inserts: Mutex<Box<dyn Producer>>,
    /// Numbers for what has no lasting name.
    transient: AtomicU64,
    /// Spreads inserted rows without a key.
    keyless: AtomicU64,
    stopped: AtomicBool,
}

/// The thread that looks after the log.
struct Maintenance {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: std::thread::JoinHandle<()>,
}

impl Engine {
    /// Opens a data directory, or makes it, and starts the queries and connectors that are declared in it.
    ///
    /// # Errors
    /// If another process has the directory or something in it is damaged. A query or connector that does not start is in
    /// [`Self::progress`] with its error, and can be terminated or dropped.
    pub fn open(config: EngineConfig) -> Result<Self, EngineError> {
        open::open(config).and_then(Self::following)
    }

    /// Opens a data directory as a process of a service on a log that is there already, such as one that other engines of the process use as
    /// well; `config` names no cluster.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_on(config: EngineConfig, log: SharedLog, service: ServiceId) -> Result<Self, EngineError> {
        open::open_on(config, log, service, None).and_then(Self::following)
    }

    /// The same with a registry that is there already.
    pub(crate) fn open_with(
        config: EngineConfig,
        log: SharedLog,
        service: ServiceId,
        registry: RegistryHandle,
    ) -> Result<Self, EngineError> {
        open::open_on(config, log, service, Some(registry)).and_then(Self::following)
    }

    /// What is declared.
    pub(crate) fn catalog(&self) -> Catalog {
        self.inner.catalog.read().clone()
    }

    fn following(inner: Inner) -> Result<Self, EngineError> {
        let inner = Arc::new(inner);
        if inner.member.is_some() {
            *inner.follower.lock() = Some(Follower::start(&inner)?);
        }
        Ok(Self { inner })
    }

    /// A new session.
    pub fn session(&self) -> Session {
        Session::new(Arc::clone(&self.inner))
    }

    /// The log.
    pub fn log(&self) -> SharedLog {
        Arc::clone(&self.inner.shared)
    }

    /// The schema registry: the one that the configuration names, or that of the data directory.
    pub fn schema_registry(&self) -> SharedRegistry {
        Arc::clone(&self.inner.catalog.read().registry().0)
    }

    /// The names of sources, their columns and of queues, for completion.
    pub fn names(&self) -> Vec<String> {
        let catalog = self.inner.catalog.read();
        let mut names: Vec<String> = catalog
            .sources()
            .flat_map(|source| source.columns.iter().map(|column| &column.name).chain([&source.name]))
            .cloned()
            .collect();
        names.extend(catalog.queues().map(|queue| queue.name.clone()));
        names.extend(catalog.queries().map(|query| query.id.0.clone()));
        names.sort();
        names.dedup();
        names
    }

    /// A stream or table by its exact name.
    pub fn source(&self, name: &str) -> Option<Source> {
        self.inner.catalog.read().source(name).cloned()
    }

    /// About how many keys the state of all queries holds.
    pub fn state_keys(&self) -> u64 {
        self.inner.state.approximate_keys() as u64
    }

    /// What connectors and queries have done and have yet to do.
    pub fn progress(&self) -> Progress {
        self.inner.progress()
    }

    /// Stops connectors, then queries, which commit what they have processed, and writes all state to disk.
    ///
    /// # Errors
    /// If state cannot be written; the log is complete nevertheless, and the state comes back from it.
    pub fn shutdown(self) -> Result<(), EngineError> {
        self.inner.stop()
    }
}

impl Inner {
    fn now(&self) -> Timestamp {
        self.clock.wall()
    }

    fn stop(&self) -> Result<(), EngineError> {
        if self.stopped.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        // First, so that nothing is started any more.
        if let Some(follower) = self.follower.lock().take() {
            follower.stop();
        }
        let Running { queries, connectors, .. } = std::mem::take(&mut *self.running.lock());
        for connector in connectors.into_values() {
            connector.stop();
        }
        let mut failed = None;
        for (id, query) in queries {
            let Ok(streams) = query.streams else { continue };
            if let Err(problem) = streams.stop() {
                failed.get_or_insert(EngineError::Query { id: id.0, problem });
            }
        }
        if let Some(Maintenance { stop, thread }) = self.maintenance.lock().take() {
            *stop.0.lock() = true;
            stop.1.notify_all();
            if thread.join().is_err() {
                tracing::error!("the maintenance thread panicked");
            }
        }
        self.state.checkpoint_all()?;
        failed.map_or(Ok(()), Err)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!(%error, "the engine did not stop in order");
        }
    }
}
