//! How many partitions each internal topic has: as many as what is read beside it, or as what it is written from.

use std::collections::BTreeMap;

use super::StreamsError;
use crate::{
    log::Log,
    record::TopicName,
    topology::{NodeKind, SinkNode, SourceNode, Subtopology, TopicRef, Topology},
};

/// The topics of a running topology, with their partitions.
pub(super) struct Partitions {
    application: String,
    /// Partitions by topic name.
    counts: BTreeMap<TopicName, u32>,
}

impl Partitions {
    /// No topic is known yet.
    pub(super) fn none(application: &str) -> Self {
        Self { application: application.to_owned(), counts: BTreeMap::new() }
    }

    /// The topic that `topic` stands for in this application.
    pub(super) fn resolve(application: &str, topic: &TopicRef) -> Result<TopicName, StreamsError> {
        Ok(match topic {
            TopicRef::External(topic) => topic.clone(),
            TopicRef::Internal { name, .. } => TopicName::new(&format!("{application}-{name}"))?,
        })
    }

    /// Finds the partitions of every topic that is read or written.
    ///
    /// # Errors
    /// If a topic does not exist, if topics read together differ, or if nothing decides.
    pub(super) fn find(topology: &Topology, application: &str, log: &dyn Log) -> Result<Self, StreamsError> {
        let mut found = Self::none(application);
        for node in topology.nodes() {
            let (NodeKind::Source(SourceNode { topic, .. }) | NodeKind::Sink(SinkNode { topic, .. })) = &node.kind
            else {
                continue;
            };
            let name = Self::resolve(application, topic)?;
            match topic {
                TopicRef::External(_) => {
                    let description = log.describe_topic(&name)?;
                    found.counts.insert(name, description.config.partitions);
                }
                TopicRef::Internal { partitions: Some(partitions), .. } => {
                    found.counts.insert(name, *partitions);
                }
                TopicRef::Internal { partitions: None, .. } => {}
            }
        }
        // What one part decides may decide the next: repeat until nothing new is known.
        loop {
            let before = found.counts.len();
            for part in topology.subtopologies() {
                found.decide(topology, part)?;
            }
            if found.counts.len() == before && !found.decide_by_writers(topology)? {
                break;
            }
        }
        for part in topology.subtopologies() {
            found.check(topology, part)?;
        }
        Ok(found)
    }

    fn sources(&self, topology: &Topology, part: &Subtopology) -> Result<Vec<(TopicName, Option<u32>)>, StreamsError> {
        let source = |id: &crate::topology::NodeId| match &topology.nodes()[id.0].kind {
            NodeKind::Source(source) => {
                let name = Self::resolve(&self.application, &source.topic)?;
                let count = self.counts.get(&name).copied();
                Ok(Some((name, count)))
            }
            _ => Ok(None),
        };
        part.sources.iter().filter_map(|id| source(id).transpose()).collect()
    }

    fn decide(&mut self, topology: &Topology, part: &Subtopology) -> Result<(), StreamsError> {
        let sources = self.sources(topology, part)?;
        let Some(count) = sources.iter().filter_map(|(_, count)| *count).max() else { return Ok(()) };
        for (name, known) in sources {
            if known.is_none() {
                self.counts.insert(name, count);
            }
        }
        for &id in &part.nodes {
            let NodeKind::Sink(sink) = &topology.nodes()[id.0].kind else { continue };
            let name = Self::resolve(&self.application, &sink.topic)?;
            let read_beside = topology.subtopologies().iter().any(|reader| {
                self.sources(topology, reader)
                    .is_ok_and(|sources| sources.len() > 1 && sources.iter().any(|(topic, _)| *topic == name))
            });
            // A topic that is read beside others gets their number, not that of where it comes from.
            if !read_beside {
                self.counts.entry(name).or_insert(count);
            }
        }
        Ok(())
    }

    /// Where nothing that is read beside it decides: a part that reads only repartition topics gets as many partitions as the largest of
    /// the parts that write them. Says whether it found such a part.
    fn decide_by_writers(&mut self, topology: &Topology) -> Result<bool, StreamsError> {
        for part in topology.subtopologies() {
            let sources = self.sources(topology, part)?;
            if sources.iter().any(|(_, count)| count.is_some()) {
                continue;
            }
            let mut most = 0;
            for writer in topology.subtopologies() {
                let writes = writer.nodes.iter().any(|id| match &topology.nodes()[id.0].kind {
                    NodeKind::Sink(sink) => Self::resolve(&self.application, &sink.topic)
                        .is_ok_and(|topic| sources.iter().any(|(name, _)| *name == topic)),
                    _ => false,
                });
                if writes {
                    most = most.max(self.tasks(topology, writer)?);
                }
            }
            if most > 0 {
                self.counts.extend(sources.into_iter().map(|(name, _)| (name, most)));
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn check(&self, topology: &Topology, part: &Subtopology) -> Result<(), StreamsError> {
        let sources = self.sources(topology, part)?;
        let needs_equal = !part.stores.is_empty();
        let mut first: Option<(TopicName, u32)> = None;
        for (name, count) in sources {
            let Some(count) = count else { return Err(StreamsError::UnknownPartitions { topic: name.to_string() }) };
            match &first {
                Some((left, left_partitions)) if needs_equal && *left_partitions != count => {
                    return Err(StreamsError::NotCoPartitioned {
                        left: left.clone(),
                        left_partitions: *left_partitions,
                        right: name,
                        right_partitions: count,
                    });
                }
                Some(_) => {}
                None => first = Some((name, count)),
            }
        }
        Ok(())
    }

    /// How many partitions `topic` has.
    pub(super) fn of(&self, topic: &TopicName) -> u32 {
        self.counts.get(topic).copied().unwrap_or(1)
    }

    /// How many tasks a part of the topology has.
    pub(super) fn tasks(&self, topology: &Topology, part: &Subtopology) -> Result<u32, StreamsError> {
        Ok(self.sources(topology, part)?.into_iter().filter_map(|(_, count)| count).max().unwrap_or(0))
    }
}
