//! Everything the engine knows apart from the records: topics, segments and their committed lengths, group offsets,
//! producer epochs. It changes only by [`State::apply`] of the changes of a durable frame, so that what a reader sees and
//! what a recovery finds are the same by construction.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::Arc,
};

use super::{
    change::{Change, Place, SegmentMeta},
    segment::SegmentFile,
    storage::Storage,
};
use crate::{
    log::{GroupOffset, LogError, TopicConfig, TopicDescription},
    record::{GroupId, TopicName, TopicPartition},
};

/// A segment: what is committed of it, and its file.
#[derive(Clone)]
pub(super) struct Segment {
    pub(super) meta: SegmentMeta,
    pub(super) file: Arc<SegmentFile>,
}

/// A partition: its segments in order, the last one being written.
#[derive(Default)]
pub(super) struct Partition {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) segments: Vec<Segment>,
}

pub(super) struct Topic {
    pub(super) id: u64,
    pub(super) name: TopicName,
    pub(super) config: TopicConfig,
    pub(super) incarnation: u128,
    pub(super) partitions: Vec<Partition>,
}

impl Topic {
    pub(super) fn describe(&self) -> TopicDescription {
        TopicDescription { name: self.name.clone(), config: self.config.clone(), incarnation: self.incarnation }
    }
}

/// The state of one log.
pub(super) struct State {
    storage: Arc<Storage>,
    topics_dir: PathBuf,
    pub(super) next_topic_id: u64,
    pub(super) topics: BTreeMap<u64, Topic>,
    names: HashMap<TopicName, u64>,
    pub(super) groups: HashMap<Place, BTreeMap<GroupId, GroupOffset>>,
    pub(super) producers: BTreeMap<String, u64>,
}

/// The number in every batch of a partition: no segment is taken for one of another partition or an earlier topic.
pub(super) fn partition_tag(incarnation: u128, partition: u32) -> u64 {
    let folded = (incarnation as u64) ^ ((incarnation >> 64) as u64);
    folded.wrapping_add(u64::from(partition).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

impl State {
    pub(super) fn new(storage: Arc<Storage>, topics_dir: PathBuf) -> Self {
        Self {
            storage,
            topics_dir,
            next_topic_id: 0,
            topics: BTreeMap::new(),
            names: HashMap::new(),
            groups: HashMap::new(),
            producers: BTreeMap::new(),
        }
    }

    pub(super) fn topic_dir(&self, id: u64) -> PathBuf {
        self.topics_dir.join(id.to_string())
    }

    pub(super) fn topic(&self, name: &TopicName) -> Result<&Topic, LogError> {
        let id = self.names.get(name).ok_or_else(|| LogError::UnknownTopic { topic: name.clone() })?;
        Ok(&self.topics[id])
    }

    pub(super) fn place(&self, of: &TopicPartition) -> Result<(Place, &Topic, &Partition), LogError> {
        let topic = self.topic(&of.topic)?;
        let partition = topic.partitions.get(of.partition.0 as usize).ok_or_else(|| LogError::UnknownPartition {
            topic: of.topic.clone(),
            partition: of.partition,
            partitions: topic.config.partitions,
        })?;
        Ok((Place { topic: topic.id, partition: of.partition.0 }, topic, partition))
    }

    pub(super) fn partition(&self, place: Place) -> Option<&Partition> {
        self.topics.get(&place.topic)?.partitions.get(place.partition as usize)
    }

    pub(super) fn has_topic(&self, name: &TopicName) -> bool {
        self.names.contains_key(name)
    }

    /// Where the file of a segment is.
    pub(super) fn segment_path(&self, place: Place, base: u64, generation: u32) -> PathBuf {
        self.topic_dir(place.topic).join(segment_name(place.partition, base, generation))
    }

    fn segment(&self, place: Place, incarnation: u128, meta: SegmentMeta) -> Segment {
        let path = self.segment_path(place, meta.base, meta.generation);
        let tag = partition_tag(incarnation, place.partition);
        Segment { meta, file: Arc::new(SegmentFile::new(Arc::clone(&self.storage), path, tag, meta.base)) }
    }

    /// Takes a step. The error says why the step does not fit, which for a step read from disk means damage.
    pub(super) fn apply(&mut self, change: &Change) -> Result<(), &'static str> {
        match change {
            Change::TopicMade { id, incarnation, name, config } => {
                if self.names.contains_key(name) || self.topics.contains_key(id) {
                    return Err("a topic is made twice");
                }
                if config.partitions == 0 || config.partitions > super::MAX_PARTITIONS {
                    return Err("a topic has an impossible number of partitions");
                }
                let partitions = (0..config.partitions).map(|_| Partition::default()).collect();
                let (name, config, incarnation) = (name.clone(), config.clone(), *incarnation);
                self.names.insert(name.clone(), *id);
                self.topics.insert(*id, Topic { id: *id, name, config, incarnation, partitions });
                self.next_topic_id = self.next_topic_id.max(id + 1);
            }
            Change::TopicDeleted { id } => {
                let topic = self.topics.remove(id).ok_or("a topic is deleted that is not there")?;
                self.names.remove(&topic.name);
                self.groups.retain(|place, _| place.topic != *id);
            }
            Change::Extent { place, base, generation, from, to, end, max_timestamp } => {
                let topic = self.topics.get(&place.topic).ok_or("an extent of no topic")?;
                let incarnation = topic.incarnation;
                let partition = self.partition(*place).ok_or("an extent of no partition")?;
                let fits = match partition.segments.last() {
                    Some(last) if last.meta.base == *base => {
                        last.meta.generation == *generation && last.meta.length == *from && last.meta.end <= *end
                    }
                    _ => *from == 0 && partition.end == *base && base <= end,
                };
                if !fits || to < from {
                    return Err("an extent does not follow the one before");
                }
                let meta = SegmentMeta {
                    base: *base,
                    generation: *generation,
                    length: *to,
                    end: *end,
                    max_timestamp: *max_timestamp,
                    compacted: false,
                    tombstones_since: None,
                };
                let fresh = (*from == 0).then(|| self.segment(*place, incarnation, meta));
                let partition = self.partition_mut(*place).ok_or("an extent of no partition")?;
                partition.end = *end;
                match (fresh, partition.segments.last_mut()) {
                    (Some(segment), _) => partition.segments.push(segment),
                    (None, Some(last)) => {
                        last.meta.length = *to;
                        last.meta.end = *end;
                        last.meta.max_timestamp = last.meta.max_timestamp.max(*max_timestamp);
                    }
                    (None, None) => return Err("an extent of no segment"),
                }
            }
            Change::GroupOffset { group, place, position } => {
                if self.partition(*place).is_none() {
                    return Err("a group offset of no partition");
                }
                self.groups.entry(*place).or_default().insert(group.clone(), position.clone());
            }
            Change::ProducerOpened { name, epoch } => {
                self.producers.insert(name.clone(), *epoch);
            }
            Change::Segments { place, start, end, removed, added } => {
                let topic = self.topics.get(&place.topic).ok_or("segments of no topic")?;
                let incarnation = topic.incarnation;
                let added: Vec<Segment> = added.iter().map(|meta| self.segment(*place, incarnation, *meta)).collect();
                let partition = self.partition_mut(*place).ok_or("segments of no partition")?;
                let before = partition.segments.len();
                partition.segments.retain(|s| !removed.contains(&(s.meta.base, s.meta.generation)));
                if before - partition.segments.len() != removed.len() {
                    return Err("a segment is removed that is not there");
                }
                partition.segments.extend(added);
                partition.segments.sort_by_key(|segment| segment.meta.base);
                partition.start = *start;
                partition.end = *end;
                if partition.segments.windows(2).any(|pair| pair[0].meta.end != pair[1].meta.base) {
                    return Err("segments do not follow each other");
                }
            }
            Change::NextTopicId { id } => self.next_topic_id = *id,
        }
        Ok(())
    }

    fn partition_mut(&mut self, place: Place) -> Option<&mut Partition> {
        self.topics.get_mut(&place.topic)?.partitions.get_mut(place.partition as usize)
    }

    /// The changes that make this state from nothing.
    pub(super) fn snapshot(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        for topic in self.topics.values() {
            changes.push(Change::TopicMade {
                id: topic.id,
                incarnation: topic.incarnation,
                name: topic.name.clone(),
                config: topic.config.clone(),
            });
            for (number, partition) in topic.partitions.iter().enumerate() {
                changes.push(Change::Segments {
                    place: Place { topic: topic.id, partition: number as u32 },
                    start: partition.start,
                    end: partition.end,
                    removed: Vec::new(),
                    added: partition.segments.iter().map(|segment| segment.meta).collect(),
                });
            }
        }
        let mut places: Vec<_> = self.groups.iter().collect();
        places.sort_by_key(|(place, _)| **place);
        for (place, groups) in places {
            for (group, position) in groups {
                let (group, position) = (group.clone(), position.clone());
                changes.push(Change::GroupOffset { group, place: *place, position });
            }
        }
        for (name, epoch) in &self.producers {
            changes.push(Change::ProducerOpened { name: name.clone(), epoch: *epoch });
        }
        changes.push(Change::NextTopicId { id: self.next_topic_id });
        changes
    }
}

/// The file name of a segment; it sorts by partition, then offset.
pub(super) fn segment_name(partition: u32, base: u64, generation: u32) -> String {
    format!("{partition:05}-{base:020}-{generation}.segment")
}
