//! How a topology is run.

use std::{fmt, sync::Arc, time::Duration};

use millstream_state::StateBackend;

use super::{Clock, ErrorHandlers, MaxTaskIdle, SharedReads, StreamTimeAtStart, SystemClock};
use crate::{log::SharedLog, operator::EmitPolicy, query::QueryServer};

/// The settings of a running topology.
///
/// ```
/// # use std::sync::Arc;
/// # use millstream::{StreamsBuilder, dsl::Consumed, operator::EmitPolicy, log::Log, runtime::{Streams, StreamsConfig}};
/// # use millstream::testing::MemoryLog;
/// # use millstream_state::{StateBackend, StateConfig};
/// # let directory = tempfile::tempdir()?;
/// # let log = Arc::new(MemoryLog::new());
/// # log.create_topic(&"orders".parse()?, &Default::default())?;
/// # let builder = StreamsBuilder::new();
/// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
/// # let state = StateBackend::open(StateConfig::new(directory.path(), 8 << 20))?;
/// let config = StreamsConfig { threads: 4, emit: EmitPolicy::Record, ..StreamsConfig::new("app", log, state) };
/// # Streams::start(&builder.build()?, config)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
    /// What becomes of records that cannot be read, processed or written.
    pub handlers: ErrorHandlers,
    /// How long a task waits for an input that is empty while others are not.
    pub max_task_idle: MaxTaskIdle,
    /// After how long without a record, by the clock, stream time goes on all the same, so that the last windows close. `None`, the
    /// default: only records move stream time, as in Kafka Streams.
    ///
    /// A task is idle once none of its inputs has had a record for so long, none has one unread, and neither have the tasks that write its
    /// inputs. Operators that hold results back (final results of windows and sessions, records of outer joins that wait for a partner) then go on
    /// to the highest timestamp that the application has processed, plus what it as a whole has been idle beyond this span. They do so only
    /// when it lets a result go; that stream time is committed with the results, so that what comes later is late or not for good.
    pub idle_advance: Option<Duration>,
    /// Where processes share the work: in how many more of them each task with stores has a copy that follows (`num.standby.replicas`).
    pub standby_replicas: usize,
    /// Where processes share the work: a name that this one keeps over restarts (`group.instance.id`), so that it gets back what it had.
    pub instance: Option<String>,
    /// Where processes share the work: what answers the others about the stores of this one, so that each can be asked about all. Its
    /// endpoint is what the group is told (`application.server`).
    pub queries: Option<Arc<QueryServer>>,
    /// Where processes share the work: for how long one may be silent before others get its tasks.
    pub session_timeout: Duration,
    /// Where processes share the work: how long one may take to give up tasks.
    pub rebalance_timeout: Duration,
    /// What operators know at the start of the stream time that they had observed before.
    pub stream_time_at_start: StreamTimeAtStart,
}

impl StreamsConfig {
    /// One thread, commits every 100 ms, merged updates.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, operator::EmitPolicy, log::Log, runtime::StreamsConfig, testing::MemoryLog};
    /// # use millstream_state::{StateBackend, StateConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let log = Arc::new(MemoryLog::new());
    /// # log.create_topic(&"orders".parse()?, &Default::default())?;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let state = StateBackend::open(StateConfig::new(directory.path(), 8 << 20))?;
    /// let config = StreamsConfig::new("app", log, state);
    /// assert_eq!((config.threads, config.emit), (1, EmitPolicy::Commit));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
            handlers: ErrorHandlers::default(),
            max_task_idle: MaxTaskIdle::default(),
            standby_replicas: 0,
            instance: None,
            queries: None,
            session_timeout: Duration::from_secs(45),
            rebalance_timeout: Duration::from_secs(300),
            stream_time_at_start: StreamTimeAtStart::default(),
            idle_advance: None,
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
