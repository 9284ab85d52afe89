//! Endless answers that are ended.

use std::time::Duration;

use millstream_sql::response::Response;

use super::harness::{Sql, batch_lines};

fn first(sql: &mut Sql, statement: &str, rows: usize) -> Vec<String> {
    let Ok(Response::Push(push)) = sql.session.execute(statement) else {
        panic!("{statement} gives no endless answer")
    };
    let mut lines = Vec::new();
    while lines.len() < rows {
        match push.batches.recv_timeout(Duration::from_secs(20)) {
            Ok(Ok(batch)) => lines.extend(batch_lines(&batch)),
            Ok(Err(error)) => panic!("{statement}: {error}"),
            Err(error) => panic!("{statement}: {error}, after {lines:?}"),
        }
    }
    lines
}

#[test]
fn rows_come_until_the_limit_and_nothing_is_left_behind() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path());
    sql.run(
        "CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
         CREATE TABLE w AS SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 1 SECOND) GROUP BY k;
         INSERT INTO s (ROWTIME, k, v) VALUES (10, 'a', 1), (20, 'b', 2), (1030, 'a', 3);
         SET 'auto.offset.reset' = 'earliest';",
    );
    let topics = sql.rows("SHOW ALL TOPICS;");
    assert_eq!(first(&mut sql, "SELECT k, v * 2 AS w FROM s WHERE v <> 2 EMIT CHANGES LIMIT 2;", 2), ["a|2", "a|6"]);
    assert_eq!(first(&mut sql, "SELECT k, SUM(v) AS total FROM s GROUP BY k EMIT CHANGES LIMIT 2;", 2).len(), 2);
    let mut windows = first(&mut sql, "SELECT * FROM w EMIT CHANGES LIMIT 3;", 3);
    windows.sort();
    assert_eq!(windows, ["a|0|1000|1", "a|1000|2000|1", "b|0|1000|1"]);
    let printed = first(&mut sql, "PRINT s FROM BEGINNING LIMIT 1;", 1);
    assert_eq!(printed, [r#"1970-01-01T00:00:00.010Z|a|{"V":1}|0|0"#]);
    assert_eq!(sql.rows("SHOW ALL TOPICS;"), topics);
    sql.close();
}
