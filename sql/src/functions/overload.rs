//! Short ways to say what a function takes and gives.

use super::signature::{Evaluate, Overload, Parameter, Returns, ScalarFunction};
use crate::catalog::SqlType;

/// A function with its overloads.
pub(crate) fn function(name: &'static str, description: &'static str, overloads: Vec<Overload>) -> ScalarFunction {
    ScalarFunction::new(name, description, overloads)
}

/// An overload of known types.
pub(crate) fn of(parameters: &[SqlType], returns: SqlType, evaluate: Evaluate) -> Overload {
    let parameters: Vec<Parameter> = parameters.iter().cloned().map(Parameter::Type).collect();
    overload(&parameters, Returns::Type(returns), evaluate)
}

/// An overload of a fixed number of parameters.
pub(crate) fn overload(parameters: &[Parameter], returns: Returns, evaluate: Evaluate) -> Overload {
    Overload::new(parameters, returns, evaluate)
}

/// ARRAY of the type variable `T`.
pub(crate) fn array_of_any() -> Parameter {
    Parameter::Array(Box::new(Parameter::Any('T')))
}

/// MAP of STRING to the type variable `T`.
pub(crate) fn map_of_any() -> Parameter {
    Parameter::Map(Box::new(Parameter::Type(SqlType::Varchar)), Box::new(Parameter::Any('T')))
}
