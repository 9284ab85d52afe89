//! Continuous queries as plans: what EXPLAIN shows, one file a query in `plans`, its statement first.
//!
//! `UPDATE_PLANS=1 cargo test --workspace --test it plans` writes the files anew; the difference is then to be read.

use std::path::PathBuf;

use super::harness::Sql;

const SCRIPT: &str = "
    CREATE STREAM orders (id INT KEY, customer STRING, city STRING, amount DOUBLE) WITH (KAFKA_TOPIC = 'orders', VALUE_FORMAT = 'JSON', PARTITIONS = 2);
    CREATE TABLE customers (name STRING PRIMARY KEY, level INT, note STRING) WITH (KAFKA_TOPIC = 'customers', VALUE_FORMAT = 'JSON', PARTITIONS = 2);
    CREATE TABLE customers2 (name STRING PRIMARY KEY, level INT, note STRING) WITH (KAFKA_TOPIC = 'customers2', VALUE_FORMAT = 'JSON', PARTITIONS = 2);
";

#[test]
fn queries_become_plans() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path());
    sql.run(SCRIPT);
    let plans = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/plans");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(plans).expect("a directory").map(|file| file.expect("readable").path()).collect();
    files.sort();
    let update = std::env::var_os("UPDATE_PLANS").is_some();
    let mut wrong = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("text");
        let (statement, _) = text.split_once("\n\n").expect("a statement, an empty line, a plan");
        let plan = sql.rows(&format!("EXPLAIN {statement}")).join("\n");
        let got = format!("{statement}\n\n{}\n", plan.trim_end());
        if update {
            std::fs::write(&file, got).expect("written");
        } else if got != text {
            wrong.push(format!("{}\n{got}", file.display()));
        }
    }
    sql.close();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_running_query_is_explained_as_its_statement() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path());
    sql.run(SCRIPT);
    let statement = "CREATE TABLE x AS SELECT city, COUNT(*) AS n FROM orders GROUP BY city;";
    let planned = sql.rows(&format!("EXPLAIN {statement}")).join("\n");
    sql.run(statement);
    let running = sql.rows("EXPLAIN CTAS_X_0;").join("\n");
    sql.close();
    assert_eq!(running, planned.replace("<application>", "_millstream-ctas_x_0"));
}

/// The names of the operators of a plan, sorted.
fn operators(sql: &mut Sql, statement: &str) -> Vec<String> {
    let plan = sql.rows(&format!("EXPLAIN {statement}"));
    let streaming = plan.iter().skip_while(|line| *line != "streaming plan").take_while(|line| *line != "topics");
    let mut names: Vec<String> = streaming
        .filter(|line| line.starts_with("    "))
        .filter_map(|line| line.trim().split_once(": ").map(|(name, _)| name.to_owned()))
        .collect();
    names.sort();
    names
}

#[test]
fn names_of_operators_stay_when_others_come() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path());
    sql.run(SCRIPT);
    let check = |sql: &mut Sql, without: &str, with: &str, come: usize| {
        let (before, after) = (operators(sql, without), operators(sql, with));
        let kept = before.iter().all(|name| after.contains(name));
        assert!(kept && after.len() == before.len() + come, "{before:?}\n{after:?}");
    };
    check(
        &mut sql,
        "CREATE TABLE x AS SELECT city, COUNT(*) AS n FROM orders GROUP BY city;",
        "CREATE TABLE x AS SELECT city, COUNT(*) AS n FROM orders WHERE amount > 1 GROUP BY city;",
        1,
    );
    check(
        &mut sql,
        "CREATE TABLE x AS SELECT city, COUNT(*) AS n FROM orders GROUP BY city;",
        "CREATE TABLE x AS SELECT city, COUNT(*) AS n FROM orders GROUP BY city HAVING COUNT(*) > 2;",
        1,
    );
    check(
        &mut sql,
        "CREATE STREAM x AS SELECT id, UCASE(city) AS city FROM orders;",
        "CREATE STREAM x AS SELECT id, UCASE(city) AS city FROM orders WHERE amount > 1;",
        1,
    );
    sql.close();
}
