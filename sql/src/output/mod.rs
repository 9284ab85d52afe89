//! Answers as text: rows of Arrow batches as a table for people, as JSON lines, or as CSV.
//!
//! - [`json`]: one object a row, in column order; numbers as numbers, times as ISO 8601 text, bytes as base64, nulls kept
//! - [`csv`]: RFC 4180 with a header; null is an empty field, empty text is `""`
//! - [`table`]: a finite table, laid out when all of it is known
//! - [`live_table`]: rows as they come, under one header with fixed widths
//! - [`cell`]: the text of one value, shared by the tables and CSV
//!
//! Invariant: what comes from data never reaches a terminal as a control character.

pub mod cell;
pub mod csv;
pub mod json;
pub mod live_table;
pub mod table;

use std::io::{self, Write};

use arrow::{array::RecordBatch, datatypes::SchemaRef, error::ArrowError};

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum OutputFormat {
    /// A drawn table, numbers to the right, nulls as NULL.
    #[default]
    Table,
    /// A JSON object a row.
    Json,
    /// RFC 4180 with a header line.
    Csv,
}

/// Why rows could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// Writing failed. A closed pipe is one of these: see [`is_closed_pipe`](Self::is_closed_pipe).
    #[error("cannot write the result: {0}")]
    Io(#[from] io::Error),
    /// A column of a type that has no text form.
    #[error("cannot show the result: {0}")]
    Type(#[source] ArrowError),
}

impl OutputError {
    /// Whether the reader has gone, as `head` does: no reason for an error message.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// An [`ArrowError`] that wraps a failed write is that failed write.
impl From<ArrowError> for OutputError {
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::IoError(_, error) => Self::Io(error),
            error => Self::Type(error),
        }
    }
}

/// Writes a finite result. `width` is that of the terminal, if there is one: tables cut long cells to fit it.
///
/// # Errors
/// [`OutputError`].
pub fn write_rows(
    format: OutputFormat,
    schema: &SchemaRef,
    batches: &[RecordBatch],
    width: Option<usize>,
    out: &mut dyn Write,
) -> Result<(), OutputError> {
    match format {
        OutputFormat::Table => table::write(schema, batches, width, out)?,
        OutputFormat::Json | OutputFormat::Csv => {
            let mut writer = LiveWriter::new(format, schema, width);
            for batch in batches {
                writer.write(batch, out)?;
            }
            writer.finish(out)?;
        }
    }
    out.flush()?;
    Ok(())
}

/// Writes rows as they come.
#[derive(Debug)]
pub struct LiveWriter {
    kind: LiveKind,
}

#[derive(Debug)]
enum LiveKind {
    Table(live_table::LiveTable),
    Json,
    Csv(csv::CsvWriter),
}

impl LiveWriter {
    /// A writer for rows with the columns of `schema`.
    pub fn new(format: OutputFormat, schema: &SchemaRef, width: Option<usize>) -> Self {
        let kind = match format {
            OutputFormat::Table => LiveKind::Table(live_table::LiveTable::new(schema, width)),
            OutputFormat::Json => LiveKind::Json,
            OutputFormat::Csv => LiveKind::Csv(csv::CsvWriter::new(schema)),
        };
        Self { kind }
    }

    /// Writes the rows of `batch` and flushes, so that they are seen at once.
    ///
    /// # Errors
    /// [`OutputError`].
    pub fn write(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), OutputError> {
        match &mut self.kind {
            LiveKind::Table(table) => table.write(batch, out)?,
            LiveKind::Json => json::write(batch, out)?,
            LiveKind::Csv(csv) => csv.write(batch, out)?,
        }
        out.flush()?;
        Ok(())
    }

    /// Ends the result: a header without rows is written now, a live table is told how many rows it had.
    ///
    /// # Errors
    /// [`OutputError`].
    pub fn finish(self, out: &mut dyn Write) -> Result<(), OutputError> {
        match self.kind {
            LiveKind::Table(table) => table.finish(out)?,
            LiveKind::Json => {}
            LiveKind::Csv(csv) => csv.finish(out)?,
        }
        out.flush()?;
        Ok(())
    }
}

/// `1 row`, `12,345 rows`.
pub fn count_rows(rows: usize) -> String {
    format!("{} {}", group_digits(rows as u64), if rows == 1 { "row" } else { "rows" })
}

/// `1234567` as `1,234,567`.
pub fn group_digits(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
pub(crate) mod sample {
    //! One table of types and nulls that all writers are tested with.

    use std::sync::Arc;

    use arrow::{
        array::{
            ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, Int64Builder,
            ListBuilder, RecordBatch, StringArray, StructArray, TimestampMillisecondArray,
        },
        datatypes::{DataType, Field},
    };

    /// Two rows of every kind of column: values, then nulls.
    pub(crate) fn batch() -> RecordBatch {
        let mut list = ListBuilder::new(Int64Builder::new());
        list.append_value([Some(1), None]);
        list.append_null();
        let inner = Arc::new(StringArray::from(vec![Some("x\"y"), None])) as ArrayRef;
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("N", Arc::new(Int64Array::from(vec![Some(-7), None]))),
            ("D", Arc::new(Float64Array::from(vec![Some(1.5), None]))),
            ("DEC", Arc::new(decimals())),
            ("T", Arc::new(StringArray::from(vec![Some("a, \"b\"\nc"), None]))),
            ("E", Arc::new(StringArray::from(vec![Some(""), None]))),
            ("B", Arc::new(BooleanArray::from(vec![Some(true), None]))),
            ("DAY", Arc::new(Date32Array::from(vec![Some(11_323), None]))),
            ("TS", Arc::new(TimestampMillisecondArray::from(vec![Some(978_307_260_500), None]))),
            ("BIN", Arc::new(BinaryArray::from(vec![Some(b"\x00\xff".as_slice()), None]))),
            ("L", Arc::new(list.finish())),
            ("S", Arc::new(StructArray::from(vec![(Arc::new(Field::new("F", DataType::Utf8, true)), inner)]))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
            .expect("columns have one length")
    }

    fn decimals() -> Decimal128Array {
        Decimal128Array::from(vec![Some(1_250), None]).with_precision_and_scale(9, 2).expect("legal")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (508_239, "508,239"), (1_234_567, "1,234,567")]
        {
            assert_eq!(group_digits(number), text);
        }
        assert_eq!((count_rows(1), count_rows(0)), ("1 row".to_owned(), "0 rows".to_owned()));
    }

    #[test]
    fn a_closed_pipe_is_recognised_through_arrow() {
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(OutputError::from(ArrowError::IoError("pipe".into(), closed())).is_closed_pipe());
        assert!(OutputError::from(closed()).is_closed_pipe());
        assert!(!OutputError::from(ArrowError::NotYetImplemented("union".into())).is_closed_pipe());
    }
}
