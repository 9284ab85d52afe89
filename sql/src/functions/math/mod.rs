//! Numbers: rounding, and the functions of the pocket calculator.
//!
//! What works on DOUBLE takes INT, BIGINT and DECIMAL widened. Null is null; what mathematics does not define is NaN or infinite, as in
//! Java, and no error.

mod elementary;
mod rounding;

use super::signature::ScalarFunction;

/// The functions of this family.
pub(crate) fn functions() -> Vec<ScalarFunction> {
    [elementary::functions(), rounding::functions()].concat()
}
