//! A log in memory: the contract of [`Log`] without a disk.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use crate::{
    log::{
        CommitError, CommitReceipt, Fetched, FetchedBatch, GroupOffset, Log, LogError, Offsets, Producer, TopicConfig,
        TopicDescription, Transaction,
    },
    record::{GroupId, Offset, Records, Timestamp, TopicName, TopicPartition},
};

/// Topics in memory. Cloning shares them. Nothing is ever compacted or removed.
///
/// ```
/// # use millstream::{record::{Offset, PartitionId, Record, TopicPartition}, log::{Append, Log, Transaction}, testing::MemoryLog};
/// let log = MemoryLog::new();
/// log.create_topic(&"orders".parse()?, &Default::default())?;
/// let partition = TopicPartition::new("orders".parse()?, PartitionId(0));
/// let records = [Record::new("ada", "tea")].into_iter().collect();
/// let appends = vec![Append { partition: partition.clone(), records }];
/// log.producer("till")?.commit(Transaction { appends, offsets: vec![] })?;
/// assert_eq!(log.end_offset(&partition)?, Offset(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct MemoryLog {
    shared: Arc<Shared>,
    largest_record: Option<usize>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    committed: Condvar,
}

#[derive(Default)]
struct State {
    topics: BTreeMap<TopicName, Topic>,
    offsets: HashMap<(GroupId, TopicPartition), GroupOffset>,
    epochs: HashMap<String, u64>,
    commits: u64,
    appends: u64,
    topics_made: u128,
}

struct Topic {
    config: TopicConfig,
    incarnation: u128,
    partitions: Vec<Vec<Appended>>,
}

/// The records of one append, and its place among all appends to the log.
#[derive(Clone)]
struct Appended {
    base: Offset,
    records: Records,
    arrival: u64,
}

impl Appended {
    fn end(&self) -> Offset {
        self.base.advance(self.records.len() as u64)
    }
}

impl Topic {
    fn end(&self, partition: usize) -> Offset {
        self.partitions[partition].last().map_or(Offset::ZERO, Appended::end)
    }
}

impl MemoryLog {
    /// An empty log.
    ///
    /// ```
    /// # use millstream::{log::Log, testing::MemoryLog};
    /// assert!(MemoryLog::new().topics().is_ok_and(|topics| topics.is_empty()));
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// The same log, refusing records of more bytes, as an engine does whose records have a largest size.
    ///
    /// ```
    /// # use millstream::{log::Log, testing::MemoryLog};
    /// assert_eq!(MemoryLog::new().with_largest_record(1_000).largest_record(), 1_000);
    /// ```
    pub fn with_largest_record(self, bytes: usize) -> Self {
        Self { largest_record: Some(bytes), ..self }
    }
}

impl State {
    fn topic(&self, topic: &TopicName) -> Result<&Topic, LogError> {
        self.topics.get(topic).ok_or_else(|| LogError::UnknownTopic { topic: topic.clone() })
    }

    fn partition(&self, partition: &TopicPartition) -> Result<(&Topic, usize), LogError> {
        let topic = self.topic(&partition.topic)?;
        if partition.partition.0 >= topic.config.partitions {
            return Err(LogError::UnknownPartition {
                topic: partition.topic.clone(),
                partition: partition.partition,
                partitions: topic.config.partitions,
            });
        }
        Ok((topic, partition.partition.0 as usize))
    }
}

impl Log for MemoryLog {
    fn largest_record(&self) -> usize {
        self.largest_record.unwrap_or(usize::MAX)
    }

    fn create_topic(&self, topic: &TopicName, config: &TopicConfig) -> Result<(), LogError> {
        let mut state = self.shared.state.lock();
        if state.topics.contains_key(topic) {
            return Err(LogError::TopicExists { topic: topic.clone() });
        }
        if config.partitions == 0 {
            let problem = "must be at least 1".to_owned();
            return Err(LogError::InvalidTopic { topic: topic.clone(), setting: "partitions", problem });
        }
        state.topics_made += 1;
        let made = Topic {
            config: config.clone(),
            incarnation: state.topics_made,
            partitions: vec![Vec::new(); config.partitions as usize],
        };
        state.topics.insert(topic.clone(), made);
        Ok(())
    }

    fn delete_topic(&self, topic: &TopicName) -> Result<(), LogError> {
        let mut state = self.shared.state.lock();
        state.topic(topic)?;
        state.topics.remove(topic);
        state.offsets.retain(|(_, partition), _| partition.topic != *topic);
        Ok(())
    }

    fn describe_topic(&self, topic: &TopicName) -> Result<TopicDescription, LogError> {
        let state = self.shared.state.lock();
        let found = state.topic(topic)?;
        Ok(TopicDescription { name: topic.clone(), config: found.config.clone(), incarnation: found.incarnation })
    }

    fn topics(&self) -> Result<Vec<TopicDescription>, LogError> {
        let names: Vec<TopicName> = self.shared.state.lock().topics.keys().cloned().collect();
        names.iter().map(|name| self.describe_topic(name)).collect()
    }

    fn fetch(&self, partition: &TopicPartition, from: Offset, max_bytes: usize) -> Result<Fetched, LogError> {
        let state = self.shared.state.lock();
        let (topic, index) = state.partition(partition)?;
        let end = topic.end(index);
        if from > end {
            return Err(LogError::OffsetOutOfRange {
                partition: partition.clone(),
                wanted: from,
                start: Offset::ZERO,
                end,
            });
        }
        let (mut batches, mut next, mut bytes) = (Vec::new(), from, 0);
        for appended in &topic.partitions[index] {
            let Appended { base, records, .. } = appended;
            let after = appended.end();
            if after <= from || (bytes >= max_bytes && !batches.is_empty()) {
                continue;
            }
            let skipped = from.since(*base) as usize;
            let records = records.slice(skipped, records.len() - skipped);
            bytes += records.payload_bytes();
            batches.push(FetchedBatch { records, offsets: Offsets::From(base.advance(skipped as u64)) });
            next = after;
        }
        Ok(Fetched { batches, next, end })
    }

    fn start_offset(&self, partition: &TopicPartition) -> Result<Offset, LogError> {
        self.shared.state.lock().partition(partition).map(|_| Offset::ZERO)
    }

    fn end_offset(&self, partition: &TopicPartition) -> Result<Offset, LogError> {
        let state = self.shared.state.lock();
        let (topic, index) = state.partition(partition)?;
        Ok(topic.end(index))
    }

    fn offset_at(&self, partition: &TopicPartition, timestamp: Timestamp) -> Result<Option<Offset>, LogError> {
        let state = self.shared.state.lock();
        let (topic, index) = state.partition(partition)?;
        let mut rows = topic.partitions[index].iter().flat_map(|Appended { base, records, .. }| {
            records.timestamps().values().iter().enumerate().map(|(row, &time)| (base.advance(row as u64), time))
        });
        Ok(rows.find(|(_, time)| *time >= timestamp.millis()).map(|(offset, _)| offset))
    }

    fn delete_records(&self, partition: &TopicPartition, _before: Offset) -> Result<(), LogError> {
        self.shared.state.lock().partition(partition).map(|_| ())
    }

    fn committed(&self, group: &GroupId, partition: &TopicPartition) -> Result<Option<GroupOffset>, LogError> {
        Ok(self.shared.state.lock().offsets.get(&(group.clone(), partition.clone())).cloned())
    }

    fn producer(&self, name: &str) -> Result<Box<dyn Producer>, LogError> {
        let mut state = self.shared.state.lock();
        let epoch = state.epochs.entry(name.to_owned()).or_default();
        *epoch += 1;
        Ok(Box::new(MemoryProducer { log: self.clone(), name: name.to_owned(), epoch: *epoch }))
    }

    fn arrival(&self, partition: &TopicPartition, offset: Offset) -> Option<u64> {
        let state = self.shared.state.lock();
        let (topic, index) = state.partition(partition).ok()?;
        let appends = &topic.partitions[index];
        appends.get(appends.partition_point(|appended| appended.end() <= offset)).map(|appended| appended.arrival)
    }

    fn wait_for_commit(&self, seen: u64, timeout: Duration) -> u64 {
        let mut state = self.shared.state.lock();
        if state.commits <= seen {
            self.shared.committed.wait_for(&mut state, timeout);
        }
        state.commits
    }
}

struct MemoryProducer {
    log: MemoryLog,
    name: String,
    epoch: u64,
}

impl Producer for MemoryProducer {
    fn commit(&mut self, transaction: Transaction) -> Result<CommitReceipt, CommitError> {
        let mut state = self.log.shared.state.lock();
        if state.epochs.get(&self.name) != Some(&self.epoch) {
            return Err(CommitError::Fenced { producer: self.name.clone() });
        }
        // Everything is checked before anything is changed.
        let appended = transaction.appends.iter().map(|append| &append.partition);
        for partition in appended.chain(transaction.offsets.iter().map(|offset| &offset.partition)) {
            state.partition(partition).map_err(CommitError::Rejected)?;
        }
        let mut receipt = CommitReceipt::default();
        let mut touched = Vec::with_capacity(transaction.appends.len());
        for append in transaction.appends {
            state.appends += 1;
            let arrival = state.appends;
            let index = append.partition.partition.0 as usize;
            if let Some(topic) = state.topics.get_mut(&append.partition.topic) {
                let base = topic.end(index);
                receipt.base_offsets.push(base);
                if !append.records.is_empty() {
                    topic.partitions[index].push(Appended { base, records: append.records, arrival });
                }
                touched.push(append.partition);
            }
        }
        for partition in touched {
            let (topic, index) = state.partition(&partition).map_err(CommitError::Rejected)?;
            receipt.end_offsets.push(topic.end(index));
        }
        for offset in transaction.offsets {
            state.offsets.insert((offset.group, offset.partition), offset.position);
        }
        state.commits += 1;
        drop(state);
        self.log.shared.committed.notify_all();
        Ok(receipt)
    }
}
