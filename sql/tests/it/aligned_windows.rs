//! CUMULATE, OFFSET and TIMEZONE: rows in, tables out, under both emit policies, in batches or one by one, over a restart.

use millstream::operator::EmitPolicy;
use millstream_sql::engine::in_memory::{Answer, InMemoryEngine};

use super::harness::{Sql, lines};

const SOURCE: &str = "CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC = 's', FORMAT = 'JSON', PARTITIONS = 1)";

/// Runs statements, then rows in two halves with a restart between them; compares the rows of a query.
fn check(statements: &[&str], halves: [&str; 2], query: &str, want: &[&str]) {
    for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
        for in_batches in [false, true] {
            let mut engine = InMemoryEngine::new(emit).expect("an engine");
            let execute = |engine: &mut InMemoryEngine, statement: &str| {
                engine.execute(&format!("{statement};")).unwrap_or_else(|error| panic!("{statement}: {error}"))
            };
            execute(&mut engine, SOURCE);
            execute(&mut engine, "SET 'auto.offset.reset' = 'earliest'");
            for statement in statements {
                execute(&mut engine, statement);
            }
            for half in halves {
                execute(&mut engine, &format!("INSERT INTO s (ROWTIME, k, v) VALUES {half}"));
                if in_batches { engine.run_in_batches() } else { engine.run() }.expect("runs");
                engine.restart().expect("starts again");
            }
            let Answer::Rows(rows) = execute(&mut engine, query) else { panic!("{query} is no pull query") };
            assert_eq!(lines(&rows), want, "{query}, emit {emit}, in batches: {in_batches}");
        }
    }
}

const GROWING: &str = "CREATE TABLE r AS SELECT k, SUM(v) AS total FROM s \
     WINDOW CUMULATE (SIZE 6 SECONDS, STEP 2 SECONDS, RETENTION 1 DAY, GRACE PERIOD 1 SECOND) GROUP BY k";
const GROWING_ROWS: [&str; 2] = ["(1000, 'a', 1), (3000, 'a', 2)", "(7000, 'a', 4), (5000, 'a', 100), (6500, 'a', 8)"];

#[test]
fn windows_grow_by_the_step_up_to_the_size() {
    let rows = ["a|0|2000|1", "a|0|4000|3", "a|0|6000|3", "a|6000|8000|12", "a|6000|10000|12", "a|6000|12000|12"];
    let query = "SELECT k, windowstart, windowend, total FROM r ORDER BY windowend";
    check(&[GROWING], GROWING_ROWS, query, &rows);
    let one = "SELECT windowend, total FROM r WHERE k = 'a' AND windowstart = 6000 AND windowend < 10000";
    check(&[GROWING], GROWING_ROWS, one, &["8000|12"]);
}

#[test]
fn results_of_growing_windows_are_read_filtered_and_joined() {
    let filtered = "CREATE TABLE q AS SELECT * FROM r WHERE total > 3";
    let query = "SELECT k, windowstart, windowend, total FROM q ORDER BY windowend";
    check(&[GROWING, filtered], GROWING_ROWS, query, &["a|6000|8000|12", "a|6000|10000|12", "a|6000|12000|12"]);
    let other =
        "CREATE TABLE n AS SELECT k, COUNT(*) AS n FROM s WINDOW CUMULATE (SIZE 6 SECONDS, STEP 2 SECONDS) GROUP BY k";
    let joined = "CREATE TABLE j AS SELECT r.k AS k, total, n FROM r JOIN n ON r.k = n.k";
    let query = "SELECT windowstart, windowend, total, n FROM j WHERE windowstart = 0 ORDER BY windowend";
    // The row at 5000 is late for the first one only.
    check(&[GROWING, other, joined], GROWING_ROWS, query, &["0|2000|1|1", "0|4000|3|2", "0|6000|3|3"]);
}

#[test]
fn final_results_come_once_in_the_order_of_closing_and_keys_hold_both_bounds() {
    let table = "CREATE TABLE r WITH (KAFKA_TOPIC = 'final') AS SELECT k, SUM(v) AS total FROM s \
         WINDOW CUMULATE (SIZE 6 SECONDS, STEP 2 SECONDS) GROUP BY k EMIT FINAL";
    let read = "CREATE STREAM f (k STRING KEY, total INT) WITH (KAFKA_TOPIC = 'final', FORMAT = 'JSON', WINDOW_TYPE = 'CUMULATE')";
    let query = "SELECT k, windowstart, windowend, total FROM f";
    check(&[table, read], GROWING_ROWS, query, &["a|0|2000|1", "a|0|4000|3", "a|0|6000|3"]);
}

#[test]
fn windows_start_at_an_offset() {
    let table = |window: &str| format!("CREATE TABLE r AS SELECT k, COUNT(*) AS n FROM s WINDOW {window} GROUP BY k");
    // An hour before six, six, and noon.
    let rows = ["(18000000, 'a', 1), (21600000, 'a', 1)", "(43200000, 'a', 1)"];
    let query = "SELECT windowstart, windowend, n FROM r ORDER BY windowstart";
    let check = |window: &str, want: &[&str]| check(&[&table(window)], rows, query, want);
    check("TUMBLING (SIZE 1 DAY, OFFSET 6 HOURS, RETENTION 3 DAYS)", &["-64800000|21600000|1", "21600000|108000000|2"]);
    check(
        "HOPPING (SIZE 12 HOURS, ADVANCE BY 6 HOURS, OFFSET 1 HOUR, RETENTION 3 DAYS, GRACE PERIOD 1 DAY)",
        &["-18000000|25200000|2", "3600000|46800000|3", "25200000|68400000|1"],
    );
    check(
        "CUMULATE (SIZE 1 DAY, STEP 12 HOURS, OFFSET 6 HOURS, RETENTION 3 DAYS)",
        &["-64800000|21600000|1", "21600000|64800000|2", "21600000|108000000|2"],
    );
}

#[test]
fn days_start_at_local_midnight_and_may_have_twenty_five_hours() {
    // Berlin: the last second of the 26th of October 2024, the first and the last one of the 27th, the first one of the 28th.
    let rows = ["(1729979999000, 'a', 1), (1729980000000, 'a', 2)", "(1730069999000, 'a', 4), (1730070000000, 'a', 8)"];
    let query = "SELECT windowstart, windowend, total FROM r ORDER BY windowstart";
    let table = |window: &str| format!("CREATE TABLE r AS SELECT k, SUM(v) AS total FROM s WINDOW {window} GROUP BY k");
    let check = |window: &str, want: &[&str]| check(&[&table(window)], rows, query, want);
    check(
        "TUMBLING (SIZE 1 DAY, TIMEZONE 'Europe/Berlin', RETENTION 3 DAYS)",
        &["1729893600000|1729980000000|1", "1729980000000|1730070000000|6", "1730070000000|1730156400000|8"],
    );
    check(
        "TUMBLING (SIZE 1 DAY, OFFSET 6 HOURS, TIMEZONE 'Europe/Berlin', RETENTION 3 DAYS)",
        &["1729915200000|1730005200000|3", "1730005200000|1730091600000|12"],
    );
}

#[test]
fn weeks_start_on_a_monday_with_an_offset_of_four_days() {
    // The rows of the days above: the 27th of October 2024 was a Sunday.
    let rows = ["(1729979999000, 'a', 1), (1729980000000, 'a', 2)", "(1730069999000, 'a', 4), (1730070000000, 'a', 8)"];
    let table = "CREATE TABLE r AS SELECT k, SUM(v) AS total FROM s \
         WINDOW TUMBLING (SIZE 7 DAYS, OFFSET 4 DAYS, TIMEZONE 'Europe/Berlin') GROUP BY k";
    let weeks = ["1729461600000|1730070000000|7", "1730070000000|1730674800000|8"];
    check(&[table], rows, "SELECT windowstart, windowend, total FROM r ORDER BY windowstart", &weeks);
}

#[test]
fn what_does_not_fit_is_refused_with_its_place() {
    let mut engine = InMemoryEngine::new(EmitPolicy::Record).expect("an engine");
    engine.execute(&format!("{SOURCE};")).expect("declared");
    let mut check = |window: &str, want: &str| {
        let statement = format!("CREATE TABLE r AS SELECT k, COUNT(*) AS n\nFROM s WINDOW {window}\nGROUP BY k;");
        let error = engine.execute(&statement).expect_err(window).to_string();
        assert!(error.contains(want), "{window}: {error}");
    };
    check("CUMULATE (SIZE 5 SECONDS, STEP 2 SECONDS)", "2:46: windows cannot grow by 2 s up to 5 s");
    check("CUMULATE (SIZE 5 SECONDS)", "2:39: expected");
    check("CUMULAT (SIZE 5 SECONDS, STEP 1 SECOND)", "did you mean CUMULATE");
    check("TUMBLING (SIZE 1 DAY, OFFSET 2 DAYS)", "2:44: an offset of 2 d cannot be");
    check(
        "TUMBLING (SIZE 1 DAY, TIMEZONE 'Europe/Berln')",
        "2:46: there is no time zone `Europe/Berln`; did you mean Europe/Berlin",
    );
    check("TUMBLING (SIZE 7 HOURS, TIMEZONE 'Europe/Berlin')", "2:48: windows by local time cannot be made of 7 h");
    check("TUMBLING (SIZE 1 DAY, TIMEZON 'Europe/Berlin')", "did you mean TIMEZONE");
    check("SESSION (1 HOUR, OFFSET 1 MINUTE)", "2:32: sessions have no OFFSET");
    check("TUMBLING (SIZE 1 DAY, GRACE PERIOD 1 HOUR, OFFSET 1 HOUR)", "OFFSET must come before GRACE PERIOD");
    check(
        "TUMBLING (SIZE 1 DAY, TIMEZONE 'Europe/Berlin', RETENTION 1 DAY, GRACE PERIOD 0 SECONDS)",
        "RETENTION 1 d is shorter than size and grace period, 25 h",
    );
}

#[test]
fn a_change_of_the_windows_is_refused_and_describe_tells_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path());
    sql.run(&format!("{SOURCE};"));
    let table = |zone: &str| {
        format!(
            "CREATE OR REPLACE TABLE r AS SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 1 DAY, TIMEZONE '{zone}') GROUP BY k;"
        )
    };
    sql.run(&table("Europe/Berlin"));
    let error = sql.error(&table("Asia/Tokyo"));
    let change = "its windows would change from TUMBLING (SIZE 1 d, TIMEZONE 'Europe/Berlin', GRACE PERIOD 0 ms) to TUMBLING (SIZE 1 d, TIMEZONE 'Asia/Tokyo'";
    assert!(error.contains(change), "{error}");
    let described = sql.rows("DESCRIBE r EXTENDED;").join("\n");
    let windows = "window|TUMBLING (SIZE 1 d, TIMEZONE 'Europe/Berlin', GRACE PERIOD 0 ms)";
    assert!(described.contains(windows), "{described}");
    let plan = sql.rows(&format!("EXPLAIN {}", table("Europe/Berlin").replace("TABLE r", "TABLE x"))).join("\n");
    assert!(plan.contains("WINDOW TUMBLING (SIZE 1 d, TIMEZONE 'Europe/Berlin', GRACE PERIOD 0 ms)"), "{plan}");
    sql.close();
    let mut sql = Sql::open(directory.path());
    sql.run("INSERT INTO s (ROWTIME, k, v) VALUES (1729980000000, 'a', 1), (1730069999000, 'a', 1);");
    assert_eq!(sql.rows("SELECT windowstart, windowend, n FROM r;"), ["1729980000000|1730070000000|2"]);
    sql.close();
}
