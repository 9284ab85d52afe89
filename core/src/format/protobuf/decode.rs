//! Protobuf to columns: each record is scanned once, its fields noted, and then appended column by column.
//!
//! Fields may come in any order and any number: of a field that stands once the last counts, messages that stand more than once are merged,
//! repeated fields are read in a second pass over the message. PROTOBUF records begin with the id of their schema and the path to their
//! message; PROTOBUF_NOSR ones have the schema that the columns give.

use arrow::{
    array::{Array, BinaryArray, StringBuilder},
    datatypes::FieldRef,
};
use chrono::{Datelike, NaiveDate};

use super::{
    plan::{self, MessagePlan, Read, Value},
    schema::{Kind, ProtobufSchema},
    well_known::Single,
    wire::{Reader, Wire},
};
use crate::format::{
    Decoded, Deserializer,
    builder::{ColumnBuilder, RowBuilder},
    error::{FormatError, project},
    json::scalar,
    registry::{self, RegistryError, SchemaId, SchemaType, SharedRegistry, unframe},
};

/// The name of the format in errors.
pub(super) const PROTOBUF: &str = "PROTOBUF";

/// Reads Protobuf records.
pub(in crate::format) struct ProtobufDeserializer {
    fields: Vec<FieldRef>,
    rows: RowBuilder,
    source: Source,
    /// Why the registry did not say what the last record's schema is.
    failure: Option<FormatError>,
}

/// Where schemas come from.
enum Source {
    /// From a registry; by the id and path in front of a record.
    Registry {
        registry: SharedRegistry,
        writers: Vec<Writer>,
        /// Which of them wrote the last record.
        last: usize,
    },
    /// All records have one.
    Fixed(MessagePlan),
}

/// What is done with the records of one schema and message.
struct Writer {
    id: SchemaId,
    /// The path to the message, as it stands in the record.
    path: Box<[u8]>,
    plan: Result<MessagePlan, String>,
}

/// What a message holds for a field.
#[derive(Debug, Clone, Copy, Default)]
struct Slot<'a> {
    count: usize,
    last: Option<Wire<'a>>,
}

impl ProtobufDeserializer {
    /// A reader of records with schemas in a registry.
    ///
    /// # Errors
    /// [`FormatError`] if a column that is read has a type that SQL does not have.
    pub(in crate::format) fn new(
        registry: SharedRegistry,
        fields: &[FieldRef],
        projection: &[usize],
    ) -> Result<Self, FormatError> {
        let fields = project(fields, projection)?;
        let rows = RowBuilder::new(&fields, PROTOBUF)?;
        Ok(Self { fields, rows, source: Source::Registry { registry, writers: Vec::new(), last: 0 }, failure: None })
    }

    /// A reader of records of the first message of a schema, without anything in front.
    ///
    /// # Errors
    /// [`FormatError`] if the schema does not fit the columns.
    pub(in crate::format) fn with_schema(
        schema: &ProtobufSchema,
        fields: &[FieldRef],
        projection: &[usize],
    ) -> Result<Self, FormatError> {
        let fields = project(fields, projection)?;
        let rows = RowBuilder::new(&fields, PROTOBUF)?;
        let plan = schema.root(None).and_then(|root| plan::message(schema, root, &fields, ""));
        let plan = plan.map_err(|problem| FormatError::Schema { format: PROTOBUF, problem })?;
        Ok(Self { fields, rows, source: Source::Fixed(plan), failure: None })
    }
}

/// The plan for a schema of the registry and a message of it; an error of its own if asking again may help.
fn plan_for(
    registry: &SharedRegistry,
    fields: &[FieldRef],
    id: SchemaId,
    path: &[usize],
) -> Result<Result<MessagePlan, String>, RegistryError> {
    let fetch = || {
        let schema = registry.schema(id)?;
        let used = registry::references(registry.as_ref(), &schema)?;
        Ok((schema, used))
    };
    let (schema, used) = match fetch() {
        Ok(found) => found,
        Err(error) if RegistryError::is_retryable(&error) => return Err(error),
        Err(error) => return Ok(Err(error.to_string())),
    };
    if schema.schema_type != SchemaType::Protobuf {
        return Ok(Err(format!("schema {id} is {}, not PROTOBUF", schema.schema_type)));
    }
    let plan = ProtobufSchema::parse(&schema.text, &used).and_then(|schema| {
        let message = schema.at(path).ok_or_else(|| format!("it has no message at {path:?}"))?;
        plan::message(&schema, message, fields, "")
    });
    Ok(plan.map_err(|problem| format!("schema {id}: {problem}")))
}

impl Deserializer for ProtobufDeserializer {
    fn decode(&mut self, bytes: &BinaryArray) -> Decoded {
        for row in 0..bytes.len() {
            if bytes.is_null(row) {
                self.rows.push_nulls();
                continue;
            }
            let outcome = self.record(bytes.value(row));
            if let Some(failure) = self.failure.take() {
                return self.rows.give_up(failure);
            }
            self.rows.end_row(outcome);
        }
        self.rows.finish()
    }
}

impl ProtobufDeserializer {
    fn record(&mut self, bytes: &[u8]) -> Result<(), String> {
        match &mut self.source {
            Source::Fixed(plan) => message(plan, bytes, &mut self.rows.columns),
            Source::Registry { registry, writers, last } => {
                let framed = unframe(bytes)?;
                let mut reader = Reader::new(framed.body);
                let path = reader.skip_path()?;
                let is_it = |writer: &Writer| writer.id == framed.id && *writer.path == *path;
                if !writers.get(*last).is_some_and(is_it) {
                    *last = match writers.iter().position(is_it) {
                        Some(known) => known,
                        None => {
                            let steps = Reader::new(path).path()?;
                            let plan = plan_for(registry, &self.fields, framed.id, &steps).map_err(|error| {
                                let problem = error.to_string();
                                self.failure = Some(FormatError::Registry { problem: problem.clone() });
                                problem
                            })?;
                            writers.push(Writer { id: framed.id, path: path.into(), plan });
                            writers.len() - 1
                        }
                    };
                }
                let plan = writers[*last].plan.as_ref().map_err(String::clone)?;
                message(plan, reader.rest(), &mut self.rows.columns)
            }
        }
    }
}

/// Messages of few fields need no allocation.
const FEW: usize = 24;

fn message(plan: &MessagePlan, bytes: &[u8], columns: &mut [ColumnBuilder]) -> Result<(), String> {
    let mut few = [Slot::default(); FEW];
    let mut many = Vec::new();
    let slots = match plan.slots.len() {
        count @ ..=FEW => &mut few[..count],
        count => {
            many.resize(count, Slot::default());
            many.as_mut_slice()
        }
    };
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let (number, wire) = reader.field()?;
        if let Ok(at) = plan.slots.binary_search_by_key(&number, |(number, _)| *number) {
            let slot = &mut slots[plan.slots[at].1];
            slot.count += 1;
            slot.last = Some(wire);
        }
    }
    plan.columns.iter().zip(columns).try_for_each(|(read, column)| fill(read, bytes, slots, column))
}

fn fill(read: &Read, bytes: &[u8], slots: &[Slot<'_>], column: &mut ColumnBuilder) -> Result<(), String> {
    match (read, column) {
        (Read::Missing, column) => column.push_null(),
        (Read::One { number, slot, has_presence, value }, column) => match slots[*slot] {
            Slot { last: None, .. } if *has_presence => column.push_null(),
            Slot { last: None, .. } => absent(value, column)?,
            Slot { last: Some(Wire::Bytes(_)), count: 2.. } if is_message(value) => {
                merged(*number, value, bytes, column)?;
            }
            Slot { last: Some(wire), .. } => append(value, wire, column)?,
        },
        (Read::Repeated { number, slot, value }, ColumnBuilder::List(list)) => {
            if slots[*slot].count > 0 {
                each_of(*number, bytes, |wire| match (wire, value) {
                    (Wire::Bytes(packed), Value::Plain(kind)) if is_number(kind) => {
                        let mut reader = Reader::new(packed);
                        while !reader.is_empty() {
                            append(value, Wire::Number(unpack(kind, &mut reader)?), &mut list.items)?;
                        }
                        Ok(())
                    }
                    (Wire::Bytes(packed), Value::Enum(_)) => {
                        let mut reader = Reader::new(packed);
                        while !reader.is_empty() {
                            append(value, Wire::Number(reader.varint()?), &mut list.items)?;
                        }
                        Ok(())
                    }
                    (wire, value) => append(value, wire, &mut list.items),
                })?;
            }
            list.append();
        }
        (Read::Map { number, slot, key, value }, ColumnBuilder::Map(map)) => {
            if slots[*slot].count > 0 {
                each_of(*number, bytes, |wire| {
                    let Wire::Bytes(entry) = wire else { return Err(format!("field {number} is no map")) };
                    map_entry(key, value, entry, &mut map.keys, &mut map.values)
                })?;
            }
            map.append();
        }
        (Read::OneOf(parts), ColumnBuilder::Struct(column)) => {
            let there = parts.iter().any(|part| match part {
                Read::One { slot, .. } | Read::Repeated { slot, .. } | Read::Map { slot, .. } => slots[*slot].count > 0,
                Read::Missing | Read::OneOf(_) => false,
            });
            if !there {
                column.append_null();
                return Ok(());
            }
            parts.iter().zip(&mut column.columns).try_for_each(|(part, column)| fill(part, bytes, slots, column))?;
            column.append();
        }
        (read, _) => return Err(format!("a column was not made for {read:?}")),
    }
    Ok(())
}

fn is_message(value: &Value) -> bool {
    matches!(value, Value::Message(_) | Value::Single(_))
}

/// A message that stands several times is the one that all its bytes together are.
#[cold]
fn merged(number: u32, value: &Value, bytes: &[u8], column: &mut ColumnBuilder) -> Result<(), String> {
    let mut all = Vec::new();
    each_of(number, bytes, |wire| {
        if let Wire::Bytes(part) = wire {
            all.extend_from_slice(part);
        }
        Ok(())
    })?;
    append(value, Wire::Bytes(&all), column)
}

fn each_of<'a>(
    number: u32,
    bytes: &'a [u8],
    mut each: impl FnMut(Wire<'a>) -> Result<(), String>,
) -> Result<(), String> {
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let (found, wire) = reader.field()?;
        if found == number {
            each(wire)?;
        }
    }
    Ok(())
}

fn map_entry(
    key: &Kind,
    value: &Value,
    entry: &[u8],
    keys: &mut StringBuilder,
    values: &mut ColumnBuilder,
) -> Result<(), String> {
    let (mut found_key, mut found_value) = (None, None);
    let mut reader = Reader::new(entry);
    while !reader.is_empty() {
        match reader.field()? {
            (1, wire) => found_key = Some(wire),
            (2, wire) => found_value = Some(wire),
            _ => {}
        }
    }
    match (key, found_key) {
        (Kind::String, Some(Wire::Bytes(bytes))) => keys.append_value(text(bytes)?),
        (Kind::String, None) => keys.append_value(""),
        (Kind::Bool, wire) => keys.append_value(match wire {
            Some(Wire::Number(1..)) => "true",
            _ => "false",
        }),
        (kind, Some(Wire::Number(bits))) => keys.append_value(itoa::Buffer::new().format(integer(kind, bits))),
        (_, None) => keys.append_value("0"),
        (_, Some(_)) => return Err("a key of a map has another type than its schema says".to_owned()),
    }
    match found_value {
        Some(wire) => append(value, wire, values),
        None => absent(value, values),
    }
}

fn is_number(kind: &Kind) -> bool {
    !matches!(kind, Kind::String | Kind::Bytes | Kind::Message(_) | Kind::Map(..))
}

fn unpack(kind: &Kind, reader: &mut Reader<'_>) -> Result<u64, String> {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::SFixed64 => reader.fixed64(),
        Kind::Float | Kind::Fixed32 | Kind::SFixed32 => reader.fixed32(),
        _ => reader.varint(),
    }
}

/// Appends the value of a field that was not written and has no presence.
fn absent(value: &Value, column: &mut ColumnBuilder) -> Result<(), String> {
    match value {
        Value::Plain(Kind::String | Kind::Bytes) => append(value, Wire::Bytes(&[]), column),
        Value::Plain(_) | Value::Enum(_) => append(value, Wire::Number(0), column),
        Value::Message(_) | Value::Single(_) => {
            column.push_null();
            Ok(())
        }
    }
}

fn integer(kind: &Kind, bits: u64) -> i64 {
    let unzigzag = |bits: u64| ((bits >> 1) ^ (bits & 1).wrapping_neg()) as i64;
    match kind {
        Kind::Int32 | Kind::SFixed32 => i64::from(bits as i32),
        Kind::UInt32 | Kind::Fixed32 => i64::from(bits as u32),
        Kind::SInt32 => i64::from(unzigzag(bits) as i32),
        Kind::SInt64 => unzigzag(bits),
        _ => bits as i64,
    }
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "a string is not UTF-8".to_owned())
}

fn append(value: &Value, wire: Wire<'_>, column: &mut ColumnBuilder) -> Result<(), String> {
    let wrong = || format!("a field has another wire type than its schema says: {value:?}");
    match (value, wire, column) {
        (Value::Plain(kind), Wire::Number(bits), column) => number(kind, bits, column)?,
        (Value::Plain(Kind::String), Wire::Bytes(bytes), ColumnBuilder::Utf8(column)) => {
            column.append_value(text(bytes)?);
        }
        (Value::Plain(Kind::Bytes), Wire::Bytes(bytes), ColumnBuilder::Binary(column)) => column.append_value(bytes),
        (Value::Enum(values), Wire::Number(bits), ColumnBuilder::Utf8(column)) => {
            let number = bits as i32;
            match values.iter().find(|(_, value)| *value == number) {
                Some((name, _)) => column.append_value(name),
                None => column.append_value(itoa::Buffer::new().format(number)),
            }
        }
        (Value::Message(plan), Wire::Bytes(bytes), ColumnBuilder::Struct(parts)) => {
            message(plan, bytes, &mut parts.columns)?;
            parts.append();
        }
        (Value::Single(single), Wire::Bytes(bytes), column) => single_value(single, bytes, column)?,
        _ => return Err(wrong()),
    }
    Ok(())
}

fn number(kind: &Kind, bits: u64, column: &mut ColumnBuilder) -> Result<(), String> {
    match (kind, column) {
        (Kind::Bool, ColumnBuilder::Boolean(column)) => column.append_value(bits != 0),
        (Kind::Bool, ColumnBuilder::Utf8(column)) => column.append_value(if bits != 0 { "true" } else { "false" }),
        (Kind::Double, ColumnBuilder::Float64(column)) => column.append_value(f64::from_bits(bits)),
        (Kind::Float, ColumnBuilder::Float64(column)) => {
            column.append_value(f64::from(f32::from_bits(bits as u32)));
        }
        (Kind::Float, ColumnBuilder::Float32(column)) => column.append_value(f32::from_bits(bits as u32)),
        (kind, ColumnBuilder::Int32(column)) => column.append_value(integer(kind, bits) as i32),
        (kind, ColumnBuilder::Int64(column)) => column.append_value(integer(kind, bits)),
        (kind, ColumnBuilder::Utf8(column)) => column.append_value(itoa::Buffer::new().format(integer(kind, bits))),
        (kind, _) => return Err(format!("a field has another wire type than {kind:?}")),
    }
    Ok(())
}

/// The numbers of the fields 1 to 4 of a message that stands for a value, and the bytes of field 1.
fn parts(bytes: &[u8]) -> Result<([u64; 5], &[u8]), String> {
    let (mut numbers, mut first) = ([0; 5], &[][..]);
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        match reader.field()? {
            (number @ 1..=4, Wire::Number(bits)) => numbers[number as usize] = bits,
            (1, Wire::Bytes(bytes)) => first = bytes,
            _ => {}
        }
    }
    Ok((numbers, first))
}

fn single_value(single: &Single, bytes: &[u8], column: &mut ColumnBuilder) -> Result<(), String> {
    let (numbers, first) = parts(bytes)?;
    match (single, column) {
        (Single::Wrapper(Kind::String), ColumnBuilder::Utf8(column)) => column.append_value(text(first)?),
        (Single::Wrapper(Kind::Bytes), ColumnBuilder::Binary(column)) => column.append_value(first),
        (Single::Wrapper(kind), column) => number(kind, numbers[1], column)?,
        (Single::Timestamp, ColumnBuilder::Timestamp(column)) => {
            let millis = (numbers[1] as i64).checked_mul(1000);
            let millis = millis.and_then(|millis| millis.checked_add(i64::from(numbers[2] as i32) / 1_000_000));
            column.append_value(millis.ok_or("a timestamp is out of range")?);
        }
        (Single::Date, ColumnBuilder::Date(column)) => {
            let date = NaiveDate::from_ymd_opt(numbers[1] as i32, numbers[2] as u32, numbers[3] as u32);
            let date = date.ok_or_else(|| format!("{}-{}-{} is no date", numbers[1], numbers[2], numbers[3]))?;
            const EPOCH: i32 = 719_163;
            column.append_value(date.num_days_from_ce() - EPOCH);
        }
        (Single::TimeOfDay, ColumnBuilder::Time(column)) => {
            let part = |at: usize| i64::from(numbers[at] as i32);
            let millis = (part(1) * 60 + part(2)) * 60_000 + part(3) * 1000 + part(4) / 1_000_000;
            let millis = i32::try_from(millis).ok().filter(|millis| scalar::is_time_of_day(i64::from(*millis)));
            column.append_value(millis.ok_or("a time of day is out of range")?);
        }
        (Single::Decimal, ColumnBuilder::Decimal(column, precision, scale)) => {
            let from = i8::try_from(numbers[3] as i32).map_err(|_| "the scale of a decimal is out of range")?;
            let units = scalar::decimal_from_bytes(first, from, *precision, *scale);
            column.append_value(units.ok_or_else(|| format!("a decimal does not fit DECIMAL({precision}, {scale})"))?);
        }
        (single, _) => return Err(format!("a column was not made for {single:?}")),
    }
    Ok(())
}
