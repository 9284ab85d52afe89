//! One clear error for each mistake, with its place.

use super::harness::Sql;

const SCRIPT: &str = "
    CREATE STREAM orders (id INT KEY, city STRING, amount DOUBLE) WITH (KAFKA_TOPIC = 'orders', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
    CREATE TABLE cities (name STRING PRIMARY KEY, people BIGINT) WITH (KAFKA_TOPIC = 'cities', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
    CREATE TABLE totals AS SELECT city, SUM(amount) AS total FROM orders GROUP BY city;
    CREATE TABLE hourly AS SELECT city, COUNT(*) AS n FROM orders WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY city;
";

#[test]
fn mistakes_are_told_with_their_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path());
    sql.run(SCRIPT);
    let mut wrong = Vec::new();
    for (statement, want) in CASES {
        let got = sql.error(statement).to_string();
        if got != *want {
            wrong.push(format!("{statement}\n   want {want}\n   got  {got}"));
        }
    }
    sql.settle();
    sql.close();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const CASES: &[(&str, &str)] = &[
    ("SELEC 1;", ""),
    ("CREATE STREAM x AS SELECT * FROM order;", ""),
    ("CREATE STREAM x AS SELECT id, citi FROM orders;", ""),
    ("CREATE STREAM x AS SELECT id, o.amont\n  FROM orders o;", ""),
    ("CREATE STREAM x AS SELECT id, x.amount FROM orders o;", ""),
    ("CREATE STREAM x AS SELECT id, LENGHT(city) AS n FROM orders;", ""),
    ("CREATE STREAM x AS SELECT id, amount + TRUE AS y FROM orders;", ""),
    ("CREATE STREAM x AS SELECT * FROM orders WHERE amount;", ""),
    ("CREATE STREAM x AS SELECT * FROM orders WHERE SUM(amount) > 1;", ""),
    ("CREATE STREAM x AS SELECT city, amount FROM orders;", ""),
    ("CREATE STREAM x AS SELECT id FROM orders;", ""),
    ("CREATE STREAM x AS SELECT id, id AS other, city FROM orders;", ""),
    ("CREATE STREAM x AS SELECT id, city, amount AS city FROM orders;", ""),
    ("CREATE STREAM x AS SELECT id, SUM(amount) FROM orders;", ""),
    ("CREATE STREAM x AS SELECT city, COUNT(*) AS n FROM orders GROUP BY city;", ""),
    ("CREATE TABLE x AS SELECT * FROM orders;", ""),
    ("CREATE TABLE x AS SELECT city, amount, COUNT(*) AS n FROM orders GROUP BY city;", ""),
    ("CREATE TABLE x AS SELECT city, city AS other FROM orders GROUP BY city;", ""),
    ("CREATE TABLE x AS SELECT COUNT(*) AS n FROM orders GROUP BY city;", ""),
    ("CREATE TABLE x AS SELECT city, COUNT(*) AS n FROM orders HAVING COUNT(*) > 1;", ""),
    ("CREATE TABLE x AS SELECT city, COUNT(*) AS n FROM orders WINDOW SESSION (5 MINUTES) GROUP BY city;", ""),
    ("CREATE TABLE x AS SELECT city, COUNT(*) AS n FROM orders WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY city EMIT FINAL;", ""),
    ("CREATE TABLE x AS SELECT name, MAX(people) AS m FROM cities GROUP BY name;", ""),
    ("CREATE TABLE x AS SELECT city, customer, COUNT(*) AS n FROM orders GROUP BY city, customer;", ""),
    ("CREATE TABLE x AS SELECT city, id, COUNT(*) AS n FROM orders GROUP BY city, id;", ""),
    ("CREATE STREAM x AS SELECT * FROM orders o JOIN orders p ON o.id = p.id;", ""),
    ("CREATE STREAM x AS SELECT * FROM orders o JOIN cities c ON o.id = c.name;", ""),
    ("CREATE STREAM x AS SELECT * FROM orders o JOIN cities c ON o.city = c.people;", ""),
    ("CREATE STREAM x AS SELECT * FROM orders o FULL JOIN cities c ON o.city = c.name;", ""),
    ("CREATE STREAM x AS SELECT * FROM orders o JOIN cities c ON o.city > c.name;", ""),
    ("CREATE STREAM x AS SELECT * FROM cities c JOIN orders o ON o.city = c.name;", ""),
    ("CREATE STREAM x WITH (PARTITIONZ = 3) AS SELECT * FROM orders;", ""),
    ("CREATE STREAM orders (id INT KEY, v INT) WITH (KAFKA_TOPIC = 'orders', VALUE_FORMAT = 'JSON');", ""),
    ("CREATE STREAM x (id INT KEY, v INT) WITH (KAFKA_TOPIC = 'orders', VALUE_FORMAT = 'JSON', PARTITIONS = 7);", ""),
    ("CREATE STREAM x (id INT KEY, v INT) WITH (KAFKA_TOPIC = 'or ders', VALUE_FORMAT = 'JSON');", ""),
    ("CREATE STREAM x (id INT KEY, v INT) WITH (KAFKA_TOPIC = 'x', VALUE_FORMAT = 'AVRO');", ""),
    ("INSERT INTO orders (id, citi) VALUES (1, 'Rome');", ""),
    ("INSERT INTO orders (id, city, amount) VALUES (1, 'Rome', 'much');", ""),
    ("INSERT INTO orders (id, city) VALUES ('one', 'Rome');", ""),
    ("INSERT INTO orders (id, city) VALUES (1, 2);", ""),
    ("INSERT INTO cities (people) VALUES (3);", ""),
    ("INSERT INTO orders (ROWTIME, id) VALUES ('soon', 3);", ""),
    ("INSERT INTO orders SELECT id, amount FROM orders;", ""),
    ("DROP STREAM orders;", ""),
    ("DROP STREAM totals;", ""),
    ("DROP TABLE nothing;", ""),
    ("TERMINATE CTAS_TOTAL_0;", ""),
    ("SET 'auto.offset.rest' = 'earliest';", ""),
    ("SET 'auto.offset.reset' = 'first';", ""),
    ("PRINT ordres;", ""),
    ("SELECT cty FROM totals;", ""),
    ("SELECT * FROM total;", ""),
    ("SELECT NOSUCH(city) FROM totals;", ""),
    ("SELECT city, COUNT(*) FROM totals;", ""),
    ("SELECT * FROM hourly WHERE windowstart > 'noon';", ""),
    ("SELECT id FROM orders o WHERE o.amount > 1 EMIT CHANGES LIMIT x;", ""),
    ("CREATE SOURCE CONNECTOR f WITH ('connector.class' = 'file', 'path' = 'a', 'topic' = 't', 'format' = 'xml');", ""),
    ("CREATE SOURCE CONNECTOR f WITH ('connector.class' = 'file', 'pth' = 'a', 'topic' = 't', 'format' = 'json');", ""),
    ("CREATE SINK CONNECTOR f WITH ('connector.class' = 'file', 'path' = 'a', 'topics' = 'nothing');", ""),
    ("PAUSE ALL;", ""),
    ("EXPLAIN SHOW TOPICS;", ""),
];
