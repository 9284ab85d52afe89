//! Sending: records with what the queue needs to know in their headers.

use std::{collections::BTreeMap, mem};

use super::{
    DEDUP_ID, Message, Queue, QueueError, Sent, VISIBLE_AT,
    dedup::{Dedup, MAX_IDS, Place, id_of},
    receive::as_ref,
    records::size_bytes,
    state::{State, millis},
};
use crate::{
    log::{Append, Transaction, partition_for_key},
    record::{Header, Offset, PartitionId, Record, Timestamp},
};

/// Where a message will be.
#[derive(Clone, Copy)]
enum Planned {
    /// In the new records of a partition, at this row.
    New(u32, usize),
    /// It is there.
    Known(Place),
    /// Like another one of the same call.
    Like(usize),
}

/// Records by partition.
type ByPartition = BTreeMap<u32, Vec<Record>>;

impl Queue {
    /// Sends a message. It is durable when this returns.
    ///
    /// # Errors
    /// As [`send_all`](Self::send_all).
    pub fn send(&self, message: Message) -> Result<Sent, QueueError> {
        let sent = self.send_all(vec![message])?;
        Ok(*sent.first().expect("one answer for each message"))
    }

    /// Sends messages in one transaction. They are durable when this returns; one answer for each, in order. Messages with one key keep
    /// their order.
    ///
    /// # Errors
    /// [`QueueError::InvalidSetting`] for a delay of more than 12 hours, [`QueueError::TooLarge`], [`QueueError::TooManyIds`]: nothing was sent.
    /// [`QueueError::Fenced`], [`QueueError::Stopped`]: the outcome is not known.
    pub fn send_all(&self, messages: Vec<Message>) -> Result<Vec<Sent>, QueueError> {
        messages
            .iter()
            .filter_map(|message| message.delay)
            .try_for_each(|delay| self.config.check_span("delay", delay))?;
        if self.config.dedup_window.is_none() {
            let (mut state, mut records) = (self.lock()?, ByPartition::new());
            let now = self.now(&state);
            let planned: Result<Vec<_>, _> =
                messages.into_iter().map(|message| self.plan(&mut state, message, now, None, &mut records)).collect();
            return self.write_planned(state, &planned?, records);
        }
        self.send_once(messages)
    }

    /// Sends those messages that were not sent in the dedup window.
    fn send_once(&self, messages: Vec<Message>) -> Result<Vec<Sent>, QueueError> {
        let mut dedup = self.dedup.lock();
        let (mut state, mut records) = (self.lock()?, ByPartition::new());
        let now = self.now(&state);
        self.make_room(&mut dedup, messages.len(), now)?;
        let (mut ids, mut planned) = (BTreeMap::<String, usize>::new(), Vec::with_capacity(messages.len()));
        for (index, message) in messages.into_iter().enumerate() {
            let id = id_of(&message, self.config.dedup_by);
            let known = id.as_deref().and_then(|id| dedup.find(id).map(Planned::Known));
            let like = id.as_ref().and_then(|id| ids.get(id).copied().map(Planned::Like));
            planned.push(match known.or(like) {
                Some(duplicate) => {
                    state.counts.duplicates += 1;
                    duplicate
                }
                None => {
                    ids.extend(id.clone().map(|id| (id, index)));
                    self.plan(&mut state, message, now, id, &mut records)?
                }
            });
        }
        let sent = self.write_planned(state, &planned, records)?;
        for (id, index) in ids {
            let (Sent::At(partition, offset) | Sent::Duplicate(partition, offset)) = sent[index];
            dedup.remember(&id, now, Place { partition, offset });
        }
        Ok(sent)
    }

    fn make_room(&self, dedup: &mut Dedup, messages: usize, now: i64) -> Result<(), QueueError> {
        let window = self.config.dedup_window.unwrap_or_default();
        dedup.forget(now.saturating_sub(millis(window)));
        if dedup.len() + messages > MAX_IDS {
            let (queue, ids) = (self.config.name.clone(), dedup.len());
            return Err(QueueError::TooManyIds { queue, ids, window_ms: window.as_millis() });
        }
        Ok(())
    }

    /// Adds the record of a message to those of its partition.
    fn plan(
        &self,
        state: &mut State,
        message: Message,
        now: i64,
        id: Option<String>,
        records: &mut ByPartition,
    ) -> Result<Planned, QueueError> {
        let Message { key, value, mut headers, delay, dedup_id: _ } = message;
        let header = |name: &str, value: String| Header { name: name.to_owned(), value: Some(value.into_bytes()) };
        headers.extend(delay.map(|delay| header(VISIBLE_AT, now.saturating_add(millis(delay)).to_string())));
        headers.extend(id.map(|id| header(DEDUP_ID, id)));
        let record = Record { key, value, timestamp: Timestamp(now), headers };
        self.check_size(size_bytes(&as_ref(&record)))?;
        let partition = self.partition_of(state, record.key.as_deref());
        let rows = records.entry(partition).or_default();
        rows.push(record);
        Ok(Planned::New(partition, rows.len() - 1))
    }

    /// The partition of a key; records without one take turns.
    pub(super) fn partition_of(&self, state: &mut State, key: Option<&[u8]>) -> u32 {
        let partitions = state.spans.len() as u32;
        match key {
            Some(key) => partition_for_key(key, partitions).0,
            None => {
                state.keyless = state.keyless.wrapping_add(1);
                (state.keyless % u64::from(partitions)) as u32
            }
        }
    }

    fn write_planned(
        &self,
        state: parking_lot::MutexGuard<'_, State>,
        planned: &[Planned],
        records: ByPartition,
    ) -> Result<Vec<Sent>, QueueError> {
        let partitions: Vec<u32> = records.keys().copied().collect();
        let bases: BTreeMap<u32, Offset> = if records.is_empty() {
            BTreeMap::new()
        } else {
            let written = self.write(state, self.appends(records))?;
            partitions.into_iter().zip(written).collect()
        };
        let place = |planned: Planned| match planned {
            Planned::New(partition, row) => Sent::At(PartitionId(partition), bases[&partition].advance(row as u64)),
            Planned::Known(Place { partition, offset }) => Sent::Duplicate(partition, offset),
            Planned::Like(_) => unreachable!("a message is never like one that is like another"),
        };
        Ok(planned
            .iter()
            .map(|plan| match *plan {
                Planned::Like(index) => {
                    let (Sent::At(partition, offset) | Sent::Duplicate(partition, offset)) = place(planned[index]);
                    Sent::Duplicate(partition, offset)
                }
                other => place(other),
            })
            .collect())
    }

    /// Records for the topic of the queue.
    pub(super) fn appends(&self, mut records: ByPartition) -> Transaction {
        let appends = records.iter_mut().map(|(partition, records)| Append {
            partition: self.partition(*partition as usize),
            records: mem::take(records).into_iter().collect(),
        });
        Transaction { appends: appends.collect(), offsets: Vec::new() }
    }
}
