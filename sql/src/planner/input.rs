//! Sources of the catalog as streams and tables of the DSL.

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef};
use millstream::{
    StreamsBuilder,
    dsl::{ColumnStream, ColumnTable, Materialized, SourceOptions},
    format::{Format, Side, Wrapping},
    record::{MomentFormat, TimeSpan},
    schema::WindowKind,
    topology::{Formats, OffsetReset, RecordPart, TimestampExtractor},
};

use super::error::PlanError;
use crate::{
    catalog::{Column, FormatKind, Source, TimestampColumn, WindowType},
    functions::java_pattern::{JavaPattern, Zone},
    syntax::{Position, ast::ColumnRole},
};

/// The pseudo column that holds the number of the partition that a record was read from.
pub(crate) const ROWPARTITION: &str = "ROWPARTITION";

/// Whether the number of the partition is read as a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartitionColumn {
    /// As [`ROWPARTITION`].
    Read,
    /// Nobody names it.
    Left,
}

/// A column as the engine knows it.
pub(crate) fn field(column: &Column) -> FieldRef {
    Arc::new(Field::new(&column.name, column.data_type.to_arrow(), true))
}

/// How keys of a source are written.
pub(crate) fn key_format(source: &Source) -> Format {
    let mut format = source.key_format.clone();
    // Keys that nobody has named have the name of their source, as in ksqlDB.
    if format.kind == FormatKind::Avro && format.schema.full_name.is_none() {
        format.schema.full_name = Some(format!("io.confluent.ksql.avro_schemas.{}Key", camel(&source.name)));
    }
    format.to_core(&source.registry, &source.topic, Side::Key)
}

/// `MY_TABLE` as `MyTable`.
fn camel(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters.map(|letter| letter.to_ascii_lowercase())).collect::<String>()
    };
    let legal: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    legal.split('_').map(word).collect()
}

/// How records of a source are written.
pub(crate) fn formats(source: &Source) -> Formats {
    let wrapping = match source.wrap_single_value {
        Some(false) => Wrapping::Unwrapped,
        Some(true) | None => Wrapping::Wrapped,
    };
    let value = source.value_format.to_core(&source.registry, &source.topic, Side::Value);
    Formats { key: key_format(source), value, wrapping }
}

/// How a source is read.
///
/// # Errors
/// If it has something that cannot be read yet.
pub(crate) fn options(source: &Source, reset: OffsetReset, at: Position) -> Result<SourceOptions, PlanError> {
    let timestamp = extractor(source.timestamp.as_ref(), at)?;
    Ok(SourceOptions {
        key: source.key_columns().map(field).collect(),
        value: source.value_columns().map(field).collect(),
        parts: source.header_columns().filter_map(|column| Some((column.name.clone(), part(column)?))).collect(),
        window: window(source),
        formats: formats(source),
        timestamp,
        reset,
    })
}

/// What a column holds that is not in the record's value.
fn part(column: &Column) -> Option<RecordPart> {
    match &column.role {
        ColumnRole::Headers => Some(RecordPart::Headers),
        ColumnRole::Header(name) => Some(RecordPart::Header(name.clone())),
        ColumnRole::Value | ColumnRole::Key | ColumnRole::PrimaryKey => None,
    }
}

/// How a source is read with the number of the partition as a column, if that is wanted.
///
/// # Errors
/// As [`options`].
pub(super) fn options_with(
    source: &Source,
    reset: OffsetReset,
    at: Position,
    partition: PartitionColumn,
) -> Result<SourceOptions, PlanError> {
    let mut options = options(source, reset, at)?;
    if partition == PartitionColumn::Read {
        options.parts.push((ROWPARTITION.to_owned(), RecordPart::Partition));
    }
    Ok(options)
}

/// A table of the newest records of `rows`, kept in `store`; without those that are older than the TTL, if there is one.
pub(super) fn table(rows: &ColumnStream, store: &str, ttl: Option<TimeSpan>) -> ColumnTable {
    match ttl {
        Some(ttl) => rows.to_table_with_ttl(ttl, Materialized::named(store)),
        None => rows.to_table(Materialized::named(store)),
    }
}

/// The windows in the keys of a source.
pub(crate) fn window(source: &Source) -> WindowKind {
    let Some(window) = source.window else { return WindowKind::None };
    match (window.window_type, window.size_ms.and_then(TimeSpan::from_millis)) {
        (WindowType::Session, _) => WindowKind::Session,
        (_, Some(size)) => WindowKind::time(size),
        (_, None) => WindowKind::Bounds,
    }
}

/// Reads a source as a stream of facts (of a table: of changes).
///
/// # Errors
/// If it has something that cannot be read yet.
pub(super) fn stream(
    builder: &StreamsBuilder,
    source: &Source,
    reset: OffsetReset,
    at: Position,
    partition: PartitionColumn,
) -> Result<ColumnStream, PlanError> {
    Ok(builder.stream_columns(&source.topic, options_with(source, reset, at, partition)?))
}

/// Where timestamps come from.
///
/// # Errors
/// If the pattern is none of `java.time.format.DateTimeFormatter`.
pub(super) fn extractor(column: Option<&TimestampColumn>, at: Position) -> Result<TimestampExtractor, PlanError> {
    let Some(column) = column else { return Ok(TimestampExtractor::Record) };
    let format = column.format.as_deref().map(|pattern| moment_format(pattern, at)).transpose()?;
    Ok(TimestampExtractor::Column { name: column.column.clone(), format })
}

fn moment_format(pattern: &str, at: Position) -> Result<MomentFormat, PlanError> {
    let compiled = JavaPattern::parse(pattern)
        .map_err(|problem| PlanError::invalid(at, format!("TIMESTAMP_FORMAT '{pattern}': {problem}")))?;
    Ok(MomentFormat::new(pattern, move |text| compiled.parse_moment(text, &Zone::UTC).ok()))
}
