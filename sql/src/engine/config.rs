//! The settings of an engine.

use std::{path::PathBuf, time::Duration};

use millstream::{
    format::registry::ConfluentConfig,
    log::embedded::Durability,
    operator::EmitPolicy,
    runtime::{ErrorHandlers, HandlerResponse, SynchronousConfig},
};

use super::service::ClusterConfig;
use crate::functions::Functions;

/// How an engine works.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The directory that holds everything; on a cluster, state and the name of the process.
    pub data: PathBuf,
    /// The cluster that topics, positions and what is declared are on; none means a log in the data directory.
    pub cluster: Option<ClusterConfig>,
    /// When a commit counts as done; of a log in the data directory.
    pub durability: Durability,
    /// Memory for the state of all queries together.
    pub memory_bytes: usize,
    /// How often queries commit.
    pub commit_interval: Duration,
    /// Threads of each query, at most one a partition.
    pub threads: usize,
    /// When updates of tables are passed on.
    pub emit: EmitPolicy,
    /// How often old and superseded records are looked for; in a log in the data directory.
    pub maintenance_interval: Duration,
    /// The schema registry; none means one of its own in a topic of the log.
    pub schema_registry: Option<ConfluentConfig>,
    /// What statements can call beside the functions of the language; statements that were recorded need theirs again.
    pub functions: Functions,
}

impl EngineConfig {
    /// The defaults: fsync, a quarter of the machine's memory, 100 ms, one thread a core up to four, merged updates.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            cluster: None,
            durability: Durability::Fsync,
            memory_bytes: default_memory(),
            commit_interval: Duration::from_millis(100),
            threads: std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4)),
            emit: EmitPolicy::Commit,
            maintenance_interval: Duration::from_secs(5),
            schema_registry: None,
            functions: Functions::new(),
        }
    }
}

/// What becomes of records that a query cannot process: a query that cannot write a row has failed, everything else is a dead letter.
pub(super) fn handlers() -> ErrorHandlers {
    ErrorHandlers { production: HandlerResponse::Fail.into(), ..ErrorHandlers::default() }
}

/// How a query is run step by step.
pub(super) fn synchronous(emit: EmitPolicy) -> SynchronousConfig {
    SynchronousConfig { emit, handlers: handlers(), ..SynchronousConfig::default() }
}

/// What state may take if nothing is said and nothing is known.
const LEAST_MEMORY: usize = 256 << 20;

/// A quarter of the memory that the machine has, or of what the process's control group may use.
fn default_memory() -> usize {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.split_whitespace().next()?.parse::<usize>().ok().map(|kib| kib << 10)
    });
    let group = read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse::<usize>().ok());
    let most = machine.into_iter().chain(group).min().unwrap_or(0);
    (most / 4).max(LEAST_MEMORY)
}
