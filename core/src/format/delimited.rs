//! DELIMITED: one line of separated values a record, in column order.
//!
//! A value with the delimiter, a quote or an end of line is put in double quotes, quotes inside it are doubled. A null is
//! nothing at all between the delimiters; an empty text is `""`. The line is cut here and not by a CSV library, because those do
//! not tell the two apart. Like the CSV writer that ksqlDB uses, the writer also quotes a first value that does not begin
//! with a letter or digit, a value that begins with a character up to `#`, and one that ends in white space.

use arrow::{
    array::{ArrayRef, BinaryArray},
    buffer::NullBuffer,
    datatypes::FieldRef,
};

use super::{
    Decoded, Deserializer, Serializer, Side,
    error::{FormatError, check_arrays, type_name},
    json::{
        cell::{Cells, check_type},
        names::Slot,
        reader::{ColumnSet, for_each_text},
        row_bytes::RowBytes,
        scan::Token,
    },
};

const DELIMITED: &str = "DELIMITED";

/// Reads lines.
#[derive(Debug)]
pub(super) struct DelimitedDeserializer {
    delimiter: char,
    fields: usize,
    columns: ColumnSet,
}

/// Writes lines.
#[derive(Debug)]
pub(super) struct DelimitedSerializer {
    side: Side,
    delimiter: char,
    fields: Vec<FieldRef>,
}

fn check(delimiter: char, fields: &[FieldRef]) -> Result<(), FormatError> {
    if matches!(delimiter, '"' | '\n' | '\r') {
        return Err(FormatError::Delimiter { delimiter });
    }
    fields.iter().try_for_each(|field| {
        if field.data_type().is_nested() {
            return Err(FormatError::UnsupportedType {
                format: DELIMITED,
                column: field.name().clone(),
                data_type: type_name(field.data_type()),
            });
        }
        check_type(field.data_type(), field.name(), DELIMITED)
    })
}

/// A value of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece<'a> {
    /// What stands between delimiters.
    Bare(&'a str),
    /// What stands between quotes, with its quotes still doubled if there are any.
    Quoted {
        /// The text.
        text: &'a str,
        /// Whether quotes are doubled in it.
        doubled: bool,
    },
}

/// Cuts a line into its values; an end of line at its end is dropped.
fn cut<'a>(line: &'a str, delimiter: char, pieces: &mut Vec<Piece<'a>>) -> Result<(), String> {
    pieces.clear();
    let line = line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
    let mut rest = line;
    loop {
        let at = line.len() - rest.len();
        let after = if let Some(quoted) = rest.strip_prefix('"') {
            let (end, doubled) =
                closing_quote(quoted).ok_or_else(|| format!("no closing quote for the one at byte {at}"))?;
            pieces.push(Piece::Quoted { text: &quoted[..end], doubled });
            &quoted[end + 1..]
        } else {
            let end = rest.find([delimiter, '\n', '\r']).unwrap_or(rest.len());
            pieces.push(Piece::Bare(&rest[..end]));
            &rest[end..]
        };
        if after.is_empty() {
            return Ok(());
        }
        rest = after.strip_prefix(delimiter).ok_or_else(|| {
            let at = line.len() - after.len();
            let found = after.chars().next().unwrap_or_default();
            format!("expected {delimiter:?} or the end at byte {at}, found {found:?}")
        })?;
    }
}

/// Where the quote is that ends a quoted text, and whether there are doubled ones before it.
fn closing_quote(text: &str) -> Option<(usize, bool)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut doubled = false;
    loop {
        at += text[at..].find('"')?;
        if bytes.get(at + 1) != Some(&b'"') {
            return Some((at, doubled));
        }
        doubled = true;
        at += 2;
    }
}

impl DelimitedDeserializer {
    /// A reader of lines of `fields`.
    ///
    /// # Errors
    /// [`FormatError`] if a column is nested, or the delimiter cannot be one.
    pub(super) fn new(delimiter: char, fields: &[FieldRef], projection: &[usize]) -> Result<Self, FormatError> {
        check(delimiter, fields)?;
        Ok(Self { delimiter, fields: fields.len(), columns: ColumnSet::new(fields, projection, DELIMITED)? })
    }
}

impl Deserializer for DelimitedDeserializer {
    fn decode(&mut self, bytes: &BinaryArray) -> Decoded {
        let Self { delimiter, fields, columns } = self;
        let mut pieces = Vec::with_capacity(*fields);
        let mut undoubled: Vec<String> = vec![String::new(); *fields];
        for_each_text(bytes, |text| {
            let text = match text {
                None => return columns.push_nulls(),
                Some(Err(problem)) => return columns.push_error(problem),
                Some(Ok(text)) => text,
            };
            if let Err(problem) = cut(text, *delimiter, &mut pieces) {
                return columns.push_error(problem);
            }
            if pieces.len() != *fields && !(*fields == 0 && text.is_empty()) {
                let problem = format!("expected {fields} values, found {}", pieces.len());
                return columns.push_error(problem);
            }
            for (piece, room) in pieces.iter().zip(&mut undoubled) {
                if let Piece::Quoted { text, doubled: true } = piece {
                    *room = text.replace("\"\"", "\"");
                }
            }
            let slots: Vec<Slot<'_>> = pieces.iter().zip(&undoubled).map(|(piece, room)| slot(piece, room)).collect();
            columns.push(&slots, text);
        });
        columns.finish()
    }
}

fn slot<'a>(piece: &Piece<'a>, undoubled: &'a str) -> Slot<'a> {
    match *piece {
        Piece::Bare("") => Slot::EMPTY,
        Piece::Bare(raw) | Piece::Quoted { text: raw, doubled: false } => Slot::of(Token::Text { raw, escaped: false }),
        Piece::Quoted { .. } => Slot::of(Token::Text { raw: undoubled, escaped: false }),
    }
}

impl DelimitedSerializer {
    /// A writer of lines of `fields`.
    ///
    /// # Errors
    /// [`FormatError`] if a column is nested, or the delimiter cannot be one.
    pub(super) fn new(side: Side, delimiter: char, fields: &[FieldRef]) -> Result<Self, FormatError> {
        check(delimiter, fields)?;
        Ok(Self { side, delimiter, fields: fields.to_vec() })
    }
}

/// Puts the value at the end of `out` in quotes, if it must be.
fn quote(value: usize, first: bool, delimiter: &str, out: &mut Vec<u8>) {
    let text = &out[value..];
    let needed = match (text.first(), text.last()) {
        (Some(head), Some(tail)) => {
            (first && !head.is_ascii_alphanumeric())
                || *head <= b'#'
                || *tail <= b' '
                || text.iter().any(|byte| matches!(byte, b'"' | b'\n' | b'\r'))
                || text.windows(delimiter.len()).any(|window| window == delimiter.as_bytes())
        }
        _ => true,
    };
    if needed {
        let text = out.split_off(value);
        out.push(b'"');
        for byte in text {
            if byte == b'"' {
                out.push(b'"');
            }
            out.push(byte);
        }
        out.push(b'"');
    }
}

impl Serializer for DelimitedSerializer {
    fn encode(
        &mut self,
        columns: &[ArrayRef],
        rows: usize,
        present: Option<&NullBuffer>,
    ) -> Result<BinaryArray, FormatError> {
        check_arrays(&self.fields, columns, rows)?;
        let cells: Vec<Cells<'_>> =
            columns.iter().zip(&self.fields).map(|(array, field)| Cells::new(array, field.data_type())).collect();
        let delimiter = self.delimiter.to_string();
        let mut out = RowBytes::with_capacity(rows, rows * 8 * columns.len());
        // A single value always stands alone in this format, so that its null is the record's.
        let nullable = self.side == Side::Key || columns.len() == 1;
        for row in 0..rows {
            let absent = present.is_some_and(|present| present.is_null(row));
            if absent || (nullable && cells.iter().all(|cells| cells.is_null(row))) {
                out.end_null();
                continue;
            }
            for (index, cells) in cells.iter().enumerate() {
                if index > 0 {
                    out.buffer.extend_from_slice(delimiter.as_bytes());
                }
                if !cells.is_null(row) {
                    let value = out.buffer.len();
                    cells.write_plain(row, &mut out.buffer);
                    quote(value, index == 0, &delimiter, &mut out.buffer);
                }
            }
            out.end_row();
        }
        out.finish(DELIMITED)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{Array, Float64Array, Int32Array, StringArray},
        datatypes::{DataType, Field},
        util::display::array_value_to_string,
    };
    use proptest::prelude::*;

    use super::*;

    fn fields() -> Vec<FieldRef> {
        let types = [("I", DataType::Int32), ("S", DataType::Utf8), ("D", DataType::Float64)];
        types.into_iter().map(|(name, data_type)| Arc::new(Field::new(name, data_type, true)) as FieldRef).collect()
    }

    fn decode(line: &[u8]) -> Decoded {
        let mut deserializer = DelimitedDeserializer::new(',', &fields(), &[2, 1, 0]).expect("plain types");
        deserializer.decode(&BinaryArray::from_vec(vec![line]))
    }

    #[track_caller]
    fn check(line: &str, expected: Result<[&str; 3], &str>) {
        let decoded = decode(line.as_bytes());
        match expected {
            Ok(values) => {
                assert_eq!(decoded.errors, []);
                let shown = |index: usize| match decoded.columns[index].is_null(0) {
                    true => "null".to_owned(),
                    false => array_value_to_string(&decoded.columns[index], 0).expect("shown"),
                };
                assert_eq!([2, 1, 0].map(shown), values, "{line}");
            }
            Err(problem) => assert_eq!(decoded.errors[0].problem, problem, "{line}"),
        }
    }

    #[test]
    fn lines_and_what_is_wrong_with_them() {
        check("1,zero,1.5", Ok(["1", "zero", "1.5"]));
        check("\"-1\",\"a,\"\"b\"\"\n\",2\r\n", Ok(["-1", "a,\"b\"\n", "2.0"]));
        check(",\"\",", Ok(["null", "", "null"]));
        check("1,a b\\n,NaN", Ok(["1", "a b\\n", "NaN"]));
        check("1,2", Err("expected 3 values, found 2"));
        check("1,2,3,4", Err("expected 3 values, found 4"));
        check("", Err("expected 3 values, found 1"));
        check("1,\"x,2", Err("no closing quote for the one at byte 2"));
        check("1,\"x\"y,2", Err("expected ',' or the end at byte 5, found 'y'"));
        check("1,x\ny,2", Err("expected ',' or the end at byte 3, found '\\n'"));
        check("a,x,2", Err("field I: expected INTEGER, found \"a\", at byte 0"));
    }

    #[test]
    fn lines_as_the_writer_of_ksqldb_quotes_them() {
        let columns: [ArrayRef; 3] = [
            Arc::new(Int32Array::from(vec![Some(10), Some(-10), None, None])),
            Arc::new(StringArray::from(vec![Some("a,b"), Some(""), Some("-x\"y"), None])),
            Arc::new(Float64Array::from(vec![Some(10.1), Some(1.0), None, None])),
        ];
        let written = |side| {
            let mut serializer = DelimitedSerializer::new(side, ',', &fields()).expect("plain types");
            let encoded = serializer.encode(&columns, 4, None).expect("the columns it was made for");
            encoded.iter().map(|row| row.map(|row| String::from_utf8_lossy(row).into_owned())).collect::<Vec<_>>()
        };
        let line = |text: &str| Some(text.to_owned());
        let first = [line("10,\"a,b\",10.1"), line("\"-10\",\"\",1.0"), line(",\"-x\"\"y\",")];
        assert_eq!(written(Side::Value), [first.as_slice(), &[line(",,")]].concat());
        assert_eq!(written(Side::Key), [first.as_slice(), &[None]].concat());
    }

    #[test]
    fn nested_columns_and_strange_delimiters_are_refused() {
        let list: FieldRef = Arc::new(Field::new("L", DataType::new_list(DataType::Int32, true), true));
        let error = DelimitedSerializer::new(Side::Value, ',', &[list]).expect_err("a list").to_string();
        assert_eq!(error, "column `L`: the DELIMITED format cannot hold ARRAY<INTEGER>; choose another format or type");
        assert!(DelimitedDeserializer::new('"', &fields(), &[0]).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            rows: Vec<(Option<i32>, Option<String>, Option<f64>)>,
            delimiter in prop::sample::select(vec![',', '\t', ' ', 'é', '|', '1']),
        ) {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(Int32Array::from_iter(rows.iter().map(|row| row.0))),
                Arc::new(StringArray::from_iter(rows.iter().map(|row| row.1.as_deref()))),
                Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.2))),
            ];
            let mut serializer = DelimitedSerializer::new(Side::Value, delimiter, &fields()).expect("plain types");
            let encoded = serializer.encode(&columns, rows.len(), None).expect("the columns it was made for");
            let mut deserializer = DelimitedDeserializer::new(delimiter, &fields(), &[0, 1, 2]).expect("plain types");
            let decoded = deserializer.decode(&encoded);
            prop_assert_eq!(decoded.errors, vec![]);
            prop_assert_eq!(decoded.columns, columns);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>, text in "[\",\n\r1a]{0,12}") {
            decode(&bytes);
            decode(text.as_bytes());
        }
    }
}
