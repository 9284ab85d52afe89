//! An operation of ours as a function of DataFusion: made for one call, with its types fixed.
//!
//! Two operations with equal fields over equal arguments are one expression, so that `GROUP BY f(x)` and `SELECT f(x)` meet.

use std::{fmt::Debug, hash::Hash, sync::Arc};

use arrow::{array::ArrayRef, datatypes::DataType};
use datafusion::{
    error::Result as DataFusionResult,
    logical_expr::{
        ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, expr::ScalarFunction,
    },
};

use crate::functions::{called::invoke, signature::Call};

/// Columns to a column.
pub(super) trait Operation: Debug + Clone + PartialEq + Eq + Hash + Send + Sync + 'static {
    /// What it is called in plans.
    fn name(&self) -> &str;

    /// One value a row; an error spoils the whole batch.
    fn evaluate(&self, call: &Call<'_>) -> Result<ArrayRef, String>;

    /// Whether it gives the same for the same arguments.
    fn is_deterministic(&self) -> bool {
        true
    }
}

/// Calls an operation; `returns` is the type of its results.
pub(super) fn call(operation: impl Operation, arguments: Vec<Expr>, returns: DataType) -> Expr {
    let volatility = if operation.is_deterministic() { Volatility::Immutable } else { Volatility::Volatile };
    let signature =
        if arguments.is_empty() { Signature::nullary(volatility) } else { Signature::any(arguments.len(), volatility) };
    let function = ScalarUDF::new_from_impl(Operator { operation, signature, returns });
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(function), arguments))
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Operator<O: Operation> {
    operation: O,
    signature: Signature,
    returns: DataType,
}

impl<O: Operation> ScalarUDFImpl for Operator<O> {
    fn name(&self) -> &str {
        self.operation.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> DataFusionResult<DataType> {
        Ok(self.returns.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let Self { operation, returns, .. } = self;
        let evaluate = |call: &Call<'_>| operation.evaluate(call);
        invoke(&args, operation.name(), returns, operation.is_deterministic(), evaluate)
    }
}
