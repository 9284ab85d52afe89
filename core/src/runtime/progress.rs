//! How far each task has come, in terms of what the whole application reads: what positions of answers are made of.
//!
//! A task that reads a repartition topic knows its offsets there only. What they mean in the topics that users write is known to the tasks
//! that write the repartition topic: each keeps marks, one a commit, of how far it had read and where the topic ended after it had written.
//! A reader that has come to such an end includes what the mark says.
//!
//! ```text
//! writer's marks    orders 10, repartition ends 7      orders 20, repartition ends 9
//! reader at 8       includes orders up to 10
//! reader at 9       includes orders up to 20
//! ```
//! Marks are kept for some commits; without the one that fits, an earlier one is used: a position may say less than is true, never more. Where
//! topics go round in a circle, as those of a foreign-key join do, a position speaks of the way from the input to the store that passes no
//! part of the topology twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    operator::TaskId,
    record::{Offset, Position, TopicName, TopicPartition},
};

/// Marks kept of a task.
const MARKS: usize = 64;

/// How far a task had read, and where the topics ended that it writes to.
struct Mark {
    inputs: Vec<Offset>,
    ends: Vec<Offset>,
}

/// What is known of a task.
pub(super) struct TaskProgress {
    /// The partitions that it reads, and whether they belong to the application.
    inputs: Vec<(TopicPartition, bool)>,
    /// How far they are committed.
    next: Vec<Offset>,
    /// The partitions of repartition topics that it writes, in order.
    targets: Vec<TopicPartition>,
    marks: VecDeque<Mark>,
}

impl TaskProgress {
    /// A task that has committed `inputs` so far, and may have written everything that `targets` hold; these must be in order.
    pub(super) fn new(inputs: Vec<(TopicPartition, bool, Offset)>, targets: Vec<(TopicPartition, Offset)>) -> Self {
        let next: Vec<Offset> = inputs.iter().map(|(.., next)| *next).collect();
        let (targets, ends): (Vec<_>, Vec<_>) = targets.into_iter().unzip();
        let inputs = inputs.into_iter().map(|(partition, internal, _)| (partition, internal)).collect();
        let marks = if targets.is_empty() { VecDeque::new() } else { [Mark { inputs: next.clone(), ends }].into() };
        Self { inputs, next, targets, marks }
    }

    /// Takes a commit: how far each input is read, and where topics ended after its records.
    fn commit<'a>(&mut self, next: Vec<Offset>, written: impl Iterator<Item = (&'a TopicPartition, Offset)>) {
        debug_assert_eq!(next.len(), self.inputs.len(), "a task commits all its inputs");
        if let Some(last) = self.marks.back() {
            let mut ends = last.ends.clone();
            for (partition, end) in written {
                if let Ok(place) = self.targets.binary_search(partition) {
                    ends[place] = end;
                }
            }
            self.marks.push_back(Mark { inputs: next.clone(), ends });
            if self.marks.len() > MARKS {
                self.thin_out();
            }
        }
        self.next = next;
    }

    /// Lets go of every second mark of the older half.
    fn thin_out(&mut self) {
        let mut place = 0;
        self.marks.retain(|_| {
            place += 1;
            place > MARKS / 2 || place % 2 == 0
        });
    }

    /// How far the task had read when everything it had written to a partition lay below `read`.
    fn read_when(&self, target: &TopicPartition, read: Offset) -> Option<&[Offset]> {
        let place = self.targets.binary_search(target).ok()?;
        let mark = self.marks.iter().rev().find(|mark| mark.ends[place] <= read)?;
        Some(&mark.inputs)
    }
}

/// How far every task of an application has come.
#[derive(Default)]
pub(crate) struct Progress {
    tasks: BTreeMap<TaskId, TaskProgress>,
    /// The tasks that write a repartition topic.
    writers: BTreeMap<TopicName, Vec<TaskId>>,
}

impl Progress {
    pub(super) fn new(tasks: BTreeMap<TaskId, TaskProgress>) -> Self {
        let mut all = Self::default();
        tasks.into_iter().for_each(|(id, task)| all.add(id, task));
        all
    }

    /// Takes on a task that this process has got.
    pub(super) fn add(&mut self, id: TaskId, task: TaskProgress) {
        self.remove(id);
        let topics: BTreeSet<&TopicName> = task.targets.iter().map(|target| &target.topic).collect();
        topics.into_iter().for_each(|topic| self.writers.entry(topic.clone()).or_default().push(id));
        self.tasks.insert(id, task);
    }

    /// Forgets a task that this process has no more.
    pub(super) fn remove(&mut self, id: TaskId) {
        self.tasks.remove(&id);
        self.writers.values_mut().for_each(|writers| writers.retain(|writer| *writer != id));
    }

    /// The tasks of this process.
    pub(super) fn tasks(&self) -> Vec<TaskId> {
        self.tasks.keys().copied().collect()
    }

    /// Takes a commit of a task.
    pub(super) fn commit<'a>(
        &mut self,
        task: TaskId,
        next: Vec<Offset>,
        written: impl Iterator<Item = (&'a TopicPartition, Offset)>,
    ) {
        if let Some(task) = self.tasks.get_mut(&task) {
            task.commit(next, written);
        }
    }

    /// What the stores of a task include.
    pub(crate) fn position(&self, task: TaskId) -> Position {
        let mut position = Position::new();
        if let Some(found) = self.tasks.get(&task) {
            self.limit(task, &found.next, &mut vec![task.subtopology], &mut position);
        }
        position
    }

    /// Limits a position to what a task includes that has read up to `next`.
    fn limit(&self, task: TaskId, next: &[Offset], path: &mut Vec<usize>, position: &mut Position) {
        let Some(found) = self.tasks.get(&task) else { return };
        for ((input, internal), &next) in found.inputs.iter().zip(next) {
            position.limit(input, next);
            let writers = self.writers.get(&input.topic).filter(|_| *internal);
            for &writer in writers.into_iter().flatten() {
                if path.contains(&writer.subtopology) {
                    continue;
                }
                path.push(writer.subtopology);
                let nothing = self.tasks.get(&writer).map(|writer| vec![Offset::ZERO; writer.inputs.len()]);
                let read = self.tasks.get(&writer).and_then(|writer| writer.read_when(input, next));
                self.limit(writer, read.unwrap_or(&nothing.unwrap_or_default()), path, position);
                path.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::PartitionId;

    fn partition(topic: &str, partition: u32) -> TopicPartition {
        TopicPartition::new(TopicName::new(topic).expect("legal"), PartitionId(partition))
    }

    fn task(subtopology: usize, partition: u32) -> TaskId {
        TaskId { subtopology, partition: PartitionId(partition) }
    }

    /// Two tasks read `in` and write `moved`, which two tasks read.
    fn progress() -> Progress {
        let ends = || vec![(partition("moved", 0), Offset(5)), (partition("moved", 1), Offset(0))];
        let writer = |number| TaskProgress::new(vec![(partition("in", number), false, Offset(5))], ends());
        let reader = |number| TaskProgress::new(vec![(partition("moved", number), true, Offset(0))], Vec::new());
        let tasks = (0..2).flat_map(|number| [(task(0, number), writer(number)), (task(1, number), reader(number))]);
        Progress::new(tasks.collect())
    }

    #[test]
    fn positions_reach_through_repartition_topics() {
        let mut progress = progress();
        let at = |progress: &Progress, reader: u32, input: u32| {
            progress.position(task(1, reader)).get(&partition("in", input)).map(|next| next.0)
        };
        assert_eq!(
            (at(&progress, 0, 0), at(&progress, 1, 0)),
            (Some(0), Some(5)),
            "the first has not read what was there"
        );
        progress.commit(task(1, 0), vec![Offset(5)], std::iter::empty());
        assert_eq!((at(&progress, 0, 0), at(&progress, 0, 1)), (Some(5), Some(5)));
        progress.commit(task(0, 0), vec![Offset(9)], [(&partition("moved", 0), Offset(7))].into_iter());
        assert_eq!(
            (at(&progress, 0, 0), at(&progress, 1, 0)),
            (Some(5), Some(9)),
            "nothing of it went to the other one"
        );
        progress.commit(task(1, 0), vec![Offset(6)], std::iter::empty());
        assert_eq!(at(&progress, 0, 0), Some(5), "half of what it wrote");
        progress.commit(task(1, 0), vec![Offset(7)], std::iter::empty());
        assert_eq!((at(&progress, 0, 0), at(&progress, 0, 1)), (Some(9), Some(5)));
        assert_eq!(progress.position(task(0, 0)).to_string(), "in-0 at 9");
    }

    #[test]
    fn marks_that_were_let_go_make_a_position_say_less() {
        let mut progress = progress();
        for commit in 1..=1_000_u64 {
            let written = [(&partition("moved", 0), Offset(5 + commit))];
            progress.commit(task(0, 0), vec![Offset(5 + commit)], written.into_iter());
        }
        assert!(progress.tasks[&task(0, 0)].marks.len() <= MARKS);
        progress.commit(task(1, 0), vec![Offset(500)], std::iter::empty());
        let at = progress.position(task(1, 0)).get(&partition("in", 0)).expect("it is fed by it");
        assert!(at <= Offset(500), "{at}");
        progress.commit(task(1, 0), vec![Offset(1_005)], std::iter::empty());
        assert_eq!(progress.position(task(1, 0)).get(&partition("in", 0)), Some(Offset(1_005)));
    }
}
