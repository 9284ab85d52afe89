//! Text to values: what CAST reads, and what literals beside dates, times and numbers mean.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Decimal128Array, PrimitiveArray},
    datatypes::{Date32Type, Float64Type, Int32Type, Int64Type, Time32MillisecondType, TimestampMillisecondType},
};
use chrono::{NaiveTime, Timelike};

use super::{cast::typed_decimals, iso_time};
use crate::catalog::SqlType;

/// A column of text as `to`.
///
/// # Errors
/// The first text that is none.
pub(super) fn read(column: &ArrayRef, to: &SqlType) -> Result<ArrayRef, String> {
    Ok(match to {
        SqlType::Boolean => {
            let texts = column.as_string::<i32>();
            Arc::new(texts.iter().map(|text| text.map(|text| truth(text).unwrap_or(false))).collect::<BooleanArray>())
        }
        SqlType::Int => values::<Int32Type>(column, |text| text.trim().parse().map_err(|_| not(text, "INTEGER")))?,
        SqlType::BigInt => values::<Int64Type>(column, |text| text.trim().parse().map_err(|_| not(text, "BIGINT")))?,
        SqlType::Double => values::<Float64Type>(column, double)?,
        SqlType::Decimal { precision, scale } => {
            let read = |text: Option<&str>| text.map(|text| decimal(text.trim(), *precision, *scale)).transpose();
            let decimals = column.as_string::<i32>().iter().map(read).collect::<Result<Decimal128Array, _>>()?;
            typed_decimals(decimals, *precision, *scale)?
        }
        SqlType::Date => values::<Date32Type>(column, date)?,
        SqlType::Time => values::<Time32MillisecondType>(column, time)?,
        SqlType::Timestamp => values::<TimestampMillisecondType>(column, timestamp)?,
        other => return Err(format!("Cast of STRING to {other} is not supported")),
    })
}

fn values<T: ArrowPrimitiveType>(
    column: &ArrayRef,
    read: impl Fn(&str) -> Result<T::Native, String>,
) -> Result<ArrayRef, String> {
    let texts = column.as_string::<i32>().iter();
    let values = texts.map(|text| text.map(&read).transpose()).collect::<Result<PrimitiveArray<T>, _>>()?;
    Ok(Arc::new(values))
}

fn not(text: &str, what: &str) -> String {
    format!("invalid input syntax for type {what}: \"{text}\"")
}

fn double(text: &str) -> Result<f64, String> {
    let trimmed = text.trim();
    // Java writes these two in full and reads no others.
    let is_number = trimmed.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'));
    match trimmed {
        "NaN" => Ok(f64::NAN),
        "Infinity" | "+Infinity" => Ok(f64::INFINITY),
        "-Infinity" => Ok(f64::NEG_INFINITY),
        number if is_number => number.parse().map_err(|_| not(text, "DOUBLE")),
        _ => Err(not(text, "DOUBLE")),
    }
}

/// `true` and `yes` or the beginning of one, `false` and `no` or the beginning of one; letter case does not matter.
pub(super) fn truth(text: &str) -> Option<bool> {
    let text = text.trim().to_ascii_lowercase();
    let begins = |words: [&str; 2]| !text.is_empty() && words.iter().any(|word| word.starts_with(&text));
    if begins(["true", "yes"]) {
        Some(true)
    } else if begins(["false", "no"]) {
        Some(false)
    } else {
        None
    }
}

/// A decimal of `scale`, further digits rounded half away from zero.
pub(super) fn decimal(text: &str, precision: u8, scale: u8) -> Result<i128, String> {
    let invalid = || not(text, "DECIMAL");
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().map_err(|_| invalid())?;
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(invalid());
    }
    let overflow = || {
        format!(
            "Numeric field overflow: A field with precision {precision} and scale {scale} must round to an absolute value less than 10^{}. Got {text}",
            precision - scale
        )
    };
    // How many of the digits stand before the last one that is kept.
    let kept = i64::try_from(whole.len()).map_err(|_| overflow())? + i64::from(exponent) + i64::from(scale);
    let unscaled: i128 = if kept < 0 {
        0
    } else {
        let kept = usize::try_from(kept).map_err(|_| overflow())?;
        let significant = digits.trim_start_matches('0');
        let leading = digits.len() - significant.len();
        if significant.is_empty() || kept < leading {
            0
        } else {
            let kept = kept - leading;
            let taken = &significant[..kept.min(significant.len())];
            if kept > 39 {
                return Err(overflow());
            }
            let mut value: i128 = if taken.is_empty() { 0 } else { taken.parse().map_err(|_| overflow())? };
            for _ in taken.len()..kept {
                value = value.checked_mul(10).ok_or_else(overflow)?;
            }
            if significant.as_bytes().get(kept).is_some_and(|next| *next >= b'5') {
                value += 1;
            }
            value
        }
    };
    if unscaled >= 10_i128.pow(u32::from(precision)) {
        return Err(overflow());
    }
    Ok(if negative { -unscaled } else { unscaled })
}

/// Days since the epoch of `yyyy-mm-dd`, cut short or not.
pub(super) fn date(text: &str) -> Result<i32, String> {
    let millis = iso_time::parse(text);
    let day = millis.and_then(|millis| i32::try_from(millis.div_euclid(86_400_000)).ok());
    day.ok_or_else(|| format!("Failed to parse '{text}' as a date, required format is yyyy-mm-dd"))
}

/// Milliseconds of the day of `hh:mm`, `hh:mm:ss` or `hh:mm:ss.sss`.
pub(super) fn time(text: &str) -> Result<i32, String> {
    let trimmed = text.trim();
    let read = ["%H:%M:%S%.f", "%H:%M"].iter().find_map(|format| NaiveTime::parse_from_str(trimmed, format).ok());
    let read = read.ok_or_else(|| format!("Failed to parse '{text}' as a time, required format is hh:mm:ss.sss"))?;
    Ok((read.num_seconds_from_midnight() * 1000 + read.nanosecond() / 1_000_000 % 1000) as i32)
}

/// Milliseconds since the epoch of a moment in ISO 8601, cut short or not.
pub(super) fn timestamp(text: &str) -> Result<i64, String> {
    iso_time::parse(text)
        .ok_or_else(|| format!("Failed to parse '{text}' as a timestamp, required format is yyyy-mm-ddThh:mm:ss[.S]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_and_rounded() {
        let check = |text: &str, want: Option<i128>| assert_eq!(decimal(text, 4, 2).ok(), want, "{text}");
        check("0.99", Some(99));
        check("10.005", Some(1001));
        check("-10.005", Some(-1001));
        check("0.004", Some(0));
        check("0.005", Some(1));
        check("1E1", Some(1000));
        check("1234e-3", Some(123));
        check("99.999", None);
        check("100", None);
        check("abc", None);
        check("", None);
        check(".5", Some(50));
    }

    #[test]
    fn truth_values_may_be_cut_short() {
        let check = |text: &str, want: Option<bool>| assert_eq!(truth(text), want, "{text}");
        check("TrUe", Some(true));
        check("tr", Some(true));
        check("Y", Some(true));
        check("no", Some(false));
        check("x", None);
        check("", None);
    }
}
