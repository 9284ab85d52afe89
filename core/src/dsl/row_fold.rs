//! Folding with closures: `reduce` and `aggregate`.
//!
//! A closure cannot be merged with itself, so records wait until the stored state is at hand and are then folded in order: at the commit, or
//! at once where every record passes its update on. A state of `None` deletes the row of its group.
//!
//! A record for which the closure panics is reported and changes no state. All records are tried at once, and only if one panics are they taken
//! one by one with a copy of the state at hand: a closure with side effects may then see the others twice. Closures that bring the states of two
//! sessions together belong to no record: a panic there ends the task.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef},
    datatypes::FieldRef,
};

use super::{
    row_states::{Initial, Merger, RowStates, merge_states},
    typed::{Data, Shape},
};
use crate::{
    expression::RowError,
    operator::{Finished, Fold, FoldError, FoldFactory, FoldFailure, Folded, Rows, StateLayout},
    record::{Offset, Timestamp},
};

type Step<K, V, A> = dyn Fn(&K, V, Option<A>) -> A + Send + Sync;

/// A fold of values `V` into states `A`.
pub(super) struct RowFold<K, V, A> {
    what: &'static str,
    key: Shape<K>,
    value: Shape<V>,
    state: Shape<A>,
    step: Arc<Step<K, V, A>>,
    /// How two states become one, if they can.
    merger: Option<Arc<Merger<A>>>,
    /// What states begin with where they are merged before a record comes to them.
    initial: Option<Arc<Initial<A>>>,
}

impl<K: Data, V: Data, A: Data> RowFold<K, V, A> {
    pub(super) fn new(
        what: &'static str,
        step: impl Fn(&K, V, Option<A>) -> A + Send + Sync + 'static,
    ) -> Result<Self, String> {
        Ok(Self {
            what,
            key: Shape::of("key")?,
            value: Shape::of("value")?,
            state: Shape::of("value")?,
            step: Arc::new(step),
            merger: None,
            initial: None,
        })
    }

    /// States can be merged, too: of two sessions that meet, the earlier one's comes first.
    pub(super) fn merging(mut self, merger: impl Fn(A, A) -> A + Send + Sync + 'static) -> Self {
        self.merger = Some(Arc::new(merger));
        self
    }

    /// States begin with this one.
    pub(super) fn beginning(mut self, initial: impl Fn() -> A + Send + Sync + 'static) -> Self {
        self.initial = Some(Arc::new(initial));
        self
    }
}

impl<K: Data, V: Data, A: Data> StateLayout for RowFold<K, V, A> {
    fn state_fields(&self) -> Vec<FieldRef> {
        self.state.fields.clone()
    }

    fn result_fields(&self) -> Vec<FieldRef> {
        self.state.fields.clone()
    }

    fn results_of(&self, states: &[ArrayRef]) -> Result<Vec<ArrayRef>, FoldError> {
        Ok(states.to_vec())
    }
}

impl<K: Data, V: Data, A: Data> FoldFactory for RowFold<K, V, A> {
    fn create(&self) -> Result<Box<dyn Fold>, FoldError> {
        Ok(Box::new(Pending {
            key: self.key.clone(),
            value: self.value.clone(),
            state: self.state.clone(),
            step: Arc::clone(&self.step),
            waiting: Vec::new(),
            failures: Vec::new(),
        }))
    }

    fn reads(&self) -> Option<Vec<String>> {
        None
    }

    fn describe(&self) -> String {
        format!("{} by a closure", self.what)
    }

    fn layout(self: Arc<Self>) -> Arc<dyn StateLayout> {
        self
    }

    fn can_delete(&self) -> bool {
        self.state.is_nullable()
    }

    fn can_merge_states(&self) -> bool {
        self.merger.is_some()
    }

    fn merge_states(&self, parts: &Folded, total: usize) -> Result<Vec<ArrayRef>, FoldError> {
        merge_states(&self.state, (None, self.merger.as_deref()), parts, total)
    }

    fn folds_into_merged(&self) -> bool {
        self.merger.is_some()
    }

    fn merge_before_record(&self, parts: &Folded, total: usize) -> Result<Vec<ArrayRef>, FoldError> {
        merge_states(&self.state, (self.initial.as_deref(), self.merger.as_deref()), parts, total)
    }
}

/// Records that wait for the stored state of their group.
struct Pending<K, V, A> {
    key: Shape<K>,
    value: Shape<V>,
    state: Shape<A>,
    step: Arc<Step<K, V, A>>,
    waiting: Vec<Waiting<K, V>>,
    failures: Vec<FoldFailure>,
}

struct Waiting<K, V> {
    group: usize,
    key: K,
    value: V,
    time: i64,
    offset: Option<u64>,
}

impl<K: Data, V: Data, A: Data> Pending<K, V, A> {
    fn fold_all(&self, waiting: &[Waiting<K, V>], stored: &Folded, total: usize) -> Result<Finished, FoldError> {
        let mut states = RowStates::read(&self.state, stored, total)?;
        for Waiting { group, key, value, .. } in waiting {
            let state = states.take(*group);
            states.put(*group, (self.step)(key, value.clone(), state))?;
        }
        states.finish()
    }

    fn fold_each(&mut self, waiting: Vec<Waiting<K, V>>, stored: &Folded, total: usize) -> Result<Finished, FoldError> {
        let mut states = RowStates::read(&self.state, stored, total)?;
        for Waiting { group, key, value, time, offset } in waiting {
            let problem = states.attempt(group, |state| (self.step)(&key, value.clone(), state))?;
            self.failures.extend(problem.map(|problem| FoldFailure {
                problem,
                timestamp: Timestamp(time),
                offset: offset.map(Offset),
                row: serde_json::to_vec(&serde_json::json!({ "key": key, "value": value })).unwrap_or_default(),
            }));
        }
        states.finish()
    }
}

impl<K: Data, V: Data, A: Data> Fold for Pending<K, V, A> {
    fn add(&mut self, rows: &Rows<'_>, errors: &mut Vec<RowError>) -> Result<(), FoldError> {
        let (times, offsets) = (rows.batch.times(), rows.batch.offsets());
        let waiting = |(row, group, key, value): (usize, usize, K, V)| {
            let offset = offsets.is_valid(row).then(|| offsets.value(row).cast_unsigned());
            Waiting { group, key, value, time: times.value(row), offset }
        };
        self.waiting.extend(typed_rows(rows, &self.key, &self.value, errors).into_iter().map(waiting));
        Ok(())
    }

    fn finish(&mut self, stored: Folded, total: usize) -> Result<Finished, FoldError> {
        let waiting = std::mem::take(&mut self.waiting);
        let all = catch_unwind(AssertUnwindSafe(|| self.fold_all(&waiting, &stored, total)));
        all.unwrap_or_else(|_| self.fold_each(waiting, &stored, total))
    }

    fn take_failures(&mut self) -> Vec<FoldFailure> {
        std::mem::take(&mut self.failures)
    }
}

/// Rows with their numbers, groups, keys and values; a row without value has one only if `V` is an `Option`.
pub(super) fn typed_rows<K: Data, V: Data>(
    rows: &Rows<'_>,
    key: &Shape<K>,
    value: &Shape<V>,
    errors: &mut Vec<RowError>,
) -> Vec<(usize, usize, K, V)> {
    let batch = rows.batch;
    let mut keys = key.read(&batch.keys()[..batch.schema().key().len()], batch.len(), errors);
    let mut values = value.read_present(batch.values(), batch.present(), batch.len(), errors);
    let mut typed = Vec::with_capacity(rows.groups.len());
    for (index, &group) in rows.groups.iter().enumerate() {
        let row = rows.picked.map_or(index, |picked| picked.value(index) as usize);
        // A row is there once, unless it falls into several windows.
        let (key, value) = match rows.picked {
            None => (keys[row].take(), values[row].take()),
            Some(_) => (keys[row].clone(), values[row].clone()),
        };
        match (key, value) {
            (Some(key), Some(value)) => typed.push((row, group, key, value)),
            (Some(_), None) if batch.present().is_some_and(|present| present.is_null(row)) => {
                let problem = "the record has no value: an aggregation over Options sees such records".to_owned();
                errors.push(RowError { row, problem });
            }
            _ => {}
        }
    }
    typed
}
