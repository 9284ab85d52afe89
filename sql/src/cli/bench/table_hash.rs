//! One number for a table, that anyone can compute again.
//!
//! A row is written as text: its columns in order, joined by `|`; whole numbers in decimal, floating-point numbers with six decimals,
//! `NULL`, `true`, `false`, text as it is, arrays and structs as compact JSON with names in order. The hash of a table is the sum, modulo 2^64, of FNV-1a (64 bits) over the rows, so that the order
//! of rows does not matter.

use std::{io::Write, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, Field, Float64Type, Int32Type, Int64Type},
    error::ArrowError,
    util::display::{ArrayFormatter, FormatOptions},
};

use crate::output::json::Values;

/// The hash of one row each.
///
/// # Errors
/// If a column cannot be shown as text.
pub fn row_hashes(columns: &[ArrayRef], rows: usize) -> Result<Vec<u64>, ArrowError> {
    let options = FormatOptions::default();
    let cells = columns.iter().map(|column| Cell::new(column, &options)).collect::<Result<Vec<_>, _>>()?;
    let mut text = Vec::new();
    Ok((0..rows)
        .map(|row| {
            text.clear();
            for (index, cell) in cells.iter().enumerate() {
                if index > 0 {
                    text.push(b'|');
                }
                cell.write(row, &mut text);
            }
            fnv1a(&text)
        })
        .collect())
}

/// As a hash is written: 16 hexadecimal digits.
pub fn shown(hash: u64) -> String {
    format!("{hash:016x}")
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

enum Cell<'a> {
    Int32(&'a arrow::array::Int32Array),
    Int64(&'a arrow::array::Int64Array),
    Float64(&'a arrow::array::Float64Array),
    Text(&'a arrow::array::StringArray),
    Nested(&'a ArrayRef),
    Other(&'a ArrayRef, ArrayFormatter<'a>),
}

impl<'a> Cell<'a> {
    fn new(column: &'a ArrayRef, options: &'a FormatOptions<'a>) -> Result<Self, ArrowError> {
        Ok(match column.data_type() {
            DataType::Int32 => Self::Int32(column.as_primitive::<Int32Type>()),
            DataType::Int64 => Self::Int64(column.as_primitive::<Int64Type>()),
            DataType::Float64 => Self::Float64(column.as_primitive::<Float64Type>()),
            DataType::Utf8 => Self::Text(column.as_string()),
            kind if kind.is_nested() => Self::Nested(column),
            _ => Self::Other(column, ArrayFormatter::try_new(column.as_ref(), options)?),
        })
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) {
        let array: &dyn Array = match self {
            Self::Int32(array) => array,
            Self::Int64(array) => array,
            Self::Float64(array) => array,
            Self::Text(array) => array,
            Self::Nested(array) | Self::Other(array, _) => array,
        };
        if array.is_null(row) {
            return out.extend_from_slice(b"NULL");
        }
        match self {
            Self::Int32(array) => write!(out, "{}", array.value(row)),
            Self::Int64(array) => write!(out, "{}", array.value(row)),
            Self::Float64(array) => write!(out, "{:.6}", array.value(row)),
            Self::Text(array) => out.write_all(array.value(row).as_bytes()),
            Self::Nested(array) => write!(out, "{}", json(array, row)),
            Self::Other(_, formatter) => write!(out, "{}", formatter.value(row)),
        }
        .expect("memory takes everything");
    }
}

/// A nested value as JSON; names are sorted by reading it back.
fn json(array: &ArrayRef, row: usize) -> serde_json::Value {
    let field = Arc::new(Field::new("value", array.data_type().clone(), true));
    let text = Values::new(&field, array.as_ref()).map(|mut values| values.text(row));
    text.ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(serde_json::Value::Null)
}

#[cfg(test)]
mod tests {
    use arrow::array::{BooleanArray, Float64Array, Int64Array, StringArray};

    use super::*;

    #[test]
    fn rows_are_hashed_as_their_text() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        let columns: [ArrayRef; 4] = [
            Arc::new(Int64Array::from(vec![Some(-5), None])),
            Arc::new(Float64Array::from(vec![1.5, 0.1234567])),
            Arc::new(StringArray::from(vec!["x|y", ""])),
            Arc::new(BooleanArray::from(vec![true, false])),
        ];
        let hashes = row_hashes(&columns, 2).expect("plain types");
        assert_eq!(hashes, [fnv1a(b"-5|1.500000|x|y|true"), fnv1a(b"NULL|0.123457||false")]);
        assert_eq!(shown(255), "00000000000000ff");
    }
}
