//! The functions of the language: ksqlDB's names, overloads, null and error behaviour, over columns.
//!
//! One family a file; each gives its functions with [`signature`]s.

mod array;
mod columns;
mod date_time;
mod java_pattern;
mod lists;
mod map;
mod math;
mod overload;
pub mod signature;
mod table;
mod value_keys;
