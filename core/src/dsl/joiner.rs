//! Joiners: closures over both sides of a join, as stateless operators behind a join of columns.
//!
//! The join gives the columns of both sides and which sides each row has. A joiner is given the key and the sides that are there; what it
//! returns is the value of the result. A row of which the key or a side that is there cannot be read is a dead letter and is left out.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, BooleanArray},
    buffer::BooleanBuffer,
    compute,
    datatypes::FieldRef,
};

use super::{
    closure::mapped_values,
    typed::{Data, Shape},
};
use crate::{
    Batch,
    expression::RowError,
    operator::{SIDE_COLUMNS, Transform},
    schema::StreamSchema,
};

/// The types of a join.
pub(super) struct Sides<K, V, T> {
    key: Shape<K>,
    left: Shape<V>,
    right: Shape<T>,
}

/// Names for the columns of a join of `left` and `right`, and for those that say which sides there are. Nobody sees them.
pub(super) fn names(left: &[FieldRef], right: &[FieldRef]) -> Vec<String> {
    let left = (0..left.len()).map(|index| format!("__left{index}"));
    let right = (0..right.len()).map(|index| format!("__right{index}"));
    left.chain(right).chain(["__has_left", "__has_right"].map(str::to_owned)).collect()
}

impl<K: Data, V: Data, T: Data> Sides<K, V, T> {
    pub(super) fn new() -> Result<Self, String> {
        Ok(Self { key: Shape::of("key")?, left: Shape::of("value")?, right: Shape::of("value")? })
    }

    /// The transform of `join` over the columns of `flat`, and its output.
    pub(super) fn joiner<R: Data>(
        self,
        flat: &StreamSchema,
        join: impl Fn(&K, Option<V>, Option<T>) -> R + Send + Sync + 'static,
    ) -> Result<(Arc<dyn Transform>, Arc<StreamSchema>), String> {
        if flat.value().len() != self.left.fields.len() + self.right.fields.len() + SIDE_COLUMNS {
            return Err("the columns of the join are not those of its types".to_owned());
        }
        let output = StreamSchema::new(flat.key().to_vec(), Shape::<R>::of("value")?.fields, flat.window());
        let output = output.map_err(|error| error.to_string())?;
        let joined = move |batch: &Batch, errors: &mut Vec<RowError>| {
            let rows = self.rows(batch, errors).into_iter();
            rows.map(|(row, key, left, right)| (row, join(&key, left, right))).unzip()
        };
        Ok((Arc::new(mapped_values("join both sides", Arc::clone(&output), joined)?), output))
    }

    /// The rows that have a value and can be read.
    fn rows(&self, batch: &Batch, errors: &mut Vec<RowError>) -> Vec<(usize, K, Option<V>, Option<T>)> {
        let mut found = Vec::new();
        let there = |column: &ArrayRef| -> BooleanBuffer {
            let has = column.as_boolean().values();
            batch.present().map_or_else(|| has.clone(), |present| has & present.inner())
        };
        let (left, rest) = batch.values().split_at(self.left.fields.len());
        let (right, has) = rest.split_at(self.right.fields.len());
        let keys = self.key.read_keys(batch, &mut found);
        let mut left = read_side(&self.left, left, there(&has[0]), &mut found);
        let mut right = read_side(&self.right, right, there(&has[1]), &mut found);
        let present = |row: usize| batch.present().is_none_or(|present| present.is_valid(row));
        found.retain(|error| present(error.row));
        found.sort_by_key(|error| error.row);
        found.dedup_by_key(|error| error.row);
        let failed = |row: usize| found.binary_search_by_key(&row, |error| error.row).is_ok();
        let rows = keys.into_iter().enumerate().filter(|(row, _)| present(*row) && !failed(*row));
        let rows = rows.filter_map(|(row, key)| Some((row, key?, left[row].take(), right[row].take()))).collect();
        errors.append(&mut found);
        rows
    }
}

/// One side of each row: none where it is not there, or cannot be read, which is in the errors.
fn read_side<T: Data>(
    shape: &Shape<T>,
    columns: &[ArrayRef],
    there: BooleanBuffer,
    errors: &mut Vec<RowError>,
) -> Vec<Option<T>> {
    let rows: Vec<usize> = there.set_indices().collect();
    let mut side: Vec<Option<T>> = (0..there.len()).map(|_| None).collect();
    let keep = BooleanArray::new(there, None);
    let filtered = |column: &ArrayRef| compute::filter(column, &keep).expect("columns of one length can be filtered");
    let columns: Vec<ArrayRef> = columns.iter().map(filtered).collect();
    let mut found = Vec::new();
    for (value, &row) in shape.read(&columns, rows.len(), &mut found).into_iter().zip(&rows) {
        side[row] = value;
    }
    errors.extend(found.into_iter().map(|error| RowError { row: rows[error.row], ..error }));
    side
}
