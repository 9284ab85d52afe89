//! How records of one writer's schema fill the columns of a reader.
//!
//! Made once a schema, walked once a record. A column takes what Kafka Connect's type of the writer's field converts to without loss, as
//! in ksqlDB: INTEGER from int, BIGINT from int and long, DOUBLE from float and double, STRING from string, enum, whole numbers and
//! boolean, and so on; anything else makes the whole schema unreadable for these columns, and every record of it an error. Fields and
//! columns are matched by their exact names or else without regard to case. A column without a field is null.

use arrow::datatypes::{DataType, FieldRef, Fields, TimeUnit};

use super::schema::{AvroSchema, Logical, RecordField, Type, TypeId};

/// What to do with a value of the writer.
#[derive(Debug)]
pub(super) enum Plan {
    /// A null for whatever column.
    Null,
    Boolean,
    /// int or long for a 32-bit column: INTEGER, DATE, TIME; divided first.
    Int(i64),
    /// int or long for a 64-bit column: BIGINT, TIMESTAMP; divided first.
    Long(i64),
    Float,
    Double,
    Text,
    EnumText(Vec<String>),
    NumberText,
    BooleanText,
    Bytes,
    Fixed(usize),
    /// Bytes of this length (none: length first) of units with this scale.
    Decimal {
        size: Option<usize>,
        scale: i8,
    },
    List(Box<Plan>),
    Map(Box<Plan>),
    /// An array of records with the fields key and value.
    Entries {
        fields: Vec<Entry>,
    },
    Struct(RecordPlan),
    Union(Vec<Plan>),
    /// A union of several types as a struct with one field a branch.
    Branches {
        branches: Vec<Option<(usize, Plan)>>,
        columns: usize,
    },
}

/// A field of an entry of a map.
#[derive(Debug)]
pub(super) enum Entry {
    Key(Plan),
    Value(Plan),
    Skip(TypeId),
}

/// How a record fills columns.
#[derive(Debug)]
pub(super) struct RecordPlan {
    /// One a field, in the writer's order.
    pub(super) steps: Vec<Step>,
    /// Columns that no field fills.
    pub(super) missing: Vec<usize>,
}

/// What to do with a field.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing.
    Skip(TypeId),
    /// Fill this column.
    Read(usize, Plan),
}

/// Which writer's field a column takes: the exact name, else one that differs only in case, else an alias of a field.
pub(in crate::format) fn field_for<'n>(names: impl Iterator<Item = &'n str> + Clone, column: &str) -> Option<usize> {
    let exact = names.clone().position(|name| name == column);
    exact.or_else(|| {
        let upper = column.to_uppercase();
        names.clone().position(|name| name.to_uppercase() == upper)
    })
}

/// A plan for the value of a type and a column.
pub(super) fn value(schema: &AvroSchema, id: TypeId, column: &DataType, path: &str) -> Result<Plan, String> {
    let mismatch =
        || format!("field {path}: cannot read {} as {}", schema.name_of(id), crate::format::error::type_name(column));
    Ok(match (schema.get(id), column) {
        (Type::Union(branches), _) => return union(schema, id, branches, column, path),
        (Type::Null, _) => Plan::Null,
        (Type::Boolean, DataType::Boolean) => Plan::Boolean,
        (Type::Int(_), DataType::Int32) => Plan::Int(1),
        (Type::Int(_) | Type::Long(_), DataType::Int64) => Plan::Long(1),
        (Type::Int(Logical::Date | Logical::None), DataType::Date32) => Plan::Int(1),
        (Type::Int(Logical::TimeMillis | Logical::None), DataType::Time32(TimeUnit::Millisecond)) => Plan::Int(1),
        (Type::Long(Logical::TimeMicros), DataType::Time32(TimeUnit::Millisecond)) => Plan::Int(1000),
        (Type::Long(Logical::TimestampMillis | Logical::None), DataType::Timestamp(TimeUnit::Millisecond, _)) => {
            Plan::Long(1)
        }
        (Type::Long(Logical::TimestampMicros), DataType::Timestamp(TimeUnit::Millisecond, _)) => Plan::Long(1000),
        (Type::Float, DataType::Float64 | DataType::Float32) => Plan::Float,
        (Type::Double, DataType::Float64) => Plan::Double,
        (Type::String, DataType::Utf8) => Plan::Text,
        (Type::Enum { symbols, .. }, DataType::Utf8) => Plan::EnumText(symbols.clone()),
        (Type::Int(_) | Type::Long(_), DataType::Utf8) => Plan::NumberText,
        (Type::Boolean, DataType::Utf8) => Plan::BooleanText,
        (Type::Bytes(Logical::Decimal { scale, .. }), DataType::Decimal128(..)) => {
            Plan::Decimal { size: None, scale: *scale }
        }
        (Type::Fixed { size, logical: Logical::Decimal { scale, .. }, .. }, DataType::Decimal128(..)) => {
            Plan::Decimal { size: Some(*size), scale: *scale }
        }
        (Type::Bytes(_), DataType::Binary) => Plan::Bytes,
        (Type::Fixed { size, .. }, DataType::Binary) => Plan::Fixed(*size),
        (Type::Array { items, .. }, DataType::List(item)) => {
            Plan::List(Box::new(value(schema, *items, item.data_type(), &format!("{path}[]"))?))
        }
        (Type::Map { values }, DataType::Map(entries, _)) => {
            let (_, column) = map_parts(entries).ok_or_else(mismatch)?;
            Plan::Map(Box::new(value(schema, *values, column.data_type(), &format!("{path}{{}}"))?))
        }
        (Type::Array { items, .. }, DataType::Map(entries, _)) => {
            let (key, column) = map_parts(entries).ok_or_else(mismatch)?;
            let Type::Record { fields, .. } = schema.get(*items) else { return Err(mismatch()) };
            entry_fields(schema, fields, (key, column), path)?.ok_or_else(mismatch)?
        }
        (Type::Record { fields, .. }, DataType::Struct(columns)) => {
            Plan::Struct(record(schema, fields, columns, path)?)
        }
        _ => return Err(mismatch()),
    })
}

fn map_parts(entries: &FieldRef) -> Option<(&FieldRef, &FieldRef)> {
    match entries.data_type() {
        DataType::Struct(parts) if parts.len() == 2 => Some((&parts[0], &parts[1])),
        _ => None,
    }
}

fn entry_fields(
    schema: &AvroSchema,
    fields: &[RecordField],
    (key, column): (&FieldRef, &FieldRef),
    path: &str,
) -> Result<Option<Plan>, String> {
    let mut entries = Vec::with_capacity(fields.len());
    for field in fields {
        entries.push(match field.name.as_str() {
            "key" => Entry::Key(value(schema, field.data_type, key.data_type(), &format!("{path}{{key}}"))?),
            "value" => Entry::Value(value(schema, field.data_type, column.data_type(), &format!("{path}{{}}"))?),
            _ => Entry::Skip(field.data_type),
        });
    }
    let complete = entries.iter().any(|entry| matches!(entry, Entry::Key(_)))
        && entries.iter().any(|entry| matches!(entry, Entry::Value(_)));
    Ok(complete.then_some(Plan::Entries { fields: entries }))
}

fn union(schema: &AvroSchema, id: TypeId, branches: &[TypeId], column: &DataType, path: &str) -> Result<Plan, String> {
    let (inner, _) = schema.non_null(id);
    if inner != id {
        let plan = |branch: &TypeId| match schema.get(*branch) {
            Type::Null => Ok(Plan::Null),
            _ => value(schema, *branch, column, path),
        };
        return Ok(Plan::Union(branches.iter().map(plan).collect::<Result<_, _>>()?));
    }
    let DataType::Struct(columns) = column else {
        return Err(format!(
            "field {path}: cannot read the union {} as {}",
            schema.name_of(id),
            crate::format::error::type_name(column)
        ));
    };
    let branch = |branch: &TypeId| match schema.get(*branch) {
        Type::Null => Ok(None),
        _ => {
            let name = branch_name(schema, *branch);
            match field_for(columns.iter().map(|column| column.name().as_str()), &name) {
                Some(at) => {
                    value(schema, *branch, columns[at].data_type(), &format!("{path}.{name}")).map(|p| Some((at, p)))
                }
                None => Err(format!("field {path}: no field for the branch {name} of a union")),
            }
        }
    };
    let branches = branches.iter().map(branch).collect::<Result<_, _>>()?;
    Ok(Plan::Branches { branches, columns: columns.len() })
}

/// The name that Connect gives to the field of a branch.
pub(super) fn branch_name(schema: &AvroSchema, id: TypeId) -> String {
    let name = match schema.get(id) {
        Type::Int(_) => "int".to_owned(),
        Type::Long(_) => "long".to_owned(),
        Type::Bytes(_) => "bytes".to_owned(),
        _ => schema.name_of(id),
    };
    name.rsplit('.').next().unwrap_or_default().to_owned()
}

fn record(schema: &AvroSchema, fields: &[RecordField], columns: &Fields, path: &str) -> Result<RecordPlan, String> {
    let wanted: Vec<(usize, &FieldRef)> = columns.iter().enumerate().collect();
    let prefix = if path.is_empty() { String::new() } else { format!("{path}.") };
    columns_of(schema, fields, &wanted, &prefix)
}

/// A plan for a record whose fields fill the columns at these places.
pub(super) fn columns_of(
    schema: &AvroSchema,
    fields: &[RecordField],
    columns: &[(usize, &FieldRef)],
    prefix: &str,
) -> Result<RecordPlan, String> {
    let mut target: Vec<Option<(usize, &FieldRef)>> = vec![None; fields.len()];
    let mut missing = Vec::new();
    for &(at, column) in columns {
        let names = fields.iter().map(|field| field.name.as_str());
        match field_for(names, column.name()) {
            Some(field) if target[field].is_none() => target[field] = Some((at, column)),
            _ => missing.push(at),
        }
    }
    let step = |(field, target): (&RecordField, Option<(usize, &FieldRef)>)| match target {
        None => Ok(Step::Skip(field.data_type)),
        Some((at, column)) => {
            let path = format!("{prefix}{}", column.name());
            value(schema, field.data_type, column.data_type(), &path).map(|plan| Step::Read(at, plan))
        }
    };
    let steps = fields.iter().zip(target).map(step).collect::<Result<_, _>>()?;
    Ok(RecordPlan { steps, missing })
}
