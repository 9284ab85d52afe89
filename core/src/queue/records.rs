//! Records of one partition by their offsets, a batch of the log at a time.

use crate::{
    log::{FetchedBatch, Log, LogError, Offsets},
    record::{Offset, Record, RecordRef, TopicPartition},
};

/// Reads single records; those that follow one another come from one fetch.
pub(super) struct Records<'a> {
    log: &'a dyn Log,
    partition: TopicPartition,
    batch: Option<FetchedBatch>,
}

impl<'a> Records<'a> {
    pub(super) fn new(log: &'a dyn Log, partition: TopicPartition) -> Self {
        Self { log, partition, batch: None }
    }

    /// The record at an offset; `None` if there is none, or none any more.
    pub(super) fn get(&mut self, offset: u64) -> Result<Option<RecordRef<'_>>, LogError> {
        let held = self.batch.as_ref().is_some_and(|batch| row_of(batch, offset).is_some());
        if !held {
            self.batch = match self.log.fetch(&self.partition, Offset(offset), 1) {
                Ok(fetched) => fetched.batches.into_iter().next(),
                Err(LogError::OffsetOutOfRange { .. }) => None,
                Err(error) => return Err(error),
            };
        }
        let Some(batch) = &self.batch else { return Ok(None) };
        Ok(row_of(batch, offset).map(|row| batch.records.get(row)))
    }
}

fn row_of(batch: &FetchedBatch, offset: u64) -> Option<usize> {
    match &batch.offsets {
        Offsets::From(base) => {
            let row = usize::try_from(offset.checked_sub(base.0)?).ok()?;
            (row < batch.records.len()).then_some(row)
        }
        Offsets::Each(offsets) => offsets.binary_search(&Offset(offset)).ok(),
    }
}

/// A record of its own.
pub(super) fn owned(record: &RecordRef<'_>) -> Record {
    Record {
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        timestamp: record.timestamp,
        headers: record.headers.to_vec(),
    }
}

/// Bytes of a record with its headers.
pub(super) fn size_bytes(record: &RecordRef<'_>) -> usize {
    let headers = record.headers.iter().map(|header| header.name.len() + header.value.as_ref().map_or(0, Vec::len));
    record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + headers.sum::<usize>()
}

/// The last header of a name as text, if it is there and is text.
pub(super) fn header<'a>(record: &RecordRef<'a>, name: &str) -> Option<&'a str> {
    let found = record.headers.iter().rev().find(|header| header.name == name)?;
    std::str::from_utf8(found.value.as_deref()?).ok()
}
