//! Columns as a Protobuf schema, the one that ksqlDB registers by way of Kafka Connect.
//!
//! A proto3 message `ConnectDefault1` (or another name); nested ones are `ConnectDefault2`, .. inside it. Numbers and texts that may be
//! null are plain, `optional` or wrapped, as asked for.

use std::fmt::Write as _;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};

use super::decode::PROTOBUF;
use crate::format::{
    NullableRepresentation,
    avro::check_name,
    error::{FormatError, type_name},
};

/// The name of messages that nobody has named, without its number.
const DEFAULT: &str = "ConnectDefault";

struct Writer {
    nullable: NullableRepresentation,
    imports: Vec<&'static str>,
    /// The number of the last message.
    last: usize,
}

/// The text of the schema for records of `fields`; the message has the last part of `full_name`, if there is one, in the package of the
/// rest.
///
/// # Errors
/// [`FormatError`] if a column's name or type has no place in Protobuf.
pub(in crate::format) fn schema(
    fields: &[FieldRef],
    full_name: Option<&str>,
    nullable: NullableRepresentation,
) -> Result<String, FormatError> {
    let mut writer = Writer { nullable, imports: Vec::new(), last: 1 };
    let (package, name) = match full_name {
        None => (None, format!("{DEFAULT}1")),
        Some(full) => match full.rsplit_once('.') {
            Some((package, name)) => (Some(package), name.to_owned()),
            None => (None, full.to_owned()),
        },
    };
    let message = writer.message(&name, fields.iter(), "", 0)?;
    let mut text = "syntax = \"proto3\";\n".to_owned();
    if let Some(package) = package {
        let _ = writeln!(text, "package {package};");
    }
    text.push('\n');
    writer.imports.sort_unstable();
    writer.imports.dedup();
    for import in &writer.imports {
        let _ = writeln!(text, "import \"{import}\";");
    }
    if !writer.imports.is_empty() {
        text.push('\n');
    }
    text.push_str(&message);
    Ok(text)
}

impl Writer {
    fn message<'f>(
        &mut self,
        name: &str,
        fields: impl Iterator<Item = &'f FieldRef>,
        path: &str,
        depth: usize,
    ) -> Result<String, FormatError> {
        let indent = "  ".repeat(depth);
        let mut text = format!("{indent}message {name} {{\n");
        let mut nested = String::new();
        for (index, field) in fields.enumerate() {
            check_name(field.name()).map_err(|problem| FormatError::Schema { format: PROTOBUF, problem })?;
            let path = if path.is_empty() { field.name().clone() } else { format!("{path}.{}", field.name()) };
            let (written, options) = self.field(field, &path, &mut nested, depth + 1)?;
            let _ = writeln!(text, "{indent}  {written} {} = {}{options};", field.name(), index + 1);
        }
        if !nested.is_empty() {
            text.push('\n');
            text.push_str(&nested);
        }
        let _ = writeln!(text, "{indent}}}");
        Ok(text)
    }

    /// The type of a field with its label, and its options.
    fn field(
        &mut self,
        field: &Field,
        path: &str,
        nested: &mut String,
        depth: usize,
    ) -> Result<(String, String), FormatError> {
        let data_type = field.data_type();
        let no_options = |written: String| Ok((written, String::new()));
        match data_type {
            DataType::List(item) => {
                if matches!(item.data_type(), DataType::List(_) | DataType::Map(..)) {
                    return Err(unsupported(data_type, path));
                }
                let (inner, options) = self.value(item.data_type(), path, nested, depth)?;
                Ok((format!("repeated {inner}"), options))
            }
            DataType::Map(entries, _) => {
                let DataType::Struct(parts) = entries.data_type() else { return Err(unsupported(data_type, path)) };
                if *parts[0].data_type() != DataType::Utf8 {
                    return Err(FormatError::MapKey { format: PROTOBUF, key: type_name(parts[0].data_type()) });
                }
                if matches!(parts[1].data_type(), DataType::List(_) | DataType::Map(..)) {
                    return Err(unsupported(data_type, path));
                }
                let (inner, _) = self.value(parts[1].data_type(), path, nested, depth)?;
                no_options(format!("map<string, {inner}>"))
            }
            _ => {
                let wrapper = match data_type {
                    DataType::Boolean => Some("Bool"),
                    DataType::Int32 => Some("Int32"),
                    DataType::Int64 => Some("Int64"),
                    DataType::Float32 => Some("Float"),
                    DataType::Float64 => Some("Double"),
                    DataType::Utf8 => Some("String"),
                    DataType::Binary => Some("Bytes"),
                    _ => None,
                };
                match (self.nullable, wrapper) {
                    (NullableRepresentation::Wrapper, Some(wrapper)) => {
                        self.imports.push("google/protobuf/wrappers.proto");
                        no_options(format!("google.protobuf.{wrapper}Value"))
                    }
                    (NullableRepresentation::Optional, Some(_)) => {
                        let (inner, _) = self.value(data_type, path, nested, depth)?;
                        no_options(format!("optional {inner}"))
                    }
                    _ => self.value(data_type, path, nested, depth),
                }
            }
        }
    }

    fn value(
        &mut self,
        data_type: &DataType,
        path: &str,
        nested: &mut String,
        depth: usize,
    ) -> Result<(String, String), FormatError> {
        let mut imported = |import: &'static str, name: &str| {
            self.imports.push(import);
            name.to_owned()
        };
        let plain = match data_type {
            DataType::Boolean => "bool".to_owned(),
            DataType::Int32 => "int32".to_owned(),
            DataType::Int64 => "int64".to_owned(),
            DataType::Float32 => "float".to_owned(),
            DataType::Float64 => "double".to_owned(),
            DataType::Utf8 => "string".to_owned(),
            DataType::Binary => "bytes".to_owned(),
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                imported("google/protobuf/timestamp.proto", "google.protobuf.Timestamp")
            }
            DataType::Date32 => imported("google/type/date.proto", "google.type.Date"),
            DataType::Time32(TimeUnit::Millisecond) => imported("google/type/timeofday.proto", "google.type.TimeOfDay"),
            DataType::Decimal128(precision, scale) => {
                let name = imported("confluent/type/decimal.proto", "confluent.type.Decimal");
                self.imports.push("confluent/meta.proto");
                let pair = |key: &str, value: String| format!("{{key: \"{key}\", value: \"{value}\"}}");
                let parameters =
                    [pair("precision", precision.to_string()), pair("scale", scale.to_string())].join(", ");
                return Ok((name, format!(" [(confluent.field_meta) = {{params: [{parameters}]}}]")));
            }
            DataType::Struct(fields) => {
                self.last += 1;
                let name = format!("{DEFAULT}{}", self.last);
                let text = self.message(&name, fields.iter(), path, depth)?;
                nested.push_str(&text);
                name
            }
            other => return Err(unsupported(other, path)),
        };
        Ok((plain, String::new()))
    }
}

fn unsupported(data_type: &DataType, path: &str) -> FormatError {
    FormatError::UnsupportedType { format: PROTOBUF, column: path.to_owned(), data_type: type_name(data_type) }
}
