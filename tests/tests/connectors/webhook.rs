//! Webhooks: requests to an HTTP server made apart from us that fails on purpose.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use millstream::{log::SharedLog, record::Record, secret::Secret};
use millstream_connectors::{
    ConnectorConfig, ConnectorState,
    config::{RetryPolicy, Tolerance},
    file::LineShape,
    runtime,
    webhook::{WebhookHeader, WebhookSink, WebhookUrl},
};
use millstream_tests::webhook_receiver::WebhookReceiver;
use serde_json::Value;

use super::{
    endurance::{Outside, Pipeline, rate},
    log::{fill, open_log, records, topic},
};

const PATIENCE: Option<Duration> = Some(Duration::from_secs(30));

/// Records of the test under faults.
fn rows() -> usize {
    std::env::var("MILLSTREAM_WEBHOOK_ROWS").ok().and_then(|text| text.parse().ok()).unwrap_or(200)
}

/// Sends the rows to a server that fails, under kills; the requests that it took.
fn send_under_faults(
    name: &str,
    properties: &str,
    rows: usize,
    is_done: impl Fn(&[Value]) -> bool,
) -> Option<Vec<Value>> {
    let receiver = WebhookReceiver::start(15)?;
    let mut pipeline = Pipeline::new("");
    let lines: String = (0..rows).map(|n| format!("{{\"n\":{n},\"g\":\"g{}\"}}\n", n % 7)).collect();
    let input = pipeline.file("input.ndjson", &lines);
    pipeline.script(&format!(
        "CREATE STREAM ORDERS (G VARCHAR KEY, N BIGINT) WITH (KAFKA_TOPIC = 'orders', PARTITIONS = 2, VALUE_FORMAT = 'JSON');
         CREATE SINK CONNECTOR HOOK WITH ('connector.class' = 'webhook', 'http.url' = 'http://127.0.0.1:{}/in', 'topics' = 'orders',
           'headers' = 'Authorization: Bearer ${{env:MILLSTREAM_TEST_KEY}}', 'request.timeout.ms' = '500', 'max.retries' = '100',
           'retry.backoff.ms' = '50' {properties});
         CREATE SOURCE CONNECTOR IN_FILE WITH ('connector.class' = 'file', 'path' = '{}', 'format' = 'json', 'topic' = 'orders', 'key.field' = 'g',
           'rows.per.second' = '{}');",
        receiver.port(),
        input.display(),
        rate(rows),
    ));
    pipeline.endure(name, Outside::default(), || is_done(&receiver.requests()));
    assert!(!pipeline.complaints().contains("canary"), "{}", pipeline.complaints());
    Some(receiver.requests())
}

#[test]
fn each_record_arrives_under_one_key_whatever_fails() {
    let rows = rows();
    let keys = |requests: &[Value]| requests.iter().map(|request| request["key"].to_string()).collect::<BTreeSet<_>>();
    let Some(requests) = send_under_faults("webhook", "", rows, |requests| keys(requests).len() >= rows) else {
        return;
    };
    let mut by_key: BTreeMap<&str, &str> = BTreeMap::new();
    let mut firsts: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for request in &requests {
        let (key, body) = (request["key"].as_str().expect("a key"), request["body"].as_str().expect("a body"));
        assert_eq!(request["headers"]["authorization"], "Bearer canary-secret");
        match by_key.insert(key, body) {
            Some(before) => assert_eq!(before, body, "{key} is one record"),
            None => {
                let (partition, offset) = key.rsplit_once('-').expect("topic, partition and offset");
                firsts.entry(partition.to_owned()).or_default().push(offset.parse().expect("a number"));
            }
        }
    }
    let sent: BTreeSet<String> = by_key.values().map(|body| (*body).to_owned()).collect();
    assert_eq!(sent, (0..rows).map(|n| format!("{{\"n\":{n},\"g\":\"g{}\"}}", n % 7)).collect());
    for (partition, offsets) in &firsts {
        assert!(
            offsets.iter().enumerate().all(|(place, offset)| *offset == place as u64),
            "{partition} is not in order: {offsets:?}"
        );
    }
    eprintln!("webhook: {rows} records, {} requests more", requests.len() - rows);
}

#[test]
fn batches_with_envelopes_let_the_receiver_tell_repetitions() {
    let rows = rows() * 2;
    let places = |requests: &[Value]| -> Vec<String> {
        let entries = requests.iter().flat_map(|request| {
            let body: Value = serde_json::from_str(request["body"].as_str().expect("text")).expect("JSON");
            body.as_array().expect("an array").clone()
        });
        entries.map(|entry| format!("{}-{}-{}", entry["partition"], entry["offset"], entry["value"]["n"])).collect()
    };
    let distinct = |places: &[String]| places.iter().collect::<BTreeSet<_>>().len();
    let properties = ", 'batch.size' = '20', 'envelope' = 'true'";
    let sent =
        send_under_faults("webhook in batches", properties, rows, |requests| distinct(&places(requests)) >= rows);
    let Some(requests) = sent else { return };
    let mut bodies: BTreeMap<&str, &Value> = BTreeMap::new();
    for request in &requests {
        let key = request["key"].as_str().expect("a key");
        let before = bodies.insert(key, &request["body"]);
        assert!(before.is_none_or(|before| *before == request["body"]), "{key} is one body");
    }
    let places = places(&requests);
    assert_eq!(distinct(&places), rows, "each record has one place");
    eprintln!("webhook in batches: {rows} records in {} requests, {} came again", requests.len(), places.len() - rows);
}

fn sink(receiver: &WebhookReceiver, path: &str) -> WebhookSink {
    let url = WebhookUrl::new(&format!("http://127.0.0.1:{}/{path}", receiver.port())).expect("legal");
    WebhookSink::new(url, vec![topic("orders")])
}

/// A log with a topic of these values.
fn log_of(values: &[&str]) -> (tempfile::TempDir, SharedLog) {
    let directory = tempfile::tempdir().expect("a directory is made");
    let log = open_log(directory.path());
    fill(log.as_ref(), "orders", values.iter().map(|value| Record::new("k", *value)));
    (directory, log)
}

#[test]
fn of_a_batch_only_what_is_not_wanted_becomes_a_dead_letter() {
    let Some(receiver) = WebhookReceiver::start(0) else { return };
    let (_directory, log) = log_of(&["{\"n\":0}", "poison", "text", "{\"n\":3}"]);
    let mut config = ConnectorConfig::from(WebhookSink { batch_size: 10, ..sink(&receiver, "in") });
    config.settings.tolerance = Some(Tolerance::All);
    let hook = runtime::start("hook", config, log.clone()).expect("it starts");
    hook.wait_for_status(PATIENCE, |status| status.rows == 3 && status.rejected == 1).expect("it goes on");
    drop(hook);
    let bodies: Vec<String> =
        receiver.requests().iter().map(|request| request["body"].as_str().expect("text").to_owned()).collect();
    assert_eq!(bodies, ["[{\"n\":0}]", "[\"text\"]", "[{\"n\":3}]"]);
    let letters = records(log.as_ref(), "connect-hook-dead-letter");
    let header = |name: &str| {
        letters[0].headers.iter().find(|header| header.name == name).and_then(|header| header.value.clone())
    };
    assert_eq!((letters.len(), header("millstream.offset")), (1, Some(b"1".to_vec())));
    let problem = String::from_utf8(header("millstream.problem").expect("a problem")).expect("text");
    assert!(problem.contains("422: poison is not taken") && problem.len() < 300, "{problem}");
}

#[test]
fn what_is_wrong_outside_is_said_with_what_to_do() {
    let Some(receiver) = WebhookReceiver::start(0) else { return };
    let check = |sink: WebhookSink, parts: &[&str]| {
        let (_directory, log) = log_of(&["canary"]);
        let mut config = ConnectorConfig::from(sink);
        config.settings.retry = RetryPolicy { attempts: 0, ..RetryPolicy::default() };
        let hook = runtime::start("hook", config, log).expect("it starts");
        let status = hook.wait_for_status(PATIENCE, |status| status.state == ConnectorState::Failed).expect("it fails");
        let error = status.last_error.expect("an error");
        let missing = parts.iter().find(|part| !error.contains(**part));
        assert!(missing.is_none() && !error.contains("canary"), "{missing:?} is not in: {error}");
    };
    let here = format!("webhook http://127.0.0.1:{}", receiver.port());
    check(sink(&receiver, "login?canary"), &[&here, "401", "no password", "'headers'"]);
    check(sink(&receiver, "moved"), &[&here, "301", "redirects are not followed"]);
    let hasty = WebhookSink { request_timeout: Duration::from_millis(50), ..sink(&receiver, "slow") };
    check(hasty, &[&here, "no answer", "timeout"]);
    let nobody = WebhookUrl::new("http://127.0.0.1:1/canary").expect("legal");
    check(WebhookSink::new(nobody, vec![topic("orders")]), &["webhook http://127.0.0.1:1", "no answer"]);
}

#[test]
fn headers_and_envelopes_are_sent_as_configured() {
    let Some(receiver) = WebhookReceiver::start(0) else { return };
    let (_directory, log) = log_of(&["{\"n\":0}"]);
    let header = WebhookHeader::new("X-Token", Secret::new("canary")).expect("legal");
    let sink = WebhookSink {
        headers: vec![header],
        content_type: "application/vnd.orders+json".into(),
        shape: LineShape::Envelope,
        method: millstream_connectors::webhook::Method::Put,
        ..sink(&receiver, "in")
    };
    let hook = runtime::start("hook", sink.into(), log).expect("it starts");
    hook.wait_for_status(PATIENCE, |status| status.rows == 1).expect("it is sent");
    let requests = receiver.requests();
    let [request] = requests.as_slice() else { panic!("one request: {requests:?}") };
    let headers: BTreeMap<String, &str> = request["headers"]
        .as_object()
        .expect("an object")
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str().expect("text")))
        .collect();
    assert_eq!(
        (headers["x-token"], headers["content-type"], headers["idempotency-key"]),
        ("canary", "application/vnd.orders+json", "orders-0-0")
    );
    assert_eq!(request["method"], "PUT");
    let body: Value = serde_json::from_str(request["body"].as_str().expect("text")).expect("JSON");
    assert_eq!(
        (&body["topic"], &body["offset"], &body["key"], &body["value"]["n"]),
        (&"orders".into(), &0.into(), &"k".into(), &0.into())
    );
}
