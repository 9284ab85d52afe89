//! A worker's place in a process that shares the work on an application with others: the orders that it gets, and what it reports.
//!
//! Orders are carried out between two steps. A commit is made in the name of the process's member of the group; if it does not take place, the
//! tasks that took part are closed, for what they have in memory is no longer what the log says, and reported: whoever has them next,
//! this process or another, begins at the committed positions. The worker goes on with the tasks that it is given then.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        mpsc::{Receiver, Sender},
    },
    time::Duration,
};

use super::{StreamsError, coordinator::Attempt, progress::TaskProgress, task::Task, worker::Worker};
use crate::{
    log::{CommitError, CommitReceipt, GroupMembership, Transaction},
    operator::TaskId,
    record::GroupId,
};

/// How long a worker waits before it asks an engine again that could not answer.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// What a worker is told to do.
pub(super) enum Order {
    /// To take a task on.
    Adopt(Box<Task>, TaskProgress),
    /// To commit everything, to close these tasks, and to answer.
    Release(BTreeSet<TaskId>, Sender<()>),
    /// To close all tasks without a commit, and to answer.
    Abandon(Sender<()>),
    /// To commit everything, to answer, and to process nothing until it is told to go on.
    Hold(Sender<()>),
    /// To go on.
    GoOn,
}

/// What those who work on tasks tell the coordinator.
pub(super) enum Report {
    /// A worker has closed tasks because they could not be committed, and why.
    Closed { worker: usize, tasks: BTreeSet<TaskId>, why: String },
    /// A task is ready to be adopted, or cannot be made ready.
    Opened { task: TaskId, attempt: Attempt, opened: Box<Result<super::restorer::Opened, StreamsError>> },
}

/// A worker's place.
pub(super) struct Seat {
    pub(super) number: usize,
    /// The name of its producer.
    pub(super) producer: String,
    pub(super) group: Arc<dyn GroupMembership>,
    pub(super) group_id: GroupId,
    pub(super) orders: Receiver<Order>,
    pub(super) reports: Sender<Report>,
    /// Whether it is told to wait.
    pub(super) held: bool,
}

impl Worker {
    /// Whether it is told to process nothing.
    pub(super) fn is_held(&self) -> bool {
        self.seat.as_ref().is_some_and(|seat| seat.held)
    }

    /// Carries out the orders that have come.
    pub(super) fn obey(&mut self) -> Result<(), StreamsError> {
        while let Some(order) = self.seat.as_ref().and_then(|seat| seat.orders.try_recv().ok()) {
            match order {
                Order::Adopt(task, progress) => {
                    self.shared.visibility.progress().add(task.id, progress);
                    self.tasks.push(*task);
                }
                Order::Release(tasks, done) => {
                    self.settle()?;
                    self.close(|task| tasks.contains(&task));
                    // Who asked may have ended meanwhile.
                    let _ = done.send(());
                }
                Order::Abandon(done) => {
                    self.close(|_| true);
                    let _ = done.send(());
                }
                Order::Hold(done) => {
                    self.settle()?;
                    self.set_held(true);
                    let _ = done.send(());
                }
                Order::GoOn => self.set_held(false),
            }
        }
        Ok(())
    }

    fn set_held(&mut self, held: bool) {
        self.seat.iter_mut().for_each(|seat| seat.held = held);
    }

    /// Commits what was processed; tasks that cannot be committed are closed.
    fn settle(&mut self) -> Result<(), StreamsError> {
        if self.is_dirty() { self.commit().or_else(|error| self.recover(error)) } else { Ok(()) }
    }

    /// Closes tasks as they are.
    fn close(&mut self, which: impl Fn(TaskId) -> bool) -> BTreeSet<TaskId> {
        let closed: BTreeSet<TaskId> = self.tasks.iter().map(|task| task.id).filter(|id| which(*id)).collect();
        self.tasks.retain(|task| !closed.contains(&task.id));
        let mut progress = self.shared.visibility.progress();
        closed.iter().for_each(|task| progress.remove(*task));
        closed
    }

    /// Hands a transaction to the log.
    pub(super) fn hand_over(&mut self, transaction: Transaction) -> Result<CommitReceipt, CommitError> {
        let Some(seat) = &self.seat else { return self.producer.commit(transaction) };
        let Some(member) = seat.group.member() else {
            let problem = "it is no member at present".to_owned();
            return Err(CommitError::NotOwner { group: seat.group_id.clone(), problem });
        };
        self.producer.commit_as(&member, transaction)
    }

    /// Goes on after an error if the work is shared and others, or this worker itself, can take it up from what is committed.
    pub(super) fn recover(&mut self, error: StreamsError) -> Result<(), StreamsError> {
        if self.seat.is_none() {
            return Err(error);
        }
        match error {
            // The same records would be refused again.
            StreamsError::Commit(CommitError::Rejected(ref problem)) if !problem.is_transient() => Err(error),
            StreamsError::Commit(problem) => self.give_up_tasks(&problem),
            StreamsError::Log(ref problem) if problem.is_transient() => {
                tracing::warn!("{error}; trying again");
                std::thread::sleep(PAUSE_AFTER_FAILURE);
                Ok(())
            }
            error => Err(error),
        }
    }

    /// Closes all tasks after a commit that did not take place, or may not have.
    fn give_up_tasks(&mut self, problem: &CommitError) -> Result<(), StreamsError> {
        let tasks = self.close(|_| true);
        self.shared.counters.add_begun_again(tasks.len());
        let Some(seat) = &self.seat else { return Ok(()) };
        tracing::warn!("{}: {problem}; {} task(s) begin again at what is committed", seat.producer, tasks.len());
        if matches!(problem, CommitError::Fenced { .. }) {
            // A session that was over while this process stood still ends in the same way as a second process of this name.
            std::thread::sleep(PAUSE_AFTER_FAILURE);
            self.producer = self.log.producer(&seat.producer)?;
        }
        let report = Report::Closed { worker: seat.number, tasks, why: problem.to_string() };
        let _ = seat.reports.send(report);
        Ok(())
    }
}
