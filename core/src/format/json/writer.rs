//! Columns to JSON: one object a row, with every column by its exact name, nulls included.
//!
//! Names are escaped once, when the writer is made. A bare null is null bytes, as ksqlDB writes it: a tombstone.

use std::collections::HashSet;

use arrow::{
    array::{ArrayRef, BinaryArray},
    buffer::NullBuffer,
    datatypes::FieldRef,
};

use super::{
    cell::{Cells, check_type, field_prefix},
    reader::JSON,
    row_bytes::RowBytes,
};
use crate::format::{
    Serializer, Side,
    error::{FormatError, check_arrays},
};

/// Writes JSON records.
#[derive(Debug)]
pub(in crate::format) struct JsonSerializer {
    side: Side,
    bare: bool,
    fields: Vec<FieldRef>,
    prefixes: Vec<Vec<u8>>,
    /// What stands in front of every record.
    prefix: Vec<u8>,
    /// How long the last batch's rows were, for room.
    row_bytes: usize,
}

impl JsonSerializer {
    /// A writer of records of `fields`; of bare values of the only field, if `bare`.
    ///
    /// # Errors
    /// [`FormatError`] if a column has a type that JSON cannot hold, or two columns have one name.
    pub(in crate::format) fn new(side: Side, bare: bool, fields: &[FieldRef]) -> Result<Self, FormatError> {
        let mut seen = HashSet::new();
        for field in fields {
            check_type(field.data_type(), field.name(), JSON)?;
            if !seen.insert(field.name()) {
                return Err(FormatError::DuplicateColumn { format: JSON, column: field.name().clone() });
            }
        }
        let prefix = |(index, field): (usize, &FieldRef)| field_prefix(field.name(), index == 0);
        let prefixes = fields.iter().enumerate().map(prefix).collect();
        Ok(Self { side, bare, fields: fields.to_vec(), prefixes, prefix: Vec::new(), row_bytes: 16 * fields.len() })
    }

    /// Puts bytes in front of every record from now on.
    pub(in crate::format) fn set_prefix(&mut self, prefix: Vec<u8>) {
        self.prefix = prefix;
    }
}

impl Serializer for JsonSerializer {
    fn encode(
        &mut self,
        columns: &[ArrayRef],
        rows: usize,
        present: Option<&NullBuffer>,
    ) -> Result<BinaryArray, FormatError> {
        check_arrays(&self.fields, columns, rows)?;
        let cells: Vec<Cells<'_>> =
            columns.iter().zip(&self.fields).map(|(array, field)| Cells::new(array, field.data_type())).collect();
        let mut out = RowBytes::with_capacity(rows, rows * self.row_bytes);
        let nullable = self.bare || self.side == Side::Key;
        for row in 0..rows {
            let absent = present.is_some_and(|present| present.is_null(row));
            if absent || (nullable && cells.iter().all(|cells| cells.is_null(row))) {
                out.end_null();
                continue;
            }
            out.buffer.extend_from_slice(&self.prefix);
            if self.bare {
                cells[0].write_json(row, &mut out.buffer);
            } else {
                if cells.is_empty() {
                    out.buffer.push(b'{');
                }
                for (prefix, cells) in self.prefixes.iter().zip(&cells) {
                    out.buffer.extend_from_slice(prefix);
                    cells.write_json(row, &mut out.buffer);
                }
                out.buffer.push(b'}');
            }
            out.end_row();
        }
        self.row_bytes = out.buffer.len().checked_div(rows).map_or(self.row_bytes, |bytes| bytes + 8);
        out.finish(JSON)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{Array, BinaryArray, Decimal128Array, Float64Array, Int64Array, StringArray},
        datatypes::{DataType, Field, Int32Type},
    };
    use proptest::prelude::*;

    use super::*;
    use crate::format::{Deserializer, json::JsonDeserializer};

    fn fields(columns: &[(&str, ArrayRef)]) -> Vec<FieldRef> {
        let field = |(name, array): &(&str, ArrayRef)| Arc::new(Field::new(*name, array.data_type().clone(), true));
        columns.iter().map(|column| field(column) as FieldRef).collect()
    }

    fn encode(side: Side, bare: bool, columns: &[(&str, ArrayRef)], present: Option<&NullBuffer>) -> BinaryArray {
        let mut serializer = JsonSerializer::new(side, bare, &fields(columns)).expect("types that JSON can hold");
        let arrays: Vec<_> = columns.iter().map(|(_, array)| Arc::clone(array)).collect();
        serializer.encode(&arrays, arrays[0].len(), present).expect("the columns it was made for")
    }

    #[track_caller]
    fn check(encoded: &BinaryArray, expected: &[Option<&str>]) {
        let texts: Vec<_> = encoded.iter().map(|row| row.map(String::from_utf8_lossy)).collect();
        assert_eq!(texts.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn objects_with_every_column() {
        let columns: [(&str, ArrayRef); 5] = [
            ("A\"", Arc::new(Int64Array::from(vec![Some(-1), None, Some(3)]))),
            ("D", Arc::new(Float64Array::from(vec![Some(1.0), Some(f64::NAN), None]))),
            (
                "P",
                Arc::new(
                    Decimal128Array::from(vec![Some(1010), Some(-5), None]).with_data_type(DataType::Decimal128(4, 2)),
                ),
            ),
            ("S", Arc::new(StringArray::from(vec![Some("é\"\\\n\u{1}"), Some(""), None]))),
            ("B", Arc::new(BinaryArray::from_opt_vec(vec![Some(b"foo"), Some(b""), None]))),
        ];
        let present = NullBuffer::from(vec![true, true, false]);
        check(
            &encode(Side::Value, false, &columns, Some(&present)),
            &[
                Some(r#"{"A\"":-1,"D":1.0,"P":10.10,"S":"é\"\\\n\u0001","B":"Zm9v"}"#),
                Some(r#"{"A\"":null,"D":"NaN","P":-0.05,"S":"","B":""}"#),
                None,
            ],
        );
    }

    #[test]
    fn nulls_of_keys_and_of_bare_values_are_null_bytes() {
        let column = ("A", Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef);
        check(&encode(Side::Value, true, std::slice::from_ref(&column), None), &[Some("1"), None]);
        check(
            &encode(Side::Value, false, std::slice::from_ref(&column), None),
            &[Some(r#"{"A":1}"#), Some(r#"{"A":null}"#)],
        );
        let other = ("B", Arc::new(Int64Array::from(vec![None, None])) as ArrayRef);
        check(&encode(Side::Key, false, &[column, other], None), &[Some(r#"{"A":1,"B":null}"#), None]);
    }

    #[test]
    fn nested_values() {
        let list = arrow::array::ListArray::from_iter_primitive::<Int32Type, _, _>([
            Some(vec![Some(1), None]),
            Some(vec![]),
            None,
        ]);
        let parts = arrow::array::StructArray::from(vec![
            (
                Arc::new(Field::new("x", DataType::Utf8, true)),
                Arc::new(StringArray::from(vec!["a", "b", "c"])) as ArrayRef,
            ),
            (Arc::new(Field::new("L", list.data_type().clone(), true)), Arc::new(list)),
        ]);
        let mut map =
            arrow::array::MapBuilder::new(None, arrow::array::StringBuilder::new(), arrow::array::Int32Builder::new());
        map.keys().append_value("k\"");
        map.values().append_value(1);
        map.keys().append_value("z");
        map.values().append_null();
        map.append(true).expect("keys and values");
        map.append(true).expect("keys and values");
        map.append(false).expect("keys and values");
        let columns: [(&str, ArrayRef); 2] = [("S", Arc::new(parts)), ("M", Arc::new(map.finish()))];
        check(
            &encode(Side::Value, false, &columns, None),
            &[
                Some(r#"{"S":{"x":"a","L":[1,null]},"M":{"k\"":1,"z":null}}"#),
                Some(r#"{"S":{"x":"b","L":[]},"M":{}}"#),
                Some(r#"{"S":{"x":"c","L":null},"M":null}"#),
            ],
        );
    }

    #[test]
    fn columns_that_are_not_those_promised_are_refused() {
        let column = ("A", Arc::new(Int64Array::from(vec![1])) as ArrayRef);
        let mut serializer = JsonSerializer::new(Side::Value, false, &fields(&[column])).expect("a number");
        let other: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
        let error = serializer.encode(&[other], 1, None).expect_err("another type").to_string();
        assert_eq!(error, "the encoder was built for column `A` of Int64, but was handed Utf8");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            rows: Vec<(Option<i64>, Option<String>, Option<f64>, Option<Vec<u8>>, Option<Vec<Option<i32>>>)>,
            name in ".{1,8}",
        ) {
            prop_assume!(!name.eq_ignore_ascii_case("b"));
            let lists = rows.iter().map(|row| row.4.clone());
            let columns: [(&str, ArrayRef); 5] = [
                (&name, Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.0)))),
                ("B", Arc::new(StringArray::from_iter(rows.iter().map(|row| row.1.as_deref())))),
                ("C1", Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.2)))),
                ("C2", Arc::new(BinaryArray::from_iter(rows.iter().map(|row| row.3.as_deref())))),
                ("C3", Arc::new(arrow::array::ListArray::from_iter_primitive::<Int32Type, _, _>(lists))),
            ];
            prop_assume!(!["B", "C1", "C2", "C3"].contains(&name.to_uppercase().as_str()));
            let encoded = encode(Side::Value, false, &columns, None);
            let mut deserializer = JsonDeserializer::new(false, &fields(&columns), &[0, 1, 2, 3, 4]).expect("types");
            let decoded = deserializer.decode(&encoded);
            prop_assert_eq!(decoded.errors, vec![]);
            for (read, (_, written)) in decoded.columns.iter().zip(&columns) {
                prop_assert_eq!(read, written);
            }
        }
    }
}
