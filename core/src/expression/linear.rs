//! Linear aggregations: a state that is nothing but sums over rows, so that taking a row back is subtraction.
//!
//! COUNT, SUM and the mean are of this kind. Their states form a group: what an interval adds and takes away can be summed up apart
//! and merged into the stored sums later, in any order, with one subtraction a row and no look at the state.
//!
//! ```text
//! mean of x     sums  x | 1 where x is not null     row (5) comes: +5 | +1     row (5) goes: -5 | -1     result  first / second
//! ```
//!
//! Whole numbers wrap around as Java's do; a decimal sum that outgrows its type is an error. Doubles are summed in the order of rows.

use std::{fmt, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array},
    buffer::NullBuffer,
    compute,
    datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, Float64Type, Int32Type, Int64Type},
};
use datafusion::{
    common::ScalarValue,
    error::{DataFusionError, Result as DataFusionResult},
    logical_expr::{Accumulator, EmitTo, GroupsAccumulator},
};

/// What a linear aggregation sums up, and how its result is read from the sums.
pub trait LinearFunction: fmt::Debug + Send + Sync {
    /// The types of the sums: Int32, Int64, Float64 or Decimal128. They are the columns of the state.
    fn sums(&self) -> Vec<DataType>;

    /// What each row adds: one column of the type of each sum. Null adds nothing.
    ///
    /// # Errors
    /// If the arguments are not of the types it is for.
    fn terms(&self, arguments: &[ArrayRef]) -> DataFusionResult<Vec<ArrayRef>>;

    /// The results that belong to sums, row by row.
    ///
    /// # Errors
    /// If they cannot be computed at all.
    fn result(&self, sums: &[ArrayRef]) -> DataFusionResult<ArrayRef>;
}

/// How many rows have a value in every argument.
#[derive(Debug)]
pub struct LinearCount;

/// The sum of a column, 0 if there is no value.
#[derive(Debug)]
pub struct LinearSum {
    /// The type of the sum; the argument is cast to it.
    pub of: DataType,
}

/// The mean of a column.
#[derive(Debug)]
pub struct LinearMean {
    /// The type in which it is summed up: Int64 or Float64; the argument is cast to it.
    pub of: DataType,
    /// The mean of no value.
    pub of_none: Option<f64>,
}

impl LinearFunction for LinearCount {
    fn sums(&self) -> Vec<DataType> {
        vec![DataType::Int64]
    }

    fn terms(&self, arguments: &[ArrayRef]) -> DataFusionResult<Vec<ArrayRef>> {
        Ok(vec![Arc::new(ones(arguments))])
    }

    fn result(&self, sums: &[ArrayRef]) -> DataFusionResult<ArrayRef> {
        Ok(Arc::clone(&sums[0]))
    }
}

impl LinearFunction for LinearSum {
    fn sums(&self) -> Vec<DataType> {
        vec![self.of.clone()]
    }

    fn terms(&self, arguments: &[ArrayRef]) -> DataFusionResult<Vec<ArrayRef>> {
        Ok(vec![compute::cast(&arguments[0], &self.of)?])
    }

    fn result(&self, sums: &[ArrayRef]) -> DataFusionResult<ArrayRef> {
        Ok(Arc::clone(&sums[0]))
    }
}

impl LinearFunction for LinearMean {
    fn sums(&self) -> Vec<DataType> {
        vec![self.of.clone(), DataType::Int64]
    }

    fn terms(&self, arguments: &[ArrayRef]) -> DataFusionResult<Vec<ArrayRef>> {
        Ok(vec![compute::cast(&arguments[0], &self.of)?, Arc::new(ones(&arguments[..1]))])
    }

    fn result(&self, sums: &[ArrayRef]) -> DataFusionResult<ArrayRef> {
        let totals = compute::cast(&sums[0], &DataType::Float64)?;
        let totals = totals.as_primitive::<Float64Type>().values().iter();
        let counts = sums[1].as_primitive::<Int64Type>().values();
        let mean = |(total, &count): (&f64, &i64)| if count == 0 { self.of_none } else { Some(total / count as f64) };
        Ok(Arc::new(totals.zip(counts).map(mean).collect::<Float64Array>()))
    }
}

/// 1 where every argument has a value, null elsewhere.
fn ones(arguments: &[ArrayRef]) -> Int64Array {
    let rows = arguments.first().map_or(0, |column| column.len());
    let valid =
        arguments.iter().fold(None, |valid, column| NullBuffer::union(valid.as_ref(), column.logical_nulls().as_ref()));
    Int64Array::new(vec![1; rows].into(), valid)
}

/// One sum a group.
#[derive(Debug)]
enum Sums {
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float64(Vec<f64>),
    Decimal(Vec<i128>, u8, i8),
}

/// The rows of `column` that have a value and pass the filter, with their groups.
fn each<T: ArrowPrimitiveType>(
    column: &ArrayRef,
    groups: &[usize],
    filter: Option<&BooleanArray>,
    mut add: impl FnMut(usize, T::Native),
) {
    let column = column.as_primitive::<T>();
    if column.null_count() == 0 && filter.is_none() {
        groups.iter().zip(column.values()).for_each(|(&group, &value)| add(group, value));
        return;
    }
    for (row, &group) in groups.iter().enumerate() {
        let passes = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        if passes && column.is_valid(row) {
            add(group, column.value(row));
        }
    }
}

impl Sums {
    fn new(of: &DataType) -> DataFusionResult<Self> {
        Ok(match of {
            DataType::Int32 => Self::Int32(Vec::new()),
            DataType::Int64 => Self::Int64(Vec::new()),
            DataType::Float64 => Self::Float64(Vec::new()),
            DataType::Decimal128(precision, scale) => Self::Decimal(Vec::new(), *precision, *scale),
            other => return Err(DataFusionError::Plan(format!("there are no sums of {other}"))),
        })
    }

    fn resize(&mut self, total: usize) {
        match self {
            Self::Int32(sums) => sums.resize(total.max(sums.len()), 0),
            Self::Int64(sums) => sums.resize(total.max(sums.len()), 0),
            Self::Float64(sums) => sums.resize(total.max(sums.len()), 0.0),
            Self::Decimal(sums, ..) => sums.resize(total.max(sums.len()), 0),
        }
    }

    fn add(&mut self, column: &ArrayRef, groups: &[usize], filter: Option<&BooleanArray>) -> DataFusionResult<()> {
        match self {
            Self::Int32(sums) => {
                each::<Int32Type>(column, groups, filter, |group, term| sums[group] = sums[group].wrapping_add(term));
            }
            Self::Int64(sums) => {
                each::<Int64Type>(column, groups, filter, |group, term| sums[group] = sums[group].wrapping_add(term));
            }
            Self::Float64(sums) => each::<Float64Type>(column, groups, filter, |group, term| sums[group] += term),
            Self::Decimal(sums, precision, scale) => {
                let mut fits = true;
                each::<Decimal128Type>(column, groups, filter, |group, term| {
                    let (sum, overflows) = sums[group].overflowing_add(term);
                    (sums[group], fits) = (sum, fits && !overflows);
                });
                return if fits { Ok(()) } else { Err(overflow(*precision, *scale)) };
            }
        }
        Ok(())
    }

    fn subtract(&mut self, column: &ArrayRef, groups: &[usize], filter: Option<&BooleanArray>) -> DataFusionResult<()> {
        match self {
            Self::Int32(sums) => {
                each::<Int32Type>(column, groups, filter, |group, term| sums[group] = sums[group].wrapping_sub(term));
            }
            Self::Int64(sums) => {
                each::<Int64Type>(column, groups, filter, |group, term| sums[group] = sums[group].wrapping_sub(term));
            }
            Self::Float64(sums) => each::<Float64Type>(column, groups, filter, |group, term| sums[group] -= term),
            Self::Decimal(sums, precision, scale) => {
                let mut fits = true;
                each::<Decimal128Type>(column, groups, filter, |group, term| {
                    let (sum, overflows) = sums[group].overflowing_sub(term);
                    (sums[group], fits) = (sum, fits && !overflows);
                });
                return if fits { Ok(()) } else { Err(overflow(*precision, *scale)) };
            }
        }
        Ok(())
    }

    fn take(&mut self, emit_to: EmitTo) -> DataFusionResult<ArrayRef> {
        Ok(match self {
            Self::Int32(sums) => Arc::new(Int32Array::from(emit_to.take_needed(sums))),
            Self::Int64(sums) => Arc::new(Int64Array::from(emit_to.take_needed(sums))),
            Self::Float64(sums) => Arc::new(Float64Array::from(emit_to.take_needed(sums))),
            Self::Decimal(sums, precision, scale) => {
                let limit = 10_u128.pow(u32::from(*precision));
                let sums = emit_to.take_needed(sums);
                if sums.iter().any(|sum| sum.unsigned_abs() >= limit) {
                    return Err(overflow(*precision, *scale));
                }
                Arc::new(Decimal128Array::from(sums).with_precision_and_scale(*precision, *scale)?)
            }
        })
    }

    fn size(&self) -> usize {
        match self {
            Self::Int32(sums) => sums.capacity() * 4,
            Self::Int64(sums) => sums.capacity() * 8,
            Self::Float64(sums) => sums.capacity() * 8,
            Self::Decimal(sums, ..) => sums.capacity() * 16,
        }
    }
}

fn overflow(precision: u8, scale: i8) -> DataFusionError {
    DataFusionError::Execution(format!(
        "Numeric field overflow: a sum has more digits than DECIMAL({precision}, {scale}); cast to one with more"
    ))
}

/// The sums of a [`LinearFunction`] for many groups.
#[derive(Debug)]
pub struct Linear {
    function: Arc<dyn LinearFunction>,
    sums: Vec<Sums>,
}

impl Linear {
    /// No groups yet.
    ///
    /// # Errors
    /// If a sum is of a type that there are no sums of.
    pub fn new(function: Arc<dyn LinearFunction>) -> DataFusionResult<Self> {
        let sums = function.sums().iter().map(Sums::new).collect::<DataFusionResult<_>>()?;
        Ok(Self { function, sums })
    }

    /// What is summed up.
    pub fn function(&self) -> &Arc<dyn LinearFunction> {
        &self.function
    }

    /// Takes rows back: the opposite of [`update_batch`](GroupsAccumulator::update_batch).
    ///
    /// # Errors
    /// As `update_batch`.
    pub fn retract_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> DataFusionResult<()> {
        let terms = self.function.terms(values)?;
        for (sums, terms) in self.sums.iter_mut().zip(&terms) {
            sums.resize(total);
            sums.subtract(terms, groups, filter)?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        terms: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> DataFusionResult<()> {
        for (sums, terms) in self.sums.iter_mut().zip(terms) {
            sums.resize(total);
            sums.add(terms, groups, filter)?;
        }
        Ok(())
    }
}

impl GroupsAccumulator for Linear {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> DataFusionResult<()> {
        let terms = self.function.terms(values)?;
        self.add(&terms, groups, filter, total)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> DataFusionResult<ArrayRef> {
        let sums = self.state(emit_to)?;
        self.function.result(&sums)
    }

    fn state(&mut self, emit_to: EmitTo) -> DataFusionResult<Vec<ArrayRef>> {
        self.sums.iter_mut().map(|sums| sums.take(emit_to)).collect()
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> DataFusionResult<()> {
        self.add(values, groups, None, total)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> DataFusionResult<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |column| column.len());
        let groups: Vec<usize> = (0..rows).collect();
        let mut one_each = Self::new(Arc::clone(&self.function))?;
        one_each.update_batch(values, &groups, filter, rows)?;
        one_each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.sums.iter().map(Sums::size).sum()
    }
}

/// The sums of a [`LinearFunction`] for one group.
#[derive(Debug)]
pub struct LinearAccumulator(Linear);

impl LinearAccumulator {
    /// Nothing summed up yet.
    ///
    /// # Errors
    /// As [`Linear::new`].
    pub fn new(function: Arc<dyn LinearFunction>) -> DataFusionResult<Self> {
        Ok(Self(Linear::new(function)?))
    }

    /// The sums, which stay.
    fn sums(&mut self) -> DataFusionResult<Vec<ArrayRef>> {
        self.0.sums.iter_mut().for_each(|sums| sums.resize(1));
        let sums = self.0.state(EmitTo::All)?;
        self.0.merge_batch(&sums, &[0], 1)?;
        Ok(sums)
    }
}

impl Accumulator for LinearAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        let groups = vec![0; values.first().map_or(0, |column| column.len())];
        self.0.update_batch(values, &groups, None, 1)
    }

    fn evaluate(&mut self) -> DataFusionResult<ScalarValue> {
        let sums = self.sums()?;
        ScalarValue::try_from_array(&self.0.function.result(&sums)?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.size()
    }

    fn state(&mut self) -> DataFusionResult<Vec<ScalarValue>> {
        self.sums()?.iter().map(|sums| ScalarValue::try_from_array(sums, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DataFusionResult<()> {
        let groups = vec![0; states.first().map_or(0, |column| column.len())];
        self.0.merge_batch(states, &groups, 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        let groups = vec![0; values.first().map_or(0, |column| column.len())];
        self.0.retract_batch(values, &groups, None, 1)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds `come`, takes `go` back, in two parts that are merged; gives the result of group 1 of 2, and that of one group alone.
    fn check(function: Arc<dyn LinearFunction>, come: ArrayRef, go: ArrayRef) -> Result<String, String> {
        let run = || -> DataFusionResult<(String, String)> {
            let (mut first, mut second) = (Linear::new(Arc::clone(&function))?, Linear::new(Arc::clone(&function))?);
            first.retract_batch(&[Arc::clone(&go)], &vec![1; go.len()], None, 2)?;
            second.update_batch(&[Arc::clone(&come)], &vec![1; come.len()], None, 2)?;
            let partial = first.state(EmitTo::All)?;
            second.merge_batch(&partial, &[0, 1], 2)?;
            let groups = ScalarValue::try_from_array(&second.evaluate(EmitTo::All)?, 1)?;
            let mut alone = LinearAccumulator::new(Arc::clone(&function))?;
            alone.update_batch(&[come])?;
            alone.retract_batch(&[go])?;
            Ok((groups.to_string(), alone.evaluate()?.to_string()))
        };
        let (groups, alone) = run().map_err(|error| error.strip_backtrace())?;
        assert_eq!(groups, alone);
        Ok(groups)
    }

    #[test]
    fn what_goes_is_subtracted() {
        let ints = |values: &[Option<i32>]| Arc::new(Int32Array::from(values.to_vec())) as ArrayRef;
        let mean = || Arc::new(LinearMean { of: DataType::Int64, of_none: Some(0.0) });
        let sum = || Arc::new(LinearSum { of: DataType::Int32 });
        let rows: [(Arc<dyn LinearFunction>, _, _, &str); 6] = [
            (Arc::new(LinearCount), ints(&[Some(1), None, Some(3)]), ints(&[Some(1)]), "1"),
            (sum(), ints(&[Some(1), None, Some(3)]), ints(&[Some(1), None]), "3"),
            (sum(), ints(&[None]), ints(&[]), "0"),
            (sum(), ints(&[Some(i32::MAX), Some(1)]), ints(&[]), "-2147483648"),
            (mean(), ints(&[Some(1), None, Some(3)]), ints(&[None]), "2"),
            (mean(), ints(&[Some(1)]), ints(&[Some(1)]), "0"),
        ];
        for (function, come, go, expected) in rows {
            assert_eq!(check(function, come, go).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn decimals_that_outgrow_their_type_are_errors() {
        let decimals = |values: Vec<i128>| {
            let array = Decimal128Array::from(values).with_precision_and_scale(4, 1).expect("fits");
            Arc::new(array) as ArrayRef
        };
        let sum = || Arc::new(LinearSum { of: DataType::Decimal128(4, 1) });
        assert_eq!(check(sum(), decimals(vec![5009, 3008]), decimals(vec![8])).as_deref(), Ok("800.9"));
        let problem = check(sum(), decimals(vec![5009, 5008]), decimals(vec![])).expect_err("10017 has five digits");
        assert!(problem.contains("Numeric field overflow") && problem.contains("DECIMAL(4, 1)"), "{problem}");
    }
}
