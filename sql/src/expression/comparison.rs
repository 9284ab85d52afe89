//! Comparisons: which types compare, and how. A comparison with a null value is false; IS [NOT] DISTINCT FROM takes null as a value.
//!
//! Numbers meet at the widest type. Text beside a DATE, TIME or TIMESTAMP is read as one, and so is text beside a column of milliseconds
//! (ROWTIME, WINDOWSTART, WINDOWEND). Collections are equal or not, by Java's equality of values.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, BooleanArray},
    datatypes::DataType,
};
use datafusion::{
    logical_expr::{Expr, Operator, cast as native},
    sql::sqlparser::ast as sql,
};

use super::{
    arithmetic::binary,
    cast::convert,
    cast_parse,
    coercion::{as_decimal, coerce, common_type, is_number, widest},
    error::BindError,
    iso_time,
    literal::Number,
    operation::{self, Operation},
    typed::{Node, Typed},
};
use crate::{
    catalog::SqlType,
    functions::{signature::Call, value_keys::ValueKeys},
};

/// Compares two parts; the result is BOOLEAN and never null.
pub(super) fn compare(op: Operator, left: Typed<'_>, right: Typed<'_>) -> Result<Expr, BindError> {
    let at = left.at;
    if left.data_type.is_none() || right.data_type.is_none() {
        let sign = if op == Operator::NotEq { "<>".to_owned() } else { op.to_string() };
        let problem =
            format!("Comparison with NULL not supported: {} {sign} {}", null_shown(&left), null_shown(&right));
        return Err(BindError::invalid_hint(at, problem, "use IS NULL or IS NOT NULL"));
    }
    let (left, right) = (moment(left, &right)?, right);
    let right = moment(right, &left)?;
    let is_equality =
        matches!(op, Operator::Eq | Operator::NotEq | Operator::IsDistinctFrom | Operator::IsNotDistinctFrom);
    let mismatch = |left: &Typed<'_>, right: &Typed<'_>| {
        let problem = format!(
            "Cannot compare {} ({}) to {} ({}) with {}.",
            left.shown(),
            left.type_shown(),
            right.shown(),
            right.type_shown(),
            name_of(op)
        );
        BindError::invalid(at, problem)
    };
    let (Some(one), Some(two)) = (left.data_type.clone(), right.data_type.clone()) else {
        return Err(mismatch(&left, &right));
    };
    use SqlType::{Boolean, Bytes, Date, Time, Timestamp, Varchar};
    let common = match (&one, &two) {
        (one, two) if is_number(one) && is_number(two) => return numbers(op, left, right),
        (Varchar, Varchar) | (Bytes, Bytes) | (Date, Date) | (Time, Time) | (Timestamp, Timestamp) => one.clone(),
        (Boolean, Boolean) if is_equality => one.clone(),
        (Timestamp, Date) | (Date, Timestamp) => Timestamp,
        (Date | Time | Timestamp, Varchar) => one.clone(),
        (Varchar, Date | Time | Timestamp) => two.clone(),
        (one, two) if is_equality && one.is_nested() && widest(one, two).is_some() => return nested(op, left, right),
        _ => return Err(mismatch(&left, &right)),
    };
    let part = |part: Typed<'_>, found: &SqlType| -> Result<Expr, BindError> {
        if let (Node::Text(text), true) = (&part.node, common != Varchar) {
            let read = match common {
                Date => cast_parse::date(text).map(drop),
                Time => cast_parse::time(text).map(drop),
                _ => cast_parse::timestamp(text).map(drop),
            };
            read.map_err(|problem| BindError::invalid(part.at, problem))?;
        }
        Ok(convert(part.into_expr()?, found, &common))
    };
    let (left, right) = (part(left, &one)?, part(right, &two)?);
    Ok(never_null(op, left, right))
}

/// Null operands make a comparison false.
fn never_null(op: Operator, left: Expr, right: Expr) -> Expr {
    let compared = binary(left, op, right);
    if matches!(op, Operator::IsDistinctFrom | Operator::IsNotDistinctFrom) {
        compared
    } else {
        Expr::IsTrue(Box::new(compared))
    }
}

fn null_shown(part: &Typed<'_>) -> String {
    if part.data_type.is_none() { "NULL".to_owned() } else { part.shown() }
}

fn name_of(op: Operator) -> &'static str {
    match op {
        Operator::Eq => "EQUAL",
        Operator::NotEq => "NOT_EQUAL",
        Operator::Lt => "LESS_THAN",
        Operator::LtEq => "LESS_THAN_OR_EQUAL",
        Operator::Gt => "GREATER_THAN",
        Operator::GtEq => "GREATER_THAN_OR_EQUAL",
        Operator::IsDistinctFrom => "IS_DISTINCT_FROM",
        _ => "IS_NOT_DISTINCT_FROM",
    }
}

/// Text beside a column of milliseconds is a moment.
fn moment<'a>(text: Typed<'a>, other: &Typed<'_>) -> Result<Typed<'a>, BindError> {
    let Node::Text(written) = &text.node else { return Ok(text) };
    if other.data_type != Some(SqlType::BigInt) || !is_moment_column(other.written) {
        return Ok(text);
    }
    let Some(millis) = iso_time::parse(written) else {
        let problem = format!("'{written}' is no moment");
        return Err(BindError::invalid_hint(text.at, problem, "write it as '2024-03-01T10:00:00'"));
    };
    Ok(Typed { node: Node::Number(Number::BigInt(millis)), data_type: Some(SqlType::BigInt), ..text })
}

fn is_moment_column(expr: &sql::Expr) -> bool {
    let name = match expr {
        sql::Expr::Identifier(name) => Some(name),
        sql::Expr::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    };
    name.is_some_and(|name| iso_time::MOMENT_COLUMNS.contains(&name.value.as_str()))
}

fn numbers(op: Operator, left: Typed<'_>, right: Typed<'_>) -> Result<Expr, BindError> {
    let types = left.data_type.clone().zip(right.data_type.clone());
    let Some((one, two)) = types else { return Err(BindError::invalid(left.at, "a number has no type")) };
    if let (SqlType::Decimal { .. }, Some((p1, s1)), Some((p2, s2))) =
        (widest(&one, &two).unwrap_or(SqlType::Double), as_decimal(&one), as_decimal(&two))
    {
        let scale = s1.max(s2);
        let precision = (p1 - s1).max(p2 - s2) + scale;
        if precision > super::coercion::MAX_PRECISION {
            let wide = DataType::Decimal256(precision, i8::try_from(scale).unwrap_or(i8::MAX));
            return Ok(never_null(op, native(left.into_expr()?, wide.clone()), native(right.into_expr()?, wide)));
        }
    }
    let common = widest(&one, &two).unwrap_or(SqlType::Double);
    Ok(never_null(op, left.into_as(&common)?, right.into_as(&common)?))
}

fn nested(op: Operator, left: Typed<'_>, right: Typed<'_>) -> Result<Expr, BindError> {
    let at = left.at;
    let Some(common) = common_type(&[&left, &right])? else {
        return Err(BindError::invalid(at, "its type cannot be found"));
    };
    let arguments = vec![coerce(left, &common)?, coerce(right, &common)?];
    Ok(equality(op, arguments))
}

/// Whether two collections of one type are equal.
pub(super) fn equality(op: Operator, arguments: Vec<Expr>) -> Expr {
    operation::call(ValueEquality { op }, arguments, DataType::Boolean)
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ValueEquality {
    op: Operator,
}

impl Operation for ValueEquality {
    fn name(&self) -> &str {
        match self.op {
            Operator::Eq => "equal",
            Operator::NotEq => "not_equal",
            Operator::IsDistinctFrom => "distinct",
            _ => "not_distinct",
        }
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<ArrayRef, String> {
        let column = |index: usize| call.arguments[index].column(call.rows).map_err(|error| error.to_string());
        let (left, right) = (column(0)?, column(1)?);
        let (left_keys, right_keys) = (ValueKeys::of(&left)?, ValueKeys::of(&right)?);
        let one = |row: usize| {
            let is_equal = left_keys.get(row) == right_keys.get(row);
            let is_null = left.is_null(row) || right.is_null(row);
            match self.op {
                Operator::Eq => is_equal && !is_null,
                Operator::NotEq => !is_equal && !is_null,
                Operator::IsDistinctFrom => !is_equal,
                _ => is_equal,
            }
        };
        Ok(Arc::new(BooleanArray::from((0..call.rows).map(one).collect::<Vec<bool>>())))
    }
}
