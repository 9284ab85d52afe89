//! The Postgres source on a real server: rows as they are, changes, and what ends it.
//!
//! `everything_is_told_once` writes from several sessions while tables are read, and then while the connector and the server are killed. A trigger
//! keeps an account of each change; what the topic tells of a key must be the end of its account, whole and in order, and the row that was read
//! first what the account says before that. `MILLSTREAM_CONNECTOR_FAULTS=n` sets the number of faults (default 8).

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use millstream::{
    log::{Log, SharedLog},
    record::{PartitionId, TopicPartition},
};
use millstream_connectors::{
    ConnectorStatus, Direction, RunningConnector,
    rows::TopicRows,
    runtime::{read_positions, start},
};
use millstream_tests::{
    fault_proxy::FaultProxy,
    kafka_cluster::Guarded,
    postgres_server::{End, PostgresServer},
};
use serde_json::Value;

use super::{
    log::{PATIENCE, open_log, topic},
    running::config,
};

const CHILD: &str = "postgres_source::child_that_follows";

fn settings(port: u16, tables: &str, more: &str) -> String {
    format!(
        "connector.class=postgres connection.url=postgresql://127.0.0.1:{port}/shop connection.user=postgres topic.prefix=shop \
         table.include.list={tables} request.timeout.ms=10000 {more}"
    )
}

pub(super) fn follow(log: &SharedLog, name: &str, text: &str) -> RunningConnector {
    start(name, config(Direction::Source, text, TopicRows::default()), log.clone()).expect("started")
}

/// Keys and values of a topic, in order.
pub(super) fn records(log: &dyn Log, name: &str) -> Vec<(Option<Value>, Option<Value>)> {
    let mut found = Vec::new();
    let partitions = log.describe_topic(&topic(name)).map_or(0, |described| described.config.partitions);
    for partition in 0..partitions {
        let place = TopicPartition::new(topic(name), PartitionId(partition));
        let mut next = log.start_offset(&place).expect("it is there");
        loop {
            let fetched = log.fetch(&place, next, 1 << 20).expect("it can be read");
            let json = |bytes: &[u8]| {
                serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{error}: {}", bytes.escape_ascii()))
            };
            for record in fetched.batches.iter().flat_map(|batch| batch.records.iter()) {
                found.push((record.key.map(json), record.value.map(json)));
            }
            if fetched.next == next {
                break;
            }
            next = fetched.next;
        }
    }
    found
}

/// Waits until the topic has so many records.
pub(super) fn wait_for_records(
    running: &RunningConnector,
    log: &dyn Log,
    name: &str,
    count: usize,
) -> Vec<(Option<Value>, Option<Value>)> {
    for _ in 0..PATIENCE.as_millis() / 10 {
        let found = records(log, name);
        if found.len() >= count {
            return found;
        }
        assert_eq!(running.status().state.to_string(), "RUNNING", "{:?}", running.status().last_error);
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{:?} has {:#?}", running.status(), records(log, name));
}

pub(super) fn failure(running: &RunningConnector) -> String {
    let failed = |status: &ConnectorStatus| status.state.to_string() == "FAILED";
    let status = running.wait_for_status(Some(PATIENCE), failed).expect("it fails");
    status.last_error.expect("a reason")
}

pub(super) fn json(text: &str) -> Option<Value> {
    (text != "-").then(|| serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}")))
}

#[test]
fn rows_then_changes_of_every_kind() {
    let Some(server) = PostgresServer::start() else { return };
    server.shop(
        "CREATE TABLE t (id int PRIMARY KEY, name text, at timestamptz, price numeric, tags text[], doc jsonb, big text, twice int GENERATED ALWAYS AS (id * 2) STORED); \
         ALTER TABLE t ALTER big SET STORAGE EXTERNAL; \
         CREATE TABLE pair (a int, b text, c int, PRIMARY KEY (b, a)); ALTER TABLE pair REPLICA IDENTITY FULL; \
         INSERT INTO t VALUES (1, 'ada', '2024-01-02 03:04:05.678Z', 12.50, '{a,\"b c\"}', '{\"x\": [1]}', repeat('z', 9000)), (2, NULL, NULL, NULL, NULL, NULL, NULL); \
         INSERT INTO pair VALUES (1, 'x', 1)",
    );
    let directory = tempfile::tempdir().expect("a directory");
    let log = open_log(directory.path());
    let text = settings(server.port(), "public.t,public.pair", "");
    let running = follow(&log, "tables", &text);
    wait_for_records(&running, log.as_ref(), "shop.public.pair", 1);
    server.shop("BEGIN; INSERT INTO t (id, name) VALUES (3, 'carl'); UPDATE t SET name = 'ada II' WHERE id = 1; DELETE FROM t WHERE id = 2; COMMIT");
    server.shop("UPDATE t SET id = 4 WHERE id = 3");
    server.shop("UPDATE pair SET a = 2 WHERE a = 1; UPDATE pair SET c = 5; DELETE FROM pair");
    server.shop("ALTER TABLE t ADD more boolean DEFAULT true; UPDATE t SET name = 'dora' WHERE id = 4");
    let big = "z".repeat(9000);
    let ada = |name: &str| {
        format!(
            r#"{{"id":1,"name":"{name}","at":"2024-01-02T03:04:05.678Z","price":12.50,"tags":["a","b c"],"doc":{{"x":[1]}},"big":"{big}"}}"#
        )
    };
    let empty = |id: i32, name: &str| {
        format!(r#"{{"id":{id},"name":{name},"at":null,"price":null,"tags":null,"doc":null,"big":null}}"#)
    };
    let expected = [
        ("1", ada("ada")),
        ("2", empty(2, "null")),
        ("3", empty(3, "\"carl\"")),
        ("1", ada("ada II")),
        ("2", "-".into()),
        ("3", "-".into()),
        ("4", empty(4, "\"carl\"")),
        ("4", empty(4, "\"dora\"").replace('}', ",\"more\":true}")),
    ];
    let expected: Vec<_> = expected.iter().map(|(key, value)| (json(key), json(value))).collect();
    assert_eq!(wait_for_records(&running, log.as_ref(), "shop.public.t", 8), expected);
    let expected = [
        (r#"{"b":"x","a":1}"#, r#"{"a":1,"b":"x","c":1}"#),
        (r#"{"b":"x","a":1}"#, "-"),
        (r#"{"b":"x","a":2}"#, r#"{"a":2,"b":"x","c":1}"#),
        (r#"{"b":"x","a":2}"#, r#"{"a":2,"b":"x","c":5}"#),
        (r#"{"b":"x","a":2}"#, "-"),
    ];
    let expected: Vec<_> = expected.iter().map(|(key, value)| (json(key), json(value))).collect();
    assert_eq!(wait_for_records(&running, log.as_ref(), "shop.public.pair", 5), expected);
    running.stop();
    // What happens meanwhile is told afterwards, once.
    server.shop("INSERT INTO t (id, name) VALUES (5, 'eve')");
    let running = follow(&log, "tables", &text);
    wait_for_records(&running, log.as_ref(), "shop.public.t", 9);
    server.shop("TRUNCATE t");
    let error = failure(&running);
    assert!(error.contains("public.t was truncated") && error.contains("'truncate.handling' = 'skip'"), "{error}");
    drop(running);
    let running = follow(&log, "tables", &format!("{text} truncate.handling=skip"));
    server.shop("INSERT INTO t (id, name) VALUES (6, 'fay')");
    let found = wait_for_records(&running, log.as_ref(), "shop.public.t", 10);
    assert_eq!(found.len(), 10);
    assert_eq!(found[9].0, json("6"));
    drop(running);
    // A slot that was made anew is not taken for the old one.
    server.shop("INSERT INTO t (id) VALUES (7); SELECT pg_drop_replication_slot('millstream_tables')");
    let error = failure(&follow(&log, "tables", &text));
    assert!(error.contains("slot is gone") && error.contains("another name"), "{error}");
    server.shop("SELECT pg_create_logical_replication_slot('millstream_tables', 'pgoutput')");
    let error = failure(&follow(&log, "tables", &text));
    assert!(error.contains("ahead of what was taken"), "{error}");
    let error = failure(&follow(&log, "tables2", &format!("{text} slot.name=millstream_tables")));
    assert!(error.contains("not this connector's"), "{error}");
    let error = failure(&follow(&log, "tables", &settings(server.port(), "public.t", "")));
    assert!(error.contains("ahead of") || error.contains("the tables were public.t, public.pair"), "{error}");
}

#[test]
fn tables_that_cannot_be_followed_are_named() {
    let Some(server) = PostgresServer::start() else { return };
    server.shop("CREATE TABLE nokey (a int); CREATE VIEW v AS SELECT 1; CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION other FOR TABLE nokey");
    let directory = tempfile::tempdir().expect("a directory");
    let log = open_log(directory.path());
    let check = |tables: &str, more: &str, parts: &[&str]| {
        let error = failure(&follow(&log, "wrong", &settings(server.port(), tables, more)));
        assert!(parts.iter().all(|part| error.contains(part)), "{tables}: {error}");
    };
    check("public.nokey", "", &["table public.nokey", "no primary key", "'envelope'"]);
    check("public.t", "publication.name=other", &["publication other does not have it", "ALTER PUBLICATION"]);
    check(
        "public.t",
        "publication.name=none publication.autocreate.mode=disabled",
        &["no publication none", "CREATE PUBLICATION"],
    );
    check("public.v", "publication.name=other", &["no table"]);
    check("public.none", "publication.name=other", &["no such table"]);
}

/// Follows until it is killed.
#[test]
#[ignore = "the child process of another test"]
fn child_that_follows() {
    let variable = |name: &str| std::env::var(name).expect("the parent sets it");
    let log = open_log(Path::new(&variable("LOG")));
    let more = "envelope=true max.retries=1000000 batch.rows=37 partitions=3";
    let running = follow(&log, "account", &settings(variable("PORT").parse().expect("a port"), "public.stock", more));
    loop {
        assert_eq!(running.status().state.to_string(), "RUNNING", "{:?}", running.status().last_error);
        thread::sleep(Duration::from_millis(30));
    }
}

fn spawn_child(log: &Path, port: u16, output: &Path) -> Guarded {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", CHILD, "--ignored", "--nocapture"]);
    command.env("LOG", log).env("PORT", port.to_string());
    Guarded::spawn(&command, output)
}

/// A session that makes changes, each transaction of up to 60 rows, until it is told to stop or the server ends it.
fn writer(server: &PostgresServer, number: u32) -> Child {
    let sql = format!(
        "DO $$ DECLARE k int; BEGIN WHILE NOT EXISTS (SELECT FROM stop) LOOP \
         FOR k IN SELECT DISTINCT (random() * 90)::int + 100 * {number} FROM generate_series(1, (random() * 60)::int) ORDER BY 1 LOOP \
         IF random() < 0.25 THEN DELETE FROM stock WHERE id = k; \
         ELSE INSERT INTO stock VALUES (k, (random() * 1e6)::int, repeat('x', (random() * 40)::int)) \
         ON CONFLICT (id) DO UPDATE SET amount = excluded.amount, note = excluded.note; END IF; \
         UPDATE stock SET amount = amount + 1 WHERE id = (random() * 9)::int; END LOOP; \
         IF random() < 0.1 THEN ROLLBACK; ELSE COMMIT; END IF; PERFORM pg_sleep(0.004); END LOOP; END $$"
    );
    let seed = format!("SELECT setseed(0.{number}1)");
    Command::new(server.binaries().join("psql"))
        .args([
            "-X",
            "-q",
            "-h",
            "127.0.0.1",
            "-U",
            "postgres",
            "-d",
            "shop",
            "-p",
            &server.port().to_string(),
            "-c",
            &seed,
        ])
        .args(["-c", "SET deadlock_timeout = '50ms'", "-c", &sql])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("psql starts")
}

/// What `confirmed_flush_lsn` is, and what is committed in the log.
fn check_confirmed(server: &PostgresServer, log: &Path) {
    let log = open_log(log);
    let positions = read_positions(log.as_ref(), "account").expect("it can be read");
    let Some(position) = positions.values().next() else { return };
    let position: Value = serde_json::from_slice(&position.0).expect("JSON");
    let durable = position["lsn"].as_u64().expect("a number");
    let confirmed = server.shop("SELECT coalesce(confirmed_flush_lsn - '0/0', 0)::text FROM pg_replication_slots");
    let confirmed: u64 = confirmed.trim().parse().unwrap_or(0);
    assert!(
        position["phase"] == "begin" || confirmed <= durable,
        "confirmed up to {confirmed}, durable up to {durable}"
    );
}

#[test]
fn everything_is_told_once() {
    let Some(server) = PostgresServer::start() else { return };
    let faults: u32 = std::env::var("MILLSTREAM_CONNECTOR_FAULTS").map_or(8, |count| count.parse().expect("a count"));
    server.shop(
        "CREATE TABLE stock (id int PRIMARY KEY, amount int, note text); ALTER TABLE stock REPLICA IDENTITY FULL; \
         CREATE TABLE account (nr bigserial PRIMARY KEY, id int, amount int, note text, op text); CREATE TABLE stop (now int); \
         CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         INSERT INTO account (id, amount, note, op) VALUES (coalesce(NEW.id, OLD.id), NEW.amount, NEW.note, lower(left(TG_OP, 1))); RETURN NULL; END $$; \
         CREATE TRIGGER keep AFTER INSERT OR UPDATE OR DELETE ON stock FOR EACH ROW EXECUTE FUNCTION keep(); \
         INSERT INTO stock SELECT n, n, 'first' FROM generate_series(0, 2000) n",
    );
    let directory = tempfile::tempdir().expect("a directory");
    let (log, output) = (directory.path().join("log"), directory.path().join("output"));
    drop(open_log(&log));
    let proxy = FaultProxy::start(server.port());
    let writers = |server: &PostgresServer| (1..4).map(|number| writer(server, number)).collect::<Vec<Child>>();
    let mut writing = writers(&server);
    thread::sleep(Duration::from_millis(100));
    let mut child = spawn_child(&log, proxy.port(), &output);
    // The tables are read in peace: what a crash in the middle of that does is another test's.
    thread::sleep(Duration::from_millis(1500));
    for fault in 0..faults {
        assert!(child.runs(), "it ended by itself:\n{}", std::fs::read_to_string(&output).unwrap_or_default());
        match fault % 4 {
            0 => {
                drop(child);
                check_confirmed(&server, &log);
                child = spawn_child(&log, proxy.port(), &output);
            }
            1 => proxy.cut_all(),
            kind => {
                server.stop(if kind == 2 { End::Immediate } else { End::Killed });
                for mut writer in writing {
                    writer.wait().expect("it ended with the server");
                }
                server.start_again();
                writing = writers(&server);
            }
        }
        thread::sleep(Duration::from_millis(300));
    }
    server.shop("INSERT INTO stop VALUES (1)");
    for mut writer in writing {
        writer.wait().expect("it ends");
    }
    let accounts =
        server.shop("SELECT id, coalesce(amount::text, ''), coalesce(note, ''), op FROM account ORDER BY nr");
    let mut account: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in accounts.lines() {
        let (id, rest) = line.split_once('|').expect("four columns");
        account.entry(id.to_owned()).or_default().push(rest.to_owned());
    }
    // The child goes on until there is nothing for a while.
    let mut before = usize::MAX;
    let told = loop {
        thread::sleep(Duration::from_millis(1500));
        assert!(child.runs(), "it ended by itself:\n{}", std::fs::read_to_string(&output).unwrap_or_default());
        drop(child);
        let told = records(open_log(&log).as_ref(), "shop.public.stock");
        check_confirmed(&server, &log);
        if told.len() == before {
            break told;
        }
        before = told.len();
        child = spawn_child(&log, proxy.port(), &output);
    };
    let mut by_key: BTreeMap<String, (Vec<Value>, Vec<String>)> = BTreeMap::new();
    for (key, event) in &told {
        let event = event.as_ref().expect("events have values");
        let entry = by_key.entry(key.as_ref().expect("a key").to_string()).or_default();
        let row = |row: &Value| format!("{}|{}", row["amount"], row["note"].as_str().unwrap_or_default());
        match event["op"].as_str().expect("text") {
            "r" => entry.0.push(event["after"].clone()),
            "c" => entry.1.push(format!("{}|i", row(&event["after"]))),
            "u" => entry.1.push(format!("{}|u", row(&event["after"]))),
            _ => entry.1.push("||d".to_owned()),
        }
        assert!(
            event["op"] == "r" || event["op"] == "c" || event["before"]["amount"].is_i64(),
            "before-images: {event}"
        );
    }
    let mut changes = 0;
    for (id, account) in &account {
        let (read, told) = by_key.remove(id).unwrap_or_default();
        changes += told.len();
        assert!(told.len() <= account.len() && read.len() <= 1, "key {id}: told {told:?}, account {account:?}");
        let (before, after) = account.split_at(account.len() - told.len());
        assert_eq!(after, told, "key {id}");
        let state = before.last().filter(|state| !state.ends_with("|d"));
        let state = state.map(|state| state.rsplit_once('|').expect("three parts").0.to_owned());
        let read = read.first().map(|row| format!("{}|{}", row["amount"], row["note"].as_str().unwrap_or_default()));
        assert_eq!(read, state, "key {id}: the row that was read first");
    }
    assert!(by_key.is_empty(), "keys without an account: {by_key:?}");
    eprintln!("{faults} faults, {} accounts, {changes} changes told", account.len());
    assert!(changes > 500, "there was something to tell");
}
