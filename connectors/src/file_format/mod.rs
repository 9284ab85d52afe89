//! Formats of files of rows: NDJSON, CSV, Avro and Parquet, written from columns and read into lines of JSON.
//!
//! A [`RowsFile`] is one file while it is written: batches of columns go in, finished bytes can be taken out at any time, so that a large
//! file need not be held in memory. The file system and S3 take the bytes alike. [`JsonLines`] reads the formats that are no text.
//!
//! Invariant: the bytes of a file depend on its rows, on how they were cut into batches and on nothing else; no clock, no chance. (The entries of Avro maps are the exception: they
//! have no order.)

mod avro_file;
mod avro_json;
mod avro_value;
mod json_lines;
mod kind;
mod parquet_file;
mod row_maker;
mod text_file;

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, SchemaRef},
};

pub(crate) use json_lines::JsonLines;
pub use kind::{Compression, WrittenFormat};
pub(crate) use row_maker::{Made, RowMaker, end_of};
pub(crate) use text_file::LinesFile;

/// A file while rows are written to it.
pub(crate) trait RowsFile: Send {
    /// Adds rows.
    fn write(&mut self, batch: &RecordBatch) -> Result<(), String>;

    /// How long the file is by now: exact for what has been put out, estimated for what is still being encoded.
    fn bytes(&self) -> u64;

    /// What it holds in memory, in bytes.
    fn buffered(&self) -> usize;

    /// Takes the bytes that are finished, in the order of the file.
    fn take(&mut self) -> Vec<u8>;

    /// Ends the file; returns the bytes that were not yet taken.
    fn finish(self: Box<Self>) -> Result<Vec<u8>, String>;
}

/// A new file of these columns.
///
/// # Errors
/// What is wrong with the columns for the format.
pub(crate) fn new_file(format: WrittenFormat, schema: &SchemaRef) -> Result<Box<dyn RowsFile>, String> {
    check_columns(format, schema)?;
    Ok(match format {
        WrittenFormat::Json(compression) => Box::new(text_file::TextFile::json(compression)?),
        WrittenFormat::Csv(compression) => Box::new(text_file::TextFile::csv(compression)?),
        WrittenFormat::Avro(compression) => Box::new(avro_file::AvroFile::new(schema, compression)?),
        WrittenFormat::Parquet(compression) => Box::new(parquet_file::ParquetFile::new(schema, compression)?),
    })
}

/// Whether a format can hold the columns; the error names the first that it cannot.
pub(crate) fn check_columns(format: WrittenFormat, schema: &SchemaRef) -> Result<(), String> {
    if let (WrittenFormat::Csv(_), Some(nested)) =
        (format, schema.fields().iter().find(|field| field.data_type().is_nested()))
    {
        return Err(format!(
            "column {} is {}, which csv cannot hold; use json, avro or parquet, or leave the column out",
            nested.name(),
            nested.data_type()
        ));
    }
    if let WrittenFormat::Avro(_) = format {
        avro_file::avro_schema(schema)?;
    }
    Ok(())
}

/// Whether values of a type can be the name of a directory.
pub(crate) fn is_scalar(data_type: &DataType) -> bool {
    !data_type.is_nested()
        && !matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_))
}

#[cfg(test)]
mod tests;
