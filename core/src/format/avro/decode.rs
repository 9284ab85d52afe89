//! Avro to columns: each record is walked once along the plan of its writer's schema, straight into the columns.

use arrow::{
    array::{Array, BinaryArray},
    datatypes::FieldRef,
};

use super::{
    cursor::Cursor,
    plan::{self, Entry, Plan, RecordPlan, Step},
    schema::{AvroSchema, Type},
};
use crate::format::{
    Decoded, Deserializer,
    builder::{ColumnBuilder, RowBuilder},
    error::{FormatError, project},
    json::scalar,
    registry::{self, SchemaId, SchemaType, SharedRegistry, unframe},
};

/// The name of the format in errors.
pub(super) const AVRO: &str = "AVRO";

/// Reads Avro records.
pub(in crate::format) struct AvroDeserializer {
    registry: SharedRegistry,
    bare: bool,
    /// The columns that are read.
    fields: Vec<FieldRef>,
    rows: RowBuilder,
    /// By the writer's schema. Failures to reach the registry are not kept.
    writers: Vec<(SchemaId, Result<Writer, String>)>,
    /// Which of them wrote the last record.
    last: usize,
    /// Why the registry did not say what the last record's schema is.
    failure: Option<FormatError>,
}

/// A writer's schema and what to do with its records.
struct Writer {
    schema: AvroSchema,
    shape: Shape,
}

enum Shape {
    /// A record of the columns.
    Record(RecordPlan),
    /// The value of the only column.
    Bare(Plan),
}

impl AvroDeserializer {
    /// A reader of records of `fields`; of bare values of the only field, if `bare`.
    ///
    /// # Errors
    /// [`FormatError`] if a column that is read has a type that SQL does not have.
    pub(in crate::format) fn new(
        registry: SharedRegistry,
        bare: bool,
        fields: &[FieldRef],
        projection: &[usize],
    ) -> Result<Self, FormatError> {
        let fields = project(fields, projection)?;
        let rows = RowBuilder::new(&fields, AVRO)?;
        Ok(Self { registry, bare, fields, rows, writers: Vec::new(), last: 0, failure: None })
    }

    fn plan(&self, id: SchemaId) -> Result<Result<Writer, String>, registry::RegistryError> {
        let schema = match self.registry.schema(id) {
            Ok(schema) => schema,
            Err(error) if error.is_retryable() => return Err(error),
            Err(error) => return Ok(Err(error.to_string())),
        };
        let used = match registry::references(self.registry.as_ref(), &schema) {
            Ok(used) => used,
            Err(error) if error.is_retryable() => return Err(error),
            Err(error) => return Ok(Err(error.to_string())),
        };
        if schema.schema_type != SchemaType::Avro {
            return Ok(Err(format!("schema {id} is {}, not AVRO", schema.schema_type)));
        }
        let parsed = AvroSchema::parse(&schema.text, used.iter().map(|(_, schema)| schema.text.as_str()));
        Ok(parsed.and_then(|schema| self.shape(schema)).map_err(|problem| format!("schema {id}: {problem}")))
    }

    fn shape(&self, schema: AvroSchema) -> Result<Writer, String> {
        let root = schema.root();
        let shape = if self.bare {
            match self.fields.first() {
                Some(field) => Shape::Bare(plan::value(&schema, root, field.data_type(), field.name())?),
                None => Shape::Record(RecordPlan { steps: vec![Step::Skip(root)], missing: Vec::new() }),
            }
        } else {
            let (inner, _) = schema.non_null(root);
            let Type::Record { fields, .. } = schema.get(inner) else {
                return Err(format!("expected a record, found {}", schema.name_of(root)));
            };
            if inner != root {
                return Err("expected a record, found a union".to_owned());
            }
            let columns: Vec<(usize, &FieldRef)> = self.fields.iter().enumerate().collect();
            Shape::Record(plan::columns_of(&schema, fields, &columns, "")?)
        };
        Ok(Writer { schema, shape })
    }
}

impl Deserializer for AvroDeserializer {
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

impl AvroDeserializer {
    fn record(&mut self, bytes: &[u8]) -> Result<(), String> {
        let framed = unframe(bytes)?;
        if self.writers.get(self.last).is_none_or(|(id, _)| *id != framed.id) {
            self.last = match self.writers.iter().position(|(id, _)| *id == framed.id) {
                Some(known) => known,
                None => {
                    let writer = self.plan(framed.id).map_err(|error| {
                        let problem = error.to_string();
                        self.failure = Some(FormatError::Registry { problem: problem.clone() });
                        problem
                    })?;
                    self.writers.push((framed.id, writer));
                    self.writers.len() - 1
                }
            };
        }
        let writer = self.writers[self.last].1.as_ref().map_err(String::clone)?;
        let mut cursor = Cursor::new(framed.body);
        match &writer.shape {
            Shape::Record(record) => columns(record, &writer.schema, &mut cursor, &mut self.rows.columns)?,
            Shape::Bare(plan) => {
                for column in &mut self.rows.columns {
                    value(plan, &writer.schema, &mut cursor.clone(), column)?;
                }
                cursor.skip(&writer.schema, writer.schema.root())?;
            }
        }
        cursor.finish()
    }
}

fn columns(
    record: &RecordPlan,
    schema: &AvroSchema,
    cursor: &mut Cursor<'_>,
    columns: &mut [ColumnBuilder],
) -> Result<(), String> {
    for step in &record.steps {
        match step {
            Step::Skip(id) => cursor.skip(schema, *id)?,
            Step::Read(at, plan) => value(plan, schema, cursor, &mut columns[*at])?,
        }
    }
    record.missing.iter().for_each(|&at| columns[at].push_null());
    Ok(())
}

/// Appends the value at the cursor to a column, of the type that the plan was made for.
fn value(plan: &Plan, schema: &AvroSchema, cursor: &mut Cursor<'_>, column: &mut ColumnBuilder) -> Result<(), String> {
    match (plan, column) {
        (Plan::Null, column) => column.push_null(),
        (Plan::Union(branches), column) => {
            let branch = cursor.choice(branches.len())?;
            return value(&branches[branch], schema, cursor, column);
        }
        (Plan::Boolean, ColumnBuilder::Boolean(column)) => column.append_value(cursor.boolean()?),
        (Plan::Int(by), ColumnBuilder::Int32(column)) => column.append_value(int(cursor, *by)?),
        (Plan::Int(by), ColumnBuilder::Date(column)) => column.append_value(int(cursor, *by)?),
        (Plan::Int(by), ColumnBuilder::Time(column)) => column.append_value(int(cursor, *by)?),
        (Plan::Long(by), ColumnBuilder::Int64(column)) => column.append_value(cursor.long()?.div_euclid(*by)),
        (Plan::Long(by), ColumnBuilder::Timestamp(column)) => column.append_value(cursor.long()?.div_euclid(*by)),
        (Plan::Float, ColumnBuilder::Float32(column)) => column.append_value(cursor.float()?),
        (Plan::Float, ColumnBuilder::Float64(column)) => column.append_value(f64::from(cursor.float()?)),
        (Plan::Double, ColumnBuilder::Float64(column)) => column.append_value(cursor.double()?),
        (Plan::Text, ColumnBuilder::Utf8(column)) => column.append_value(cursor.text()?),
        (Plan::EnumText(symbols), ColumnBuilder::Utf8(column)) => {
            column.append_value(&symbols[cursor.choice(symbols.len())?]);
        }
        (Plan::NumberText, ColumnBuilder::Utf8(column)) => {
            column.append_value(itoa::Buffer::new().format(cursor.long()?));
        }
        (Plan::BooleanText, ColumnBuilder::Utf8(column)) => {
            column.append_value(if cursor.boolean()? { "true" } else { "false" });
        }
        (Plan::Bytes, ColumnBuilder::Binary(column)) => column.append_value(cursor.bytes()?),
        (Plan::Fixed(size), ColumnBuilder::Binary(column)) => column.append_value(cursor.take(*size)?),
        (Plan::Decimal { size, scale }, ColumnBuilder::Decimal(column, precision, wanted)) => {
            let at = cursor.at();
            let bytes = match size {
                Some(size) => cursor.take(*size)?,
                None => cursor.bytes()?,
            };
            let units = scalar::decimal_from_bytes(bytes, *scale, *precision, *wanted);
            column.append_value(
                units.ok_or_else(|| format!("a decimal at byte {at} does not fit DECIMAL({precision}, {wanted})"))?,
            );
        }
        (Plan::List(items), ColumnBuilder::List(list)) => {
            cursor.blocks(|cursor| value(items, schema, cursor, &mut list.items))?;
            list.append();
        }
        (Plan::Map(values), ColumnBuilder::Map(map)) => {
            cursor.blocks(|cursor| {
                map.keys.append_value(cursor.text()?);
                value(values, schema, cursor, &mut map.values)
            })?;
            map.append();
        }
        (Plan::Entries { fields }, ColumnBuilder::Map(map)) => {
            cursor.blocks(|cursor| {
                fields.iter().try_for_each(|field| match field {
                    Entry::Skip(id) => cursor.skip(schema, *id),
                    Entry::Value(plan) => value(plan, schema, cursor, &mut map.values),
                    Entry::Key(plan) => key(plan, cursor, &mut map.keys),
                })
            })?;
            map.append();
        }
        (Plan::Struct(record), ColumnBuilder::Struct(parts)) => {
            columns(record, schema, cursor, &mut parts.columns)?;
            parts.append();
        }
        (Plan::Branches { branches, columns }, ColumnBuilder::Struct(parts)) => {
            let branch = cursor.choice(branches.len())?;
            match &branches[branch] {
                None => parts.append_null(),
                Some((at, plan)) => {
                    for other in (0..*columns).filter(|other| other != at) {
                        parts.columns[other].push_null();
                    }
                    value(plan, schema, cursor, &mut parts.columns[*at])?;
                    parts.append();
                }
            }
        }
        (plan, _) => return Err(format!("a column was not made for {plan:?}")),
    }
    Ok(())
}

fn int(cursor: &mut Cursor<'_>, by: i64) -> Result<i32, String> {
    match by {
        1 => cursor.int(),
        by => {
            let value = cursor.long()?.div_euclid(by);
            i32::try_from(value).map_err(|_| format!("{value} is out of range, at byte {}", cursor.at()))
        }
    }
}

/// Appends a key of a map; keys are never null.
fn key(plan: &Plan, cursor: &mut Cursor<'_>, keys: &mut arrow::array::StringBuilder) -> Result<(), String> {
    match plan {
        Plan::Text => keys.append_value(cursor.text()?),
        Plan::NumberText => keys.append_value(itoa::Buffer::new().format(cursor.long()?)),
        Plan::BooleanText => keys.append_value(if cursor.boolean()? { "true" } else { "false" }),
        Plan::EnumText(symbols) => keys.append_value(&symbols[cursor.choice(symbols.len())?]),
        Plan::Union(branches) => {
            let branch = cursor.choice(branches.len())?;
            return key(&branches[branch], cursor, keys);
        }
        Plan::Null => return Err(format!("a map has a null key, at byte {}", cursor.at())),
        other => return Err(format!("a key of a map cannot be {other:?}")),
    }
    Ok(())
}
