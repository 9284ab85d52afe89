//! Guarded: a closure over the rows of a batch, with its panics caught.
//!
//! The whole batch is tried first. Only if that panics are the rows taken one by one, so that a clean batch pays nothing; the rows that panic
//! are reported, the others processed. A closure with side effects thus may see the rows of such a batch twice, as it may after a crash.
//!
//! Of a change whose new row panics the old one is still taken back, as of any that fails; an old row that panics was never passed on.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use arrow::buffer::NullBuffer;

use super::closure::Apply;
use crate::{Batch, batch::Before, expression::RowError, operator::TransformError};

type Outcome = Result<Batch, TransformError>;

/// What `apply` makes of a batch; rows that it panics for are left out and added to `errors`.
pub(super) fn guarded(apply: &Apply, batch: &Batch, errors: &mut Vec<RowError>) -> Outcome {
    let first_error = errors.len();
    attempt(apply, batch, errors).unwrap_or_else(|_| {
        errors.truncate(first_error);
        row_by_row(apply, batch, errors)
    })
}

/// Panics are caught at the edge of a closure that is called again: what it shares with itself is its own business, as it is after an error.
fn attempt(apply: &Apply, batch: &Batch, errors: &mut Vec<RowError>) -> Result<Outcome, String> {
    catch_unwind(AssertUnwindSafe(|| apply(batch, errors))).map_err(|panic| message(panic.as_ref()))
}

/// What a panic says.
pub(super) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("the closure panicked: {}", text.unwrap_or("without a message"))
}

fn row_by_row(apply: &Apply, batch: &Batch, errors: &mut Vec<RowError>) -> Outcome {
    let mut parts = Vec::with_capacity(batch.len());
    for row in 0..batch.len() {
        let (one, mut own) = (batch.slice(row, 1), Vec::new());
        let part = match attempt(apply, &one, &mut own) {
            Ok(outcome) => Some(outcome?),
            Err(problem) => {
                own.clear();
                rescued(apply, &one, problem, &mut own)?
            }
        };
        errors.extend(own.into_iter().map(|error| RowError { row, ..error }));
        parts.extend(part.filter(|part| !part.is_empty()));
    }
    if parts.is_empty() { apply(&batch.slice(0, 0), errors) } else { Batch::concat(&parts).map_err(TransformError::of) }
}

/// What can be saved of a row that panics: of a change the side that does not.
fn rescued(
    apply: &Apply,
    one: &Batch,
    problem: String,
    errors: &mut Vec<RowError>,
) -> Result<Option<Batch>, TransformError> {
    let Some(before) = one.before() else {
        errors.push(RowError { row: 0, problem });
        return Ok(None);
    };
    let gone = Some(NullBuffer::new_null(1));
    if let Ok(outcome) = attempt(apply, &one.clone().with_present(gone.clone()), &mut Vec::new()) {
        errors.push(RowError { row: 0, problem });
        return outcome.map(Some);
    }
    let before = Before { values: before.values.clone(), present: gone };
    match attempt(apply, &one.clone().with_before(Some(before)), errors) {
        Ok(outcome) => outcome.map(Some),
        Err(problem) => {
            errors.push(RowError { row: 0, problem });
            Ok(None)
        }
    }
}
