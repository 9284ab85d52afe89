//! AVRO: records behind the id of their schema in a registry.
//!
//! Reading resolves the schema a record was written in against the columns that are wanted; writing registers the schema that the columns
//! give. Bytes go straight into columns and back: there is no tree of values a record.

mod compatible;
mod cursor;
mod decode;
mod encode;
mod from_columns;
mod plan;
mod schema;
#[cfg(test)]
mod tests;
mod to_columns;

pub(super) use compatible::can_read;
use decode::AVRO;
pub(super) use decode::AvroDeserializer;
pub(super) use encode::AvroSerializer;
pub(super) use from_columns::{DEFAULT_NAME, schema as schema_of_columns};
pub(super) use plan::field_for;
pub(super) use schema::{AvroSchema, check_name};
pub(super) use to_columns::{columns as columns_of_schema, list_of, map_of};
