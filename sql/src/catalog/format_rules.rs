//! What formats can hold: the rules of ksqlDB on columns, wrapping and keys, for declared sources and for those of queries.

use super::error::CatalogError;
use super::side_format::SideFormat;
use super::source::{Column, FormatKind, Source};
use super::sql_type::SqlType;
use crate::syntax::Position;
use crate::syntax::ast::Spanned;

/// Where the formats of a source stand in its statement.
#[derive(Debug)]
pub struct FormatPlaces<'p> {
    /// What the clause says of keys.
    pub key: &'p SideFormat,
    /// What it says of values.
    pub value: &'p SideFormat,
    /// `WRAP_SINGLE_VALUE`.
    pub wrap_single_value: Option<&'p Spanned<bool>>,
    /// Where errors are that have no place of their own.
    pub otherwise: Position,
}

/// Refuses formats that cannot hold the columns of their side.
pub fn check_formats(source: &Source, places: &FormatPlaces<'_>) -> Result<(), CatalogError> {
    let key: Vec<&Column> = source.key_columns().collect();
    let value: Vec<&Column> = source.value_columns().collect();
    let place = |side: &SideFormat| side.kind.as_ref().map_or(places.otherwise, |kind| kind.span.start);
    places.key.check("KEY", source.key_format.kind)?;
    places.value.check("VALUE", source.value_format.kind)?;
    for column in &key {
        if column.data_type.contains_map() {
            return Err(CatalogError::InvalidColumn {
                at: places.otherwise,
                name: column.name.clone(),
                reason: map_key(&column.name, &column.data_type),
            });
        }
    }
    let refuse = |at: Position, name: &str, reason: String| {
        Err(CatalogError::InvalidProperty { at, name: name.to_owned(), reason })
    };
    if let Some(reason) = misfit(source.key_format.kind, &key) {
        let reason = format!("Key format does not support schema. {reason}");
        return refuse(place(places.key), "KEY_FORMAT", reason);
    }
    if let Some(reason) = misfit(source.value_format.kind, &value) {
        let reason = format!("Value format does not support schema. {reason}");
        return refuse(place(places.value), "VALUE_FORMAT", reason);
    }
    let Some(wrap) = places.wrap_single_value else { return Ok(()) };
    let kind = source.value_format.kind;
    let reason = match wrap.node {
        wanted if !kind.can_wrap(wanted) => {
            let wanted = if wanted { "true" } else { "false" };
            format!("Format '{kind}' does not support 'WRAP_SINGLE_VALUE' set to '{wanted}'.")
        }
        _ if value.len() != 1 => "'WRAP_SINGLE_VALUE' is only valid for single-field value schemas".to_owned(),
        _ => return Ok(()),
    };
    refuse(wrap.span.start, "WRAP_SINGLE_VALUE", reason)
}

/// Why a key cannot hold a MAP, anywhere in it.
pub(super) fn map_key(name: &str, data_type: &SqlType) -> String {
    format!(
        "Map keys, including types that contain maps, are not supported as they may lead to unexpected behavior due to \
         inconsistent serialization. Key column name: `{name}`. Column type: {data_type}."
    )
}

/// Columns as a list; those of the key of a table are key columns as any other.
fn listed(columns: &[&Column]) -> String {
    columns.iter().map(|column| column.to_string().replace(" PRIMARY KEY", " KEY")).collect::<Vec<_>>().join(", ")
}

/// Why a format cannot hold columns, if it cannot.
fn misfit(kind: FormatKind, columns: &[&Column]) -> Option<String> {
    match kind {
        FormatKind::None if !columns.is_empty() => {
            let listed = listed(columns);
            Some(format!("The 'NONE' format can only be used when no columns are defined. Got: [{listed}]"))
        }
        FormatKind::Kafka if columns.len() > 1 => {
            let listed = listed(columns);
            Some(format!("The 'KAFKA' format only supports a single field. Got: [{listed}]"))
        }
        _ => columns.iter().find_map(|column| type_misfit(kind, column)),
    }
}

fn type_misfit(kind: FormatKind, column: &Column) -> Option<String> {
    let simple = [SqlType::Int, SqlType::BigInt, SqlType::Double, SqlType::Varchar, SqlType::Bytes];
    let fits = match kind {
        FormatKind::Kafka => simple.contains(&column.data_type),
        FormatKind::Delimited => !column.data_type.is_nested(),
        _ => return text_keys(kind, &column.data_type),
    };
    let name = &column.name;
    (!fits)
        .then(|| format!("The '{kind}' format does not support type '{}', column: `{name}`", base(&column.data_type)))
}

/// Maps are written with text keys only.
fn text_keys(kind: FormatKind, data_type: &SqlType) -> Option<String> {
    match data_type {
        SqlType::Map(key, _) if **key != SqlType::Varchar => {
            let what = match kind {
                FormatKind::Avro => "Avro only supports MAPs with STRING keys",
                FormatKind::Protobuf | FormatKind::ProtobufNoSr => {
                    "PROTOBUF format only supports MAP types with STRING keys"
                }
                _ => "JSON only supports MAP types with STRING keys",
            };
            Some(format!("{what} but got {key}"))
        }
        SqlType::Map(_, value) => text_keys(kind, value),
        SqlType::Array(item) => text_keys(kind, item),
        SqlType::Struct(fields) => fields.iter().find_map(|field| text_keys(kind, &field.data_type)),
        _ => None,
    }
}

/// The name of a type without its parameters.
fn base(data_type: &SqlType) -> String {
    let name = data_type.to_string();
    name.split(['<', '(']).next().unwrap_or_default().to_owned()
}
