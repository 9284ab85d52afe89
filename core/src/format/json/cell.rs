//! One column seen row by row: writes the value of a row as JSON, or as the plain text of DELIMITED.
//!
//! The type is looked at once a batch, when [`Cells`] are made from an array; a row costs one branch and no allocation.
//! Whole numbers, dates and times are numbers; DOUBLE and DECIMAL as in [`scalar`](super::scalar); BYTES is base64. In JSON, what is no
//! number as a DOUBLE is a text (`"NaN"`), as no JSON number can stand for it.

use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, GenericByteArray, StringViewArray},
    buffer::NullBuffer,
    datatypes::{
        BinaryType, DataType, Date32Type, Decimal128Type, FieldRef, Float32Type, Float64Type, Int8Type, Int16Type,
        Int32Type, Int64Type, LargeBinaryType, LargeUtf8Type, Time32MillisecondType, TimeUnit,
        TimestampMillisecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type, Utf8Type,
    },
};

use super::{base64, scalar, scan::find_special};
use crate::format::error::{FormatError, type_name};

/// A column's values, by row.
#[derive(Debug)]
pub(in crate::format) struct Cells<'a> {
    nulls: Option<&'a NullBuffer>,
    /// The values, typed; those of null rows mean nothing.
    pub(in crate::format) values: Values<'a>,
}

/// The values of a column, borrowed from its array: offsets of lists and maps are rows of what is inside.
#[derive(Debug)]
pub(in crate::format) enum Values<'a> {
    Boolean(&'a BooleanArray),
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    UInt8(&'a [u8]),
    UInt16(&'a [u16]),
    UInt32(&'a [u32]),
    UInt64(&'a [u64]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Decimal(&'a [i128], i8),
    Utf8(&'a GenericByteArray<Utf8Type>),
    LargeUtf8(&'a GenericByteArray<LargeUtf8Type>),
    Utf8View(&'a StringViewArray),
    Binary(&'a GenericByteArray<BinaryType>),
    LargeBinary(&'a GenericByteArray<LargeBinaryType>),
    List(&'a [i32], Box<Cells<'a>>),
    LargeList(&'a [i64], Box<Cells<'a>>),
    Map(&'a [i32], Box<(Cells<'a>, Cells<'a>)>),
    Struct(Vec<(Vec<u8>, Cells<'a>)>),
}

/// Refuses a type that has no JSON; `path` names it in the error.
///
/// # Errors
/// [`FormatError::UnsupportedType`].
pub(in crate::format) fn check_type(data_type: &DataType, path: &str, format: &'static str) -> Result<(), FormatError> {
    use DataType as T;
    match data_type {
        T::Boolean | T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 => Ok(()),
        T::Float32 | T::Float64 | T::Decimal128(..) | T::Utf8 | T::LargeUtf8 | T::Utf8View => Ok(()),
        T::Binary | T::LargeBinary | T::Date32 | T::Time32(TimeUnit::Millisecond) => Ok(()),
        T::Timestamp(TimeUnit::Millisecond, _) => Ok(()),
        T::List(item) | T::LargeList(item) => check_type(item.data_type(), &format!("{path}[]"), format),
        T::Struct(fields) => fields
            .iter()
            .try_for_each(|field| check_type(field.data_type(), &format!("{path}.{}", field.name()), format)),
        T::Map(entries, _) if matches!(map_parts(entries), Some((T::Utf8 | T::LargeUtf8 | T::Utf8View, _))) => {
            map_parts(entries).map_or(Ok(()), |(_, value)| check_type(value, &format!("{path}{{}}"), format))
        }
        _ => Err(FormatError::UnsupportedType { format, column: path.to_owned(), data_type: type_name(data_type) }),
    }
}

/// The types of a map's keys and values.
fn map_parts(entries: &FieldRef) -> Option<(&DataType, &DataType)> {
    match entries.data_type() {
        DataType::Struct(parts) if parts.len() == 2 => Some((parts[0].data_type(), parts[1].data_type())),
        _ => None,
    }
}

fn primitive<T: ArrowPrimitiveType>(array: &ArrayRef) -> &[T::Native] {
    array.as_primitive::<T>().values()
}

impl<'a> Cells<'a> {
    /// The values of an array of this type, which [`check_type`] has accepted. Structs are written with the names in `data_type`.
    pub(in crate::format) fn new(array: &'a ArrayRef, data_type: &DataType) -> Self {
        let values = match data_type {
            DataType::Boolean => Values::Boolean(array.as_boolean()),
            DataType::Int8 => Values::Int8(primitive::<Int8Type>(array)),
            DataType::Int16 => Values::Int16(primitive::<Int16Type>(array)),
            DataType::Int32 => Values::Int32(primitive::<Int32Type>(array)),
            DataType::Int64 => Values::Int64(primitive::<Int64Type>(array)),
            DataType::UInt8 => Values::UInt8(primitive::<UInt8Type>(array)),
            DataType::UInt16 => Values::UInt16(primitive::<UInt16Type>(array)),
            DataType::UInt32 => Values::UInt32(primitive::<UInt32Type>(array)),
            DataType::UInt64 => Values::UInt64(primitive::<UInt64Type>(array)),
            DataType::Float32 => Values::Float32(primitive::<Float32Type>(array)),
            DataType::Float64 => Values::Float64(primitive::<Float64Type>(array)),
            &DataType::Decimal128(_, scale) => Values::Decimal(primitive::<Decimal128Type>(array), scale),
            DataType::Date32 => Values::Int32(primitive::<Date32Type>(array)),
            DataType::Time32(TimeUnit::Millisecond) => Values::Int32(primitive::<Time32MillisecondType>(array)),
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                Values::Int64(primitive::<TimestampMillisecondType>(array))
            }
            DataType::Utf8 => Values::Utf8(array.as_bytes()),
            DataType::LargeUtf8 => Values::LargeUtf8(array.as_bytes()),
            DataType::Utf8View => Values::Utf8View(array.as_string_view()),
            DataType::Binary => Values::Binary(array.as_bytes()),
            DataType::LargeBinary => Values::LargeBinary(array.as_bytes()),
            DataType::List(item) => {
                let list = array.as_list::<i32>();
                Values::List(list.value_offsets(), Box::new(Self::new(list.values(), item.data_type())))
            }
            DataType::LargeList(item) => {
                let list = array.as_list::<i64>();
                Values::LargeList(list.value_offsets(), Box::new(Self::new(list.values(), item.data_type())))
            }
            DataType::Map(entries, _) => {
                let map = array.as_map();
                let (key, value) = map_parts(entries).expect("the type has been checked");
                let cells = (Self::new(map.keys(), key), Self::new(map.values(), value));
                Values::Map(map.value_offsets(), Box::new(cells))
            }
            DataType::Struct(fields) => {
                let part = |(index, (field, column)): (usize, (&FieldRef, &'a ArrayRef))| {
                    (field_prefix(field.name(), index == 0), Self::new(column, field.data_type()))
                };
                let columns = array.as_struct().columns();
                Values::Struct(fields.iter().zip(columns).enumerate().map(part).collect())
            }
            other => unreachable!("the type {other} has been checked"),
        };
        Self { nulls: array.nulls(), values }
    }

    /// Whether the row has no value.
    #[inline]
    pub(in crate::format) fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }

    /// Appends the row's value as JSON.
    #[inline]
    pub(in crate::format) fn write_json(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return;
        }
        match &self.values {
            Values::Utf8(texts) => write_text(texts.value(row), out),
            Values::LargeUtf8(texts) => write_text(texts.value(row), out),
            Values::Utf8View(texts) => write_text(texts.value(row), out),
            Values::Binary(_) | Values::LargeBinary(_) => self.write_quoted(row, out),
            Values::Float32(values) if !values[row].is_finite() => self.write_quoted(row, out),
            Values::Float64(values) if !values[row].is_finite() => self.write_quoted(row, out),
            Values::List(offsets, items) => {
                items.write_array(offsets[row] as usize..offsets[row + 1] as usize, out);
            }
            Values::LargeList(offsets, items) => {
                items.write_array(offsets[row] as usize..offsets[row + 1] as usize, out);
            }
            Values::Map(offsets, parts) => {
                let (keys, values) = parts.as_ref();
                out.push(b'{');
                for entry in offsets[row] as usize..offsets[row + 1] as usize {
                    if entry > offsets[row] as usize {
                        out.push(b',');
                    }
                    keys.write_json(entry, out);
                    out.push(b':');
                    values.write_json(entry, out);
                }
                out.push(b'}');
            }
            Values::Struct(parts) => {
                if parts.is_empty() {
                    out.push(b'{');
                }
                for (prefix, cells) in parts {
                    out.extend_from_slice(prefix);
                    cells.write_json(row, out);
                }
                out.push(b'}');
            }
            _ => self.write_plain(row, out),
        }
    }

    /// Appends a row's value as text without quotes or escapes; nothing for a null or a nested value.
    #[inline]
    pub(in crate::format) fn write_plain(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            return;
        }
        match &self.values {
            Values::Boolean(values) => out.extend_from_slice(if values.value(row) { b"true" } else { b"false" }),
            Values::Int8(values) => write_whole(values[row], out),
            Values::Int16(values) => write_whole(values[row], out),
            Values::Int32(values) => write_whole(values[row], out),
            Values::Int64(values) => write_whole(values[row], out),
            Values::UInt8(values) => write_whole(values[row], out),
            Values::UInt16(values) => write_whole(values[row], out),
            Values::UInt32(values) => write_whole(values[row], out),
            Values::UInt64(values) => write_whole(values[row], out),
            Values::Float32(values) => scalar::write_float(values[row], out),
            Values::Float64(values) => scalar::write_double(values[row], out),
            Values::Decimal(values, scale) => scalar::write_decimal(values[row], *scale, out),
            Values::Utf8(texts) => out.extend_from_slice(texts.value(row).as_bytes()),
            Values::LargeUtf8(texts) => out.extend_from_slice(texts.value(row).as_bytes()),
            Values::Utf8View(texts) => out.extend_from_slice(texts.value(row).as_bytes()),
            Values::Binary(bytes) => base64::encode(bytes.value(row), out),
            Values::LargeBinary(bytes) => base64::encode(bytes.value(row), out),
            Values::List(..) | Values::LargeList(..) | Values::Map(..) | Values::Struct(_) => {}
        }
    }

    fn write_quoted(&self, row: usize, out: &mut Vec<u8>) {
        out.push(b'"');
        self.write_plain(row, out);
        out.push(b'"');
    }

    fn write_array(&self, rows: std::ops::Range<usize>, out: &mut Vec<u8>) {
        out.push(b'[');
        for row in rows.clone() {
            if row > rows.start {
                out.push(b',');
            }
            self.write_json(row, out);
        }
        out.push(b']');
    }
}

/// What stands before a field's value in an object: `{"NAME":` or `,"NAME":`.
pub(in crate::format) fn field_prefix(name: &str, first: bool) -> Vec<u8> {
    let mut prefix = vec![if first { b'{' } else { b',' }];
    write_text(name, &mut prefix);
    prefix.push(b':');
    prefix
}

#[inline]
fn write_whole(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a text in quotes, with the escapes that JSON demands and no other.
#[inline]
fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut written = 0;
    loop {
        let special = find_special(bytes, written);
        out.extend_from_slice(&bytes[written..special]);
        let Some(&byte) = bytes.get(special) else { break };
        write_escape(byte, out);
        written = special + 1;
    }
    out.push(b'"');
}

#[cold]
fn write_escape(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        0x8 => b'b',
        0x9 => b't',
        0xA => b'n',
        0xC => b'f',
        0xD => b'r',
        b'"' | b'\\' => byte,
        _ => {
            let digit = |value: u8| b"0123456789ABCDEF"[usize::from(value)];
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}
