//! How a topology is run.

use std::{fmt, sync::Arc, time::Duration};

use millstream_state::StateBackend;

use super::{Clock, SharedReads, SystemClock};
use crate::{log::SharedLog, operator::EmitPolicy};

/// The settings of a running topology.
#[derive(Clone)]
pub struct StreamsConfig {
    /// Under this name positions are committed and internal topics and stores are kept: the same name goes on where it stopped.
    pub application_id: String,
    /// Where topics are.
    pub log: SharedLog,
    /// Where stores are; shared by all that runs in the process.
    pub state: Arc<StateBackend>,
    /// How many threads share the tasks.
    pub threads: usize,
    /// How often work is committed: how old a result may be, and how much is done again after a crash.
    pub commit_interval: Duration,
    /// When updates of tables are passed on.
    pub emit: EmitPolicy,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Uncommitted records beyond so many bytes are committed before the interval is over.
    pub transaction_bytes: usize,
    /// How often stores write what memory holds to disk: how much of a changelog a restart replays.
    pub checkpoint_interval: Duration,
    /// What it shares with others that read the same topics: give the same one to all that run in the process.
    pub reads: Arc<SharedReads>,
    /// Whether it waits, at first, to be told to read.
    pub paused: bool,
}

impl StreamsConfig {
    /// One thread, commits every 100 ms, merged updates.
    pub fn new(application_id: &str, log: SharedLog, state: Arc<StateBackend>) -> Self {
        Self {
            application_id: application_id.to_owned(),
            log,
            state,
            threads: 1,
            commit_interval: Duration::from_millis(100),
            emit: EmitPolicy::Commit,
            clock: Arc::new(SystemClock::default()),
            transaction_bytes: 16 << 20,
            checkpoint_interval: Duration::from_secs(30),
            reads: Arc::default(),
            paused: false,
        }
    }
}

impl fmt::Debug for StreamsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamsConfig")
            .field("application_id", &self.application_id)
            .field("threads", &self.threads)
            .field("commit_interval", &self.commit_interval)
            .field("emit", &self.emit)
            .finish_non_exhaustive()
    }
}
