//! TOPK and TOPKDISTINCT: the greatest values of a group, falling; null does not count.
//!
//! `TOPK(x, k)` gives an array of `x`; `TOPK(x, a, b, k)` an array of structs with the fields `sort_col`, `col0`, `col1`, so that the columns
//! beside the greatest values are known. Of equal values the older is first, and stays.

use arrow::datatypes::DataType;
use datafusion::{common::ScalarValue, error::Result as DataFusionResult, logical_expr::Accumulator};

use super::{
    Aggregate, Bound, Shape,
    extreme::is_ordered,
    kept::{Kept, Nulls, Rule, Undo, list_type},
    offset::positive,
};
use crate::catalog::{SqlType, StructField};

/// The functions of greatest values.
#[derive(Debug)]
pub(super) enum Top {
    All,
    Distinct,
}

/// The type of what is kept of a row.
fn kept_type(columns: &[SqlType]) -> SqlType {
    let [sort_column, others @ ..] = columns else { return SqlType::Struct(Vec::new()) };
    if others.is_empty() {
        return sort_column.clone();
    }
    let field = |name: String, of: &SqlType| StructField { name, data_type: of.clone() };
    let others = others.iter().enumerate().map(|(index, of)| field(format!("col{index}"), of));
    SqlType::Struct(std::iter::once(field("sort_col".to_owned(), sort_column)).chain(others).collect())
}

impl Aggregate for Top {
    fn name(&self) -> &'static str {
        match self {
            Self::All => "TOPK",
            Self::Distinct => "TOPKDISTINCT",
        }
    }

    fn description(&self) -> &'static str {
        match self {
            Self::All => {
                "The k greatest values of a column, falling, with the other columns beside them if any are given."
            }
            Self::Distinct => "The k greatest different values of a column, falling.",
        }
    }

    fn shape(&self, arguments: &[SqlType]) -> Option<Shape> {
        let [columns @ .., SqlType::Int | SqlType::BigInt] = arguments else { return None };
        let enough = match self {
            Self::All => !columns.is_empty(),
            Self::Distinct => columns.len() == 1,
        };
        if !enough || !is_ordered(&columns[0]) {
            return None;
        }
        let returns = SqlType::Array(Box::new(kept_type(columns)));
        Some(Shape { arguments: columns.iter().cloned().chain([SqlType::Int]).collect(), constants: 1, returns })
    }

    fn check(&self, constants: &[Option<ScalarValue>]) -> Result<(), String> {
        positive(constants.last().and_then(Option::as_ref), "how many values", self.name()).map(drop)
    }

    fn is_ordered(&self) -> bool {
        // Of several columns, those beside equal values depend on which came first.
        matches!(self, Self::All)
    }

    fn state(&self, arguments: &[DataType]) -> Vec<DataType> {
        let columns: Option<Vec<SqlType>> = arguments[..arguments.len() - 1].iter().map(SqlType::from_arrow).collect();
        vec![list_type(kept_type(&columns.unwrap_or_default()).to_arrow())]
    }

    fn accumulator(&self, call: &Bound) -> DataFusionResult<Box<dyn Accumulator>> {
        let count = positive(call.constants.last().and_then(Option::as_ref), "how many values", self.name())
            .map_err(datafusion::error::DataFusionError::Plan)?;
        let rule = Rule::Greatest { count, distinct: matches!(self, Self::Distinct) };
        let of = match &call.returns {
            DataType::List(item) => item.data_type().clone(),
            other => other.clone(),
        };
        Ok(Box::new(Kept::new(of, call.arguments.len() - 1, rule, Nulls::Skipped, Undo::Unsupported)))
    }
}
