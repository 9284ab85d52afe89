//! Numbers as Java writes them: `Double.toString` and `BigDecimal.toString`.

use std::fmt::Write as _;

/// Appends a DOUBLE: its shortest digits, plain from 0.001 up to 10,000,000, else as `1.5E10`.
pub(crate) fn push_double(value: f64, out: &mut String) {
    if value.is_nan() {
        out.push_str("NaN");
        return;
    }
    if value.is_sign_negative() {
        out.push('-');
    }
    let value = value.abs();
    // Writing to a text cannot fail.
    let _ = if value.is_infinite() {
        write!(out, "Infinity")
    } else if value == 0.0 || (1e-3..1e7).contains(&value) {
        write!(out, "{value:?}")
    } else {
        let start = out.len();
        let written = write!(out, "{value:E}");
        if let Some(exponent) = out[start..].find('E').filter(|exponent| !out[start..start + exponent].contains('.')) {
            out.insert_str(start + exponent, ".0");
        }
        written
    };
}

/// Appends a number as JSON writes it, as `BigDecimal` writes it: all its digits; with an exponent if it was given one that is not
/// a shift within them, or if it is below 0.000001.
pub(crate) fn push_big_decimal(number: &str, out: &mut String) {
    let (negative, rest) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number),
    };
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let scale =
        exponent.parse::<i32>().ok().and_then(|exponent| i32::try_from(fraction.len()).ok()?.checked_sub(exponent));
    let Some(scale) = scale else {
        // Beyond what BigDecimal can hold: as it is.
        out.push_str(number);
        return;
    };
    let all = [whole, fraction].concat();
    let digits = match all.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    if negative && digits != "0" {
        out.push('-');
    }
    push_scaled(digits, scale, out);
}

fn push_scaled(digits: &str, scale: i32, out: &mut String) {
    let adjusted = i64::try_from(digits.len()).unwrap_or(i64::MAX) - 1 - i64::from(scale);
    if scale < 0 || adjusted < -6 {
        out.push_str(&digits[..1]);
        if digits.len() > 1 {
            out.push('.');
            out.push_str(&digits[1..]);
        }
        if adjusted != 0 {
            // Writing to a text cannot fail.
            let _ = write!(out, "E{adjusted:+}");
        }
        return;
    }
    let scale = usize::try_from(scale).unwrap_or(0);
    if scale == 0 {
        out.push_str(digits);
    } else if let Some(point) = digits.len().checked_sub(scale).filter(|point| *point > 0) {
        out.push_str(&digits[..point]);
        out.push('.');
        out.push_str(&digits[point..]);
    } else {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', scale - digits.len()));
        out.push_str(digits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles() {
        for (value, want) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-15.3, "-15.3"),
            (0.001, "0.001"),
            (0.000_99, "9.9E-4"),
            (9_999_999.5, "9999999.5"),
            (1e7, "1.0E7"),
            (1.25e100, "1.25E100"),
            (f64::MIN_POSITIVE, "2.2250738585072014E-308"),
            (f64::NEG_INFINITY, "-Infinity"),
            (f64::NAN, "NaN"),
        ] {
            let mut out = String::new();
            push_double(value, &mut out);
            assert_eq!(out, want);
        }
    }

    #[test]
    fn big_decimals() {
        for (number, want) in [
            ("1.10", "1.10"),
            ("-0.50", "-0.50"),
            ("0.0", "0.0"),
            ("-0.0", "0.0"),
            ("1e2", "1E+2"),
            ("1.5E10", "1.5E+10"),
            ("12.5e1", "125"),
            ("12.5e-3", "0.0125"),
            ("0.000001", "0.000001"),
            ("0.0000001", "1E-7"),
            ("0.00000012", "1.2E-7"),
            ("0e3", "0E+3"),
            ("123456789012345678901234567890.5", "123456789012345678901234567890.5"),
            ("1e99999999999", "1e99999999999"),
        ] {
            let mut out = String::new();
            push_big_decimal(number, &mut out);
            assert_eq!(out, want, "{number}");
        }
    }
}
