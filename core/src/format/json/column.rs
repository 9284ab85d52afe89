//! One column under construction: takes JSON values, coerces them to its type, and builds an Arrow array.
//!
//! Coercion is ksqlDB's lenient one, with two differences: a whole number out of range is an error instead of wrapping
//! around, and the texts `true` and `false` are booleans.
//!
//! | type | takes |
//! |---|---|
//! | BOOLEAN | `true`, `false`, also as text in any case |
//! | INTEGER, BIGINT and the other whole numbers | numbers, whose fraction is dropped; texts that are whole numbers |
//! | DOUBLE | numbers; texts that are numbers, `NaN`, `Infinity` |
//! | DECIMAL | numbers and texts that fit without rounding |
//! | STRING | texts; numbers, booleans, arrays and objects as the JSON text that they are |
//! | BYTES | texts in base64 |
//! | DATE, TIME, TIMESTAMP | days since 1970, ms since midnight, ms since 1970; ISO 8601 texts |
//! | ARRAY, MAP, STRUCT | arrays, objects, objects |
//!
//! Invariant: every call of an `append` adds exactly one row, even if it returns an error; the row of an error is to be
//! nulled by the caller. A column or part whose field is not nullable gets a zero where it would have a null.

use arrow::{
    array::{
        ArrayRef, BinaryBuilder, BooleanBuilder, LargeBinaryBuilder, LargeStringBuilder, PrimitiveBuilder,
        StringBuilder, StringViewBuilder,
    },
    datatypes::{
        ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, FieldRef, Float32Type, Float64Type, Int8Type,
        Int16Type, Int32Type, Int64Type, Time32MillisecondType, TimeUnit, TimestampMillisecondType, UInt8Type,
        UInt16Type, UInt32Type, UInt64Type,
    },
};

use super::{
    base64,
    nested::{ListColumn, MapColumn, StructColumn},
    scalar,
    scan::{Token, unescape},
};
use crate::format::error::{FormatError, type_name};

/// How much of a wrong value an error shows, in bytes.
const SHOWN_BYTES: usize = 60;

/// A value that its column cannot take.
#[derive(Debug)]
pub(in crate::format) struct Mismatch {
    /// The way from the column to the value, such as `.CITY` or `[2]`.
    pub(in crate::format) path: String,
    /// What was expected and found.
    pub(in crate::format) problem: String,
    /// The address of the value's text (of a string, behind its quote), if it has one.
    pub(in crate::format) address: Option<usize>,
}

impl Mismatch {
    /// `token` where `expected` should be.
    #[cold]
    pub(in crate::format) fn new(expected: &DataType, token: &Token<'_>) -> Self {
        let shown = |raw: &str| {
            if raw.len() <= SHOWN_BYTES {
                raw.to_owned()
            } else {
                format!("{}..", &raw[..raw.floor_char_boundary(SHOWN_BYTES)])
            }
        };
        let (found, address) = match token {
            Token::Null => ("null".to_owned(), None),
            Token::Boolean(value) => (value.to_string(), None),
            Token::Text { raw, .. } => (format!("\"{}\"", shown(raw)), Some(raw.as_ptr() as usize)),
            Token::Number { raw, .. } | Token::Array(raw) | Token::Object(raw) => {
                (shown(raw), Some(raw.as_ptr() as usize))
            }
        };
        Self { path: String::new(), problem: format!("expected {}, found {found}", type_name(expected)), address }
    }
}

/// A column under construction.
#[derive(Debug)]
pub(in crate::format) struct Column {
    data_type: DataType,
    nullable: bool,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Boolean(BooleanBuilder),
    Int8(PrimitiveBuilder<Int8Type>),
    Int16(PrimitiveBuilder<Int16Type>),
    Int32(PrimitiveBuilder<Int32Type>),
    Int64(PrimitiveBuilder<Int64Type>),
    UInt8(PrimitiveBuilder<UInt8Type>),
    UInt16(PrimitiveBuilder<UInt16Type>),
    UInt32(PrimitiveBuilder<UInt32Type>),
    UInt64(PrimitiveBuilder<UInt64Type>),
    Float32(PrimitiveBuilder<Float32Type>),
    Float64(PrimitiveBuilder<Float64Type>),
    Decimal(PrimitiveBuilder<Decimal128Type>, u8, i8),
    Utf8(StringBuilder),
    LargeUtf8(LargeStringBuilder),
    Utf8View(StringViewBuilder),
    Binary(BinaryBuilder),
    LargeBinary(LargeBinaryBuilder),
    Date(PrimitiveBuilder<Date32Type>),
    Time(PrimitiveBuilder<Time32MillisecondType>),
    Timestamp(PrimitiveBuilder<TimestampMillisecondType>),
    List(Box<ListColumn>),
    Map(Box<MapColumn>),
    Struct(Box<StructColumn>),
}

/// Runs the same code for whichever builder there is: `$one` for Arrow's own, `$nested` for ours.
macro_rules! each {
    ($values:expr, $builder:ident => $one:expr, $nested_builder:ident => $nested:expr) => {
        match $values {
            Values::Boolean($builder) => $one,
            Values::Int8($builder) => $one,
            Values::Int16($builder) => $one,
            Values::Int32($builder) => $one,
            Values::Int64($builder) => $one,
            Values::UInt8($builder) => $one,
            Values::UInt16($builder) => $one,
            Values::UInt32($builder) => $one,
            Values::UInt64($builder) => $one,
            Values::Float32($builder) => $one,
            Values::Float64($builder) => $one,
            Values::Decimal($builder, ..) => $one,
            Values::Utf8($builder) => $one,
            Values::LargeUtf8($builder) => $one,
            Values::Utf8View($builder) => $one,
            Values::Binary($builder) => $one,
            Values::LargeBinary($builder) => $one,
            Values::Date($builder) => $one,
            Values::Time($builder) => $one,
            Values::Timestamp($builder) => $one,
            Values::List($nested_builder) => $nested,
            Values::Map($nested_builder) => $nested,
            Values::Struct($nested_builder) => $nested,
        }
    };
}

impl Column {
    /// An empty column for `field`; `path` and `format` name it in errors. The field decides whether it takes nulls.
    ///
    /// # Errors
    /// [`FormatError::UnsupportedType`] if there is no JSON for its type.
    pub(in crate::format) fn new(field: &FieldRef, path: &str, format: &'static str) -> Result<Self, FormatError> {
        Self::with_nulls(field, field.is_nullable(), path, format)
    }

    /// As [`new`](Self::new), but taking nulls whatever the field says.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(in crate::format) fn nullable(field: &FieldRef, format: &'static str) -> Result<Self, FormatError> {
        Self::with_nulls(field, true, field.name(), format)
    }

    fn with_nulls(field: &FieldRef, nullable: bool, path: &str, format: &'static str) -> Result<Self, FormatError> {
        let data_type = field.data_type();
        let unsupported =
            || FormatError::UnsupportedType { format, column: path.to_owned(), data_type: type_name(data_type) };
        let values = match data_type {
            DataType::Boolean => Values::Boolean(BooleanBuilder::new()),
            DataType::Int8 => Values::Int8(PrimitiveBuilder::new()),
            DataType::Int16 => Values::Int16(PrimitiveBuilder::new()),
            DataType::Int32 => Values::Int32(PrimitiveBuilder::new()),
            DataType::Int64 => Values::Int64(PrimitiveBuilder::new()),
            DataType::UInt8 => Values::UInt8(PrimitiveBuilder::new()),
            DataType::UInt16 => Values::UInt16(PrimitiveBuilder::new()),
            DataType::UInt32 => Values::UInt32(PrimitiveBuilder::new()),
            DataType::UInt64 => Values::UInt64(PrimitiveBuilder::new()),
            DataType::Float32 => Values::Float32(PrimitiveBuilder::new()),
            DataType::Float64 => Values::Float64(PrimitiveBuilder::new()),
            &DataType::Decimal128(precision, scale) => {
                Values::Decimal(PrimitiveBuilder::new().with_data_type(data_type.clone()), precision, scale)
            }
            DataType::Utf8 => Values::Utf8(StringBuilder::new()),
            DataType::LargeUtf8 => Values::LargeUtf8(LargeStringBuilder::new()),
            DataType::Utf8View => Values::Utf8View(StringViewBuilder::new()),
            DataType::Binary => Values::Binary(BinaryBuilder::new()),
            DataType::LargeBinary => Values::LargeBinary(LargeBinaryBuilder::new()),
            DataType::Date32 => Values::Date(PrimitiveBuilder::new()),
            DataType::Time32(TimeUnit::Millisecond) => Values::Time(PrimitiveBuilder::new()),
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                Values::Timestamp(PrimitiveBuilder::new().with_data_type(data_type.clone()))
            }
            DataType::List(item) | DataType::LargeList(item) => {
                let large = matches!(data_type, DataType::LargeList(_));
                Values::List(Box::new(ListColumn::new(item, large, path, format)?))
            }
            DataType::Map(entries, sorted) => {
                Values::Map(Box::new(MapColumn::new(entries, *sorted, path, format)?.ok_or_else(unsupported)?))
            }
            DataType::Struct(fields) => Values::Struct(Box::new(StructColumn::new(fields, path, format)?)),
            _ => return Err(unsupported()),
        };
        Ok(Self { data_type: data_type.clone(), nullable, values })
    }

    /// Adds a null, or a zero if the column takes no nulls.
    pub(in crate::format) fn append_null(&mut self) {
        if self.nullable {
            each!(&mut self.values, builder => builder.append_null(), nested => nested.append_absent(false));
            return;
        }
        match &mut self.values {
            Values::Boolean(builder) => builder.append_value(false),
            Values::Utf8(builder) => builder.append_value(""),
            Values::LargeUtf8(builder) => builder.append_value(""),
            Values::Utf8View(builder) => builder.append_value(""),
            Values::Binary(builder) => builder.append_value(b""),
            Values::LargeBinary(builder) => builder.append_value(b""),
            Values::Int8(builder) => builder.append_value(0),
            Values::Int16(builder) => builder.append_value(0),
            Values::Int32(builder) => builder.append_value(0),
            Values::Int64(builder) => builder.append_value(0),
            Values::UInt8(builder) => builder.append_value(0),
            Values::UInt16(builder) => builder.append_value(0),
            Values::UInt32(builder) => builder.append_value(0),
            Values::UInt64(builder) => builder.append_value(0),
            Values::Float32(builder) => builder.append_value(0.0),
            Values::Float64(builder) => builder.append_value(0.0),
            Values::Decimal(builder, ..) => builder.append_value(0),
            Values::Date(builder) => builder.append_value(0),
            Values::Time(builder) => builder.append_value(0),
            Values::Timestamp(builder) => builder.append_value(0),
            Values::List(list) => list.append_absent(true),
            Values::Map(map) => map.append_absent(true),
            Values::Struct(parts) => parts.append_absent(true),
        }
    }

    /// Adds a value. `scratch` is room for texts with escapes.
    ///
    /// # Errors
    /// [`Mismatch`] if the column cannot take the value; a null stands in its place.
    #[inline]
    pub(in crate::format) fn append(&mut self, token: &Token<'_>, scratch: &mut String) -> Result<(), Mismatch> {
        if matches!(token, Token::Null) {
            self.append_null();
            return if self.nullable { Ok(()) } else { Err(Mismatch::new(&self.data_type, token)) };
        }
        let done = match &mut self.values {
            Values::Int64(builder) => append_number(builder, whole(token)),
            Values::Int32(builder) => append_number(builder, whole(token)),
            Values::Timestamp(builder) => append_number(builder, moment(token, scalar::parse_timestamp)),
            Values::Utf8(builder) => text(token, scratch).map(|text| builder.append_value(text)),
            Values::Float64(builder) => append_number(builder, double(token)),
            Values::Decimal(builder, precision, scale) => append_number(builder, decimal(token, *precision, *scale)),
            Values::Boolean(builder) => boolean(token).map(|value| builder.append_value(value)),
            Values::LargeUtf8(builder) => text(token, scratch).map(|text| builder.append_value(text)),
            Values::Utf8View(builder) => text(token, scratch).map(|text| builder.append_value(text)),
            Values::Int8(builder) => append_number(builder, whole(token)),
            Values::Int16(builder) => append_number(builder, whole(token)),
            Values::UInt8(builder) => append_number(builder, whole(token)),
            Values::UInt16(builder) => append_number(builder, whole(token)),
            Values::UInt32(builder) => append_number(builder, whole(token)),
            Values::UInt64(builder) => append_number(builder, whole(token)),
            Values::Float32(builder) => append_number(builder, float(token)),
            Values::Binary(builder) => bytes(token, scratch).map(|bytes| builder.append_value(bytes)),
            Values::LargeBinary(builder) => bytes(token, scratch).map(|bytes| builder.append_value(bytes)),
            Values::Date(builder) => {
                append_number(builder, moment(token, scalar::parse_date).and_then(|days| i32::try_from(days).ok()))
            }
            Values::Time(builder) => {
                let ms = moment(token, scalar::parse_time).filter(|&ms| scalar::is_time_of_day(ms));
                append_number(builder, ms.and_then(|ms| i32::try_from(ms).ok()))
            }
            Values::List(list) => return list.append(token, &self.data_type, scratch),
            Values::Map(map) => return map.append(token, &self.data_type, scratch),
            Values::Struct(parts) => return parts.append(token, &self.data_type, scratch),
        };
        if done.is_none() {
            self.append_null();
            return Err(Mismatch::new(&self.data_type, token));
        }
        Ok(())
    }

    /// The array of all rows since the last one.
    pub(in crate::format) fn finish(&mut self) -> ArrayRef {
        each!(&mut self.values, builder => std::sync::Arc::new(builder.finish()), nested => nested.finish())
    }
}

#[inline]
fn append_number<T: ArrowPrimitiveType>(builder: &mut PrimitiveBuilder<T>, value: Option<T::Native>) -> Option<()> {
    value.map(|value| builder.append_value(value))
}

#[inline]
fn whole<T: TryFrom<i64> + TryFrom<i128> + std::str::FromStr>(token: &Token<'_>) -> Option<T> {
    match token {
        Token::Number { integer: Some(value), .. } => T::try_from(*value).ok(),
        Token::Number { raw, .. } => scalar::truncate(raw).and_then(|value| T::try_from(value).ok()),
        Token::Text { raw, escaped: false } => raw.parse().ok(),
        _ => None,
    }
}

#[inline]
fn double(token: &Token<'_>) -> Option<f64> {
    match token {
        Token::Number { integer: Some(value), .. } => Some(*value as f64),
        Token::Number { raw, .. } => raw.parse().ok(),
        Token::Text { raw, escaped: false } => scalar::parse_double(raw),
        _ => None,
    }
}

fn float(token: &Token<'_>) -> Option<f32> {
    match token {
        // Not by way of 64 bits, which would round twice.
        Token::Number { raw, .. } => raw.parse().ok(),
        _ => double(token).map(|value| value as f32),
    }
}

fn decimal(token: &Token<'_>, precision: u8, scale: i8) -> Option<i128> {
    match token {
        Token::Number { raw, .. } | Token::Text { raw, escaped: false } => scalar::parse_decimal(raw, precision, scale),
        _ => None,
    }
}

fn boolean(token: &Token<'_>) -> Option<bool> {
    match token {
        Token::Boolean(value) => Some(*value),
        Token::Text { raw, .. } if raw.eq_ignore_ascii_case("true") => Some(true),
        Token::Text { raw, .. } if raw.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// A number of days or milliseconds, or what `parse` makes of a text.
#[inline]
fn moment(token: &Token<'_>, parse: impl FnOnce(&str) -> Option<i64>) -> Option<i64> {
    match token {
        Token::Text { raw, escaped: false } => whole(token).or_else(|| parse(raw)),
        _ => whole(token),
    }
}

#[inline]
fn text<'t>(token: &Token<'t>, scratch: &'t mut String) -> Option<&'t str> {
    match token {
        Token::Text { raw, escaped: false } | Token::Number { raw, .. } | Token::Array(raw) | Token::Object(raw) => {
            Some(raw)
        }
        Token::Text { raw, escaped: true } => {
            scratch.clear();
            unescape(raw, scratch);
            Some(scratch)
        }
        Token::Boolean(value) => Some(if *value { "true" } else { "false" }),
        Token::Null => None,
    }
}

fn bytes(token: &Token<'_>, scratch: &mut String) -> Option<Vec<u8>> {
    match token {
        Token::Text { .. } => base64::decode(text(token, scratch)?),
        _ => None,
    }
}
