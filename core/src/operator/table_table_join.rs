//! Table-table join by primary key: the row of a key in one table beside its row in the other.
//!
//! Either side triggers. A change meets the row that the other table has at this moment; the result is a change of a table, whose
//! timestamp is the higher one of both. As in Kafka Streams, a change is passed on even if the result was not there before.
//!
//! ```text
//!                       inner     left      outer
//! left  a -> A                    (A, -)    (A, -)
//! right a -> x          (A, x)    (A, x)    (A, x)
//! left  a deleted       deleted   deleted   (-, x)
//! right a deleted                           deleted
//! ```
//!
//! What was there before is what the old row gives with the other table's row: the other table does not change at the same time. A
//! record without key is a dead letter.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, Int64Array},
    buffer::{BooleanBuffer, NullBuffer},
    compute,
};

use super::{
    Context, FoldError, Operator, OperatorError, TableJoinKind,
    joined_sides::add_sides,
    table::drop_null_keys,
    table_reader::{FoundRows, TableReader},
    task_store::TaskStore,
};
use crate::{Batch, batch::Before, record::Timestamp, schema::StreamSchema, window::JoinSide};

/// Joins two tables that are kept in stores.
pub struct TableTableJoin {
    kind: TableJoinKind,
    left: TableReader,
    right: TableReader,
    output: Arc<StreamSchema>,
    needs_before: bool,
}

impl TableTableJoin {
    /// A join of what `left` and `right` read. The first input is the left table's changes, the second one the right's. Columns of `output`
    /// are the key, the left values, the right values, under whatever names, and then which sides there are if two more columns are left.
    pub(crate) fn new(
        kind: TableJoinKind,
        left: TableReader,
        right: TableReader,
        output: Arc<StreamSchema>,
        needs_before: bool,
    ) -> Self {
        Self { kind, left, right, output, needs_before }
    }

    /// Whether a row of `side` that meets nothing is in the result.
    fn stands_alone(&self, side: JoinSide) -> bool {
        match self.kind {
            TableJoinKind::Inner => false,
            TableJoinKind::Left => side == JoinSide::Left,
            TableJoinKind::Right => side == JoinSide::Right,
            TableJoinKind::Outer => true,
        }
    }

    fn join(&self, batch: &Batch, side: JoinSide, stores: &mut [TaskStore]) -> Result<Batch, FoldError> {
        let reader = if side == JoinSide::Left { &self.right } else { &self.left };
        let other = reader.read(batch.keys(), stores)?;
        let (own_alone, other_alone) = (self.stands_alone(side), self.stands_alone(side.other()));
        let is_there = |row: usize| batch.present().is_none_or(|present| present.is_valid(row));
        let was_there = |row: usize| {
            batch.before().is_some_and(|before| before.present.as_ref().is_none_or(|present| present.is_valid(row)))
        };
        let gives = |own: bool, met: bool| if own { met || own_alone } else { met && other_alone };
        let passed = BooleanBuffer::collect_bool(batch.len(), |row| {
            other.is_there(row) || (own_alone && (is_there(row) || was_there(row)))
        });
        let result = |own: &dyn Fn(usize) -> bool| {
            NullBuffer::from_iter((0..batch.len()).map(|row| gives(own(row), other.is_there(row))))
        };

        let mut columns = batch.keys().to_vec();
        columns.extend(self.values(batch.values(), batch.present(), &is_there, &other, side)?);
        let times = batch.times().values().iter().zip(&other.times);
        let times = times.map(|(&own, other)| other.map_or(own, |other| own.max(other)));
        columns.extend([Arc::new(Int64Array::from_iter_values(times)) as ArrayRef, Batch::no_offsets(batch.len())]);
        let before = match batch.before() {
            Some(before) if self.needs_before => Some(Before {
                values: self.values(&before.values, before.present.as_ref(), &was_there, &other, side)?,
                present: Some(result(&was_there)),
            }),
            _ => None,
        };
        let joined = Batch::new(Arc::clone(&self.output), columns)
            .with_present(Some(result(&is_there)))
            .with_before(before)
            .with_headers(batch.headers().cloned());
        if passed.count_set_bits() == joined.len() {
            return Ok(joined);
        }
        joined.filter(&BooleanArray::new(passed, None)).map_err(FoldError::of)
    }
}

impl TableTableJoin {
    /// The value columns of the result.
    fn values(
        &self,
        own: &[ArrayRef],
        present: Option<&NullBuffer>,
        is_there: &dyn Fn(usize) -> bool,
        other: &FoundRows,
        side: JoinSide,
    ) -> Result<Vec<ArrayRef>, FoldError> {
        let mut values = beside(own, present, other, side)?;
        let has = |of: JoinSide, row: usize| if of == side { is_there(row) } else { other.is_there(row) };
        let rows = other.times.len();
        add_sides(&mut values, &self.output, rows, |row| has(JoinSide::Left, row), |row| has(JoinSide::Right, row));
        Ok(values)
    }
}

/// The value columns of both sides, the left ones first; null where a side has no row.
fn beside(
    own: &[ArrayRef],
    present: Option<&NullBuffer>,
    other: &FoundRows,
    side: JoinSide,
) -> Result<Vec<ArrayRef>, FoldError> {
    let own = match present {
        None => own.to_vec(),
        Some(present) => {
            let absent = BooleanArray::new(!present.inner(), None);
            let masked = own.iter().map(|column| compute::nullif(column, &absent).map_err(FoldError::of));
            masked.collect::<Result<_, _>>()?
        }
    };
    let other = other.values.iter().cloned();
    Ok(match side {
        JoinSide::Left => own.into_iter().chain(other).collect(),
        JoinSide::Right => other.chain(own).collect(),
    })
}

impl Operator for TableTableJoin {
    fn on_batch(&mut self, batch: Batch, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let batch = drop_null_keys(batch, context)?;
        if batch.is_empty() || context.refuses_superseded(&batch) {
            return Ok(());
        }
        let side = JoinSide::of_input(context.input);
        let joined = self.join(&batch, side, context.stores).map_err(|error| context.error(error))?;
        if !joined.is_empty() {
            context.output.push(joined);
        }
        Ok(())
    }

    fn on_flush(&mut self, _context: &mut Context<'_>) -> Result<(), OperatorError> {
        Ok(())
    }

    fn stream_time(&self) -> Option<Timestamp> {
        None
    }

    fn restore_stream_time(&mut self, _stream_time: Timestamp) {}
}
