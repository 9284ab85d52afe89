//! The SQS source: its settings, and the connector that reads a queue into a topic.
//!
//! A message is deleted only after the commit of its record. The ids of committed messages are in the position (`seen`), so a
//! message that comes again, after a crash between commit and deletion or because its visibility timeout ran out, makes no second record:
//!
//! - **FIFO queue**: each message becomes a record once, in order within its group (its group is the key, hence the partition).
//! - **Standard queue**: the same without an order, with one exception that SQS allows itself: a message that it delivers once more after it
//!   confirmed its deletion is recognised only among the last 16,000.
//! - A message that its sender sent twice is two messages. A redrive to a dead-letter queue and back makes another message, too.
//!
//! The record: value = body; key = `key.attribute` if set (no key without that attribute), else the message's group; timestamp = when it was
//! sent; headers = the attributes that its sender gave it, then `sqs.message.id`, `sqs.receive.count` (1: the first delivery), and where
//! there are any `sqs.group.id`, `sqs.deduplication.id`, `sqs.sequence.number`.

use std::{collections::BTreeMap, collections::BTreeSet, sync::Arc, thread, time::Duration};

use millstream::{
    connect::{
        ConnectError, PollLimits, Positions, Progress, ProgressUnit, Readiness, Source, SourceBatch, SourceStart,
        SourceTopic,
    },
    log::{Append, TopicConfig, partition_for_key},
    record::{PartitionId, RecordRef, RecordsBuilder, TopicName, TopicPartition},
};

use super::{
    SqsQueue,
    client::{ReceiveTimes, SqsClient},
    inbox::{Inbox, Lease},
    protocol::BATCH_ENTRIES,
    received_record::ReceivedRecord,
    receiver::{self, Pattern},
    seen::Seen,
};
use crate::{
    config::{ConfigError, Properties, parse_value},
    runtime::Clock,
};

/// How long a poll waits for a first message.
const POLL_WAIT: Duration = Duration::from_millis(100);

/// A queue to be read: the settings of `'connector.class' = 'sqs'` as a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqsSource {
    /// The queue.
    pub queue: SqsQueue,
    /// Where messages go (`'topic'`).
    pub topic: TopicName,
    /// How many partitions the topic gets if it is not there (`'partitions'`, default 1).
    pub partitions: u32,
    /// The message attribute that becomes the key (`'key.attribute'`); by default the message's group does.
    pub key_attribute: Option<String>,
    /// Messages of one receive, 1 to 10 (`'sqs.messages.max'`, default 10).
    pub messages_max: u32,
    /// How long a receive waits for messages, 0 to 20 s (`'sqs.waittime.seconds'`, default 20).
    pub wait_time_seconds: u32,
    /// For how long a received message is invisible to others, 2 to 43200 s (`'sqs.visibility.timeout.seconds'`, default 60). It is extended
    /// while a commit takes longer; after a crash messages come again only when it is over.
    pub visibility_timeout_seconds: u32,
    /// Receives side by side (`'sqs.receives.max'`, 1 to 64, default 4); one as long as the queue is empty.
    pub receives_max: u32,
    /// So many messages are received and not deleted at most (`'sqs.in.flight.max'`, default 2000).
    pub in_flight_max: usize,
}

impl SqsSource {
    /// A source with the defaults.
    pub fn new(queue: SqsQueue, topic: TopicName) -> Self {
        Self {
            queue,
            topic,
            partitions: 1,
            key_attribute: None,
            messages_max: 10,
            wait_time_seconds: 20,
            visibility_timeout_seconds: 60,
            receives_max: 4,
            in_flight_max: 2_000,
        }
    }

    pub(crate) fn from_properties(properties: &mut Properties) -> Result<Self, ConfigError> {
        let topic = properties.required("topic");
        let queue = SqsQueue::from_properties(properties, "SQS source")?;
        let defaults = Self::new(queue, parse_value("topic", &topic.unwrap_or_default())?);
        let Self { messages_max, wait_time_seconds, visibility_timeout_seconds, receives_max, in_flight_max, .. } =
            defaults;
        Ok(Self {
            partitions: properties.parsed("partitions", 1, defaults.partitions, "a count from 1 on")?,
            key_attribute: properties.optional("key.attribute"),
            messages_max: within(properties, "sqs.messages.max", 1..=10, messages_max)?,
            wait_time_seconds: within(properties, "sqs.waittime.seconds", 0..=20, wait_time_seconds)?,
            visibility_timeout_seconds: within(
                properties,
                "sqs.visibility.timeout.seconds",
                2..=43_200,
                visibility_timeout_seconds,
            )?,
            receives_max: within(properties, "sqs.receives.max", 1..=64, receives_max)?,
            in_flight_max: properties.parsed("sqs.in.flight.max", 1, in_flight_max, "a count from 1 on")?,
            ..defaults
        })
    }

    /// The source that reads it.
    pub fn reader(self, clock: Arc<dyn Clock>) -> SqsSourceReader {
        let client = SqsClient::new(self.queue.clone(), clock);
        SqsSourceReader { config: self, client, inbox: None, partitions: 1, received: 0, duplicates: 0 }
    }
}

/// A number between two bounds, both allowed.
pub(super) fn within(
    properties: &mut Properties,
    name: &'static str,
    range: std::ops::RangeInclusive<u32>,
    default: u32,
) -> Result<u32, ConfigError> {
    let expected = format!("a number from {} to {}", range.start(), range.end());
    let value = properties.parsed(name, *range.start(), default, &expected)?;
    if value > *range.end() {
        return Err(ConfigError::BadValue { name: name.into(), value: value.to_string(), expected });
    }
    Ok(value)
}

/// Reads one queue.
pub struct SqsSourceReader {
    config: SqsSource,
    client: SqsClient,
    /// From `open` on.
    inbox: Option<Arc<Inbox>>,
    partitions: u32,
    /// Messages handed over, and messages that came again, in all openings before this one.
    received: u64,
    duplicates: u64,
}

impl SqsSourceReader {
    /// How many messages came again and made no second record, since this was made.
    pub fn duplicates(&self) -> u64 {
        self.duplicates + self.inbox.as_ref().map_or(0, |inbox| inbox.duplicates())
    }

    /// Ends receiving and gives back what is not committed; `committed` says what is.
    fn close(&mut self, committed: &Seen) -> Result<(), ConnectError> {
        let Some(inbox) = self.inbox.take() else { return Ok(()) };
        self.duplicates += inbox.duplicates();
        let (done, rest): (Vec<Lease>, Vec<Lease>) =
            inbox.close().into_iter().partition(|lease| committed.contains(&lease.id));
        if !rest.is_empty() {
            receiver::give_back(&self.client, &rest);
        }
        // Those stay among the open messages of the position and are deleted when they come again.
        if let Err(error) = receiver::delete(&self.client, &done)
            && !error.is_retryable()
        {
            return Err(error);
        }
        Ok(())
    }

    fn opened(&self) -> Result<&Arc<Inbox>, ConnectError> {
        self.inbox.as_ref().ok_or_else(|| ConnectError::Input {
            input: self.config.queue.url.to_string(),
            problem: "polled before it was opened; this is a bug of the caller".into(),
        })
    }

    fn pattern(&self) -> Pattern {
        let times =
            ReceiveTimes { wait: self.config.wait_time_seconds, visibility: self.config.visibility_timeout_seconds };
        Pattern { most: self.config.messages_max, times, receivers: self.config.receives_max as usize }
    }

    /// Deletes messages, some batches side by side.
    fn delete(&self, leases: &[Lease]) -> Result<BTreeSet<String>, ConnectError> {
        let share =
            leases.len().div_ceil(self.config.receives_max as usize).next_multiple_of(BATCH_ENTRIES).max(BATCH_ENTRIES);
        let mut gone = BTreeSet::new();
        thread::scope(|scope| {
            let parts: Vec<_> =
                leases.chunks(share).map(|part| scope.spawn(|| receiver::delete(&self.client, part))).collect();
            for part in parts {
                gone.extend(part.join().expect("a deletion does not panic")?);
            }
            Ok(gone)
        })
    }
}

impl Source for SqsSourceReader {
    fn topics(&self) -> Vec<SourceTopic> {
        let config = TopicConfig { partitions: self.config.partitions, ..TopicConfig::default() };
        vec![SourceTopic { name: self.config.topic.clone(), config }]
    }

    fn open(&mut self, start: SourceStart<'_>) -> Result<(), ConnectError> {
        let seen = Seen::from_positions(self.config.queue.url.path(), start.positions)?;
        self.close(&seen)?;
        self.partitions = start.partitions.get(&self.config.topic).copied().unwrap_or(self.config.partitions);
        let inbox = Arc::new(Inbox::new(seen, self.config.in_flight_max, self.config.receives_max as usize));
        receiver::start(&self.client, &inbox, self.pattern()).map_err(|error| {
            self.client.outside(format!("no thread to receive with: {error}"), true, Some(Box::new(error)))
        })?;
        self.inbox = Some(inbox);
        Ok(())
    }

    fn poll(&mut self, limits: PollLimits) -> Result<SourceBatch, ConnectError> {
        let (messages, positions) = self.opened()?.hand_over(limits.rows, limits.bytes, POLL_WAIT)?;
        let mut builders: BTreeMap<PartitionId, RecordsBuilder> = BTreeMap::new();
        let readiness = if messages.is_empty() { Readiness::Idle } else { Readiness::Ready };
        for message in &messages {
            let record = ReceivedRecord::new(message, self.config.key_attribute.as_deref(), self.client.now());
            let record = record.map_err(|problem| self.client.outside(problem, false, None))?;
            // Without a key the id decides, so that a message lands where it would have landed before a crash.
            let place = record.key.as_deref().unwrap_or(message.message_id.as_bytes());
            builders.entry(partition_for_key(place, self.partitions)).or_default().push(RecordRef {
                key: record.key.as_deref(),
                value: Some(message.body.as_bytes()),
                timestamp: record.timestamp,
                headers: &record.headers,
            });
        }
        self.received += messages.len() as u64;
        let append = |(partition, mut builder): (PartitionId, RecordsBuilder)| Append {
            partition: TopicPartition::new(self.config.topic.clone(), partition),
            records: builder.finish(),
        };
        let appends = builders.into_iter().map(append).collect();
        Ok(SourceBatch { appends, positions, readiness, rejected: 0 })
    }

    fn committed(&mut self, _positions: &Positions) -> Result<(), ConnectError> {
        let inbox = Arc::clone(self.opened()?);
        let leases = inbox.committed();
        let deleted = self.delete(&leases)?;
        inbox.settle(&leases, &deleted);
        Ok(())
    }

    fn progress(&self) -> Progress {
        Progress { done: self.received, total: None, unit: ProgressUnit::Rows }
    }
}

/// Gives back what is not committed.
impl Drop for SqsSourceReader {
    fn drop(&mut self) {
        if let Some(inbox) = self.inbox.take() {
            receiver::give_back(&self.client, &inbox.close());
        }
    }
}
