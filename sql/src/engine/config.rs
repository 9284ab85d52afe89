//! The settings of an engine.

use std::{path::PathBuf, time::Duration};

use millstream::{log::embedded::Durability, operator::EmitPolicy};

/// How an engine works.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The directory that holds everything.
    pub data: PathBuf,
    /// When a commit counts as done.
    pub durability: Durability,
    /// Memory for the state of all queries together.
    pub memory_bytes: usize,
    /// How often queries commit.
    pub commit_interval: Duration,
    /// Threads of each query, at most one a partition.
    pub threads: usize,
    /// When updates of tables are passed on.
    pub emit: EmitPolicy,
    /// How often old and superseded records are looked for.
    pub maintenance_interval: Duration,
}

impl EngineConfig {
    /// The defaults: fsync, 256 MiB, 100 ms, one thread a core up to four, merged updates.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            durability: Durability::Fsync,
            memory_bytes: 256 << 20,
            commit_interval: Duration::from_millis(100),
            threads: std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4)),
            emit: EmitPolicy::Commit,
            maintenance_interval: Duration::from_secs(5),
        }
    }
}
