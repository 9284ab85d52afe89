//! The columns of a batch of records, and the rows among them that could not be decoded.

use arrow::{
    array::{ArrayRef, BooleanArray},
    buffer::BooleanBuffer,
    compute::nullif,
    datatypes::FieldRef,
};

use super::ColumnBuilder;
use crate::format::{DecodeError, Decoded, error::FormatError};

/// The columns that are read, while they are built.
#[derive(Debug)]
pub(in crate::format) struct RowBuilder {
    /// One a field, in order.
    pub(in crate::format) columns: Vec<ColumnBuilder>,
    rows: usize,
    errors: Vec<DecodeError>,
}

impl RowBuilder {
    /// Columns for `fields`.
    ///
    /// # Errors
    /// [`FormatError::UnsupportedType`].
    pub(in crate::format) fn new(fields: &[FieldRef], format: &'static str) -> Result<Self, FormatError> {
        let column = |field: &FieldRef| ColumnBuilder::new(field.data_type(), field.name(), format);
        Ok(Self { columns: fields.iter().map(column).collect::<Result<_, _>>()?, rows: 0, errors: Vec::new() })
    }

    /// Ends a row: a row of nulls.
    pub(in crate::format) fn push_nulls(&mut self) {
        self.columns.iter_mut().for_each(ColumnBuilder::push_null);
        self.rows += 1;
    }

    /// Ends a row to which every column has got its value, or, after an error, some have and some have not.
    pub(in crate::format) fn end_row(&mut self, outcome: Result<(), String>) {
        self.rows += 1;
        match outcome {
            Ok(()) => debug_assert!(self.columns.iter().all(|column| column.len() == self.rows)),
            Err(problem) => self.fail(problem),
        }
    }

    #[cold]
    fn fail(&mut self, problem: String) {
        self.errors.push(DecodeError { row: self.rows - 1, problem });
        let rows = self.rows;
        for column in &mut self.columns {
            column.settle();
            if column.len() < rows {
                column.push_null();
            }
        }
    }

    /// Nothing, because the batch cannot be decoded now.
    pub(in crate::format) fn give_up(&mut self, failure: FormatError) -> Decoded {
        self.columns.iter_mut().for_each(|column| {
            column.settle();
            column.finish();
        });
        (self.rows, self.errors) = (0, Vec::new());
        Decoded { columns: Vec::new(), errors: Vec::new(), failure: Some(failure) }
    }

    /// The columns of all rows, with the rows that cannot be decoded nulled.
    pub(in crate::format) fn finish(&mut self) -> Decoded {
        let rows = std::mem::take(&mut self.rows);
        let errors = std::mem::take(&mut self.errors);
        let mut columns: Vec<ArrayRef> = self.columns.iter_mut().map(ColumnBuilder::finish).collect();
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
