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
        let got = sql.error(statement);
        if got != *want {
            wrong.push(format!("{statement}\n   want {want}\n   got  {got}"));
        }
    }
    sql.settle();
    sql.close();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const CASES: &[(&str, &str)] = &[
    ("SELEC 1;", "1:1: Syntax Error: expected a statement, found `SELEC`; did you mean SELECT"),
    (
        "CREATE STREAM x AS SELECT * FROM order;",
        "1:34: Syntax Error: expected the name of a stream or table, found `order`",
    ),
    (
        "CREATE STREAM x AS SELECT id, citi FROM orders;",
        "1:31: SELECT column 'CITI' cannot be resolved. There is no column CITI in ORDERS; did you mean CITY; it has ID, CITY, AMOUNT",
    ),
    (
        "CREATE STREAM x AS SELECT id, o.amont\n  FROM orders o;",
        "1:33: SELECT column 'O.AMONT' cannot be resolved. There is no column AMONT in ORDERS; did you mean AMOUNT; it has ID, CITY, AMOUNT",
    ),
    (
        "CREATE STREAM x AS SELECT id, x.amount FROM orders o;",
        "1:31: Invalid Select: 'X' is not a valid stream/table name or alias. There is O",
    ),
    (
        "CREATE STREAM x AS SELECT id, LENGHT(city) AS n FROM orders;",
        "1:31: Can't find any functions with the name 'LENGHT'; did you mean LENGTH",
    ),
    (
        "CREATE STREAM x AS SELECT id, amount + TRUE AS y FROM orders;",
        "1:31: Invalid Select: Error processing expression: (AMOUNT + true). Unsupported arithmetic types. DOUBLE BOOLEAN",
    ),
    (
        "CREATE STREAM x AS SELECT * FROM orders WHERE amount;",
        "1:47: Type error in WHERE expression: Should evaluate to boolean but is AMOUNT (DOUBLE) instead.",
    ),
    (
        "CREATE STREAM x AS SELECT * FROM orders WHERE SUM(amount) > 1;",
        "1:47: WHERE cannot have aggregate functions; use HAVING",
    ),
    (
        "CREATE STREAM x AS SELECT city, amount FROM orders;",
        "1:20: Key missing from projection (ie, SELECT). The query used to build `X` must include the key column ID in its projection (eg, SELECT ID...).",
    ),
    (
        "CREATE STREAM x AS SELECT id FROM orders;",
        "1:20: The projection contains no value columns. Select another column, or AS_VALUE of a key column",
    ),
    (
        "CREATE STREAM x AS SELECT id, id AS other, city FROM orders;",
        "1:31: The projection contains a key column (`ID`) more than once, aliased as: ID and OTHER. Write AS_VALUE(ID) for a copy",
    ),
    (
        "CREATE STREAM x AS SELECT id, city, amount AS city FROM orders;",
        "1:37: Duplicate value columns found in schema: `CITY` DOUBLE; give one of them another name with AS",
    ),
    (
        "CREATE STREAM x AS SELECT id, SUM(amount) FROM orders;",
        "1:31: an aggregate function needs GROUP BY; group by a column or an expression",
    ),
    (
        "CREATE STREAM x AS SELECT city, COUNT(*) AS n FROM orders GROUP BY city;",
        "1:15: this query gives a TABLE; write CREATE TABLE",
    ),
    (
        "CREATE TABLE x AS SELECT * FROM orders;",
        "1:14: this query gives a STREAM; write CREATE STREAM, or GROUP BY to make a table",
    ),
    (
        "CREATE TABLE x AS SELECT city, amount, COUNT(*) AS n FROM orders GROUP BY city;",
        "1:32: Non-aggregate SELECT expression(s) not part of GROUP BY: AMOUNT; group by AMOUNT, or take an aggregate of it such as MAX",
    ),
    (
        "CREATE TABLE x AS SELECT city, city AS other FROM orders GROUP BY city;",
        "1:58: GROUP BY requires aggregate functions in either the SELECT or HAVING clause.",
    ),
    (
        "CREATE TABLE x AS SELECT COUNT(*) AS n FROM orders GROUP BY city;",
        "1:19: Key missing from projection (ie, SELECT). The query used to build `X` must include the grouping expression CITY in its projection (eg, SELECT CITY...).",
    ),
    (
        "CREATE TABLE x AS SELECT city, COUNT(*) AS n FROM orders HAVING COUNT(*) > 1;",
        "1:65: HAVING needs GROUP BY; use WHERE to filter rows",
    ),
    (
        "CREATE TABLE x AS SELECT city, COUNT(*) AS n FROM orders WINDOW SESSION (0 SECONDS) GROUP BY city;",
        "1:74: Syntax Error: a gap of a window must be more than 0",
    ),
    (
        "CREATE TABLE x AS SELECT city, COUNT(*) AS n FROM orders GROUP BY city EMIT FINAL;",
        "1:72: EMIT FINAL is for windowed aggregations, and for left, right and full joins of streams; add a WINDOW, or use EMIT CHANGES",
    ),
    (
        "CREATE TABLE x AS SELECT city, customer, COUNT(*) AS n FROM orders GROUP BY city, customer;",
        "1:83: GROUP BY column 'CUSTOMER' cannot be resolved. 'CUSTOMER' must be a column in the source schema since GROUP BY is applied on the input. There is no column CUSTOMER in ORDERS; it has ID, CITY, AMOUNT",
    ),
    (
        "CREATE TABLE x AS SELECT city, id, COUNT(*) AS n FROM orders GROUP BY city, id;",
        "1:14: KEY_FORMAT: Key format does not support schema. The 'KAFKA' format only supports a single field. Got: [`CITY` STRING KEY, `ID` INTEGER KEY]",
    ),
    (
        "CREATE STREAM x AS SELECT * FROM orders o JOIN orders p ON o.id = p.id;",
        "1:43: ORDERS and ORDERS are streams: a join of streams must have a WITHIN clause; write .. JOIN .. WITHIN 10 SECONDS ON ..",
    ),
    (
        "CREATE STREAM x AS SELECT * FROM orders o JOIN cities c ON o.id = c.name;",
        "1:60: Invalid join condition: types don't match. Got O.ID{INTEGER} = C.NAME{STRING}; write CAST(.. AS STRING)",
    ),
    (
        "CREATE STREAM x AS SELECT * FROM orders o JOIN cities c ON o.city = c.people;",
        "1:60: Invalid join condition: stream-table joins require to join on the table's primary key. Got O.CITY = C.PEOPLE. The key of CITIES is NAME; use a table whose key it is: CREATE TABLE .. AS SELECT .. GROUP BY",
    ),
    (
        "CREATE STREAM x AS SELECT * FROM orders o FULL JOIN cities c ON o.city = c.name;",
        "1:43: Invalid join type: a stream is joined with a table by INNER or LEFT JOIN only; use LEFT JOIN",
    ),
    (
        "CREATE STREAM x AS SELECT * FROM orders o JOIN cities c ON o.city > c.name;",
        "1:60: Unsupported join expression: O.CITY > C.NAME; ON must be an equality; write ON a.column = b.column, other conditions in WHERE",
    ),
    (
        "CREATE STREAM x AS SELECT * FROM cities c JOIN orders o ON o.city = c.name;",
        "1:43: Invalid join order: table-stream joins are not supported; only stream-table joins. Got CITIES [INNER] JOIN ORDERS. Write FROM ORDERS .. JOIN CITIES",
    ),
    (
        "CREATE STREAM x WITH (PARTITIONZ = 3) AS SELECT * FROM orders;",
        "1:23: no property PARTITIONZ here; did you mean PARTITIONS",
    ),
    (
        "CREATE STREAM orders (id INT KEY, v INT) WITH (KAFKA_TOPIC = 'orders', VALUE_FORMAT = 'JSON');",
        "1:15: stream ORDERS exists already; drop it first, or write CREATE OR REPLACE or IF NOT EXISTS",
    ),
    (
        "CREATE STREAM x (id INT KEY, v INT) WITH (KAFKA_TOPIC = 'orders', VALUE_FORMAT = 'JSON', PARTITIONS = 7);",
        "1:15: topic orders exists with 1 partition(s), not 7; leave PARTITIONS out or say 1",
    ),
    (
        "CREATE STREAM x (id INT KEY, v INT) WITH (KAFKA_TOPIC = 'or ders', VALUE_FORMAT = 'JSON');",
        "1:57: KAFKA_TOPIC: expected the name of a topic: up to 249 letters, digits, `.`, `_` and `-`, found 'or ders'",
    ),
    (
        "CREATE STREAM x (id INT KEY, v INT) WITH (KAFKA_TOPIC = 'x', VALUE_FORMAT = 'XML');",
        "1:77: VALUE_FORMAT: Unknown format: XML; there is NONE, KAFKA, JSON, JSON_SR, AVRO, PROTOBUF, PROTOBUF_NOSR, DELIMITED",
    ),
    (
        "CREATE STREAM x WITH (KAFKA_TOPIC = 'x', VALUE_FORMAT = 'AVRO');",
        "1:16: the value columns of topic x cannot be inferred: the schema registry has no subject x-value; register a schema \
         for it, or list the columns",
    ),
    (
        "INSERT INTO orders (id, citi) VALUES (1, 'Rome');",
        "1:25: no column CITI in ORDERS; did you mean CITY, of ID, CITY, AMOUNT",
    ),
    ("INSERT INTO orders (id, city, amount) VALUES (1, 'Rome', 'much');", "1:58: column AMOUNT is DOUBLE, much is not"),
    ("INSERT INTO orders (id, city) VALUES ('one', 'Rome');", "1:39: column ID is INTEGER, one is not"),
    ("INSERT INTO orders (id, city) VALUES (1, 2);", "1:42: column CITY is STRING, 2 is not; write it in quotes"),
    ("INSERT INTO cities (people) VALUES (3);", "1:36: the primary key NAME of table CITIES cannot be null"),
    (
        "INSERT INTO orders (ROWTIME, id) VALUES ('soon', 3);",
        "1:42: ROWTIME: soon is no moment; give milliseconds, or '2024-03-01T10:00:00'",
    ),
    (
        "INSERT INTO orders SELECT id, amount FROM orders;",
        "1:20: Incompatible schema between results and sink.\nResult schema is `ID` INTEGER KEY, `AMOUNT` DOUBLE\n\
         Sink schema is `ID` INTEGER KEY, `CITY` STRING, `AMOUNT` DOUBLE",
    ),
    (
        "DROP STREAM orders;",
        "1:13: cannot drop ORDERS: queries CTAS_HOURLY_1, CTAS_TOTALS_0 read it; terminate them first",
    ),
    ("DROP STREAM totals;", "1:13: TOTALS is a TABLE, not a STREAM"),
    (
        "DROP TABLE nothing;",
        "1:12: NOTHING does not exist. There is no stream or table NOTHING; there is CITIES, HOURLY, ORDERS, TOTALS",
    ),
    ("TERMINATE CTAS_TOTAL_0;", "1:11: no query CTAS_TOTAL_0; did you mean CTAS_TOTALS_0"),
    ("SET 'auto.offset.rest' = 'earliest';", "1:5: no property 'auto.offset.rest'; did you mean 'auto.offset.reset'"),
    ("SET 'auto.offset.reset' = 'first';", "1:27: 'auto.offset.reset' is earliest or latest, not 'first'"),
    ("PRINT ordres;", "1:7: there is no topic ordres; did you mean orders"),
    (
        "SELECT cty FROM totals;",
        "1:8: SELECT column 'CTY' cannot be resolved. There is no column CTY in TOTALS; did you mean CITY; it has CITY, TOTAL",
    ),
    ("SELECT * FROM total;", "1:15: TOTAL does not exist. There is no stream or table TOTAL; did you mean TOTALS"),
    (
        "SELECT city FROM totals WHERE ROWPARTITION = 0;",
        "1:31: Pull queries don't support the following columns in WHERE clauses: `ROWPARTITION`; add EMIT CHANGES for a continuous query",
    ),
    (
        "SELECT city, city FROM totals;",
        "1:14: Duplicate value columns found in schema: `CITY` STRING; give one of them another name with AS",
    ),
    (
        "SELECT * FROM totals LIMIT -1;",
        "1:22: Syntax Error: Pull queries don't support negative integers in the LIMIT clause. Give how many rows at most",
    ),
    (
        "CREATE STREAM x AS SELECT * FROM orders o JOIN cities c ON o.city = c.name AND o.city = c.name;",
        "1:80: Invalid join condition: O.CITY = C.NAME stands twice; write it once",
    ),
    ("SELECT NOSUCH(city) FROM totals;", "1:8: Can't find any functions with the name 'NOSUCH'"),
    (
        "SELECT city, COUNT(*) FROM totals;",
        "1:8: column CITY is neither grouped by nor in an aggregate function; group by it, or take an aggregate of it such as MAX",
    ),
    (
        "SELECT * FROM hourly WHERE windowstart > 'noon';",
        "1:42: 'noon' is no moment; write it as '2024-03-01T10:00:00'",
    ),
    (
        "SELECT id FROM orders o WHERE o.amount > 1 EMIT CHANGES LIMIT x;",
        "1:63: Syntax Error: expected a limit, a whole number, found `x`",
    ),
    (
        "CREATE SOURCE CONNECTOR f WITH ('connector.class' = 'file', 'path' = 'a', 'topic' = 't', 'format' = 'xml');",
        "1:101: property `format` is `xml`, must be json, csv, avro or parquet",
    ),
    (
        "CREATE SOURCE CONNECTOR f WITH ('connector.class' = 'file', 'pth' = 'a', 'topic' = 't', 'format' = 'json');",
        "1:27: missing 'path'; a file source needs it",
    ),
    (
        "CREATE SINK CONNECTOR f WITH ('connector.class' = 'file', 'path' = 'a', 'topics' = 'nothing');",
        "1:23: there is no topic nothing; create it first, or look with `topic list`",
    ),
    (
        "CREATE STREAM x (v INT) WITH (KAFKA_TOPIC = '_millstream_commands', VALUE_FORMAT = 'JSON');",
        "1:15: topic _millstream_commands: names that start with _millstream are the engine's own; choose another",
    ),
    (
        "CREATE STREAM x WITH (KAFKA_TOPIC = '_millstream_x') AS SELECT * FROM orders;",
        "1:15: topic _millstream_x: names that start with _millstream are the engine's own; choose another",
    ),
    (
        "CREATE SOURCE CONNECTOR f WITH ('connector.class' = 'file', 'path' = 'a', 'topic' = '_millstream-x', 'format' = 'json');",
        "1:85: topic _millstream-x: names that start with _millstream are the engine's own; choose another",
    ),
    (
        "CREATE SINK CONNECTOR f WITH ('connector.class' = 'file', 'path' = 'a', 'topics' = 'orders, _millstream-x');",
        "1:84: topic _millstream-x: names that start with _millstream are the engine's own; choose another",
    ),
    (
        "INSERT INTO orders WITH (QUERY_ID = 'a.b') SELECT * FROM orders;",
        "1:37: QUERY_ID is 1 to 60 letters of A-Z, digits, _ and -, not 'A.B'",
    ),
    (
        "INSERT INTO orders WITH (QUERY_ID = 'ctas_X_18446744073709551615') SELECT * FROM orders;",
        "1:37: QUERY_ID 'CTAS_X_18446744073709551615' looks like a generated one; choose one that does not end in a number",
    ),
    ("PAUSE CTAS_TOTAL_0;", "1:7: no query CTAS_TOTAL_0; did you mean CTAS_TOTALS_0"),
    ("EXPLAIN SHOW TOPICS;", "1:14: Syntax Error: expected the end of the statement, found `TOPICS`"),
];
