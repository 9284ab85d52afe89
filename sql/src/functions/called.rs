//! Calls of functions by DataFusion: arguments as an implementation sees them, its result checked; and a function found by its name.
//!
//! Expressions that the language binds itself hold functions made for one call. [`CalledByName`] is for queries that DataFusion plans: it
//! finds the overload from the types of the arguments, by the same rules.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{array::ArrayRef, datatypes::DataType};
use datafusion::{
    common::ScalarValue,
    error::{DataFusionError, Result as DataFusionResult},
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility},
};

use super::{
    resolution::{self, Given, Resolved},
    signature::{Argument, Call, ScalarFunction},
};
use crate::catalog::SqlType;

/// Evaluates a call over a batch, once if all arguments are constants and it gives the same for the same.
pub(crate) fn invoke(
    args: &ScalarFunctionArgs,
    name: &str,
    returns: &DataType,
    is_deterministic: bool,
    evaluate: impl Fn(&Call<'_>) -> Result<ArrayRef, String>,
) -> DataFusionResult<ColumnarValue> {
    let arguments = args
        .args
        .iter()
        .map(|argument| match argument {
            ColumnarValue::Array(column) => Ok(Argument::Column(Arc::clone(column))),
            ColumnarValue::Scalar(value) => value.to_array().map(Argument::Constant),
        })
        .collect::<DataFusionResult<Vec<_>>>()?;
    let is_constant =
        !arguments.is_empty() && is_deterministic && arguments.iter().all(|argument| argument.constant().is_some());
    let rows = if is_constant { 1 } else { args.number_rows };
    let column = evaluate(&Call { arguments: &arguments, rows, returns }).map_err(DataFusionError::Execution)?;
    if column.len() != rows || !column.data_type().equals_datatype(returns) {
        let problem = format!(
            "function {name} gave {} rows of {} where {rows} of {returns} were wanted",
            column.len(),
            column.data_type()
        );
        return Err(DataFusionError::Execution(problem));
    }
    if is_constant {
        return ScalarValue::try_from_array(&column, 0).map(ColumnarValue::Scalar);
    }
    Ok(ColumnarValue::Array(column))
}

/// A function of the language that DataFusion finds by its name, in lower case.
#[derive(Debug)]
pub(super) struct CalledByName {
    function: ScalarFunction,
    name: String,
    signature: Signature,
}

impl CalledByName {
    pub(super) fn new(function: ScalarFunction) -> Self {
        let volatility = if function.is_deterministic { Volatility::Immutable } else { Volatility::Volatile };
        let signature = Signature::one_of(vec![TypeSignature::Nullary, TypeSignature::UserDefined], volatility);
        Self { name: function.name.to_ascii_lowercase(), function, signature }
    }

    fn resolved(&self, arguments: &[DataType]) -> DataFusionResult<Resolved> {
        let given = arguments.iter().map(|argument| match (argument, SqlType::from_arrow(argument)) {
            (DataType::Null, _) => Ok(Given::Null),
            (_, Some(known)) => Ok(Given::Type(known)),
            (other, None) => {
                Err(DataFusionError::Plan(format!("{}: there is no type for {other}", self.function.name)))
            }
        });
        let given = given.collect::<DataFusionResult<Vec<_>>>()?;
        resolution::resolve(&self.function, &given).map_err(DataFusionError::Plan)
    }
}

impl PartialEq for CalledByName {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for CalledByName {}

impl Hash for CalledByName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for CalledByName {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> DataFusionResult<Vec<DataType>> {
        Ok(self.resolved(arguments)?.parameters.iter().map(SqlType::to_arrow).collect())
    }

    fn return_type(&self, arguments: &[DataType]) -> DataFusionResult<DataType> {
        Ok(self.resolved(arguments)?.returns.to_arrow())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let overload = &self.function.overloads[self.resolved(&types)?.overload];
        let evaluate = |call: &Call<'_>| (overload.evaluate)(call);
        invoke(&args, self.function.name, args.return_type(), self.function.is_deterministic, evaluate)
    }
}
