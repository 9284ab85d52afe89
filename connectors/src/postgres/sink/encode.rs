//! Values of Arrow arrays in Postgres' binary form.
//!
//! What the server could not read as a value of the staged type, such as text with a zero byte or an instant out of its range, is found here:
//! the data of a COPY is never refused for a value.

use arrow::{
    array::{Array, ArrayRef, AsArray, types::*},
    datatypes::{DataType, Field, TimeUnit},
};
use bytes::{BufMut, BytesMut};
use millstream::format::{Format, Side, Wrapping};

use super::{column::Wire, numeric};

/// Microseconds from 1970 to 2000, where Postgres counts from.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
const EPOCH_DAYS: i32 = 10_957;
/// The range of `timestamptz`, from the year -4713 to 294276, in microseconds from 2000 on.
const MICROS: std::ops::Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;
/// The range of `date`, in days from 2000 on.
const DAYS: std::ops::Range<i32> = -2_451_545..2_145_031_949;

/// Writes the values of one array: each with its length in front, null as length -1.
pub(super) type Writer = Box<dyn Fn(usize, &mut BytesMut) -> Result<(), String>>;

/// What writes the values of an array.
///
/// # Errors
/// The problem, for all rows, if nested values cannot be written as JSON.
pub(super) fn writer(wire: &Wire, array: &ArrayRef) -> Result<Writer, String> {
    let value: Writer = match wire {
        Wire::Array(element) => list(element, array)?,
        Wire::Json => json(array)?,
        _ => scalar(array),
    };
    let array = array.clone();
    Ok(Box::new(move |row, out| {
        if array.is_null(row) {
            out.put_i32(-1);
            return Ok(());
        }
        let start = out.len();
        out.put_i32(0);
        value(row, out)?;
        let length = i32::try_from(out.len() - start - 4).map_err(|_| "it is larger than 2 GiB".to_owned())?;
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }))
}

/// A closure over the values of a primitive array.
macro_rules! primitive {
    ($array:expr, $type:ty, |$value:ident, $out:ident| $put:expr) => {{
        let values = $array.as_primitive::<$type>().clone();
        Box::new(move |row, $out: &mut BytesMut| {
            let $value = values.value(row);
            $put;
            Ok(())
        })
    }};
}

fn scalar(array: &ArrayRef) -> Writer {
    match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean().clone();
            Box::new(move |row, out| {
                out.put_u8(values.value(row).into());
                Ok(())
            })
        }
        DataType::Int8 => primitive!(array, Int8Type, |value, out| out.put_i16(value.into())),
        DataType::Int16 => primitive!(array, Int16Type, |value, out| out.put_i16(value)),
        DataType::UInt8 => primitive!(array, UInt8Type, |value, out| out.put_i16(value.into())),
        DataType::Int32 => primitive!(array, Int32Type, |value, out| out.put_i32(value)),
        DataType::UInt16 => primitive!(array, UInt16Type, |value, out| out.put_i32(value.into())),
        DataType::Int64 => primitive!(array, Int64Type, |value, out| out.put_i64(value)),
        DataType::UInt32 => primitive!(array, UInt32Type, |value, out| out.put_i64(value.into())),
        DataType::UInt64 => primitive!(array, UInt64Type, |value, out| decimal(out, u128::from(value), false, 0)),
        DataType::Float32 => primitive!(array, Float32Type, |value, out| out.put_f32(value)),
        DataType::Float64 => primitive!(array, Float64Type, |value, out| out.put_f64(value)),
        DataType::Decimal128(_, scale) => {
            let scale = *scale;
            primitive!(array, Decimal128Type, |value, out| decimal(out, value.unsigned_abs(), value < 0, scale))
        }
        DataType::Decimal256(_, scale) => {
            let scale = *scale;
            primitive!(array, Decimal256Type, |value, out| {
                let text = value.to_string();
                numeric::put(out, text.starts_with('-'), text.trim_start_matches('-').as_bytes(), scale)
            })
        }
        DataType::Date32 => primitive!(array, Date32Type, |value, out| {
            let days = value.checked_sub(EPOCH_DAYS).filter(|days| DAYS.contains(days));
            out.put_i32(days.ok_or_else(|| format!("day {value} is out of the range of a date"))?)
        }),
        DataType::Timestamp(unit, _) => timestamp(array, *unit),
        DataType::Time32(TimeUnit::Second) => {
            primitive!(array, Time32SecondType, |value, out| time(out, i64::from(value) * 1_000_000)?)
        }
        DataType::Time32(_) => {
            primitive!(array, Time32MillisecondType, |value, out| time(out, i64::from(value) * 1_000)?)
        }
        DataType::Time64(TimeUnit::Nanosecond) => {
            primitive!(array, Time64NanosecondType, |value, out| time(out, value / 1_000)?)
        }
        DataType::Time64(_) => primitive!(array, Time64MicrosecondType, |value, out| time(out, value)?),
        _ => variable(array),
    }
}

/// Text and bytes.
fn variable(array: &ArrayRef) -> Writer {
    macro_rules! bytes {
        ($values:expr, $check:expr) => {{
            let values = $values.clone();
            Box::new(move |row, out: &mut BytesMut| {
                let value: &[u8] = values.value(row).as_ref();
                $check(value)?;
                out.put_slice(value);
                Ok(())
            })
        }};
    }
    let any = |_: &[u8]| Ok::<(), String>(());
    match array.data_type() {
        DataType::LargeUtf8 => bytes!(array.as_string::<i64>(), text),
        DataType::Utf8View => bytes!(array.as_string_view(), text),
        DataType::Binary => bytes!(array.as_binary::<i32>(), any),
        DataType::LargeBinary => bytes!(array.as_binary::<i64>(), any),
        _ => bytes!(array.as_string::<i32>(), text),
    }
}

fn text(bytes: &[u8]) -> Result<(), String> {
    if bytes.contains(&0) { Err("text with a zero byte, which Postgres cannot hold".to_owned()) } else { Ok(()) }
}

fn decimal(out: &mut BytesMut, amount: u128, is_negative: bool, scale: i8) {
    numeric::put(out, is_negative, itoa::Buffer::new().format(amount).as_bytes(), scale);
}

/// Nanoseconds are cut to microseconds, which is what Postgres has.
fn timestamp(array: &ArrayRef, unit: TimeUnit) -> Writer {
    fn put(out: &mut BytesMut, micros: Option<i64>) -> Result<(), String> {
        let micros =
            micros.and_then(|micros| micros.checked_sub(EPOCH_MICROS)).filter(|micros| MICROS.contains(micros));
        out.put_i64(micros.ok_or("it is out of the range of a timestamp, the years -4713 to 294276")?);
        Ok(())
    }
    match unit {
        TimeUnit::Second => {
            primitive!(array, TimestampSecondType, |value, out| put(out, value.checked_mul(1_000_000))?)
        }
        TimeUnit::Millisecond => {
            primitive!(array, TimestampMillisecondType, |value, out| put(out, value.checked_mul(1_000))?)
        }
        TimeUnit::Microsecond => primitive!(array, TimestampMicrosecondType, |value, out| put(out, Some(value))?),
        TimeUnit::Nanosecond => {
            primitive!(array, TimestampNanosecondType, |value, out| put(out, Some(value.div_euclid(1_000)))?)
        }
    }
}

fn time(out: &mut BytesMut, micros: i64) -> Result<(), String> {
    if !(0..=86_400_000_000).contains(&micros) {
        return Err("it is no time of a day".to_owned());
    }
    out.put_i64(micros);
    Ok(())
}

/// An array of one dimension, counted from 1.
fn list(element: &Wire, array: &ArrayRef) -> Result<Writer, String> {
    let oid = element.oid();
    let (values, range): (ArrayRef, Box<dyn Fn(usize) -> std::ops::Range<usize>>) = match array.data_type() {
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>().clone();
            let values = list.values().clone();
            (values, Box::new(move |row| list.value_offsets()[row] as usize..list.value_offsets()[row + 1] as usize))
        }
        _ => {
            let list = array.as_list::<i32>().clone();
            let values = list.values().clone();
            (values, Box::new(move |row| list.value_offsets()[row] as usize..list.value_offsets()[row + 1] as usize))
        }
    };
    let write = writer(element, &values)?;
    Ok(Box::new(move |row, out| {
        let range = range(row);
        out.put_i32(i32::from(!range.is_empty()));
        out.put_i32(i32::from(range.clone().any(|at| values.is_null(at))));
        out.put_u32(oid);
        if !range.is_empty() {
            out.put_i32(range.len() as i32);
            out.put_i32(1);
        }
        for at in range {
            write(at, out)?;
        }
        Ok(())
    }))
}

/// Nested values, as the JSON format of topics writes them.
fn json(array: &ArrayRef) -> Result<Writer, String> {
    let field = Field::new("value", array.data_type().clone(), true);
    let mut serializer = Format::Json
        .serializer(Side::Value, Wrapping::Unwrapped, &[field.into()])
        .map_err(|error| error.to_string())?;
    let texts = serializer.encode(std::slice::from_ref(array), array.len(), None).map_err(|error| error.to_string())?;
    Ok(Box::new(move |row, out| {
        let value = texts.value(row);
        text(value)?;
        out.put_slice(value);
        Ok(())
    }))
}
