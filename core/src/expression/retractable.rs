//! Aggregations over tables: what a row contributed is taken back when the row changes or goes.
//!
//! Three ways, the first that fits is taken:
//!
//! | way | for | state | cost of a row |
//! |---|---|---|---|
//! | sums | [`Linear`] ones: COUNT, SUM, AVG | the sums | an addition, vectorised over groups |
//! | undo | accumulators with `retract_batch` | theirs | one call a run of rows of a group |
//! | replay | all others: MIN, MAX, .. | the rows of the group | see [`Replayed`] |

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef},
    datatypes::{DataType, Field, FieldRef},
};
use datafusion::{
    common::ScalarValue,
    error::Result as DataFusionResult,
    functions_aggregate::{average::Avg, count::Count, sum::Sum},
    logical_expr::{Accumulator, Expr},
    physical_expr::aggregate::AggregateFunctionExpr,
};

use super::{
    Aggregation, Expression, ExpressionError, Linear, LinearCount, LinearFunction, LinearMean, LinearSum, col,
    replay::Replayed,
};
use crate::schema::StreamSchema;

/// The column that says which row of the table a change is of.
pub(crate) const ROW: &str = "__row";

/// One aggregation from which rows can be taken back.
#[derive(Debug, Clone)]
pub struct RetractableAggregation {
    aggregation: Aggregation,
    /// What is aggregated; behind it, where equal rows must be told apart, which row it is.
    arguments: Vec<Expression>,
    way: Way,
    state: Vec<FieldRef>,
}

/// How rows are taken back.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// By subtraction.
    Sums(Arc<dyn LinearFunction>),
    /// Group by group, by accumulators that can.
    Each(Each),
}

/// Makes accumulators that can take rows back.
#[derive(Debug, Clone)]
pub(crate) enum Each {
    /// Those of the function.
    Undo(Arc<AggregateFunctionExpr>),
    /// Replays.
    Replay(Arc<Replayed>),
}

impl Each {
    /// An accumulator without rows.
    pub(crate) fn accumulator(&self) -> DataFusionResult<Box<dyn Accumulator>> {
        match self {
            Self::Undo(function) => function.create_accumulator(),
            Self::Replay(shared) => Ok(shared.accumulator()),
        }
    }
}

impl RetractableAggregation {
    /// Binds an aggregate expression to the columns of `schema`, which are those of changes. If there is a column `__row`, rows that
    /// are kept in order are known by it.
    ///
    /// # Errors
    /// As [`Aggregation::bind`]; also if its rows would have to be kept and an argument has no row encoding.
    pub fn bind(expr: &Expr, schema: &StreamSchema) -> Result<Self, ExpressionError> {
        let aggregation = Aggregation::bind(expr, schema)?;
        let error = |problem: datafusion::error::DataFusionError| ExpressionError::new(expr, problem.strip_backtrace());
        let name = aggregation.result.name().clone();
        let mut arguments = aggregation.arguments.clone();
        let identity = schema.value().iter().any(|field| field.name() == ROW);
        let way = Self::find_way(&aggregation, identity).map_err(error)?;
        if let Way::Each(Each::Replay(replayed)) = &way
            && replayed.has_identity()
        {
            arguments.push(Expression::bind(&col(ROW), schema)?);
        }
        let state = match &way {
            Way::Sums(function) => {
                let field =
                    |(index, of): (usize, DataType)| Arc::new(Field::new(format!("{name}[sum{index}]"), of, true));
                function.sums().into_iter().enumerate().map(field).collect()
            }
            Way::Each(Each::Undo(_)) => aggregation.state.clone(),
            Way::Each(Each::Replay(_)) => Replayed::state(&name),
        };
        Ok(Self { aggregation, arguments, way, state })
    }

    fn find_way(aggregation: &Aggregation, identity: bool) -> DataFusionResult<Way> {
        let function = &aggregation.function;
        if let Some(linear) = linear(aggregation)? {
            return Ok(Way::Sums(linear));
        }
        if function.create_accumulator()?.supports_retract_batch() {
            return Ok(Way::Each(Each::Undo(Arc::clone(function))));
        }
        let arguments: Vec<FieldRef> =
            aggregation.arguments.iter().map(|argument| Arc::clone(argument.field())).collect();
        let replayed = Replayed::new(Arc::clone(function), &arguments, identity)?;
        Ok(Way::Each(Each::Replay(Arc::new(replayed))))
    }

    /// Whether it matters which of several equal rows goes.
    pub(crate) fn needs_identity(&self) -> bool {
        matches!(&self.way, Way::Each(Each::Replay(replayed)) if replayed.is_ordered())
    }

    /// What is aggregated.
    pub(crate) fn arguments(&self) -> &[Expression] {
        &self.arguments
    }

    /// Which rows count; `None`: all.
    pub(crate) fn filter(&self) -> Option<&Expression> {
        self.aggregation.filter.as_ref()
    }

    /// How its rows are taken back.
    pub(crate) fn way(&self) -> &Way {
        &self.way
    }

    /// The columns of the state.
    pub(crate) fn state(&self) -> &[FieldRef] {
        &self.state
    }

    /// The results that belong to states, row by row.
    fn results_of(&self, states: &[ArrayRef]) -> DataFusionResult<ArrayRef> {
        let each = match &self.way {
            Way::Sums(function) => return function.result(states),
            Way::Each(each) => each,
        };
        let rows = states.first().map_or(0, |column| column.len());
        let mut results = Vec::with_capacity(rows);
        for row in 0..rows {
            let mut accumulator = each.accumulator()?;
            let state: Vec<ArrayRef> = states.iter().map(|column| column.slice(row, 1)).collect();
            accumulator.merge_batch(&state)?;
            results.push(accumulator.evaluate()?);
        }
        to_array(results, self.aggregation.result.data_type())
    }
}

/// One value a row, of `of` even if there is no row.
pub(crate) fn to_array(values: Vec<ScalarValue>, of: &DataType) -> DataFusionResult<ArrayRef> {
    if values.is_empty() { Ok(arrow::array::new_empty_array(of)) } else { ScalarValue::iter_to_array(values) }
}

/// The sums that an aggregation is made of, if it is made of sums.
fn linear(aggregation: &Aggregation) -> DataFusionResult<Option<Arc<dyn LinearFunction>>> {
    let function = &aggregation.function;
    if function.is_distinct() {
        return Ok(None);
    }
    if function.groups_accumulator_supported() {
        let groups: Box<dyn std::any::Any> = function.create_groups_accumulator()?;
        if let Ok(linear) = groups.downcast::<Linear>() {
            return Ok(Some(Arc::clone(linear.function())));
        }
    }
    let udaf = function.fun().inner();
    let result = aggregation.result.data_type();
    Ok(if udaf.is::<Count>() {
        Some(Arc::new(LinearCount))
    } else if udaf.is::<Sum>() && matches!(result, DataType::Int64 | DataType::Float64 | DataType::Decimal128(..)) {
        Some(Arc::new(LinearSum { of: result.clone() }))
    } else if udaf.is::<Avg>() && *result == DataType::Float64 {
        Some(Arc::new(LinearMean { of: DataType::Float64, of_none: None }))
    } else {
        None
    })
}

/// The aggregations of one operator over changes of a table, side by side.
#[derive(Debug, Clone)]
pub struct RetractableSet {
    aggregations: Vec<RetractableAggregation>,
}

impl RetractableSet {
    /// Takes aggregations together, in the order of their results.
    pub fn new(aggregations: Vec<RetractableAggregation>) -> Self {
        Self { aggregations }
    }

    /// The aggregations.
    pub(crate) fn aggregations(&self) -> &[RetractableAggregation] {
        &self.aggregations
    }

    /// The columns of the results.
    pub fn results(&self) -> Vec<FieldRef> {
        self.aggregations.iter().map(|one| Arc::clone(&one.aggregation.result)).collect()
    }

    /// The columns of the states.
    pub fn states(&self) -> Vec<FieldRef> {
        self.aggregations.iter().flat_map(|one| one.state.iter().cloned()).collect()
    }

    /// The names of the columns that are read.
    pub fn columns(&self) -> Vec<String> {
        let expressions = self.aggregations.iter().flat_map(|one| one.arguments().iter().chain(one.filter()));
        expressions.flat_map(Expression::columns).collect()
    }

    /// The results that belong to states, row by row.
    ///
    /// # Errors
    /// Those of the accumulators.
    pub fn results_of(&self, states: &[ArrayRef]) -> DataFusionResult<Vec<ArrayRef>> {
        let mut states = states;
        let mut results = Vec::with_capacity(self.aggregations.len());
        for one in &self.aggregations {
            let (own, rest) = states.split_at(one.state.len());
            results.push(one.results_of(own)?);
            states = rest;
        }
        Ok(results)
    }
}
