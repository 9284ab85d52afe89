//! Orders in a log, the S3 sink that writes them, and what another program reads of it.

use std::{path::Path, sync::Arc, thread, time::Duration};

use arrow::datatypes::{DataType, Field, TimeUnit};
use millstream::{
    format::Format,
    log::{
        Append, Log, SharedLog, TopicConfig, Transaction,
        embedded::{Durability, EmbeddedConfig, EmbeddedLog},
    },
    record::{PartitionId, Record, Timestamp, TopicName, TopicPartition},
    secret::Secret,
};
use millstream_connectors::{
    ConnectorConfig, RunningConnector,
    rows::{RecordColumns, RowKind, TopicRows},
    runtime::{self, sink_group},
    s3::{S3Bucket, S3Sink},
};
use millstream_tests::moto_server::MotoServer;
use serde_json::Value;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);

pub(crate) fn topic(name: &str) -> TopicName {
    TopicName::new(name).expect("legal")
}

pub(crate) fn open_log(folder: &Path) -> SharedLog {
    let config = EmbeddedConfig { durability: Durability::Os, ..EmbeddedConfig::default() };
    EmbeddedLog::open(&folder.join("log"), config).expect("the log opens")
}

pub(crate) fn create(log: &dyn Log, name: &str, partitions: u32) {
    log.create_topic(&topic(name), &TopicConfig { partitions, ..TopicConfig::default() }).expect("it is new");
}

pub(crate) fn append(log: &dyn Log, name: &str, partition: u32, records: Vec<Record>) {
    let partition = TopicPartition::new(topic(name), PartitionId(partition));
    let appends = vec![Append { partition, records: records.into_iter().collect() }];
    let mut producer = log.producer("orders").expect("it opens");
    producer.commit(Transaction { appends, offsets: Vec::new() }).expect("committed");
}

/// The n-th order, with nulls here and there: a function of `n` and nothing else.
pub(crate) fn order(n: u64) -> Record {
    let name = if n.is_multiple_of(7) { "null".to_owned() } else { format!("\"item, \\\"{}\\\"\"", n % 13) };
    let value = format!(r#"{{"N":{n},"NAME":{name},"PRICE":{}.25,"AT":{}}}"#, n % 100, 1_357_034_400_000 + n * 60_000);
    Record {
        key: Some((n as i64).to_be_bytes().to_vec()),
        value: Some(value.into_bytes()),
        timestamp: Timestamp(1_357_034_400_000 + n as i64 * 60_000),
        headers: Vec::new(),
    }
}

/// What a reader must see of the n-th order.
pub(crate) fn row(n: u64) -> Value {
    let name = if n.is_multiple_of(7) { Value::Null } else { format!("item, \"{}\"", n % 13).into() };
    serde_json::json!({"ID": n, "N": n, "NAME": name, "PRICE": (n % 100) as f64 + 0.25, "AT": 1_357_034_400_000 + n * 60_000})
}

pub(crate) fn columns(name: &str, kind: RowKind) -> TopicRows {
    let column = |name: &str, data_type| Arc::new(Field::new(name, data_type, true));
    let columns = RecordColumns {
        key_format: Format::Kafka,
        key: vec![column("ID", DataType::Int64)],
        ..RecordColumns::json(
            kind,
            vec![
                column("N", DataType::Int64),
                column("NAME", DataType::Utf8),
                column("PRICE", DataType::Float64),
                column("AT", DataType::Timestamp(TimeUnit::Millisecond, None)),
            ],
        )
    };
    TopicRows::default().with(topic(name), columns.row_format().expect("legal"))
}

pub(crate) fn bucket(server: &str, name: &str) -> S3Bucket {
    S3Bucket {
        store_url: Some(server.to_owned()),
        keys: Some((Secret::new("key"), Secret::new("secret"))),
        timeout: Duration::from_secs(5),
        ..S3Bucket::new(name)
    }
}

pub(crate) fn start(name: &str, sink: S3Sink, rows: TopicRows, log: &SharedLog) -> RunningConnector {
    let mut config = ConnectorConfig { rows, ..sink.into() };
    config.settings.retry.attempts = 1000;
    config.settings.retry.first_wait = Duration::from_millis(20);
    config.settings.retry.longest_wait = Duration::from_millis(200);
    runtime::start(name, config, log.clone()).expect("started")
}

/// Waits until the group has committed all that is in the topic.
pub(crate) fn wait_until_written(running: &RunningConnector, name: &str, of: &str, log: &SharedLog) {
    let group = sink_group(name).expect("legal");
    let partitions = log.describe_topic(&topic(of)).expect("there").config.partitions;
    let is_written = || {
        (0..partitions).all(|partition| {
            let partition = TopicPartition::new(topic(of), PartitionId(partition));
            let end = log.end_offset(&partition).expect("there");
            log.committed(&group, &partition).expect("asked").is_some_and(|committed| committed.next >= end)
        })
    };
    for look in 0.. {
        if is_written() {
            return;
        }
        let status = running.status();
        assert!(status.state != runtime::ConnectorState::Failed, "{:?}", status.last_error);
        assert!(LOOK * look < PATIENCE, "not written in time: {status:?}");
        thread::sleep(LOOK);
    }
}

/// What pyarrow and the others read of the output.
pub(crate) struct Output {
    pub(crate) rows: Vec<Value>,
    pub(crate) listed: Vec<String>,
    pub(crate) named: Vec<String>,
    pub(crate) uploads: u64,
}

pub(crate) fn read(server: &MotoServer, bucket: &str, connector: &str) -> Output {
    let text = server.python("read_s3.py", &[&server.url(), bucket, "topics", connector]);
    let mut output: Value = serde_json::from_str(&text).expect("JSON");
    let keys = |value: &Value| {
        value.as_array().expect("a list").iter().map(|key| key.as_str().expect("text").to_owned()).collect()
    };
    let (listed, named) = (keys(&output["listed"]), keys(&output["named"]));
    let Value::Array(rows) = output["rows"].take() else { panic!("no rows: {text}") };
    Output { rows, listed, named, uploads: output["uploads"].as_u64().expect("a count") }
}

/// That the output is the orders from 0 on, each once, and that nothing else lies in the bucket.
pub(crate) fn check(mut output: Output, orders: u64) {
    output.rows.sort_by_key(|row| row["N"].as_u64());
    let numbers: Vec<Option<u64>> = output.rows.iter().map(|row| row["N"].as_u64()).collect();
    let wrong = numbers.iter().zip(0..).find(|(found, expected)| **found != Some(*expected));
    assert_eq!((numbers.len() as u64, wrong), (orders, None), "each order once");
    assert!(output.rows.iter().zip(0..).all(|(found, n)| *found == row(n)), "every column comes back");
    assert_eq!(output.listed, output.named, "the bucket holds the files of the manifest and nothing else");
    assert_eq!(output.uploads, 0, "no upload is left");
}
