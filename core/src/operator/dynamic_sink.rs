//! Dynamic sink: rows to records of topics that are chosen row by row.
//!
//! A topic must exist: a row whose topic does not is left out and reported, and looked for again with the next batch. How many partitions a
//! topic has is asked once, when the first row for it comes.

use std::{collections::BTreeMap, sync::Arc};

use arrow::array::UInt32Array;

use super::{
    Context, Operator, OperatorError, Partitioning, Reason, RecordFormats, Routing, SinkRecords,
    record_encoder::RecordEncoder,
};
use crate::{
    Batch,
    expression::RowError,
    format::FormatError,
    record::{PartitionId, Timestamp, TopicName},
    schema::StreamSchema,
};

/// Chooses topics for rows.
pub trait TopicNameExtractor: Send + Sync {
    /// The name of the topic of each row: one a row, none where there is an error.
    fn topics(&self, batch: &Batch, errors: &mut Vec<RowError>) -> Vec<Option<String>>;
}

/// How many partitions a topic has; `None` if there is no such topic.
pub type PartitionCounts = Arc<dyn Fn(&TopicName) -> Option<u32> + Send + Sync>;

/// What a dynamic sink is built from.
pub struct DynamicSinkSettings {
    /// What chooses topics.
    pub extractor: Arc<dyn TopicNameExtractor>,
    /// The columns that arrive.
    pub schema: Arc<StreamSchema>,
    /// How records are written, in whichever topic.
    pub formats: RecordFormats,
    /// How rows find their partition.
    pub routing: Routing,
    /// Where records without a key go, modulo the partitions of their topic.
    pub keyless: PartitionId,
    /// How many partitions topics have.
    pub counts: PartitionCounts,
    /// How large a record may be: bytes of its key, its value and its headers.
    pub largest_record: usize,
}

/// Writes rows to topics.
pub struct DynamicSink {
    settings: DynamicSinkSettings,
    encoder: RecordEncoder,
    known: BTreeMap<TopicName, u32>,
}

impl DynamicSink {
    /// A sink.
    ///
    /// # Errors
    /// [`FormatError`] if the formats cannot hold the columns.
    pub fn new(settings: DynamicSinkSettings) -> Result<Self, FormatError> {
        let encoder = RecordEncoder::new(&settings.formats, Arc::clone(&settings.schema))?;
        Ok(Self { settings, encoder, known: BTreeMap::new() })
    }

    /// The rows of each topic, in the order in which topics first occur.
    fn by_topic(&self, batch: &Batch, errors: &mut Vec<RowError>) -> Vec<(String, Vec<u32>)> {
        let mut topics: Vec<(String, Vec<u32>)> = Vec::new();
        for (row, topic) in self.settings.extractor.topics(batch, errors).into_iter().enumerate() {
            let Some(topic) = topic else { continue };
            match topics.iter_mut().find(|(known, _)| *known == topic) {
                Some((_, rows)) => rows.push(row as u32),
                None => topics.push((topic, vec![row as u32])),
            }
        }
        topics
    }

    fn find(&mut self, topic: &str) -> Result<(TopicName, u32), String> {
        let name = TopicName::new(topic).map_err(|error| error.to_string())?;
        if let Some(&partitions) = self.known.get(&name) {
            return Ok((name, partitions));
        }
        let partitions =
            (self.settings.counts)(&name).ok_or_else(|| format!("there is no topic {name}: create it first"))?;
        self.known.insert(name.clone(), partitions);
        Ok((name, partitions))
    }
}

impl Operator for DynamicSink {
    fn on_batch(&mut self, batch: Batch, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let mut errors = Vec::new();
        for (topic, rows) in self.by_topic(&batch, &mut errors) {
            let (topic, partitions) = match self.find(&topic) {
                Ok(found) => found,
                Err(problem) => {
                    errors.extend(rows.iter().map(|&row| RowError { row: row as usize, problem: problem.clone() }));
                    continue;
                }
            };
            let indices = UInt32Array::from(rows);
            let own = batch.take(&indices).map_err(|error| context.error(error))?;
            let most = self.settings.largest_record;
            let written = self.encoder.write(&own, most).map_err(|error| context.error(error))?;
            let partitioning = Partitioning { partitions, keyless: self.settings.keyless };
            for (rows, encoded) in written.parts {
                let (part, mut misplaced) = (own.slice(rows.start, rows.len()), Vec::new());
                let spread = self.settings.routing.spread(&part, &encoded, partitioning, &mut misplaced).into_iter();
                let records = |(partition, records)| SinkRecords { topic: topic.clone(), partition, records };
                context.sinks.extend(spread.map(records));
                let found = |error: RowError| RowError { row: indices.value(rows.start + error.row) as usize, ..error };
                errors.extend(misplaced.into_iter().map(found));
            }
            for (row, reason, problem) in written.rejected {
                context.reject(&own, reason, [(row, problem)]);
            }
        }
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
