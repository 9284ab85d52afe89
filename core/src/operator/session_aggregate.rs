//! Session aggregate: one state per key and session, revised and merged by each record.
//!
//! Records are folded in memory; [`SessionInterval`] keeps which sessions they join. At the flush the parts of each changed session are
//! merged once, old sessions are deleted and new ones written. Under [`EmitPolicy::Record`] the rows of a batch are dealt into rounds in
//! which no key occurs twice, as in [`Aggregate`](super::Aggregate), and each round is flushed.
//!
//! What a record at `t` passes on under [`EmitPolicy::Record`], exactly as Kafka Streams does: a tombstone for each session that it joins,
//! at that session's end, then the joined session, at its end. If the only session it joins is `[t, t]` itself there is no tombstone. Under
//! [`EmitPolicy::Commit`] a tombstone for each session that is no more, and one row for each that is new or other than before.
//!
//! ```text
//! gap 5    10 -> [10,10]    14 -> tombstone [10,10], [10,14]    19 -> tombstone [10,14], [10,19]
//! ```
//!
//! Invariants: stream time never goes back and includes the record that is looked at; a closed session is never revised once its final
//! result was passed on; the timestamp of a result is the session's end.
//!
//! # State
//! Described in `session_rows`. Sessions that end more than the retention before stream time are not found any more; where only final
//! results are passed on, closed ones are not.
//!
//! Nulls: a record without key is a dead letter; one without value counts, as in Kafka Streams.

use std::{ops::Range, sync::Arc};

use arrow::array::{ArrayRef, Int64Array, UInt32Array};

use super::{
    Context, EmitPolicy, Fold, FoldError, FoldFactory, Operator, OperatorError, Reason, Rows,
    lateness::{late_for_session, move_on},
    rounds::rounds,
    session_interval::{Live, Part, SessionInterval},
    session_rows::{append_session, first_open_end, sessions_in, stretch_of},
    session_states::{SessionMerge, SessionStates},
    session_updates::{Final, SessionRows, by_key, updates},
    table::{drop_null_keys, stored_fields},
    task_store::TaskStore,
};
use crate::{
    Batch,
    expression::RowError,
    record::{TimeSpan, Timestamp},
    row::RowCodec,
    schema::StreamSchema,
    window::{EmitStrategy, Session, SessionWindows},
};

/// What a session aggregate is built from.
#[derive(Clone)]
pub struct SessionAggregateSettings {
    /// The number of its store in the task.
    pub store: usize,
    /// Key columns of the input, session bounds, result columns.
    pub output: Arc<StreamSchema>,
    /// What is computed; its states can be merged.
    pub fold: Arc<dyn FoldFactory>,
    /// When sessions end.
    pub windows: SessionWindows,
    /// How long sessions are found again, from their end; at least gap and grace.
    pub retention: TimeSpan,
    /// How long the stretches of time are by which sessions are stored.
    pub span: TimeSpan,
    /// Which results are passed on.
    pub strategy: EmitStrategy,
    /// When updates are passed on.
    pub emit: EmitPolicy,
    /// How many inputs it has: more than one where streams are cogrouped.
    pub inputs: usize,
    /// Whether someone below needs to know what was there before.
    pub needs_before: bool,
}

/// Aggregates rows by key and session.
pub struct SessionAggregate {
    settings: SessionAggregateSettings,
    /// The highest timestamp of all inputs.
    stream_time: Timestamp,
    /// That of each input, which decides about its records.
    stream_times: Vec<Timestamp>,
    /// The stream time of the last flush: no stored session ends later.
    flushed_at: Timestamp,
    /// The stream time at which final results were passed on last.
    emitted_at: Timestamp,
    /// A stream time that was forgotten at the start: stored sessions may end by then.
    forgotten: Timestamp,
    keys: RowCodec,
    states: RowCodec,
    fold: Box<dyn Fold>,
    interval: SessionInterval,
}

/// The time at a record.
#[derive(Clone, Copy)]
struct Observed {
    /// Stream time of its input, the record included: it decides whether the record is late.
    now: Timestamp,
    /// Stream time of all inputs, the record not included: it decides which sessions are found.
    before: Timestamp,
}

/// Rows that are late, and why.
type Late = Vec<(usize, String)>;

impl SessionAggregate {
    /// An aggregate with nothing folded yet.
    ///
    /// # Errors
    /// [`FoldError`] if a column has no row encoding or a function no accumulator.
    pub fn new(settings: SessionAggregateSettings) -> Result<Self, FoldError> {
        Ok(Self {
            stream_time: Timestamp::NONE,
            stream_times: vec![Timestamp::NONE; settings.inputs],
            flushed_at: Timestamp::NONE,
            emitted_at: Timestamp::NONE,
            forgotten: Timestamp::NONE,
            keys: RowCodec::new(settings.output.key()).map_err(FoldError::of)?,
            states: RowCodec::new(&stored_fields(settings.fold.clone().layout().as_ref())).map_err(FoldError::of)?,
            fold: settings.fold.create()?,
            interval: SessionInterval::default(),
            settings,
        })
    }

    fn restore_clock_of(&mut self, input: usize, time: Timestamp) {
        if let Some(stream_time) = self.stream_times.get_mut(input) {
            *stream_time = time.max(*stream_time);
            self.stream_time = self.stream_time.max(time);
            self.flushed_at = self.stream_time;
        }
    }

    fn rows(&self) -> SessionRows<'_> {
        let SessionAggregateSettings { output, fold, needs_before, .. } = &self.settings;
        SessionRows { output, fold: fold.as_ref(), keys: &self.keys, needs_before: *needs_before }
    }

    /// Sessions that end before this are not found any more: as Kafka Streams' stores do, it looks at the time before the record.
    fn open_from(&self, observed: Observed) -> i64 {
        let kept = match observed.before {
            Timestamp::NONE => i64::MIN,
            before => before.minus(self.settings.retention).millis().saturating_add(1),
        };
        let open = self.settings.windows.closed_before(observed.now).millis();
        match self.settings.strategy {
            EmitStrategy::OnUpdate => kept,
            EmitStrategy::OnClose => open,
            EmitStrategy::OnCloseIfKept => kept.max(open),
        }
    }

    /// Reads the sessions that the rows may join, as far as they are not known yet. `observed` is stream time at each row.
    fn look_up(
        &mut self,
        numbers: &[usize],
        times: &[i64],
        observed: &[Observed],
        store: &mut TaskStore,
    ) -> Result<(), FoldError> {
        let mut lookups = Vec::new();
        for ((&key, &time), &observed) in numbers.iter().zip(times).zip(observed) {
            let stream_time = observed.now;
            let newest = match self.settings.emit {
                EmitPolicy::Commit => self.flushed_at,
                // Sessions of another input may end later.
                EmitPolicy::Record if self.settings.inputs > 1 => stream_time.max(self.flushed_at),
                EmitPolicy::Record => stream_time.max(self.forgotten),
            };
            if newest != Timestamp::NONE {
                let open_from = self.open_from(observed);
                // At least the stretch that the record's own session lies in, which is written whole.
                let earliest = time.saturating_sub(self.settings.windows.gap().millis()).max(open_from).min(time);
                self.interval.missing(key, earliest, newest.millis(), self.settings.span, &mut lookups);
            }
        }
        if lookups.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        let mut ends = Vec::with_capacity(lookups.len());
        for &(key, stretch) in &lookups {
            millstream_state::key::window_key(stretch, &self.interval.keys[key].key, &mut bytes);
            ends.push(bytes.len());
        }
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let stored_keys: Vec<&[u8]> = starts.zip(&ends).map(|(start, &end)| &bytes[start..end]).collect();
        let interval = &mut self.interval;
        let mut each = |index: usize, value: Option<&[u8]>| {
            if let Some(value) = value {
                interval.found(lookups[index].0, value);
            }
        };
        store.get_many(&stored_keys, &mut each).map_err(FoldError::of)
    }

    /// Lets rows join sessions and folds them; gives the rows that are late and why.
    fn fold(
        &mut self,
        batch: &Batch,
        observed: &[Observed],
        (input, store): (usize, &mut TaskStore),
        errors: &mut Vec<RowError>,
    ) -> Result<Late, FoldError> {
        let key_columns = &batch.keys()[..self.settings.output.key().len()];
        let encoded = self.keys.encode(key_columns).map_err(FoldError::of)?;
        let numbers: Vec<usize> = encoded.iter().map(|key| self.interval.number(key.as_ref())).collect();
        let times = batch.times().values();
        self.look_up(&numbers, times, observed, store)?;
        let windows = self.settings.windows;
        let (mut rows, mut groups) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        let mut late = Vec::new();
        for (row, (&key, &time)) in numbers.iter().zip(times).enumerate() {
            let stream_time = observed[row].now;
            let closed_before = windows.closed_before(stream_time).millis();
            match self.interval.join(key, time, windows, self.open_from(observed[row]), closed_before) {
                Ok(group) => {
                    rows.push(row as u32);
                    groups.push(group);
                }
                Err(session) => late.push((row, late_for_session(windows, time, session, stream_time))),
            }
        }
        let picked = (rows.len() < batch.len()).then(|| UInt32Array::from(rows));
        let total = self.interval.groups;
        if !groups.is_empty() {
            self.fold.add(&Rows { batch, picked: picked.as_ref(), groups: &groups, total, input }, errors)?;
        }
        Ok(late)
    }

    /// Merges and writes what has changed since the last flush. Gives the updates, by key in the order of first touch, and the number of
    /// each update's key.
    fn flush(&mut self, store: &mut TaskStore) -> Result<Option<(Batch, Vec<usize>)>, FoldError> {
        let interval = std::mem::take(&mut self.interval);
        self.flushed_at = self.stream_time;
        if interval.groups == 0 {
            return Ok(None);
        }
        // The states of stored sessions that are no more, then those of the groups.
        let replaced: Vec<usize> = (0..interval.stored.len()).filter(|&one| interval.stored[one].replaced).collect();
        let rows = replaced.iter().map(|&one| &interval.bytes[interval.stored[one].row.clone()]);
        let mut old_states = self.states.decode(rows).map_err(FoldError::of)?;
        old_states.pop();
        let merge = SessionMerge { factory: self.settings.fold.as_ref(), interval: &interval, replaced: &replaced };
        let SessionStates { finals, states } = match self.settings.emit {
            EmitPolicy::Record if merge.factory.folds_into_merged() => {
                merge.in_order(self.fold.as_mut(), &old_states)?
            }
            EmitPolicy::Record | EmitPolicy::Commit => merge.of_parts(self.fold.as_mut(), &old_states)?,
        };
        let finals_of = by_key(&finals, interval.keys.len());
        self.write(&interval, &finals, &finals_of, &states, store)?;
        if self.settings.strategy.is_final() {
            return Ok(None);
        }
        let updates = updates(&interval, &finals, &finals_of, &replaced, self.settings.emit);
        let batch = self.rows().of_updates(&interval, &updates, &states, &old_states)?;
        Ok((!batch.is_empty()).then(|| (batch, updates.iter().map(|update| update.key).collect())))
    }

    /// Writes the stretches that hold a session which came, went or changed.
    fn write(
        &self,
        interval: &SessionInterval,
        finals: &[Final],
        finals_of: &[Range<usize>],
        states: &[ArrayRef],
        store: &mut TaskStore,
    ) -> Result<(), FoldError> {
        let ends: ArrayRef = Arc::new(Int64Array::from_iter_values(finals.iter().map(|one| one.session.end)));
        let columns: Vec<ArrayRef> = states.iter().cloned().chain([ends]).collect();
        let rows = self.states.encode(&columns).map_err(FoldError::of)?;
        let mut touched: Vec<(usize, i64, i64)> = Vec::new();
        let stretch = |session: Session| stretch_of(session.end, self.settings.span);
        touched.extend(finals.iter().map(|one| (one.key, stretch(one.session), one.session.end)));
        let gone = interval.stored.iter().filter(|one| one.replaced);
        touched.extend(gone.map(|one| (one.key, stretch(one.session), one.session.end)));
        touched.sort_unstable();
        let (mut stored_key, mut value) = (Vec::new(), Vec::new());
        for row in touched.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let (key, start, newest) = row[row.len() - 1];
            stored_key.clear();
            millstream_state::key::window_key(start, &interval.keys[key].key, &mut stored_key);
            value.clear();
            let mut own = finals_of[key].clone().peekable();
            let lives = interval.keys[key].live.as_slice();
            // A new session with the bounds of one that is not found any more takes its place.
            let is_replaced = |place: usize, one: &Live| {
                let newer = if one.changed { &lives[place + 1..] } else { lives };
                newer.iter().any(|other| other.changed && other.session == one.session)
            };
            for (place, live) in lives.iter().enumerate() {
                let state = match live.parts[..] {
                    [Part::Stored(one)] if !live.changed => Some(&interval.bytes[interval.stored[one].row.clone()]),
                    _ => own
                        .next_if(|&number| finals[number].session == live.session)
                        .filter(|&number| !finals[number].gone)
                        .map(|number| rows.row(number).data()),
                };
                if let Some(state) = state.filter(|_| stretch(live.session) == start && !is_replaced(place, live)) {
                    append_session(live.session, state, &mut value);
                }
            }
            store.put(&stored_key, (!value.is_empty()).then_some(&value[..]), Timestamp(newest));
        }
        Ok(())
    }

    /// Folds and flushes round by round, so that each row has its own updates, in the order of rows.
    fn fold_each(
        &mut self,
        batch: &Batch,
        observed: &[Observed],
        (input, store): (usize, &mut TaskStore),
        errors: &mut Vec<RowError>,
    ) -> Result<(Option<Batch>, Late), FoldError> {
        let (mut updates, mut positions, mut late): (Vec<Batch>, Vec<u32>, _) = (Vec::new(), Vec::new(), Vec::new());
        for round in self.rounds(batch)? {
            let rows = UInt32Array::from(round);
            let part = batch.take(&rows).map_err(FoldError::of)?;
            let observed: Vec<Observed> = rows.values().iter().map(|&row| observed[row as usize]).collect();
            let first_error = errors.len();
            let round_late = self.fold(&part, &observed, (input, store), errors)?;
            late.extend(round_late.into_iter().map(|(row, problem)| (rows.value(row) as usize, problem)));
            errors[first_error..].iter_mut().for_each(|error| error.row = rows.value(error.row) as usize);
            // No key occurs twice in a round: key `i` is row `i`.
            if let Some((update, keys)) = self.flush(store)? {
                positions.extend(keys.into_iter().map(|key| rows.value(key)));
                updates.push(update);
            }
        }
        late.sort();
        if updates.is_empty() {
            return Ok((None, late));
        }
        let mut order: Vec<u32> = (0..positions.len() as u32).collect();
        order.sort_by_key(|&update| positions[update as usize]);
        let updates = Batch::concat(&updates).map_err(FoldError::of)?;
        let updates = updates.take(&UInt32Array::from(order)).map_err(FoldError::of)?;
        positions.sort_unstable();
        let headers = batch.headers_at(&UInt32Array::from(positions)).map_err(FoldError::of)?;
        Ok((Some(updates.with_headers(headers)), late))
    }

    /// Deals rows into rounds in which no key occurs twice.
    fn rounds(&self, batch: &Batch) -> Result<Vec<Vec<u32>>, FoldError> {
        let keys = self.keys.encode(&batch.keys()[..self.settings.output.key().len()]).map_err(FoldError::of)?;
        Ok(rounds(&keys))
    }

    /// The final results of sessions that have closed since the last time, by end, start and key.
    fn take_final(&mut self, store: &mut TaskStore) -> Result<Option<Batch>, FoldError> {
        let windows = self.settings.windows;
        let from = windows.closed_before(self.emitted_at).millis();
        let to = windows.closed_before(self.stream_time).millis();
        self.emitted_at = self.emitted_at.max(self.stream_time);
        if from >= to {
            return Ok(None);
        }
        let span = self.settings.span;
        let (mut first, mut last) = (Vec::new(), Vec::new());
        millstream_state::key::window_key(stretch_of(from, span), &[], &mut first);
        millstream_state::key::window_key(stretch_of(to, span).saturating_add(1), &[], &mut last);
        let mut bytes = Vec::new();
        let mut found: Vec<(i64, i64, Range<usize>, Range<usize>)> = Vec::new();
        let mut each = |key: &[u8], value: &[u8]| {
            let Some((_, key)) = millstream_state::key::split_window_key(key) else { return true };
            for (session, row) in sessions_in(value).filter(|(session, _)| (from..to).contains(&session.end)) {
                let start = bytes.len();
                bytes.extend_from_slice(key);
                let middle = bytes.len();
                bytes.extend_from_slice(&value[row]);
                found.push((session.end, session.start, start..middle, middle..bytes.len()));
            }
            true
        };
        store.range(&first, Some(&last), &mut each).map_err(FoldError::of)?;
        if found.is_empty() {
            return Ok(None);
        }
        found.sort_unstable_by(|a, b| (a.0, a.1, &bytes[a.2.clone()]).cmp(&(b.0, b.1, &bytes[b.2.clone()])));
        let mut states = self.states.decode(found.iter().map(|one| &bytes[one.3.clone()])).map_err(FoldError::of)?;
        states.pop();
        let results = self.settings.fold.results_of(&states)?;
        let sessions = found.iter().map(|one| Session { start: one.1, end: one.0 });
        self.rows().of_sessions(found.iter().map(|one| &bytes[one.2.clone()]), sessions, results).map(Some)
    }
}

impl Operator for SessionAggregate {
    fn on_batch(&mut self, batch: Batch, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let batch = drop_null_keys(batch, context)?;
        if batch.is_empty() {
            return Ok(());
        }
        let clock = if self.settings.strategy.is_final() { 0 } else { context.input };
        let (mut stream_time, mut whole) = (self.stream_times[clock], self.stream_time);
        let observe = |&time: &i64| {
            let before = whole;
            whole = whole.max(Timestamp(time));
            stream_time = stream_time.max(Timestamp(time));
            Observed { now: stream_time, before }
        };
        let observed: Vec<Observed> = batch.times().values().iter().map(observe).collect();
        self.stream_times[clock] = stream_time;
        self.stream_time = self.stream_time.max(stream_time);
        let (input, mut errors) = (context.input, Vec::new());
        let store = &mut context.stores[self.settings.store];
        let alone = !self.settings.strategy.is_final() || self.settings.fold.folds_into_merged();
        let each = self.settings.emit == EmitPolicy::Record && alone;
        let folded = match each {
            true => self.fold_each(&batch, &observed, (input, store), &mut errors),
            false => self.fold(&batch, &observed, (input, store), &mut errors).map(|late| (None, late)),
        };
        let (updates, late) = folded.map_err(|error| context.error(error))?;
        context.output.extend(updates);
        context.reject_late(&batch, late)?;
        errors.sort_by_key(|error| error.row);
        errors.dedup_by_key(|error| error.row);
        context.reject(&batch, Reason::Expression, errors.into_iter().map(|error| (error.row, error.problem)));
        match self.settings.emit {
            EmitPolicy::Record => self.on_flush(context),
            EmitPolicy::Commit => Ok(()),
        }
    }

    fn on_flush(&mut self, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let store = &mut context.stores[self.settings.store];
        let updates = match self.flush(store) {
            Ok(_) if self.settings.strategy.is_final() => self.take_final(store),
            Ok(updates) => Ok(updates.map(|(updates, _)| updates)),
            Err(error) => Err(error),
        };
        context.output.extend(updates.map_err(|error| context.error(error))?);
        context.reject_folded(self.fold.take_failures());
        Ok(())
    }

    fn stream_time(&self) -> Option<Timestamp> {
        Some(self.stream_time)
    }

    fn restore_stream_time(&mut self, stream_time: Timestamp) {
        self.restore_clock_of(0, stream_time);
        self.emitted_at = self.stream_time;
    }

    fn clocks(&self) -> Vec<Timestamp> {
        self.stream_times[1..].to_vec()
    }

    fn restore_clock(&mut self, index: usize, time: Timestamp) {
        self.restore_clock_of(index + 1, time);
    }

    fn forget_stream_time(&mut self) {
        if !self.settings.strategy.is_final() {
            self.forgotten = self.stream_time;
            self.stream_times.fill(Timestamp::NONE);
        }
    }

    fn on_idle(
        &mut self,
        stream_time: Timestamp,
        context: &mut Context<'_>,
    ) -> Result<Option<Timestamp>, OperatorError> {
        if !self.settings.strategy.is_final() {
            self.stream_time = self.stream_time.max(stream_time);
            return Ok(move_on(&mut self.stream_times, stream_time));
        }
        let SessionAggregateSettings { store, windows, span, .. } = self.settings;
        let open_from = windows.closed_before(self.stream_time).millis();
        let end = first_open_end(open_from, span, &mut context.stores[store]).map_err(|error| context.error(error))?;
        let next = end.map(|end| windows.closes_at(end));
        if next.is_none_or(|next| next > stream_time) {
            return Ok(next);
        }
        (self.stream_times[0], self.stream_time) = (stream_time, stream_time);
        self.on_flush(context)?;
        self.on_idle(Timestamp::NONE, context)
    }
}
