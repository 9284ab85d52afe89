//! Parquet and Avro files as lines of JSON: one object a row, whose fields are the columns.
//!
//! Rows come in the order of the file and are numbered from 0. Parquet is read by row groups and pages, Avro by blocks; neither is ever whole
//! in memory. A row that cannot be JSON is an error of its own and does not end the file; a broken file does.

use std::{
    fs::File,
    io::{BufReader, Seek, SeekFrom},
};

use apache_avro::{Reader, Schema};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::{avro_json::json_of, text_file::json_lines};

const BATCH_ROWS: usize = 1024;

/// Reads rows as lines.
pub(crate) struct JsonLines {
    source: Rows,
    line: Vec<u8>,
    /// The number of the next row.
    next: u64,
}

enum Rows {
    Parquet { batches: ParquetRecordBatchReader, text: Vec<u8>, at: usize },
    Avro { values: Box<Reader<'static, BufReader<File>>>, schema: Box<Schema> },
}

/// A line, or what is wrong with the row.
pub(crate) type Line<'a> = Result<&'a [u8], String>;

impl JsonLines {
    /// The rows of a Parquet file from row `skip` on.
    pub(crate) fn parquet(file: File, skip: u64) -> Result<Self, String> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| error.to_string())?;
        let skipped = usize::try_from(skip).map_err(|_| "too many rows".to_owned())?;
        let batches = builder.with_batch_size(BATCH_ROWS).with_offset(skipped).build();
        let batches = batches.map_err(|error| error.to_string())?;
        Ok(Self { source: Rows::Parquet { batches, text: Vec::new(), at: 0 }, line: Vec::new(), next: skip })
    }

    /// The rows of an Avro container file from row `skip` on.
    pub(crate) fn avro(mut file: File, skip: u64) -> Result<Self, String> {
        file.seek(SeekFrom::Start(0)).map_err(|error| error.to_string())?;
        let values = Reader::new(BufReader::new(file)).map_err(|error| error.to_string())?;
        let schema = values.writer_schema().clone();
        let source = Rows::Avro { values: Box::new(values), schema: Box::new(schema) };
        let mut lines = Self { source, line: Vec::new(), next: 0 };
        while lines.next < skip {
            if lines.next()?.is_none() {
                return Err(format!("it has {} rows, fewer than the {skip} already read", lines.next));
            }
        }
        Ok(lines)
    }

    /// The number of the next row, from 0.
    pub(crate) fn row(&self) -> u64 {
        self.next
    }

    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// What is wrong with the file as a whole.
    pub(crate) fn next(&mut self) -> Result<Option<Line<'_>>, String> {
        match &mut self.source {
            Rows::Parquet { batches, text, at } => {
                while *at == text.len() {
                    let Some(batch) = batches.next() else { return Ok(None) };
                    text.clear();
                    *at = 0;
                    json_lines(&batch.map_err(|error| error.to_string())?, text)?;
                }
                let length = text[*at..].iter().position(|byte| *byte == b'\n').unwrap_or(text.len() - *at);
                let line = &text[*at..*at + length];
                *at = (*at + length + 1).min(text.len());
                self.next += 1;
                Ok(Some(Ok(line)))
            }
            Rows::Avro { values, schema } => {
                let Some(value) = values.next() else { return Ok(None) };
                let value = value.map_err(|error| error.to_string())?;
                self.next += 1;
                let json = match json_of(&value, Some(schema), 0) {
                    Ok(json) => json,
                    Err(problem) => return Ok(Some(Err(problem))),
                };
                self.line.clear();
                serde_json::to_writer(&mut self.line, &json).map_err(|error| error.to_string())?;
                Ok(Some(Ok(&self.line)))
            }
        }
    }
}
