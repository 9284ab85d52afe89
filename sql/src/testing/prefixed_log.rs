//! A part of a log that looks like a whole one: all names in it begin with a prefix, which its user does not see.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use millstream::{
    log::{
        Append, CommitError, CommitReceipt, Fetched, GroupMember, GroupMembership, GroupOffset, GroupPart,
        GroupSettings, GroupTopology, Log, LogError, OffsetCommit, Producer, SharedLog, TopicConfig, TopicDescription,
        Transaction,
    },
    record::{GroupId, Offset, Timestamp, TopicName, TopicPartition},
};

/// Topics, groups and producers of a log whose names begin with a prefix, without it.
pub(super) struct PrefixedLog {
    log: SharedLog,
    names: Names,
}

#[derive(Clone)]
struct Names {
    prefix: Arc<str>,
}

impl PrefixedLog {
    /// The part of `log` under a prefix, which ends in no letter that names of topics begin with.
    pub(super) fn new(log: SharedLog, prefix: &str) -> Self {
        Self { log, names: Names { prefix: prefix.into() } }
    }
}

impl Names {
    fn topic(&self, topic: &TopicName) -> Result<TopicName, LogError> {
        Ok(TopicName::new(&format!("{}{topic}", self.prefix))?)
    }

    fn partition(&self, partition: &TopicPartition) -> Result<TopicPartition, LogError> {
        Ok(TopicPartition::new(self.topic(&partition.topic)?, partition.partition))
    }

    fn group(&self, group: &GroupId) -> Result<GroupId, LogError> {
        Ok(GroupId::new(&format!("{}{group}", self.prefix))?)
    }

    /// The name that the user knows; none if it is outside.
    fn inner(&self, topic: &TopicName) -> Option<TopicName> {
        TopicName::new(topic.as_str().strip_prefix(&*self.prefix)?).ok()
    }

    fn description(&self, found: TopicDescription) -> Option<TopicDescription> {
        Some(TopicDescription { name: self.inner(&found.name)?, ..found })
    }

    /// The error with the names that the user knows.
    fn error(&self, error: LogError) -> LogError {
        let own = |topic: &TopicName| self.inner(topic).unwrap_or_else(|| topic.clone());
        match error {
            LogError::UnknownTopic { topic } => LogError::UnknownTopic { topic: own(&topic) },
            LogError::TopicExists { topic } => LogError::TopicExists { topic: own(&topic) },
            LogError::UnknownPartition { topic, partition, partitions } => {
                LogError::UnknownPartition { topic: own(&topic), partition, partitions }
            }
            other => other,
        }
    }

    fn topics(&self, topics: &BTreeSet<TopicName>) -> Result<BTreeSet<TopicName>, LogError> {
        topics.iter().map(|topic| self.topic(topic)).collect()
    }

    fn part(&self, part: &GroupPart) -> Result<GroupPart, LogError> {
        let repartitioned = |(topic, count): &(TopicName, u32)| Ok((self.topic(topic)?, *count));
        Ok(GroupPart {
            tasks: part.tasks,
            sources: self.topics(&part.sources)?,
            repartition_sources: part
                .repartition_sources
                .iter()
                .map(repartitioned)
                .collect::<Result<Vec<_>, LogError>>()?,
            repartition_sinks: self.topics(&part.repartition_sinks)?,
            changelogs: self.topics(&part.changelogs)?,
        })
    }

    fn transaction(&self, transaction: Transaction) -> Result<Transaction, LogError> {
        let append = |append: Append| Ok(Append { partition: self.partition(&append.partition)?, ..append });
        let offset = |commit: OffsetCommit| {
            let (group, partition) = (self.group(&commit.group)?, self.partition(&commit.partition)?);
            Ok(OffsetCommit { group, partition, position: commit.position })
        };
        Ok(Transaction {
            appends: transaction.appends.into_iter().map(append).collect::<Result<_, LogError>>()?,
            offsets: transaction.offsets.into_iter().map(offset).collect::<Result<_, LogError>>()?,
        })
    }
}

impl Log for PrefixedLog {
    fn create_topic(&self, topic: &TopicName, config: &TopicConfig) -> Result<(), LogError> {
        self.log.create_topic(&self.names.topic(topic)?, config).map_err(|error| self.names.error(error))
    }

    fn delete_topic(&self, topic: &TopicName) -> Result<(), LogError> {
        self.log.delete_topic(&self.names.topic(topic)?).map_err(|error| self.names.error(error))
    }

    fn describe_topic(&self, topic: &TopicName) -> Result<TopicDescription, LogError> {
        let found = self.log.describe_topic(&self.names.topic(topic)?).map_err(|error| self.names.error(error))?;
        Ok(TopicDescription { name: topic.clone(), ..found })
    }

    fn topics(&self) -> Result<Vec<TopicDescription>, LogError> {
        Ok(self.log.topics()?.into_iter().filter_map(|topic| self.names.description(topic)).collect())
    }

    fn fetch(&self, partition: &TopicPartition, from: Offset, max_bytes: usize) -> Result<Fetched, LogError> {
        self.log.fetch(&self.names.partition(partition)?, from, max_bytes).map_err(|error| self.names.error(error))
    }

    fn start_offset(&self, partition: &TopicPartition) -> Result<Offset, LogError> {
        self.log.start_offset(&self.names.partition(partition)?).map_err(|error| self.names.error(error))
    }

    fn end_offset(&self, partition: &TopicPartition) -> Result<Offset, LogError> {
        self.log.end_offset(&self.names.partition(partition)?).map_err(|error| self.names.error(error))
    }

    fn unsettled_end(&self, partition: &TopicPartition) -> Result<Offset, LogError> {
        self.log.unsettled_end(&self.names.partition(partition)?).map_err(|error| self.names.error(error))
    }

    fn offset_at(&self, partition: &TopicPartition, timestamp: Timestamp) -> Result<Option<Offset>, LogError> {
        self.log.offset_at(&self.names.partition(partition)?, timestamp).map_err(|error| self.names.error(error))
    }

    fn delete_records(&self, partition: &TopicPartition, before: Offset) -> Result<(), LogError> {
        self.log.delete_records(&self.names.partition(partition)?, before).map_err(|error| self.names.error(error))
    }

    fn committed(&self, group: &GroupId, partition: &TopicPartition) -> Result<Option<GroupOffset>, LogError> {
        let (group, partition) = (self.names.group(group)?, self.names.partition(partition)?);
        self.log.committed(&group, &partition).map_err(|error| self.names.error(error))
    }

    fn producer(&self, name: &str) -> Result<Box<dyn Producer>, LogError> {
        let producer = self.log.producer(&format!("{}{name}", self.names.prefix))?;
        Ok(Box::new(PrefixedProducer { producer, names: self.names.clone() }))
    }

    fn exclusive_producer(&self, name: &str) -> Result<Box<dyn Producer>, LogError> {
        let producer = self.log.exclusive_producer(&format!("{}{name}", self.names.prefix))?;
        Ok(Box::new(PrefixedProducer { producer, names: self.names.clone() }))
    }

    fn arrival(&self, partition: &TopicPartition, offset: Offset) -> Option<u64> {
        self.log.arrival(&self.names.partition(partition).ok()?, offset)
    }

    fn largest_record(&self) -> usize {
        self.log.largest_record()
    }

    fn is_shared(&self) -> bool {
        self.log.is_shared()
    }

    fn join_group(&self, settings: GroupSettings) -> Result<Option<Arc<dyn GroupMembership>>, LogError> {
        let parts = settings.topology.parts.iter().map(|part| self.names.part(part)).collect::<Result<_, _>>()?;
        let group = self.names.group(&settings.group)?;
        self.log.join_group(GroupSettings { group, topology: GroupTopology { parts }, ..settings })
    }

    fn wait_for_commit(&self, seen: u64, timeout: Duration) -> u64 {
        self.log.wait_for_commit(seen, timeout)
    }
}

struct PrefixedProducer {
    producer: Box<dyn Producer>,
    names: Names,
}

impl Producer for PrefixedProducer {
    fn commit(&mut self, transaction: Transaction) -> Result<CommitReceipt, CommitError> {
        let transaction = self.names.transaction(transaction).map_err(CommitError::Rejected)?;
        self.producer.commit(transaction)
    }

    fn commit_as(&mut self, member: &GroupMember, transaction: Transaction) -> Result<CommitReceipt, CommitError> {
        let transaction = self.names.transaction(transaction).map_err(CommitError::Rejected)?;
        self.producer.commit_as(member, transaction)
    }
}

#[cfg(test)]
mod tests {
    use millstream::{
        record::{PartitionId, Record},
        testing::MemoryLog,
    };

    use super::*;

    #[test]
    fn names_are_those_of_the_user_inside_and_longer_outside() {
        let whole: SharedLog = Arc::new(MemoryLog::new());
        let part = PrefixedLog::new(Arc::clone(&whole), "t1.");
        let other = PrefixedLog::new(Arc::clone(&whole), "t2.");
        let topic: TopicName = "orders".parse().expect("legal");
        part.create_topic(&topic, &TopicConfig::default()).expect("made");
        let partition = TopicPartition::new(topic.clone(), PartitionId(0));
        let records = [Record::new("k", "v")].into_iter().collect();
        let appends = vec![Append { partition: partition.clone(), records }];
        let group: GroupId = GroupId::new("g").expect("legal");
        let position = GroupOffset { next: Offset(1), metadata: Vec::new() };
        let offsets = vec![OffsetCommit { group: group.clone(), partition: partition.clone(), position }];
        part.producer("p").expect("one").commit(Transaction { appends, offsets }).expect("committed");

        assert_eq!(part.topics().expect("listed")[0].name, topic);
        assert_eq!(whole.topics().expect("listed")[0].name.as_str(), "t1.orders");
        assert!(other.topics().expect("listed").is_empty());
        assert_eq!(part.end_offset(&partition).expect("there"), Offset(1));
        assert_eq!(part.committed(&group, &partition).expect("there").expect("committed").next, Offset(1));
        let error = other.describe_topic(&topic).expect_err("not there").to_string();
        assert!(error.contains("no topic orders;"), "{error}");
    }
}
