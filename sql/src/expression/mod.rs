//! Expressions of the language bound to typed ones: what each part is, by ksqlDB's rules, decided here and nowhere later.
//!
//! DataFusion only evaluates: every operand already has the type that its operator wants, casts are written out, and what DataFusion
//! does otherwise than ksqlDB (decimals, text of numbers, subscripts, lambdas) is an [`operation`] of our own.
//!
//! Invariants: comparisons, LIKE, IN and BETWEEN are never null in a comparison of nulls, they are false, as in ksqlDB; an expression that
//! fails for a row is an error of the batch, and whoever evaluates finds the row; the result of a bound expression is of a type of
//! [`SqlType`](crate::catalog::SqlType).
//!
//! # Map
//! - [`scope`]: what names mean; [`typed`]: a bound part with its type; [`binder`]: parsed parts to bound ones
//! - [`literal`], [`coercion`]: numbers as written; common types and implicit casts; [`cast`], `cast_text`, `cast_parse`: CAST
//! - [`arithmetic`], `decimal`, `whole_division`: `+ - * / %`; [`comparison`], [`predicate`], `like`: what is true; [`case`]: CASE
//! - [`constructor`], [`access`]: ARRAY, MAP, STRUCT and their parts; [`call`], [`aggregate`], [`lambda`]: functions
//! - [`iso_time`]: moments as text; [`shown`]: expressions in messages; [`error`]: what can be wrong

mod access;
mod aggregate;
mod arithmetic;
mod binder;
mod call;
mod case;
mod cast;
mod cast_parse;
mod cast_text;
mod coercion;
mod comparison;
mod constructor;
mod decimal;
pub(crate) mod error;
pub(crate) mod iso_time;
mod lambda;
mod like;
mod literal;
mod operation;
mod predicate;
pub(crate) mod scope;
mod shown;
#[cfg(test)]
mod tests;
mod typed;
mod whole_division;

pub(crate) use binder::Binder;
pub(crate) use call::units_of;
pub(crate) use error::BindError;
pub(crate) use shown::{shown, shown_as_written};
