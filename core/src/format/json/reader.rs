//! JSON to columns.
//!
//! A record is scanned once, strictly and to its end, whatever columns are read: a record is accepted or refused by its whole
//! text, including what is skipped. The values of the columns that are read are noted as pieces of the text and, once the record is known
//! to be valid, appended to their columns. Null (the JSON value) is a record of nulls.
//!
//! The bytes of a batch are checked to be UTF-8 in one go; only if that fails, row by row.

use std::str;

use arrow::{
    array::{Array, ArrayRef, BinaryArray, BooleanArray},
    buffer::BooleanBuffer,
    compute::nullif,
    datatypes::FieldRef,
};

use super::{
    column::{Column, Mismatch},
    names::{FieldNames, Slot},
    scan::{Cursor, SyntaxError},
};
use crate::format::{
    DecodeError, Decoded, Deserializer,
    error::{FormatError, project},
};

/// The name of the format in errors.
pub(in crate::format) const JSON: &str = "JSON";

/// Reads JSON records.
#[derive(Debug)]
pub(in crate::format) struct JsonDeserializer {
    bare: bool,
    names: FieldNames,
    slots: usize,
    columns: ColumnSet,
}

/// The columns that are read, while they are built.
#[derive(Debug)]
pub(in crate::format) struct ColumnSet {
    fields: Vec<FieldRef>,
    /// For each column, which of the record's fields it is.
    pub(in crate::format) sources: Vec<usize>,
    columns: Vec<Column>,
    scratch: String,
    errors: Vec<DecodeError>,
    rows: usize,
}

impl ColumnSet {
    /// The columns of `fields` at `projection`.
    ///
    /// # Errors
    /// [`FormatError`] if there is no such column, or it has a type that cannot be read.
    pub(in crate::format) fn new(
        fields: &[FieldRef],
        projection: &[usize],
        format: &'static str,
    ) -> Result<Self, FormatError> {
        let sources = projection.to_vec();
        let fields = project(fields, projection)?;
        let columns = fields.iter().map(|field| Column::nullable(field, format)).collect::<Result<_, _>>()?;
        Ok(Self { fields, sources, columns, scratch: String::new(), errors: Vec::new(), rows: 0 })
    }

    /// Ends a row: a row of nulls.
    pub(in crate::format) fn push_nulls(&mut self) {
        self.columns.iter_mut().for_each(Column::append_null);
        self.rows += 1;
    }

    /// Ends a row that cannot be decoded.
    #[cold]
    pub(in crate::format) fn push_error(&mut self, problem: String) {
        self.errors.push(DecodeError { row: self.rows, problem });
        self.push_nulls();
    }

    /// Ends a row: for each field of the record, its value. `text` is the whole record.
    #[inline]
    pub(in crate::format) fn push(&mut self, slots: &[Slot<'_>], text: &str) {
        let mut mismatch = None;
        for (index, (column, &source)) in self.columns.iter_mut().zip(&self.sources).enumerate() {
            if let Err(found) = column.append(&slots[source].token, &mut self.scratch) {
                mismatch.get_or_insert((index, found));
            }
        }
        if let Some((index, mismatch)) = mismatch {
            let problem = describe(self.fields[index].name(), mismatch, text);
            self.errors.push(DecodeError { row: self.rows, problem });
        }
        self.rows += 1;
    }

    /// The columns of all rows, with the rows that cannot be decoded nulled.
    pub(in crate::format) fn finish(&mut self) -> Decoded {
        let rows = std::mem::take(&mut self.rows);
        let errors = std::mem::take(&mut self.errors);
        let mut columns: Vec<ArrayRef> = self.columns.iter_mut().map(Column::finish).collect();
        if !errors.is_empty() {
            let mut failed = vec![false; rows];
            errors.iter().for_each(|error| failed[error.row] = true);
            let failed = BooleanArray::new(BooleanBuffer::from(failed), None);
            for column in &mut columns {
                *column = nullif(column, &failed).expect("both have one value a row");
            }
        }
        Decoded::new(columns, errors)
    }
}

#[cold]
fn describe(field: &str, mismatch: Mismatch, text: &str) -> String {
    let Mismatch { path, problem, address } = mismatch;
    let at = address.and_then(|address| address.checked_sub(text.as_ptr() as usize)).filter(|at| *at < text.len());
    match at {
        Some(at) => format!("field {field}{path}: {problem}, at byte {at}"),
        None => format!("field {field}{path}: {problem}"),
    }
}

/// Calls `each` for every row with its text; with an error for a row that is no UTF-8, with none for a null.
pub(in crate::format) fn for_each_text<'a>(
    bytes: &'a BinaryArray,
    mut each: impl FnMut(Option<Result<&'a str, String>>),
) {
    let offsets = bytes.value_offsets();
    let (first, last) = (offsets[0] as usize, offsets[bytes.len()] as usize);
    let all = str::from_utf8(&bytes.value_data()[first..last]).ok();
    for row in 0..bytes.len() {
        if bytes.is_null(row) {
            each(None);
            continue;
        }
        let range = offsets[row] as usize - first..offsets[row + 1] as usize - first;
        // Valid as a whole and cut between characters is valid in parts.
        each(Some(match all.and_then(|all| all.get(range)) {
            Some(text) => Ok(text),
            None => str::from_utf8(bytes.value(row))
                .map_err(|error| format!("invalid UTF-8 at byte {}", error.valid_up_to())),
        }));
    }
}

impl JsonDeserializer {
    /// A reader of records of `fields`; of bare values of the only field, if `bare`.
    ///
    /// # Errors
    /// [`FormatError`] if a column that is read has a type that JSON cannot hold.
    pub(in crate::format) fn new(bare: bool, fields: &[FieldRef], projection: &[usize]) -> Result<Self, FormatError> {
        let columns = ColumnSet::new(fields, projection, JSON)?;
        let mut wanted = vec![false; fields.len()];
        projection.iter().for_each(|&index| wanted[index] = true);
        let names = FieldNames::new(fields.iter().map(|field| field.name().as_str()), wanted);
        Ok(Self { bare, names, slots: fields.len(), columns })
    }
}

impl Deserializer for JsonDeserializer {
    fn decode(&mut self, bytes: &BinaryArray) -> Decoded {
        let Self { bare, names, columns, slots } = self;
        let mut slots = vec![Slot::EMPTY; *slots];
        for_each_text(bytes, |text| match text {
            None => columns.push_nulls(),
            Some(Err(problem)) => columns.push_error(problem),
            Some(Ok(text)) => {
                let mut cursor = Cursor::new(text);
                let read = if *bare {
                    cursor.value().map(|token| slots[0] = Slot::of(token))
                } else if cursor.peek() == Some(b'{') {
                    names.read(&mut cursor, &mut slots)
                } else {
                    not_an_object(&mut cursor, &mut slots)
                };
                match read.and_then(|()| cursor.finish()) {
                    Ok(()) => columns.push(&slots, text),
                    Err(error) => columns.push_error(error.to_string()),
                }
            }
        });
        columns.finish()
    }
}

/// Accepts null, a record of nulls, and nothing else.
#[cold]
fn not_an_object(cursor: &mut Cursor<'_>, slots: &mut [Slot<'_>]) -> Result<(), SyntaxError> {
    slots.fill(Slot::EMPTY);
    cursor.null().map_err(|error| SyntaxError { expected: "an object", ..error })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        datatypes::{DataType, Field, Fields, TimeUnit},
        util::display::array_value_to_string,
    };
    use proptest::prelude::*;

    use super::*;

    fn fields(columns: &[(&str, DataType)]) -> Vec<FieldRef> {
        columns
            .iter()
            .map(|(name, data_type)| Arc::new(Field::new(*name, data_type.clone(), true)) as FieldRef)
            .collect()
    }

    fn decode(bare: bool, fields: &[FieldRef], projection: &[usize], rows: &[&[u8]]) -> Decoded {
        let mut deserializer = JsonDeserializer::new(bare, fields, projection).expect("types that JSON can hold");
        deserializer.decode(&BinaryArray::from_vec(rows.to_vec()))
    }

    /// Decodes a bare value of a column `V`; `Ok` is the value as Arrow shows it, empty for null.
    #[track_caller]
    fn check(json: &str, data_type: DataType, expected: Result<&str, &str>) {
        let decoded = decode(true, &fields(&[("V", data_type)]), &[0], &[json.as_bytes()]);
        let shown = array_value_to_string(&decoded.columns[0], 0).expect("a value that can be shown");
        match expected {
            Ok(value) => assert_eq!((shown.as_str(), decoded.errors.as_slice()), (value, [].as_slice()), "{json}"),
            Err(problem) => {
                assert_eq!(decoded.errors, [DecodeError { row: 0, problem: problem.to_owned() }], "{json}");
                assert!(decoded.columns[0].is_null(0), "{json}");
            }
        }
    }

    #[test]
    fn whole_numbers() {
        check("12", DataType::Int32, Ok("12"));
        check("-1.7", DataType::Int32, Ok("-1"));
        check("1.2e2", DataType::Int64, Ok("120"));
        check("\"-5\"", DataType::Int64, Ok("-5"));
        check("-9223372036854775808", DataType::Int64, Ok("-9223372036854775808"));
        check("18446744073709551615", DataType::UInt64, Ok("18446744073709551615"));
        check("null", DataType::Int64, Ok(""));
        check("2147483648", DataType::Int32, Err("field V: expected INTEGER, found 2147483648, at byte 0"));
        check(" \"abc\"", DataType::Int64, Err("field V: expected BIGINT, found \"abc\", at byte 2"));
        check("\"\"", DataType::Int64, Err("field V: expected BIGINT, found \"\", at byte 1"));
        check("true", DataType::Int64, Err("field V: expected BIGINT, found true"));
        check("-1", DataType::UInt32, Err("field V: expected UInt32, found -1, at byte 0"));
        check("[1]", DataType::Int64, Err("field V: expected BIGINT, found [1], at byte 0"));
    }

    #[test]
    fn other_plain_types() {
        check("\"TRUE\"", DataType::Boolean, Ok("true"));
        check("1", DataType::Boolean, Err("field V: expected BOOLEAN, found 1, at byte 0"));
        check("10", DataType::Float64, Ok("10.0"));
        check("-0", DataType::Float64, Ok("-0.0"));
        check("\" NaN\"", DataType::Float64, Ok("NaN"));
        check("\"inf\"", DataType::Float64, Err("field V: expected DOUBLE, found \"inf\", at byte 1"));
        check("10.1", DataType::Decimal128(4, 2), Ok("10.10"));
        check("\"10.1\"", DataType::Decimal128(4, 2), Ok("10.10"));
        check("1.234", DataType::Decimal128(4, 2), Err("field V: expected DECIMAL(4, 2), found 1.234, at byte 0"));
        check("1.50", DataType::Utf8, Ok("1.50"));
        check("false", DataType::LargeUtf8, Ok("false"));
        check(r#"{"a": [1]}"#, DataType::Utf8View, Ok(r#"{"a": [1]}"#));
        check(r#""a\u00e9\n""#, DataType::Utf8, Ok("aé\n"));
        check("\"Zm9v\"", DataType::Binary, Ok("666f6f"));
        check("\"Z\"", DataType::Binary, Err("field V: expected BYTES, found \"Z\", at byte 1"));
        check("1", DataType::Date32, Ok("1970-01-02"));
        check("\"1970-01-03\"", DataType::Date32, Ok("1970-01-03"));
        check("1500", DataType::Time32(TimeUnit::Millisecond), Ok("00:00:01.500"));
        check(
            "86400000",
            DataType::Time32(TimeUnit::Millisecond),
            Err("field V: expected TIME, found 86400000, at byte 0"),
        );
        check("1500", DataType::Timestamp(TimeUnit::Millisecond, None), Ok("1970-01-01T00:00:01.500"));
        check("\"1970-01-01T00:00:02\"", DataType::Timestamp(TimeUnit::Millisecond, None), Ok("1970-01-01T00:00:02"));
    }

    #[test]
    fn nested_types() {
        let list = DataType::new_list(DataType::Int64, true);
        check("[1, null, \"3\"]", list.clone(), Ok("[1, , 3]"));
        check("[1, [2]]", list, Err("field V[1]: expected BIGINT, found [2], at byte 4"));
        let parts = fields(&[("A", DataType::Int32), ("B", DataType::new_list(DataType::Utf8, true))]);
        let parts = DataType::Struct(Fields::from(parts));
        check(r#"{"b":["x"],"c":1}"#, parts.clone(), Ok("{A: , B: [x]}"));
        check(r#"{"a":1,"b":[{},7,null]}"#, parts.clone(), Ok("{A: 1, B: [{}, 7, ]}"));
        check(r#"{"a":{}}"#, parts.clone(), Err("field V.A: expected INTEGER, found {}, at byte 5"));
        check("7", parts.clone(), Err("field V: expected STRUCT<A INTEGER, B ARRAY<STRING>>, found 7, at byte 0"));
        let entries = fields(&[("key", DataType::Utf8), ("value", parts)]);
        let entries = entries.iter().map(|f| f.as_ref().clone().with_nullable(f.name() == "value")).collect();
        let entries = Field::new("entries", DataType::Struct(entries), false);
        let map = DataType::Map(Arc::new(entries), false);
        check(r#"{"x":{"a":1},"y":null,"x":{"a":2}}"#, map.clone(), Ok("{x: {A: 2, B: }, y: }"));
        check(r#"{"x":{"a":true}}"#, map, Err("field V[\"x\"].A: expected INTEGER, found true"));
        let strict = DataType::new_list(DataType::Int64, false);
        check("[1, null]", strict, Err("field V[1]: expected BIGINT, found null"));
    }

    #[test]
    fn one_bad_row_spoils_no_other() {
        let fields = fields(&[("A", DataType::Int64), ("B", DataType::Utf8)]);
        let rows: [&[u8]; 10] = [
            br#"{"A":1,"B":"x"}"#,
            br#"{"B":"y","A":"z"}"#,
            br#"{"a":3,"A":4,"a":5,"b":"low"}"#,
            br#" null "#,
            br#"{"A":5} x"#,
            br#"{"A":6,"other":[1,{"A":"\""}]}"#,
            br#"[1]"#,
            b"{\"B\":\"\xFF\"}",
            br#"{"A":7,"other":[1,}"#,
            br#"{"A":8,"A":9}"#,
        ];
        let decoded = decode(false, &fields, &[1, 0], &rows);
        let shown: Vec<_> = (0..rows.len())
            .map(|row| {
                [0, 1].map(|column| array_value_to_string(&decoded.columns[column], row).expect("shown")).join("|")
            })
            .collect();
        assert_eq!(shown, ["x|1", "|", "low|4", "|", "|", "|6", "|", "|", "|", "|9"]);
        let errors: Vec<_> = decoded.errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            [
                "row 1: field A: expected BIGINT, found \"z\", at byte 14",
                "row 4: invalid JSON at byte 8: expected the end of the record",
                "row 6: invalid JSON at byte 0: expected an object",
                "row 7: invalid UTF-8 at byte 6",
                "row 8: invalid JSON at byte 18: expected a value",
            ]
        );
    }

    #[test]
    fn types_without_json_are_refused() {
        let error = JsonDeserializer::new(
            false,
            &fields(&[("A", DataType::new_list(DataType::Duration(TimeUnit::Second), true))]),
            &[0],
        );
        let error = error.expect_err("a duration").to_string();
        assert!(error.starts_with("column `A[]`: the JSON format cannot hold Duration"), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(rows: Vec<Option<Vec<u8>>>, text in r#"[{}\[\]"AB:,1 \\]{0,30}"#) {
            let list = DataType::new_list(DataType::Int32, true);
            let fields = fields(&[("A", list), ("B", DataType::Utf8), ("C", DataType::Int64)]);
            let mut deserializer = JsonDeserializer::new(false, &fields, &[0, 1]).expect("types that JSON can hold");
            let rows = rows.iter().map(Option::as_deref).chain([Some(text.as_bytes())]);
            let bytes = BinaryArray::from_iter(rows);
            let decoded = deserializer.decode(&bytes);
            prop_assert!(decoded.columns.iter().all(|column| column.len() == bytes.len()));
        }
    }
}
