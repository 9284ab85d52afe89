//! Functions from DOUBLE to DOUBLE: powers, logarithms, angles, and random numbers.

use std::{
    cell::Cell,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, Float64Array},
    datatypes::Float64Type,
};

use super::super::{
    columns::{Doubles, column, downcast, read, write_values},
    overload::{function, of},
    signature::{Call, Evaluate, ScalarFunction},
};
use crate::catalog::SqlType::Double;

/// The functions of this file.
pub(super) fn functions() -> Vec<ScalarFunction> {
    let none = |name, description, evaluate: Evaluate| function(name, description, vec![of(&[], Double, evaluate)]);
    let one =
        |name, description, evaluate: Evaluate| function(name, description, vec![of(&[Double], Double, evaluate)]);
    let two = |name, description, evaluate: Evaluate| {
        function(name, description, vec![of(&[Double, Double], Double, evaluate)])
    };
    let log: Vec<_> = vec![
        of(&[Double], Double, |call| unary(call, f64::ln)),
        of(&[Double, Double], Double, |call| binary(call, logarithm)),
    ];
    vec![
        one("ACOS", "The angle, in radians, whose cosine this is.", |call| unary(call, f64::acos)),
        one("ASIN", "The angle, in radians, whose sine this is.", |call| unary(call, f64::asin)),
        one("ATAN", "The angle, in radians, whose tangent this is.", |call| unary(call, f64::atan)),
        two("ATAN2", "The angle, in radians, of the point with this y and x.", |call| binary(call, f64::atan2)),
        one("CBRT", "The cube root.", |call| unary(call, f64::cbrt)),
        one("COS", "The cosine of an angle in radians.", |call| unary(call, f64::cos)),
        one("COSH", "The hyperbolic cosine.", |call| unary(call, f64::cosh)),
        one("COT", "The cotangent of an angle in radians.", |call| unary(call, |angle| 1.0 / angle.tan())),
        one("DEGREES", "Radians in degrees.", |call| unary(call, f64::to_degrees)),
        one("EXP", "The number e to this power.", |call| unary(call, f64::exp)),
        one("LN", "The natural logarithm.", |call| unary(call, f64::ln)),
        function("LOG", "The natural logarithm, or that to a base, which is given first.", log),
        none("PI", "The ratio of a circle's circumference to its diameter.", |call| {
            write_values::<Float64Type>(call.rows, |_| Ok(Some(std::f64::consts::PI)))
        }),
        two("POWER", "A number to a power.", |call| binary(call, f64::powf)),
        one("RADIANS", "Degrees in radians.", |call| unary(call, f64::to_radians)),
        none("RANDOM", "A random number from 0 to 1, without 1.", |call| {
            write_values::<Float64Type>(call.rows, |_| Ok(Some(random())))
        }),
        one("SIN", "The sine of an angle in radians.", |call| unary(call, f64::sin)),
        one("SINH", "The hyperbolic sine.", |call| unary(call, f64::sinh)),
        one("SQRT", "The square root.", |call| unary(call, f64::sqrt)),
        one("TAN", "The tangent of an angle in radians.", |call| unary(call, f64::tan)),
        one("TANH", "The hyperbolic tangent.", |call| unary(call, f64::tanh)),
    ]
}

fn unary(call: &Call<'_>, function: fn(f64) -> f64) -> Result<ArrayRef, String> {
    let values = column(call, 0)?;
    let result: Float64Array = downcast::<Float64Array>(&values)?.unary(function);
    Ok(Arc::new(result))
}

fn binary(call: &Call<'_>, function: fn(f64, f64) -> f64) -> Result<ArrayRef, String> {
    let first: Doubles<'_> = read(call, 0)?;
    let second: Doubles<'_> = read(call, 1)?;
    write_values::<Float64Type>(call.rows, |row| {
        Ok(first.get(row).zip(second.get(row)).map(|(first, second)| function(first, second)))
    })
}

/// The logarithm of a value; there is none to a base that is not positive or is 1.
fn logarithm(base: f64, value: f64) -> f64 {
    if base <= 0.0 || base == 1.0 { f64::NAN } else { value.ln() / base.ln() }
}

/// The next of a thread's random numbers (SplitMix64), which begins anywhere.
fn random() -> f64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0));
    }
    let state = STATE.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
    STATE.set(state);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    // 53 bits are what a DOUBLE can hold between 0 and 1.
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::columns::harness::{call, doubles};

    #[test]
    fn values_of_one_number() {
        let family = functions();
        let check = |name: &str, cases: &[(f64, f64)]| {
            let inputs: Vec<Option<f64>> = cases.iter().map(|(input, _)| Some(*input)).chain([None]).collect();
            let got = call(&family, name, &[doubles(&inputs)], inputs.len());
            for ((input, want), got) in cases.iter().zip(&got) {
                let got: f64 = got.parse().unwrap();
                let near =
                    got == *want || (got.is_nan() && want.is_nan()) || (got - want).abs() < 1e-12 * want.abs().max(1.0);
                assert!(near, "{name}({input}) is {got}, not {want}");
            }
            assert_eq!(got.last().map(String::as_str), Some("null"), "{name}");
        };
        let infinite = f64::INFINITY;
        check("ACOS", &[(-1.0, std::f64::consts::PI), (0.43, 1.126_303_549_859_1), (1.1, f64::NAN)]);
        check("ASIN", &[(0.0, 0.0), (0.43, 0.444_492_776_935_8), (-2.0, f64::NAN)]);
        check("ATAN", &[(0.0, 0.0), (1.0, std::f64::consts::FRAC_PI_4)]);
        check("CBRT", &[(-27.0, -3.0), (2.0, 1.259_921_049_894_873_2)]);
        check("COS", &[(0.0, 1.0), (-0.43, 0.908_965_749_674_885_2)]);
        check("COSH", &[(0.0, 1.0), (1.0, 1.543_080_634_815_243_7)]);
        check("COT", &[(0.43, 2.180_449_540_668_5), (0.0, infinite)]);
        check("DEGREES", &[(-2.0, -114.591_559_026_165), (0.0, 0.0)]);
        check("EXP", &[(0.0, 1.0), (2.0, 7.389_056_098_930_65)]);
        check("LN", &[(1.0, 0.0), (0.0, -infinite), (-13.0, f64::NAN)]);
        check("LOG", &[(13.0, 2.564_949_357_461_536_7), (0.0, -infinite), (-13.0, f64::NAN)]);
        check("RADIANS", &[(180.0, std::f64::consts::PI)]);
        check("SIN", &[(0.0, 0.0), (0.43, 0.416_870_802_429_210_8)]);
        check("SINH", &[(1.0, 1.175_201_193_643_801_4)]);
        check("SQRT", &[(4.0, 2.0), (-1.0, f64::NAN)]);
        check("TAN", &[(0.43, 0.458_621_023_485_555_2)]);
        check("TANH", &[(1.0, 0.761_594_155_955_764_9)]);
    }

    #[test]
    fn values_of_two_numbers_and_of_none() {
        let family = functions();
        let check = |name: &str, first: Option<f64>, second: Option<f64>, want: &str| {
            let got = call(&family, name, &[doubles(&[first]), doubles(&[second])], 1);
            assert_eq!(got, [want], "{name}({first:?}, {second:?})");
        };
        check("ATAN2", Some(1.1), Some(-0.24), "1.7856117271965553");
        check("ATAN2", None, Some(1.0), "null");
        check("POWER", Some(15.0), Some(13.0), "1946195068359375.0");
        check("POWER", Some(0.0), Some(0.0), "1.0");
        check("POWER", Some(2.0), None, "null");
        check("LOG", Some(2.0), Some(8.0), "3.0");
        check("LOG", Some(1.0), Some(8.0), "NaN");
        check("LOG", Some(-2.0), Some(8.0), "NaN");
        check("LOG", None, Some(8.0), "null");
        assert_eq!(call(&family, "PI", &[], 2), ["3.141592653589793"; 2]);
        let numbers = call(&family, "RANDOM", &[], 100);
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(&number.parse::<f64>().unwrap())), "{numbers:?}");
        assert!(numbers.windows(2).all(|pair| pair[0] != pair[1]), "{numbers:?}");
    }
}
