//! Protobuf schemas as columns, for declarations without columns; the types as in [`plan`](super::plan).

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};

use super::{
    plan::oneof_name,
    schema::{self, Kind, MessageId, ProtobufSchema},
    well_known::{Single, single},
};
use crate::format::avro::{list_of, map_of};

/// The columns of a message.
pub(in crate::format) fn columns(schema: &ProtobufSchema, root: MessageId) -> Result<Vec<FieldRef>, String> {
    let fields = message(schema, root, &mut Vec::new())?;
    Ok(fields.iter().map(Arc::clone).collect())
}

fn message(schema: &ProtobufSchema, id: MessageId, inside: &mut Vec<MessageId>) -> Result<Fields, String> {
    let found = schema.message(id);
    if inside.contains(&id) {
        return Err(format!("message {} contains itself; list the columns instead", found.name));
    }
    inside.push(id);
    let mut columns: Vec<Field> = Vec::new();
    for (index, name) in found.oneofs.iter().enumerate() {
        let members: Vec<Field> = found
            .fields
            .iter()
            .filter(|field| field.oneof == Some(index))
            .map(|field| column(schema, field, inside))
            .collect::<Result<_, _>>()?;
        if !members.is_empty() {
            columns.push(Field::new(oneof_name(name, index), DataType::Struct(Fields::from(members)), true));
        }
    }
    for field in found.fields.iter().filter(|field| field.oneof.is_none()) {
        columns.push(column(schema, field, inside)?);
    }
    inside.pop();
    Ok(Fields::from(columns))
}

fn column(schema: &ProtobufSchema, field: &schema::Field, inside: &mut Vec<MessageId>) -> Result<Field, String> {
    let found = match &field.kind {
        Kind::Map(_, value) => map_of(data_type(schema, field, value, inside)?),
        kind if field.repeated => list_of(data_type(schema, field, kind, inside)?),
        kind => data_type(schema, field, kind, inside)?,
    };
    Ok(Field::new(&field.name, found, true))
}

fn data_type(
    schema: &ProtobufSchema,
    field: &schema::Field,
    kind: &Kind,
    inside: &mut Vec<MessageId>,
) -> Result<DataType, String> {
    Ok(match kind {
        Kind::Int32 | Kind::SInt32 | Kind::SFixed32 => DataType::Int32,
        Kind::Int64 | Kind::UInt32 | Kind::UInt64 | Kind::SInt64 | Kind::Fixed32 | Kind::Fixed64 | Kind::SFixed64 => {
            DataType::Int64
        }
        Kind::Float | Kind::Double => DataType::Float64,
        Kind::Bool => DataType::Boolean,
        Kind::String | Kind::Enum(_) => DataType::Utf8,
        Kind::Bytes => DataType::Binary,
        Kind::Map(_, value) => map_of(data_type(schema, field, value, inside)?),
        Kind::Message(id) => match single(schema, *id) {
            Some(Single::Wrapper(inner)) => data_type(schema, field, &inner, inside)?,
            Some(Single::Timestamp) => DataType::Timestamp(TimeUnit::Millisecond, None),
            Some(Single::Date) => DataType::Date32,
            Some(Single::TimeOfDay) => DataType::Time32(TimeUnit::Millisecond),
            Some(Single::Decimal) => {
                let parameter =
                    |name: &str| field.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value);
                let precision = parameter("precision").and_then(|value| value.parse().ok()).unwrap_or(38);
                let scale = parameter("scale").and_then(|value| value.parse().ok()).unwrap_or(0);
                DataType::Decimal128(precision, scale)
            }
            None => DataType::Struct(message(schema, *id, inside)?),
        },
    })
}
