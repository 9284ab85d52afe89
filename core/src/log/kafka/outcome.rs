//! Whether a transaction was committed, found out by looking.
//!
//! To be asked when the transaction is settled: after a producer of the same transactional id was opened, which waits for that, or after one
//! fenced us. Then its records are there for readers, or they are passed over; and a position that it moved is where it put it, or where it was.

use std::{collections::HashMap, sync::Arc, thread, time::Duration};

use super::{clock::Deadline, cluster::Cluster, native::Delivery, readers::Readers};
use crate::{
    log::{GroupOffset, LogError, OffsetCommit, Transaction},
    record::{GroupId, Offset, TopicPartition},
};

/// How long other transactions may hide the records from readers.
const VISIBLE: Duration = Duration::from_secs(60);

/// Looks outcomes up for one producer.
pub(super) struct Outcomes {
    cluster: Arc<Cluster>,
    readers: Arc<Readers>,
    /// The positions that this producer committed last.
    last: HashMap<(GroupId, TopicPartition), GroupOffset>,
}

impl Outcomes {
    /// Knows of no commit yet.
    pub(super) fn new(cluster: Arc<Cluster>, readers: Arc<Readers>) -> Self {
        Self { cluster, readers, last: HashMap::new() }
    }

    /// These were committed.
    pub(super) fn remember(&mut self, offsets: &[OffsetCommit]) {
        for OffsetCommit { group, partition, position } in offsets {
            self.last.insert((group.clone(), partition.clone()), position.clone());
        }
    }

    /// Whether a transaction was committed; `None` if nothing tells.
    pub(super) fn was_committed(
        &self,
        transaction: &Transaction,
        deliveries: &[Option<Delivery>],
    ) -> Result<Option<bool>, LogError> {
        let mut appends = transaction.appends.iter().zip(deliveries);
        let known = appends.find_map(|(append, delivery)| {
            let base = delivery.as_ref()?.base;
            (base >= 0).then_some((&append.partition, Offset(base.unsigned_abs())))
        });
        match known {
            Some((partition, offset)) => self.is_visible(partition, offset).map(Some),
            None => self.have_moved(&transaction.offsets),
        }
    }

    /// Whether readers get the record at an offset, or one behind it first.
    fn is_visible(&self, partition: &TopicPartition, offset: Offset) -> Result<bool, LogError> {
        let deadline = Deadline::after(VISIBLE);
        loop {
            match self.readers.fetch(partition, offset, 1) {
                Ok(fetched) => {
                    if let Some(batch) = fetched.batches.first() {
                        return Ok(batch.offsets.at(0) == offset);
                    }
                    if fetched.next > offset {
                        return Ok(false);
                    }
                }
                Err(LogError::Remote { transient: true, .. }) => {}
                Err(error) => return Err(error),
            }
            if deadline.is_over() {
                return Err(self
                    .cluster
                    .problem(format!("read {partition} from offset {offset}"), "it is not decided"));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether positions are where the transaction put them. One that it did not move tells nothing.
    fn have_moved(&self, offsets: &[OffsetCommit]) -> Result<Option<bool>, LogError> {
        let mut moved = Vec::new();
        for commit in offsets {
            let key = (commit.group.clone(), commit.partition.clone());
            let before = self.last.get(&key);
            if before.is_none_or(|before| *before == commit.position) {
                continue;
            }
            let now = self.cluster_position(&commit.group, &commit.partition)?;
            match now {
                Some(now) if now == commit.position => moved.push(true),
                now if now.as_ref() == before => moved.push(false),
                // Somebody else has moved it since.
                _ => return Ok(None),
            }
        }
        match (moved.contains(&true), moved.contains(&false)) {
            (true, false) => Ok(Some(true)),
            (false, true) => Ok(Some(false)),
            _ => Ok(None),
        }
    }

    fn cluster_position(&self, group: &GroupId, partition: &TopicPartition) -> Result<Option<GroupOffset>, LogError> {
        positions(&self.cluster, group, std::slice::from_ref(partition)).map(|mut found| found.pop().flatten())
    }

    /// The end of a partition, as far as the leader knows; 0 if it does not answer.
    pub(super) fn end(&self, partition: &TopicPartition) -> Offset {
        self.readers.end(partition).unwrap_or_default()
    }
}

/// How far a group has read in each of these partitions, when no open transaction can change it any more.
pub(super) fn positions(
    cluster: &Cluster,
    group: &GroupId,
    partitions: &[TopicPartition],
) -> Result<Vec<Option<GroupOffset>>, LogError> {
    cluster.positions.of(group, partitions)
}
