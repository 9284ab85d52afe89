//! Versioned join: each record of a stream meets the row that its key had in a versioned table at the record's time.
//!
//! Only the stream triggers. With a grace, records wait in the order of their timestamps until stream time is their timestamp and the grace, so
//! that versions of the table that come late are met, too; one that is older than that when it comes is joined at once.
//!
//! ```text
//! table  A@3, B@7        stream@5 meets A, stream@7 meets B        with a grace of 10, stream@5 is joined by a record of time 15
//! ```
//!
//! A record without value is a dead letter; one without key is a dead letter of an inner join and meets nothing, at once, in a left one.
//! Results have the key, the timestamp and the headers of the stream's record.
//!
//! As Kafka Streams does (KIP-914, KIP-923); its buffer's clock is committed here and survives a restart.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, UInt32Array},
    buffer::{BooleanBuffer, NullBuffer},
    datatypes::{Field, FieldRef},
};

use super::{
    Context, FoldError, JoinKind, Operator, OperatorError, Reason, TaskStore,
    fold::{StateLayout, scatter},
    joined_sides::add_sides,
    table::{drop_null_keys, stored_fields},
    time_buffer::TimeBuffer,
    versioned_rows::VersionedRows,
};
use crate::{
    Batch,
    record::{TimeSpan, Timestamp, headers_type, no_headers},
    row::RowCodec,
    schema::StreamSchema,
};

/// What a join with a versioned table is built from.
pub struct VersionedJoinSettings {
    /// What becomes of records that meet no row.
    pub kind: JoinKind,
    /// The rows of the table.
    pub table: VersionedRows,
    /// How its rows are read.
    pub layout: Arc<dyn StateLayout>,
    /// How long records wait, and the number of the store that they wait in; `None`: they do not.
    pub grace: Option<(TimeSpan, usize)>,
    /// The columns of the stream.
    pub input: Arc<StreamSchema>,
    /// The stream's key, the stream's values, the table's values, under whatever names; then which sides there are, if two more columns are left.
    pub output: Arc<StreamSchema>,
}

/// Joins a stream with a versioned table.
pub struct VersionedJoin {
    kind: JoinKind,
    table: VersionedRows,
    layout: Arc<dyn StateLayout>,
    keys: RowCodec,
    rows: RowCodec,
    waiting: Option<Waiting>,
    output: Arc<StreamSchema>,
}

/// Records that wait.
struct Waiting {
    grace: TimeSpan,
    buffer: TimeBuffer,
    /// The columns of a record.
    input: Arc<StreamSchema>,
    /// Keys, values and headers of a record.
    records: RowCodec,
    clock: Timestamp,
}

impl VersionedJoin {
    /// A join as `settings` say.
    ///
    /// # Errors
    /// [`FoldError`] if a column has no row encoding.
    pub fn new(settings: VersionedJoinSettings) -> Result<Self, FoldError> {
        let VersionedJoinSettings { kind, table, layout, grace, input, output } = settings;
        let codec = |fields: &[FieldRef]| RowCodec::new(fields).map_err(FoldError::of);
        let waiting = |(grace, store): (TimeSpan, usize)| {
            let headers = Arc::new(Field::new("headers", headers_type(), true));
            let fields: Vec<FieldRef> =
                input.whole_key().iter().chain(input.value()).cloned().chain([headers]).collect();
            let (buffer, records) = (TimeBuffer::new(store), codec(&fields)?);
            Ok(Waiting { grace, buffer, input: Arc::clone(&input), records, clock: Timestamp::NONE })
        };
        Ok(Self {
            kind,
            table,
            keys: codec(input.whole_key())?,
            rows: codec(&stored_fields(layout.as_ref()))?,
            layout,
            waiting: grace.map(waiting).transpose()?,
            output,
        })
    }

    /// Leaves out the records that cannot be joined at all.
    fn usable(&self, batch: Batch, context: &mut Context<'_>) -> Result<Batch, OperatorError> {
        let batch = match self.kind {
            JoinKind::Inner => drop_null_keys(batch, context)?,
            JoinKind::Left => batch,
        };
        let Some(present) = batch.present().cloned() else { return Ok(batch) };
        let without = (0..batch.len()).filter(|&row| present.is_null(row));
        context.reject(&batch, Reason::NullValue, without.map(|row| (row, "the record has no value".to_owned())));
        batch.filter(&BooleanArray::new(present.into_inner(), None)).map_err(|error| context.error(error))
    }

    fn join(&mut self, batch: &Batch, stores: &mut [TaskStore]) -> Result<Batch, FoldError> {
        let keys = self.keys.encode_binary(batch.keys()).map_err(FoldError::of)?;
        let wanted = (0..batch.len()).map(|row| (keys.value(row), Timestamp(batch.times().value(row))));
        let found = self.table.read(&wanted.collect::<Vec<_>>(), stores)?;
        let rows: Vec<usize> = (0..found.len()).filter(|&row| found[row].is_some()).collect();
        let encoded = found.iter().flatten().map(|version| version.row.as_slice());
        let mut states = self.rows.decode(encoded).map_err(FoldError::of)?;
        states.pop();
        let right = scatter(&self.layout.results_of(&states)?, &rows, batch.len())?;
        let mut values: Vec<ArrayRef> = batch.values().iter().cloned().chain(right).collect();
        add_sides(&mut values, &self.output, batch.len(), |_| true, |row| found[row].is_some());
        let schema = batch.schema();
        let mut columns: Vec<ArrayRef> = batch.keys().to_vec();
        columns.extend(values);
        columns
            .extend([schema.time_index(), schema.offset_index()].map(|index| Arc::clone(batch.rows().column(index))));
        let joined = Batch::new(Arc::clone(&self.output), columns).with_headers(batch.headers().cloned());
        if self.kind == JoinKind::Left || rows.len() == batch.len() {
            return Ok(joined);
        }
        let met = BooleanBuffer::collect_bool(batch.len(), |row| found[row].is_some());
        joined.filter(&BooleanArray::new(met, None)).map_err(FoldError::of)
    }
}

impl Waiting {
    /// The records whose turn it is, in their order: those of the batch that cannot wait, and those that have waited.
    fn take_turns(&mut self, batch: Batch, keys: &RowCodec, stores: &mut [TaskStore]) -> Result<Batch, FoldError> {
        let encoded = keys.encode_binary(batch.keys()).map_err(FoldError::of)?;
        let mut columns: Vec<ArrayRef> = batch.keys().iter().chain(batch.values()).cloned().collect();
        columns.push(batch.headers().cloned().unwrap_or_else(|| no_headers(batch.len())));
        let rows = self.records.encode_binary(&columns).map_err(FoldError::of)?;
        let keyed = &batch.keys()[..batch.schema().key().len()];
        let nulls =
            keyed.iter().fold(None, |nulls, key| NullBuffer::union(nulls.as_ref(), key.logical_nulls().as_ref()));
        let (mut turns, mut released): (Vec<u32>, Vec<(i64, Vec<u8>)>) = (Vec::new(), Vec::new());
        for row in 0..batch.len() {
            let time = Timestamp(batch.times().value(row));
            let has_key = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
            let is_due = self.clock != Timestamp::NONE && time < self.clock.minus(self.grace);
            if !has_key || is_due {
                turns.push(row as u32);
                continue;
            }
            self.buffer.add(time.millis(), encoded.value(row), rows.value(row), stores)?;
            self.clock = self.clock.max(time);
            let first = batch.len() + released.len();
            released.extend(self.buffer.release(self.clock.minus(self.grace), stores)?);
            turns.extend((first..batch.len() + released.len()).map(|row| row as u32));
        }
        let all = Batch::concat(&[batch.clone(), self.waited(&released)?]).map_err(FoldError::of)?;
        all.take(&UInt32Array::from(turns)).map_err(FoldError::of)
    }

    /// The stream time at which the first of the records that wait is joined.
    fn next_due(&mut self, stores: &mut [TaskStore]) -> Result<Option<Timestamp>, FoldError> {
        Ok(self.buffer.first_time(stores)?.map(|time| time.plus(self.grace)))
    }

    /// The records whose turn it is at a stream time that no record has brought.
    fn take_due(&mut self, stream_time: Timestamp, stores: &mut [TaskStore]) -> Result<Batch, FoldError> {
        if self.next_due(stores)?.is_none_or(|due| due > stream_time) {
            return Ok(Batch::empty(&self.input));
        }
        self.clock = stream_time;
        let released = self.buffer.release(stream_time.minus(self.grace), stores)?;
        self.waited(&released)
    }

    /// Records that have waited.
    fn waited(&self, released: &[(i64, Vec<u8>)]) -> Result<Batch, FoldError> {
        let rows = released.iter().map(|(_, row)| row.as_slice());
        let mut columns = self.records.decode(rows).map_err(FoldError::of)?;
        let headers = columns.pop().filter(|headers| !headers.as_list::<i32>().values().is_empty());
        columns.push(Arc::new(Int64Array::from_iter_values(released.iter().map(|(time, _)| *time))));
        columns.push(Batch::no_offsets(released.len()));
        Ok(Batch::new(Arc::clone(&self.input), columns).with_headers(headers))
    }
}

impl Operator for VersionedJoin {
    fn on_batch(&mut self, batch: Batch, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let mut batch = self.usable(batch, context)?;
        if let (Some(waiting), false) = (&mut self.waiting, batch.is_empty()) {
            let turns = waiting.take_turns(batch, &self.keys, context.stores);
            batch = turns.map_err(|error| context.error(error))?;
        }
        if batch.is_empty() {
            return Ok(());
        }
        let joined = self.join(&batch, context.stores).map_err(|error| context.error(error))?;
        if !joined.is_empty() {
            context.output.push(joined);
        }
        Ok(())
    }

    fn on_flush(&mut self, _context: &mut Context<'_>) -> Result<(), OperatorError> {
        Ok(())
    }

    fn stream_time(&self) -> Option<Timestamp> {
        self.waiting.as_ref().map(|waiting| waiting.clock)
    }

    fn restore_stream_time(&mut self, stream_time: Timestamp) {
        if let Some(waiting) = &mut self.waiting {
            waiting.clock = stream_time;
        }
    }

    fn forget_stream_time(&mut self) {
        if let Some(waiting) = &mut self.waiting {
            waiting.clock = Timestamp::NONE;
        }
    }

    fn on_idle(
        &mut self,
        stream_time: Timestamp,
        context: &mut Context<'_>,
    ) -> Result<Option<Timestamp>, OperatorError> {
        let Some(waiting) = &mut self.waiting else { return Ok(None) };
        let due = waiting.take_due(stream_time, context.stores).map_err(|error| context.error(error))?;
        let next = waiting.next_due(context.stores).map_err(|error| context.error(error))?;
        if !due.is_empty() {
            let joined = self.join(&due, context.stores).map_err(|error| context.error(error))?;
            context.output.extend((!joined.is_empty()).then_some(joined));
        }
        Ok(next)
    }
}
