//! SELECT DISTINCT: a table whose key is all that is selected, one row for each combination there is.
//!
//! It is counted how many rows have a combination. Of a stream each combination comes once, when it is first seen; of a table it goes when
//! its last row goes. Changes that leave the count above zero are not passed on. As with GROUP BY, rows whose key is null are left out. With
//! WINDOW the combinations of each window.
//!
//! ```text
//! SELECT DISTINCT city FROM orders      key CITY      aggregate __ROWS = count(1)      filter __ROWS > 0, then only what comes and goes
//! ```

use std::sync::Arc;

use arrow::{array::BooleanArray, buffer::BooleanBuffer};
use datafusion::sql::sqlparser::ast::{
    Expr as Sql, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
    ObjectNamePart,
};
use millstream::{
    Batch,
    expression::{RowError, col, lit},
    operator::{Reads, Transform, TransformError},
};

use super::{
    aggregate,
    error::PlanError,
    projection::Projection,
    query::{Flow, Joined, Purpose, QueryContext, Selected, check_clauses},
};
use crate::syntax::{
    Position,
    ast::{Emit, SelectItem, Spanned, StreamQuery},
};

/// The column that counts the rows of a combination.
const ROWS: &str = "__ROWS";

/// Plans a query with DISTINCT, which stands at `at`.
///
/// # Errors
/// [`PlanError`] with the place of what does not fit.
pub(super) fn distinct(context: &QueryContext<'_>, query: &StreamQuery, at: Position) -> Result<Selected, PlanError> {
    let hint = "name the query: SELECT DISTINCT .. FROM (SELECT ..) AS name";
    let beside = query.group_by.as_ref().map(|group_by| ("GROUP BY", group_by.span));
    let beside = beside.or(query.partition_by.as_ref().map(|partition_by| ("PARTITION BY", partition_by.span)));
    let beside = beside.or(query.having.as_ref().map(|having| ("HAVING", having.span)));
    if let Some((clause, span)) = beside {
        let problem = format!("SELECT DISTINCT and {clause} exclude each other: DISTINCT makes the key");
        return Err(PlanError::invalid_hint(span.start, problem, hint));
    }
    if aggregate::is_over_all(query, context.catalog.functions()) {
        return Err(PlanError::invalid_hint(at, "SELECT DISTINCT cannot have aggregate functions", hint));
    }
    let joined = context.joined(query)?;
    let query = grouped(query, &joined, at)?;
    check_clauses(&query, context.purpose)?;
    let keys = query.group_by.as_ref().map(|group_by| group_by.node.clone()).unwrap_or_default();
    let mut selected = aggregate::aggregate(&query, &keys, joined, context)?;
    selected.items.retain(|item| item.name != ROWS);
    selected.is_distinct = true;
    let is_final = query.emit.as_ref().is_some_and(|emit| emit.node == Emit::Final);
    if is_final {
        return Ok(selected);
    }
    let exists = col(ROWS).gt(lit(0_i64));
    if let Some(stored) = &mut selected.stored {
        stored.filters.push(exists.clone());
    }
    if let Flow::Table(table) = &selected.flow {
        let schema = Arc::clone(table.schema());
        let there = table.filter(&exists).with_before();
        selected.flow = Flow::Table(there.transform("distinct", Arc::new(ComesOrGoes), schema));
    }
    Ok(selected)
}

/// The query with its items grouped by and counted.
fn grouped(query: &StreamQuery, joined: &Joined, at: Position) -> Result<StreamQuery, PlanError> {
    let (scope, columns) = (&joined.scope, joined.flow.schema().columns());
    let is_join = !query.joins.is_empty();
    let projection = Projection { scope, columns, purpose: Purpose::Push, is_join, partition_by: None };
    let mut keys: Vec<Sql> = Vec::new();
    let mut items = Vec::new();
    for item in projection.expand(&query.items)? {
        if !keys.contains(&item.expr) {
            keys.push(item.expr.clone());
        }
        let span = crate::syntax::Span { start: item.at, end: item.at };
        let alias = Some(crate::syntax::ast::Name { value: item.name, quoted: true, span });
        items.push(SelectItem::Expr { expr: item.expr, alias, span });
    }
    let span = crate::syntax::Span { start: at, end: at };
    let alias = Some(crate::syntax::ast::Name { value: ROWS.to_owned(), quoted: true, span });
    items.push(SelectItem::Expr { expr: count_all(), alias, span });
    let group_by = Some(Spanned { node: keys, span: query.span });
    Ok(StreamQuery { items, group_by, distinct: None, ..query.clone() })
}

/// `COUNT(*)`.
fn count_all() -> Sql {
    Sql::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::new("COUNT"))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![FunctionArg::Unnamed(FunctionArgExpr::Wildcard)],
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// Leaves out changes of rows that were there before and still are.
struct ComesOrGoes;

impl Transform for ComesOrGoes {
    fn apply(&self, batch: &Batch, _errors: &mut Vec<RowError>) -> Result<Batch, TransformError> {
        let Some(before) = batch.before() else { return Ok(batch.clone()) };
        let there = |present: Option<&arrow::buffer::NullBuffer>| match present {
            Some(present) => present.inner().clone(),
            None => BooleanBuffer::new_set(batch.len()),
        };
        let changed = &there(batch.present()) ^ &there(before.present.as_ref());
        batch.filter(&BooleanArray::new(changed, None)).map_err(TransformError::of)
    }

    fn reads(&self) -> Reads {
        Reads::AndPassesOn(Vec::new())
    }

    fn describe(&self) -> String {
        "distinct: rows that come or go".to_owned()
    }
}
