//! Topics in a log: what tests put into them, and what is in them.

use std::{path::Path, time::Duration};

use millstream::{
    log::{
        Append, Log, SharedLog, TopicConfig, Transaction,
        embedded::{Durability, EmbeddedConfig, EmbeddedLog},
        partition_for_key,
    },
    record::{PartitionId, Record, TopicName, TopicPartition},
};

/// How long a connector may take for what a test gives it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A topic's name.
pub(crate) fn topic(name: &str) -> TopicName {
    TopicName::new(name).expect("a legal name")
}

/// The log in a directory, made if it is not there. Nobody else may have it open.
pub(crate) fn open_log(directory: &Path) -> SharedLog {
    let config = EmbeddedConfig { durability: Durability::Os, ..EmbeddedConfig::default() };
    EmbeddedLog::open(directory, config).expect("the log opens")
}

pub(crate) fn make_topic(log: &dyn Log, name: &str, partitions: u32) {
    let config = TopicConfig { partitions, ..TopicConfig::default() };
    log.create_topic(&topic(name), &config).expect("the topic is new");
}

/// A record whose key is a number in KAFKA form; no value is a tombstone.
pub(crate) fn record(key: i64, value: Option<&str>) -> Record {
    Record { key: Some(key.to_be_bytes().to_vec()), value: value.map(Into::into), ..Record::default() }
}

/// Appends records in one transaction, each where its key belongs.
pub(crate) fn append(log: &dyn Log, name: &str, records: &[Record]) {
    let partitions = log.describe_topic(&topic(name)).expect("it is there").config.partitions;
    let mut parts: Vec<Vec<Record>> = vec![Vec::new(); partitions as usize];
    for record in records {
        let key = record.key.as_deref().expect("every record has a key");
        parts[partition_for_key(key, partitions).0 as usize].push(record.clone());
    }
    commit(log, name, (0..).zip(parts).filter(|(_, part)| !part.is_empty()));
}

/// Appends records to a partition in one transaction.
pub(crate) fn append_to(log: &dyn Log, name: &str, partition: u32, records: Vec<Record>) {
    commit(log, name, [(partition, records)]);
}

/// Makes a topic of one partition with these records.
pub(crate) fn fill(log: &dyn Log, name: &str, records: impl IntoIterator<Item = Record>) {
    make_topic(log, name, 1);
    append_to(log, name, 0, records.into_iter().collect());
}

fn commit(log: &dyn Log, name: &str, parts: impl IntoIterator<Item = (u32, Vec<Record>)>) {
    let append = |(partition, records): (u32, Vec<Record>)| Append {
        partition: TopicPartition::new(topic(name), PartitionId(partition)),
        records: records.into_iter().collect(),
    };
    let transaction = Transaction { appends: parts.into_iter().map(append).collect(), offsets: Vec::new() };
    log.producer("test-input").expect("a producer opens").commit(transaction).expect("the records are committed");
}

/// All records of a topic, partition by partition; none if it is not there.
pub(crate) fn records(log: &dyn Log, name: &str) -> Vec<Record> {
    let topic = topic(name);
    let Ok(description) = log.describe_topic(&topic) else { return Vec::new() };
    let mut records = Vec::new();
    for partition in 0..description.config.partitions {
        let place = TopicPartition::new(topic.clone(), PartitionId(partition));
        let mut next = log.start_offset(&place).expect("the partition is there");
        loop {
            let fetched = log.fetch(&place, next, 8 << 20).expect("the partition can be read");
            let rows = fetched.batches.iter().flat_map(|batch| batch.records.iter());
            records.extend(rows.map(Record::from));
            if fetched.next == next {
                break;
            }
            next = fetched.next;
        }
    }
    records
}

/// Bytes as text.
pub(crate) fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8(bytes.unwrap_or_default().to_vec()).expect("text")
}
