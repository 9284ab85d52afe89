//! Folding with closures: `reduce` and `aggregate`.
//!
//! A closure cannot be merged with itself, so records wait until the stored state is at hand and are then folded in order: at the commit, or
//! at once where every record passes its update on.

use std::sync::Arc;

use arrow::{array::ArrayRef, datatypes::FieldRef};

use super::typed::{Data, Shape};
use crate::{
    expression::RowError,
    operator::{Finished, Fold, FoldError, FoldFactory, Folded, Rows, StateLayout, scatter},
};

type Step<K, V, A> = dyn Fn(&K, V, Option<A>) -> A + Send + Sync;
type Merger<A> = dyn Fn(A, A) -> A + Send + Sync;

/// A fold of values `V` into states `A`.
pub(super) struct RowFold<K, V, A> {
    what: &'static str,
    key: Shape<K>,
    value: Shape<V>,
    state: Shape<A>,
    step: Arc<Step<K, V, A>>,
    /// How two states become one, if they can.
    merger: Option<Arc<Merger<A>>>,
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
        })
    }

    /// States can be merged, too: of two sessions that meet, the earlier one's comes first.
    pub(super) fn merging(mut self, merger: impl Fn(A, A) -> A + Send + Sync + 'static) -> Self {
        self.merger = Some(Arc::new(merger));
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

    fn can_merge_states(&self) -> bool {
        self.merger.is_some()
    }

    fn merge_states(&self, parts: &Folded, total: usize) -> Result<Vec<ArrayRef>, FoldError> {
        let Some(merger) = &self.merger else { return Err(FoldError::of("the closure cannot merge states")) };
        let mut unreadable = Vec::new();
        let mut merged: Vec<Option<A>> = (0..total).map(|_| None).collect();
        let states = self.state.read(&parts.states, parts.groups.len(), &mut unreadable);
        for (state, &group) in states.into_iter().zip(&parts.groups) {
            merged[group] = match (merged[group].take(), state) {
                (Some(earlier), Some(later)) => Some(merger(earlier, later)),
                (one, other) => one.or(other),
            };
        }
        if let Some(error) = unreadable.first() {
            return Err(FoldError::of(format!("a stored state cannot be read: {}", error.problem)));
        }
        let merged: Option<Vec<A>> = merged.into_iter().collect();
        self.state.write(&merged.ok_or_else(|| FoldError::of("a group without a part"))?).map_err(FoldError::of)
    }
}

/// Records that wait for the stored state of their group.
struct Pending<K, V, A> {
    key: Shape<K>,
    value: Shape<V>,
    state: Shape<A>,
    step: Arc<Step<K, V, A>>,
    waiting: Vec<(usize, K, V)>,
}

impl<K: Data, V: Data, A: Data> Fold for Pending<K, V, A> {
    fn add(&mut self, rows: &Rows<'_>, errors: &mut Vec<RowError>) -> Result<(), FoldError> {
        let batch = rows.batch;
        let keys = self.key.read(&batch.keys()[..batch.schema().key().len()], batch.len(), errors);
        let values = self.value.read(batch.values(), batch.len(), errors);
        for (index, &group) in rows.groups.iter().enumerate() {
            let row = rows.picked.map_or(index, |picked| picked.value(index) as usize);
            if let (Some(key), Some(value)) = (&keys[row], &values[row]) {
                self.waiting.push((group, key.clone(), value.clone()));
            }
        }
        Ok(())
    }

    fn finish(&mut self, stored: Folded, total: usize) -> Result<Finished, FoldError> {
        let mut unreadable = Vec::new();
        let mut states: Vec<Option<A>> = (0..total).map(|_| None).collect();
        for (state, &group) in
            self.state.read(&stored.states, stored.groups.len(), &mut unreadable).into_iter().zip(&stored.groups)
        {
            states[group] = state;
        }
        if let Some(error) = unreadable.first() {
            return Err(FoldError::of(format!("a stored state cannot be read: {}", error.problem)));
        }
        for (group, key, value) in self.waiting.drain(..) {
            let state = states[group].take();
            states[group] = Some((self.step)(&key, value, state));
        }
        let (groups, there): (Vec<usize>, Vec<A>) =
            states.into_iter().enumerate().filter_map(|(group, state)| Some((group, state?))).unzip();
        let columns = self.state.write(&there).map_err(FoldError::of)?;
        let mut present = vec![false; total];
        groups.iter().for_each(|&group| present[group] = true);
        let present = (groups.len() < total).then_some(present);
        Ok(Finished { states: scatter(&columns, &groups, total)?, present })
    }
}
