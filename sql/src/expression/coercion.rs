//! Common types and implicit casts: numbers widen (INT, BIGINT, DECIMAL, DOUBLE), literals take the type of their neighbours.
//!
//! Arrays and maps meet by their items, structs by the union of their fields. A text literal becomes what it is put beside, if it can be
//! read as that; a literal number or truth value becomes text beside text. Columns are never read as something else.

use datafusion::{
    common::ScalarValue,
    logical_expr::{Expr, lit},
};

use super::{
    cast, cast_parse, constructor,
    error::BindError,
    literal::Number,
    typed::{Node, Typed, null_of},
};
use crate::catalog::{SqlType, StructField};

/// How many digits a DECIMAL can have.
pub(super) const MAX_PRECISION: u8 = 38;

/// A number as DECIMAL: precision and scale.
pub(super) fn as_decimal(data_type: &SqlType) -> Option<(u8, u8)> {
    match data_type {
        SqlType::Int => Some((10, 0)),
        SqlType::BigInt => Some((19, 0)),
        SqlType::Decimal { precision, scale } => Some((*precision, *scale)),
        _ => None,
    }
}

/// Whether it is a type of numbers.
pub(super) fn is_number(data_type: &SqlType) -> bool {
    matches!(data_type, SqlType::Int | SqlType::BigInt | SqlType::Decimal { .. } | SqlType::Double)
}

/// The type to which both widen.
pub(super) fn widest(one: &SqlType, two: &SqlType) -> Option<SqlType> {
    if one == two {
        return Some(one.clone());
    }
    Some(match (one, two) {
        (SqlType::Array(one), SqlType::Array(two)) => SqlType::Array(Box::new(widest(one, two)?)),
        (SqlType::Map(key, value), SqlType::Map(other_key, other_value)) => {
            SqlType::Map(Box::new(widest(key, other_key)?), Box::new(widest(value, other_value)?))
        }
        (SqlType::Struct(one), SqlType::Struct(two)) => SqlType::Struct(union(one, two, widest)?),
        (one, two) if !is_number(one) || !is_number(two) => return None,
        (SqlType::Double, _) | (_, SqlType::Double) => SqlType::Double,
        (SqlType::Int, SqlType::BigInt) | (SqlType::BigInt, SqlType::Int) => SqlType::BigInt,
        (one, two) => {
            let ((p1, s1), (p2, s2)) = (as_decimal(one)?, as_decimal(two)?);
            let scale = s1.max(s2);
            let precision = (p1 - s1).max(p2 - s2) + scale;
            SqlType::Decimal { precision: precision.min(MAX_PRECISION), scale }
        }
    })
}

/// The fields of both, those of the first first.
fn union(
    one: &[StructField],
    two: &[StructField],
    meet: impl Fn(&SqlType, &SqlType) -> Option<SqlType>,
) -> Option<Vec<StructField>> {
    let mut fields = one.to_vec();
    for field in two {
        match fields.iter_mut().find(|known| known.name == field.name) {
            Some(known) => known.data_type = meet(&known.data_type, &field.data_type)?,
            None => fields.push(field.clone()),
        }
    }
    Some(fields)
}

/// The type that all parts can have; none if all are NULL.
///
/// # Errors
/// [`BindError`] at the first part that does not fit those before it.
pub(super) fn common_type(parts: &[&Typed<'_>]) -> Result<Option<SqlType>, BindError> {
    let mut common: Option<SqlType> = None;
    // What is no literal decides, then the first literal.
    let rank = |part: &Typed<'_>| match part.node {
        _ if !part.is_literal() => 0,
        _ => 1,
    };
    let first_literal_is_text = parts
        .iter()
        .find(|part| part.data_type.is_some())
        .is_some_and(|part| matches!(part.node, Node::Text(_)) && parts.iter().all(|other| rank(other) == 1));
    for wanted in [0, 1] {
        for part in parts.iter().filter(|part| rank(part) == wanted) {
            if part.data_type.is_none() {
                continue;
            }
            common = Some(match common {
                None if first_literal_is_text => SqlType::Varchar,
                None => part.data_type.clone().unwrap_or(SqlType::Varchar),
                Some(so_far) => meet(&so_far, part)?,
            });
        }
    }
    Ok(common)
}

/// The type that a part and those before it can have.
fn meet(so_far: &SqlType, part: &Typed<'_>) -> Result<SqlType, BindError> {
    let mismatch = || {
        BindError::invalid(
            part.at,
            format!("operator does not exist: {so_far} = {} ({})", part.type_shown(), part.shown()),
        )
    };
    let Some(found) = &part.data_type else { return Ok(so_far.clone()) };
    match (&part.node, so_far) {
        (Node::Text(_), SqlType::Varchar) => Ok(SqlType::Varchar),
        (Node::Text(text), wanted) if is_number(wanted) => {
            let number = Number::read(text.trim()).map_err(|_| unreadable(part, wanted, text))?;
            widest(wanted, &number.data_type()).ok_or_else(mismatch)
        }
        (Node::Text(text), wanted) => {
            readable(part, text, wanted)?;
            Ok(wanted.clone())
        }
        (Node::Boolean(_) | Node::Number(_), SqlType::Varchar) => Ok(SqlType::Varchar),
        (Node::Array(items), SqlType::Array(wanted)) => {
            let item =
                items.iter().try_fold(wanted.as_ref().clone(), |item, one| meet_inside(&item, one, part, so_far))?;
            Ok(SqlType::Array(Box::new(item)))
        }
        (Node::Map(entries), SqlType::Map(key, value)) => {
            let (mut key, mut value) = (key.as_ref().clone(), value.as_ref().clone());
            for (one_key, one_value) in entries {
                key = meet_inside(&key, one_key, part, so_far)?;
                value = meet_inside(&value, one_value, part, so_far)?;
            }
            Ok(SqlType::Map(Box::new(key), Box::new(value)))
        }
        (Node::Struct(parts), SqlType::Struct(fields)) => {
            let mut fields = fields.clone();
            for (name, one) in parts {
                match fields.iter_mut().find(|field| field.name == *name) {
                    Some(field) => field.data_type = meet_inside(&field.data_type, one, part, so_far)?,
                    None => {
                        if let Some(data_type) = &one.data_type {
                            fields.push(StructField { name: name.clone(), data_type: data_type.clone() });
                        }
                    }
                }
            }
            Ok(SqlType::Struct(fields))
        }
        _ => widest(so_far, found).ok_or_else(mismatch),
    }
}

/// As [`meet`], but what does not fit is said of the whole.
fn meet_inside(
    so_far: &SqlType,
    inner: &Typed<'_>,
    whole: &Typed<'_>,
    whole_type: &SqlType,
) -> Result<SqlType, BindError> {
    meet(so_far, inner).map_err(|error| match &inner.node {
        Node::Text(_) => error,
        _ => BindError::invalid(
            whole.at,
            format!("operator does not exist: {whole_type} = {} ({})", whole.type_shown(), whole.shown()),
        ),
    })
}

fn unreadable(part: &Typed<'_>, wanted: &SqlType, text: &str) -> BindError {
    let base = match wanted {
        SqlType::Decimal { .. } => "DECIMAL".to_owned(),
        other => other.to_string(),
    };
    BindError::invalid(part.at, format!("invalid input syntax for type {base}: \"{text}\"."))
}

fn readable(part: &Typed<'_>, text: &str, wanted: &SqlType) -> Result<(), BindError> {
    let is_read = match wanted {
        SqlType::Boolean => cast_parse::truth(text).is_some(),
        SqlType::Date => cast_parse::date(text).is_ok(),
        SqlType::Time => cast_parse::time(text).is_ok(),
        SqlType::Timestamp => cast_parse::timestamp(text).is_ok(),
        _ => {
            return Err(BindError::invalid(
                part.at,
                format!("operator does not exist: {wanted} = {} ({})", part.type_shown(), part.shown()),
            ));
        }
    };
    if is_read { Ok(()) } else { Err(unreadable(part, wanted, text)) }
}

/// The part as an expression of `wanted`, which is what [`common_type`] has found or what a column or parameter has.
///
/// # Errors
/// [`BindError`] if it does not become that by itself.
pub(super) fn coerce(part: Typed<'_>, wanted: &SqlType) -> Result<Expr, BindError> {
    let Some(found) = part.data_type.clone() else { return Ok(null_of(wanted)) };
    let at = part.at;
    match (part.node, wanted) {
        (Node::Boolean(value), SqlType::Varchar) => Ok(lit(ScalarValue::Utf8(Some(value.to_string())))),
        (Node::Number(_), SqlType::Varchar) => {
            Ok(lit(ScalarValue::Utf8(Some(super::shown::shown(part.written).replace(['(', ')'], "")))))
        }
        (Node::Text(text), wanted) if *wanted != SqlType::Varchar => {
            let part = Typed { node: Node::Text(text.clone()), ..part };
            if is_number(wanted) {
                let number = Number::read(text.trim()).map_err(|_| unreadable(&part, wanted, &text))?;
                let number_type = number.data_type();
                let part = Typed { node: Node::Number(number), data_type: Some(number_type), ..part };
                return part.into_as(wanted);
            }
            readable(&part, &text, wanted)?;
            Ok(cast::convert(lit(ScalarValue::Utf8(Some(text))), &SqlType::Varchar, wanted))
        }
        (Node::Array(items), SqlType::Array(item)) => {
            let items = items.into_iter().map(|one| coerce(one, item)).collect::<Result<_, _>>()?;
            Ok(constructor::array(items, item))
        }
        (Node::Map(entries), SqlType::Map(key, value)) => {
            let mut parts = Vec::with_capacity(entries.len() * 2);
            for (one_key, one_value) in entries {
                parts.push(coerce(one_key, key)?);
                parts.push(coerce(one_value, value)?);
            }
            Ok(constructor::map(parts, key, value))
        }
        (Node::Struct(mut given), SqlType::Struct(fields)) => {
            let mut parts = Vec::with_capacity(fields.len());
            for field in fields {
                let position = given.iter().position(|(name, _)| *name == field.name);
                parts.push(match position {
                    Some(position) => coerce(given.swap_remove(position).1, &field.data_type)?,
                    None => null_of(&field.data_type),
                });
            }
            Ok(constructor::structure(parts, wanted))
        }
        (node, wanted) => {
            let part = Typed { node, ..part };
            if found != *wanted && !widens(&found, wanted) {
                let problem = format!("operator does not exist: {wanted} = {found} ({})", part.shown());
                return Err(BindError::invalid(at, problem));
            }
            part.into_as(wanted)
        }
    }
}

/// Whether values become `wanted` by themselves, and lose nothing that the language minds.
pub(super) fn widens(found: &SqlType, wanted: &SqlType) -> bool {
    match (found, wanted) {
        (found, wanted) if found == wanted => true,
        (SqlType::Array(found), SqlType::Array(wanted)) => widens(found, wanted),
        (SqlType::Map(key, value), SqlType::Map(wanted_key, wanted_value)) => {
            widens(key, wanted_key) && widens(value, wanted_value)
        }
        (SqlType::Struct(found), SqlType::Struct(wanted)) => found.iter().all(|field| {
            wanted.iter().any(|other| other.name == field.name && widens(&field.data_type, &other.data_type))
        }),
        (found, SqlType::Double) => is_number(found),
        (SqlType::Int, SqlType::BigInt) => true,
        (found, SqlType::Decimal { precision, scale }) => {
            // Wider than 38 digits is cut off at their front, as far as values are there.
            as_decimal(found)
                .is_some_and(|(p, s)| s <= *scale && (p - s <= precision - scale || *precision == MAX_PRECISION))
        }
        _ => false,
    }
}
