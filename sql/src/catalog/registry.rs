//! The [`Catalog`]: names to sources, types, connectors and queries, and the rules by which they come and go.
//!
//! Invariants: every source a query reads or writes is there as long as the query is; a query that created a source goes
//! with it; query numbers never come back.

mod queries;

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::ast as sql;

use super::declare;
use super::error::{CatalogError, NameList};
use super::format_context::{FormatDefaults, RegistryHandle};
use super::query::{QueryId, QueryRecord};
use super::source::{Column, Source};
use super::sql_type::SqlType;
use crate::syntax::Position;
use crate::syntax::ast::{ColumnDef, ConnectorKind, Name, Property, SourceKind, TypeRef};
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
    queries: BTreeMap<QueryId, QueryRecord>,
    next_query: u64,
    registry: RegistryHandle,
    defaults: FormatDefaults,
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
        let source = self.expect_kind(name, kind)?;
        let refuse = |reason: &str| CatalogError::NotAllowed {
            at: name.span.start,
            action: "add columns to",
            name: name.value.clone(),
            reason: reason.to_owned(),
        };
        if source.created_by.is_some() {
            return Err(refuse("it is the result of a query; use CREATE OR REPLACE .. AS SELECT"));
        }
        if source.is_source {
            return Err(refuse("it is read-only (CREATE SOURCE)"));
        }
        let columns = add.iter().map(|written| {
            if source.column(&written.name.value).is_some() {
                let (at, name) = (written.name.span.start, written.name.value.clone());
                return Err(CatalogError::AlreadyExists { at, what: "column", name, advice: "choose another name" });
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
                reason: "it is read-only (CREATE SOURCE)".to_owned(),
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

#[cfg(test)]
mod tests {
    use super::super::properties::{PropertyScope, SourceProperties};
    use super::super::query::QueryKind;
    use super::*;
    use crate::syntax::Span;
    use crate::syntax::ast::{ColumnRole, Statement};
    use crate::syntax::parse_statement;

    fn named(name: &str) -> Name {
        Name { value: name.to_owned(), quoted: false, span: Span::START }
    }

    fn source(text: &str) -> Source {
        let text = format!("CREATE {text} WITH (KAFKA_TOPIC='t', FORMAT='JSON')");
        let Statement::CreateSource(create) = parse_statement(&text).unwrap().statement else { panic!("{text}") };
        let properties = SourceProperties::parse(&create.properties, PropertyScope::Declare).unwrap();
        declare::declare_source(&Catalog::new(), &create, &properties, &text).unwrap()
    }

    fn add(catalog: &mut Catalog, text: &str, or_replace: bool) -> Result<Option<Source>, String> {
        catalog.add_source(source(text), or_replace, Position::START).map_err(|error| error.to_string())
    }

    /// ORDERS and a query that reads it into BIG.
    fn catalog() -> (Catalog, QueryId) {
        let mut catalog = Catalog::new();
        add(&mut catalog, "STREAM orders (id INT KEY, amount INT)", false).unwrap();
        let id = catalog.new_query_id(QueryKind::CreateStream, "BIG");
        let big = Source { created_by: Some(id.clone()), ..source("STREAM big (id INT KEY, amount INT)") };
        catalog.add_source(big, false, Position::START).unwrap();
        catalog.add_query(QueryRecord {
            id: id.clone(),
            kind: QueryKind::CreateStream,
            statement: "CREATE STREAM big AS SELECT * FROM orders".to_owned(),
            sink: "BIG".to_owned(),
            sources: vec!["ORDERS".to_owned()],
        });
        (catalog, id)
    }

    #[test]
    fn ids_count_up_over_all_kinds() {
        let mut catalog = Catalog::new();
        let ids = [QueryKind::CreateStream, QueryKind::CreateTable, QueryKind::Insert]
            .map(|kind| catalog.new_query_id(kind, "N").0);
        assert_eq!(ids, ["CSAS_N_0", "CTAS_N_1", "INSERTQUERY_2"]);
        catalog.resume_query_numbers(1);
        assert_eq!(catalog.next_query_number(), 3);
    }

    #[test]
    fn lookups_suggest() {
        let (catalog, _) = catalog();
        let error = |name: &str| catalog.expect_source(&named(name)).unwrap_err().to_string();
        assert_eq!(error("ORDRES"), "1:1: no stream or table ORDRES; did you mean ORDERS");
        assert_eq!(error("orders"), "1:1: no stream or table orders; did you mean ORDERS");
        assert_eq!(error("XYZ"), "1:1: no stream or table XYZ; there is BIG, ORDERS");
        let orders = catalog.source("ORDERS").unwrap();
        let error = |name: &str| orders.expect_column(name, Position::new(3, 4)).unwrap_err().to_string();
        assert_eq!(error("AMONT"), "3:4: no column AMONT in ORDERS; did you mean AMOUNT, of ID, AMOUNT");
        assert_eq!(error("PRICE"), "3:4: no column PRICE in ORDERS; it has ID, AMOUNT");
        assert_eq!(
            catalog.expect_kind(&named("BIG"), SourceKind::Table).unwrap_err().to_string(),
            "1:1: BIG is a STREAM, not a TABLE"
        );
        assert_eq!(
            catalog.expect_query(&named("CSAS_BG_0")).unwrap_err().to_string(),
            "1:1: no query CSAS_BG_0; did you mean CSAS_BIG_0"
        );
        assert_eq!(catalog.expect_connector(&named("C")).unwrap_err().to_string(), "1:1: no connector C");
    }

    #[test]
    fn what_queries_use_is_not_dropped() {
        let (mut catalog, id) = catalog();
        let drop = |catalog: &mut Catalog, name: &str| {
            catalog.drop_source(&named(name), SourceKind::Stream, false).map_err(|error| error.to_string())
        };
        let refused = "1:1: cannot drop ORDERS: queries CSAS_BIG_0 read it; terminate them first";
        assert_eq!(drop(&mut catalog, "ORDERS").unwrap_err(), refused);
        let insert = QueryRecord {
            id: QueryId("INSERTQUERY_1".to_owned()),
            kind: QueryKind::Insert,
            statement: String::new(),
            sink: "BIG".to_owned(),
            sources: vec!["ORDERS".to_owned()],
        };
        catalog.add_query(insert);
        let refused = "1:1: cannot drop BIG: queries INSERTQUERY_1 write it; terminate them first";
        assert_eq!(drop(&mut catalog, "BIG").unwrap_err(), refused);
        catalog.end_query(&QueryId("INSERTQUERY_1".to_owned())).unwrap();

        let dropped = drop(&mut catalog, "BIG").unwrap();
        assert_eq!(dropped.ended.map(|query| query.id), Some(id));
        assert_eq!(catalog.queries().count(), 0);
        assert!(drop(&mut catalog, "ORDERS").is_ok());
        assert_eq!(catalog.sources().count(), 0);
    }

    #[test]
    fn an_ended_query_leaves_its_sink() {
        let (mut catalog, id) = catalog();
        assert_eq!(catalog.readers("ORDERS").count(), 1);
        assert_eq!(catalog.writers("BIG").count(), 1);
        assert!(catalog.end_query(&id).is_some());
        assert_eq!(catalog.source("BIG").and_then(|big| big.created_by.clone()), None);
        assert!(catalog.end_query(&id).is_none());
    }

    #[test]
    fn replacing_only_adds_columns() {
        let (mut catalog, _) = catalog();
        let taken = "1:1: stream ORDERS exists already; drop it first, or write CREATE OR REPLACE or IF NOT EXISTS";
        let check = |catalog: &mut Catalog, text: &str, want: &str| {
            assert_eq!(
                add(catalog, text, true).unwrap_err(),
                format!("1:1: cannot replace ORDERS: {want}"),
                "text: {text}"
            );
        };
        assert_eq!(add(&mut catalog, "STREAM orders (id INT KEY)", false).unwrap_err(), taken);
        check(
            &mut catalog,
            "STREAM orders (id INT KEY, x INT)",
            "column `AMOUNT` INTEGER must stay; columns can only be added",
        );
        check(
            &mut catalog,
            "STREAM orders (id INT KEY, amount DATE)",
            "column `AMOUNT` INTEGER must stay; columns can only be added",
        );
        check(
            &mut catalog,
            "STREAM orders (id DATE KEY, amount INT)",
            "the key columns differ; it has `ID` INTEGER KEY, `AMOUNT` INTEGER",
        );
        check(&mut catalog, "TABLE orders (id INT PRIMARY KEY, amount INT)", "it is a STREAM, not a TABLE");
        check(
            &mut catalog,
            "SOURCE STREAM orders (id INT KEY, amount INT)",
            "it is read-only (CREATE SOURCE); drop it first",
        );
        let old = add(&mut catalog, "STREAM orders (id INT KEY, amount INT, more DATE)", true).unwrap();
        assert_eq!(old.map(|old| old.columns.len()), Some(2));
        assert_eq!(catalog.source("ORDERS").map(|new| new.columns.len()), Some(3));
    }

    #[test]
    fn columns_are_added_to_declared_sources() {
        let (mut catalog, _) = catalog();
        let alter = |catalog: &mut Catalog, text: &str| {
            let Statement::AlterSource(alter) = parse_statement(text).unwrap().statement else { panic!("{text}") };
            let altered = catalog.add_columns(&alter.name, alter.kind, &alter.add);
            altered.map(|source| source.columns.len()).map_err(|error| error.to_string())
        };
        assert_eq!(alter(&mut catalog, "ALTER STREAM orders ADD COLUMN c DATE, d INT"), Ok(4));
        assert_eq!(
            alter(&mut catalog, "ALTER STREAM orders ADD COLUMN amount DATE").unwrap_err(),
            "1:32: column AMOUNT exists already; choose another name"
        );
        assert_eq!(
            alter(&mut catalog, "ALTER STREAM big ADD COLUMN c DATE").unwrap_err(),
            "1:14: cannot add columns to BIG: it is the result of a query; use CREATE OR REPLACE .. AS SELECT"
        );
        assert_eq!(
            catalog.source("ORDERS").and_then(|s| s.column("D")).map(|c| c.role.clone()),
            Some(ColumnRole::Value)
        );
    }

    #[test]
    fn types_and_connectors_come_and_go() {
        let mut catalog = Catalog::new();
        catalog.add_type(&named("ADDRESS"), SqlType::Varchar).unwrap();
        assert!(catalog.add_type(&named("ADDRESS"), SqlType::Int).is_err());
        assert_eq!(
            catalog.drop_type(&named("ADRESS")).unwrap_err().to_string(),
            "1:1: no type ADRESS; did you mean ADDRESS"
        );
        assert_eq!(catalog.drop_type(&named("ADDRESS")), Ok(SqlType::Varchar));
        let connector =
            Connector { name: "C".to_owned(), kind: ConnectorKind::Sink, properties: vec![], statement: String::new() };
        catalog.add_connector(connector.clone(), Position::START).unwrap();
        assert_eq!(
            catalog.add_connector(connector, Position::START).unwrap_err().to_string(),
            "1:1: connector C exists already; drop it first, or write IF NOT EXISTS"
        );
        assert!(catalog.drop_connector(&named("C")).is_ok());
        assert_eq!(catalog.connectors().count(), 0);
    }
}
