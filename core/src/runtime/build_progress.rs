//! How far tasks have come when they are built: what their positions begin with.

use std::collections::{BTreeMap, BTreeSet};

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
        let mut targets: BTreeMap<usize, Vec<(TopicPartition, Offset)>> = BTreeMap::new();
        for (number, part) in self.topology.subtopologies().iter().enumerate() {
            let written = part.nodes.iter().filter_map(|id| match &self.topology.nodes()[id.0].kind {
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
            let ends = all.map(|target| Ok((target.clone(), self.log.end_offset(&target)?)));
            targets.insert(number, ends.collect::<Result<_, StreamsError>>()?);
        }
        let progress = |task: &Task| {
            let inputs = task.readers.iter().map(|reader| (reader.partition.clone(), reader.internal, reader.next));
            let targets = targets.get(&task.id.subtopology).cloned().unwrap_or_default();
            (task.id, TaskProgress::new(inputs.collect(), targets))
        };
        Ok(Progress::new(tasks.iter().map(progress).collect()))
    }
}
