//! Mistakes that people make, each with the error that it gets: place, what is wrong, what may be meant.

use super::compact::compact;
use super::script::parse_statement;

fn check(text: &str, want: &str) {
    assert_eq!(compact(text), want, "text: {text}");
}

#[test]
fn misspelt_keywords() {
    check("SELCT * FROM s;", "1:1: expected a statement, found `SELCT`; did you mean SELECT");
    check("CRATE STREAM s", "1:1: expected a statement, found `CRATE`; did you mean CREATE");
    check(
        "CREATE STEAM s (v INT)",
        "1:8: expected STREAM, TABLE, TYPE, QUEUE, SOURCE or SINK, found `STEAM`; did you mean STREAM",
    );
    check("CREATE OR RPLACE STREAM s", "1:11: expected REPLACE, found `RPLACE`; did you mean REPLACE");
    check(
        "SELECT a FORM s EMIT CHANGES",
        "1:15: expected `,` or FROM, found `s`; `FORM` was read as a name, did you mean FROM",
    );
    check(
        "SELECT a FROM s WERE a = 1 EMIT CHANGES",
        "1:22: expected a clause or the end of the query, found `a`; `WERE` was read as a name, did you mean WHERE",
    );
    check("SELECT a FROM s EMIT CHANGE", "1:22: expected CHANGES or FINAL, found `CHANGE`; did you mean CHANGES");
    check(
        "CREATE STREAM t AS SELECT a FROM s EMITT CHANGES",
        "1:42: expected a clause or the end of the query, found `CHANGES`; `EMITT` was read as a name, did you mean EMIT",
    );
    check("SELECT a FROM s GROUP BYE a EMIT CHANGES", "1:23: expected BY, found `BYE`; did you mean BY");
    check(
        "SHOW STREAM",
        "1:6: expected STREAMS, TABLES, TOPICS, QUERIES, CONNECTORS, PROPERTIES, FUNCTIONS, TYPES, VARIABLES or QUEUES, found `STREAM`; did you mean STREAMS",
    );
    check(
        "SHOW STREAMS EXTENED",
        "1:14: expected EXTENDED or the end of the statement, found `EXTENED`; did you mean EXTENDED",
    );
    check("INSERT INTO s VALUE (1)", "1:15: expected `(`, VALUES, WITH or SELECT, found `VALUE`; did you mean VALUES");
    check("DROP STREAM s DELETE TOPC", "1:22: expected TOPIC, found `TOPC`; did you mean TOPIC");
    check(
        "SELECT a FROM s WINDOW TUMBLNG (SIZE 1 HOUR) GROUP BY a EMIT CHANGES",
        "1:24: expected TUMBLING, HOPPING, CUMULATE or SESSION, found `TUMBLNG`; did you mean TUMBLING",
    );
    check(
        "SELECT a FROM s WINDOW TUMBLING (SIZE 1 HUOR) GROUP BY a EMIT CHANGES",
        "1:41: expected MILLISECONDS, SECONDS, MINUTES, HOURS or DAYS, found `HUOR`; did you mean HOUR",
    );
    check(
        "CREATE STREAM s (v INT KEI) WITH (KAFKA_TOPIC='t')",
        "1:24: expected KEY, PRIMARY KEY, HEADERS, `,` or `)`, found `KEI`; did you mean KEY",
    );
}

#[test]
fn misspelt_keywords_in_pull_queries() {
    check(
        "SELECT a\nFROM s\nWEHRE a = 1",
        "3:7: expected a clause or the end of the query, found `a`; `WEHRE` was read as a name, did you mean WHERE",
    );
    check(
        "SELECT a FROM s ODER BY a",
        "1:22: expected a clause or the end of the query, found `BY`; `ODER` was read as a name, did you mean ORDER",
    );
    check(
        "SELECT a FROM s EMITT CHANGES",
        "1:23: expected a clause or the end of the query, found `CHANGES`; `EMITT` was read as a name, did you mean EMIT",
    );
}

#[test]
fn brackets_and_quotes() {
    check("SELECT COUNT(a FROM s EMIT CHANGES", "1:16: expected ), found `FROM`");
    check(
        "CREATE STREAM s (a INT, b INT WITH (KAFKA_TOPIC='t')",
        "1:31: expected KEY, PRIMARY KEY, HEADERS, `,` or `)`, found `WITH`",
    );
    check(
        "INSERT INTO s VALUES (1, 2",
        "1:27: expected `,` or `)`, found the end of the statement; the list opened at 1:22",
    );
    check("CREATE STREAM s (a ARRAY<INT) WITH (x=1)", "1:29: expected `,` or `>`, found `)`");
    check("SELECT 'a FROM s", "1:8: this string does not end; close it with ', and write a ' inside it as ''");
    check("SELECT `a FROM s", "1:8: this quoted name does not end; close it with the quote it began with");
    check("SELECT a /* FROM s", "1:10: this comment does not end; close it with */");
    check(
        "CREATE STREAM s WITH (KAFKA_TOPIC=\"t\") AS SELECT * FROM x",
        "1:35: expected a string, a number, TRUE or FALSE, found `\"t\"`; strings stand in single quotes",
    );
    check(
        "SET \"a\" = 'b'",
        "1:5: expected the name of a property in single quotes, found `\"a\"`; double quotes are for names",
    );
    check("DROP STREAM 's'", "1:13: expected a name, found `'s'`; names are quoted in backticks or double quotes");
}

#[test]
fn clauses_out_of_order() {
    const ORDER: &str = "the order is JOIN, WINDOW, WHERE, GROUP BY, PARTITION BY, HAVING, EMIT, LIMIT";
    check(
        "SELECT a FROM s GROUP BY a WHERE b = 1 EMIT CHANGES",
        &format!("1:28: WHERE must come before GROUP BY; {ORDER}"),
    );
    check(
        "SELECT a FROM s GROUP BY a WINDOW TUMBLING (SIZE 1 DAY) EMIT CHANGES",
        &format!("1:28: WINDOW must come before GROUP BY; {ORDER}"),
    );
    check("SELECT a FROM s LIMIT 1 EMIT CHANGES", &format!("1:25: EMIT must come before LIMIT; {ORDER}"));
    check("SELECT a FROM s WHERE a = 1 WHERE b = 1 EMIT CHANGES", "1:29: a second WHERE");
    check(
        "SELECT a FROM s WINDOW TUMBLING (SIZE 1 DAY, GRACE PERIOD 1 DAY, RETENTION 1 DAY) GROUP BY a EMIT CHANGES",
        "1:66: RETENTION must come before GRACE PERIOD",
    );
}

#[test]
fn missing_parts() {
    check("SELECT FROM s EMIT CHANGES", "1:8: expected a column or an expression after SELECT, found `FROM`");
    check("SELECT a, FROM s EMIT CHANGES", "1:11: expected a column or an expression after SELECT, found `FROM`");
    check("SELECT a FROM WHERE b = 1 EMIT CHANGES", "1:15: expected the name of a stream or table, found `WHERE`");
    check("SELECT a FROM s WHERE", "1:22: expected an expression, found the end of the statement");
    check(
        "CREATE STREAM t AS SELECT a FROM s WHERE",
        "1:41: expected a condition after WHERE, found the end of the statement",
    );
    check("CREATE STREAM s (a INT)", "1:24: WITH (..) is missing; say at least KAFKA_TOPIC and VALUE_FORMAT");
    check("CREATE STREAM s (a, b INT) WITH (x=1)", "1:19: column A has no type");
    check("CREATE STREAM (a INT) WITH (x=1)", "1:15: expected the name of a stream, found `(`");
    check("SELECT a FROM s JOIN t EMIT CHANGES", "1:24: expected WITHIN or ON, found `EMIT`");
    check("CREATE STREAM s WITH (KAFKA_TOPIC 't')", "1:35: expected `=`, found `'t'`");
    check("CREATE CONNECTOR c WITH ()", "1:8: expected SOURCE or SINK, found `CONNECTOR`; say which way it moves data");
    check("SELECT a FROM s WINDOW TUMBLING (1 HOUR) GROUP BY a EMIT CHANGES", "1:34: expected SIZE, found `1`");
    check(
        "SELECT a FROM s WINDOW TUMBLING (SIZE HOUR) GROUP BY a EMIT CHANGES",
        "1:39: expected a size, a whole number, found `HOUR`",
    );
    check("", "1:1: expected a statement, found nothing");
}

#[test]
fn things_that_do_not_fit() {
    check("CREATE STREAM s (a INT, A INT) WITH (x=1)", "1:25: column A is named twice; it stands at 1:18 already");
    check("CREATE TYPE t AS STRUCT<a INT, a INT>", "1:32: field A is named twice; it stands at 1:25 already");
    check("CREATE STREAM s (a INT) WITH (x=1, X=2)", "1:36: property X is given twice; it stands at 1:31 already");
    check(
        "CREATE TABLE s (a INT KEY) WITH (x=1)",
        "1:23: Column `A` is a 'KEY' column: please use 'PRIMARY KEY' for tables.",
    );
    check(
        "CREATE STREAM s (a INT PRIMARY KEY) WITH (x=1)",
        "1:24: Column `A` is a 'PRIMARY KEY' column: please use 'KEY' for streams.",
    );
    check("INSERT INTO s (a, b) VALUES (1)", "1:29: Expected number columns and values to match: 2, 1");
    check(
        "CREATE STREAM s (a INT) AS SELECT * FROM t",
        "1:25: a column list and AS SELECT do not go together; name the columns in SELECT",
    );
    check("CREATE SOURCE STREAM s AS SELECT * FROM t", "1:8: SOURCE and AS SELECT do not go together");
    check(
        "SELECT a FROM s WINDOW TUMBLING (SIZE 0 DAYS) GROUP BY a EMIT CHANGES",
        "1:39: a size of a window must be more than 0",
    );
    check(
        "SELECT a FROM s WINDOW TUMBLING (SIZE 999999999999999 DAYS) GROUP BY a EMIT CHANGES",
        "1:39: this time is too long to be counted in milliseconds",
    );
    check("DROP STREAM a; DROP STREAM b", "1:16: expected one statement, found another");
    check(
        "SELECT a FROM s WINDOW TUMBLING (SIZE 1 DAY) GROUP BY a",
        "1:17: Pull queries don't support WINDOW clauses. Add EMIT CHANGES for a continuous query",
    );
    check(
        "PRINT a-b",
        "1:8: expected the end of the topic's name, found `-`; names with other signs than letters, digits and _ stand in single quotes",
    );
}

#[test]
fn things_that_are_not_there_yet() {
    check("ASSERT TABLE t", "1:8: expected TOPIC or SCHEMA, found `TABLE`");
    check("RUN SCRIPT 'f'", "1:1: RUN SCRIPT is a command of the shell, no statement; run the file with -f");
    check("ALTER SYSTEM 'a'='b'", "1:1: ALTER SYSTEM is not there yet; use SET");
    check("SHOW CONNECTOR PLUGINS", "1:6: CONNECTOR PLUGINS is not there yet");
    check(
        "SELECT a FROM (SELECT b FROM s) EMIT CHANGES",
        "1:15: a subquery needs a name; write FROM (SELECT ..) AS name",
    );
    check("SELECT a FROM s ORDER BY a EMIT CHANGES", "1:17: ORDER BY is not there yet in a continuous query");
    check("SELECT a FROM s, t EMIT CHANGES", "1:16: FROM takes one source; join the others: JOIN name ON ..");
    check("SELECT ${x} FROM s", "1:8: a variable has no value here; give it one with DEFINE");
}

#[test]
fn hostile_texts_end_in_an_error() {
    let deep = |open: &str, close: &str, n: usize| {
        format!("SELECT {}1{} FROM s EMIT CHANGES", open.repeat(n), close.repeat(n))
    };
    assert!(compact(&deep("(", ")", 40)).starts_with("push "));
    check(&deep("(", ")", 60), "1:58: nested more than 50 deep; split the query in two");
    check(&deep("f(", ")", 60), "1:109: nested more than 50 deep; split the query in two");
    assert!(compact(&deep("NOT ", "", 5_000)).contains("nested more than 50 deep"));
    assert!(compact(&deep("- ", "", 5_000)).contains("nested more than 50 deep"));
    assert!(parse_statement(&deep("1 + ", "", 250)).is_ok());
    assert!(compact(&deep("1 + ", "", 4_900)).contains("has more than 300 operators on each other"));
    assert!(parse_statement(&deep("true AND ", "", 4_900)).is_ok());
    assert!(compact(&deep("1 + ", "", 100_000)).contains("has more than 10000 words and signs"));
    assert!(compact(&format!("SELECT {}1", "1 + ".repeat(100_000))).contains("has more than 10000 words and signs"));
    assert!(compact(&format!("SELECT {}1", "SELECT ".repeat(1_000))).contains("1:"));
    // Forms that sqlparser would try in two readings at each level.
    for form in [
        "CAST(",
        "NOT (",
        "FLOOR(",
        "POSITION(",
        "TRIM(",
        "SUBSTRING(",
        "EXTRACT(",
        "STRUCT(",
        "CASE WHEN (",
        "(x) => (",
    ] {
        let text = deep(form, "", 24);
        assert!(compact(&text).starts_with("1:"), "text: {text}");
    }
    let nested = format!("SELECT * FROM {}", "((SELECT * FROM ".repeat(17));
    check(&nested, "1:272: subqueries are nested more than 16 deep; name some of them with WITH");
    assert!(compact(&format!("SELECT * FROM {}", "((SELECT * FROM ".repeat(12))).starts_with("1:"));
}
