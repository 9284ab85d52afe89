//! COLLECT_LIST and COLLECT_SET: the values of a group, null included, up to a limit; what comes later is left out.

use arrow::datatypes::DataType;
use datafusion::{error::Result as DataFusionResult, logical_expr::Accumulator};

use super::{
    Aggregate, Bound, Shape,
    kept::{Kept, Nulls, Rule, Undo, list_type},
};
use crate::catalog::SqlType;

/// The functions that collect.
#[derive(Debug)]
pub(super) enum Collect {
    /// All values, in the order in which they came.
    List { limit: usize },
    /// Each value once, in the order in which they came first.
    Set { limit: usize },
}

impl Aggregate for Collect {
    fn name(&self) -> &'static str {
        match self {
            Self::List { .. } => "COLLECT_LIST",
            Self::Set { .. } => "COLLECT_SET",
        }
    }

    fn description(&self) -> &'static str {
        match self {
            Self::List { .. } => "The values of a column as an array, null included, in the order in which they came.",
            Self::Set { .. } => "The different values of a column as an array, null included.",
        }
    }

    fn shape(&self, arguments: &[SqlType]) -> Option<Shape> {
        let [argument] = arguments else { return None };
        let returns = SqlType::Array(Box::new(argument.clone()));
        Some(Shape { arguments: vec![argument.clone()], constants: 0, returns })
    }

    fn is_ordered(&self) -> bool {
        true
    }

    fn state(&self, arguments: &[DataType]) -> Vec<DataType> {
        vec![list_type(arguments[0].clone())]
    }

    fn accumulator(&self, call: &Bound) -> DataFusionResult<Box<dyn Accumulator>> {
        let (rule, undo) = match self {
            Self::List { limit } => (Rule::First(*limit), Undo::LastEqual),
            Self::Set { limit } => (Rule::Distinct(*limit), Undo::Unsupported),
        };
        Ok(Box::new(Kept::new(call.arguments[0].clone(), 1, rule, Nulls::Kept, undo)))
    }
}
