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
    functions::table,
    syntax::{Position, ast, position_of},
};

/// The name of a table function that an expression is a call of.
fn called(expr: &Sql) -> Option<&'static str> {
    let Sql::Function(call) = expr else { return None };
    let [ObjectNamePart::Identifier(name)] = call.name.0.as_slice() else { return None };
    table::table_functions().iter().map(|function| function.name).find(|known| name.value.eq_ignore_ascii_case(known))
}

/// Whether a table function is called in an expression.
pub(super) fn contains_table_function(expr: &ast::Expr) -> bool {
    let mut copy = expr.clone();
    visit_expressions_mut(&mut copy, |part| match called(part) {
        Some(_) => ControlFlow::Break(()),
        None => ControlFlow::Continue(()),
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
            if called(part).is_some() {
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
    let items = called(call).and_then(|name| {
        table::table_functions().iter().find(|function| function.name == name).map(|function| function.items)
    });
    if let (Sql::Function(function), Some(items)) = (&mut list, items)
        && let [ObjectNamePart::Identifier(name)] = function.name.0.as_mut_slice()
    {
        *name = Ident { value: items.to_owned(), quote_style: Some('`'), span: name.span };
    }
    list
}
