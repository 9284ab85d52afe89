//! The settings of a running topology that each of its tasks follows.

use std::{sync::Arc, time::Duration};

use super::{ErrorHandlers, StreamsConfig, SynchronousConfig, idle::Idleness};
use crate::operator::AsyncPool;

/// How long a task with several inputs waits for one that is empty before it goes on with the others: `max.task.idle.ms` of Kafka Streams.
///
/// A task takes the record with the lowest timestamp of all that wait in its inputs, so that joins see both sides in the order of time. What an
/// empty input would have brought next is not known.
///
/// ```
/// # use std::time::Duration;
/// # use millstream::runtime::MaxTaskIdle;
/// assert_eq!(MaxTaskIdle::default(), MaxTaskIdle::UntilRead);
/// let patient = MaxTaskIdle::For(Duration::from_secs(1));
/// # let _ = patient;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MaxTaskIdle {
    /// It takes what was fetched, even if there is more in the log for the input that is empty: `-1` of Kafka Streams.
    Never,
    /// It goes on once the input is read to the end of the log: `0`, the default.
    #[default]
    UntilRead,
    /// It waits for so long, by the clock, from when it found the input empty and read to its end; then it goes on, which is counted as
    /// [`enforced_processing`](super::Metrics::enforced_processing), until the input has had a record again.
    For(Duration),
}

/// What operators know at the start of the stream time that they had observed when the application was committed last.
///
/// ```
/// # use millstream::runtime::StreamTimeAtStart;
/// assert_eq!(StreamTimeAtStart::default(), StreamTimeAtStart::AsCommitted);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StreamTimeAtStart {
    /// All of it: a record that was late before a restart is late after it.
    #[default]
    AsCommitted,
    /// Nothing, as in Kafka Streams: lateness is decided anew from the first record on, so that a record for a window that was closed may change
    /// it once more. What was passed on as final stays final, and joins keep the clocks of what they have stored.
    Forgotten,
}

/// What each task follows.
#[derive(Clone)]
pub(crate) struct TaskSettings {
    pub(super) handlers: Arc<ErrorHandlers>,
    pub(super) max_task_idle: MaxTaskIdle,
    pub(super) stream_time_at_start: StreamTimeAtStart,
    pub(super) idle_advance: Option<Duration>,
    /// What all tasks of the application in the process share.
    pub(super) idleness: Arc<Idleness>,
    /// Where futures run.
    pub(super) futures: Arc<AsyncPool>,
}

impl TaskSettings {
    pub(super) fn of(config: &StreamsConfig) -> Self {
        Self {
            handlers: Arc::new(config.handlers.clone()),
            max_task_idle: config.max_task_idle,
            stream_time_at_start: config.stream_time_at_start,
            idle_advance: config.idle_advance,
            idleness: Arc::new(Idleness::since(config.clock.monotonic())),
            futures: Arc::default(),
        }
    }

    pub(super) fn of_synchronous(config: &SynchronousConfig) -> Self {
        Self {
            handlers: Arc::new(config.handlers.clone()),
            max_task_idle: config.max_task_idle,
            stream_time_at_start: config.stream_time_at_start,
            idle_advance: config.idle_advance,
            idleness: Arc::new(Idleness::since(config.clock.monotonic())),
            futures: Arc::default(),
        }
    }
}
