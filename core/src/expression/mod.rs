//! Column expressions: what they are written as, and what they are compiled to.
//!
//! An [`Expr`] is DataFusion's logical expression, so that every function and operator of DataFusion is there, with its types
//! and null handling. It is bound once to a [`StreamSchema`](crate::schema::StreamSchema) and evaluated batch by batch.

mod aggregate;
mod linear;
mod replay;
mod retractable;
mod scalar;

use datafusion::prelude::SessionContext;
use std::sync::OnceLock;

pub use aggregate::{Aggregation, AggregationSet};
pub use datafusion::{
    functions_aggregate::expr_fn::{avg, count, max, min, sum},
    logical_expr::{Expr, lit},
};
pub use linear::{Linear, LinearAccumulator, LinearCount, LinearFunction, LinearMean, LinearSum};
pub(crate) use retractable::{Each, ROW, Way, to_array};
pub use retractable::{RetractableAggregation, RetractableSet};
pub use scalar::{COMPOSING, Evaluated, Expression, RowError};

/// A column by its exact name: unlike SQL, no letter is changed.
pub fn col(name: &str) -> Expr {
    datafusion::prelude::ident(name)
}

/// An expression that could not be bound to the columns of its input.
#[derive(Debug, thiserror::Error)]
#[error("expression `{expression}`: {problem}")]
#[non_exhaustive]
pub struct ExpressionError {
    /// The expression as text.
    pub expression: String,
    /// What is wrong with it.
    pub problem: String,
}

impl ExpressionError {
    fn new(expression: &Expr, problem: impl std::fmt::Display) -> Self {
        Self { expression: expression.to_string(), problem: problem.to_string() }
    }
}

/// The functions that expressions may call: DataFusion's defaults. Built once, it is large.
fn functions() -> &'static SessionContext {
    static CONTEXT: OnceLock<SessionContext> = OnceLock::new();
    CONTEXT.get_or_init(SessionContext::new)
}
