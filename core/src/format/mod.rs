//! Formats: the bytes of keys and values to Arrow columns and back.
//!
//! A [`Deserializer`] is built for the columns of one side (key or value) and for those of them that are read; it turns a
//! column of bytes into those columns, batch by batch, and names the rows that it cannot decode instead of failing. A
//! [`Serializer`] does the reverse.
//!
//! AVRO, PROTOBUF and JSON_SR keep the schemas of their records in a schema [`registry`]; their settings are a [`RegisteredFormat`].

mod avro;
mod builder;
mod delimited;
mod error;
mod json;
mod json_sr;
mod kafka;
mod none;
mod protobuf;
mod registered;
pub mod registry;
mod row;

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BinaryArray},
    buffer::NullBuffer,
    datatypes::FieldRef,
};

use registered::Target;
use registry::SchemaType;

pub use error::{DecodeError, FormatError};
pub use registered::{InferredColumns, NullableRepresentation, RegisteredFormat, infer_columns};

/// How keys or values are written. Cloning is cheap.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Format {
    /// A JSON object of the columns; a single key column, or a single value column with [`Wrapping::Unwrapped`], is the bare
    /// JSON value. Names are matched without regard to case.
    Json,
    /// One line of separated values, in column order.
    Delimited {
        /// What separates them.
        delimiter: char,
    },
    /// One column as Kafka's own serialisers write it: big-endian numbers, UTF-8 text, raw bytes.
    Kafka,
    /// No bytes at all: there are no columns on this side.
    None,
    /// An Avro record behind the id of its schema; a single key column, or a single value column with [`Wrapping::Unwrapped`], is
    /// the bare value.
    Avro(Arc<RegisteredFormat>),
    /// As [`Json`](Self::Json), behind the id of its JSON Schema.
    JsonSr(Arc<RegisteredFormat>),
    /// A Protobuf message behind the id of its schema.
    Protobuf(Arc<RegisteredFormat>),
    /// A Protobuf message of the columns in order, numbered from 1.
    ProtobufNoSr {
        /// How it says null.
        nullable: NullableRepresentation,
    },
    /// Millstream's own row encoding, for internal topics: typed, compact, exact for every type.
    Row,
}

/// Whether a single value column is a field of a record or stands alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wrapping {
    /// `{"A": 1}`.
    Wrapped,
    /// `1`.
    Unwrapped,
}

/// Turns bytes into columns.
pub trait Deserializer: Send {
    /// Decodes one row a value of `bytes`. Null bytes give a row of nulls and are no error. A row that cannot be decoded is a
    /// row of nulls and is listed in [`Decoded::errors`].
    fn decode(&mut self, bytes: &BinaryArray) -> Decoded;
}

/// Turns columns into bytes.
pub trait Serializer: Send {
    /// Encodes the columns, row by row. A row that `present` calls null becomes null bytes. On the key side a row whose
    /// columns are all null becomes null bytes.
    ///
    /// # Errors
    /// [`FormatError`] if a value of these columns cannot be written in the format.
    fn encode(
        &mut self,
        columns: &[ArrayRef],
        rows: usize,
        present: Option<&NullBuffer>,
    ) -> Result<BinaryArray, FormatError>;
}

/// What came of a batch of bytes.
#[derive(Debug)]
pub struct Decoded {
    /// The columns that were asked for, each with one value a row.
    pub columns: Vec<ArrayRef>,
    /// The rows that could not be decoded, rising.
    pub errors: Vec<DecodeError>,
    /// Why nothing was decoded: the schema registry cannot be reached. Then there are no columns, and the batch is to be decoded again
    /// later; taking its rows for undecodable would lose them.
    pub failure: Option<FormatError>,
}

impl Decoded {
    /// Columns, and the rows among them that could not be decoded.
    fn new(columns: Vec<ArrayRef>, errors: Vec<DecodeError>) -> Self {
        Self { columns, errors, failure: None }
    }
}

/// Which side of a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The key.
    Key,
    /// The value.
    Value,
}

impl Format {
    /// A decoder for records of the columns `fields`, of which those at `projection` are wanted, in that order.
    ///
    /// # Errors
    /// [`FormatError`] if the format cannot hold such columns.
    pub fn deserializer(
        &self,
        side: Side,
        wrapping: Wrapping,
        fields: &[FieldRef],
        projection: &[usize],
    ) -> Result<Box<dyn Deserializer>, FormatError> {
        let bare = is_bare(side, wrapping, fields);
        match self {
            Self::Json => Ok(Box::new(json::JsonDeserializer::new(bare, fields, projection)?)),
            Self::Delimited { delimiter } => {
                Ok(Box::new(delimited::DelimitedDeserializer::new(*delimiter, fields, projection)?))
            }
            Self::Kafka => Ok(Box::new(kafka::KafkaDeserializer::new(fields, projection)?)),
            Self::None => Ok(Box::new(none::NoneDeserializer::new(fields, projection)?)),
            Self::Avro(format) => {
                let registry = Arc::clone(&format.registry);
                Ok(Box::new(avro::AvroDeserializer::new(registry, bare, fields, projection)?))
            }
            Self::JsonSr(_) => Ok(Box::new(json_sr::JsonSrDeserializer::new(bare, fields, projection)?)),
            Self::Protobuf(format) => {
                let registry = Arc::clone(&format.registry);
                Ok(Box::new(protobuf::ProtobufDeserializer::new(registry, fields, projection)?))
            }
            Self::ProtobufNoSr { nullable } => {
                let schema = protobuf_of(fields, *nullable)?;
                Ok(Box::new(protobuf::ProtobufDeserializer::with_schema(&schema, fields, projection)?))
            }
            Self::Row => Ok(Box::new(row::RowDeserializer::new(fields, projection)?)),
        }
    }

    /// An encoder for records of the columns `fields`.
    ///
    /// # Errors
    /// [`FormatError`] if the format cannot hold such columns.
    pub fn serializer(
        &self,
        side: Side,
        wrapping: Wrapping,
        fields: &[FieldRef],
    ) -> Result<Box<dyn Serializer>, FormatError> {
        let bare = is_bare(side, wrapping, fields);
        match self {
            Self::Json => Ok(Box::new(json::JsonSerializer::new(side, bare, fields)?)),
            Self::Delimited { delimiter } => {
                Ok(Box::new(delimited::DelimitedSerializer::new(side, *delimiter, fields)?))
            }
            Self::Kafka => Ok(Box::new(kafka::KafkaSerializer::new(fields)?)),
            Self::None => Ok(Box::new(none::NoneSerializer::new(fields)?)),
            Self::Avro(format) => {
                let target = Target::new(format, SchemaType::Avro, bare, fields)?;
                Ok(Box::new(avro::AvroSerializer::new(target, bare, side == Side::Key, fields)))
            }
            Self::JsonSr(format) => {
                let target = Target::new(format, SchemaType::Json, bare, fields)?;
                Ok(Box::new(json_sr::JsonSrSerializer::new(target, side, bare, fields)?))
            }
            Self::Protobuf(format) => {
                let target = Target::new(format, SchemaType::Protobuf, false, fields)?;
                Ok(Box::new(protobuf::ProtobufSerializer::new(target, side, fields)))
            }
            Self::ProtobufNoSr { nullable } => {
                let schema = protobuf_of(fields, *nullable)?;
                Ok(Box::new(protobuf::ProtobufSerializer::with_schema(schema, side, fields)))
            }
            Self::Row => Ok(Box::new(row::RowSerializer::new(fields)?)),
        }
    }

    /// Registers the schema of what would be written of these columns, before anything is; does nothing for formats without a registry.
    ///
    /// # Errors
    /// [`FormatError::Registry`] if the registry refuses it, and as [`serializer`](Self::serializer).
    pub fn register(&self, side: Side, wrapping: Wrapping, fields: &[FieldRef]) -> Result<(), FormatError> {
        let bare = is_bare(side, wrapping, fields) && !matches!(self, Self::Protobuf(_));
        match self.registered() {
            Some((format, schema_type)) => Target::new(format, schema_type, bare, fields)?.writing().map(drop),
            None => Ok(()),
        }
    }

    /// The settings of a format with a registry, and the language of its schemas.
    pub fn registered(&self) -> Option<(&RegisteredFormat, SchemaType)> {
        match self {
            Self::Avro(format) => Some((format, SchemaType::Avro)),
            Self::JsonSr(format) => Some((format, SchemaType::Json)),
            Self::Protobuf(format) => Some((format, SchemaType::Protobuf)),
            _ => None,
        }
    }
}

fn protobuf_of(fields: &[FieldRef], nullable: NullableRepresentation) -> Result<protobuf::ProtobufSchema, FormatError> {
    let text = protobuf::schema_of_columns(fields, None, nullable)?;
    protobuf::ProtobufSchema::parse(&text, &[])
        .map_err(|problem| FormatError::Schema { format: "PROTOBUF_NOSR", problem })
}

/// Whether a record of these columns is the bare value of its only column.
fn is_bare(side: Side, wrapping: Wrapping, fields: &[FieldRef]) -> bool {
    fields.len() == 1 && (side == Side::Key || wrapping == Wrapping::Unwrapped)
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Json => f.write_str("JSON"),
            Self::Delimited { .. } => f.write_str("DELIMITED"),
            Self::Kafka => f.write_str("KAFKA"),
            Self::None => f.write_str("NONE"),
            Self::Avro(_) => f.write_str("AVRO"),
            Self::JsonSr(_) => f.write_str("JSON_SR"),
            Self::Protobuf(_) => f.write_str("PROTOBUF"),
            Self::ProtobufNoSr { .. } => f.write_str("PROTOBUF_NOSR"),
            Self::Row => f.write_str("ROW"),
        }
    }
}
