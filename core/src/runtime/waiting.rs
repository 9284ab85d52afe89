//! When a task waits: for an input that is empty while others are not, and for records at all.

use std::{collections::BTreeSet, time::Duration};

use super::{
    MaxTaskIdle, StreamsError,
    build::Builder,
    idle::{Upstream, upstream_of},
    partitions::Partitions,
    source_reader::SourceReader,
    task::Task,
};
use crate::{
    log::Log,
    operator::TaskId,
    record::{Timestamp, TopicName},
    topology::{NodeKind, Subtopology},
};

/// Whether a task that has looked at its inputs may take a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readiness {
    /// The one that is earliest of all is known.
    Go,
    /// An input has more in the log that was not looked at.
    LookOn,
    /// An input is empty and may yet get what is earlier.
    Wait,
}

impl Task {
    /// Whether the next record may be taken: see [`MaxTaskIdle`].
    pub(super) fn readiness(&mut self) -> Readiness {
        let has_record = self.readers.iter().any(|reader| !reader.is_drained());
        if self.settings.max_task_idle == MaxTaskIdle::Never && has_record {
            return Readiness::Go;
        }
        if self.readers.iter().any(SourceReader::has_more_to_look_at) {
            return Readiness::LookOn;
        }
        let MaxTaskIdle::For(most) = self.settings.max_task_idle else { return Readiness::Go };
        let (now, mut waits, mut gone_without) = (self.now, false, false);
        for reader in &mut self.readers {
            if reader.is_drained() {
                let since = *reader.empty_since.get_or_insert(now);
                waits |= now.saturating_sub(since) < most;
                gone_without = true;
            } else {
                reader.empty_since = None;
            }
        }
        if waits {
            return Readiness::Wait;
        }
        if gone_without && has_record {
            self.counters.add_enforced();
        }
        Readiness::Go
    }

    /// Nothing may be concluded from there being no record: nobody looks.
    pub(super) fn stay_awake(&mut self, now: Duration) {
        self.settings.idleness.stay_awake(now);
        self.idle.wake(now, &self.settings.idleness);
    }

    /// Lets time go on if there has been no record for long; says whether anything came of it.
    pub(super) fn advance_idle(&mut self, log: &dyn Log, now: Duration) -> Result<bool, StreamsError> {
        let Some(span) = self.settings.idle_advance else { return Ok(false) };
        if self.dirty || self.readers.iter().any(|reader| !reader.is_drained() || reader.has_more_to_look_at()) {
            return Ok(false);
        }
        let Some(stream_time) = self.idle.step(span, now, &self.settings.idleness, log)? else { return Ok(false) };
        for reader in &self.readers {
            if reader.next < log.end_offset(&reader.partition)? {
                return Ok(false);
            }
        }
        let before = self.stream_times();
        let due = self.tell_idle(stream_time)?;
        self.dirty |= before != self.stream_times();
        if !self.dirty {
            self.idle.told(due, &self.settings.idleness);
        } // Otherwise it is asked again once that is committed: then those below can see it.
        Ok(true)
    }

    /// Tells operators the time, inputs before outputs, but none below one that holds something back; gives when the first of them has something
    /// to let go of.
    fn tell_idle(&mut self, stream_time: Timestamp) -> Result<Option<Timestamp>, StreamsError> {
        let (mut blocked, mut first) = (BTreeSet::new(), None::<Timestamp>);
        for node in 0..self.nodes.len() {
            let mut holds = blocked.contains(&node);
            if !holds {
                let mut due = None;
                let output = self.run(node, 0, None, |operator, context| {
                    due = operator.on_idle(stream_time, context)?;
                    Ok(())
                })?;
                self.deliver(node, output, None)?;
                first = first.into_iter().chain(due).min();
                holds = due.is_some();
            }
            if holds {
                blocked.extend(self.nodes[node].consumers.iter().map(|(taker, _)| *taker));
            }
        }
        self.handle_rejected()?;
        Ok(first)
    }
}

impl Builder<'_> {
    /// Tells each task which others write what it reads.
    pub(super) fn tell_upstream(&self, tasks: &mut [Task]) -> Result<(), StreamsError> {
        if self.settings.idle_advance.is_none() {
            return Ok(());
        }
        let parts = self.topology.subtopologies();
        let topics = parts.iter().map(|part| self.topics(part)).collect::<Result<Vec<_>, _>>()?;
        let mut edges = Vec::new();
        for (writer, (_, written)) in topics.iter().enumerate() {
            let readers = topics.iter().enumerate().filter(|(_, (read, _))| !read.is_disjoint(written));
            edges.extend(readers.map(|(reader, _)| (writer, reader)));
        }
        let upstream = upstream_of(&edges);
        let inputs = |task: &Task| {
            let input = |reader: &SourceReader| (task.group.clone(), reader.partition.clone(), reader.next);
            Upstream { task: task.id, inputs: task.readers.iter().map(input).collect() }
        };
        let all: Vec<Upstream> = tasks.iter().map(inputs).collect();
        for task in tasks {
            let TaskId { subtopology, .. } = task.id;
            let is_above = |other: &&Upstream| {
                upstream.get(&subtopology).is_some_and(|parts| parts.contains(&other.task.subtopology))
            };
            task.idle.set_upstream(all.iter().filter(is_above).cloned().collect());
        }
        Ok(())
    }

    /// The topics that a part reads and those that it writes.
    fn topics(&self, part: &Subtopology) -> Result<(BTreeSet<TopicName>, BTreeSet<TopicName>), StreamsError> {
        let (mut read, mut written) = (BTreeSet::new(), BTreeSet::new());
        for id in &part.nodes {
            match &self.topology.nodes()[id.0].kind {
                NodeKind::Source(source) => read.insert(Partitions::resolve(self.application, &source.topic)?),
                NodeKind::Sink(sink) => written.insert(Partitions::resolve(self.application, &sink.topic)?),
                _ => continue,
            };
        }
        Ok((read, written))
    }
}
