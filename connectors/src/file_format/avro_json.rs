//! An Avro value as JSON.
//!
//! Numbers stay numbers, decimals keep their digits as text, dates and timestamps become ISO-8601 text, bytes become base64. A union is
//! what it holds.

use apache_avro::{Decimal, Schema, types::Value};
use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde_json::{Map, Number, Value as Json};

/// How deep values may be nested.
const DEPTH_MAX: usize = 64;

/// The value as JSON. The schema says what the value does not: the scale of decimals.
pub(super) fn json_of(value: &Value, schema: Option<&Schema>, depth: usize) -> Result<Json, String> {
    if depth > DEPTH_MAX {
        return Err(format!("it is nested deeper than {DEPTH_MAX} levels"));
    }
    let inner = |value: &Value, schema: Option<&Schema>| json_of(value, schema, depth + 1);
    Ok(match value {
        Value::Null => Json::Null,
        Value::Boolean(yes) => Json::Bool(*yes),
        Value::Int(number) => (*number).into(),
        Value::Long(number) => (*number).into(),
        Value::Float(number) => shortest(number)?,
        Value::Double(number) => Number::from_f64(*number).map_or(Json::Null, Json::Number),
        Value::Bytes(bytes) | Value::Fixed(_, bytes) => Json::String(BASE64_STANDARD.encode(bytes)),
        Value::String(text) | Value::Enum(_, text) => Json::String(text.clone()),
        Value::Uuid(uuid) => Json::String(uuid.to_string()),
        Value::Union(branch, value) => {
            let branch = *branch as usize;
            inner(value, variant(schema).and_then(|variants| variants.get(branch)))?
        }
        Value::Array(items) => {
            let of = if let Some(Schema::Array(array)) = schema { Some(array.items.as_ref()) } else { None };
            Json::Array(items.iter().map(|item| inner(item, of)).collect::<Result<_, _>>()?)
        }
        Value::Map(entries) => {
            let of = if let Some(Schema::Map(map)) = schema { Some(map.types.as_ref()) } else { None };
            let entries = entries.iter().map(|(name, value)| Ok((name.clone(), inner(value, of)?)));
            Json::Object(entries.collect::<Result<Map<_, _>, String>>()?)
        }
        Value::Record(fields) => {
            let of = if let Some(Schema::Record(record)) = schema { record.fields.as_slice() } else { &[] };
            let field = |(at, (name, value)): (usize, &(String, Value))| {
                Ok((name.clone(), inner(value, of.get(at).map(|field| &field.schema))?))
            };
            Json::Object(fields.iter().enumerate().map(field).collect::<Result<Map<_, _>, String>>()?)
        }
        Value::Decimal(decimal) => Json::String(decimal_text(decimal, schema)?),
        Value::BigDecimal(decimal) => Json::String(decimal.to_string()),
        Value::Date(days) => {
            let date = NaiveDate::default().checked_add_signed(TimeDelta::days((*days).into()));
            Json::String(date.ok_or_else(|| format!("{days} days since the epoch are no date"))?.to_string())
        }
        Value::TimeMillis(millis) => Json::String(clock(i64::from(*millis) * 1000)),
        Value::TimeMicros(micros) => Json::String(clock(*micros)),
        Value::TimestampMillis(millis) | Value::LocalTimestampMillis(millis) => {
            timestamp(DateTime::from_timestamp_millis(*millis), *millis)?
        }
        Value::TimestampMicros(micros) | Value::LocalTimestampMicros(micros) => {
            timestamp(DateTime::from_timestamp_micros(*micros), *micros)?
        }
        Value::TimestampNanos(nanos) | Value::LocalTimestampNanos(nanos) => {
            timestamp(Some(DateTime::from_timestamp_nanos(*nanos)), *nanos)?
        }
        Value::Duration(_) => return Err("durations are not supported".to_owned()),
    })
}

/// A 32-bit number with no more digits than it needs.
fn shortest(number: &f32) -> Result<Json, String> {
    if !number.is_finite() {
        return Ok(Json::Null);
    }
    serde_json::from_str(&number.to_string()).map_err(|error| error.to_string())
}

fn variant(schema: Option<&Schema>) -> Option<&[Schema]> {
    match schema {
        Some(Schema::Union(union)) => Some(union.variants()),
        _ => None,
    }
}

fn timestamp(at: Option<DateTime<Utc>>, raw: i64) -> Result<Json, String> {
    let at = at.ok_or_else(|| format!("{raw} is no timestamp"))?;
    Ok(Json::String(at.format("%Y-%m-%dT%H:%M:%S%.fZ").to_string()))
}

/// A time of day from microseconds.
fn clock(micros: i64) -> String {
    let seconds = micros.div_euclid(1_000_000);
    format!("{:02}:{:02}:{:02}.{:06}", seconds / 3600, seconds / 60 % 60, seconds % 60, micros.rem_euclid(1_000_000))
}

fn decimal_text(decimal: &Decimal, schema: Option<&Schema>) -> Result<String, String> {
    let Some(Schema::Decimal(of)) = schema else { return Err("a decimal without scale".to_owned()) };
    let bytes: Vec<u8> = decimal.try_into().map_err(|error: apache_avro::Error| error.to_string())?;
    let extra = bytes.len().saturating_sub(16);
    let sign = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
    if bytes[..extra].iter().any(|byte| *byte != sign) || of.scale > 38 {
        return Err("a decimal of more than 38 digits".to_owned());
    }
    let mut wide = [sign; 16];
    wide[16 - (bytes.len() - extra)..].copy_from_slice(&bytes[extra..]);
    let unscaled = i128::from_be_bytes(wide);
    let digits = format!("{:0>width$}", unscaled.unsigned_abs().to_string(), width = of.scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - of.scale);
    let minus = if unscaled < 0 { "-" } else { "" };
    Ok(if fraction.is_empty() { format!("{minus}{whole}") } else { format!("{minus}{whole}.{fraction}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_their_digits() {
        let check = |unscaled: i128, scale: usize, expected: &str| {
            let schema = Schema::parse_str(&format!(
                r#"{{"type":"bytes","logicalType":"decimal","precision":38,"scale":{scale}}}"#
            ));
            let value = Decimal::from(unscaled.to_be_bytes());
            assert_eq!(decimal_text(&value, Some(&schema.expect("legal"))).as_deref(), Ok(expected));
        };
        check(-12345, 2, "-123.45");
        check(5, 3, "0.005");
        check(-7, 0, "-7");
        check(0, 2, "0.00");
        check(i128::MAX, 2, "1701411834604692317316873037158841057.27");
    }

    #[test]
    fn times_are_text() {
        let check = |value: Value, expected: &str| {
            assert_eq!(json_of(&value, None, 0).expect("it can be").to_string(), expected);
        };
        check(Value::TimestampMillis(1_357_034_400_500), "\"2013-01-01T10:00:00.500Z\"");
        check(Value::Date(-1), "\"1969-12-31\"");
        check(Value::TimeMillis(3_661_001), "\"01:01:01.001000\"");
        check(Value::Float(0.1), "0.1");
        check(Value::Union(1, Box::new(Value::Bytes(b"f".to_vec()))), "\"Zg==\"");
    }
}
