//! Columns as an Avro schema, the one that ksqlDB registers by way of Kafka Connect.
//!
//! A record `io.confluent.ksql.avro_schemas.KsqlDataSourceSchema` (or another full name) of nullable fields with the default null; nested
//! records are named after the path to them; a MAP is an array of entries, because its keys are nullable in ksqlDB; DECIMAL, DATE, TIME
//! and TIMESTAMP are logical types with Connect's names beside Avro's.

use arrow::datatypes::{DataType, FieldRef, TimeUnit};
use serde_json::{Value as Json, json};

use super::{AVRO, schema::check_name};
use crate::format::error::{FormatError, type_name};

/// The name of records that nobody has named.
pub(in crate::format) const DEFAULT_NAME: &str = "io.confluent.ksql.avro_schemas.KsqlDataSourceSchema";

/// The text of the schema for records of `fields`, or for the bare value of the only one.
///
/// # Errors
/// [`FormatError`] if a column's name or type has no place in Avro.
pub(in crate::format) fn schema(fields: &[FieldRef], bare: bool, full_name: &str) -> Result<String, FormatError> {
    let json = match fields {
        [field] if bare => nullable(value(field.data_type(), full_name, field.name())?),
        _ => record(fields.iter(), full_name, "")?,
    };
    Ok(json.to_string())
}

fn nullable(inner: Json) -> Json {
    json!(["null", inner])
}

fn record<'f>(fields: impl Iterator<Item = &'f FieldRef>, full_name: &str, path: &str) -> Result<Json, FormatError> {
    let (namespace, name) = full_name.rsplit_once('.').unwrap_or(("", full_name));
    let mut written = Vec::new();
    for field in fields {
        check_name(field.name()).map_err(|problem| FormatError::Schema {
            format: AVRO,
            problem: format!("Schema is not compatible with Avro: {problem}"),
        })?;
        let path = if path.is_empty() { field.name().clone() } else { format!("{path}.{}", field.name()) };
        let inner = value(field.data_type(), &format!("{full_name}_{}", field.name()), &path)?;
        written.push(json!({"name": field.name(), "type": nullable(inner), "default": null}));
    }
    let mut json = json!({"type": "record", "name": name, "fields": written, "connect.name": full_name});
    if !namespace.is_empty() {
        json["namespace"] = Json::from(namespace);
    }
    Ok(json)
}

/// The schema of a value that is there; `full_name` is that of the record, should it be one.
fn value(data_type: &DataType, full_name: &str, path: &str) -> Result<Json, FormatError> {
    let unsupported =
        || FormatError::UnsupportedType { format: AVRO, column: path.to_owned(), data_type: type_name(data_type) };
    let connect = |of: &str, logical: &str, name: &str| {
        json!({
            "type": of,
            "connect.version": 1,
            "connect.name": format!("org.apache.kafka.connect.data.{name}"),
            "logicalType": logical,
        })
    };
    Ok(match data_type {
        DataType::Boolean => json!("boolean"),
        DataType::Int32 => json!("int"),
        DataType::Int64 => json!("long"),
        DataType::Float32 => json!("float"),
        DataType::Float64 => json!("double"),
        DataType::Utf8 => json!("string"),
        DataType::Binary => json!("bytes"),
        DataType::Date32 => connect("int", "date", "Date"),
        DataType::Time32(TimeUnit::Millisecond) => connect("int", "time-millis", "Time"),
        DataType::Timestamp(TimeUnit::Millisecond, _) => connect("long", "timestamp-millis", "Timestamp"),
        DataType::Decimal128(precision, scale) => {
            let mut json = connect("bytes", "decimal", "Decimal");
            json["scale"] = json!(scale);
            json["precision"] = json!(precision);
            json["connect.parameters"] =
                json!({"scale": scale.to_string(), "connect.decimal.precision": precision.to_string()});
            json
        }
        DataType::List(item) => {
            let inner = value(item.data_type(), full_name, &format!("{path}[]"))?;
            json!({"type": "array", "items": nullable(inner)})
        }
        DataType::Struct(fields) => record(fields.iter(), full_name, path)?,
        DataType::Map(entries, _) => {
            let DataType::Struct(parts) = entries.data_type() else { return Err(unsupported()) };
            let [key, item] = parts.as_ref() else { return Err(unsupported()) };
            if *key.data_type() != DataType::Utf8 {
                return Err(FormatError::MapKey { format: "Avro", key: type_name(key.data_type()) });
            }
            let inner = value(item.data_type(), &format!("{full_name}_MapValue"), &format!("{path}{{}}"))?;
            let (namespace, name) = full_name.rsplit_once('.').unwrap_or(("", full_name));
            let mut entry = json!({
                "type": "record",
                "name": name,
                "fields": [
                    {"name": "key", "type": nullable(json!("string")), "default": null},
                    {"name": "value", "type": nullable(inner), "default": null},
                ],
                "connect.internal.type": "MapEntry",
            });
            if !namespace.is_empty() {
                entry["namespace"] = Json::from(namespace);
            }
            json!({"type": "array", "items": entry, "connect.internal.type": "MapEntry"})
        }
        _ => return Err(unsupported()),
    })
}
