//! The input of a task: one partition of one topic, fetched, decoded and waiting to be processed.
//!
//! Invariants: rows leave in offset order; a record that cannot be used becomes a dead letter when the rows before it have left, so that
//! it is committed with them and neither lost nor repeated.

use std::{collections::VecDeque, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, BinaryArray, BooleanArray, Int64Array, new_null_array},
    buffer::BooleanBuffer,
};

use crate::{
    Batch,
    format::{Deserializer, FormatError, Side},
    log::{FetchedBatch, Log, Offsets},
    operator::{DeadLetter, Reason},
    record::{Offset, Timestamp, TopicPartition, headers_column, moments},
    schema::StreamSchema,
    topology::{InvalidTimestamps, RecordPart, SourceNode, TimestampExtractor, TopicRef},
    window::{SplitKeys, split_keys},
};

use super::error::StreamsError;

/// Bytes fetched at once.
const FETCH_BYTES: usize = 1 << 20;
/// Rows that wait at most, before no more are fetched.
const BUFFERED_ROWS: usize = 65_536;

/// Reads one partition for a task.
pub(super) struct SourceReader {
    pub(super) partition: TopicPartition,
    /// The number of the source node.
    pub(super) node: usize,
    /// Whether the topic belongs to the topology and has no other readers.
    pub(super) internal: bool,
    pub(super) turns: Turns,
    decoder: Decoder,
    buffered: VecDeque<Batch>,
    buffered_rows: usize,
    dead_letters: VecDeque<DeadLetter>,
    /// Where to fetch on.
    fetch_next: Offset,
    /// The first offset not yet processed.
    pub(super) next: Offset,
    /// Whether the last fetch came to the end.
    at_end: bool,
}

/// How an input takes turns with others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turns {
    /// A table is fed: its records go first among those of one timestamp.
    pub(super) feeds_table: bool,
    /// A table is fed and joined with by the same input: each record must be through before the next one.
    pub(super) one_by_one: bool,
}

/// Turns fetched bytes into batches.
struct Decoder {
    schema: Arc<StreamSchema>,
    operator: String,
    key: Box<dyn Deserializer>,
    value: Box<dyn Deserializer>,
    decoded: Vec<bool>,
    parts: Vec<RecordPart>,
    timestamp: TimestampExtractor,
}

impl SourceReader {
    pub(super) fn new(
        node: usize,
        name: &str,
        source: &SourceNode,
        schema: &Arc<StreamSchema>,
        partition: TopicPartition,
        from: Offset,
        turns: Turns,
    ) -> Result<Self, FormatError> {
        let wrapping = source.formats.wrapping;
        let key_columns: Vec<usize> = (0..schema.key().len()).collect();
        let in_value = schema.value().len() - source.parts.len();
        let value_columns: Vec<usize> = (0..in_value).filter(|&column| source.decoded[column]).collect();
        let decoder = Decoder {
            schema: Arc::clone(schema),
            operator: name.to_owned(),
            key: source.formats.key.deserializer(Side::Key, wrapping, schema.key(), &key_columns)?,
            value: source.formats.value.deserializer(
                Side::Value,
                wrapping,
                &schema.value()[..in_value],
                &value_columns,
            )?,
            decoded: source.decoded.clone(),
            parts: source.parts.clone(),
            timestamp: source.timestamp.clone(),
        };
        Ok(Self {
            partition,
            node,
            internal: matches!(source.topic, TopicRef::Internal { .. }),
            turns,
            decoder,
            buffered: VecDeque::new(),
            buffered_rows: 0,
            dead_letters: VecDeque::new(),
            fetch_next: from,
            next: from,
            at_end: false,
        })
    }

    /// Fetches more if there is room; afterwards an empty buffer means that the partition is read to its end.
    ///
    /// # Errors
    /// Those of the log, and a schema registry that cannot be reached: its records must not be taken for broken.
    pub(super) fn fill(&mut self, log: &dyn Log) -> Result<(), StreamsError> {
        while self.buffered_rows == 0 || (!self.at_end && self.buffered_rows < BUFFERED_ROWS / 2) {
            let fetched = log.fetch(&self.partition, self.fetch_next, FETCH_BYTES)?;
            self.at_end = fetched.batches.is_empty() || fetched.next >= fetched.end;
            for batch in &fetched.batches {
                let rows = self.decoder.decode(&self.partition, batch, &mut self.dead_letters)?;
                self.buffered_rows += rows.len();
                self.buffered.extend((!rows.is_empty()).then_some(rows));
            }
            self.fetch_next = fetched.next;
            // Records none of which can be used are committed past before more of them are read.
            if self.at_end || self.dead_letters.len() > BUFFERED_ROWS {
                break;
            }
        }
        Ok(())
    }

    /// The timestamp of the next row.
    pub(super) fn head(&self) -> Option<Timestamp> {
        self.buffered.front().map(|batch| Timestamp(batch.times().value(0)))
    }

    /// The offset of the next row.
    pub(super) fn head_offset(&self) -> Option<Offset> {
        self.buffered.front().map(|batch| Offset(batch.offsets().value(0) as u64))
    }

    /// Takes the longest stretch of rows whose timestamps do not pass `limit`, at least one.
    pub(super) fn take_run(&mut self, limit: Option<Timestamp>) -> Option<Batch> {
        let batch = self.buffered.pop_front()?;
        let run = match limit {
            _ if self.turns.one_by_one => 1,
            None => batch.len(),
            Some(limit) => {
                batch.times().values().iter().position(|&time| time > limit.millis()).unwrap_or(batch.len()).max(1)
            }
        };
        let taken = batch.slice(0, run);
        if run < batch.len() {
            self.buffered.push_front(batch.slice(run, batch.len() - run));
        }
        self.buffered_rows -= run;
        Some(taken)
    }

    /// Moves the position past everything that has left, and gives the dead letters that lie before it.
    pub(super) fn advance(&mut self) -> impl Iterator<Item = DeadLetter> {
        self.next = match self.buffered.front() {
            Some(batch) => Offset(batch.offsets().value(0) as u64),
            None => self.fetch_next,
        };
        let passed = self
            .dead_letters
            .iter()
            .take_while(|letter| letter.offset.is_some_and(|offset| offset < self.next))
            .count();
        self.dead_letters.drain(..passed)
    }

    /// Whether nothing waits because what was fetched last could not be used, and there is more: others must not go on without it.
    pub(super) fn has_more_to_look_at(&self) -> bool {
        self.buffered.is_empty() && !self.at_end
    }

    /// Whether nothing waits and nothing more was there at the last look.
    pub(super) fn is_drained(&self) -> bool {
        self.buffered.is_empty()
    }
}

impl Decoder {
    fn decode(
        &mut self,
        partition: &TopicPartition,
        batch: &FetchedBatch,
        dead_letters: &mut VecDeque<DeadLetter>,
    ) -> Result<Batch, StreamsError> {
        let records = &batch.records;
        let rows = records.len();
        let mut failures: Vec<(usize, Reason, String)> = Vec::new();
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
        let decoded = decoded.with_headers(headers);
        if failures.is_empty() {
            return Ok(decoded);
        }
        failures.sort_by_key(|(row, ..)| *row);
        failures.dedup_by_key(|(row, ..)| *row);
        let mut keep = vec![true; rows];
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

    /// Timestamps without nulls; rows without a usable one fail and hold 0.
    fn timestamps(
        &self,
        columns: &[ArrayRef],
        batch: &FetchedBatch,
        failures: &mut Vec<(usize, Reason, String)>,
    ) -> Int64Array {
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
