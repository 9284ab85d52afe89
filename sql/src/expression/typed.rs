//! A bound part of an expression with its type, literals and constructors still open to the type that their neighbours want.

use arrow::array::ArrayRef;
use datafusion::{
    common::ScalarValue,
    logical_expr::{Expr, lit},
    sql::sqlparser::ast as sql,
};

use super::{cast, coercion, constructor, error::BindError, literal::Number, shown::shown};
use crate::{catalog::SqlType, syntax::Position};

/// A bound part.
#[derive(Debug, Clone)]
pub(super) struct Typed<'a> {
    pub(super) node: Node<'a>,
    /// None for a bare NULL.
    pub(super) data_type: Option<SqlType>,
    /// What it was bound from.
    pub(super) written: &'a sql::Expr,
    pub(super) at: Position,
}

/// What a part is.
#[derive(Debug, Clone)]
pub(super) enum Node<'a> {
    Null,
    Text(String),
    Boolean(bool),
    Number(Number),
    Array(Vec<Typed<'a>>),
    Map(Vec<(Typed<'a>, Typed<'a>)>),
    Struct(Vec<(String, Typed<'a>)>),
    Expr(Expr),
}

impl Typed<'_> {
    /// Its type in messages.
    pub(super) fn type_shown(&self) -> String {
        self.data_type.as_ref().map_or_else(|| "null".to_owned(), ToString::to_string)
    }

    /// What was written, in messages.
    pub(super) fn shown(&self) -> String {
        shown(self.written)
    }

    /// Whether it is a literal, which takes the type that is wanted of it.
    pub(super) fn is_literal(&self) -> bool {
        matches!(self.node, Node::Null | Node::Text(_) | Node::Boolean(_) | Node::Number(_))
    }

    /// The expression; a bare NULL has no type.
    pub(super) fn into_expr(self) -> Result<Expr, BindError> {
        Ok(match (self.node, self.data_type) {
            (Node::Expr(expr), _) => expr,
            (Node::Null, _) => lit(ScalarValue::Null),
            (Node::Text(text), _) => lit(ScalarValue::Utf8(Some(text))),
            (Node::Boolean(value), _) => lit(ScalarValue::Boolean(Some(value))),
            (Node::Number(number), _) => lit(number.scalar()),
            (Node::Array(items), Some(SqlType::Array(item))) => {
                let items = items.into_iter().map(|one| coercion::coerce(one, &item));
                constructor::array(items.collect::<Result<_, _>>()?, &item)
            }
            (Node::Map(entries), Some(SqlType::Map(key, value))) => {
                let mut parts = Vec::with_capacity(entries.len() * 2);
                for (one_key, one_value) in entries {
                    parts.push(coercion::coerce(one_key, &key)?);
                    parts.push(coercion::coerce(one_value, &value)?);
                }
                constructor::map(parts, &key, &value)
            }
            (Node::Struct(parts), Some(data_type)) => {
                let parts = parts.into_iter().map(|(_, part)| part.into_typed_expr());
                constructor::structure(parts.collect::<Result<_, _>>()?, &data_type)
            }
            (Node::Array(_) | Node::Map(_) | Node::Struct(_), _) => {
                return Err(BindError::invalid(self.at, "its type cannot be found"));
            }
        })
    }

    /// The expression as a type to which its own is cast.
    pub(super) fn into_as(self, wanted: &SqlType) -> Result<Expr, BindError> {
        if let Node::Number(number) = &self.node
            && let Some(widened) = number.widened(wanted)
        {
            return Ok(lit(widened.scalar()));
        }
        match self.data_type.clone() {
            None => Ok(null_of(wanted)),
            Some(found) => Ok(cast::convert(self.into_expr()?, &found, wanted)),
        }
    }

    /// The expression, which must have a type.
    pub(super) fn into_typed_expr(self) -> Result<Expr, BindError> {
        if self.data_type.is_none() {
            return Err(untyped_null(self.at));
        }
        self.into_expr()
    }
}

/// A NULL stands where nothing says of which type.
pub(super) fn untyped_null(at: Position) -> BindError {
    BindError::invalid(
        at,
        "Can't infer a type of null. Please explicitly cast it to a required type, e.g. CAST(null AS VARCHAR).",
    )
}

/// A null of a type.
pub(super) fn null_of(data_type: &SqlType) -> Expr {
    let arrow = data_type.to_arrow();
    let null = ScalarValue::try_new_null(&arrow).or_else(|_| {
        let column: ArrayRef = arrow::array::new_null_array(&arrow, 1);
        ScalarValue::try_from_array(&column, 0)
    });
    lit(null.unwrap_or(ScalarValue::Null))
}
