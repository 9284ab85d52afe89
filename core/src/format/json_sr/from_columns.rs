//! Columns as a JSON Schema, the one that ksqlDB registers by way of Kafka Connect: every value is nullable, and says which of Connect's types
//! it is where JSON has only one.

use arrow::datatypes::{DataType, FieldRef, TimeUnit};
use serde_json::{Map, Value as Json, json};

use super::JSON_SR;
use crate::format::error::{FormatError, type_name};

/// The text of the schema for records of `fields`, or for the bare value of the only one.
///
/// # Errors
/// [`FormatError`] if a column's type has no place in JSON.
pub(in crate::format) fn schema(fields: &[FieldRef], bare: bool) -> Result<String, FormatError> {
    let json = match fields {
        [field] if bare => nullable(value(field.data_type(), field.name())?, None),
        _ => object(fields.iter(), "")?,
    };
    Ok(json.to_string())
}

fn nullable(inner: Json, index: Option<usize>) -> Json {
    let mut json = json!({"oneOf": [{"type": "null"}, inner]});
    if let Some(index) = index {
        json["connect.index"] = Json::from(index);
    }
    json
}

fn object<'f>(fields: impl Iterator<Item = &'f FieldRef>, path: &str) -> Result<Json, FormatError> {
    let mut properties = Map::new();
    for (index, field) in fields.enumerate() {
        let path = if path.is_empty() { field.name().clone() } else { format!("{path}.{}", field.name()) };
        properties.insert(field.name().clone(), nullable(value(field.data_type(), &path)?, Some(index)));
    }
    Ok(json!({"type": "object", "properties": properties}))
}

fn value(data_type: &DataType, path: &str) -> Result<Json, FormatError> {
    let unsupported =
        || FormatError::UnsupportedType { format: JSON_SR, column: path.to_owned(), data_type: type_name(data_type) };
    let connect = |of: &str, connect: &str| json!({"type": of, "connect.type": connect});
    let logical = |of: &str, connect: &str, name: &str| {
        json!({
            "type": of,
            "title": format!("org.apache.kafka.connect.data.{name}"),
            "connect.version": 1,
            "connect.type": connect,
        })
    };
    Ok(match data_type {
        DataType::Boolean => json!({"type": "boolean"}),
        DataType::Int8 => connect("integer", "int8"),
        DataType::Int16 => connect("integer", "int16"),
        DataType::Int32 => connect("integer", "int32"),
        DataType::Int64 => connect("integer", "int64"),
        DataType::Float32 => connect("number", "float32"),
        DataType::Float64 => connect("number", "float64"),
        DataType::Utf8 => json!({"type": "string"}),
        DataType::Binary => connect("string", "bytes"),
        DataType::Date32 => logical("integer", "int32", "Date"),
        DataType::Time32(TimeUnit::Millisecond) => logical("integer", "int32", "Time"),
        DataType::Timestamp(TimeUnit::Millisecond, _) => logical("integer", "int64", "Timestamp"),
        DataType::Decimal128(precision, scale) => {
            let mut json = logical("number", "bytes", "Decimal");
            json["connect.parameters"] =
                json!({"scale": scale.to_string(), "connect.decimal.precision": precision.to_string()});
            json
        }
        DataType::List(item) => {
            json!({"type": "array", "items": nullable(value(item.data_type(), &format!("{path}[]"))?, None)})
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(parts) = entries.data_type() else { return Err(unsupported()) };
            if *parts[0].data_type() != DataType::Utf8 {
                return Err(FormatError::MapKey { format: "JSON", key: type_name(parts[0].data_type()) });
            }
            let inner = nullable(value(parts[1].data_type(), &format!("{path}{{}}"))?, None);
            json!({"type": "object", "connect.type": "map", "additionalProperties": inner})
        }
        DataType::Struct(fields) => object(fields.iter(), path)?,
        _ => return Err(unsupported()),
    })
}
