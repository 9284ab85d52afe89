//! Continuous queries as topologies: what EXPLAIN shows.

use super::harness::Sql;

const SCRIPT: &str = "
    CREATE STREAM orders (id INT KEY, customer STRING, city STRING, amount DOUBLE) WITH (KAFKA_TOPIC = 'orders', VALUE_FORMAT = 'JSON', PARTITIONS = 2);
    CREATE TABLE customers (name STRING PRIMARY KEY, level INT, note STRING) WITH (KAFKA_TOPIC = 'customers', VALUE_FORMAT = 'JSON', PARTITIONS = 2);
";

#[test]
fn queries_become_topologies() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path());
    sql.run(SCRIPT);
    let mut wrong = Vec::new();
    for (statement, want) in CASES {
        let got = sql.rows(&format!("EXPLAIN {statement}")).join("\n");
        if got.trim() != want.trim() {
            wrong.push(format!("{statement}\n{got}\n"));
        }
    }
    sql.close();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const CASES: &[(&str, &str)] = &[
    ("CREATE STREAM x AS SELECT id, amount FROM orders WHERE city = 'Rome';", ""),
    ("CREATE STREAM x AS SELECT id AS number, UCASE(city) AS city FROM orders;", ""),
    ("CREATE STREAM x AS SELECT city, id, AS_VALUE(city) AS copy FROM orders PARTITION BY city;", ""),
    ("CREATE TABLE x AS SELECT id, COUNT(*) AS n FROM orders GROUP BY id;", ""),
    ("CREATE TABLE x AS SELECT city, COUNT(*) AS n, SUM(amount) / COUNT(*) AS mean FROM orders WINDOW TUMBLING (SIZE 1 HOUR, GRACE PERIOD 0 SECONDS) GROUP BY city HAVING MAX(amount) > 3;", ""),
    ("CREATE STREAM x AS SELECT o.customer, o.id, c.level FROM orders o LEFT JOIN customers c ON o.customer = c.name WHERE c.level > 1;", ""),
    ("CREATE TABLE x AS SELECT name, level FROM customers WHERE level > 1;", ""),
    ("CREATE TABLE x AS SELECT level, COUNT(*) AS n FROM customers GROUP BY level;", ""),
    ("SELECT city, amount FROM orders WHERE amount > 1 EMIT CHANGES;", ""),
];
