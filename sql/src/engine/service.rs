//! A service: processes that share what is declared, on a log that they share with others.
//!
//! What a service keeps on the log has names that begin with `_millstream-<service>-`: the topic of recorded statements, the applications of
//! queries, the groups of connectors. Processes of one service have a data directory each, which holds state and the name of the process.
//!
//! Invariant: names of services have no hyphen, so names of different services differ.

use std::{fmt, fs, path::Path, str::FromStr, sync::Arc};

use millstream::{
    log::kafka::{KafkaConfig, ProcessId},
    query::{QueryServer, QueryServerConfig},
};

use super::error::EngineError;
use crate::catalog::QueryId;

const LONGEST_NAME: usize = 40;
/// The file of a data directory that holds the name of its process.
const PROCESS_FILE: &str = "process";

/// The name of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceId(String);

impl Default for ServiceId {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServiceId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if (1..=LONGEST_NAME).contains(&text.len()) && text.chars().all(is_legal) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("a service is named by 1 to {LONGEST_NAME} small letters, digits and _, not '{text}'"))
    }
}

impl ServiceId {
    /// The topic of recorded statements.
    pub(crate) fn commands_topic(&self) -> String {
        format!("_millstream-{self}-commands")
    }

    /// What the names of all applications begin with.
    pub(crate) fn prefix(&self) -> String {
        format!("_millstream-{self}-")
    }
}

/// The cluster that an engine works on, and as part of which service.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// How to reach the brokers.
    pub kafka: KafkaConfig,
    /// The service that the process is part of.
    pub service: ServiceId,
    /// Of how many more processes each task with stores keeps a copy, so that they can take over without replaying a changelog.
    pub standby_replicas: usize,
    /// How this process answers the others about the rows of its views, so that each can be asked about all.
    pub queries: QueryServerConfig,
}

impl ClusterConfig {
    /// The defaults: the service `default`, no copies, answers to processes of this machine.
    pub fn new(kafka: KafkaConfig) -> Self {
        Self { kafka, service: ServiceId::default(), standby_replicas: 0, queries: QueryServerConfig::default() }
    }
}

/// A process of a service.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) service: ServiceId,
    /// The name of the process, which lasts over restarts.
    pub(crate) process: ProcessId,
    /// Answers the other processes.
    pub(super) queries: Arc<QueryServer>,
}

impl Member {
    /// A process that answers the others from now on.
    pub(super) fn new(service: ServiceId, process: ProcessId, queries: QueryServerConfig) -> Result<Self, EngineError> {
        let queries =
            QueryServer::start(queries).map_err(|error| EngineError::Service { problem: error.to_string() })?;
        Ok(Self { service, process, queries })
    }

    /// The name of an application that no other process has.
    pub(super) fn own_name(&self, what: &str) -> String {
        format!("{}{what}-{}", self.service.prefix(), self.process)
    }

    /// The group whose only task is a connector: whoever has it runs the connector.
    pub(super) fn connector_group(&self, name: &str) -> String {
        format!("{}connector-{name}", self.service.prefix())
    }

    /// The name under which the connectors of this service run, which other services do not use.
    pub(super) fn connector(&self, name: &str) -> String {
        format!("{}.{name}", self.service)
    }
}

/// The name under which a query commits and keeps its topics and stores, on a log of its own or that of a service.
pub(crate) fn application(query: &QueryId, service: Option<&ServiceId>) -> String {
    let alone = super::running::application_id(query);
    match (service, alone.strip_prefix("_millstream-")) {
        (Some(service), Some(id)) => format!("{}{id}", service.prefix()),
        _ => alone,
    }
}

/// The name of the process that a data directory belongs to: `fresh` if the directory is used for the first time. Whoever has the directory
/// is that process, so a restart takes the place of its former life.
pub(super) fn process_of(directory: &Path, fresh: &ProcessId) -> Result<ProcessId, EngineError> {
    let file = directory.join(PROCESS_FILE);
    let refuse = |problem: String| EngineError::Directory { directory: file.clone(), problem };
    match fs::read_to_string(&file) {
        Ok(text) => text.trim().parse().map_err(|error| refuse(format!("is not the name of a process: {error}"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // Written beside and renamed, so that a crash leaves no half of a name.
            let beside = file.with_extension("new");
            fs::write(&beside, format!("{fresh}\n"))
                .and_then(|()| fs::rename(&beside, &file))
                .map_err(|error| refuse(format!("cannot write: {error}")))?;
            Ok(fresh.clone())
        }
        Err(error) => Err(refuse(format!("cannot read: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_services_differ_in_all_that_they_keep() {
        let service: ServiceId = "a_1".parse().expect("legal");
        let query = QueryId("CTAS_T_0".to_owned());
        assert_eq!(application(&query, Some(&service)), "_millstream-a_1-ctas_t_0");
        assert_eq!(application(&query, None), "_millstream-ctas_t_0");
        for bad in ["", "a-b", "A", "a b", &"x".repeat(41)] {
            assert!(bad.parse::<ServiceId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_directory_keeps_the_name_of_its_process() {
        let directory = tempfile::tempdir().expect("a directory");
        let (first, other) = (ProcessId::random(), ProcessId::random());
        assert_eq!(process_of(directory.path(), &first).expect("a name"), first);
        assert_eq!(process_of(directory.path(), &other).expect("the same"), first);
        std::fs::write(directory.path().join(PROCESS_FILE), "a b").expect("written");
        assert!(process_of(directory.path(), &other).is_err());
    }
}
