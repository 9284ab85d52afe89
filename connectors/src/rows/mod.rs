//! Rows: what sinks with columns write. Records of a topic become rows of columns, keys first.
//!
//! A target with columns (a database table, a Parquet file) needs to know what the bytes of a topic mean. A [`RowFormat`] says it for one topic;
//! [`TopicRows`] holds those of all topics that a sink reads. SQL makes them of the streams and tables that it knows, Rust programs of a
//! [`RecordColumns`]. Sinks of records get rows as JSON (`json_records`).

mod json_records;
mod record_columns;
mod row_reader;
mod topic_rows;

use arrow::{
    array::{ArrayRef, BooleanArray, RecordBatch},
    datatypes::{FieldRef, SchemaRef},
};
use millstream::{
    connect::{ConnectError, RejectedRecord},
    log::FetchedBatch,
    record::TopicPartition,
};

pub(crate) use json_records::{JsonRecords, Originals};
pub use record_columns::RecordColumns;
pub use row_reader::RecordReader;
pub use topic_rows::TopicRows;

/// The columns of rows: those of the key first, window bounds among them, then those of the value. Every column is nullable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowSchema {
    /// All columns, keys first.
    pub columns: SchemaRef,
    /// How many of them make the key; 0 if rows have none.
    pub key_columns: usize,
    /// Whether the records are changes of a table: the newest row of a key counts, and a record without value deletes it. Of a stream each
    /// record is a row of its own.
    pub kind: RowKind,
}

/// What records say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// Each is a row of its own.
    Stream,
    /// Each is the newest row of its key, or its deletion.
    Table,
}

impl RowSchema {
    /// The columns of the key.
    pub fn key(&self) -> &[FieldRef] {
        &self.columns.fields()[..self.key_columns]
    }

    /// The columns of the value.
    pub fn value(&self) -> &[FieldRef] {
        &self.columns.fields()[self.key_columns..]
    }
}

/// How the records of one topic become rows. Shared by the tasks that read it.
pub trait RowFormat: Send + Sync {
    /// The columns.
    fn schema(&self) -> &RowSchema;

    /// What reads records as such rows.
    ///
    /// # Errors
    /// [`ConnectError::Input`] if the format cannot hold the columns.
    fn reader(&self) -> Result<Box<dyn RowReader>, ConnectError>;
}

/// Reads records as rows.
pub trait RowReader: Send {
    /// The rows of a batch.
    ///
    /// # Errors
    /// [`ConnectError::Outside`], to be tried again, if a schema registry cannot be reached.
    fn read(&mut self, partition: &TopicPartition, batch: &FetchedBatch) -> Result<Rows, ConnectError>;
}

/// The rows of a batch of records. Records that cannot be read, and those that a condition leaves out, have none.
#[derive(Debug)]
pub struct Rows {
    /// The columns of [`RowSchema::columns`].
    pub batch: RecordBatch,
    /// The key of each row's record, as the topic has it: a query may have left it out of the columns.
    pub key: RecordBatch,
    /// For each row, the number of its record in the batch that was read, rising.
    pub records: Vec<usize>,
    /// For each row, whether its record has a value; `None`: all have. The value columns of the others are null.
    pub present: Option<BooleanArray>,
    /// The records that cannot be read.
    pub rejected: Vec<RejectedRecord>,
}

impl Rows {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether the record of a row has no value: of a table, the row of its key is deleted.
    pub fn is_tombstone(&self, row: usize) -> bool {
        self.present.as_ref().is_some_and(|present| !present.value(row))
    }

    /// A column.
    pub fn column(&self, column: usize) -> &ArrayRef {
        self.batch.column(column)
    }
}

/// Whether all are true.
fn all(mask: &BooleanArray) -> bool {
    mask.true_count() == mask.len()
}
