//! PROTOBUF and PROTOBUF_NOSR: messages, with the id of their schema in front or with none.
//!
//! Schemas are read by a parser of our own, because the one of the Protobuf library reads files only. Bytes go straight into columns and
//! back.

mod compatible;
mod decode;
mod encode;
mod from_columns;
mod lexer;
mod parser;
mod plan;
mod schema;
#[cfg(test)]
mod tests;
mod to_columns;
mod well_known;
mod wire;

pub(super) use compatible::can_read;
pub(super) use decode::ProtobufDeserializer;
pub(super) use encode::ProtobufSerializer;
pub(super) use from_columns::schema as schema_of_columns;
pub(super) use schema::ProtobufSchema;
pub(super) use to_columns::columns as columns_of_schema;
