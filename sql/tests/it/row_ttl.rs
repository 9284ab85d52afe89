//! ROW_TTL: rows of tables that go by event time, under both emit policies, in batches or one by one, over a restart.

use millstream::{operator::EmitPolicy, record::Record};
use millstream_sql::engine::in_memory::{Answer, InMemoryEngine};

use super::harness::{Sql, batch_lines, lines};

const SOURCES: [&str; 4] = [
    "CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC = 's', FORMAT = 'JSON', PARTITIONS = 1)",
    "CREATE TABLE t (k STRING PRIMARY KEY, v INT) WITH (KAFKA_TOPIC = 't', FORMAT = 'JSON', PARTITIONS = 1, ROW_TTL = '10 SECONDS')",
    "CREATE TABLE u (k STRING PRIMARY KEY, w INT) WITH (KAFKA_TOPIC = 'u', FORMAT = 'JSON', PARTITIONS = 1)",
    "SET 'auto.offset.reset' = 'earliest'",
];

/// Three rows, of which the first one is over when the last one comes.
const ROWS: [&str; 2] = ["(0, 'a', 1), (5000, 'b', 2)", "(12000, 'c', 2)"];

fn execute(engine: &mut InMemoryEngine, statement: &str) -> Answer {
    engine.execute(&format!("{statement};")).unwrap_or_else(|error| panic!("{statement}: {error}"))
}

/// Runs a statement, then scripts with a restart after each; compares the rows of a query.
fn check(statement: &str, scripts: &[&str], query: &str, want: &[&str]) -> Vec<Record> {
    let mut of_topic = Vec::new();
    for emit in [EmitPolicy::Commit, EmitPolicy::Record] {
        for in_batches in [true, false] {
            let mut engine = InMemoryEngine::new(emit).expect("an engine");
            SOURCES.iter().for_each(|source| drop(execute(&mut engine, source)));
            execute(&mut engine, statement);
            for script in scripts {
                execute(&mut engine, script);
                if in_batches { engine.run_in_batches() } else { engine.run() }.expect("runs");
                engine.restart().expect("starts again");
            }
            let Answer::Rows(rows) = execute(&mut engine, query) else { panic!("{query} is no pull query") };
            assert_eq!(lines(&rows), want, "{query}, emit {emit}, in batches: {in_batches}");
            of_topic = engine.records("R").unwrap_or_default();
        }
    }
    of_topic
}

fn into(source: &str) -> Vec<String> {
    let columns = if source == "u" { "(ROWTIME, k, w)" } else { "(ROWTIME, k, v)" };
    ROWS.iter().map(|rows| format!("INSERT INTO {source} {columns} VALUES {rows}")).collect()
}

#[test]
fn rows_of_a_declared_table_go_for_whoever_reads_it() {
    let rows = into("t");
    let rows = [rows[0].as_str(), rows[1].as_str()];
    check("CREATE TABLE r AS SELECT * FROM t", &rows, "SELECT k, v FROM r ORDER BY k", &["b|2", "c|2"]);
    let counted = "CREATE TABLE r AS SELECT v, COUNT(*) AS n FROM t GROUP BY v";
    check(counted, &rows, "SELECT v, n FROM r WHERE n > 0", &["2|2"]);
}

#[test]
fn a_push_query_shows_that_a_row_has_gone() {
    let mut engine = InMemoryEngine::new(EmitPolicy::Record).expect("an engine");
    SOURCES.iter().for_each(|source| drop(execute(&mut engine, source)));
    into("t").iter().for_each(|rows| drop(execute(&mut engine, rows)));
    let Answer::Push(mut push) = execute(&mut engine, "SELECT k, v FROM t EMIT CHANGES") else { panic!("no push") };
    let (batches, _) = push.run().expect("runs");
    assert_eq!(batches.iter().flat_map(batch_lines).collect::<Vec<_>>(), ["a|1", "b|2", "a|null", "c|2"]);
}

#[test]
fn joins_see_that_a_row_has_gone() {
    let (t, u) = (into("t"), into("u"));
    let all = [u[0].as_str(), u[1].as_str(), t[0].as_str(), t[1].as_str()];
    let tables = "CREATE TABLE r AS SELECT u.k AS k, w, v FROM u LEFT JOIN t ON u.k = t.k";
    check(tables, &all, "SELECT k, w, v FROM r ORDER BY k", &["a|1|null", "b|2|2", "c|2|2"]);
    let stream = "CREATE STREAM r AS SELECT s.k AS k, s.v AS v, t.v AS w FROM s LEFT JOIN t ON s.k = t.k";
    let asked = "INSERT INTO s (ROWTIME, k, v) VALUES (13000, 'a', 0), (13000, 'b', 0)";
    check(stream, &[t[0].as_str(), t[1].as_str(), asked], "SELECT k, v, w FROM r", &["a|0|null", "b|0|2"]);
}

#[test]
fn rows_of_a_result_go_and_a_tombstone_says_so() {
    let rows = into("s");
    let table = "CREATE TABLE r WITH (ROW_TTL = '10 SECONDS') AS SELECT k, SUM(v) AS total FROM s GROUP BY k";
    let query = "SELECT k, total FROM r ORDER BY k";
    let records = check(table, &[rows[0].as_str(), rows[1].as_str()], query, &["b|2", "c|2"]);
    let text = |record: &Record| {
        let value = record.value.as_ref().map(|value| String::from_utf8_lossy(value).into_owned());
        format!("{}@{}", value.unwrap_or_default(), record.timestamp.0)
    };
    let changes: Vec<String> = records.iter().map(text).collect();
    assert_eq!(changes, ["{\"TOTAL\":1}@0", "{\"TOTAL\":2}@5000", "@10000", "{\"TOTAL\":2}@12000"]);
    // What the aggregation remembers stays.
    let again = "INSERT INTO s (ROWTIME, k, v) VALUES (13000, 'a', 5)";
    check(table, &[rows[0].as_str(), rows[1].as_str(), again], query, &["a|6", "b|2", "c|2"]);
}

#[test]
fn deletions_do_not_let_rows_expire() {
    // A deletion has no column to take a timestamp from: it has that of the record.
    let sources =
        "CREATE TABLE z (k STRING PRIMARY KEY, at BIGINT) WITH (KAFKA_TOPIC = 'z', FORMAT = 'JSON', PARTITIONS = 1,
        TIMESTAMP = 'AT', ROW_TTL = '10 SECONDS')";
    for emit in [EmitPolicy::Commit, EmitPolicy::Record] {
        let mut engine = InMemoryEngine::new(emit).expect("an engine");
        SOURCES.iter().for_each(|source| drop(execute(&mut engine, source)));
        execute(&mut engine, sources);
        execute(&mut engine, "CREATE TABLE r AS SELECT * FROM z");
        execute(&mut engine, "INSERT INTO z (k, at) VALUES ('a', 0), ('b', 5000)");
        engine.run().expect("runs");
        let mut deletion = Record::new("\"a\"", "").at_ms(1_700_000_000_000);
        deletion.value = None;
        engine.produce("z", vec![deletion]).expect("written");
        engine.run().expect("runs");
        let Answer::Rows(rows) = execute(&mut engine, "SELECT k, at FROM r") else { panic!("no pull query") };
        assert_eq!(lines(&rows), ["b|5000"], "emit {emit}");
    }
}

#[test]
fn what_cannot_expire_is_refused() {
    let mut engine = InMemoryEngine::new(EmitPolicy::Record).expect("an engine");
    SOURCES.iter().for_each(|source| drop(execute(&mut engine, source)));
    let mut check = |statement: &str, want: &str| {
        let error = engine.execute(&format!("{statement};")).expect_err(statement).to_string();
        assert!(error.contains(want), "{statement}: {error}");
    };
    let with = "WITH (ROW_TTL = '1 DAY')";
    check(&format!("CREATE STREAM x {with} AS SELECT * FROM s"), "1:33");
    check(&format!("CREATE STREAM x {with} AS SELECT * FROM s"), "it is for tables");
    check(
        &format!("CREATE TABLE x {with} AS SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 1 DAY) GROUP BY k"),
        "rows of windows go with their windows: say RETENTION",
    );
    check("CREATE TABLE x WITH (ROW_TTL = '5 PARSECS') AS SELECT * FROM t", "a length such as '30 SECONDS'");
    check("CREATE TABLE x WITH (ROW_TTLS = '5 DAYS') AS SELECT * FROM t", "ROW_TTL");
}

#[test]
fn a_ttl_is_described_explained_kept_and_not_changed() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path());
    sql.run(&SOURCES[..3].iter().map(|source| format!("{source};")).collect::<String>());
    let table = |ttl: &str| {
        format!("CREATE OR REPLACE TABLE r WITH (ROW_TTL = '{ttl}') AS SELECT k, SUM(v) AS total FROM s GROUP BY k;")
    };
    sql.run(&table("10 SECONDS"));
    let error = sql.error(&table("20 SECONDS"));
    assert!(error.contains("row TTL = 10000 ms which is not upgradeable to 20000 ms"), "{error}");
    let described = sql.rows("DESCRIBE r EXTENDED;").join("\n");
    assert!(described.contains("row TTL|10000 ms"), "{described}");
    let plan = sql.rows(&format!("EXPLAIN {}", table("10 SECONDS").replace("TABLE r", "TABLE x"))).join("\n");
    assert!(plan.contains("gone 10 s after its timestamp, store `X-rows`, index store `X-rows-by-time`"), "{plan}");
    sql.run(&format!("{};", into("s")[0]));
    assert_eq!(sql.rows("SELECT k, total FROM r ORDER BY k;"), ["a|1", "b|2"]);
    sql.close();
    let mut sql = Sql::open(directory.path());
    sql.run(&format!("{};", into("s")[1]));
    assert_eq!(sql.rows("SELECT k, total FROM r ORDER BY k;"), ["b|2", "c|2"]);
    sql.run(&into("t").iter().map(|insert| format!("{insert};")).collect::<String>());
    assert_eq!(sql.rows("SELECT k, v FROM t ORDER BY k;"), ["b|2", "c|2"], "read from its topic");
    sql.close();
}
