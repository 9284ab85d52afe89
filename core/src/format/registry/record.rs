//! What the topic of schemas holds, as JSON: a version, its removal (a tombstone), a compatibility.
//!
//! The fields are those that Confluent's own topic of schemas has.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Compatibility, Schema, SchemaId, SchemaReference, SchemaType, SubjectVersion};

/// A key: what a record is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "keytype", rename_all = "UPPERCASE")]
pub(super) enum RecordKey {
    /// A version of a subject.
    Schema {
        /// The subject.
        subject: String,
        /// The version.
        version: u32,
    },
    /// The compatibility of a subject, or of all.
    Config {
        /// The subject.
        subject: Option<String>,
    },
}

/// The value of a version's record.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct VersionValue {
    subject: String,
    version: u32,
    id: u32,
    schema_type: String,
    schema: String,
    #[serde(default)]
    references: Vec<Reference>,
    #[serde(default)]
    deleted: bool,
}

/// A reference, as it is written here and in the interface of servers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Reference {
    name: String,
    subject: String,
    version: u32,
}

impl From<&SchemaReference> for Reference {
    fn from(reference: &SchemaReference) -> Self {
        let SchemaReference { name, subject, version } = reference.clone();
        Self { name, subject, version }
    }
}

impl From<Reference> for SchemaReference {
    fn from(Reference { name, subject, version }: Reference) -> Self {
        Self { name, subject, version }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigValue {
    compatibility_level: String,
}

/// The bytes of a version's value.
pub(super) fn version_value(version: &SubjectVersion, deleted: bool) -> Vec<u8> {
    let value = VersionValue {
        subject: version.subject.clone(),
        version: version.version,
        id: version.id.0,
        schema_type: version.schema.schema_type.name().to_owned(),
        schema: version.schema.text.clone(),
        references: version.schema.references.iter().map(Reference::from).collect(),
        deleted,
    };
    serde_json::to_vec(&value).expect("texts and numbers are JSON")
}

/// A version and whether it was deleted, from its value.
pub(super) fn read_version(bytes: &[u8]) -> Result<(SubjectVersion, bool), String> {
    let value: VersionValue = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let schema_type = SchemaType::from_name(&value.schema_type)
        .ok_or_else(|| format!("unknown type of schema {}", value.schema_type))?;
    let references = value.references.into_iter().map(SchemaReference::from).collect();
    let schema = Arc::new(Schema { schema_type, text: value.schema, references });
    let version = SubjectVersion { subject: value.subject, version: value.version, id: SchemaId(value.id), schema };
    Ok((version, value.deleted))
}

/// The bytes of a compatibility's value.
pub(super) fn config_value(level: Compatibility) -> Vec<u8> {
    let value = ConfigValue { compatibility_level: level.name().to_owned() };
    serde_json::to_vec(&value).expect("a text is JSON")
}

/// A compatibility from its value.
pub(super) fn read_config(bytes: &[u8]) -> Result<Compatibility, String> {
    let value: ConfigValue = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    Compatibility::from_name(&value.compatibility_level)
        .ok_or_else(|| format!("unknown compatibility {}", value.compatibility_level))
}
