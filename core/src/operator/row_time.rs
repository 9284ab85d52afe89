//! Row time: gives records the timestamp that one of their columns holds.
//!
//! A record without a value keeps its timestamp; one whose column is null, unreadable or negative is left out and reported.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array};

use super::{Reads, Transform, TransformError};
use crate::{
    Batch,
    expression::RowError,
    record::{MomentFormat, moments},
    schema::StreamSchema,
};

/// Sets `ROWTIME` from a column.
pub struct SetRowTime {
    column: usize,
    name: String,
    format: Option<MomentFormat>,
}

impl SetRowTime {
    /// Takes timestamps from the column `name` of `schema`; none if there is no such column.
    pub fn new(name: &str, format: Option<MomentFormat>, schema: &StreamSchema) -> Option<Self> {
        let column = schema.columns().index_of(name).ok()?;
        Some(Self { column, name: name.to_owned(), format })
    }
}

impl Transform for SetRowTime {
    fn apply(&self, batch: &Batch, errors: &mut Vec<RowError>) -> Result<Batch, TransformError> {
        let found = moments(batch.rows().column(self.column), self.format.as_ref());
        let mut keep = vec![true; batch.len()];
        let mut times = Vec::with_capacity(batch.len());
        for (row, keep) in keep.iter_mut().enumerate() {
            let is_there = batch.present().is_none_or(|present| present.is_valid(row));
            let time = found.is_valid(row).then(|| found.value(row));
            times.push(match time {
                Some(time) if time >= 0 => time,
                _ if !is_there => batch.times().value(row),
                time => {
                    let what = time.map_or_else(|| "null or unreadable".to_owned(), |time| format!("negative: {time}"));
                    errors.push(RowError { row, problem: format!("the timestamp column {} is {what}", self.name) });
                    *keep = false;
                    0
                }
            });
        }
        let schema = batch.schema();
        let mut columns: Vec<ArrayRef> = batch.rows().columns().to_vec();
        columns[schema.time_index()] = Arc::new(Int64Array::from(times));
        let timed = Batch::new(Arc::clone(schema), columns)
            .with_present(batch.present().cloned())
            .with_before(batch.before().cloned())
            .with_headers(batch.headers().cloned());
        if keep.iter().all(|keep| *keep) {
            return Ok(timed);
        }
        timed.filter(&BooleanArray::from(keep)).map_err(TransformError::of)
    }

    fn reads(&self) -> Reads {
        Reads::AndPassesOn(vec![self.name.clone()])
    }

    fn describe(&self) -> String {
        let format = self.format.as_ref().map_or_else(String::new, |format| format!(" as {format}"));
        format!("ROWTIME from {}{format}", self.name)
    }
}
