//! The functions of the language: ksqlDB's names, overloads, null and error behaviour, over columns.
//!
//! One family a file; each gives its functions with [`signature`]s.

pub mod aggregate;
mod array;
mod bytes;
mod columns;
mod conditional;
mod date_time;
mod declare;
mod encoding;
mod geo;
mod java_number;
pub(crate) mod java_pattern;
mod json;
mod lists;
mod map;
mod math;
mod overload;
mod regex;
pub mod signature;
pub(crate) mod table;
mod text;
mod url;
mod value_keys;
