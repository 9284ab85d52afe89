//! NONE: a side without columns and without bytes, as the key of a stream that has none.

use arrow::{
    array::{ArrayRef, BinaryArray},
    buffer::NullBuffer,
    datatypes::FieldRef,
};

use super::{
    Decoded, Deserializer, Serializer,
    error::{FormatError, check_arrays, project},
};

/// Reads nothing.
#[derive(Debug)]
pub(super) struct NoneDeserializer;

/// Writes nothing.
#[derive(Debug)]
pub(super) struct NoneSerializer;

fn refuse_columns(fields: &[FieldRef]) -> Result<(), FormatError> {
    match fields.len() {
        0 => Ok(()),
        found => Err(FormatError::TooManyColumns { format: "NONE", limit: "no columns", found }),
    }
}

impl NoneDeserializer {
    /// A reader of no columns.
    ///
    /// # Errors
    /// [`FormatError`] if there are columns.
    pub(super) fn new(fields: &[FieldRef], projection: &[usize]) -> Result<Self, FormatError> {
        refuse_columns(fields)?;
        project(fields, projection).map(|_| Self)
    }
}

impl Deserializer for NoneDeserializer {
    fn decode(&mut self, _bytes: &BinaryArray) -> Decoded {
        Decoded::new(Vec::new(), Vec::new())
    }
}

impl NoneSerializer {
    /// A writer of no columns.
    ///
    /// # Errors
    /// [`FormatError`] if there are columns.
    pub(super) fn new(fields: &[FieldRef]) -> Result<Self, FormatError> {
        refuse_columns(fields).map(|()| Self)
    }
}

impl Serializer for NoneSerializer {
    fn encode(
        &mut self,
        columns: &[ArrayRef],
        rows: usize,
        _present: Option<&NullBuffer>,
    ) -> Result<BinaryArray, FormatError> {
        check_arrays(&[], columns, rows)?;
        Ok(BinaryArray::new_null(rows))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::Array,
        datatypes::{DataType, Field},
    };

    use super::*;

    #[test]
    fn no_columns_no_bytes() {
        let bytes = NoneSerializer::new(&[]).expect("no columns").encode(&[], 3, None).expect("no columns");
        assert_eq!((bytes.len(), bytes.null_count()), (3, 3));
        let decoded = NoneDeserializer::new(&[], &[]).expect("no columns").decode(&BinaryArray::from_vec(vec![b"x"]));
        assert!(decoded.columns.is_empty() && decoded.errors.is_empty());
    }

    #[test]
    fn columns_are_refused() {
        let field: FieldRef = Arc::new(Field::new("K", DataType::Int32, true));
        let error = NoneSerializer::new(&[field]).expect_err("there is a column");
        assert_eq!(
            error.to_string(),
            "the NONE format holds no columns, but there are 1 columns; choose another format"
        );
    }
}
