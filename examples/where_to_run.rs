//! Where the examples run: in a directory of their own, or on the Kafka cluster that the variable `MILLSTREAM_KAFKA` names as `host:port`.
//! Nothing else in them differs. On a cluster the names of their topics (`orders` and the like) must be free.

use std::{env, error::Error, path::Path};

use millstream::log::{
    SharedLog,
    embedded::EmbeddedLog,
    kafka::{KafkaConfig, KafkaLog},
};
use millstream_sql::engine::{ClusterConfig, EngineConfig};

fn cluster() -> Result<Option<KafkaConfig>, Box<dyn Error>> {
    match env::var("MILLSTREAM_KAFKA") {
        Ok(servers) if !servers.is_empty() => Ok(Some(KafkaConfig::new(&servers)?)),
        _ => Ok(None),
    }
}

/// The log of a directory, or that of the cluster, as a process that is called like the directory.
#[allow(dead_code, reason = "examples in SQL leave it to the engine")]
pub(crate) fn log(directory: &Path) -> Result<SharedLog, Box<dyn Error>> {
    let Some(config) = cluster()? else { return Ok(EmbeddedLog::open(&directory.join("log"), Default::default())?) };
    // A second life in the same directory is the same process: it ends what the first one has left open.
    let name: String = directory.to_string_lossy().chars().filter(char::is_ascii_alphanumeric).collect();
    Ok(std::sync::Arc::new(KafkaLog::connect(config.with_process_id(name.parse()?))?))
}

/// The engine's settings for a directory.
#[allow(dead_code, reason = "examples in Rust have no engine")]
pub(crate) fn engine(directory: &Path) -> Result<EngineConfig, Box<dyn Error>> {
    let cluster = cluster()?.map(ClusterConfig::new);
    Ok(EngineConfig { cluster, ..EngineConfig::new(directory) })
}
