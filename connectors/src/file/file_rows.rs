//! The rows of one file, whatever its format, as records: what the file source and the S3 source share.
//!
//! The value is a JSON object: a line of NDJSON as it is, a row of CSV with the names of its header line (types: see `csv_rows`), a row of
//! Parquet or Avro with its columns. A position is the byte and line at which the next row begins; of Parquet and Avro only the number of the
//! row, which stands in place of the line.

use std::{fs::File, io};

use millstream::{
    connect::PollLimits,
    record::{Header, RecordRef, Timestamp},
};

use super::{
    DecodedRow, FileFormat,
    csv_rows::CsvRows,
    json_rows::JsonRows,
    row_reader::{Defect, Next, Row, RowPosition, RowReader, RowRules},
    source_output::SourceOutput,
};
use crate::file_format::JsonLines;

/// What rows look like and what of them makes key and time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowShape {
    pub(crate) format: FileFormat,
    pub(crate) key_field: Option<String>,
    pub(crate) timestamp_field: Option<String>,
}

/// How a file is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Storage {
    pub(crate) compressed: bool,
    /// Whether it still grows: a row that is not complete at the end is not a row yet.
    pub(crate) follow: bool,
}

/// Why a file cannot be read on.
#[derive(Debug)]
pub(crate) enum RowsError {
    Io(io::Error),
    /// What it is as a whole.
    Content(String),
}

impl From<io::Error> for RowsError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Why reading stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    Limit,
    /// The end for now.
    Pending,
    End,
}

enum Input {
    Text(Box<RowReader>),
    Columns(Box<JsonLines>),
}

enum Decoder {
    Json(JsonRows),
    Csv(CsvRows),
}

/// Reads the rows of one file.
pub(crate) struct FileRows {
    input: Input,
    shape: RowShape,
    /// How the file is called in dead letters.
    label: String,
    /// `None`: CSV whose header line is not there yet.
    decoder: Option<Decoder>,
    decoded: DecodedRow,
    /// Behind the rows handed out.
    at: RowPosition,
}

impl FileRows {
    /// Reads from `at` on; `seen` is given the bytes of a CSV header line that was not read before.
    pub(crate) fn open(
        file: File,
        shape: RowShape,
        storage: Storage,
        label: String,
        at: RowPosition,
        seen: &mut dyn FnMut(&[u8]),
    ) -> Result<Self, RowsError> {
        let json = Decoder::Json(JsonRows::new(shape.key_field.as_deref(), shape.timestamp_field.as_deref()));
        let text = |file, csv_delimiter| -> Result<Input, RowsError> {
            let rules = RowRules { csv_delimiter, follow: storage.follow };
            Ok(Input::Text(Box::new(RowReader::open(file, storage.compressed, rules)?)))
        };
        let (input, decoder) = match &shape.format {
            FileFormat::Json => (text(file, None)?, Some(json)),
            FileFormat::Csv(options) => (text(file, Some(options.delimiter))?, None),
            FileFormat::Avro => {
                (Input::Columns(Box::new(JsonLines::avro(file, at.lines).map_err(RowsError::Content)?)), Some(json))
            }
            FileFormat::Parquet => {
                (Input::Columns(Box::new(JsonLines::parquet(file, at.lines).map_err(RowsError::Content)?)), Some(json))
            }
        };
        let mut rows = Self { input, shape, label, decoder, decoded: DecodedRow::default(), at };
        if at.byte > 0 {
            rows.read_header(seen)?;
            if let Input::Text(reader) = &mut rows.input {
                reader.seek(at)?;
            }
        }
        Ok(rows)
    }

    /// Where the next row begins.
    pub(crate) fn position(&self) -> RowPosition {
        self.at
    }

    /// How far the file is read, in bytes as they are stored; `None` where only rows are counted.
    pub(crate) fn stored_bytes_read(&self) -> Option<u64> {
        match &self.input {
            Input::Text(reader) => Some(reader.stored_bytes_read()),
            Input::Columns(_) => None,
        }
    }

    /// Reads the header line of CSV, if it is there; rows begin behind it.
    fn read_header(&mut self, seen: &mut dyn FnMut(&[u8])) -> Result<(), RowsError> {
        let (FileFormat::Csv(options), Input::Text(reader)) = (&self.shape.format, &mut self.input) else {
            return Ok(());
        };
        match reader.next()? {
            Next::Pending | Next::End => return Ok(()),
            Next::Row(row) if row.defect.is_some() => {
                return Err(RowsError::Content("the header line is not readable".to_owned()));
            }
            Next::Row(row) => {
                let names = CsvRows::new(
                    row.text,
                    options,
                    self.shape.key_field.as_deref(),
                    self.shape.timestamp_field.as_deref(),
                );
                self.decoder = Some(Decoder::Csv(names.map_err(RowsError::Content)?));
                if self.at.byte == 0 {
                    seen(row.raw);
                }
            }
        }
        if self.at.byte == 0 {
            self.at = reader.position();
        }
        Ok(())
    }

    /// Reads rows into `output` until a limit; `seen` is given the bytes of each row of a text.
    pub(crate) fn poll(
        &mut self,
        output: &mut SourceOutput,
        limits: PollLimits,
        now: Timestamp,
        keyless: &mut u64,
        seen: &mut dyn FnMut(&[u8]),
    ) -> Result<Reached, RowsError> {
        if self.decoder.is_none() {
            self.read_header(seen)?;
        }
        let Some(decoder) = &mut self.decoder else { return Ok(Reached::Pending) };
        while output.rows() < limits.rows && output.bytes() < limits.bytes {
            match &mut self.input {
                Input::Text(reader) => {
                    let row = match reader.next()? {
                        Next::Row(row) => row.without_byte_order_mark(),
                        Next::Pending => return Ok(Reached::Pending),
                        Next::End => return Ok(Reached::End),
                    };
                    seen(row.raw);
                    if row.defect.is_some() || !row.text.iter().all(u8::is_ascii_whitespace) {
                        take_text(decoder, &row, &mut self.decoded, output, now, keyless, &self.label);
                    }
                    self.at = reader.position();
                }
                Input::Columns(lines) => {
                    let number = lines.row();
                    match lines.next().map_err(RowsError::Content)? {
                        None => return Ok(Reached::End),
                        Some(Ok(line)) => {
                            take_line(decoder, line, number, &mut self.decoded, output, now, keyless, &self.label);
                        }
                        Some(Err(reason)) => reject_row(output, &[], number, now, reason, &self.label),
                    }
                    self.at.lines = number + 1;
                }
            }
        }
        Ok(Reached::Limit)
    }
}

impl Decoder {
    fn decode(&mut self, row: &[u8], decoded: &mut DecodedRow) -> Result<(), String> {
        decoded.has_key = false;
        decoded.timestamp = None;
        match self {
            Self::Json(rows) => rows.decode(row, decoded),
            Self::Csv(rows) => rows.decode(row, decoded),
        }
    }
}

/// Adds the record that was decoded from a row.
fn push(text: &[u8], is_csv: bool, decoded: &DecodedRow, output: &mut SourceOutput, now: Timestamp, keyless: &mut u64) {
    let value = if is_csv { decoded.value.as_slice() } else { text };
    let key = decoded.has_key.then_some(decoded.key.as_slice());
    output.push(key, value, decoded.timestamp.map_or(now, Timestamp), keyless);
}

fn take_text(
    decoder: &mut Decoder,
    row: &Row<'_>,
    decoded: &mut DecodedRow,
    output: &mut SourceOutput,
    now: Timestamp,
    keyless: &mut u64,
    label: &str,
) {
    let outcome = match row.defect {
        Some(Defect::TooLong { dropped }) => {
            Err(format!("the line is too long; its last {dropped} bytes are left out here"))
        }
        Some(Defect::OpenQuote) => Err("a quote that is opened here is not closed".to_owned()),
        None => decoder.decode(row.text, decoded),
    };
    match outcome {
        Ok(()) => push(row.text, matches!(decoder, Decoder::Csv(_)), decoded, output, now, keyless),
        Err(reason) => {
            let headers = [
                header("reason", reason),
                header("file", label.to_owned()),
                header("line", row.line.to_string()),
                header("byte", row.byte.to_string()),
            ];
            output.reject(RecordRef { key: None, value: Some(row.text), timestamp: now, headers: &headers });
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "the parts of a reader that are borrowed at the same time")]
fn take_line(
    decoder: &mut Decoder,
    line: &[u8],
    number: u64,
    decoded: &mut DecodedRow,
    output: &mut SourceOutput,
    now: Timestamp,
    keyless: &mut u64,
    label: &str,
) {
    match decoder.decode(line, decoded) {
        Ok(()) => push(line, false, decoded, output, now, keyless),
        Err(reason) => reject_row(output, line, number, now, reason, label),
    }
}

/// A dead letter of a file whose rows have numbers.
fn reject_row(output: &mut SourceOutput, line: &[u8], number: u64, now: Timestamp, reason: String, label: &str) {
    let headers = [header("reason", reason), header("file", label.to_owned()), header("row", number.to_string())];
    output.reject(RecordRef { key: None, value: Some(line), timestamp: now, headers: &headers });
}

fn header(name: &str, value: String) -> Header {
    Header { name: name.into(), value: Some(value.into_bytes()) }
}
