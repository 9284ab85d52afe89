//! Orders in a topic, the S3 sink that writes them, and what another program reads of it.

use std::time::Duration;

use arrow::datatypes::{DataType, TimeUnit};
use millstream::{
    log::SharedLog,
    record::{Record, Timestamp},
    secret::Secret,
};
use millstream_connectors::{
    ConnectorConfig, RunningConnector,
    rows::{RowKind, TopicRows},
    runtime,
    s3::{S3Bucket, S3Sink},
};
use millstream_tests::fetched::python;
use serde_json::Value;

use super::running::{columns, impatient, rows_of};

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

/// The same with all columns in a value of 60 KB.
pub(crate) fn large_order(n: u64) -> Record {
    let value = String::from_utf8(order(n).value.unwrap_or_default()).expect("text");
    let value = value.replacen('{', &format!("{{\"ID\":{n},{}", " ".repeat(60_000)), 1);
    Record { value: Some(value.into_bytes()), ..order(n) }
}

/// What a reader must see of the n-th order.
pub(crate) fn row(n: u64) -> Value {
    let name = if n.is_multiple_of(7) { Value::Null } else { format!("item, \"{}\"", n % 13).into() };
    serde_json::json!({"ID": n, "N": n, "NAME": name, "PRICE": (n % 100) as f64 + 0.25, "AT": 1_357_034_400_000 + n * 60_000})
}

/// The columns of orders in a topic.
pub(crate) fn order_rows(name: &str, kind: RowKind) -> TopicRows {
    let value = [
        ("N", DataType::Int64),
        ("NAME", DataType::Utf8),
        ("PRICE", DataType::Float64),
        ("AT", DataType::Timestamp(TimeUnit::Millisecond, None)),
    ];
    rows_of(&[(name, columns(kind, &value))])
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
    let mut config = impatient(ConnectorConfig { rows, ..sink.into() });
    config.settings.retry.attempts = 1000;
    runtime::start(name, config, log.clone()).expect("started")
}

/// What pyarrow and the others read of the output.
pub(crate) struct Output {
    pub(crate) rows: Vec<Value>,
    pub(crate) listed: Vec<String>,
    pub(crate) named: Vec<String>,
    /// Unfinished uploads that have parts.
    pub(crate) uploads: Vec<String>,
    /// Unfinished uploads that have none: what stays if the answer is lost that names one. They cost nothing.
    pub(crate) begun: u64,
}

pub(crate) fn read(url: &str, bucket: &str, connector: &str) -> Output {
    let text = python("read_s3.py", &[url, bucket, "topics", connector]);
    let mut output: Value = serde_json::from_str(&text).expect("JSON");
    let keys = |value: &Value| {
        value.as_array().expect("a list").iter().map(|key| key.as_str().expect("text").to_owned()).collect()
    };
    let (listed, named) = (keys(&output["listed"]), keys(&output["named"]));
    let Value::Array(rows) = output["rows"].take() else { panic!("no rows: {text}") };
    let begun = output["begun"].as_u64().expect("a count");
    Output { rows, listed, named, uploads: keys(&output["uploads"]), begun }
}

/// That the output is the orders from 0 on, each once, and that nothing else lies in the bucket.
pub(crate) fn check(mut output: Output, orders: u64) {
    output.rows.sort_by_key(|row| row["N"].as_u64());
    let numbers: Vec<Option<u64>> = output.rows.iter().map(|row| row["N"].as_u64()).collect();
    let wrong = numbers.iter().zip(0..).find(|(found, expected)| **found != Some(*expected));
    assert_eq!((numbers.len() as u64, wrong), (orders, None), "each order once");
    assert!(output.rows.iter().zip(0..).all(|(found, n)| *found == row(n)), "every column comes back");
    assert_eq!(output.listed, output.named, "the bucket holds the files of the manifest and nothing else");
    assert_eq!(output.uploads, [""; 0], "no upload is left");
}
