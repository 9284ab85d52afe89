//! The ids of the messages of the last while: a message with one of them is not taken again.
//!
//! Ids are in the headers of the messages, so nothing is written beside them: when a queue is opened, what the topic has of the window is
//! read. In memory an id is its SHA-256.

use std::collections::{HashMap, VecDeque};

use ring::digest::{SHA256, digest};

use super::{DEDUP_ID, DedupBy, Message, records::header};
use crate::{
    log::{Log, LogError},
    record::{Offset, PartitionId, Timestamp, TopicPartition},
};

/// Most ids that are remembered: about 100 MB.
pub(super) const MAX_IDS: usize = 1_000_000;
const FETCH_BYTES: usize = 1 << 20;

type IdHash = [u8; 32];

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) partition: PartitionId,
    pub(super) offset: Offset,
}

/// Ids with where their messages are.
#[derive(Default)]
pub(super) struct Dedup {
    places: HashMap<IdHash, (i64, Place)>,
    /// In the order in which they are forgotten.
    order: VecDeque<(i64, IdHash)>,
}

impl Dedup {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn find(&self, id: &str) -> Option<Place> {
        self.places.get(&hash(id)).map(|(_, place)| *place)
    }

    /// Remembers the message of an id, sent at `at`.
    pub(super) fn remember(&mut self, id: &str, at: i64, place: Place) {
        let id = hash(id);
        self.places.insert(id, (at, place));
        self.order.push_back((at, id));
    }

    /// Forgets what was sent at `before` or earlier.
    pub(super) fn forget(&mut self, before: i64) {
        while let Some((at, id)) = self.order.front().copied()
            && at <= before
        {
            self.order.pop_front();
            if self.places.get(&id).is_some_and(|(known, _)| *known == at) {
                self.places.remove(&id);
            }
        }
    }

    /// Reads the ids of a partition that were sent after `since`.
    pub(super) fn read(&mut self, log: &dyn Log, partition: &TopicPartition, since: i64) -> Result<(), LogError> {
        let Some(mut next) = log.offset_at(partition, Timestamp(since.saturating_add(1)))? else { return Ok(()) };
        let end = log.end_offset(partition)?;
        while next < end && self.len() < MAX_IDS {
            let fetched = log.fetch(partition, next, FETCH_BYTES)?;
            for batch in &fetched.batches {
                for (row, record) in batch.records.iter().enumerate() {
                    let at = record.timestamp.millis();
                    if let Some(id) = header(&record, DEDUP_ID).filter(|_| at > since) {
                        self.remember(id, at, Place { partition: partition.partition, offset: batch.offsets.at(row) });
                    }
                }
            }
            next = fetched.next;
        }
        Ok(())
    }

    /// Puts ids that were read partition by partition in the order of their times.
    pub(super) fn sort(&mut self) {
        self.order.make_contiguous().sort_unstable();
    }
}

fn hash(id: &str) -> IdHash {
    let mut hash = IdHash::default();
    hash.copy_from_slice(digest(&SHA256, id.as_bytes()).as_ref());
    hash
}

/// What a message is known by; `None` if it is like no other.
pub(super) fn id_of(message: &Message, by: DedupBy) -> Option<String> {
    match (&message.dedup_id, by) {
        (Some(id), _) => Some(id.clone()),
        (None, DedupBy::Id) => None,
        (None, DedupBy::Body) => {
            let hash = digest(&SHA256, message.value.as_deref().unwrap_or_default());
            let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            Some(format!("sha256:{hex}"))
        }
    }
}
