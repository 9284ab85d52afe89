//! User functions in an engine with a directory: they are listed, read by both kinds of pull queries, and needed again at the next start.

use arrow::util::pretty::pretty_format_batches;
use millstream_sql::{
    engine::{Engine, EngineConfig, Session},
    functions::Functions,
    response::Response,
};

use super::functions;

fn open(directory: &std::path::Path, functions: Functions) -> Result<Engine, String> {
    let mut config = EngineConfig::new(directory);
    config.durability = millstream::log::embedded::Durability::Os;
    config.memory_bytes = 32 << 20;
    config.functions = functions;
    Engine::open(config).map_err(|error| error.to_string())
}

/// The cells of the answer's first row, parted by `|`; or the error.
fn answer(session: &mut Session, statement: &str) -> String {
    match session.execute(statement) {
        Ok(Response::Rows(rows)) => {
            let table = pretty_format_batches(&rows.batches).expect("rows that can be shown").to_string();
            let first = table.lines().nth(3).unwrap_or_default().trim_matches('|');
            first.split('|').map(str::trim).collect::<Vec<_>>().join("|")
        }
        Ok(other) => format!("{other:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn an_engine_lists_them_reads_with_them_and_needs_them_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open(directory.path(), functions()).expect("opens");
    let mut session = engine.session();
    let script = "
        CREATE STREAM s (k STRING KEY, n INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
        CREATE TABLE o AS SELECT k, TEST_UDAF(n) AS total FROM s GROUP BY k;
        INSERT INTO s (k, n) VALUES ('a', 1), ('a', 2), ('b', 4);
    ";
    session.run_script(script, &mut |_, _| {}).expect("statements that are right");
    engine.wait_until_idle(None, &mut |_| {}).expect("comes to rest");
    for (statement, want) in [
        ("DESCRIBE FUNCTION test_udaf;", "TEST_UDAF|AGGREGATE|The sum of numbers, of lengths, or of fields."),
        ("DESCRIBE FUNCTION TEST_UDTF;", "TEST_UDTF|TABLE|Its arguments, a row each."),
        ("DESCRIBE FUNCTION whenresult;", "WHENRESULT|SCALAR|The first argument, if it was to be asked."),
        ("DESCRIBE FUNCTION test_uda;", "1:19: no function TEST_UDA; did you mean TEST_UDAF"),
        // By the language's own rules, and by DataFusion.
        ("SELECT WHENRESULT(CAST(total AS INT), true) AS t FROM o WHERE k = 'a';", "3"),
        ("SELECT k, TEST_UDF(total, k) AS w FROM o ORDER BY k DESC;", "b|doStuffLongString"),
        ("SELECT VAR_ARG(total, k) AS t, COUNT(*) AS n FROM o;", "9|2"),
    ] {
        assert_eq!(answer(&mut session, statement), want, "{statement}");
    }
    let Ok(Response::Rows(listed)) = session.execute("SHOW FUNCTIONS;") else { panic!("rows") };
    let listed = pretty_format_batches(&listed.batches).expect("rows that can be shown").to_string();
    for name in ["TEST_UDF ", "TEST_UDTF ", "TEST_UDAF ", "UCASE "] {
        assert_eq!(listed.matches(&format!("| {name}")).count(), 1, "{name} in {listed}");
    }
    drop(session);
    engine.shutdown().expect("stops in order");

    let error = open(directory.path(), Functions::new()).err().unwrap_or_default();
    assert!(error.contains("TEST_UDAF"), "{error}");
    let engine = open(directory.path(), functions()).expect("opens again");
    let mut session = engine.session();
    session.execute("INSERT INTO s (k, n) VALUES ('a', 4);").expect("a row");
    engine.wait_until_idle(None, &mut |_| {}).expect("comes to rest");
    assert_eq!(answer(&mut session, "SELECT total FROM o WHERE k = 'a';"), "7");
    drop(session);
    engine.shutdown().expect("stops in order");
}
