//! Positions of sources: records of a compacted internal topic, committed in one transaction with the rows.
//!
//! Key: a JSON array of the connector's name and the source partition. Value: the position, by convention JSON text; a
//! tombstone forgets it. The newest record of a key counts, so the topic is read once from its start when a source starts.

use millstream::{
    connect::{ConnectError, Position, Positions},
    log::{Append, CleanupPolicy, GroupOffset, Log, LogError, OffsetCommit, Producer, TopicConfig, Transaction},
    record::{Offset, PartitionId, RecordRef, Records, RecordsBuilder, Timestamp, TopicName, TopicPartition},
};

use super::{producer_name, sink_group};

/// The topic that keeps the positions of all sources.
pub const POSITIONS_TOPIC: &str = "_millstream_connector_positions";

const FETCH_BYTES: usize = 1 << 20;

fn positions_partition() -> TopicPartition {
    let topic = TopicName::new(POSITIONS_TOPIC).expect("the name is a legal constant");
    TopicPartition::new(topic, PartitionId(0))
}

/// Makes a topic unless it is there; returns how many partitions it has.
pub(super) fn ensure_topic(log: &dyn Log, topic: &TopicName, config: &TopicConfig) -> Result<u32, LogError> {
    match log.create_topic(topic, config) {
        Ok(()) => Ok(config.partitions),
        Err(LogError::TopicExists { .. }) => Ok(log.describe_topic(topic)?.config.partitions),
        Err(error) => Err(error),
    }
}

pub(super) fn ensure_positions_topic(log: &dyn Log) -> Result<(), LogError> {
    let config = TopicConfig { cleanup: CleanupPolicy::Compact, segment_bytes: 4 << 20, ..TopicConfig::default() };
    ensure_topic(log, &positions_partition().topic, &config).map(|_| ())
}

/// The committed positions of a source; empty if it has never committed.
///
/// # Errors
/// Those of reading the log, other than that the topic is not there yet.
pub fn read_positions(log: &dyn Log, connector: &str) -> Result<Positions, LogError> {
    let partition = positions_partition();
    let mut positions = Positions::new();
    let mut next = match log.start_offset(&partition) {
        Err(LogError::UnknownTopic { .. }) => return Ok(positions),
        start => start?,
    };
    loop {
        let fetched = log.fetch(&partition, next, FETCH_BYTES)?;
        for record in fetched.batches.iter().flat_map(|batch| batch.records.iter()) {
            let key = record.key.and_then(|key| serde_json::from_slice::<(String, String)>(key).ok());
            let Some((_, source_partition)) = key.filter(|(name, _)| name == connector) else { continue };
            match record.value {
                Some(value) => positions.insert(source_partition, Position(value.to_vec())),
                None => positions.remove(&source_partition),
            };
        }
        if fetched.next == next || fetched.next >= fetched.end {
            return Ok(positions);
        }
        next = fetched.next;
    }
}

/// The records that keep these positions; `None` in place of a position forgets it.
pub(super) fn position_append<'a>(
    connector: &str,
    positions: impl Iterator<Item = (&'a String, Option<&'a Position>)>,
    now: Timestamp,
) -> Append {
    let mut builder = RecordsBuilder::default();
    for (source_partition, position) in positions {
        let key = serde_json::to_vec(&(connector, source_partition)).expect("two strings are always JSON");
        let value = position.map(|position| position.0.as_slice());
        builder.push(RecordRef { key: Some(&key), value, timestamp: now, headers: &[] });
    }
    Append { partition: positions_partition(), records: builder.finish() }
}

/// Forgets how far a connector has come, so that one of the same name starts anew: a source at the beginning of its
/// input, a sink at the beginning of `sink_topics` (it then refuses a target that is not empty). Of a topic that is gone there is
/// nothing to forget.
///
/// # Errors
/// [`ConnectError::Log`] and [`ConnectError::Commit`].
pub fn forget(log: &dyn Log, connector: &str, sink_topics: &[TopicName]) -> Result<(), ConnectError> {
    let mut producer: Box<dyn Producer> = log.exclusive_producer(&producer_name(connector))?;
    let positions = read_positions(log, connector)?;
    let mut transaction = Transaction::default();
    if !positions.is_empty() {
        let forgotten = positions.keys().map(|source_partition| (source_partition, None));
        transaction.appends.push(position_append(connector, forgotten, Timestamp(0)));
    }
    let group = sink_group(connector).map_err(LogError::from)?;
    for topic in sink_topics {
        let partitions = match partitions_of(log, topic) {
            Err(LogError::UnknownTopic { .. }) => continue,
            partitions => partitions?,
        };
        for partition in partitions {
            if log.committed(&group, &partition)?.is_some() {
                let position = GroupOffset { next: log.start_offset(&partition)?, metadata: Vec::new() };
                transaction.offsets.push(OffsetCommit { group: group.clone(), partition, position });
            }
        }
    }
    if !transaction.is_empty() {
        producer.commit(transaction)?;
    }
    Ok(())
}

/// All partitions of a topic.
pub(super) fn partitions_of(log: &dyn Log, topic: &TopicName) -> Result<Vec<TopicPartition>, LogError> {
    let partitions = log.describe_topic(topic)?.config.partitions;
    Ok((0..partitions).map(|partition| TopicPartition::new(topic.clone(), PartitionId(partition))).collect())
}

/// Drops the records of a batch that lie below `from`, as an engine may bring whole batches.
pub(super) fn rows_below(offsets: &millstream::log::Offsets, records: &Records, from: Offset) -> usize {
    (0..records.len()).take_while(|row| offsets.at(*row) < from).count()
}
