//! Queries on the way into sinks of records: the requests that a webhook gets and the messages of a queue are the rows, worked out by hand.

use std::{collections::BTreeMap, path::Path};

use millstream::{
    log::{Append, Transaction},
    record::{Header, PartitionId, Record, TopicPartition},
};
use millstream_tests::{sqs_server::SqsServer, webhook_receiver::WebhookReceiver};
use serde_json::{Value, json};

use super::{
    log::{records, text, topic},
    sql::{Sql, wait_for},
};

const ORDERS: i64 = 300;
const STREAM: &str = "CREATE STREAM orders (id BIGINT KEY, city STRING, amount BIGINT)
    WITH (KAFKA_TOPIC = 'orders', KEY_FORMAT = 'KAFKA', VALUE_FORMAT = 'JSON', PARTITIONS = 3);";
const QUERY: &str = "AS SELECT amount / 2 AS half, CONCAT(city, '!') AS city FROM orders WHERE amount > 40";

/// Number `n` in its topic: each 50th cannot be read, each 45th is refused by the receiver.
fn order(n: i64) -> Record {
    let value = match n {
        n if n % 50 == 7 => "{".to_owned(),
        n if n % 45 == 4 => format!("{{\"city\":\"poison\",\"amount\":{}}}", n + 1000),
        n => json!({"city": format!("city {}", n % 9), "amount": n % 100, "more": n}).to_string(),
    };
    let headers = vec![Header { name: "trace".into(), value: Some(n.to_string().into_bytes()) }];
    Record { key: Some(n.to_be_bytes().to_vec()), headers, ..Record::new("", value) }.at_ms(1_000 + n)
}

fn is_wrong(n: i64) -> bool {
    n % 50 == 7 || n % 45 == 4
}

/// Offset, key and row of what is to arrive from a partition, in order.
fn expected(partition: i64) -> Vec<(u64, String, Value)> {
    let of_partition = (0..ORDERS).filter(|n| n % 3 == partition);
    let numbered = of_partition.enumerate().filter(|(_, n)| !is_wrong(*n) && n % 100 > 40);
    let row = |n: i64| json!({"HALF": n % 100 / 2, "CITY": format!("city {}!", n % 9)});
    numbered.map(|(offset, n)| (offset as u64, n.to_string(), row(n))).collect()
}

fn append_orders(sql: &Sql) {
    let append = |partition: i64| Append {
        partition: TopicPartition::new(topic("orders"), PartitionId(partition as u32)),
        records: (0..ORDERS).filter(|n| n % 3 == partition).map(order).collect(),
    };
    let mut producer = sql.engine.log().producer("tests").expect("opens");
    let transaction = Transaction { appends: (0..3).map(append).collect(), offsets: Vec::new() };
    producer.commit(transaction).expect("committed");
}

fn open(directory: &Path) -> Sql {
    let mut sql = Sql::open(directory);
    sql.run(STREAM);
    append_orders(&sql);
    sql
}

#[test]
fn a_webhook_gets_the_rows_of_a_query_and_originals_become_dead_letters() {
    let Some(receiver) = WebhookReceiver::start(0) else { return };
    let directory = tempfile::tempdir().expect("made");
    let mut sql = open(directory.path());
    let sink = format!(
        "CREATE SINK CONNECTOR hook WITH ('connector.class' = 'webhook', 'http.url' = 'http://127.0.0.1:{}/in', 'envelope' = 'true',
           'batch.size' = '7', 'errors.tolerance' = 'all') {QUERY};",
        receiver.port()
    );
    sql.run(&sink);
    wait_for("all are sent", || sql.connector("HOOK")["Lag"].clone(), || "0".to_owned());
    let mut arrived: BTreeMap<i64, Vec<(u64, String, Value)>> = BTreeMap::new();
    for request in receiver.requests() {
        let body: Value = serde_json::from_str(request["body"].as_str().expect("text")).expect("JSON");
        for envelope in body.as_array().expect("a batch") {
            let key = envelope["key"].as_str().expect("text").to_owned();
            assert_eq!(envelope["timestamp"], 1_000 + key.parse::<i64>().expect("a number"));
            assert_eq!(envelope["headers"], json!([{"name": "trace", "value": key}]));
            let partition = envelope["partition"].as_i64().expect("a number");
            let offset = envelope["offset"].as_u64().expect("a number");
            arrived.entry(partition).or_default().push((offset, key, envelope["value"].clone()));
        }
    }
    assert_eq!(arrived, (0..3).map(|partition| (partition, expected(partition))).collect());
    let letters = records(sql.engine.log().as_ref(), "connect-HOOK-dead-letter");
    let number =
        |record: &Record| i64::from_be_bytes(record.key.as_deref().expect("a key").try_into().expect("8 bytes"));
    let mut numbers: Vec<i64> = letters.iter().map(number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..ORDERS).filter(|n| is_wrong(*n)).collect::<Vec<_>>());
    for letter in &letters {
        let original = order(number(letter));
        assert_eq!((&letter.value, letter.timestamp), (&original.value, original.timestamp), "as it was read");
        let problem = letter.headers.iter().find(|header| header.name == "millstream.problem").expect("a problem");
        let problem = text(problem.value.as_deref());
        assert!(problem.contains("value: ") || problem.contains("422: poison"), "{problem}");
    }
    drop(sql.session);
    sql.engine.shutdown().expect("stops");
}

#[test]
fn a_queue_groups_the_rows_of_a_query_by_the_text_of_their_key() {
    let Some(server) = SqsServer::moto() else { return };
    let queue = server.create_queue("rows.fifo", &["FifoQueue=true"]);
    let directory = tempfile::tempdir().expect("made");
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "key").expect("written");
    let mut sql = open(&directory.path().join("data"));
    let secret = secret.display();
    sql.run(&format!(
        "CREATE SINK CONNECTOR queue WITH ('connector.class' = 'sqs', 'sqs.queue.url' = '{queue}', 'sqs.region' = 'eu-west-1',
           'aws.access.key.id' = '${{file:{secret}}}', 'aws.secret.access.key' = '${{file:{secret}}}', 'errors.tolerance' = 'all')
           AS SELECT amount / 2 AS half, CONCAT(city, '!') AS city FROM orders WHERE amount > 40 AND city <> 'poison';"
    ));
    wait_for("all are sent", || sql.connector("QUEUE")["Lag"].clone(), || "0".to_owned());
    let message = |message: &Value| -> (String, Value) {
        let body = serde_json::from_str(message["body"].as_str().expect("text")).expect("JSON");
        (message["group"].as_str().expect("a group").to_owned(), body)
    };
    let arrived: BTreeMap<String, Value> = server.drain(&queue).iter().map(message).collect();
    let all = (0..3).flat_map(expected).map(|(_, key, row)| (key, row));
    assert_eq!(arrived, all.collect());
    drop(sql.session);
    sql.engine.shutdown().expect("stops");
}
