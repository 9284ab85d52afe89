//! The rules of the catalog: who may come, who may go.

use super::{
    Connector, PropertyScope, QueryId, QueryKind, QueryRecord, QueryShape, Source, SourceProperties, SqlType, declare,
    registry::Catalog,
};
use crate::syntax::ast::{ColumnRole, ConnectorKind, Name, SourceKind, Statement};
use crate::syntax::parse_statement;
use crate::syntax::{Position, Span};

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
        shape: QueryShape::default(),
        paused: false,
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
    assert_eq!(error("ORDRES"), "1:1: ORDRES does not exist. There is no stream or table ORDRES; did you mean ORDERS");
    assert_eq!(error("orders"), "1:1: orders does not exist. There is no stream or table orders; did you mean ORDERS");
    assert_eq!(error("XYZ"), "1:1: XYZ does not exist. There is no stream or table XYZ; there is BIG, ORDERS");
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
        shape: QueryShape::default(),
        paused: false,
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
    let had = "DataSource '`ORDERS`' has schema = `ID` INTEGER KEY, `AMOUNT` INTEGER which is not upgradeable to";
    let columns = "(The following columns are changed, missing or reordered: [`AMOUNT` INTEGER])";
    let keys = "(Key columns must be identical. The following key columns are changed, missing or reordered: [`ID` INTEGER KEY])";
    for (text, new, why) in [
        ("id INT KEY, x INT", "`ID` INTEGER KEY, `X` INTEGER.", columns),
        ("id INT KEY, amount DATE", "`ID` INTEGER KEY, `AMOUNT` DATE.", columns),
        ("id INT KEY, x INT, amount INT", "`ID` INTEGER KEY, `X` INTEGER, `AMOUNT` INTEGER.", columns),
        ("id DATE KEY, amount INT", "`ID` DATE KEY, `AMOUNT` INTEGER.", keys),
        ("amount INT", "`AMOUNT` INTEGER.", keys),
    ] {
        check(&mut catalog, &format!("STREAM orders ({text})"), &format!("{had} {new} {why}"));
    }
    check(&mut catalog, "TABLE orders (id INT PRIMARY KEY, amount INT)", "it is a STREAM, not a TABLE");
    check(
        &mut catalog,
        "SOURCE STREAM orders (id INT KEY, amount INT)",
        "Cannot add stream 'ORDERS': CREATE OR REPLACE is not supported on source streams.",
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
        "1:32: column AMOUNT: Cannot add column `AMOUNT` to schema. A column with the same name already exists."
    );
    assert_eq!(
        alter(&mut catalog, "ALTER STREAM big ADD COLUMN c DATE").unwrap_err(),
        "1:14: cannot add columns to BIG: ALTER command is not supported for CREATE ... AS statements. Use CREATE OR REPLACE .. AS SELECT"
    );
    assert_eq!(catalog.source("ORDERS").and_then(|s| s.column("D")).map(|c| c.role.clone()), Some(ColumnRole::Value));
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
    let connector = Connector {
        name: "C".to_owned(),
        kind: ConnectorKind::Sink,
        properties: vec![],
        topics: vec![],
        paused: false,
        statement: String::new(),
    };
    catalog.add_connector(connector.clone(), Position::START).unwrap();
    assert_eq!(
        catalog.add_connector(connector, Position::START).unwrap_err().to_string(),
        "1:1: connector C exists already; drop it first, or write IF NOT EXISTS"
    );
    assert!(catalog.drop_connector(&named("C")).is_ok());
    assert_eq!(catalog.connectors().count(), 0);
}
