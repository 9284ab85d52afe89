//! Rows as comma-separated values after RFC 4180, with a header line.
//!
//! Lines end in a line feed, as everywhere on the systems this runs on. A null is an empty field and empty text is `""`, so that
//! the two can be told apart. Nested values are JSON text, bytes base64.

use std::{fmt::Write as _, io::Write};

use arrow::{
    array::RecordBatch,
    datatypes::{FieldRef, SchemaRef},
    error::ArrowError,
};

use super::{OutputError, cell::Cells};

/// Writes a header once and then rows.
#[derive(Debug)]
pub struct CsvWriter {
    header: Option<String>,
}

impl CsvWriter {
    /// A writer whose header holds the names of `schema`.
    pub fn new(schema: &SchemaRef) -> Self {
        let mut header = String::new();
        for (place, field) in schema.fields().iter().enumerate() {
            push_field(&mut header, place, Some(field.name()));
        }
        header.push('\n');
        Self { header: Some(header) }
    }

    /// Writes the rows of `batch`, the header before the first.
    ///
    /// # Errors
    /// [`OutputError`]: a failed write, or a type without a text form.
    pub fn write(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), OutputError> {
        let mut text = self.header.take().unwrap_or_default();
        let schema = batch.schema();
        let fields: Vec<&FieldRef> = schema.fields().iter().collect();
        let mut cells = fields
            .iter()
            .zip(batch.columns())
            .map(|(field, column)| Cells::new(field, column))
            .collect::<Result<Vec<_>, ArrowError>>()?;
        for row in 0..batch.num_rows() {
            for (place, cells) in cells.iter_mut().enumerate() {
                push_field(&mut text, place, cells.text(row).as_deref());
            }
            text.push('\n');
        }
        out.write_all(text.as_bytes())?;
        Ok(())
    }

    /// Writes the header if there was no row to write it before.
    ///
    /// # Errors
    /// [`OutputError::Io`].
    pub fn finish(mut self, out: &mut dyn Write) -> Result<(), OutputError> {
        out.write_all(self.header.take().unwrap_or_default().as_bytes())?;
        Ok(())
    }
}

fn push_field(line: &mut String, place: usize, text: Option<&str>) {
    if place > 0 {
        line.push(',');
    }
    match text {
        None => {}
        Some(text) if text.is_empty() || text.contains([',', '"', '\n', '\r']) => {
            write!(line, "\"{}\"", text.replace('"', "\"\"")).expect("a String takes all writes");
        }
        Some(text) => line.push_str(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::sample;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let batch = sample::batch();
        let mut writer = CsvWriter::new(&batch.schema());
        let mut out = Vec::new();
        writer.write(&batch, &mut out).expect("written");
        writer.write(&batch.slice(1, 1), &mut out).expect("written");
        writer.finish(&mut out).expect("written");
        let expected = concat!(
            "N,D,DEC,T,E,B,DAY,TS,BIN,L,S\n",
            "-7,1.5,12.50,\"a, \"\"b\"\"\nc\",\"\",true,2001-01-01,2001-01-01T00:01:00.500,AP8=,\"[1,null]\",",
            "\"{\"\"F\"\":\"\"x\\\"\"y\"\"}\"\n",
            ",,,,,,,,,,\"{\"\"F\"\":null}\"\n",
            ",,,,,,,,,,\"{\"\"F\"\":null}\"\n",
        );
        assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
    }

    #[test]
    fn a_result_without_rows_has_its_header() {
        let mut out = Vec::new();
        CsvWriter::new(&sample::batch().schema()).finish(&mut out).expect("written");
        assert_eq!(out, b"N,D,DEC,T,E,B,DAY,TS,BIN,L,S\n");
    }
}
