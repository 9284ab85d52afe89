//! What can go wrong with a registry.

use super::SchemaId;

/// Why a registry did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// No schema has the id.
    #[error("the schema registry has no schema {id}; register it, or check which registry the writer used")]
    UnknownId {
        /// The id.
        id: SchemaId,
    },
    /// No such subject.
    #[error("the schema registry has no subject {subject}; register a schema for it, or list the columns")]
    UnknownSubject {
        /// The subject.
        subject: String,
    },
    /// The subject has no such version.
    #[error("subject {subject} of the schema registry has no version {version}")]
    UnknownVersion {
        /// The subject.
        subject: String,
        /// The version.
        version: u32,
    },
    /// A new version would break readers or writers of older ones.
    #[error("schema is not compatible with version {version} of subject {subject} ({level}): {problem}")]
    Incompatible {
        /// The subject.
        subject: String,
        /// The older version.
        version: u32,
        /// The compatibility that is demanded.
        level: &'static str,
        /// What does not fit.
        problem: String,
    },
    /// The schema is not one.
    #[error("schema is not valid: {problem}")]
    InvalidSchema {
        /// What is wrong.
        problem: String,
    },
    /// The server refused.
    #[error("the schema registry at {url} answered {status}: {message}")]
    Refused {
        /// The address, without name and password.
        url: String,
        /// The status of HTTP.
        status: u16,
        /// What it says.
        message: String,
    },
    /// The server could not be reached, or did not answer in time, or with something else than was asked for.
    #[error("the schema registry at {url} cannot be reached: {problem}; check the address, and that it is running")]
    Unreachable {
        /// The address, without name and password.
        url: String,
        /// What happened.
        problem: String,
    },
    /// The topic that holds the schemas could not be read or written.
    #[error("the topic of schemas: {problem}")]
    Storage {
        /// What happened.
        problem: String,
    },
}

impl RegistryError {
    /// Whether the same may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Refused { status: 429 | 500.., .. })
    }
}
