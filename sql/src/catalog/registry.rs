//! The [`Catalog`]: names to sources, types, connectors and queries, and the rules by which they come and go.
//!
//! Invariants: every source a query reads or writes is there as long as the query is; a query that created a source goes
//! with it; query numbers never come back.

mod queries;
mod queues;

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::ast as sql;
use millstream::{record::TopicName, topology::InvalidTimestamps};

use super::declare;
use super::error::{CatalogError, NameList};
use super::format_context::{FormatDefaults, RegistryHandle, SinkDefaults};
use super::query::{QueryId, QueryRecord};
use super::queue::DeclaredQueue;
use super::source::{Column, Source};
use super::sql_type::SqlType;
use crate::functions::Functions;
use crate::syntax::Position;
use crate::syntax::ast::{ColumnDef, ColumnRole, ConnectorKind, Name, Property, SourceKind, TypeRef};
use crate::syntax::suggest::nearest;

/// A connector as declared; its properties are the connector's own business.
#[derive(Debug, Clone, PartialEq)]
pub struct Connector {
    /// Its name.
    pub name: String,
    /// Source or sink.
    pub kind: ConnectorKind,
    /// Its properties in the order written.
    pub properties: Vec<Property>,
    /// The topics that a sink reads.
    pub topics: Vec<TopicName>,
    /// Whether it is to wait.
    pub paused: bool,
    /// The text of the statement that made it.
    pub statement: String,
}

/// What a DROP took away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The source.
    pub source: Source,
    /// The query that had created it and is to be ended now.
    pub ended: Option<QueryRecord>,
}

/// All that is declared.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    sources: BTreeMap<String, Source>,
    types: BTreeMap<String, SqlType>,
    connectors: BTreeMap<String, Connector>,
    queues: BTreeMap<String, DeclaredQueue>,
    queries: BTreeMap<QueryId, QueryRecord>,
    next_query: u64,
    registry: RegistryHandle,
    defaults: FormatDefaults,
    sink_defaults: SinkDefaults,
    function_properties: BTreeMap<String, String>,
    invalid_timestamps: InvalidTimestamps,
    functions: Functions,
}

impl Catalog {
    /// An empty catalog, with a schema registry of its own in memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty catalog with a schema registry.
    pub fn with_registry(registry: RegistryHandle) -> Self {
        Self { registry, ..Self::default() }
    }

    /// Where schemas of records are.
    pub fn registry(&self) -> &RegistryHandle {
        &self.registry
    }

    /// The formats that hold where a statement names none.
    pub fn format_defaults(&self) -> FormatDefaults {
        self.defaults
    }

    /// Sets the formats that hold where a statement names none, before it is declared or planned.
    pub fn set_format_defaults(&mut self, defaults: FormatDefaults) {
        self.defaults = defaults;
    }

    /// What holds for the topics of queries where a statement does not say.
    pub fn sink_defaults(&self) -> &SinkDefaults {
        &self.sink_defaults
    }

    /// Sets what holds for the topics of queries where a statement does not say, before it is planned.
    pub fn set_sink_defaults(&mut self, defaults: SinkDefaults) {
        self.sink_defaults = defaults;
    }

    /// What becomes of records without a usable timestamp.
    pub fn invalid_timestamps(&self) -> InvalidTimestamps {
        self.invalid_timestamps
    }

    /// Sets what becomes of records without a usable timestamp, before a query is planned.
    pub fn set_invalid_timestamps(&mut self, invalid: InvalidTimestamps) {
        self.invalid_timestamps = invalid;
    }

    /// The properties of functions that are in force, such as `ksql.functions.collect_list.limit`.
    pub fn function_properties(&self) -> &BTreeMap<String, String> {
        &self.function_properties
    }

    /// Sets the properties of functions, before a query is planned.
    pub fn set_function_properties(&mut self, properties: BTreeMap<String, String>) {
        self.function_properties = properties;
    }

    /// What statements can call beside the functions of the language.
    pub fn functions(&self) -> &Functions {
        &self.functions
    }

    /// Sets what statements can call beside the functions of the language, before any is planned.
    pub fn set_functions(&mut self, functions: Functions) {
        self.functions = functions;
    }

    // Sources.

    /// All streams and tables, by name.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.values()
    }

    /// A stream or table by its exact name.
    pub fn source(&self, name: &str) -> Option<&Source> {
        self.sources.get(name)
    }

    /// The stream or table that a statement names.
    pub fn expect_source(&self, name: &Name) -> Result<&Source, CatalogError> {
        self.sources.get(&name.value).ok_or_else(|| {
            let (suggestion, known) = near(&name.value, self.sources.keys().map(String::as_str));
            CatalogError::UnknownSource { at: name.span.start, name: name.value.clone(), suggestion, known }
        })
    }

    /// The stream (or the table) that a statement names.
    pub fn expect_kind(&self, name: &Name, wanted: SourceKind) -> Result<&Source, CatalogError> {
        let source = self.expect_source(name)?;
        if source.kind != wanted {
            let (name, at) = (name.value.clone(), name.span.start);
            return Err(CatalogError::WrongKind { at, name, found: source.kind, wanted });
        }
        Ok(source)
    }

    /// Whether [`Self::add_source`] would take this source; asked before its topic and query are made.
    pub fn check_add(&self, source: &Source, or_replace: bool, at: Position) -> Result<(), CatalogError> {
        let Some(old) = self.sources.get(&source.name) else { return Ok(()) };
        if !or_replace {
            let what = if old.kind == SourceKind::Stream { "stream" } else { "table" };
            let advice = "drop it first, or write CREATE OR REPLACE or IF NOT EXISTS";
            return Err(CatalogError::AlreadyExists { at, what, name: source.name.clone(), advice });
        }
        match old.why_not_replaced_by(source) {
            Some(reason) => Err(CatalogError::NotAllowed { at, action: "replace", name: source.name.clone(), reason }),
            None => Ok(()),
        }
    }

    /// Records a source; gives back the one it replaces.
    pub fn add_source(
        &mut self,
        source: Source,
        or_replace: bool,
        at: Position,
    ) -> Result<Option<Source>, CatalogError> {
        self.check_add(&source, or_replace, at)?;
        Ok(self.sources.insert(source.name.clone(), source))
    }

    /// Appends columns to a declared source (`ALTER .. ADD COLUMN`).
    pub fn add_columns(&mut self, name: &Name, kind: SourceKind, add: &[ColumnDef]) -> Result<&Source, CatalogError> {
        if !self.sources.contains_key(&name.value) {
            let (suggestion, known) = near(&name.value, self.sources.keys().map(String::as_str));
            let hint = match suggestion {
                Some(name) => format!("did you mean {name}"),
                None => format!("there is {known}"),
            };
            let (at, reason) = (name.span.start, format!("Source {} does not exist; {hint}", name.value));
            return Err(CatalogError::NotAllowed { at, action: "add columns to", name: name.value.clone(), reason });
        }
        let source = self.expect_kind(name, kind)?;
        let refuse = |reason: &str| CatalogError::NotAllowed {
            at: name.span.start,
            action: "add columns to",
            name: name.value.clone(),
            reason: reason.to_owned(),
        };
        if source.created_by.is_some() {
            return Err(refuse(
                "ALTER command is not supported for CREATE ... AS statements. Use CREATE OR REPLACE .. AS SELECT",
            ));
        }
        if source.is_source {
            let word = kind.word();
            return Err(refuse(&format!(
                "Cannot alter {word} '{}': ALTER operations are not supported on source {word}s.",
                name.value
            )));
        }
        let columns = add.iter().map(|written| {
            if source.column(&written.name.value).is_some() {
                let (at, name) = (written.name.span.start, written.name.value.clone());
                let reason =
                    format!("Cannot add column `{name}` to schema. A column with the same name already exists.");
                return Err(CatalogError::InvalidColumn { at, name, reason });
            }
            if written.role != ColumnRole::Value {
                let (at, name) = (written.name.span.start, written.name.value.clone());
                let reason = "only value columns can be added".to_owned();
                return Err(CatalogError::InvalidColumn { at, name, reason });
            }
            declare::column(self, written)
        });
        let columns: Vec<Column> = columns.collect::<Result<_, _>>()?;
        let source = self.sources.get_mut(&name.value).ok_or_else(|| refuse("it is gone"))?;
        source.columns.extend(columns);
        Ok(source)
    }

    /// Whether [`Self::drop_source`] would drop this source.
    pub fn check_drop(&self, name: &Name, kind: SourceKind, delete_topic: bool) -> Result<&Source, CatalogError> {
        let source = self.expect_kind(name, kind)?;
        if source.is_source && delete_topic {
            return Err(CatalogError::NotAllowed {
                at: name.span.start,
                action: "delete the topic of",
                name: name.value.clone(),
                reason: format!("Cannot delete topic for read-only source: {}", name.value),
            });
        }
        let readers = self.names_of(|query| query.sources.contains(&name.value));
        let writers = self.names_of(|query| query.sink == name.value && source.created_by.as_ref() != Some(&query.id));
        if readers.0.is_empty() && writers.0.is_empty() {
            return Ok(source);
        }
        Err(CatalogError::InUse { at: name.span.start, name: name.value.clone(), readers, writers })
    }

    /// Takes a source away, and the query that created it. Refused while other queries read or write it.
    pub fn drop_source(&mut self, name: &Name, kind: SourceKind, delete_topic: bool) -> Result<Dropped, CatalogError> {
        let source = self.check_drop(name, kind, delete_topic)?.clone();
        self.sources.remove(&name.value);
        let ended = source.created_by.as_ref().and_then(|id| self.queries.remove(id));
        Ok(Dropped { source, ended })
    }

    // Types.

    /// The custom types, by name.
    pub fn types(&self) -> impl Iterator<Item = (&str, &SqlType)> {
        self.types.iter().map(|(name, data_type)| (name.as_str(), data_type))
    }

    /// A type as written, its names looked up.
    pub fn resolve_type(&self, written: &TypeRef) -> Result<SqlType, CatalogError> {
        SqlType::resolve(written, &self.types)
    }

    /// The type of a CAST that stands at a place.
    pub fn resolve_cast(&self, written: &sql::DataType, at: Position) -> Result<SqlType, CatalogError> {
        SqlType::resolve_parsed(written, at, &self.types)
    }

    /// Records a custom type.
    pub fn add_type(&mut self, name: &Name, data_type: SqlType) -> Result<(), CatalogError> {
        if self.types.contains_key(&name.value) {
            let advice = "drop it first, or write IF NOT EXISTS";
            let (at, name) = (name.span.start, name.value.clone());
            return Err(CatalogError::AlreadyExists { at, what: "type", name, advice });
        }
        self.types.insert(name.value.clone(), data_type);
        Ok(())
    }

    /// Takes a custom type away; columns that were declared with it keep what it stood for.
    pub fn drop_type(&mut self, name: &Name) -> Result<SqlType, CatalogError> {
        self.types.remove(&name.value).ok_or_else(|| {
            let (suggestion, _) = near(&name.value, self.types.keys().map(String::as_str));
            CatalogError::UnknownType { at: name.span.start, name: name.value.clone(), suggestion }
        })
    }

    // Connectors.

    /// The connectors, by name.
    pub fn connectors(&self) -> impl Iterator<Item = &Connector> {
        self.connectors.values()
    }

    /// The connector that a statement names.
    pub fn expect_connector(&self, name: &Name) -> Result<&Connector, CatalogError> {
        self.connectors.get(&name.value).ok_or_else(|| {
            let (suggestion, known) = near(&name.value, self.connectors.keys().map(String::as_str));
            CatalogError::UnknownConnector { at: name.span.start, name: name.value.clone(), suggestion, known }
        })
    }

    /// Records a connector.
    pub fn add_connector(&mut self, connector: Connector, at: Position) -> Result<(), CatalogError> {
        if self.connectors.contains_key(&connector.name) {
            let advice = "drop it first, or write IF NOT EXISTS";
            return Err(CatalogError::AlreadyExists { at, what: "connector", name: connector.name, advice });
        }
        self.connectors.insert(connector.name.clone(), connector);
        Ok(())
    }

    /// Lets a connector wait, or go on.
    pub fn set_connector_paused(&mut self, name: &Name, paused: bool) -> Result<(), CatalogError> {
        self.expect_connector(name)?;
        if let Some(connector) = self.connectors.get_mut(&name.value) {
            connector.paused = paused;
        }
        Ok(())
    }

    /// Takes a connector away.
    pub fn drop_connector(&mut self, name: &Name) -> Result<Connector, CatalogError> {
        let connector = self.expect_connector(name)?.clone();
        self.connectors.remove(&name.value);
        Ok(connector)
    }

    fn names_of(&self, wanted: impl Fn(&QueryRecord) -> bool) -> NameList {
        NameList(self.queries.values().filter(|query| wanted(query)).map(|query| query.id.0.clone()).collect())
    }
}

fn near<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> (Option<String>, NameList) {
    let same = known.clone().find(|other| other.eq_ignore_ascii_case(name));
    let suggestion = same.or_else(|| nearest(name, known.clone())).map(str::to_owned);
    (suggestion, NameList(known.map(str::to_owned).collect()))
}
