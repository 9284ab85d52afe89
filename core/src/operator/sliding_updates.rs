//! What a sliding aggregate passes on: each update as it comes, or what is left of the windows that a commit interval has changed.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, Int64Array, UInt32Array},
    buffer::NullBuffer,
    datatypes::Int64Type,
};
use hashbrown::HashMap;
use millstream_state::key::{split_window_key, window_key};

use super::{
    FoldError, SlidingAggregateSettings, TaskStore, Tombstones,
    fold::scatter,
    sliding_interval::{SlidingInterval, State, Update},
    sliding_states::{Place, SlidingStates},
};
use crate::{Batch, batch::Before, row::RowCodec};

/// A window that was changed.
pub(super) struct Touched {
    /// Under which it is stored.
    name: Vec<u8>,
    was_there: bool,
    /// Its row before the first change, if it was there.
    before: Option<Vec<u8>>,
    /// Its row now; read when it is passed on.
    after: Option<Vec<u8>>,
    /// The timestamp of its last change.
    time: i64,
}

/// The windows that were changed since the last flush, each once, in the order of the first change.
#[derive(Default)]
pub(super) struct TouchedWindows {
    windows: Vec<Touched>,
    /// Their places by the name under which they are stored.
    places: HashMap<Vec<u8>, usize>,
}

impl TouchedWindows {
    /// Remembers which windows a batch has changed, and what they were before the first change.
    pub(super) fn add(&mut self, interval: &SlidingInterval, states: &SlidingStates) {
        for update in &interval.updates {
            let live = interval.keys[update.key].live[&update.start];
            if states.place(live.state).is_none() && !states.is_gone(live.state) {
                continue;
            }
            let mut name = Vec::new();
            window_key(update.start, &interval.keys[update.key].key, &mut name);
            if let Some(&place) = self.places.get(&name) {
                self.windows[place].time = live.time;
                continue;
            }
            self.places.insert(name.clone(), self.windows.len());
            let (was_there, before) = match update.before {
                State::Stored(stored) => (true, states.stored_row(stored).map(<[u8]>::to_vec)),
                State::Nothing | State::Version(_) => (false, None),
            };
            self.windows.push(Touched { name, was_there, before, after: None, time: live.time });
        }
    }

    /// Takes them out.
    pub(super) fn take(&mut self) -> Vec<Touched> {
        self.places.clear();
        std::mem::take(&mut self.windows)
    }
}

/// Makes columns of updates.
pub(super) struct SlidingUpdates<'a> {
    pub(super) settings: &'a SlidingAggregateSettings,
    /// How keys are stored.
    pub(super) keys: &'a RowCodec,
    /// How states and timestamps are stored.
    pub(super) states: &'a RowCodec,
}

impl SlidingUpdates<'_> {
    /// Each update as a row: a tombstone where nothing is left.
    pub(super) fn of_each(
        &self,
        batch: &Batch,
        interval: &SlidingInterval,
        states: &SlidingStates,
    ) -> Result<Option<Batch>, FoldError> {
        let is_told = |update: &&Update| match states.place(update.state) {
            Some(_) => true,
            None => states.is_gone(update.state) && self.tells_gone(states.place(update.before).is_some()),
        };
        let kept: Vec<&Update> = interval.updates.iter().filter(is_told).collect();
        if kept.is_empty() {
            return Ok(None);
        }
        let (results, present) = self.results(states, kept.iter().map(|update| update.state))?;
        let before = match self.settings.needs_before {
            false => None,
            true => {
                let (values, present) = self.results(states, kept.iter().map(|update| update.before))?;
                Some(Before { values, present: Some(present) })
            }
        };
        let keys = kept.iter().map(|update| &*interval.keys[update.key].key);
        let starts = Int64Array::from_iter_values(kept.iter().map(|update| update.start));
        let times = Int64Array::from_iter_values(kept.iter().map(|update| update.time));
        let rows = UInt32Array::from_iter_values(kept.iter().map(|update| update.row));
        let updates = self.rows(self.keys.decode(keys).map_err(FoldError::of)?, starts, results, Arc::new(times));
        let headers = batch.headers_at(&rows).map_err(FoldError::of)?;
        Ok(Some(updates.with_present(Some(present)).with_before(before).with_headers(headers)))
    }

    /// Whether a deletion is passed on.
    fn tells_gone(&self, was_there: bool) -> bool {
        was_there || self.settings.tombstones == Tombstones::AsKafkaStreams
    }

    /// The results of states, and which have one; the others are null.
    fn results(
        &self,
        states: &SlidingStates,
        of: impl Iterator<Item = State>,
    ) -> Result<(Vec<ArrayRef>, NullBuffer), FoldError> {
        let places: Vec<Option<Place>> = of.map(|state| states.place(state)).collect();
        let there: Vec<Place> = places.iter().copied().flatten().collect();
        let rows: Vec<usize> = (0..places.len()).filter(|&row| places[row].is_some()).collect();
        let results = self.settings.fold.results_of(&states.take(&there)?)?;
        let results = if rows.len() == places.len() { results } else { scatter(&results, &rows, places.len())? };
        Ok((results, NullBuffer::from_iter(places.iter().map(Option::is_some))))
    }

    fn rows(&self, mut columns: Vec<ArrayRef>, starts: Int64Array, results: Vec<ArrayRef>, times: ArrayRef) -> Batch {
        let offsets = Batch::no_offsets(starts.len());
        columns.extend(self.settings.windows.as_time_windows().bound_columns(Arc::new(starts)));
        columns.extend(results);
        columns.extend([times, offsets]);
        Batch::new(Arc::clone(&self.settings.output), columns)
    }

    /// What is left of windows that were changed.
    pub(super) fn of_touched(
        &self,
        mut touched: Vec<Touched>,
        store: &mut TaskStore,
    ) -> Result<Option<Batch>, FoldError> {
        let names: Vec<&[u8]> = touched.iter().map(|touched| touched.name.as_slice()).collect();
        let mut rows: Vec<Option<Vec<u8>>> = vec![None; names.len()];
        store.get_many(&names, &mut |row, value| rows[row] = value.map(<[u8]>::to_vec)).map_err(FoldError::of)?;
        touched.iter_mut().zip(rows).for_each(|(touched, row)| touched.after = row);
        touched.retain(|touched| touched.after.is_some() || self.tells_gone(touched.was_there));
        if touched.is_empty() {
            return Ok(None);
        }
        let (results, present, times) = self.stored(touched.iter().map(|touched| touched.after.as_deref()))?;
        let moments = times.iter().zip(&touched).map(|(time, touched)| time.unwrap_or(touched.time));
        let times = Int64Array::from_iter_values(moments);
        let before = match self.settings.needs_before {
            false => None,
            true => {
                let (values, present, _) = self.stored(touched.iter().map(|touched| touched.before.as_deref()))?;
                Some(Before { values, present: Some(present) })
            }
        };
        let split: Vec<(i64, &[u8])> = touched.iter().filter_map(|touched| split_window_key(&touched.name)).collect();
        let keys = self.keys.decode(split.iter().map(|(_, key)| *key)).map_err(FoldError::of)?;
        let starts = Int64Array::from_iter_values(split.iter().map(|(start, _)| *start));
        let updates = self.rows(keys, starts, results, Arc::new(times));
        Ok(Some(updates.with_present(Some(present)).with_before(before)))
    }

    /// The results of stored rows, which have one, and their timestamps.
    fn stored<'r>(
        &self,
        rows: impl Iterator<Item = Option<&'r [u8]>> + Clone,
    ) -> Result<(Vec<ArrayRef>, NullBuffer, Int64Array), FoldError> {
        let present = NullBuffer::from_iter(rows.clone().map(|row| row.is_some()));
        let had: Vec<usize> = (0..present.len()).filter(|&row| present.is_valid(row)).collect();
        let mut states = self.states.decode(rows.flatten()).map_err(FoldError::of)?;
        let times = states.pop().ok_or_else(|| FoldError::of("a stored row has no timestamp"))?;
        let results = scatter(&self.settings.fold.results_of(&states)?, &had, present.len())?;
        let times = scatter(&[times], &had, present.len())?.remove(0);
        Ok((results, present, times.as_primitive::<Int64Type>().clone()))
    }
}
