//! Closures as stateless operators.
//!
//! A record that cannot be read into the closure's types, because a field that is not an `Option` is null for instance, is a dead letter and is
//! left out. A record without value is `None` to a closure that takes an `Option`; to others it is such a record, unless what they do can be
//! done without: values that are mapped stay missing, and peeks do not see it. The rows of tables that are deleted are never shown.
//!
//! Closures may fail, each for its record: those that cannot are a case of those that can. A panic is a failure, too: see [`guarded`].

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, UInt32Array},
    buffer::{BooleanBuffer, NullBuffer},
};

use super::{
    guarded::guarded,
    typed::{Data, Shape},
};
use crate::{
    Batch,
    batch::Before,
    expression::RowError,
    operator::{Reads, Transform, TransformError, filter_changes, image_before, scatter},
    schema::StreamSchema,
};

pub(super) type Apply = dyn Fn(&Batch, &mut Vec<RowError>) -> Result<Batch, TransformError> + Send + Sync;

/// A transform around a closure.
pub(super) struct Closure {
    what: &'static str,
    apply: Box<Apply>,
}

impl Transform for Closure {
    fn apply(&self, batch: &Batch, errors: &mut Vec<RowError>) -> Result<Batch, TransformError> {
        guarded(&*self.apply, batch, errors)
    }

    fn reads(&self) -> Reads {
        Reads::Everything
    }

    fn describe(&self) -> String {
        format!("{} by a closure", self.what)
    }
}

/// What becomes of records without value where the closure has no use for them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// They are dead letters.
    Reported,
    /// They are passed over.
    Skipped,
}

/// The types a closure takes.
pub(super) struct Input<K, V> {
    pub(super) key: Shape<K>,
    pub(super) value: Shape<V>,
    /// Whether rows are those of a table, in which one without value is deleted.
    is_table: bool,
}

impl<K: Data, V: Data> Input<K, V> {
    /// What a closure over a stream takes.
    pub(super) fn of_stream() -> Result<Self, String> {
        Ok(Self { key: Shape::of("key")?, value: Shape::of("value")?, is_table: false })
    }

    /// What a closure over the rows of a table takes.
    pub(super) fn of_table() -> Result<Self, String> {
        Ok(Self { is_table: true, ..Self::of_stream()? })
    }

    /// The values that a closure sees, by row.
    fn values(&self, batch: &Batch, missing: Missing, errors: &mut Vec<RowError>) -> Vec<Option<V>> {
        let mut values = self.value.read_present(batch.values(), batch.present(), batch.len(), errors);
        let Some(present) = batch.present() else { return values };
        for (row, value) in values.iter_mut().enumerate().filter(|(row, _)| present.is_null(*row)) {
            if self.is_table {
                *value = None;
            } else if value.is_none() && missing == Missing::Reported {
                let problem = "the record has no value: a closure that takes an Option sees such records".to_owned();
                errors.push(RowError { row, problem });
            }
        }
        values
    }

    /// The records that a closure sees, with their rows.
    pub(super) fn records(&self, batch: &Batch, missing: Missing, errors: &mut Vec<RowError>) -> Vec<(usize, K, V)> {
        let (mut found, mut of_keys) = (Vec::new(), Vec::new());
        let values = self.values(batch, missing, &mut found);
        let keys = self.key.read_keys(batch, &mut of_keys);
        found.extend(of_keys.into_iter().filter(|error| values[error.row].is_some()));
        found.sort_by_key(|error| error.row);
        found.dedup_by_key(|error| error.row);
        errors.append(&mut found);
        let rows = keys.into_iter().zip(values).enumerate();
        rows.filter_map(|(row, (key, value))| Some((row, key?, value?))).collect()
    }

    pub(super) fn filter(
        self,
        what: &'static str,
        predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
    ) -> Closure {
        self.try_filter(what, move |key, value| Ok(predicate(key, value)))
    }

    /// As [`filter`](Self::filter); a record that the predicate fails for does not pass.
    pub(super) fn try_filter(
        self,
        what: &'static str,
        predicate: impl Fn(&K, &V) -> Result<bool, String> + Send + Sync + 'static,
    ) -> Closure {
        let is_table = self.is_table;
        let passes = move |batch: &Batch, errors: &mut Vec<RowError>| {
            let mut passes = vec![false; batch.len()];
            for (row, key, value) in self.records(batch, Missing::Reported, errors) {
                passes[row] = gather(row, predicate(&key, &value), errors).unwrap_or(false);
            }
            BooleanBuffer::from(passes)
        };
        let apply = move |batch: &Batch, errors: &mut Vec<RowError>| match batch.before() {
            None if is_table => {
                let after = passes(batch, errors);
                Ok(batch.clone().with_present(Some(NullBuffer::new(after))))
            }
            None => batch.filter(&BooleanArray::new(passes(batch, errors), None)).map_err(TransformError::of),
            Some(before) => {
                let after = passes(batch, errors);
                let old = passes(&image_before(batch, before), &mut Vec::new());
                filter_changes(batch, before, after, old)
            }
        };
        Closure { what, apply: Box::new(apply) }
    }

    /// A value for each value; keys are not looked at.
    pub(super) fn map_values<V2: Data>(
        self,
        output: Arc<StreamSchema>,
        function: impl Fn(V) -> V2 + Send + Sync + 'static,
    ) -> Result<Closure, String> {
        self.try_map_values(output, move |value| Ok(function(value)))
    }

    /// As [`map_values`](Self::map_values).
    pub(super) fn try_map_values<V2: Data>(
        self,
        output: Arc<StreamSchema>,
        function: impl Fn(V) -> Result<V2, String> + Send + Sync + 'static,
    ) -> Result<Closure, String> {
        let mapped = move |batch: &Batch, errors: &mut Vec<RowError>| {
            let values = self.values(batch, Missing::Skipped, errors).into_iter().enumerate();
            values.filter_map(|(row, value)| Some((row, gather(row, function(value?), errors)?))).unzip()
        };
        mapped_values("map_values", output, mapped)
    }

    /// A value for each record.
    pub(super) fn map_values_with_key<V2: Data>(
        self,
        output: Arc<StreamSchema>,
        function: impl Fn(&K, V) -> V2 + Send + Sync + 'static,
    ) -> Result<Closure, String> {
        self.try_map_values_with_key(output, move |key, value| Ok(function(key, value)))
    }

    /// As [`map_values_with_key`](Self::map_values_with_key).
    pub(super) fn try_map_values_with_key<V2: Data>(
        self,
        output: Arc<StreamSchema>,
        function: impl Fn(&K, V) -> Result<V2, String> + Send + Sync + 'static,
    ) -> Result<Closure, String> {
        let mapped = move |batch: &Batch, errors: &mut Vec<RowError>| {
            let records = self.records(batch, Missing::Skipped, errors).into_iter();
            records.filter_map(|(row, key, value)| Some((row, gather(row, function(&key, value), errors)?))).unzip()
        };
        mapped_values("map_values", output, mapped)
    }

    /// Any number of new values for each record; keys and timestamps stay.
    pub(super) fn flat_map_values<V2: Data, I: IntoIterator<Item = V2>>(
        self,
        output: Arc<StreamSchema>,
        function: impl Fn(&K, V) -> I + Send + Sync + 'static,
    ) -> Result<Closure, String> {
        self.try_flat_map_values(output, move |key, value| Ok(function(key, value)))
    }

    /// As [`flat_map_values`](Self::flat_map_values).
    pub(super) fn try_flat_map_values<V2: Data, I: IntoIterator<Item = V2>>(
        self,
        output: Arc<StreamSchema>,
        function: impl Fn(&K, V) -> Result<I, String> + Send + Sync + 'static,
    ) -> Result<Closure, String> {
        let shape = Shape::<V2>::of("value")?;
        let apply = move |batch: &Batch, errors: &mut Vec<RowError>| {
            let (mut rows, mut values) = (Vec::new(), Vec::new());
            for (row, key, value) in self.records(batch, Missing::Reported, errors) {
                for value in gather(row, function(&key, value), errors).into_iter().flatten() {
                    rows.push(row as u32);
                    values.push(value);
                }
            }
            let rows = UInt32Array::from(rows);
            let keys = batch.keys().iter().map(|column| arrow::compute::take(column, &rows, None));
            let keys = keys.collect::<Result<Vec<_>, _>>().map_err(TransformError::of)?;
            let (columns, present) = shape.write_present(&values).map_err(TransformError::of)?;
            made_of(batch, &rows, &output, keys.into_iter().chain(columns).collect(), present)
        };
        Ok(Closure { what: "flat_map_values", apply: Box::new(apply) })
    }

    /// Any number of new records for each; timestamps stay.
    pub(super) fn flat_map<K2: Data, V2: Data, I: IntoIterator<Item = (K2, V2)>>(
        self,
        what: &'static str,
        output: Arc<StreamSchema>,
        function: impl Fn(K, V) -> I + Send + Sync + 'static,
    ) -> Result<Closure, String> {
        self.try_flat_map(what, output, move |key, value| Ok(function(key, value)))
    }

    /// As [`flat_map`](Self::flat_map).
    pub(super) fn try_flat_map<K2: Data, V2: Data, I: IntoIterator<Item = (K2, V2)>>(
        self,
        what: &'static str,
        output: Arc<StreamSchema>,
        function: impl Fn(K, V) -> Result<I, String> + Send + Sync + 'static,
    ) -> Result<Closure, String> {
        let (key_shape, value_shape) = (Shape::<K2>::of("key")?, Shape::<V2>::of("value")?);
        let apply = move |batch: &Batch, errors: &mut Vec<RowError>| {
            let (mut rows, mut keys, mut values) = (Vec::new(), Vec::new(), Vec::new());
            for (row, key, value) in self.records(batch, Missing::Reported, errors) {
                for (key, value) in gather(row, function(key, value), errors).into_iter().flatten() {
                    rows.push(row as u32);
                    keys.push(key);
                    values.push(value);
                }
            }
            let mut columns = key_shape.write(&keys).map_err(TransformError::of)?;
            let (values, present) = value_shape.write_present(&values).map_err(TransformError::of)?;
            columns.extend(values);
            made_of(batch, &UInt32Array::from(rows), &output, columns, present)
        };
        Ok(Closure { what, apply: Box::new(apply) })
    }

    /// A look at each record; all are passed on, or none.
    pub(super) fn look(self, what: Look, function: impl Fn(&K, &V) + Send + Sync + 'static) -> Closure {
        self.try_look(what, move |key, value| {
            function(key, value);
            Ok(())
        })
    }

    /// As [`look`](Self::look); a record that the function fails for is reported, and passed on if the others are.
    pub(super) fn try_look(
        self,
        what: Look,
        function: impl Fn(&K, &V) -> Result<(), String> + Send + Sync + 'static,
    ) -> Closure {
        let apply = move |batch: &Batch, errors: &mut Vec<RowError>| {
            let mut unseen = Vec::new();
            let records = self.records(batch, Missing::Skipped, &mut unseen);
            for (row, key, value) in &records {
                gather(*row, function(key, value), errors);
            }
            match what {
                // What cannot be read is passed on all the same.
                Look::Peek => Ok(batch.clone()),
                Look::ForEach => {
                    errors.append(&mut unseen);
                    Ok(batch.slice(0, 0))
                }
            }
        };
        Closure { what: if what == Look::Peek { "peek" } else { "for_each" }, apply: Box::new(apply) }
    }
}

/// What a closure gave for a row, if it did not fail.
fn gather<T>(row: usize, given: Result<T, String>, errors: &mut Vec<RowError>) -> Option<T> {
    given.map_err(|problem| errors.push(RowError { row, problem })).ok()
}

/// Why records are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// By the way: they are passed on.
    Peek,
    /// To do something with them: they end there.
    ForEach,
}

/// A closure that gives values for rows; rows for which it gives none have none.
pub(super) fn mapped_values<V2: Data>(
    what: &'static str,
    output: Arc<StreamSchema>,
    mapped: impl Fn(&Batch, &mut Vec<RowError>) -> (Vec<usize>, Vec<V2>) + Send + Sync + 'static,
) -> Result<Closure, String> {
    let shape = Shape::<V2>::of("value")?;
    let map = move |batch: &Batch, errors: &mut Vec<RowError>| -> Result<(Vec<ArrayRef>, NullBuffer), TransformError> {
        let (rows, values) = mapped(batch, errors);
        let (columns, present) = shape.write_present(&values).map_err(TransformError::of)?;
        let mut there = vec![false; batch.len()];
        for (index, &row) in rows.iter().enumerate() {
            there[row] = present.as_ref().is_none_or(|present| present.is_valid(index));
        }
        Ok((scatter(&columns, &rows, batch.len()).map_err(TransformError::of)?, NullBuffer::from(there)))
    };
    let apply = move |batch: &Batch, errors: &mut Vec<RowError>| {
        let first_error = errors.len();
        let (values, present) = map(batch, errors)?;
        let schema = batch.schema();
        let mut columns = batch.keys().to_vec();
        columns.extend(values);
        columns
            .extend([schema.time_index(), schema.offset_index()].map(|index| Arc::clone(batch.rows().column(index))));
        let before = match batch.before() {
            None => None,
            Some(before) => {
                let (values, present) = map(&image_before(batch, before), &mut Vec::new())?;
                Some(Before { values, present: Some(present) })
            }
        };
        let mapped = Batch::new(Arc::clone(&output), columns).with_present(Some(present)).with_before(before);
        let mapped = mapped.with_headers(batch.headers().cloned());
        // A change whose new row cannot be read still takes the old one back.
        if errors.len() == first_error || mapped.before().is_some() {
            return Ok(mapped);
        }
        let mut keep = vec![true; batch.len()];
        errors[first_error..].iter().for_each(|error| keep[error.row] = false);
        mapped.filter(&BooleanArray::from(keep)).map_err(TransformError::of)
    };
    Ok(Closure { what, apply: Box::new(apply) })
}

/// Records made of the rows of `batch` at `rows`, with their timestamps, offsets and headers.
fn made_of(
    batch: &Batch,
    rows: &UInt32Array,
    output: &Arc<StreamSchema>,
    mut columns: Vec<ArrayRef>,
    present: Option<NullBuffer>,
) -> Result<Batch, TransformError> {
    let schema = batch.schema();
    for index in [schema.time_index(), schema.offset_index()] {
        columns.push(arrow::compute::take(batch.rows().column(index), rows, None).map_err(TransformError::of)?);
    }
    let headers = batch.headers_at(rows).map_err(TransformError::of)?;
    Ok(Batch::new(Arc::clone(output), columns).with_present(present).with_headers(headers))
}
