//! The Postgres source is killed in the middle of things that take several commits: tables that it reads, and transactions that it cuts.
//!
//! A child follows the tables and says how many rows it has taken; it is killed at numbers that follow from a seed, and the position that it
//! leaves behind says that it was in the middle indeed. `MILLSTREAM_CONNECTOR_FAULTS=n` sets the number of kills (default 8, half of them
//! for each test).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use millstream::log::Log;
use millstream_connectors::runtime::read_positions;
use millstream_tests::{kafka_cluster::Guarded, postgres_server::PostgresServer};
use rand::RngExt;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use serde_json::Value;

use super::{
    log::{PATIENCE, open_log},
    postgres_source::{follow, records},
};

const CHILD: &str = "postgres_snapshot::child_that_counts";
const SEED: u64 = 20_261_129;
const CONNECTOR: &str = "middle";

/// Follows until it is killed, and says how many rows it has taken.
#[test]
#[ignore = "the child process of another test"]
fn child_that_counts() {
    let variable = |name: &str| std::env::var(name).expect("the parent sets it");
    let log = open_log(Path::new(&variable("LOG")));
    let running = follow(&log, CONNECTOR, &variable("SETTINGS"));
    let mut said = None;
    loop {
        let status = running.status();
        assert_eq!(status.state.to_string(), "RUNNING", "{:?}", status.last_error);
        if said != Some((status.rows, status.idle)) {
            eprintln!("taken {} {}", status.rows, status.idle);
            said = Some((status.rows, status.idle));
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// A child and what it has said.
struct Child {
    process: Guarded,
    output: PathBuf,
}

impl Child {
    fn spawn(log: &Path, settings: &str) -> Self {
        let output = log.with_extension("output");
        drop(std::fs::remove_file(&output));
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", CHILD, "--ignored", "--nocapture"]);
        command.env("LOG", log).env("SETTINGS", settings);
        Self { process: Guarded::spawn(&command, &output), output }
    }

    /// How many rows it has taken, and whether there are no more.
    fn taken(&self) -> (u64, bool) {
        let said = std::fs::read_to_string(&self.output).unwrap_or_default();
        let last = said.lines().rev().find_map(|line| {
            let (rows, idle) = line.strip_prefix("taken ")?.split_once(' ')?;
            Some((rows.parse().ok()?, idle.parse().ok()?))
        });
        last.unwrap_or((0, false))
    }

    fn wait(&self, what: &str, is_there: impl Fn(u64, bool) -> bool) {
        for round in 0..PATIENCE.as_millis() {
            let (rows, idle) = self.taken();
            if is_there(rows, idle) {
                return;
            }
            let said = || std::fs::read_to_string(&self.output).unwrap_or_default();
            assert!(round % 200 > 0 || self.process.runs(), "it ended by itself:\n{}", said());
            thread::sleep(Duration::from_millis(1));
        }
        panic!("{what}: {}", std::fs::read_to_string(&self.output).unwrap_or_default());
    }

    fn kill(self) {
        self.process.signal("KILL");
    }
}

fn position(log: &Path) -> Value {
    let positions = read_positions(open_log(log).as_ref(), CONNECTOR).expect("it can be read");
    positions.values().next().map_or(Value::Null, |position| serde_json::from_slice(&position.0).expect("JSON"))
}

fn kills() -> u32 {
    std::env::var("MILLSTREAM_CONNECTOR_FAULTS").map_or(8, |count| count.parse::<u32>().expect("a count")).div_ceil(2)
}

fn random() -> ChaCha8Rng {
    let seed = std::env::var("MILLSTREAM_CONNECTOR_SEED").map_or(SEED, |seed| seed.parse().expect("a number"));
    eprintln!("MILLSTREAM_CONNECTOR_SEED={seed}");
    ChaCha8Rng::seed_from_u64(seed)
}

fn settings(server: &PostgresServer, tables: &str, more: &str) -> String {
    format!(
        "connector.class=postgres connection.url={} connection.user=postgres topic.prefix=shop table.include.list={tables} {more}",
        server.url(None)
    )
}

/// The newest record of each key, tombstones left out.
fn newest(records: Vec<(Option<Value>, Option<Value>)>) -> String {
    let mut rows = BTreeMap::new();
    for (key, value) in records {
        rows.insert(key.and_then(|key| key.as_i64()).expect("a number"), value);
    }
    let row = |(id, value): (i64, Option<Value>)| Some(format!("{id}|{}\n", value?["v"]));
    rows.into_iter().filter_map(row).collect()
}

/// Waits for the record that is written last.
fn wait_for_key(log: &dyn Log, topic: &str, key: i64) {
    for _ in 0..PATIENCE.as_millis() / 100 {
        if records(log, topic).iter().any(|(found, _)| *found == Some(key.into())) {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("{topic} does not get key {key}");
}

#[test]
fn a_snapshot_that_is_interrupted_ends_as_the_table_is() {
    const ROWS: u32 = 30_000;
    let Some(server) = PostgresServer::start() else { return };
    for table in ["one", "two"] {
        server.shop(&format!(
            "CREATE TABLE {table} (id int PRIMARY KEY, v int, note text); INSERT INTO {table} SELECT n, 0, repeat('x', 40) FROM generate_series(1, {ROWS}) n"
        ));
    }
    server.shop("CREATE SEQUENCE moved");
    let (mut random, kills) = (random(), kills());
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("log");
    drop(open_log(&log));
    let text = settings(&server, "public.one,public.two", "batch.rows=100 partitions=3");
    let change = |random: &mut ChaCha8Rng| {
        let (table, other) = if random.random_bool(0.5) { ("one", "two") } else { ("two", "one") };
        let (modulus, rest, new) =
            (random.random_range(5..40), random.random_range(0..5), random.random_range(1..1000));
        server.shop(&format!(
            "DELETE FROM {table} WHERE id % {modulus} = {rest}; UPDATE {table} SET v = v + {new} WHERE id % 7 = {rest}; \
             INSERT INTO {table} SELECT n, {new}, 'new' FROM generate_series({rest}, {ROWS}, 50) n ON CONFLICT (id) DO UPDATE SET v = -{new}; \
             UPDATE {other} SET id = 1000000 + nextval('moved') WHERE id % 1000 = {rest}"
        ));
    };
    let (mut in_first, mut in_second) = (0, 0);
    while in_first + in_second < kills {
        let is_second = position(&log)["phase"]["snapshot"]["done"].as_array().is_some_and(|done| !done.is_empty());
        let [first, second] = ["one", "two"].map(|table| {
            let count = server.shop(&format!("SELECT count(*) FROM {table}"));
            count.trim().parse::<u64>().expect("a count")
        });
        let part = random.random_range(2..60);
        // Half of the kills are in the first table.
        let target = match (is_second, in_first * 2 < kills) {
            (true, _) => second * part / 100,
            (false, true) => first * part / 100,
            (false, false) => first + second * part / 100,
        };
        let child = Child::spawn(&log, &text);
        // The change is made while the tables are read.
        thread::scope(|scope| {
            scope.spawn(|| change(&mut random));
            child.wait("it reads no more", |rows, _| rows >= target);
            child.kill();
        });
        let position = position(&log);
        change(&mut random);
        match position["phase"]["snapshot"]["done"].as_array().map(Vec::len) {
            Some(0) => in_first += 1,
            Some(_) => in_second += 1,
            // The kill came too late.
            None => break,
        }
    }
    assert!((in_first + in_second) * 2 >= kills, "only {in_first} and {in_second} kills were within the snapshot");
    let log = open_log(&log);
    let running = follow(&log, CONNECTOR, &text);
    change(&mut random);
    server.shop("INSERT INTO one VALUES (-1, 1, 'the end')");
    wait_for_key(log.as_ref(), "shop.public.one", -1);
    running.stop();
    for table in ["one", "two"] {
        let told = records(log.as_ref(), &format!("shop.public.{table}"));
        eprintln!("{table}: {} records, killed {in_first} + {in_second} times", told.len());
        let expected = server.shop(&format!("SELECT id, v FROM {table} ORDER BY id"));
        let found = newest(told);
        assert!(found == expected, "table {table}\nfound\n{found}\nexpected\n{expected}");
    }
}

#[test]
fn a_transaction_that_is_cut_arrives_whole_and_once() {
    const CHANGES: u32 = 20_000;
    let Some(server) = PostgresServer::start() else { return };
    server.shop("CREATE TABLE t (id int PRIMARY KEY, v int); CREATE TABLE aside (id int PRIMARY KEY)");
    let (mut random, kills) = (random(), kills());
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("log");
    // At most 320 changes a commit: the transaction is cut again and again. Not so fast that a kill comes behind its end.
    let text = settings(&server, "public.t,public.aside", "batch.rows=20 rows.per.second=5000");
    let child = Child::spawn(&log, &text);
    child.wait("it does not come to rest", |_, idle| idle);
    child.kill();
    let half = CHANGES / 2;
    // Only what is flushed is decoded, and here it is at once.
    server.shop(&format!(
        "SET synchronous_commit = on; INSERT INTO t VALUES (0, 0); BEGIN; INSERT INTO t SELECT n, n FROM generate_series(1, {half}) n; INSERT INTO aside VALUES (1); \
         UPDATE t SET v = id + {half} WHERE id > 0; INSERT INTO aside VALUES (2); COMMIT; INSERT INTO t VALUES (-1, -1); DELETE FROM t WHERE id = 0"
    ));
    let (mut cuts, mut behind) = (0, 0);
    for _ in 0..kills {
        let target = u64::from(random.random_range(0..CHANGES / (kills + 2)));
        let child = Child::spawn(&log, &text);
        // On a slow machine the one before may have come to the end.
        child.wait("it reads no more", |rows, idle| rows > target || idle);
        child.kill();
        let within = position(&log)["within"]["changes"].as_u64().unwrap_or(0);
        if within > behind {
            (cuts, behind) = (cuts + 1, within);
        }
    }
    server.shop("INSERT INTO t VALUES (-2, -2)");
    let log = open_log(&log);
    let running = follow(&log, CONNECTOR, &text);
    wait_for_key(log.as_ref(), "shop.public.t", -2);
    running.stop();
    assert!(cuts * 2 >= kills && cuts > 0, "{cuts} of {kills} kills were within the transaction");
    eprintln!("killed {cuts} times within the transaction, the last time behind {behind} changes");
    let told = records(log.as_ref(), "shop.public.t");
    let told: Vec<(i64, Option<i64>)> = told
        .into_iter()
        .map(|(key, value)| {
            (
                key.and_then(|key| key.as_i64()).expect("a number"),
                value.map(|value| value["v"].as_i64().expect("a number")),
            )
        })
        .collect();
    let half = i64::from(half);
    let created = (1..=half).map(|id| (id, Some(id)));
    let updated = (1..=half).map(|id| (id, Some(id + half)));
    let expected: Vec<(i64, Option<i64>)> = [(0, Some(0))]
        .into_iter()
        .chain(created)
        .chain(updated)
        .chain([(-1, Some(-1)), (0, None), (-2, Some(-2))])
        .collect();
    let first = told.iter().zip(&expected).position(|(told, expected)| told != expected);
    assert!(told == expected, "{} told, {} expected, the first difference at {first:?}", told.len(), expected.len());
    assert_eq!(records(log.as_ref(), "shop.public.aside").len(), 2);
}
