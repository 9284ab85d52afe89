//! What can be wrong with the configuration of a Kafka connection.

use crate::secret::SecretError;

/// Why a configuration was refused. No variant shows a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KafkaConfigError {
    /// A property that is not known.
    #[error("there is no property `{name}`{}", nearest.map(|known| format!("; did you mean `{known}`?")).unwrap_or_default())]
    UnknownProperty {
        /// Its name.
        name: String,
        /// The one that it looks most like, if any does.
        nearest: Option<&'static str>,
    },
    /// A property that is not to be chosen.
    #[error("property `{name}` is fixed: {reason}")]
    FixedProperty {
        /// Its name.
        name: String,
        /// Why, and what to do.
        reason: &'static str,
    },
    /// A value that a property cannot have.
    #[error("property `{name}` {problem}")]
    InvalidValue {
        /// The property.
        name: String,
        /// What is wrong, without the value where it may be a secret.
        problem: String,
    },
    /// A line of a file that is not `key=value`.
    #[error("line {line}: expected `key=value`")]
    InvalidLine {
        /// Its number, from 1.
        line: usize,
    },
    /// An address that is not `host:port`.
    #[error("`{address}` is no broker address: write `host:port`, several with commas between them")]
    InvalidAddress {
        /// The text.
        address: String,
    },
    /// A file with a certificate, a key or a password, or a variable of the environment that cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Settings that need another one.
    #[error("{setting} needs {needs}")]
    Incomplete {
        /// What is there.
        setting: &'static str,
        /// What is missing.
        needs: &'static str,
    },
}
