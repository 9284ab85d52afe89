//! How messages of one schema fill the columns of a reader.
//!
//! Made once a schema, walked once a record. The types that go together are those of Kafka Connect's converter and ksqlDB: unsigned and
//! fixed 32-bit numbers are BIGINT, float is DOUBLE, an enum STRING; wrappers, moments, days, times of day and decimals are single values. A
//! real oneof is a STRUCT of its fields, called after it with `_0`, `_1`, .. behind.

use arrow::datatypes::{DataType, FieldRef, TimeUnit};

use super::{
    schema::{Field, Kind, MessageId, ProtobufSchema},
    well_known::{Single, single},
};
use crate::format::{avro::field_for, error::type_name};

/// How a message fills columns.
#[derive(Debug)]
pub(super) struct MessagePlan {
    /// The numbers of the fields that are read, rising, each with its slot.
    pub(super) slots: Vec<(u32, usize)>,
    /// One a column, in order.
    pub(super) columns: Vec<Read>,
}

/// What a column takes.
#[derive(Debug)]
pub(super) enum Read {
    /// Nothing: it is null.
    Missing,
    /// A field that stands once.
    One {
        /// The field.
        number: u32,
        /// Its slot.
        slot: usize,
        /// Whether it is null where it was not written; otherwise its default.
        has_presence: bool,
        /// Its values.
        value: Value,
    },
    /// A field that stands any number of times: an array.
    Repeated {
        /// The field.
        number: u32,
        /// Its slot.
        slot: usize,
        /// Its values.
        value: Value,
    },
    /// A map: messages of a key 1 and a value 2.
    Map {
        /// The field.
        number: u32,
        /// Its slot.
        slot: usize,
        /// Its keys.
        key: Kind,
        /// Its values.
        value: Value,
    },
    /// A oneof: a struct of fields of the same message, null if none of them is there.
    OneOf(Vec<Read>),
}

/// What is done with a single value.
#[derive(Debug)]
pub(super) enum Value {
    /// A number, boolean, text or bytes.
    Plain(Kind),
    /// The name of an enum's value.
    Enum(Vec<(String, i32)>),
    /// A message: a struct.
    Message(MessagePlan),
    /// A message that stands for a value.
    Single(Single),
}

/// A name that a oneof's column has.
pub(super) fn oneof_name(name: &str, index: usize) -> String {
    format!("{name}_{index}")
}

/// A plan for a message and columns.
pub(super) fn message(
    schema: &ProtobufSchema,
    id: MessageId,
    columns: &[FieldRef],
    path: &str,
) -> Result<MessagePlan, String> {
    let mut plan = MessagePlan { slots: Vec::new(), columns: Vec::with_capacity(columns.len()) };
    let fields = &schema.message(id).fields;
    for column in columns {
        let path = [path, column.name()].join(if path.is_empty() { "" } else { "." });
        let names = fields.iter().map(|field| field.name.as_str());
        let read = match field_for(names, column.name()) {
            Some(at) => field_read(schema, &fields[at], column.data_type(), &path, &mut plan.slots)?,
            None => oneof(schema, id, column, &path, &mut plan.slots)?,
        };
        plan.columns.push(read);
    }
    plan.slots.sort_unstable();
    Ok(plan)
}

fn oneof(
    schema: &ProtobufSchema,
    id: MessageId,
    column: &FieldRef,
    path: &str,
    slots: &mut Vec<(u32, usize)>,
) -> Result<Read, String> {
    let message = schema.message(id);
    let names: Vec<String> = message.oneofs.iter().enumerate().map(|(index, name)| oneof_name(name, index)).collect();
    let found = field_for(names.iter().map(String::as_str), column.name());
    let (Some(oneof), DataType::Struct(parts)) = (found, column.data_type()) else { return Ok(Read::Missing) };
    let members: Vec<&Field> = message.fields.iter().filter(|field| field.oneof == Some(oneof)).collect();
    let mut reads = Vec::with_capacity(parts.len());
    for part in parts {
        let path = format!("{path}.{}", part.name());
        reads.push(match field_for(members.iter().map(|field| field.name.as_str()), part.name()) {
            Some(at) => field_read(schema, members[at], part.data_type(), &path, slots)?,
            None => Read::Missing,
        });
    }
    Ok(Read::OneOf(reads))
}

fn field_read(
    schema: &ProtobufSchema,
    field: &Field,
    column: &DataType,
    path: &str,
    slots: &mut Vec<(u32, usize)>,
) -> Result<Read, String> {
    let mismatch = || format!("field {path}: cannot read {} as {}", schema.name_of(&field.kind), type_name(column));
    let number = field.number;
    let slot = slots.len();
    slots.push((number, slot));
    match (&field.kind, column) {
        (Kind::Map(key, value), DataType::Map(entries, _)) => {
            let DataType::Struct(parts) = entries.data_type() else { return Err(mismatch()) };
            let value = single_value(schema, value, parts[1].data_type(), path)?.ok_or_else(mismatch)?;
            Ok(Read::Map { number, slot, key: key.as_ref().clone(), value })
        }
        // What was written as a list of entries, with nullable keys, is a map as well.
        (Kind::Message(id), DataType::Map(entries, _)) if field.repeated => {
            let DataType::Struct(parts) = entries.data_type() else { return Err(mismatch()) };
            let fields = &schema.message(*id).fields;
            let part = |number: u32, name: &str| {
                fields.iter().find(|field| field.number == number && field.name == name).ok_or_else(mismatch)
            };
            let (key, value) = (part(1, "key")?, part(2, "value")?);
            let value = single_value(schema, &value.kind, parts[1].data_type(), path)?.ok_or_else(mismatch)?;
            Ok(Read::Map { number, slot, key: key.kind.clone(), value })
        }
        (kind, DataType::List(item)) if field.repeated => {
            let value = single_value(schema, kind, item.data_type(), &format!("{path}[]"))?.ok_or_else(mismatch)?;
            Ok(Read::Repeated { number, slot, value })
        }
        (kind, column) if !field.repeated => {
            let value = single_value(schema, kind, column, path)?.ok_or_else(mismatch)?;
            Ok(Read::One { number, slot, has_presence: field.has_presence, value })
        }
        _ => Err(mismatch()),
    }
}

/// A plan for a value that stands once; none if the column takes no such values.
fn single_value(schema: &ProtobufSchema, kind: &Kind, column: &DataType, path: &str) -> Result<Option<Value>, String> {
    let millis = TimeUnit::Millisecond;
    Ok(Some(match kind {
        Kind::Message(id) => match (single(schema, *id), column) {
            (Some(Single::Wrapper(inner)), column) if plain_fits(&inner, column) => {
                Value::Single(Single::Wrapper(inner))
            }
            (Some(Single::Timestamp), DataType::Timestamp(unit, _)) if *unit == millis => {
                Value::Single(Single::Timestamp)
            }
            (Some(Single::Date), DataType::Date32) => Value::Single(Single::Date),
            (Some(Single::TimeOfDay), DataType::Time32(unit)) if *unit == millis => Value::Single(Single::TimeOfDay),
            (Some(Single::Decimal), DataType::Decimal128(..)) => Value::Single(Single::Decimal),
            (_, DataType::Struct(fields)) => Value::Message(message(schema, *id, fields, path)?),
            _ => return Ok(None),
        },
        Kind::Enum(id) if *column == DataType::Utf8 => Value::Enum(schema.enumeration(*id).values.clone()),
        kind if plain_fits(kind, column) => Value::Plain(kind.clone()),
        _ => return Ok(None),
    }))
}

fn plain_fits(kind: &Kind, column: &DataType) -> bool {
    match kind {
        Kind::Int32 | Kind::SInt32 | Kind::SFixed32 => {
            matches!(column, DataType::Int32 | DataType::Int64 | DataType::Utf8)
        }
        Kind::Int64 | Kind::UInt32 | Kind::UInt64 | Kind::SInt64 | Kind::Fixed32 | Kind::Fixed64 | Kind::SFixed64 => {
            matches!(column, DataType::Int64 | DataType::Utf8)
        }
        Kind::Float => matches!(column, DataType::Float64 | DataType::Float32),
        Kind::Double => *column == DataType::Float64,
        Kind::Bool => matches!(column, DataType::Boolean | DataType::Utf8),
        Kind::String => *column == DataType::Utf8,
        Kind::Bytes => *column == DataType::Binary,
        Kind::Enum(_) | Kind::Message(_) | Kind::Map(..) => false,
    }
}
