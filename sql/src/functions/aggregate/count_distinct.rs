//! COUNT_DISTINCT: how many different values; null does not count. Exact up to 512, estimated beyond: see the sketch.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryArray},
    datatypes::DataType,
    row::{RowConverter, SortField},
};
use datafusion::{
    common::ScalarValue,
    error::{DataFusionError, Result as DataFusionResult},
    logical_expr::{Accumulator, EmitTo, GroupsAccumulator},
};

use super::{
    Aggregate, Bound, Shape,
    hyperloglog::{Sketch, hash},
};
use crate::catalog::SqlType;

/// The function.
#[derive(Debug)]
pub(super) struct CountDistinct;

/// A sketch a group.
struct Sketches {
    converter: RowConverter,
    sketches: Vec<Sketch>,
}

impl Sketches {
    fn new(of: &DataType) -> DataFusionResult<Self> {
        Ok(Self { converter: RowConverter::new(vec![SortField::new(of.clone())])?, sketches: Vec::new() })
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<Sketch> {
        emit_to.take_needed(&mut self.sketches)
    }
}

/// Reads a stored sketch.
fn read(bytes: &[u8]) -> DataFusionResult<Sketch> {
    Sketch::from_bytes(bytes).ok_or_else(|| DataFusionError::Internal("the state of COUNT_DISTINCT is none".to_owned()))
}

impl GroupsAccumulator for Sketches {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&arrow::array::BooleanArray>,
        total: usize,
    ) -> DataFusionResult<()> {
        self.sketches.resize(total.max(self.sketches.len()), Sketch::default());
        let rows = self.converter.convert_columns(&values[..1])?;
        for (row, &group) in groups.iter().enumerate() {
            let passes = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            if passes && values[0].is_valid(row) {
                self.sketches[group].add(hash(rows.row(row).as_ref()));
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> DataFusionResult<ArrayRef> {
        let counts = self.take(emit_to).into_iter().map(|sketch| sketch.count() as i64);
        Ok(Arc::new(arrow::array::Int64Array::from_iter_values(counts)))
    }

    fn state(&mut self, emit_to: EmitTo) -> DataFusionResult<Vec<ArrayRef>> {
        let sketches = self.take(emit_to);
        Ok(vec![Arc::new(BinaryArray::from_iter_values(sketches.iter().map(Sketch::to_bytes)))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> DataFusionResult<()> {
        self.sketches.resize(total.max(self.sketches.len()), Sketch::default());
        let states = states[0].as_binary::<i32>();
        for (bytes, &group) in states.iter().zip(groups) {
            if let Some(bytes) = bytes {
                self.sketches[group].merge(&read(bytes)?);
            }
        }
        Ok(())
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&arrow::array::BooleanArray>,
    ) -> DataFusionResult<Vec<ArrayRef>> {
        let groups: Vec<usize> = (0..values[0].len()).collect();
        let mut each = Self::new(values[0].data_type())?;
        each.update_batch(values, &groups, filter, groups.len())?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.sketches.iter().map(|sketch| sketch.size() + size_of::<Sketch>()).sum()
    }
}

/// The sketch of one group.
struct Alone(Sketches);

impl std::fmt::Debug for Alone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a sketch of {} values", self.0.sketches.first().map_or(0, Sketch::count))
    }
}

impl Accumulator for Alone {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        let groups = vec![0; values[0].len()];
        self.0.update_batch(values, &groups, None, 1)
    }

    fn evaluate(&mut self) -> DataFusionResult<ScalarValue> {
        let count = self.0.sketches.first().map_or(0, Sketch::count);
        Ok(ScalarValue::Int64(Some(count as i64)))
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn state(&mut self) -> DataFusionResult<Vec<ScalarValue>> {
        let sketch = self.0.sketches.first().cloned().unwrap_or_default();
        Ok(vec![ScalarValue::Binary(Some(sketch.to_bytes()))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DataFusionResult<()> {
        let groups = vec![0; states[0].len()];
        self.0.merge_batch(states, &groups, 1)
    }
}

impl Aggregate for CountDistinct {
    fn name(&self) -> &'static str {
        "COUNT_DISTINCT"
    }

    fn description(&self) -> &'static str {
        "How many different values a column has, estimated beyond 512; null does not count."
    }

    fn shape(&self, arguments: &[SqlType]) -> Option<Shape> {
        let [argument] = arguments else { return None };
        Some(Shape { arguments: vec![argument.clone()], constants: 0, returns: SqlType::BigInt })
    }

    fn is_ordered(&self) -> bool {
        false
    }

    fn state(&self, _arguments: &[DataType]) -> Vec<DataType> {
        vec![DataType::Binary]
    }

    fn accumulator(&self, call: &Bound) -> DataFusionResult<Box<dyn Accumulator>> {
        Ok(Box::new(Alone(Sketches::new(&call.arguments[0])?)))
    }

    fn has_groups(&self, _arguments: &[DataType]) -> bool {
        true
    }

    fn groups(&self, call: &Bound) -> DataFusionResult<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Sketches::new(&call.arguments[0])?))
    }
}
