//! Record encoder: rows to records, key and value in their formats. What sinks have in common.
//!
//! A row that its format cannot hold, or that is larger than the log takes, spoils no other one. It is looked for by halves, so that a batch
//! without such a row costs nothing.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{AsArray, BinaryArray},
    datatypes::Int64Type,
};

use super::Reason;
use crate::{
    Batch,
    format::{Format, FormatError, Serializer, Side, Wrapping},
    record::{RecordRef, Records, headers_of},
    schema::StreamSchema,
    window::with_windows,
};

/// How rows are written.
#[derive(Debug, Clone)]
pub struct RecordFormats {
    /// How keys are written.
    pub key: Format,
    /// How values are written.
    pub value: Format,
    /// Whether a single value column is a field of a record.
    pub wrapping: Wrapping,
    /// Whether keys were computed: one of several columns, all null, is then a key of nulls and not the lack of a key.
    pub computed_keys: bool,
}

/// Writes rows as records.
pub(crate) struct RecordEncoder {
    schema: Arc<StreamSchema>,
    key: Box<dyn Serializer>,
    value: Box<dyn Serializer>,
}

/// The records of a batch, one a row.
pub(crate) struct EncodedRows {
    pub(crate) records: Records,
    /// Keys without windows: they decide the partition, so that all windows of a key stay together.
    pub(crate) bare_keys: BinaryArray,
}

/// What was made of a batch: stretches of it that are written, and rows that are not, with why.
#[derive(Default)]
pub(crate) struct Written {
    pub(crate) parts: Vec<(Range<usize>, EncodedRows)>,
    pub(crate) rejected: Vec<(usize, Reason, String)>,
}

impl RecordEncoder {
    /// An encoder of rows of these columns.
    ///
    /// # Errors
    /// [`FormatError`] if the formats cannot hold the columns.
    pub(crate) fn new(formats: &RecordFormats, schema: Arc<StreamSchema>) -> Result<Self, FormatError> {
        let keeps_nulls = formats.computed_keys
            && schema.key().len() > 1
            && matches!(formats.key, Format::Json | Format::Delimited { .. });
        // These formats write both sides alike but for rows of nulls.
        let side = if keeps_nulls { Side::Value } else { Side::Key };
        let key = formats.key.serializer(side, Wrapping::Wrapped, schema.key())?;
        let value = formats.value.serializer(Side::Value, formats.wrapping, schema.value())?;
        Ok(Self { schema, key, value })
    }

    /// The records of a batch, in the order of its rows, but for those that cannot be written or are larger than `most` bytes.
    ///
    /// # Errors
    /// [`FormatError`] if no row can be written, whatever it holds: a registry that is away, for one.
    pub(crate) fn write(&mut self, batch: &Batch, most: usize) -> Result<Written, FormatError> {
        let mut written = Written::default();
        self.write_range(batch, 0..batch.len(), most, &mut written)?;
        Ok(written)
    }

    fn write_range(
        &mut self,
        batch: &Batch,
        rows: Range<usize>,
        most: usize,
        written: &mut Written,
    ) -> Result<(), FormatError> {
        let (reason, problem) = match self.encode(&batch.slice(rows.start, rows.len())) {
            Ok(encoded) => match too_large(&encoded.records, most) {
                None => {
                    written.parts.push((rows, encoded));
                    return Ok(());
                }
                Some(bytes) => (Reason::TooLarge, format!("the record has {bytes} bytes, the log takes {most}")),
            },
            Err(error) if error.is_of_values() => (Reason::Unwritable, error.to_string()),
            Err(error) => return Err(error),
        };
        if rows.len() <= 1 {
            written.rejected.extend(rows.map(|row| (row, reason, problem.clone())));
            return Ok(());
        }
        let middle = rows.start + rows.len() / 2;
        self.write_range(batch, rows.start..middle, most, written)?;
        self.write_range(batch, middle..rows.end, most, written)
    }

    /// The records of a batch, in the order of its rows.
    fn encode(&mut self, batch: &Batch) -> Result<EncodedRows, FormatError> {
        let key_columns = self.schema.key().len();
        let bare_keys = self.key.encode(&batch.keys()[..key_columns], batch.len(), None)?;
        let values = self.value.encode(batch.values(), batch.len(), batch.present())?;
        let keys = match batch.keys()[key_columns..] {
            [ref starts, ref ends] => {
                let (starts, ends) = (starts.as_primitive::<Int64Type>(), ends.as_primitive::<Int64Type>());
                with_windows(self.schema.window(), &bare_keys, starts, ends)
            }
            _ => bare_keys.clone(),
        };
        let headers = batch.headers().map(|headers| headers_of(headers).into());
        let records = Records::new(keys, values, batch.times().clone(), headers);
        Ok(EncodedRows { records, bare_keys })
    }
}

/// The bytes of the first record that has more than `most`, if any has.
fn too_large(records: &Records, most: usize) -> Option<usize> {
    if records.payload_bytes() <= most && records.headers().is_none() {
        return None;
    }
    let bytes = |record: RecordRef<'_>| {
        let headers = record.headers.iter().map(|header| header.name.len() + header.value.as_ref().map_or(0, Vec::len));
        record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + headers.sum::<usize>()
    };
    records.iter().map(bytes).find(|&bytes| bytes > most)
}
