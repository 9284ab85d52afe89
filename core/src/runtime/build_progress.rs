//! How far tasks have come when they are built: what their positions begin with.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use super::{
    StreamsError,
    build::Builder,
    partitions::Partitions,
    progress::{Progress, TaskProgress},
    task::Task,
};
use crate::{
    record::{Offset, PartitionId, TopicName, TopicPartition},
    topology::{NodeKind, SinkNode, TopicRef},
};

impl Builder<'_> {
    /// What was committed of the inputs of each task, and where the repartition topics end that it writes to.
    pub(super) fn progress(&self, tasks: &[Task], partitions: &Partitions) -> Result<Progress, StreamsError> {
        let mut ends: BTreeMap<usize, Vec<(TopicPartition, Offset)>> = BTreeMap::new();
        let mut one = |task: &Task| {
            let targets = match ends.entry(task.id.subtopology) {
                Entry::Occupied(known) => known.get().clone(),
                Entry::Vacant(new) => new.insert(self.targets(task.id.subtopology, partitions)?).clone(),
            };
            Ok((task.id, inputs_of(task, targets)))
        };
        let tasks = tasks.iter().map(&mut one).collect::<Result<_, StreamsError>>()?;
        Ok(Progress::new(tasks))
    }

    /// The same of one task.
    pub(super) fn task_progress(&self, task: &Task, partitions: &Partitions) -> Result<TaskProgress, StreamsError> {
        Ok(inputs_of(task, self.targets(task.id.subtopology, partitions)?))
    }

    /// The partitions of the repartition topics that a part writes to, and their ends.
    fn targets(&self, part: usize, partitions: &Partitions) -> Result<Vec<(TopicPartition, Offset)>, StreamsError> {
        let nodes = self.topology.subtopologies()[part].nodes.iter();
        let written = nodes.filter_map(|id| match &self.topology.nodes()[id.0].kind {
            NodeKind::Sink(SinkNode { topic: topic @ TopicRef::Internal { .. }, .. }) => {
                Some(Partitions::resolve(self.application, topic))
            }
            _ => None,
        });
        let written: BTreeSet<TopicName> = written.collect::<Result<_, _>>()?;
        let all = written.into_iter().flat_map(|topic| {
            let count = partitions.of(&topic);
            (0..count).map(move |partition| TopicPartition::new(topic.clone(), PartitionId(partition)))
        });
        all.map(|target| Ok((target.clone(), self.log.end_offset(&target)?))).collect()
    }
}

fn inputs_of(task: &Task, targets: Vec<(TopicPartition, Offset)>) -> TaskProgress {
    let inputs = task.readers.iter().map(|reader| (reader.partition.clone(), reader.internal, reader.next));
    TaskProgress::new(inputs.collect(), targets)
}
