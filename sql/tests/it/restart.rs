//! What a directory brings back when it is opened again, and what goes when something is dropped.

use millstream_sql::engine::QueryState;

use super::harness::Sql;

const SCRIPT: &str = "
    CREATE TYPE place AS STRUCT<city STRING, zip STRING>;
    CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 2);
    CREATE TABLE t AS SELECT k, SUM(v) AS total FROM s GROUP BY k;
    CREATE STREAM big AS SELECT * FROM s WHERE v > 1;
";

#[test]
fn queries_and_their_state_come_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path());
    sql.run(SCRIPT);
    sql.run("INSERT INTO s VALUES ('a', 1), ('b', 2);");
    assert_eq!(sql.rows("SELECT * FROM t ORDER BY k;"), ["a|1", "b|2"]);
    sql.close();

    let mut sql = Sql::open(directory.path());
    assert_eq!(sql.rows("SELECT * FROM t ORDER BY k;"), ["a|1", "b|2"]);
    sql.run("INSERT INTO s VALUES ('a', 10);");
    assert_eq!(sql.rows("SELECT * FROM t ORDER BY k;"), ["a|11", "b|2"]);
    assert_eq!(sql.rows("SELECT k, v FROM big ORDER BY v;"), ["b|2", "a|10"]);
    assert!(sql.engine.progress().queries.iter().all(|query| query.state == QueryState::Running));
    sql.close();
}

#[test]
fn a_script_can_be_run_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path());
    sql.run(SCRIPT);
    sql.close();
    let mut sql = Sql::open(directory.path());
    let answers =
        sql.run(&SCRIPT.replace("    CREATE", "create").replace("SELECT * FROM s", "SELECT *\n  FROM s -- all\n"));
    assert_eq!(
        answers,
        [
            "Type PLACE exists already, unchanged",
            "Stream S exists already, unchanged",
            "Table T exists already, unchanged",
            "Stream BIG exists already, unchanged"
        ]
    );
    let changed = sql.session.run_script("CREATE STREAM big AS SELECT * FROM s WHERE v > 2;", &mut |_, _| {});
    let error = changed.expect_err("another statement of the same name").to_string();
    assert!(error.starts_with("1:15: stream BIG exists already"), "{error}");
    sql.close();
}

#[test]
fn what_is_dropped_stays_dropped_and_ids_do_not_come_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path());
    sql.run(SCRIPT);
    sql.run("INSERT INTO s VALUES ('a', 5);");
    sql.settle();
    assert_eq!(sql.run("DROP TABLE t DELETE TOPIC;"), ["Dropped table T and ended query CTAS_T_0, deleted topic T"]);
    assert_eq!(sql.run("TERMINATE CSAS_BIG_1;"), ["Terminated query CSAS_BIG_1"]);
    sql.close();

    let mut sql = Sql::open(directory.path());
    assert!(sql.engine.progress().queries.is_empty());
    let topics = sql.rows("SHOW ALL TOPICS;");
    assert!(
        !topics.iter().any(|topic| topic.starts_with("_millstream-ctas_t_0") || topic.starts_with("T|")),
        "{topics:?}"
    );
    let answers = sql.run("CREATE TABLE t AS SELECT k, SUM(v) AS total FROM s GROUP BY k;");
    assert_eq!(answers, ["Created table T, query CTAS_T_2"]);
    assert_eq!(sql.rows("SELECT * FROM t;"), ["a|5"]);
    assert_eq!(sql.rows("SELECT * FROM big;"), ["a|5"]);
    sql.close();
}

#[test]
fn a_directory_has_one_owner() {
    let directory = tempfile::tempdir().expect("a directory");
    let sql = Sql::open(directory.path());
    let second = millstream_sql::engine::Engine::open(millstream_sql::engine::EngineConfig::new(directory.path()));
    let error = second.err().expect("the directory is taken").to_string();
    assert!(error.contains("in use by"), "{error}");
    sql.close();
}

#[test]
fn connectors_come_back_and_go_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("rows.ndjson");
    std::fs::write(&file, "{\"k\":\"a\",\"v\":1}\n{\"k\":\"b\",\"v\":2}\n").expect("writes");
    let data = directory.path().join("data");
    let script = format!(
        "CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
         CREATE SOURCE CONNECTOR files WITH ('connector.class' = 'file', 'path' = '{}', 'topic' = 's', 'format' = 'json', 'key.field' = 'k');
         CREATE TABLE t AS SELECT k, SUM(v) AS total FROM s GROUP BY k;",
        file.display()
    );
    let mut sql = Sql::open(&data);
    sql.run(&script);
    assert_eq!(sql.rows("SELECT * FROM t ORDER BY k;"), ["a|1", "b|2"]);
    sql.close();
    let mut sql = Sql::open(&data);
    let answers = sql.run(&script);
    assert!(answers.iter().all(|answer| answer.ends_with("exists already, unchanged")), "{answers:?}");
    assert_eq!(sql.rows("SELECT * FROM t ORDER BY k;"), ["a|1", "b|2"]);
    assert_eq!(sql.rows("SELECT COUNT(*) FROM s;"), ["2"]);
    assert_eq!(sql.run("DROP CONNECTOR files;"), ["Dropped connector FILES"]);
    sql.close();
}
