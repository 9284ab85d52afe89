//! The projection and the filter of a plain pull query, bound over the columns of its source.

use std::collections::BTreeSet;

use arrow::datatypes::SchemaRef;
use millstream::expression::Expr;

use super::{
    aggregate::contains_aggregate,
    bind::{self, bind, bind_predicate},
    clause::Clause,
    error::PlanError,
    logical_plan::type_name,
    projection::Projection,
    query::{Purpose, source_scope},
};
use crate::{
    catalog::{Catalog, Source},
    syntax::{ast::StreamQuery, position_of},
};

/// What a plain pull query computes.
pub(crate) struct PlainProjection {
    /// `WHERE`.
    pub(crate) filter: Option<Expr>,
    /// The items, each under its name.
    pub(crate) items: Vec<Expr>,
}

impl PlainProjection {
    /// Binds a query over `columns`, which have the names that they have in `source`.
    ///
    /// # Errors
    /// [`PlanError`] with the place of what is wrong.
    pub(crate) fn bind(
        query: &StreamQuery,
        source: &Source,
        columns: &SchemaRef,
        catalog: &Catalog,
    ) -> Result<Self, PlanError> {
        let scope = source_scope(&query.from, source, catalog);
        let filter = match &query.filter {
            None => None,
            Some(filter) => {
                let at = position_of(&filter.node).unwrap_or(filter.span.start);
                let predicate = bind_predicate(&filter.node, &scope, columns, filter.span.start)
                    .map_err(|error| Clause::Where.tell(error))?;
                bind::expect_boolean(&predicate, columns, Clause::Where, (&filter.node, at))?;
                Some(predicate)
            }
        };
        let projection =
            Projection { scope: &scope, columns, purpose: Purpose::Push, is_join: false, partition_by: None };
        let mut items = Vec::new();
        let mut names = BTreeSet::new();
        for item in projection.expand(&query.items)? {
            let at = position_of(&item.expr).unwrap_or(item.at);
            let expr = bind(&item.expr, &scope, columns, item.at).map_err(|error| Clause::Select.tell(error))?;
            if contains_aggregate(&expr) {
                return Err(PlanError::invalid_hint(at, "an aggregate function needs GROUP BY", "add GROUP BY"));
            }
            let (expr, data_type) = bind::normalised(expr, columns, at)?;
            if !names.insert(item.name.clone()) {
                let problem =
                    format!("Duplicate value columns found in schema: `{}` {}", item.name, type_name(&data_type));
                return Err(PlanError::invalid_hint(at, problem, "give one of them another name with AS"));
            }
            items.push(expr.alias(item.name));
        }
        Ok(Self { filter, items })
    }
}
