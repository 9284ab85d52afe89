//! `millstream topic list` and `topic describe`.

use std::{io, sync::Arc, time::Duration};

use arrow::{
    array::{ArrayRef, RecordBatch, StringArray, UInt32Array, UInt64Array},
    error::ArrowError,
};
use millstream::{
    log::{CleanupPolicy, Compression, Log, LogError, TopicDescription},
    record::{PartitionId, TopicPartition},
};

use crate::{
    cli::{
        arguments::{TopicDescribeArguments, TopicListArguments},
        byte_size::ByteSize,
        cluster::Missing,
        failure::Failure,
    },
    output::{OutputError, OutputFormat, write_rows},
    shell::console::terminal_width,
};

/// One row a topic.
pub(super) fn list(arguments: &TopicListArguments) -> Result<(), Failure> {
    let log = arguments.log.open(Missing::Refused)?.shared();
    let topics = log.topics()?;
    let records = topics.iter().map(|topic| count(log.as_ref(), topic)).collect::<Result<Vec<_>, LogError>>()?;
    let rows = columns(vec![
        ("TOPIC", Arc::new(StringArray::from_iter_values(topics.iter().map(|topic| topic.name.as_str())))),
        ("PARTITIONS", Arc::new(UInt32Array::from_iter_values(topics.iter().map(|topic| topic.config.partitions)))),
        ("RECORDS", Arc::new(UInt64Array::from(records))),
        ("CLEANUP", Arc::new(StringArray::from_iter_values(topics.iter().map(|topic| cleanup(topic.config.cleanup))))),
    ])?;
    write(arguments.output, &rows)
}

/// One row a partition; a person is told the settings too.
pub(super) fn describe(arguments: &TopicDescribeArguments) -> Result<(), Failure> {
    let log = arguments.log.open(Missing::Refused)?.shared();
    let topic = log.describe_topic(&super::topic_name(&arguments.topic)?)?;
    if arguments.output == OutputFormat::Table {
        eprintln!("{}", settings(&topic));
    }
    let ends = (0..topic.config.partitions)
        .map(|partition| ends(log.as_ref(), &topic, partition))
        .collect::<Result<Vec<_>, LogError>>()?;
    let numbers = |of: fn(&(u64, u64)) -> u64| Arc::new(UInt64Array::from_iter_values(ends.iter().map(of)));
    let names = std::iter::repeat_n(topic.name.as_str(), ends.len());
    let rows = columns(vec![
        ("TOPIC", Arc::new(StringArray::from_iter_values(names))),
        ("PARTITION", Arc::new(UInt32Array::from_iter_values(0..topic.config.partitions))),
        ("START_OFFSET", numbers(|ends| ends.0)),
        ("END_OFFSET", numbers(|ends| ends.1)),
    ])?;
    write(arguments.output, &rows)
}

fn columns(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch, Failure> {
    RecordBatch::try_from_iter(columns).map_err(|error: ArrowError| Failure::Output(error.into()))
}

fn write(format: OutputFormat, rows: &RecordBatch) -> Result<(), Failure> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    write_rows(format, &rows.schema(), std::slice::from_ref(rows), terminal_width(), &mut out)
        .map_err(|error: OutputError| error.into())
}

/// The first offset still there and the next to be written.
fn ends(log: &dyn Log, topic: &TopicDescription, partition: u32) -> Result<(u64, u64), LogError> {
    let partition = TopicPartition::new(topic.name.clone(), PartitionId(partition));
    Ok((log.start_offset(&partition)?.0, log.end_offset(&partition)?.0))
}

/// Offsets in use: the count of records, of which compaction may have removed some.
fn count(log: &dyn Log, topic: &TopicDescription) -> Result<u64, LogError> {
    (0..topic.config.partitions).try_fold(0, |sum, partition| {
        let (start, end) = ends(log, topic, partition)?;
        Ok(sum + (end - start))
    })
}

fn settings(topic: &TopicDescription) -> String {
    let config = &topic.config;
    let age = |age: Duration| format!("{} s", age.as_secs());
    let compression = match config.compression {
        Compression::None => "none",
        Compression::Lz4 => "lz4",
        Compression::Zstd => "zstd",
    };
    format!(
        "topic {}: partitions {}, cleanup {}, retention {}, retention per partition {}, tombstones kept {}, compression {compression}, segments {}",
        topic.name,
        config.partitions,
        cleanup(config.cleanup),
        config.retention.map_or_else(|| "unlimited".to_owned(), age),
        config.retention_bytes.map_or_else(|| "unlimited".to_owned(), size),
        age(config.tombstone_delay),
        size(config.segment_bytes),
    )
}

fn size(bytes: u64) -> String {
    usize::try_from(bytes).map_or_else(|_| bytes.to_string(), |bytes| ByteSize(bytes).to_string())
}

fn cleanup(policy: CleanupPolicy) -> &'static str {
    match policy {
        CleanupPolicy::Delete => "delete",
        CleanupPolicy::Compact => "compact",
        CleanupPolicy::CompactDelete => "compact,delete",
    }
}
