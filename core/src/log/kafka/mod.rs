//! Apache Kafka as the log engine: the same program on a cluster, in as many processes as it takes.

pub(crate) mod clock;
mod config;
mod config_error;
pub(crate) mod connection;
mod process_id;
mod properties;
mod secret;
mod token;
mod tunable;

pub use config::{KafkaConfig, Replication};
pub use config_error::KafkaConfigError;
pub use connection::{BrokerNames, Sasl, ScramHash, Tls};
pub use process_id::ProcessId;
pub use secret::Secret;
pub use token::{Token, TokenProvider, UnsecuredTokens};
