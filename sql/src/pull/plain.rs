//! A plain pull query: `SELECT items FROM one source [WHERE ..] [LIMIT n]`, ksqlDB's own form.
//!
//! Its expressions are bound by the rules of the language, as those of continuous queries are, so that the same expression means the same in
//! both. Whatever asks for more (joins, GROUP BY, ORDER BY, subqueries, ..) is DataFusion's SQL.

use std::{ops::ControlFlow, sync::Arc};

use datafusion::{
    error::DataFusionError,
    logical_expr::LogicalPlanBuilder,
    prelude::{DataFrame, SessionContext},
    sql::sqlparser::ast::{Expr as Sql, visit_expressions},
};

use crate::{
    catalog::{Catalog, Source},
    functions::{Functions, registry::FunctionKind},
    planner::{PlainProjection, PlanError, one_line},
    syntax::{
        Position,
        ast::{SelectItem, StreamQuery},
        position::Span,
    },
};

/// Whether every expression of a query means the same for each row by itself: none that needs all rows, or other queries.
pub(super) fn is_by_row(query: &StreamQuery, functions: &Functions) -> bool {
    let items = query.items.iter().filter_map(|item| match item {
        SelectItem::Expr { expr, .. } | SelectItem::AllFields { expr, .. } => Some(expr),
        SelectItem::All { .. } | SelectItem::AllOf { .. } => None,
    });
    let mut expressions = items.chain(query.filter.iter().map(|filter| &filter.node));
    expressions.all(|expr| {
        visit_expressions(expr, |part| {
            let needs_more = match part {
                Sql::Function(call) => {
                    let kind = functions.kind_of(&call.name.to_string());
                    call.over.is_some() || matches!(kind, FunctionKind::Aggregate | FunctionKind::Window)
                }
                Sql::Subquery(_) | Sql::InSubquery { .. } | Sql::Exists { .. } => true,
                _ => false,
            };
            if needs_more { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .is_continue()
    })
}

/// Where `->*` stands in a query, if it does.
pub(super) fn all_fields(query: &StreamQuery) -> Option<Span> {
    query.items.iter().find_map(|item| match item {
        SelectItem::AllFields { span, .. } => Some(*span),
        _ => None,
    })
}

/// The rows of a plain query over the table that `session` knows under the name of its source.
///
/// # Errors
/// [`PlanError`] with the place of a name or an expression that is wrong.
pub(super) async fn rows(
    plain: &StreamQuery,
    source: &Source,
    catalog: &Catalog,
    session: &SessionContext,
) -> Result<DataFrame, PlanError> {
    let at = plain.span.start;
    let refused =
        |at: Position| move |error: DataFusionError| PlanError::invalid(at, one_line(&error.strip_backtrace()));
    let name = datafusion::common::TableReference::bare(plain.from.name.value.clone());
    let table = session.table(name).await.map_err(refused(at))?;
    let columns = Arc::new(table.schema().as_arrow().clone());
    let PlainProjection { filter, items } = PlainProjection::bind(plain, source, &columns, catalog)?;
    let mut plan = LogicalPlanBuilder::from(table.into_unoptimized_plan());
    if let Some(filter) = filter {
        plan = plan.filter(filter).map_err(refused(at))?;
    }
    plan = plan.project(items).map_err(refused(at))?;
    if let Some(limit) = &plain.limit {
        plan = plan.limit(0, usize::try_from(limit.node).ok()).map_err(refused(at))?;
    }
    Ok(DataFrame::new(session.state(), plan.build().map_err(refused(at))?))
}
