//! Aggregate: one state per key, or per key and window, revised by each record.
//!
//! Two steps. Rows that arrive are grouped and folded in memory. At the flush the states of the interval are merged into the
//! stored ones: each touched key is read and written once, however many records it had. Under [`EmitPolicy::Record`] the
//! second step follows every *round* instead: the rows of a batch are dealt into rounds in which no key occurs twice, so that each
//! record gets its own update and the work stays vectorised.
//!
//! ```text
//! rows   a b a a b      rounds  1: a b    2: a b    3: a      updates are put back into the order of the rows
//! ```
//!
//! Cogrouped streams are several inputs of one aggregate. Each has a stream time of its own, as in Kafka Streams, unless only final results are
//! passed on: then they share one. A window that the newest record of all inputs has left behind is no longer kept, and so late for each.
//!
//! Invariants: stream time never goes back and includes the record that is looked at; a closed window never reopens; a record
//! revises each open window that holds it once. The timestamp of a result is the highest of the records in it.
//!
//! Updates have the headers of the records that made them where each record has its own update, and none otherwise.
//!
//! Nulls: a record without key (of several key columns: with a null in any) is a dead letter; so is one without value unless
//! there are windows, in which case it counts, as in Kafka Streams.
//!
//! If only final results are wanted, updates stay in the store and [`FinalResults`] says which rows to read from it after a flush.
//!
//! Windows and lateness after Kafka Streams; two-step aggregation after the mini-batch aggregation of Flink SQL.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Int64Array, UInt32Array},
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef},
};
use datafusion::logical_expr::EmitTo;
use datafusion::physical_plan::aggregates::{
    group_values::{GroupValues, new_group_values},
    order::GroupOrdering,
};

use super::{
    Context, EmitPolicy, Finished, Fold, FoldError, FoldFactory, Folded, Operator, OperatorError, Reason, Rows,
    Tombstones,
    final_results::{FinalResults, StoredWindows},
    fold::{rows_of, scatter},
    lateness::{last_gone, late_for_window, move_on},
    rounds::deal,
    table::{drop_null_keys, stored_fields},
    task_store::TaskStore,
};
use crate::{
    Batch,
    batch::Before,
    expression::RowError,
    record::{Records, TimeSpan, Timestamp},
    row::RowCodec,
    schema::{StreamSchema, WINDOWSTART},
    window::{EmitStrategy, TimeWindows},
};

/// What an aggregate is built from.
#[derive(Clone)]
pub struct AggregateSettings {
    /// The number of its store in the task.
    pub store: usize,
    /// Key columns of the input, key and result columns of the output.
    pub output: Arc<StreamSchema>,
    /// What is computed.
    pub fold: Arc<dyn FoldFactory>,
    /// Per which windows, if any.
    pub windows: Option<TimeWindows>,
    /// Which results of windows are passed on.
    pub strategy: EmitStrategy,
    /// How long windows are kept, from their start; nothing without windows.
    pub retention: TimeSpan,
    /// When updates are passed on.
    pub emit: EmitPolicy,
    /// How many inputs it has: more than one where streams are cogrouped.
    pub inputs: usize,
    /// Whether a deletion is passed on of what was not there.
    pub tombstones: Tombstones,
    /// Whether someone below needs to know what was there before.
    pub needs_before: bool,
}

/// Aggregates rows by key, or by key and window.
pub struct Aggregate {
    settings: AggregateSettings,
    /// One for each input.
    stream_times: Vec<Timestamp>,
    /// What is to be passed on if only final results are.
    finals: Option<FinalResults>,
    keys: RowCodec,
    states: RowCodec,
    /// What the groups of this interval are called: key columns, then the window's number.
    group_schema: SchemaRef,
    interval: Interval,
}

/// The rows folded since the last flush.
struct Interval {
    groups: Box<dyn GroupValues>,
    /// The highest timestamp of each group.
    times: Vec<i64>,
    fold: Box<dyn Fold>,
}

/// Rows with the windows they fall into: entry `i` is row `rows[i]` in the window with the number `numbers[i]`.
struct Assigned {
    rows: UInt32Array,
    numbers: Option<Int64Array>,
}

impl Interval {
    fn new(schema: &SchemaRef, fold: &dyn FoldFactory) -> Result<Self, FoldError> {
        let groups = new_group_values(Arc::clone(schema), &GroupOrdering::None).map_err(FoldError::of)?;
        Ok(Self { groups, times: Vec::new(), fold: fold.create()? })
    }
}

impl Aggregate {
    /// An aggregate with nothing folded yet.
    ///
    /// # Errors
    /// [`FoldError`] if a column has no row encoding or a function no accumulator.
    pub fn new(settings: AggregateSettings) -> Result<Self, FoldError> {
        let mut group_fields = settings.output.key().to_vec();
        if settings.windows.is_some() {
            group_fields.push(Arc::new(Field::new(WINDOWSTART, DataType::Int64, false)));
        }
        let group_schema = Arc::new(Schema::new(group_fields));
        Ok(Self {
            stream_times: vec![Timestamp::NONE; settings.inputs],
            finals: settings
                .windows
                .as_ref()
                .and_then(|windows| FinalResults::new(settings.strategy, windows.clone(), settings.retention)),
            keys: RowCodec::new(settings.output.key()).map_err(FoldError::of)?,
            states: RowCodec::new(&stored_fields(settings.fold.clone().layout().as_ref())).map_err(FoldError::of)?,
            interval: Interval::new(&group_schema, settings.fold.as_ref())?,
            group_schema,
            settings,
        })
    }

    /// Finds each row's windows; rows that missed one or more closed windows are late.
    fn assign(&mut self, batch: &Batch, context: &mut Context<'_>) -> Result<Assigned, OperatorError> {
        let times = batch.times().values();
        let Some(windows) = &self.settings.windows else {
            return Ok(Assigned { rows: (0..batch.len() as u32).collect(), numbers: None });
        };
        let clock = if self.finals.is_some() { 0 } else { context.input };
        let mut stream_time = self.stream_times[clock];
        let mut rows = Vec::with_capacity(batch.len());
        let mut numbers = Vec::with_capacity(batch.len());
        let mut late = Vec::new();
        let mut last_closed = windows.last_closed(stream_time).max(last_gone(windows, &self.stream_times));
        for (row, &time) in times.iter().enumerate() {
            if Timestamp(time) > stream_time {
                self.finals.iter_mut().for_each(|finals| finals.advance(stream_time, Timestamp(time)));
                stream_time = Timestamp(time);
                last_closed = last_closed.max(windows.last_closed(stream_time));
            }
            if windows.is_unlimited() && windows.numbers(Timestamp(time)).next().is_none() {
                late.push((row, format!("the record of {} is before the window: {windows}", Timestamp(time))));
            }
            for number in windows.numbers(Timestamp(time)) {
                if number <= last_closed {
                    late.push((row, late_for_window(windows, Timestamp(time), number, stream_time)));
                } else {
                    rows.push(row as u32);
                    numbers.push(number);
                }
            }
        }
        self.stream_times[clock] = stream_time;
        context.reject_late(batch, late)?;
        Ok(Assigned { rows: UInt32Array::from(rows), numbers: Some(Int64Array::from(numbers)) })
    }

    /// Groups the rows at `assigned` and folds them.
    fn fold(
        &mut self,
        batch: &Batch,
        assigned: &Assigned,
        input: usize,
        errors: &mut Vec<RowError>,
    ) -> Result<(), FoldError> {
        let every_row =
            assigned.rows.len() == batch.len() && assigned.numbers.as_ref().is_none_or(|_| is_identity(&assigned.rows));
        let picked = (!every_row).then_some(&assigned.rows);
        let mut columns = Vec::with_capacity(self.group_schema.fields().len());
        for column in &batch.keys()[..self.settings.output.key().len()] {
            columns.push(match picked {
                Some(picked) => arrow::compute::take(column, picked, None).map_err(FoldError::of)?,
                None => Arc::clone(column),
            });
        }
        if let Some(numbers) = &assigned.numbers {
            columns.push(Arc::new(numbers.clone()));
        }
        let mut groups = Vec::with_capacity(assigned.rows.len());
        self.interval.groups.intern(&columns, &mut groups).map_err(FoldError::of)?;
        let total = self.interval.groups.len();
        let times = batch.times().values();
        self.interval.times.resize(total, i64::MIN);
        for (&row, &group) in assigned.rows.values().iter().zip(&groups) {
            let newest = &mut self.interval.times[group];
            *newest = (*newest).max(times[row as usize]);
        }
        self.interval.fold.add(&Rows { batch, picked, groups: &groups, total, input }, errors)
    }

    /// Merges the interval into the store and gives one row a touched group, in the order of first touch.
    fn flush(&mut self, store: &mut TaskStore) -> Result<Option<Updates>, FoldError> {
        let total = self.interval.groups.len();
        if total == 0 {
            return Ok(None);
        }
        let mut columns = self.interval.groups.emit(EmitTo::All).map_err(FoldError::of)?;
        // Emitting takes the keys and leaves the index behind, which would point at nothing.
        self.interval.groups.clear_shrink(total);
        let numbers = self.settings.windows.is_some().then(|| columns.pop()).flatten();
        let store_keys = self.store_keys(&columns, numbers.as_ref())?;
        let keys: Vec<&[u8]> = (0..total).map(|group| store_keys.value(group)).collect();

        let (stored, stored_times) = self.read(store, &keys)?;
        let mut had = vec![false; total];
        stored.groups.iter().for_each(|&group| had[group] = true);
        let before = if self.settings.needs_before {
            let results = self.settings.fold.results_of(&stored.states)?;
            let present = Some(NullBuffer::from(had.clone()));
            Some(Before { values: scatter(&results, &stored.groups, total)?, present })
        } else {
            None
        };
        let mut times = std::mem::take(&mut self.interval.times);
        for (&group, &time) in stored.groups.iter().zip(stored_times.values()) {
            times[group] = times[group].max(time);
        }
        let Finished { states, mut present, gone } = self.interval.fold.finish(stored, total)?;
        if let (Some(gone), Tombstones::OfRows) = (&gone, self.settings.tombstones) {
            let present = present.get_or_insert_with(|| vec![true; total]);
            (0..total).filter(|&group| gone[group] && !had[group]).for_each(|group| present[group] = false);
        }
        let results = self.settings.fold.results_of(&states)?;
        let times: ArrayRef = Arc::new(Int64Array::from(times));
        self.write(store, store_keys, &states, &times, (present.as_deref(), gone.as_deref()))?;

        if let (Some(numbers), Some(windows)) = (numbers, &self.settings.windows) {
            columns.extend(windows.bound_columns(numbers));
        }
        columns.extend(results);
        columns.extend([times, Batch::no_offsets(total)]);
        let there = gone.map(|gone| NullBuffer::from_iter(gone.into_iter().map(|gone| !gone)));
        let updates = Batch::new(Arc::clone(&self.settings.output), columns).with_present(there).with_before(before);
        let rows = match &present {
            None => updates,
            Some(present) => updates.filter(&BooleanArray::from(present.clone())).map_err(FoldError::of)?,
        };
        Ok((!rows.is_empty()).then_some(Updates { rows, present, total }))
    }

    /// Passes on the stored rows of windows that have closed.
    fn emit_final(&mut self, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let Some(finals) = &mut self.finals else { return Ok(()) };
        let AggregateSettings { store, output, fold, .. } = &self.settings;
        let rows = StoredWindows { store: *store, output, fold: fold.as_ref(), keys: &self.keys, states: &self.states };
        finals.emit(self.stream_times[0], &rows, context)
    }

    fn store_keys(&self, columns: &[ArrayRef], numbers: Option<&ArrayRef>) -> Result<BinaryArray, FoldError> {
        let rows = self.keys.encode(columns).map_err(FoldError::of)?;
        let Some(numbers) = numbers.map(AsArray::as_primitive::<Int64Type>) else {
            return rows.try_into_binary().map_err(FoldError::of);
        };
        let mut keys = Vec::with_capacity(rows.num_rows() * 24);
        let mut ends = Vec::with_capacity(rows.num_rows() + 1);
        ends.push(0);
        for (row, &number) in rows.iter().zip(numbers.values()) {
            millstream_state::key::window_key(number, row.as_ref(), &mut keys);
            ends.push(i32::try_from(keys.len()).map_err(FoldError::of)?);
        }
        Ok(BinaryArray::new(OffsetBuffer::new(ends.into()), keys.into(), None))
    }

    /// The stored states of those keys that have one, and their timestamps.
    fn read(&self, store: &mut TaskStore, keys: &[&[u8]]) -> Result<(Folded, Int64Array), FoldError> {
        let mut bytes = Vec::new();
        let mut found: Vec<(usize, usize, usize)> = Vec::new();
        let mut each = |index: usize, value: Option<&[u8]>| {
            if let Some(value) = value {
                found.push((index, bytes.len(), bytes.len() + value.len()));
                bytes.extend_from_slice(value);
            }
        };
        store.get_many(keys, &mut each).map_err(FoldError::of)?;
        let rows = found.iter().map(|&(_, start, end)| &bytes[start..end]);
        let mut states = self.states.decode(rows).map_err(FoldError::of)?;
        let times = states
            .pop()
            .map(|times| Int64Array::from(times.to_data()))
            .unwrap_or_else(|| Int64Array::from(Vec::<i64>::new()));
        Ok((Folded { states, groups: found.into_iter().map(|(index, ..)| index).collect() }, times))
    }

    fn write(
        &self,
        store: &mut TaskStore,
        keys: BinaryArray,
        states: &[ArrayRef],
        times: &ArrayRef,
        (present, gone): (Option<&[bool]>, Option<&[bool]>),
    ) -> Result<(), FoldError> {
        debug_assert_eq!(rows_of(states), keys.len(), "one state a group");
        let columns: Vec<ArrayRef> = states.iter().chain([times]).cloned().collect();
        let rows = self.states.encode(&columns).map_err(FoldError::of)?;
        let mut rows = rows.try_into_binary().map_err(FoldError::of)?;
        if let Some(gone) = gone {
            let (offsets, bytes, _) = rows.into_parts();
            let kept = NullBuffer::from_iter(gone.iter().map(|gone| !gone));
            rows = BinaryArray::new(offsets, bytes, Some(kept));
        }
        let changes = Records::new(keys, rows, times.as_primitive::<Int64Type>().clone(), None);
        store.put_all(match present {
            None => changes,
            Some(present) => {
                let rows: Vec<u32> = (0..present.len() as u32).filter(|&row| present[row as usize]).collect();
                changes.take(&rows)
            }
        });
        Ok(())
    }

    /// Folds and flushes round by round, so that each row of `assigned` has its own update; updates are in the order of rows.
    fn fold_each(
        &mut self,
        batch: &Batch,
        assigned: &Assigned,
        (input, store): (usize, &mut TaskStore),
        errors: &mut Vec<RowError>,
    ) -> Result<Option<Batch>, FoldError> {
        let mut updates = Vec::new();
        let mut positions: Vec<u32> = Vec::with_capacity(assigned.rows.len());
        for round in self.rounds(batch, assigned)? {
            let entries = UInt32Array::from(round);
            let rows = arrow::compute::take(&assigned.rows, &entries, None).map_err(FoldError::of)?;
            let numbers =
                assigned.numbers.as_ref().map(|numbers| arrow::compute::take(numbers, &entries, None)).transpose();
            let rows = UInt32Array::from(rows.to_data());
            let part = batch.take(&rows).map_err(FoldError::of)?;
            let own = Assigned {
                rows: (0..part.len() as u32).collect(),
                numbers: numbers.map_err(FoldError::of)?.map(|numbers| Int64Array::from(numbers.to_data())),
            };
            let first_error = errors.len();
            self.fold(&part, &own, input, errors)?;
            errors[first_error..].iter_mut().for_each(|error| error.row = rows.value(error.row) as usize);
            // No key occurs twice in a round: group `i` is entry `i`.
            if let Some(update) = self.flush(store)? {
                positions.extend(update.groups().map(|group| entries.value(group)));
                updates.push(update.rows);
            }
        }
        if updates.is_empty() {
            return Ok(None);
        }
        let mut order: Vec<u32> = (0..positions.len() as u32).collect();
        order.sort_unstable_by_key(|&update| positions[update as usize]);
        let updates = Batch::concat(&updates).map_err(FoldError::of)?;
        let updates = updates.take(&UInt32Array::from(order)).map_err(FoldError::of)?;
        if batch.headers().is_none() {
            return Ok(Some(updates));
        }
        positions.sort_unstable();
        let rows = positions.iter().map(|&entry| assigned.rows.value(entry as usize)).collect();
        Ok(Some(updates.with_headers(batch.headers_at(&rows).map_err(FoldError::of)?)))
    }

    /// Deals the entries of `assigned` into rounds in which no key and window occurs twice.
    fn rounds(&self, batch: &Batch, assigned: &Assigned) -> Result<Vec<Vec<u32>>, FoldError> {
        let take = |column: &ArrayRef| arrow::compute::take(column, &assigned.rows, None).map_err(FoldError::of);
        let keyed = &batch.keys()[..self.settings.output.key().len()];
        let mut columns = keyed.iter().map(take).collect::<Result<Vec<_>, _>>()?;
        if let Some(numbers) = &assigned.numbers {
            columns.push(Arc::new(numbers.clone()));
        }
        let mut scratch =
            new_group_values(Arc::clone(&self.group_schema), &GroupOrdering::None).map_err(FoldError::of)?;
        let mut groups = Vec::new();
        scratch.intern(&columns, &mut groups).map_err(FoldError::of)?;
        Ok(deal(&groups, scratch.len()))
    }
}

/// What a flush passes on: one row a group, in the order of first touch, but for groups without a state.
struct Updates {
    rows: Batch,
    present: Option<Vec<bool>>,
    total: usize,
}

impl Updates {
    /// The groups that the rows belong to.
    fn groups(&self) -> impl Iterator<Item = usize> {
        (0..self.total).filter(|&group| self.present.as_ref().is_none_or(|present| present[group]))
    }
}

fn is_identity(rows: &UInt32Array) -> bool {
    rows.values().iter().enumerate().all(|(index, &row)| index == row as usize)
}

impl Operator for Aggregate {
    fn on_batch(&mut self, batch: Batch, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let mut batch = drop_null_keys(batch, context)?;
        if let (None, Some(present)) = (&self.settings.windows, batch.present().cloned()) {
            let without = (0..batch.len()).filter(|&row| present.is_null(row));
            context.reject(&batch, Reason::NullValue, without.map(|row| (row, "the record has no value".to_owned())));
            let keep = BooleanArray::new(present.into_inner(), None);
            batch = batch.filter(&keep).map_err(|error| context.error(error))?;
        }
        if batch.is_empty() {
            return Ok(());
        }
        let assigned = self.assign(&batch, context)?;
        let mut errors = Vec::new();
        let folded = match self.settings.emit {
            _ if self.finals.is_some() => self.fold(&batch, &assigned, context.input, &mut errors).map(|()| None),
            EmitPolicy::Commit => self.fold(&batch, &assigned, context.input, &mut errors).map(|()| None),
            EmitPolicy::Record => {
                let store = &mut context.stores[self.settings.store];
                self.fold_each(&batch, &assigned, (context.input, store), &mut errors)
            }
        };
        context.output.extend(folded.map_err(|error| context.error(error))?);
        errors.sort_by_key(|error| error.row);
        errors.dedup_by_key(|error| error.row);
        context.reject(&batch, Reason::Expression, errors.into_iter().map(|error| (error.row, error.problem)));
        match (self.settings.emit, &self.finals) {
            (EmitPolicy::Record, Some(_)) => self.on_flush(context),
            _ => Ok(()),
        }
    }

    fn on_flush(&mut self, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let updates = self.flush(&mut context.stores[self.settings.store]).map_err(|error| context.error(error))?;
        context.reject_folded(self.interval.fold.take_failures());
        match &self.finals {
            None => context.output.extend(updates.map(|updates| updates.rows)),
            Some(_) => self.emit_final(context)?,
        }
        Ok(())
    }

    fn stream_time(&self) -> Option<Timestamp> {
        self.settings.windows.as_ref().map(|_| self.stream_times[0])
    }

    fn restore_stream_time(&mut self, stream_time: Timestamp) {
        self.stream_times[0] = self.stream_times[0].max(stream_time);
        self.finals.iter_mut().for_each(|finals| finals.restore(stream_time));
    }

    fn forget_stream_time(&mut self) {
        if self.finals.is_none() {
            self.stream_times.fill(Timestamp::NONE);
        }
    }

    fn on_idle(
        &mut self,
        stream_time: Timestamp,
        context: &mut Context<'_>,
    ) -> Result<Option<Timestamp>, OperatorError> {
        let Some(finals) = &self.finals else { return Ok(move_on(&mut self.stream_times, stream_time)) };
        let next = finals.next_due(self.stream_times[0], self.settings.store, context)?;
        if next.is_none_or(|next| next > stream_time) {
            return Ok(next);
        }
        self.stream_times[0] = stream_time;
        self.emit_final(context)?;
        self.on_idle(Timestamp::NONE, context)
    }

    fn clocks(&self) -> Vec<Timestamp> {
        self.stream_times[1..].to_vec()
    }

    fn restore_clock(&mut self, index: usize, time: Timestamp) {
        if let Some(stream_time) = self.stream_times.get_mut(index + 1) {
            *stream_time = time.max(*stream_time);
        }
    }
}
