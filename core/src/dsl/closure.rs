//! Closures as stateless operators.
//!
//! A closure sees the records that have a value. A record that cannot be read into the closure's types, because a field that
//! is not an `Option` is null for instance, is a dead letter and is left out.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, UInt32Array},
    buffer::{BooleanBuffer, NullBuffer},
};

use super::typed::{Data, Shape};
use crate::{
    Batch,
    batch::Before,
    expression::RowError,
    operator::{Reads, Transform, TransformError, filter_changes, rows_before, scatter},
    schema::StreamSchema,
};

type Apply = dyn Fn(&Batch, &mut Vec<RowError>) -> Result<Batch, TransformError> + Send + Sync;

/// A transform around a closure.
pub(super) struct Closure {
    what: &'static str,
    apply: Box<Apply>,
}

impl Transform for Closure {
    fn apply(&self, batch: &Batch, errors: &mut Vec<RowError>) -> Result<Batch, TransformError> {
        (self.apply)(batch, errors)
    }

    fn reads(&self) -> Reads {
        Reads::Everything
    }

    fn describe(&self) -> String {
        format!("{} by a closure", self.what)
    }
}

/// The types a closure takes.
pub(super) struct Input<K, V> {
    pub(super) key: Shape<K>,
    pub(super) value: Shape<V>,
}

impl<K: Data, V: Data> Input<K, V> {
    pub(super) fn new() -> Result<Self, String> {
        Ok(Self { key: Shape::of("key")?, value: Shape::of("value")? })
    }

    /// The records that have a value and can be read, with their rows.
    pub(super) fn records(&self, batch: &Batch, errors: &mut Vec<RowError>) -> Vec<(usize, K, V)> {
        let mut found = Vec::new();
        let keys = self.key.read_keys(batch, &mut found);
        let values = self.value.read(batch.values(), batch.len(), &mut found);
        let present = |row: usize| batch.present().is_none_or(|present| present.is_valid(row));
        found.retain(|error| present(error.row));
        found.sort_by_key(|error| error.row);
        found.dedup_by_key(|error| error.row);
        errors.append(&mut found);
        let rows = keys.into_iter().zip(values).enumerate();
        rows.filter_map(|(row, (key, value))| Some((row, key?, value?))).filter(|(row, ..)| present(*row)).collect()
    }

    pub(super) fn filter(self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Closure {
        let passes = move |batch: &Batch, errors: &mut Vec<RowError>| {
            let mut passes = vec![false; batch.len()];
            for (row, key, value) in self.records(batch, errors) {
                passes[row] = predicate(&key, &value);
            }
            BooleanBuffer::from(passes)
        };
        let apply = move |batch: &Batch, errors: &mut Vec<RowError>| match batch.before() {
            None => batch.filter(&BooleanArray::new(passes(batch, errors), None)).map_err(TransformError::of),
            Some(before) => {
                let after = passes(batch, errors);
                let old = passes(&image_before(batch, before), &mut Vec::new());
                filter_changes(batch, before, after, old)
            }
        };
        Closure { what: "filter", apply: Box::new(apply) }
    }

    pub(super) fn map_values<V2: Data>(
        self,
        output: Arc<StreamSchema>,
        function: impl Fn(&K, V) -> V2 + Send + Sync + 'static,
    ) -> Result<Closure, String> {
        let shape = Shape::<V2>::of("value")?;
        let map =
            move |batch: &Batch, errors: &mut Vec<RowError>| -> Result<(Vec<ArrayRef>, NullBuffer), TransformError> {
                let (mut rows, mut values) = (Vec::new(), Vec::new());
                for (row, key, value) in self.records(batch, errors) {
                    rows.push(row);
                    values.push(function(&key, value));
                }
                let columns = shape.write(&values).map_err(TransformError::of)?;
                let mut mapped = vec![false; batch.len()];
                rows.iter().for_each(|&row| mapped[row] = true);
                Ok((scatter(&columns, &rows, batch.len()).map_err(TransformError::of)?, NullBuffer::from(mapped)))
            };
        let apply = move |batch: &Batch, errors: &mut Vec<RowError>| {
            let first_error = errors.len();
            let (values, present) = map(batch, errors)?;
            let schema = batch.schema();
            let mut columns = batch.keys().to_vec();
            columns.extend(values);
            columns.extend(
                [schema.time_index(), schema.offset_index()].map(|index| Arc::clone(batch.rows().column(index))),
            );
            let before = match batch.before() {
                None => None,
                Some(before) => {
                    let (values, present) = map(&image_before(batch, before), &mut Vec::new())?;
                    Some(Before { values, present: Some(present) })
                }
            };
            let mapped = Batch::new(Arc::clone(&output), columns).with_present(Some(present)).with_before(before);
            let mapped = mapped.with_headers(batch.headers().cloned());
            let failed: Vec<usize> = errors[first_error..].iter().map(|error| error.row).collect();
            // A change whose new row cannot be read still takes the old one back.
            if failed.is_empty() || mapped.before().is_some() {
                return Ok(mapped);
            }
            let keep = BooleanBuffer::collect_bool(batch.len(), |row| !failed.contains(&row));
            mapped.filter(&BooleanArray::new(keep, None)).map_err(TransformError::of)
        };
        Ok(Closure { what: "map_values", apply: Box::new(apply) })
    }

    /// Any number of new records for each; timestamps stay.
    pub(super) fn flat_map<K2: Data, V2: Data, I: IntoIterator<Item = (K2, V2)>>(
        self,
        what: &'static str,
        output: Arc<StreamSchema>,
        function: impl Fn(K, V) -> I + Send + Sync + 'static,
    ) -> Result<Closure, String> {
        let (key_shape, value_shape) = (Shape::<K2>::of("key")?, Shape::<V2>::of("value")?);
        let apply = move |batch: &Batch, errors: &mut Vec<RowError>| {
            let (mut rows, mut keys, mut values) = (Vec::new(), Vec::new(), Vec::new());
            for (row, key, value) in self.records(batch, errors) {
                for (key, value) in function(key, value) {
                    rows.push(row as u32);
                    keys.push(key);
                    values.push(value);
                }
            }
            let mut columns = key_shape.write(&keys).map_err(TransformError::of)?;
            columns.extend(value_shape.write(&values).map_err(TransformError::of)?);
            let rows = UInt32Array::from(rows);
            let schema = batch.schema();
            for index in [schema.time_index(), schema.offset_index()] {
                columns
                    .push(arrow::compute::take(batch.rows().column(index), &rows, None).map_err(TransformError::of)?);
            }
            let headers = batch.headers_at(&rows).map_err(TransformError::of)?;
            Ok(Batch::new(Arc::clone(&output), columns).with_headers(headers))
        };
        Ok(Closure { what, apply: Box::new(apply) })
    }

    /// A look at each record; all are passed on, or none.
    pub(super) fn look(self, passes_on: bool, function: impl Fn(&K, &V) + Send + Sync + 'static) -> Closure {
        let apply = move |batch: &Batch, errors: &mut Vec<RowError>| {
            self.records(batch, errors).iter().for_each(|(_, key, value)| function(key, value));
            Ok(if passes_on { batch.clone() } else { batch.slice(0, 0) })
        };
        Closure { what: if passes_on { "peek" } else { "for_each" }, apply: Box::new(apply) }
    }
}

/// The rows that changes replace, as a batch of their own.
fn image_before(batch: &Batch, before: &Before) -> Batch {
    let columns = rows_before(batch, before).columns().to_vec();
    Batch::new(Arc::clone(batch.schema()), columns).with_present(before.present.clone())
}
