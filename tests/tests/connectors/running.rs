//! Connectors of a test: from properties, over topics of JSON rows, until they have done their work or have failed.

use std::{sync::Arc, time::Duration};

use arrow::datatypes::{DataType, Field};
use millstream::{format::Format, log::SharedLog};
use millstream_connectors::{
    ConnectorConfig, ConnectorState, Direction, RunningConnector,
    rows::{RecordColumns, RowKind, TopicRows},
    runtime::start,
};

use super::log::{PATIENCE, topic};

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
    impatient(config)
}

/// The same, with short waits between attempts.
pub(crate) fn impatient(mut config: ConnectorConfig) -> ConnectorConfig {
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

/// Waits until a sink has committed everything that is in its topics.
pub(crate) fn wait_until_drained(running: &RunningConnector) {
    for _ in 0..PATIENCE.as_millis() / 10 {
        if running.is_idle().expect("the log answers") {
            return;
        }
        // Ends the wait at once if it has failed.
        match running.wait_for_status(Some(Duration::from_millis(10)), |status| status.state == ConnectorState::Failed)
        {
            Ok(status) => panic!("{} failed: {:?}", running.name(), status.last_error),
            Err(_) => continue,
        }
    }
    panic!("{} is not done: {:?}", running.name(), running.status());
}

/// The error with which a connector fails.
pub(crate) fn failure(log: &SharedLog, name: &str, config: ConnectorConfig) -> String {
    let running = start(name, config, log.clone()).unwrap_or_else(|error| panic!("{error}"));
    match running.wait_for_status(Some(PATIENCE), |status| status.state == ConnectorState::Failed) {
        Ok(status) => status.last_error.expect("a reason"),
        Err(error) => panic!("{name} does not fail: {error}"),
    }
}
