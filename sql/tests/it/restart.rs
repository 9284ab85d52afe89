//! What a directory brings back when it is opened again, and what goes when something is dropped.

use millstream::record::TopicName;
use millstream_sql::engine::QueryState;

use super::harness::{Sql, wait_for};

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

#[test]
fn what_does_not_start_is_kept_as_failed_and_can_go() {
    let directory = tempfile::tempdir().expect("a directory");
    let script = format!(
        "CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
         CREATE STREAM kept (k STRING KEY, v INT) WITH (KAFKA_TOPIC = 'kept', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
         CREATE SINK CONNECTOR out WITH ('connector.class' = 'file', 'path' = '{}', 'topics' = 's');
         CREATE STREAM big AS SELECT * FROM s WHERE v > 1;",
        directory.path().join("out.ndjson").display()
    );
    let data = directory.path().join("data");
    let mut sql = Sql::open(&data);
    sql.run(&script);
    sql.run("INSERT INTO s VALUES ('a', 1);");
    sql.settle();
    sql.engine.log().delete_topic(&TopicName::new("s").expect("legal")).expect("deleted");
    let Sql { engine, session } = sql;
    drop(session);
    // The query may have seen already that its topic is gone.
    let _ = engine.shutdown();

    let mut sql = Sql::open(&data);
    let progress = sql.engine.progress();
    assert_eq!((progress.connectors.len(), progress.queries.len()), (1, 1));
    assert_eq!(progress.connectors[0].state, "FAILED");
    assert!(progress.connectors[0].error.as_deref().unwrap_or_default().starts_with("there is no topic s"));
    assert_eq!(progress.queries[0].state, QueryState::Failed);
    assert!(progress.queries[0].error.is_some(), "{progress:?}");
    assert!(sql.run("SHOW CONNECTORS;")[0].contains("FAILED|0|0||there is no topic s"));
    assert!(sql.run("SHOW QUERIES;")[0].contains("ERROR"));
    sql.run("INSERT INTO kept VALUES ('a', 1);");
    assert_eq!(sql.run("SELECT * FROM kept;"), ["a|1"]);
    sql.run("DROP CONNECTOR out; TERMINATE CSAS_BIG_0;");
    assert_eq!(sql.rows("SELECT * FROM kept;"), ["a|1"]);
    sql.close();
    Sql::open(&data).close();
}

#[test]
fn a_secret_that_is_gone_fails_its_connector_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let (token, output) = (directory.path().join("token"), directory.path().join("out.ndjson"));
    std::fs::write(&token, "tiger").expect("written");
    let data = directory.path().join("data");
    let mut sql = Sql::open(&data);
    sql.run(&format!(
        "CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
         CREATE SINK CONNECTOR hook FROM s WITH ('connector.class' = 'webhook', 'http.url' = 'http://127.0.0.1:1/',
            'headers' = 'Authorization: Bearer ${{file:{}}}');
         CREATE SINK CONNECTOR out FROM s WITH ('connector.class' = 'file', 'path' = '{}');",
        token.display(),
        output.display()
    ));
    sql.close();

    std::fs::remove_file(&token).expect("removed");
    let mut sql = Sql::open(&data);
    let progress = sql.engine.progress();
    let states: Vec<(&str, &str)> =
        progress.connectors.iter().map(|connector| (connector.name.as_str(), connector.state.as_str())).collect();
    assert_eq!(states, [("HOOK", "FAILED"), ("OUT", "RUNNING")]);
    let problem = progress.connectors[0].error.clone().expect("it says why");
    let parts = ["`headers, Authorization`", &token.display().to_string(), "cannot be read", "RESTART CONNECTOR HOOK"];
    assert!(parts.iter().all(|part| problem.contains(part)) && !problem.contains("tiger"), "{problem}");
    // The rest works, and what fails still has its topic.
    sql.run("PAUSE CONNECTOR hook; INSERT INTO s VALUES ('a', 1);");
    wait_for(|| std::fs::read_to_string(&output).unwrap_or_default() == "{\"K\":\"a\",\"V\":1}\n");
    let error = sql.error("DROP STREAM s DELETE TOPIC;");
    assert!(error.contains("connector HOOK, OUT names it"), "{error}");
    sql.run("RESTART CONNECTOR hook;");
    assert_eq!(sql.engine.progress().connectors[0].state, "FAILED");

    std::fs::write(&token, "tiger").expect("written");
    sql.run("RESTART CONNECTOR hook;");
    wait_for(|| sql.engine.progress().connectors[0].state == "PAUSED");
    sql.run("DROP CONNECTOR hook;");
    sql.close();
}

#[test]
fn a_topic_that_a_connector_names_is_not_deleted() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(&directory.path().join("data"));
    sql.run(&format!(
        "CREATE STREAM s (v INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
         CREATE SINK CONNECTOR out WITH ('connector.class' = 'file', 'path' = '{}', 'topics' = 's');",
        directory.path().join("out.ndjson").display()
    ));
    let error = sql.error("DROP STREAM s DELETE TOPIC;");
    assert_eq!(
        error,
        "1:13: cannot delete topic s: connector OUT names it; drop that first, or leave DELETE TOPIC out"
    );
    sql.run("DROP CONNECTOR out; DROP STREAM s DELETE TOPIC;");
    sql.close();
}

#[test]
fn a_script_whose_query_was_terminated_is_not_called_unchanged() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path());
    sql.run(SCRIPT);
    sql.run("TERMINATE CSAS_BIG_1;");
    let error = sql.session.run_script(SCRIPT, &mut |_, _| {}).expect_err("the query is gone").to_string();
    let want =
        "STREAM BIG exists, but its query was terminated; DROP STREAM BIG first to start it again from the beginning";
    assert_eq!(error, format!("5:19: {want}"));
    sql.run("DROP STREAM big DELETE TOPIC;");
    assert_eq!(sql.run(SCRIPT)[3], "Created stream BIG, query CSAS_BIG_2");
    sql.close();
}

#[test]
fn query_ids_differ_not_in_case_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path());
    sql.run(SCRIPT);
    sql.run(
        "CREATE STREAM into1 (k STRING KEY, v INT) WITH (KAFKA_TOPIC = 'i', VALUE_FORMAT = 'JSON', PARTITIONS = 2);",
    );
    sql.run("INSERT INTO into1 WITH (QUERY_ID = 'mine_18446744073709551615') SELECT * FROM s;");
    let error = sql.error("INSERT INTO into1 WITH (QUERY_ID = 'Mine_18446744073709551615') SELECT * FROM s;");
    assert_eq!(error, "1:36: query MINE_18446744073709551615 exists already; choose another QUERY_ID");
    sql.close();
    let mut sql = Sql::open(directory.path());
    assert_eq!(
        sql.run("CREATE STREAM small AS SELECT * FROM s WHERE v < 1;"),
        ["Created stream SMALL, query CSAS_SMALL_2"]
    );
    sql.close();
}

#[test]
fn a_script_uses_the_variables_that_it_defines() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path());
    sql.run(SCRIPT);
    sql.run("DEFINE n = '7'; INSERT INTO s VALUES ('a', ${n}); DEFINE n = '8'; INSERT INTO s VALUES ('b', ${n});");
    assert_eq!(sql.rows("SELECT * FROM t ORDER BY k;"), ["a|7", "b|8"]);
    sql.close();
}
