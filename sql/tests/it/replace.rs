//! Running queries that are replaced, paused and resumed: what they keep, over a restart as well.

use millstream_sql::engine::QueryState;

use super::harness::Sql;

const SOURCES: &str = "
    CREATE STREAM s (k STRING KEY, city STRING, v INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 2);
    CREATE TABLE t (k STRING PRIMARY KEY, a INT, b INT) WITH (KAFKA_TOPIC = 't', VALUE_FORMAT = 'JSON', PARTITIONS = 2);
";

/// Runs scripts one after another, settles after each, with or without a restart before each but the first; compares rows after the last.
fn check(scripts: &[&str], query: &str, want: &[&str]) {
    for restarts in [false, true] {
        let directory = tempfile::tempdir().expect("a directory");
        let mut sql = Sql::open(directory.path());
        sql.run(SOURCES);
        for script in scripts {
            sql.settle();
            if restarts {
                sql.close();
                sql = Sql::open(directory.path());
            }
            sql.run(script);
        }
        assert_eq!(sql.rows(query), want, "{query}, restarts: {restarts}");
        sql.close();
        let mut sql = Sql::open(directory.path());
        assert_eq!(sql.rows(query), want, "{query}, after all, restarts: {restarts}");
        assert!(sql.engine.progress().queries.iter().all(|query| query.state == QueryState::Running));
        sql.close();
    }
}

#[test]
fn a_filter_changes_and_positions_stay() {
    check(
        &[
            "CREATE STREAM big AS SELECT k, v FROM s WHERE v > 10;",
            "INSERT INTO s VALUES ('a', 'Rome', 5), ('b', 'Oslo', 20);",
            "CREATE OR REPLACE STREAM big AS SELECT k, v, city FROM s WHERE v > 1;",
            "INSERT INTO s VALUES ('c', 'Rome', 6);",
        ],
        "SELECT * FROM big ORDER BY k;",
        &["b|20|null", "c|6|Rome"],
    );
}

#[test]
fn aggregates_go_on_and_new_ones_begin_empty() {
    check(
        &[
            "CREATE TABLE n AS SELECT k, COUNT(v) AS n FROM s GROUP BY k;",
            "INSERT INTO s VALUES ('a', 'Rome', 5), ('b', 'Oslo', 20), ('a', 'Rome', 1);",
            "CREATE OR REPLACE TABLE n AS SELECT k, COUNT(v) AS n, SUM(v) AS total, MAX(v) AS most FROM s GROUP BY k;",
            "INSERT INTO s VALUES ('a', 'Rome', 7);",
            "CREATE OR REPLACE TABLE n AS SELECT k, COUNT(v) AS n, SUM(v) AS total, MAX(v) AS most, MIN(v) AS least
               FROM s WHERE v > 0 GROUP BY k;",
            "INSERT INTO s VALUES ('a', 'Rome', 3), ('b', 'Oslo', -1);",
        ],
        "SELECT * FROM n ORDER BY k;",
        &["a|4|10|7|3", "b|1|0|null|null"],
    );
}

#[test]
fn what_is_on_its_way_through_a_repartition_is_not_lost() {
    check(
        &[
            "CREATE TABLE n AS SELECT city, SUM(v) AS total FROM s GROUP BY city;",
            "INSERT INTO s VALUES ('a', 'Rome', 5), ('b', 'Oslo', 20), ('c', 'Rome', 1);",
            "CREATE OR REPLACE TABLE n AS SELECT city, SUM(v) AS total, COUNT(v) AS n FROM s GROUP BY city;",
            "INSERT INTO s VALUES ('a', 'Rome', 7);",
        ],
        "SELECT * FROM n ORDER BY city;",
        &["Oslo|20|0", "Rome|13|1"],
    );
}

#[test]
fn a_table_gets_columns() {
    check(
        &[
            "CREATE TABLE u AS SELECT k, b FROM t;",
            "INSERT INTO t VALUES ('x', 1, 2), ('y', 3, 4);",
            "CREATE OR REPLACE TABLE u AS SELECT k, b, a FROM t WHERE b < 10;",
            "INSERT INTO t VALUES ('y', 5, 6);",
        ],
        "SELECT * FROM u ORDER BY k;",
        &["x|2|null", "y|6|5"],
    );
}

#[test]
fn a_table_with_a_ttl_gets_columns_and_its_rows_go_when_they_would_have() {
    let stream =
        "CREATE STREAM e (k STRING KEY, v INT) WITH (KAFKA_TOPIC = 'e', VALUE_FORMAT = 'JSON', PARTITIONS = 1);";
    let table = |columns: &str| {
        format!("CREATE OR REPLACE TABLE n WITH (ROW_TTL = '10 SECONDS') AS SELECT k, {columns} FROM e GROUP BY k;")
    };
    let (first, second) = (format!("{stream}{}", table("SUM(v) AS total")), table("SUM(v) AS total, COUNT(v) AS n"));
    let rows = "INSERT INTO e (ROWTIME, k, v) VALUES (0, 'a', 1), (5000, 'b', 2);";
    let later = "INSERT INTO e (ROWTIME, k, v) VALUES (12000, 'c', 3);";
    let last = "INSERT INTO e (ROWTIME, k, v) VALUES (15000, 'd', 4);";
    let query = "SELECT * FROM n ORDER BY k;";
    check(&[&first, rows, &second], query, &["a|1|null", "b|2|null"]);
    check(&[&first, rows, &second, later], query, &["b|2|null", "c|3|1"]);
    check(&[&first, rows, &second, later, last], query, &["c|3|1", "d|4|1"]);
    let third = table("SUM(v) AS total, COUNT(v) AS n, MAX(v) AS most");
    check(&[&first, rows, &second, later, &third, last], query, &["c|3|1|null", "d|4|1|4"]);
}

#[test]
fn a_query_takes_another_column_of_a_table_with_a_ttl() {
    let table = "CREATE TABLE d (k STRING PRIMARY KEY, a INT, b INT)
        WITH (KAFKA_TOPIC = 'd', VALUE_FORMAT = 'JSON', PARTITIONS = 1, ROW_TTL = '10 SECONDS');
        CREATE TABLE u AS SELECT k, b FROM d;";
    let rows = "INSERT INTO d (ROWTIME, k, a, b) VALUES (0, 'x', 1, 2), (5000, 'y', 3, 4);";
    let replace = "CREATE OR REPLACE TABLE u AS SELECT k, b, a FROM d WHERE b < 10;";
    let later = "INSERT INTO d (ROWTIME, k, a, b) VALUES (12000, 'z', 5, 6);";
    let last = "INSERT INTO d (ROWTIME, k, a, b) VALUES (15000, 'x', 7, 8);";
    let query = "SELECT * FROM u ORDER BY k;";
    check(&[table, rows, replace], query, &["x|2|null", "y|4|null"]);
    check(&[table, rows, replace, later], query, &["y|4|null", "z|6|5"]);
    check(&[table, rows, replace, later, last], query, &["x|8|7", "z|6|5"]);
}

#[test]
fn a_source_gets_columns_that_queries_take_when_they_are_replaced() {
    check(
        &[
            "CREATE STREAM c AS SELECT * FROM s;",
            "CREATE OR REPLACE STREAM s (k STRING KEY, city STRING, v INT, w INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON');",
            "INSERT INTO s VALUES ('a', 'Rome', 1, 2);",
            "CREATE OR REPLACE STREAM c AS SELECT * FROM s WHERE true;",
            "INSERT INTO s VALUES ('b', 'Rome', 3, 4);",
        ],
        "SELECT * FROM c ORDER BY k;",
        &["a|Rome|1|null", "b|Rome|3|4"],
    );
}

#[test]
fn stores_that_are_not_needed_any_more_go() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path());
    sql.run(SOURCES);
    sql.run("CREATE TABLE n AS SELECT k, COUNT(v) AS n FROM s GROUP BY k;");
    let answers = sql.run("CREATE OR REPLACE TABLE n AS SELECT k, COUNT(v) AS n, SUM(v) AS total FROM s GROUP BY k;");
    assert_eq!(answers, ["Replaced table N, query CTAS_N_0"]);
    let topics = sql.rows("SHOW ALL TOPICS;");
    let changelogs: Vec<&String> = topics.iter().filter(|topic| topic.contains("changelog")).collect();
    assert!(
        matches!(changelogs.as_slice(), [one] if one.starts_with("_millstream-ctas_n_0-N-v2-changelog")),
        "{topics:?}"
    );
    sql.run("DROP TABLE n DELETE TOPIC;");
    let topics = sql.rows("SHOW ALL TOPICS;");
    assert!(!topics.iter().any(|topic| topic.contains("ctas_n_0")), "{topics:?}");
    sql.close();
}

#[test]
fn what_cannot_be_replaced_goes_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path());
    sql.run(SOURCES);
    sql.run(
        "CREATE TABLE n AS SELECT k, COUNT(v) AS n FROM s GROUP BY k;
         CREATE STREAM j AS SELECT s.k AS k, v, a FROM s JOIN t ON s.k = t.k;
         CREATE TABLE w AS SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY k;",
    );
    let mut check = |statement: &str, want: &str| {
        let got = sql.error(statement).to_string();
        assert!(got.contains(want), "{statement}\n   want {want}\n   got  {got}");
    };
    check(
        "CREATE OR REPLACE TABLE n AS SELECT city, COUNT(v) AS n FROM s GROUP BY city;",
        "(Key columns must be identical. The following key columns are changed, missing or reordered: [`K` STRING KEY])",
    );
    check(
        "CREATE OR REPLACE TABLE n AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;",
        "StreamAggregate must have matching columns not part of aggregate. Values differ: [`K`, `V`] vs. [`K`, `ROWTIME`]",
    );
    check(
        "CREATE OR REPLACE TABLE n AS SELECT k, CAST(SUM(v) AS BIGINT) AS n FROM s GROUP BY k;",
        "must have matching aggregation functions",
    );
    check(
        "CREATE OR REPLACE STREAM j AS SELECT s.k AS k, v, a FROM s JOIN t ON s.k = t.k WHERE v > 1;",
        "Upgrades not yet supported for StreamTableJoin",
    );
    check(
        "CREATE OR REPLACE TABLE w AS SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 1 HOUR) WHERE v > 0 GROUP BY k;",
        "Upgrades not yet supported for StreamWindowedAggregate",
    );
    check(
        "CREATE OR REPLACE STREAM s (k STRING KEY, city STRING, v INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'DELIMITED');",
        "formats and the timestamp column must stay while queries use it",
    );
    sql.run("INSERT INTO s VALUES ('a', 'Rome', 5);");
    assert_eq!(sql.rows("SELECT * FROM n;"), ["a|1"]);
    sql.run("SET 'ksql.create.or.replace.enabled' = 'false';");
    let got = sql.error("CREATE OR REPLACE TABLE n AS SELECT k, COUNT(v) AS n FROM s WHERE v > 1 GROUP BY k;");
    assert!(got.to_string().contains("CREATE OR REPLACE is disabled"), "{got}");
    sql.close();
}

#[test]
fn a_paused_query_waits_over_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path());
    sql.run(SOURCES);
    sql.run("CREATE TABLE n AS SELECT k, COUNT(v) AS n FROM s GROUP BY k;");
    sql.run("INSERT INTO s VALUES ('a', 'Rome', 5);");
    assert_eq!(sql.rows("SELECT * FROM n;"), ["a|1"]);
    assert_eq!(sql.run("PAUSE ctas_n_0;"), ["Paused query CTAS_N_0"]);
    // What was being read when it was told to wait may still be read.
    std::thread::sleep(std::time::Duration::from_millis(200));
    sql.run("INSERT INTO s VALUES ('a', 'Rome', 6);");
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(sql.rows("SELECT * FROM n;"), ["a|1"], "rows can be read while it waits");
    sql.close();
    let mut sql = Sql::open(directory.path());
    assert_eq!(sql.engine.progress().queries[0].state, QueryState::Paused);
    assert_eq!(sql.rows("SELECT * FROM n;"), ["a|1"]);
    assert_eq!(sql.run("RESUME ALL;"), ["Resumed query CTAS_N_0"]);
    assert_eq!(sql.rows("SELECT * FROM n;"), ["a|2"]);
    sql.close();
}

#[test]
fn topics_and_schemas_are_asserted() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path());
    sql.run(SOURCES);
    assert_eq!(sql.run("ASSERT TOPIC s WITH (partitions=2);"), ["Topic s exists"]);
    assert_eq!(sql.run("ASSERT NOT EXISTS TOPIC nothing;"), ["Topic nothing does not exist"]);
    let mut check = |statement: &str, want: &str| assert_eq!(sql.error(statement).to_string(), want, "{statement}");
    check("ASSERT TOPIC nothing TIMEOUT 0 SECONDS;", "1:1: Topic nothing does not exist");
    check(
        "ASSERT TOPIC s WITH (partitions=3) TIMEOUT 0 SECONDS;",
        "1:1: Mismatched configuration for topic s: For config partitions, expected 3 got 2",
    );
    check("ASSERT NOT EXISTS TOPIC s TIMEOUT 0 SECONDS;", "1:1: Topic s exists");
    check("ASSERT SCHEMA SUBJECT 's-value' TIMEOUT 0 SECONDS;", "1:1: Schema with subject s-value does not exist");
    sql.run("CREATE STREAM avro (k STRING KEY, v INT) WITH (KAFKA_TOPIC = 'avro', VALUE_FORMAT = 'AVRO');");
    assert_eq!(sql.run("ASSERT SCHEMA SUBJECT 'avro-value';"), ["Schema with subject avro-value exists"]);
    sql.close();
}
