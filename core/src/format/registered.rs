//! Formats whose records name their schema: where schemas are, under which subject, and what was asked for in a statement.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::datatypes::FieldRef;

use super::{
    FormatError, Side,
    avro::{self, AvroSchema},
    json_sr, protobuf,
    registry::{self, Schema, SchemaId, SchemaRegistry, SchemaType, SharedRegistry, Version},
};

/// How Protobuf says that a number or text is null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NullableRepresentation {
    /// Not at all: a null is read as the type's default.
    #[default]
    Plain,
    /// The field is `optional`.
    Optional,
    /// The value is in a message of `google/protobuf/wrappers.proto`.
    Wrapper,
}

/// A format with a schema registry.
#[derive(Clone)]
pub struct RegisteredFormat {
    /// Where schemas are.
    pub registry: SharedRegistry,
    /// The subject under which schemas of what is written are registered: `<topic>-key` or `<topic>-value`.
    pub subject: String,
    /// The schema to write in, instead of the one that the columns give.
    pub schema_id: Option<SchemaId>,
    /// The full name of the record or message, instead of the usual one.
    pub full_name: Option<String>,
    /// How Protobuf says null.
    pub nullable: NullableRepresentation,
}

impl RegisteredFormat {
    /// A format without special wishes.
    pub fn new(registry: SharedRegistry, subject: impl Into<String>) -> Self {
        Self {
            registry,
            subject: subject.into(),
            schema_id: None,
            full_name: None,
            nullable: NullableRepresentation::Plain,
        }
    }
}

impl fmt::Debug for RegisteredFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "subject {}", self.subject)
    }
}

impl PartialEq for RegisteredFormat {
    fn eq(&self, other: &Self) -> bool {
        let parts =
            |format: &Self| (format.subject.clone(), format.schema_id, format.full_name.clone(), format.nullable);
        Arc::ptr_eq(&self.registry, &other.registry) && parts(self) == parts(other)
    }
}

impl Eq for RegisteredFormat {}

impl Hash for RegisteredFormat {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.subject, self.schema_id, &self.full_name, self.nullable).hash(state);
    }
}

/// What a serialiser writes in: found or registered when the first record is written.
pub(super) struct Target {
    registry: SharedRegistry,
    subject: String,
    id: Option<SchemaId>,
    /// The schema that the columns give.
    generated: Schema,
    /// The message to write, of several in a schema.
    pub(super) full_name: Option<String>,
}

/// The schema that records are written in.
pub(super) struct Writing {
    /// Its id.
    pub(super) id: SchemaId,
    /// The schema.
    pub(super) schema: Arc<Schema>,
    /// What it refers to.
    pub(super) used: Vec<(String, Arc<Schema>)>,
}

impl Target {
    /// What records of these columns are written in.
    ///
    /// # Errors
    /// [`FormatError`] if the columns have no place in the language of the schema.
    pub(super) fn new(
        format: &RegisteredFormat,
        schema_type: SchemaType,
        bare: bool,
        fields: &[FieldRef],
    ) -> Result<Self, FormatError> {
        let name = format.full_name.as_deref();
        let text = match schema_type {
            SchemaType::Avro => avro::schema_of_columns(fields, bare, name.unwrap_or(avro::DEFAULT_NAME))?,
            SchemaType::Json => json_sr::schema_of_columns(fields, bare)?,
            SchemaType::Protobuf => protobuf::schema_of_columns(fields, name, format.nullable)?,
        };
        Ok(Self {
            registry: Arc::clone(&format.registry),
            subject: format.subject.clone(),
            id: format.schema_id,
            generated: Schema::new(schema_type, text),
            full_name: format.full_name.clone(),
        })
    }

    /// Whether a schema was asked for, instead of the one that the columns give.
    pub(super) fn is_given(&self) -> bool {
        self.id.is_some()
    }

    /// Registers the schema under the subject.
    ///
    /// # Errors
    /// [`FormatError::Registry`].
    pub(super) fn writing(&self) -> Result<Writing, FormatError> {
        let failed = |error: registry::RegistryError| FormatError::Registry { problem: error.to_string() };
        let Some(id) = self.id else {
            let id = self.registry.register(&self.subject, &self.generated).map_err(failed)?;
            return Ok(Writing { id, schema: Arc::new(self.generated.clone()), used: Vec::new() });
        };
        let schema = self.registry.schema(id).map_err(failed)?;
        if schema.schema_type != self.generated.schema_type {
            let problem = format!("schema {id} is {}, not {}", schema.schema_type, self.generated.schema_type);
            return Err(FormatError::Schema { format: self.generated.schema_type.name(), problem });
        }
        self.registry.register(&self.subject, &schema).map_err(failed)?;
        let used = registry::references(self.registry.as_ref(), &schema).map_err(failed)?;
        Ok(Writing { id, schema, used })
    }
}

/// Columns that a registered schema gives.
#[derive(Debug, Clone, PartialEq)]
pub struct InferredColumns {
    /// The schema they are from.
    pub id: SchemaId,
    /// The columns, by the names of the schema.
    pub columns: Vec<FieldRef>,
}

/// The columns of the newest schema of a subject, or of the schema of an id. A single value (`bare`) is one column called ROWKEY or ROWVAL.
///
/// # Errors
/// [`FormatError::Registry`] if there is no such schema, [`FormatError::Schema`] if it is in another language or has no columns.
pub fn infer_columns(
    format: &RegisteredFormat,
    schema_type: SchemaType,
    side: Side,
    bare: bool,
) -> Result<InferredColumns, FormatError> {
    let registry: &dyn SchemaRegistry = format.registry.as_ref();
    let failed = |error: registry::RegistryError| FormatError::Registry { problem: error.to_string() };
    let (id, schema) = match format.schema_id {
        Some(id) => (id, registry.schema(id).map_err(failed)?),
        None => {
            let latest = registry.version(&format.subject, Version::Latest).map_err(failed)?;
            (latest.id, latest.schema)
        }
    };
    let invalid = |problem: String| FormatError::Schema {
        format: schema_type.name(),
        problem: format!("schema {id} of {}: {problem}", format.subject),
    };
    if schema.schema_type != schema_type {
        return Err(invalid(format!("it is {}", schema.schema_type)));
    }
    let used = registry::references(registry, &schema).map_err(failed)?;
    let single = match side {
        Side::Key => "ROWKEY",
        Side::Value => "ROWVAL",
    };
    let bare = bare.then_some(single);
    let columns = match schema_type {
        SchemaType::Avro => AvroSchema::parse(&schema.text, used.iter().map(|(_, used)| used.text.as_str()))
            .and_then(|schema| avro::columns_of_schema(&schema, bare)),
        SchemaType::Json => json_sr::columns_of_schema(&schema.text, bare),
        SchemaType::Protobuf => protobuf::ProtobufSchema::parse(&schema.text, &used).and_then(|schema| {
            let root = schema.root(format.full_name.as_deref())?;
            protobuf::columns_of_schema(&schema, root)
        }),
    };
    Ok(InferredColumns { id, columns: columns.map_err(invalid)? })
}
