//! The Postgres sink while everything around it fails: its process is killed, the server is killed and stopped, connections are cut in front of
//! COMMIT and behind it. In the end the table is the newest row of each key in the topic, worked out from the topic itself.
//!
//! The sink runs in a process of its own, which also writes the topic, so that there is always something to commit. Moments follow from a seed,
//! which is printed. `MILLSTREAM_CONNECTOR_FAULTS=n` sets the number of faults (default 8).

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use arrow::datatypes::DataType;
use millstream::{
    log::Log,
    record::{PartitionId, Record, TopicPartition},
};
use millstream_connectors::{Direction, rows::RowKind, runtime::start};
use millstream_tests::{
    fault_proxy::{Cut, FaultProxy},
    kafka_cluster::Guarded,
    postgres_server::{End, PostgresServer},
};
use rand::RngExt;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::{
    log::{append, make_topic, open_log, record, topic},
    running::{columns, config, rows_of, wait_until_drained},
};

const TOPIC: &str = "stock";
const KEYS: i64 = 400;
const PARTITIONS: u32 = 3;
const CHILD: &str = "postgres_faults::child_that_writes_and_sinks";
const SEED: u64 = 20_261_129;

fn settings(port: u16) -> String {
    format!(
        "connector.class=postgres topics={TOPIC} connection.url=postgresql://127.0.0.1:{port}/shop connection.user=postgres auto.create=true \
         max.retries=1000000 batch.size=50 request.timeout.ms=5000"
    )
}

fn value() -> millstream_connectors::rows::RecordColumns {
    columns(RowKind::Table, &[("AMOUNT", DataType::Int64), ("NOTE", DataType::Utf8)])
}

/// Writes and sinks until it is killed.
#[test]
#[ignore = "the child process of another test"]
fn child_that_writes_and_sinks() {
    let variable = |name: &str| std::env::var(name).expect("the parent sets it");
    let log = open_log(Path::new(&variable("LOG")));
    let port = variable("PORT").parse().expect("a port");
    let running = start("stock", config(Direction::Sink, &settings(port), rows_of(&[(TOPIC, value())])), log.clone())
        .expect("started");
    let end: u64 = (0..PARTITIONS).map(|partition| log.end_offset(&place(partition)).expect("it is there").0).sum();
    let mut random = ChaCha8Rng::seed_from_u64(SEED ^ end);
    let mut retries = 0;
    loop {
        let records: Vec<Record> = (0..random.random_range(1..120)).map(|_| change(&mut random)).collect();
        append(log.as_ref(), TOPIC, &records);
        // What waits stays small, so that commits are many and small.
        for _ in 0..60 {
            thread::sleep(Duration::from_millis(5));
            if running.is_idle().expect("the log answers") {
                break;
            }
        }
        let status = running.status();
        if status.retries > retries {
            retries = status.retries;
            eprintln!("retry {retries}: {:?}", status.last_error);
        }
        assert_eq!(status.state.to_string(), "RUNNING", "{:?}", status.last_error);
    }
}

fn place(partition: u32) -> TopicPartition {
    TopicPartition::new(topic(TOPIC), PartitionId(partition))
}

/// A change of some key: a tombstone every now and then.
fn change(random: &mut ChaCha8Rng) -> Record {
    let key = random.random_range(0..KEYS);
    let amount: i64 = random.random_range(0..1_000_000);
    let value = format!(r#"{{"AMOUNT":{amount},"NOTE":"n{}"}}"#, amount % 7);
    record(key, (amount % 5 != 0).then_some(value.as_str()))
}

fn spawn_child(log: &Path, port: u16, output: &Path) -> Guarded {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", CHILD, "--ignored", "--nocapture"]);
    command.env("LOG", log).env("PORT", port.to_string()).stdin(Stdio::null());
    Guarded::spawn(&command, output)
}

/// What the table must hold: read from the topic, by hand.
fn expected(log: &dyn Log) -> String {
    let mut table: BTreeMap<i64, Option<(i64, String)>> = BTreeMap::new();
    for partition in 0..PARTITIONS {
        let place = place(partition);
        let mut next = log.start_offset(&place).expect("it is there");
        loop {
            let fetched = log.fetch(&place, next, 1 << 20).expect("it can be read");
            for record in fetched.batches.iter().flat_map(|batch| batch.records.iter()) {
                let key = i64::from_be_bytes(record.key.expect("a key").try_into().expect("eight bytes"));
                let row = record.value.map(|value| {
                    let value: serde_json::Value = serde_json::from_slice(value).expect("JSON");
                    (value["AMOUNT"].as_i64().expect("a number"), value["NOTE"].as_str().expect("text").to_owned())
                });
                table.insert(key, row);
            }
            if fetched.next == next {
                break;
            }
            next = fetched.next;
        }
    }
    let rows = table.into_iter().filter_map(|(key, row)| row.map(|(amount, note)| format!("{key}|{amount}|{note}\n")));
    rows.collect()
}

pub(super) fn commits(server: &PostgresServer) -> i64 {
    let sum = server.try_psql("shop", "SELECT coalesce(sum(next_offset), 0) FROM _millstream_sink_progress");
    sum.ok().and_then(|sum| sum.trim().parse().ok()).unwrap_or(0)
}

#[test]
fn whatever_fails_the_table_is_what_the_topic_says() {
    let Some(server) = PostgresServer::start() else { return };
    let faults: u32 = std::env::var("MILLSTREAM_CONNECTOR_FAULTS").map_or(8, |count| count.parse().expect("a count"));
    let seed = std::env::var("MILLSTREAM_CONNECTOR_SEED").map_or(SEED, |seed| seed.parse().expect("a number"));
    eprintln!("MILLSTREAM_CONNECTOR_SEED={seed} MILLSTREAM_CONNECTOR_FAULTS={faults}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let directory = tempfile::tempdir().expect("a directory");
    let (log, output) = (directory.path().join("log"), directory.path().join("output"));
    make_topic(open_log(&log).as_ref(), TOPIC, PARTITIONS);
    let proxy = FaultProxy::start(server.port());
    let mut child = spawn_child(&log, proxy.port(), &output);
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for fault in 0..faults {
        let before = commits(&server);
        for _ in 0..6_000 {
            let said = || std::fs::read_to_string(&output).unwrap_or_default();
            assert!(child.runs(), "the child ended by itself:\n{}", said());
            if commits(&server) > before {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        assert!(
            commits(&server) > before,
            "nothing arrives any more:\n{}",
            std::fs::read_to_string(&output).unwrap_or_default()
        );
        thread::sleep(Duration::from_millis(random.random_range(0..40)));
        let kind = match fault % 6 {
            0 => cut(&proxy, Cut::Behind, &output),
            1 => "connector killed",
            2 => cut(&proxy, Cut::Before, &output),
            3 => "server killed",
            4 => {
                proxy.cut_all();
                "connections cut"
            }
            _ => "server stopped at once",
        };
        match kind {
            "connector killed" => {
                drop(child);
                child = spawn_child(&log, proxy.port(), &output);
            }
            "server killed" | "server stopped at once" => {
                server.stop(if kind == "server killed" { End::Killed } else { End::Immediate });
                server.start_again();
            }
            _ => {}
        }
        *counts.entry(kind).or_default() += 1;
    }
    drop(child);
    let log = open_log(&log);
    let running =
        start("stock", config(Direction::Sink, &settings(server.port()), rows_of(&[(TOPIC, value())])), log.clone());
    let running = running.expect("started");
    wait_until_drained(&running);
    running.stop();
    eprintln!("faults: {counts:?}");
    let expected = expected(log.as_ref());
    assert!(expected.lines().count() > 100, "there was something to do");
    let found = server.shop("SELECT id, amount, note FROM stock ORDER BY id");
    assert!(found == expected, "the table is not what the topic says\nfound\n{found}\nexpected\n{expected}");
}

/// Cuts the connection around the next COMMIT.
fn cut(proxy: &FaultProxy, cut: Cut, output: &Path) -> &'static str {
    let before = proxy.cuts();
    proxy.arm("COMMIT\0", cut);
    for _ in 0..12_000 {
        if proxy.cuts() > before {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    let said = || std::fs::read_to_string(output).unwrap_or_default();
    assert!(proxy.cuts() > before, "there is no COMMIT any more:\n{}", said());
    match cut {
        Cut::Behind => "cut behind COMMIT",
        Cut::Before => "cut before COMMIT",
    }
}
