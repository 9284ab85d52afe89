//! Whether a schema is one, and whether it goes with older ones.
//!
//! Avro by its rules of resolution; Protobuf and JSON Schema by those of Confluent's registry that can break records: the type of a field
//! that stays, and in Protobuf its number.

use std::sync::Arc;

use super::{Compatibility, RegistryError, Schema, SchemaType, SubjectVersion};
use crate::format::{
    avro::{self, AvroSchema},
    json_sr, protobuf,
};

/// A schema and what it refers to.
pub(super) type Resolved<'s> = (&'s Schema, &'s [(String, Arc<Schema>)]);

fn avro_schema((schema, used): Resolved<'_>) -> Result<AvroSchema, String> {
    AvroSchema::parse(&schema.text, used.iter().map(|(_, used)| used.text.as_str()))
}

/// Refuses a text that is no schema.
pub(super) fn valid(schema: &Schema, used: &[(String, Arc<Schema>)]) -> Result<(), RegistryError> {
    let checked = match schema.schema_type {
        SchemaType::Avro => avro_schema((schema, used)).map(drop),
        SchemaType::Protobuf => protobuf::ProtobufSchema::parse(&schema.text, used).map(drop),
        SchemaType::Json => json_sr::check(&schema.text),
    };
    checked.map_err(|problem| RegistryError::InvalidSchema { problem })
}

/// The older versions that a level compares a new one with.
pub(super) fn compared(level: Compatibility, older: &[SubjectVersion]) -> &[SubjectVersion] {
    match level {
        Compatibility::None => &[],
        Compatibility::Backward | Compatibility::Forward | Compatibility::Full => {
            &older[older.len().saturating_sub(1)..]
        }
        _ => older,
    }
}

/// What keeps a new schema from following an old one, if anything does.
pub(super) fn compatible(level: Compatibility, new: Resolved<'_>, old: Resolved<'_>) -> Result<(), String> {
    if new.0.schema_type != old.0.schema_type {
        return Err(format!("it was {}, not {}", old.0.schema_type, new.0.schema_type));
    }
    use Compatibility as Level;
    let backward = matches!(level, Level::Backward | Level::BackwardTransitive | Level::Full | Level::FullTransitive);
    let forward = matches!(level, Level::Forward | Level::ForwardTransitive | Level::Full | Level::FullTransitive);
    let reads = |reader: Resolved<'_>, writer: Resolved<'_>| -> Result<(), String> {
        match reader.0.schema_type {
            SchemaType::Avro => avro::can_read(&avro_schema(reader)?, &avro_schema(writer)?),
            SchemaType::Protobuf => protobuf::can_read(
                &protobuf::ProtobufSchema::parse(&reader.0.text, reader.1)?,
                &protobuf::ProtobufSchema::parse(&writer.0.text, writer.1)?,
            ),
            SchemaType::Json => json_sr::can_read(&reader.0.text, &writer.0.text),
        }
    };
    if backward {
        reads(new, old)?;
    }
    if forward {
        reads(old, new)?;
    }
    Ok(())
}
