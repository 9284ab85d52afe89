//! ATTR: the value that all rows of a group have; null once two rows differ. Null is a value like any other.

use arrow::{
    array::{Array, ArrayRef, AsArray, make_comparator, new_null_array},
    compute::SortOptions,
    datatypes::{DataType, Int32Type},
};
use datafusion::{common::ScalarValue, error::Result as DataFusionResult, logical_expr::Accumulator};

use super::{Aggregate, Bound, Shape};
use crate::catalog::SqlType;

/// The function.
#[derive(Debug)]
pub(super) struct Attr;

/// How many different values were seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing = 0,
    One = 1,
    Several = 2,
}

#[derive(Debug)]
struct AttrAccumulator {
    seen: Seen,
    /// The value, if there is one.
    value: ArrayRef,
}

impl AttrAccumulator {
    fn add(&mut self, values: &ArrayRef) -> DataFusionResult<()> {
        if values.is_empty() || self.seen == Seen::Several {
            return Ok(());
        }
        if self.seen == Seen::Nothing {
            (self.seen, self.value) = (Seen::One, values.slice(0, 1));
        }
        let compare = make_comparator(&self.value, values, SortOptions::default())?;
        if (0..values.len()).any(|row| compare(0, row).is_ne()) {
            self.several();
        }
        Ok(())
    }

    fn several(&mut self) {
        self.seen = Seen::Several;
        self.value = new_null_array(self.value.data_type(), 1);
    }
}

impl Accumulator for AttrAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        self.add(&values[0])
    }

    fn evaluate(&mut self) -> DataFusionResult<ScalarValue> {
        ScalarValue::try_from_array(&self.value, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.value.get_array_memory_size()
    }

    fn state(&mut self) -> DataFusionResult<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?, ScalarValue::Int32(Some(self.seen as i32))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DataFusionResult<()> {
        let seen = states[1].as_primitive::<Int32Type>();
        for state in 0..seen.len() {
            match seen.value(state) {
                0 => {}
                1 => self.add(&states[0].slice(state, 1))?,
                _ => self.several(),
            }
        }
        Ok(())
    }
}

impl Aggregate for Attr {
    fn name(&self) -> &'static str {
        "ATTR"
    }

    fn description(&self) -> &'static str {
        "The value that a column has in all rows of a group; null if they differ."
    }

    fn shape(&self, arguments: &[SqlType]) -> Option<Shape> {
        let [argument] = arguments else { return None };
        Some(Shape { arguments: vec![argument.clone()], constants: 0, returns: argument.clone() })
    }

    fn is_ordered(&self) -> bool {
        false
    }

    fn state(&self, arguments: &[DataType]) -> Vec<DataType> {
        vec![arguments[0].clone(), DataType::Int32]
    }

    fn accumulator(&self, call: &Bound) -> DataFusionResult<Box<dyn Accumulator>> {
        let value = new_null_array(&call.arguments[0], 1);
        Ok(Box::new(AttrAccumulator { seen: Seen::Nothing, value }))
    }
}
