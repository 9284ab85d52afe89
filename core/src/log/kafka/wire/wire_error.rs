//! What can go wrong between us and a broker.

use crate::log::LogError;

/// What is known about a request whose answer did not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::log::kafka) enum Outcome {
    /// The broker has not seen it; it may be sent again.
    NotSent,
    /// The broker may have done what was asked.
    Unknown,
    /// It will not be done, however often it is asked.
    Refused,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("broker {broker}: {problem}")]
pub(in crate::log::kafka) struct WireError {
    /// What is known.
    pub(in crate::log::kafka) outcome: Outcome,
    /// Which broker.
    pub(in crate::log::kafka) broker: String,
    /// What happened, and what to do.
    pub(in crate::log::kafka) problem: String,
}

impl WireError {
    /// The same as an error of the log engine.
    pub(in crate::log::kafka) fn into_log_error(self, cluster: &str, action: &str) -> LogError {
        let transient = self.outcome != Outcome::Refused;
        let problem = self.to_string();
        LogError::Remote { cluster: cluster.to_owned(), action: action.to_owned(), problem, transient }
    }
}
