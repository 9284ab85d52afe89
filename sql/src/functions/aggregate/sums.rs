//! SUM, AVG and SUM_LIST: sums over rows.
//!
//! The sum of no value is 0, and so is their mean. SUM keeps the type of its argument: whole numbers wrap around, a decimal that
//! outgrows its type is an error.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, PrimitiveArray},
    datatypes::{ArrowNativeTypeOp, ArrowPrimitiveType, DataType, Float64Type, Int32Type, Int64Type},
};
use datafusion::{
    error::{DataFusionError, Result as DataFusionResult},
    logical_expr::{Accumulator, GroupsAccumulator},
};
use millstream::expression::{Linear, LinearAccumulator, LinearFunction, LinearMean, LinearSum};

use super::{Aggregate, Bound, Shape};
use crate::catalog::SqlType;

/// The functions that are sums.
#[derive(Debug)]
pub(super) enum Sums {
    Sum,
    Avg,
    SumList,
}

/// The sum of all elements of lists; null lists and elements do not count.
#[derive(Debug)]
struct ListSum {
    of: DataType,
}

impl LinearFunction for ListSum {
    fn sums(&self) -> Vec<DataType> {
        vec![self.of.clone()]
    }

    fn terms(&self, arguments: &[ArrayRef]) -> DataFusionResult<Vec<ArrayRef>> {
        Ok(vec![match &self.of {
            DataType::Int32 => totals::<Int32Type>(&arguments[0]),
            DataType::Int64 => totals::<Int64Type>(&arguments[0]),
            DataType::Float64 => totals::<Float64Type>(&arguments[0]),
            other => return Err(DataFusionError::Internal(format!("SUM_LIST of {other}"))),
        }])
    }

    fn result(&self, sums: &[ArrayRef]) -> DataFusionResult<ArrayRef> {
        Ok(Arc::clone(&sums[0]))
    }
}

/// The sum of each list.
fn totals<T: ArrowPrimitiveType>(lists: &ArrayRef) -> ArrayRef {
    let lists = lists.as_list::<i32>();
    let total = |list: ArrayRef| {
        list.as_primitive::<T>().iter().flatten().fold(T::Native::ZERO, |total, value| total.add_wrapping(value))
    };
    Arc::new(lists.iter().map(|list| list.map(total)).collect::<PrimitiveArray<T>>())
}

impl Sums {
    fn function(&self, call: &Bound) -> Arc<dyn LinearFunction> {
        match self {
            Self::Sum => Arc::new(LinearSum { of: call.returns.clone() }),
            Self::Avg => Arc::new(LinearMean { of: mean_type(&call.arguments), of_none: Some(0.0) }),
            Self::SumList => Arc::new(ListSum { of: call.returns.clone() }),
        }
    }
}

/// The type in which a mean is summed up.
fn mean_type(arguments: &[DataType]) -> DataType {
    match arguments {
        [DataType::Int32 | DataType::Int64, ..] => DataType::Int64,
        _ => DataType::Float64,
    }
}

impl Aggregate for Sums {
    fn name(&self) -> &'static str {
        match self {
            Self::Sum => "SUM",
            Self::Avg => "AVG",
            Self::SumList => "SUM_LIST",
        }
    }

    fn description(&self) -> &'static str {
        match self {
            Self::Sum => "The sum of a column, in the column's type; null does not count.",
            Self::Avg => "The mean of a column; null does not count.",
            Self::SumList => "The sum of all elements of an array column; null does not count.",
        }
    }

    fn shape(&self, arguments: &[SqlType]) -> Option<Shape> {
        let [argument] = arguments else { return None };
        let (argument, returns) = match (self, argument) {
            (Self::Sum, SqlType::Int | SqlType::BigInt | SqlType::Double | SqlType::Decimal { .. }) => {
                (argument.clone(), argument.clone())
            }
            (Self::Avg, SqlType::Int | SqlType::BigInt) => (argument.clone(), SqlType::Double),
            (Self::Avg, SqlType::Double | SqlType::Decimal { .. }) => (SqlType::Double, SqlType::Double),
            (Self::SumList, SqlType::Array(item)) => match item.as_ref() {
                SqlType::Int | SqlType::BigInt | SqlType::Double => (argument.clone(), item.as_ref().clone()),
                SqlType::Decimal { .. } => (SqlType::Array(Box::new(SqlType::Double)), SqlType::Double),
                _ => return None,
            },
            _ => return None,
        };
        Some(Shape { arguments: vec![argument], constants: 0, returns })
    }

    fn is_ordered(&self) -> bool {
        false
    }

    fn state(&self, arguments: &[DataType]) -> Vec<DataType> {
        match (self, arguments) {
            (Self::Avg, _) => vec![mean_type(arguments), DataType::Int64],
            (Self::SumList, [DataType::List(item), ..]) => vec![item.data_type().clone()],
            _ => arguments[..1].to_vec(),
        }
    }

    fn accumulator(&self, call: &Bound) -> DataFusionResult<Box<dyn Accumulator>> {
        Ok(Box::new(LinearAccumulator::new(self.function(call))?))
    }

    fn has_groups(&self, _arguments: &[DataType]) -> bool {
        true
    }

    fn groups(&self, call: &Bound) -> DataFusionResult<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Linear::new(self.function(call))?))
    }
}
