//! KAFKA: one column, as the serialisers of Kafka's own clients write it.
//!
//! | type | bytes |
//! |---|---|
//! | INTEGER, BIGINT, 16-bit integers | 4, 8, 2, big-endian two's complement |
//! | DOUBLE, 32-bit floats | 8, 4, big-endian IEEE 754 |
//! | BOOLEAN | 1: 0 or 1 |
//! | STRING | UTF-8 |
//! | BYTES | as they are |
//!
//! A null is null bytes.

use std::{str, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanBuilder, LargeStringBuilder,
        PrimitiveBuilder, StringBuilder,
    },
    buffer::NullBuffer,
    datatypes::{DataType, FieldRef, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type},
};

use super::{
    DecodeError, Decoded, Deserializer, Serializer,
    error::{FormatError, check_arrays, project, type_name},
    json::row_bytes::RowBytes,
};

const KAFKA: &str = "KAFKA";

/// Reads single values.
#[derive(Debug)]
pub(super) struct KafkaDeserializer {
    field: Option<FieldRef>,
    /// How often the column is wanted: usually once.
    copies: usize,
}

/// Writes single values.
#[derive(Debug)]
pub(super) struct KafkaSerializer {
    fields: Vec<FieldRef>,
}

/// Refuses more than one column, and types that Kafka's serialisers do not know.
fn check_fields(fields: &[FieldRef]) -> Result<(), FormatError> {
    match fields {
        [] => Ok(()),
        [field] => match field.data_type() {
            DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Float32 | DataType::Float64 => Ok(()),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::Boolean => Ok(()),
            other => Err(FormatError::UnsupportedType {
                format: KAFKA,
                column: field.name().clone(),
                data_type: type_name(other),
            }),
        },
        _ => Err(FormatError::TooManyColumns { format: KAFKA, limit: "one column", found: fields.len() }),
    }
}

impl KafkaDeserializer {
    /// A reader of the only field.
    ///
    /// # Errors
    /// [`FormatError`] if there is more than one, or it has another type than those above.
    pub(super) fn new(fields: &[FieldRef], projection: &[usize]) -> Result<Self, FormatError> {
        check_fields(fields)?;
        let wanted = project(fields, projection)?;
        Ok(Self { field: fields.first().cloned(), copies: wanted.len() })
    }
}

/// A number as so many big-endian bytes.
trait BigEndian: ArrowPrimitiveType {
    /// The number, if the length is right.
    fn read(bytes: &[u8]) -> Option<Self::Native>;
    /// Appends the number's bytes.
    fn write(value: Self::Native, out: &mut Vec<u8>);
}

macro_rules! big_endian {
    ($($array_type:ty),*) => {$(
        impl BigEndian for $array_type {
            fn read(bytes: &[u8]) -> Option<Self::Native> {
                bytes.try_into().ok().map(Self::Native::from_be_bytes)
            }

            fn write(value: Self::Native, out: &mut Vec<u8>) {
                out.extend_from_slice(&value.to_be_bytes());
            }
        }
    )*};
}

big_endian!(Int16Type, Int32Type, Int64Type, Float32Type, Float64Type);

/// Collects what cannot be decoded, row by row.
struct Rows<'a> {
    bytes: &'a BinaryArray,
    field: &'a FieldRef,
    errors: Vec<DecodeError>,
}

impl<'a> Rows<'a> {
    /// Calls `each` for every row with its value, or with none for a null or an error.
    fn for_each<V>(&mut self, expected: &str, read: impl Fn(&'a [u8]) -> Option<V>, mut each: impl FnMut(Option<V>)) {
        for row in 0..self.bytes.len() {
            if self.bytes.is_null(row) {
                each(None);
                continue;
            }
            let bytes = self.bytes.value(row);
            let value = read(bytes);
            if value.is_none() {
                let name = self.field.name();
                let type_name = type_name(self.field.data_type());
                let problem = format!("field {name}: expected {type_name} as {expected}, found {} bytes", bytes.len());
                self.errors.push(DecodeError { row, problem });
            }
            each(value);
        }
    }

    fn numbers<T: BigEndian>(&mut self) -> ArrayRef {
        let mut column = PrimitiveBuilder::<T>::with_capacity(self.bytes.len());
        let expected = format!("{} bytes", size_of::<T::Native>());
        self.for_each(&expected, T::read, |value| column.append_option(value));
        Arc::new(column.finish())
    }
}

impl Deserializer for KafkaDeserializer {
    fn decode(&mut self, bytes: &BinaryArray) -> Decoded {
        let Some(field) = &self.field else { return Decoded::new(Vec::new(), Vec::new()) };
        let mut rows = Rows { bytes, field, errors: Vec::new() };
        let text = |bytes| str::from_utf8(bytes).ok();
        let column: ArrayRef = match field.data_type() {
            DataType::Int16 => rows.numbers::<Int16Type>(),
            DataType::Int32 => rows.numbers::<Int32Type>(),
            DataType::Int64 => rows.numbers::<Int64Type>(),
            DataType::Float32 => rows.numbers::<Float32Type>(),
            DataType::Float64 => rows.numbers::<Float64Type>(),
            DataType::Boolean => {
                let mut column = BooleanBuilder::with_capacity(bytes.len());
                let boolean = |bytes: &[u8]| match bytes {
                    [0] => Some(false),
                    [1] => Some(true),
                    _ => None,
                };
                rows.for_each("one byte, 0 or 1", boolean, |value| column.append_option(value));
                Arc::new(column.finish())
            }
            DataType::Utf8 => {
                let mut column = StringBuilder::new();
                rows.for_each("UTF-8", text, |value| column.append_option(value));
                Arc::new(column.finish())
            }
            DataType::LargeUtf8 => {
                let mut column = LargeStringBuilder::new();
                rows.for_each("UTF-8", text, |value| column.append_option(value));
                Arc::new(column.finish())
            }
            DataType::Binary => Arc::new(bytes.clone()),
            other => unreachable!("the type {other} has been refused"),
        };
        Decoded::new(vec![column; self.copies], rows.errors)
    }
}

impl KafkaSerializer {
    /// A writer of the only field.
    ///
    /// # Errors
    /// [`FormatError`] if there is more than one, or it has another type than those above.
    pub(super) fn new(fields: &[FieldRef]) -> Result<Self, FormatError> {
        check_fields(fields)?;
        Ok(Self { fields: fields.to_vec() })
    }
}

/// Appends one row a value: `write` appends the value of a row that is neither null nor absent.
fn write_rows(column: &ArrayRef, present: Option<&NullBuffer>, write: impl Fn(usize, &mut Vec<u8>)) -> RowBytes {
    let mut out = RowBytes::with_capacity(column.len(), 8 * column.len());
    let valid = NullBuffer::union(column.nulls(), present);
    for row in 0..column.len() {
        if valid.as_ref().is_some_and(|valid| valid.is_null(row)) {
            out.end_null();
        } else {
            write(row, &mut out.buffer);
            out.end_row();
        }
    }
    out
}

fn write_numbers<T: BigEndian>(column: &ArrayRef, present: Option<&NullBuffer>) -> RowBytes {
    let values = column.as_primitive::<T>().values();
    write_rows(column, present, |row, out| T::write(values[row], out))
}

impl Serializer for KafkaSerializer {
    fn encode(
        &mut self,
        columns: &[ArrayRef],
        rows: usize,
        present: Option<&NullBuffer>,
    ) -> Result<BinaryArray, FormatError> {
        check_arrays(&self.fields, columns, rows)?;
        let Some(column) = columns.first() else { return Ok(BinaryArray::new_null(rows)) };
        let out = match column.data_type() {
            DataType::Int16 => write_numbers::<Int16Type>(column, present),
            DataType::Int32 => write_numbers::<Int32Type>(column, present),
            DataType::Int64 => write_numbers::<Int64Type>(column, present),
            DataType::Float32 => write_numbers::<Float32Type>(column, present),
            DataType::Float64 => write_numbers::<Float64Type>(column, present),
            DataType::Boolean => {
                let values = column.as_boolean();
                write_rows(column, present, |row, out| out.push(u8::from(values.value(row))))
            }
            DataType::Utf8 => {
                let values = column.as_string::<i32>();
                write_rows(column, present, |row, out| out.extend_from_slice(values.value(row).as_bytes()))
            }
            DataType::LargeUtf8 => {
                let values = column.as_string::<i64>();
                write_rows(column, present, |row, out| out.extend_from_slice(values.value(row).as_bytes()))
            }
            DataType::Binary => {
                let values = column.as_binary::<i32>();
                write_rows(column, present, |row, out| out.extend_from_slice(values.value(row)))
            }
            other => unreachable!("the type {other} has been refused"),
        };
        out.finish(KAFKA)
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{BooleanArray, Float64Array, Int32Array, Int64Array, StringArray},
        datatypes::Field,
    };

    use super::*;

    fn field(data_type: DataType) -> Vec<FieldRef> {
        vec![Arc::new(Field::new("K", data_type, true))]
    }

    #[track_caller]
    fn check(column: impl Array + 'static, bytes: &[Option<&[u8]>]) {
        let column: ArrayRef = Arc::new(column);
        let fields = field(column.data_type().clone());
        let mut serializer = KafkaSerializer::new(&fields).expect("a type of Kafka's");
        let encoded =
            serializer.encode(&[Arc::clone(&column)], column.len(), None).expect("the column it was made for");
        assert_eq!(encoded.iter().collect::<Vec<_>>(), bytes);
        let decoded = KafkaDeserializer::new(&fields, &[0]).expect("a type of Kafka's").decode(&encoded);
        assert_eq!(decoded.columns, [column]);
        assert_eq!(decoded.errors, []);
    }

    #[test]
    fn values_as_kafka_writes_them() {
        check(
            Int32Array::from(vec![Some(1), None, Some(-2)]),
            &[Some(&[0, 0, 0, 1]), None, Some(&[255, 255, 255, 254])],
        );
        check(Int64Array::from(vec![258]), &[Some(&[0, 0, 0, 0, 0, 0, 1, 2])]);
        check(Float64Array::from(vec![1.5]), &[Some(&[0x3F, 0xF8, 0, 0, 0, 0, 0, 0])]);
        check(BooleanArray::from(vec![true, false]), &[Some(&[1]), Some(&[0])]);
        check(StringArray::from(vec![Some("é"), Some(""), None]), &[Some("é".as_bytes()), Some(b""), None]);
        check(BinaryArray::from_vec(vec![b"\x00\xFF"]), &[Some(b"\x00\xFF")]);
    }

    #[test]
    fn wrong_bytes_are_errors_of_their_rows() {
        let check = |data_type, bytes: &[u8], expected: &str| {
            let mut deserializer = KafkaDeserializer::new(&field(data_type), &[0]).expect("a type of Kafka's");
            let decoded = deserializer.decode(&BinaryArray::from_opt_vec(vec![None, Some(bytes)]));
            assert_eq!(decoded.errors, [DecodeError { row: 1, problem: expected.to_owned() }]);
            assert_eq!(decoded.columns[0].null_count(), 2);
        };
        check(DataType::Int32, b"abc", "field K: expected INTEGER as 4 bytes, found 3 bytes");
        check(DataType::Float64, b"", "field K: expected DOUBLE as 8 bytes, found 0 bytes");
        check(DataType::Boolean, b"\x02", "field K: expected BOOLEAN as one byte, 0 or 1, found 1 bytes");
        check(DataType::Utf8, b"\xFF", "field K: expected STRING as UTF-8, found 1 bytes");
    }

    #[test]
    fn absent_rows_and_no_columns_are_null_bytes() {
        let column: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        let present = NullBuffer::from(vec![false, true]);
        let mut serializer = KafkaSerializer::new(&field(DataType::Int32)).expect("a type of Kafka's");
        let encoded = serializer.encode(&[column], 2, Some(&present)).expect("the column it was made for");
        assert!(encoded.is_null(0) && encoded.is_valid(1));
        let encoded = KafkaSerializer::new(&[]).expect("no columns").encode(&[], 2, None).expect("no columns");
        assert_eq!(encoded.null_count(), 2);
    }

    #[test]
    fn more_columns_and_other_types_are_refused() {
        let two = [field(DataType::Int32), field(DataType::Int32)].concat();
        let error = KafkaSerializer::new(&two).expect_err("two columns").to_string();
        assert_eq!(error, "the KAFKA format holds one column, but there are 2 columns; choose another format");
        let error =
            KafkaDeserializer::new(&field(DataType::Decimal128(4, 2)), &[0]).expect_err("a decimal").to_string();
        assert_eq!(error, "column `K`: the KAFKA format cannot hold DECIMAL(4, 2); choose another format or type");
    }
}
