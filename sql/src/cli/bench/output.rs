//! What a query has written: the final table in its topic, as a number of rows and a hash.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef},
    datatypes::FieldRef,
};
use millstream::{
    format::{Deserializer, Side},
    log::{FetchedBatch, SharedLog},
    record::{PartitionId, TopicName, TopicPartition},
    schema::WindowKind,
    window::{SplitKeys, split_keys},
};

use super::table_hash::row_hashes;
use crate::{catalog::Source, cli::failure::Failure, planner::input, syntax::ast::SourceKind};

const FETCH_BYTES: usize = 8 << 20;

/// The final table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FinalTable {
    /// Records in the topic: every update.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Rows of the table, or of the stream.
    pub rows: u64,
    /// Their hash; see [`table_hash`](super::table_hash).
    pub hash: u64,
}

/// Reads the topic of `source` from its start.
///
/// # Errors
/// If something in it cannot be read.
pub fn final_table(log: &SharedLog, source: &Source) -> Result<FinalTable, Failure> {
    let topic = TopicName::new(&source.topic).map_err(|error| Failure::Refused(error.to_string()))?;
    let partitions = log.describe_topic(&topic)?.config.partitions;
    let mut reader = Reader::new(source)?;
    let mut found = FinalTable::default();
    for partition in 0..partitions {
        let place = TopicPartition::new(topic.clone(), PartitionId(partition));
        let mut newest: HashMap<u64, u64> = HashMap::new();
        let (mut next, end) = (log.start_offset(&place)?, log.end_offset(&place)?);
        while next < end {
            let fetched = log.fetch(&place, next, FETCH_BYTES)?;
            for batch in &fetched.batches {
                found.records += batch.records.len() as u64;
                found.bytes += (batch.records.payload_bytes() - 8 * batch.records.len()) as u64;
                reader.read(batch, &mut newest, &mut found)?;
            }
            next = fetched.next;
        }
        found.rows += newest.len() as u64;
        found.hash = newest.values().fold(found.hash, |sum, hash| sum.wrapping_add(*hash));
    }
    Ok(found)
}

/// Decodes records into the columns that are hashed.
struct Reader {
    is_table: bool,
    window: WindowKind,
    key: Box<dyn Deserializer>,
    value: Box<dyn Deserializer>,
    hasher: RandomState,
}

impl Reader {
    fn new(source: &Source) -> Result<Self, Failure> {
        let refuse = |error: &dyn std::fmt::Display| Failure::Refused(format!("{}: {error}", source.name));
        let formats = input::formats(source);
        let key: Vec<FieldRef> = source.key_columns().map(input::field).collect();
        let value: Vec<FieldRef> = source.value_columns().map(input::field).collect();
        let all = |fields: &[FieldRef]| (0..fields.len()).collect::<Vec<_>>();
        Ok(Self {
            is_table: source.kind == SourceKind::Table,
            window: input::window(source),
            key: formats
                .key
                .deserializer(Side::Key, formats.wrapping, &key, &all(&key))
                .map_err(|error| refuse(&error))?,
            value: formats
                .value
                .deserializer(Side::Value, formats.wrapping, &value, &all(&value))
                .map_err(|error| refuse(&error))?,
            hasher: RandomState::new(),
        })
    }

    fn read(
        &mut self,
        batch: &FetchedBatch,
        newest: &mut HashMap<u64, u64>,
        found: &mut FinalTable,
    ) -> Result<(), Failure> {
        let records = &batch.records;
        let split = self.window.is_windowed().then(|| split_keys(self.window, records.keys()));
        if split.as_ref().is_some_and(|split| !split.broken.is_empty()) {
            return Err(Failure::Refused("a key has no window".to_owned()));
        }
        let keys = split.as_ref().map_or(records.keys(), |split| &split.keys);
        let (key, value) = (self.key.decode(keys), self.value.decode(records.values()));
        if let Some(failure) = key.failure.as_ref().or(value.failure.as_ref()) {
            return Err(Failure::Refused(failure.to_string()));
        }
        if let Some(error) = key.errors.first().or(value.errors.first()) {
            return Err(Failure::Refused(format!("offset {}: {}", batch.offsets.at(error.row).0, error.problem)));
        }
        let mut columns = key.columns;
        if let Some(SplitKeys { starts, ends, .. }) = split {
            columns.extend([Arc::new(starts) as ArrayRef, Arc::new(ends)]);
        }
        columns.extend(value.columns);
        let hashes = row_hashes(&columns, records.len()).map_err(|error| Failure::Refused(error.to_string()))?;
        if !self.is_table {
            found.rows += hashes.len() as u64;
            found.hash = hashes.iter().fold(found.hash, |sum, hash| sum.wrapping_add(*hash));
            return Ok(());
        }
        for (row, key) in records.keys().iter().enumerate() {
            // A hash stands for the key itself: memory for hundreds of millions of keys is better used.
            let key = self.hasher.hash_one(key);
            if records.values().is_null(row) {
                newest.remove(&key);
            } else {
                newest.insert(key, hashes[row]);
            }
        }
        Ok(())
    }
}
