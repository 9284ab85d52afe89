//! Schema registries: schemas of topics under numbers that stand in front of every record.
//!
//! The words are those of Confluent's Schema Registry: a *subject* (`<topic>-key`, `<topic>-value`) has versions, numbered from 1; each
//! version is a *schema* (text, type, references to versions of other subjects) with an *id* that is the same wherever the same schema is
//! registered. [`EmbeddedRegistry`] keeps them in a topic of the log or in memory; [`ConfluentRegistry`] asks a server.

mod check;
mod confluent;
mod embedded;
mod error;
mod framing;
mod record;

use std::{fmt, sync::Arc};

pub use confluent::{ConfluentConfig, ConfluentRegistry};
pub use embedded::EmbeddedRegistry;
pub use error::RegistryError;
pub(in crate::format) use framing::{frame, unframe};

/// The number of a schema in a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SchemaId(pub u32);

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The language of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SchemaType {
    /// Avro, as JSON.
    Avro,
    /// JSON Schema.
    Json,
    /// Protobuf, as the text of a `.proto` file.
    Protobuf,
}

impl SchemaType {
    /// Its name in the interface of registries.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avro => "AVRO",
            Self::Json => "JSON",
            Self::Protobuf => "PROTOBUF",
        }
    }

    /// The type of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Avro, Self::Json, Self::Protobuf].into_iter().find(|schema_type| schema_type.name() == name)
    }
}

impl fmt::Display for SchemaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A version of another subject that a schema uses under a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SchemaReference {
    /// The name by which the schema calls it: a full name (Avro), a path to import (Protobuf), a URL (JSON Schema).
    pub name: String,
    /// The subject.
    pub subject: String,
    /// Its version.
    pub version: u32,
}

/// A schema as it is registered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Schema {
    /// Its language.
    pub schema_type: SchemaType,
    /// Its text.
    pub text: String,
    /// What it uses of other subjects.
    pub references: Vec<SchemaReference>,
}

impl Schema {
    /// A schema that uses no other.
    pub fn new(schema_type: SchemaType, text: impl Into<String>) -> Self {
        Self { schema_type, text: text.into(), references: Vec::new() }
    }

    /// The same for schemas that differ only in white space or the order of fields in JSON.
    fn canonical(&self) -> String {
        let text = match self.schema_type {
            SchemaType::Avro | SchemaType::Json => serde_json::from_str::<serde_json::Value>(&self.text)
                .map_or_else(|_| self.text.trim().to_owned(), |value| value.to_string()),
            SchemaType::Protobuf => self.text.split_whitespace().collect::<Vec<_>>().join(" "),
        };
        let references: Vec<String> =
            self.references.iter().map(|r| format!("{}={}@{}", r.name, r.subject, r.version)).collect();
        format!("{} {} {text}", self.schema_type, references.join(","))
    }
}

/// A version of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectVersion {
    /// The subject.
    pub subject: String,
    /// The version, from 1.
    pub version: u32,
    /// The id of its schema.
    pub id: SchemaId,
    /// The schema.
    pub schema: Arc<Schema>,
}

/// Which version of a subject is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The newest.
    Latest,
    /// This one.
    Number(u32),
}

/// What a new version of a subject owes to older ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compatibility {
    /// Nothing.
    None,
    /// It reads what the newest version has written.
    Backward,
    /// It reads what all versions have written.
    BackwardTransitive,
    /// The newest version reads what it writes.
    Forward,
    /// All versions read what it writes.
    ForwardTransitive,
    /// Both, with the newest version.
    Full,
    /// Both, with all versions.
    FullTransitive,
}

impl Compatibility {
    const ALL: [(&str, Self); 7] = [
        ("NONE", Self::None),
        ("BACKWARD", Self::Backward),
        ("BACKWARD_TRANSITIVE", Self::BackwardTransitive),
        ("FORWARD", Self::Forward),
        ("FORWARD_TRANSITIVE", Self::ForwardTransitive),
        ("FULL", Self::Full),
        ("FULL_TRANSITIVE", Self::FullTransitive),
    ];

    /// Its name in the interface of registries.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, level)| *level == self).map_or("NONE", |(name, _)| name)
    }

    /// The level of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, level)| *level)
    }
}

/// A registry of schemas.
///
/// # Contract
/// - An id stands for one schema for ever; [`schema`](Self::schema) may be cached without limit.
/// - Registering a schema that the subject has already gives the id that it has, and changes nothing.
/// - All methods may be called from any thread, and may wait for a network.
pub trait SchemaRegistry: Send + Sync + fmt::Debug {
    /// Makes `schema` the newest version of `subject`, unless it is a version of it already; its id.
    ///
    /// # Errors
    /// [`RegistryError::Incompatible`] if the compatibility of the subject forbids it, [`RegistryError::InvalidSchema`].
    fn register(&self, subject: &str, schema: &Schema) -> Result<SchemaId, RegistryError>;

    /// The schema of an id.
    ///
    /// # Errors
    /// [`RegistryError::UnknownId`] if there is none.
    fn schema(&self, id: SchemaId) -> Result<Arc<Schema>, RegistryError>;

    /// A version of a subject.
    ///
    /// # Errors
    /// [`RegistryError::UnknownSubject`], [`RegistryError::UnknownVersion`].
    fn version(&self, subject: &str, version: Version) -> Result<SubjectVersion, RegistryError>;

    /// The version of a subject that is this schema, if one is.
    ///
    /// # Errors
    /// Those of reaching the registry.
    fn find(&self, subject: &str, schema: &Schema) -> Result<Option<SubjectVersion>, RegistryError>;

    /// All subjects, by name.
    ///
    /// # Errors
    /// Those of reaching the registry.
    fn subjects(&self) -> Result<Vec<String>, RegistryError>;

    /// The numbers of a subject's versions, rising.
    ///
    /// # Errors
    /// [`RegistryError::UnknownSubject`].
    fn versions(&self, subject: &str) -> Result<Vec<u32>, RegistryError>;

    /// Removes a subject; the numbers of its versions. Its schemas keep their ids.
    ///
    /// # Errors
    /// [`RegistryError::UnknownSubject`].
    fn delete_subject(&self, subject: &str) -> Result<Vec<u32>, RegistryError>;

    /// The compatibility that holds for a subject, or for all that have none of their own.
    ///
    /// # Errors
    /// Those of reaching the registry.
    fn compatibility(&self, subject: Option<&str>) -> Result<Compatibility, RegistryError>;

    /// Sets the compatibility of a subject, or of all that have none of their own.
    ///
    /// # Errors
    /// Those of reaching the registry.
    fn set_compatibility(&self, subject: Option<&str>, level: Compatibility) -> Result<(), RegistryError>;
}

/// A registry shared by the parts of a process.
pub type SharedRegistry = Arc<dyn SchemaRegistry>;

/// What a schema refers to, and what that refers to: names as the schemas call them, each once, what is used before what uses it.
pub(in crate::format) fn references(
    registry: &dyn SchemaRegistry,
    schema: &Schema,
) -> Result<Vec<(String, Arc<Schema>)>, RegistryError> {
    const DEPTH: usize = 64;
    fn visit(
        registry: &dyn SchemaRegistry,
        schema: &Schema,
        depth: usize,
        found: &mut Vec<(String, Arc<Schema>)>,
    ) -> Result<(), RegistryError> {
        if depth > DEPTH {
            let problem = format!("references are nested more than {DEPTH} deep");
            return Err(RegistryError::InvalidSchema { problem });
        }
        for reference in &schema.references {
            if found.iter().any(|(name, _)| *name == reference.name) {
                continue;
            }
            let used = registry.version(&reference.subject, Version::Number(reference.version))?.schema;
            visit(registry, &used, depth + 1, found)?;
            found.push((reference.name.clone(), used));
        }
        Ok(())
    }
    let mut found = Vec::new();
    visit(registry, schema, 0, &mut found)?;
    Ok(found)
}
