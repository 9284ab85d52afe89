//! Aggregations: what is computed over a group, as vectorised accumulators with mergeable states.
//!
//! An aggregation has a *state* (one or more columns, one row a group) and a *result*. States of parts of a group merge to the
//! state of the whole, which is what makes two-step aggregation work: a commit interval is folded in memory, its states are
//! merged into the stored ones once.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array, new_empty_array, new_null_array},
    compute,
    datatypes::{Field, FieldRef},
};
use datafusion::{
    common::{DFSchema, tree_node::TreeNode},
    error::{DataFusionError, Result as DataFusionResult},
    logical_expr::{EmitTo, Expr, GroupsAccumulator, expr::AggregateFunction, utils::AggregateOrderSensitivity},
    optimizer::analyzer::type_coercion::TypeCoercionRewriter,
    physical_expr::{
        GroupsAccumulatorAdapter,
        aggregate::{AggregateExprBuilder, AggregateFunctionExpr},
    },
};

use super::{Expression, ExpressionError, RowError};
use crate::schema::StreamSchema;

/// One aggregation, bound to the columns of its input.
#[derive(Debug, Clone)]
pub struct Aggregation {
    pub(super) function: Arc<AggregateFunctionExpr>,
    pub(super) arguments: Vec<Expression>,
    pub(super) filter: Option<Expression>,
    pub(super) result: FieldRef,
    pub(super) state: Vec<FieldRef>,
    /// The call and its type as text, whatever the result is called.
    what: String,
    /// Count, sum, min and max: the state is the result, so that it need not be computed twice.
    state_is_result: bool,
}

impl Aggregation {
    /// Binds an aggregate expression such as `sum(col("amount"))`, with an alias or not, to the columns of `schema`.
    ///
    /// # Errors
    /// [`ExpressionError`] if it is no call of an aggregate function, or of one that depends on an order of rows, or if columns
    /// and types do not fit.
    pub fn bind(expr: &Expr, schema: &StreamSchema) -> Result<Self, ExpressionError> {
        let error = |problem: DataFusionError| ExpressionError::new(expr, problem.strip_backtrace());
        let (name, call) = match expr {
            Expr::Alias(alias) => (alias.name.clone(), alias.expr.as_ref().clone()),
            other => (other.schema_name().to_string(), other.clone()),
        };
        let columns = DFSchema::try_from(schema.columns().as_ref().clone()).map_err(error)?;
        let coerced = call.rewrite(&mut TypeCoercionRewriter::new(&columns)).map_err(error)?.data;
        let text = coerced.to_string();
        let Expr::AggregateFunction(AggregateFunction { func, params }) = coerced else {
            return Err(ExpressionError::new(expr, "is no call of an aggregate function"));
        };
        if !params.order_by.is_empty() {
            return Err(ExpressionError::new(expr, "ORDER BY inside an aggregate function is not there yet"));
        }
        let arguments: Vec<Expression> =
            params.args.iter().map(|argument| Expression::bind(argument, schema)).collect::<Result<_, _>>()?;
        let filter = params.filter.as_deref().map(|filter| Expression::bind(filter, schema)).transpose()?;
        let physical = arguments.iter().map(Expression::physical).collect();
        let builder = AggregateExprBuilder::new(func, physical)
            .schema(Arc::clone(schema.columns()))
            .alias(&name)
            .with_distinct(params.distinct);
        let function = Arc::new(builder.build().map_err(error)?);
        if function.order_sensitivity() == AggregateOrderSensitivity::HardRequirement {
            return Err(ExpressionError::new(expr, "depends on an order of rows, which a stream does not keep"));
        }
        let result = Arc::new(Field::new(&name, function.field().data_type().clone(), true));
        let what = format!("{text}: {}", result.data_type());
        let state = function.state_fields().map_err(error)?;
        let state_is_result = matches!(function.fun().name(), "count" | "sum" | "min" | "max")
            && !params.distinct
            && state.len() == 1
            && state[0].data_type() == result.data_type();
        // Arguments that must be constants are looked at when an accumulator is made: once here, so that a mistake shows now.
        if function.groups_accumulator_supported() {
            function.create_groups_accumulator().map(drop).map_err(error)?;
        } else {
            function.create_accumulator().map(drop).map_err(error)?;
        }
        Ok(Self { function, arguments, filter, result, state, what, state_is_result })
    }

    /// The name and type of the result.
    pub fn result(&self) -> &FieldRef {
        &self.result
    }

    fn accumulator(&self) -> DataFusionResult<Box<dyn GroupsAccumulator>> {
        if self.function.groups_accumulator_supported() {
            return self.function.create_groups_accumulator();
        }
        let function = Arc::clone(&self.function);
        Ok(Box::new(GroupsAccumulatorAdapter::new(move || function.create_accumulator())))
    }
}

/// The aggregations of one operator, side by side.
#[derive(Debug, Clone)]
pub struct AggregationSet {
    aggregations: Vec<Aggregation>,
}

impl AggregationSet {
    /// Takes aggregations together, in the order of their results.
    pub fn new(aggregations: Vec<Aggregation>) -> Self {
        Self { aggregations }
    }

    /// The columns of the results.
    pub fn results(&self) -> Vec<FieldRef> {
        self.aggregations.iter().map(|aggregation| Arc::clone(&aggregation.result)).collect()
    }

    /// The columns of the states.
    pub fn states(&self) -> Vec<FieldRef> {
        self.aggregations.iter().flat_map(|aggregation| aggregation.state.iter().cloned()).collect()
    }

    /// What each aggregation computes, as text, and how many columns its state has.
    pub fn parts(&self) -> Vec<(String, usize)> {
        self.aggregations.iter().map(|aggregation| (aggregation.what.clone(), aggregation.state.len())).collect()
    }

    /// The names of the columns that are read.
    pub fn columns(&self) -> Vec<String> {
        let expressions = self.aggregations.iter().flat_map(|one| one.arguments.iter().chain(&one.filter));
        expressions.flat_map(Expression::columns).collect()
    }

    /// Empty accumulators.
    ///
    /// # Errors
    /// If DataFusion has no accumulator for these types.
    pub fn accumulators(&self) -> DataFusionResult<Vec<Box<dyn GroupsAccumulator>>> {
        self.aggregations.iter().map(Aggregation::accumulator).collect()
    }

    /// Folds `rows` into `accumulators`: row `picked[i]`, or row `i` where nothing is picked, into group `groups[i]` of `total`.
    /// Rows for which an argument cannot be computed count with a null argument and are added to `errors`.
    ///
    /// # Errors
    /// Those of the accumulators, such as an overflowing decimal sum.
    pub fn update(
        &self,
        accumulators: &mut [Box<dyn GroupsAccumulator>],
        rows: &RecordBatch,
        picked: Option<&UInt32Array>,
        groups: &[usize],
        total: usize,
        errors: &mut Vec<RowError>,
    ) -> DataFusionResult<()> {
        let mut column = |expression: &Expression| -> DataFusionResult<ArrayRef> {
            let mut evaluated = expression.evaluate(rows);
            errors.append(&mut evaluated.errors);
            Ok(match picked {
                Some(picked) => compute::take(&evaluated.column, picked, None)?,
                None => evaluated.column,
            })
        };
        for (aggregation, accumulator) in self.aggregations.iter().zip(accumulators) {
            let arguments = aggregation.arguments.iter().map(&mut column).collect::<DataFusionResult<Vec<_>>>()?;
            let filter = aggregation.filter.as_ref().map(&mut column).transpose()?;
            let filter = filter.as_ref().map(|filter| BooleanArray::from(filter.to_data()));
            accumulator.update_batch(&arguments, groups, filter.as_ref(), total)?;
        }
        Ok(())
    }

    /// Merges states, one row a group of `groups`, into `accumulators`.
    ///
    /// # Errors
    /// Those of the accumulators.
    pub fn merge(
        &self,
        accumulators: &mut [Box<dyn GroupsAccumulator>],
        states: &[ArrayRef],
        groups: &[usize],
        total: usize,
    ) -> DataFusionResult<()> {
        let mut states = states;
        for (aggregation, accumulator) in self.aggregations.iter().zip(accumulators) {
            let (own, rest) = states.split_at(aggregation.state.len());
            accumulator.merge_batch(own, groups, total)?;
            states = rest;
        }
        Ok(())
    }

    /// The states of all groups, which leave the accumulators empty.
    ///
    /// # Errors
    /// Those of the accumulators.
    pub fn take_states(&self, accumulators: &mut [Box<dyn GroupsAccumulator>]) -> DataFusionResult<Vec<ArrayRef>> {
        let mut states = Vec::with_capacity(self.aggregations.len());
        for accumulator in accumulators {
            states.append(&mut accumulator.state(EmitTo::All)?);
        }
        Ok(states)
    }

    /// The states of a group that has seen no row: one row.
    ///
    /// # Errors
    /// Those of the accumulators.
    pub fn empty_states(&self) -> DataFusionResult<Vec<ArrayRef>> {
        let mut accumulators = self.accumulators()?;
        // Accumulators take a group that they are not told about for one that has seen a value: a row is shown to them and left out.
        let left_out = BooleanArray::from(vec![false]);
        for (aggregation, accumulator) in self.aggregations.iter().zip(&mut accumulators) {
            let null = |argument: &Expression| new_null_array(argument.field().data_type(), 1);
            let arguments: Vec<ArrayRef> = aggregation.arguments.iter().map(null).collect();
            accumulator.update_batch(&arguments, &[0], Some(&left_out), 1)?;
        }
        self.take_states(&mut accumulators)
    }

    /// The results that belong to states, row by row.
    ///
    /// # Errors
    /// Those of the accumulators.
    pub fn results_of(&self, states: &[ArrayRef]) -> DataFusionResult<Vec<ArrayRef>> {
        let rows = states.first().map_or(0, |column| column.len());
        let groups: Vec<usize> = (0..rows).collect();
        let mut states = states;
        let mut results = Vec::with_capacity(self.aggregations.len());
        for aggregation in &self.aggregations {
            let (own, rest) = states.split_at(aggregation.state.len());
            states = rest;
            results.push(if aggregation.state_is_result {
                Arc::clone(&own[0])
            } else if rows == 0 {
                // An accumulator that goes group by group cannot make an array of none.
                new_empty_array(aggregation.result.data_type())
            } else {
                let mut accumulator = aggregation.accumulator()?;
                accumulator.merge_batch(own, &groups, rows)?;
                accumulator.evaluate(EmitTo::All)?
            });
        }
        Ok(results)
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{AsArray, Int64Array},
        datatypes::{DataType, Float64Type, Int64Type},
    };

    use super::*;
    use crate::expression::{avg, col, count, lit, max, sum};

    /// Folds `parts` apart, merges their states and gives the results of group 0.
    fn check(parts: &[&[Option<i64>]]) -> (i64, Option<i64>, Option<f64>, Option<i64>) {
        let field = Arc::new(Field::new("a", DataType::Int64, true));
        let schema = StreamSchema::new(vec![], vec![field], false).expect("legal schema");
        let calls = [count(lit(1_i64)), sum(col("a")), avg(col("a")), max(col("a"))];
        let set =
            AggregationSet::new(calls.iter().map(|call| Aggregation::bind(call, &schema).expect("binds")).collect());
        let mut whole = set.accumulators().expect("supported types");
        for part in parts {
            let column: ArrayRef = Arc::new(Int64Array::from(part.to_vec()));
            let times: ArrayRef = Arc::new(Int64Array::from(vec![0; part.len()]));
            let none = crate::Batch::no_offsets(part.len());
            let batch = crate::Batch::new(Arc::clone(&schema), vec![column, times, none]);
            let mut partial = set.accumulators().expect("supported types");
            let groups = vec![0; part.len()];
            set.update(&mut partial, batch.rows(), None, &groups, 1, &mut Vec::new()).expect("folds");
            let states = set.take_states(&mut partial).expect("has states");
            set.merge(&mut whole, &states, &[0], 1).expect("merges");
        }
        let states = set.take_states(&mut whole).expect("has states");
        let results = set.results_of(&states).expect("has results");
        let whole = |column: usize| {
            let column = results[column].as_primitive::<Int64Type>();
            column.iter().next().expect("one group")
        };
        let average = results[2].as_primitive::<Float64Type>().iter().next().expect("one group");
        (whole(0).expect("a count is never null"), whole(1), average, whole(3))
    }

    #[test]
    fn merged_states_give_the_result_of_all_rows() {
        assert_eq!(check(&[&[Some(1), None], &[Some(5)]]), (3, Some(6), Some(3.0), Some(5)));
        assert_eq!(check(&[&[None]]), (1, None, None, None));
    }
}
