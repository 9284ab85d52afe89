//! TO_JSON_STRING: any value as JSON text, as Jackson writes it.
//!
//! Null is `null`. DECIMALs keep their digits, DOUBLEs are as in Java, DATE and TIME are ISO texts (a time without seconds, or without
//! their fraction, where these are zero), TIMESTAMP has three digits of a second, BYTES are base64.

use std::fmt::Write as _;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, Time32MillisecondType, TimeUnit,
    TimestampMillisecondType,
};
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Timelike};

use super::super::columns;
use super::super::declare::{function, overload};
use super::super::encoding::encode_base64;
use super::super::java_number::push_double;
use super::super::signature::{Call, Parameter, ScalarFunction};
use super::scan::push_text;
use crate::catalog::SqlType;

/// The functions of this file.
pub(super) fn functions() -> Vec<ScalarFunction> {
    vec![function(
        "TO_JSON_STRING",
        "The JSON text of a value of any type.",
        [overload([Parameter::Any('T')], SqlType::Varchar, to_json_string)],
    )]
}

fn to_json_string(call: &Call<'_>) -> Result<ArrayRef, String> {
    let column = columns::column(call, 0)?;
    columns::write_texts(call.rows, |row, out| push_value(&column, row, out).map(Some))
}

/// Appends the value of a row.
fn push_value(array: &ArrayRef, row: usize, out: &mut String) -> Result<(), String> {
    if array.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    // Writing to a text cannot fail.
    let _ = match array.data_type() {
        DataType::Null => write!(out, "null"),
        DataType::Boolean => write!(out, "{}", array.as_boolean().value(row)),
        DataType::Int32 => write!(out, "{}", array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => write!(out, "{}", array.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => return push_number(array.as_primitive::<Float64Type>().value(row), out),
        DataType::Decimal128(..) => {
            write!(out, "{}", array.as_primitive::<Decimal128Type>().value_as_string(row))
        }
        DataType::Utf8 => return push_plain(array.as_string::<i32>().value(row), out),
        DataType::Binary => {
            out.push('"');
            encode_base64(array.as_binary::<i32>().value(row), out);
            write!(out, "\"")
        }
        DataType::Date32 => {
            let days = i64::from(array.as_primitive::<Date32Type>().value(row));
            let date = TimeDelta::try_days(days).and_then(|days| NaiveDate::default().checked_add_signed(days));
            write!(out, "\"{}\"", date.ok_or_else(|| format!("day {days} is beyond all calendars"))?)
        }
        DataType::Time32(TimeUnit::Millisecond) => {
            push_time(array.as_primitive::<Time32MillisecondType>().value(row), out)?;
            Ok(())
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            let millis = array.as_primitive::<TimestampMillisecondType>().value(row);
            let time = DateTime::from_timestamp_millis(millis)
                .ok_or_else(|| format!("timestamp {millis} is beyond all calendars"))?;
            write!(out, "\"{}\"", time.format("%Y-%m-%dT%H:%M:%S%.3f"))
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            return push_sequence('[', ']', items.len(), out, |at, out| push_value(&items, at, out));
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let entries = map.value(row);
            return push_sequence('{', '}', entries.len(), out, |at, out| {
                push_key(entries.column(0), at, out)?;
                push_value(entries.column(1), at, out)
            });
        }
        DataType::Struct(fields) => {
            let record = array.as_struct();
            return push_sequence('{', '}', fields.len(), out, |at, out| {
                push_text(fields[at].name(), out);
                out.push(':');
                push_value(record.column(at), row, out)
            });
        }
        other => return Err(format!("a value of {other} cannot be written as JSON")),
    };
    Ok(())
}

fn push_plain(text: &str, out: &mut String) -> Result<(), String> {
    push_text(text, out);
    Ok(())
}

/// A number; what JSON has no number for is a text.
fn push_number(value: f64, out: &mut String) -> Result<(), String> {
    let quote = if value.is_finite() { "" } else { "\"" };
    out.push_str(quote);
    push_double(value, out);
    out.push_str(quote);
    Ok(())
}

fn push_time(millis: i32, out: &mut String) -> Result<(), String> {
    let time = u32::try_from(millis)
        .ok()
        .and_then(|millis| NaiveTime::from_num_seconds_from_midnight_opt(millis / 1000, millis % 1000 * 1_000_000));
    let time = time.ok_or_else(|| format!("{millis} ms are no time of a day"))?;
    let format = if time.nanosecond() > 0 {
        "\"%H:%M:%S%.3f\""
    } else if time.second() > 0 {
        "\"%H:%M:%S\""
    } else {
        "\"%H:%M\""
    };
    let _ = write!(out, "{}", time.format(format));
    Ok(())
}

/// A key of a map and its colon; keys that are no texts are put into quotes.
fn push_key(keys: &ArrayRef, at: usize, out: &mut String) -> Result<(), String> {
    if keys.data_type() == &DataType::Utf8 {
        push_text(keys.as_string::<i32>().value(at), out);
    } else {
        let mut key = String::new();
        push_value(keys, at, &mut key)?;
        push_text(key.trim_matches('"'), out);
    }
    out.push(':');
    Ok(())
}

fn push_sequence(
    open: char,
    close: char,
    length: usize,
    out: &mut String,
    mut part: impl FnMut(usize, &mut String) -> Result<(), String>,
) -> Result<(), String> {
    out.push(open);
    for at in 0..length {
        if at > 0 {
            out.push(',');
        }
        part(at, out)?;
    }
    out.push(close);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BooleanArray, Date32Array, Decimal128Array, Int32Array, Int32Builder, ListArray, MapBuilder, MapFieldNames,
        StringArray, StringBuilder, StructArray, Time32MillisecondArray, TimestampMillisecondArray,
    };
    use arrow::datatypes::Field;

    use super::super::super::columns::harness::{self, big_ints, bytes, doubles, ints, texts};
    use super::super::super::signature::Argument;
    use super::*;

    fn check(given: Argument, want: &[&str]) {
        harness::check(&functions(), "TO_JSON_STRING", &[given], want);
    }

    fn column(array: impl Array + 'static) -> Argument {
        Argument::Column(Arc::new(array))
    }

    #[test]
    fn simple_values() {
        check(ints(&[Some(-1), None]), &["-1", "null"]);
        check(big_ints(&[Some(i64::MIN)]), &["-9223372036854775808"]);
        check(doubles(&[Some(15.3), Some(1.0), Some(1e10), Some(f64::NAN)]), &["15.3", "1.0", "1.0E10", "\"NaN\""]);
        check(texts(&[Some("a\"b\n"), None]), &[r#""a\"b\n""#, "null"]);
        check(bytes(&[Some(b"abc"), None]), &["\"YWJj\"", "null"]);
        check(column(BooleanArray::from(vec![true, false])), &["true", "false"]);
        let decimals = Decimal128Array::from(vec![1230, -5]).with_precision_and_scale(10, 2).unwrap();
        check(column(decimals), &["12.30", "-0.05"]);
        check(
            column(Date32Array::from(vec![Some(18_911), Some(-1), None])),
            &["\"2021-10-11\"", "\"1969-12-31\"", "null"],
        );
        check(
            column(Time32MillisecondArray::from(vec![48_300_000, 60_220_000, 60_220_007, 0])),
            &["\"13:25\"", "\"16:43:40\"", "\"16:43:40.007\"", "\"00:00\""],
        );
        check(
            column(TimestampMillisecondArray::from(vec![60_220_000_000, -1])),
            &["\"1971-11-28T23:46:40.000\"", "\"1969-12-31T23:59:59.999\""],
        );
    }

    #[test]
    fn nested_values() {
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), Some(vec![]), None]);
        check(column(lists), &["[1,null]", "[]", "null"]);
        let record = StructArray::from(vec![
            (
                Arc::new(Field::new("ID", DataType::Int32, true)),
                Arc::new(Int32Array::from(vec![Some(1), None])) as ArrayRef,
            ),
            (
                Arc::new(Field::new("NAME", DataType::Utf8, true)),
                Arc::new(StringArray::from(vec!["A", "B"])) as ArrayRef,
            ),
        ]);
        check(column(record), &[r#"{"ID":1,"NAME":"A"}"#, r#"{"ID":null,"NAME":"B"}"#]);
        let names = MapFieldNames { entry: "entries".to_owned(), key: "key".to_owned(), value: "value".to_owned() };
        let mut maps = MapBuilder::new(Some(names), StringBuilder::new(), Int32Builder::new());
        maps.keys().append_value("c\"");
        maps.values().append_value(2);
        maps.keys().append_value("d");
        maps.values().append_null();
        maps.append(true).unwrap();
        check(column(maps.finish()), &[r#"{"c\"":2,"d":null}"#]);
    }
}
