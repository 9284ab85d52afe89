//! Change fold: folds changes of a table, rows that come and rows that go, into the states of their groups.
//!
//! The input is what [`Retract`](super::Retract) makes. Aggregations that are sums add and subtract at once, vectorised. The others wait
//! for the flush with the arguments of their rows: then each group's stored state is read, and its rows are applied in order, first the
//! side that goes, then the one that comes.
//!
//! A group that has lost its last row keeps its state, as in Kafka Streams: its count is 0.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, BooleanArray, UInt32Array},
    compute,
    datatypes::FieldRef,
};
use datafusion::{
    error::{DataFusionError, Result as DataFusionResult},
    logical_expr::{Accumulator, EmitTo, GroupsAccumulator},
};

use super::{
    Finished, Fold, FoldError, FoldFactory, Folded, Rows, StateLayout,
    retract::{CHANGE, COMES, GOES, rows_that_go, sides, was},
};
use crate::expression::{
    Each, Evaluated, Expression, Linear, RetractableAggregation, RetractableSet, RowError, Way, to_array,
};

impl StateLayout for RetractableSet {
    fn state_fields(&self) -> Vec<FieldRef> {
        self.states()
    }

    fn result_fields(&self) -> Vec<FieldRef> {
        self.results()
    }

    fn results_of(&self, states: &[ArrayRef]) -> Result<Vec<ArrayRef>, FoldError> {
        Self::results_of(self, states).map_err(FoldError::of)
    }
}

impl FoldFactory for RetractableSet {
    fn create(&self) -> Result<Box<dyn Fold>, FoldError> {
        let part = |one: &RetractableAggregation| Part::new(one).map_err(FoldError::of);
        let parts = self.aggregations().iter().map(part).collect::<Result<_, _>>()?;
        Ok(Box::new(ChangeFold { set: self.clone(), parts, came: Vec::new() }))
    }

    fn reads(&self) -> Option<Vec<String>> {
        let now = self.columns();
        let past: Vec<String> = now.iter().map(|name| was(name)).collect();
        Some(now.into_iter().chain(past).chain([CHANGE.to_owned()]).collect())
    }

    fn describe(&self) -> String {
        self.results().iter().map(|field| field.name().clone()).collect::<Vec<_>>().join(", ")
    }

    fn layout(self: Arc<Self>) -> Arc<dyn StateLayout> {
        self
    }
}

/// Folds changes.
struct ChangeFold {
    set: RetractableSet,
    parts: Vec<Part>,
    /// Whether a row came to a group since the last flush.
    came: Vec<bool>,
}

/// One aggregation since the last flush.
enum Part {
    Sums(Linear),
    Each(Waiting),
}

/// Rows that wait for the states they change.
struct Waiting {
    each: Each,
    /// The arguments, a batch of them after another.
    batches: Vec<Vec<ArrayRef>>,
    rows: Vec<WaitingRow>,
}

#[derive(Clone, Copy)]
struct WaitingRow {
    group: usize,
    batch: usize,
    row: usize,
    comes: bool,
}

/// One side of a batch of changes.
struct Side {
    rows: UInt32Array,
    groups: Vec<usize>,
    /// The position of each row among the changes: what orders the sides.
    entries: Vec<usize>,
}

impl Part {
    fn new(of: &RetractableAggregation) -> DataFusionResult<Self> {
        Ok(match of.way() {
            Way::Sums(function) => Self::Sums(Linear::new(Arc::clone(function))?),
            Way::Each(each) => Self::Each(Waiting { each: each.clone(), batches: Vec::new(), rows: Vec::new() }),
        })
    }
}

impl Side {
    fn of(rows: &Rows<'_>, sides: &arrow::array::Int8Array, side: i8) -> Self {
        let mut found = Self { rows: UInt32Array::from(Vec::<u32>::new()), groups: Vec::new(), entries: Vec::new() };
        let mut indices = Vec::new();
        for (entry, &group) in rows.groups.iter().enumerate() {
            let row = rows.picked.map_or(entry as u32, |picked| picked.value(entry));
            if sides.value(row as usize) & side != 0 {
                indices.push(row);
                found.groups.push(group);
                found.entries.push(entry);
            }
        }
        found.rows = UInt32Array::from(indices);
        found
    }

    /// A column of the rows of this side; errors of other rows are none.
    fn column(&self, evaluated: Evaluated, errors: &mut Vec<RowError>) -> DataFusionResult<ArrayRef> {
        if !evaluated.errors.is_empty() {
            let mine: std::collections::HashSet<u32> = self.rows.values().iter().copied().collect();
            errors.extend(evaluated.errors.into_iter().filter(|error| mine.contains(&(error.row as u32))));
        }
        Ok(compute::take(&evaluated.column, &self.rows, None)?)
    }
}

/// The arguments and the filter of an aggregation for the rows of a side.
fn columns(
    of: &RetractableAggregation,
    side: &Side,
    rows: &arrow::array::RecordBatch,
    errors: &mut Vec<RowError>,
) -> DataFusionResult<(Vec<ArrayRef>, Option<BooleanArray>)> {
    let mut column = |expression: &Expression| side.column(expression.evaluate(rows), errors);
    let arguments = of.arguments().iter().map(&mut column).collect::<DataFusionResult<Vec<_>>>()?;
    let filter = of.filter().map(&mut column).transpose()?;
    Ok((arguments, filter.map(|filter| BooleanArray::from(filter.to_data()))))
}

impl Fold for ChangeFold {
    fn add(&mut self, rows: &Rows<'_>, errors: &mut Vec<RowError>) -> Result<(), FoldError> {
        let sides = sides(rows.batch).map_err(FoldError::of)?;
        let (comes, goes) = (Side::of(rows, &sides, COMES), Side::of(rows, &sides, GOES));
        self.came.resize(rows.total, false);
        comes.groups.iter().for_each(|&group| self.came[group] = true);
        let past = if goes.groups.is_empty() { None } else { Some(rows_that_go(rows.batch).map_err(FoldError::of)?) };
        for (part, of) in self.parts.iter_mut().zip(self.set.aggregations()) {
            let mut both = |part: &mut Part| -> DataFusionResult<()> {
                let (new, new_filter) = columns(of, &comes, rows.batch.rows(), errors)?;
                let old = match &past {
                    Some(past) => Some(columns(of, &goes, past, &mut Vec::new())?),
                    None => None,
                };
                match part {
                    Part::Sums(linear) => {
                        if let Some((old, filter)) = old {
                            linear.retract_batch(&old, &goes.groups, filter.as_ref(), rows.total)?;
                        }
                        linear.update_batch(&new, &comes.groups, new_filter.as_ref(), rows.total)
                    }
                    Part::Each(waiting) => {
                        let old = old.map(|(columns, filter)| (&goes, columns, filter));
                        waiting.add((&comes, new, new_filter), old);
                        Ok(())
                    }
                }
            };
            both(part).map_err(FoldError::of)?;
        }
        Ok(())
    }

    fn finish(&mut self, stored: Folded, total: usize) -> Result<Finished, FoldError> {
        let mut states = Vec::new();
        let mut left = stored.states.as_slice();
        for (part, of) in self.parts.iter_mut().zip(self.set.aggregations()) {
            let (own, rest) = left.split_at(of.state().len().min(left.len()));
            left = rest;
            let finished = match part {
                Part::Sums(linear) => {
                    linear.merge_batch(own, &stored.groups, total).and_then(|()| linear.state(EmitTo::All))
                }
                Part::Each(waiting) => waiting.finish(own, &stored.groups, of, total),
            };
            states.extend(finished.map_err(FoldError::of)?);
        }
        let mut present = std::mem::take(&mut self.came);
        present.resize(total, false);
        stored.groups.iter().for_each(|&group| present[group] = true);
        let all = present.iter().all(|&present| present);
        Ok(Finished { states, present: (!all).then_some(present), gone: None })
    }
}

type SideColumns<'a> = (&'a Side, Vec<ArrayRef>, Option<BooleanArray>);

impl Waiting {
    /// Keeps the rows of both sides, in the order of the changes, what goes before what comes.
    fn add(&mut self, comes: SideColumns<'_>, goes: Option<SideColumns<'_>>) {
        let first = self.rows.len();
        let mut entries = Vec::new();
        for (comes, (side, columns, filter)) in
            [(true, Some(comes)), (false, goes)].into_iter().filter_map(|(comes, side)| side.map(|side| (comes, side)))
        {
            let batch = self.batches.len();
            self.batches.push(columns);
            for (row, &group) in side.groups.iter().enumerate() {
                if filter.as_ref().is_none_or(|filter| filter.is_valid(row) && filter.value(row)) {
                    entries.push((side.entries[row], comes, WaitingRow { group, batch, row, comes }));
                }
            }
        }
        entries.sort_by_key(|&(entry, comes, _)| (entry, comes));
        self.rows.extend(entries.into_iter().map(|(.., row)| row));
        debug_assert!(self.rows.len() >= first, "rows only wait");
    }

    fn finish(
        &mut self,
        stored: &[ArrayRef],
        stored_groups: &[usize],
        of: &RetractableAggregation,
        total: usize,
    ) -> DataFusionResult<Vec<ArrayRef>> {
        let mut rows = std::mem::take(&mut self.rows);
        let batches = std::mem::take(&mut self.batches);
        rows.sort_by_key(|row| row.group);
        let picked: Vec<(usize, usize)> = rows.iter().map(|row| (row.batch, row.row)).collect();
        let argument = |index: usize| -> DataFusionResult<ArrayRef> {
            let columns: Vec<&dyn Array> = batches.iter().map(|columns| columns[index].as_ref()).collect();
            if columns.is_empty() {
                return Err(DataFusionError::Internal("rows wait without a batch".to_owned()));
            }
            Ok(compute::interleave(&columns, &picked)?)
        };
        let arguments = if rows.is_empty() {
            Vec::new()
        } else {
            (0..of.arguments().len()).map(argument).collect::<DataFusionResult<Vec<_>>>()?
        };
        let mut state_of: Vec<Option<usize>> = vec![None; total];
        stored_groups.iter().enumerate().for_each(|(row, &group)| state_of[group] = Some(row));
        let mut states: Vec<Vec<_>> = of.state().iter().map(|_| Vec::with_capacity(total)).collect();
        let mut next = 0;
        for (group, state) in state_of.into_iter().enumerate() {
            let mut accumulator = self.each.accumulator()?;
            if let Some(row) = state {
                let state: Vec<ArrayRef> = stored.iter().map(|column| column.slice(row, 1)).collect();
                accumulator.merge_batch(&state)?;
            }
            let end = next + rows[next..].iter().take_while(|row| row.group == group).count();
            apply(accumulator.as_mut(), &arguments, &rows, next..end)?;
            next = end;
            for (column, value) in states.iter_mut().zip(accumulator.state()?) {
                column.push(value);
            }
        }
        states.into_iter().zip(of.state()).map(|(column, field)| to_array(column, field.data_type())).collect()
    }
}

/// Applies rows of one group, a run of one side at a time.
fn apply(
    accumulator: &mut dyn Accumulator,
    arguments: &[ArrayRef],
    rows: &[WaitingRow],
    range: std::ops::Range<usize>,
) -> DataFusionResult<()> {
    let mut from = range.start;
    for run in rows[range].chunk_by(|a, b| a.comes == b.comes) {
        let values: Vec<ArrayRef> = arguments.iter().map(|column| column.slice(from, run.len())).collect();
        if run[0].comes {
            accumulator.update_batch(&values)?;
        } else {
            accumulator.retract_batch(&values)?;
        }
        from += run.len();
    }
    Ok(())
}
