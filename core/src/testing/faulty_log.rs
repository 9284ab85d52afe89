//! A log whose next commit can be made to fail, with or without having been written: where crashes and failing logs come from.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::MemoryLog;
use crate::{
    log::{
        CommitError, CommitReceipt, Fetched, GroupOffset, Log, LogError, Producer, TopicConfig, TopicDescription,
        Transaction,
    },
    record::{GroupId, Offset, Timestamp, TopicName, TopicPartition},
};

/// What becomes of the next commit.
///
/// ```
/// use millstream::testing::CommitFault;
///
/// assert_ne!(CommitFault::Rejected, CommitFault::UnknownAndWritten);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitFault {
    /// The log refuses it: nothing is written, and the error says so.
    Rejected,
    /// Nothing is written, but the error leaves that open.
    UnknownAndLost,
    /// It is written, but the error leaves that open.
    UnknownAndWritten,
}

/// A log that all share, and the fault that waits for the next commit of one of its producers.
#[derive(Clone)]
pub(super) struct FaultyLog {
    log: MemoryLog,
    next: Arc<Mutex<Option<CommitFault>>>,
}

impl FaultyLog {
    pub(super) fn new(log: MemoryLog) -> Self {
        Self { log, next: Arc::default() }
    }

    /// Lets the next commit fail, or no longer.
    pub(super) fn set_fault(&self, fault: Option<CommitFault>) {
        *self.next.lock() = fault;
    }

    /// The fault that still waits.
    pub(super) fn fault(&self) -> Option<CommitFault> {
        *self.next.lock()
    }
}

struct FaultyProducer {
    producer: Box<dyn Producer>,
    next: Arc<Mutex<Option<CommitFault>>>,
}

impl Producer for FaultyProducer {
    fn commit(&mut self, transaction: Transaction) -> Result<CommitReceipt, CommitError> {
        let fault = self.next.lock().take();
        let cause = || LogError::Poisoned { cause: "a fault that the test asked for".to_owned() };
        match fault {
            None => self.producer.commit(transaction),
            Some(CommitFault::Rejected) => Err(CommitError::Rejected(cause())),
            Some(CommitFault::UnknownAndLost) => Err(CommitError::Unknown(cause())),
            Some(CommitFault::UnknownAndWritten) => {
                self.producer.commit(transaction)?;
                Err(CommitError::Unknown(cause()))
            }
        }
    }
}

impl Log for FaultyLog {
    fn create_topic(&self, topic: &TopicName, config: &TopicConfig) -> Result<(), LogError> {
        self.log.create_topic(topic, config)
    }

    fn delete_topic(&self, topic: &TopicName) -> Result<(), LogError> {
        self.log.delete_topic(topic)
    }

    fn describe_topic(&self, topic: &TopicName) -> Result<TopicDescription, LogError> {
        self.log.describe_topic(topic)
    }

    fn topics(&self) -> Result<Vec<TopicDescription>, LogError> {
        self.log.topics()
    }

    fn fetch(&self, partition: &TopicPartition, from: Offset, max_bytes: usize) -> Result<Fetched, LogError> {
        self.log.fetch(partition, from, max_bytes)
    }

    fn start_offset(&self, partition: &TopicPartition) -> Result<Offset, LogError> {
        self.log.start_offset(partition)
    }

    fn end_offset(&self, partition: &TopicPartition) -> Result<Offset, LogError> {
        self.log.end_offset(partition)
    }

    fn offset_at(&self, partition: &TopicPartition, timestamp: Timestamp) -> Result<Option<Offset>, LogError> {
        self.log.offset_at(partition, timestamp)
    }

    fn delete_records(&self, partition: &TopicPartition, before: Offset) -> Result<(), LogError> {
        self.log.delete_records(partition, before)
    }

    fn committed(&self, group: &GroupId, partition: &TopicPartition) -> Result<Option<GroupOffset>, LogError> {
        self.log.committed(group, partition)
    }

    fn producer(&self, name: &str) -> Result<Box<dyn Producer>, LogError> {
        Ok(Box::new(FaultyProducer { producer: self.log.producer(name)?, next: Arc::clone(&self.next) }))
    }

    fn arrival(&self, partition: &TopicPartition, offset: Offset) -> Option<u64> {
        self.log.arrival(partition, offset)
    }

    fn wait_for_commit(&self, seen: u64, timeout: Duration) -> u64 {
        self.log.wait_for_commit(seen, timeout)
    }
}
