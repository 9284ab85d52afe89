//! Tables of columns: the newest row of each key, changing.

use std::{rc::Rc, sync::Arc};

use arrow::datatypes::DataType;
use datafusion::logical_expr::{Expr, expr::AggregateFunction, lit, when};

use super::{
    ColumnStream,
    builder::SharedGraph,
    options::{Materialized, Repartitioned},
};
use crate::{
    expression::{col, sum},
    operator::{Column, Filter, Project, Retract, Transform, WEIGHT},
    schema::StreamSchema,
    topology::{NodeId, NodeKind},
};

/// A table of rows: the newest record of a key is its row, a null deletes it.
#[derive(Clone)]
pub struct ColumnTable {
    pub(super) graph: SharedGraph,
    pub(super) node: NodeId,
    pub(super) schema: Arc<StreamSchema>,
    /// The number of the store that holds exactly this table, if there is one.
    pub(super) store: Option<usize>,
}

impl ColumnTable {
    /// The columns.
    pub fn schema(&self) -> &Arc<StreamSchema> {
        &self.schema
    }

    /// The name of the store that holds this table, if there is one: the view's name.
    pub fn store_name(&self) -> Option<String> {
        self.store.map(|store| self.graph.borrow().stores[store].name.clone())
    }

    /// Keeps the rows for which `predicate` is true; a row that no longer passes is deleted.
    pub fn filter(&self, predicate: &Expr) -> Self {
        match Filter::new(predicate, &self.schema) {
            Ok(filter) => {
                self.graph.borrow_mut().require_before(self.node);
                self.transform("filter", Arc::new(filter), Arc::clone(&self.schema))
            }
            Err(error) => self.failed("filter", error),
        }
    }

    /// Computes new value columns; the key stays.
    pub fn select(&self, value: &[Column]) -> Self {
        match Project::new(None, value, &self.schema) {
            Ok(project) => {
                let schema = Arc::clone(project.output());
                self.transform("select", Arc::new(project), schema)
            }
            Err(error) => self.failed("select", error),
        }
    }

    /// Applies a stateless function of changes whose output has `schema` and the same keys.
    pub fn transform(&self, name: &str, transform: Arc<dyn Transform>, schema: Arc<StreamSchema>) -> Self {
        let kind = NodeKind::Transform(transform);
        let node = self.graph.borrow_mut().add(name, kind, vec![self.node], Arc::clone(&schema));
        Self { graph: Rc::clone(&self.graph), node, schema, store: None }
    }

    /// Keeps the table in a store, so that it can be joined with and queried.
    pub fn materialize(&self, materialized: Materialized) -> Self {
        self.to_stream().to_table(materialized)
    }

    /// The changes as a stream: each new row, a null value for each deleted one.
    pub fn to_stream(&self) -> ColumnStream {
        let stream = ColumnStream {
            graph: Rc::clone(&self.graph),
            node: self.node,
            schema: Arc::clone(&self.schema),
            rekeyed: false,
        };
        stream.transform("to-stream", Arc::new(crate::operator::ToStream), Arc::clone(&self.schema), false)
    }

    /// Groups rows by other columns: what a row contributes is taken back when it changes or goes.
    pub fn group_by(&self, key: &[Column], value: &[Column]) -> ColumnTableGroup {
        self.graph.borrow_mut().require_before(self.node);
        let retract = match Retract::new(key, value, &self.schema) {
            Ok(retract) => retract,
            Err(error) => {
                self.failed("group_by", error);
                Retract::new(&[], &[], &self.schema).expect("no columns cannot fail")
            }
        };
        let schema = Arc::clone(retract.output());
        let kind = NodeKind::Transform(Arc::new(retract));
        let node = self.graph.borrow_mut().add("group-by", kind, vec![self.node], Arc::clone(&schema));
        let stream = ColumnStream { graph: Rc::clone(&self.graph), node, schema, rekeyed: true };
        ColumnTableGroup { stream }
    }

    /// Keeps a mistake for `build` and goes on as if the operator were not there.
    pub(super) fn failed(&self, operator: &str, problem: impl std::fmt::Display) -> Self {
        self.graph.borrow_mut().fail(operator, problem);
        self.clone()
    }

    /// Asks for changes that say what was there before.
    pub(super) fn require_before(&self) {
        self.graph.borrow_mut().require_before(self.node);
    }
}

/// A table grouped by other columns than its key.
#[derive(Clone)]
pub struct ColumnTableGroup {
    stream: ColumnStream,
}

impl ColumnTableGroup {
    /// Computes `count`, `sum` and `avg` per group. Other functions cannot take a row back and are refused.
    pub fn aggregate(&self, calls: &[Expr], materialized: Materialized) -> ColumnTable {
        let mut sums = Vec::new();
        let mut results = Vec::new();
        for call in calls {
            if let Err(problem) = retractable(call, &mut sums, &mut results) {
                self.stream.failed("aggregate", problem);
            }
        }
        let stream = self.stream.repartition(Repartitioned { name: materialized.name.clone(), partitions: None });
        stream
            .group_by_key()
            .aggregate(&sums, materialized.clone())
            .select(&results)
            .materialize(Materialized { name: materialized.name.map(|name| format!("{name}-view")), retention: None })
    }
}

/// Rewrites an aggregate over rows into sums over rows weighted with 1 for a row that comes and -1 for one that goes.
///
/// ```text
/// count(*)  sum(weight)                       avg(x)  sum(x * weight) / sum(weight where x is not null)
/// count(x)  sum(weight where x is not null)   sum(x)  sum(x * weight)
/// ```
fn retractable(call: &Expr, sums: &mut Vec<Expr>, results: &mut Vec<Column>) -> Result<(), String> {
    let (name, call) = match call {
        Expr::Alias(alias) => (alias.name.clone(), alias.expr.as_ref()),
        other => (other.schema_name().to_string(), other),
    };
    let Expr::AggregateFunction(AggregateFunction { func, params }) = call else {
        return Err(format!("`{call}` is no call of an aggregate function"));
    };
    if params.distinct || params.filter.is_some() || !params.order_by.is_empty() {
        return Err(format!("`{call}`: DISTINCT, FILTER and ORDER BY cannot be undone when a row of a table changes"));
    }
    let argument = params.args.first().cloned().unwrap_or_else(|| lit(1_i64));
    let mut add = |sum_of: Expr| {
        let name = format!("__sum{}", sums.len());
        sums.push(sum(sum_of).alias(&name));
        col(&name)
    };
    let counted = |argument: &Expr| -> Result<Expr, String> {
        when(argument.clone().is_not_null(), col(WEIGHT)).otherwise(lit(0_i64)).map_err(|error| error.to_string())
    };
    let result = match func.name() {
        "count" => add(counted(&argument)?),
        "sum" => add(argument.clone() * col(WEIGHT)),
        "avg" => {
            let total = add(argument.clone() * col(WEIGHT));
            let rows = add(counted(&argument)?);
            let quotient = datafusion::logical_expr::cast(total, DataType::Float64)
                / datafusion::logical_expr::cast(rows.clone(), DataType::Float64);
            when(rows.not_eq(lit(0_i64)), quotient).end().map_err(|error| error.to_string())?
        }
        other => {
            return Err(format!(
                "{other} cannot be undone when a row of a table changes; use count, sum or avg on tables"
            ));
        }
    };
    results.push(Column::new(name, result));
    Ok(())
}
