//! What an engine has done and has yet to do.

use std::fmt;

/// Connectors and queries at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// The connectors, by name.
    pub connectors: Vec<ConnectorProgress>,
    /// The persistent queries, by id.
    pub queries: Vec<QueryProgress>,
}

/// A connector at one moment; counts are those since the engine was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorProgress {
    /// Its name.
    pub name: String,
    /// `RUNNING`, `PAUSED`, `EXHAUSTED`, `FAILED` or `STOPPED`; in a service also `STANDBY`, where another process may have it, or `JOINING`.
    pub state: String,
    /// Whether it has nothing to do now.
    pub idle: bool,
    /// Rows committed.
    pub rows: u64,
    /// Rows that went to a dead-letter topic.
    pub rejected: u64,
    /// How far it is in its input, in bytes or rows.
    pub done: u64,
    /// How much there is, if that is known.
    pub total: Option<u64>,
    /// How far it is behind, if that is known: records of its topics for a sink, as `done` is counted for a source.
    pub lag: Option<u64>,
    /// Commits.
    pub commits: u64,
    /// Attempts after errors that may pass.
    pub retries: u64,
    /// Its last error.
    pub error: Option<String>,
}

impl ConnectorProgress {
    /// One that does nothing here.
    pub(super) fn at_rest(name: &str, state: String, error: Option<String>) -> Self {
        Self {
            name: name.to_owned(),
            state,
            idle: true,
            rows: 0,
            rejected: 0,
            done: 0,
            total: None,
            lag: None,
            commits: 0,
            retries: 0,
            error,
        }
    }
}

/// A query at one moment; counts are those since the engine was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryProgress {
    /// Its id.
    pub id: String,
    /// What it is doing.
    pub state: QueryState,
    /// Records read, repartitioned ones included.
    pub records_in: u64,
    /// Records written, repartitioned ones included.
    pub records_out: u64,
    /// Commits.
    pub commits: u64,
    /// Records that wait in its inputs.
    pub lag: u64,
    /// Records that came after their windows were closed.
    pub late: u64,
    /// Other records that could not be processed.
    pub errors: u64,
    /// Why it failed.
    pub error: Option<String>,
}

/// What a query is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryState {
    /// Working or waiting.
    Running,
    /// Waiting until it is told to go on.
    Paused,
    /// Ended by an error.
    Failed,
    /// Ended because it was told to.
    Stopped,
}

impl fmt::Display for QueryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "RUNNING",
            Self::Paused => "PAUSED",
            Self::Failed => "ERROR",
            Self::Stopped => "STOPPED",
        })
    }
}
