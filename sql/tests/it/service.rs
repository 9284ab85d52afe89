//! Processes of a service: what one declares is there in all of them, and they share the work.

use std::time::Duration;

use millstream::{
    log::Log,
    record::{PartitionId, TopicName, TopicPartition},
    testing::MemoryCluster,
};
use millstream_sql::engine::{Engine, EngineConfig, ServiceId};

use super::harness::Sql;

const STREAM: &str =
    "CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 4);";

/// A process of a service.
struct Process {
    sql: Sql,
    _directory: tempfile::TempDir,
}

fn process(cluster: &MemoryCluster, name: &str, service: &str) -> Process {
    let directory = tempfile::tempdir().expect("a directory");
    let config = EngineConfig {
        commit_interval: Duration::from_millis(5),
        memory_bytes: 32 << 20,
        threads: 1,
        emit: millstream::operator::EmitPolicy::Record,
        ..EngineConfig::new(directory.path())
    };
    let service: ServiceId = service.parse().expect("legal");
    let engine = Engine::open_on(config, cluster.process(name), service).expect("opens");
    let session = engine.session();
    Process { sql: Sql { engine, session }, _directory: directory }
}

/// The number of records of a topic.
fn records(log: &dyn Log, topic: &str) -> u64 {
    let topic: TopicName = topic.parse().expect("legal");
    let partitions = log.describe_topic(&topic).expect("there").config.partitions;
    let end = |partition| log.end_offset(&TopicPartition::new(topic.clone(), PartitionId(partition))).expect("there").0;
    (0..partitions).map(end).sum()
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what}");
}

#[test]
fn what_one_declares_all_have_and_they_share_the_work() {
    let cluster = MemoryCluster::new();
    let (mut ada, mut bob) = (process(&cluster, "ada", "one"), process(&cluster, "bob", "one"));
    ada.sql.run(STREAM);
    assert_eq!(
        bob.sql.run("CREATE STREAM big AS SELECT * FROM s WHERE v > 1;"),
        ["Created stream BIG, query CSAS_BIG_0"]
    );
    // Known at once to whoever asks, and at work soon in who does not.
    let queries = |process: &Process| process.sql.engine.progress().queries.len();
    wait("the query came to the other process", || queries(&ada) == 1);
    ada.sql.run("INSERT INTO s VALUES ('a', 1), ('b', 2), ('c', 3), ('d', 4), ('e', 5), ('f', 6);");
    let log = cluster.process("eve");
    wait("every row was processed once", || records(log.as_ref(), "BIG") == 5);
    let done = |process: &Process| process.sql.engine.progress().queries[0].records_in;
    assert_eq!(done(&ada) + done(&bob), 6, "by one of the two");
    assert_eq!(bob.sql.rows("SELECT k FROM big ORDER BY k;"), ["b", "c", "d", "e", "f"]);

    let lags = ada.sql.rows("SHOW QUERIES EXTENDED;");
    assert_eq!(lags.len(), 4);
    assert!(lags.iter().all(|lag| lag.starts_with("CSAS_BIG_0|s|") && lag.ends_with("|0")), "{lags:?}");

    assert_eq!(ada.sql.run("PAUSE ALL;"), ["Paused query CSAS_BIG_0"]);
    let state = |process: &Process| process.sql.engine.progress().queries[0].state.to_string();
    wait("the other process pauses it", || state(&bob) == "PAUSED");
    ada.sql.run("DROP STREAM big DELETE TOPIC;");
    wait("the query ends in the other process", || queries(&bob) == 0);
    let topics: Vec<String> = log.topics().expect("listed").iter().map(|topic| topic.name.to_string()).collect();
    assert!(!topics.iter().any(|topic| topic == "BIG" || topic.contains("csas_big")), "{topics:?}");
    // The ids of the dropped never come back, whoever asks.
    assert_eq!(bob.sql.run("CREATE STREAM big AS SELECT * FROM s;"), ["Created stream BIG, query CSAS_BIG_1"]);
    ada.sql.close();
    bob.sql.close();
}

#[test]
fn names_and_ids_are_given_once_however_many_ask() {
    let cluster = MemoryCluster::new();
    let mut first = process(&cluster, "first", "one");
    first.sql.run(STREAM);
    let workers: Vec<_> = (0..3)
        .map(|number| {
            let cluster = cluster.clone();
            std::thread::spawn(move || {
                let mut process = process(&cluster, &format!("worker-{number}"), "one");
                let mut won = 0;
                for name in 0..5 {
                    let own = format!("CREATE TYPE own_{number}_{name} AS STRUCT<a INT>;");
                    process.sql.run(&own);
                    let taken = format!("CREATE STREAM taken_{name} WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON') AS SELECT k, v FROM s WHERE v < 0;");
                    let taken = taken.replace("KAFKA_TOPIC = 's'", &format!("KAFKA_TOPIC = 't{name}'"));
                    match process.sql.session.execute(&taken) {
                        Ok(_) => won += 1,
                        Err(error) => assert!(error.to_string().contains("exists already"), "{error}"),
                    }
                }
                process.sql.close();
                won
            })
        })
        .collect();
    let won: usize = workers.into_iter().map(|worker| worker.join().expect("no panic")).sum();
    assert_eq!(won, 5, "each name was given once");
    assert_eq!(first.sql.rows("SHOW TYPES;").len(), 15);
    let mut ids: Vec<String> = first.sql.engine.progress().queries.into_iter().map(|query| query.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5, "{ids:?}");
    first.sql.close();
    // Whoever comes later has all of it.
    let mut late = process(&cluster, "late", "one");
    assert_eq!(late.sql.rows("SHOW TYPES;").len(), 15);
    assert_eq!(late.sql.engine.progress().queries.len(), 5);
    late.sql.close();
}

#[test]
fn each_process_answers_for_all() {
    let cluster = MemoryCluster::new();
    let (mut ada, mut bob) = (process(&cluster, "ada", "one"), process(&cluster, "bob", "one"));
    ada.sql.run(STREAM);
    ada.sql.run("CREATE TABLE t AS SELECT k, SUM(v) AS total FROM s GROUP BY k;");
    wait("the query came to the other process", || bob.sql.engine.progress().queries.len() == 1);
    ada.sql.run("INSERT INTO s VALUES ('a', 1), ('b', 2), ('c', 3), ('d', 4), ('a', 5);");
    for process in [&mut ada, &mut bob] {
        assert_eq!(process.sql.rows("SELECT * FROM t ORDER BY k;"), ["a|6", "b|2", "c|3", "d|4"]);
        assert_eq!(process.sql.rows("SELECT total FROM t WHERE k = 'a';"), ["6"]);
    }
    ada.sql.close();
    wait("the other one has all of it", || bob.sql.rows("SELECT * FROM t ORDER BY k;") == ["a|6", "b|2", "c|3", "d|4"]);
    bob.sql.close();
}

#[test]
fn services_do_not_know_each_other() {
    let cluster = MemoryCluster::new();
    let (mut one, mut two) = (process(&cluster, "ada", "one"), process(&cluster, "bob", "two"));
    for process in [&mut one, &mut two] {
        process.sql.run(STREAM);
        let made = process
            .sql
            .run("CREATE TABLE t WITH (KAFKA_TOPIC = 'shared') AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;");
        assert_eq!(made, ["Created table T, query CTAS_T_0"]);
    }
    one.sql.run("INSERT INTO s VALUES ('a', 1), ('a', 2);");
    // Each has read all of it.
    assert_eq!(one.sql.rows("SELECT n FROM t WHERE k = 'a';"), ["2"]);
    assert_eq!(two.sql.rows("SELECT n FROM t WHERE k = 'a';"), ["2"]);
    one.sql.close();
    two.sql.close();
}

#[test]
fn what_does_not_start_is_taken_back_everywhere() {
    let cluster = MemoryCluster::new();
    let (mut ada, mut bob) = (process(&cluster, "ada", "one"), process(&cluster, "bob", "one"));
    ada.sql.run(STREAM);
    ada.sql.run(
        "CREATE TABLE u (k STRING PRIMARY KEY, w INT) WITH (KAFKA_TOPIC = 'u', VALUE_FORMAT = 'JSON', PARTITIONS = 3);",
    );
    let error = ada.sql.error("CREATE STREAM j AS SELECT s.k, v, w FROM s JOIN u ON s.k = u.k;");
    assert!(error.contains("number of partitions don't match"), "{error}");
    assert!(ada.sql.engine.progress().queries.is_empty());
    bob.sql.run("CREATE STREAM j AS SELECT k, v FROM s;");
    wait("the second query of the name", || ada.sql.engine.progress().queries.len() == 1);
    ada.sql.close();
    bob.sql.close();
}

#[test]
fn a_connector_runs_in_one_process_and_moves_on() {
    let cluster = MemoryCluster::new();
    let files = tempfile::tempdir().expect("a directory");
    let file = files.path().join("rows.ndjson");
    let rows =
        |from: usize, to: usize| (from..to).map(|row| format!("{{\"k\":\"a\",\"v\":{row}}}\n")).collect::<String>();
    std::fs::write(&file, rows(0, 10)).expect("written");
    let (mut ada, bob) = (process(&cluster, "ada", "one"), process(&cluster, "bob", "one"));
    ada.sql.run(STREAM);
    ada.sql.run(&format!(
        "CREATE SOURCE CONNECTOR files WITH ('connector.class' = 'file', 'path' = '{}', 'topic' = 's', 'format' = 'json', 'key.field' = 'k');",
        file.display()
    ));
    let log = cluster.process("eve");
    wait("the rows were read once", || records(log.as_ref(), "s") == 10);
    let states = |process: &Process| {
        process.sql.engine.progress().connectors.iter().map(|connector| connector.state.clone()).collect::<Vec<_>>()
    };
    wait("one process has it", || {
        let mut all = [states(&ada), states(&bob)].concat();
        all.sort();
        all == ["EXHAUSTED", "STANDBY"]
    });
    let (has_it, other) = if states(&ada) == ["EXHAUSTED"] { (ada, bob) } else { (bob, ada) };
    has_it.sql.close();
    wait("the other takes over", || states(&other) == ["EXHAUSTED"]);
    assert_eq!(records(log.as_ref(), "s"), 10, "where the first has stopped");
    other.sql.close();
}

#[test]
fn a_registry_gives_each_schema_one_id() {
    let cluster = MemoryCluster::new();
    let (mut ada, mut bob) = (process(&cluster, "ada", "one"), process(&cluster, "bob", "two"));
    ada.sql
        .run("CREATE STREAM a (k STRING KEY, v INT) WITH (KAFKA_TOPIC = 'a', VALUE_FORMAT = 'AVRO', PARTITIONS = 1);");
    bob.sql
        .run("CREATE STREAM b (k STRING KEY, w INT) WITH (KAFKA_TOPIC = 'b', VALUE_FORMAT = 'AVRO', PARTITIONS = 1);");
    let (one, two) = (ada.sql.engine.schema_registry(), bob.sql.engine.schema_registry());
    assert_eq!(one.subjects().expect("known"), ["a-value", "b-value"]);
    assert_eq!(two.subjects().expect("known"), ["a-value", "b-value"]);
    ada.sql.run("INSERT INTO a VALUES ('x', 1);");
    bob.sql.run("CREATE STREAM a WITH (KAFKA_TOPIC = 'a', VALUE_FORMAT = 'AVRO');");
    assert_eq!(bob.sql.rows("SELECT v FROM a;"), ["1"]);
    drop((one, two));
    ada.sql.close();
    bob.sql.close();
}

#[test]
fn queues_are_refused_where_nobody_would_own_them() {
    let cluster = MemoryCluster::new();
    let mut ada = process(&cluster, "ada", "one");
    ada.sql.run(STREAM);
    let said = ada.sql.error("CREATE QUEUE q ON s;");
    assert!(said.starts_with("1:14: a queue has one owner, which the processes of a service have not"), "{said}");
    assert!(ada.sql.rows("SHOW QUEUES;").is_empty());
}
