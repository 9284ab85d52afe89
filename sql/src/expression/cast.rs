//! CAST between the types of the language, and the casts that are not written.
//!
//! Whole numbers wrap when they narrow and DOUBLEs saturate, as Java's do; decimals round half away from zero and fail if they do not
//! fit; text is read strictly, and what cannot be read fails. Collections are cast part by part, structs by the names of their fields.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Decimal128Array, ListArray, MapArray, StructArray, new_null_array},
    buffer::{OffsetBuffer, ScalarBuffer},
    compute::{CastOptions, cast_with_options},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, Time32MillisecondType,
        TimestampMillisecondType,
    },
};
use datafusion::logical_expr::{Expr, cast as native};

use super::{
    cast_parse, cast_text,
    operation::{self, Operation},
};
use crate::{
    catalog::{SqlType, StructField},
    functions::signature::Call,
};

const DAY_MS: i64 = 86_400_000;

/// Whether there is such a cast.
pub(super) fn is_supported(from: &SqlType, to: &SqlType) -> bool {
    use SqlType::{Array, BigInt, Boolean, Bytes, Date, Decimal, Double, Int, Map, Struct, Time, Timestamp, Varchar};
    match (from, to) {
        (from, to) if from == to => true,
        (Bytes, _) | (_, Bytes) => false,
        (_, Varchar) => true,
        (Int | BigInt | Decimal { .. } | Double, Int | BigInt | Decimal { .. } | Double) => true,
        (Varchar, Boolean | Int | BigInt | Decimal { .. } | Double | Time | Date | Timestamp) => true,
        (Timestamp, Date | Time) | (Date, Timestamp) => true,
        (Array(from), Array(to)) => is_supported(from, to),
        (Map(key, value), Map(to_key, to_value)) => is_supported(key, to_key) && is_supported(value, to_value),
        (Struct(from), Struct(to)) => to.iter().all(|field| {
            find(from, &field.name).is_none_or(|(_, found)| is_supported(&found.data_type, &field.data_type))
        }),
        _ => false,
    }
}

fn find<'a>(fields: &'a [StructField], name: &str) -> Option<(usize, &'a StructField)> {
    fields.iter().enumerate().find(|(_, field)| field.name == name)
}

/// The expression as another type; there must be such a cast.
pub(super) fn convert(expr: Expr, from: &SqlType, to: &SqlType) -> Expr {
    match (from, to) {
        (from, to) if from == to => expr,
        (SqlType::Int, SqlType::BigInt | SqlType::Double) | (SqlType::BigInt, SqlType::Double) => {
            native(expr, to.to_arrow())
        }
        _ => operation::call(Cast { from: from.clone(), to: to.clone() }, vec![expr], to.to_arrow()),
    }
}

/// The operation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Cast {
    from: SqlType,
    to: SqlType,
}

impl Operation for Cast {
    fn name(&self) -> &str {
        match self.to {
            SqlType::Boolean => "cast_boolean",
            SqlType::Int => "cast_int",
            SqlType::BigInt => "cast_bigint",
            SqlType::Double => "cast_double",
            SqlType::Decimal { .. } => "cast_decimal",
            SqlType::Varchar => "cast_string",
            SqlType::Bytes => "cast_bytes",
            SqlType::Time => "cast_time",
            SqlType::Date => "cast_date",
            SqlType::Timestamp => "cast_timestamp",
            SqlType::Array(_) => "cast_array",
            SqlType::Map(..) => "cast_map",
            SqlType::Struct(_) => "cast_struct",
        }
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<ArrayRef, String> {
        let column = call.arguments[0].column(call.rows).map_err(|error| error.to_string())?;
        cast(&column, &self.from, &self.to)
    }
}

/// A column as another type.
///
/// # Errors
/// A value that cannot be it.
pub(super) fn cast(column: &ArrayRef, from: &SqlType, to: &SqlType) -> Result<ArrayRef, String> {
    use SqlType::{Array, BigInt, Date, Decimal, Double, Int, Map, Struct, Time, Timestamp, Varchar};
    Ok(match (from, to) {
        (from, to) if from == to => Arc::clone(column),
        (_, Varchar) => cast_text::texts(column)?,
        (Varchar, to) => cast_parse::read(column, to)?,
        (Decimal { scale, .. }, Int) => {
            let unit = 10_i128.pow(u32::from(*scale));
            Arc::new(column.as_primitive::<Decimal128Type>().unary::<_, Int32Type>(|value| (value / unit) as i32))
        }
        (Decimal { scale, .. }, BigInt) => {
            let unit = 10_i128.pow(u32::from(*scale));
            Arc::new(column.as_primitive::<Decimal128Type>().unary::<_, Int64Type>(|value| (value / unit) as i64))
        }
        (Int, Decimal { precision, scale }) => {
            let values = column.as_primitive::<Int32Type>().iter();
            whole_to_decimals(values.map(|value| value.map(i128::from)), *precision, *scale)?
        }
        (BigInt, Decimal { precision, scale }) => {
            let values = column.as_primitive::<Int64Type>().iter();
            whole_to_decimals(values.map(|value| value.map(i128::from)), *precision, *scale)?
        }
        (BigInt, Int) => Arc::new(column.as_primitive::<Int64Type>().unary::<_, Int32Type>(|value| value as i32)),
        (Double, Int) => Arc::new(column.as_primitive::<Float64Type>().unary::<_, Int32Type>(|value| value as i32)),
        (Double, BigInt) => Arc::new(column.as_primitive::<Float64Type>().unary::<_, Int64Type>(|value| value as i64)),
        (Double, Decimal { precision, scale }) => doubles_to_decimals(column, *precision, *scale)?,
        (Timestamp, Date) => Arc::new(
            column
                .as_primitive::<TimestampMillisecondType>()
                .unary::<_, Date32Type>(|millis| millis.div_euclid(DAY_MS) as i32),
        ),
        (Timestamp, Time) => Arc::new(
            column
                .as_primitive::<TimestampMillisecondType>()
                .unary::<_, Time32MillisecondType>(|millis| millis.rem_euclid(DAY_MS) as i32),
        ),
        (Date, Timestamp) => Arc::new(
            column.as_primitive::<Date32Type>().unary::<_, TimestampMillisecondType>(|day| i64::from(day) * DAY_MS),
        ),
        (Array(from), Array(item)) => {
            let (offsets, items) = items(column.as_list::<i32>());
            let items = cast(&items, from, item)?;
            let DataType::List(field) = to.to_arrow() else { return Err("no list".to_owned()) };
            Arc::new(ListArray::try_new(field, offsets, items, column.nulls().cloned()).map_err(|e| e.to_string())?)
        }
        (Map(from_key, from_value), Map(key, value)) => {
            let map = column.as_map();
            let (offsets, keys, values) = entries(map);
            let parts = vec![cast(&keys, from_key, key)?, cast(&values, from_value, value)?];
            map_of(parts, offsets, column.nulls().cloned(), &to.to_arrow())?
        }
        (Struct(from), Struct(fields)) => {
            let parts = column.as_struct();
            let cast_field = |field: &StructField| match find(from, &field.name) {
                Some((index, found)) => cast(parts.column(index), &found.data_type, &field.data_type),
                None => Ok(new_null_array(&field.data_type.to_arrow(), column.len())),
            };
            let columns = fields.iter().map(cast_field).collect::<Result<Vec<_>, _>>()?;
            struct_of(columns, column.nulls().cloned(), &to.to_arrow(), column.len())?
        }
        (_, to) => {
            let options = CastOptions { safe: false, ..CastOptions::default() };
            cast_with_options(column, &to.to_arrow(), &options).map_err(|error| error.to_string())?
        }
    })
}

/// A struct column of `data_type`.
pub(super) fn struct_of(
    columns: Vec<ArrayRef>,
    nulls: Option<arrow::buffer::NullBuffer>,
    data_type: &DataType,
    rows: usize,
) -> Result<ArrayRef, String> {
    let DataType::Struct(fields) = data_type else { return Err("no struct".to_owned()) };
    let made = StructArray::try_new_with_length(fields.clone(), columns, nulls, rows);
    Ok(Arc::new(made.map_err(|error| error.to_string())?))
}

/// A map column of `data_type` of keys and values.
pub(super) fn map_of(
    parts: Vec<ArrayRef>,
    offsets: OffsetBuffer<i32>,
    nulls: Option<arrow::buffer::NullBuffer>,
    data_type: &DataType,
) -> Result<ArrayRef, String> {
    let DataType::Map(field, sorted) = data_type else { return Err("no map".to_owned()) };
    let DataType::Struct(fields) = field.data_type() else { return Err("no entries".to_owned()) };
    let entries = StructArray::try_new(fields.clone(), parts, None).map_err(|error| error.to_string())?;
    let map = MapArray::try_new(Arc::clone(field), offsets, entries, nulls, *sorted);
    Ok(Arc::new(map.map_err(|error| error.to_string())?))
}

/// The items of a list column that its rows hold, and the offsets into them: a slice of a column keeps the items of all.
pub(super) fn items(list: &ListArray) -> (OffsetBuffer<i32>, ArrayRef) {
    let (first, length) = extent(list.offsets());
    (rebased(list.offsets()), list.values().slice(first, length))
}

/// The keys and values of a map column that its rows hold, and the offsets into them.
pub(super) fn entries(map: &MapArray) -> (OffsetBuffer<i32>, ArrayRef, ArrayRef) {
    let (first, length) = extent(map.offsets());
    (rebased(map.offsets()), map.keys().slice(first, length), map.values().slice(first, length))
}

fn extent(offsets: &OffsetBuffer<i32>) -> (usize, usize) {
    let first = offsets.first().copied().unwrap_or(0);
    let last = offsets.last().copied().unwrap_or(0);
    (first as usize, (last - first) as usize)
}

fn rebased(offsets: &OffsetBuffer<i32>) -> OffsetBuffer<i32> {
    match offsets.first() {
        Some(first) if *first != 0 => {
            OffsetBuffer::new(offsets.iter().map(|offset| offset - first).collect::<ScalarBuffer<i32>>())
        }
        _ => offsets.clone(),
    }
}

fn whole_to_decimals(values: impl Iterator<Item = Option<i128>>, precision: u8, scale: u8) -> Result<ArrayRef, String> {
    let (unit, limit) = (10_i128.pow(u32::from(scale)), 10_i128.pow(u32::from(precision)));
    let shifted = |value: i128| match value.checked_mul(unit) {
        Some(unscaled) if -limit < unscaled && unscaled < limit => Ok(unscaled),
        _ => Err(format!("Numeric field overflow: {value} is no DECIMAL({precision}, {scale})")),
    };
    let decimals = values.map(|value| value.map(shifted).transpose()).collect::<Result<Decimal128Array, _>>()?;
    typed_decimals(decimals, precision, scale)
}

fn doubles_to_decimals(column: &ArrayRef, precision: u8, scale: u8) -> Result<ArrayRef, String> {
    let values = column.as_primitive::<Float64Type>();
    let read = |value: f64| {
        let text = if value.is_finite() { format!("{value}") } else { return Err(format!("{value} is no DECIMAL")) };
        cast_parse::decimal(&text, precision, scale)
    };
    let decimals = values.iter().map(|value| value.map(read).transpose()).collect::<Result<Decimal128Array, _>>()?;
    typed_decimals(decimals, precision, scale)
}

/// Decimals with their precision and scale.
pub(super) fn typed_decimals(decimals: Decimal128Array, precision: u8, scale: u8) -> Result<ArrayRef, String> {
    let scale = i8::try_from(scale).map_err(|error| error.to_string())?;
    Ok(Arc::new(decimals.with_precision_and_scale(precision, scale).map_err(|error| error.to_string())?))
}
