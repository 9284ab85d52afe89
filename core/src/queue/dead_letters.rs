//! Dead letters: messages whose attempts are used up, and their way back.
//!
//! A dead letter is the record with where it was and why it is here in its headers, written in the transaction in which the queue is done
//! with it. Moving it back writes it, without those headers, to the end of the topic and commits how far the dead letters were read, in one
//! transaction as well. Dead letters of other queues in the same topic are passed over.

use std::{collections::BTreeMap, num::NonZeroU32, thread, time::Duration};

use super::{
    Queue, QueueError,
    receive::as_ref,
    records::{Records, header, owned, size_bytes},
    state::State,
};
use crate::{
    log::{Append, GroupOffset, OffsetCommit, Transaction, partition_for_key},
    record::{GroupId, Header, Offset, PartitionId, Record, Timestamp, TopicName, TopicPartition},
};

/// Header of a dead letter: the queue that gave it up.
pub const DEAD_QUEUE: &str = "millstream.queue.name";
/// Header of a dead letter: the topic it was in.
pub const DEAD_TOPIC: &str = "millstream.queue.topic";
/// Header of a dead letter: the partition it was in.
pub const DEAD_PARTITION: &str = "millstream.queue.partition";
/// Header of a dead letter: its offset there.
pub const DEAD_OFFSET: &str = "millstream.queue.offset";
/// Header of a dead letter: how often it was received.
pub const DEAD_ATTEMPTS: &str = "millstream.queue.attempts";
/// Header of a dead letter: why the queue gave it up.
pub const DEAD_REASON: &str = "millstream.queue.reason";

/// How the names of all headers of queues begin.
const OURS: &str = "millstream.queue.";
const FETCH_BYTES: usize = 1 << 20;
/// Dead letters that are moved in one commit, if nothing slows it down.
const AT_ONCE: usize = 1_000;
/// With a rate, there are so many commits a second, unless the rate is lower.
const STEPS_A_SECOND: u32 = 10;

/// What was done with dead letters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Redriven {
    /// How many went back to the topic of the queue.
    pub moved: u64,
    /// How many records of the dead-letter topic were not read yet.
    pub left: u64,
}

impl Queue {
    /// Gives a message up: copies it to the dead letters, and is done with it.
    pub(super) fn bury(&self, state: &mut State, index: usize, offset: u64, reason: &str) -> Result<(), QueueError> {
        let Some(topic) = &self.config.dead_letter else {
            return Err(QueueError::NoDeadLetters { queue: self.config.name.clone() });
        };
        let attempts = state.spans[index].slot(offset).map_or(0, |slot| slot.attempts);
        let mut records = Records::new(self.log.as_ref(), self.partition(index));
        let Some(record) = records.get(offset)? else {
            state.spans[index].finish(offset);
            state.counts.expired += 1;
            return Ok(());
        };
        let letter = self.letter(owned(&record), index, offset, attempts, reason);
        let partitions = self.log.describe_topic(topic)?.config.partitions;
        let partition = match &letter.key {
            Some(key) => partition_for_key(key, partitions),
            None => PartitionId(index as u32 % partitions),
        };
        let append = Append {
            partition: TopicPartition::new(topic.clone(), partition),
            records: [letter].into_iter().collect(),
        };
        state.batch.add(Transaction { appends: vec![append], offsets: Vec::new() });
        state.spans[index].finish(offset);
        state.counts.dead += 1;
        Ok(())
    }

    fn letter(&self, record: Record, index: usize, offset: u64, attempts: u32, reason: &str) -> Record {
        let origin = |reason: &str| {
            [
                (DEAD_QUEUE, self.config.name.clone()),
                (DEAD_TOPIC, self.config.topic.to_string()),
                (DEAD_PARTITION, index.to_string()),
                (DEAD_OFFSET, offset.to_string()),
                (DEAD_ATTEMPTS, attempts.to_string()),
                (DEAD_REASON, reason.to_owned()),
            ]
            .map(|(name, value)| Header { name: name.to_owned(), value: Some(value.into_bytes()) })
        };
        let mut letter = without_ours(record);
        letter.headers.extend(origin(reason));
        if size_bytes(&as_ref(&letter)) > self.log.largest_record() {
            // With where it was it is larger than records may be: then that is what counts, the record is where it was.
            letter.headers =
                origin(&format!("{reason}; the value is left out: it is too large with these headers")).into();
            letter.value = None;
        }
        letter
    }

    /// Moves all dead letters that are there now back to the topic of the queue, where they are new messages; at most `rate` a second.
    /// Returns when they are moved.
    ///
    /// # Errors
    /// [`QueueError::NoDeadLetters`]; [`QueueError::Fenced`], [`QueueError::Stopped`]; those of the log. What was moved until then stays.
    pub fn redrive(&self, rate: Option<NonZeroU32>) -> Result<Redriven, QueueError> {
        let (step, pause) = match rate {
            None => (AT_ONCE, Duration::ZERO),
            Some(rate) => {
                let step = (rate.get() / STEPS_A_SECOND).max(1);
                (step as usize, Duration::from_secs(1) * step / rate.get())
            }
        };
        let ends = self.dead_letter_ends()?;
        let mut moved = 0;
        loop {
            let done = self.redrive_step(step, &ends)?;
            moved += done.moved;
            if done.left == 0 {
                return Ok(Redriven { moved, left: 0 });
            }
            thread::sleep(pause);
        }
    }

    /// Moves up to `limit` dead letters back, in one transaction.
    ///
    /// # Errors
    /// As [`redrive`](Self::redrive).
    pub fn redrive_some(&self, limit: usize) -> Result<Redriven, QueueError> {
        self.redrive_step(limit, &self.dead_letter_ends()?)
    }

    fn redrive_step(&self, limit: usize, ends: &[(TopicPartition, Offset)]) -> Result<Redriven, QueueError> {
        let _one_at_a_time = self.redriving.lock();
        let group = GroupId::new(self.state_topic.as_str()).map_err(crate::log::LogError::from)?;
        let now = Timestamp(self.now(&*self.lock()?));
        let (mut back, mut offsets, mut left) = (Vec::new(), Vec::new(), 0);
        for (partition, end) in ends {
            let committed = self.log.committed(&group, partition)?.map_or(Offset::ZERO, |position| position.next);
            let start = committed.max(self.log.start_offset(partition)?);
            let next = self.dead_letters_from(partition, start, *end, limit, &mut back)?;
            left += end.since(next);
            if next > committed {
                let position = GroupOffset { next, metadata: Vec::new() };
                offsets.push(OffsetCommit { group: group.clone(), partition: partition.clone(), position });
            }
        }
        let moved = back.len() as u64;
        if !offsets.is_empty() {
            let mut state = self.lock()?;
            let mut records = BTreeMap::<u32, Vec<Record>>::new();
            for record in back {
                let record = Record { timestamp: now, ..record };
                records.entry(self.partition_of(&mut state, record.key.as_deref())).or_default().push(record);
            }
            let transaction = Transaction { offsets, ..self.appends(records) };
            self.write(state, transaction)?;
        }
        Ok(Redriven { moved, left })
    }

    /// Collects dead letters of this queue until there are `limit`; says where to read on.
    fn dead_letters_from(
        &self,
        partition: &TopicPartition,
        from: Offset,
        end: Offset,
        limit: usize,
        back: &mut Vec<Record>,
    ) -> Result<Offset, QueueError> {
        let mut next = from;
        while next < end && back.len() < limit {
            let fetched = self.log.fetch(partition, next, FETCH_BYTES)?;
            for batch in &fetched.batches {
                for (row, record) in batch.records.iter().enumerate() {
                    let offset = batch.offsets.at(row);
                    if back.len() == limit || offset >= end {
                        return Ok(offset);
                    }
                    let is_ours = header(&record, DEAD_QUEUE) == Some(&self.config.name)
                        && header(&record, DEAD_TOPIC) == Some(self.config.topic.as_str());
                    if is_ours {
                        back.push(without_ours(owned(&record)));
                    }
                }
            }
            next = fetched.next;
        }
        Ok(next)
    }

    fn dead_letter_ends(&self) -> Result<Vec<(TopicPartition, Offset)>, QueueError> {
        let Some(topic) = &self.config.dead_letter else {
            return Err(QueueError::NoDeadLetters { queue: self.config.name.clone() });
        };
        let partitions = self.log.describe_topic(topic)?.config.partitions;
        let end = |partition| -> Result<(TopicPartition, Offset), QueueError> {
            let partition = TopicPartition::new(TopicName::clone(topic), PartitionId(partition));
            let end = self.log.end_offset(&partition)?;
            Ok((partition, end))
        };
        (0..partitions).map(end).collect()
    }
}

/// A record with the headers of its sender only.
fn without_ours(mut record: Record) -> Record {
    record.headers.retain(|header| !header.name.starts_with(OURS));
    record
}
