//! The SQS sink: its settings, and the connector that sends the records of topics to a queue.
//!
//! - **FIFO queue**: messages carry their record's place as deduplication id. What is sent again after a crash, a cut connection or a lost answer is
//!   dropped by SQS, for five minutes after the first sending: so each record is there once, in order within its key, as long as the connector is
//!   back within five minutes; later, those sent since the last commit are there twice. SQS promises no more, so neither does the sink:
//!   [`Promise::AtLeastOnce`].
//! - **Standard queue**: at least once, without an order. The attribute `millstream.id` tells a record's messages from those of others.
//!
//! Nothing is open after [`settle`](Sink::settle): a queue has no transactions, so records are visible as soon as they are sent.
//! A topic that is deleted and made again begins anew with its offsets, which a FIFO queue would take for repetitions for five minutes.

use std::sync::Arc;

use millstream::{
    connect::{ConnectError, Promise, RejectedRecord, Sink, SinkPosition},
    log::FetchedBatch,
    record::{TopicName, TopicPartition},
};

use super::{
    SqsQueue,
    client::SqsClient,
    outbox::{Outbox, Rounds},
    outgoing::{ID_ATTRIBUTE, Outgoing, is_name},
    source::within,
};
use crate::{
    config::{ConfigError, NullValues, Properties},
    runtime::Clock,
};

/// So much waits before it is sent, at most.
const OUTBOX_BYTES: usize = 4 << 20;

/// Offsets are committed after so many records, so that a crash repeats no more.
const ROWS_A_COMMIT: usize = 2_000;

/// A queue to be written: the settings of `'connector.class' = 'sqs'` as a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqsSink {
    /// The queue.
    pub queue: SqsQueue,
    /// What is sent (`'topics'`, with commas, or `'topic'`).
    pub topics: Vec<TopicName>,
    /// How a value becomes the body of a message (`'sqs.body.encoding'`: `text` or `base64`, default `text`).
    pub body: BodyEncoding,
    /// The message attribute that gets the key (`'key.attribute'`); none by default.
    pub key_attribute: Option<String>,
    /// Whether headers become message attributes (`'sqs.message.attributes.enabled'`, default false).
    pub headers_as_attributes: bool,
    /// Bytes of a message, and of a batch of messages, at most (`'sqs.message.max.bytes'`, 1024 to 1048576, default 262144).
    pub message_max_bytes: usize,
    /// Batches that are sent side by side (`'sqs.sends.max'`, 1 to 64, default 4).
    pub sends_max: u32,
    /// What becomes of records without a value (`'behavior.on.null.values'`: `fail` or `ignore`, default `fail`).
    pub null_values: NullValues,
}

/// How a value becomes text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEncoding {
    /// It is text; values that SQS does not take as such are rejected.
    Text,
    /// As base64.
    Base64,
}

impl SqsSink {
    /// A sink with the defaults.
    pub fn new(queue: SqsQueue, topics: Vec<TopicName>) -> Self {
        Self {
            queue,
            topics,
            body: BodyEncoding::Text,
            key_attribute: None,
            headers_as_attributes: false,
            message_max_bytes: 256 << 10,
            sends_max: 4,
            null_values: NullValues::Fail,
        }
    }

    pub(crate) fn from_properties(properties: &mut Properties) -> Result<Self, ConfigError> {
        let topics = properties.topics()?;
        let queue = SqsQueue::from_properties(properties, "SQS sink")?;
        let defaults = Self::new(queue, topics);
        let body = match properties.optional("sqs.body.encoding") {
            None => BodyEncoding::Text,
            Some(value) if value.eq_ignore_ascii_case("text") => BodyEncoding::Text,
            Some(value) if value.eq_ignore_ascii_case("base64") => BodyEncoding::Base64,
            Some(value) => {
                let (name, expected) = ("sqs.body.encoding".into(), "text or base64".into());
                return Err(ConfigError::BadValue { name, value, expected });
            }
        };
        Ok(Self {
            body,
            key_attribute: key_attribute(properties)?,
            headers_as_attributes: properties.flag("sqs.message.attributes.enabled")?,
            message_max_bytes: within(properties, "sqs.message.max.bytes", 1024..=1 << 20, 256 << 10)? as usize,
            sends_max: within(properties, "sqs.sends.max", 1..=64, defaults.sends_max)?,
            null_values: NullValues::from_properties(properties)?,
            ..defaults
        })
    }

    /// The sink that writes it.
    pub fn writer(self, clock: Arc<dyn Clock>) -> SqsSinkWriter {
        let client = SqsClient::new(self.queue.clone(), clock);
        SqsSinkWriter { config: self, client, outbox: Outbox::default(), rejected: Vec::new() }
    }
}

fn key_attribute(properties: &mut Properties) -> Result<Option<String>, ConfigError> {
    let name = properties.optional("key.attribute");
    match name {
        Some(value) if !is_name(&value) || value == ID_ATTRIBUTE => {
            let expected = format!("the name of a message attribute: letters, digits, _, - and ., not {ID_ATTRIBUTE}");
            Err(ConfigError::BadValue { name: "key.attribute".into(), value, expected })
        }
        name => Ok(name),
    }
}

/// Sends to one queue.
pub struct SqsSinkWriter {
    config: SqsSink,
    client: SqsClient,
    outbox: Outbox,
    rejected: Vec<RejectedRecord>,
}

impl SqsSinkWriter {
    fn send(&mut self) -> Result<(), ConnectError> {
        let rounds =
            Rounds { batch_bytes: self.config.message_max_bytes, side_by_side: self.config.sends_max as usize };
        self.rejected.extend(self.outbox.send(&self.client, rounds)?);
        Ok(())
    }
}

impl Sink for SqsSinkWriter {
    fn topics(&self) -> &[TopicName] {
        &self.config.topics
    }

    fn promise(&self) -> Promise {
        Promise::AtLeastOnce
    }

    fn rows_a_commit(&self) -> Option<usize> {
        Some(ROWS_A_COMMIT)
    }

    fn open(&mut self, _committed: &[SinkPosition]) -> Result<(), ConnectError> {
        self.outbox = Outbox::default();
        self.rejected.clear();
        Ok(())
    }

    fn write(&mut self, partition: &TopicPartition, batch: &FetchedBatch) -> Result<(), ConnectError> {
        for (row, record) in batch.records.iter().enumerate() {
            if record.value.is_none() && self.config.null_values == NullValues::Ignore {
                continue;
            }
            let offset = batch.offsets.at(row);
            match Outgoing::new(&self.config, partition, offset, record) {
                Ok(message) => self.outbox.push(message),
                Err(problem) => {
                    let rejected =
                        RejectedRecord { partition: partition.clone(), offset, record: record.into(), problem };
                    self.rejected.push(rejected);
                }
            }
            if self.outbox.bytes() >= OUTBOX_BYTES {
                self.send()?;
            }
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<Vec<RejectedRecord>, ConnectError> {
        self.send()?;
        self.rejected.sort_by(|left, right| (&left.partition, left.offset).cmp(&(&right.partition, right.offset)));
        Ok(std::mem::take(&mut self.rejected))
    }

    fn flush(&mut self) -> Result<Vec<u8>, ConnectError> {
        Ok(b"sqs".to_vec())
    }
}
