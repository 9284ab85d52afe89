//! Rust values to columns and back, through serde.
//!
//! A struct is one column a field. Anything else (text, numbers, enums ...) is one column, called `key` or `value`. The unit type `()` is
//! no column at all: the key of records that have none.
//!
//! Nothing is a value of `Option`: a record without key or value is read as `None` into an `Option<T>`, and `None` is written as a record
//! without key or value, in a table a tombstone. Other types have no value for such records.

use std::{any::TypeId, marker::PhantomData, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, StructArray},
    buffer::NullBuffer,
    compute::nullif,
    datatypes::{DataType, Field, FieldRef, Fields},
};
use serde::{
    Serialize,
    de::{
        DeserializeOwned,
        value::{Error as ValueError, UnitDeserializer},
    },
};
use serde_arrow::{
    schema::{SchemaLike, TracingOptions},
    utils::{Item, Items},
};

use crate::{Batch, expression::RowError, format::Wrapping, schema::StreamSchema};

/// What can be a key or a value: anything that serde can write and read back.
///
/// ```
/// use millstream::{StreamsBuilder, dsl::Consumed};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Serialize, Deserialize)]
/// struct Order {
///     item: String,
///     amount: i64,
/// }
///
/// let orders = StreamsBuilder::new().stream::<String, Order>("orders", Consumed::json());
/// let columns: Vec<_> = orders.columns().schema().value().iter().map(|field| field.name().as_str()).collect();
/// assert_eq!(columns, ["item", "amount"]);
/// ```
pub trait Data: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {}

impl<T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static> Data for T {}

/// The columns of a type.
pub(crate) struct Shape<T> {
    pub(crate) fields: Vec<FieldRef>,
    /// Whether the type is one column and no struct.
    bare: bool,
    /// Whether the type has a value for nothing, as `Option` has.
    nullable: bool,
    types: PhantomData<fn() -> T>,
}

impl<T> Clone for Shape<T> {
    fn clone(&self) -> Self {
        Self { fields: self.fields.clone(), bare: self.bare, nullable: self.nullable, types: PhantomData }
    }
}

/// Values by row: a row that cannot be read has none, and is in the errors.
pub(crate) type Values<T> = Vec<Option<T>>;

fn is_unit<T: 'static>() -> bool {
    TypeId::of::<T>() == TypeId::of::<()>()
}

impl<T: Data> Shape<T> {
    /// The columns of `T`; a bare type's column is called `name`.
    pub(crate) fn of(name: &str) -> Result<Self, String> {
        if is_unit::<T>() {
            return Ok(Self { fields: Vec::new(), bare: false, nullable: false, types: PhantomData });
        }
        let options = || {
            TracingOptions::default()
                .allow_null_fields(true)
                .strings_as_large_utf8(false)
                .sequence_as_large_list(false)
                .bytes_as_large_binary(false)
                .enums_without_data_as_strings(true)
        };
        let nullable = |field: &FieldRef| Arc::new(field.as_ref().clone().with_nullable(true));
        if let Ok(fields) = Vec::<FieldRef>::from_type::<T>(options()) {
            return Ok(Self {
                fields: fields.iter().map(nullable).collect(),
                bare: false,
                nullable: false,
                types: PhantomData,
            });
        }
        let fields = Vec::<FieldRef>::from_type::<Item<T>>(options())
            .map_err(|error| format!("{} has no columns: {error}", std::any::type_name::<T>()))?;
        let fields = fields.iter().map(|field| Arc::new(field.as_ref().clone().with_name(name).with_nullable(true)));
        let is_option = T::deserialize(UnitDeserializer::<ValueError>::new()).is_ok();
        Ok(Self { fields: fields.collect(), bare: true, nullable: is_option, types: PhantomData })
    }

    /// Whether the type is one column and no struct.
    pub(crate) fn is_bare(&self) -> bool {
        self.bare
    }

    /// Whether the type has a value for nothing, as `Option` has.
    pub(super) fn is_nullable(&self) -> bool {
        self.nullable
    }

    /// A struct is written as a record even if it has one field, a bare type as a bare value.
    pub(crate) fn wrapping(&self) -> Wrapping {
        if self.bare { Wrapping::Unwrapped } else { Wrapping::Wrapped }
    }

    /// The field a bare type is read from and written to.
    fn item(&self) -> Vec<FieldRef> {
        self.fields.iter().map(|field| Arc::new(field.as_ref().clone().with_name("item"))).collect()
    }

    /// The values of `columns`, one a row. Only if some row cannot be read are the rows looked at one by one.
    pub(crate) fn read(&self, columns: &[ArrayRef], rows: usize, errors: &mut Vec<RowError>) -> Values<T> {
        let mut values = Vec::with_capacity(rows);
        self.read_range(columns, 0, rows, &mut values, errors);
        values
    }

    fn read_range(
        &self,
        columns: &[ArrayRef],
        first: usize,
        rows: usize,
        values: &mut Values<T>,
        errors: &mut Vec<RowError>,
    ) {
        let part: Vec<ArrayRef> = columns.iter().map(|column| column.slice(first, rows)).collect();
        match self.read_all(&part, rows) {
            Ok(read) => values.extend(read.into_iter().map(Some)),
            Err(problem) if rows <= 1 => {
                errors.extend((0..rows).map(|_| RowError { row: first, problem: problem.clone() }));
                values.extend((0..rows).map(|_| None));
            }
            Err(_) => {
                self.read_range(columns, first, rows / 2, values, errors);
                self.read_range(columns, first + rows / 2, rows - rows / 2, values, errors);
            }
        }
    }

    fn read_all(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<T>, String> {
        if rows == 0 {
            return Ok(Vec::new());
        }
        if is_unit::<T>() {
            let unit = || T::deserialize(UnitDeserializer::<ValueError>::new());
            return (0..rows).map(|_| unit().map_err(|error| error.to_string())).collect();
        }
        if self.bare {
            let Items(values) = serde_arrow::from_arrow(&self.item(), columns).map_err(|error| error.to_string())?;
            return Ok(values);
        }
        serde_arrow::from_arrow(&self.fields, columns).map_err(|error| error.to_string())
    }

    /// The values of rows of which some are not there: those have none, or are `None` if the type has that. Rows that are not there make no
    /// errors.
    pub(super) fn read_present(
        &self,
        columns: &[ArrayRef],
        present: Option<&NullBuffer>,
        rows: usize,
        errors: &mut Vec<RowError>,
    ) -> Values<T> {
        let Some(present) = present else { return self.read(columns, rows, errors) };
        let mut found = Vec::new();
        let mut values = match (&columns, self.nullable) {
            ([column], true) => {
                let absent = BooleanArray::new(!present.inner(), None);
                match nullif(column, &absent) {
                    Ok(masked) => self.read(&[masked], rows, &mut found),
                    Err(error) => {
                        found.extend((0..rows).map(|row| RowError { row, problem: error.to_string() }));
                        (0..rows).map(|_| None).collect()
                    }
                }
            }
            _ => self.read(columns, rows, &mut found),
        };
        if !self.nullable {
            values.iter_mut().enumerate().filter(|(row, _)| present.is_null(*row)).for_each(|(_, value)| *value = None);
        }
        errors.extend(found.into_iter().filter(|error| present.is_valid(error.row)));
        values
    }

    /// The columns of `values`, and which of them are there: of an `Option` those that are not `None`.
    pub(super) fn write_present(&self, values: &[T]) -> Result<(Vec<ArrayRef>, Option<NullBuffer>), String> {
        let columns = self.write(values)?;
        let present = columns.first().filter(|_| self.nullable).and_then(|column| column.logical_nulls());
        Ok((columns, present))
    }

    /// The columns of `values`, one row a value.
    pub(crate) fn write(&self, values: &[T]) -> Result<Vec<ArrayRef>, String> {
        if self.fields.is_empty() {
            return Ok(Vec::new());
        }
        let columns = if self.bare {
            serde_arrow::to_arrow(&self.item(), Items(values))
        } else {
            serde_arrow::to_arrow(&self.fields, values)
        };
        columns.map_err(|error| error.to_string())
    }

    /// The values of `columns`, one a row, all of which must be readable.
    pub(super) fn read_collecting(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<T>, String> {
        self.read_all(columns, rows)
    }

    /// The key columns of `keys` for batches of `schema`: the way back from [`read_keys`](Self::read_keys).
    pub(super) fn write_keys(&self, keys: &[T], schema: &StreamSchema) -> Result<Vec<ArrayRef>, String> {
        let mut columns = self.write(keys)?;
        if !schema.is_windowed() || columns.len() != 3 {
            return Ok(columns);
        }
        let bounds = columns.split_off(1);
        let whole = match columns[0].as_struct_opt() {
            Some(whole) => whole.columns().to_vec(),
            None => columns,
        };
        Ok(whole.into_iter().chain(bounds).collect())
    }

    /// The keys of a batch. A windowed key is read as a struct of `key`, `start` and `end`, as [`Windowed`](super::Windowed) is.
    pub(crate) fn read_keys(&self, batch: &Batch, errors: &mut Vec<RowError>) -> Values<T> {
        let keys = batch.keys();
        if !batch.schema().is_windowed() {
            return self.read(keys, batch.len(), errors);
        }
        let (plain, bounds) = keys.split_at(batch.schema().key().len());
        let whole = match self.fields.first().map(|field| field.data_type()) {
            Some(DataType::Struct(fields)) => struct_of(fields, plain),
            _ => Arc::clone(&plain[0]),
        };
        self.read(&[whole, Arc::clone(&bounds[0]), Arc::clone(&bounds[1])], batch.len(), errors)
    }
}

fn struct_of(fields: &Fields, columns: &[ArrayRef]) -> ArrayRef {
    let fields: Fields = fields
        .iter()
        .zip(columns)
        .map(|(field, column)| Field::new(field.name(), column.data_type().clone(), true))
        .collect();
    Arc::new(StructArray::new(fields, columns.to_vec(), None))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Order {
        item: String,
        amount: f64,
        note: Option<String>,
    }

    fn check<T: Data + PartialEq + std::fmt::Debug>(values: &[T], columns: &[&str]) {
        let shape = Shape::<T>::of("value").expect("has columns");
        assert_eq!(shape.fields.iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), columns);
        let written = shape.write(values).expect("can be written");
        let mut errors = Vec::new();
        let read: Vec<T> = shape.read(&written, values.len(), &mut errors).into_iter().flatten().collect();
        assert_eq!((read.as_slice(), errors.len()), (values, 0));
    }

    #[test]
    fn nothing_is_a_value_of_an_option() {
        let shape = Shape::<Option<i64>>::of("value").expect("has columns");
        assert!(shape.is_nullable() && !Shape::<i64>::of("value").expect("has columns").is_nullable());
        let (columns, present) = shape.write_present(&[Some(1), None, Some(3)]).expect("can be written");
        let present = present.expect("one is missing");
        assert_eq!((0..3).filter(|&row| present.is_valid(row)).collect::<Vec<_>>(), [0, 2]);
        let mut errors = Vec::new();
        let mask = NullBuffer::from(vec![false, true, true]);
        let read = shape.read_present(&columns, Some(&mask), 3, &mut errors);
        assert_eq!((read, errors.len()), (vec![Some(None), Some(None), Some(Some(3))], 0));
        let plain = Shape::<i64>::of("value").expect("has columns");
        let mask = NullBuffer::from(vec![true, false, true]);
        assert_eq!(plain.read_present(&columns, Some(&mask), 3, &mut errors), [Some(1), None, Some(3)]);
        assert_eq!(errors.len(), 0, "what is not there is no error");
        check(&[Some(Order { item: "tea".into(), amount: 1.0, note: None }), None], &["value"]);
    }

    #[test]
    fn values_survive_the_way_through_columns() {
        check(&[1_i64, 2], &["value"]);
        check(&["a".to_owned(), String::new()], &["value"]);
        check(&[(), ()], &[]);
        let order = Order { item: "tea".into(), amount: 2.5, note: None };
        check(&[order.clone(), Order { note: Some("hot".into()), ..order }], &["item", "amount", "note"]);
    }
}
