//! Streams and tables: columns, formats, time, window.

use std::fmt;

use std::sync::Arc;

use millstream::format::registry::SchemaId;
use millstream::format::{Format as CoreFormat, RegisteredFormat, Side};
use millstream::record::TimeSpan;

pub use millstream::format::NullableRepresentation;

use super::error::{CatalogError, NameList};
use super::format_context::RegistryHandle;
use super::query::QueryId;
use super::side_format::FORMATS;
use super::sql_type::SqlType;
use crate::syntax::Position;
use crate::syntax::ast::{ColumnRole, SourceKind};
use crate::syntax::suggest::nearest;

/// A stream or table over a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Stream or table.
    pub kind: SourceKind,
    /// Its columns, in the order declared. Names are distinct.
    pub columns: Vec<Column>,
    /// The topic.
    pub topic: String,
    /// How keys are written. [`FormatKind::None`] only without key columns.
    pub key_format: Format,
    /// How values are written.
    pub value_format: Format,
    /// Whether a single value column is wrapped in a record; none means the format's own way.
    pub wrap_single_value: Option<bool>,
    /// Where the schemas of its records are, if its formats have any.
    pub registry: RegistryHandle,
    /// The column that holds a record's time; none means the record's own timestamp.
    pub timestamp: Option<TimestampColumn>,
    /// The window in its keys, if they are windowed.
    pub window: Option<WindowInfo>,
    /// How long its rows stay after their timestamp, in ms of event time; none: until they are deleted. Of a table that a query made, the query
    /// deletes them; of a declared one, whatever reads it.
    pub row_ttl_ms: Option<i64>,
    /// The query that made it, for `AS SELECT`; none for declared ones.
    pub created_by: Option<QueryId>,
    /// `CREATE SOURCE ..`: read-only.
    pub is_source: bool,
    /// The text of the statement that made it.
    pub statement: String,
}

impl Source {
    /// How long rows stay for whoever reads the topic: none if what writes it deletes them.
    pub fn ttl_when_read(&self) -> Option<TimeSpan> {
        self.row_ttl_ms.filter(|_| self.created_by.is_none()).and_then(TimeSpan::from_millis)
    }

    /// The columns of the key, in order.
    pub fn key_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.is_key())
    }

    /// The columns of the value, in order.
    pub fn value_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.role == ColumnRole::Value)
    }

    /// The columns taken from headers, in order.
    pub fn header_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| matches!(column.role, ColumnRole::Headers | ColumnRole::Header(_)))
    }

    /// A column by its exact name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// A column that a statement names at a place.
    pub fn expect_column(&self, name: &str, at: Position) -> Result<&Column, CatalogError> {
        self.column(name).ok_or_else(|| self.unknown_column(name, at))
    }

    /// The error for a column that is not there.
    pub fn unknown_column(&self, name: &str, at: Position) -> CatalogError {
        let known = || self.columns.iter().map(|column| column.name.as_str());
        // The wrong letter case is the commonest mistake with quoted names, also in names too short for a suggestion.
        let same = known().find(|column| column.eq_ignore_ascii_case(name));
        CatalogError::UnknownColumn {
            at,
            name: name.to_owned(),
            source_name: self.name.clone(),
            suggestion: same.or_else(|| nearest(name, known())).map(str::to_owned),
            known: NameList(known().map(str::to_owned).collect()),
        }
    }

    /// The columns as ksqlDB prints a schema: `` `ID` INTEGER KEY, `V` STRING ``.
    pub fn schema_text(&self) -> String {
        self.columns.iter().map(Column::to_string).collect::<Vec<_>>().join(", ")
    }

    /// Why another source may not take its place, if not: ksqlDB wants the same kind, topic, window and key columns as before, and new columns
    /// only at the end.
    pub fn why_not_replaced_by(&self, new: &Source) -> Option<String> {
        if self.kind != new.kind {
            return Some(format!("it is a {}, not a {}", self.kind, new.kind));
        }
        if self.is_source || new.is_source {
            let word = new.kind.word();
            return Some(format!(
                "Cannot add {word} '{}': CREATE OR REPLACE is not supported on source {word}s.",
                new.name
            ));
        }
        let schemas = || {
            format!(
                "DataSource '`{}`' has schema = {} which is not upgradeable to {}.",
                self.name,
                self.schema_text(),
                new.schema_text()
            )
        };
        let keys = changed(self.key_columns(), new.key_columns(), " KEY");
        if keys.is_some() || self.key_columns().count() != new.key_columns().count() {
            let changed = keys.map_or_else(
                || "(Key columns must be identical.)".to_owned(),
                |changed| {
                    format!(
                        "(Key columns must be identical. The following key columns are changed, missing or reordered: [{changed}])"
                    )
                },
            );
            return Some(format!("{} {changed}", schemas()));
        }
        let others = |source: &'_ Source| -> Vec<Column> {
            source.columns.iter().filter(|column| !column.is_key()).cloned().collect()
        };
        if let Some(changed) = changed(others(self).iter(), others(new).iter(), "") {
            return Some(format!(
                "{} (The following columns are changed, missing or reordered: [{changed}])",
                schemas()
            ));
        }
        let differs = |what: &str, old: &dyn fmt::Display, new: &dyn fmt::Display| {
            format!("DataSource '`{}`' has {what} = {old} which is not upgradeable to {new}", self.name)
        };
        if self.topic != new.topic {
            return Some(differs("topic", &self.topic, &new.topic));
        }
        if self.window != new.window {
            let shown = |source: &Source| {
                source.window.map_or_else(
                    || "none".to_owned(),
                    |window| match window.size_ms {
                        Some(size) => format!("{} {size} ms", window.window_type),
                        None => window.window_type.to_string(),
                    },
                )
            };
            return Some(differs("window", &shown(self), &shown(new)));
        }
        if self.row_ttl_ms != new.row_ttl_ms {
            let shown = |source: &Source| source.row_ttl_ms.map_or("none".to_owned(), |ttl| format!("{ttl} ms"));
            return Some(differs("row TTL", &shown(self), &shown(new)));
        }
        None
    }
}

/// The columns that do not stand where they did, as a list; none if all do.
fn changed<'a>(
    old: impl Iterator<Item = &'a Column>,
    new: impl Iterator<Item = &'a Column>,
    mark: &str,
) -> Option<String> {
    let mut new = new;
    let gone: Vec<String> = old
        .filter(|column| {
            let now = new.next();
            now != Some(*column)
        })
        .map(|column| format!("`{}` {}{mark}", column.name, column.data_type))
        .collect();
    (!gone.is_empty()).then(|| gone.join(", "))
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: SqlType,
    /// Where its values are in a record.
    pub role: ColumnRole,
}

impl Column {
    /// Whether it is part of the key.
    pub fn is_key(&self) -> bool {
        matches!(self.role, ColumnRole::Key | ColumnRole::PrimaryKey)
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.name, self.data_type)?;
        match &self.role {
            ColumnRole::Value => Ok(()),
            ColumnRole::Key => f.write_str(" KEY"),
            ColumnRole::PrimaryKey => f.write_str(" PRIMARY KEY"),
            ColumnRole::Headers => f.write_str(" HEADERS"),
            ColumnRole::Header(name) => write!(f, " HEADER('{}')", name.replace('\'', "''")),
        }
    }
}

/// A format with its settings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Format {
    /// Which.
    pub kind: FormatKind,
    /// The sign between fields; only with [`FormatKind::Delimited`], where none means a comma.
    pub delimiter: Option<char>,
    /// What was asked of the schemas of records; only with formats that have such.
    pub schema: SchemaOptions,
}

/// What a statement asks of the schemas of records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct SchemaOptions {
    /// The schema to infer columns from and to write in.
    pub id: Option<u32>,
    /// The full name of its record or message.
    pub full_name: Option<String>,
    /// How Protobuf says null.
    pub nullable: NullableRepresentation,
}

impl Format {
    /// A format without settings.
    pub const fn plain(kind: FormatKind) -> Self {
        let schema = SchemaOptions { id: None, full_name: None, nullable: NullableRepresentation::Plain };
        Self { kind, delimiter: None, schema }
    }

    /// The format as the engine knows it, for one side of a topic.
    pub fn to_core(&self, registry: &RegistryHandle, topic: &str, side: Side) -> CoreFormat {
        let registered = || {
            let side = if side == Side::Key { "key" } else { "value" };
            Arc::new(RegisteredFormat {
                registry: Arc::clone(&registry.0),
                subject: format!("{topic}-{side}"),
                schema_id: self.schema.id.map(SchemaId),
                full_name: self.schema.full_name.clone(),
                nullable: self.schema.nullable,
            })
        };
        match self.kind {
            FormatKind::None => CoreFormat::None,
            FormatKind::Kafka => CoreFormat::Kafka,
            FormatKind::Json => CoreFormat::Json,
            FormatKind::Delimited => CoreFormat::Delimited { delimiter: self.delimiter.unwrap_or(',') },
            FormatKind::Avro => CoreFormat::Avro(registered()),
            FormatKind::JsonSr => CoreFormat::JsonSr(registered()),
            FormatKind::Protobuf => CoreFormat::Protobuf(registered()),
            FormatKind::ProtobufNoSr => CoreFormat::ProtobufNoSr { nullable: self.schema.nullable },
        }
    }
}

/// How the bytes of a key or value are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FormatKind {
    /// There are none.
    None,
    /// One number or string, as Kafka's own serializers write them.
    Kafka,
    /// JSON.
    Json,
    /// Separated text.
    Delimited,
    /// Avro, with a schema registry.
    Avro,
    /// JSON with a schema registry.
    JsonSr,
    /// Protobuf, with a schema registry.
    Protobuf,
    /// Protobuf with the schema that the columns give.
    ProtobufNoSr,
}

impl FormatKind {
    /// The format of a name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        FORMATS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, kind)| *kind)
    }

    /// Whether the schemas of records are in a registry, from which columns can be inferred.
    pub fn has_registry(self) -> bool {
        matches!(self, Self::Avro | Self::JsonSr | Self::Protobuf)
    }

    /// Whether a single value column can be wrapped in a record, or stand alone.
    pub fn can_wrap(self, wrapped: bool) -> bool {
        match self {
            Self::Json | Self::Avro | Self::JsonSr => true,
            Self::Protobuf | Self::ProtobufNoSr => wrapped,
            Self::Kafka | Self::Delimited | Self::None => !wrapped,
        }
    }
}

impl fmt::Display for FormatKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FormatKind::None => "NONE",
            FormatKind::Kafka => "KAFKA",
            FormatKind::Json => "JSON",
            FormatKind::Delimited => "DELIMITED",
            FormatKind::Avro => "AVRO",
            FormatKind::JsonSr => "JSON_SR",
            FormatKind::Protobuf => "PROTOBUF",
            FormatKind::ProtobufNoSr => "PROTOBUF_NOSR",
        })
    }
}

/// The column that holds a record's time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimestampColumn {
    /// Its name.
    pub column: String,
    /// The pattern of its text; none for BIGINT (ms) and TIMESTAMP columns.
    pub format: Option<String>,
}

/// The window in the keys of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WindowInfo {
    /// Which windows.
    pub window_type: WindowType,
    /// Their length; none if they are not of one length: sessions, CUMULATE, and windows by the clock of a time zone.
    pub size_ms: Option<i64>,
}

impl WindowInfo {
    /// Whether keys hold both bounds of their window, end first, and not only its start.
    pub fn has_both_bounds(&self) -> bool {
        self.size_ms.is_none()
    }
}

/// Which windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WindowType {
    /// Side by side.
    Tumbling,
    /// Overlapping.
    Hopping,
    /// Starting together, ending one after another.
    Cumulate,
    /// Bounded by pauses.
    Session,
}

impl fmt::Display for WindowType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WindowType::Tumbling => "TUMBLING",
            WindowType::Hopping => "HOPPING",
            WindowType::Cumulate => "CUMULATE",
            WindowType::Session => "SESSION",
        })
    }
}
