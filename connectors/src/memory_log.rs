//! A log in memory for tests of tasks: it commits at once, and can be told to refuse a commit.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use millstream::{
    log::{
        Append, CommitError, CommitReceipt, Fetched, FetchedBatch, GroupOffset, Log, LogError, Offsets, Producer,
        TopicConfig, TopicDescription, Transaction,
    },
    record::{GroupId, Offset, PartitionId, Record, RecordRef, Records, Timestamp, TopicName, TopicPartition},
};
use parking_lot::{Condvar, Mutex};

#[derive(Default)]
struct State {
    topics: BTreeMap<TopicName, (TopicConfig, Vec<Vec<Record>>)>,
    groups: BTreeMap<(GroupId, TopicPartition), GroupOffset>,
    producers: BTreeMap<String, u64>,
    commits: u64,
    /// Commits still allowed before one is refused for good, as by a crash.
    commits_left: Option<u64>,
}

/// Shared by the log and its producers.
#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    committed: Condvar,
}

#[derive(Default)]
pub(crate) struct MemoryLog {
    inner: Arc<Inner>,
}

struct MemoryProducer {
    inner: Arc<Inner>,
    name: String,
    epoch: u64,
}

impl MemoryLog {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// After `commits` more commits the next one fails: the writer "crashes" with work in hand.
    pub(crate) fn crash_after(&self, commits: Option<u64>) {
        self.inner.state.lock().commits_left = commits;
    }

    pub(crate) fn records(&self, topic: &str, partition: u32) -> Vec<Record> {
        let topic = TopicName::new(topic).expect("legal");
        self.inner
            .state
            .lock()
            .topics
            .get(&topic)
            .map(|(_, partitions)| partitions[partition as usize].clone())
            .unwrap_or_default()
    }

    pub(crate) fn append(&self, topic: &str, partition: u32, records: Vec<Record>) {
        let partition = TopicPartition::new(TopicName::new(topic).expect("legal"), PartitionId(partition));
        let append = Append { partition, records: records.into_iter().collect() };
        self.inner.state.lock().apply(Transaction { appends: vec![append], offsets: Vec::new() }).expect("appended");
        self.inner.committed.notify_all();
    }

    fn with_partition<T>(&self, partition: &TopicPartition, read: impl FnOnce(&[Record]) -> T) -> Result<T, LogError> {
        self.inner.state.lock().partition(partition).map(|records| read(records))
    }
}

impl State {
    fn partition(&mut self, partition: &TopicPartition) -> Result<&mut Vec<Record>, LogError> {
        let topic = partition.topic.clone();
        let (config, partitions) =
            self.topics.get_mut(&topic).ok_or(LogError::UnknownTopic { topic: topic.clone() })?;
        let unknown =
            LogError::UnknownPartition { topic, partition: partition.partition, partitions: config.partitions };
        partitions.get_mut(partition.partition.0 as usize).ok_or(unknown)
    }

    fn apply(&mut self, transaction: Transaction) -> Result<CommitReceipt, LogError> {
        for append in &transaction.appends {
            self.partition(&append.partition)?;
        }
        let mut receipt = CommitReceipt::default();
        for Append { partition, records } in transaction.appends {
            let target = self.partition(&partition)?;
            receipt.base_offsets.push(Offset(target.len() as u64));
            target.extend(records.iter().map(owned));
            receipt.end_offsets.push(Offset(target.len() as u64));
        }
        for commit in transaction.offsets {
            self.groups.insert((commit.group, commit.partition), commit.position);
        }
        self.commits += 1;
        Ok(receipt)
    }
}

fn owned(record: RecordRef<'_>) -> Record {
    Record {
        key: record.key.map(Into::into),
        value: record.value.map(Into::into),
        timestamp: record.timestamp,
        headers: record.headers.to_vec(),
    }
}

impl Log for MemoryLog {
    fn create_topic(&self, topic: &TopicName, config: &TopicConfig) -> Result<(), LogError> {
        let mut state = self.inner.state.lock();
        if state.topics.contains_key(topic) {
            return Err(LogError::TopicExists { topic: topic.clone() });
        }
        state.topics.insert(topic.clone(), (config.clone(), vec![Vec::new(); config.partitions as usize]));
        Ok(())
    }

    fn delete_topic(&self, topic: &TopicName) -> Result<(), LogError> {
        self.inner.state.lock().topics.remove(topic).map(|_| ()).ok_or(LogError::UnknownTopic { topic: topic.clone() })
    }

    fn describe_topic(&self, topic: &TopicName) -> Result<TopicDescription, LogError> {
        let found = self.topics()?.into_iter().find(|description| description.name == *topic);
        found.ok_or(LogError::UnknownTopic { topic: topic.clone() })
    }

    fn topics(&self) -> Result<Vec<TopicDescription>, LogError> {
        let describe = |(name, (config, _)): (&TopicName, &(TopicConfig, Vec<Vec<Record>>))| TopicDescription {
            name: name.clone(),
            config: config.clone(),
            incarnation: 1,
        };
        Ok(self.inner.state.lock().topics.iter().map(describe).collect())
    }

    fn fetch(&self, partition: &TopicPartition, from: Offset, max_bytes: usize) -> Result<Fetched, LogError> {
        self.with_partition(partition, |records| {
            let end = Offset(records.len() as u64);
            let count = (max_bytes / 64).clamp(1, 1000).min(end.since(from) as usize);
            // Whole batches, as an engine may bring them: from a little before what was asked for.
            let first = from.0.saturating_sub(2).min(end.0) as usize;
            let next = from.advance(count as u64);
            let records: Records = records[first..next.0 as usize].iter().cloned().collect();
            let batch = FetchedBatch { records, offsets: Offsets::From(Offset(first as u64)) };
            Fetched { batches: if count == 0 { Vec::new() } else { vec![batch] }, next, end }
        })
    }

    fn start_offset(&self, partition: &TopicPartition) -> Result<Offset, LogError> {
        self.with_partition(partition, |_| Offset::ZERO)
    }

    fn end_offset(&self, partition: &TopicPartition) -> Result<Offset, LogError> {
        self.with_partition(partition, |records| Offset(records.len() as u64))
    }

    fn offset_at(&self, partition: &TopicPartition, timestamp: Timestamp) -> Result<Option<Offset>, LogError> {
        self.with_partition(partition, |records| {
            records.iter().position(|record| record.timestamp >= timestamp).map(|offset| Offset(offset as u64))
        })
    }

    fn delete_records(&self, _partition: &TopicPartition, _before: Offset) -> Result<(), LogError> {
        Ok(())
    }

    fn committed(&self, group: &GroupId, partition: &TopicPartition) -> Result<Option<GroupOffset>, LogError> {
        Ok(self.inner.state.lock().groups.get(&(group.clone(), partition.clone())).cloned())
    }

    fn producer(&self, name: &str) -> Result<Box<dyn Producer>, LogError> {
        let mut state = self.inner.state.lock();
        let epoch = state.producers.entry(name.to_owned()).or_default();
        *epoch += 1;
        Ok(Box::new(MemoryProducer { inner: self.inner.clone(), name: name.to_owned(), epoch: *epoch }))
    }

    fn wait_for_commit(&self, seen: u64, timeout: Duration) -> u64 {
        let mut state = self.inner.state.lock();
        if state.commits <= seen {
            self.inner.committed.wait_for(&mut state, timeout);
        }
        state.commits
    }
}

impl Producer for MemoryProducer {
    fn commit(&mut self, transaction: Transaction) -> Result<CommitReceipt, CommitError> {
        let mut state = self.inner.state.lock();
        if state.producers.get(&self.name) != Some(&self.epoch) {
            return Err(CommitError::Fenced { producer: self.name.clone() });
        }
        match &mut state.commits_left {
            Some(0) => return Err(CommitError::Unknown(LogError::Poisoned { cause: "told to crash".into() })),
            Some(left) => *left -= 1,
            None => {}
        }
        let receipt = state.apply(transaction).map_err(CommitError::Rejected)?;
        self.inner.committed.notify_all();
        Ok(receipt)
    }
}
