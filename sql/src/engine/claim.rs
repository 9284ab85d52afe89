//! Connectors of a service: each runs in exactly one of its processes.
//!
//! A connector has a group with one task. The process that the group gives it to runs the connector; the others stand by, and one of them gets
//! the task when that process leaves or is silent for too long. Who has lost the task without knowing it is fenced by the producer of its
//! successor: all processes write for a connector under one name. If it fences its successor instead, by opening its producer again late, the
//! successor, which has the task, starts anew.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use millstream::{
    log::{
        Assignment, GroupEvent, GroupMembership, GroupPart, GroupSettings, GroupTask, GroupTopology, LogError,
        SharedLog,
    },
    record::{GroupId, PartitionId, TopicName},
};
use millstream_connectors::{ConnectorConfig, ConnectorState, ConnectorStatus, RunningConnector, runtime};
use parking_lot::Mutex;

use super::{error::EngineError, progress::ConnectorProgress, service::Member};

/// How often a process that stands by looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(100);
/// How long it waits after a failure that may pass.
const PAUSE: Duration = Duration::from_millis(500);
/// For how long the process that runs a connector may be silent.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// For how long a connector may take to stop.
const REBALANCE_TIMEOUT: Duration = Duration::from_secs(60);
/// The only task.
const TASK: GroupTask = GroupTask { part: 0, partition: PartitionId(0) };

/// A connector of this process, or of the service if it has one.
pub(super) enum Claimed {
    /// It runs here.
    Own(RunningConnector),
    /// It runs in whichever process has it.
    OfService(Standby),
}

/// A process's part in a connector of its service.
pub(super) struct Standby {
    name: String,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    running: Mutex<Option<RunningConnector>>,
    problem: Mutex<Option<String>>,
    /// Whether the group has said who runs it.
    settled: AtomicBool,
    /// Whether it is to wait where it runs.
    paused: AtomicBool,
}

/// What is needed to start a connector, again and again.
struct Work {
    /// The name under which it writes, which all processes of the service share.
    name: String,
    config: ConnectorConfig,
    log: SharedLog,
    group: Arc<dyn GroupMembership>,
    shared: Arc<Shared>,
}

/// Starts a connector, here or in whichever process of the service gets it.
///
/// # Errors
/// If it cannot start, or its group cannot be reached.
pub(super) fn start(
    name: &str,
    config: ConnectorConfig,
    log: &SharedLog,
    member: Option<&Member>,
) -> Result<Claimed, EngineError> {
    let problem = |problem: String| EngineError::Connector { name: name.to_owned(), problem };
    let run = |name: &str, config| {
        runtime::start(name, config, Arc::clone(log))
            .map(Claimed::Own)
            .map_err(|error| EngineError::connector(name, &error))
    };
    let Some(member) = member else { return run(name, config) };
    let topic = TopicName::new(&member.service.commands_topic())?;
    let part = GroupPart { tasks: 1, sources: [topic].into(), ..GroupPart::default() };
    let settings = GroupSettings {
        group: GroupId::new(&member.connector_group(name))?,
        topology: GroupTopology { parts: vec![part] },
        standby_replicas: 0,
        endpoint: None,
        instance: None,
        session_timeout: SESSION_TIMEOUT,
        rebalance_timeout: REBALANCE_TIMEOUT,
    };
    let shared_name = member.connector(name);
    let Some(group) = log.join_group(settings)? else { return run(&shared_name, config) };
    let shared = Arc::new(Shared::default());
    let work = Work { name: shared_name, config, log: Arc::clone(log), group, shared: Arc::clone(&shared) };
    let thread = std::thread::Builder::new()
        .name(format!("claim-{name}"))
        .spawn(move || work.run())
        .map_err(|error| problem(format!("cannot start a thread: {error}")))?;
    Ok(Claimed::OfService(Standby { name: name.to_owned(), shared, thread: Some(thread) }))
}

impl Claimed {
    /// Stops it here, after the commit it is in; another process of the service may get it.
    pub(super) fn stop(self) {
        match self {
            Self::Own(running) => drop(running.stop()),
            Self::OfService(standby) => drop(standby),
        }
    }

    /// Lets it wait behind its next commit, or go on; in a service, wherever it comes to run.
    pub(super) fn set_paused(&self, paused: bool) {
        match self {
            Self::Own(running) => pause(running, paused),
            Self::OfService(standby) => {
                standby.shared.paused.store(paused, Ordering::Release);
                if let Some(running) = &*standby.shared.running.lock() {
                    pause(running, paused);
                }
            }
        }
    }

    /// What it has done here; `name` is that of its declaration.
    pub(super) fn progress(&self, name: &str) -> ConnectorProgress {
        match self {
            Self::Own(running) => progress_of(name, running),
            Self::OfService(standby) => standby.progress(),
        }
    }
}

impl Standby {
    fn progress(&self) -> ConnectorProgress {
        if let Some(running) = &*self.shared.running.lock() {
            return progress_of(&self.name, running);
        }
        let problem = self.shared.problem.lock().clone();
        let is_settled = self.shared.settled.load(Ordering::Acquire);
        let state = match (&problem, is_settled) {
            (Some(_), _) => ConnectorState::Failed.to_string(),
            (None, true) => "STANDBY".to_owned(),
            (None, false) => "JOINING".to_owned(),
        };
        ConnectorProgress {
            idle: is_settled || problem.is_some(),
            ..ConnectorProgress::at_rest(&self.name, state, problem)
        }
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(connector = %self.name, "the thread that stands by panicked");
        }
    }
}

impl Work {
    fn run(self) {
        let mut has_it = false;
        while !self.shared.stop.load(Ordering::Acquire) {
            match self.group.next(LOOK) {
                Ok(GroupEvent::Unchanged) => self.take_back(),
                Ok(GroupEvent::Assigned(wanted)) => {
                    let is_wanted = wanted.active.contains(&TASK);
                    self.change(is_wanted);
                    has_it = is_wanted;
                    self.group.report(&owned(has_it));
                    self.shared.settled.store(true, Ordering::Release);
                }
                // It commits by itself.
                Ok(GroupEvent::Rebalancing) => self.group.report(&owned(has_it)),
                Ok(GroupEvent::Lost) => {
                    self.change(false);
                    has_it = false;
                    self.group.report(&owned(has_it));
                }
                Ok(GroupEvent::NotReady(why)) => {
                    tracing::warn!(connector = %self.name, "its group cannot work yet: {why}")
                }
                Err(error @ LogError::Remote { transient: true, .. }) => {
                    tracing::warn!(connector = %self.name, %error, "trying again");
                    std::thread::sleep(PAUSE);
                }
                Err(error) => {
                    tracing::error!(connector = %self.name, %error, "it does not run here");
                    *self.shared.problem.lock() = Some(error.to_string());
                    break;
                }
            }
        }
        self.change(false);
        self.group.report(&owned(false));
        self.group.leave();
    }

    /// Starts it anew if one took over that has lost the task without knowing it. It hears of that soon, and then gives way.
    fn take_back(&self) {
        let is_replaced = |running: &RunningConnector| running.status().is_replaced;
        if self.shared.running.lock().as_ref().is_some_and(is_replaced) {
            tracing::warn!(connector = %self.name, "it was taken over by a process that does not have it any more: it starts anew");
            self.change(false);
            std::thread::sleep(PAUSE);
            self.change(true);
        }
    }

    /// Lets it run, or stops it.
    fn change(&self, is_wanted: bool) {
        let mut running = self.shared.running.lock();
        match (running.take(), is_wanted) {
            (Some(connector), true) => *running = Some(connector),
            (Some(connector), false) => {
                // The status is asked for while it stops.
                drop(running);
                drop(connector.stop());
            }
            (None, true) => match runtime::start(&self.name, self.config.clone(), Arc::clone(&self.log)) {
                Ok(connector) => {
                    tracing::info!(connector = %self.name, "runs in this process");
                    *self.shared.problem.lock() = None;
                    pause(&connector, self.shared.paused.load(Ordering::Acquire));
                    *running = Some(connector);
                }
                Err(error) => {
                    tracing::error!(%error, "connector does not start");
                    *self.shared.problem.lock() = Some(error.to_string());
                }
            },
            (None, false) => {}
        }
    }
}

fn pause(connector: &RunningConnector, paused: bool) {
    match paused {
        true => connector.pause(),
        false => connector.resume(),
    }
}

fn owned(has_it: bool) -> Assignment {
    let active = if has_it { [TASK].into() } else { Default::default() };
    Assignment { active, ..Assignment::default() }
}

fn progress_of(name: &str, connector: &RunningConnector) -> ConnectorProgress {
    let status: ConnectorStatus = connector.status();
    ConnectorProgress {
        name: name.to_owned(),
        state: status.state.to_string(),
        idle: status.state != ConnectorState::Running || connector.is_idle().unwrap_or(false),
        rows: status.rows,
        rejected: status.rejected,
        done: status.progress.done,
        total: status.progress.total,
        lag: connector.lag().ok().flatten(),
        commits: status.commits,
        retries: status.retries,
        error: status.last_error,
    }
}
