//! What ends a command before it is done: its message is all that the user gets to see.

use std::{io, path::PathBuf};

use millstream::log::{CommitError, LogError, kafka::KafkaConfigError};

use crate::{
    engine::EngineError,
    output::OutputError,
    shell::{console::ConsoleError, session::TerminalError},
    testing::suite::LoadError,
};

/// Why a command ended with exit code 1.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// A statement was refused or failed, or its answer could not be written.
    #[error(transparent)]
    Console(Box<ConsoleError>),
    /// The engine did not open, run or stop as it should.
    #[error(transparent)]
    Engine(Box<EngineError>),
    /// The log refused.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A cluster that cannot be meant.
    #[error(transparent)]
    Cluster(#[from] KafkaConfigError),
    /// Records were not written.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A result could not be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The terminal failed.
    #[error(transparent)]
    Terminal(#[from] TerminalError),
    /// Signals cannot be caught, so that an orderly end could not be asked for.
    #[error("cannot catch signals: {source}")]
    Signals {
        /// Why not.
        source: io::Error,
    },
    /// A file or directory that the command needs.
    #[error("{}: cannot {action}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What was tried, as a verb.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Tests that cannot be read.
    #[error(transparent)]
    Tests(#[from] LoadError),
    /// Cases that did not come out as expected.
    #[error("{failed} of {cases} cases failed")]
    Cases {
        /// How many.
        failed: usize,
        /// Of how many.
        cases: usize,
    },
    /// A request that cannot be met; says what to do instead.
    #[error("{0}")]
    Refused(String),
}

impl From<ConsoleError> for Failure {
    fn from(error: ConsoleError) -> Self {
        Self::Console(Box::new(error))
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::Engine(Box::new(error))
    }
}

impl Failure {
    /// Names the file and the action of a failure of the operating system.
    pub fn file(path: impl Into<PathBuf>, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, action, source }
    }

    /// Whether the reader of the output has gone, which is nothing to complain about.
    pub fn is_closed_pipe(&self) -> bool {
        match self {
            Self::Console(error) => error.is_closed_pipe(),
            Self::Output(error) => error.is_closed_pipe(),
            _ => false,
        }
    }
}
