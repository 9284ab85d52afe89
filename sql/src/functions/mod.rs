//! The functions of the language: ksqlDB's names, overloads, null and error behaviour, over columns.
//!
//! One family a file; each gives its functions with [`signature`]s. What users add to them is in [`Functions`]; [`columns`] reads and writes
//! what functions take and give.

pub mod aggregate;
mod array;
mod bytes;
pub(crate) mod called;
pub mod columns;
mod conditional;
mod date_time;
mod declare;
mod encoding;
mod geo;
pub(crate) mod java_number;
pub(crate) mod java_pattern;
mod json;
mod lists;
mod map;
mod math;
mod overload;
mod regex;
pub(crate) mod registry;
pub(crate) mod resolution;
pub mod signature;
pub mod table;
mod text;
mod url;
mod user_functions;
pub(crate) mod value_keys;

pub use user_functions::{FunctionError, Functions};
