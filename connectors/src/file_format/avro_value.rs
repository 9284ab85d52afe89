//! A row of columns as an Avro value, in the schema that `avro_file` makes of the columns.

use std::collections::HashMap;

use apache_avro::{Decimal, types::Value};
use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
        Time32MillisecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    },
};

use super::avro_file::avro_name;

/// A row as a record.
pub(super) fn avro_record(batch: &RecordBatch, row: usize) -> Result<Value, String> {
    let fields = batch.schema_ref().fields().iter().zip(batch.columns());
    let fields = fields.map(|(field, column)| Ok((avro_name(field.name()), nullable(column.as_ref(), row)?)));
    Ok(Value::Record(fields.collect::<Result<_, String>>()?))
}

/// A value in a union with null.
fn nullable(array: &dyn Array, row: usize) -> Result<Value, String> {
    if array.is_null(row) {
        return Ok(Value::Union(0, Box::new(Value::Null)));
    }
    Ok(Value::Union(1, Box::new(value(array, row)?)))
}

fn value(array: &dyn Array, row: usize) -> Result<Value, String> {
    Ok(match array.data_type() {
        DataType::Boolean => Value::Boolean(array.as_boolean().value(row)),
        DataType::Int8 => Value::Int(array.as_primitive::<Int8Type>().value(row).into()),
        DataType::Int16 => Value::Int(array.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => Value::Int(array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => Value::Long(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => Value::Float(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => Value::Double(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => Value::String(array.as_string::<i32>().value(row).to_owned()),
        DataType::Binary => Value::Bytes(array.as_binary::<i32>().value(row).to_vec()),
        DataType::Date32 => Value::Date(array.as_primitive::<Date32Type>().value(row)),
        DataType::Time32(TimeUnit::Millisecond) => {
            Value::TimeMillis(array.as_primitive::<Time32MillisecondType>().value(row))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            Value::TimestampMillis(array.as_primitive::<TimestampMillisecondType>().value(row))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Value::TimestampMicros(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        DataType::Decimal128(..) => {
            let unscaled = array.as_primitive::<Decimal128Type>().value(row);
            Value::Decimal(Decimal::from(unscaled.to_be_bytes()))
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            Value::Array((0..items.len()).map(|item| nullable(items.as_ref(), item)).collect::<Result<_, _>>()?)
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let names = entries.column(0).as_string::<i32>();
            let entry = |at: usize| Ok((names.value(at).to_owned(), nullable(entries.column(1).as_ref(), at)?));
            Value::Map((0..entries.len()).map(entry).collect::<Result<HashMap<_, _>, String>>()?)
        }
        DataType::Struct(_) => {
            let of = array.as_struct();
            let fields = of.fields().iter().zip(of.columns());
            let fields = fields.map(|(field, column)| Ok((avro_name(field.name()), nullable(column.as_ref(), row)?)));
            Value::Record(fields.collect::<Result<_, String>>()?)
        }
        other => return Err(format!("avro cannot hold {other}")),
    })
}
