//! Table functions in a projection: one row becomes several, one for each item of an array.
//!
//! Each call is computed as a column of its own, an ARRAY; then these columns are unnested together, the shorter ones padded with null, and
//! the items of the projection are what is left over them.
//!
//! ```text
//! SELECT k, EXPLODE(xs) + 1 AS x      columns k, __UNNEST_0 = xs      unnested __UNNEST_0      items k, __UNNEST_0 + 1 AS x
//! ```

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr as Sql, Ident, ObjectNamePart, visit_expressions_mut};
use millstream::{expression::col, operator::Column};

use super::{bind::bind, error::PlanError, projection::WrittenItem, query::Flow, scope::Scope};
use crate::{
    functions::{Functions, registry::FunctionKind, table::items_of},
    syntax::{Position, ast, position_of},
};

/// Whether an expression is a call of a table function.
fn is_call(expr: &Sql, functions: &Functions) -> bool {
    let Sql::Function(call) = expr else { return false };
    let [ObjectNamePart::Identifier(name)] = call.name.0.as_slice() else { return false };
    functions.kind_of(&name.value) == FunctionKind::Table
}

/// Whether a table function is called in an expression.
pub(super) fn contains_table_function(expr: &ast::Expr, functions: &Functions) -> bool {
    let mut copy = expr.clone();
    visit_expressions_mut(&mut copy, |part| match is_call(part, functions) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    })
    .is_break()
}

/// Puts columns in the place of the calls in `items`; the flow then has these columns, a row for each item.
///
/// # Errors
/// If the flow is a table, or an argument cannot be bound.
pub(super) fn unnest(flow: Flow, scope: &mut Scope, items: &mut [WrittenItem]) -> Result<Flow, PlanError> {
    let mut calls: Vec<(String, Sql, Position)> = Vec::new();
    for item in items {
        let at = position_of(&item.expr).unwrap_or(item.at);
        let _ = visit_expressions_mut(&mut item.expr, |part| {
            if is_call(part, &scope.functions) {
                let name = format!("__UNNEST_{}", calls.len());
                let column = Sql::Identifier(Ident::with_quote('`', name.as_str()));
                calls.push((name, std::mem::replace(part, column), at));
            }
            ControlFlow::<()>::Continue(())
        });
    }
    let Some((_, first, at)) = calls.first() else { return Ok(flow) };
    let Flow::Stream(stream) = &flow else {
        let problem = format!("Table source is not supported with table functions: {first}");
        return Err(PlanError::invalid_hint(*at, problem, "use a stream"));
    };
    let columns = stream.schema().columns();
    let mut values: Vec<Column> =
        stream.schema().value().iter().map(|field| Column::new(field.name(), col(field.name()))).collect();
    for (name, call, at) in &calls {
        values.push(Column::new(name, bind(&list(call), scope, columns, *at)?));
    }
    let lists: Vec<&str> = calls.iter().map(|(name, ..)| name.as_str()).collect();
    let unnested = stream.select(&values).unnest(&lists);
    lists.iter().for_each(|name| scope.add_column(0, name, true));
    Ok(Flow::Stream(unnested))
}

/// The call of the scalar function that gives the arrays.
fn list(call: &Sql) -> Sql {
    let mut list = call.clone();
    if let Sql::Function(function) = &mut list
        && let [ObjectNamePart::Identifier(name)] = function.name.0.as_mut_slice()
    {
        let items = items_of(&name.value.to_ascii_uppercase());
        *name = Ident { value: items, quote_style: Some('`'), span: name.span };
    }
    list
}
