//! The functions of the language: ksqlDB's names, overloads, null and error behaviour, over columns.
//!
//! One family a file; each gives its functions with [`signature`]s.

mod columns;
mod date_time;
mod java_pattern;
mod math;
mod overload;
pub mod signature;
