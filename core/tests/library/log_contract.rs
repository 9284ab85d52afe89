//! The contract of a log, kept by the engines that need no cluster. Kafka keeps it in the tests of a running cluster.

use millstream::{
    log::embedded::{EmbeddedConfig, EmbeddedLog},
    testing::{MemoryLog, log_contract},
};

#[test]
fn a_log_in_memory_keeps_the_contract() {
    log_contract::check_all(&MemoryLog::new(), "memory");
}

#[test]
fn the_embedded_log_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(folder.path(), EmbeddedConfig::default()).unwrap();
    log_contract::check_all(&*log, "embedded");
}
