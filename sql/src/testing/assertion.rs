//! ASSERT: what must have come out.
//!
//! - `ASSERT VALUES s (columns) VALUES (..)`: the next record of the topic of `s` that was not asked for yet; the listed columns are
//!   compared, ROWTIME if it is among them
//! - `ASSERT NULL VALUES s (key) KEY (..)`: the next record is a tombstone of this key
//! - `ASSERT STREAM|TABLE s (columns) WITH (..)`: `s` is declared so
//!
//! Expected values are made into a record as INSERT does, and both records are read back into columns: so they are compared as typed
//! values, whatever the format.

use std::{collections::HashMap, sync::LazyLock};

use arrow::array::BinaryArray;
use fancy_regex::Regex;
use millstream::{
    format::Side,
    record::{Record, RecordRef, Timestamp},
    schema::ROWTIME,
};

use super::{
    answers::{cell, schema_text},
    compare::same,
    payload::Layout,
    sql_file::body,
    stage::Stage,
    value::Value,
};
use crate::{
    catalog::{Catalog, PropertyScope, Source, SourceProperties, declare_source},
    planner::{input, plan_insert_values},
    syntax::{
        ast::{CreateSource, InsertValues, Statement},
        parse_statement,
    },
};

/// An ASSERT.
pub(super) enum Assertion {
    /// Of the next record: it has these values, or is a tombstone.
    Values { insert: Box<InsertValues>, is_null: bool },
    /// Of a stream or table.
    Source(Box<CreateSource>),
}

/// How many records of each topic were asked for.
#[derive(Default)]
pub(super) struct Asked {
    records: HashMap<String, usize>,
}

/// How each ASSERT begins, and the beginning of the statement whose grammar it shares from there on; of the same length where it can
/// be, so that places in errors stay what they are.
static BEGINNINGS: LazyLock<[(Regex, &str); 3]> = LazyLock::new(|| {
    let pattern = |text: &str| Regex::new(text).expect("the pattern is constant");
    [
        (pattern(r"(?i)^ASSERT\s+NULL\s+VALUES\b"), "INSERT INTO       "),
        (pattern(r"(?i)^ASSERT\s+VALUES\b"), "INSERT INTO  "),
        (pattern(r"(?i)^ASSERT\s+(?=(STREAM|TABLE)\b)"), "CREATE "),
    ]
});

/// Those that the engine has.
static ELSEWHERE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?i)^ASSERT\s+(NOT\s+EXISTS\s+)?(TOPIC|SCHEMA)\b").expect("the pattern is constant"));
/// Where the key of `ASSERT NULL VALUES` begins.
static KEY: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?i)\)\s*KEY\s*\(").expect("the pattern is constant"));

/// The ASSERT that a statement is, if it is one.
///
/// # Errors
/// If it begins as one and is none.
pub(super) fn parse(statement: &str) -> Result<Option<Assertion>, String> {
    let text = body(statement);
    if !text.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("ASSERT")) {
        return Ok(None);
    }
    if ELSEWHERE.is_match(text).unwrap_or(false) {
        return Ok(None);
    }
    let none = "ASSERT is followed by VALUES, NULL VALUES, STREAM, TABLE, TOPIC or SCHEMA";
    let found = BEGINNINGS.iter().position(|(pattern, _)| pattern.is_match(text).unwrap_or(false)).ok_or(none)?;
    let (pattern, instead) = &BEGINNINGS[found];
    let mut text = pattern.replace(text, *instead).into_owned();
    let is_null = found == 0;
    if is_null {
        text = KEY.replace(&text, ") VALUES (").into_owned();
    }
    match parse_statement(&text).map_err(|error| error.to_string())?.statement {
        Statement::InsertValues(insert) => Ok(Some(Assertion::Values { insert: Box::new(insert), is_null })),
        Statement::CreateSource(create) => Ok(Some(Assertion::Source(Box::new(create)))),
        _ => Err(none.to_owned()),
    }
}

impl Assertion {
    /// Checks it, after what was asked for before.
    ///
    /// # Errors
    /// What is expected and what there is.
    pub(super) fn check(&self, engine: &dyn Stage, asked: &mut Asked) -> Result<(), String> {
        match self {
            Self::Values { insert, is_null } => check_records(insert, *is_null, engine, asked),
            Self::Source(create) => check_source(create, engine),
        }
    }
}

fn check_records(insert: &InsertValues, is_null: bool, engine: &dyn Stage, asked: &mut Asked) -> Result<(), String> {
    let catalog = engine.catalog();
    let source = catalog.expect_source(&insert.target).map_err(|error| error.to_string())?;
    // INSERT refuses what is read-only or has windows in its keys; here nothing is written.
    let plain = Source { window: None, is_source: false, ..source.clone() };
    let mut scratch = Catalog::with_registry(catalog.registry().clone());
    scratch.add_source(plain, false, insert.target.span.start).map_err(|error| error.to_string())?;
    let wanted = plan_insert_values(&scratch, insert, Timestamp(0)).map_err(|error| error.to_string())?;
    let actual = engine.records(&source.topic).map_err(|error| error.to_string())?;
    let listed: Vec<String> = match &insert.columns {
        Some(listed) => listed.iter().map(|name| name.value.clone()).collect(),
        None => source.columns.iter().map(|column| column.name.clone()).collect(),
    };
    let next = asked.records.entry(source.topic.clone()).or_insert(0);
    for wanted in wanted.records.iter() {
        let Some(found) = actual.get(*next) else {
            return Err(format!("Expected another record, but all {next} of topic {} were asked for", source.topic));
        };
        *next += 1;
        check_record(source, &listed, is_null, wanted, found)?;
    }
    Ok(())
}

fn check_record(
    source: &Source,
    listed: &[String],
    is_null: bool,
    wanted: RecordRef<'_>,
    found: &Record,
) -> Result<(), String> {
    let key = Layout::of(source).inner_key(found.key.as_deref())?;
    let expected = columns(source, wanted.key, wanted.value, wanted.timestamp)?;
    let actual = columns(source, key, found.value.as_deref(), found.timestamp)?;
    let pick = |row: &HashMap<String, Value>, name: &String| row.get(name).cloned().unwrap_or(Value::Null);
    let is_right = |name: &String| {
        let data_type = source.column(name).map(|column| &column.data_type);
        same(&pick(&expected, name), &pick(&actual, name), data_type)
    };
    if is_null == found.value.is_none() && listed.iter().all(is_right) {
        return Ok(());
    }
    let shown = |row: &HashMap<String, Value>| {
        Value::Object(listed.iter().map(|name| (name.clone(), pick(row, name))).collect()).to_string()
    };
    let expected = if is_null { format!("a tombstone of {}", shown(&expected)) } else { shown(&expected) };
    let actual = if found.value.is_none() { format!("a tombstone of {}", shown(&actual)) } else { shown(&actual) };
    Err(format!("Expected record does not match actual. Expected: {expected}, Actual: {actual}"))
}

/// The columns of a record by name, ROWTIME among them.
fn columns(
    source: &Source,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    time: Timestamp,
) -> Result<HashMap<String, Value>, String> {
    let formats = input::formats(source);
    let mut row = HashMap::from([(ROWTIME.to_owned(), Value::Number(time.millis().to_string()))]);
    let sides = [
        (Side::Key, &formats.key, key, source.key_columns().collect::<Vec<_>>()),
        (Side::Value, &formats.value, value, source.value_columns().collect()),
    ];
    for (side, format, bytes, of_side) in sides {
        let fields: Vec<_> = of_side.iter().map(|column| input::field(column)).collect();
        let all: Vec<usize> = (0..fields.len()).collect();
        let reader = format.deserializer(side, formats.wrapping, &fields, &all);
        let decoded = reader.map_err(|error| error.to_string())?.decode(&BinaryArray::from_opt_vec(vec![bytes]));
        if let Some(error) = decoded.errors.first() {
            return Err(format!("a record of {} cannot be read: {error}", source.topic));
        }
        for (field, column) in fields.iter().zip(&decoded.columns) {
            row.insert(field.name().clone(), cell(field, column, 0)?);
        }
    }
    Ok(row)
}

fn check_source(create: &CreateSource, engine: &dyn Stage) -> Result<(), String> {
    let catalog = engine.catalog();
    let actual = catalog.expect_source(&create.name).map_err(|error| error.to_string())?;
    if create.kind != actual.kind {
        return Err(differs("type", actual, &create.kind.to_string(), &actual.kind.to_string()));
    }
    let properties = SourceProperties::parse(&create.properties, PropertyScope::Declare);
    let properties = properties.map_err(|error| error.to_string())?;
    let wanted = declare_source(&catalog, create, &properties, "").map_err(|error| error.to_string())?;
    let time = |source: &Source| {
        source.timestamp.as_ref().map_or_else(String::new, |time| {
            format!("{}{}", time.column, time.format.as_ref().map_or_else(String::new, |format| format!(" '{format}'")))
        })
    };
    // What an ASSERT leaves out is not compared.
    let wraps = |source: &Source| format!("{:?}", wanted.wrap_single_value.and(source.wrap_single_value));
    let pairs = [
        ("schema", schema_text(&wanted), schema_text(actual)),
        ("kafka topic", wanted.topic.clone(), actual.topic.clone()),
        ("key format", wanted.key_format.kind.to_string(), actual.key_format.kind.to_string()),
        ("value format", wanted.value_format.kind.to_string(), actual.value_format.kind.to_string()),
        ("value serde features", wraps(&wanted), wraps(actual)),
        ("timestamp column", time(&wanted), time(actual)),
    ];
    match pairs.iter().find(|(_, wanted, found)| wanted != found) {
        Some((what, wanted, found)) => Err(differs(what, actual, wanted, found)),
        None => Ok(()),
    }
}

fn differs(what: &str, source: &Source, wanted: &str, found: &str) -> String {
    format!("Expected {what} does not match actual for source {}. Expected: {wanted}, Actual: {found}", source.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assertions_share_the_grammar_of_other_statements() {
        let check = |text: &str, want: &str| {
            let got = match parse(text) {
                Ok(Some(Assertion::Values { insert, is_null })) => format!("{} {is_null}", insert.target.value),
                Ok(Some(Assertion::Source(create))) => format!("{} {}", create.kind, create.name.value),
                Ok(None) => "none".to_owned(),
                Err(problem) => problem,
            };
            assert_eq!(got, want, "{text}");
        };
        check("ASSERT VALUES s (a) VALUES (1);", "S false");
        check("-- a tombstone\nassert null values s (k) key (1);", "S true");
        check("ASSERT TABLE t (k INT PRIMARY KEY) WITH (KAFKA_TOPIC = 't', VALUE_FORMAT = 'JSON');", "TABLE T");
        check("INSERT INTO s VALUES (1);", "none");
        // The engine's own.
        check("ASSERT TOPIC t;", "none");
        check("ASSERT x;", "ASSERT is followed by VALUES, NULL VALUES, STREAM, TABLE, TOPIC or SCHEMA");
    }
}
