//! What is known of a running connector from outside, and the cell in which its task keeps it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use millstream::connect::{ConnectError, Progress};
use parking_lot::{Condvar, Mutex};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::{Clock, StopSignal};
use crate::config::{Direction, RetryPolicy};

/// How soon a paused task notices that it may go on.
const PAUSE_LOOK: Duration = Duration::from_millis(50);

/// Where a connector is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectorState {
    /// At work, or waiting for input or for a retry.
    Running,
    /// Told to wait; it goes on behind its last commit when it is told so.
    Paused,
    /// Ended by an error that nobody can wait away; [`ConnectorStatus::last_error`] says which.
    Failed,
    /// A source that has read everything there will ever be.
    Exhausted,
    /// Ended because it was told to.
    Stopped,
}

impl std::fmt::Display for ConnectorState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Running => "RUNNING",
            Self::Paused => "PAUSED",
            Self::Failed => "FAILED",
            Self::Exhausted => "EXHAUSTED",
            Self::Stopped => "STOPPED",
        })
    }
}

/// A connector as it is now. Counts are those since the task was started, and only of what is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorStatus {
    /// Its name.
    pub name: String,
    /// Which way its records go.
    pub direction: Direction,
    /// Where it is.
    pub state: ConnectorState,
    /// Whether it has nothing to do right now; it may get work again.
    pub idle: bool,
    /// Rows taken into topics, or records written out, dead letters not counted.
    pub rows: u64,
    /// Rows that went to a dead-letter topic.
    pub rejected: u64,
    /// Commits made.
    pub commits: u64,
    /// Retries after passing errors.
    pub retries: u64,
    /// How far the source is in its input, from its very beginning; a sink counts the rows it has written.
    pub progress: Progress,
    /// The last error, retried ones included.
    pub last_error: Option<String>,
    /// Whether it has failed because another one has taken over under its name.
    pub is_replaced: bool,
}

/// Shared between a task and those who watch it.
pub(crate) struct Shared {
    status: Mutex<ConnectorStatus>,
    changed: Condvar,
    paused: AtomicBool,
    pub(crate) stop: StopSignal,
}

impl Shared {
    pub(crate) fn new(name: &str, direction: Direction) -> Self {
        let status = ConnectorStatus {
            name: name.into(),
            direction,
            state: ConnectorState::Running,
            idle: false,
            rows: 0,
            rejected: 0,
            commits: 0,
            retries: 0,
            progress: Progress::default(),
            last_error: None,
            is_replaced: false,
        };
        Self {
            status: Mutex::new(status),
            changed: Condvar::new(),
            paused: AtomicBool::new(false),
            stop: StopSignal::default(),
        }
    }

    pub(crate) fn status(&self) -> ConnectorStatus {
        self.status.lock().clone()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut ConnectorStatus)) {
        change(&mut self.status.lock());
        self.changed.notify_all();
    }

    /// Tells the task to wait behind its next commit, or to go on.
    pub(crate) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    /// Lets some time pass if the task is to wait; whether it was.
    pub(crate) fn wait_while_paused(&self, clock: &dyn Clock) -> bool {
        let paused = self.paused.load(Ordering::Relaxed);
        let state = if paused { ConnectorState::Paused } else { ConnectorState::Running };
        if self.status.lock().state != state {
            self.update(|status| status.state = state);
        }
        if paused {
            clock.wait(PAUSE_LOOK, &self.stop);
        }
        paused
    }

    /// Runs sessions of a task until one ends otherwise than by an error that may pass, or too many of those came in a row without progress.
    pub(crate) fn retry(
        &self,
        policy: &RetryPolicy,
        clock: &dyn Clock,
        mut session: impl FnMut(&mut u32) -> Result<ConnectorState, ConnectError>,
    ) -> Result<ConnectorState, ConnectError> {
        let mut random = ChaCha8Rng::seed_from_u64(clock.now().0 as u64);
        let mut failures = 0;
        loop {
            match session(&mut failures) {
                Err(error) if error.is_retryable() && failures < policy.attempts => {
                    failures += 1;
                    let wait = policy.jittered(failures, &mut random);
                    self.retrying(&error, wait);
                    clock.wait(wait, &self.stop);
                }
                ended => return ended,
            }
            if self.stop.is_raised() {
                return Ok(ConnectorState::Stopped);
            }
        }
    }

    /// Notes an error after which the task will try again.
    fn retrying(&self, error: &ConnectError, wait: Duration) {
        self.update(|status| {
            tracing::warn!(connector = %status.name, %error, wait_ms = wait.as_millis() as u64, "connector retries");
            status.retries += 1;
            status.last_error = Some(error.to_string());
        });
    }

    /// Notes the end of the task.
    pub(crate) fn end(&self, result: Result<ConnectorState, String>) {
        self.update(|status| match result {
            Ok(state) => status.state = state,
            Err(error) => {
                tracing::error!(connector = %status.name, %error, "connector failed");
                status.state = ConnectorState::Failed;
                status.last_error = Some(error);
            }
        });
    }

    /// Waits until `done` holds, at most for `timeout`; returns the status that ended the wait.
    pub(crate) fn wait_for(
        &self,
        timeout: Option<Duration>,
        done: impl Fn(&ConnectorStatus) -> bool,
    ) -> ConnectorStatus {
        let mut status = self.status.lock();
        match timeout {
            None => self.changed.wait_while(&mut status, |status| !done(status)),
            Some(timeout) => {
                self.changed.wait_while_for(&mut status, |status| !done(status), timeout);
            }
        }
        status.clone()
    }
}
