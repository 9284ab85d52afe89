//! Apache Kafka as the log engine: the same program on a cluster, in as many processes as it takes.

pub(crate) mod clock;
mod config;
mod config_error;
pub(crate) mod connection;
mod group;
mod group_protocol;
mod process_id;
mod properties;
mod secret;
mod token;
mod tunable;
mod wire;

pub use config::{KafkaConfig, Replication};
pub use config_error::KafkaConfigError;
pub use connection::{BrokerNames, Sasl, ScramHash, Tls};
pub use group_protocol::GroupProtocol;
pub use process_id::ProcessId;
pub use secret::Secret;
pub use token::{Token, TokenProvider, UnsecuredTokens};

use std::sync::Arc;

use super::{GroupMembership, GroupSettings, LogError};

/// Takes part in a group that shares the work on an application, without opening the log itself.
///
/// # Errors
/// [`LogError::Remote`] if no broker can be reached, or says no.
pub fn join_group(config: &KafkaConfig, settings: GroupSettings) -> Result<Arc<dyn GroupMembership>, LogError> {
    group::join(config, settings, config.process_id().as_str())
}
