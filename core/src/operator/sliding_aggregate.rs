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
//! the retention before the latest start that was ever written are not looked at.
//!
//! # State
//! One row a key and window, as of other time windows; beside them an index, described in `sliding_rows`. Both are kept one time difference
//! longer than is visible.
//!
//! Nulls: a record without key or without value is a dead letter. So is a record that is late; one that misses some of its windows, because
//! they are closed, is a dead letter for each of them.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BinaryArray, BooleanArray, Int64Array, UInt32Array},
    buffer::NullBuffer,
    compute,
};
use hashbrown::HashMap;
use millstream_state::key::{split_window_key, window_key};

use super::{
    Context, EmitPolicy, FoldError, FoldFactory, Operator, OperatorError, Reason, TaskStore,
    final_results::{FinalResults, StoredWindows},
    fold::scatter,
    session_rows::stretch_of,
    sliding_interval::{Arrival, KeyWindows, Lineage, SlidingInterval, State},
    sliding_rows::append_window,
    sliding_states::{Place, SlidingStates},
    table::{drop_null_keys, stored_fields},
};
use crate::{
    Batch,
    batch::Before,
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
    /// Whether someone below needs to know what was there before.
    pub needs_before: bool,
}

/// Aggregates rows by key and sliding window.
pub struct SlidingAggregate {
    settings: SlidingAggregateSettings,
    stream_time: Timestamp,
    /// The latest start of a window that was written.
    latest_start: Timestamp,
    finals: Option<FinalResults>,
    keys: RowCodec,
    states: RowCodec,
    /// What was changed since the last flush and not passed on yet: stored keys in the order of first touch, and what was there before.
    touched: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// The places of stored keys in `touched`.
    places: HashMap<Vec<u8>, usize>,
}

impl SlidingAggregate {
    /// An aggregate that has seen no record yet.
    ///
    /// # Errors
    /// [`FoldError`] if a column has no row encoding or a function no accumulator.
    pub fn new(settings: SlidingAggregateSettings) -> Result<Self, FoldError> {
        settings.fold.create()?;
        let finals = FinalResults::new(settings.strategy, settings.windows.as_time_windows(), settings.retention);
        Ok(Self {
            stream_time: Timestamp::NONE,
            latest_start: Timestamp::NONE,
            finals,
            keys: RowCodec::new(settings.output.key()).map_err(FoldError::of)?,
            states: RowCodec::new(&stored_fields(settings.fold.clone().layout().as_ref())).map_err(FoldError::of)?,
            touched: Vec::new(),
            places: HashMap::new(),
            settings,
        })
    }

    /// Whether each update is passed on by itself.
    fn passes_each_on(&self) -> bool {
        self.settings.emit == EmitPolicy::Record && self.finals.is_none()
    }

    /// Stream time at each row, the row included; `None` where the row is late as a whole.
    fn observe(&mut self, batch: &Batch, late: &mut Vec<(usize, String)>) -> Vec<Option<Timestamp>> {
        let windows = self.settings.windows;
        let mut observed = Vec::with_capacity(batch.len());
        for (row, &time) in batch.times().values().iter().enumerate() {
            let time = Timestamp(time);
            if time > self.stream_time {
                self.finals.iter_mut().for_each(|finals| finals.advance(self.stream_time, time));
                self.stream_time = time;
            }
            let is_late = windows.is_late(time, self.stream_time);
            if is_late {
                let end = time.plus(windows.time_difference());
                late.push((row, lateness(windows, time, (time, end), self.stream_time)));
            }
            observed.push((!is_late).then_some(self.stream_time));
        }
        observed
    }

    /// Lets the rows fall into their windows, and gives what came of it.
    fn assign(
        &mut self,
        batch: &Batch,
        stores: &mut [TaskStore],
        late: &mut Vec<(usize, String)>,
    ) -> Result<SlidingInterval, FoldError> {
        let SlidingAggregateSettings { windows, retention, span, index, .. } = self.settings;
        let observed = self.observe(batch, late);
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
        for (row, (key, stream_time)) in numbers.iter().zip(&observed).enumerate() {
            let (Some(key), Some(stream_time)) = (*key, *stream_time) else { continue };
            let arrival = Arrival {
                key,
                row: row as u32,
                time: times[row],
                closed_before: windows.closed_before(stream_time).millis(),
                visible_from: Timestamp(interval.latest_start).minus(retention).millis().saturating_add(1),
            };
            for start in interval.arrive(arrival) {
                let bounds = (Timestamp(start), Timestamp(windows.end_of(start)));
                late.push((row, lateness(windows, Timestamp(times[row]), bounds, stream_time)));
            }
        }
        self.latest_start = Timestamp(interval.latest_start);
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

    /// Each update as a row.
    fn updates(
        &self,
        batch: &Batch,
        interval: &SlidingInterval,
        states: &SlidingStates,
    ) -> Result<Option<Batch>, FoldError> {
        let kept: Vec<_> =
            interval.updates.iter().filter_map(|update| Some((update, states.place(update.state)?))).collect();
        if kept.is_empty() {
            return Ok(None);
        }
        let places: Vec<Place> = kept.iter().map(|(_, place)| *place).collect();
        let results = self.settings.fold.results_of(&states.take(&places)?)?;
        let before = match self.settings.needs_before {
            false => None,
            true => {
                let befores: Vec<Option<Place>> = kept.iter().map(|(update, _)| states.place(update.before)).collect();
                let places: Vec<Place> = befores.iter().copied().flatten().collect();
                let had: Vec<usize> = (0..befores.len()).filter(|&row| befores[row].is_some()).collect();
                let values = self.settings.fold.results_of(&states.take(&places)?)?;
                let present = NullBuffer::from_iter(befores.iter().map(Option::is_some));
                Some(Before { values: scatter(&values, &had, befores.len())?, present: Some(present) })
            }
        };
        let keys = kept.iter().map(|(update, _)| &*interval.keys[update.key].key);
        let starts = Int64Array::from_iter_values(kept.iter().map(|(update, _)| update.start));
        let times = Int64Array::from_iter_values(kept.iter().map(|(update, _)| update.time));
        let rows = UInt32Array::from_iter_values(kept.iter().map(|(update, _)| update.row));
        let updates = self.rows(self.keys.decode(keys).map_err(FoldError::of)?, starts, results, Arc::new(times));
        Ok(Some(updates.with_before(before).with_headers(batch.headers_at(&rows).map_err(FoldError::of)?)))
    }

    fn rows(&self, mut columns: Vec<ArrayRef>, starts: Int64Array, results: Vec<ArrayRef>, times: ArrayRef) -> Batch {
        let offsets = Batch::no_offsets(starts.len());
        columns.extend(self.settings.windows.as_time_windows().bound_columns(Arc::new(starts)));
        columns.extend(results);
        columns.extend([times, offsets]);
        Batch::new(Arc::clone(&self.settings.output), columns)
    }

    /// Remembers which windows have changed, and what they were before the first change.
    fn touch(&mut self, interval: &SlidingInterval, states: &SlidingStates) -> Result<(), FoldError> {
        for update in &interval.updates {
            let live = interval.keys[update.key].live[&update.start];
            if states.place(live.state).is_none() {
                continue;
            }
            let mut name = Vec::new();
            window_key(update.start, &interval.keys[update.key].key, &mut name);
            if !self.places.contains_key(&name) {
                self.places.insert(name.clone(), self.touched.len());
                let before = match update.before {
                    State::Stored(stored) if self.settings.needs_before => {
                        states.stored_row(stored).map(<[u8]>::to_vec)
                    }
                    _ => None,
                };
                self.touched.push((name, before));
            }
        }
        Ok(())
    }

    /// The windows that have changed since the last flush, each once, in the order of the first change.
    fn flush(&mut self, store: &mut TaskStore) -> Result<Option<Batch>, FoldError> {
        let touched = std::mem::take(&mut self.touched);
        self.places.clear();
        if touched.is_empty() {
            return Ok(None);
        }
        let names: Vec<&[u8]> = touched.iter().map(|(name, _)| name.as_slice()).collect();
        let mut rows: Vec<Option<Vec<u8>>> = vec![None; names.len()];
        store.get_many(&names, &mut |row, value| rows[row] = value.map(<[u8]>::to_vec)).map_err(FoldError::of)?;
        let rows: Option<BinaryArray> = rows
            .iter()
            .map(Option::as_deref)
            .all(|row| row.is_some())
            .then(|| rows.iter().map(Option::as_deref).collect());
        let rows = rows.ok_or_else(|| FoldError::of("a window that was just written is not there"))?;
        let mut states = self.states.decode(rows.iter().flatten()).map_err(FoldError::of)?;
        let times = states.pop().ok_or_else(|| FoldError::of("a stored row has no timestamp"))?;
        let results = self.settings.fold.results_of(&states)?;
        let split: Vec<(i64, &[u8])> = names.iter().filter_map(|name| split_window_key(name)).collect();
        let keys = self.keys.decode(split.iter().map(|(_, key)| *key)).map_err(FoldError::of)?;
        let starts = Int64Array::from_iter_values(split.iter().map(|(start, _)| *start));
        let before = self.settings.needs_before.then(|| self.before(&touched)).transpose()?;
        Ok(Some(self.rows(keys, starts, results, times).with_before(before)))
    }

    fn before(&self, touched: &[(Vec<u8>, Option<Vec<u8>>)]) -> Result<Before, FoldError> {
        let had: Vec<usize> = (0..touched.len()).filter(|&row| touched[row].1.is_some()).collect();
        let rows = touched.iter().filter_map(|(_, before)| before.as_deref());
        let mut states = self.states.decode(rows).map_err(FoldError::of)?;
        states.pop();
        let values = scatter(&self.settings.fold.results_of(&states)?, &had, touched.len())?;
        Ok(Before { values, present: Some(NullBuffer::from_iter(touched.iter().map(|(_, before)| before.is_some()))) })
    }

    /// Takes a batch of rows with keys and values; gives the updates that are to be passed on at once.
    fn process(
        &mut self,
        batch: &Batch,
        stores: &mut [TaskStore],
        late: &mut Vec<(usize, String)>,
        errors: &mut Vec<RowError>,
    ) -> Result<Option<Batch>, FoldError> {
        let interval = self.assign(batch, stores, late)?;
        if interval.updates.is_empty() {
            return Ok(None);
        }
        let store = &mut stores[self.settings.store];
        let states = SlidingStates::fold(&interval, batch, self.settings.fold.as_ref(), &self.states, store, errors)?;
        self.write(&interval, &states, stores)?;
        match (self.passes_each_on(), &self.finals) {
            (true, _) => self.updates(batch, &interval, &states),
            (false, None) => self.touch(&interval, &states).map(|()| None),
            (false, Some(_)) => Ok(None),
        }
    }

    /// Passes on the stored rows of windows that have closed.
    fn emit_final(&mut self, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let Some(finals) = &mut self.finals else { return Ok(()) };
        let SlidingAggregateSettings { store, output, fold, .. } = &self.settings;
        let rows = StoredWindows { store: *store, output, fold: fold.as_ref(), keys: &self.keys, states: &self.states };
        finals.emit(self.stream_time, &rows, context)
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

fn lateness(
    windows: SlidingWindows,
    time: Timestamp,
    (start, end): (Timestamp, Timestamp),
    stream_time: Timestamp,
) -> String {
    format!(
        "the record of {time} is late for the window {start} to {end}: stream time is {stream_time}, grace {}",
        windows.grace()
    )
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
        let (mut late, mut errors) = (Vec::new(), Vec::new());
        let updates = self.process(&batch, context.stores, &mut late, &mut errors);
        context.output.extend(updates.map_err(|error| context.error(error))?);
        late.sort_by_key(|(row, _)| *row);
        context.reject(&batch, Reason::Late, late);
        errors.sort_by_key(|error| error.row);
        errors.dedup_by_key(|error| error.row);
        context.reject(&batch, Reason::Expression, errors.into_iter().map(|error| (error.row, error.problem)));
        match (self.settings.emit, &self.finals) {
            (EmitPolicy::Record, Some(_)) => self.emit_final(context),
            _ => Ok(()),
        }
    }

    fn on_flush(&mut self, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let updates = self.flush(&mut context.stores[self.settings.store]).map_err(|error| context.error(error))?;
        context.output.extend(updates);
        self.emit_final(context)
    }

    fn stream_time(&self) -> Option<Timestamp> {
        Some(self.stream_time)
    }

    fn restore_stream_time(&mut self, stream_time: Timestamp) {
        self.stream_time = self.stream_time.max(stream_time);
        self.finals.iter_mut().for_each(|finals| finals.restore(stream_time));
    }

    fn clocks(&self) -> Vec<Timestamp> {
        vec![self.latest_start]
    }

    fn restore_clock(&mut self, _index: usize, time: Timestamp) {
        self.latest_start = self.latest_start.max(time);
    }
}
