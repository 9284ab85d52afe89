//! ARRAY[..], MAP(..) and STRUCT(..): columns put together, row by row.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, StringArray, new_empty_array},
    buffer::OffsetBuffer,
    compute,
    datatypes::DataType,
};
use datafusion::logical_expr::Expr;
use millstream::expression::COMPOSING;

use super::{
    cast::{map_of, struct_of},
    operation::{self, Operation},
};
use crate::{
    catalog::SqlType,
    functions::{signature::Call, value_keys::ValueKeys},
};

/// An array of items of one type.
pub(super) fn array(items: Vec<Expr>, item: &SqlType) -> Expr {
    operation::call(MakeArray, items, SqlType::Array(Box::new(item.clone())).to_arrow())
}

/// A map of keys and values, one after the other. A later entry replaces an earlier one of the same key.
pub(super) fn map(parts: Vec<Expr>, key: &SqlType, value: &SqlType) -> Expr {
    let data_type = SqlType::Map(Box::new(key.clone()), Box::new(value.clone())).to_arrow();
    operation::call(MakeMap, parts, data_type)
}

/// A struct of `data_type` of its fields.
pub(super) fn structure(fields: Vec<Expr>, data_type: &SqlType) -> Expr {
    operation::call(MakeStruct, fields, data_type.to_arrow())
}

fn columns(call: &Call<'_>) -> Result<Vec<ArrayRef>, String> {
    call.arguments.iter().map(|argument| argument.column(call.rows).map_err(|error| error.to_string())).collect()
}

/// The columns as one: all of the first row, then all of the second.
fn interleaved(columns: &[ArrayRef], rows: usize, item: &DataType) -> Result<ArrayRef, String> {
    if columns.is_empty() {
        return Ok(new_empty_array(item));
    }
    let parts: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
    let order: Vec<(usize, usize)> =
        (0..rows).flat_map(|row| (0..columns.len()).map(move |column| (column, row))).collect();
    compute::interleave(&parts, &order).map_err(|error| error.to_string())
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct MakeArray;

impl Operation for MakeArray {
    fn name(&self) -> &str {
        COMPOSING[0]
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<ArrayRef, String> {
        let DataType::List(field) = call.returns else { return Err("no list".to_owned()) };
        let columns = columns(call)?;
        let items = interleaved(&columns, call.rows, field.data_type())?;
        let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(columns.len(), call.rows));
        let list = ListArray::try_new(Arc::clone(field), offsets, items, None);
        Ok(Arc::new(list.map_err(|error| error.to_string())?))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct MakeMap;

impl Operation for MakeMap {
    fn name(&self) -> &str {
        COMPOSING[1]
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<ArrayRef, String> {
        let columns = columns(call)?;
        let (keys, values): (Vec<ArrayRef>, Vec<ArrayRef>) =
            columns.chunks_exact(2).map(|pair| (Arc::clone(&pair[0]), Arc::clone(&pair[1]))).unzip();
        let count = keys.len();
        let item = columns.first().map_or(DataType::Null, |column| column.data_type().clone());
        let value_item = columns.get(1).map_or(DataType::Null, |column| column.data_type().clone());
        let keys = named_nulls(interleaved(&keys, call.rows, &item)?)?;
        let values = interleaved(&values, call.rows, &value_item)?;
        let (kept, lengths) = last_of_each_key(&keys, count, call.rows)?;
        let (keys, values) = if kept.len() == keys.len() {
            (keys, values)
        } else {
            let kept = arrow::array::UInt32Array::from(kept);
            let take = |column: &ArrayRef| compute::take(column, &kept, None).map_err(|error| error.to_string());
            (take(&keys)?, take(&values)?)
        };
        map_of(vec![keys, values], OffsetBuffer::from_lengths(lengths), None, call.returns)
    }
}

/// A null key is written as `null`: maps have no null keys here.
fn named_nulls(keys: ArrayRef) -> Result<ArrayRef, String> {
    if keys.null_count() == 0 {
        return Ok(keys);
    }
    match keys.as_string_opt::<i32>() {
        Some(texts) => Ok(Arc::new(texts.iter().map(|text| Some(text.unwrap_or("null"))).collect::<StringArray>())),
        None => Err("a key of a map is null".to_owned()),
    }
}

/// Which entries stay, and how many of each row: the place is that of the first of a key, the value that of the last.
fn last_of_each_key(keys: &ArrayRef, count: usize, rows: usize) -> Result<(Vec<u32>, Vec<usize>), String> {
    let names = ValueKeys::of(keys)?;
    let mut kept = Vec::with_capacity(keys.len());
    let mut lengths = Vec::with_capacity(rows);
    for row in 0..rows {
        let first = kept.len();
        for entry in row * count..(row + 1) * count {
            let index = u32::try_from(entry).map_err(|error| error.to_string())?;
            let known = kept[first..].iter().position(|known: &u32| names.get(*known as usize) == names.get(entry));
            match known {
                Some(place) => kept[first + place] = index,
                None => kept.push(index),
            }
        }
        lengths.push(kept.len() - first);
    }
    Ok((kept, lengths))
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct MakeStruct;

impl Operation for MakeStruct {
    fn name(&self) -> &str {
        COMPOSING[2]
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<ArrayRef, String> {
        struct_of(columns(call)?, None, call.returns, call.rows)
    }
}
