//! Rust values to columns and back, through serde.
//!
//! A struct is one column a field. Anything else (text, numbers, enums ...) is one column, called `key` or `value`. The unit type `()` is
//! no column at all: the key of records that have none.

use std::{any::TypeId, marker::PhantomData, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, StructArray},
    datatypes::{DataType, Field, FieldRef, Fields},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_arrow::{
    schema::{SchemaLike, TracingOptions},
    utils::{Item, Items},
};

use crate::{Batch, expression::RowError, format::Wrapping};

/// What can be a key or a value: anything that serde can write and read back.
pub trait Data: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {}

impl<T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static> Data for T {}

/// The columns of a type.
pub(crate) struct Shape<T> {
    pub(crate) fields: Vec<FieldRef>,
    /// Whether the type is one column and no struct.
    bare: bool,
    types: PhantomData<fn() -> T>,
}

impl<T> Clone for Shape<T> {
    fn clone(&self) -> Self {
        Self { fields: self.fields.clone(), bare: self.bare, types: PhantomData }
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
            return Ok(Self { fields: Vec::new(), bare: false, types: PhantomData });
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
            return Ok(Self { fields: fields.iter().map(nullable).collect(), bare: false, types: PhantomData });
        }
        let fields = Vec::<FieldRef>::from_type::<Item<T>>(options())
            .map_err(|error| format!("{} has no columns: {error}", std::any::type_name::<T>()))?;
        let fields = fields.iter().map(|field| Arc::new(field.as_ref().clone().with_name(name).with_nullable(true)));
        Ok(Self { fields: fields.collect(), bare: true, types: PhantomData })
    }

    /// Whether the type is one column and no struct.
    pub(crate) fn is_bare(&self) -> bool {
        self.bare
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
            let unit = || T::deserialize(serde::de::value::UnitDeserializer::<serde::de::value::Error>::new());
            return (0..rows).map(|_| unit().map_err(|error| error.to_string())).collect();
        }
        if self.bare {
            let Items(values) = serde_arrow::from_arrow(&self.item(), columns).map_err(|error| error.to_string())?;
            return Ok(values);
        }
        serde_arrow::from_arrow(&self.fields, columns).map_err(|error| error.to_string())
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
    fn values_survive_the_way_through_columns() {
        check(&[1_i64, 2], &["value"]);
        check(&["a".to_owned(), String::new()], &["value"]);
        check(&[(), ()], &[]);
        let order = Order { item: "tea".into(), amount: 2.5, note: None };
        check(&[order.clone(), Order { note: Some("hot".into()), ..order }], &["item", "amount", "note"]);
    }
}
