//! What is in the topics of a data directory.

use std::path::Path;

use millstream::{
    log::{
        Append, Log, TopicConfig, Transaction,
        embedded::{Durability, EmbeddedConfig, EmbeddedLog},
    },
    record::{PartitionId, Record, TopicName, TopicPartition},
};

/// A topic's name.
pub(crate) fn topic(name: &str) -> TopicName {
    TopicName::new(name).expect("a legal name")
}

/// The log of a data directory that no engine has open.
pub(crate) fn open_log(data: &Path) -> std::sync::Arc<EmbeddedLog> {
    let config = EmbeddedConfig { durability: Durability::Os, ..EmbeddedConfig::default() };
    EmbeddedLog::open(&data.join("log"), config).expect("the log opens")
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
            records.extend(rows.map(|record| Record {
                key: record.key.map(Into::into),
                value: record.value.map(Into::into),
                timestamp: record.timestamp,
                headers: record.headers.to_vec(),
            }));
            if fetched.next == next {
                break;
            }
            next = fetched.next;
        }
    }
    records
}

/// Makes a topic of one partition with these records.
pub(crate) fn fill(log: &dyn Log, name: &str, records: impl IntoIterator<Item = Record>) {
    log.create_topic(&topic(name), &TopicConfig::default()).expect("the topic is new");
    let partition = TopicPartition::new(topic(name), PartitionId(0));
    let appends = vec![Append { partition, records: records.into_iter().collect() }];
    let mut producer = log.producer("tests").expect("a producer opens");
    producer.commit(Transaction { appends, offsets: Vec::new() }).expect("the records are committed");
}

/// Bytes as text.
pub(crate) fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8(bytes.unwrap_or_default().to_vec()).expect("text")
}
