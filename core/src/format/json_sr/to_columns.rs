//! JSON Schemas as columns, for declarations without columns, and what may change between versions of one.
//!
//! Types are those of Kafka Connect's converter: `integer` is BIGINT and `number` DOUBLE unless `connect.type` says more, an object with
//! `connect.type` map or without properties is a MAP. Properties come in the order of their `connect.index`; those without one in the order
//! of the hash maps of Java that Confluent's converter keeps them in, so that inferred columns have ksqlDB's order.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use serde_json::{Map, Value as Json};

use crate::format::avro::{list_of, map_of};

/// The most levels of schemas within schemas.
const MAX_DEPTH: usize = 100;

/// Refuses what is no JSON Schema: neither an object nor a boolean.
pub(in crate::format) fn check(text: &str) -> Result<(), String> {
    match serde_json::from_str::<Json>(text).map_err(|error| format!("not JSON: {error}"))? {
        Json::Object(_) | Json::Bool(_) => Ok(()),
        other => Err(format!("expected a JSON Schema, found {other}")),
    }
}

/// The columns of an object's schema; of a single value one column of this name.
pub(in crate::format) fn columns(text: &str, bare: Option<&str>) -> Result<Vec<FieldRef>, String> {
    let root: Json = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let found = data_type(&root, &root, 0)?;
    let found = found.ok_or("the schema says nothing of its type")?;
    match (bare, found) {
        (Some(name), found) => Ok(vec![Arc::new(Field::new(name, found, true))]),
        (None, DataType::Struct(fields)) => Ok(fields.iter().map(Arc::clone).collect()),
        (None, _) => Err("expected the schema of an object".to_owned()),
    }
}

fn data_type(root: &Json, json: &Json, depth: usize) -> Result<Option<DataType>, String> {
    if depth > MAX_DEPTH {
        return Err("the schema contains itself or is nested too deep; list the columns instead".to_owned());
    }
    if let Some(reference) = json.get("$ref").and_then(Json::as_str) {
        let target = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        let target = target.ok_or_else(|| format!("{reference} is not in the schema"))?;
        return data_type(root, target, depth + 1);
    }
    for keyword in ["oneOf", "anyOf", "allOf"] {
        let Some(branches) = json.get(keyword).and_then(Json::as_array) else { continue };
        let others: Vec<&Json> = branches.iter().filter(|branch| branch["type"] != "null").collect();
        return match others.as_slice() {
            [only] => data_type(root, only, depth + 1),
            [] => Ok(None),
            _ if keyword == "allOf" => all_of(root, &others, depth),
            _ => Err(format!("{keyword} of several types has no type in SQL; list the columns instead")),
        };
    }
    let name = match &json["type"] {
        Json::String(name) => name.as_str(),
        Json::Array(names) => {
            let others: Vec<&str> = names.iter().filter_map(Json::as_str).filter(|name| *name != "null").collect();
            match others.as_slice() {
                &[only] => only,
                [] => return Ok(None),
                _ => return Err("several types in one have no type in SQL; list the columns instead".to_owned()),
            }
        }
        _ if json.get("properties").is_some() => "object",
        _ if json.get("enum").is_some() => "string",
        _ => return Ok(None),
    };
    let connect = json["connect.type"].as_str().unwrap_or_default();
    let title = json["title"].as_str().and_then(|title| title.strip_prefix("org.apache.kafka.connect.data."));
    Ok(Some(match name {
        "boolean" => DataType::Boolean,
        "integer" => match (title, connect) {
            (Some("Date"), _) => DataType::Date32,
            (Some("Time"), _) => DataType::Time32(TimeUnit::Millisecond),
            (Some("Timestamp"), _) => DataType::Timestamp(TimeUnit::Millisecond, None),
            (_, "int8" | "int16" | "int32") => DataType::Int32,
            _ => DataType::Int64,
        },
        "number" if title == Some("Decimal") => {
            let parameter = |name: &str| json["connect.parameters"][name].as_str().map(str::to_owned);
            let precision = parameter("connect.decimal.precision").and_then(|digits| digits.parse().ok());
            let scale = parameter("scale").and_then(|digits| digits.parse().ok());
            DataType::Decimal128(precision.unwrap_or(38), scale.unwrap_or(0))
        }
        "number" => DataType::Float64,
        "string" if connect == "bytes" => DataType::Binary,
        "string" => DataType::Utf8,
        "array" => match data_type(root, &json["items"], depth + 1)? {
            Some(DataType::Struct(parts)) if connect == "map" => match entry_value(&parts) {
                Some(value) => map_of(value),
                None => return Ok(None),
            },
            Some(item) => list_of(item),
            None => return Ok(None),
        },
        "object" => {
            let properties = json.get("properties").and_then(Json::as_object);
            match (properties, json.get("additionalProperties")) {
                (properties, Some(values @ Json::Object(_))) if connect == "map" || properties.is_none() => {
                    match data_type(root, values, depth + 1)? {
                        Some(value) => map_of(value),
                        None => return Ok(None),
                    }
                }
                (Some(properties), _) => DataType::Struct(fields(root, properties, depth)?),
                (None, _) => return Ok(None),
            }
        }
        _ => return Ok(None),
    }))
}

fn entry_value(parts: &Fields) -> Option<DataType> {
    parts.iter().find(|part| part.name() == "value").map(|part| part.data_type().clone())
}

fn all_of(root: &Json, parts: &[&Json], depth: usize) -> Result<Option<DataType>, String> {
    let mut all: Vec<FieldRef> = Vec::new();
    for part in parts {
        match data_type(root, part, depth + 1)? {
            Some(DataType::Struct(fields)) => {
                for field in fields
                    .iter()
                    .filter(|field| !all.iter().any(|other| other.name() == field.name()))
                    .cloned()
                    .collect::<Vec<_>>()
                {
                    all.push(field);
                }
            }
            None => {}
            Some(_) => return Err("allOf of something else than objects has no type in SQL".to_owned()),
        }
    }
    Ok((!all.is_empty()).then(|| DataType::Struct(Fields::from(all))))
}

fn fields(root: &Json, properties: &Map<String, Json>, depth: usize) -> Result<Fields, String> {
    let mut ordered: Vec<(&String, &Json)> = properties.iter().collect();
    let buckets = (properties.len() * 4).div_ceil(3).next_power_of_two().max(16);
    ordered.sort_by_key(|(name, json)| {
        let index = json.get("connect.index").and_then(Json::as_u64);
        (index.unwrap_or(u64::MAX), java_bucket(name, buckets))
    });
    let mut fields = Vec::with_capacity(ordered.len());
    for (name, json) in ordered {
        if let Some(found) = data_type(root, json, depth + 1)? {
            fields.push(Field::new(name, found, true));
        }
    }
    Ok(Fields::from(fields))
}

/// Where a hash map of Java keeps a text.
fn java_bucket(text: &str, buckets: usize) -> usize {
    let hash = text.encode_utf16().fold(0_u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)));
    (hash ^ hash >> 16) as usize & (buckets - 1)
}

/// What keeps records of the writer from being valid for the reader, if anything does: a property of another type, or one that the
/// reader requires and the writer did not.
pub(in crate::format) fn can_read(reader: &str, writer: &str) -> Result<(), String> {
    let parse = |text: &str| serde_json::from_str::<Json>(text).map_err(|error| format!("not JSON: {error}"));
    let (reader, writer) = (parse(reader)?, parse(writer)?);
    compare(&reader, &writer, "the record", 0)
}

fn types(json: &Json) -> Vec<&str> {
    let own = match &json["type"] {
        Json::String(name) => vec![name.as_str()],
        Json::Array(names) => names.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    };
    let branches = ["oneOf", "anyOf"].iter().filter_map(|keyword| json.get(*keyword)?.as_array()).flatten();
    own.into_iter().chain(branches.flat_map(types)).collect()
}

fn compare(reader: &Json, writer: &Json, path: &str, depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Ok(());
    }
    let (reads, writes) = (types(reader), types(writer));
    let accepts = |name: &str| reads.contains(&name) || (name == "integer" && reads.contains(&"number"));
    if let Some(lost) = writes.iter().find(|name| !reads.is_empty() && !accepts(name)) {
        return Err(format!("{path} could be {lost}"));
    }
    let none = Map::new();
    let properties = |json: &Json| json.get("properties").and_then(Json::as_object).cloned().unwrap_or(none.clone());
    let (read, written) = (properties(reader), properties(writer));
    for (name, json) in &read {
        if let Some(old) = written.get(name) {
            compare(json, old, &format!("property {name}"), depth + 1)?;
        }
    }
    let required = |json: &Json| -> Vec<String> {
        let names = json.get("required").and_then(Json::as_array);
        names.map(|names| names.iter().filter_map(Json::as_str).map(str::to_owned).collect()).unwrap_or_default()
    };
    let old = required(writer);
    match required(reader).into_iter().find(|name| !old.contains(name)) {
        Some(name) => Err(format!("property {name} was not required")),
        None => Ok(()),
    }
}
