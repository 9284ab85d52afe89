//! Numbers as written: whole ones are INT if they fit, else BIGINT; with a point DECIMAL of just their digits; with an exponent DOUBLE.

use datafusion::common::ScalarValue;

use crate::catalog::SqlType;

/// A number.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Number {
    Int(i32),
    BigInt(i64),
    Decimal { unscaled: i128, precision: u8, scale: u8 },
    Double(f64),
}

impl Number {
    /// Reads a number, sign included.
    pub(super) fn read(written: &str) -> Result<Self, String> {
        if written.contains(['e', 'E']) {
            let value: f64 = written.parse().map_err(|_| format!("Invalid numeric literal: {written}"))?;
            return if value.is_finite() {
                Ok(Self::Double(value))
            } else {
                Err(format!("Number overflows DOUBLE: {written}"))
            };
        }
        let invalid = || format!("Invalid numeric literal: {written}");
        let Some((whole, fraction)) = written.split_once('.') else {
            let value: i64 = written.parse().map_err(|_| invalid())?;
            return Ok(i32::try_from(value).map_or(Self::BigInt(value), Self::Int));
        };
        let digits = format!("{whole}{fraction}");
        let unscaled: i128 = digits.parse().map_err(|_| invalid())?;
        let scale = u8::try_from(fraction.len()).map_err(|_| invalid())?;
        let significant = digits.trim_start_matches(['-', '+']).trim_start_matches('0').len();
        let precision = u8::try_from(significant).map_err(|_| invalid())?.max(scale).max(1);
        if precision > 38 {
            return Err(format!("{written} has more than 38 digits"));
        }
        Ok(Self::Decimal { unscaled, precision, scale })
    }

    /// The same number as a wider type; none if that takes a cast.
    pub(super) fn widened(&self, wanted: &SqlType) -> Option<Self> {
        Some(match (self, wanted) {
            (Self::Int(value), SqlType::BigInt) => Self::BigInt(i64::from(*value)),
            (Self::Int(value), SqlType::Double) => Self::Double(f64::from(*value)),
            (Self::BigInt(value), SqlType::Double) => Self::Double(*value as f64),
            (Self::Decimal { unscaled, scale, .. }, SqlType::Double) => {
                // By its text, so that it is the nearest DOUBLE.
                Self::Double(format!("{unscaled}e-{scale}").parse().ok()?)
            }
            (number, SqlType::Decimal { precision, scale }) => {
                let (unscaled, from) = match number {
                    Self::Int(value) => (i128::from(*value), 0),
                    Self::BigInt(value) => (i128::from(*value), 0),
                    Self::Decimal { unscaled, scale, .. } => (*unscaled, *scale),
                    Self::Double(_) => return None,
                };
                let unscaled = unscaled.checked_mul(10_i128.checked_pow(u32::from(scale.checked_sub(from)?))?)?;
                if unscaled.unsigned_abs() >= 10_u128.checked_pow(u32::from(*precision))? {
                    return None;
                }
                Self::Decimal { unscaled, precision: *precision, scale: *scale }
            }
            (number, wanted) if number.data_type() == *wanted => number.clone(),
            _ => return None,
        })
    }

    /// Its type.
    pub(super) fn data_type(&self) -> SqlType {
        match self {
            Self::Int(_) => SqlType::Int,
            Self::BigInt(_) => SqlType::BigInt,
            Self::Decimal { precision, scale, .. } => SqlType::Decimal { precision: *precision, scale: *scale },
            Self::Double(_) => SqlType::Double,
        }
    }

    /// Its value.
    pub(super) fn scalar(&self) -> ScalarValue {
        match self {
            Self::Int(value) => ScalarValue::Int32(Some(*value)),
            Self::BigInt(value) => ScalarValue::Int64(Some(*value)),
            Self::Decimal { unscaled, precision, scale } => {
                ScalarValue::Decimal128(Some(*unscaled), *precision, i8::try_from(*scale).unwrap_or(i8::MAX))
            }
            Self::Double(value) => ScalarValue::Float64(Some(*value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_type_they_are_written_in() {
        let check = |written: &str, want: &str| {
            let got = Number::read(written).map_or_else(|problem| problem, |number| number.data_type().to_string());
            assert_eq!(got, want, "{written}");
        };
        check("7", "INTEGER");
        check("-2147483648", "INTEGER");
        check("2147483648", "BIGINT");
        check("000009223372036854775807", "BIGINT");
        check("9223372036854775808", "Invalid numeric literal: 9223372036854775808");
        check("2.345", "DECIMAL(4, 3)");
        check("-0.08", "DECIMAL(2, 2)");
        check("10.30", "DECIMAL(4, 2)");
        check("1e-1", "DOUBLE");
        check("1.7976931348623159E308", "Number overflows DOUBLE: 1.7976931348623159E308");
    }
}
