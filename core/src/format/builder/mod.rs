//! A column under construction from typed values, for formats that know their types: Avro and Protobuf.
//!
//! Invariant: a decoder appends exactly one row a record to each column. If it fails in the middle of a record, the columns are
//! uneven until [`ColumnBuilder::settle`] has closed what was begun; the row is then to be nulled by the caller. JSON, which
//! has to coerce, has columns of its own (`json/column.rs`).

mod nested;
mod rows;

use std::sync::Arc;

use arrow::{
    array::{ArrayBuilder, ArrayRef, BinaryBuilder, BooleanBuilder, PrimitiveBuilder, StringBuilder},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, Time32MillisecondType,
        TimeUnit, TimestampMillisecondType,
    },
};

pub(super) use nested::{ListBuilder, MapBuilder, StructBuilder};
pub(super) use rows::RowBuilder;

use super::error::{FormatError, type_name};

/// A column under construction.
#[derive(Debug)]
pub(super) enum ColumnBuilder {
    /// BOOLEAN.
    Boolean(BooleanBuilder),
    /// INTEGER.
    Int32(PrimitiveBuilder<Int32Type>),
    /// BIGINT.
    Int64(PrimitiveBuilder<Int64Type>),
    /// 32-bit floats, of typed streams.
    Float32(PrimitiveBuilder<Float32Type>),
    /// DOUBLE.
    Float64(PrimitiveBuilder<Float64Type>),
    /// DECIMAL, with its precision and scale.
    Decimal(PrimitiveBuilder<Decimal128Type>, u8, i8),
    /// STRING.
    Utf8(StringBuilder),
    /// BYTES.
    Binary(BinaryBuilder),
    /// DATE, in days.
    Date(PrimitiveBuilder<Date32Type>),
    /// TIME, in ms since midnight.
    Time(PrimitiveBuilder<Time32MillisecondType>),
    /// TIMESTAMP, in ms since the epoch.
    Timestamp(PrimitiveBuilder<TimestampMillisecondType>),
    /// ARRAY.
    List(Box<ListBuilder>),
    /// MAP with text keys.
    Map(Box<MapBuilder>),
    /// STRUCT.
    Struct(Box<StructBuilder>),
}

/// Runs the same code for whichever builder there is.
macro_rules! each {
    ($column:expr, $builder:ident => $one:expr) => {
        match $column {
            ColumnBuilder::Boolean($builder) => $one,
            ColumnBuilder::Int32($builder) => $one,
            ColumnBuilder::Int64($builder) => $one,
            ColumnBuilder::Float32($builder) => $one,
            ColumnBuilder::Float64($builder) => $one,
            ColumnBuilder::Decimal($builder, ..) => $one,
            ColumnBuilder::Utf8($builder) => $one,
            ColumnBuilder::Binary($builder) => $one,
            ColumnBuilder::Date($builder) => $one,
            ColumnBuilder::Time($builder) => $one,
            ColumnBuilder::Timestamp($builder) => $one,
            ColumnBuilder::List($builder) => $one,
            ColumnBuilder::Map($builder) => $one,
            ColumnBuilder::Struct($builder) => $one,
        }
    };
}

impl ColumnBuilder {
    /// An empty column of a type; `path` and `format` name it in errors.
    ///
    /// # Errors
    /// [`FormatError::UnsupportedType`] for types that SQL does not have.
    pub(super) fn new(data_type: &DataType, path: &str, format: &'static str) -> Result<Self, FormatError> {
        Ok(match data_type {
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::Int32 => Self::Int32(PrimitiveBuilder::new()),
            DataType::Int64 => Self::Int64(PrimitiveBuilder::new()),
            DataType::Float32 => Self::Float32(PrimitiveBuilder::new()),
            DataType::Float64 => Self::Float64(PrimitiveBuilder::new()),
            &DataType::Decimal128(precision, scale) => {
                Self::Decimal(PrimitiveBuilder::new().with_data_type(data_type.clone()), precision, scale)
            }
            DataType::Utf8 => Self::Utf8(StringBuilder::new()),
            DataType::Binary => Self::Binary(BinaryBuilder::new()),
            DataType::Date32 => Self::Date(PrimitiveBuilder::new()),
            DataType::Time32(TimeUnit::Millisecond) => Self::Time(PrimitiveBuilder::new()),
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                Self::Timestamp(PrimitiveBuilder::new().with_data_type(data_type.clone()))
            }
            DataType::List(item) => Self::List(Box::new(ListBuilder::new(item, path, format)?)),
            DataType::Struct(fields) => Self::Struct(Box::new(StructBuilder::new(fields, path, format)?)),
            DataType::Map(entries, sorted) => match MapBuilder::new(entries, *sorted, path, format)? {
                Some(map) => Self::Map(Box::new(map)),
                None => return Err(unsupported(data_type, path, format)),
            },
            other => return Err(unsupported(other, path, format)),
        })
    }

    /// How many rows it has.
    pub(super) fn len(&self) -> usize {
        each!(self, builder => builder.len())
    }

    /// Adds a null.
    pub(super) fn push_null(&mut self) {
        each!(self, builder => builder.append_null());
    }

    /// Closes what a failed record has left open inside the column. The column has as many rows as before or one more.
    pub(super) fn settle(&mut self) {
        match self {
            Self::List(list) => list.settle(),
            Self::Map(map) => map.settle(),
            Self::Struct(parts) => parts.settle(),
            _ => {}
        }
    }

    /// The rows as an array; the column is empty afterwards.
    pub(super) fn finish(&mut self) -> ArrayRef {
        each!(self, builder => Arc::new(builder.finish()))
    }
}

fn unsupported(data_type: &DataType, path: &str, format: &'static str) -> FormatError {
    FormatError::UnsupportedType { format, column: path.to_owned(), data_type: type_name(data_type) }
}
