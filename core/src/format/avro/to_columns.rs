//! Avro schemas as columns, for declarations without columns.
//!
//! As ksqlDB does by way of Kafka Connect: float is DOUBLE, enum STRING, fixed BYTES; a union with null is its other type, one of several
//! types a struct with a field a branch; null alone has no type and is left out. A schema that contains itself has no columns.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};

use super::{
    plan::branch_name,
    schema::{AvroSchema, Logical, Type, TypeId},
};

/// The columns of a record's schema; of a schema that is none, or is to be a single value, one column of this name.
pub(in crate::format) fn columns(schema: &AvroSchema, bare: Option<&str>) -> Result<Vec<FieldRef>, String> {
    let root = schema.root();
    let mut inside = Vec::new();
    if let Some(name) = bare {
        let found = data_type(schema, root, &mut inside)?;
        let found = found.ok_or_else(|| format!("{} has no type in SQL", schema.name_of(root)))?;
        return Ok(vec![Arc::new(Field::new(name, found, true))]);
    }
    match schema.get(root) {
        Type::Record { fields, .. } => {
            inside.push(root);
            let mut columns = Vec::with_capacity(fields.len());
            for field in fields {
                if let Some(found) = data_type(schema, field.data_type, &mut inside)? {
                    columns.push(Arc::new(Field::new(&field.name, found, true)) as FieldRef);
                }
            }
            Ok(columns)
        }
        _ => Err(format!("expected a record, found {}", schema.name_of(root))),
    }
}

fn data_type(schema: &AvroSchema, id: TypeId, inside: &mut Vec<TypeId>) -> Result<Option<DataType>, String> {
    let time = DataType::Time32(TimeUnit::Millisecond);
    let timestamp = DataType::Timestamp(TimeUnit::Millisecond, None);
    Ok(Some(match schema.get(id) {
        Type::Null => return Ok(None),
        Type::Boolean => DataType::Boolean,
        Type::Int(Logical::Date) => DataType::Date32,
        Type::Int(Logical::TimeMillis) => time,
        Type::Int(_) => DataType::Int32,
        Type::Long(Logical::TimestampMillis | Logical::TimestampMicros) => timestamp,
        Type::Long(Logical::TimeMicros) => time,
        Type::Long(_) => DataType::Int64,
        Type::Float | Type::Double => DataType::Float64,
        Type::Bytes(Logical::Decimal { precision, scale })
        | Type::Fixed { logical: Logical::Decimal { precision, scale }, .. } => {
            DataType::Decimal128(*precision, *scale)
        }
        Type::Bytes(_) | Type::Fixed { .. } => DataType::Binary,
        Type::String | Type::Enum { .. } => DataType::Utf8,
        Type::Array { items, is_map: true } => match entry_value(schema, *items) {
            Some(value) => return Ok(data_type(schema, value, inside)?.map(map_of)),
            None => return Ok(data_type(schema, *items, inside)?.map(list_of)),
        },
        Type::Array { items, .. } => return Ok(data_type(schema, *items, inside)?.map(list_of)),
        Type::Map { values } => return Ok(data_type(schema, *values, inside)?.map(map_of)),
        Type::Union(branches) => {
            let (inner, _) = schema.non_null(id);
            if inner != id {
                return data_type(schema, inner, inside);
            }
            let mut fields = Vec::new();
            for branch in branches {
                if let Some(found) = data_type(schema, *branch, inside)? {
                    fields.push(Field::new(branch_name(schema, *branch), found, true));
                }
            }
            if fields.is_empty() {
                return Ok(None);
            }
            DataType::Struct(Fields::from(fields))
        }
        Type::Record { name, fields } => {
            if inside.contains(&id) {
                return Err(format!("record {name} contains itself; list the columns instead"));
            }
            inside.push(id);
            let mut parts = Vec::with_capacity(fields.len());
            for field in fields {
                if let Some(found) = data_type(schema, field.data_type, inside)? {
                    parts.push(Field::new(&field.name, found, true));
                }
            }
            inside.pop();
            if parts.is_empty() {
                return Ok(None);
            }
            DataType::Struct(Fields::from(parts))
        }
    }))
}

/// The type of `value` in records that are entries of a map.
fn entry_value(schema: &AvroSchema, id: TypeId) -> Option<TypeId> {
    let Type::Record { fields, .. } = schema.get(id) else { return None };
    let key = fields.iter().find(|field| field.name == "key")?;
    let (key, _) = schema.non_null(key.data_type);
    let is_text = matches!(schema.get(key), Type::String);
    fields.iter().find(|field| is_text && field.name == "value").map(|field| field.data_type)
}

/// An ARRAY of nullable items.
pub(in crate::format) fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

/// A MAP from texts to nullable values.
pub(in crate::format) fn map_of(value: DataType) -> DataType {
    let parts = Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", value, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(parts), false)), false)
}
