//! Sink: rows to records of a topic, each to the partition that its [`Routing`] says. Rows that cannot be written are left out and reported.

use std::sync::Arc;

use super::{
    Context, Operator, OperatorError, Partitioning, Reason, RecordFormats, Routing, record_encoder::RecordEncoder,
};
use crate::{
    Batch,
    format::FormatError,
    record::{PartitionId, Records, Timestamp, TopicName},
    schema::StreamSchema,
};

/// What a sink is built from.
#[derive(Debug, Clone)]
pub struct SinkSettings {
    /// The topic.
    pub topic: TopicName,
    /// The columns that arrive.
    pub schema: Arc<StreamSchema>,
    /// How records are written.
    pub formats: RecordFormats,
    /// How rows find their partition.
    pub routing: Routing,
    /// Over how many partitions records go.
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
    topic: TopicName,
    routing: Routing,
    partitioning: Partitioning,
    largest_record: usize,
    encoder: RecordEncoder,
}

impl Sink {
    /// A sink.
    ///
    /// # Errors
    /// [`FormatError`] if the formats cannot hold the columns.
    pub fn new(settings: SinkSettings) -> Result<Self, FormatError> {
        let SinkSettings { topic, schema, formats, routing, partitioning, largest_record } = settings;
        Ok(Self { topic, routing, partitioning, largest_record, encoder: RecordEncoder::new(&formats, schema)? })
    }
}

impl Operator for Sink {
    fn on_batch(&mut self, batch: Batch, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let written = self.encoder.write(&batch, self.largest_record).map_err(|error| context.error(error))?;
        for (rows, encoded) in written.parts {
            let (part, mut errors) = (batch.slice(rows.start, rows.len()), Vec::new());
            let spread = self.routing.spread(&part, &encoded, self.partitioning, &mut errors).into_iter();
            let topic = &self.topic;
            let records = |(partition, records)| SinkRecords { topic: topic.clone(), partition, records };
            context.sinks.extend(spread.map(records));
            context.reject(&part, Reason::Expression, errors.into_iter().map(|error| (error.row, error.problem)));
        }
        for (row, reason, problem) in written.rejected {
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
