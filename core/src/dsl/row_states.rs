//! States of groups as Rust values: read from a store, changed by closures, written back.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::ArrayRef;

use super::{
    guarded::message,
    typed::{Data, Shape},
};
use crate::operator::{Finished, FoldError, Folded, scatter};

/// The states of the groups of one flush.
pub(super) struct RowStates<'a, A> {
    shape: &'a Shape<A>,
    states: Vec<Option<A>>,
    /// Which groups a record came to.
    touched: Vec<bool>,
}

impl<'a, A: Data> RowStates<'a, A> {
    /// The stored states of groups `0..total`.
    ///
    /// # Errors
    /// [`FoldError`] if a state cannot be read.
    pub(super) fn read(shape: &'a Shape<A>, stored: &Folded, total: usize) -> Result<Self, FoldError> {
        let mut states: Vec<Option<A>> = (0..total).map(|_| None).collect();
        for (state, &group) in read_states(shape, stored)?.into_iter().zip(&stored.groups) {
            states[group] = state;
        }
        Ok(Self { shape, states, touched: vec![false; total] })
    }

    /// Takes the state of a group out, to be changed.
    pub(super) fn take(&mut self, group: usize) -> Option<A> {
        self.touched[group] = true;
        self.states[group].take()
    }

    /// Gives a group its state; `None` of an optional type is no state: the group is deleted if nothing follows.
    ///
    /// # Errors
    /// [`FoldError`] if the state has no columns.
    pub(super) fn put(&mut self, group: usize, state: A) -> Result<(), FoldError> {
        self.states[group] = settled(self.shape, state)?;
        Ok(())
    }

    /// Changes the state of a group by a closure that may panic: then the state stays, and what the panic says is given.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub(super) fn attempt(
        &mut self,
        group: usize,
        step: impl FnOnce(Option<A>) -> A,
    ) -> Result<Option<String>, FoldError> {
        let before = (self.states[group].clone(), self.touched[group]);
        let state = self.take(group);
        match catch_unwind(AssertUnwindSafe(|| step(state))) {
            Ok(state) => self.put(group, state).map(|()| None),
            Err(panic) => {
                (self.states[group], self.touched[group]) = before;
                Ok(Some(message(panic.as_ref())))
            }
        }
    }

    /// All states, as columns.
    ///
    /// # Errors
    /// [`FoldError`] if a state cannot be written.
    pub(super) fn finish(self) -> Result<Finished, FoldError> {
        let Self { shape, states, touched } = self;
        let total = states.len();
        let gone: Vec<bool> = states.iter().zip(&touched).map(|(state, touched)| state.is_none() && *touched).collect();
        let (groups, there): (Vec<usize>, Vec<A>) =
            states.into_iter().enumerate().filter_map(|(group, state)| Some((group, state?))).unzip();
        let columns = shape.write(&there).map_err(FoldError::of)?;
        Ok(Finished {
            states: scatter(&columns, &groups, total)?,
            present: touched.contains(&false).then_some(touched),
            gone: gone.contains(&true).then_some(gone),
        })
    }
}

/// A state, unless it is the `None` of an optional type.
pub(super) fn settled<A: Data>(shape: &Shape<A>, state: A) -> Result<Option<A>, FoldError> {
    if !shape.is_nullable() {
        return Ok(Some(state));
    }
    let (_, present) = shape.write_present(std::slice::from_ref(&state)).map_err(FoldError::of)?;
    Ok(present.is_none_or(|present| present.is_valid(0)).then_some(state))
}

/// Stored states, one a row.
pub(super) fn read_states<A: Data>(shape: &Shape<A>, stored: &Folded) -> Result<Vec<Option<A>>, FoldError> {
    let mut unreadable = Vec::new();
    let states = shape.read(&stored.states, stored.groups.len(), &mut unreadable);
    match unreadable.first() {
        None => Ok(states),
        Some(error) => Err(FoldError::of(format!("a stored state cannot be read: {}", error.problem))),
    }
}

/// What brings the states of two sessions that meet together, the earlier one first.
pub(super) type Merger<A> = dyn Fn(A, A) -> A + Send + Sync;

/// What a state begins with.
pub(super) type Initial<A> = dyn Fn() -> A + Send + Sync;

/// One state for each of `total` groups, merged from its parts in their order; each begins with `initial`, if there is one.
pub(super) fn merge_states<A: Data>(
    shape: &Shape<A>,
    (initial, merger): (Option<&Initial<A>>, Option<&Merger<A>>),
    parts: &Folded,
    total: usize,
) -> Result<Vec<ArrayRef>, FoldError> {
    let Some(merger) = merger else { return Err(FoldError::of("the closure cannot merge states")) };
    let mut merged: Vec<Option<A>> = (0..total).map(|_| initial.map(|initial| initial())).collect();
    for (state, &group) in read_states(shape, parts)?.into_iter().zip(&parts.groups) {
        merged[group] = match (merged[group].take(), state) {
            (Some(earlier), Some(later)) => Some(merger(earlier, later)),
            (one, other) => one.or(other),
        };
    }
    let merged: Option<Vec<A>> = merged.into_iter().collect();
    shape.write(&merged.ok_or_else(|| FoldError::of("a group without a part"))?).map_err(FoldError::of)
}
