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
mod geo;
mod java_number;
mod java_pattern;
mod java_regex;
mod json;
mod json_path;
mod json_scan;
mod json_write;
mod lists;
mod map;
mod math;
mod overload;
mod regex;
pub mod signature;
mod table;
mod text;
mod text_concat;
mod text_mask;
mod text_pad;
mod text_position;
mod text_split;
mod uri;
mod url;
mod utf16;
mod value_keys;
