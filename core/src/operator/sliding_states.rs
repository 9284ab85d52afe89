//! The states that the windows of a batch need, stored ones and versions, as columns: read at once, folded level by level.

use arrow::{
    array::{Array, ArrayRef, UInt32Array},
    compute,
};
use millstream_state::key::window_key;

use super::{
    FoldError, FoldFactory, Folded, Rows, TaskStore,
    sliding_aggregate::Processed,
    sliding_interval::{SlidingInterval, State, Version},
};
use crate::{Batch, row::RowCodec};

/// Where a state lies: in which part, and at which row of it.
pub(super) type Place = (usize, usize);

/// Rows that are folded, and how.
pub(super) struct FoldedRows<'a> {
    pub(super) batch: &'a Batch,
    /// Which input they come from.
    pub(super) input: usize,
    pub(super) fold: &'a dyn FoldFactory,
    /// How states are stored.
    pub(super) codec: &'a RowCodec,
}

/// States by place: the first part are stored ones, the others versions, a level each.
pub(super) struct SlidingStates {
    parts: Vec<Vec<ArrayRef>>,
    /// The row in the first part of each stored window whose state was read.
    stored: Vec<Option<usize>>,
    /// The place of each version; none if no row of it could be read and it had no state before, or if nothing is left.
    versions: Vec<Option<Place>>,
    /// The versions of which nothing is left: the fold has deleted them.
    gone: Vec<bool>,
    /// The rows of the stored ones, as they were.
    rows: Vec<Vec<u8>>,
}

impl SlidingStates {
    /// Reads what is used and folds all versions of `interval`, whose rows are those of `batch`.
    pub(super) fn fold(
        interval: &SlidingInterval,
        rows: &FoldedRows<'_>,
        store: &mut TaskStore,
        done: &mut Processed,
    ) -> Result<Self, FoldError> {
        let mut states = Self::read(interval, rows.codec, store)?;
        let levels = interval.versions.iter().map(|version| version.level + 1).max().unwrap_or_default();
        let mut by_level: Vec<Vec<usize>> = vec![Vec::new(); levels];
        interval.versions.iter().enumerate().for_each(|(number, version)| by_level[version.level].push(number));
        for level in by_level {
            states.fold_level(&level, &interval.versions, rows, done)?;
        }
        Ok(states)
    }

    /// The stored states that are used.
    fn read(interval: &SlidingInterval, codec: &RowCodec, store: &mut TaskStore) -> Result<Self, FoldError> {
        let used = |number: &usize| interval.stored[*number].is_used;
        let used: Vec<usize> = (0..interval.stored.len()).filter(used).collect();
        let name = |&number: &usize| {
            let (window, mut name) = (&interval.stored[number], Vec::new());
            window_key(window.start, &interval.keys[window.key].key, &mut name);
            name
        };
        let names: Vec<Vec<u8>> = used.iter().map(name).collect();
        let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        let mut found: Vec<Option<Vec<u8>>> = vec![None; names.len()];
        store.get_many(&names, &mut |place, row| found[place] = row.map(<[u8]>::to_vec)).map_err(FoldError::of)?;
        let (mut stored, mut rows) = (vec![None; interval.stored.len()], Vec::new());
        for (number, row) in used.into_iter().zip(found) {
            let row = row.ok_or_else(|| FoldError::of("the index names a window that is not in the store"))?;
            stored[number] = Some(rows.len());
            rows.push(row);
        }
        let mut columns = codec.decode(rows.iter().map(Vec::as_slice)).map_err(FoldError::of)?;
        columns.pop();
        let versions = interval.versions.len();
        Ok(Self { parts: vec![columns], stored, versions: vec![None; versions], gone: vec![false; versions], rows })
    }

    /// Folds the versions of a level: what they begin with is there.
    fn fold_level(
        &mut self,
        level: &[usize],
        versions: &[Version],
        rows: &FoldedRows<'_>,
        done: &mut Processed,
    ) -> Result<(), FoldError> {
        let &FoldedRows { batch, input, fold, .. } = rows;
        let errors = &mut done.errors;
        let (mut picked, mut groups) = (Vec::new(), Vec::new());
        let (mut bases, mut with_base) = (Vec::new(), Vec::new());
        for (group, &number) in level.iter().enumerate() {
            picked.extend_from_slice(&versions[number].rows);
            groups.resize(picked.len(), group);
            if let Some(place) = self.place(versions[number].base) {
                bases.push(place);
                with_base.push(group);
            }
        }
        let mut own = fold.create()?;
        let distinct = distinct(&picked);
        let first_error = errors.len();
        if distinct.len() == batch.len() {
            let picked = UInt32Array::from(picked);
            own.add(&Rows { batch, picked: Some(&picked), groups: &groups, total: level.len(), input }, errors)?;
        } else {
            // Expressions are evaluated over whole batches: only the rows of this level.
            let part = batch.take(&UInt32Array::from(distinct.clone())).map_err(FoldError::of)?;
            let place = |row: &u32| distinct.binary_search(row).map_or(0, |place| place as u32);
            let picked: UInt32Array = picked.iter().map(place).collect::<Vec<_>>().into();
            own.add(&Rows { batch: &part, picked: Some(&picked), groups: &groups, total: level.len(), input }, errors)?;
            errors[first_error..].iter_mut().for_each(|error| error.row = distinct[error.row] as usize);
        }
        let finished = own.finish(Folded { states: self.take(&bases)?, groups: with_base }, level.len())?;
        for (group, &number) in level.iter().enumerate() {
            self.gone[number] = finished.gone.as_ref().is_some_and(|gone| gone[group]);
            let is_there = !self.gone[number] && finished.present.as_ref().is_none_or(|present| present[group]);
            self.versions[number] = is_there.then_some((self.parts.len(), group));
        }
        self.parts.push(finished.states);
        done.failures.extend(own.take_failures());
        Ok(())
    }

    /// Where a state lies; `None` if there is none.
    pub(super) fn place(&self, state: State) -> Option<Place> {
        match state {
            State::Nothing => None,
            State::Stored(stored) => self.stored[stored].map(|row| (0, row)),
            State::Version(version) => self.versions[version],
        }
    }

    /// Whether nothing is left of a state.
    pub(super) fn is_gone(&self, state: State) -> bool {
        matches!(state, State::Version(version) if self.gone[version])
    }

    /// The states at these places, as columns.
    pub(super) fn take(&self, places: &[Place]) -> Result<Vec<ArrayRef>, FoldError> {
        // Of many levels only those that are needed are looked at: mostly one.
        let mut used: Vec<usize> = places.iter().map(|(part, _)| *part).collect();
        used.sort_unstable();
        used.dedup();
        if used.is_empty() {
            return Ok(self.parts[0].iter().map(|column| column.slice(0, 0)).collect());
        }
        let indices = places.iter().map(|(part, row)| (used.binary_search(part).unwrap_or_default(), *row));
        let indices: Vec<(usize, usize)> = indices.collect();
        let column = |number: usize| {
            let parts: Vec<&dyn Array> = used.iter().map(|&part| self.parts[part][number].as_ref()).collect();
            compute::interleave(&parts, &indices).map_err(FoldError::of)
        };
        (0..self.parts[0].len()).map(column).collect()
    }

    /// The row of a stored window as it was, if it was read.
    pub(super) fn stored_row(&self, stored: usize) -> Option<&[u8]> {
        self.stored[stored].map(|place| self.rows[place].as_slice())
    }
}

/// The rows, rising, each once.
fn distinct(rows: &[u32]) -> Vec<u32> {
    let mut distinct = rows.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    distinct
}
