//! The columns that a query names: what a join has to carry along.

use std::collections::BTreeSet;

use millstream::schema::{WINDOWEND, WINDOWSTART};

use crate::{
    planner::{
        bind,
        clause::Clause,
        error::PlanError,
        input::{PartitionColumn, ROWPARTITION},
        scope::Scope,
    },
    syntax::ast::{self, SelectItem, StreamQuery},
};

/// Columns by the number of their source and their name there.
pub(in crate::planner) struct Named {
    columns: BTreeSet<(usize, String)>,
    all_of: BTreeSet<usize>,
}

impl Named {
    /// Whether the query needs a column of a source. Of pseudo columns a star means the window bounds only.
    pub(in crate::planner) fn has(&self, source: usize, name: &str) -> bool {
        let is_pseudo = crate::planner::query::PSEUDO_COLUMNS.contains(&name);
        let by_star = self.all_of.contains(&source) && (!is_pseudo || name == WINDOWSTART || name == WINDOWEND);
        by_star || self.columns.contains(&(source, name.to_owned()))
    }

    /// Whether the query needs the number of the partition of a source.
    pub(in crate::planner) fn partition_of(&self, source: usize) -> PartitionColumn {
        if self.has(source, ROWPARTITION) { PartitionColumn::Read } else { PartitionColumn::Left }
    }
}

/// Whether a query over one source needs the number of the partition.
pub(in crate::planner) fn partition_column(query: &StreamQuery) -> PartitionColumn {
    let is_named =
        |(_, expr): (Clause, &ast::Expr)| bind::named_columns(expr).iter().any(|(_, name)| name.value == ROWPARTITION);
    if expressions(query).into_iter().any(is_named) { PartitionColumn::Read } else { PartitionColumn::Left }
}

/// Every expression of a query.
fn expressions(query: &StreamQuery) -> Vec<(Clause, &ast::Expr)> {
    let mut expressions: Vec<(Clause, &ast::Expr)> = Vec::new();
    expressions.extend(query.items.iter().filter_map(|item| match item {
        SelectItem::AllFields { expr, .. } | SelectItem::Expr { expr, .. } => Some((Clause::Select, expr)),
        SelectItem::All { .. } | SelectItem::AllOf { .. } => None,
    }));
    expressions.extend(query.joins.iter().map(|step| (Clause::JoinOn, &step.on.node)));
    expressions.extend(query.filter.iter().map(|clause| (Clause::Where, &clause.node)));
    expressions.extend(query.having.iter().map(|clause| (Clause::Having, &clause.node)));
    expressions.extend(query.group_by.iter().flat_map(|clause| &clause.node).map(|expr| (Clause::GroupBy, expr)));
    let partition_by = query.partition_by.iter().flat_map(|clause| &clause.node);
    expressions.extend(partition_by.map(|expr| (Clause::PartitionBy, expr)));
    expressions
}

/// Looks up every name of the query, so that mistakes are found before anything is built.
///
/// # Errors
/// If there is no such column, or several.
pub(in crate::planner) fn named_columns(query: &StreamQuery, scope: &Scope) -> Result<Named, PlanError> {
    let mut named = Named { columns: BTreeSet::new(), all_of: BTreeSet::new() };
    for item in &query.items {
        match item {
            SelectItem::All { .. } => named.all_of.extend(0..scope.sources.len()),
            SelectItem::AllOf { source, .. } => {
                named.all_of.insert(scope.source(&source.value, source.span.start)?);
            }
            SelectItem::AllFields { .. } | SelectItem::Expr { .. } => {}
        }
    }
    for (clause, expression) in expressions(query) {
        for (qualifier, name) in bind::named_columns(expression) {
            if query.window.is_some() && matches!(name.value.as_str(), WINDOWSTART | WINDOWEND) {
                continue;
            }
            let qualifier = qualifier.as_ref();
            let is_field = |qualifier: &datafusion::sql::sqlparser::ast::Ident| {
                !scope.is_source(&qualifier.value) && scope.columns.iter().any(|column| column.name == qualifier.value)
            };
            let column = match qualifier {
                Some(column) if is_field(column) => scope.resolve(None, column, query.span.start),
                qualifier => scope.resolve(qualifier, &name, query.span.start),
            };
            let column = column.map_err(|error| clause.tell(error))?;
            named.columns.insert((column.source, column.name.clone()));
        }
    }
    Ok(named)
}
