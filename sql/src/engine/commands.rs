//! The record of what was declared: one JSON object a statement, in an internal topic that is never compacted.
//!
//! A statement is recorded before it takes effect. One that could not take effect is undone by a second object that names it, so that
//! what a restart brings back is what was answered with success; a crash between the two leaves the statement in force.

use std::collections::{BTreeMap, BTreeSet};

use millstream::{
    log::{Append, Log, LogError, Producer, SharedLog, TopicConfig, Transaction},
    record::{PartitionId, RecordRef, RecordsBuilder, Timestamp, TopicName, TopicPartition},
};
use serde::{Deserialize, Serialize};

use super::error::EngineError;

/// The topic of recorded statements.
pub(super) const COMMANDS_TOPIC: &str = "_millstream_commands";

const FETCH_BYTES: usize = 1 << 20;

/// A recorded statement, or the undoing of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Command {
    /// Rises by one from 0.
    pub(super) number: u64,
    /// The statement.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) text: String,
    /// The id of the query that it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) query: Option<String>,
    /// The properties of the session in which it was given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) properties: BTreeMap<String, String>,
    /// The number of the statement that did not take effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) undone: Option<u64>,
}

/// The writing side.
pub(super) struct CommandLog {
    producer: Box<dyn Producer>,
    partition: TopicPartition,
    next: u64,
}

impl CommandLog {
    /// Opens the record and gives the statements in force, in order.
    ///
    /// # Errors
    /// Those of the log, and records that are none of ours.
    pub(super) fn open(log: &SharedLog) -> Result<(Self, Vec<Command>), EngineError> {
        let topic = TopicName::new(COMMANDS_TOPIC)?;
        match log.create_topic(&topic, &TopicConfig::default()) {
            Ok(()) | Err(LogError::TopicExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let partition = TopicPartition::new(topic, PartitionId(0));
        let all = read(log.as_ref(), &partition)?;
        let next = all.last().map_or(0, |last| last.number + 1);
        let undone: BTreeSet<u64> = all.iter().filter_map(|command| command.undone).collect();
        let in_force = all.into_iter().filter(|command| command.undone.is_none() && !undone.contains(&command.number));
        let producer = log.producer(COMMANDS_TOPIC)?;
        Ok((Self { producer, partition, next }, in_force.collect()))
    }

    /// Records a statement; gives its number.
    ///
    /// # Errors
    /// If it could not be committed.
    pub(super) fn record(
        &mut self,
        text: &str,
        query: Option<&str>,
        properties: &BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<u64, EngineError> {
        let number = self.next;
        let query = query.map(str::to_owned);
        self.append(
            Command { number, text: text.to_owned(), query, properties: properties.clone(), undone: None },
            now,
        )?;
        Ok(number)
    }

    /// Takes back a statement that did not take effect.
    ///
    /// # Errors
    /// If that could not be committed.
    pub(super) fn undo(&mut self, number: u64, now: Timestamp) -> Result<(), EngineError> {
        let command = Command {
            number: self.next,
            text: String::new(),
            query: None,
            properties: BTreeMap::new(),
            undone: Some(number),
        };
        self.append(command, now)
    }

    fn append(&mut self, command: Command, now: Timestamp) -> Result<(), EngineError> {
        let value = serde_json::to_vec(&command).expect("text and numbers can be written as JSON");
        let mut records = RecordsBuilder::default();
        records.push(RecordRef { key: None, value: Some(&value), timestamp: now, headers: &[] });
        let append = Append { partition: self.partition.clone(), records: records.finish() };
        self.producer.commit(Transaction { appends: vec![append], offsets: Vec::new() })?;
        self.next = command.number + 1;
        Ok(())
    }
}

fn read(log: &dyn Log, partition: &TopicPartition) -> Result<Vec<Command>, EngineError> {
    let mut commands = Vec::new();
    let mut next = log.start_offset(partition)?;
    loop {
        let fetched = log.fetch(partition, next, FETCH_BYTES)?;
        for record in fetched.batches.iter().flat_map(|batch| batch.records.iter()) {
            let bytes = record.value.unwrap_or_default();
            let command: Command = serde_json::from_slice(bytes).map_err(|error| EngineError::Replay {
                number: commands.len() as u64,
                text: String::from_utf8_lossy(bytes).chars().take(60).collect(),
                problem: error.to_string(),
            })?;
            commands.push(command);
        }
        if fetched.batches.is_empty() || fetched.next >= fetched.end {
            return Ok(commands);
        }
        next = fetched.next;
    }
}

#[cfg(test)]
mod tests {
    use millstream::log::embedded::{EmbeddedConfig, EmbeddedLog};

    use super::*;

    #[test]
    fn statements_come_back_without_those_that_were_undone() {
        let directory = tempfile::tempdir().unwrap();
        let log: SharedLog = EmbeddedLog::open(directory.path(), EmbeddedConfig::default()).unwrap();
        let (mut commands, none) = CommandLog::open(&log).unwrap();
        assert!(none.is_empty());
        let properties = BTreeMap::from([("auto.offset.reset".to_owned(), "latest".to_owned())]);
        commands.record("CREATE a", None, &BTreeMap::new(), Timestamp(1)).unwrap();
        let failed = commands.record("CREATE b", Some("CSAS_B_0"), &properties, Timestamp(2)).unwrap();
        commands.undo(failed, Timestamp(3)).unwrap();
        commands.record("CREATE c", Some("CSAS_C_1"), &properties, Timestamp(4)).unwrap();

        let (_, back) = CommandLog::open(&log).unwrap();
        let shown: Vec<(u64, &str, Option<&str>)> =
            back.iter().map(|command| (command.number, command.text.as_str(), command.query.as_deref())).collect();
        assert_eq!(shown, [(0, "CREATE a", None), (3, "CREATE c", Some("CSAS_C_1"))]);
        assert_eq!(back[1].properties, properties);
    }
}
