//! TEST_UDAF: the sum of one column, whatever it is: of numbers, of the lengths of texts, or of each field of a STRUCT of two INTs.
//!
//! Of texts the second argument, a constant, is counted too, once. Sums of numbers can be taken back, so that over tables no rows are kept.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, Int32Array, Int64Array, StructArray},
    compute::cast,
    datatypes::{DataType, Int32Type, Int64Type},
};
use datafusion::{common::ScalarValue, error::Result as DataFusionResult, logical_expr::Accumulator};
use millstream_sql::{
    catalog::SqlType,
    functions::{
        Functions,
        aggregate::{Aggregate, Bound, Shape},
    },
};

/// Adds the function.
pub(super) fn add(functions: Functions) -> Functions {
    functions.with_aggregate(TestUdaf).expect("a free name")
}

#[derive(Debug)]
struct TestUdaf;

impl Aggregate for TestUdaf {
    fn name(&self) -> &'static str {
        "TEST_UDAF"
    }

    fn description(&self) -> &'static str {
        "The sum of numbers, of lengths, or of fields."
    }

    fn shape(&self, arguments: &[SqlType]) -> Option<Shape> {
        let (returns, constants) = match arguments {
            [SqlType::Int | SqlType::BigInt] => (SqlType::BigInt, 0),
            [SqlType::Double] => (SqlType::Double, 0),
            [SqlType::Varchar, SqlType::Varchar] => (SqlType::BigInt, 1),
            [of @ SqlType::Struct(fields)] => {
                let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
                let is_int = fields.iter().all(|field| field.data_type == SqlType::Int);
                (names == ["A", "B"] && is_int).then(|| (of.clone(), 0))?
            }
            _ => return None,
        };
        Some(Shape { arguments: arguments.to_vec(), constants, returns })
    }

    fn is_ordered(&self) -> bool {
        false
    }

    fn state(&self, arguments: &[DataType]) -> Vec<DataType> {
        match &arguments[0] {
            DataType::Struct(_) => vec![DataType::Int64, DataType::Int64],
            DataType::Float64 => vec![DataType::Float64],
            _ => vec![DataType::Int64],
        }
    }

    fn accumulator(&self, call: &Bound) -> DataFusionResult<Box<dyn Accumulator>> {
        let initial = match call.constants.last() {
            Some(Some(ScalarValue::Utf8(Some(text)))) => text.encode_utf16().count() as i64,
            _ => 0,
        };
        let sums = self.state(&call.arguments).iter().map(ScalarValue::new_zero).collect::<DataFusionResult<_>>()?;
        Ok(Box::new(Sums { initial, sums, returns: call.returns.clone() }))
    }
}

#[derive(Debug)]
struct Sums {
    initial: i64,
    sums: Vec<ScalarValue>,
    returns: DataType,
}

/// The columns that are summed up, as BIGINT or DOUBLE.
fn summed(argument: &ArrayRef) -> DataFusionResult<Vec<ArrayRef>> {
    Ok(match argument.data_type() {
        DataType::Utf8 => {
            let length = |text: Option<&str>| text.map(|text| text.encode_utf16().count() as i64);
            vec![Arc::new(argument.as_string::<i32>().iter().map(length).collect::<Int64Array>())]
        }
        DataType::Struct(_) => {
            let of = argument.as_struct();
            let field = |index: usize| {
                let values = of.column(index).as_primitive::<Int32Type>();
                let value = |row| if of.is_null(row) || values.is_null(row) { None } else { Some(values.value(row)) };
                let column: Int64Array = (0..of.len()).map(|row| value(row).map(i64::from)).collect();
                Arc::new(column) as ArrayRef
            };
            vec![field(0), field(1)]
        }
        DataType::Int32 => vec![cast(argument, &DataType::Int64)?],
        _ => vec![ArrayRef::clone(argument)],
    })
}

/// The sum of a column of BIGINT or DOUBLE; nulls are 0.
fn total(column: &ArrayRef) -> ScalarValue {
    match column.as_any().downcast_ref::<Float64Array>() {
        Some(values) => ScalarValue::Float64(Some(values.iter().flatten().sum())),
        None => ScalarValue::Int64(Some(column.as_primitive::<Int64Type>().iter().flatten().sum())),
    }
}

impl Sums {
    fn add(&mut self, columns: &[ArrayRef], sign: i64) -> DataFusionResult<()> {
        for (sum, column) in self.sums.iter_mut().zip(columns) {
            let more = total(column);
            *sum = if sign < 0 { sum.sub(more)? } else { sum.add(more)? };
        }
        Ok(())
    }
}

impl Accumulator for Sums {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        self.add(&summed(&values[0])?, 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        self.add(&summed(&values[0])?, -1)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DataFusionResult<()> {
        self.add(states, 1)
    }

    fn state(&mut self) -> DataFusionResult<Vec<ScalarValue>> {
        Ok(self.sums.clone())
    }

    fn evaluate(&mut self) -> DataFusionResult<ScalarValue> {
        match &self.returns {
            DataType::Struct(fields) => {
                let field = |sum: &ScalarValue| {
                    let value = sum.to_array()?;
                    let value = value.as_primitive::<Int64Type>().value(0) as i32;
                    Ok(Arc::new(Int32Array::from(vec![value])) as ArrayRef)
                };
                let values = self.sums.iter().map(field).collect::<DataFusionResult<Vec<_>>>()?;
                Ok(ScalarValue::Struct(Arc::new(StructArray::new(fields.clone(), values, None))))
            }
            DataType::Float64 => Ok(self.sums[0].clone()),
            _ => self.sums[0].add(ScalarValue::Int64(Some(self.initial))),
        }
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.sums.iter().map(ScalarValue::size).sum::<usize>()
    }
}
