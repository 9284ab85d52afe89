//! Idle advance: stream time that goes on though no record comes, so that the last windows close.
//!
//! A task is idle once it has had no record for a *span* of wall clock and has none unread; the tasks that write what it reads hold nothing back
//! and have none unread either. Then its operators that hold results back are told the time
//!
//! ```text
//! H + max(0, I - span)      H  the highest timestamp of the records that the application has processed in this process, or that its
//!                              operators had observed when it was committed last
//!                           I  how long the application as a whole has had no record, by the wall clock
//! ```
//!
//! A partition without records thus follows the others, and when all are idle time goes on at the pace of the clock. An operator's stream time moves
//! only when that lets a result go, and moves to the time it was told; it is committed with what was let go of, so that a record which comes
//! later is late or not as if a record of that time had come, after a restart too. With it moves the stream time of the windowed operators of the
//! same task that pass on every update: no update of what was final can come from above. An operator below one that holds something back, in the same
//! task or behind a repartition topic, waits until that one holds nothing: what it will be given yet is older.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::RwLock;

use super::StreamsError;
use crate::{
    log::Log,
    operator::TaskId,
    record::{GroupId, Offset, Timestamp, TopicPartition},
};

/// What the tasks of an application tell each other.
#[derive(Debug)]
pub(super) struct Idleness {
    /// The highest timestamp of all records.
    highest: AtomicI64,
    /// When the last record came, in milliseconds of the monotonic clock.
    last_record: AtomicU64,
    /// The tasks that hold nothing back.
    settled: RwLock<BTreeSet<TaskId>>,
}

fn millis(moment: Duration) -> u64 {
    u64::try_from(moment.as_millis()).unwrap_or(u64::MAX)
}

impl Idleness {
    /// Of an application that starts at this moment.
    pub(super) fn since(now: Duration) -> Self {
        let highest = AtomicI64::new(Timestamp::NONE.millis());
        Self { highest, last_record: AtomicU64::new(millis(now)), settled: RwLock::default() }
    }

    /// Is told of records: the highest timestamp among them, and when they came.
    pub(super) fn saw(&self, time: Timestamp, now: Duration) {
        self.knows(time);
        self.last_record.fetch_max(millis(now), Ordering::AcqRel);
    }

    /// Nobody looks for records at this moment.
    pub(super) fn stay_awake(&self, now: Duration) {
        self.last_record.fetch_max(millis(now), Ordering::AcqRel);
    }

    /// Is told of a time that had been observed before.
    pub(super) fn knows(&self, time: Timestamp) {
        self.highest.fetch_max(time.millis(), Ordering::AcqRel);
    }

    /// The time that idle tasks go on to; `None` if no record was ever seen.
    fn target(&self, span: Duration, now: Duration) -> Option<Timestamp> {
        let highest = Timestamp(self.highest.load(Ordering::Acquire));
        let idle = millis(now).saturating_sub(self.last_record.load(Ordering::Acquire));
        let beyond = i64::try_from(idle.saturating_sub(millis(span))).unwrap_or(i64::MAX);
        (highest != Timestamp::NONE).then(|| Timestamp(highest.millis().saturating_add(beyond)))
    }
}

/// When a task has something to do though no record comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// Its operators were not asked since the last record.
    Unknown,
    /// They hold nothing back.
    Nothing,
    /// They hold something back until this stream time.
    At(Timestamp),
}

/// A task that writes what another one reads: where it reads, and how far it had read at the start.
#[derive(Debug, Clone)]
pub(super) struct Upstream {
    pub(super) task: TaskId,
    pub(super) inputs: Vec<(GroupId, TopicPartition, Offset)>,
}

/// What a task knows of its own idleness.
#[derive(Debug)]
pub(super) struct TaskIdle {
    task: TaskId,
    /// When it had its last record.
    since: Option<Duration>,
    due: Due,
    upstream: Vec<Upstream>,
}

impl TaskIdle {
    pub(super) fn new(task: TaskId) -> Self {
        Self { task, since: None, due: Due::Unknown, upstream: Vec::new() }
    }

    pub(super) fn set_upstream(&mut self, upstream: Vec<Upstream>) {
        self.upstream = upstream;
    }

    /// A record has come, or the task was kept from looking.
    pub(super) fn wake(&mut self, now: Duration, all: &Idleness) {
        self.since = Some(now);
        if self.due != Due::Unknown {
            self.due = Due::Unknown;
            all.settled.write().remove(&self.task);
        }
    }

    /// The stream time to tell the operators of a task that has nothing to read, if it is time to. [`Timestamp::NONE`] asks them only what they
    /// wait for.
    ///
    /// # Errors
    /// Those of the log.
    pub(super) fn step(
        &mut self,
        span: Duration,
        now: Duration,
        all: &Idleness,
        log: &dyn Log,
    ) -> Result<Option<Timestamp>, StreamsError> {
        let since = *self.since.get_or_insert(now);
        if self.due == Due::Nothing || now.saturating_sub(since) < span {
            return Ok(None);
        }
        match (self.due, all.target(span, now)) {
            (Due::Unknown, _) => Ok(Some(Timestamp::NONE)),
            (Due::At(due), Some(target)) if due <= target && self.is_fed_up(all, log)? => Ok(Some(target)),
            _ => Ok(None),
        }
    }

    /// Takes what the operators wait for, when everything that they have let go of is committed.
    pub(super) fn told(&mut self, due: Option<Timestamp>, all: &Idleness) {
        self.due = due.map_or(Due::Nothing, Due::At);
        if due.is_none() {
            all.settled.write().insert(self.task);
        }
    }

    /// Whether the tasks that write what this one reads have nothing more for it.
    fn is_fed_up(&self, all: &Idleness, log: &dyn Log) -> Result<bool, StreamsError> {
        for Upstream { task, inputs } in &self.upstream {
            if !all.settled.read().contains(task) {
                return Ok(false);
            }
            for (group, partition, from) in inputs {
                let next = log.committed(group, partition)?.map_or(*from, |position| position.next);
                if next < log.end_offset(partition)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// For each subtopology those that write what it reads, through others too. `edges` are pairs of a writer and a reader.
pub(super) fn upstream_of(edges: &[(usize, usize)]) -> BTreeMap<usize, BTreeSet<usize>> {
    let mut upstream: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for &(_, reader) in edges {
        let (mut found, mut waiting) = (BTreeSet::new(), vec![reader]);
        while let Some(part) = waiting.pop() {
            let writers = edges.iter().filter(|(_, reads)| *reads == part).map(|(writer, _)| *writer);
            waiting.extend(writers.filter(|writer| *writer != reader && found.insert(*writer)).collect::<Vec<_>>());
        }
        upstream.insert(reader, found);
    }
    upstream
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{record::PartitionId, testing::MemoryLog};

    #[test]
    fn time_goes_on_when_all_have_been_idle_for_longer_than_the_span() {
        let (all, span) = (Idleness::since(Duration::ZERO), Duration::from_millis(100));
        let target = |now: u64| all.target(span, Duration::from_millis(now)).map(Timestamp::millis);
        assert_eq!(target(500), None);
        all.saw(Timestamp(40), Duration::from_millis(1_000));
        all.saw(Timestamp(30), Duration::from_millis(1_010));
        for (now, want) in [(1_010, 40), (1_110, 40), (1_111, 41), (2_110, 1_040)] {
            assert_eq!(target(now), Some(want), "at {now}");
        }
    }

    #[test]
    fn a_task_waits_for_those_that_write_what_it_reads() {
        let (all, log) = (Idleness::since(Duration::ZERO), MemoryLog::new());
        let id = |subtopology| TaskId { subtopology, partition: PartitionId(0) };
        let (span, later) = (Duration::from_millis(100), Duration::from_millis(1_000));
        let (mut upper, mut lower) = (TaskIdle::new(id(0)), TaskIdle::new(id(1)));
        lower.set_upstream(vec![Upstream { task: id(0), inputs: Vec::new() }]);
        for task in [&mut upper, &mut lower] {
            task.wake(Duration::ZERO, &all);
        }
        all.saw(Timestamp(5), Duration::ZERO);
        let mut step = |task: &mut TaskIdle| task.step(span, later, &all, &log).expect("memory does not fail");
        assert_eq!(step(&mut lower), Some(Timestamp::NONE));
        lower.told(Some(Timestamp(10)), &all);
        assert_eq!(step(&mut lower), None, "the other has not said that it holds nothing");
        upper.told(None, &all);
        assert_eq!(step(&mut lower), Some(Timestamp(905)));
        upper.wake(later, &all);
        assert_eq!(step(&mut lower), None);
    }

    #[test]
    fn what_writes_through_others_is_upstream_too() {
        let upstream = upstream_of(&[(0, 1), (1, 2), (2, 2), (3, 0)]);
        assert_eq!(upstream[&2], BTreeSet::from([0, 1, 3]));
        assert_eq!(upstream[&1], BTreeSet::from([0, 3]));
    }
}
