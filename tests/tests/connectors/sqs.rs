//! Queues as source and sink: on ElasticMQ, which keeps the order of groups, and on moto. Amazon's own client fills and reads the queues.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::Duration,
};

use millstream::{
    record::{Header, Record},
    secret::Secret,
};
use millstream_connectors::{
    ConnectorConfig, ConnectorState, ConnectorStatus,
    config::{RetryPolicy, Tolerance},
    runtime,
    sqs::{AwsCredentials, SqsQueue, SqsSink, SqsSource},
};
use millstream_tests::{
    fault_proxy::{Fault, FaultProxy},
    sqs_server::SqsServer,
};
use serde_json::Value;

use super::{
    endurance::{Outside, Pipeline, rate},
    log::{fill, open_log, records, text, topic},
};

pub(crate) const GROUPS: usize = 20;

/// Messages that are there or to be there: number `n` is of group `n % GROUPS`.
pub(crate) fn rows() -> usize {
    std::env::var("MILLSTREAM_SQS_ROWS").ok().and_then(|text| text.parse().ok()).unwrap_or(1000)
}

/// The same on moto, which takes the longer for a message the more there are.
fn few_rows() -> usize {
    rows() / 10
}

/// The URL of a queue as it is seen through a proxy.
fn through(proxy: &FaultProxy, server: &SqsServer, url: &str) -> String {
    url.replace(&format!(":{}/", server.port()), &format!(":{}/", proxy.port()))
}

/// Kills the server, which nobody reaches until it is whole again.
fn restart(proxy: &FaultProxy, server: &SqsServer) {
    proxy.set(Fault::Refuse);
    server.restart();
    proxy.set(Fault::None);
}

/// A server that keeps messages on disk may die, too.
fn outside<'a>(proxy: &'a FaultProxy, restart: &'a dyn Fn(), server: &SqsServer) -> Outside<'a> {
    Outside { proxy: Some(proxy), restart: server.keeps_messages().then_some(restart) }
}

/// Properties that all connectors here have.
fn access(url: &str) -> String {
    format!(
        "'connector.class' = 'sqs', 'sqs.queue.url' = '{url}', 'sqs.region' = 'eu-west-1', 'sqs.request.timeout.ms' = '1000',
         'aws.access.key.id' = '${{env:MILLSTREAM_TEST_KEY_ID}}', 'aws.secret.access.key' = '${{env:MILLSTREAM_TEST_KEY}}',
         'max.retries' = '100', 'retry.backoff.ms' = '50'"
    )
}

fn source_script(url: &str, rows: usize) -> String {
    // Slow enough that faults fall into the work.
    let rate = rate(rows);
    format!(
        "CREATE SOURCE CONNECTOR Q WITH ({}, 'topic' = 'orders', 'partitions' = '3', 'sqs.waittime.seconds' = '1',
         'sqs.visibility.timeout.seconds' = '2', 'rows.per.second' = '{rate}');",
        access(url)
    )
}

/// Reads a queue under faults, of which the death of the server may be one; the records of the topic.
pub(crate) fn read_under_faults(name: &str, server: &SqsServer, queue: &str, rows: usize) -> Vec<Record> {
    let proxy = FaultProxy::start(server.port());
    let restart = || restart(&proxy, server);
    let mut pipeline = Pipeline::new(&source_script(&through(&proxy, server, queue), rows));
    pipeline.endure(name, outside(&proxy, &restart, server), || server.count(queue) == 0);
    let log = pipeline.log();
    assert!(!pipeline.complaints().contains("canary"), "{}", pipeline.complaints());
    records(log.as_ref(), "orders")
}

/// The texts of each group, in order.
pub(crate) fn by_group(texts: impl Iterator<Item = (String, String)>) -> BTreeMap<String, Vec<String>> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    texts.for_each(|(group, text)| groups.entry(group).or_default().push(text));
    groups
}

/// That the groups are the expected ones; says of one that is not what is in it.
pub(crate) fn check_groups(found: &BTreeMap<String, Vec<String>>) {
    let expected = expected_groups();
    assert!(found.keys().eq(expected.keys()), "{:?}", found.keys());
    let wrong = found.iter().find(|(group, texts)| expected[*group] != **texts);
    assert!(wrong.is_none(), "group {wrong:?}");
}

pub(crate) fn expected_groups() -> BTreeMap<String, Vec<String>> {
    by_group((0..rows()).map(|n| (format!("g{}", n % GROUPS), format!("{{\"n\":{n}}}"))))
}

pub(crate) fn header<'a>(record: &'a Record, name: &str) -> Option<&'a [u8]> {
    record.headers.iter().find(|header| header.name == name).and_then(|header| header.value.as_deref())
}

/// Sends the messages that there are to be.
pub(crate) fn send_to_groups(server: &SqsServer, queue: &str) {
    let mut lines = String::new();
    for n in 0..rows() {
        writeln!(
            lines,
            r#"{{"body":"{{\"n\":{n}}}","group":"g{}","id":"d{n}","attributes":{{"color":"blue"}}}}"#,
            n % GROUPS
        )
        .expect("into memory");
    }
    server.send(queue, &lines);
}

#[test]
fn a_fifo_queue_becomes_a_topic_exactly_once_and_in_order() {
    let Some(server) = SqsServer::elasticmq() else { return };
    let queue = server.create_queue("source.fifo", &["FifoQueue=true"]);
    send_to_groups(server, &queue);
    let records = read_under_faults("FIFO source", server, &queue, rows());
    let texts = records.iter().map(|record| (text(record.key.as_deref()), text(record.value.as_deref())));
    check_groups(&by_group(texts));
    let deduplication: BTreeSet<String> =
        records.iter().map(|record| text(header(record, "sqs.deduplication.id"))).collect();
    assert_eq!(deduplication.len(), rows());
    assert!(
        records.iter().all(|record| header(record, "color") == Some(b"blue") && record.timestamp.0 > 1_700_000_000_000)
    );
    let again = records.iter().filter(|record| header(record, "sqs.receive.count") != Some(b"1")).count();
    eprintln!(
        "FIFO source: {} messages, each once and in order; {again} had come before without being committed",
        records.len()
    );
}

#[test]
fn a_standard_queue_becomes_a_topic_with_nothing_lost() {
    let Some(server) = SqsServer::moto() else { return };
    let queue = server.create_queue("source-standard", &[]);
    let lines: String = (0..few_rows()).map(|n| format!("{{\"body\":\"m{n}\"}}\n")).collect();
    server.send(&queue, &lines);
    let records = read_under_faults("standard source", &server, &queue, few_rows());
    let values: BTreeSet<String> = records.iter().map(|record| text(record.value.as_deref())).collect();
    assert_eq!(values, (0..few_rows()).map(|n| format!("m{n}")).collect());
    let ids: BTreeSet<&[u8]> = records.iter().filter_map(|record| header(record, "sqs.message.id")).collect();
    eprintln!("standard source: {} messages, {} duplicates", few_rows(), records.len() - ids.len());
    assert_eq!(records.len(), ids.len(), "a message that comes again is recognised by its id");
}

/// Writes a topic to a queue under faults, of which the death of the server may be one; the messages of the queue.
pub(crate) fn write_under_faults(name: &str, server: &SqsServer, queue: &str, rows: usize) -> Vec<Value> {
    let proxy = FaultProxy::start(server.port());
    let restart = || restart(&proxy, server);
    let mut pipeline = Pipeline::new("");
    let lines: String = (0..rows).map(|n| format!("{{\"n\":{n},\"g\":\"g{}\"}}\n", n % GROUPS)).collect();
    let input = pipeline.file("input.ndjson", &lines);
    pipeline.script(&format!(
        "CREATE STREAM ORDERS (G VARCHAR KEY, N BIGINT) WITH (KAFKA_TOPIC = 'orders', PARTITIONS = 3, VALUE_FORMAT = 'JSON');
         CREATE SINK CONNECTOR OUT WITH ({}, 'topics' = 'orders');
         CREATE SOURCE CONNECTOR IN_FILE WITH ('connector.class' = 'file', 'path' = '{}', 'format' = 'json', 'topic' = 'orders', 'key.field' = 'g',
           'rows.per.second' = '{}');",
        access(&through(&proxy, server, queue)),
        input.display(),
        rate(rows),
    ));
    // The topic is read to its end when the last record has been there for a while.
    let last = std::cell::Cell::new((0, 0));
    pipeline.endure(name, outside(&proxy, &restart, server), || {
        let (count, (before, still)) = (server.count(queue), last.get());
        last.set((count, if count == before { still + 1 } else { 0 }));
        count >= rows as u64 && still >= 2
    });
    server.drain(queue)
}

pub(crate) fn number_in(message: &Value) -> String {
    let body: Value = serde_json::from_str(message["body"].as_str().expect("text")).expect("JSON");
    format!("{{\"n\":{}}}", body["n"])
}

#[test]
fn a_topic_becomes_a_fifo_queue_exactly_once_and_in_order() {
    let Some(server) = SqsServer::elasticmq() else { return };
    let queue = server.create_queue("sink.fifo", &["FifoQueue=true"]);
    let messages = write_under_faults("FIFO sink", server, &queue, rows());
    let texts =
        messages.iter().map(|message| (message["group"].as_str().expect("a group").to_owned(), number_in(message)));
    check_groups(&by_group(texts));
    eprintln!("FIFO sink: {} messages, each once and in order", messages.len());
}

#[test]
fn a_topic_becomes_a_standard_queue_with_nothing_lost() {
    let Some(server) = SqsServer::elasticmq() else { return };
    let queue = server.create_queue("sink-standard", &[]);
    let messages = write_under_faults("standard sink", server, &queue, rows());
    let numbers: BTreeSet<String> = messages.iter().map(number_in).collect();
    assert_eq!(numbers, (0..rows()).map(|n| format!("{{\"n\":{n}}}")).collect());
    let ids: BTreeSet<&str> =
        messages.iter().filter_map(|message| message["attributes"]["millstream.id"].as_str()).collect();
    assert_eq!(ids.len(), rows(), "each record has an id of its own, whatever it is sent again");
    eprintln!("standard sink: {} records, {} duplicates", rows(), messages.len() - ids.len());
}

fn queue(url: &str) -> SqsQueue {
    let (access_key_id, secret_access_key) = (Secret::new("canary-id"), Secret::new("canary-key"));
    let credentials = AwsCredentials { access_key_id, secret_access_key, session_token: None };
    SqsQueue::new(url, Some("eu-west-1"), credentials).expect("legal")
}

/// Runs a connector until it fails; how it ended.
fn run_until_failed(config: impl Into<ConnectorConfig>) -> ConnectorStatus {
    let directory = tempfile::tempdir().expect("a directory is made");
    let log = open_log(directory.path());
    let mut config = config.into();
    config.settings.retry =
        RetryPolicy { attempts: 1, first_wait: Duration::from_millis(10), ..RetryPolicy::default() };
    let connector = runtime::start("q", config, log).expect("it starts");
    let failed = |status: &ConnectorStatus| status.state == ConnectorState::Failed;
    connector.wait_for_status(Some(Duration::from_secs(30)), failed).expect("it fails")
}

#[test]
fn what_is_wrong_outside_is_said_with_what_to_do() {
    let check = |url: &str, parts: &[&str]| {
        let source = SqsSource { wait_time_seconds: 0, ..SqsSource::new(queue(url), topic("orders")) };
        let error = run_until_failed(source).last_error.expect("an error");
        let missing = parts.iter().find(|part| !error.contains(**part));
        assert!(missing.is_none() && !error.contains("canary"), "{missing:?} is not in: {error}");
    };
    check("http://127.0.0.1:1/1/orders", &["SQS queue http://127.0.0.1:1/1/orders", "cannot be reached"]);
    if let Some(server) = SqsServer::moto() {
        check(
            &format!("{}/123456789012/no-such-queue", server.endpoint()),
            &["no-such-queue", "make the queue", "sqs.queue.url"],
        );
    }
    if let Some(server) = SqsServer::elasticmq() {
        check(
            &format!("{}/000000000000/no-such-queue", server.endpoint()),
            &["no-such-queue", "make the queue", "sqs.queue.url"],
        );
    }
    if let Some(server) = SqsServer::moto_without_users() {
        check(&format!("{}/123456789012/orders", server.endpoint()), &["orders", "aws.access.key.id"]);
    }
}

#[test]
fn records_that_a_queue_does_not_take_are_dead_letters() {
    let Some(server) = SqsServer::moto() else { return };
    let url = server.create_queue("rejecting", &[]);
    let directory = tempfile::tempdir().expect("a directory is made");
    let log = open_log(directory.path());
    let null = Record { value: None, ..Record::new("k", "") };
    let bad = [Record::new("k", vec![b'x'; 300_000]), Record::new("k", b"\xff".to_vec()), null];
    fill(
        log.as_ref(),
        "orders",
        [vec![Record::new("k", "first")], bad.to_vec(), vec![Record::new("k", "last")]].concat(),
    );
    let mut config = ConnectorConfig::from(SqsSink::new(queue(&url), vec![topic("orders")]));

    let strict = runtime::start("strict", config.clone(), log.clone()).expect("it starts");
    let error = strict
        .wait_for_status(Some(Duration::from_secs(30)), |status| status.state == ConnectorState::Failed)
        .expect("it fails");
    let error = error.last_error.expect("an error");
    assert!(error.contains("topic=orders partition=0 offset=1") && error.contains("sqs.message.max.bytes"), "{error}");
    drop(strict);

    config.settings.tolerance = Some(Tolerance::All);
    let tolerant = runtime::start("tolerant", config, log.clone()).expect("it starts");
    tolerant
        .wait_for_status(Some(Duration::from_secs(30)), |status| status.rows + status.rejected == 5)
        .expect("it goes on");
    drop(tolerant);
    let letters = records(log.as_ref(), "connect-tolerant-dead-letter");
    assert_eq!(letters.len(), 3);
    assert_eq!(header(&letters[1], "millstream.offset"), Some(&b"2"[..]));
    let bodies: BTreeSet<String> =
        server.drain(&url).iter().map(|message| message["body"].as_str().expect("text").to_owned()).collect();
    assert_eq!(bodies, BTreeSet::from(["first".to_owned(), "last".to_owned()]));
}

#[test]
fn headers_and_keys_go_through_a_queue_and_come_back() {
    let Some(server) = SqsServer::elasticmq() else { return };
    let url = server.create_queue("round-trip", &[]);
    let directory = tempfile::tempdir().expect("a directory is made");
    let log = open_log(directory.path());
    let headers = vec![Header { name: "raw".into(), value: Some(vec![0, 255]) }];
    fill(log.as_ref(), "there", [Record { headers, ..Record::new("ada", "1") }, Record::new(b"\xfe".to_vec(), "2")]);
    let key_attribute = Some("key".to_owned());
    let sink = SqsSink {
        key_attribute: key_attribute.clone(),
        headers_as_attributes: true,
        ..SqsSink::new(queue(&url), vec![topic("there")])
    };
    let source = SqsSource { key_attribute, wait_time_seconds: 1, ..SqsSource::new(queue(&url), topic("back")) };
    let sink = runtime::start("sink", sink.into(), log.clone()).expect("it starts");
    let source = runtime::start("source", source.into(), log.clone()).expect("it starts");
    source.wait_for_status(Some(Duration::from_secs(30)), |status| status.rows == 2).expect("both come back");
    drop((sink, source));
    let mut back = records(log.as_ref(), "back");
    back.sort_by(|left, right| left.value.cmp(&right.value));
    assert_eq!(back[0].key.as_deref(), Some(&b"ada"[..]));
    assert_eq!(header(&back[0], "raw"), Some(&[0, 255][..]));
    assert_eq!(header(&back[0], "millstream.id"), Some(&b"there-0-0"[..]));
    assert_eq!(back[1].key.as_deref(), Some(&b"\xfe"[..]));
}
