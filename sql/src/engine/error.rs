//! Why the engine cannot do what it is asked.
//!
//! `Display` is `line:column: message; hint` where the place in the text is known.

use std::{path::PathBuf, time::Duration};

use millstream::{
    log::{CommitError, LogError},
    record::InvalidName,
    runtime::StreamsError,
};
use millstream_connectors::StartError;

use crate::{
    catalog::{Catalog, CatalogError},
    planner::PlanError,
    syntax::{Position, SyntaxError},
};

/// An error of the engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The text is no statement of the language.
    #[error("{}: Syntax Error: {}", .0.position(), .0.problem())]
    Syntax(#[from] SyntaxError),
    /// The statement cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A mistake of the user in a place, or something that could not be done for it.
    #[error("{at}: {problem}")]
    Statement {
        /// Where.
        at: Position,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The data directory cannot be used.
    #[error("{}: {problem}", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// Why.
        problem: String,
    },
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A commit failed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A name that no topic can have.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// State stores failed.
    #[error(transparent)]
    State(#[from] millstream_state::StoreError),
    /// A recorded statement cannot be brought back.
    #[error("recorded statement {number} ({text}): {problem}")]
    Replay {
        /// Which one.
        number: u64,
        /// Its beginning.
        text: String,
        /// Why.
        problem: String,
    },
    /// What other processes have declared cannot be followed.
    #[error("this process cannot follow what others declare: {problem}; start it again")]
    Following {
        /// Why not.
        problem: String,
    },
    /// The process cannot be part of its service.
    #[error("cannot answer other processes: {problem}")]
    Service {
        /// Why not.
        problem: String,
    },
    /// Other processes were first, again and again.
    #[error("other processes declare so much that this statement was outrun {attempts} times; give it again")]
    Outrun {
        /// How often.
        attempts: u32,
    },
    /// A query cannot run.
    #[error("query {id}: {problem}")]
    Query {
        /// Its id.
        id: String,
        /// Why.
        problem: String,
    },
    /// A connector cannot run.
    #[error("connector {name}: {problem}")]
    Connector {
        /// Its name.
        name: String,
        /// Why.
        problem: String,
    },
    /// A queue cannot be used.
    #[error("queue {name}: {problem}")]
    Queue {
        /// Its name.
        name: String,
        /// Why.
        problem: String,
    },
    /// The time to wait was over before everything was done.
    #[error("after {waited:?} still {what}")]
    StillBusy {
        /// How long was waited.
        waited: Duration,
        /// What is not done.
        what: String,
    },
    /// The operating system gave no thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
}

impl EngineError {
    /// Where in the text it is: line and column, both from 1.
    pub fn position(&self) -> Option<(u32, u32)> {
        let at = match self {
            Self::Syntax(error) => error.position(),
            Self::Plan(error) => error.position(),
            Self::Statement { at, .. } => *at,
            _ => return None,
        };
        Some((at.line, at.column))
    }

    /// A mistake of the user, or something that could not be done, for what stands at a place.
    pub(crate) fn at(at: Position, problem: impl std::fmt::Display) -> Self {
        Self::Statement { at, problem: problem.to_string() }
    }

    /// What a query or connector could not start for, at the place of the statement that declares it.
    pub(super) fn at_place(self, at: Position) -> Self {
        match self {
            Self::Query { problem, .. } | Self::Connector { problem, .. } | Self::Queue { problem, .. } => {
                Self::Statement { at, problem }
            }
            other => Self::at(at, other),
        }
    }

    /// What is wrong, without the name of the query or connector.
    pub(super) fn problem(self) -> String {
        match self {
            Self::Query { problem, .. } | Self::Connector { problem, .. } | Self::Queue { problem, .. } => problem,
            other => other.to_string(),
        }
    }

    /// Why a new query did not start, topics that cannot be joined under the names of their streams and tables.
    pub(super) fn start_of(id: &str, error: &StreamsError, catalog: &Catalog) -> Self {
        let StreamsError::NotCoPartitioned { left, right, .. } = error else { return Self::start(id, error) };
        let mut problem = error.to_string();
        for topic in [left, right] {
            if let Some(source) = catalog.sources().find(|source| source.topic == topic.as_str()) {
                problem = problem.replace(&format!("`{topic}`"), &format!("`{}`", source.name));
            }
        }
        Self::Query { id: id.to_owned(), problem }
    }

    /// Why a query did not start.
    pub(super) fn start(id: &str, error: &StreamsError) -> Self {
        Self::Query { id: id.to_owned(), problem: error.to_string() }
    }

    /// Why a connector did not start.
    pub(super) fn connector(name: &str, error: &StartError) -> Self {
        let problem = match error {
            StartError::Log { source, .. } => source.to_string(),
            StartError::Thread { source, .. } => format!("cannot start a thread: {source}"),
            other => other.to_string(),
        };
        Self::Connector { name: name.to_owned(), problem }
    }
}

impl From<CatalogError> for EngineError {
    fn from(error: CatalogError) -> Self {
        Self::Plan(error.into())
    }
}
