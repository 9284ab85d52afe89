//! Joined sides: which sides a row of a join has, as two boolean columns behind the values.
//!
//! A side whose columns are all null is not a missing side. Who has to tell them apart asks for two more columns than the values of both sides
//! are; a join whose output has them fills them.
//!
//! ```text
//! left row (null)  right row (1)   ->   null  1     true  true
//! left row (null)  none            ->   null  null  true  false
//! ```

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};

use crate::schema::StreamSchema;

/// How many columns say which sides there are.
pub(crate) const SIDE_COLUMNS: usize = 2;

/// Adds the columns that say which sides each of `rows` rows has, if `output` has two more value columns than `values`.
pub(crate) fn add_sides(
    values: &mut Vec<ArrayRef>,
    output: &StreamSchema,
    rows: usize,
    has_left: impl Fn(usize) -> bool,
    has_right: impl Fn(usize) -> bool,
) {
    if output.value().len() != values.len() + SIDE_COLUMNS {
        return;
    }
    let column = |has: &dyn Fn(usize) -> bool| -> ArrayRef {
        Arc::new(BooleanArray::from_iter((0..rows).map(|row| Some(has(row)))))
    };
    values.extend([column(&has_left), column(&has_right)]);
}
