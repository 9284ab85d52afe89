//! Columns to Avro: each row is written along a plan that was made once from the schema to write in and the types of the columns.
//!
//! The schema is the one that the columns give ([`from_columns`](super::from_columns)), registered under the topic's subject, or the one of
//! an id that was asked for. In the second case fields that no column fills, and nulls where the schema has none, get the field's default; a
//! field without one is an error, as is a column without a field.

use arrow::{
    array::{ArrayRef, BinaryArray},
    buffer::NullBuffer,
    datatypes::{DataType, FieldRef, Fields, TimeUnit},
};
use serde_json::Value as Json;

use super::{
    AVRO,
    plan::field_for,
    schema::{AvroSchema, Logical, Type, TypeId},
};
use crate::format::{
    Serializer,
    error::{FormatError, check_arrays, type_name},
    json::{
        cell::{Cells, Values},
        row_bytes::RowBytes,
        scalar,
    },
    registered::{Target, Writing},
    registry::frame,
};

/// Writes Avro records.
pub(in crate::format) struct AvroSerializer {
    target: Target,
    bare: bool,
    nullable: bool,
    fields: Vec<FieldRef>,
    plan: Option<(Writing, Write)>,
}

/// How a value is written.
#[derive(Debug)]
enum Write {
    Boolean,
    Int,
    Long,
    LongFromInt,
    Micros,
    Float,
    Double,
    Bytes,
    Fixed(usize),
    Text,
    Enum(Vec<String>),
    Decimal {
        size: Option<usize>,
        scale: i8,
        precision: u8,
        from: i8,
    },
    List(Box<Write>),
    Map(Box<Write>),
    Entries(Vec<EntryPart>),
    Record(Vec<FieldWrite>),
    /// A union with null, by the numbers of its branches.
    Optional {
        null: i64,
        value: i64,
        inner: Box<Write>,
    },
}

#[derive(Debug)]
enum EntryPart {
    Key(Write),
    Value(Write),
}

#[derive(Debug)]
struct FieldWrite {
    name: String,
    /// Which of the record's columns.
    source: Option<usize>,
    write: Option<Write>,
    /// What is written where there is no value.
    default: Option<Vec<u8>>,
}

impl AvroSerializer {
    /// A writer of records of `fields`; of bare values of the only field, if `bare`. A row of nulls is null bytes if `nullable`.
    pub(in crate::format) fn new(target: Target, bare: bool, nullable: bool, fields: &[FieldRef]) -> Self {
        Self { target, bare, nullable: nullable || bare, fields: fields.to_vec(), plan: None }
    }

    fn plan(&self) -> Result<(Writing, Write), FormatError> {
        let writing = self.target.writing()?;
        let schema = AvroSchema::parse(&writing.schema.text, writing.used.iter().map(|(_, used)| used.text.as_str()))
            .map_err(|problem| invalid(&problem))?;
        let write = match self.fields.as_slice() {
            [field] if self.bare => compile(&schema, schema.root(), field.data_type(), field.name())?,
            fields => match schema.get(schema.root()) {
                Type::Record { .. } => {
                    compile(&schema, schema.root(), &DataType::Struct(Fields::from(fields.to_vec())), "")?
                }
                _ => return Err(invalid(&format!("expected a record, found {}", schema.name_of(schema.root())))),
            },
        };
        Ok((writing, write))
    }
}

fn invalid(problem: &str) -> FormatError {
    FormatError::Schema { format: AVRO, problem: problem.to_owned() }
}

fn compile(schema: &AvroSchema, id: TypeId, column: &DataType, path: &str) -> Result<Write, FormatError> {
    let mismatch =
        || invalid(&format!("column {path} is {}, but the schema has {}", type_name(column), schema.name_of(id)));
    let millis = TimeUnit::Millisecond;
    Ok(match (schema.get(id), column) {
        (Type::Union(branches), _) => {
            let (inner, has_null) = schema.non_null(id);
            if inner == id {
                return Err(mismatch());
            }
            let place = |wanted: TypeId| branches.iter().position(|branch| *branch == wanted).unwrap_or(0) as i64;
            let value = place(inner);
            let null = branches.iter().position(|branch| *schema.get(*branch) == Type::Null).unwrap_or(0) as i64;
            let inner = compile(schema, inner, column, path)?;
            debug_assert!(has_null);
            Write::Optional { null, value, inner: Box::new(inner) }
        }
        (Type::Boolean, DataType::Boolean) => Write::Boolean,
        (Type::Int(_), DataType::Int32) => Write::Int,
        (Type::Int(Logical::Date | Logical::None), DataType::Date32) => Write::Int,
        (Type::Int(Logical::TimeMillis | Logical::None), DataType::Time32(_)) => Write::Int,
        (Type::Long(_), DataType::Int64) => Write::Long,
        (Type::Long(_), DataType::Int32) => Write::LongFromInt,
        (Type::Long(Logical::TimestampMillis | Logical::None), DataType::Timestamp(unit, _)) if *unit == millis => {
            Write::Long
        }
        (Type::Long(Logical::TimestampMicros), DataType::Timestamp(unit, _)) if *unit == millis => Write::Micros,
        (Type::Float, DataType::Float32 | DataType::Float64) => Write::Float,
        (Type::Double, DataType::Float64 | DataType::Float32) => Write::Double,
        (Type::Bytes(Logical::Decimal { precision, scale }), DataType::Decimal128(_, from)) => {
            Write::Decimal { size: None, scale: *scale, precision: *precision, from: *from }
        }
        (Type::Fixed { size, logical: Logical::Decimal { precision, scale }, .. }, DataType::Decimal128(_, from)) => {
            Write::Decimal { size: Some(*size), scale: *scale, precision: *precision, from: *from }
        }
        (Type::Bytes(_), DataType::Binary) => Write::Bytes,
        (Type::Fixed { size, .. }, DataType::Binary) => Write::Fixed(*size),
        (Type::String, DataType::Utf8) => Write::Text,
        (Type::Enum { symbols, .. }, DataType::Utf8) => Write::Enum(symbols.clone()),
        (Type::Array { items, .. }, DataType::List(item)) => {
            Write::List(Box::new(compile(schema, *items, item.data_type(), &format!("{path}[]"))?))
        }
        (Type::Map { values }, DataType::Map(entries, _)) => {
            let DataType::Struct(parts) = entries.data_type() else { return Err(mismatch()) };
            Write::Map(Box::new(compile(schema, *values, parts[1].data_type(), &format!("{path}{{}}"))?))
        }
        (Type::Array { items, .. }, DataType::Map(entries, _)) => {
            let DataType::Struct(parts) = entries.data_type() else { return Err(mismatch()) };
            let Type::Record { fields, .. } = schema.get(*items) else { return Err(mismatch()) };
            let part = |field: &super::schema::RecordField| match field.name.as_str() {
                "key" => compile(schema, field.data_type, parts[0].data_type(), path).map(EntryPart::Key),
                "value" => compile(schema, field.data_type, parts[1].data_type(), path).map(EntryPart::Value),
                _ => Err(mismatch()),
            };
            Write::Entries(fields.iter().map(part).collect::<Result<_, _>>()?)
        }
        (Type::Record { fields, .. }, DataType::Struct(columns)) => {
            let mut taken = vec![false; columns.len()];
            let mut writes = Vec::with_capacity(fields.len());
            for field in fields {
                let source = field_for(columns.iter().map(|column| column.name().as_str()), &field.name)
                    .filter(|source| !taken[*source]);
                let inner = match source {
                    Some(source) => {
                        taken[source] = true;
                        let path = [path, columns[source].name()].join(if path.is_empty() { "" } else { "." });
                        Some(compile(schema, field.data_type, columns[source].data_type(), &path)?)
                    }
                    None => None,
                };
                let default = field.default.as_ref().map(|json| {
                    let mut bytes = Vec::new();
                    default_bytes(schema, field.data_type, json, &mut bytes).map(|()| bytes)
                });
                let default = default
                    .transpose()
                    .map_err(|problem| invalid(&format!("the default of field {}: {problem}", field.name)))?;
                let default = default.or_else(|| null_bytes(schema, field.data_type));
                if source.is_none() && default.is_none() {
                    return Err(invalid(&format!("field {} has no default, and no column fills it", field.name)));
                }
                writes.push(FieldWrite { name: field.name.clone(), source, write: inner, default });
            }
            if let Some(left) = taken.iter().position(|taken| !taken) {
                return Err(invalid(&format!("the schema has no field for column {}", columns[left].name())));
            }
            Write::Record(writes)
        }
        _ => return Err(mismatch()),
    })
}

/// The null of a union with null.
fn null_bytes(schema: &AvroSchema, id: TypeId) -> Option<Vec<u8>> {
    let Type::Union(branches) = schema.get(id) else { return None };
    let null = branches.iter().position(|branch| *schema.get(*branch) == Type::Null)?;
    let mut out = Vec::new();
    write_long(null as i64, &mut out);
    Some(out)
}

/// A default as bytes; that of a union is one of its first branch.
fn default_bytes(schema: &AvroSchema, id: TypeId, json: &Json, out: &mut Vec<u8>) -> Result<(), String> {
    let wrong = || format!("{json} is no {}", schema.name_of(id));
    match (schema.get(id), json) {
        (Type::Null, Json::Null) => {}
        (Type::Boolean, Json::Bool(value)) => out.push(u8::from(*value)),
        (Type::Int(_) | Type::Long(_), json) => write_long(json.as_i64().ok_or_else(wrong)?, out),
        (Type::Float, json) => out.extend_from_slice(&(json.as_f64().ok_or_else(wrong)? as f32).to_le_bytes()),
        (Type::Double, json) => out.extend_from_slice(&json.as_f64().ok_or_else(wrong)?.to_le_bytes()),
        // Bytes are written as the characters up to 255.
        (Type::Bytes(_), Json::String(text)) => {
            let bytes: Vec<u8> =
                text.chars().map(|c| u8::try_from(c).map_err(|_| wrong())).collect::<Result<_, _>>()?;
            write_bytes(&bytes, out);
        }
        (Type::Fixed { size, .. }, Json::String(text)) => {
            let bytes: Vec<u8> =
                text.chars().map(|c| u8::try_from(c).map_err(|_| wrong())).collect::<Result<_, _>>()?;
            if bytes.len() != *size {
                return Err(wrong());
            }
            out.extend_from_slice(&bytes);
        }
        (Type::String, Json::String(text)) => write_bytes(text.as_bytes(), out),
        (Type::Enum { symbols, .. }, Json::String(text)) => {
            let symbol = symbols.iter().position(|symbol| symbol == text).ok_or_else(wrong)?;
            write_long(symbol as i64, out);
        }
        (Type::Array { items, .. }, Json::Array(values)) => {
            if !values.is_empty() {
                write_long(values.len() as i64, out);
                values.iter().try_for_each(|value| default_bytes(schema, *items, value, out))?;
            }
            out.push(0);
        }
        (Type::Map { values }, Json::Object(entries)) => {
            if !entries.is_empty() {
                write_long(entries.len() as i64, out);
                for (key, value) in entries {
                    write_bytes(key.as_bytes(), out);
                    default_bytes(schema, *values, value, out)?;
                }
            }
            out.push(0);
        }
        (Type::Union(branches), json) => {
            let fits = |branch: &&TypeId| (*schema.get(**branch) == Type::Null) == json.is_null();
            let branch = branches.iter().find(fits).ok_or_else(wrong)?;
            let place = branches.iter().position(|other| other == branch).unwrap_or(0);
            write_long(place as i64, out);
            default_bytes(schema, *branch, json, out)?;
        }
        (Type::Record { fields, .. }, Json::Object(values)) => {
            for field in fields {
                let value = values.get(&field.name).or(field.default.as_ref()).ok_or_else(wrong)?;
                default_bytes(schema, field.data_type, value, out)?;
            }
        }
        _ => return Err(wrong()),
    }
    Ok(())
}

#[inline]
fn write_long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[inline]
fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_long(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}

impl Serializer for AvroSerializer {
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
            let Some((writing, plan)) = &self.plan else { continue };
            frame(writing.id, &mut out.buffer);
            match plan {
                Write::Record(fields) if !self.bare => record(fields, |source| &cells[source], row, &mut out.buffer)?,
                plan => value(plan, &cells[0], row, &mut out.buffer).map_err(|problem| FormatError::Value {
                    format: AVRO,
                    column: self.fields[0].name().clone(),
                    problem,
                })?,
            }
            out.end_row();
        }
        out.finish(AVRO)
    }
}

fn record<'c, 'a: 'c>(
    fields: &[FieldWrite],
    cells: impl Fn(usize) -> &'c Cells<'a>,
    row: usize,
    out: &mut Vec<u8>,
) -> Result<(), FormatError> {
    for field in fields {
        let failed = |problem: String| FormatError::Value { format: AVRO, column: field.name.clone(), problem };
        match (field.source, &field.write) {
            (Some(source), Some(write)) => {
                let cells = cells(source);
                match (&field.default, write) {
                    (Some(default), write) if cells.is_null(row) && !matches!(write, Write::Optional { .. }) => {
                        out.extend_from_slice(default);
                    }
                    _ => value(write, cells, row, out).map_err(failed)?,
                }
            }
            _ => out.extend_from_slice(field.default.as_deref().unwrap_or_default()),
        }
    }
    Ok(())
}

fn value(write: &Write, cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
    if let Write::Optional { null, value: branch, inner } = write {
        if cells.is_null(row) {
            write_long(*null, out);
            return Ok(());
        }
        write_long(*branch, out);
        return value(inner, cells, row, out);
    }
    if cells.is_null(row) {
        return Err("it is null, and the schema has no null there".to_owned());
    }
    match (write, &cells.values) {
        (Write::Boolean, Values::Boolean(values)) => out.push(u8::from(values.value(row))),
        (Write::Int | Write::LongFromInt, Values::Int32(values)) => write_long(i64::from(values[row]), out),
        (Write::Long, Values::Int64(values)) => write_long(values[row], out),
        (Write::Micros, Values::Int64(values)) => write_long(values[row].saturating_mul(1000), out),
        (Write::Float, Values::Float64(values)) => out.extend_from_slice(&(values[row] as f32).to_le_bytes()),
        (Write::Float, Values::Float32(values)) => out.extend_from_slice(&values[row].to_le_bytes()),
        (Write::Double, Values::Float64(values)) => out.extend_from_slice(&values[row].to_le_bytes()),
        (Write::Double, Values::Float32(values)) => out.extend_from_slice(&f64::from(values[row]).to_le_bytes()),
        (Write::Bytes, Values::Binary(values)) => write_bytes(values.value(row), out),
        (Write::Fixed(size), Values::Binary(values)) => {
            let bytes = values.value(row);
            if bytes.len() != *size {
                return Err(format!("it has {} bytes, the schema {size}", bytes.len()));
            }
            out.extend_from_slice(bytes);
        }
        (Write::Text, Values::Utf8(values)) => write_bytes(values.value(row).as_bytes(), out),
        (Write::Enum(symbols), Values::Utf8(values)) => {
            let text = values.value(row);
            let symbol = symbols.iter().position(|symbol| symbol == text);
            write_long(symbol.ok_or_else(|| format!("{text:?} is none of the enum's symbols"))? as i64, out);
        }
        (Write::Decimal { size, scale, precision, from }, Values::Decimal(values, _)) => {
            let units = scalar::rescale(values[row], *from, *precision, *scale)
                .ok_or_else(|| format!("it does not fit a decimal of {precision} digits with scale {scale}"))?;
            decimal(units, *size, out)?;
        }
        (Write::List(inner), Values::List(offsets, items)) => {
            let rows = offsets[row] as usize..offsets[row + 1] as usize;
            blocks(rows, out, |item, out| value(inner, items, item, out))?;
        }
        (Write::Map(inner), Values::Map(offsets, parts)) => {
            let rows = offsets[row] as usize..offsets[row + 1] as usize;
            blocks(rows, out, |entry, out| {
                let Values::Utf8(keys) = &parts.0.values else { return Err("its keys are no texts".to_owned()) };
                write_bytes(keys.value(entry).as_bytes(), out);
                value(inner, &parts.1, entry, out)
            })?;
        }
        (Write::Entries(fields), Values::Map(offsets, parts)) => {
            let rows = offsets[row] as usize..offsets[row + 1] as usize;
            blocks(rows, out, |entry, out| {
                fields.iter().try_for_each(|field| match field {
                    EntryPart::Key(write) => value(write, &parts.0, entry, out),
                    EntryPart::Value(write) => value(write, &parts.1, entry, out),
                })
            })?;
        }
        (Write::Record(fields), Values::Struct(parts)) => {
            record(fields, |source| &parts[source].1, row, out).map_err(|error| error.to_string())?;
        }
        (write, _) => return Err(format!("the column is not one for {write:?}")),
    }
    Ok(())
}

fn blocks(
    rows: std::ops::Range<usize>,
    out: &mut Vec<u8>,
    mut each: impl FnMut(usize, &mut Vec<u8>) -> Result<(), String>,
) -> Result<(), String> {
    if !rows.is_empty() {
        write_long(rows.len() as i64, out);
        for row in rows {
            each(row, out)?;
        }
    }
    out.push(0);
    Ok(())
}

fn decimal(units: i128, size: Option<usize>, out: &mut Vec<u8>) -> Result<(), String> {
    let (bytes, from) = scalar::decimal_to_bytes(units);
    let Some(size) = size else {
        write_bytes(&bytes[from..], out);
        return Ok(());
    };
    let fill = size.checked_sub(16 - from).ok_or_else(|| format!("it does not fit {size} bytes"))?;
    out.resize(out.len() + fill, if units < 0 { 0xff } else { 0 });
    out.extend_from_slice(&bytes[from..]);
    Ok(())
}
