//! ROW: Millstream's own encoding for topics that nobody else reads.
//!
//! One byte for the version, then the columns as Arrow's row format writes them, ascending with nulls first. It is exact for
//! every type, and equal rows have equal bytes. Stored data depends on it: a test pins its bytes, and a change of them needs
//! a new version beside the old one.
//!
//! Arrow trusts the bytes it decodes and panics on foreign ones, so that every row is walked first, by the rules of the
//! encoding:
//!
//! ```text
//! number, boolean    0 (null) or 1, then the value's bytes, null or not
//! text, bytes        0 (null) | 1 (empty) | 2, then blocks: 4 of 8 bytes, then of 32; each is followed by FF if another
//!                    comes, or by the number of bytes that count
//! struct             0 (null) or 1, then the parts, null or not
//! array, map         0 (null) | 1 (empty) | each element's encoding wrapped like bytes, then 1
//! ```

use arrow::{
    array::{Array, ArrayRef, BinaryArray, BooleanArray},
    buffer::{BooleanBuffer, NullBuffer},
    compute::nullif,
    datatypes::{DataType, FieldRef},
    error::ArrowError,
    row::{RowConverter, SortField},
};

use super::{
    DecodeError, Decoded, Deserializer, Serializer,
    error::{FormatError, check_arrays, project, type_name},
    json::row_bytes::RowBytes,
};

const ROW: &str = "ROW";
/// The version of the encoding.
const VERSION: u8 = 1;

/// Reads rows.
#[derive(Debug)]
pub(super) struct RowDeserializer {
    fields: Vec<FieldRef>,
    projection: Vec<usize>,
    converter: RowConverter,
    /// A row of nulls, which stands in for null bytes and for rows that cannot be decoded.
    nulls: Vec<u8>,
}

/// Writes rows.
#[derive(Debug)]
pub(super) struct RowSerializer {
    fields: Vec<FieldRef>,
    converter: RowConverter,
}

fn refused(error: ArrowError) -> FormatError {
    FormatError::RowEncoding { message: error.to_string() }
}

fn converter(fields: &[FieldRef]) -> Result<RowConverter, FormatError> {
    for field in fields {
        check_type(field.data_type(), field.name())?;
    }
    RowConverter::new(fields.iter().map(|field| SortField::new(field.data_type().clone())).collect()).map_err(refused)
}

/// Refuses types whose encoding [`walk`] does not know.
fn check_type(data_type: &DataType, path: &str) -> Result<(), FormatError> {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) => check_type(item.data_type(), &format!("{path}[]")),
        DataType::Map(entries, _) => check_type(entries.data_type(), &format!("{path}{{}}")),
        DataType::Struct(parts) => {
            parts.iter().try_for_each(|part| check_type(part.data_type(), &format!("{path}.{}", part.name())))
        }
        _ if width(data_type).is_some() || is_variable(data_type) => Ok(()),
        _ => {
            Err(FormatError::UnsupportedType { format: ROW, column: path.to_owned(), data_type: type_name(data_type) })
        }
    }
}

/// The number of bytes of a value of fixed size.
fn width(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::Boolean => Some(1),
        other => other.primitive_width(),
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_variable(data_type: &DataType) -> bool {
    is_text(data_type) || matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

/// What follows a value of this type; none if there is no such value at the start of `bytes`.
fn walk<'a>(data_type: &DataType, bytes: &'a [u8]) -> Option<&'a [u8]> {
    if let Some(width) = width(data_type) {
        let (value, rest) = bytes.split_at_checked(1 + width)?;
        let known = matches!(value[0], 0 | 1) && (*data_type != DataType::Boolean || matches!(value[1], 0 | 1));
        return known.then_some(rest);
    }
    match data_type {
        DataType::Struct(parts) => {
            let (sentinel, mut rest) = bytes.split_first()?;
            for part in parts {
                rest = walk(part.data_type(), rest)?;
            }
            matches!(sentinel, 0 | 1).then_some(rest)
        }
        DataType::List(item) | DataType::LargeList(item) => walk_elements(std::slice::from_ref(item), bytes),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(parts) => walk_elements(parts, bytes),
            _ => None,
        },
        _ => {
            let mut content = Vec::new();
            let rest = walk_blocks(bytes, is_text(data_type).then_some(&mut content))?;
            std::str::from_utf8(&content).ok().map(|_| rest)
        }
    }
}

/// What follows text or bytes; the content is appended to `content`, if that is given.
fn walk_blocks<'a>(bytes: &'a [u8], mut content: Option<&mut Vec<u8>>) -> Option<&'a [u8]> {
    let (sentinel, mut rest) = bytes.split_first()?;
    if *sentinel != 2 {
        return matches!(sentinel, 0 | 1).then_some(rest);
    }
    for block in 0.. {
        let size = if block < 4 { 8 } else { 32 };
        let (data, after) = rest.split_at_checked(size)?;
        let (&mark, after) = after.split_first()?;
        let used = if mark == 0xFF { size } else { usize::from(mark) };
        if used == 0 || used > size {
            return None;
        }
        if let Some(content) = &mut content {
            content.extend_from_slice(&data[..used]);
        }
        rest = after;
        if mark != 0xFF {
            break;
        }
    }
    Some(rest)
}

/// What follows a list whose elements are each a row of `parts`.
fn walk_elements<'a>(parts: &[FieldRef], bytes: &'a [u8]) -> Option<&'a [u8]> {
    let mut rest = bytes;
    let mut element = Vec::new();
    while rest.first() == Some(&2) {
        element.clear();
        rest = walk_blocks(rest, Some(&mut element))?;
        let end = parts.iter().try_fold(element.as_slice(), |rest, part| walk(part.data_type(), rest))?;
        if !end.is_empty() {
            return None;
        }
    }
    let (sentinel, after) = rest.split_first()?;
    // Null stands for the whole list, so that it cannot follow an element.
    (*sentinel == 1 || (*sentinel == 0 && rest.len() == bytes.len())).then_some(after)
}

impl RowDeserializer {
    /// A reader of rows of `fields`.
    ///
    /// # Errors
    /// [`FormatError`] if a column's type has no row encoding.
    pub(super) fn new(fields: &[FieldRef], projection: &[usize]) -> Result<Self, FormatError> {
        project(fields, projection)?;
        let nullable: Vec<FieldRef> =
            fields.iter().map(|field| field.as_ref().clone().with_nullable(true).into()).collect();
        let converter = converter(&nullable)?;
        let columns: Vec<ArrayRef> =
            nullable.iter().map(|field| arrow::array::new_null_array(field.data_type(), 1)).collect();
        let nulls = match columns.as_slice() {
            [] => Vec::new(),
            columns => converter.convert_columns(columns).map_err(refused)?.row(0).data().to_vec(),
        };
        Ok(Self { fields: nullable, projection: projection.to_vec(), converter, nulls })
    }

    /// The row's bytes behind the version, if Arrow can be trusted with them.
    fn check<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], String> {
        let (version, row) = bytes.split_first().ok_or("expected a row, found no bytes")?;
        if *version != VERSION {
            return Err(format!("expected a row of version {VERSION}, found version {version}"));
        }
        let mut rest = row;
        for field in &self.fields {
            rest = walk(field.data_type(), rest).ok_or_else(|| {
                let at = bytes.len() - rest.len();
                format!("field {}: expected {} at byte {at}", field.name(), type_name(field.data_type()))
            })?;
        }
        match rest.len() {
            0 => Ok(row),
            more => Err(format!("expected the end of the row at byte {}, found {more} more bytes", bytes.len() - more)),
        }
    }
}

impl Deserializer for RowDeserializer {
    fn decode(&mut self, bytes: &BinaryArray) -> Decoded {
        let mut errors = Vec::new();
        let mut missing = vec![false; bytes.len()];
        let parser = self.converter.parser();
        let mut rows = Vec::with_capacity(bytes.len());
        for (row, missing) in missing.iter_mut().enumerate() {
            let checked = if bytes.is_null(row) { Ok(self.nulls.as_slice()) } else { self.check(bytes.value(row)) };
            let checked = checked.unwrap_or_else(|problem| {
                errors.push(DecodeError { row, problem });
                &self.nulls
            });
            *missing = std::ptr::eq(checked, self.nulls.as_slice());
            rows.push(parser.parse(checked));
        }
        if self.fields.is_empty() {
            return Decoded::new(Vec::new(), errors);
        }
        match self.converter.convert_rows(rows) {
            Ok(columns) => {
                let missing = BooleanArray::new(BooleanBuffer::from(missing), None);
                let column = |&index: &usize| {
                    let column = nullif(&columns[index], &missing).expect("both have one value a row");
                    // Arrow rebuilds nested fields; the declared type is what the reader was promised.
                    arrow::compute::cast(&column, self.fields[index].data_type()).unwrap_or(column)
                };
                Decoded::new(self.projection.iter().map(column).collect(), errors)
            }
            Err(error) => self.all_failed(bytes.len(), &error),
        }
    }
}

impl RowDeserializer {
    /// Every row an error: the rows were walked, and Arrow refuses them nevertheless.
    #[cold]
    fn all_failed(&self, rows: usize, error: &ArrowError) -> Decoded {
        let null = |&index: &usize| arrow::array::new_null_array(self.fields[index].data_type(), rows);
        let failed = |row| DecodeError { row, problem: format!("the batch's rows cannot be decoded: {error}") };
        Decoded::new(self.projection.iter().map(null).collect(), (0..rows).map(failed).collect())
    }
}

impl RowSerializer {
    /// A writer of rows of `fields`.
    ///
    /// # Errors
    /// [`FormatError`] if a column's type has no row encoding.
    pub(super) fn new(fields: &[FieldRef]) -> Result<Self, FormatError> {
        Ok(Self { fields: fields.to_vec(), converter: converter(fields)? })
    }
}

impl Serializer for RowSerializer {
    fn encode(
        &mut self,
        columns: &[ArrayRef],
        rows: usize,
        present: Option<&NullBuffer>,
    ) -> Result<BinaryArray, FormatError> {
        check_arrays(&self.fields, columns, rows)?;
        let encoded = match columns {
            [] => None,
            columns => Some(self.converter.convert_columns(columns).map_err(refused)?),
        };
        let size = encoded.as_ref().map_or(0, |encoded| encoded.lengths().sum());
        let mut out = RowBytes::with_capacity(rows, rows + size);
        for row in 0..rows {
            if present.is_some_and(|present| present.is_null(row)) {
                out.end_null();
                continue;
            }
            out.buffer.push(VERSION);
            if let Some(encoded) = &encoded {
                out.buffer.extend_from_slice(encoded.row(row).data());
            }
            out.end_row();
        }
        out.finish(ROW)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{
            BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int32Builder, Int64Array, ListArray,
            MapBuilder, StringArray, StringBuilder, StructArray, Time32MillisecondArray, TimestampMillisecondArray,
        },
        datatypes::{Field, Int32Type},
    };
    use proptest::prelude::*;

    use super::*;

    fn fields(columns: &[ArrayRef]) -> Vec<FieldRef> {
        let field = |(index, array): (usize, &ArrayRef)| {
            Arc::new(Field::new(format!("C{index}"), array.data_type().clone(), true)) as FieldRef
        };
        columns.iter().enumerate().map(field).collect()
    }

    fn round_trip(columns: &[ArrayRef]) -> (BinaryArray, Decoded) {
        let fields = fields(columns);
        let projection: Vec<_> = (0..columns.len()).collect();
        let mut serializer = RowSerializer::new(&fields).expect("types with a row encoding");
        let encoded = serializer.encode(columns, columns[0].len(), None).expect("the columns it was made for");
        let decoded = RowDeserializer::new(&fields, &projection).expect("types with a row encoding").decode(&encoded);
        (encoded, decoded)
    }

    /// One value and a null of a type, and their bytes in stored data, for ever.
    #[track_caller]
    fn check(column: impl Array + 'static, value: &[u8], null: &[u8]) {
        let column: ArrayRef = Arc::new(column);
        let (encoded, decoded) = round_trip(&[Arc::clone(&column)]);
        assert_eq!(encoded.value(0), [&[VERSION], value].concat(), "{}", column.data_type());
        assert_eq!(encoded.value(1), [&[VERSION], null].concat(), "null {}", column.data_type());
        assert_eq!(decoded.errors, []);
        assert_eq!(decoded.columns, [column]);
    }

    fn map() -> impl Array + 'static {
        let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
        map.keys().append_value("k");
        map.values().append_value(5);
        map.append(true).expect("keys and values");
        map.append(false).expect("keys and values");
        map.finish()
    }

    #[test]
    fn bytes_in_stored_data_never_change() {
        check(BooleanArray::from(vec![Some(true), None]), &[1, 1], &[0, 0]);
        check(Int32Array::from(vec![Some(5), None]), &[1, 0x80, 0, 0, 5], &[0; 5]);
        check(Int64Array::from(vec![Some(-1), None]), b"\x01\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF", &[0; 9]);
        check(Float64Array::from(vec![Some(1.5), None]), &[1, 0xBF, 0xF8, 0, 0, 0, 0, 0, 0], &[0; 9]);
        let decimals = Decimal128Array::from(vec![Some(1), None]).with_data_type(DataType::Decimal128(10, 2));
        check(decimals, &[1, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], &[0; 17]);
        check(Date32Array::from(vec![Some(1), None]), &[1, 0x80, 0, 0, 1], &[0; 5]);
        check(Time32MillisecondArray::from(vec![Some(1), None]), &[1, 0x80, 0, 0, 1], &[0; 5]);
        check(TimestampMillisecondArray::from(vec![Some(1), None]), &[1, 0x80, 0, 0, 0, 0, 0, 0, 1], &[0; 9]);
        check(StringArray::from(vec![Some("ab"), None]), b"\x02ab\0\0\0\0\0\0\x02", &[0]);
        check(StringArray::from(vec![Some(""), None]), &[1], &[0]);
        check(StringArray::from(vec![Some("0123456789"), None]), b"\x0201234567\xFF89\0\0\0\0\0\0\x02", &[0]);
        check(BinaryArray::from_opt_vec(vec![Some(b"\xFF"), None]), b"\x02\xFF\0\0\0\0\0\0\0\x01", &[0]);
        let list = || ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(5)]), None]);
        check(list(), b"\x02\x01\x80\0\0\x05\0\0\0\x05\x01", &[0]);
        check(map(), b"\x02\x02k\0\0\0\0\0\0\xFF\0\x01\x01\x80\0\0\x05\0\x07\x01", &[0]);
        let parts: ArrayRef = Arc::new(Int32Array::from(vec![Some(5), None]));
        let part = Arc::new(Field::new("A", DataType::Int32, true));
        let parts = StructArray::new(vec![part].into(), vec![parts], Some(NullBuffer::from(vec![true, false])));
        check(parts, &[1, 1, 0x80, 0, 0, 5], &[0; 6]);
    }

    #[test]
    fn foreign_bytes_are_errors_of_their_rows() {
        let columns: [ArrayRef; 2] = [Arc::new(Int32Array::from(vec![7])), Arc::new(StringArray::from(vec!["x"]))];
        let (good, _) = round_trip(&columns);
        let check = |bytes: &[u8], problem: &str| {
            let mut deserializer = RowDeserializer::new(&fields(&columns), &[1, 0]).expect("plain types");
            let decoded = deserializer.decode(&BinaryArray::from_opt_vec(vec![None, Some(bytes), Some(good.value(0))]));
            assert_eq!(decoded.errors, [DecodeError { row: 1, problem: problem.to_owned() }]);
            assert!(decoded.columns.iter().all(|column| column.null_count() == 2 && column.is_valid(2)));
        };
        check(b"", "expected a row, found no bytes");
        check(b"\x02", "expected a row of version 1, found version 2");
        check(b"\x01\x01", "field C0: expected INTEGER at byte 1");
        check(b"\x01\x01\x80\0\0\x05", "field C1: expected STRING at byte 6");
        check(b"\x01\x01\x80\0\0\x05\x02\xFF\0\0\0\0\0\0\0\x01", "field C1: expected STRING at byte 6");
        check(b"\x01\x01\x80\0\0\x05\x01\x01", "expected the end of the row at byte 7, found 1 more bytes");
    }

    #[test]
    fn types_without_a_row_encoding_are_refused() {
        let error =
            RowSerializer::new(&[Arc::new(Field::new("N", DataType::Null, true))]).expect_err("no value at all");
        assert_eq!(error.to_string(), "column `N`: the ROW format cannot hold Null; choose another format or type");
    }

    fn lists(rows: &[Option<Vec<Option<i32>>>]) -> ArrayRef {
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(rows.iter().cloned()))
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(rows: Vec<(Option<i64>, Option<String>, Option<f64>, Option<Vec<Option<i32>>>)>) {
            let columns: [ArrayRef; 4] = [
                Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.0))),
                Arc::new(StringArray::from_iter(rows.iter().map(|row| row.1.as_deref()))),
                Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.2))),
                lists(&rows.iter().map(|row| row.3.clone()).collect::<Vec<_>>()),
            ];
            let (_, decoded) = round_trip(&columns);
            prop_assert_eq!(decoded.errors, vec![]);
            prop_assert_eq!(decoded.columns, columns);
        }

        #[test]
        fn any_bytes_are_read_or_refused(
            mut rows: Vec<Vec<u8>>,
            list in prop::option::of(prop::collection::vec(any::<Option<i32>>(), 0..12)),
            text: String,
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        ) {
            let columns = [lists(&[list]), Arc::new(StringArray::from(vec![text])), Arc::new(StructArray::from(map_part()))];
            let (encoded, _) = round_trip(&columns);
            let mut row = encoded.value(0).to_vec();
            for (at, byte) in damage {
                let at = at.index(row.len());
                row[at] = byte;
            }
            rows.push(row.clone());
            row.truncate(row.len() / 2);
            rows.push(row);
            let mut deserializer = RowDeserializer::new(&fields(&columns), &[0, 1, 2]).expect("types");
            let decoded = deserializer.decode(&BinaryArray::from_iter_values(&rows));
            prop_assert!(decoded.columns.iter().all(|column| column.len() == rows.len()));
        }
    }

    fn map_part() -> Vec<(FieldRef, ArrayRef)> {
        let map = map();
        let map = map.slice(0, 1);
        vec![(Arc::new(Field::new("M", map.data_type().clone(), true)), map)]
    }
}
