//! The properties of one side's format: `KEY_FORMAT`, `KEY_DELIMITER`, `KEY_SCHEMA_ID` and so on, the same with `VALUE_`.
//!
//! Which format has which: a delimiter DELIMITED, an id those with a registry, a full name AVRO and PROTOBUF, a representation of nulls the two of
//! Protobuf. One that a format does not have is refused once the format is known ([`SideFormat::over`] inherits it).

use super::error::CatalogError;
use super::properties::{invalid_value, one_of, shown, text, wanted};
use super::source::{Format, FormatKind, NullableRepresentation, SchemaOptions};
use crate::syntax::ast::{Literal, Property, Spanned};

/// What a clause says of the format of keys or values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SideFormat {
    /// `_FORMAT`, or `FORMAT`.
    pub kind: Option<Spanned<FormatKind>>,
    /// `_DELIMITER`.
    pub delimiter: Option<Spanned<char>>,
    /// `_SCHEMA_ID`.
    pub schema_id: Option<Spanned<u32>>,
    /// `_SCHEMA_FULL_NAME`.
    pub full_name: Option<Spanned<String>>,
    /// `_PROTOBUF_NULLABLE_REPRESENTATION`.
    pub nullable: Option<Spanned<NullableRepresentation>>,
}

/// The names of formats.
pub(super) const FORMATS: [(&str, FormatKind); 8] = [
    ("NONE", FormatKind::None),
    ("KAFKA", FormatKind::Kafka),
    ("JSON", FormatKind::Json),
    ("JSON_SR", FormatKind::JsonSr),
    ("AVRO", FormatKind::Avro),
    ("PROTOBUF", FormatKind::Protobuf),
    ("PROTOBUF_NOSR", FormatKind::ProtobufNoSr),
    ("DELIMITED", FormatKind::Delimited),
];

fn spanned<T>(property: &Property, node: T) -> Spanned<T> {
    Spanned { node, span: property.value_span }
}

impl SideFormat {
    /// Takes a property, whose name is `name` behind `KEY` or `VALUE`; false if it is none of a format.
    pub(super) fn read(&mut self, name: &str, property: &Property) -> Result<bool, CatalogError> {
        match name {
            "_FORMAT" => self.kind = Some(spanned(property, kind(property)?)),
            "_DELIMITER" => self.delimiter = Some(spanned(property, delimiter(property)?)),
            "_SCHEMA_ID" => self.schema_id = Some(spanned(property, schema_id(property)?)),
            "_SCHEMA_FULL_NAME" | "_AVRO_SCHEMA_FULL_NAME" => {
                self.full_name = Some(spanned(property, full_name(property)?));
            }
            "_PROTOBUF_NULLABLE_REPRESENTATION" => {
                let choices =
                    [("OPTIONAL", NullableRepresentation::Optional), ("WRAPPER", NullableRepresentation::Wrapper)];
                self.nullable = Some(spanned(property, one_of(property, &choices)?));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The format that the clause names, if it does.
    pub fn named(&self) -> Option<Format> {
        self.kind.as_ref().map(|kind| self.settings(Format::plain(kind.node)))
    }

    /// The format that the clause names, or else `inherited` with what the clause says otherwise. The id and name of a schema are not
    /// inherited.
    pub fn over(&self, inherited: &Format) -> Format {
        self.named().unwrap_or_else(|| {
            let schema = SchemaOptions { id: None, full_name: None, nullable: inherited.schema.nullable };
            self.settings(Format { schema, ..inherited.clone() })
        })
    }

    fn settings(&self, mut format: Format) -> Format {
        if let Some(delimiter) = &self.delimiter {
            format.delimiter = Some(delimiter.node);
        }
        if let Some(id) = &self.schema_id {
            format.schema.id = Some(id.node);
        }
        if let Some(name) = &self.full_name {
            format.schema.full_name = Some(name.node.clone());
        }
        if let Some(nullable) = &self.nullable {
            format.schema.nullable = nullable.node;
        }
        format
    }

    /// Refuses what a format does not have; `side` is `KEY` or `VALUE`.
    pub fn check(&self, side: &str, kind: FormatKind) -> Result<(), CatalogError> {
        let refuse = |at, name: &str, config: &str| CatalogError::InvalidProperty {
            at,
            name: format!("{side}{name}"),
            reason: format!("{kind} does not support the following configs: [{config}]"),
        };
        if let Some(delimiter) = &self.delimiter
            && kind != FormatKind::Delimited
        {
            return Err(refuse(delimiter.span.start, "_DELIMITER", "delimiter"));
        }
        if let Some(name) = &self.full_name
            && !matches!(kind, FormatKind::Avro | FormatKind::Protobuf)
        {
            return Err(refuse(name.span.start, "_SCHEMA_FULL_NAME", "fullSchemaName"));
        }
        if let Some(nullable) = &self.nullable
            && !matches!(kind, FormatKind::Protobuf | FormatKind::ProtobufNoSr)
        {
            let name = "_PROTOBUF_NULLABLE_REPRESENTATION";
            return Err(refuse(nullable.span.start, name, "nullableRepresentation"));
        }
        if let Some(id) = &self.schema_id
            && !kind.has_registry()
        {
            let reason = format!(
                "{side}_FORMAT should support schema inference when {side}_SCHEMA_ID is provided. Current format is {kind}."
            );
            return Err(CatalogError::InvalidProperty { at: id.span.start, name: format!("{side}_SCHEMA_ID"), reason });
        }
        Ok(())
    }
}

fn kind(property: &Property) -> Result<FormatKind, CatalogError> {
    let name = text(property)?.trim();
    let upper = name.to_ascii_uppercase();
    if let Some((_, kind)) = FORMATS.iter().find(|(known, _)| *known == upper) {
        return Ok(*kind);
    }
    let names: Vec<&str> = FORMATS.iter().map(|(name, _)| *name).collect();
    let hint = match crate::syntax::suggest::nearest(&upper, names.iter().copied()) {
        Some(meant) => format!("did you mean {meant}"),
        None => format!("there is {}", names.join(", ")),
    };
    Err(invalid_value(property, format!("Unknown format: {upper}; {hint}")))
}

fn delimiter(property: &Property) -> Result<char, CatalogError> {
    let Literal::Text(value) = &property.value else { return Err(wanted(property, "a string in single quotes")) };
    let name = property.name.value.to_ascii_uppercase();
    let mut characters = value.chars();
    match (characters.next(), characters.next()) {
        _ if value.eq_ignore_ascii_case("SPACE") => Ok(' '),
        _ if value.eq_ignore_ascii_case("TAB") => Ok('\t'),
        _ if value.trim().is_empty() => Err(invalid_value(
            property,
            format!(
                "Configuration {name} is invalid: Delimiter cannot be empty, if you meant to have a tab or space for \
                 delimiter, please use the special values 'TAB' or 'SPACE'"
            ),
        )),
        (Some(one), None) => Ok(one),
        _ => Err(invalid_value(
            property,
            format!("Invalid delimiter value: '{value}'; expected one character, 'SPACE' or 'TAB'"),
        )),
    }
}

fn schema_id(property: &Property) -> Result<u32, CatalogError> {
    let digits = match &property.value {
        Literal::Number(digits) | Literal::Text(digits) => digits,
        Literal::Boolean(_) => return Err(wanted(property, "the number of a schema")),
    };
    digits.parse().map_err(|_| {
        invalid_value(property, format!("expected the number of a schema, found {}", shown(&property.value)))
    })
}

fn full_name(property: &Property) -> Result<String, CatalogError> {
    let name = text(property)?.trim();
    if name.is_empty() {
        return Err(invalid_value(property, "Schema name cannot be empty".to_owned()));
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    match name.chars().all(legal) {
        true => Ok(name.to_owned()),
        false => Err(wanted(property, "a name of letters, digits, `_` and `.`")),
    }
}
