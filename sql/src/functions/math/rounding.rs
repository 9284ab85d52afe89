//! Size, sign and rounding of numbers.
//!
//! ROUND goes to the nearest number, from the middle towards the positive: -1.5 is -1. CEIL, FLOOR and the forms with a number of
//! places keep the type; ROUND and TRUNC alone give BIGINT, or DECIMAL without places.

use std::{fmt::Write, sync::Arc};

use arrow::{
    array::{ArrayRef, ArrowPrimitiveType, AsArray, Decimal128Array, PrimitiveArray},
    datatypes::{DataType, Decimal128Type, Float64Type, Int32Type, Int64Type},
};

use super::super::{
    columns::{Decimals, Doubles, Ints, column, downcast, read, write_values},
    overload::{function, of, overload},
    signature::{Call, Evaluate, Overload, Parameter, Returns, ScalarFunction},
};
use crate::catalog::SqlType::{self, BigInt, Double, Int};

/// The functions of this file.
pub(super) fn functions() -> Vec<ScalarFunction> {
    let sign: Vec<Overload> = vec![
        of(&[Int], Int, |call| map::<Int32Type, Int32Type>(call, i32::signum)),
        of(&[BigInt], Int, |call| map::<Int64Type, Int32Type>(call, |value| value.signum() as i32)),
        of(&[Double], Int, |call| map::<Float64Type, Int32Type>(call, sign)),
    ];
    let round = vec![
        of(&[BigInt], BigInt, |call| column(call, 0)),
        of(&[Double], BigInt, |call| map::<Float64Type, Int64Type>(call, round)),
        overload(&[Parameter::AnyDecimal], Returns::Computed(whole), |call| decimals(call, half_up)),
        of(&[Double, Int], Double, |call| double_places(call, Rounding::HalfUp)),
        overload(&places_of_decimal(), Returns::Computed(same), |call| decimal_places(call, half_up)),
    ];
    let trunc = vec![
        of(&[BigInt], BigInt, |call| column(call, 0)),
        of(&[Double], BigInt, |call| map::<Float64Type, Int64Type>(call, |value| value as i64)),
        overload(&[Parameter::AnyDecimal], Returns::Computed(whole), |call| decimals(call, |value, unit| value / unit)),
        of(&[Double, Int], Double, |call| double_places(call, Rounding::Down)),
        overload(&places_of_decimal(), Returns::Computed(same), |call| {
            decimal_places(call, |value, unit| value / unit)
        }),
    ];
    let abs = keeping_type(
        |call| map::<Int32Type, Int32Type>(call, i32::wrapping_abs),
        |call| map::<Int64Type, Int64Type>(call, i64::wrapping_abs),
        |call| map::<Float64Type, Float64Type>(call, f64::abs),
        |call| decimals(call, |value, _| value.abs()),
    );
    let ceil = keeping_type(
        |call| column(call, 0),
        |call| column(call, 0),
        |call| map::<Float64Type, Float64Type>(call, f64::ceil),
        |call| decimals(call, |value, unit| -(-value).div_euclid(unit) * unit),
    );
    let floor = keeping_type(
        |call| column(call, 0),
        |call| column(call, 0),
        |call| map::<Float64Type, Float64Type>(call, f64::floor),
        |call| decimals(call, |value, unit| value.div_euclid(unit) * unit),
    );
    vec![
        function("ABS", "The number without its sign.", abs),
        function("CEIL", "The smallest whole number that is not less.", ceil),
        function("FLOOR", "The largest whole number that is not more.", floor),
        function(
            "ROUND",
            "The nearest number with so many decimal places; negative places round tens and hundreds.",
            round,
        ),
        function("SIGN", "-1, 0 or 1.", sign),
        function("TRUNC", "The number cut off after so many decimal places.", trunc),
    ]
}

/// Overloads whose result has the type of the argument.
fn keeping_type(int: Evaluate, big_int: Evaluate, double: Evaluate, decimal: Evaluate) -> Vec<Overload> {
    vec![
        of(&[Int], Int, int),
        of(&[BigInt], BigInt, big_int),
        of(&[Double], Double, double),
        overload(&[Parameter::AnyDecimal], Returns::Computed(same), decimal),
    ]
}

fn places_of_decimal() -> [Parameter; 2] {
    [Parameter::AnyDecimal, Parameter::Type(Int)]
}

/// The type of the first argument.
fn same(types: &[SqlType]) -> Result<SqlType, String> {
    types.first().cloned().ok_or_else(|| "an argument is missing".to_owned())
}

/// DECIMAL of the digits before the point.
fn whole(types: &[SqlType]) -> Result<SqlType, String> {
    match types.first() {
        Some(SqlType::Decimal { precision, scale }) => {
            Ok(SqlType::Decimal { precision: precision.saturating_sub(*scale).max(1), scale: 0 })
        }
        other => Err(format!("DECIMAL is wanted, not {other:?}")),
    }
}

fn map<From: ArrowPrimitiveType, To: ArrowPrimitiveType>(
    call: &Call<'_>,
    function: fn(From::Native) -> To::Native,
) -> Result<ArrayRef, String> {
    let values = column(call, 0)?;
    let result: PrimitiveArray<To> = downcast::<PrimitiveArray<From>>(&values)?.unary(function);
    Ok(Arc::new(result))
}

fn sign(value: f64) -> i32 {
    i32::from(value > 0.0) - i32::from(value < 0.0)
}

/// The nearest whole number; what is too large is the largest, and what is no number 0.
fn round(value: f64) -> i64 {
    let below = value.floor();
    if value - below >= 0.5 { (below + 1.0) as i64 } else { below as i64 }
}

/// The nearest multiple of `unit`, as a count of units.
fn half_up(value: i128, unit: i128) -> i128 {
    (value + unit / 2).div_euclid(unit)
}

/// 1 as a DECIMAL holds it; the type of an argument that is a DECIMAL.
fn unit_of(data_type: &DataType) -> Result<(i128, i32), String> {
    match data_type {
        DataType::Decimal128(_, scale @ 0..=38) => {
            Ok((10_i128.pow(u32::from(scale.unsigned_abs())), i32::from(*scale)))
        }
        other => Err(format!("DECIMAL is wanted, not {other}")),
    }
}

/// Applies `function` to values and the unit that 1 is for them; the result has the type of the call.
fn decimals(call: &Call<'_>, function: fn(i128, i128) -> i128) -> Result<ArrayRef, String> {
    let values = column(call, 0)?;
    let (unit, _) = unit_of(values.data_type())?;
    let result: Decimal128Array = downcast::<Decimal128Array>(&values)?.unary(|value| function(value, unit));
    Ok(Arc::new(result.with_data_type(call.returns.clone())))
}

fn decimal_places(call: &Call<'_>, units: fn(i128, i128) -> i128) -> Result<ArrayRef, String> {
    let values: Decimals<'_> = read(call, 0)?;
    let places: Ints<'_> = read(call, 1)?;
    let (_, scale) = unit_of(call.returns)?;
    let result = write_values::<Decimal128Type>(call.rows, |row| {
        let (Some(value), Some(places)) = (values.get(row), places.get(row)) else { return Ok(None) };
        Ok(Some(match u32::try_from(scale.saturating_sub(places)) {
            Err(_) | Ok(0) => value,
            Ok(dropped @ 1..=38) => {
                let unit = 10_i128.pow(dropped);
                units(value, unit) * unit
            }
            Ok(_) => 0,
        }))
    })?;
    Ok(Arc::new(result.as_primitive::<Decimal128Type>().clone().with_data_type(call.returns.clone())))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rounding {
    /// To the nearest, from the middle towards the positive.
    HalfUp,
    /// Towards zero.
    Down,
}

fn double_places(call: &Call<'_>, rounding: Rounding) -> Result<ArrayRef, String> {
    let values: Doubles<'_> = read(call, 0)?;
    let places: Ints<'_> = read(call, 1)?;
    let mut buffer = String::new();
    write_values::<Float64Type>(call.rows, |row| {
        let (Some(value), Some(places)) = (values.get(row), places.get(row)) else { return Ok(None) };
        at_places(value, places, rounding, &mut buffer).map(Some)
    })
}

/// A number with so many decimal places, as people round it: by its shortest decimal digits, not by its binary value.
fn at_places(value: f64, places: i32, rounding: Rounding, buffer: &mut String) -> Result<f64, String> {
    if !value.is_finite() {
        return Err(format!("{value} cannot be rounded to decimal places"));
    }
    buffer.clear();
    write!(buffer, "{:e}", value.abs()).map_err(|error| error.to_string())?;
    let (mantissa, exponent) = buffer.split_once('e').unwrap_or((buffer, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = mantissa.bytes().filter(u8::is_ascii_digit);
    let (count, all) = digits.fold((0, 0_u64), |(count, all), digit| (count + 1, all * 10 + u64::from(digit - b'0')));
    // The digits behind the last place that stays.
    let dropped = (count - 1 - exponent).saturating_sub(places);
    if dropped <= 0 {
        return Ok(value);
    }
    if dropped > count {
        return Ok(0.0);
    }
    let unit = 10_u64.pow(dropped.unsigned_abs());
    let (mut units, rest) = (all / unit, all % unit);
    let middle = unit / 2;
    if rounding == Rounding::HalfUp && (rest > middle || (rest == middle && value > 0.0)) {
        units += 1;
    }
    buffer.clear();
    write!(buffer, "{units}e{}", -i64::from(places)).map_err(|error| error.to_string())?;
    let rounded: f64 = buffer.parse().map_err(|_| format!("{value} cannot be rounded to {places} places"))?;
    Ok(if value < 0.0 && units > 0 { -rounded } else { rounded })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::{
        columns::harness::{big_ints, check, doubles, int, ints, null},
        signature::Argument,
    };

    fn decimals(precision: u8, scale: i8, values: &[Option<i128>]) -> Argument {
        let array = Decimal128Array::from(values.to_vec()).with_precision_and_scale(precision, scale).unwrap();
        Argument::Column(Arc::new(array))
    }

    #[test]
    fn size_and_sign() {
        let family = functions();
        let check = |name: &str, argument: Argument, want: &[&str]| check(&family, name, &[argument], want);
        check("ABS", ints(&[Some(-1), Some(i32::MIN), None]), &["1", "-2147483648", "null"]);
        check("ABS", big_ints(&[Some(-5)]), &["5"]);
        check("ABS", doubles(&[Some(-1.5)]), &["1.5"]);
        check("ABS", decimals(3, 2, &[Some(-123), None]), &["1.23", "null"]);
        check("SIGN", ints(&[Some(-7), Some(0), None]), &["-1", "0", "null"]);
        check("SIGN", big_ints(&[Some(7)]), &["1"]);
        check("SIGN", doubles(&[Some(-0.5), Some(0.0), Some(f64::NAN)]), &["-1", "0", "0"]);
    }

    #[test]
    fn whole_numbers() {
        let family = functions();
        let check = |name: &str, argument: Argument, want: &[&str]| check(&family, name, &[argument], want);
        check("FLOOR", ints(&[Some(-1), None]), &["-1", "null"]);
        check("FLOOR", doubles(&[Some(-1.1), Some(1.7)]), &["-2.0", "1.0"]);
        check("FLOOR", decimals(2, 1, &[Some(-11), Some(17), Some(20), None]), &["-2.0", "1.0", "2.0", "null"]);
        check("CEIL", big_ints(&[Some(3)]), &["3"]);
        check("CEIL", doubles(&[Some(-1.1), Some(1.1)]), &["-1.0", "2.0"]);
        check("CEIL", decimals(2, 1, &[Some(-11), Some(11), Some(20)]), &["-1.0", "2.0", "2.0"]);
        check("ROUND", big_ints(&[Some(3), None]), &["3", "null"]);
        check(
            "ROUND",
            doubles(&[Some(1.5), Some(-1.5), Some(-1.7), Some(0.499_999_999_999_999_94), Some(f64::NAN)]),
            &["2", "-1", "-2", "0", "0"],
        );
        check("ROUND", doubles(&[Some(1e300)]), &["9223372036854775807"]);
        check("ROUND", decimals(4, 2, &[Some(150), Some(-150), Some(-151), None]), &["2", "-1", "-2", "null"]);
        check("TRUNC", doubles(&[Some(1.7), Some(-1.7), None]), &["1", "-1", "null"]);
        check("TRUNC", decimals(12, 7, &[Some(-17_000_000)]), &["-1"]);
        check("TRUNC", decimals(2, 2, &[Some(99)]), &["0"]);
    }

    #[test]
    fn decimal_places() {
        let family = functions();
        let check =
            |name: &str, of: Argument, places: i32, want: &[&str]| check(&family, name, &[of, int(places)], want);
        check("ROUND", doubles(&[Some(1.234_567), Some(-1.5), None]), 2, &["1.23", "-1.5", "null"]);
        check("ROUND", doubles(&[Some(-1.5), Some(1.5), Some(-0.4)]), 0, &["-1.0", "2.0", "0.0"]);
        check("ROUND", doubles(&[Some(1.005), Some(2.675)]), 2, &["1.01", "2.68"]);
        check("ROUND", doubles(&[Some(12_345.678), Some(111.0), Some(1.0)]), -1, &["12350.0", "110.0", "0.0"]);
        check("ROUND", doubles(&[Some(99.95), Some(60.0)]), -2, &["100.0", "100.0"]);
        check("ROUND", doubles(&[Some(1.234_567)]), i32::MAX, &["1.234567"]);
        check("ROUND", doubles(&[Some(1.234_567)]), i32::MIN, &["0.0"]);
        check("ROUND", doubles(&[Some(f64::NAN)]), 1, &["error: NaN cannot be rounded to decimal places"]);
        check("TRUNC", doubles(&[Some(12_345.678), Some(-12_345.678)]), 1, &["12345.6", "-12345.6"]);
        check("TRUNC", doubles(&[Some(12_345.678), Some(-1.7)]), -1, &["12340.0", "0.0"]);
        check(
            "ROUND",
            decimals(12, 7, &[Some(15_000_000), Some(-15_000_000), None]),
            0,
            &["2.0000000", "-1.0000000", "null"],
        );
        check("ROUND", decimals(12, 7, &[Some(123_456_780_000)]), -2, &["12300.0000000"]);
        check("ROUND", decimals(12, 7, &[Some(123_456_780_000)]), 9, &["12345.6780000"]);
        check("TRUNC", decimals(12, 7, &[Some(-123_456_780_000)]), 1, &["-12345.6000000"]);
        check("TRUNC", decimals(12, 7, &[Some(-123_456_780_000)]), -40, &["0.0000000"]);
    }

    #[test]
    fn places_may_be_null() {
        let family = functions();
        check(&family, "ROUND", &[doubles(&[Some(1.0)]), null(&Int)], &["null"]);
        check(&family, "TRUNC", &[decimals(3, 1, &[Some(10)]), null(&Int)], &["null"]);
    }
}
