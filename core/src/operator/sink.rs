//! Sink: rows to records of a topic, each to the partition that its [`Routing`] says.

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
    encoder: RecordEncoder,
}

impl Sink {
    /// A sink.
    ///
    /// # Errors
    /// [`FormatError`] if the formats cannot hold the columns.
    pub fn new(settings: SinkSettings) -> Result<Self, FormatError> {
        let SinkSettings { topic, schema, formats, routing, partitioning } = settings;
        Ok(Self { topic, routing, partitioning, encoder: RecordEncoder::new(&formats, schema)? })
    }
}

impl Operator for Sink {
    fn on_batch(&mut self, batch: Batch, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let encoded = self.encoder.encode(&batch).map_err(|error| context.error(error))?;
        let mut errors = Vec::new();
        let spread = self.routing.spread(&batch, &encoded, self.partitioning, &mut errors).into_iter();
        let topic = &self.topic;
        context.sinks.extend(spread.map(|(partition, records)| SinkRecords {
            topic: topic.clone(),
            partition,
            records,
        }));
        context.reject(&batch, Reason::Expression, errors.into_iter().map(|error| (error.row, error.problem)));
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
