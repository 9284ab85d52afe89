//! `WITH (..)` of streams, tables and INSERT as typed fields, parsed once.
//!
//! Names are case-insensitive. What is given must be known, of the right type and at peace with the rest; what is part of
//! ksqlDB but not there yet says so. Connectors have their own properties, which stay a list.

use super::error::{CatalogError, NameList};
use super::side_format::SideFormat;
use super::source::WindowType;
use crate::syntax::ast::{Literal, Properties, Property, SourceKind, Spanned};
use crate::syntax::suggest::nearest;
use crate::syntax::{Position, Span};

/// Where a `WITH` clause stands, which decides what it may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PropertyScope {
    /// `CREATE .. (columns) WITH (..)`.
    Declare,
    /// `CREATE .. WITH (..) AS SELECT`.
    AsSelect,
    /// `INSERT INTO .. WITH (..) SELECT`.
    Insert,
}

/// What happens to old records of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CleanupPolicy {
    /// Deleted by time.
    Delete,
    /// The last one of each key stays.
    Compact,
    /// Both.
    CompactDelete,
}

/// The properties of a stream, a table or an INSERT; what was not given is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceProperties {
    /// `KAFKA_TOPIC`.
    pub topic: Option<String>,
    /// `PARTITIONS`, at least 1.
    pub partitions: Option<u32>,
    /// `REPLICAS`, at least 1.
    pub replicas: Option<u16>,
    /// `RETENTION_MS`; -1 means for ever.
    pub retention_ms: Option<i64>,
    /// `CLEANUP_POLICY`.
    pub cleanup_policy: Option<CleanupPolicy>,
    /// `KEY_FORMAT` or `FORMAT`, and what belongs to it.
    pub key: SideFormat,
    /// `VALUE_FORMAT` or `FORMAT`, and what belongs to it.
    pub value: SideFormat,
    /// `WRAP_SINGLE_VALUE`.
    pub wrap_single_value: Option<Spanned<bool>>,
    /// `TIMESTAMP`: a column, upper-cased unless it was in backticks inside the string.
    pub timestamp: Option<Spanned<String>>,
    /// `TIMESTAMP_FORMAT`.
    pub timestamp_format: Option<Spanned<String>>,
    /// `WINDOW_TYPE`.
    pub window_type: Option<Spanned<WindowType>>,
    /// `WINDOW_SIZE`.
    pub window_size_ms: Option<i64>,
    /// `ROW_TTL`.
    pub row_ttl_ms: Option<Spanned<i64>>,
    /// `QUERY_ID`.
    pub query_id: Option<String>,
    /// The whole clause.
    pub span: Span,
}

const FOR_SOURCES: [&str; 21] = [
    "KAFKA_TOPIC",
    "PARTITIONS",
    "REPLICAS",
    "RETENTION_MS",
    "CLEANUP_POLICY",
    "ROW_TTL",
    "FORMAT",
    "KEY_FORMAT",
    "VALUE_FORMAT",
    "KEY_DELIMITER",
    "VALUE_DELIMITER",
    "WRAP_SINGLE_VALUE",
    "TIMESTAMP",
    "TIMESTAMP_FORMAT",
    "KEY_SCHEMA_ID",
    "VALUE_SCHEMA_ID",
    "KEY_SCHEMA_FULL_NAME",
    "VALUE_SCHEMA_FULL_NAME",
    "VALUE_AVRO_SCHEMA_FULL_NAME",
    "KEY_PROTOBUF_NULLABLE_REPRESENTATION",
    "VALUE_PROTOBUF_NULLABLE_REPRESENTATION",
];
const FOR_DECLARED: [&str; 2] = ["WINDOW_TYPE", "WINDOW_SIZE"];
const FOR_INSERT: [&str; 1] = ["QUERY_ID"];
const NOT_YET: [&str; 1] = ["SOURCED_BY_CONNECTOR"];

impl SourceProperties {
    /// Reads a `WITH` clause.
    pub fn parse(written: &Properties, scope: PropertyScope) -> Result<Self, CatalogError> {
        let mut read = Self {
            topic: None,
            partitions: None,
            replicas: None,
            retention_ms: None,
            cleanup_policy: None,
            key: SideFormat::default(),
            value: SideFormat::default(),
            wrap_single_value: None,
            timestamp: None,
            timestamp_format: None,
            window_type: None,
            window_size_ms: None,
            row_ttl_ms: None,
            query_id: None,
            span: written.span,
        };
        for property in &written.entries {
            read.read(property, scope)?;
        }
        read.check(written)?;
        Ok(read)
    }

    fn read(&mut self, property: &Property, scope: PropertyScope) -> Result<(), CatalogError> {
        let name = property.name.value.to_ascii_uppercase();
        let allowed: Vec<&str> = match scope {
            PropertyScope::Declare => [&FOR_SOURCES[..], &FOR_DECLARED[..]].concat(),
            PropertyScope::AsSelect => FOR_SOURCES.to_vec(),
            PropertyScope::Insert => FOR_INSERT.to_vec(),
        };
        if !allowed.contains(&name.as_str()) {
            return Err(not_allowed(property, &name, &allowed));
        }
        match name.as_str() {
            "KAFKA_TOPIC" => self.topic = Some(topic(property)?),
            "PARTITIONS" => self.partitions = Some(number(property, 1, u32::MAX)?),
            "REPLICAS" => self.replicas = Some(number(property, 1, u16::MAX)?),
            "RETENTION_MS" => self.retention_ms = Some(number(property, -1, i64::MAX)?),
            "CLEANUP_POLICY" => self.cleanup_policy = Some(cleanup_policy(property)?),
            "FORMAT" => {
                self.key.read("_FORMAT", property)?;
                self.value.read("_FORMAT", property)?;
            }
            "WRAP_SINGLE_VALUE" => self.wrap_single_value = Some(spanned(property, boolean(property)?)),
            "TIMESTAMP" => self.timestamp = Some(spanned(property, column(property)?)),
            "TIMESTAMP_FORMAT" => self.timestamp_format = Some(spanned(property, text(property)?.to_owned())),
            "WINDOW_TYPE" => self.window_type = Some(spanned(property, window_type(property)?)),
            "WINDOW_SIZE" => self.window_size_ms = Some(length(property)?),
            "ROW_TTL" => self.row_ttl_ms = Some(spanned(property, length(property)?)),
            "QUERY_ID" => self.query_id = Some(text(property)?.to_ascii_uppercase()),
            _ => {
                let read = match (name.strip_prefix("KEY"), name.strip_prefix("VALUE")) {
                    (Some(rest), _) => self.key.read(rest, property)?,
                    (_, Some(rest)) => self.value.read(rest, property)?,
                    _ => false,
                };
                debug_assert!(read, "{name} is allowed, but nobody reads it");
            }
        }
        Ok(())
    }

    /// How long rows of the result stay after their timestamp.
    ///
    /// # Errors
    /// If it is a stream, or if its keys have windows.
    pub fn row_ttl(&self, kind: SourceKind, is_windowed: bool) -> Result<Option<i64>, CatalogError> {
        let Some(ttl) = &self.row_ttl_ms else { return Ok(None) };
        let refuse = |reason: &str| {
            let name = "ROW_TTL".to_owned();
            Err(CatalogError::InvalidProperty { at: ttl.span.start, name, reason: reason.to_owned() })
        };
        match (kind, is_windowed) {
            (SourceKind::Stream, _) => refuse(
                "records of a stream are facts that do not expire; it is for tables. RETENTION_MS bounds a topic",
            ),
            (SourceKind::Table, true) => refuse(
                "rows of windows go with their windows: say RETENTION in the WINDOW clause of the query that makes them",
            ),
            (SourceKind::Table, false) => Ok(Some(ttl.node)),
        }
    }

    /// Properties that do not go together.
    fn check(&self, written: &Properties) -> Result<(), CatalogError> {
        let given = |name: &str| written.entries.iter().find(|property| property.name.value.eq_ignore_ascii_case(name));
        let clash = |property: &Property, reason: &str| Err(invalid(property, reason));
        if let (Some(both), Some(one)) = (given("FORMAT"), given("KEY_FORMAT").or(given("VALUE_FORMAT"))) {
            let later = if both.name.span.start > one.name.span.start { both } else { one };
            let reason = format!(
                "Cannot supply both '{}' and 'FORMAT' properties, as 'FORMAT' sets both key and value formats. Either use \
                 just 'FORMAT', or use 'KEY_FORMAT' and 'VALUE_FORMAT'.",
                one.name.value.to_ascii_uppercase()
            );
            return clash(later, &reason);
        }
        if let (Some(_), Some(second)) = (given("VALUE_SCHEMA_FULL_NAME"), given("VALUE_AVRO_SCHEMA_FULL_NAME")) {
            return clash(second, "VALUE_SCHEMA_FULL_NAME says the same; give one of them");
        }
        for (name, side) in [("KEY", &self.key), ("VALUE", &self.value)] {
            if let Some(kind) = &side.kind {
                side.check(name, kind.node)?;
            }
        }
        if let (Some(property), None) = (given("TIMESTAMP_FORMAT"), &self.timestamp) {
            return clash(property, "there is no TIMESTAMP to which it belongs");
        }
        let window_type = self.window_type.as_ref().map(|window| window.node);
        let sized = matches!(window_type, Some(WindowType::Tumbling | WindowType::Hopping));
        match (given("WINDOW_TYPE"), given("WINDOW_SIZE")) {
            (Some(property), None) if sized => clash(property, "WINDOW_SIZE is missing, as in WINDOW_SIZE = '1 HOUR'"),
            (Some(_), Some(property)) if window_type == Some(WindowType::Cumulate) => {
                clash(property, "keys in CUMULATE windows say how long each is; leave it out")
            }
            (Some(_), Some(property)) if !sized => {
                clash(property, "'WINDOW_SIZE' should not be set for SESSION windows.")
            }
            (None, Some(property)) => clash(property, "there is no WINDOW_TYPE to which it belongs"),
            _ => Ok(()),
        }
    }
}

fn not_allowed(property: &Property, name: &str, allowed: &[&str]) -> CatalogError {
    let at = property.name.span.start;
    if NOT_YET.contains(&name) {
        return CatalogError::NotYet { at, what: format!("property {name}"), instead: None };
    }
    let suggestion = nearest(name, allowed.iter().copied()).map(str::to_owned);
    let known = NameList(allowed.iter().map(|name| (*name).to_owned()).collect());
    CatalogError::UnknownProperty { at, name: property.name.value.clone(), suggestion, known }
}

fn spanned<T>(property: &Property, node: T) -> Spanned<T> {
    Spanned { node, span: property.value_span }
}

fn invalid(property: &Property, reason: &str) -> CatalogError {
    let name = property.name.value.to_ascii_uppercase();
    CatalogError::InvalidProperty { at: property.name.span.start, name, reason: reason.to_owned() }
}

pub(super) fn invalid_value(property: &Property, reason: String) -> CatalogError {
    let name = property.name.value.to_ascii_uppercase();
    CatalogError::InvalidProperty { at: property.value_span.start, name, reason }
}

pub(super) fn shown(literal: &Literal) -> String {
    match literal {
        Literal::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Literal::Number(digits) => digits.clone(),
        Literal::Boolean(true) => "TRUE".to_owned(),
        Literal::Boolean(false) => "FALSE".to_owned(),
    }
}

pub(super) fn wanted(property: &Property, what: &str) -> CatalogError {
    invalid_value(property, format!("expected {what}, found {}", shown(&property.value)))
}

pub(super) fn text(property: &Property) -> Result<&str, CatalogError> {
    match &property.value {
        Literal::Text(text) if !text.is_empty() => Ok(text),
        _ => Err(wanted(property, "a string in single quotes")),
    }
}

fn boolean(property: &Property) -> Result<bool, CatalogError> {
    match &property.value {
        Literal::Boolean(value) => Ok(*value),
        _ => Err(wanted(property, "TRUE or FALSE")),
    }
}

pub(super) fn number<T>(property: &Property, least: T, most: T) -> Result<T, CatalogError>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    match &property.value {
        Literal::Number(digits) => match digits.parse::<T>() {
            Ok(number) if number >= least && number <= most => Ok(number),
            _ => Err(wanted(property, &format!("a whole number from {least} to {most}"))),
        },
        _ => Err(wanted(property, "a whole number without quotes")),
    }
}

/// Kafka's rule for the names of topics.
pub(super) fn topic(property: &Property) -> Result<String, CatalogError> {
    let name = text(property)?;
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.len() > 249 || !name.chars().all(legal) || name == "." || name == ".." {
        return Err(wanted(property, "the name of a topic: up to 249 letters, digits, `.`, `_` and `-`"));
    }
    Ok(name.to_owned())
}

pub(super) fn one_of<T: Copy>(property: &Property, choices: &[(&str, T)]) -> Result<T, CatalogError> {
    let value = text(property)?;
    if let Some((_, choice)) = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(value)) {
        return Ok(*choice);
    }
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    let mut reason = format!("there is no '{value}'");
    match nearest(value, names.iter().copied()) {
        Some(meant) => reason.push_str(&format!("; did you mean '{meant}'")),
        None => reason.push_str(&format!("; there is {}", names.join(", "))),
    }
    Err(invalid_value(property, reason))
}

fn cleanup_policy(property: &Property) -> Result<CleanupPolicy, CatalogError> {
    one_of(
        property,
        &[
            ("delete", CleanupPolicy::Delete),
            ("compact", CleanupPolicy::Compact),
            ("compact,delete", CleanupPolicy::CompactDelete),
            ("delete,compact", CleanupPolicy::CompactDelete),
        ],
    )
}

/// The name of a column inside a string.
fn column(property: &Property) -> Result<String, CatalogError> {
    let value = text(property)?;
    match value.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) {
        Some(quoted) if !quoted.is_empty() => Ok(quoted.replace("``", "`")),
        Some(_) => Err(wanted(property, "the name of a column")),
        None => Ok(value.to_ascii_uppercase()),
    }
}

fn window_type(property: &Property) -> Result<WindowType, CatalogError> {
    one_of(
        property,
        &[
            ("TUMBLING", WindowType::Tumbling),
            ("HOPPING", WindowType::Hopping),
            ("CUMULATE", WindowType::Cumulate),
            ("SESSION", WindowType::Session),
        ],
    )
}

/// `'n unit'` in ms.
fn length(property: &Property) -> Result<i64, CatalogError> {
    const UNITS: [(&str, i64); 5] =
        [("MILLISECOND", 1), ("SECOND", 1_000), ("MINUTE", 60_000), ("HOUR", 3_600_000), ("DAY", 86_400_000)];
    let value = text(property)?.to_ascii_uppercase();
    let parts: Vec<&str> = value.split_whitespace().collect();
    let size = match parts.as_slice() {
        [count, unit] => UNITS
            .iter()
            .find(|(name, _)| *unit == *name || unit.strip_suffix('S') == Some(*name))
            .and_then(|(_, ms)| count.parse::<i64>().ok()?.checked_mul(*ms)),
        _ => None,
    };
    match size {
        Some(size @ 1..) => Ok(size),
        _ => Err(wanted(property, "a length such as '30 SECONDS'")),
    }
}

/// The place of a property's value in a clause, for errors of later stages; the clause itself if it was not given.
pub fn place_of(written: &Properties, name: &str) -> Position {
    let found = written.entries.iter().find(|property| property.name.value.eq_ignore_ascii_case(name));
    found.map_or(written.span.start, |property| property.value_span.start)
}

#[cfg(test)]
mod tests {
    use super::super::source::{Format, FormatKind};
    use super::*;
    use crate::syntax::ast::Statement;
    use crate::syntax::parse_statement;

    fn read(with: &str) -> Result<SourceProperties, CatalogError> {
        match parse_statement(&format!("CREATE STREAM s (v INT) WITH ({with})")).unwrap().statement {
            Statement::CreateSource(create) => SourceProperties::parse(&create.properties, PropertyScope::Declare),
            other => panic!("{other:?}"),
        }
    }

    /// Columns count from the start of the clause's inside, so that the table below can be read.
    fn check_error(with: &str, want: &str) {
        let error = read(with).unwrap_err().to_string();
        let (place, message) = error.split_once(": ").unwrap();
        let column: usize = place.split_once(':').unwrap().1.parse().unwrap();
        assert_eq!(format!("{}: {message}", column - "CREATE STREAM s (v INT) WITH (".len()), want, "WITH: {with}");
    }

    #[test]
    fn all_properties_are_read() {
        let all = "kafka_topic='a.b', Partitions=4, REPLICAS=1, RETENTION_MS=-1, CLEANUP_POLICY='compact', key_format='Kafka', \
                   VALUE_FORMAT='delimited', VALUE_DELIMITER='TAB', WRAP_SINGLE_VALUE=false, TIMESTAMP='ts', \
                   TIMESTAMP_FORMAT='yyyy', WINDOW_TYPE='hopping', WINDOW_SIZE='5 minutes', row_ttl='7 days'";
        let read = read(all).unwrap();
        assert_eq!(read.topic.as_deref(), Some("a.b"));
        assert_eq!((read.partitions, read.replicas, read.retention_ms), (Some(4), Some(1), Some(-1)));
        assert_eq!(read.cleanup_policy, Some(CleanupPolicy::Compact));
        assert_eq!(read.key.named(), Some(Format::plain(FormatKind::Kafka)));
        let delimited = Format { delimiter: Some('\t'), ..Format::plain(FormatKind::Delimited) };
        assert_eq!(read.value.named(), Some(delimited));
        assert_eq!(read.wrap_single_value.map(|s| s.node), Some(false));
        assert_eq!(read.timestamp.map(|s| s.node).as_deref(), Some("TS"));
        assert_eq!(read.timestamp_format.map(|s| s.node).as_deref(), Some("yyyy"));
        assert_eq!(read.window_type.map(|s| s.node), Some(WindowType::Hopping));
        assert_eq!(read.window_size_ms, Some(300_000));
        assert_eq!(read.row_ttl_ms.map(|s| s.node), Some(604_800_000));
    }

    #[test]
    fn format_is_both() {
        let read = read("FORMAT='JSON', TIMESTAMP='`ts`'").unwrap();
        assert_eq!(read.key.named(), Some(Format::plain(FormatKind::Json)));
        assert_eq!(read.value.named(), Some(Format::plain(FormatKind::Json)));
        assert_eq!(read.timestamp.map(|s| s.node).as_deref(), Some("ts"));
    }

    #[test]
    fn mistakes_are_refused_with_a_place() {
        check_error("KAFKA_TOPC='a'", "1: no property KAFKA_TOPC here; did you mean KAFKA_TOPIC");
        check_error(
            "QUERY_ID='a'",
            "1: no property QUERY_ID here; there is KAFKA_TOPIC, PARTITIONS, REPLICAS, RETENTION_MS, \
            CLEANUP_POLICY, ROW_TTL, FORMAT, KEY_FORMAT, VALUE_FORMAT, KEY_DELIMITER, VALUE_DELIMITER, WRAP_SINGLE_VALUE and 11 more",
        );
        check_error("ROW_TTL='soon'", "9: ROW_TTL: expected a length such as '30 SECONDS', found 'soon'");
        check_error(
            "WINDOW_TYPE='CUMULATE', WINDOW_SIZE='1 DAY'",
            "25: WINDOW_SIZE: keys in CUMULATE windows say how long each is; leave it out",
        );
        check_error("SOURCED_BY_CONNECTOR='c'", "1: property SOURCED_BY_CONNECTOR is not there yet");
        check_error(
            "VALUE_FORMAT='JSON', VALUE_SCHEMA_ID=1",
            "38: VALUE_SCHEMA_ID: VALUE_FORMAT should support schema inference when VALUE_SCHEMA_ID is provided. Current format is JSON.",
        );
        check_error(
            "FORMAT='JSON', KEY_SCHEMA_FULL_NAME='a.b'",
            "37: KEY_SCHEMA_FULL_NAME: JSON does not support the following configs: [fullSchemaName]",
        );
        check_error(
            "FORMAT='PROTOBUF', VALUE_PROTOBUF_NULLABLE_REPRESENTATION='NULL'",
            "59: VALUE_PROTOBUF_NULLABLE_REPRESENTATION: there is no 'NULL'; there is OPTIONAL, WRAPPER",
        );
        check_error("FORMAT='JSN'", "8: FORMAT: Unknown format: JSN; did you mean JSON");
        check_error(
            "FORMAT='XML'",
            "8: FORMAT: Unknown format: XML; there is NONE, KAFKA, JSON, JSON_SR, AVRO, PROTOBUF, PROTOBUF_NOSR, DELIMITED",
        );
        check_error("FORMAT=1", "8: FORMAT: expected a string in single quotes, found 1");
        check_error("PARTITIONS='4'", "12: PARTITIONS: expected a whole number without quotes, found '4'");
        check_error("PARTITIONS=0", "12: PARTITIONS: expected a whole number from 1 to 4294967295, found 0");
        check_error("WRAP_SINGLE_VALUE='x'", "19: WRAP_SINGLE_VALUE: expected TRUE or FALSE, found 'x'");
        check_error(
            "KAFKA_TOPIC='a b'",
            "13: KAFKA_TOPIC: expected the name of a topic: up to 249 letters, digits, `.`, `_` and `-`, found 'a b'",
        );
        check_error(
            "FORMAT='JSON', KEY_FORMAT='KAFKA'",
            "16: KEY_FORMAT: Cannot supply both 'KEY_FORMAT' and 'FORMAT' properties, as 'FORMAT' sets both key and value formats. \
             Either use just 'FORMAT', or use 'KEY_FORMAT' and 'VALUE_FORMAT'.",
        );
        check_error(
            "FORMAT='JSON', VALUE_DELIMITER='|'",
            "32: VALUE_DELIMITER: JSON does not support the following configs: [delimiter]",
        );
        check_error(
            "VALUE_DELIMITER='||'",
            "17: VALUE_DELIMITER: Invalid delimiter value: '||'; expected one character, 'SPACE' or 'TAB'",
        );
        check_error("TIMESTAMP_FORMAT='y'", "1: TIMESTAMP_FORMAT: there is no TIMESTAMP to which it belongs");
        check_error("WINDOW_TYPE='TUMBLING'", "1: WINDOW_TYPE: WINDOW_SIZE is missing, as in WINDOW_SIZE = '1 HOUR'");
        check_error(
            "WINDOW_TYPE='SESSION', WINDOW_SIZE='1 DAY'",
            "24: WINDOW_SIZE: 'WINDOW_SIZE' should not be set for SESSION windows.",
        );
        check_error("WINDOW_SIZE='1 WEEK'", "13: WINDOW_SIZE: expected a length such as '30 SECONDS', found '1 WEEK'");
    }
}
