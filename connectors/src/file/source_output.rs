//! The records of one poll of a source that reads rows: by partition, and dead letters.

use std::collections::BTreeMap;

use millstream::{
    log::{Append, partition_for_key},
    record::{PartitionId, RecordRef, RecordsBuilder, Timestamp, TopicName, TopicPartition},
};

/// Collects the records of one poll.
pub(crate) struct SourceOutput {
    partitions: u32,
    builders: BTreeMap<PartitionId, RecordsBuilder>,
    dead_letters: RecordsBuilder,
    rows: usize,
    bytes: usize,
}

impl SourceOutput {
    pub(crate) fn new(partitions: u32) -> Self {
        Self { partitions, builders: BTreeMap::new(), dead_letters: RecordsBuilder::default(), rows: 0, bytes: 0 }
    }

    /// Rows so far, rejected ones too.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a record. One with a key goes where Kafka's Java client would put it; `keyless` counts the others, which go round.
    pub(crate) fn push(&mut self, key: Option<&[u8]>, value: &[u8], timestamp: Timestamp, keyless: &mut u64) {
        let partition = match key {
            Some(key) => partition_for_key(key, self.partitions),
            None => PartitionId((*keyless % u64::from(self.partitions)) as u32),
        };
        *keyless += u64::from(key.is_none());
        self.rows += 1;
        self.bytes += key.map_or(0, <[u8]>::len) + value.len();
        let record = RecordRef { key, value: Some(value), timestamp, headers: &[] };
        self.builders.entry(partition).or_default().push(record);
    }

    /// Adds a dead letter.
    pub(crate) fn reject(&mut self, record: RecordRef<'_>) {
        self.rows += 1;
        self.bytes += record.value.map_or(0, <[u8]>::len);
        self.dead_letters.push(record);
    }

    /// The records, and how many of them are dead letters.
    pub(crate) fn finish(mut self, topic: &TopicName, dead_letters: &TopicName) -> (Vec<Append>, u64) {
        let rejected = self.dead_letters.len() as u64;
        let mut appends: Vec<Append> = self
            .builders
            .into_iter()
            .map(|(partition, mut builder)| Append {
                partition: TopicPartition::new(topic.clone(), partition),
                records: builder.finish(),
            })
            .collect();
        if rejected > 0 {
            let partition = TopicPartition::new(dead_letters.clone(), PartitionId(0));
            appends.push(Append { partition, records: self.dead_letters.finish() });
        }
        (appends, rejected)
    }
}
