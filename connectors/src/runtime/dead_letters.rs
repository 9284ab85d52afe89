//! Records that a sink could not write: kept in a topic, unchanged, with headers that say where they come from and why they are there.
//!
//! Headers: `millstream.connector`, `millstream.topic`, `millstream.partition`, `millstream.offset`, `millstream.problem`; those of the record
//! stay before them.

use std::sync::Arc;

use millstream::{
    connect::{ConnectError, RejectedRecord},
    log::{Append, Log, LogError, Producer, TopicConfig, Transaction},
    record::{Header, PartitionId, Record, Records, TopicName, TopicPartition},
};

use super::positions::ensure_topic;
use crate::config::{Direction, TaskSettings, Tolerance};

pub(super) struct DeadLetters {
    connector: Arc<str>,
    topic: TopicPartition,
    tolerance: Tolerance,
    exists: bool,
}

impl DeadLetters {
    pub(super) fn new(connector: &str, settings: &TaskSettings) -> Result<Self, ConnectError> {
        let topic = match &settings.dead_letters {
            Some(topic) => topic.clone(),
            None => TopicName::new(&format!("connect-{connector}-dead-letter")).map_err(LogError::from)?,
        };
        let topic = TopicPartition::new(topic, PartitionId(0));
        Ok(Self { connector: connector.into(), topic, tolerance: settings.tolerance(Direction::Sink), exists: false })
    }

    /// Makes the records durable, or fails for the first of them.
    pub(super) fn keep(
        &mut self,
        log: &dyn Log,
        producer: &mut dyn Producer,
        rejected: Vec<RejectedRecord>,
    ) -> Result<(), ConnectError> {
        let Some(first) = rejected.first() else { return Ok(()) };
        if self.tolerance == Tolerance::None {
            let problem = format!(
                "{}; mend it, or let the connector go on with 'errors.tolerance' = 'all', which keeps such records in topic {}",
                first.problem, self.topic.topic
            );
            return Err(ConnectError::Record { record: place(first), problem });
        }
        if !self.exists {
            ensure_topic(log, &self.topic.topic, &TopicConfig::default())?;
            self.exists = true;
        }
        tracing::warn!(connector = %self.connector, record = %place(first), problem = %first.problem, records = rejected.len(), "records are dead letters");
        let records: Records = rejected.into_iter().map(|rejected| self.letter(rejected)).collect();
        let append = Append { partition: self.topic.clone(), records };
        producer.commit(Transaction { appends: vec![append], offsets: Vec::new() })?;
        Ok(())
    }

    fn letter(&self, rejected: RejectedRecord) -> Record {
        let RejectedRecord { partition, offset, mut record, problem } = rejected;
        let mut header = |name: &str, value: String| {
            record.headers.push(Header { name: format!("millstream.{name}"), value: Some(value.into_bytes()) });
        };
        header("connector", self.connector.to_string());
        header("topic", partition.topic.to_string());
        header("partition", partition.partition.to_string());
        header("offset", offset.to_string());
        header("problem", problem);
        record
    }
}

fn place(rejected: &RejectedRecord) -> String {
    format!("{} offset={}", rejected.partition, rejected.offset)
}
