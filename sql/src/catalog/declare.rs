//! `CREATE STREAM|TABLE .. (columns) WITH (..)` to a [`Source`], with the rules that need nothing but the statement.
//!
//! Columns that are left out are inferred ([`infer`](super::infer)); what formats can hold is said in
//! [`format_rules`](super::format_rules).

use super::error::CatalogError;
use super::format_rules::{FormatPlaces, check_formats, map_key};
use super::infer::Inference;
use super::properties::SourceProperties;
use super::registry::Catalog;
use super::source::{Column, Format, FormatKind, Source, TimestampColumn, WindowInfo};
use super::sql_type::SqlType;
use crate::syntax::ast::{ColumnDef, ColumnRole, CreateSource, SourceKind};

/// Names that every source has without declaring them.
pub const SYSTEM_COLUMNS: [&str; 5] = ["ROWTIME", "ROWPARTITION", "ROWOFFSET", "WINDOWSTART", "WINDOWEND"];

/// The source that a statement declares; the key format is KAFKA if none is given. Nothing is recorded.
pub fn declare_source(
    catalog: &Catalog,
    create: &CreateSource,
    properties: &SourceProperties,
    statement: &str,
) -> Result<Source, CatalogError> {
    declare(catalog, create, properties, statement, None)
}

/// The same with columns that were inferred before, the declared ones among them.
pub fn declare_columns(
    catalog: &Catalog,
    create: &CreateSource,
    properties: &SourceProperties,
    statement: &str,
    columns: Vec<Column>,
) -> Result<Source, CatalogError> {
    declare(catalog, create, properties, statement, Some(columns))
}

fn declare(
    catalog: &Catalog,
    create: &CreateSource,
    properties: &SourceProperties,
    statement: &str,
    inferred: Option<Vec<Column>>,
) -> Result<Source, CatalogError> {
    let missing = |reason: &str| CatalogError::Incomplete { at: properties.span.start, reason: reason.to_owned() };
    let topic = properties.topic.clone().ok_or_else(|| missing("KAFKA_TOPIC is missing from WITH (..)"))?;
    let defaults = catalog.format_defaults();
    let default = |kind: Option<FormatKind>| kind.map(Format::plain);
    let value_format = properties
        .value
        .named()
        .or_else(|| default(defaults.value).map(|kind| properties.value.over(&kind)))
        .ok_or_else(|| {
            missing(
                "Statement is missing the 'VALUE_FORMAT' property from the WITH clause. Either provide one or set a default via \
                 the 'ksql.persistence.default.format.value' config.",
            )
        })?;
    let key_format = properties.key.over(&default(defaults.key).unwrap_or(Format::plain(FormatKind::Kafka)));
    properties.key.check("KEY", key_format.kind)?;
    properties.value.check("VALUE", value_format.kind)?;
    let wrap = properties.wrap_single_value.as_ref().map(|wrap| wrap.node);
    let wrap_default = defaults.wrap_single_value.filter(|wrap| value_format.kind.can_wrap(*wrap));
    let inference = Inference {
        registry: catalog.registry(),
        topic: &topic,
        kind: create.kind,
        key: &key_format,
        value: &value_format,
        wrapped: wrap.or(wrap_default) != Some(false),
        at: create.name.span.end,
    };
    let columns = match inferred {
        Some(columns) => columns,
        None => inference.complete(columns(catalog, create)?)?,
    };
    let single = columns.iter().filter(|column| column.role == ColumnRole::Value).count() == 1;
    let timestamp = timestamp(create, &columns, properties)?;
    let source = Source {
        name: create.name.value.clone(),
        kind: create.kind,
        columns,
        topic,
        key_format,
        value_format,
        wrap_single_value: wrap.or(wrap_default.filter(|_| single)),
        registry: catalog.registry().clone(),
        timestamp,
        window: properties
            .window_type
            .as_ref()
            .map(|window| WindowInfo { window_type: window.node, size_ms: properties.window_size_ms }),
        row_ttl_ms: properties.row_ttl(create.kind, properties.window_type.is_some())?,
        created_by: None,
        is_source: create.is_source,
        statement: statement.to_owned(),
    };
    check_source(&source, create, properties)?;
    Ok(source)
}

fn columns(catalog: &Catalog, create: &CreateSource) -> Result<Vec<Column>, CatalogError> {
    let mut columns: Vec<Column> = Vec::with_capacity(create.columns.len());
    for written in &create.columns {
        let column = column(catalog, written)?;
        let is_header = |column: &Column| matches!(column.role, ColumnRole::Headers | ColumnRole::Header(_));
        let clashes = |other: &&Column| {
            let all = other.role == ColumnRole::Headers || column.role == ColumnRole::Headers;
            is_header(other) && is_header(&column) && (all || other.role == column.role)
        };
        if let Some(other) = columns.iter().find(clashes) {
            let taken = match &other.role {
                ColumnRole::Header(name) => format!("HEADER('{name}')"),
                _ => "HEADERS".to_owned(),
            };
            return Err(invalid(written, &format!("Schema already contains a {taken} column.")));
        }
        columns.push(column);
    }
    Ok(columns)
}

/// One column as declared (or added), its type resolved.
pub fn column(catalog: &Catalog, written: &ColumnDef) -> Result<Column, CatalogError> {
    let data_type = catalog.resolve_type(&written.data_type)?;
    if SYSTEM_COLUMNS.contains(&written.name.value.as_str()) {
        return Err(invalid(written, "every source has it; choose another name"));
    }
    let wrong_header = |what: &str, wanted: &str| {
        Err(invalid(written, &format!("Invalid type for {what} column: expected {wanted}, got {data_type}")))
    };
    match &written.role {
        ColumnRole::Header(name) if data_type != SqlType::Bytes => {
            return wrong_header(&format!("HEADER('{name}')"), "BYTES");
        }
        ColumnRole::Headers if !is_header_list(&data_type) => {
            return wrong_header("HEADERS", "ARRAY<STRUCT<`KEY` STRING, `VALUE` BYTES>>");
        }
        ColumnRole::Key | ColumnRole::PrimaryKey if data_type.contains_map() => {
            return Err(invalid(written, &map_key(&written.name.value, &data_type)));
        }
        _ => {}
    }
    Ok(Column { name: written.name.value.clone(), data_type, role: written.role.clone() })
}

fn is_header_list(data_type: &SqlType) -> bool {
    let SqlType::Array(item) = data_type else { return false };
    let SqlType::Struct(fields) = item.as_ref() else { return false };
    let shape: Vec<(&str, &SqlType)> = fields.iter().map(|field| (field.name.as_str(), &field.data_type)).collect();
    shape == [("KEY", &SqlType::Varchar), ("VALUE", &SqlType::Bytes)]
}

fn check_source(source: &Source, create: &CreateSource, properties: &SourceProperties) -> Result<(), CatalogError> {
    let at = create.name.span.start;
    let keys = source.key_columns().count();
    if source.kind == SourceKind::Table && keys == 0 {
        let reason = format!(
            "Tables require a PRIMARY KEY. Please define the PRIMARY KEY. Of {}: write e.g. `ID STRING PRIMARY KEY`",
            source.name
        );
        return Err(CatalogError::Incomplete { at, reason });
    }
    if let (Some(window), 0) = (&properties.window_type, keys) {
        let reason = "Windowed sources require a key column.".to_owned();
        return Err(CatalogError::InvalidProperty { at: window.span.start, name: "WINDOW_TYPE".to_owned(), reason });
    }
    if source.value_format.kind == FormatKind::None && source.value_columns().next().is_none() {
        let at = properties.value.kind.as_ref().map_or(properties.span.start, |kind| kind.span.start);
        let reason = "NONE is for keys only".to_owned();
        return Err(CatalogError::InvalidProperty { at, name: "VALUE_FORMAT".to_owned(), reason });
    }
    let places = FormatPlaces {
        key: &properties.key,
        value: &properties.value,
        wrap_single_value: properties.wrap_single_value.as_ref(),
        otherwise: properties.span.start,
    };
    check_formats(source, &places)?;
    check_timestamp(source, properties)
}

/// Text needs a pattern; BIGINT (ms) and TIMESTAMP need none.
fn check_timestamp(source: &Source, properties: &SourceProperties) -> Result<(), CatalogError> {
    let (Some(timestamp), Some(named)) = (&source.timestamp, &properties.timestamp) else { return Ok(()) };
    let Some(column) = source.column(&timestamp.column) else { return Ok(()) };
    let reason = match (&column.data_type, &timestamp.format) {
        (SqlType::BigInt | SqlType::Timestamp, None) | (SqlType::Varchar, Some(_)) => return Ok(()),
        (SqlType::Varchar, None) => format!("column {} is text; give its pattern as TIMESTAMP_FORMAT", column.name),
        (SqlType::BigInt | SqlType::Timestamp, Some(_)) => {
            format!("column {} is {}; TIMESTAMP_FORMAT is for text", column.name, column.data_type)
        }
        _ => format!("column {} must be BIGINT, TIMESTAMP or text, not {}", column.name, column.data_type),
    };
    Err(CatalogError::InvalidProperty { at: named.span.start, name: "TIMESTAMP".to_owned(), reason })
}

/// The timestamp column, checked against the written columns.
fn timestamp(
    create: &CreateSource,
    columns: &[Column],
    properties: &SourceProperties,
) -> Result<Option<TimestampColumn>, CatalogError> {
    let Some(named) = &properties.timestamp else { return Ok(None) };
    if !columns.iter().any(|column| column.name == named.node) {
        let known = columns.iter().map(|column| column.name.clone()).collect();
        return Err(CatalogError::UnknownColumn {
            at: named.span.start,
            name: named.node.clone(),
            source_name: create.name.value.clone(),
            suggestion: crate::syntax::suggest::nearest(&named.node, columns.iter().map(|column| column.name.as_str()))
                .map(str::to_owned),
            known: super::error::NameList(known),
        });
    }
    let format = properties.timestamp_format.as_ref().map(|format| format.node.clone());
    Ok(Some(TimestampColumn { column: named.node.clone(), format }))
}

fn invalid(written: &ColumnDef, reason: &str) -> CatalogError {
    CatalogError::InvalidColumn {
        at: written.name.span.start,
        name: written.name.value.clone(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::properties::PropertyScope;
    use super::*;
    use crate::syntax::ast::Statement;
    use crate::syntax::parse_statement;

    fn declare(text: &str) -> Result<Source, CatalogError> {
        let parsed = parse_statement(text).unwrap();
        let Statement::CreateSource(create) = &parsed.statement else { panic!("{text}") };
        let properties = SourceProperties::parse(&create.properties, PropertyScope::Declare)?;
        declare_source(&Catalog::new(), create, &properties, &parsed.text)
    }

    fn check_error(text: &str, want: &str) {
        assert_eq!(declare(text).unwrap_err().to_string(), want, "text: {text}");
    }

    #[test]
    fn a_stream_with_everything() {
        let text = "CREATE STREAM s (id INT KEY, ts STRING, m MAP<STRING, INT>, h ARRAY<STRUCT<key STRING, value BYTES>> HEADERS) \
            WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', TIMESTAMP='ts', TIMESTAMP_FORMAT='yyyy', \
            WINDOW_TYPE='TUMBLING', WINDOW_SIZE='2 SECONDS')";
        let source = declare(text).unwrap();
        assert_eq!(
            source.schema_text(),
            "`ID` INTEGER KEY, `TS` STRING, `M` MAP<STRING, INTEGER>, `H` ARRAY<STRUCT<`KEY` STRING, `VALUE` BYTES>> HEADERS"
        );
        assert_eq!((source.key_format.kind, source.value_format.kind), (FormatKind::Kafka, FormatKind::Json));
        assert_eq!(
            source.timestamp,
            Some(TimestampColumn { column: "TS".to_owned(), format: Some("yyyy".to_owned()) })
        );
        assert_eq!(source.window.and_then(|w| w.size_ms), Some(2_000));
        assert_eq!((source.topic.as_str(), source.statement.as_str()), ("t", text));
        assert_eq!(source.key_columns().count() + source.value_columns().count() + source.header_columns().count(), 4);
    }

    #[test]
    fn rules_of_declarations() {
        check_error(
            "CREATE STREAM s (v INT) WITH (VALUE_FORMAT='JSON')",
            "1:25: KAFKA_TOPIC is missing from WITH (..)",
        );
        check_error(
            "CREATE STREAM s (v INT) WITH (KAFKA_TOPIC='t')",
            "1:25: Statement is missing the 'VALUE_FORMAT' property from the WITH clause. Either provide one or set a default via \
             the 'ksql.persistence.default.format.value' config.",
        );
        check_error(
            "CREATE STREAM s WITH (KAFKA_TOPIC='t', FORMAT='JSON')",
            "1:16: The statement does not define any columns; list them as (name type, ..), since format JSON has no schemas to take \
             them from",
        );
        check_error(
            "CREATE TABLE s (v INT) WITH (KAFKA_TOPIC='t', FORMAT='JSON')",
            "1:14: Tables require a PRIMARY KEY. Please define the PRIMARY KEY. Of S: write e.g. `ID STRING PRIMARY KEY`",
        );
        check_error(
            "CREATE STREAM s (rowtime BIGINT) WITH (KAFKA_TOPIC='t', FORMAT='JSON')",
            "1:18: column ROWTIME: every source has it; choose another name",
        );
        check_error(
            "CREATE STREAM s (v STRNG) WITH (KAFKA_TOPIC='t', FORMAT='JSON')",
            "1:20: no type STRNG; did you mean STRING",
        );
        check_error(
            "CREATE STREAM s (h INT HEADERS) WITH (KAFKA_TOPIC='t', FORMAT='JSON')",
            "1:18: column H: Invalid type for HEADERS column: expected ARRAY<STRUCT<`KEY` STRING, `VALUE` BYTES>>, got INTEGER",
        );
        check_error(
            "CREATE STREAM s (h BYTES HEADER('a'), i BYTES HEADER('a')) WITH (KAFKA_TOPIC='t', FORMAT='JSON')",
            "1:39: column I: Schema already contains a HEADER('a') column.",
        );
        check_error(
            "CREATE STREAM s (k MAP<STRING, INT> KEY, v INT) WITH (KAFKA_TOPIC='t', FORMAT='JSON')",
            "1:18: column K: Map keys, including types that contain maps, are not supported as they may lead to unexpected behavior \
             due to inconsistent serialization. Key column name: `K`. Column type: MAP<STRING, INTEGER>.",
        );
        check_error(
            "CREATE STREAM s (k INT KEY, l INT KEY, v INT) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON')",
            "1:47: KEY_FORMAT: Key format does not support schema. The 'KAFKA' format only supports a single field. Got: [`K` INTEGER KEY, `L` INTEGER KEY]",
        );
        check_error(
            "CREATE STREAM s (v ARRAY<INT>) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='DELIMITED')",
            "1:68: VALUE_FORMAT: Value format does not support schema. The 'DELIMITED' format does not support type 'ARRAY', column: `V`",
        );
        check_error(
            "CREATE STREAM s (k INT KEY, v INT) WITH (KAFKA_TOPIC='t', KEY_FORMAT='NONE', VALUE_FORMAT='JSON')",
            "1:70: KEY_FORMAT: Key format does not support schema. The 'NONE' format can only be used when no columns are defined. Got: [`K` INTEGER KEY]",
        );
        check_error(
            "CREATE STREAM s (v INT) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='NONE')",
            "1:61: VALUE_FORMAT: Value format does not support schema. The 'NONE' format can only be used when no columns are defined. Got: [`V` INTEGER]",
        );
        check_error(
            "CREATE STREAM s (v INT, w INT) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', WRAP_SINGLE_VALUE=TRUE)",
            "1:94: WRAP_SINGLE_VALUE: 'WRAP_SINGLE_VALUE' is only valid for single-field value schemas",
        );
        check_error(
            "CREATE STREAM s (ts BIGINT) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', TIMESTAMP='tss')",
            "1:83: no column TSS in S; did you mean TS, of TS",
        );
        check_error(
            "CREATE STREAM s (ts STRING) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', TIMESTAMP='ts')",
            "1:83: TIMESTAMP: column TS is text; give its pattern as TIMESTAMP_FORMAT",
        );
        check_error(
            "CREATE STREAM s (v INT) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', WINDOW_TYPE='SESSION')",
            "1:81: WINDOW_TYPE: Windowed sources require a key column.",
        );
    }
}
