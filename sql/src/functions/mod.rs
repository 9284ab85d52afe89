//! The functions of the language: ksqlDB's names, overloads, null and error behaviour, over columns.
//!
//! One family a file; each gives its functions with [`signature`]s.

pub mod aggregate;
pub mod signature;
