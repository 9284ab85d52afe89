//! Answers that are tables of text: SHOW, DESCRIBE, EXPLAIN.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};

use crate::response::{Response, Rows};

/// A table under construction.
pub(super) struct TextTable {
    names: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl TextTable {
    /// A table of these columns.
    pub(super) fn new(names: &[&'static str]) -> Self {
        Self { names: names.to_vec(), rows: Vec::new() }
    }

    /// Adds a row, one text a column.
    pub(super) fn row(&mut self, row: Vec<String>) {
        debug_assert_eq!(row.len(), self.names.len(), "one text a column");
        self.rows.push(row);
    }

    /// The finished answer.
    pub(super) fn into_response(self) -> Response {
        let fields: Vec<Field> = self.names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let column = |index: usize| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(
                self.rows.iter().map(|row| row.get(index).map_or("", String::as_str)),
            ))
        };
        let columns = (0..self.names.len()).map(column).collect();
        // The columns are made for the schema just above.
        let batches = RecordBatch::try_new(Arc::clone(&schema), columns).into_iter().collect();
        Response::Rows(Rows { schema, batches })
    }
}
