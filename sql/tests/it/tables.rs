//! CREATE TABLE .. AS SELECT and its relatives: results after everything has been processed.

use super::harness::check;

const ORDERS: &str = "
    CREATE STREAM orders (id INT KEY, customer STRING, city STRING, amount DOUBLE)
      WITH (KAFKA_TOPIC = 'orders', VALUE_FORMAT = 'JSON', PARTITIONS = 2);
";
const ROWS: &str = "
    INSERT INTO orders (ROWTIME, id, customer, city, amount) VALUES
      (1000, 1, 'ada', 'Rome', 10), (2000, 2, 'bob', 'Oslo', 4), (61000, 3, 'ada', 'Rome', 5), (62000, 4, 'cyd', NULL, 1);
";

fn orders(more: &str) -> String {
    format!("{ORDERS}{more}{ROWS}")
}

#[test]
fn aggregates_by_key() {
    check(
        &orders(
            "CREATE TABLE t AS SELECT city, COUNT(*) AS n, SUM(amount) AS total, MIN(amount) AS least, MAX(amount) AS most, AVG(amount) AS mean FROM orders GROUP BY city;",
        ),
        "SELECT * FROM t ORDER BY city;",
        &["Oslo|1|4.0|4.0|4.0|4.0", "Rome|2|15.0|5.0|10.0|7.5"],
    );
}

#[test]
fn aggregates_by_key_and_tumbling_window() {
    check(
        &orders(
            "CREATE TABLE t AS SELECT city, COUNT(*) AS n FROM orders WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY city;",
        ),
        "SELECT * FROM t ORDER BY city, windowstart;",
        &["Oslo|0|60000|1", "Rome|0|60000|1", "Rome|60000|120000|1"],
    );
}

#[test]
fn aggregates_by_key_and_hopping_window() {
    check(
        &orders(
            "CREATE TABLE t AS SELECT city, SUM(amount) AS total FROM orders WINDOW HOPPING (SIZE 2 MINUTES, ADVANCE BY 1 MINUTE, GRACE PERIOD 1 HOUR) GROUP BY city;",
        ),
        "SELECT city, windowstart, total FROM t WHERE city = 'Rome' ORDER BY windowstart;",
        &["Rome|0|15.0", "Rome|60000|5.0"],
    );
}

#[test]
fn expressions_over_aggregates_and_having_are_read_from_one_store() {
    check(
        &orders(
            "CREATE TABLE t AS SELECT UCASE(city) AS place, SUM(amount) / COUNT(*) AS mean FROM orders GROUP BY UCASE(city) HAVING COUNT(*) > 1;",
        ),
        "SELECT * FROM t;",
        &["ROME|7.5"],
    );
}

#[test]
fn aggregates_by_key_and_session() {
    let sessions = |gap: &str| {
        orders(&format!(
            "CREATE TABLE t AS SELECT city, COUNT(*) AS n FROM orders WINDOW SESSION ({gap}) GROUP BY city;"
        ))
    };
    check(
        &sessions("30 SECONDS"),
        "SELECT * FROM t ORDER BY city, windowstart;",
        &["Oslo|2000|2000|1", "Rome|1000|1000|1", "Rome|61000|61000|1"],
    );
    check(&sessions("1 MINUTE"), "SELECT * FROM t WHERE city = 'Rome';", &["Rome|1000|61000|2"]);
}

#[test]
fn window_bounds_can_be_selected() {
    check(
        &orders(
            "CREATE TABLE t AS SELECT city, WINDOWSTART AS ws, COUNT(*) AS n FROM orders WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY city;",
        ),
        "SELECT city, ws, n FROM t WHERE windowstart >= '1970-01-01T00:01' ORDER BY city;",
        &["Rome|60000|1"],
    );
}

#[test]
fn several_columns_make_a_key() {
    check(
        &orders(
            "CREATE TABLE t WITH (KEY_FORMAT = 'JSON') AS SELECT city, customer, COUNT(*) AS n FROM orders GROUP BY city, customer;",
        ),
        "SELECT * FROM t WHERE city = 'Rome' AND customer = 'ada';",
        &["Rome|ada|2"],
    );
}

const CUSTOMERS: &str = "
    CREATE TABLE customers (name STRING PRIMARY KEY, level INT) WITH (KAFKA_TOPIC = 'customers', VALUE_FORMAT = 'JSON', PARTITIONS = 2);
    INSERT INTO customers (ROWTIME, name, level) VALUES (0, 'ada', 1), (0, 'bob', 2);
";

#[test]
fn a_stream_meets_a_table_in_an_inner_join() {
    check(
        &format!(
            "{CUSTOMERS}{}",
            orders(
                "CREATE STREAM j AS SELECT o.customer AS customer, o.id, c.level, amount * 2 AS twice FROM orders o JOIN customers c ON o.customer = c.name;"
            )
        ),
        "SELECT * FROM j ORDER BY id;",
        &["ada|1|1|20.0", "bob|2|2|8.0", "ada|3|1|10.0"],
    );
}

#[test]
fn a_left_join_keeps_what_meets_nothing() {
    check(
        &format!(
            "{CUSTOMERS}{}",
            orders(
                "CREATE STREAM j AS SELECT o.customer, o.id AS id, c.name AS met, c.level FROM orders o LEFT JOIN customers c ON c.name = o.customer WHERE o.id > 2;"
            )
        ),
        "SELECT * FROM j ORDER BY id;",
        &["ada|3|ada|1", "cyd|4|null|null"],
    );
}

#[test]
fn a_join_is_aggregated() {
    check(
        &format!(
            "{CUSTOMERS}{}",
            orders(
                "CREATE TABLE t AS SELECT c.level AS level, COUNT(*) AS n, SUM(o.amount) AS total FROM orders o JOIN customers c ON o.customer = c.name GROUP BY c.level;"
            )
        ),
        "SELECT * FROM t ORDER BY level;",
        &["1|2|15.0", "2|1|4.0"],
    );
}

#[test]
fn queries_are_chained_through_topics() {
    check(
        &orders(
            "CREATE STREAM big AS SELECT * FROM orders WHERE amount > 4;
             CREATE STREAM by_city AS SELECT city, amount FROM big PARTITION BY city;
             CREATE TABLE t AS SELECT city, SUM(amount) AS total FROM by_city GROUP BY city;",
        ),
        "SELECT * FROM t ORDER BY city;",
        &["Rome|15.0"],
    );
}

#[test]
fn a_table_is_filtered_and_grouped_again() {
    check(
        &format!(
            "{CUSTOMERS}
             CREATE TABLE high AS SELECT name, level + 10 AS level FROM customers WHERE level > 1;
             CREATE TABLE levels AS SELECT level, COUNT(*) AS n FROM customers GROUP BY level;
             INSERT INTO customers (ROWTIME, name, level) VALUES (5, 'ada', 2), (6, 'cyd', 1);"
        ),
        "SELECT h.name, h.level, l.n FROM high h JOIN levels l ON l.level + 10 = h.level ORDER BY h.name;",
        &["ada|12|2", "bob|12|2"],
    );
}

#[test]
fn what_leaves_a_group_is_taken_back_from_any_aggregate() {
    check(
        &format!(
            "{CUSTOMERS}
             CREATE TABLE levels AS SELECT level, MIN(name) AS first, MAX(name) AS last, COUNT_DISTINCT(name) AS names FROM customers GROUP BY level;
             INSERT INTO customers (ROWTIME, name, level) VALUES (5, 'ada', 2), (6, 'cyd', 1);"
        ),
        "SELECT * FROM levels ORDER BY level;",
        &["1|cyd|cyd|1", "2|ada|bob|2"],
    );
}

#[test]
fn several_queries_write_one_stream() {
    check(
        &orders(
            "CREATE STREAM names (k STRING KEY, v DOUBLE) WITH (KAFKA_TOPIC = 'names', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
             INSERT INTO names SELECT customer AS k, amount AS v FROM orders PARTITION BY customer;
             INSERT INTO names SELECT city AS k, amount + 100 AS v FROM orders WHERE city = 'Oslo' PARTITION BY city;",
        ),
        "SELECT k, v FROM names ORDER BY v;",
        &["cyd|1.0", "bob|4.0", "ada|5.0", "ada|10.0", "Oslo|104.0"],
    );
}
