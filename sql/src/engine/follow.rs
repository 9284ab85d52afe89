//! Following what other processes of the service declare.
//!
//! A thread reads on in the topic of recorded statements and applies what it finds, in its order, as the process that issued it did:
//! the catalog changes, queries and connectors start and end. What a statement does to the log, such as making topics, is done once, by the
//! process that issued it. A statement that cannot be applied here, say for want of a function, ends the following: the process would
//! no longer mean the same by the same names, so it declares nothing more and says why.

use std::{
    sync::{Arc, Weak},
    thread::JoinHandle,
    time::Duration,
};

use millstream::record::GroupId;
use parking_lot::{Condvar, Mutex};

use super::{
    Inner,
    commands::{Command, CommandLog},
    declare::{self, Effect, Started},
    error::EngineError,
    properties::SessionProperties,
    running::OnFailure,
};
use crate::syntax::parse_statement;

/// How often the topic is looked at.
const INTERVAL: Duration = Duration::from_millis(100);

/// How long the other processes get to stop using what a statement has ended, where nobody says whether they have.
const OTHERS_STOP_WITHIN: Duration = Duration::from_secs(1);
/// The same where the cluster says it: one that is gone without leaving stays for as long as its session.
const OTHERS_LEAVE_WITHIN: Duration = Duration::from_secs(15);

/// The thread that follows.
pub(super) struct Follower {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: JoinHandle<()>,
}

impl Follower {
    /// Begins to follow.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub(super) fn start(inner: &Arc<Inner>) -> Result<Self, EngineError> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        // The engine ends when its handles are gone; this is none of them.
        let (weak, told) = (Arc::downgrade(inner), Arc::clone(&stop));
        let work = move || follow(&weak, &told);
        let thread =
            std::thread::Builder::new().name("follow-commands".to_owned()).spawn(work).map_err(EngineError::Thread)?;
        Ok(Self { stop, thread })
    }

    /// Ends it, and waits for that.
    pub(super) fn stop(self) {
        *self.stop.0.lock() = true;
        self.stop.1.notify_all();
        // The last handle may be the one that the thread holds while it looks.
        if self.thread.thread().id() != std::thread::current().id() && self.thread.join().is_err() {
            tracing::error!("the thread that follows statements panicked");
        }
    }
}

fn follow(engine: &Weak<Inner>, told: &(Mutex<bool>, Condvar)) {
    loop {
        {
            let mut stopped = told.0.lock();
            if !*stopped {
                told.1.wait_for(&mut stopped, INTERVAL);
            }
            if *stopped {
                return;
            }
        }
        let Some(inner) = engine.upgrade() else { return };
        if let Err(error) = inner.catch_up() {
            // A broker that is away comes back; what cannot be applied was said already.
            tracing::warn!(%error, "statements of other processes were not read");
        }
        if inner.commands.lock().stuck().is_some() {
            return;
        }
    }
}

impl Inner {
    /// Applies what other processes have declared until now; on a log of one process there is nothing.
    ///
    /// # Errors
    /// Those of the log; [`EngineError::Following`] if a statement cannot be applied, now or before.
    pub(super) fn catch_up(&self) -> Result<(), EngineError> {
        if self.member.is_none() {
            return Ok(());
        }
        let mut commands = self.commands.lock();
        self.catch_up_with(&mut commands)
    }

    /// The same for who has the record already.
    pub(super) fn catch_up_with(&self, commands: &mut CommandLog) -> Result<(), EngineError> {
        if let Some(problem) = commands.stuck() {
            return Err(EngineError::Following { problem: problem.to_owned() });
        }
        loop {
            while let Some(command) = commands.next_of_others() {
                if let Err(error) = self.apply(&command) {
                    let problem = format!("statement {} ({}): {error}", command.number, first_line(&command.text));
                    tracing::error!("{problem}");
                    commands.get_stuck(problem.clone());
                    return Err(EngineError::Following { problem });
                }
            }
            if !commands.is_shared() || !commands.read()? {
                return Ok(());
            }
        }
    }

    /// Does what the process that issued a statement has done, but for what it has done to the log.
    fn apply(&self, command: &Command) -> Result<(), EngineError> {
        let properties = SessionProperties { set: command.properties.clone() };
        let statement = parse_statement(&command.text)?;
        let mut catalog = self.catalog.read().clone();
        let effect = declare::apply(&mut catalog, &statement, command.query.as_deref(), &properties)?;
        *self.catalog.write() = catalog;
        match effect {
            Effect::Nothing | Effect::Topic { .. } => {}
            Effect::Pause { queries, paused } => queries.iter().for_each(|id| self.pause_query(id, paused)),
            Effect::Start { started, .. } => self.start(started, &properties, OnFailure::Keep)?,
            Effect::Replace { id, plan, .. } => {
                drop(self.stop_query(&id));
                self.start(Started::Query { id, plan }, &properties, OnFailure::Keep)?;
            }
            Effect::End { queries, .. } => queries.iter().try_for_each(|id| self.leave_query(id))?,
            Effect::EndQueue(queue) => drop(self.queues.lock().remove(&queue.name)),
            Effect::EndConnector(connector) => self.stop_connector(&connector.name),
            Effect::SteerConnector { name, steering } => self.steer_connector(&name, steering)?,
        }
        Ok(())
    }
}

impl Inner {
    /// Waits until the other processes of the service have left a group that has ended, and removes it.
    pub(super) fn end_group(&self, group: &str) {
        if self.member.is_none() {
            return;
        }
        let Some(cluster) = &self.cluster else {
            // Nobody says who is in it: they look ten times a second.
            std::thread::sleep(OTHERS_STOP_WITHIN);
            return;
        };
        let Ok(group) = GroupId::new(group) else { return };
        let deadline = self.clock.monotonic() + OTHERS_LEAVE_WITHIN;
        while self.clock.monotonic() < deadline {
            match cluster.describe_group(&group) {
                Ok(found) if found.members.is_empty() => break,
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "who is in a group is not known"),
            }
            std::thread::sleep(INTERVAL);
        }
        if let Err(error) = cluster.delete_group(&group) {
            tracing::warn!(%error, "the group stays until the cluster forgets it");
        }
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(80).collect()
}
