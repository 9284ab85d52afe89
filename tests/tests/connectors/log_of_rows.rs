//! A log with topics of JSON rows, and connectors on it.

use std::{path::Path, sync::Arc, time::Duration};

use arrow::datatypes::{DataType, Field};
use millstream::{
    format::Format,
    log::{
        Append, Log, SharedLog, TopicConfig, Transaction,
        embedded::{Durability, EmbeddedConfig, EmbeddedLog},
        partition_for_key,
    },
    record::{Record, TopicName, TopicPartition},
};
use millstream_connectors::{
    ConnectorConfig, Direction, RunningConnector,
    rows::{RecordColumns, RowKind, TopicRows},
    runtime::start,
};

/// How long a connector may take for what a test gives it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn topic(name: &str) -> TopicName {
    TopicName::new(name).expect("a legal name")
}

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
    let filled = parts.into_iter().enumerate().filter(|(_, part)| !part.is_empty());
    let appends = filled.map(|(partition, part)| Append {
        partition: TopicPartition::new(topic(name), millstream::record::PartitionId(partition as u32)),
        records: part.into_iter().collect(),
    });
    let transaction = Transaction { appends: appends.collect(), offsets: Vec::new() };
    let mut producer = log.producer("test-input").expect("a producer");
    producer.commit(transaction).expect("committed");
}

/// Columns of a topic: `ID` in the key, as a number in KAFKA form, and those of a JSON value.
pub(crate) fn columns(kind: RowKind, value: &[(&str, DataType)]) -> RecordColumns {
    let field = |(name, data_type): &(&str, DataType)| Arc::new(Field::new(*name, data_type.clone(), true));
    RecordColumns {
        key_format: Format::Kafka,
        key: vec![field(&("ID", DataType::Int64))],
        ..RecordColumns::json(kind, value.iter().map(field).collect())
    }
}

pub(crate) fn rows_of(topics: &[(&str, RecordColumns)]) -> TopicRows {
    topics.iter().fold(TopicRows::default(), |rows, (name, columns)| {
        rows.with(topic(name), columns.clone().row_format().expect("legal columns"))
    })
}

/// Properties as text, `name=value` with blanks between.
pub(crate) fn config(direction: Direction, text: &str, rows: TopicRows) -> ConnectorConfig {
    let pairs: Vec<(String, String)> = text
        .split_whitespace()
        .map(|pair| pair.split_once('=').unwrap_or_else(|| panic!("{pair}: name=value")))
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let mut config = ConnectorConfig::parse(&pairs, direction).unwrap_or_else(|error| panic!("{text}: {error}"));
    config.rows = rows;
    config.settings.retry.first_wait = Duration::from_millis(20);
    config.settings.retry.longest_wait = Duration::from_millis(200);
    config
}

/// Runs a sink until it has committed everything that is in its topics.
pub(crate) fn drain(log: &SharedLog, name: &str, config: ConnectorConfig) -> RunningConnector {
    let running = start(name, config, log.clone()).unwrap_or_else(|error| panic!("{error}"));
    wait_until_drained(&running);
    running
}

pub(crate) fn wait_until_drained(running: &RunningConnector) {
    for _ in 0..PATIENCE.as_millis() / 10 {
        if running.is_idle().expect("the log answers") {
            return;
        }
        // Ends the wait at once if it has failed.
        match running.wait_for_status(Some(Duration::from_millis(10)), |status| status.state.to_string() == "FAILED") {
            Ok(status) => panic!("{} failed: {:?}", running.name(), status.last_error),
            Err(_) => continue,
        }
    }
    panic!("{} is not done: {:?}", running.name(), running.status());
}

/// The error with which a sink fails.
pub(crate) fn failure(log: &SharedLog, name: &str, config: ConnectorConfig) -> String {
    let running = start(name, config, log.clone()).unwrap_or_else(|error| panic!("{error}"));
    let failed = |status: &millstream_connectors::ConnectorStatus| status.state.to_string() == "FAILED";
    match running.wait_for_status(Some(PATIENCE), failed) {
        Ok(status) => status.last_error.expect("a reason"),
        Err(error) => panic!("{name} does not fail: {error}"),
    }
}
