//! Decoder: the records of a fetched batch to the columns of a source, and what of them cannot be used to dead letters.
//!
//! Invariant: with no failure among the rows, a column's values do not depend on which other columns are decoded.

use std::{collections::VecDeque, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, BinaryArray, BooleanArray, Int64Array, new_null_array},
    buffer::BooleanBuffer,
};

use super::error::StreamsError;
use crate::{
    Batch,
    format::{Deserializer, FormatError, Side},
    log::{FetchedBatch, Offsets},
    operator::{DeadLetter, Reason},
    record::{TopicPartition, headers_column, moments},
    schema::StreamSchema,
    topology::{InvalidTimestamps, RecordPart, SourceNode, TimestampExtractor},
    window::{SplitKeys, split_keys},
};

/// A row that cannot be used, why, and what is wrong with it.
type Failure = (usize, Reason, String);

/// Turns fetched bytes into batches.
pub(crate) struct Decoder {
    schema: Arc<StreamSchema>,
    operator: String,
    key: Box<dyn Deserializer>,
    value: Box<dyn Deserializer>,
    decoded: Vec<bool>,
    parts: Vec<RecordPart>,
    timestamp: TimestampExtractor,
}

impl Decoder {
    /// A decoder for source `name`, which gives batches of `schema` with the value columns that are `decoded`; the others are null.
    ///
    /// # Errors
    /// [`FormatError`] if a format cannot hold the columns.
    pub(crate) fn new(
        name: &str,
        source: &SourceNode,
        decoded: &[bool],
        schema: &Arc<StreamSchema>,
    ) -> Result<Self, FormatError> {
        let wrapping = source.formats.wrapping;
        let key_columns: Vec<usize> = (0..schema.key().len()).collect();
        let in_value = schema.value().len() - source.parts.len();
        let value_columns: Vec<usize> = (0..in_value).filter(|&column| decoded[column]).collect();
        let fields = &schema.value()[..in_value];
        Ok(Self {
            schema: Arc::clone(schema),
            operator: name.to_owned(),
            key: source.formats.key.deserializer(Side::Key, wrapping, schema.key(), &key_columns)?,
            value: source.formats.value.deserializer(Side::Value, wrapping, fields, &value_columns)?,
            decoded: decoded.to_vec(),
            parts: source.parts.clone(),
            timestamp: source.timestamp.clone(),
        })
    }

    /// The rows of a batch that can be used, and dead letters for the others.
    ///
    /// # Errors
    /// [`StreamsError::Format`] if a schema registry cannot be reached; the batch is to be decoded again.
    pub(crate) fn decode(
        &mut self,
        partition: &TopicPartition,
        batch: &FetchedBatch,
        dead_letters: &mut VecDeque<DeadLetter>,
    ) -> Result<Batch, StreamsError> {
        let (decoded, failures) = self.decode_all(partition, batch)?;
        if failures.is_empty() {
            return Ok(decoded);
        }
        let records = &batch.records;
        let mut keep = vec![true; records.len()];
        for (row, reason, problem) in failures {
            keep[row] = false;
            let offset = batch.offsets.at(row);
            tracing::warn!("{partition} offset={offset} {reason}: {problem}");
            let letter = DeadLetter::of_record(&self.operator, partition, offset, records.get(row), reason, problem);
            dead_letters.push_back(letter);
        }
        let keep = BooleanArray::new(BooleanBuffer::from(keep), None);
        Ok(decoded.filter(&keep).expect("the mask has one bit a row"))
    }

    /// The rows of a batch if all of them can be used.
    pub(super) fn decode_clean(&mut self, partition: &TopicPartition, batch: &FetchedBatch) -> Option<Batch> {
        let (decoded, failures) = self.decode_all(partition, batch).ok()?;
        failures.is_empty().then_some(decoded)
    }

    /// Rows that were decoded with more columns, as this decoder gives them.
    pub(super) fn restrict(&self, rows: &Batch) -> Batch {
        let mut columns = rows.rows().columns().to_vec();
        for (column, _) in
            columns[self.schema.value_range()].iter_mut().zip(&self.decoded).filter(|(_, decoded)| !**decoded)
        {
            *column = new_null_array(column.data_type(), column.len());
        }
        let restricted = Batch::new(Arc::clone(&self.schema), columns).with_present(rows.present().cloned());
        restricted.with_headers(rows.headers().cloned())
    }

    /// All rows, and those of them that cannot be used: number, reason, problem.
    fn decode_all(
        &mut self,
        partition: &TopicPartition,
        batch: &FetchedBatch,
    ) -> Result<(Batch, Vec<Failure>), StreamsError> {
        let records = &batch.records;
        let rows = records.len();
        let mut failures: Vec<Failure> = Vec::new();
        let mut side = |decoder: &mut Box<dyn Deserializer>, bytes: &BinaryArray, side: &str| {
            let decoded = decoder.decode(bytes);
            if let Some(source) = decoded.failure {
                let operator = format!("{partition} offset={}", batch.offsets.at(0));
                return Err(StreamsError::Format { operator, source });
            }
            for error in decoded.errors {
                failures.push((error.row, Reason::Undecodable, format!("{side}: {}", error.problem)));
            }
            Ok(decoded.columns)
        };
        let split = self.schema.is_windowed().then(|| split_keys(self.schema.window(), records.keys()));
        let mut columns = side(&mut self.key, split.as_ref().map_or(records.keys(), |split| &split.keys), "key")?;
        let mut broken = Vec::new();
        if let Some(SplitKeys { starts, ends, broken: without, .. }) = split {
            columns.extend([Arc::new(starts) as ArrayRef, Arc::new(ends)]);
            broken = without;
        }
        let mut values = side(&mut self.value, records.values(), "value")?.into_iter();
        let headers = records.headers().map(|headers| headers_column(headers));
        let in_value = self.decoded.len() - self.parts.len();
        for (index, (field, &decoded)) in self.schema.value().iter().zip(&self.decoded).enumerate() {
            let column = match (decoded, index.checked_sub(in_value)) {
                (false, _) => None,
                (true, None) => values.next(),
                (true, Some(part)) => Some(self.parts[part].column(partition.partition, headers.as_ref(), rows)),
            };
            columns.push(column.unwrap_or_else(|| new_null_array(field.data_type(), rows)));
        }
        let no_window = |row| (row, Reason::Undecodable, "key: it ends without a window".to_owned());
        failures.extend(broken.into_iter().map(no_window));
        let times = self.timestamps(&columns, batch, &mut failures);
        // The first failure of a row is the reason: what cannot be decoded has no timestamp either.
        failures.sort_by_key(|(row, ..)| *row);
        failures.dedup_by_key(|(row, ..)| *row);
        if matches!(self.timestamp, TimestampExtractor::Column { on_invalid: InvalidTimestamps::Fail, .. })
            && let Some((row, _, problem)) = failures.iter().find(|(_, reason, _)| *reason == Reason::Timestamp)
        {
            let record = format!("{partition} offset={}", batch.offsets.at(*row));
            return Err(StreamsError::Timestamp { record, problem: problem.clone() });
        }
        let offsets = match &batch.offsets {
            Offsets::From(base) => Int64Array::from_iter_values((base.0..).take(rows).map(|offset| offset as i64)),
            Offsets::Each(offsets) => Int64Array::from_iter_values(offsets.iter().map(|offset| offset.0 as i64)),
        };
        columns.extend([Arc::new(times) as ArrayRef, Arc::new(offsets)]);
        let decoded = Batch::new(Arc::clone(&self.schema), columns).with_present(records.values().nulls().cloned());
        Ok((decoded.with_headers(headers), failures))
    }

    /// Timestamps without nulls; rows without a usable one fail and hold 0.
    fn timestamps(&self, columns: &[ArrayRef], batch: &FetchedBatch, failures: &mut Vec<Failure>) -> Int64Array {
        let times = match &self.timestamp {
            TimestampExtractor::Record => batch.records.timestamps().clone(),
            TimestampExtractor::Column { name, format, .. } => match self.schema.columns().index_of(name) {
                Ok(index) if index < columns.len() => moments(&columns[index], format.as_ref()),
                _ => Int64Array::new_null(batch.records.len()),
            },
        };
        let mut fixed = Vec::with_capacity(times.len());
        for (row, time) in times.iter().enumerate() {
            let problem = match time {
                Some(time) if time >= 0 => {
                    fixed.push(time);
                    continue;
                }
                Some(time) => format!("the timestamp {time} is negative"),
                None if batch.records.values().is_null(row) => {
                    fixed.push(batch.records.timestamps().value(row).max(0));
                    continue;
                }
                None => "the timestamp column is null or unreadable".to_owned(),
            };
            fixed.push(0);
            failures.push((row, Reason::Timestamp, problem));
        }
        Int64Array::from(fixed)
    }
}
