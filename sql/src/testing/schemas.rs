//! Schemas of a case's topics, registered before its statements run.
//!
//! Ids that a case does not give are counted from 1, over topics in the order of a Java hash map of their names: statements of cases
//! name such ids. A declared topic that is not listed counts as one with the schemas of its columns.

use std::collections::BTreeMap;

use millstream::format::{
    Side,
    registry::{
        Compatibility, EmbeddedRegistry, RegistryError, Schema, SchemaId, SchemaReference, SchemaRegistry, SchemaType,
    },
};

use super::{
    case::{Case, TopicSetup},
    value::Value,
};
use crate::{
    catalog::{Catalog, PropertyScope, Source, SourceProperties, declare_source},
    planner::input,
    syntax::{ast::Statement, parse_statement},
};

/// Registers the schemas of a case's topics.
///
/// # Errors
/// A schema that is none.
pub(super) fn register(case: &Case, catalog: &Catalog, registry: &EmbeddedRegistry) -> Result<(), String> {
    // Cases write what their statements would refuse to follow.
    registry.set_compatibility(None, Compatibility::None).map_err(|error| error.to_string())?;
    let declared: Vec<Source> = case.statements.iter().filter_map(|text| declared(catalog, text)).collect();
    let mut names: Vec<&str> = case.topics.iter().map(|topic| topic.name.as_str()).collect();
    names.extend(declared.iter().map(|source| source.topic.as_str()));
    names.sort_unstable();
    names.dedup();
    let buckets = (names.len() * 4).div_ceil(3).next_power_of_two().max(16);
    names.sort_by_key(|name| bucket(name, buckets));
    for name in names {
        let listed = case.topics.iter().find(|topic| topic.name == name);
        let source = declared.iter().find(|source| source.topic == name);
        match (listed, source) {
            (Some(topic), _) => {
                given(registry, topic, "key").map_err(|error| error.to_string())?;
                given(registry, topic, "value").map_err(|error| error.to_string())?;
            }
            (None, Some(source)) => of_columns(source),
            (None, None) => {}
        }
    }
    Ok(())
}

/// How many partitions the statements of a case say that topics have.
pub(super) fn partitions(case: &Case) -> BTreeMap<String, u32> {
    let said = |text: &String| {
        let parsed = parse_statement(text).ok()?;
        let Statement::CreateSource(create) = &parsed.statement else { return None };
        let properties = SourceProperties::parse(&create.properties, PropertyScope::Declare).ok()?;
        Some((properties.topic?, properties.partitions?))
    };
    case.statements.iter().filter_map(said).collect()
}

/// Where a hash map of Java keeps a text.
fn bucket(text: &str, buckets: usize) -> usize {
    let hash = text.encode_utf16().fold(0_u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)));
    (hash ^ hash >> 16) as usize & (buckets - 1)
}

/// The source that a statement declares with columns, as far as it can be told before the statements run.
fn declared(catalog: &Catalog, text: &str) -> Option<Source> {
    let parsed = parse_statement(text).ok()?;
    let Statement::CreateSource(create) = &parsed.statement else { return None };
    let properties = SourceProperties::parse(&create.properties, PropertyScope::Declare).ok()?;
    declare_source(catalog, create, &properties, text).ok()
}

/// A declaration with wrong columns fails when it runs, and not here.
fn of_columns(source: &Source) {
    let formats = input::formats(source);
    let key: Vec<_> = source.key_columns().map(input::field).collect();
    let value: Vec<_> = source.value_columns().map(input::field).collect();
    for (side, format, fields) in [(Side::Key, &formats.key, key), (Side::Value, &formats.value, value)] {
        if !fields.is_empty() {
            let _ = format.register(side, formats.wrapping, &fields);
        }
    }
}

fn given(registry: &EmbeddedRegistry, topic: &TopicSetup, side: &str) -> Result<(), RegistryError> {
    let field = |name: &str| topic.written.get(&format!("{side}_{name}"));
    let Some(written) = field("schema").filter(|schema| **schema != Value::Null) else { return Ok(()) };
    let schema_type = match field("format").and_then(Value::text).unwrap_or_default().to_ascii_uppercase().as_str() {
        "PROTOBUF" => SchemaType::Protobuf,
        "JSON" | "JSON_SR" => SchemaType::Json,
        _ => SchemaType::Avro,
    };
    let text = |schema: &Value| match (schema_type, schema) {
        // A bare name is a schema in JSON only with its quotes.
        (SchemaType::Protobuf, Value::Text(text)) => text.clone(),
        (_, other) => other.to_string(),
    };
    let mut references = Vec::new();
    for reference in field("schema_references").map_or(&[][..], Value::items) {
        let part = |name: &str| reference.get(name).and_then(Value::text).unwrap_or_default().to_owned();
        let name = part("name");
        if let Some(used) = reference.get("schema") {
            registry.register(&name, &Schema::new(schema_type, text(used)))?;
        }
        references.push(SchemaReference { subject: name.clone(), name, version: 1 });
    }
    let schema = Schema { schema_type, text: text(written), references };
    let subject = format!("{}-{side}", topic.name);
    match field("schema_id").and_then(Value::integer).and_then(|id| u32::try_from(id).ok()) {
        Some(id) => registry.register_as(&subject, SchemaId(id), &schema),
        None => registry.register(&subject, &schema).map(drop),
    }
}
