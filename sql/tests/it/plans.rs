//! Continuous queries as topologies: what EXPLAIN shows.

use super::harness::Sql;

const SCRIPT: &str = "
    CREATE STREAM orders (id INT KEY, customer STRING, city STRING, amount DOUBLE) WITH (KAFKA_TOPIC = 'orders', VALUE_FORMAT = 'JSON', PARTITIONS = 2);
    CREATE TABLE customers (name STRING PRIMARY KEY, level INT, note STRING) WITH (KAFKA_TOPIC = 'customers', VALUE_FORMAT = 'JSON', PARTITIONS = 2);
    CREATE TABLE customers2 (name STRING PRIMARY KEY, level INT, note STRING) WITH (KAFKA_TOPIC = 'customers2', VALUE_FORMAT = 'JSON', PARTITIONS = 2);
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
    (
        "CREATE STREAM x AS SELECT id, amount FROM orders WHERE city = 'Rome';",
        r#"
subtopology 0
  source-0
      topic orders (key KAFKA, value JSON), decodes [CITY, AMOUNT]
  filter-1 <- source-0
      filter: CITY = Utf8("Rome")
  select-2 <- filter-1
      project: AMOUNT = AMOUNT
  sink-3 <- select-2
      to topic X (key KAFKA, value JSON)
"#,
    ),
    (
        "CREATE STREAM x AS SELECT id AS number, UCASE(city) AS city FROM orders;",
        r#"
subtopology 0
  source-0
      topic orders (key KAFKA, value JSON), decodes [CITY]
  select-1 <- source-0
      project: CITY = UCASE(CITY)
  rename-key-2 <- select-1
      key is called NUMBER
  sink-3 <- rename-key-2
      to topic X (key KAFKA, value JSON)
"#,
    ),
    (
        "CREATE STREAM x AS SELECT city, id, AS_VALUE(city) AS copy FROM orders PARTITION BY city;",
        r#"
subtopology 0
  source-0
      topic orders (key KAFKA, value JSON), decodes [CITY]
  select-key-1 <- source-0
      project: key CITY = CITY or null; ID = ID, COPY = CITY
  sink-2 <- select-key-1
      to topic X (key KAFKA, value JSON)
"#,
    ),
    (
        "CREATE TABLE x AS SELECT id, COUNT(*) AS n FROM orders GROUP BY id;",
        r#"
subtopology 0
  source-0
      topic orders (key KAFKA, value JSON), decodes []
  aggregate-1 <- source-0
      aggregate: N, store `X`
  to-stream-2 <- aggregate-1
      to stream
  sink-3 <- to-stream-2
      to topic X (key KAFKA, value JSON)
"#,
    ),
    (
        "CREATE TABLE x AS SELECT city, COUNT(*) AS n, SUM(amount) / COUNT(*) AS mean FROM orders WINDOW TUMBLING (SIZE 1 HOUR, GRACE PERIOD 0 SECONDS) GROUP BY city HAVING MAX(amount) > 3;",
        r#"
subtopology 0
  source-0
      topic orders (key KAFKA, value JSON), decodes [CITY, AMOUNT]
  select-key-1 <- source-0
      project: key CITY = CITY; AMOUNT = AMOUNT
  repartition-sink-2 <- select-key-1
      to topic <application>-X-repartition (key ROW, value ROW)
subtopology 1
  repartition-source-3
      topic <application>-X-repartition (key ROW, value ROW), decodes [AMOUNT]
  aggregate-4 <- repartition-source-3
      aggregate: N, __AGG1, __AGG2 WINDOW TUMBLING (SIZE 1 h, GRACE PERIOD 0 ms), store `X` kept for 1 h
  filter-5 <- aggregate-4
      filter: __AGG2 > Float64(3)
  select-6 <- filter-5
      project: N = N, MEAN = __AGG1 / CAST(N AS Float64)
  to-stream-7 <- select-6
      to stream
  sink-8 <- to-stream-7
      to topic X (key KAFKA, value JSON)
"#,
    ),
    (
        "CREATE STREAM x AS SELECT o.customer, o.id, c.level FROM orders o LEFT JOIN customers c ON o.customer = c.name WHERE c.level > 1;",
        r#"
subtopology 0
  source-0
      topic orders (key KAFKA, value JSON), decodes [CUSTOMER]
  rename-key-1 <- source-0
      key is called __KEY_0
  select-2 <- rename-key-1
      project: O_CUSTOMER = CUSTOMER
  select-key-6 <- select-2
      project: key __KEY_0 = O_CUSTOMER; O_ID = __KEY_0
  repartition-sink-9 <- select-key-6
      to topic <application>-repartition-orders-by-__KEY_0-repartition (key KAFKA, value ROW)
subtopology 1
  source-3
      topic customers (key KAFKA, value JSON), decodes [LEVEL]
  rename-key-4 <- source-3
      key is called __KEY_0
  select-5 <- rename-key-4
      project: C_LEVEL = LEVEL
  select-7 <- select-5
      project: C_NAME = __KEY_0, C_LEVEL = C_LEVEL
  table-8 <- select-7
      table: newest record per key, store `C-table`
  repartition-source-10
      topic <application>-repartition-orders-by-__KEY_0-repartition (key KAFKA, value ROW), decodes [O_ID]
  join-11 <- repartition-source-10
      left join with the table in store `C-table`
  filter-12 <- join-11
      filter: C_LEVEL > Int32(1)
  select-13 <- filter-12
      project: ID = O_ID, LEVEL = C_LEVEL
  rename-key-14 <- select-13
      key is called CUSTOMER
  sink-15 <- rename-key-14
      to topic X (key KAFKA, value JSON)
"#,
    ),
    (
        "CREATE TABLE x AS SELECT name, level FROM customers WHERE level > 1;",
        r#"
subtopology 0
  source-0
      topic customers (key KAFKA, value JSON), decodes [LEVEL]
  select-1 <- source-0
      project: LEVEL = LEVEL
  table-2 <- select-1
      table: newest record per key, store `CUSTOMERS-table`
  filter-3 <- table-2
      filter: LEVEL > Int32(1)
  to-stream-4 <- filter-3
      to stream
  sink-5 <- to-stream-4
      to topic X (key KAFKA, value JSON)
"#,
    ),
    (
        "CREATE TABLE x AS SELECT level, COUNT(*) AS n FROM customers GROUP BY level;",
        r#"
subtopology 0
  source-0
      topic customers (key KAFKA, value JSON), decodes [LEVEL]
  select-1 <- source-0
      project: LEVEL = LEVEL
  table-2 <- select-1
      table: newest record per key, store `CUSTOMERS-table`
  group-by-3 <- table-2
      take back and add, key LEVEL = LEVEL
  repartition-sink-4 <- group-by-3
      to topic <application>-X-repartition (key ROW, value ROW)
subtopology 1
  repartition-source-5
      topic <application>-X-repartition (key ROW, value ROW), decodes [__change]
  aggregate-6 <- repartition-source-5
      aggregate: N, store `X`
  to-stream-7 <- aggregate-6
      to stream
  sink-8 <- to-stream-7
      to topic X (key KAFKA, value JSON)
"#,
    ),
    (
        "CREATE TABLE x AS SELECT id, COUNT(*) AS n FROM orders WINDOW SESSION (1 MINUTE, GRACE PERIOD 0 SECONDS) GROUP BY id EMIT FINAL;",
        r#"
subtopology 0
  source-0
      topic orders (key KAFKA, value JSON), decodes []
  aggregate-1 <- source-0
      aggregate: N WINDOW SESSION (1 min, GRACE PERIOD 0 ms), final results of windows still kept, store `X` kept for 2 min
  to-stream-2 <- aggregate-1
      to stream
  sink-3 <- to-stream-2
      to topic X (key KAFKA, value JSON)
"#,
    ),
    (
        "CREATE STREAM x AS SELECT o.id, o.city, p.amount FROM orders o LEFT JOIN orders p WITHIN (1 HOUR, 1 MINUTE) GRACE PERIOD 5 MINUTES ON o.id = p.id;",
        r#"
subtopology 0
  source-0
      topic orders (key KAFKA, value JSON), decodes [CITY, AMOUNT]
  rename-key-1 <- source-0
      key is called __KEY_0
  select-2 <- rename-key-1
      project: O_CITY = CITY
  rename-key-4 <- source-0
      key is called __KEY_0
  select-5 <- rename-key-4
      project: P_AMOUNT = AMOUNT
  select-6 <- select-2
      project: O_CITY = O_CITY
  select-7 <- select-5
      project: P_ID = __KEY_0, P_AMOUNT = P_AMOUNT
  join-8 <- select-6, select-7
      left join of streams WITHIN (1 h, 1 min) GRACE PERIOD 5 min, records in store `join-orders-orders-by-__KEY_0-left` kept for 127 min and store `join-orders-orders-by-__KEY_0-right` kept for 127 min, waiting ones in store `join-orders-orders-by-__KEY_0-waiting`
  select-9 <- join-8
      project: O_CITY = O_CITY, P_AMOUNT = P_AMOUNT
  rename-key-10 <- select-9
      key is called O_ID
  sink-11 <- rename-key-10
      to topic X (key KAFKA, value JSON)
"#,
    ),
    (
        "CREATE TABLE x AS SELECT ROWKEY AS name, c.level, d.note FROM customers c FULL JOIN customers2 d ON c.name = d.name;",
        r#"
subtopology 0
  source-0
      topic customers (key KAFKA, value JSON), decodes [LEVEL]
  rename-key-1 <- source-0
      key is called __KEY_0
  select-2 <- rename-key-1
      project: C_LEVEL = LEVEL
  source-3
      topic customers2 (key KAFKA, value JSON), decodes [NOTE]
  rename-key-4 <- source-3
      key is called __KEY_0
  select-5 <- rename-key-4
      project: D_NOTE = NOTE
  select-6 <- select-2
      project: C_NAME = __KEY_0, C_LEVEL = C_LEVEL
  table-7 <- select-6
      table: newest record per key, store `C-table`
  select-8 <- select-5
      project: D_NAME = __KEY_0, D_NOTE = D_NOTE
  table-9 <- select-8
      table: newest record per key, store `D-table`
  join-10 <- table-7, table-9
      outer join of the tables in store `C-table` and store `D-table`
  select-11 <- join-10
      project: C_LEVEL = C_LEVEL, D_NOTE = D_NOTE
  to-stream-12 <- select-11
      to stream
  rename-key-13 <- to-stream-12
      key is called NAME
  table-14 <- rename-key-13
      table: newest record per key, store `X`
  sink-15 <- rename-key-13
      to topic X (key KAFKA, value JSON)
"#,
    ),
    (
        "CREATE TABLE x AS SELECT c.name, d.level FROM customers c JOIN customers2 d ON c.note = d.name;",
        r#"
subtopology 0
  source-0
      topic customers (key KAFKA, value JSON), decodes [NOTE]
  rename-key-1 <- source-0
      key is called __KEY_0
  select-2 <- rename-key-1
      project: C_NOTE = NOTE
  table-6 <- select-2
      table: newest record per key, store `C-table`
  foreign-key-subscribe-9 <- table-6
      inner foreign-key join: subscribe to C_NOTE
  sink-10 <- foreign-key-subscribe-9
      to topic <application>-foreign-key-join-customers-customers2-by-__KEY_0-subscription-registration (key KAFKA, value ROW)
  source-16
      topic <application>-foreign-key-join-customers-customers2-by-__KEY_0-subscription-response (key ROW, value ROW), decodes [__right0, __right1, __found, __hash, __partition]
  foreign-key-resolve-17 <- source-16
      inner foreign-key join: resolve with the table in store `C-table`
  select-18 <- foreign-key-resolve-17
      project: D_LEVEL = D_LEVEL
  to-stream-19 <- select-18
      to stream
  rename-key-20 <- to-stream-19
      key is called C_NAME
  table-21 <- rename-key-20
      table: newest record per key, store `X`
  sink-22 <- rename-key-20
      to topic X (key KAFKA, value JSON)
subtopology 1
  source-3
      topic customers2 (key KAFKA, value JSON), decodes [LEVEL]
  rename-key-4 <- source-3
      key is called __KEY_0
  select-5 <- rename-key-4
      project: D_LEVEL = LEVEL
  select-7 <- select-5
      project: D_NAME = __KEY_0, D_LEVEL = D_LEVEL
  table-8 <- select-7
      table: newest record per key, store `D-table`
  source-11
      topic <application>-foreign-key-join-customers-customers2-by-__KEY_0-subscription-registration (key KAFKA, value ROW), decodes [__left0, __hash, __instruction, __partition]
  foreign-key-answer-12 <- source-11
      foreign-key join: answer from the table in store `D-table`, subscriptions in store `foreign-key-join-customers-customers2-by-__KEY_0-subscriptions`
  foreign-key-notify-13 <- table-8
      foreign-key join: notify subscribers, subscriptions in store `foreign-key-join-customers-customers2-by-__KEY_0-subscriptions`
  merge-14 <- foreign-key-answer-12, foreign-key-notify-13
      merge
  sink-15 <- merge-14
      to topic <application>-foreign-key-join-customers-customers2-by-__KEY_0-subscription-response (key ROW, value ROW)
"#,
    ),
    (
        "SELECT city, amount FROM orders WHERE amount > 1 EMIT CHANGES;",
        r#"
subtopology 0
  source-0
      topic orders (key KAFKA, value JSON), decodes [CITY, AMOUNT], from the latest
  filter-1 <- source-0
      filter: AMOUNT > Float64(1)
  send-2 <- filter-1
      send: CITY = CITY, AMOUNT = AMOUNT
"#,
    ),
];
