//! EARLIEST_BY_OFFSET and LATEST_BY_OFFSET: the first or last value of a group, in the order in which records were written.
//!
//! `LATEST_BY_OFFSET(x [, n] [, ignoreNulls])`: with `n` an array of so many values, oldest first. Null does not count unless
//! `ignoreNulls` is false.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, new_null_array},
    compute,
    datatypes::DataType,
};
use datafusion::{
    common::ScalarValue,
    error::{DataFusionError, Result as DataFusionResult},
    logical_expr::{Accumulator, EmitTo, GroupsAccumulator},
};

use super::{
    Aggregate, Bound, Shape,
    kept::{Kept, Nulls, Rule, Undo, list_type},
};
use crate::catalog::SqlType;

/// After so many batches the kept values are copied together, so that the rest of the batches can go.
const MAX_BATCHES: usize = 32;

/// The functions of first and last values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByOffset {
    Earliest,
    Latest,
}

/// A constant that says how many.
pub(super) fn positive(constant: Option<&ScalarValue>, what: &str, function: &str) -> Result<usize, String> {
    let number = constant.and_then(|value| match value.cast_to(&DataType::Int64) {
        Ok(ScalarValue::Int64(number)) => number,
        _ => None,
    });
    let number = number.filter(|&number| number > 0).and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| format!("{function}: {what} must be a whole number from 1 on"))
}

/// The constants of a call: how many values, if an array is asked for, and whether null counts.
fn options(constants: &[Option<ScalarValue>], name: &str) -> Result<(Option<usize>, Nulls), String> {
    let (mut count, mut nulls) = (None, Nulls::Skipped);
    for constant in constants.iter().skip(1).flatten() {
        match constant {
            ScalarValue::Boolean(Some(false)) => nulls = Nulls::Kept,
            ScalarValue::Boolean(Some(true)) => {}
            ScalarValue::Boolean(None) => return Err(format!("{name}: ignoreNulls must be true or false")),
            number => count = Some(positive(Some(number), "how many values", name)?),
        }
    }
    Ok((count, nulls))
}

impl Aggregate for ByOffset {
    fn name(&self) -> &'static str {
        match self {
            Self::Earliest => "EARLIEST_BY_OFFSET",
            Self::Latest => "LATEST_BY_OFFSET",
        }
    }

    fn description(&self) -> &'static str {
        match self {
            Self::Earliest => {
                "The first value of a column, or an array of the first n; by default null does not count."
            }
            Self::Latest => "The last value of a column, or an array of the last n; by default null does not count.",
        }
    }

    fn shape(&self, arguments: &[SqlType]) -> Option<Shape> {
        let [value, constants @ ..] = arguments else { return None };
        let is_list = match constants {
            [] | [SqlType::Boolean] => false,
            [SqlType::Int | SqlType::BigInt] | [SqlType::Int | SqlType::BigInt, SqlType::Boolean] => true,
            _ => return None,
        };
        let returns = if is_list { SqlType::Array(Box::new(value.clone())) } else { value.clone() };
        Some(Shape { arguments: arguments.to_vec(), constants: constants.len(), returns })
    }

    fn check(&self, constants: &[Option<ScalarValue>]) -> Result<(), String> {
        options(constants, self.name()).map(drop)
    }

    fn is_ordered(&self) -> bool {
        true
    }

    fn state(&self, arguments: &[DataType]) -> Vec<DataType> {
        match self.has_groups(arguments) {
            true => vec![arguments[0].clone(), DataType::Boolean],
            false => vec![list_type(arguments[0].clone())],
        }
    }

    fn accumulator(&self, call: &Bound) -> DataFusionResult<Box<dyn Accumulator>> {
        let (count, nulls) = options(&call.constants, self.name()).map_err(DataFusionError::Plan)?;
        let of = call.arguments[0].clone();
        Ok(match (count, self) {
            (None, _) => Box::new(Alone(OneEach::new(*self, nulls, of))),
            (Some(count), Self::Earliest) => Box::new(Kept::new(of, 1, Rule::First(count), nulls, Undo::Unsupported)),
            (Some(count), Self::Latest) => Box::new(Kept::new(of, 1, Rule::Last(count), nulls, Undo::Unsupported)),
        })
    }

    fn has_groups(&self, arguments: &[DataType]) -> bool {
        matches!(arguments, [_] | [_, DataType::Boolean])
    }

    fn groups(&self, call: &Bound) -> DataFusionResult<Box<dyn GroupsAccumulator>> {
        let (_, nulls) = options(&call.constants, self.name()).map_err(DataFusionError::Plan)?;
        Ok(Box::new(OneEach::new(*self, nulls, call.arguments[0].clone())))
    }
}

/// One value a group, kept as the place of its row.
#[derive(Debug)]
struct OneEach {
    which: ByOffset,
    nulls: Nulls,
    of: DataType,
    /// The columns that values lie in; the first is a single null, which stands for no value.
    batches: Vec<ArrayRef>,
    /// Batch and row of each group's value.
    kept: Vec<(usize, usize)>,
}

/// Where there is no value.
const NONE: (usize, usize) = (0, 0);

impl OneEach {
    fn new(which: ByOffset, nulls: Nulls, of: DataType) -> Self {
        Self { which, nulls, batches: vec![new_null_array(&of, 1)], of, kept: Vec::new() }
    }

    fn keep(
        &mut self,
        values: &ArrayRef,
        groups: &[usize],
        counts: impl Fn(usize) -> bool,
        total: usize,
    ) -> DataFusionResult<()> {
        self.kept.resize(total.max(self.kept.len()), NONE);
        let batch = self.batches.len();
        let latest = self.which == ByOffset::Latest;
        let skips_nulls = self.nulls == Nulls::Skipped && values.null_count() > 0;
        for (row, &group) in groups.iter().enumerate() {
            let kept = &mut self.kept[group];
            if (latest || *kept == NONE) && counts(row) && !(skips_nulls && values.is_null(row)) {
                *kept = (batch, row);
            }
        }
        self.batches.push(Arc::clone(values));
        if self.batches.len() > MAX_BATCHES {
            self.compact()?;
        }
        Ok(())
    }

    fn compact(&mut self) -> DataFusionResult<()> {
        let all = self.values(&self.kept)?;
        for (group, kept) in self.kept.iter_mut().enumerate().filter(|(_, kept)| **kept != NONE) {
            *kept = (1, group);
        }
        self.batches.truncate(1);
        self.batches.push(all);
        Ok(())
    }

    fn values(&self, kept: &[(usize, usize)]) -> DataFusionResult<ArrayRef> {
        if kept.is_empty() {
            return Ok(arrow::array::new_empty_array(&self.of));
        }
        let batches: Vec<&dyn Array> = self.batches.iter().map(AsRef::as_ref).collect();
        Ok(compute::interleave(&batches, kept)?)
    }

    fn take(&mut self, emit_to: EmitTo) -> DataFusionResult<(ArrayRef, BooleanArray)> {
        let kept = emit_to.take_needed(&mut self.kept);
        let values = self.values(&kept)?;
        if self.kept.is_empty() {
            self.batches.truncate(1);
        }
        Ok((values, kept.iter().map(|kept| Some(*kept != NONE)).collect()))
    }
}

impl GroupsAccumulator for OneEach {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> DataFusionResult<()> {
        let passes = |row| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        self.keep(&values[0], groups, passes, total)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> DataFusionResult<ArrayRef> {
        Ok(self.take(emit_to)?.0)
    }

    fn state(&mut self, emit_to: EmitTo) -> DataFusionResult<Vec<ArrayRef>> {
        let (values, seen) = self.take(emit_to)?;
        Ok(vec![values, Arc::new(seen)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> DataFusionResult<()> {
        let seen = states[1].as_boolean();
        self.keep(&states[0], groups, |row| seen.is_valid(row) && seen.value(row), total)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> DataFusionResult<Vec<ArrayRef>> {
        let groups: Vec<usize> = (0..values[0].len()).collect();
        let mut each = Self::new(self.which, self.nulls, self.of.clone());
        each.update_batch(values, &groups, filter, groups.len())?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        let batches: usize = self.batches.iter().map(|batch| batch.get_array_memory_size()).sum();
        batches + self.kept.capacity() * size_of::<(usize, usize)>()
    }
}

/// The value of one group.
#[derive(Debug)]
struct Alone(OneEach);

impl Alone {
    fn kept(&self) -> &[(usize, usize)] {
        if self.0.kept.is_empty() { &[NONE] } else { &self.0.kept }
    }
}

impl Accumulator for Alone {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        let groups = vec![0; values[0].len()];
        self.0.update_batch(values, &groups, None, 1)
    }

    fn evaluate(&mut self) -> DataFusionResult<ScalarValue> {
        ScalarValue::try_from_array(&self.0.values(self.kept())?, 0)
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn state(&mut self) -> DataFusionResult<Vec<ScalarValue>> {
        let seen = ScalarValue::Boolean(Some(self.kept()[0] != NONE));
        Ok(vec![self.evaluate()?, seen])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DataFusionResult<()> {
        let groups = vec![0; states[0].len()];
        self.0.merge_batch(states, &groups, 1)
    }
}
