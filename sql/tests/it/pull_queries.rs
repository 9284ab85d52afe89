//! Queries that are read once, over views, topics and both.

use super::harness::{Sql, check};

const SCRIPT: &str = "
    CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 3);
    CREATE TABLE t AS SELECT k, COUNT(*) AS n, SUM(v) AS total FROM s GROUP BY k;
    CREATE TABLE plain (k STRING PRIMARY KEY, label STRING) WITH (KAFKA_TOPIC = 'plain', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
    INSERT INTO s (ROWTIME, k, v) VALUES (10, 'a', 1), (20, 'b', 2), (30, 'a', 3), (40, 'c', 4);
    INSERT INTO plain VALUES ('a', 'first'), ('b', 'second'), ('a', 'newest');
";

#[test]
fn keys_ranges_and_expressions() {
    check(SCRIPT, "SELECT n, total FROM t WHERE k = 'a';", &["2|4"]);
    check(SCRIPT, "SELECT k FROM t WHERE k IN ('a', 'c', 'zzz') ORDER BY k;", &["a", "c"]);
    check(SCRIPT, "SELECT k, total * 10 AS x FROM t WHERE total > 2 ORDER BY x DESC LIMIT 1;", &["a|40"]);
}

#[test]
fn aggregates_joins_subqueries_and_common_table_expressions() {
    let mut answers = Vec::new();
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path());
    sql.run(SCRIPT);
    let mut check = |query: &str, want: &[&str]| {
        assert_eq!(sql.rows(query), want, "{query}");
        answers.push(query.to_owned());
    };
    check("SELECT COUNT(*), SUM(total) FROM t;", &["3|10"]);
    check("SELECT t.k, p.label FROM t JOIN plain p ON t.k = p.k ORDER BY t.k;", &["a|newest", "b|second"]);
    check("SELECT k FROM t WHERE total = (SELECT MAX(total) FROM t) ORDER BY k;", &["a", "c"]);
    check("WITH big AS (SELECT * FROM t WHERE n > 1) SELECT k FROM big;", &["a"]);
    check("SELECT k, v, ROWTIME FROM s WHERE ROWTIME >= '1970-01-01T00:00:00.030' ORDER BY v;", &["a|3|30", "c|4|40"]);
    check("SELECT *, ROWTIME FROM t WHERE k = 'a';", &["a|2|4|30"]);
    check("SELECT label FROM plain WHERE k = 'a';", &["newest"]);
    check("SELECT k, n, ROW_NUMBER() OVER (ORDER BY k) AS place FROM t WHERE k < 'c' ORDER BY k;", &["a|2|1", "b|1|2"]);
    assert_eq!(answers.len(), 8);
    sql.close();
}

#[test]
fn parts_that_fail_are_null_alone_and_structs_are_taken_apart() {
    let script = "
        CREATE STREAM s (k INT KEY, t STRING) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
        CREATE STREAM o AS SELECT k, STRUCT(a := 'moo', b := STRINGTODATE(t, 'yyyyMMdd')) AS v,
            ARRAY[7, STRINGTODATE(t, 'yyyyMMdd')] AS xs FROM s;
        INSERT INTO s (ROWTIME, k, t) VALUES (10, 1, 'foo'), (86400000, 2, '19700103');
    ";
    check(script, "SELECT k, v->* FROM o;", &["1|moo|null", "2|moo|2"]);
    check(script, "SELECT k, xs FROM o;", &["1|[7, ]", "2|[7, 2]"]);
    check(script, "SELECT k, v->a FROM o WHERE ROWTIME < '1970-01-01T24';", &["1|moo"]);
}
