//! The thread that makes tasks ready for workers, and keeps standby stores up to date in between.
//!
//! Tasks that are to be opened go first: somebody waits for their results. Standby stores follow their changelogs a stretch at a time, so that an
//! order waits for no more than that.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    time::Duration,
};

use super::{
    StreamsError,
    coordinator::Attempt,
    progress::TaskProgress,
    restore::take,
    seat::Report,
    store_partitions::{Role, StoreRegistry},
    task::{RunningStore, Task},
    task_factory::{Followed, Handles, TaskFactory},
};
use crate::{log::Log, operator::TaskId, record::Offset};

/// How long it waits for orders while standby stores have nothing to take in.
const IDLE_WAIT: Duration = Duration::from_millis(50);

/// A task that is ready.
pub(super) struct Opened {
    pub(super) task: Task,
    pub(super) progress: TaskProgress,
    pub(super) handles: Handles,
}

/// What the restorer is told to do.
pub(super) enum RestoreOrder {
    /// To make a task ready, and to report, with the number of the attempt.
    Open(TaskId, Attempt),
    /// To keep the stores of a task up to date.
    Follow(TaskId),
    /// To leave them alone.
    Leave(TaskId),
    /// To end.
    Stop,
}

/// The restorer of an application.
pub(super) struct Restorer {
    pub(super) factory: Arc<TaskFactory>,
    pub(super) registry: Arc<StoreRegistry>,
    pub(super) orders: Receiver<RestoreOrder>,
    pub(super) reports: Sender<Report>,
    pub(super) standbys: BTreeMap<TaskId, Vec<Standby>>,
}

/// A store that follows its changelog.
pub(super) struct Standby {
    store: RunningStore,
    next: Offset,
}

impl Restorer {
    /// Works until it is told to stop.
    pub(super) fn run(&mut self) {
        let mut wait = IDLE_WAIT;
        loop {
            match self.orders.recv_timeout(wait) {
                Ok(RestoreOrder::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(RestoreOrder::Open(task, attempt)) => self.open(task, attempt),
                Ok(RestoreOrder::Follow(task)) => self.follow(task),
                Ok(RestoreOrder::Leave(task)) => drop(self.standbys.remove(&task)),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let moved = self.catch_up();
            wait = if moved { Duration::ZERO } else { IDLE_WAIT };
        }
    }

    fn open(&mut self, task: TaskId, attempt: Attempt) {
        // Its stores are in the process still, as far as they have come.
        self.standbys.remove(&task);
        let opened = self.factory.open(task).map(|(task, progress, handles)| Opened { task, progress, handles });
        // The coordinator is there as long as somebody wants tasks.
        let _ = self.reports.send(Report::Opened { task, attempt, opened: Box::new(opened) });
    }

    fn follow(&mut self, task: TaskId) {
        if self.standbys.contains_key(&task) {
            return;
        }
        match self.factory.follow(task) {
            Ok(stores) => {
                let begin = |followed: Followed| {
                    self.registry.show(followed.number, task.partition, followed.handle, Role::Standby);
                    Standby { store: followed.store, next: followed.next }
                };
                self.standbys.insert(task, stores.into_iter().map(begin).collect());
            }
            Err(error) => tracing::warn!("task {task} has no standby here: {error}"),
        }
    }

    /// Lets every standby store take in a stretch; says whether any did. One that fails is left out: its task is restored when it is taken over.
    fn catch_up(&mut self) -> bool {
        let (mut moved, log) = (false, self.factory.config().log.as_ref());
        for (task, stores) in &mut self.standbys {
            stores.retain_mut(|standby| match standby.step(log) {
                Ok(more) => {
                    moved |= more;
                    true
                }
                Err(StreamsError::Log(problem)) if problem.is_transient() => true,
                Err(error) => {
                    tracing::warn!("task {task}: a standby store is left alone: {error}");
                    false
                }
            });
        }
        moved
    }
}

impl Standby {
    fn step(&mut self, log: &dyn Log) -> Result<bool, StreamsError> {
        let RunningStore { name, store, changelog: Some(changelog) } = &mut self.store else { return Ok(false) };
        let taken = take(store, log, changelog, self.next).map_err(|failure| failure.of(name))?;
        let moved = taken.next > self.next;
        self.next = taken.next;
        Ok(moved)
    }
}
