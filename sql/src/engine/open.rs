//! Opening a data directory: log, state, recorded statements, then everything that runs.
//!
//! Recorded statements are applied to the catalog in order, without running anything; what is left of queries and connectors at the end
//! is started, in the order in which it was declared. What does not start is kept as failed: it must not keep anyone from the rest.
//!
//! On a cluster the state comes first: who has it has the directory, and is the process that the directory names.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64},
    },
    time::Duration,
};

use millstream::{
    format::registry::{ConfluentRegistry, EmbeddedRegistry},
    log::{
        SharedLog,
        embedded::{EmbeddedConfig, EmbeddedLog},
        kafka::{KafkaLog, ProcessId},
    },
    query::QueryServerConfig,
    runtime::{Clock, SharedReads, SystemClock},
};
use millstream_state::{StateBackend, StateConfig};
use parking_lot::{Condvar, Mutex, RwLock};

use super::{
    ClusterConfig, EngineConfig, Inner, Maintenance, ServiceId,
    commands::{COMMANDS_TOPIC, Command, CommandLog},
    declare::{self, Started},
    error::EngineError,
    lag::Tails,
    properties::SessionProperties,
    running::{OnFailure, Running},
    service::{Member, process_of},
};
use crate::{
    catalog::{Catalog, RegistryHandle},
    syntax::parse_statement,
};

/// This part of the memory for state may be taken, beside it, by what queries share that read the same topics ..
const READS_SHARE: usize = 16;
/// .. and no more.
const MOST_READ_BYTES: usize = 64 << 20;
/// Who writes the rows of INSERT VALUES in a directory of one process.
const INSERTS: &str = "_millstream-insert";

/// Opens the log that the configuration names.
pub(super) fn open(config: EngineConfig) -> Result<Inner, EngineError> {
    make_directory(&config.data)?;
    let Some(ClusterConfig { kafka, service, standby_replicas: _, queries }) = config.cluster.clone() else {
        let log_config = EmbeddedConfig { durability: config.durability, ..EmbeddedConfig::default() };
        let log = EmbeddedLog::open(&config.data.join("log"), log_config)?;
        let state = open_state(&config.data.join("state"), config.memory_bytes)?;
        let logs = Logs { shared: Arc::<EmbeddedLog>::clone(&log), embedded: Some(log), cluster: None };
        let registry = registry(&config, &logs.shared)?;
        return start(config, logs, registry, state, None);
    };
    let state = open_state(&config.data.join("state"), config.memory_bytes)?;
    let process = process_of(&config.data, kafka.process_id())?;
    let log = Arc::new(KafkaLog::connect(kafka.with_process_id(process.clone()))?);
    let logs = Logs { shared: Arc::<KafkaLog>::clone(&log), embedded: None, cluster: Some(log) };
    let registry = registry(&config, &logs.shared)?;
    start(config, logs, registry, state, Some(Member::new(service, process, queries)?))
}

/// Opens a directory for a log that is there, and perhaps a registry.
pub(super) fn open_on(
    config: EngineConfig,
    log: SharedLog,
    service: ServiceId,
    registry: Option<RegistryHandle>,
) -> Result<Inner, EngineError> {
    make_directory(&config.data)?;
    let state = open_state(&config.data.join("state"), config.memory_bytes)?;
    let process = process_of(&config.data, &ProcessId::random())?;
    let registry = registry.map_or_else(|| self::registry(&config, &log), Ok)?;
    start(
        config,
        Logs { shared: log, embedded: None, cluster: None },
        registry,
        state,
        Some(Member::new(service, process, QueryServerConfig::default())?),
    )
}

/// A log, and what can be done with it beside reading and writing.
struct Logs {
    shared: SharedLog,
    embedded: Option<Arc<EmbeddedLog>>,
    cluster: Option<Arc<KafkaLog>>,
}

fn make_directory(data: &Path) -> Result<(), EngineError> {
    fs::create_dir_all(data).map_err(|error| EngineError::Directory {
        directory: data.to_path_buf(),
        problem: format!("cannot make the directory: {error}"),
    })
}

fn start(
    config: EngineConfig,
    Logs { shared, embedded, cluster }: Logs,
    registry: RegistryHandle,
    state: Arc<StateBackend>,
    member: Option<Member>,
) -> Result<Inner, EngineError> {
    let reads = Arc::new(SharedReads::new((config.memory_bytes / READS_SHARE).min(MOST_READ_BYTES)));
    let topic = member.as_ref().map_or_else(|| COMMANDS_TOPIC.to_owned(), |member| member.service.commands_topic());
    let process = member.as_ref().map(|member| member.process.to_string());
    let (commands, recorded) = CommandLog::open(&shared, &topic, process)?;
    let inserts = shared.producer(
        &member.as_ref().map_or_else(|| INSERTS.to_owned(), |member| format!("{}insert", member.service.prefix())),
    )?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let mut catalog = Catalog::with_registry(registry);
    catalog.set_functions(config.functions.clone());
    let inner = Inner {
        config,
        commands: Mutex::new(commands),
        catalog: RwLock::new(catalog),
        running: Mutex::new(Running::default()),
        queues: Mutex::default(),
        embedded,
        shared,
        cluster,
        member,
        tails: Tails::default(),
        state,
        reads,
        clock,
        maintenance: Mutex::new(None),
        follower: Mutex::new(None),
        inserts: Mutex::new(inserts),
        transient: AtomicU64::new(0),
        keyless: AtomicU64::new(0),
        stopped: AtomicBool::new(false),
    };
    let started = replay(&inner, recorded)?;
    for (properties, started) in started {
        inner.start(started, &properties, OnFailure::Keep)?;
    }
    if let Some(log) = &inner.embedded {
        *inner.maintenance.lock() = Some(maintain(&inner, Arc::clone(log))?);
    }
    Ok(inner)
}

fn registry(config: &EngineConfig, log: &SharedLog) -> Result<RegistryHandle, EngineError> {
    if let Some(server) = &config.schema_registry {
        return Ok(RegistryHandle(Arc::new(ConfluentRegistry::new(server.clone()))));
    }
    let refuse = |error: millstream::format::registry::RegistryError| EngineError::Directory {
        directory: config.data.clone(),
        problem: error.to_string(),
    };
    Ok(RegistryHandle(Arc::new(EmbeddedRegistry::open(log).map_err(refuse)?)))
}

/// A state directory that is damaged beyond use is set aside: it comes back from the log.
fn open_state(directory: &Path, memory_bytes: usize) -> Result<Arc<StateBackend>, EngineError> {
    let open = || StateBackend::open(StateConfig::new(directory, memory_bytes));
    match open() {
        Err(error) if error.is_rebuildable() => {
            let aside = directory.with_extension("damaged");
            tracing::error!(%error, "state is rebuilt from the log; the damaged one is kept at {}", aside.display());
            let refuse = |error: std::io::Error| EngineError::Directory {
                directory: directory.to_path_buf(),
                problem: format!("the state is damaged and cannot be set aside: {error}"),
            };
            if aside.exists() {
                fs::remove_dir_all(&aside).map_err(refuse)?;
            }
            fs::rename(directory, &aside).map_err(refuse)?;
            Ok(open()?)
        }
        opened => Ok(opened?),
    }
}

/// Applies recorded statements to the catalog; gives what is to be started.
fn replay(inner: &Inner, recorded: Vec<Command>) -> Result<Vec<(SessionProperties, Started)>, EngineError> {
    let mut catalog = inner.catalog.write();
    let mut waiting: Vec<(SessionProperties, Started)> = Vec::new();
    for command in recorded {
        let properties = SessionProperties { set: command.properties.clone() };
        let problem = |error: EngineError| EngineError::Replay {
            number: command.number,
            text: command.text.lines().next().unwrap_or_default().chars().take(80).collect(),
            problem: error.to_string(),
        };
        let statement = parse_statement(&command.text).map_err(|error| problem(error.into()))?;
        let query = command.query.clone();
        let effect = declare::apply(&mut catalog, &statement, query.as_deref(), &properties).map_err(problem)?;
        let started = effect.into_started();
        if let Some(Started::Query { id, .. }) = &started {
            // What it replaces.
            waiting.retain(|(_, earlier)| !matches!(earlier, Started::Query { id: known, .. } if known == id));
        }
        waiting.extend(started.map(|started| (properties.clone(), started)));
        waiting.retain(|(_, started)| started.is_declared(&catalog));
    }
    Ok(waiting)
}

fn maintain(inner: &Inner, log: Arc<EmbeddedLog>) -> Result<Maintenance, EngineError> {
    let stop = Arc::new((Mutex::new(false), Condvar::new()));
    let (clock, told) = (Arc::clone(&inner.clock), Arc::clone(&stop));
    let interval: Duration = inner.config.maintenance_interval;
    let work = move || {
        let mut stopped = told.0.lock();
        while !*stopped {
            told.1.wait_for(&mut stopped, interval);
            if *stopped {
                break;
            }
            let outcome = parking_lot::MutexGuard::unlocked(&mut stopped, || log.maintain(clock.wall()));
            match outcome {
                Ok(done) if done.bytes_freed > 0 => tracing::debug!(?done, "maintenance"),
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "maintenance failed"),
            }
        }
    };
    let thread = std::thread::Builder::new().name("maintenance".to_owned()).spawn(work).map_err(EngineError::Thread)?;
    Ok(Maintenance { stop, thread })
}
