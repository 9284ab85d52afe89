//! A cluster as the parts of a log share it: one client that asks, what it is called, and what its errors mean to us.

use std::{sync::Arc, thread, time::Duration};

use super::{
    KafkaConfig,
    client_metrics::ClientCounters,
    clock::Deadline,
    group_positions::GroupPositions,
    native::{Client, Code, Failure, Role, reach},
    wake::Wake,
};
use crate::log::LogError;

/// How long a question may take before it is asked again.
pub(super) const ASK: Duration = Duration::from_secs(10);

/// How long the cluster may be unreachable before a question fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the first contact may take.
const FIRST_CONTACT: Duration = Duration::from_secs(10);

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// A cluster and our way to it.
pub(super) struct Cluster {
    pub(super) config: KafkaConfig,
    /// Asks. Readers have clients of their own.
    pub(super) client: Arc<Client>,
    /// Rises when something arrived.
    pub(super) wake: Arc<Wake>,
    /// How far groups have read.
    pub(super) positions: GroupPositions,
    pub(super) counters: ClientCounters,
    label: String,
}

impl Cluster {
    /// Makes contact.
    pub(super) fn connect(config: KafkaConfig) -> Result<Arc<Self>, LogError> {
        let label = config.bootstrap_servers();
        let refused = |failure: Failure| LogError::Remote {
            cluster: label.clone(),
            action: "make a client".to_owned(),
            problem: failure.text,
            transient: false,
        };
        let client = Client::new(&config, &Role::Reading).map_err(refused)?;
        let positions = GroupPositions::new(&config)?;
        let cluster =
            Self { config, client, wake: Arc::default(), positions, counters: ClientCounters::default(), label };
        let deadline = Deadline::after(FIRST_CONTACT);
        loop {
            match reach(&cluster.client, Duration::from_secs(2)) {
                Ok(()) => return Ok(Arc::new(cluster)),
                Err(failure) if deadline.is_over() || cluster.client.complaint().is_some() => {
                    return Err(cluster.error("reach the cluster", &failure));
                }
                Err(_) => {}
            }
        }
    }

    /// Asks until there is an answer, or one that will not change, or patience ends.
    pub(super) fn ask<T>(&self, action: &str, question: impl Fn() -> Result<T, Failure>) -> Result<T, LogError> {
        self.ask_for(PATIENCE, question).map_err(|failure| self.error(action, &failure))
    }

    /// The same with another patience, and the library's own error.
    pub(super) fn ask_for<T>(
        &self,
        patience: Duration,
        question: impl Fn() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let deadline = Deadline::after(patience);
        loop {
            match question() {
                Err(failure) if failure.is_transient() && !deadline.is_over() => {
                    self.counters.retried();
                    thread::sleep(PAUSE);
                }
                settled => return settled,
            }
        }
    }

    /// What went wrong, and what to do.
    pub(super) fn error(&self, action: impl Into<String>, failure: &Failure) -> LogError {
        self.error_of(action, failure, self.client.complaint())
    }

    /// The same with what another client complained of.
    pub(super) fn error_of(&self, action: impl Into<String>, failure: &Failure, complaint: Option<String>) -> LogError {
        let transient = failure.is_transient();
        let mut problem = failure.text.clone();
        if let Some(complaint) = complaint.filter(|_| transient) {
            problem = format!("{problem} ({complaint})");
        }
        if let Some(advice) = advice(failure) {
            problem = format!("{problem}; {advice}");
        }
        LogError::Remote { cluster: self.label.clone(), action: action.into(), problem, transient }
    }

    /// Something that is no error of the library's.
    pub(super) fn problem(&self, action: impl Into<String>, problem: impl Into<String>) -> LogError {
        LogError::Remote {
            cluster: self.label.clone(),
            action: action.into(),
            problem: problem.into(),
            transient: false,
        }
    }
}

/// What to do about an error.
fn advice(failure: &Failure) -> Option<&'static str> {
    use Code::*;
    match failure.code {
        RD_KAFKA_RESP_ERR__TRANSPORT
        | RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN
        | RD_KAFKA_RESP_ERR__TIMED_OUT
        | RD_KAFKA_RESP_ERR__RESOLVE => Some("check the address, that the brokers run, and security.protocol"),
        RD_KAFKA_RESP_ERR__AUTHENTICATION | RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED => {
            Some("check sasl.mechanism, user and password")
        }
        RD_KAFKA_RESP_ERR__SSL => Some("check ssl.ca.location and that the brokers listen with TLS there"),
        RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED => {
            Some("allow this user to describe, read, write and create the topic")
        }
        RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED => Some("allow this user to read the group"),
        RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED => Some("allow this user to do it on the cluster"),
        RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED => {
            Some("allow this user to write with transactional ids that begin with the application's name")
        }
        RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR => Some("set replication.factor to at most the number of brokers"),
        RD_KAFKA_RESP_ERR_NON_EMPTY_GROUP => Some("it has members: stop them first"),
        RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE | RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE => {
            Some("raise max.message.bytes of the topic and message.max.bytes here")
        }
        RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP => {
            Some("raise message.timestamp.after.max.ms of the topic, or mend the records' time")
        }
        _ => None,
    }
}
