//! Topics of a log, read and written as plain records.

use std::path::Path;

use millstream::{
    connect::{PollLimits, Positions, Readiness, Source, SourceStart},
    log::{
        Append, Log, Transaction,
        embedded::{Durability, EmbeddedConfig, EmbeddedLog},
    },
    record::{Offset, PartitionId, Record, TopicName, TopicPartition},
};

/// How much one read or one commit takes.
const BATCH_BYTES: usize = 8 << 20;

/// A topic's name.
pub(crate) fn topic(name: &str) -> TopicName {
    TopicName::new(name).expect("a legal name")
}

/// The log of a data directory that no engine has open.
pub(crate) fn open_log(data: &Path) -> std::sync::Arc<EmbeddedLog> {
    let config = EmbeddedConfig { durability: Durability::Os, ..EmbeddedConfig::default() };
    EmbeddedLog::open(&data.join("log"), config).expect("the log opens")
}

/// Calls `each` with the partition, offset and record of everything in a topic, partition by partition.
pub(crate) fn for_each_record(log: &dyn Log, name: &str, each: &mut dyn FnMut(u32, Offset, Record)) {
    let topic = topic(name);
    let partitions = log.describe_topic(&topic).expect("the topic is there").config.partitions;
    for partition in 0..partitions {
        let place = TopicPartition::new(topic.clone(), PartitionId(partition));
        let mut next = log.start_offset(&place).expect("the partition is there");
        loop {
            let fetched = log.fetch(&place, next, BATCH_BYTES).expect("the partition can be read");
            for batch in &fetched.batches {
                for (row, record) in batch.records.iter().enumerate() {
                    let record = Record {
                        key: record.key.map(Into::into),
                        value: record.value.map(Into::into),
                        timestamp: record.timestamp,
                        headers: record.headers.to_vec(),
                    };
                    each(partition, batch.offsets.at(row), record);
                }
            }
            if fetched.next == next {
                break;
            }
            next = fetched.next;
        }
    }
}

/// How many records were ever appended to a topic, over all partitions.
pub(crate) fn end_of(log: &dyn Log, name: &str) -> u64 {
    let topic = topic(name);
    let partitions = log.describe_topic(&topic).expect("the topic is there").config.partitions;
    let end = |partition| {
        let place = TopicPartition::new(topic.clone(), PartitionId(partition));
        log.end_offset(&place).expect("the partition is there").0
    };
    (0..partitions).map(end).sum()
}

/// Appends records to one partition in one commit.
pub(crate) fn append(log: &dyn Log, name: &str, partition: u32, records: impl IntoIterator<Item = Record>) {
    let partition = TopicPartition::new(topic(name), PartitionId(partition));
    let appends = vec![Append { partition, records: records.into_iter().collect() }];
    let mut producer = log.producer("tests").expect("a producer opens");
    producer.commit(Transaction { appends, offsets: Vec::new() }).expect("the records are committed");
}

/// Moves everything a source has into the log, as fast as it goes. Its topics must exist.
pub(crate) fn fill(log: &dyn Log, source: &mut dyn Source) {
    let partitions = source
        .topics()
        .into_iter()
        .map(|topic| {
            let there = log.describe_topic(&topic.name).expect("the topic is there");
            (topic.name, there.config.partitions)
        })
        .collect();
    source.open(SourceStart { positions: &Positions::new(), partitions: &partitions }).expect("the source opens");
    let mut producer = log.producer("tests").expect("a producer opens");
    loop {
        let batch = source.poll(PollLimits { rows: 50_000, bytes: BATCH_BYTES }).expect("the source goes on");
        let transaction = Transaction { appends: batch.appends, offsets: Vec::new() };
        producer.commit(transaction).expect("the records are committed");
        if batch.readiness == Readiness::Exhausted {
            break;
        }
    }
}
