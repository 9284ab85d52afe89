//! How a family of functions is declared: short words for parameters, overloads and functions.

use super::signature::{Evaluate, Overload, Parameter, Returns, ScalarFunction};
use crate::catalog::SqlType;

/// A STRING parameter.
pub(crate) const TEXT: Parameter = Parameter::Type(SqlType::Varchar);
/// A BYTES parameter.
pub(crate) const BYTES: Parameter = Parameter::Type(SqlType::Bytes);
/// An INT parameter.
pub(crate) const INT: Parameter = Parameter::Type(SqlType::Int);
/// A DOUBLE parameter.
pub(crate) const DOUBLE: Parameter = Parameter::Type(SqlType::Double);

/// The type ARRAY of `item`.
pub(crate) fn array_of(item: SqlType) -> SqlType {
    SqlType::Array(Box::new(item))
}

/// An overload whose result is always of one type.
pub(crate) fn overload<const N: usize>(parameters: [Parameter; N], returns: SqlType, evaluate: Evaluate) -> Overload {
    returning(parameters, Returns::Type(returns), evaluate)
}

/// An overload whose result depends on its arguments.
pub(crate) fn returning(parameters: impl Into<Vec<Parameter>>, returns: Returns, evaluate: Evaluate) -> Overload {
    Overload::new(parameters, returns, evaluate)
}

/// The overload with its last parameter given any number of times, none included.
pub(crate) fn variadic(overload: Overload) -> Overload {
    Overload { variadic: overload.parameters.len().checked_sub(1), ..overload }
}

/// A function.
pub(crate) fn function(
    name: &'static str,
    description: &'static str,
    overloads: impl Into<Vec<Overload>>,
) -> ScalarFunction {
    ScalarFunction::new(name, description, overloads)
}
