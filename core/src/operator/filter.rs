//! Filter: keeps the rows for which an expression is true. Null and failing rows are dropped, failing ones are reported.
//!
//! On a table, a row that no longer passes becomes a tombstone, if what it replaces did pass; rows of which neither side passes
//! are dropped.
//!
//! ```text
//! filter v > 1     before  after          before  after
//!                    2       3      ->      2       3
//!                    2       1      ->      2       deleted
//!                    1       3      ->      none    3
//!                    0       1      ->      dropped
//! ```

use std::sync::Arc;

use arrow::{
    array::{Array, AsArray, BooleanArray, RecordBatch},
    buffer::{BooleanBuffer, NullBuffer},
};

use super::{Reads, Transform, TransformError};
use crate::{
    Batch,
    batch::Before,
    expression::{Expr, Expression, ExpressionError, RowError},
    schema::StreamSchema,
};

/// Keeps the rows for which a predicate is true.
pub struct Filter {
    predicate: Expression,
    /// Whether rows are those of a table: what does not pass is deleted.
    of_rows: bool,
}

impl Filter {
    /// A filter by `predicate`, which must be boolean.
    ///
    /// # Errors
    /// [`ExpressionError`] if it does not bind to the columns of `schema` or is not boolean.
    pub fn new(predicate: &Expr, schema: &StreamSchema) -> Result<Self, ExpressionError> {
        let bound = Expression::bind(predicate, schema)?;
        let kind = bound.field().data_type();
        if *kind != arrow::datatypes::DataType::Boolean {
            let problem = format!("is of type {kind}; a filter needs a boolean");
            return Err(ExpressionError { expression: predicate.to_string(), problem });
        }
        Ok(Self { predicate: bound, of_rows: false })
    }

    /// The same filter of the rows of a table: what does not pass is deleted, even if it is not known whether it was there.
    pub fn of_rows(self) -> Self {
        Self { of_rows: true, ..self }
    }

    /// Which rows are there and pass.
    fn passes(&self, rows: &RecordBatch, present: Option<&NullBuffer>, errors: &mut Vec<RowError>) -> BooleanBuffer {
        let mut evaluated = self.predicate.evaluate(rows);
        let mask = evaluated.column.as_boolean();
        let mut passes = match mask.nulls() {
            Some(valid) => mask.values() & valid.inner(),
            None => mask.values().clone(),
        };
        if let Some(present) = present {
            passes = &passes & present.inner();
            evaluated.errors.retain(|error| present.is_valid(error.row));
        }
        errors.append(&mut evaluated.errors);
        passes
    }
}

/// Splits changes by which images pass a predicate, as drawn at the head of this file. Shared with filters of closures.
pub(crate) fn filter_changes(
    batch: &Batch,
    before: &Before,
    after_passes: BooleanBuffer,
    before_passes: BooleanBuffer,
) -> Result<Batch, TransformError> {
    let keep = BooleanArray::new(&after_passes | &before_passes, None);
    let marked = batch
        .clone()
        .with_present(Some(NullBuffer::new(after_passes)))
        .with_before(Some(Before { values: before.values.clone(), present: Some(NullBuffer::new(before_passes)) }));
    marked.filter(&keep).map_err(TransformError::of)
}

/// The rows that changes replace, as rows of the same schema and keys.
pub(crate) fn rows_before(batch: &Batch, before: &Before) -> RecordBatch {
    let schema = batch.schema();
    let mut columns = batch.rows().columns().to_vec();
    columns.splice(schema.value_range(), before.values.iter().cloned());
    RecordBatch::try_new(schema.columns().clone(), columns).expect("before-images have the value columns")
}

/// The same as a batch of its own.
pub(crate) fn image_before(batch: &Batch, before: &Before) -> Batch {
    let columns = rows_before(batch, before).columns().to_vec();
    Batch::new(Arc::clone(batch.schema()), columns).with_present(before.present.clone())
}

impl Transform for Filter {
    fn apply(&self, batch: &Batch, errors: &mut Vec<RowError>) -> Result<Batch, TransformError> {
        let passes = self.passes(batch.rows(), batch.present(), errors);
        match batch.before() {
            None if self.of_rows => Ok(batch.clone().with_present(Some(NullBuffer::new(passes)))),
            None => batch.filter(&BooleanArray::new(passes, None)).map_err(TransformError::of),
            Some(before) => {
                let old = rows_before(batch, before);
                let old_passes = self.passes(&old, before.present.as_ref(), &mut Vec::new());
                filter_changes(batch, before, passes, old_passes)
            }
        }
    }

    fn reads(&self) -> Reads {
        Reads::AndPassesOn(self.predicate.columns())
    }

    fn describe(&self) -> String {
        format!("filter: {}", self.predicate)
    }
}
