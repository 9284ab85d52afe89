//! Starting connectors, and the handle by which they are watched and stopped.

use std::{io, panic, sync::Arc, thread, time::Duration};

use millstream::{
    connect::{ConnectError, Sink, Source},
    log::{LogError, SharedLog},
    record::{InvalidName, TopicName},
};

use super::{
    Clock, ConnectorState, ConnectorStatus, SystemClock, positions::partitions_of, sink_group, sink_task::SinkTask,
    source_task::SourceTask, status::Shared,
};
use crate::config::{ConnectorConfig, ConnectorKind, Direction, TaskSettings};

/// Why a connector was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The name of the connector cannot be.
    #[error("connector name: {0}")]
    Name(#[from] InvalidName),
    /// The log refused; for a sink, a topic that is not there.
    #[error("connector {name}: {source}")]
    Log {
        /// The connector.
        name: String,
        /// Why.
        #[source]
        source: LogError,
    },
    /// The system gave no thread.
    #[error("connector {name}: cannot start a thread: {source}")]
    Thread {
        /// The connector.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Why waiting for a connector ended otherwise than hoped for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// It failed.
    #[error("connector {name} failed: {error}")]
    Failed {
        /// The connector.
        name: String,
        /// Its last error.
        error: String,
    },
    /// It was stopped first.
    #[error("connector {name} was stopped before it was done")]
    Stopped {
        /// The connector.
        name: String,
    },
    /// The time given was too short.
    #[error("connector {name} was not done within {timeout:?}")]
    TimedOut {
        /// The connector.
        name: String,
        /// The time given.
        timeout: Duration,
    },
}

/// Starts a connector as configured. A connector of the same name in another process or thread is fenced.
///
/// # Errors
/// [`StartError`]. What goes wrong later, such as a file that is not there, is found in the status.
pub fn start(name: &str, config: ConnectorConfig, log: SharedLog) -> Result<RunningConnector, StartError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ConnectorConfig { kind, settings, rows } = config;
    match kind {
        ConnectorKind::Source(source) => start_source(name, source.reader(name, clock.clone()), settings, log, clock),
        ConnectorKind::Sink(sink) => start_sink(name, sink.writer(name, rows, clock.clone()), settings, log, clock),
    }
}

/// Starts a source of any make.
///
/// # Errors
/// [`StartError`].
pub fn start_source(
    name: &str,
    source: Box<dyn Source>,
    settings: TaskSettings,
    log: SharedLog,
    clock: Arc<dyn Clock>,
) -> Result<RunningConnector, StartError> {
    sink_group(name)?;
    let shared = Arc::new(Shared::new(name, Direction::Source));
    let mut task = SourceTask { name: name.into(), source, settings, log: log.clone(), clock, shared: shared.clone() };
    RunningConnector::spawn(name, shared, log, Vec::new(), move || task.run())
}

/// Starts a sink of any make.
///
/// # Errors
/// [`StartError`], among them a topic that is not there.
pub fn start_sink(
    name: &str,
    sink: Box<dyn Sink>,
    settings: TaskSettings,
    log: SharedLog,
    clock: Arc<dyn Clock>,
) -> Result<RunningConnector, StartError> {
    sink_group(name)?;
    let topics = sink.topics().to_vec();
    for topic in &topics {
        log.describe_topic(topic).map_err(|source| StartError::Log { name: name.into(), source })?;
    }
    let shared = Arc::new(Shared::new(name, Direction::Sink));
    let mut task = SinkTask { name: name.into(), sink, settings, log: log.clone(), clock, shared: shared.clone() };
    RunningConnector::spawn(name, shared, log, topics, move || task.run())
}

/// A connector on its thread. Dropping it stops it.
pub struct RunningConnector {
    name: String,
    shared: Arc<Shared>,
    log: SharedLog,
    /// What a sink reads; empty for a source.
    topics: Vec<TopicName>,
    thread: Option<thread::JoinHandle<()>>,
}

impl RunningConnector {
    fn spawn(
        name: &str,
        shared: Arc<Shared>,
        log: SharedLog,
        topics: Vec<TopicName>,
        mut run: impl FnMut() -> Result<ConnectorState, ConnectError> + Send + 'static,
    ) -> Result<Self, StartError> {
        let of_task = shared.clone();
        let body = move || {
            let result = panic::catch_unwind(panic::AssertUnwindSafe(&mut run));
            of_task.end(match result {
                Ok(ended) => ended.map_err(|error| {
                    of_task.update(|status| status.is_replaced = error.is_replaced());
                    error.to_string()
                }),
                Err(_) => Err("the connector panicked; this is a bug in it".to_owned()),
            });
        };
        let thread = thread::Builder::new()
            .name(format!("connector-{name}"))
            .spawn(body)
            .map_err(|source| StartError::Thread { name: name.into(), source })?;
        Ok(Self { name: name.into(), shared, log, topics, thread: Some(thread) })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is now.
    pub fn status(&self) -> ConnectorStatus {
        self.shared.status()
    }

    /// How far it is behind: of a sink the records that it has not committed yet, of a source what its [`progress`](ConnectorStatus::progress)
    /// counts; `None` for a source that does not know.
    ///
    /// # Errors
    /// Those of asking the log.
    pub fn lag(&self) -> Result<Option<u64>, LogError> {
        let status = self.status();
        if status.direction == Direction::Source {
            return Ok(status.progress.total.map(|total| total.saturating_sub(status.progress.done)));
        }
        let group = sink_group(&self.name)?;
        let mut lag = 0;
        for topic in &self.topics {
            for partition in partitions_of(self.log.as_ref(), topic)? {
                let from = match self.log.committed(&group, &partition)? {
                    Some(committed) => committed.next,
                    None => self.log.start_offset(&partition)?,
                };
                lag += self.log.end_offset(&partition)?.0.saturating_sub(from.0);
            }
        }
        Ok(Some(lag))
    }

    /// Whether there is nothing to do: a source that is exhausted or waits for its input to grow, a sink that has
    /// committed up to the end of its topics as they are now.
    ///
    /// # Errors
    /// Those of asking the log.
    pub fn is_idle(&self) -> Result<bool, LogError> {
        let status = self.status();
        if status.direction == Direction::Source {
            return Ok(status.idle || status.state == ConnectorState::Exhausted);
        }
        let group = sink_group(&self.name)?;
        for topic in &self.topics {
            for partition in partitions_of(self.log.as_ref(), topic)? {
                let committed = self.log.committed(&group, &partition)?;
                if committed
                    .is_none_or(|committed| committed.next < self.log.end_offset(&partition).unwrap_or_default())
                {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Waits until the source has read and committed everything. A source that follows its input, and a sink, never
    /// come to that.
    ///
    /// # Errors
    /// [`WaitError`]: it failed, was stopped, or `timeout` passed.
    pub fn wait_until_exhausted(&self, timeout: Option<Duration>) -> Result<ConnectorStatus, WaitError> {
        self.wait_for_status(timeout, |status| status.state == ConnectorState::Exhausted)
    }

    /// Waits until the status is as hoped for.
    ///
    /// # Errors
    /// [`WaitError`]: it ended otherwise, or `timeout` passed.
    pub fn wait_for_status(
        &self,
        timeout: Option<Duration>,
        hoped_for: impl Fn(&ConnectorStatus) -> bool,
    ) -> Result<ConnectorStatus, WaitError> {
        let lives = |state| matches!(state, ConnectorState::Running | ConnectorState::Paused);
        let status = self.shared.wait_for(timeout, |status| !lives(status.state) || hoped_for(status));
        let name = self.name.clone();
        match status.state {
            _ if hoped_for(&status) => Ok(status),
            ConnectorState::Failed => Err(WaitError::Failed { name, error: status.last_error.unwrap_or_default() }),
            ConnectorState::Stopped | ConnectorState::Exhausted => Err(WaitError::Stopped { name }),
            ConnectorState::Running | ConnectorState::Paused => {
                Err(WaitError::TimedOut { name, timeout: timeout.unwrap_or_default() })
            }
        }
    }

    /// Tells it to wait behind the commit it is in. Nothing is given up: it goes on from there.
    pub fn pause(&self) {
        self.shared.set_paused(true);
    }

    /// Tells it to go on.
    pub fn resume(&self) {
        self.shared.set_paused(false);
    }

    /// Tells it to stop after the commit it is in, waits for that, and returns how it ended.
    pub fn stop(mut self) -> ConnectorStatus {
        self.stop_and_join();
        self.status()
    }

    fn stop_and_join(&mut self) {
        self.shared.stop.raise();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(connector = %self.name, "the connector thread ended with a panic");
        }
    }
}

impl Drop for RunningConnector {
    fn drop(&mut self) {
        self.stop_and_join();
    }
}
