//! Files as sources and sinks.
//!
//! [`FileSource`] reads NDJSON, CSV, Avro or Parquet; text plain or `.zst`, and may follow a plain file as it grows; [`FileSink`] writes
//! NDJSON, [`DirectorySink`] files of CSV, Avro or Parquet, both exactly once. A file that is read or goes on being written is recognised across
//! restarts by its length and a fingerprint of its first bytes, never taken for another one that happens to have its name.

#[cfg(test)]
mod columns_tests;
mod csv_rows;
mod directory_sink;
mod file_rows;
mod fingerprint;
mod json_rows;
mod lock;
mod row_reader;
mod sink;
mod source;
mod source_output;
#[cfg(test)]
mod tests;
mod timestamp_text;

pub use directory_sink::{DirectorySink, DirectorySinkWriter};
pub(crate) use file_rows::{FileRows, Reached, RowShape, RowsError, Storage};
pub(crate) use row_reader::RowPosition;
pub use sink::{FileSink, FileSinkWriter, LineShape};
pub(crate) use sink::{push_envelope, push_value};
pub use source::{CsvOptions, FileFormat, FileSource, FileSourceReader};
pub(crate) use source_output::SourceOutput;
pub(crate) use timestamp_text::parse_timestamp;

/// What a row decoder makes of one row. Buffers are kept from row to row.
#[derive(Debug, Default)]
struct DecodedRow {
    /// The key in KAFKA STRING form; meaningful if `has_key`.
    key: Vec<u8>,
    has_key: bool,
    /// Event time in ms, if the configuration names a field for it.
    timestamp: Option<i64>,
    /// The value, unless the row itself is the value.
    value: Vec<u8>,
}
