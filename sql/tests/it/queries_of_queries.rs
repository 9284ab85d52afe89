//! Subqueries, WITH, UNION ALL and SELECT DISTINCT: rows in, rows out, whatever the cut into batches.

use millstream::{operator::EmitPolicy, record::Record};
use millstream_sql::engine::in_memory::{Answer, InMemoryEngine};

use super::harness::batch_lines;

const SOURCES: &str = "\
    CREATE STREAM orders (id INT KEY, city STRING, amount INT) WITH (KAFKA_TOPIC = 'orders', FORMAT = 'JSON', PARTITIONS = 1); \
    CREATE STREAM returns (id INT KEY, city STRING, amount INT) WITH (KAFKA_TOPIC = 'returns', FORMAT = 'JSON', PARTITIONS = 1); \
    CREATE TABLE cities (city STRING PRIMARY KEY, land STRING) WITH (KAFKA_TOPIC = 'cities', FORMAT = 'JSON', PARTITIONS = 1)";

const ROWS: &str = "\
    INSERT INTO cities (ROWTIME, city, land) VALUES (0, 'Rome', 'it'), (0, 'Oslo', 'no'), (0, 'Pisa', 'it'); \
    INSERT INTO orders (ROWTIME, id, city, amount) VALUES (1, 1, 'Rome', 30), (2, 2, 'Oslo', 5), (3, 3, 'Rome', 20), (4, 1, 'Pisa', 7); \
    INSERT INTO returns (ROWTIME, id, city, amount) VALUES (5, 1, 'Rome', 4)";

fn engine() -> InMemoryEngine {
    let mut engine = InMemoryEngine::new(EmitPolicy::Record).expect("an engine");
    engine.use_one_partition();
    run(&mut engine, SOURCES);
    run(&mut engine, "SET 'auto.offset.reset' = 'earliest'");
    engine
}

fn run(engine: &mut InMemoryEngine, script: &str) {
    for statement in script.split(';') {
        engine.execute(&format!("{};", statement.trim())).unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

fn line(record: &Record) -> String {
    let text = |bytes: &Option<Vec<u8>>| {
        bytes.as_ref().map_or_else(|| "null".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    format!("{}|{}|{}", text(&record.key), text(&record.value), record.timestamp.0)
}

/// Runs `statement`, then the rows; compares what is in the topic of its result `R`.
fn check(statement: &str, want: &[&str]) {
    for in_batches in [false, true] {
        let mut engine = engine();
        run(&mut engine, statement);
        run(&mut engine, ROWS);
        if in_batches { engine.run_in_batches() } else { engine.run() }
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
        let records = engine.records("R").expect("a topic");
        assert_eq!(records.iter().map(line).collect::<Vec<_>>(), want, "in batches: {in_batches}, {statement}");
    }
}

fn check_push(query: &str, want: &[&str]) {
    let mut engine = engine();
    run(&mut engine, ROWS);
    let answer = engine.execute(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    let Answer::Push(mut push) = answer else { panic!("{query} is no push query") };
    let (batches, _) = push.run().unwrap_or_else(|error| panic!("{query}: {error}"));
    assert_eq!(batches.iter().flat_map(batch_lines).collect::<Vec<_>>(), want, "{query}");
}

fn check_error(statement: &str, want: &str) {
    let mut engine = engine();
    let error = engine.execute(statement).err().map_or_else(|| "it was taken".to_owned(), |error| error.to_string());
    assert_eq!(error, want, "{statement}");
}

#[test]
fn a_union_has_the_records_of_its_queries() {
    check(
        "CREATE STREAM r AS SELECT id, city, amount FROM orders WHERE amount > 6 UNION ALL SELECT id, city, -amount FROM returns",
        &[
            r#"1|{"CITY":"Rome","AMOUNT":30}|1"#,
            r#"3|{"CITY":"Rome","AMOUNT":20}|3"#,
            r#"1|{"CITY":"Pisa","AMOUNT":7}|4"#,
            r#"1|{"CITY":"Rome","AMOUNT":-4}|5"#,
        ],
    );
    // The key is not the same: all columns are values.
    check(
        "CREATE STREAM r AS SELECT city AS what FROM orders WHERE id = 2 UNION ALL SELECT city FROM returns PARTITION BY city",
        &[r#"null|{"WHAT":"Oslo"}|2"#, r#"null|{"WHAT":"Rome"}|5"#],
    );
    check(
        "CREATE TABLE r AS SELECT id, SUM(amount) AS total FROM \
         (SELECT id, amount FROM orders UNION ALL SELECT id, 0 - amount FROM returns) AS moves GROUP BY id",
        &[
            r#"1|{"TOTAL":30}|1"#,
            r#"2|{"TOTAL":5}|2"#,
            r#"3|{"TOTAL":20}|3"#,
            r#"1|{"TOTAL":37}|4"#,
            r#"1|{"TOTAL":33}|5"#,
        ],
    );
    check_push(
        "SELECT id, amount FROM orders UNION ALL SELECT id, -amount AS b FROM returns EMIT CHANGES LIMIT 5;",
        &["1|30", "2|5", "3|20", "1|7", "1|-4"],
    );
}

#[test]
fn a_subquery_is_a_source() {
    check(
        "CREATE STREAM r AS SELECT x.id, x.twice + 1 AS more FROM (SELECT id, amount * 2 AS twice FROM orders WHERE amount > 6) AS x \
         WHERE x.twice < 60",
        &[r#"3|{"MORE":41}|3"#, r#"1|{"MORE":15}|4"#],
    );
    // A stream that does not select its key has none.
    check(
        "CREATE STREAM r AS SELECT * FROM (SELECT amount AS id, city FROM orders WHERE id = 2) AS x",
        &[r#"null|{"ID":5,"CITY":"Oslo"}|2"#],
    );
    // A value is called as the key was.
    check(
        "CREATE STREAM r AS SELECT * FROM (SELECT id AS k, amount AS id FROM orders WHERE id = 2) AS x",
        &[r#"2|{"ID":5}|2"#],
    );
    check(
        "CREATE TABLE r AS SELECT total, COUNT(*) AS n FROM (SELECT id, SUM(amount) AS total FROM orders GROUP BY id) AS sums \
         GROUP BY total",
        &[r#"30|{"N":1}|1"#, r#"5|{"N":1}|2"#, r#"20|{"N":1}|3"#, r#"30|{"N":0}|4"#, r#"37|{"N":1}|4"#],
    );
    check_push(
        "SELECT city, n FROM (SELECT city, COUNT(*) AS n FROM orders GROUP BY city) AS c WHERE n > 1 EMIT CHANGES LIMIT 1;",
        &["Rome|2"],
    );
}

#[test]
fn with_names_queries() {
    check(
        "CREATE STREAM r AS WITH big AS (SELECT city, id, amount FROM orders WHERE amount > 6), \
         italian AS (SELECT city, land FROM cities WHERE land = 'it') \
         SELECT b.city, b.amount, i.land FROM big AS b JOIN italian AS i ON b.city = i.city",
        &[
            r#""Rome"|{"AMOUNT":30,"LAND":"it"}|1"#,
            r#""Rome"|{"AMOUNT":20,"LAND":"it"}|3"#,
            r#""Pisa"|{"AMOUNT":7,"LAND":"it"}|4"#,
        ],
    );
    // Each record against the sum so far, which it is part of.
    check(
        "CREATE TABLE r AS WITH sums AS (SELECT id, SUM(amount) AS total FROM orders GROUP BY id), \
         backs AS (SELECT id, SUM(amount) AS total FROM returns GROUP BY id) \
         SELECT s.id AS id, s.total - b.total AS kept FROM sums s JOIN backs b ON s.id = b.id",
        &[r#"1|{"KEPT":33}|5"#],
    );
    check(
        "CREATE STREAM r AS WITH a AS (SELECT * FROM orders WHERE id = 3) \
         SELECT x.id, y.amount FROM a AS x JOIN a AS y WITHIN 1 SECOND GRACE PERIOD 0 SECONDS ON x.id = y.id",
        &[r#"3|{"Y_AMOUNT":20}|3"#],
    );
}

#[test]
fn distinct_rows_come_once() {
    check(
        "CREATE TABLE r AS SELECT DISTINCT city FROM orders",
        &[r#""Rome"|{}|1"#, r#""Oslo"|{}|2"#, r#""Pisa"|{}|4"#],
    );
    check_push("SELECT DISTINCT city FROM orders EMIT CHANGES LIMIT 3;", &["Rome", "Oslo", "Pisa"]);
    check_push(
        "SELECT DISTINCT id, amount > 6 AS big FROM orders EMIT CHANGES LIMIT 3;",
        &["1|true", "2|false", "3|true"],
    );
    check(
        "CREATE TABLE r AS SELECT COUNT(*) AS n, 'all' AS what FROM (SELECT DISTINCT city FROM orders) AS c GROUP BY 'all'",
        &[r#""all"|{"N":1}|1"#, r#""all"|{"N":2}|2"#, r#""all"|{"N":3}|4"#],
    );
    // Of a table a row goes with the last that has it.
    let mut engine = engine();
    run(&mut engine, "CREATE TABLE r AS SELECT DISTINCT land FROM cities");
    run(&mut engine, ROWS);
    run(&mut engine, "INSERT INTO cities (ROWTIME, city, land) VALUES (9, 'Oslo', 'it')");
    engine.run().expect("runs");
    let lines: Vec<String> = engine.records("R").expect("a topic").iter().map(line).collect();
    assert_eq!(lines, [r#""it"|{}|0"#, r#""no"|{}|0"#, r#""no"|null|9"#]);
}

#[test]
fn what_cannot_work_is_refused() {
    check_error(
        "CREATE STREAM r AS SELECT id, city FROM orders UNION ALL SELECT id, amount FROM returns;",
        "1:69: column 2 of UNION ALL is CITY STRING in the first SELECT, here AMOUNT INTEGER; write CAST(.. AS STRING)",
    );
    check_error(
        "CREATE STREAM r AS SELECT id FROM orders UNION ALL SELECT id, amount FROM returns;",
        "1:52: UNION ALL needs the same columns: the first SELECT has 1, this one 2",
    );
    check_error(
        "CREATE TABLE r AS SELECT * FROM cities UNION ALL SELECT * FROM cities;",
        "1:19: UNION ALL is for streams, this SELECT gives a TABLE: rows of one key would replace each other; join the tables, or \
         unite the streams that they are made of",
    );
    check_error(
        "CREATE STREAM r AS WITH a AS (SELECT * FROM orders), b AS (SELECT * FROM a) SELECT * FROM a;",
        "1:54: nothing reads the query B; leave it out, or name it in FROM or JOIN",
    );
    check_error(
        "CREATE TABLE r AS SELECT * FROM (SELECT land FROM cities) AS c;",
        "1:34: C is a table: its key CITY must be selected; add it to the SELECT of the query",
    );
    check_error(
        "CREATE STREAM r AS SELECT x.nope FROM (SELECT id, city FROM orders) AS x;",
        "1:29: SELECT column 'X.NOPE' cannot be resolved. There is no column NOPE in X; it has ID, CITY",
    );
    check_error(
        "CREATE STREAM r AS SELECT id, ROWPARTITION AS p FROM (SELECT id, city FROM orders) AS x;",
        "1:87: X is a query: its rows are in no partition, so that there is no ROWPARTITION; select it inside, as in ROWPARTITION AS P",
    );
    check_error(
        "CREATE TABLE r AS SELECT DISTINCT city, COUNT(*) AS n FROM orders GROUP BY city;",
        "1:67: SELECT DISTINCT and GROUP BY exclude each other: DISTINCT makes the key; name the query: SELECT DISTINCT .. FROM \
         (SELECT ..) AS name",
    );
    check_error(
        "CREATE STREAM r AS SELECT * FROM (SELECT id, city FROM orders LIMIT 2) AS x;",
        "1:69: CREATE STREAM AS SELECT statements don't support LIMIT clause. LIMIT is for queries that are shown",
    );
}

#[test]
fn a_push_query_gives_all_that_one_step_makes() {
    let mut engine = engine();
    for row in 0..100 {
        run(&mut engine, &format!("INSERT INTO orders (ROWTIME, id, city, amount) VALUES ({row}, {row}, 'Rome', 1)"));
    }
    let query = "SELECT id, COUNT(*) AS n FROM orders GROUP BY id EMIT CHANGES;";
    let Answer::Push(mut push) = engine.execute(query).expect("legal") else { panic!("no push query") };
    let (batches, _) = push.run().expect("runs");
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 100);
}

#[test]
fn a_push_query_is_planned_with_the_properties_of_its_session() {
    let mut engine = engine();
    run(&mut engine, ROWS);
    run(&mut engine, "SET 'ksql.functions.collect_list.limit' = '1'");
    let query = "SELECT id, COLLECT_LIST(amount) AS all_of_it FROM orders GROUP BY id EMIT CHANGES;";
    let Answer::Push(mut push) = engine.execute(query).expect("legal") else { panic!("no push query") };
    let (batches, _) = push.run().expect("runs");
    let lines: Vec<_> = batches.iter().flat_map(batch_lines).collect();
    assert_eq!(lines, ["1|[30]", "2|[5]", "3|[20]", "1|[30]"]);
}

#[test]
fn final_results_of_a_join_have_no_null_that_is_taken_back() {
    let results = |end: &str| {
        let mut engine = engine();
        let join =
            "CREATE STREAM r AS SELECT o.id AS id, o.amount AS a, x.amount AS b FROM orders o LEFT JOIN returns x";
        run(&mut engine, &format!("{join} WITHIN 10 MILLISECONDS {end}"));
        run(&mut engine, ROWS);
        // More than a day later nothing can meet the first rows any more.
        run(&mut engine, "INSERT INTO orders (ROWTIME, id, city, amount) VALUES (86400100, 9, 'Rome', 1)");
        engine.run().expect("runs");
        engine.records("R").expect("a topic").iter().map(line).collect::<Vec<_>>()
    };
    let met = [r#"1|{"A":30,"B":4}|5"#, r#"1|{"A":7,"B":4}|5"#];
    let at_last = [r#"2|{"A":5,"B":null}|2"#, r#"3|{"A":20,"B":null}|3"#];
    assert_eq!(results("ON o.id = x.id EMIT FINAL"), [met, at_last].concat());
    assert_eq!(results("GRACE PERIOD 1 DAY ON o.id = x.id EMIT FINAL"), [met, at_last].concat());
    assert_eq!(results("ON o.id = x.id EMIT CHANGES").iter().filter(|row| row.contains("null")).count(), 5);
    check_error(
        "CREATE STREAM r AS SELECT o.id AS id, x.amount AS b FROM orders o JOIN returns x WITHIN 10 MILLISECONDS ON o.id = x.id EMIT FINAL;",
        "1:120: EMIT FINAL is for windowed aggregations, and for left, right and full joins of streams; add a WINDOW, or use EMIT CHANGES",
    );
}
