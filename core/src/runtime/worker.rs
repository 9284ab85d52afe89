//! A worker: one thread with some of the tasks, and the producer that commits for all of them at once.
//!
//! # The life of a commit
//! 1. Every dirty task flushes: aggregates merge their interval into the stores' pending changes and pass updates on.
//! 2. Records for topics, dead letters, changes of stores, input positions and stream times of all tasks form one transaction.
//! 3. The log makes it durable and visible, all or nothing.
//! 4. Only then do the stores take the changes over, with the position they now correspond to.
//!
//! A crash before 3 leaves nothing; a crash after 3 is repaired by replaying the changelogs. An error at any step ends the worker
//! without another commit; where processes share the work it costs the worker its tasks, if another one may have them now (`seat.rs`).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    Clock, StreamsError,
    global_tables::GlobalTables,
    metrics::Counters,
    seat::Seat,
    task::{Task, Turn},
    visibility::Visibility,
};
use crate::{
    log::{Producer, SharedLog, Transaction},
    record::TopicPartition,
};

/// How many runs of input a worker takes before it looks at the clock.
const RUNS_BETWEEN_LOOKS: usize = 4;
/// How long an idle worker waits for commits of others before it looks around.
const IDLE_WAIT: Duration = Duration::from_millis(50);

/// What workers of one application share.
pub(super) struct Shared {
    pub(super) stop: AtomicBool,
    /// Set before `stop` when nobody waits for a last commit.
    pub(super) abandon: AtomicBool,
    /// Nothing is read while it is set.
    pub(super) paused: AtomicBool,
    pub(super) counters: Arc<Counters>,
    /// What readers from outside see.
    pub(super) visibility: Arc<Visibility>,
}

/// When a checkpoint is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Now and then: nobody waits for it.
    AtWork,
    /// After the last commit: it is to be on disk.
    AtTheEnd,
}

/// One thread's work.
pub(super) struct Worker {
    pub(super) tasks: Vec<Task>,
    /// The global tables, if it is this worker that keeps them up to date for all.
    pub(super) globals: GlobalTables,
    pub(super) log: SharedLog,
    pub(super) producer: Box<dyn Producer>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) commit_interval: Duration,
    pub(super) transaction_bytes: usize,
    pub(super) checkpoint_interval: Duration,
    pub(super) checkpoint: Box<dyn Fn(Moment) -> Result<(), StreamsError> + Send>,
    pub(super) shared: Arc<Shared>,
    /// Its place among those who share the work, if it is shared.
    pub(super) seat: Option<Seat>,
}

/// When a worker did last what it does now and then, and what it has heard of commits.
struct Pace {
    last_commit: Duration,
    last_checkpoint: Duration,
    seen: u64,
}

impl Worker {
    /// Works until told to stop, then commits once more and checkpoints.
    pub(super) fn run(&mut self) -> Result<(), StreamsError> {
        let now = self.clock.monotonic();
        let mut pace = Pace { last_commit: now, last_checkpoint: now, seen: 0 };
        while !self.shared.stop.load(Ordering::Acquire) {
            let worked = self.obey().and_then(|()| self.step(&mut pace));
            worked.or_else(|error| self.recover(error))?;
        }
        if self.shared.abandon.load(Ordering::Acquire) {
            return Ok(());
        }
        if self.is_dirty() {
            self.commit().or_else(|error| self.recover(error))?;
        }
        (self.checkpoint)(Moment::AtTheEnd)
    }

    /// Processes what is there, commits and checkpoints when it is time, and waits if there is nothing to do.
    fn step(&mut self, pace: &mut Pace) -> Result<(), StreamsError> {
        if self.shared.paused.load(Ordering::Acquire) || self.is_held() {
            return self.pause(pace);
        }
        let worked = self.process()? | self.advance_idle()?;
        let now = self.clock.monotonic();
        let due = now.saturating_sub(pace.last_commit) >= self.commit_interval;
        if self.is_dirty() && (due || self.uncommitted_bytes() > self.transaction_bytes) {
            self.commit()?;
            pace.last_commit = now;
        }
        if now.saturating_sub(pace.last_checkpoint) >= self.checkpoint_interval {
            if self.is_dirty() {
                self.commit()?;
            }
            (self.checkpoint)(Moment::AtWork)?;
            self.tasks.iter().try_for_each(|task| task.purge(self.log.as_ref()))?;
            pace.last_checkpoint = now;
        }
        if !worked {
            let left = self.commit_interval.saturating_sub(now.saturating_sub(pace.last_commit));
            let wait = if self.is_dirty() { left.min(IDLE_WAIT) } else { IDLE_WAIT };
            let wait = self.until_next_tick().map_or(wait, |tick| tick.min(wait));
            pace.seen = self.log.wait_for_commit(pace.seen, wait);
        }
        Ok(())
    }

    /// Commits what was processed, and waits a while.
    fn pause(&mut self, pace: &mut Pace) -> Result<(), StreamsError> {
        if self.is_dirty() && !self.is_held() {
            self.commit()?;
            pace.last_commit = self.clock.monotonic();
        }
        let now = self.clock.monotonic();
        self.tasks.iter_mut().for_each(|task| task.stay_awake(now));
        pace.seen = self.log.wait_for_commit(pace.seen, IDLE_WAIT);
        Ok(())
    }

    /// Gives every task some runs; says whether any had work.
    pub(super) fn process(&mut self) -> Result<bool, StreamsError> {
        let (mut worked, now) = (self.globals.update(self.log.as_ref())?, self.clock.monotonic());
        let wall_clock = self.clock.wall();
        for task in &mut self.tasks {
            task.look_at_clock(wall_clock);
            for _ in 0..RUNS_BETWEEN_LOOKS {
                if !task.process(self.log.as_ref(), now)? {
                    break;
                }
                worked = true;
            }
            worked |= task.punctuate_by_wall_clock()?;
        }
        Ok(worked)
    }

    /// How long until the first tick by the time of day.
    fn until_next_tick(&self) -> Option<Duration> {
        let next = self.tasks.iter().filter_map(Task::next_wall_clock_tick).min()?;
        let left = next.millis().saturating_sub(self.clock.wall().millis());
        Some(Duration::from_millis(u64::try_from(left).unwrap_or_default()))
    }

    /// Lets time go on for tasks that have been idle for long, if they are to; says whether anything came of it.
    pub(super) fn advance_idle(&mut self) -> Result<bool, StreamsError> {
        let (mut worked, now) = (false, self.clock.monotonic());
        for task in &mut self.tasks {
            worked |= task.advance_idle(self.log.as_ref(), now)?;
        }
        Ok(worked)
    }

    /// Processes the one record that arrived first of all that wait; says whether there was one.
    pub(super) fn process_next_arrival(&mut self) -> Result<bool, StreamsError> {
        let (mut first, now): (Option<(Turn, usize, usize)>, _) = (None, self.clock.monotonic());
        for (index, task) in self.tasks.iter_mut().enumerate() {
            if let Some((turn, input)) = task.next_arrival(self.log.as_ref(), now)?
                && first.is_none_or(|(earliest, ..)| turn < earliest)
            {
                first = Some((turn, index, input));
            }
        }
        let global = self.globals.next_arrival(self.log.as_ref())?;
        let Some((turn, task, input)) = first else {
            let Some((_, place)) = global else { return Ok(false) };
            return self.globals.update_one(place, self.log.as_ref()).map(|()| true);
        };
        if let Some((_, place)) = global.filter(|(arrival, _)| is_before(*arrival, turn)) {
            return self.globals.update_one(place, self.log.as_ref()).map(|()| true);
        }
        self.tasks[task].process_one(input).map(|()| true)
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.globals.is_dirty() || self.tasks.iter().any(Task::is_dirty)
    }

    fn uncommitted_bytes(&self) -> usize {
        self.tasks.iter().map(Task::uncommitted_bytes).sum()
    }

    /// Commits everything that was processed, in one step.
    pub(super) fn commit(&mut self) -> Result<(), StreamsError> {
        let mut transaction = Transaction::default();
        let (mut changes, mut read) = (Vec::new(), Vec::new());
        let mut records_out = 0;
        for (index, task) in self.tasks.iter_mut().enumerate().filter(|(_, task)| task.is_dirty()) {
            let contribution = task.prepare_commit()?;
            let first_append = transaction.appends.len();
            transaction.appends.extend(contribution.appends);
            let next = contribution.offsets.iter().map(|offset| offset.position.next).collect();
            read.push((task.id, next, first_append..transaction.appends.len()));
            transaction.offsets.extend(contribution.offsets);
            records_out += contribution.records_out;
            let placed = contribution.changes.into_iter();
            let place = |(store, records, append): (_, _, Option<usize>)| {
                (index, store, records, append.map(|append| first_append + append))
            };
            changes.extend(placed.map(place));
        }
        if let Some((letters, offsets)) = self.globals.contribution() {
            transaction.appends.extend(letters);
            transaction.offsets.extend(offsets);
        }
        let written: Vec<TopicPartition> = transaction.appends.iter().map(|append| append.partition.clone()).collect();
        let visibility = Arc::clone(&self.shared.visibility);
        let _announced = visibility.announce();
        let began = self.clock.monotonic();
        let receipt = self.hand_over(transaction)?;
        self.shared.counters.add_commit_latency(self.clock.monotonic().saturating_sub(began));
        let _hidden_until_taken_over = visibility.take_over();
        for (task, store, records, append) in changes {
            let next = append.map_or(0, |append| receipt.end_offsets[append].0);
            self.tasks[task].committed(store, &records, next)?;
        }
        let mut progress = visibility.progress();
        for (task, next, appends) in read {
            let written = written[appends.clone()].iter().zip(receipt.end_offsets[appends].iter().copied());
            progress.commit(task, next, written);
        }
        drop(progress);
        self.shared.counters.add_commit(records_out);
        Ok(())
    }
}

/// Whether a record of a global table has arrived before the one whose turn it is. Records of the topology's own topics are what an earlier
/// record has caused: they go first.
fn is_before(arrival: u64, (is_external, (turn, _), _): Turn) -> bool {
    is_external && i64::try_from(arrival).is_ok_and(|arrival| arrival < turn)
}
