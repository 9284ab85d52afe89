//! How the rows of a table are read from the store that holds them: no second copy is kept for a projection or HAVING.

use std::collections::BTreeSet;

use datafusion::{
    common::tree_node::{Transformed, TreeNode},
    error::Result as DataFusionResult,
    logical_expr::{LogicalPlan, LogicalPlanBuilder},
};
use millstream::{
    expression::{Expr, col},
    schema::ROWTIME,
};

/// The rows of a table as a query over a store: filtered, then projected.
#[derive(Debug, Clone)]
pub struct ViewPlan {
    /// The store, as [`Streams::view`](millstream::runtime::Streams::view) knows it.
    pub store: String,
    /// What rows must pass, over the columns of the store.
    pub filters: Vec<Expr>,
    /// The columns of the table, over the columns of the store; `ROWTIME` comes behind them.
    pub columns: Vec<(String, Expr)>,
}

impl ViewPlan {
    /// Puts filter and projection over a scan of the store.
    ///
    /// # Errors
    /// If the store has other columns than the plan was made for.
    pub(crate) fn over(&self, scan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
        let known: BTreeSet<String> = scan.schema().fields().iter().map(|field| field.name().clone()).collect();
        let mut plan = LogicalPlanBuilder::from(scan);
        for filter in &self.filters {
            plan = plan.filter(filter.clone())?;
        }
        let columns = self.columns.iter().map(|(name, expr)| expr.clone().alias(name));
        let time = known.contains(ROWTIME).then(|| col(ROWTIME));
        plan.project(columns.chain(time))?.build()
    }

    /// The same over a store with an offset column, which is not kept.
    pub(crate) fn without_offsets(mut self) -> Self {
        let without = |expr: Expr| -> Expr {
            let changed = expr.clone().transform(|part| match &part {
                Expr::Column(column) if column.name == millstream::schema::ROWOFFSET => {
                    Ok(Transformed::yes(Expr::Literal(datafusion::common::ScalarValue::Int64(None), None)))
                }
                _ => Ok(Transformed::no(part)),
            });
            changed.map_or(expr, |changed| changed.data)
        };
        self.filters = self.filters.into_iter().map(without).collect();
        self.columns = self.columns.into_iter().map(|(name, expr)| (name, without(expr))).collect();
        self
    }
}
