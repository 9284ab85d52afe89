//! Numbers, dates and times as text, as JSON and DELIMITED write them and as they are leniently read.
//!
//! DOUBLE is written as `Double.toString` of Java would (shortest digits; plain between 10^-3 and 10^7, otherwise with an
//! exponent), because texts are compared with those of ksqlDB. DECIMAL is written with exactly its scale's digits and is
//! only read if no digit is lost.

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, i256};
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Timelike};

/// Milliseconds in a day.
const DAY_MS: i64 = 86_400_000;

/// Appends a DOUBLE's text; what is no number is `NaN`, `Infinity` or `-Infinity`.
pub(in crate::format) fn write_double(value: f64, out: &mut Vec<u8>) {
    if value.is_finite() {
        write_shortest(ryu::Buffer::new().format_finite(value), value.abs(), out);
    } else {
        out.extend_from_slice(not_finite(value).as_bytes());
    }
}

/// Appends a 32-bit float's text, with the digits that 32 bits need.
pub(in crate::format) fn write_float(value: f32, out: &mut Vec<u8>) {
    if value.is_finite() {
        write_shortest(ryu::Buffer::new().format_finite(value), f64::from(value.abs()), out);
    } else {
        out.extend_from_slice(not_finite(f64::from(value)).as_bytes());
    }
}

fn not_finite(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// Turns shortest digits, plain or with `e`, into Java's form.
fn write_shortest(text: &str, magnitude: f64, out: &mut Vec<u8>) {
    if magnitude == 0.0 || ((1e-3..1e7).contains(&magnitude) && !text.contains('e')) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // The digits without the zeros around them, and the power of ten of the first one.
    let all = format!("{whole}{fraction}");
    let zeros = all.len() - all.trim_start_matches('0').len();
    let digits = all.trim_matches('0');
    let power = exponent.parse::<i32>().unwrap_or(0) + whole.len() as i32 - 1 - zeros as i32;
    let (lead, rest) = digits.split_at(digits.len().min(1));
    let rest = if rest.is_empty() { "0" } else { rest };
    out.extend_from_slice(format!("{sign}{lead}.{rest}E{power}").as_bytes());
}

/// Appends a decimal's text, with exactly `scale` digits behind the point.
pub(in crate::format) fn write_decimal(value: i128, scale: i8, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value.unsigned_abs()).as_bytes();
    if value < 0 {
        out.push(b'-');
    }
    let scale_digits = usize::from(scale.unsigned_abs());
    if scale <= 0 {
        out.extend_from_slice(digits);
        if value != 0 {
            out.resize(out.len() + scale_digits, b'0');
        }
        return;
    }
    if digits.len() > scale_digits {
        let (whole, fraction) = digits.split_at(digits.len() - scale_digits);
        out.extend_from_slice(whole);
        out.push(b'.');
        out.extend_from_slice(fraction);
    } else {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + scale_digits - digits.len(), b'0');
        out.extend_from_slice(digits);
    }
}

/// A DOUBLE from a text that may stand for one: a plain or scientific number, `NaN`, `Infinity`.
pub(in crate::format) fn parse_double(text: &str) -> Option<f64> {
    let text = text.trim();
    match text {
        "NaN" => return Some(f64::NAN),
        "Infinity" | "+Infinity" => return Some(f64::INFINITY),
        "-Infinity" => return Some(f64::NEG_INFINITY),
        _ => {}
    }
    let numeric = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    if numeric { text.parse().ok() } else { None }
}

/// The whole part of a number with a fraction or exponent; none if it is beyond 128 bits.
pub(in crate::format) fn truncate(number: &str) -> Option<i128> {
    if !number.contains(['e', 'E']) {
        return number.split('.').next()?.parse().ok();
    }
    let value: f64 = number.parse().ok()?;
    (value.abs() < 1e37).then_some(value as i128)
}

/// A decimal as a whole number of units of its last digit; none if digits would be lost or there are too many.
pub(in crate::format) fn parse_decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, magnitude) = match mantissa.as_bytes().first()? {
        b'-' => (true, &mantissa[1..]),
        b'+' => (false, &mantissa[1..]),
        _ => (false, mantissa),
    };
    let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let kept = fraction.trim_end_matches('0');
    let counted = if kept.is_empty() { whole.trim_end_matches('0') } else { whole };
    let zeros = i64::try_from(whole.len() - counted.len()).ok()?;
    let mut units = 0_i128;
    for digit in counted.bytes().chain(kept.bytes()) {
        let digit = digit.is_ascii_digit().then(|| i128::from(digit - b'0'))?;
        units = units.checked_mul(10)?.checked_add(digit)?;
    }
    let shift = i64::from(exponent) + i64::from(scale) + zeros - i64::try_from(kept.len()).ok()?;
    let power = |shift: i64| u32::try_from(shift).ok().and_then(|shift| 10_i128.checked_pow(shift));
    if units != 0 && shift > 0 {
        units = units.checked_mul(power(shift)?)?;
    } else if units != 0 && shift < 0 {
        let divisor = power(-shift)?;
        if units % divisor != 0 {
            return None;
        }
        units /= divisor;
    }
    fits(units, precision).then_some(if negative { -units } else { units })
}

/// A decimal of another scale as units of this one; none if digits would be lost or there are too many.
pub(in crate::format) fn rescale(units: i128, from: i8, precision: u8, to: i8) -> Option<i128> {
    let shift = i32::from(to) - i32::from(from);
    let power = 10_i128.checked_pow(shift.unsigned_abs())?;
    let units = match shift {
        0 => units,
        1.. => units.checked_mul(power)?,
        _ if units % power == 0 => units / power,
        _ => return None,
    };
    fits(units.checked_abs()?, precision).then_some(units)
}

/// A decimal from its units as big-endian two's complement, as Avro and Protobuf have it; none if it does not fit.
pub(in crate::format) fn decimal_from_bytes(bytes: &[u8], from: i8, precision: u8, to: i8) -> Option<i128> {
    let sign = if bytes.first().is_some_and(|first| first & 0x80 != 0) { 0xff } else { 0 };
    let (excess, digits) = bytes.split_at(bytes.len().saturating_sub(16));
    if excess.iter().any(|&byte| byte != sign) {
        return None;
    }
    let mut units = [sign; 16];
    units[16 - digits.len()..].copy_from_slice(digits);
    let units = i128::from_be_bytes(units);
    if (units < 0) != (sign == 0xff) {
        return None;
    }
    rescale(units, from, precision, to)
}

/// The units of a decimal as the shortest big-endian two's complement.
pub(in crate::format) fn decimal_to_bytes(units: i128) -> ([u8; 16], usize) {
    let bytes = units.to_be_bytes();
    let sign = if units < 0 { 0xff } else { 0 };
    let mut from = 0;
    while from < 15 && bytes[from] == sign && (bytes[from + 1] ^ sign) & 0x80 == 0 {
        from += 1;
    }
    (bytes, from)
}

fn fits(units: i128, precision: u8) -> bool {
    debug_assert!(precision <= DECIMAL128_MAX_PRECISION);
    i256::from_i128(units) < i256::from_i128(10).wrapping_pow(u32::from(precision))
}

/// Days since the epoch from `2024-02-29`.
pub(in crate::format) fn parse_date(text: &str) -> Option<i64> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(date.and_time(NaiveTime::MIN).and_utc().timestamp_millis().div_euclid(DAY_MS))
}

/// Milliseconds since midnight from `12:34:56`, `12:34:56.789` or `12:34`.
pub(in crate::format) fn parse_time(text: &str) -> Option<i64> {
    let time = NaiveTime::parse_from_str(text, "%H:%M:%S%.f").or_else(|_| NaiveTime::parse_from_str(text, "%H:%M"));
    let time = time.ok()?;
    Some(i64::from(time.num_seconds_from_midnight()) * 1000 + i64::from(time.nanosecond() / 1_000_000))
}

/// Milliseconds since the epoch from an ISO 8601 date and time, in UTC unless it names its offset; the time may be missing.
pub(in crate::format) fn parse_timestamp(text: &str) -> Option<i64> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Some(moment.timestamp_millis());
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"] {
        if let Ok(moment) = NaiveDateTime::parse_from_str(text, format) {
            return Some(moment.and_utc().timestamp_millis());
        }
    }
    parse_date(text)?.checked_mul(DAY_MS)
}

/// Whether a number is a time of day in milliseconds.
pub(in crate::format) fn is_time_of_day(ms: i64) -> bool {
    (0..DAY_MS).contains(&ms)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("numbers are ASCII")
    }

    #[track_caller]
    fn check(value: f64, expected: &str) {
        assert_eq!(written(|out| write_double(value, out)), expected);
    }

    #[test]
    fn doubles_as_java_prints_them() {
        check(1.0, "1.0");
        check(-0.0, "-0.0");
        check(0.1, "0.1");
        check(0.001, "0.001");
        check(9_999_999.5, "9999999.5");
        check(1e7, "1.0E7");
        check(-12_345_678.5, "-1.23456785E7");
        check(0.000_99, "9.9E-4");
        check(0.000_1, "1.0E-4");
        check(1.5e300, "1.5E300");
        check(5e-324, "5.0E-324");
        check(1e16, "1.0E16");
        check(120_000_000_000.0, "1.2E11");
        check(f64::NAN, "NaN");
        check(f64::NEG_INFINITY, "-Infinity");
        assert_eq!(written(|out| write_float(0.1, out)), "0.1");
    }

    #[test]
    fn decimals_keep_their_scale() {
        let check = |text: &str, precision, scale, units: Option<i128>, expected: &str| {
            assert_eq!(parse_decimal(text, precision, scale), units, "{text}");
            if let Some(units) = units {
                assert_eq!(written(|out| write_decimal(units, scale, out)), expected);
            }
        };
        check("10.1", 4, 2, Some(1010), "10.10");
        check("-0.05", 4, 2, Some(-5), "-0.05");
        check("1.500", 4, 1, Some(15), "1.5");
        check("1.55", 4, 1, None, "");
        check("100", 4, 2, None, "");
        check("1.2E1", 4, 0, Some(12), "12");
        check("1E-2", 4, 2, Some(1), "0.01");
        check("1e99", 38, 0, None, "");
        check("0e99", 38, 0, Some(0), "0");
        check("", 4, 2, None, "");
        check(".", 4, 2, None, "");
        check("1.2.3", 4, 2, None, "");
        check("99999999999999999999999999999999999999", 38, 0, Some(10_i128.pow(38) - 1), &"9".repeat(38));
    }

    #[test]
    fn dates_and_times_as_text() {
        assert_eq!(parse_date("1970-01-02"), Some(1));
        assert_eq!(parse_date("1969-12-31"), Some(-1));
        assert_eq!(parse_date("1970-13-01"), None);
        assert_eq!(parse_time("00:00:01.5"), Some(1500));
        assert_eq!(parse_time("16:43"), Some(60_180_000));
        assert_eq!(parse_time("24:00:00"), None);
        assert_eq!(parse_timestamp("1970-01-01T00:00:01Z"), Some(1000));
        assert_eq!(parse_timestamp("1970-01-01T01:00:01+01:00"), Some(1000));
        assert_eq!(parse_timestamp("1970-01-01 00:00:01.25"), Some(1250));
        assert_eq!(parse_timestamp("1970-01-02"), Some(DAY_MS));
        assert_eq!(parse_timestamp("yesterday"), None);
    }

    proptest! {
        #[test]
        fn a_double_is_read_as_it_was_written(value: f64) {
            let text = written(|out| write_double(value, out));
            let read = parse_double(&text).expect("a double's text is a double");
            prop_assert!(read == value || (read.is_nan() && value.is_nan()), "{text}");
        }

        #[test]
        fn a_decimal_is_read_as_it_was_written(units in -(10_i128.pow(38) - 1)..10_i128.pow(38), scale in -5_i8..38) {
            let text = written(|out| write_decimal(units, scale, out));
            prop_assert_eq!(parse_decimal(&text, 38, scale), Some(units), "{}", text);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,12}|[-+.0-9eE]{0,12}", scale in -5_i8..38) {
            parse_double(&text);
            parse_decimal(&text, 38, scale);
            truncate(&text);
            parse_date(&text);
            parse_time(&text);
            parse_timestamp(&text);
        }
    }
}
