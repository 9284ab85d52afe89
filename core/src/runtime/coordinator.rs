//! The coordinator of an application in one process: it listens to the group, and sees to it that workers have the tasks which the group wants here.
//!
//! ```text
//! the group says         the coordinator does
//! Assigned(tasks)        workers commit and close what is not among them; reports to the group; has the others opened, then adopted
//! Rebalancing            workers commit and wait; reports to the group
//! Lost                   workers close everything without a commit
//! ```
//! Tasks are made ready by the restorer, so that the group and the workers wait for no changelog. A task that a worker had to close is opened
//! again as long as the group wants it here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use super::{
    StreamsError,
    restore::Wanted,
    restorer::{Opened, RestoreOrder},
    seat::{Order, Report},
    store_partitions::{Role, StoreRegistry},
    task_factory::TaskFactory,
    worker::Shared,
};
use crate::{
    log::{Assignment, GroupEvent, GroupMembership, GroupTask},
    operator::TaskId,
};

/// How long it listens to the group before it looks at what others report.
const LISTEN: Duration = Duration::from_millis(20);
/// How long it waits after a failure that may pass.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(200);
/// How long a worker may take to commit before the coordinator looks whether it has ended.
const PATIENCE: Duration = Duration::from_millis(100);

/// The number of an attempt to make a task ready; each has its own.
pub(super) type Attempt = u64;

/// A worker as the coordinator knows it.
pub(super) struct Post {
    pub(super) orders: Sender<Order>,
    pub(super) tasks: BTreeSet<TaskId>,
}

/// The coordinator of an application.
pub(super) struct Coordinator {
    pub(super) group: Arc<dyn GroupMembership>,
    pub(super) factory: Arc<TaskFactory>,
    pub(super) registry: Arc<StoreRegistry>,
    pub(super) shared: Arc<Shared>,
    pub(super) workers: Vec<Post>,
    pub(super) restorer: Sender<RestoreOrder>,
    pub(super) reports: Receiver<Report>,
    pub(super) wanted: Assignment,
    /// Tasks that the restorer makes ready, and which attempt at each counts.
    pub(super) opening: BTreeMap<TaskId, Attempt>,
    pub(super) attempts: Attempt,
    pub(super) standbys: BTreeSet<TaskId>,
    /// What the group had to say last while it could not work.
    pub(super) not_ready: Option<String>,
}

fn task_id(task: &GroupTask) -> TaskId {
    TaskId { subtopology: task.part, partition: task.partition }
}

fn tasks(of: &BTreeSet<GroupTask>) -> BTreeSet<TaskId> {
    of.iter().map(task_id).collect()
}

impl Coordinator {
    /// Works until it is told to stop.
    ///
    /// # Errors
    /// What the group refuses for good, and tasks that cannot be opened.
    pub(super) fn run(&mut self) -> Result<(), StreamsError> {
        while !self.shared.stop.load(Ordering::Acquire) {
            while let Ok(report) = self.reports.try_recv() {
                self.take(report)?;
            }
            match self.group.next(LISTEN) {
                Ok(event) => self.react(event),
                Err(error) if error.is_transient() => {
                    tracing::warn!("{error}; trying again");
                    std::thread::sleep(PAUSE_AFTER_FAILURE);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn react(&mut self, event: GroupEvent) {
        match event {
            GroupEvent::Unchanged => {}
            GroupEvent::Assigned(wanted) => {
                self.not_ready = None;
                self.assign(wanted);
            }
            GroupEvent::Rebalancing => {
                self.ask_all(Order::Hold);
                self.group.report(&self.wanted);
            }
            GroupEvent::Lost => {
                tracing::warn!("the group has given this process up; its tasks are closed");
                self.ask_all(Order::Abandon);
                let closed = self.workers.iter_mut().flat_map(|post| std::mem::take(&mut post.tasks)).collect();
                self.hide(&closed);
                self.assign(Assignment::default());
            }
            GroupEvent::NotReady(why) => {
                if self.not_ready.as_ref() != Some(&why) {
                    tracing::warn!("the group cannot work yet: {why}");
                    self.not_ready = Some(why);
                }
            }
        }
    }

    /// Lets go of what is not wanted, tells the group, and takes on the rest.
    fn assign(&mut self, wanted: Assignment) {
        let (active, standby) = (tasks(&wanted.active), tasks(&wanted.standby));
        self.release(&active);
        self.opening.retain(|task, _| {
            let is_wanted = active.contains(task);
            if !is_wanted {
                self.factory.board().want(*task, Wanted::No);
            }
            is_wanted
        });
        for task in std::mem::take(&mut self.standbys).into_iter().filter(|task| !standby.contains(task)) {
            self.order(RestoreOrder::Leave(task));
            if !active.contains(&task) {
                self.hide(&[task].into());
            }
        }
        self.group.report(&wanted);
        self.wanted = wanted;
        self.workers.iter().for_each(|post| drop(post.orders.send(Order::GoOn)));
        let had: BTreeSet<TaskId> = self.workers.iter().flat_map(|post| &post.tasks).copied().collect();
        active.difference(&had).for_each(|task| self.open(*task));
        for task in standby {
            self.standbys.insert(task);
            self.order(RestoreOrder::Follow(task));
        }
    }

    /// Has workers commit and close the tasks that are not wanted.
    fn release(&mut self, wanted: &BTreeSet<TaskId>) {
        let mut answers = Vec::new();
        for post in &mut self.workers {
            let gone: BTreeSet<TaskId> = post.tasks.difference(wanted).copied().collect();
            if !gone.is_empty() {
                post.tasks.retain(|task| wanted.contains(task));
                let (done, answer) = channel();
                let _ = post.orders.send(Order::Release(gone.clone(), done));
                answers.push((answer, gone));
            }
        }
        for (answer, gone) in answers {
            self.await_answer(&answer);
            self.hide(&gone);
        }
    }

    /// Tells all workers the same and waits until they have done it.
    fn ask_all(&self, order: fn(Sender<()>) -> Order) {
        let ask = |post: &Post| {
            let (done, answer) = channel();
            let _ = post.orders.send(order(done));
            answer
        };
        let answers: Vec<_> = self.workers.iter().map(ask).collect();
        answers.iter().for_each(|answer| self.await_answer(answer));
    }

    /// Waits for a worker, unless all are to stop or it has ended.
    fn await_answer(&self, answer: &Receiver<()>) {
        use std::sync::mpsc::RecvTimeoutError::Timeout;
        while let Err(Timeout) = answer.recv_timeout(PATIENCE) {
            if self.shared.stop.load(Ordering::Acquire) {
                return;
            }
        }
    }

    fn hide(&self, closed: &BTreeSet<TaskId>) {
        for task in closed {
            let stores = &self.factory.topology().subtopologies()[task.subtopology].stores;
            self.registry.hide(stores, *task);
        }
    }

    /// Has a task made ready. An attempt that was begun before the task was taken away does not count: others may have had it since, and what
    /// that attempt knows of its positions may be old.
    fn open(&mut self, task: TaskId) {
        self.factory.board().want(task, Wanted::Yes);
        if !self.opening.contains_key(&task) {
            self.attempts += 1;
            self.opening.insert(task, self.attempts);
            self.order(RestoreOrder::Open(task, self.attempts));
        }
    }

    fn order(&self, order: RestoreOrder) {
        // The restorer ends only after the coordinator.
        let _ = self.restorer.send(order);
    }

    fn is_wanted(&self, task: TaskId) -> bool {
        self.wanted.active.contains(&GroupTask { part: task.subtopology, partition: task.partition })
    }

    fn take(&mut self, report: Report) -> Result<(), StreamsError> {
        match report {
            Report::Closed { worker, tasks, why } => {
                tracing::debug!("worker {worker} has closed {} task(s): {why}", tasks.len());
                self.workers[worker].tasks.retain(|task| !tasks.contains(task));
                self.hide(&tasks);
                let wanted: Vec<TaskId> = tasks.into_iter().filter(|task| self.is_wanted(*task)).collect();
                wanted.into_iter().for_each(|task| self.open(task));
                Ok(())
            }
            Report::Opened { task, attempt, opened } => {
                if self.opening.get(&task) != Some(&attempt) {
                    return Ok(());
                }
                self.opening.remove(&task);
                match *opened {
                    Ok(opened) => self.hand_out(task, opened),
                    Err(error) => return self.open_again(task, error),
                }
                Ok(())
            }
        }
    }

    /// Gives a task to the worker that has fewest.
    fn hand_out(&mut self, task: TaskId, opened: Opened) {
        for (number, partition, handle) in opened.handles {
            self.registry.show(number, partition, handle, Role::Active);
        }
        let Some(post) = self.workers.iter_mut().min_by_key(|post| post.tasks.len()) else { return };
        post.tasks.insert(task);
        let _ = post.orders.send(Order::Adopt(Box::new(opened.task), opened.progress));
    }

    /// Tries again to open a task, if the reason why it could not be opened may pass.
    fn open_again(&mut self, task: TaskId, error: StreamsError) -> Result<(), StreamsError> {
        match error {
            StreamsError::TaskGone => {}
            StreamsError::Log(ref problem) if problem.is_transient() => {
                tracing::warn!("task {task} cannot be opened yet: {error}");
                std::thread::sleep(PAUSE_AFTER_FAILURE);
            }
            error => return Err(error),
        }
        if self.is_wanted(task) {
            self.open(task);
        }
        Ok(())
    }
}
