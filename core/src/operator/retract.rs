//! Retract: the changes of a table as weighted rows under a new key, so that an aggregation can take back what a row contributed.
//!
//! A changed row becomes the row that goes, with weight -1, and the row that comes, with weight 1, in this order.
//!
//! ```text
//! key  before after           new key  weight
//!  a   (x, 1) (y, 1)     ->      x       -1
//!                                y        1
//! ```
//!
//! As Kafka Streams does for grouped tables: subtract the old, then add the new. A row whose new key is null is left out.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, Int64Array, UInt32Array},
    buffer::NullBuffer,
};
use datafusion::logical_expr::lit;

use super::{Column, Project, ProjectError, Reads, Transform, TransformError, filter::rows_before};
use crate::{Batch, expression::RowError, schema::StreamSchema};

/// The column that says whether a row comes (1) or goes (-1).
pub const WEIGHT: &str = "__weight";

/// Turns changes into weighted rows.
pub struct Retract {
    project: Project,
}

impl Retract {
    /// Weighted rows of `value` columns under `key`.
    ///
    /// # Errors
    /// [`ProjectError`] if an expression does not bind or names clash.
    pub fn new(key: &[Column], value: &[Column], input: &StreamSchema) -> Result<Self, ProjectError> {
        let weighted: Vec<Column> = value.iter().cloned().chain([Column::new(WEIGHT, lit(1_i64))]).collect();
        Ok(Self { project: Project::new(Some(key), &weighted, input)? })
    }

    /// The columns it gives: the new key, the values, the weight.
    pub fn output(&self) -> &Arc<StreamSchema> {
        self.project.output()
    }

    fn weighted(&self, rows: Batch, weight: i64, errors: &mut Vec<RowError>) -> Result<Batch, TransformError> {
        let projected = self.project.apply(&rows, errors)?;
        let schema = projected.schema();
        let mut columns: Vec<ArrayRef> = projected.rows().columns().to_vec();
        columns[schema.value_range().end - 1] = Arc::new(Int64Array::from(vec![weight; projected.len()]));
        Ok(Batch::new(Arc::clone(schema), columns))
    }
}

/// The rows of `batch` that are there, and where they were.
fn existing(batch: &Batch, present: Option<&NullBuffer>) -> Result<(Batch, Vec<u32>), TransformError> {
    let there: Vec<u32> =
        (0..batch.len() as u32).filter(|&row| present.is_none_or(|present| present.is_valid(row as usize))).collect();
    let rows = batch.clone().with_present(None).with_before(None).take(&UInt32Array::from(there.clone()));
    Ok((rows.map_err(TransformError::of)?, there))
}

impl Transform for Retract {
    fn apply(&self, batch: &Batch, errors: &mut Vec<RowError>) -> Result<Batch, TransformError> {
        let (after, after_rows) = existing(batch, batch.present())?;
        let first_error = errors.len();
        let after = self.weighted(after, 1, errors)?;
        errors[first_error..].iter_mut().for_each(|error| error.row = after_rows[error.row] as usize);
        let mut parts = vec![(after, after_rows, 1)];
        if let Some(before) = batch.before() {
            let schema = Arc::clone(batch.schema());
            let old = Batch::new(schema, rows_before(batch, before).columns().to_vec());
            let (old, old_rows) = existing(&old, before.present.as_ref())?;
            parts.insert(0, (self.weighted(old, -1, &mut Vec::new())?, old_rows, 0));
        }
        // If a key could not be computed its rows are left out, and the order of the rest is that of the parts.
        let in_order = parts.iter().all(|(part, rows, _)| part.len() == rows.len());
        let order: Vec<(u32, u32)> =
            parts.iter().flat_map(|(_, rows, side)| rows.iter().map(|&row| (row, *side))).collect();
        let mut indices: Vec<u32> = (0..order.len() as u32).collect();
        indices.sort_by_key(|&index| order[index as usize]);
        let all =
            Batch::concat(&parts.into_iter().map(|(part, ..)| part).collect::<Vec<_>>()).map_err(TransformError::of)?;
        let all = if in_order { all.take(&UInt32Array::from(indices)).map_err(TransformError::of)? } else { all };
        let keyed = &all.keys()[..all.schema().key().len()];
        let nulls =
            keyed.iter().fold(None, |nulls, column| NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref()));
        match nulls {
            None => Ok(all),
            Some(nulls) => {
                let keep = arrow::array::BooleanArray::new(nulls.into_inner(), None);
                all.filter(&keep).map_err(TransformError::of)
            }
        }
    }

    fn reads(&self) -> Reads {
        self.project.reads()
    }

    fn describe(&self) -> String {
        format!("retract and add, {}", self.project.describe())
    }
}
