//! The functions of the language: ksqlDB's names, overloads, null and error behaviour, over columns.
//!
//! One family a file; each gives its functions with [`signature`]s.

mod bytes;
mod columns;
mod conditional;
mod declare;
mod encoding;
mod geo;
mod java_number;
mod json;
mod regex;
pub mod signature;
mod text;
mod url;
