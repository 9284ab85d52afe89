//! The record of what was declared: one JSON object a statement, in an internal topic that is never compacted.
//!
//! A statement is recorded before it takes effect. One that could not take effect is undone by a second object that names it, so that
//! what a restart brings back is what was answered with success; a crash between the two leaves the statement in force.
//!
//! On a log that processes share all of them write to the topic, each as if it were alone: with the number that it expects to be the next.
//! **Invariant:** of records with one number the first in the topic counts, for everybody; the others are void. Whoever has recorded a
//! statement therefore reads on until it sees that number, and knows whether it was its own. One that was not is planned again, behind
//! what came before it. Nothing is undone there: a statement that cannot take effect is followed by one that takes it back.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use millstream::{
    log::{Append, LogError, Producer, SharedLog, TopicConfig, Transaction},
    record::{Offset, PartitionId, RecordRef, RecordsBuilder, Timestamp, TopicName, TopicPartition},
};
use serde::{Deserialize, Serialize};

use super::error::EngineError;

/// The topic of recorded statements in a data directory of one process.
pub(super) const COMMANDS_TOPIC: &str = "_millstream_commands";

const FETCH_BYTES: usize = 1 << 20;
/// How long one's own record may take to be seen.
const SEEN_WITHIN: Duration = Duration::from_secs(60);
/// How long to wait before it is looked again.
const PAUSE: Duration = Duration::from_millis(5);

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
    /// Who recorded it, and which of its records it is; on logs that processes share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) by: Option<String>,
}

/// What became of a statement that was to be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recorded {
    /// It is recorded under this number.
    As(u64),
    /// Another process was first: what it has recorded waits to be applied, then the statement is to be planned again.
    Outrun,
}

/// Reading and writing the record.
pub(super) struct CommandLog {
    log: SharedLog,
    producer: Box<dyn Producer>,
    partition: TopicPartition,
    /// Where to read on.
    position: Offset,
    next: u64,
    /// How this process signs, if others write to the same topic.
    process: Option<String>,
    signed: u64,
    /// What others have recorded and this process has not applied.
    waiting: VecDeque<Command>,
    /// Why it does not apply them any more.
    stuck: Option<String>,
}

impl CommandLog {
    /// Opens the record in a topic, which is made if it is not there, and gives the statements in force, in order. A process that shares the
    /// log has a name of its own.
    ///
    /// # Errors
    /// Those of the log, and records that are none of ours.
    pub(super) fn open(
        log: &SharedLog,
        topic: &str,
        process: Option<String>,
    ) -> Result<(Self, Vec<Command>), EngineError> {
        let name = TopicName::new(topic)?;
        match log.create_topic(&name, &TopicConfig::default()) {
            Ok(()) | Err(LogError::TopicExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let partition = TopicPartition::new(name, PartitionId(0));
        let producer = log.producer(topic)?;
        let position = log.start_offset(&partition)?;
        let log = SharedLog::clone(log);
        let waiting = VecDeque::new();
        let mut commands =
            Self { log, producer, partition, position, next: 0, process, signed: 0, waiting, stuck: None };
        let end = commands.log.end_offset(&commands.partition)?;
        while commands.position < end {
            commands.read()?;
        }
        let all = std::mem::take(&mut commands.waiting);
        let undone: BTreeSet<u64> = all.iter().filter_map(|command| command.undone).collect();
        let in_force = all.into_iter().filter(|command| command.undone.is_none() && !undone.contains(&command.number));
        Ok((commands, in_force.collect()))
    }

    /// Whether other processes write to the same topic.
    pub(super) fn is_shared(&self) -> bool {
        self.process.is_some()
    }

    /// Why what others record is not applied any more, if it is not.
    pub(super) fn stuck(&self) -> Option<&str> {
        self.stuck.as_deref()
    }

    /// Says that what others record is not applied any more.
    pub(super) fn get_stuck(&mut self, problem: String) {
        self.stuck = Some(problem);
    }

    /// The oldest statement of others that is not applied yet, as far as the topic was read.
    pub(super) fn next_of_others(&mut self) -> Option<Command> {
        self.waiting.pop_front()
    }

    /// Records a statement.
    ///
    /// # Errors
    /// If it could not be committed.
    pub(super) fn record(
        &mut self,
        text: &str,
        query: Option<&str>,
        properties: &BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<Recorded, EngineError> {
        let number = self.next;
        let query = query.map(str::to_owned);
        let properties = properties.clone();
        let command = Command { number, text: text.to_owned(), query, properties, undone: None, by: self.sign() };
        self.append(&command, now)?;
        match &command.by {
            None => {
                self.next = number + 1;
                Ok(Recorded::As(number))
            }
            Some(signature) => self.find_own(number, signature),
        }
    }

    /// Takes back a statement that did not take effect; not on logs that processes share.
    ///
    /// # Errors
    /// If that could not be committed.
    pub(super) fn undo(&mut self, number: u64, now: Timestamp) -> Result<(), EngineError> {
        debug_assert!(!self.is_shared(), "others may have built on the statement");
        let command = Command {
            number: self.next,
            text: String::new(),
            query: None,
            properties: BTreeMap::new(),
            undone: Some(number),
            by: None,
        };
        self.append(&command, now)?;
        self.next += 1;
        Ok(())
    }

    /// Reads on once; what counts waits to be applied. Says whether there was anything to read.
    ///
    /// # Errors
    /// Those of the log, and records that are none of ours.
    pub(super) fn read(&mut self) -> Result<bool, EngineError> {
        let fetched = self.log.fetch(&self.partition, self.position, FETCH_BYTES)?;
        for record in fetched.batches.iter().flat_map(|batch| batch.records.iter()) {
            let command = parse(record.value.unwrap_or_default(), self.next)?;
            // In a directory of one process numbers have no gaps and never come twice.
            if command.number == self.next || self.process.is_none() {
                self.next = command.number + 1;
                self.waiting.push_back(command);
            }
        }
        self.position = fetched.next;
        Ok(!fetched.batches.is_empty())
    }

    /// Reads on until the number is seen that a statement was recorded with, and says whether it is this process's.
    fn find_own(&mut self, number: u64, signature: &str) -> Result<Recorded, EngineError> {
        let mut left = SEEN_WITHIN;
        // A commit is visible as a whole, but perhaps a moment after it was acknowledged.
        while self.next <= number {
            if !self.read()? {
                left = left.checked_sub(PAUSE).ok_or_else(|| EngineError::Following {
                    problem: format!("recorded statement {number} was not seen within {SEEN_WITHIN:?}"),
                })?;
                std::thread::sleep(PAUSE);
            }
        }
        let is_own = self.waiting.front().is_some_and(|first| first.by.as_deref() == Some(signature));
        if is_own {
            self.waiting.pop_front();
            return Ok(Recorded::As(number));
        }
        Ok(Recorded::Outrun)
    }

    fn sign(&mut self) -> Option<String> {
        self.signed += 1;
        self.process.as_ref().map(|process| format!("{process}/{}", self.signed))
    }

    fn append(&mut self, command: &Command, now: Timestamp) -> Result<(), EngineError> {
        let value = serde_json::to_vec(command).expect("text and numbers can be written as JSON");
        let mut records = RecordsBuilder::default();
        records.push(RecordRef { key: None, value: Some(&value), timestamp: now, headers: &[] });
        let append = Append { partition: self.partition.clone(), records: records.finish() };
        self.producer.commit(Transaction { appends: vec![append], offsets: Vec::new() })?;
        Ok(())
    }
}

fn parse(bytes: &[u8], number: u64) -> Result<Command, EngineError> {
    serde_json::from_slice(bytes).map_err(|error| EngineError::Replay {
        number,
        text: String::from_utf8_lossy(bytes).chars().take(60).collect(),
        problem: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use millstream::{
        log::embedded::{EmbeddedConfig, EmbeddedLog},
        testing::MemoryLog,
    };

    use super::*;

    #[test]
    fn statements_come_back_without_those_that_were_undone() {
        let directory = tempfile::tempdir().unwrap();
        let log: SharedLog = EmbeddedLog::open(directory.path(), EmbeddedConfig::default()).unwrap();
        let (mut commands, none) = CommandLog::open(&log, COMMANDS_TOPIC, None).unwrap();
        assert!(none.is_empty());
        let properties = BTreeMap::from([("auto.offset.reset".to_owned(), "latest".to_owned())]);
        commands.record("CREATE a", None, &BTreeMap::new(), Timestamp(1)).unwrap();
        let failed = commands.record("CREATE b", Some("CSAS_B_0"), &properties, Timestamp(2)).unwrap();
        assert_eq!(failed, Recorded::As(1));
        commands.undo(1, Timestamp(3)).unwrap();
        commands.record("CREATE c", Some("CSAS_C_1"), &properties, Timestamp(4)).unwrap();

        let (_, back) = CommandLog::open(&log, COMMANDS_TOPIC, None).unwrap();
        let shown: Vec<(u64, &str, Option<&str>)> =
            back.iter().map(|command| (command.number, command.text.as_str(), command.query.as_deref())).collect();
        assert_eq!(shown, [(0, "CREATE a", None), (3, "CREATE c", Some("CSAS_C_1"))]);
        assert_eq!(back[1].properties, properties);
    }

    /// Producers of a memory log have one owner a name; those of processes that share a log have one a process.
    fn process(log: &SharedLog, name: &str) -> CommandLog {
        let (mut commands, _) = CommandLog::open(log, "c", Some(name.to_owned())).unwrap();
        commands.producer = log.producer(name).unwrap();
        commands
    }

    #[test]
    fn of_two_statements_with_one_number_the_first_counts() {
        let log: SharedLog = Arc::new(MemoryLog::new());
        let (mut ada, mut bob) = (process(&log, "ada"), process(&log, "bob"));
        let none = BTreeMap::new();
        let record = |commands: &mut CommandLog, text: &str| commands.record(text, None, &none, Timestamp(0)).unwrap();
        assert_eq!(record(&mut ada, "a0"), Recorded::As(0));
        // Bob has not read on: his statement has the number of hers, and is void.
        assert_eq!(record(&mut bob, "b0"), Recorded::Outrun);
        assert_eq!(bob.next_of_others().unwrap().text, "a0");
        assert_eq!(record(&mut bob, "b1"), Recorded::As(1));
        assert_eq!(record(&mut ada, "a1"), Recorded::Outrun);
        assert_eq!(ada.next_of_others().unwrap().text, "b1");
        assert_eq!(record(&mut ada, "a2"), Recorded::As(2));
        while bob.read().unwrap() {}
        assert_eq!(bob.next_of_others().unwrap().text, "a2");
        assert!(bob.next_of_others().is_none());
        let (_, all) = CommandLog::open(&log, "c", Some("eve".to_owned())).unwrap();
        assert_eq!(all.iter().map(|command| command.text.as_str()).collect::<Vec<_>>(), ["a0", "b1", "a2"]);
    }
}
