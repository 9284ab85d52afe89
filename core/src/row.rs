//! Rows as bytes: the encoding of keys and states in stores and changelogs.
//!
//! It is arrow's row format: typed, compact, and ordered as the values are, so that a range of keys is a range of bytes. Its
//! bytes are pinned by a test, because stores and changelogs outlive a program's version.

use arrow::{
    array::{ArrayRef, BinaryArray},
    datatypes::FieldRef,
    error::ArrowError,
    row::{RowConverter, Rows, SortField},
};

/// Encodes and decodes rows of fixed columns.
#[derive(Debug)]
pub(crate) struct RowCodec {
    converter: RowConverter,
}

impl RowCodec {
    /// A codec for rows of these columns.
    ///
    /// # Errors
    /// If a type has no row encoding.
    pub(crate) fn new(fields: &[FieldRef]) -> Result<Self, ArrowError> {
        let columns = fields.iter().map(|field| SortField::new(field.data_type().clone())).collect();
        Ok(Self { converter: RowConverter::new(columns)? })
    }

    /// The rows of `columns`.
    ///
    /// # Errors
    /// If the columns are not of the codec's types.
    pub(crate) fn encode(&self, columns: &[ArrayRef]) -> Result<Rows, ArrowError> {
        self.converter.convert_columns(columns)
    }

    /// The columns of encoded rows. The bytes must come from [`encode`](Self::encode) of a codec of the same columns: stores and
    /// changelogs are checksummed below this, so anything else is a mistake of the program.
    ///
    /// # Errors
    /// If text in them is not UTF-8.
    pub(crate) fn decode<'a>(&self, rows: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>, ArrowError> {
        let parser = self.converter.parser();
        self.converter.convert_rows(rows.into_iter().map(|row| parser.parse(row)))
    }

    /// The rows as one column of bytes, `rows` of them even if there is no column.
    ///
    /// # Errors
    /// As [`encode_binary`](Self::encode_binary).
    pub(crate) fn encode_rows(&self, columns: &[ArrayRef], rows: usize) -> Result<BinaryArray, ArrowError> {
        if columns.is_empty() { Ok(vec![&[][..]; rows].into()) } else { self.encode_binary(columns) }
    }

    /// The rows as one column of bytes.
    ///
    /// # Errors
    /// If the columns are not of the codec's types, or too large for one column.
    pub(crate) fn encode_binary(&self, columns: &[ArrayRef]) -> Result<BinaryArray, ArrowError> {
        self.encode(columns)?.try_into_binary()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{BooleanArray, Float64Array, Int64Array, StringArray},
        datatypes::Field,
    };

    use super::*;

    fn check(column: ArrayRef, expected: &[u8]) {
        let field = Arc::new(Field::new("a", column.data_type().clone(), true));
        let codec = RowCodec::new(&[field]).expect("encodable");
        let bytes = codec.encode_binary(&[Arc::clone(&column)]).expect("encodes");
        assert_eq!(bytes.value(0), expected, "{}", column.data_type());
        assert_eq!(&codec.decode(bytes.iter().flatten()).expect("decodes")[0], &column);
    }

    #[test]
    fn encodings_are_those_that_stores_on_disk_hold() {
        check(Arc::new(Int64Array::from(vec![1])), &[1, 0x80, 0, 0, 0, 0, 0, 0, 1]);
        check(Arc::new(Int64Array::from(vec![None])), &[0; 9]);
        check(Arc::new(BooleanArray::from(vec![true])), &[1, 1]);
        check(Arc::new(Float64Array::from(vec![1.5])), &[1, 0xbf, 0xf8, 0, 0, 0, 0, 0, 0]);
        check(Arc::new(StringArray::from(vec!["ab"])), &[2, b'a', b'b', 0, 0, 0, 0, 0, 0, 2]);
        check(Arc::new(StringArray::from(vec![""])), &[1]);
    }
}
