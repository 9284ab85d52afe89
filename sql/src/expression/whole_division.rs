//! `/` and `%` of whole numbers as in Java: zero as divisor fails the row, the least number divided by -1 wraps to itself.
//!
//! Arrow's kernels fail there, so that they are only used where the divisor is a literal that is neither.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray},
    compute::try_binary,
    datatypes::{DataType, Int32Type, Int64Type},
    error::ArrowError,
};
use datafusion::{
    common::ScalarValue,
    logical_expr::{Expr, Operator},
};

use super::{
    arithmetic::binary,
    operation::{self, Operation},
};
use crate::{catalog::SqlType, functions::signature::Call};

/// Divides two operands of the type `of`, INT or BIGINT.
pub(super) fn divide(op: Operator, left: Expr, right: Expr, of: &SqlType) -> Expr {
    let is_harmless = match &right {
        Expr::Literal(ScalarValue::Int32(Some(divisor)), _) => !matches!(divisor, 0 | -1),
        Expr::Literal(ScalarValue::Int64(Some(divisor)), _) => !matches!(divisor, 0 | -1),
        _ => false,
    };
    if is_harmless {
        return binary(left, op, right);
    }
    operation::call(WholeDivision { op }, vec![left, right], of.to_arrow())
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct WholeDivision {
    op: Operator,
}

impl Operation for WholeDivision {
    fn name(&self) -> &str {
        if self.op == Operator::Divide { "divide" } else { "modulo" }
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<ArrayRef, String> {
        let column = |index: usize| call.arguments[index].column(call.rows).map_err(|error| error.to_string());
        let (left, right) = (column(0)?, column(1)?);
        match call.returns {
            DataType::Int32 => each::<Int32Type>(&self.op, &left, &right),
            _ => each::<Int64Type>(&self.op, &left, &right),
        }
    }
}

fn each<T: ArrowPrimitiveType>(op: &Operator, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef, String> {
    let is_divide = *op == Operator::Divide;
    let one = |left: T::Native, right: T::Native| match (right.is_zero(), is_divide) {
        (true, _) => Err(ArrowError::DivideByZero),
        (false, true) => Ok(left.div_wrapping(right)),
        (false, false) => Ok(left.mod_wrapping(right)),
    };
    let divided = try_binary::<_, _, _, T>(left.as_primitive::<T>(), right.as_primitive::<T>(), one);
    divided.map(|column| Arc::new(column) as ArrayRef).map_err(|error| error.to_string())
}
