//! GENERIC_VAR_ARG and OBJ_COL_ARG: the values of the first column, of those rows in which no column is null.

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::DataType,
};
use datafusion::{common::ScalarValue, error::Result as DataFusionResult, logical_expr::Accumulator};
use millstream_sql::{
    catalog::SqlType,
    functions::{
        Functions,
        aggregate::{Aggregate, Bound, Shape},
    },
};

/// No more values are kept of a group.
const MAX_VALUES: usize = 1000;

/// Adds the family.
pub(super) fn add(functions: Functions) -> Functions {
    let functions = functions.with_aggregate(Kept::OfAny).expect("a free name");
    functions.with_aggregate(Kept::OfInt).expect("a free name")
}

#[derive(Debug)]
enum Kept {
    /// Two columns and more.
    OfAny,
    /// An INT and any other columns.
    OfInt,
}

impl Aggregate for Kept {
    fn name(&self) -> &'static str {
        match self {
            Self::OfAny => "GENERIC_VAR_ARG",
            Self::OfInt => "OBJ_COL_ARG",
        }
    }

    fn description(&self) -> &'static str {
        "The first column's values, of rows without nulls."
    }

    fn shape(&self, arguments: &[SqlType]) -> Option<Shape> {
        let first = arguments.first()?;
        let fits = match self {
            Self::OfAny => arguments.len() >= 2,
            Self::OfInt => *first == SqlType::Int,
        };
        let returns = SqlType::Array(Box::new(first.clone()));
        fits.then_some(Shape { arguments: arguments.to_vec(), constants: 0, returns })
    }

    fn is_ordered(&self) -> bool {
        true
    }

    fn state(&self, arguments: &[DataType]) -> Vec<DataType> {
        vec![DataType::new_list(arguments[0].clone(), true)]
    }

    fn accumulator(&self, call: &Bound) -> DataFusionResult<Box<dyn Accumulator>> {
        Ok(Box::new(Values { of: call.arguments[0].clone(), values: Vec::new() }))
    }
}

#[derive(Debug)]
struct Values {
    of: DataType,
    values: Vec<ScalarValue>,
}

impl Values {
    fn keep(&mut self, column: &ArrayRef, row: usize) -> DataFusionResult<()> {
        if self.values.len() < MAX_VALUES {
            self.values.push(ScalarValue::try_from_array(column, row)?);
        }
        Ok(())
    }

    fn list(&self) -> ScalarValue {
        ScalarValue::List(ScalarValue::new_list_nullable(&self.values, &self.of))
    }
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        for row in 0..values[0].len() {
            if values.iter().all(|column| column.is_valid(row)) {
                self.keep(&values[0], row)?;
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DataFusionResult<()> {
        for list in states[0].as_list::<i32>().iter().flatten() {
            for row in 0..list.len() {
                self.keep(&list, row)?;
            }
        }
        Ok(())
    }

    fn state(&mut self) -> DataFusionResult<Vec<ScalarValue>> {
        Ok(vec![self.list()])
    }

    fn evaluate(&mut self) -> DataFusionResult<ScalarValue> {
        Ok(self.list())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.iter().map(ScalarValue::size).sum::<usize>()
    }
}
