//! Record encoder: rows to records, key and value in their formats. What sinks have in common.

use std::sync::Arc;

use arrow::{
    array::{AsArray, BinaryArray},
    datatypes::Int64Type,
};

use crate::{
    Batch,
    format::{Format, FormatError, Serializer, Side, Wrapping},
    record::{Records, headers_of},
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

    /// The records of a batch, in the order of its rows.
    ///
    /// # Errors
    /// [`FormatError`] if a row cannot be written.
    pub(crate) fn encode(&mut self, batch: &Batch) -> Result<EncodedRows, FormatError> {
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
