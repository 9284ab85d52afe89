//! Values as text, as Java prints them: `1.0E10`, `[1, 3]`, `{a=1}`, `Struct{F=1}`, `2020-01-01T00:00:00.000`.

use std::fmt::Write as _;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, Time32MillisecondType,
        TimestampMillisecondType,
    },
};
use chrono::DateTime;

use crate::functions::java_number::push_double;

/// A column as text.
pub(super) fn texts(column: &ArrayRef) -> Result<ArrayRef, String> {
    crate::functions::columns::write_texts(column.len(), |row, out| {
        if column.is_null(row) {
            return Ok(None);
        }
        push(column.as_ref(), row, out)?;
        Ok(Some(()))
    })
}

/// Appends one value; null as `null`.
fn push(array: &dyn Array, row: usize, out: &mut String) -> Result<(), String> {
    if array.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    // Writing to a text cannot fail.
    let _ = match array.data_type() {
        DataType::Boolean => write!(out, "{}", array.as_boolean().value(row)),
        DataType::Int32 => write!(out, "{}", array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => write!(out, "{}", array.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => {
            push_double(array.as_primitive::<Float64Type>().value(row), out);
            Ok(())
        }
        DataType::Decimal128(..) => write!(out, "{}", array.as_primitive::<Decimal128Type>().value_as_string(row)),
        DataType::Utf8 => write!(out, "{}", array.as_string::<i32>().value(row)),
        DataType::Date32 => {
            push_date(i64::from(array.as_primitive::<Date32Type>().value(row)), out)?;
            Ok(())
        }
        DataType::Time32(_) => {
            push_time(array.as_primitive::<Time32MillisecondType>().value(row), out);
            Ok(())
        }
        DataType::Timestamp(..) => {
            let millis = array.as_primitive::<TimestampMillisecondType>().value(row);
            push_date(millis.div_euclid(86_400_000), out)?;
            let of_day = millis.rem_euclid(86_400_000);
            let (seconds, millis) = (of_day / 1000, of_day % 1000);
            write!(out, "T{:02}:{:02}:{:02}.{millis:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            out.push('[');
            for item in 0..items.len() {
                out.push_str(if item == 0 { "" } else { ", " });
                push(items.as_ref(), item, out)?;
            }
            out.push(']');
            Ok(())
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            out.push('{');
            for entry in 0..entries.len() {
                out.push_str(if entry == 0 { "" } else { ", " });
                push(entries.column(0).as_ref(), entry, out)?;
                out.push('=');
                push(entries.column(1).as_ref(), entry, out)?;
            }
            out.push('}');
            Ok(())
        }
        DataType::Struct(fields) => {
            out.push_str("Struct{");
            let mut is_first = true;
            for (field, column) in fields.iter().zip(array.as_struct().columns()) {
                if column.is_null(row) {
                    continue;
                }
                out.push_str(if is_first { "" } else { "," });
                is_first = false;
                out.push_str(field.name());
                out.push('=');
                push(column.as_ref(), row, out)?;
            }
            out.push('}');
            Ok(())
        }
        other => return Err(format!("{other} has no text")),
    };
    Ok(())
}

fn push_date(day: i64, out: &mut String) -> Result<(), String> {
    let date = DateTime::from_timestamp(day * 86_400, 0).ok_or_else(|| format!("day {day} is out of range"))?;
    let _ = write!(out, "{}", date.format("%Y-%m-%d"));
    Ok(())
}

/// As short as it can be, but with minutes: `00:00`, `00:00:05`, `00:00:00.010`.
fn push_time(millis: i32, out: &mut String) {
    let (seconds, millis) = (millis / 1000, millis % 1000);
    let _ = write!(out, "{:02}:{:02}", seconds / 3600, seconds / 60 % 60);
    if seconds % 60 != 0 || millis != 0 {
        let _ = write!(out, ":{:02}", seconds % 60);
    }
    if millis != 0 {
        let _ = write!(out, ".{millis:03}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        Decimal128Array, Float64Array, Int32Array, ListArray, Time32MillisecondArray, TimestampMillisecondArray,
    };

    use super::*;

    fn check(column: ArrayRef, want: &str) {
        let texts = texts(&column).expect("has a text");
        assert_eq!(texts.as_string::<i32>().value(0), want);
    }

    #[test]
    fn values_are_written_as_java_writes_them() {
        check(Arc::new(Float64Array::from(vec![1e10])), "1.0E10");
        check(Arc::new(Float64Array::from(vec![10.0])), "10.0");
        check(Arc::new(Int32Array::from(vec![-7])), "-7");
        let decimals = Decimal128Array::from(vec![-1230]).with_precision_and_scale(6, 2).expect("fits");
        check(Arc::new(decimals), "-12.30");
        check(Arc::new(Time32MillisecondArray::from(vec![5000])), "00:00:05");
        check(Arc::new(Time32MillisecondArray::from(vec![0])), "00:00");
        check(Arc::new(TimestampMillisecondArray::from(vec![10])), "1970-01-01T00:00:00.010");
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), None, Some(3)])]);
        check(Arc::new(list), "[1, null, 3]");
    }
}
