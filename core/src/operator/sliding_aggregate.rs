//! Sliding aggregate: one state per key and sliding window, revised by each record; windows are made by the records.
//!
//! [`SlidingInterval`] finds out which windows a batch changes and what their states come from. Then the states that are needed are read at once
//! and folded level by level: under [`EmitPolicy::Commit`] there is one level, however many records and windows there are; under
//! [`EmitPolicy::Record`] as many as a key has records in the batch. A window that begins with what another one holds is folded from that state, as
//! in Kafka Streams, so that closures which cannot be undone or merged give the same results.
//!
//! What a record passes on under [`EmitPolicy::Record`], in the order of Kafka Streams: the windows that hold it, the latest first; the right window
//! of the record before it, its left window and its right window, as far as they are new. Under [`EmitPolicy::Commit`] each changed window once.
//!
//! Invariants: stream time never goes back and includes the record that is looked at; a closed window is never changed; the timestamp of a
//! result is the highest of the records in it. What is visible is decided as by the window store of Kafka Streams: windows that start more than
//! the retention before the latest start that was ever written are not looked at. (Windows of a single moment are seen as long as they are open,
//! which they are not there.)
//!
//! # State
//! One row a key and window, as of other time windows; beside them an index, described in `sliding_rows`. Both are kept one time difference
//! longer than is visible.
//!
//! Cogrouped streams are several inputs, each with a stream time of its own unless only final results are passed on.
//!
//! Nulls: a record without key or without value is a dead letter. So is a record that is late; one that misses some of its windows, because
//! they are closed, is a dead letter for each of them.

use std::sync::Arc;

use arrow::{
    array::{BooleanArray, Int64Array},
    compute,
};
use millstream_state::key::window_key;

use super::{
    Context, EmitPolicy, FoldError, FoldFactory, FoldFailure, Operator, OperatorError, Reason, TaskStore, Tombstones,
    final_results::{FinalResults, StoredWindows},
    lateness::{late_for_sliding, move_on},
    session_rows::stretch_of,
    sliding_interval::{Arrival, KeyWindows, Lineage, SlidingInterval, State},
    sliding_rows::append_window,
    sliding_states::{FoldedRows, SlidingStates},
    sliding_updates::{SlidingUpdates, TouchedWindows},
    table::{drop_null_keys, stored_fields},
};
use crate::{
    Batch,
    expression::RowError,
    record::{TimeSpan, Timestamp},
    row::RowCodec,
    schema::StreamSchema,
    window::{EmitStrategy, SlidingWindows},
};

/// What a sliding aggregate is built from.
#[derive(Clone)]
pub struct SlidingAggregateSettings {
    /// The number of its store in the task.
    pub store: usize,
    /// The number of the index in the task.
    pub index: usize,
    /// Key columns of the input, window bounds, result columns.
    pub output: Arc<StreamSchema>,
    /// What is computed.
    pub fold: Arc<dyn FoldFactory>,
    /// Which windows there are.
    pub windows: SlidingWindows,
    /// How long windows are visible, from their start; at least twice the time difference, and the grace.
    pub retention: TimeSpan,
    /// How long the stretches of time are by which the index is stored.
    pub span: TimeSpan,
    /// Which results are passed on.
    pub strategy: EmitStrategy,
    /// When updates are passed on.
    pub emit: EmitPolicy,
    /// How many inputs it has: more than one where streams are cogrouped.
    pub inputs: usize,
    /// Whether deletions are passed on of what was not there.
    pub tombstones: Tombstones,
    /// Whether someone below needs to know what was there before.
    pub needs_before: bool,
}

/// Aggregates rows by key and sliding window.
pub struct SlidingAggregate {
    settings: SlidingAggregateSettings,
    /// The highest timestamp of each input; of the first one for all if only final results are passed on.
    stream_times: Vec<Timestamp>,
    /// The latest start of a window that was written.
    latest_start: Timestamp,
    finals: Option<FinalResults>,
    keys: RowCodec,
    states: RowCodec,
    /// What was changed since the last flush and not passed on yet.
    touched: TouchedWindows,
}

/// Rows that are late, and why.
type Late = Vec<(usize, String)>;

/// What came of rows.
#[derive(Default)]
pub(super) struct Processed {
    pub(super) updates: Vec<Batch>,
    pub(super) late: Late,
    pub(super) errors: Vec<RowError>,
    pub(super) failures: Vec<FoldFailure>,
}

impl Processed {
    /// Takes what came of the rows from `first` on.
    fn add(&mut self, rows: Self, first: usize) {
        self.updates.extend(rows.updates);
        self.late.extend(rows.late.into_iter().map(|(row, problem)| (first + row, problem)));
        self.errors.extend(rows.errors.into_iter().map(|error| RowError { row: first + error.row, ..error }));
        self.failures.extend(rows.failures);
    }
}

impl SlidingAggregate {
    /// An aggregate that has seen no record yet.
    ///
    /// # Errors
    /// [`FoldError`] if a column has no row encoding or a function no accumulator.
    pub fn new(settings: SlidingAggregateSettings) -> Result<Self, FoldError> {
        settings.fold.create()?;
        let finals = FinalResults::of_sliding(settings.strategy, &settings.windows, settings.retention);
        Ok(Self {
            stream_times: vec![Timestamp::NONE; settings.inputs],
            latest_start: Timestamp::NONE,
            finals,
            keys: RowCodec::new(settings.output.key()).map_err(FoldError::of)?,
            states: RowCodec::new(&stored_fields(settings.fold.clone().layout().as_ref())).map_err(FoldError::of)?,
            touched: TouchedWindows::default(),
            settings,
        })
    }

    /// Whether each update is passed on by itself.
    fn passes_each_on(&self) -> bool {
        self.settings.emit == EmitPolicy::Record && self.finals.is_none()
    }

    /// Stream time at each row, the row included; `None` where the row is late as a whole.
    fn observe(&mut self, batch: &Batch, input: usize, late: &mut Late) -> Vec<Option<Timestamp>> {
        let windows = self.settings.windows;
        let clock = if self.finals.is_some() { 0 } else { input };
        let mut stream_time = self.stream_times[clock];
        let mut observed = Vec::with_capacity(batch.len());
        for (row, &time) in batch.times().values().iter().enumerate() {
            let time = Timestamp(time);
            if time > stream_time {
                self.finals.iter_mut().for_each(|finals| finals.advance(stream_time, time));
                stream_time = time;
            }
            let is_late = windows.is_late(time, stream_time);
            if is_late {
                late.push((row, late_for_sliding(windows, time, time.millis(), stream_time)));
            }
            observed.push((!is_late).then_some(stream_time));
        }
        self.stream_times[clock] = stream_time;
        observed
    }

    /// Lets the rows fall into their windows, and gives what came of it. `observed` is stream time at each row that is not late.
    fn assign(
        &self,
        batch: &Batch,
        observed: &[Option<Timestamp>],
        stores: &mut [TaskStore],
        late: &mut Late,
    ) -> Result<SlidingInterval, FoldError> {
        let SlidingAggregateSettings { windows, retention, span, index, .. } = self.settings;
        let lineage = if self.passes_each_on() { Lineage::Every } else { Lineage::Last };
        let mut interval = SlidingInterval::new(windows, lineage, self.latest_start.millis());
        let encoded = self.keys.encode(&batch.keys()[..self.settings.output.key().len()]).map_err(FoldError::of)?;
        let times = batch.times().values();
        let mut lookups = Vec::new();
        let mut numbers = Vec::with_capacity(batch.len());
        for (row, observed) in observed.iter().enumerate() {
            numbers.push(observed.map(|_| interval.number(encoded.row(row).data())));
            numbers[row].into_iter().for_each(|key| interval.missing(key, times[row], span, &mut lookups));
        }
        look_up(&mut interval, &lookups, &mut stores[index])?;
        for (row, (key, stream_time)) in numbers.iter().zip(observed).enumerate() {
            let (Some(key), Some(stream_time)) = (*key, *stream_time) else { continue };
            let arrival = Arrival {
                key,
                row: row as u32,
                time: times[row],
                closed_before: windows.closed_before(stream_time).millis(),
                visible_from: Timestamp(interval.latest_start).minus(retention).millis().saturating_add(1),
            };
            for start in interval.arrive(arrival) {
                late.push((row, late_for_sliding(windows, Timestamp(times[row]), start, stream_time)));
            }
        }
        Ok(interval)
    }

    /// Writes the windows that have changed, and the stretches of the index that hold them.
    fn write(
        &self,
        interval: &SlidingInterval,
        states: &SlidingStates,
        stores: &mut [TaskStore],
    ) -> Result<(), FoldError> {
        let (mut names, mut places, mut times) = (Vec::new(), Vec::new(), Vec::new());
        let store = &mut stores[self.settings.store];
        for key in &interval.keys {
            for (&start, live) in key.live.iter().filter(|(_, live)| live.state != live.before) {
                if states.is_gone(live.state) && live.before != State::Nothing {
                    let mut name = Vec::new();
                    window_key(start, &key.key, &mut name);
                    store.put(&name, None, Timestamp(live.time));
                }
            }
        }
        for key in &interval.keys {
            let mut changed = key.live.iter().filter(|(_, live)| live.state != live.before).peekable();
            while let Some((&start, live)) = changed.next() {
                if let Some(place) = states.place(live.state) {
                    let mut name = Vec::new();
                    window_key(start, &key.key, &mut name);
                    names.push(name);
                    places.push(place);
                    times.push(live.time);
                }
                let stretch = self.stretch_of(start);
                if changed.peek().is_none_or(|(next, _)| self.stretch_of(**next) != stretch) {
                    self.write_stretch(stretch, key, states, &mut stores[self.settings.index]);
                }
            }
        }
        let mut columns = states.take(&places)?;
        columns.push(Arc::new(Int64Array::from(times.clone())));
        let rows = self.states.encode(&columns).map_err(FoldError::of)?;
        for ((name, row), time) in names.iter().zip(&rows).zip(times) {
            stores[self.settings.store].put(name, Some(row.data()), Timestamp(time));
        }
        Ok(())
    }

    fn stretch_of(&self, start: i64) -> i64 {
        stretch_of(start, self.settings.span)
    }

    fn write_stretch(&self, stretch: i64, key: &KeyWindows, states: &SlidingStates, index: &mut TaskStore) {
        let (mut name, mut value, mut newest) = (Vec::new(), Vec::new(), i64::MIN);
        window_key(stretch, &key.key, &mut name);
        let end = stretch.saturating_add(self.settings.span.millis() - 1);
        for (&start, live) in key.live.range(stretch..=end) {
            if live.state == live.before || states.place(live.state).is_some() {
                append_window(start, live.time, &mut value);
                newest = newest.max(live.time);
            }
        }
        index.put(&name, (!value.is_empty()).then_some(&value[..]), Timestamp(newest.max(stretch)));
    }

    fn updates(&self) -> SlidingUpdates<'_> {
        SlidingUpdates { settings: &self.settings, keys: &self.keys, states: &self.states }
    }

    /// Takes a batch of rows with keys and values; gives the updates that are to be passed on at once.
    ///
    /// If a fold can leave nothing of a window, which then is no more and makes no others, rows are taken one by one.
    fn process(&mut self, batch: &Batch, input: usize, stores: &mut [TaskStore]) -> Result<Processed, FoldError> {
        let mut done = Processed::default();
        let observed = self.observe(batch, input, &mut done.late);
        let at_once = if self.settings.fold.can_delete() { 1 } else { batch.len() };
        for first in (0..batch.len()).step_by(at_once) {
            let rows = first..first + at_once;
            let part = self.process_part(&batch.slice(first, at_once), input, &observed[rows], stores)?;
            done.add(part, first);
        }
        Ok(done)
    }

    fn process_part(
        &mut self,
        batch: &Batch,
        input: usize,
        observed: &[Option<Timestamp>],
        stores: &mut [TaskStore],
    ) -> Result<Processed, FoldError> {
        let mut done = Processed::default();
        let interval = self.assign(batch, observed, stores, &mut done.late)?;
        if interval.updates.is_empty() {
            return Ok(done);
        }
        let SlidingAggregateSettings { store, fold, .. } = &self.settings;
        let rows = FoldedRows { batch, input, fold: fold.as_ref(), codec: &self.states };
        let states = SlidingStates::fold(&interval, &rows, &mut stores[*store], &mut done)?;
        self.latest_start = Timestamp(interval.latest_start);
        self.write(&interval, &states, stores)?;
        match (self.passes_each_on(), &self.finals) {
            (true, _) => done.updates.extend(self.updates().of_each(batch, &interval, &states)?),
            (false, None) => self.touched.add(&interval, &states),
            (false, Some(_)) => {}
        }
        Ok(done)
    }

    /// Passes on the stored rows of windows that have closed.
    fn emit_final(&mut self, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let Some(finals) = &mut self.finals else { return Ok(()) };
        let SlidingAggregateSettings { store, output, fold, .. } = &self.settings;
        let rows = StoredWindows { store: *store, output, fold: fold.as_ref(), keys: &self.keys, states: &self.states };
        finals.emit(self.stream_times[0], &rows, context)
    }
}

/// Reads stretches of the index.
fn look_up(interval: &mut SlidingInterval, lookups: &[(usize, i64)], index: &mut TaskStore) -> Result<(), FoldError> {
    let name = |&(key, stretch): &(usize, i64)| {
        let mut name = Vec::new();
        window_key(stretch, &interval.keys[key].key, &mut name);
        name
    };
    let names: Vec<Vec<u8>> = lookups.iter().map(name).collect();
    let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
    let mut each = |place: usize, value: Option<&[u8]>| {
        if let Some(value) = value {
            interval.found(lookups[place].0, value);
        }
    };
    index.get_many(&names, &mut each).map_err(FoldError::of)
}

/// The rows that have a value and a timestamp that a window can have; the others are dead letters.
fn drop_unusable(batch: Batch, context: &mut Context<'_>) -> Result<Batch, OperatorError> {
    let mut batch = drop_null_keys(batch, context)?;
    if let Some(present) = batch.present().cloned() {
        let without = (0..batch.len()).filter(|&row| present.is_null(row));
        context.reject(&batch, Reason::NullValue, without.map(|row| (row, "the record has no value".to_owned())));
        let keep = BooleanArray::new(present.into_inner(), None);
        batch = batch.filter(&keep).map_err(|error| context.error(error))?;
    }
    if batch.times().values().iter().any(|&time| time < 0) {
        let before = (0..batch.len()).filter(|&row| batch.times().value(row) < 0);
        let problem = |row| (row, "the record is before the epoch, where no window begins".to_owned());
        context.reject(&batch, Reason::Timestamp, before.map(problem));
        let keep = compute::kernels::cmp::gt_eq(batch.times(), &Int64Array::new_scalar(0));
        batch = keep.and_then(|keep| batch.filter(&keep)).map_err(|error| context.error(error))?;
    }
    Ok(batch)
}

impl Operator for SlidingAggregate {
    fn on_batch(&mut self, batch: Batch, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let batch = drop_unusable(batch, context)?;
        if batch.is_empty() {
            return Ok(());
        }
        let processed = self.process(&batch, context.input, context.stores).map_err(|error| context.error(error))?;
        let Processed { updates, mut late, mut errors, failures } = processed;
        context.output.extend(updates);
        late.sort_by_key(|(row, _)| *row);
        context.reject_late(&batch, late)?;
        errors.sort_by_key(|error| error.row);
        errors.dedup_by_key(|error| error.row);
        context.reject(&batch, Reason::Expression, errors.into_iter().map(|error| (error.row, error.problem)));
        context.reject_folded(failures);
        match (self.settings.emit, &self.finals) {
            (EmitPolicy::Record, Some(_)) => self.emit_final(context),
            _ => Ok(()),
        }
    }

    fn on_flush(&mut self, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let touched = self.touched.take();
        let updates = self.updates().of_touched(touched, &mut context.stores[self.settings.store]);
        let updates = updates.map_err(|error| context.error(error))?;
        context.output.extend(updates);
        self.emit_final(context)
    }

    fn stream_time(&self) -> Option<Timestamp> {
        Some(self.stream_times[0])
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
        std::iter::once(self.latest_start).chain(self.stream_times[1..].iter().copied()).collect()
    }

    fn restore_clock(&mut self, index: usize, time: Timestamp) {
        let clock = if index == 0 { Some(&mut self.latest_start) } else { self.stream_times.get_mut(index) };
        clock.into_iter().for_each(|clock| *clock = time.max(*clock));
    }
}
