//! Columns to Protobuf: each row is written along a plan that was made once from the schema to write in and the types of the columns.
//!
//! A null is left out; what is read there is null if the field has presence, its default otherwise. Defaults of fields without presence
//! are left out as well, as the canonical encoding has it. Nulls inside arrays and maps, which Protobuf cannot hold, are defaults.

use arrow::{
    array::{ArrayRef, BinaryArray},
    buffer::NullBuffer,
    datatypes::{DataType, FieldRef, TimeUnit},
};
use chrono::{Datelike, NaiveDate};

use super::{
    decode::PROTOBUF,
    plan::oneof_name,
    schema::{Kind, MessageId, ProtobufSchema},
    well_known::{Single, single},
    wire::{put_length, put_path, put_tag, put_varint},
};
use crate::format::{
    Serializer, Side,
    avro::field_for,
    error::{FormatError, check_arrays, type_name},
    json::{
        cell::{Cells, Values},
        row_bytes::RowBytes,
        scalar,
    },
    registered::Target,
    registry::frame,
};

/// Writes Protobuf records.
pub(in crate::format) struct ProtobufSerializer {
    source: Source,
    nullable: bool,
    fields: Vec<FieldRef>,
    plan: Option<Plan>,
}

enum Source {
    Registry(Target),
    Fixed(Box<ProtobufSchema>),
}

struct Plan {
    /// The id of the schema and the path to the message.
    prefix: Vec<u8>,
    fields: Vec<FieldWrite>,
}

/// A field that a column fills.
#[derive(Debug)]
struct FieldWrite {
    source: usize,
    number: u32,
    shape: Shape,
    /// Whether a default is written like any other value.
    has_presence: bool,
}

#[derive(Debug)]
enum Shape {
    One(Write),
    Repeated(Write),
    Map(Kind, Write),
    /// The parts of a struct that are fields of the same message.
    OneOf(Vec<FieldWrite>),
}

#[derive(Debug)]
enum Write {
    Plain(Kind),
    Enum(Vec<(String, i32)>),
    Message(Vec<FieldWrite>),
    Single(Single),
}

impl ProtobufSerializer {
    /// A writer of records with schemas in a registry. On the key side a row of nulls is null bytes.
    pub(in crate::format) fn new(target: Target, side: Side, fields: &[FieldRef]) -> Self {
        Self { source: Source::Registry(target), nullable: side == Side::Key, fields: fields.to_vec(), plan: None }
    }

    /// A writer of records of the first message of a schema, with nothing in front.
    pub(in crate::format) fn with_schema(schema: ProtobufSchema, side: Side, fields: &[FieldRef]) -> Self {
        Self {
            source: Source::Fixed(Box::new(schema)),
            nullable: side == Side::Key,
            fields: fields.to_vec(),
            plan: None,
        }
    }

    fn plan(&self) -> Result<Plan, FormatError> {
        let invalid = |problem: String| FormatError::Schema { format: PROTOBUF, problem };
        let columns: Vec<&FieldRef> = self.fields.iter().collect();
        match &self.source {
            Source::Fixed(schema) => {
                let root = schema.root(None).map_err(invalid)?;
                Ok(Plan { prefix: Vec::new(), fields: compile(schema, root, &columns).map_err(invalid)? })
            }
            Source::Registry(target) => {
                let writing = target.writing()?;
                let schema = ProtobufSchema::parse(&writing.schema.text, &writing.used).map_err(invalid)?;
                let root = schema.root(target.full_name.as_deref()).map_err(invalid)?;
                let mut prefix = Vec::new();
                frame(writing.id, &mut prefix);
                put_path(&schema.path(root), &mut prefix);
                Ok(Plan { prefix, fields: compile(&schema, root, &columns).map_err(invalid)? })
            }
        }
    }
}

fn compile(schema: &ProtobufSchema, id: MessageId, columns: &[&FieldRef]) -> Result<Vec<FieldWrite>, String> {
    let message = schema.message(id);
    let mut writes = Vec::with_capacity(columns.len());
    for (source, column) in columns.iter().enumerate() {
        let names = message.fields.iter().map(|field| field.name.as_str());
        let Some(at) = field_for(names, column.name()) else {
            let oneofs: Vec<String> =
                message.oneofs.iter().enumerate().map(|(index, name)| oneof_name(name, index)).collect();
            let oneof = field_for(oneofs.iter().map(String::as_str), column.name());
            let (Some(_), DataType::Struct(parts)) = (oneof, column.data_type()) else {
                return Err(format!("the schema has no field for column {}", column.name()));
            };
            let parts: Vec<&FieldRef> = parts.iter().collect();
            let shape = Shape::OneOf(compile(schema, id, &parts)?);
            writes.push(FieldWrite { source, number: 0, shape, has_presence: true });
            continue;
        };
        let field = &message.fields[at];
        let mismatch = || {
            let (found, wanted) = (type_name(column.data_type()), schema.name_of(&field.kind));
            format!("column {} is {found}, but the schema has {wanted}", column.name())
        };
        let shape = match (&field.kind, column.data_type()) {
            (Kind::Map(key, value), DataType::Map(entries, _)) => {
                let DataType::Struct(parts) = entries.data_type() else { return Err(mismatch()) };
                let value = single_write(schema, value, parts[1].data_type())?.ok_or_else(mismatch)?;
                Shape::Map(key.as_ref().clone(), value)
            }
            (Kind::Message(id), DataType::Map(entries, _)) if field.repeated => {
                let DataType::Struct(parts) = entries.data_type() else { return Err(mismatch()) };
                let inner = &schema.message(*id).fields;
                let value = inner.iter().find(|field| field.number == 2).ok_or_else(mismatch)?;
                Shape::Map(Kind::String, single_write(schema, &value.kind, parts[1].data_type())?.ok_or_else(mismatch)?)
            }
            (kind, DataType::List(item)) if field.repeated => {
                Shape::Repeated(single_write(schema, kind, item.data_type())?.ok_or_else(mismatch)?)
            }
            (kind, data_type) if !field.repeated => {
                Shape::One(single_write(schema, kind, data_type)?.ok_or_else(mismatch)?)
            }
            _ => return Err(mismatch()),
        };
        writes.push(FieldWrite { source, number: field.number, shape, has_presence: field.has_presence });
    }
    writes.sort_by_key(|write| write.number);
    Ok(writes)
}

fn single_write(schema: &ProtobufSchema, kind: &Kind, column: &DataType) -> Result<Option<Write>, String> {
    let millis = TimeUnit::Millisecond;
    Ok(Some(match kind {
        Kind::Message(id) => match (single(schema, *id), column) {
            (Some(Single::Wrapper(inner)), column) if plain_fits(&inner, column) => {
                Write::Single(Single::Wrapper(inner))
            }
            (Some(Single::Timestamp), DataType::Timestamp(unit, _)) if *unit == millis => {
                Write::Single(Single::Timestamp)
            }
            (Some(Single::Date), DataType::Date32) => Write::Single(Single::Date),
            (Some(Single::TimeOfDay), DataType::Time32(unit)) if *unit == millis => Write::Single(Single::TimeOfDay),
            (Some(Single::Decimal), DataType::Decimal128(..)) => Write::Single(Single::Decimal),
            (_, DataType::Struct(fields)) => {
                let fields: Vec<&FieldRef> = fields.iter().collect();
                Write::Message(compile(schema, *id, &fields)?)
            }
            _ => return Ok(None),
        },
        Kind::Enum(id) if *column == DataType::Utf8 => Write::Enum(schema.enumeration(*id).values.clone()),
        kind if plain_fits(kind, column) => Write::Plain(kind.clone()),
        _ => return Ok(None),
    }))
}

fn plain_fits(kind: &Kind, column: &DataType) -> bool {
    match kind {
        Kind::Int32 | Kind::SInt32 | Kind::SFixed32 => *column == DataType::Int32,
        Kind::Int64 | Kind::SInt64 | Kind::SFixed64 => matches!(column, DataType::Int64 | DataType::Int32),
        Kind::UInt32 | Kind::UInt64 | Kind::Fixed32 | Kind::Fixed64 => {
            matches!(column, DataType::Int64 | DataType::Int32)
        }
        Kind::Float | Kind::Double => matches!(column, DataType::Float64 | DataType::Float32),
        Kind::Bool => *column == DataType::Boolean,
        Kind::String => *column == DataType::Utf8,
        Kind::Bytes => *column == DataType::Binary,
        Kind::Enum(_) | Kind::Message(_) | Kind::Map(..) => false,
    }
}

impl Serializer for ProtobufSerializer {
    fn encode(
        &mut self,
        columns: &[ArrayRef],
        rows: usize,
        present: Option<&NullBuffer>,
    ) -> Result<BinaryArray, FormatError> {
        check_arrays(&self.fields, columns, rows)?;
        let cells: Vec<Cells<'_>> =
            columns.iter().zip(&self.fields).map(|(array, field)| Cells::new(array, field.data_type())).collect();
        let mut out = RowBytes::with_capacity(rows, rows * 8 * (columns.len() + 1));
        for row in 0..rows {
            let absent = present.is_some_and(|present| present.is_null(row));
            if absent || (self.nullable && cells.iter().all(|cells| cells.is_null(row))) {
                out.end_null();
                continue;
            }
            if self.plan.is_none() {
                self.plan = Some(self.plan()?);
            }
            let Some(plan) = &self.plan else { continue };
            out.buffer.extend_from_slice(&plan.prefix);
            for field in &plan.fields {
                write_field(field, &cells[field.source], row, &mut out.buffer).map_err(|problem| {
                    let column = self.fields[field.source].name().clone();
                    FormatError::Value { format: PROTOBUF, column, problem }
                })?;
            }
            out.end_row();
        }
        out.finish(PROTOBUF)
    }
}

fn write_field(field: &FieldWrite, cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
    if cells.is_null(row) {
        return Ok(());
    }
    match (&field.shape, &cells.values) {
        (Shape::One(write), _) => write_one(write, field.number, field.has_presence, cells, row, out),
        (Shape::Repeated(write @ Write::Plain(kind)), Values::List(offsets, items)) if is_packed(kind) => {
            let rows = offsets[row] as usize..offsets[row + 1] as usize;
            if rows.is_empty() {
                return Ok(());
            }
            put_tag(field.number, 2, out);
            let from = out.len();
            for item in rows {
                match items.is_null(item) {
                    true => put_bits(kind, 0, out),
                    false => put_bits(kind, bits(write, items, item)?, out),
                }
            }
            put_length(from, out);
            Ok(())
        }
        (Shape::Repeated(write), Values::List(offsets, items)) => (offsets[row] as usize..offsets[row + 1] as usize)
            .try_for_each(|item| write_one(write, field.number, true, items, item, out)),
        (Shape::Map(key, write), Values::Map(offsets, parts)) => {
            for entry in offsets[row] as usize..offsets[row + 1] as usize {
                put_tag(field.number, 2, out);
                let from = out.len();
                map_key(key, &parts.0, entry, out)?;
                write_one(write, 2, false, &parts.1, entry, out)?;
                put_length(from, out);
            }
            Ok(())
        }
        (Shape::OneOf(fields), Values::Struct(parts)) => {
            fields.iter().try_for_each(|field| write_field(field, &parts[field.source].1, row, out))
        }
        (shape, _) => Err(format!("the column is not one for {shape:?}")),
    }
}

fn map_key(kind: &Kind, cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
    let Values::Utf8(texts) = &cells.values else { return Err("its keys are no texts".to_owned()) };
    let text = texts.value(row);
    if *kind == Kind::String {
        put_tag(1, 2, out);
        put_varint(text.len() as u64, out);
        out.extend_from_slice(text.as_bytes());
        return Ok(());
    }
    let number = match text {
        "true" => 1,
        "false" => 0,
        text => text.parse::<i64>().map_err(|_| format!("key {text:?} is no {kind:?}"))?,
    };
    put_tag(1, wire_type(kind), out);
    put_bits(kind, whole_bits(kind, number), out);
    Ok(())
}

fn is_packed(kind: &Kind) -> bool {
    !matches!(kind, Kind::String | Kind::Bytes | Kind::Message(_) | Kind::Map(..))
}

fn wire_type(kind: &Kind) -> u64 {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::SFixed64 => 1,
        Kind::Float | Kind::Fixed32 | Kind::SFixed32 => 5,
        Kind::String | Kind::Bytes | Kind::Message(_) | Kind::Map(..) => 2,
        _ => 0,
    }
}

fn put_bits(kind: &Kind, bits: u64, out: &mut Vec<u8>) {
    match wire_type(kind) {
        1 => out.extend_from_slice(&bits.to_le_bytes()),
        5 => out.extend_from_slice(&(bits as u32).to_le_bytes()),
        _ => put_varint(bits, out),
    }
}

fn whole_bits(kind: &Kind, value: i64) -> u64 {
    match kind {
        Kind::SInt32 | Kind::SInt64 => ((value << 1) ^ (value >> 63)) as u64,
        Kind::UInt32 | Kind::Fixed32 | Kind::SFixed32 => u64::from(value as u32),
        _ => value as u64,
    }
}

/// The bits of a number that is not null.
fn bits(write: &Write, cells: &Cells<'_>, row: usize) -> Result<u64, String> {
    Ok(match (write, &cells.values) {
        (Write::Plain(Kind::Bool), Values::Boolean(values)) => u64::from(values.value(row)),
        (Write::Plain(Kind::Double), Values::Float64(values)) => values[row].to_bits(),
        (Write::Plain(Kind::Double), Values::Float32(values)) => f64::from(values[row]).to_bits(),
        (Write::Plain(Kind::Float), Values::Float64(values)) => u64::from((values[row] as f32).to_bits()),
        (Write::Plain(Kind::Float), Values::Float32(values)) => u64::from(values[row].to_bits()),
        (Write::Plain(kind), Values::Int32(values)) => whole_bits(kind, i64::from(values[row])),
        (Write::Plain(kind), Values::Int64(values)) => whole_bits(kind, values[row]),
        (Write::Enum(names), Values::Utf8(values)) => {
            let text = values.value(row);
            let found = names.iter().find(|(name, _)| name == text);
            let (_, number) = found.ok_or_else(|| format!("{text:?} is none of the enum's values"))?;
            *number as u64
        }
        (write, _) => return Err(format!("the column is not one for {write:?}")),
    })
}

/// Writes a value that stands once; where it is null, the default, or nothing if that is nothing.
fn write_one(
    write: &Write,
    number: u32,
    even_default: bool,
    cells: &Cells<'_>,
    row: usize,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let null = cells.is_null(row);
    match write {
        Write::Plain(Kind::String | Kind::Bytes) => {
            let bytes: &[u8] = match &cells.values {
                _ if null => &[],
                Values::Utf8(texts) => texts.value(row).as_bytes(),
                Values::Binary(bytes) => bytes.value(row),
                _ => return Err("the column is no text or bytes".to_owned()),
            };
            if even_default || !bytes.is_empty() {
                put_tag(number, 2, out);
                put_varint(bytes.len() as u64, out);
                out.extend_from_slice(bytes);
            }
        }
        Write::Plain(_) | Write::Enum(_) => {
            let kind = if let Write::Plain(kind) = write { kind } else { &Kind::Int32 };
            let bits = if null { 0 } else { bits(write, cells, row)? };
            if even_default || bits != 0 {
                put_tag(number, wire_type(kind), out);
                put_bits(kind, bits, out);
            }
        }
        Write::Message(_) | Write::Single(_) => {
            put_tag(number, 2, out);
            let from = out.len();
            match (write, &cells.values) {
                _ if null => {}
                (Write::Message(fields), Values::Struct(parts)) => {
                    fields.iter().try_for_each(|field| write_field(field, &parts[field.source].1, row, out))?;
                }
                (Write::Single(single), _) => write_single(single, cells, row, out)?,
                (write, _) => return Err(format!("the column is not one for {write:?}")),
            }
            put_length(from, out);
        }
    }
    Ok(())
}

fn put_number(number: u32, value: i64, out: &mut Vec<u8>) {
    if value != 0 {
        put_tag(number, 0, out);
        put_varint(value as u64, out);
    }
}

fn write_single(single: &Single, cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
    match (single, &cells.values) {
        (Single::Wrapper(kind), _) => write_one(&Write::Plain(kind.clone()), 1, false, cells, row, out)?,
        (Single::Timestamp, Values::Int64(values)) => {
            put_number(1, values[row].div_euclid(1000), out);
            put_number(2, values[row].rem_euclid(1000) * 1_000_000, out);
        }
        (Single::Date, Values::Int32(values)) => {
            const EPOCH: i32 = 719_163;
            let date = values[row].checked_add(EPOCH).and_then(NaiveDate::from_num_days_from_ce_opt);
            let date = date.ok_or_else(|| format!("day {} is out of range", values[row]))?;
            put_number(1, i64::from(date.year()), out);
            put_number(2, i64::from(date.month()), out);
            put_number(3, i64::from(date.day()), out);
        }
        (Single::TimeOfDay, Values::Int32(values)) => {
            let millis = i64::from(values[row]);
            put_number(1, millis / 3_600_000, out);
            put_number(2, millis / 60_000 % 60, out);
            put_number(3, millis / 1000 % 60, out);
            put_number(4, millis % 1000 * 1_000_000, out);
        }
        (Single::Decimal, Values::Decimal(values, scale)) => {
            let (bytes, from) = scalar::decimal_to_bytes(values[row]);
            put_tag(1, 2, out);
            put_varint((16 - from) as u64, out);
            out.extend_from_slice(&bytes[from..]);
            put_number(3, i64::from(*scale), out);
        }
        (single, _) => return Err(format!("the column is not one for {single:?}")),
    }
    Ok(())
}
