//! BETWEEN, IN, LIKE and IS NULL.

use datafusion::{
    common::ScalarValue,
    logical_expr::{Expr, Operator, expr::InList, lit, not},
    sql::sqlparser::ast::{self as sql, Value},
};

use super::{
    binder::Binder,
    coercion::{coerce, common_type},
    comparison::{compare, equality},
    error::BindError,
    like,
    typed::Node,
};
use crate::{catalog::SqlType, syntax::Position};

fn negate_if(negated: bool, expr: Expr) -> Expr {
    if negated { not(expr) } else { expr }
}

/// Whether any of `conditions` holds, as a tree of little depth: what walks it does so recursively.
fn any_of(mut conditions: Vec<Expr>) -> Expr {
    while conditions.len() > 1 {
        let mut pairs = Vec::with_capacity(conditions.len().div_ceil(2));
        let mut left = conditions.into_iter();
        while let Some(one) = left.next() {
            pairs.push(match left.next() {
                Some(other) => one.or(other),
                None => one,
            });
        }
        conditions = pairs;
    }
    conditions.pop().unwrap_or_else(|| lit(false))
}

/// Refuses what gives another value each time where it would be computed several times.
fn expect_stable(expr: &Expr, what: &str, at: Position) -> Result<(), BindError> {
    if !expr.is_volatile() {
        return Ok(());
    }
    let problem = format!("{what} compares its value several times, and this one is another each time it is computed");
    Err(BindError::invalid_hint(at, problem, "compute it as a column of a subquery"))
}

impl<'a> Binder<'a> {
    /// `e [NOT] BETWEEN low AND high`.
    pub(super) fn between(
        &mut self,
        expr: &'a sql::Expr,
        negated: bool,
        (low, high): (&'a sql::Expr, &'a sql::Expr),
        at: Position,
    ) -> Result<Expr, BindError> {
        let value = self.typed(expr, at)?;
        if let Node::Expr(computed) = &value.node {
            expect_stable(computed, "BETWEEN", at)?;
        }
        let from = compare(Operator::GtEq, value.clone(), self.typed(low, at)?)?;
        let to = compare(Operator::LtEq, value, self.typed(high, at)?)?;
        Ok(negate_if(negated, from.and(to)))
    }

    /// `e [NOT] IN (..)`: nulls in the list match nothing.
    pub(super) fn in_list(
        &mut self,
        expr: &'a sql::Expr,
        list: &'a [sql::Expr],
        negated: bool,
        at: Position,
    ) -> Result<Expr, BindError> {
        let mut parts = vec![self.typed(expr, at)?];
        for item in list {
            parts.push(self.typed(item, at)?);
        }
        let common = common_type(&parts.iter().collect::<Vec<_>>())?;
        let Some(common) = common else {
            return Err(BindError::invalid(at, "Comparison with NULL not supported: NULL IN"));
        };
        let mut parts = parts.into_iter();
        let Some(value) = parts.next() else { return Err(BindError::invalid(at, "IN needs a value")) };
        // Lists are compared bit by bit, where 0 and -0 are different; 0 added to either is 0.
        let alike = |expr: Expr| if common == SqlType::Double { expr + lit(0.0_f64) } else { expr };
        let value = alike(coerce(value, &common)?);
        let wanted = parts.filter(|part| part.data_type.is_some());
        let wanted = wanted.map(|part| coerce(part, &common).map(alike)).collect::<Result<Vec<_>, _>>()?;
        if wanted.len() > 1 {
            expect_stable(&value, "IN", at)?;
        }
        let found = if wanted.is_empty() {
            lit(false)
        } else if common.is_nested() {
            any_of(wanted.into_iter().map(|one| equality(Operator::Eq, vec![value.clone(), one])).collect())
        } else {
            // DataFusion takes for constant what is one value over no row at all, as CASE over columns may be: only constants go there.
            let is_constant = |one: &Expr| one.column_refs().is_empty() && !one.is_volatile();
            let (constants, others): (Vec<Expr>, Vec<Expr>) = wanted.into_iter().partition(is_constant);
            let listed = (!constants.is_empty())
                .then(|| Expr::IsTrue(Box::new(Expr::InList(InList::new(Box::new(value.clone()), constants, false)))));
            let others = others.into_iter().map(|one| Expr::IsTrue(Box::new(value.clone().eq(one))));
            any_of(listed.into_iter().chain(others).collect())
        };
        Ok(negate_if(negated, found))
    }

    /// `e [NOT] LIKE pattern [ESCAPE 'c']`.
    pub(super) fn like(
        &mut self,
        (expr, pattern): (&'a sql::Expr, &'a sql::Expr),
        negated: bool,
        escape: Option<&'a sql::ValueWithSpan>,
        at: Position,
    ) -> Result<Expr, BindError> {
        let text = self.typed(expr, at)?;
        let pattern = self.typed(pattern, at)?;
        for part in [&text, &pattern] {
            if part.data_type != Some(SqlType::Varchar) {
                let problem = format!(
                    "The column type for Like condition must be VARCHAR. The column type is {}: {}",
                    part.type_shown(),
                    part.shown()
                );
                return Err(BindError::invalid(part.at, problem));
            }
        }
        let escape = match escape.map(|escape| &escape.value) {
            None => None,
            Some(Value::SingleQuotedString(text)) => match text.chars().collect::<Vec<_>>()[..] {
                [one] => Some(one),
                _ => return Err(BindError::invalid(at, format!("ESCAPE takes one character, this is '{text}'"))),
            },
            Some(other) => return Err(BindError::invalid(at, format!("ESCAPE takes one character, this is {other}"))),
        };
        let literal = match &pattern.node {
            Node::Text(text) => Some(text.clone()),
            _ => None,
        };
        let matched = like::like(text.into_expr()?, pattern.into_expr()?, literal.as_deref(), escape);
        Ok(negate_if(negated, matched))
    }

    /// `e IS [NOT] NULL`.
    pub(super) fn is_null(&mut self, expr: &'a sql::Expr, negated: bool, at: Position) -> Result<Expr, BindError> {
        let part = self.typed(expr, at)?;
        Ok(match part.data_type {
            None => lit(ScalarValue::Boolean(Some(!negated))),
            Some(_) if negated => part.into_expr()?.is_not_null(),
            Some(_) => part.into_expr()?.is_null(),
        })
    }
}
