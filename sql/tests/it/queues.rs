//! Queues in SQL: declared, worked on, brought back, dropped.

use super::harness::Sql;

const SCRIPT: &str = "
    CREATE STREAM mails (address STRING KEY, text STRING) WITH (KAFKA_TOPIC = 'mails', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
    CREATE QUEUE mailer ON mails WITH (visibility = '12h', max_attempts = 2, dead_letter = 'mails-dead', fifo = 'key');
";

/// The receipts of what a statement receives.
fn receipts(sql: &mut Sql, statement: &str) -> Vec<String> {
    let rows = sql.rows(statement);
    rows.iter().map(|row| row.split('|').next().expect("a receipt").to_owned()).collect()
}

#[test]
fn work_is_received_acknowledged_and_survives_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path());
    sql.run(SCRIPT);
    sql.run("INSERT INTO mails VALUES ('ada', 'one'), ('ada', 'two'), ('bob', 'three');");
    let rows = sql.rows("RECEIVE 10 FROM mailer WAIT 5 SECONDS;");
    let shown: Vec<Vec<&str>> = rows.iter().map(|row| row.split('|').skip(1).take(3).collect()).collect();
    assert_eq!(shown, [["ada", r#"{"TEXT":"one"}"#, "1"], ["bob", r#"{"TEXT":"three"}"#, "1"]]);
    let receipts: Vec<&str> = rows.iter().map(|row| row.split('|').next().expect("a receipt")).collect();
    assert_eq!(sql.run(&format!("ACK mailer '{}';", receipts[0])), ["Acknowledged 1 message in MAILER"]);
    sql.close();

    let mut sql = Sql::open(directory.path());
    assert_eq!(sql.run(SCRIPT)[1], "Queue MAILER exists already, unchanged");
    let two = sql.rows("RECEIVE 10 FROM mailer;");
    assert!(two.len() == 1 && two[0].contains("two"), "what bob has is still hidden: {two:?}");
    assert_eq!(sql.run(&format!("EXTEND mailer '{}' BY 1 HOUR;", receipts[1])), ["Holds 1 message longer in MAILER"]);
    assert_eq!(sql.rows("SHOW QUEUES;"), ["MAILER|mails|0|2|0|1|0|0|"]);
    sql.close();
}

#[test]
fn dead_letters_are_there_and_go_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path());
    sql.run(SCRIPT);
    sql.run("INSERT INTO mails VALUES ('ada', 'one'), ('bob', 'two');");
    let all = receipts(&mut sql, "RECEIVE 10 FROM mailer;");
    sql.run(&format!("REJECT mailer '{}' 'no such user'; NACK mailer '{}' DELAY 0 SECONDS;", all[0], all[1]));
    let again = receipts(&mut sql, "RECEIVE FROM mailer;");
    sql.run(&format!("NACK mailer '{}';", again[0]));
    assert_eq!(sql.rows("SHOW QUEUES;"), ["MAILER|mails|0|0|0|0|2|0|"]);
    assert_eq!(sql.run("REDRIVE QUEUE mailer RATE 1000;"), ["Moved 2 dead letters back in MAILER"]);
    assert_eq!(receipts(&mut sql, "RECEIVE 10 FROM mailer;").len(), 2);
    let described = sql.rows("DESCRIBE QUEUE mailer;").join("\n");
    for line in ["topic|mails", "visibility|43200000 ms", "max_attempts|2", "fifo|key", "In flight|2", "Dead|2"] {
        assert!(described.contains(line), "{line}: {described}");
    }
    sql.close();
}

#[test]
fn queues_are_dropped_and_begin_anew() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path());
    sql.run(SCRIPT);
    sql.run("INSERT INTO mails VALUES ('ada', 'one');");
    let old = receipts(&mut sql, "RECEIVE FROM mailer;");
    let refused = sql.error("DROP STREAM mails DELETE TOPIC;");
    assert_eq!(
        refused,
        "1:13: cannot delete topic mails: queue MAILER names it; drop that first, or leave DELETE TOPIC out"
    );
    assert_eq!(
        sql.run("DROP QUEUE mailer; DROP QUEUE IF EXISTS mailer;"),
        ["Dropped queue MAILER", "There is no queue MAILER"]
    );
    sql.close();
    let mut sql = Sql::open(directory.path());
    assert!(sql.rows("SHOW QUEUES;").is_empty());
    assert!(sql.rows("SHOW ALL TOPICS;").iter().all(|topic| !topic.contains("_queue_")), "nothing of it is left");
    sql.run("CREATE QUEUE IF NOT EXISTS mailer ON mails;");
    assert_eq!(receipts(&mut sql, "RECEIVE FROM mailer;").len(), 1);
    let stale = sql.error(&format!("NACK mailer '{}';", old[0]));
    assert!(
        stale.contains(
            "1:13: queue MAILER: the receipt of topic=mails partition=0 offset=0 is stale: it is of another queue"
        ),
        "{stale}"
    );
    sql.close();
}

#[test]
fn mistakes_are_said_where_they_are() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path());
    sql.run(SCRIPT);
    let mut check = |statement: &str, expected: &str| {
        let said = sql.error(statement);
        assert!(said.starts_with(expected), "{statement}: {said}");
    };
    check("CREATE QUEUE mailer ON mails;", "1:14: queue MAILER exists already; drop it first, or write IF NOT EXISTS");
    check("CREATE QUEUE q ON nothing;", "1:14: there is no topic or stream nothing; SHOW TOPICS lists the topics");
    check("CREATE QUEUE q ON '_millstream_x';", "1:19: topic _millstream_x: names that start with _millstream");
    check("CREATE QUEUE q ON mails WITH (fifo = 1);", "1:38: FIFO: expected a string in single quotes, found 1");
    check("CREATE QUEUE q ON mails WITH (order = 'key');", "1:31: no property ORDER here");
    check("RECEIVE FROM mailr;", "1:14: no queue MAILR; did you mean MAILER");
    check("RECEIVE 0 FROM mailer;", "1:9: RECEIVE 0 receives nothing");
    check("RECEIVE FROM mailer WAIT 2 HOURS;", "1:26: RECEIVE waits for 60 seconds at most");
    check("ACK mailer 'x';", "1:12: `x` is not a receipt");
    check("ACK mailer '00000000-0-0-1';", "1:12: 1 of 1 receipts were stale");
    check("REDRIVE QUEUE mailer RATE 0;", "1:27: at RATE 0 nothing is ever moved");
    check("DESCRIBE QUEUE x;", "1:16: no queue X");
    check("DROP QUEUE x;", "1:12: no queue X");
    sql.close();
}
