//! Folding changes of a table with closures: what goes is subtracted, what comes is added.
//!
//! As Kafka Streams does: what goes is subtracted only if there is a state; a row that changes within its group is subtracted first and then
//! added. A state of `None` deletes the row of its group. The input is what a grouped table gives: see `operator/retract.rs`.

use std::sync::Arc;

use arrow::{array::ArrayRef, datatypes::FieldRef};

use super::{
    row_states::RowStates,
    typed::{Data, Shape},
};
use crate::{
    expression::RowError,
    operator::{Finished, Fold, FoldError, FoldFactory, Folded, Rows, StateLayout, change_sides},
};

type Adder<K, V, A> = dyn Fn(&K, V, Option<A>) -> A + Send + Sync;
type Subtractor<K, V, A> = dyn Fn(&K, V, A) -> A + Send + Sync;

/// A fold of changes of values `V` into states `A`.
pub(super) struct ChangeRowFold<K, V, A> {
    what: &'static str,
    rows: Shapes<K, V, A>,
    adder: Arc<Adder<K, V, A>>,
    subtractor: Arc<Subtractor<K, V, A>>,
}

struct Shapes<K, V, A> {
    key: Shape<K>,
    value: Shape<V>,
    state: Shape<A>,
}

impl<K, V, A> Clone for Shapes<K, V, A> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), value: self.value.clone(), state: self.state.clone() }
    }
}

impl<K: Data, V: Data, A: Data> ChangeRowFold<K, V, A> {
    pub(super) fn new(
        what: &'static str,
        adder: impl Fn(&K, V, Option<A>) -> A + Send + Sync + 'static,
        subtractor: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let rows = Shapes { key: Shape::of("key")?, value: Shape::of("value")?, state: Shape::of("value")? };
        Ok(Self { what, rows, adder: Arc::new(adder), subtractor: Arc::new(subtractor) })
    }
}

impl<K: Data, V: Data, A: Data> StateLayout for ChangeRowFold<K, V, A> {
    fn state_fields(&self) -> Vec<FieldRef> {
        self.rows.state.fields.clone()
    }

    fn result_fields(&self) -> Vec<FieldRef> {
        self.rows.state.fields.clone()
    }

    fn results_of(&self, states: &[ArrayRef]) -> Result<Vec<ArrayRef>, FoldError> {
        Ok(states.to_vec())
    }
}

impl<K: Data, V: Data, A: Data> FoldFactory for ChangeRowFold<K, V, A> {
    fn create(&self) -> Result<Box<dyn Fold>, FoldError> {
        Ok(Box::new(Pending {
            shapes: self.rows.clone(),
            adder: Arc::clone(&self.adder),
            subtractor: Arc::clone(&self.subtractor),
            waiting: Vec::new(),
        }))
    }

    fn reads(&self) -> Option<Vec<String>> {
        None
    }

    fn describe(&self) -> String {
        format!("{} by closures that add and subtract", self.what)
    }

    fn layout(self: Arc<Self>) -> Arc<dyn StateLayout> {
        self
    }
}

/// Changes that wait for the stored state of their group.
struct Pending<K, V, A> {
    shapes: Shapes<K, V, A>,
    adder: Arc<Adder<K, V, A>>,
    subtractor: Arc<Subtractor<K, V, A>>,
    waiting: Vec<Waiting<K, V>>,
}

struct Waiting<K, V> {
    group: usize,
    key: K,
    goes: Option<V>,
    comes: Option<V>,
}

impl<K: Data, V: Data, A: Data> Fold for Pending<K, V, A> {
    fn add(&mut self, rows: &Rows<'_>, errors: &mut Vec<RowError>) -> Result<(), FoldError> {
        let batch = rows.batch;
        let keys = self.shapes.key.read(&batch.keys()[..batch.schema().key().len()], batch.len(), errors);
        let [comes, goes] = change_sides(batch, self.shapes.value.fields.len()).map_err(FoldError::of)?;
        let mut read = |(columns, there): &(Vec<ArrayRef>, arrow::buffer::NullBuffer)| {
            self.shapes.value.read_present(columns, Some(there), batch.len(), errors)
        };
        let (mut new, mut old) = (read(&comes), read(&goes));
        for (index, &group) in rows.groups.iter().enumerate() {
            let row = rows.picked.map_or(index, |picked| picked.value(index) as usize);
            let Some(key) = keys[row].clone() else { continue };
            let side = |values: &mut Vec<Option<V>>, there: &arrow::buffer::NullBuffer| {
                values[row].take().filter(|_| there.is_valid(row))
            };
            let (goes, comes) = (side(&mut old, &goes.1), side(&mut new, &comes.1));
            self.waiting.push(Waiting { group, key, goes, comes });
        }
        Ok(())
    }

    fn finish(&mut self, stored: Folded, total: usize) -> Result<Finished, FoldError> {
        let mut states = RowStates::read(&self.shapes.state, &stored, total)?;
        for Waiting { group, key, goes, comes } in self.waiting.drain(..) {
            match (goes, states.take(group)) {
                (Some(value), Some(state)) => states.put(group, (self.subtractor)(&key, value, state))?,
                (_, Some(state)) => states.put(group, state)?,
                (_, None) => {}
            }
            if let Some(value) = comes {
                let state = states.take(group);
                states.put(group, (self.adder)(&key, value, state))?;
            }
        }
        states.finish()
    }
}
