//! `STRUCT()`, which has no fields: written as a value and as a key in each format that has structs, and read back.

use super::harness::Sql;

#[test]
fn a_struct_without_fields_is_written_and_read_back() {
    for format in ["JSON", "JSON_SR", "AVRO", "PROTOBUF"] {
        let directory = tempfile::tempdir().expect("a directory");
        let mut sql = Sql::open(directory.path());
        sql.run(&format!(
            "CREATE STREAM s (id INT KEY, a INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 1); \
             CREATE STREAM o WITH (VALUE_FORMAT = '{format}') AS SELECT id, STRUCT() AS e, ARRAY[STRUCT()] AS es, a FROM s; \
             CREATE STREAM again AS SELECT id, e, STRUCT(e := e) AS f FROM o; \
             CREATE STREAM k WITH (FORMAT = '{format}') AS SELECT STRUCT() AS k, a FROM s PARTITION BY STRUCT(); \
             INSERT INTO s VALUES (1, 2);"
        ));
        let mut check = |query: &str, want: &str| assert_eq!(sql.rows(query), [want], "{format}: {query}");
        check("SELECT * FROM o;", "1|{}|[{}]|2");
        check("SELECT * FROM again;", "1|{}|{E: {}}");
        check("SELECT * FROM k;", "{}|2");
        check("SELECT STRUCT() AS e, a FROM s;", "{}|2");
        sql.close();
    }
}

#[test]
fn in_values_it_is_a_struct_of_nulls() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path());
    sql.run(
        "CREATE STREAM s (id INT KEY, p STRUCT<x INT, y STRING>) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 1); \
         INSERT INTO s VALUES (1, STRUCT());",
    );
    assert_eq!(sql.rows("SELECT id, p, p->x FROM s;"), ["1|{X: , Y: }|null"]);
    sql.close();
}

#[test]
fn nothing_is_grouped_by_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path());
    sql.run(
        "CREATE STREAM s (id INT KEY, a INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 1); \
         CREATE STREAM o AS SELECT id, a, ARRAY[STRUCT()] AS e FROM s;",
    );
    let mut check = |statement: &str, at: &str| {
        let got = sql.error(statement);
        let want = format!("{at}: rows cannot be grouped by STRUCT(), which has no fields");
        assert!(got.starts_with(&want), "{statement}: {got}");
    };
    check("CREATE TABLE t AS SELECT STRUCT() AS e, COUNT(*) AS n FROM s GROUP BY STRUCT();", "1:62");
    check("CREATE TABLE t AS SELECT e, COUNT(*) AS n FROM o GROUP BY e;", "1:59");
    check("CREATE TABLE t AS SELECT DISTINCT a, e FROM o;", "1:38");
    sql.close();
}
