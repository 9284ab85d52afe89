//! Sink: rows to records of a topic, each to the partition of its key.
//!
//! The partition is that of Kafka's own partitioner over the key's bytes (of a windowed key: over the key without its window, so
//! that all windows of a key stay together), or one that a column says. Records without a key go to the partition of the task.
//!
//! A row that the format cannot hold, or that is larger than the log takes, is left out and reported; it is looked for by halves, so that a batch
//! without such a row costs nothing.

use std::{ops::Range, sync::Arc};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int32Type, Int64Type};

use super::{Context, Operator, OperatorError, Reason};
use crate::{
    Batch,
    format::{Format, FormatError, Serializer, Side, Wrapping},
    log::partition_for_key,
    record::{PartitionId, RecordRef, Records, Timestamp, TopicName, headers_of},
    schema::StreamSchema,
    window::with_windows,
};

/// How records without a key are spread, and over how many partitions all are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partitioning {
    /// How many partitions the topic has.
    pub partitions: u32,
    /// Where records without a key go, modulo the above.
    pub keyless: PartitionId,
}

/// What a sink is built from.
#[derive(Debug, Clone)]
pub struct SinkSettings {
    /// The topic.
    pub topic: TopicName,
    /// The columns that arrive.
    pub schema: Arc<StreamSchema>,
    /// How keys are written.
    pub key_format: Format,
    /// How values are written.
    pub value_format: Format,
    /// Whether a single value column is a field of a record.
    pub wrapping: Wrapping,
    /// Whether keys were computed: one of several columns, all null, is then a key of nulls and not the lack of a key.
    pub computed_keys: bool,
    /// The value column, of whole numbers of 32 bits, that says which partition a row goes to; `None`: its key does.
    pub partition_column: Option<usize>,
    /// Where records go.
    pub partitioning: Partitioning,
    /// How large a record may be: bytes of its key, its value and its headers.
    pub largest_record: usize,
}

/// Records for one partition of a topic.
#[derive(Debug, Clone)]
pub struct SinkRecords {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionId,
    /// The records.
    pub records: Records,
}

/// Writes rows to a topic.
pub struct Sink {
    settings: SinkSettings,
    key: Box<dyn Serializer>,
    value: Box<dyn Serializer>,
}

impl Sink {
    /// A sink.
    ///
    /// # Errors
    /// [`FormatError`] if the formats cannot hold the columns.
    pub fn new(settings: SinkSettings) -> Result<Self, FormatError> {
        let keeps_nulls = settings.computed_keys
            && settings.schema.key().len() > 1
            && matches!(settings.key_format, Format::Json | Format::Delimited { .. });
        // These formats write both sides alike but for rows of nulls.
        let side = if keeps_nulls { Side::Value } else { Side::Key };
        let key = settings.key_format.serializer(side, Wrapping::Wrapped, settings.schema.key())?;
        let value = settings.value_format.serializer(Side::Value, settings.wrapping, settings.schema.value())?;
        Ok(Self { settings, key, value })
    }

    fn encode(&mut self, batch: &Batch) -> Result<Vec<SinkRecords>, FormatError> {
        let key_columns = self.settings.schema.key().len();
        let bare_keys = self.key.encode(&batch.keys()[..key_columns], batch.len(), None)?;
        let values = self.value.encode(batch.values(), batch.len(), batch.present())?;
        let keys = match batch.keys()[key_columns..] {
            [ref starts, ref ends] => {
                let (starts, ends) = (starts.as_primitive::<Int64Type>(), ends.as_primitive::<Int64Type>());
                with_windows(self.settings.schema.window(), &bare_keys, starts, ends)
            }
            _ => bare_keys.clone(),
        };
        let headers = batch.headers().map(|headers| headers_of(headers).into());
        let records = Records::new(keys, values, batch.times().clone(), headers);
        let Partitioning { partitions, keyless } = self.settings.partitioning;
        let of = |partition: u32, records: Records| SinkRecords {
            topic: self.settings.topic.clone(),
            partition: PartitionId(partition),
            records,
        };
        if partitions == 1 {
            return Ok(vec![of(0, records)]);
        }
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); partitions as usize];
        let told = self.settings.partition_column.map(|column| batch.values()[column].as_primitive::<Int32Type>());
        for row in 0..batch.len() {
            let partition = if let Some(told) = told.filter(|told| told.is_valid(row)) {
                told.value(row).cast_unsigned() % partitions
            } else if bare_keys.is_valid(row) {
                partition_for_key(bare_keys.value(row), partitions).0
            } else {
                keyless.0 % partitions
            };
            rows[partition as usize].push(row as u32);
        }
        let filled = rows.iter().enumerate().filter(|(_, rows)| !rows.is_empty());
        Ok(filled.map(|(partition, rows)| of(partition as u32, records.take(rows))).collect())
    }
}

/// A row that is not written, and why.
type Rejected = (usize, Reason, String);

impl Sink {
    /// Writes the rows of a range, but for those that cannot be written.
    fn write(
        &mut self,
        batch: &Batch,
        rows: Range<usize>,
        context: &mut Context<'_>,
        rejected: &mut Vec<Rejected>,
    ) -> Result<(), OperatorError> {
        let failed = match self.encode(&batch.slice(rows.start, rows.len())) {
            Ok(records) => match records.iter().find_map(|part| self.too_large(&part.records)) {
                None => {
                    context.sinks.extend(records);
                    return Ok(());
                }
                Some(problem) => (Reason::TooLarge, problem),
            },
            Err(error) if error.is_of_values() => (Reason::Unwritable, error.to_string()),
            Err(error) => return Err(context.error(error)),
        };
        if rows.len() <= 1 {
            let (reason, problem) = failed;
            rejected.extend(rows.map(|row| (row, reason, problem.clone())));
            return Ok(());
        }
        let middle = rows.start + rows.len() / 2;
        self.write(batch, rows.start..middle, context, rejected)?;
        self.write(batch, middle..rows.end, context, rejected)
    }

    /// What is wrong with the first record that is too large, if any is.
    fn too_large(&self, records: &Records) -> Option<String> {
        let most = self.settings.largest_record;
        if records.payload_bytes() <= most && records.headers().is_none() {
            return None;
        }
        let size = |record: RecordRef<'_>| {
            let headers =
                record.headers.iter().map(|header| header.name.len() + header.value.as_ref().map_or(0, Vec::len));
            record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + headers.sum::<usize>()
        };
        let bytes = records.iter().map(size).find(|&bytes| bytes > most)?;
        Some(format!("the record for topic {} has {bytes} bytes, the log takes {most}", self.settings.topic))
    }
}

impl Operator for Sink {
    fn on_batch(&mut self, batch: Batch, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let mut rejected = Vec::new();
        self.write(&batch, 0..batch.len(), context, &mut rejected)?;
        for (row, reason, problem) in rejected {
            context.reject(&batch, reason, [(row, problem)]);
        }
        Ok(())
    }

    fn on_flush(&mut self, _context: &mut Context<'_>) -> Result<(), OperatorError> {
        Ok(())
    }

    fn stream_time(&self) -> Option<Timestamp> {
        None
    }

    fn restore_stream_time(&mut self, _stream_time: Timestamp) {}
}
