//! JSON: a record is an object of its columns, or the bare value of its only column.
//!
//! Reading and writing go column by column where they can, and in one pass over the bytes of a record where they must. Nothing is
//! allocated for a record of plain columns. The parts that know no JSON ([`column`], [`cell`], [`scalar`], [`row_bytes`])
//! serve the other formats too.

pub(super) mod base64;
pub(super) mod cell;
pub(super) mod column;
pub(super) mod names;
pub(super) mod nested;
pub(super) mod reader;
pub(super) mod row_bytes;
pub(super) mod scalar;
pub(super) mod scan;
mod writer;

pub(super) use reader::JsonDeserializer;
pub(super) use writer::JsonSerializer;
