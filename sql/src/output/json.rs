//! Rows as JSON objects, one a line.
//!
//! Keys are the column names in order; nulls are written; numbers, decimals included, are numbers; dates and times are ISO 8601
//! text; bytes are base64 text.

use std::{io::Write, sync::Arc};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{DataType, FieldRef},
    error::ArrowError,
    json::{
        Encoder, EncoderFactory, EncoderOptions, WriterBuilder,
        writer::{LineDelimited, NullableEncoder, make_encoder},
    },
};
use base64::{Engine, prelude::BASE64_STANDARD};

use super::OutputError;

/// Writes the rows of `batch`, one object a line.
///
/// # Errors
/// [`OutputError`]: a failed write, or a type that JSON cannot hold.
pub fn write(batch: &RecordBatch, out: &mut dyn Write) -> Result<(), OutputError> {
    let builder = WriterBuilder::new().with_explicit_nulls(true).with_encoder_factory(Arc::new(Base64Factory));
    let mut writer = builder.build::<_, LineDelimited>(out);
    writer.write(batch)?;
    writer.finish()?;
    Ok(())
}

/// The values of one column as JSON texts.
pub struct Values<'a> {
    encoder: NullableEncoder<'a>,
    buffer: Vec<u8>,
}

impl<'a> Values<'a> {
    /// Prepares `column`.
    ///
    /// # Errors
    /// If its type has no JSON form.
    pub fn new(field: &'a FieldRef, column: &'a dyn Array) -> Result<Self, ArrowError> {
        static OPTIONS: std::sync::LazyLock<EncoderOptions> = std::sync::LazyLock::new(|| {
            EncoderOptions::default().with_explicit_nulls(true).with_encoder_factory(Arc::new(Base64Factory))
        });
        Ok(Self { encoder: make_encoder(field, column, &OPTIONS)?, buffer: Vec::new() })
    }

    /// The value of row `row`, which must not be null.
    pub fn text(&mut self, row: usize) -> String {
        self.buffer.clear();
        self.encoder.encode(row, &mut self.buffer);
        String::from_utf8_lossy(&self.buffer).into_owned()
    }
}

/// Has bytes written as base64, where Arrow would write hexadecimal digits.
#[derive(Debug)]
struct Base64Factory;

impl EncoderFactory for Base64Factory {
    fn make_default_encoder<'a>(
        &self,
        _field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        Ok(match array.data_type() {
            DataType::Binary => Some(NullableEncoder::new(Box::new(Base64Bytes(array)), array.nulls().cloned())),
            _ => None,
        })
    }
}

struct Base64Bytes<'a>(&'a dyn Array);

impl Encoder for Base64Bytes<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        out.push(b'"');
        out.extend_from_slice(BASE64_STANDARD.encode(self.0.as_binary::<i32>().value(row)).as_bytes());
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::sample;

    #[test]
    fn rows_are_objects_in_column_order() {
        let mut out = Vec::new();
        write(&sample::batch(), &mut out).expect("written");
        let text = String::from_utf8(out).expect("UTF-8");
        let values = r#"{"N":-7,"D":1.5,"DEC":12.50,"T":"a, \"b\"\nc","E":"","B":true,"DAY":"2001-01-01","TS":"2001-01-01T00:01:00.500","BIN":"AP8=","L":[1,null],"S":{"F":"x\"y"}}"#;
        let nulls = r#"{"N":null,"D":null,"DEC":null,"T":null,"E":null,"B":null,"DAY":null,"TS":null,"BIN":null,"L":null,"S":{"F":null}}"#;
        assert_eq!(text.lines().collect::<Vec<_>>(), [values, nulls]);
    }
}
