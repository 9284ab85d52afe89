//! The test driver: a whole topology in the caller's thread, record by record.
//!
//! As Kafka Streams' driver it commits after each record, so that every update is seen; unlike it, it runs the very tasks, partitions,
//! commits and repartition topics that [`Streams`](crate::runtime::Streams) runs.

use std::{collections::HashMap, sync::Arc};

use arrow::array::RecordBatch;

use super::MemoryLog;
use crate::{
    log::{Append, CommitError, Log, LogError, Producer, TopicConfig, Transaction, partition_for_key},
    operator::EmitPolicy,
    query::QueryError,
    record::{InvalidName, Offset, PartitionId, Record, Records, TopicName, TopicPartition},
    runtime::{Metrics, StreamsError, SynchronousStreams},
    topology::{NodeKind, SinkNode, SourceNode, TopicRef, Topology},
};

const APPLICATION: &str = "test-driver";

/// Why the driver could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// A task failed.
    #[error(transparent)]
    Streams(#[from] StreamsError),
    /// A topic is not there.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A commit failed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A name that cannot be.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A view cannot be read.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The topology has no store of that name.
    #[error("there is no store `{name}`")]
    UnknownStore {
        /// The name asked for.
        name: String,
    },
}

/// Runs a topology for a test.
pub struct TopologyTestDriver {
    log: MemoryLog,
    producer: Box<dyn Producer>,
    topology: Topology,
    emit: EmitPolicy,
    streams: SynchronousStreams,
    read: HashMap<TopicPartition, Offset>,
    paused: bool,
}

impl TopologyTestDriver {
    /// A driver with one partition a topic, every update passed on.
    ///
    /// # Errors
    /// If the topology cannot be run.
    pub fn new(topology: &Topology) -> Result<Self, DriverError> {
        Self::with(topology, 1, EmitPolicy::Record)
    }

    /// A driver with so many partitions a topic and this emit policy.
    ///
    /// # Errors
    /// If the topology cannot be run.
    pub fn with(topology: &Topology, partitions: u32, emit: EmitPolicy) -> Result<Self, DriverError> {
        let log = MemoryLog::new();
        let globals = topology.globals().iter().map(|table| &table.source.topic);
        let read_or_written = topology.nodes().iter().filter_map(|node| match &node.kind {
            NodeKind::Source(SourceNode { topic, .. }) | NodeKind::Sink(SinkNode { topic, .. }) => Some(topic),
            _ => None,
        });
        for topic in read_or_written.chain(globals) {
            let TopicRef::External(topic) = topic else { continue };
            match log.create_topic(topic, &TopicConfig { partitions, ..TopicConfig::default() }) {
                Ok(()) | Err(LogError::TopicExists { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let streams = SynchronousStreams::new(topology, APPLICATION, Arc::new(log.clone()), emit)?;
        let producer = log.producer("test-input")?;
        let topology = topology.clone();
        Ok(Self { log, producer, topology, emit, streams, read: HashMap::new(), paused: false })
    }

    /// Writes a record to `topic`, to the partition of its key, and runs until there is nothing left to do.
    ///
    /// # Errors
    /// If there is no such topic, or a task fails.
    pub fn push(&mut self, topic: &str, record: Record) -> Result<(), DriverError> {
        self.push_all(topic, [record])
    }

    /// Writes records to `topic` at once, then runs until there is nothing left to do.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn push_all(&mut self, topic: &str, records: impl IntoIterator<Item = Record>) -> Result<(), DriverError> {
        let topic = TopicName::new(topic)?;
        let partitions = self.log.describe_topic(&topic)?.config.partitions;
        let mut transaction = Transaction::default();
        for record in records {
            let partition = record.key.as_ref().map_or(PartitionId(0), |key| partition_for_key(key, partitions));
            let partition = TopicPartition::new(topic.clone(), partition);
            transaction.appends.push(Append { partition, records: Records::from_iter([record]) });
        }
        self.producer.commit(transaction)?;
        if self.paused {
            return Ok(());
        }
        Ok(self.streams.run_until_idle()?)
    }

    /// Lets records pile up, so that several inputs are there before any is processed.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Processes what has piled up, and from now on every record at once.
    ///
    /// # Errors
    /// If a task fails.
    pub fn resume(&mut self) -> Result<(), DriverError> {
        self.paused = false;
        Ok(self.streams.run_until_idle()?)
    }

    /// Processes what has piled up record by record, in the order in which it was pushed to whatever topic, and from now on every record at
    /// once.
    ///
    /// # Errors
    /// If a task fails.
    pub fn resume_in_order_of_arrival(&mut self) -> Result<(), DriverError> {
        self.paused = false;
        Ok(self.streams.run_in_order_of_arrival()?)
    }

    /// Starts anew from what is committed: state comes back from the changelogs.
    ///
    /// # Errors
    /// If state cannot be restored.
    pub fn restart(&mut self) -> Result<(), DriverError> {
        self.streams = SynchronousStreams::new(&self.topology, APPLICATION, Arc::new(self.log.clone()), self.emit)?;
        Ok(())
    }

    /// The records of `topic` that were not drained yet, partition by partition.
    ///
    /// # Errors
    /// If there is no such topic.
    pub fn drain(&mut self, topic: &str) -> Result<Vec<Record>, DriverError> {
        let topic = TopicName::new(topic)?;
        let mut records = Vec::new();
        for partition in 0..self.log.describe_topic(&topic)?.config.partitions {
            let partition = TopicPartition::new(topic.clone(), PartitionId(partition));
            let next = self.read.entry(partition.clone()).or_default();
            let fetched = self.log.fetch(&partition, *next, usize::MAX)?;
            *next = fetched.next;
            for record in fetched.batches.iter().flat_map(|batch| batch.records.iter()) {
                records.push(Record {
                    key: record.key.map(Into::into),
                    value: record.value.map(Into::into),
                    timestamp: record.timestamp,
                    headers: record.headers.to_vec(),
                });
            }
        }
        Ok(records)
    }

    /// Every row of a store, as columns.
    ///
    /// # Errors
    /// If there is no such store or it cannot be read.
    pub fn view(&self, store: &str) -> Result<Vec<RecordBatch>, DriverError> {
        let view = self.streams.view(store).ok_or_else(|| DriverError::UnknownStore { name: store.to_owned() })?;
        let mut batches = Vec::new();
        view.snapshot()?.scan(8192, &mut |batch| {
            batches.push(batch);
            Ok(())
        })?;
        Ok(batches)
    }

    /// Records that could not be processed, with headers that say why.
    ///
    /// # Errors
    /// As [`drain`](Self::drain).
    pub fn dead_letters(&mut self) -> Result<Vec<Record>, DriverError> {
        self.drain(&format!("{APPLICATION}-dead-letter"))
    }

    /// What was done so far.
    pub fn metrics(&self) -> Metrics {
        self.streams.metrics()
    }
}
