//! `+ - * / %`: the type of the result, and operands made alike.
//!
//! Whole numbers stay whole and wrap; a whole division by zero fails the row. A DOUBLE makes everything DOUBLE, a DECIMAL makes whole
//! numbers decimal. `+` and `||` put texts together.

use datafusion::{
    logical_expr::{BinaryExpr, Expr, Operator},
    sql::sqlparser::ast::BinaryOperator,
};

use super::{
    coercion::{as_decimal, is_number},
    decimal,
    error::BindError,
    typed::Typed,
    whole_division::divide,
};
use crate::catalog::SqlType;

/// Binds an operation over two operands.
pub(super) fn arithmetic(op: &BinaryOperator, left: Typed<'_>, right: Typed<'_>) -> Result<(Expr, SqlType), BindError> {
    let at = left.at;
    let operator = match op {
        BinaryOperator::Plus | BinaryOperator::StringConcat => Operator::Plus,
        BinaryOperator::Minus => Operator::Minus,
        BinaryOperator::Multiply => Operator::Multiply,
        BinaryOperator::Divide => Operator::Divide,
        BinaryOperator::Modulo => Operator::Modulo,
        other => return Err(BindError::invalid(at, format!("there is no operator {other}"))),
    };
    let wrong = |left: &Typed<'_>, right: &Typed<'_>| {
        let why = if left.data_type.is_none() || right.data_type.is_none() {
            format!("Arithmetic on types {} and {} are not supported.", left.type_shown(), right.type_shown())
        } else {
            format!("Unsupported arithmetic types. {} {}", base(left), base(right))
        };
        let problem = format!("Error processing expression: ({} {op} {}). {why}", left.shown(), right.shown());
        BindError::invalid(at, problem)
    };
    let (Some(one), Some(two)) = (left.data_type.clone(), right.data_type.clone()) else {
        return Err(wrong(&left, &right));
    };
    if one == SqlType::Varchar && two == SqlType::Varchar && operator == Operator::Plus {
        let expr = binary(left.into_expr()?, Operator::StringConcat, right.into_expr()?);
        return Ok((expr, SqlType::Varchar));
    }
    if !is_number(&one) || !is_number(&two) || *op == BinaryOperator::StringConcat {
        return Err(wrong(&left, &right));
    }
    let result = match (&one, &two) {
        (SqlType::Double, _) | (_, SqlType::Double) => SqlType::Double,
        (SqlType::Int, SqlType::Int) => SqlType::Int,
        (SqlType::Int | SqlType::BigInt, SqlType::Int | SqlType::BigInt) => SqlType::BigInt,
        _ => {
            let (Some(one_size), Some(two_size)) = (as_decimal(&one), as_decimal(&two)) else {
                return Err(wrong(&left, &right));
            };
            let left = left.into_as(&decimal_type(one_size))?;
            let right = right.into_as(&decimal_type(two_size))?;
            return Ok(decimal::arithmetic(operator, (left, one_size), (right, two_size)));
        }
    };
    let left = left.into_as(&result)?;
    let right = right.into_as(&result)?;
    let is_division = matches!(operator, Operator::Divide | Operator::Modulo) && result != SqlType::Double;
    let expr = if is_division { divide(operator, left, right, &result) } else { binary(left, operator, right) };
    Ok((expr, result))
}

fn decimal_type((precision, scale): (u8, u8)) -> SqlType {
    SqlType::Decimal { precision, scale }
}

pub(super) fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

/// The name of a type without its numbers.
fn base(part: &Typed<'_>) -> String {
    match &part.data_type {
        Some(SqlType::Decimal { .. }) => "DECIMAL".to_owned(),
        Some(SqlType::Array(_)) => "ARRAY".to_owned(),
        Some(SqlType::Map(..)) => "MAP".to_owned(),
        Some(SqlType::Struct(_)) => "STRUCT".to_owned(),
        _ => part.type_shown(),
    }
}
