//! Joiners: closures over both sides of a join, as stateless operators behind a join of columns.
//!
//! The join gives the columns of both sides and which sides each row has. A joiner is given the key and the sides that are there; what it
//! returns is the value of the result. A row of which the key or a side that is there cannot be read is a dead letter and is left out.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, BooleanArray},
    buffer::{BooleanBuffer, NullBuffer},
    compute,
    datatypes::FieldRef,
};

use super::typed::{Data, Shape};
use crate::{
    Batch,
    batch::Before,
    expression::RowError,
    operator::{Reads, SIDE_COLUMNS, Transform, TransformError, image_before, scatter},
    schema::StreamSchema,
};

/// Both sides of a row of a join, as a closure takes them. Those of an inner join have two.
type Join<K, V, T, R> = dyn Fn(&K, Option<V>, Option<T>) -> R + Send + Sync;

/// The types of a join.
pub(super) struct Sides<K, V, T> {
    key: Shape<K>,
    left: Shape<V>,
    right: Shape<T>,
}

/// The transform of a closure that joins both sides.
struct Joiner<K, V, T, R> {
    sides: Sides<K, V, T>,
    result: Shape<R>,
    join: Box<Join<K, V, T, R>>,
    output: Arc<StreamSchema>,
}

/// Joined values, by their rows of the batch.
type Results<R> = Vec<(usize, R)>;

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
        let result = Shape::<R>::of("value")?;
        let output = StreamSchema::new(flat.key().to_vec(), result.fields.clone(), flat.window());
        let output = output.map_err(|error| error.to_string())?;
        Ok((Arc::new(Joiner { sides: self, result, join: Box::new(join), output: Arc::clone(&output) }), output))
    }

    /// The rows that have a value and can be read.
    fn rows(
        &self,
        batch: &Batch,
        errors: &mut Vec<RowError>,
    ) -> Result<Vec<(usize, K, Option<V>, Option<T>)>, TransformError> {
        let mut found = Vec::new();
        let there = |column: &ArrayRef| -> BooleanBuffer {
            let has = column.as_boolean().values();
            batch.present().map_or_else(|| has.clone(), |present| has & present.inner())
        };
        let (left, rest) = batch.values().split_at(self.left.fields.len());
        let (right, has) = rest.split_at(self.right.fields.len());
        let keys = self.key.read_keys(batch, &mut found);
        let mut left = read_side(&self.left, left, there(&has[0]), &mut found)?;
        let mut right = read_side(&self.right, right, there(&has[1]), &mut found)?;
        let present = |row: usize| batch.present().is_none_or(|present| present.is_valid(row));
        found.retain(|error| present(error.row));
        found.sort_by_key(|error| error.row);
        found.dedup_by_key(|error| error.row);
        let failed = |row: usize| found.binary_search_by_key(&row, |error| error.row).is_ok();
        let rows = keys.into_iter().enumerate().filter(|(row, _)| present(*row) && !failed(*row));
        let rows = rows.filter_map(|(row, key)| Some((row, key?, left[row].take(), right[row].take()))).collect();
        errors.append(&mut found);
        Ok(rows)
    }
}

/// One side of each row: none where it is not there, or cannot be read, which is in the errors.
fn read_side<T: Data>(
    shape: &Shape<T>,
    columns: &[ArrayRef],
    there: BooleanBuffer,
    errors: &mut Vec<RowError>,
) -> Result<Vec<Option<T>>, TransformError> {
    let rows: Vec<usize> = there.set_indices().collect();
    let mut side: Vec<Option<T>> = (0..there.len()).map(|_| None).collect();
    let keep = BooleanArray::new(there, None);
    let columns = columns.iter().map(|column| compute::filter(column, &keep).map_err(TransformError::of));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let mut found = Vec::new();
    for (value, &row) in shape.read(&columns, rows.len(), &mut found).into_iter().zip(&rows) {
        side[row] = value;
    }
    errors.extend(found.into_iter().map(|error| RowError { row: rows[error.row], ..error }));
    Ok(side)
}

impl<K: Data, V: Data, T: Data, R: Data> Joiner<K, V, T, R> {
    fn results(&self, batch: &Batch, errors: &mut Vec<RowError>) -> Result<Results<R>, TransformError> {
        let rows = self.sides.rows(batch, errors)?.into_iter();
        Ok(rows.map(|(row, key, left, right)| (row, (self.join)(&key, left, right))).collect())
    }

    /// Results as value columns, and which rows have one.
    fn columns(&self, results: Results<R>, rows: usize) -> Result<(Vec<ArrayRef>, NullBuffer), TransformError> {
        let (places, values): (Vec<usize>, Vec<R>) = results.into_iter().unzip();
        let columns = self.result.write(&values).map_err(TransformError::of)?;
        let mut present = vec![false; rows];
        places.iter().for_each(|&row| present[row] = true);
        Ok((scatter(&columns, &places, rows).map_err(TransformError::of)?, NullBuffer::from(present)))
    }
}

impl<K: Data, V: Data, T: Data, R: Data> Transform for Joiner<K, V, T, R> {
    fn apply(&self, batch: &Batch, errors: &mut Vec<RowError>) -> Result<Batch, TransformError> {
        let first_error = errors.len();
        let (values, present) = self.columns(self.results(batch, errors)?, batch.len())?;
        let schema = batch.schema();
        let mut columns = batch.keys().to_vec();
        columns.extend(values);
        columns
            .extend([schema.time_index(), schema.offset_index()].map(|index| Arc::clone(batch.rows().column(index))));
        let before = match batch.before() {
            None => None,
            Some(before) => {
                let results = self.results(&image_before(batch, before), &mut Vec::new())?;
                let (values, present) = self.columns(results, batch.len())?;
                Some(Before { values, present: Some(present) })
            }
        };
        let joined = Batch::new(Arc::clone(&self.output), columns).with_present(Some(present)).with_before(before);
        let joined = joined.with_headers(batch.headers().cloned());
        let failed: Vec<usize> = errors[first_error..].iter().map(|error| error.row).collect();
        // A change whose new row cannot be read still takes the old one back.
        if failed.is_empty() || joined.before().is_some() {
            return Ok(joined);
        }
        let keep = BooleanBuffer::collect_bool(batch.len(), |row| !failed.contains(&row));
        joined.filter(&BooleanArray::new(keep, None)).map_err(TransformError::of)
    }

    fn reads(&self) -> Reads {
        Reads::Everything
    }

    fn describe(&self) -> String {
        "join both sides by a closure".to_owned()
    }
}
