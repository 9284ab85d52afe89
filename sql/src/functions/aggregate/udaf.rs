//! An aggregate function of ours as one of DataFusion.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    datatypes::{DataType, Field, FieldRef, Schema},
};
use datafusion::{
    common::ScalarValue,
    error::{DataFusionError, Result as DataFusionResult},
    logical_expr::{
        Accumulator, AggregateUDFImpl, ColumnarValue, GroupsAccumulator, Signature, Volatility,
        function::{AccumulatorArgs, StateFieldsArgs},
        utils::AggregateOrderSensitivity,
    },
    physical_expr::{PhysicalExpr, expressions::Literal},
};

use super::{Aggregate, Bound, Shape};
use crate::catalog::SqlType;

/// A function of DataFusion that an [`Aggregate`] is.
#[derive(Debug)]
pub(super) struct Udaf {
    of: Arc<dyn Aggregate>,
    name: String,
    signature: Signature,
}

impl PartialEq for Udaf {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && format!("{:?}", self.of) == format!("{:?}", other.of)
    }
}

impl Eq for Udaf {}

impl Hash for Udaf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Udaf {
    pub(super) fn new(of: Arc<dyn Aggregate>) -> Self {
        let name = of.name().to_ascii_lowercase();
        Self { of, name, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn shape(&self, arguments: &[DataType]) -> DataFusionResult<Shape> {
        let types: Option<Vec<SqlType>> = arguments.iter().map(SqlType::from_arrow).collect();
        types.and_then(|types| self.of.shape(&types)).ok_or_else(|| {
            let types = arguments.iter().map(|of| match SqlType::from_arrow(of) {
                Some(known) => known.to_string(),
                None => of.to_string(),
            });
            let types = types.collect::<Vec<_>>().join(", ");
            DataFusionError::Plan(format!("Function '{}' does not accept parameters ({types}).", self.of.name()))
        })
    }

    fn bound(&self, args: &AccumulatorArgs<'_>) -> DataFusionResult<Bound> {
        let arguments: Vec<DataType> = args.expr_fields.iter().map(|field| field.data_type().clone()).collect();
        let first_constant = arguments.len() - self.shape(&arguments)?.constants.min(arguments.len());
        let mut constants = vec![None; arguments.len()];
        for (index, expr) in args.exprs.iter().enumerate().skip(first_constant) {
            constants[index] = Some(constant(expr).ok_or_else(|| {
                let (place, name) = (index + 1, self.of.name());
                let problem = format!("Parameter {place} passed to function {name} must be a literal constant");
                DataFusionError::Plan(format!("{problem}, but was expression: '{expr}'"))
            })?);
        }
        self.of.check(&constants).map_err(DataFusionError::Plan)?;
        Ok(Bound { arguments, returns: args.return_field.data_type().clone(), constants })
    }
}

/// The value of an expression that reads no column.
fn constant(expr: &Arc<dyn PhysicalExpr>) -> Option<ScalarValue> {
    if let Some(literal) = expr.downcast_ref::<Literal>() {
        return Some(literal.value().clone());
    }
    let one_row = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &one_row).ok()?;
    match expr.evaluate(&row).ok()? {
        ColumnarValue::Scalar(value) => Some(value),
        ColumnarValue::Array(_) => None,
    }
}

impl AggregateUDFImpl for Udaf {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> DataFusionResult<Vec<DataType>> {
        Ok(self.shape(arguments)?.arguments.iter().map(SqlType::to_arrow).collect())
    }

    fn return_type(&self, arguments: &[DataType]) -> DataFusionResult<DataType> {
        Ok(self.shape(arguments)?.returns.to_arrow())
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> DataFusionResult<Vec<FieldRef>> {
        let arguments: Vec<DataType> = args.input_fields.iter().map(|field| field.data_type().clone()).collect();
        let field = |(index, of): (usize, DataType)| Field::new(format!("{}[state{index}]", args.name), of, true);
        Ok(self.of.state(&arguments).into_iter().enumerate().map(field).map(Arc::new).collect())
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> DataFusionResult<Box<dyn Accumulator>> {
        self.of.accumulator(&self.bound(&args)?)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        let arguments: Vec<DataType> = args.expr_fields.iter().map(|field| field.data_type().clone()).collect();
        self.of.has_groups(&arguments)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> DataFusionResult<Box<dyn GroupsAccumulator>> {
        self.of.groups(&self.bound(&args)?)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        // Rows come in the order of their offsets: there is no sort to ask for.
        match self.of.is_ordered() {
            true => AggregateOrderSensitivity::Beneficial,
            false => AggregateOrderSensitivity::Insensitive,
        }
    }
}
