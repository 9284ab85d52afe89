//! Folding rows of a group into a state, and reading results from states.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, UInt32Array, new_null_array},
    datatypes::FieldRef,
};
use datafusion::logical_expr::GroupsAccumulator;

use crate::{
    Batch,
    expression::{AggregationSet, RowError},
    record::{Offset, Timestamp},
};

/// Why rows could not be folded or read.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct FoldError {
    /// What happened.
    pub problem: String,
}

impl FoldError {
    /// Wraps an error of a library.
    pub fn of(error: impl std::fmt::Display) -> Self {
        Self { problem: error.to_string() }
    }
}

/// The columns of stored rows, and the value columns that are read from them.
pub trait StateLayout: Send + Sync {
    /// The columns that are stored.
    fn state_fields(&self) -> Vec<FieldRef>;

    /// The columns that are read.
    fn result_fields(&self) -> Vec<FieldRef>;

    /// The results of stored states, row by row.
    ///
    /// # Errors
    /// [`FoldError`] if the states cannot be read.
    fn results_of(&self, states: &[ArrayRef]) -> Result<Vec<ArrayRef>, FoldError>;

    /// The columns of the state in parts, in their order: what a part is the state of, and how many columns it has. Two layouts that have a
    /// part of the same text in common keep the same in it.
    fn parts(&self) -> Vec<(String, usize)> {
        let part = |field: FieldRef| (format!("{}: {}", field.name(), field.data_type()), 1);
        self.state_fields().into_iter().map(part).collect()
    }

    /// The state of a group that has seen nothing: one row.
    ///
    /// # Errors
    /// [`FoldError`] if there is none.
    fn empty_states(&self) -> Result<Vec<ArrayRef>, FoldError> {
        Ok(self.state_fields().iter().map(|field| new_null_array(field.data_type(), 1)).collect())
    }

    /// Whether stored rows are rows of these columns, so that a view of the store can be read. What joins remember is not.
    fn is_readable(&self) -> bool {
        true
    }
}

/// How an aggregation folds: makes one [`Fold`] a task.
pub trait FoldFactory: StateLayout {
    /// An empty fold.
    ///
    /// # Errors
    /// [`FoldError`] if there is none for these types.
    fn create(&self) -> Result<Box<dyn Fold>, FoldError>;

    /// Which columns of a row it needs; `None` for all.
    fn reads(&self) -> Option<Vec<String>>;

    /// What it computes, for `describe`.
    fn describe(&self) -> String;

    /// The same as what reads its states.
    fn layout(self: Arc<Self>) -> Arc<dyn StateLayout>;

    /// Whether rows may leave nothing of a group: see [`Finished::gone`].
    fn can_delete(&self) -> bool {
        true
    }

    /// Whether states can be brought together by [`merge_states`](Self::merge_states), as sessions that meet need it.
    fn can_merge_states(&self) -> bool {
        false
    }

    /// One state for each of `total` groups from the states of its parts, in the order of the parts. Every group has a part.
    ///
    /// # Errors
    /// [`FoldError`] if states cannot be merged.
    fn merge_states(&self, _parts: &Folded, _total: usize) -> Result<Vec<ArrayRef>, FoldError> {
        Err(FoldError::of(format!("states of {} cannot be merged", self.describe())))
    }

    /// Whether a record is folded into the merged states of the sessions that it joins, as Kafka Streams does, rather than for itself and merged
    /// with them later. It makes a difference where the order in which things are folded shows, as it may with closures.
    fn folds_into_merged(&self) -> bool {
        false
    }

    /// The states of sessions that a record joins as one for each group, into which the record is folded then. What a state begins with comes
    /// first.
    ///
    /// # Errors
    /// As [`merge_states`](Self::merge_states).
    fn merge_before_record(&self, parts: &Folded, total: usize) -> Result<Vec<ArrayRef>, FoldError> {
        self.merge_states(parts, total)
    }
}

/// Rows to be folded: row `picked[i]` of `batch`, or row `i` where nothing is picked, belongs to group `groups[i]`.
pub struct Rows<'a> {
    /// The rows.
    pub batch: &'a Batch,
    /// Which of them; `None` for all, in order.
    pub picked: Option<&'a UInt32Array>,
    /// One group a row.
    pub groups: &'a [usize],
    /// How many groups there are by now.
    pub total: usize,
    /// Which input of the aggregation they come from: 0 but where streams are cogrouped.
    pub input: usize,
}

/// Stored states that exist already: row `i` is that of group `groups[i]`.
pub struct Folded {
    /// The states.
    pub states: Vec<ArrayRef>,
    /// Their groups.
    pub groups: Vec<usize>,
}

/// What came of a flush: one state a group.
pub struct Finished {
    /// The states of all groups.
    pub states: Vec<ArrayRef>,
    /// Which groups have one; `None` if all have. A group has none if none of its rows could be read.
    pub present: Option<Vec<bool>>,
    /// Which groups are to be deleted: their states mean nothing. `None` if none is.
    pub gone: Option<Vec<bool>>,
}

/// The uncommitted part of an aggregation in one task.
pub trait Fold: Send {
    /// Takes rows, in order.
    ///
    /// # Errors
    /// [`FoldError`] if state would be wrong afterwards.
    fn add(&mut self, rows: &Rows<'_>, errors: &mut Vec<RowError>) -> Result<(), FoldError>;

    /// Brings stored states and the rows taken since together, gives the states of groups `0..total`, and is empty again.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    fn finish(&mut self, stored: Folded, total: usize) -> Result<Finished, FoldError>;

    /// The rows that failed when they were brought together with their states, since the last call. They changed no state. Most folds have none:
    /// what fails fails in [`add`](Self::add).
    fn take_failures(&mut self) -> Vec<FoldFailure> {
        Vec::new()
    }
}

/// A row that failed when it was folded, which may be long after it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoldFailure {
    /// What happened.
    pub problem: String,
    /// The timestamp of the row.
    pub timestamp: Timestamp,
    /// Its offset, if it was read and not computed.
    pub offset: Option<Offset>,
    /// What was folded, as JSON text.
    pub row: Vec<u8>,
}

impl StateLayout for AggregationSet {
    fn state_fields(&self) -> Vec<FieldRef> {
        self.states()
    }

    fn result_fields(&self) -> Vec<FieldRef> {
        self.results()
    }

    fn results_of(&self, states: &[ArrayRef]) -> Result<Vec<ArrayRef>, FoldError> {
        AggregationSet::results_of(self, states).map_err(FoldError::of)
    }

    fn parts(&self) -> Vec<(String, usize)> {
        AggregationSet::parts(self)
    }

    fn empty_states(&self) -> Result<Vec<ArrayRef>, FoldError> {
        AggregationSet::empty_states(self).map_err(FoldError::of)
    }
}

impl FoldFactory for AggregationSet {
    fn create(&self) -> Result<Box<dyn Fold>, FoldError> {
        let partial = self.accumulators().map_err(FoldError::of)?;
        Ok(Box::new(VectorisedFold { set: self.clone(), partial }))
    }

    fn reads(&self) -> Option<Vec<String>> {
        Some(self.columns())
    }

    fn describe(&self) -> String {
        self.results().iter().map(|field| field.name().clone()).collect::<Vec<_>>().join(", ")
    }

    fn layout(self: Arc<Self>) -> Arc<dyn StateLayout> {
        self
    }

    fn can_delete(&self) -> bool {
        false
    }

    fn can_merge_states(&self) -> bool {
        true
    }

    fn merge_states(&self, parts: &Folded, total: usize) -> Result<Vec<ArrayRef>, FoldError> {
        let mut whole = self.accumulators().map_err(FoldError::of)?;
        self.merge(&mut whole, &parts.states, &parts.groups, total).map_err(FoldError::of)?;
        self.take_states(&mut whole).map_err(FoldError::of)
    }
}

/// Folds with DataFusion's vectorised accumulators: rows into partial states, partial states into stored ones.
struct VectorisedFold {
    set: AggregationSet,
    partial: Vec<Box<dyn GroupsAccumulator>>,
}

impl Fold for VectorisedFold {
    fn add(&mut self, rows: &Rows<'_>, errors: &mut Vec<RowError>) -> Result<(), FoldError> {
        self.set
            .update(&mut self.partial, rows.batch.rows(), rows.picked, rows.groups, rows.total, errors)
            .map_err(FoldError::of)
    }

    fn finish(&mut self, stored: Folded, total: usize) -> Result<Finished, FoldError> {
        let partial = self.set.take_states(&mut self.partial).map_err(FoldError::of)?;
        if stored.groups.is_empty() {
            return Ok(Finished { states: partial, present: None, gone: None });
        }
        let mut whole = self.set.accumulators().map_err(FoldError::of)?;
        let all: Vec<usize> = (0..total).collect();
        self.set.merge(&mut whole, &stored.states, &stored.groups, total).map_err(FoldError::of)?;
        self.set.merge(&mut whole, &partial, &all, total).map_err(FoldError::of)?;
        let states = self.set.take_states(&mut whole).map_err(FoldError::of)?;
        Ok(Finished { states, present: None, gone: None })
    }
}

/// Rows `0..rows` of which row `groups[i]` is row `i` of `columns`, and the others are null.
pub(crate) fn scatter(columns: &[ArrayRef], groups: &[usize], rows: usize) -> Result<Vec<ArrayRef>, FoldError> {
    let mut indices: Vec<Option<u32>> = vec![None; rows];
    for (index, &group) in groups.iter().enumerate() {
        indices[group] = Some(index as u32);
    }
    let indices = UInt32Array::from(indices);
    columns.iter().map(|column| arrow::compute::take(column, &indices, None).map_err(FoldError::of)).collect()
}

/// How many rows a state has.
pub(crate) fn rows_of(states: &[ArrayRef]) -> usize {
    states.first().map_or(0, |column| column.len())
}
