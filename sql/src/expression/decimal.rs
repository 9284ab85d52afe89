//! Arithmetic of decimals, exact: precision and scale of results as in ksqlDB, which follows SQL Server.
//!
//! Beyond 38 digits the scale gives way, down to 6, so that the digits before the point are there. A result that does not fit fails.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Decimal128Array, PrimitiveBuilder},
    datatypes::{Decimal128Type, i256},
};
use datafusion::logical_expr::{Expr, Operator};

use super::{
    cast::typed_decimals,
    coercion::MAX_PRECISION,
    operation::{self, Operation},
};
use crate::{catalog::SqlType, functions::signature::Call};

const LEAST_SCALE: u8 = 6;

/// Computes `left op right`, both decimals of the sizes beside them.
pub(super) fn arithmetic(op: Operator, left: (Expr, (u8, u8)), right: (Expr, (u8, u8))) -> (Expr, SqlType) {
    let ((left, (p1, s1)), (right, (p2, s2))) = (left, right);
    let (precision, scale) = result_size(op, (p1, s1), (p2, s2));
    let result = SqlType::Decimal { precision, scale };
    let operation = DecimalArithmetic { op, left_scale: s1, right_scale: s2, precision, scale };
    (operation::call(operation, vec![left, right], result.to_arrow()), result)
}

fn result_size(op: Operator, (p1, s1): (u8, u8), (p2, s2): (u8, u8)) -> (u8, u8) {
    let most = s1.max(s2);
    let (precision, scale) = match op {
        Operator::Multiply => (p1 + p2 + 1, s1 + s2),
        Operator::Divide => {
            let scale = LEAST_SCALE.max(s1 + p2 + 1);
            (p1 - s1 + s2 + scale, scale)
        }
        Operator::Modulo => ((p1 - s1).min(p2 - s2) + most, most),
        _ => ((p1 - s1).max(p2 - s2) + most + 1, most),
    };
    if precision <= MAX_PRECISION {
        return (precision.max(1), scale);
    }
    let whole = precision - scale;
    let scale = scale.min(MAX_PRECISION.saturating_sub(whole).max(LEAST_SCALE.min(scale)));
    (MAX_PRECISION, scale)
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct DecimalArithmetic {
    op: Operator,
    left_scale: u8,
    right_scale: u8,
    precision: u8,
    scale: u8,
}

impl Operation for DecimalArithmetic {
    fn name(&self) -> &str {
        match self.op {
            Operator::Minus => "decimal_subtract",
            Operator::Multiply => "decimal_multiply",
            Operator::Divide => "decimal_divide",
            Operator::Modulo => "decimal_modulo",
            _ => "decimal_add",
        }
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<ArrayRef, String> {
        let column = |index: usize| call.arguments[index].column(call.rows).map_err(|error| error.to_string());
        let (left, right) = (column(0)?, column(1)?);
        let (left, right) = (left.as_primitive::<Decimal128Type>(), right.as_primitive::<Decimal128Type>());
        let compute = Compute::new(self);
        let mut results = PrimitiveBuilder::<Decimal128Type>::with_capacity(call.rows);
        for row in 0..call.rows {
            if left.is_null(row) || right.is_null(row) {
                results.append_null();
            } else {
                results.append_value(compute.one(left.value(row), right.value(row))?);
            }
        }
        let results: Decimal128Array = results.finish();
        typed_decimals(results, self.precision, self.scale).map(|column| Arc::clone(&column))
    }
}

/// What does not change from row to row.
struct Compute<'a> {
    operation: &'a DecimalArithmetic,
    /// The scale at which sums and remainders are taken.
    common: u8,
    limit: i256,
}

impl<'a> Compute<'a> {
    fn new(operation: &'a DecimalArithmetic) -> Self {
        let common = operation.left_scale.max(operation.right_scale);
        Self { operation, common, limit: ten(u32::from(operation.precision)) }
    }

    fn one(&self, left: i128, right: i128) -> Result<i128, String> {
        let of = self.operation;
        let (wide_left, wide_right) = (i256::from_i128(left), i256::from_i128(right));
        let at_common = |value: i256, scale: u8| value.wrapping_mul(ten(u32::from(self.common - scale)));
        let result = match of.op {
            Operator::Multiply => rescale(wide_left.wrapping_mul(wide_right), of.left_scale + of.right_scale, of.scale),
            Operator::Divide => {
                if right == 0 {
                    return Err("Division by zero".to_owned());
                }
                // left / 10^s1 / (right / 10^s2), with of.scale digits.
                let shift = i32::from(of.scale) + i32::from(of.right_scale) - i32::from(of.left_scale);
                let (mut above, mut below) = (wide_left, wide_right);
                if shift >= 0 {
                    above = above.checked_mul(ten(shift.unsigned_abs())).ok_or_else(|| self.overflow())?;
                } else {
                    below = below.checked_mul(ten(shift.unsigned_abs())).ok_or_else(|| self.overflow())?;
                }
                half_up(above, below)
            }
            Operator::Modulo => {
                if right == 0 {
                    return Err("Division by zero".to_owned());
                }
                let remainder = at_common(wide_left, of.left_scale).wrapping_rem(at_common(wide_right, of.right_scale));
                rescale(remainder, self.common, of.scale)
            }
            Operator::Minus => {
                let result = at_common(wide_left, of.left_scale) - at_common(wide_right, of.right_scale);
                rescale(result, self.common, of.scale)
            }
            _ => {
                let result = at_common(wide_left, of.left_scale) + at_common(wide_right, of.right_scale);
                rescale(result, self.common, of.scale)
            }
        };
        if result >= self.limit || result <= -self.limit {
            return Err(self.overflow());
        }
        result.to_i128().ok_or_else(|| self.overflow())
    }

    fn overflow(&self) -> String {
        format!(
            "Numeric field overflow: a DECIMAL({}, {}) cannot hold the result",
            self.operation.precision, self.operation.scale
        )
    }
}

fn ten(power: u32) -> i256 {
    i256::from_i128(10).wrapping_pow(power)
}

fn rescale(value: i256, from: u8, to: u8) -> i256 {
    match from.cmp(&to) {
        std::cmp::Ordering::Equal => value,
        std::cmp::Ordering::Less => value.wrapping_mul(ten(u32::from(to - from))),
        std::cmp::Ordering::Greater => half_up(value, ten(u32::from(from - to))),
    }
}

/// The quotient, half a digit away from zero.
fn half_up(above: i256, below: i256) -> i256 {
    let quotient = above.wrapping_div(below);
    let remainder = above.wrapping_rem(below);
    let is_half = remainder.wrapping_abs().wrapping_mul(i256::from_i128(2)) >= below.wrapping_abs();
    let is_negative = above.is_negative() != below.is_negative();
    match (is_half, is_negative) {
        (false, _) => quotient,
        (true, false) => quotient + i256::ONE,
        (true, true) => quotient - i256::ONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(op: Operator, left: (i128, u8, u8), right: (i128, u8, u8), want: Result<(i128, u8, u8), &str>) {
        let (precision, scale) = result_size(op, (left.1, left.2), (right.1, right.2));
        let of = DecimalArithmetic { op, left_scale: left.2, right_scale: right.2, precision, scale };
        let got = Compute::new(&of).one(left.0, right.0).map(|value| (value, precision, scale));
        assert_eq!(got, want.map_err(str::to_owned), "{left:?} {op} {right:?}");
    }

    #[test]
    fn results_have_ksqldbs_size() {
        check(Operator::Plus, (1001, 4, 2), (5, 10, 0), Ok((1501, 13, 2)));
        check(Operator::Minus, (1010, 4, 2), (-510, 4, 2), Ok((1520, 5, 2)));
        check(Operator::Multiply, (1010, 4, 2), (200, 4, 2), Ok((202_000, 9, 4)));
        check(Operator::Divide, (1010, 4, 2), (200, 4, 2), Ok((50_500_000, 11, 7)));
        check(Operator::Divide, (1010, 4, 2), (0, 4, 2), Err("Division by zero"));
        check(Operator::Modulo, (1010, 4, 2), (-200, 4, 2), Ok((10, 4, 2)));
        check(Operator::Multiply, (10_i128.pow(20), 21, 19), (10_i128.pow(20), 21, 19), Ok((10_i128.pow(35), 38, 33)));
    }
}
