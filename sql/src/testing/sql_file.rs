//! SQL files: several tests in one file, each begun by a comment.
//!
//! ```sql
//! --@test: totals are summed by city
//! CREATE STREAM orders (id INT KEY, city STRING, amount INT) WITH (KAFKA_TOPIC = 'orders', VALUE_FORMAT = 'JSON');
//! CREATE TABLE totals AS SELECT city, SUM(amount) AS total FROM orders GROUP BY city;
//! INSERT INTO orders (ROWTIME, id, city, amount) VALUES (1000, 1, 'Rome', 30);
//! ASSERT VALUES totals (ROWTIME, city, total) VALUES (1000, 'Rome', 30);
//!
//! --@test: a stream that is not there
//! --@expected.error: did you mean ORDERS
//! CREATE STREAM orders (id INT KEY) WITH (KAFKA_TOPIC = 'orders', VALUE_FORMAT = 'JSON');
//! SELECT * FROM ordres;
//! ```
//!
//! A file without such a comment is one test with the name of the file. `--@expected.error` is part of the message with which some
//! statement must fail; in scripts for ksqlDB it is the class of an exception, which any error satisfies, and
//! `--@expected.message` is the text.

use super::case::{Case, ExpectedFailure};
use crate::engine::variables::end_of_statement;

/// The tests of a file that is called `name`.
pub fn read(name: &str, text: &str) -> Vec<Case> {
    let mut cases: Vec<(Case, String)> = Vec::new();
    let new = |id: String| {
        let case = Case { id, tier: "sql".to_owned(), area: name.to_owned(), is_script: true, ..Case::default() };
        (case, String::new())
    };
    for line in text.lines() {
        match directive(line) {
            Some(("test", title)) => cases.push(new(format!("{name}/{title}"))),
            Some((key, value)) => {
                let Some((case, _)) = cases.last_mut() else { continue };
                let failure = case.failure.get_or_insert(ExpectedFailure::default());
                if key == "expected.message" || !is_class(value) {
                    value.clone_into(&mut failure.message);
                }
            }
            None => {
                if cases.is_empty() && !body(line).is_empty() {
                    cases.push(new(name.to_owned()));
                }
                if let Some((_, text)) = cases.last_mut() {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
    }
    let finish = |(case, text): (Case, String)| Case { statements: split(&text), ..case };
    cases.into_iter().map(finish).collect()
}

/// The key and value of a line that says something about a test.
fn directive(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.trim().strip_prefix("--@")?.split_once(':')?;
    let key = key.trim();
    matches!(key, "test" | "expected.error" | "expected.message").then(|| (key, value.trim()))
}

/// Whether a text is the name of a Java class.
fn is_class(text: &str) -> bool {
    let is_word = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$');
    text.contains('.') && text.split('.').all(is_word)
}

/// Statements, each with its comments and its semicolon.
fn split(text: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (statement, after) = rest.split_at(end_of_statement(rest));
        if !body(statement).trim_end_matches(';').is_empty() {
            statements.push(statement.trim().to_owned());
        }
        rest = after;
    }
    statements
}

/// A statement without the space and the comments before it.
pub(super) fn body(statement: &str) -> &str {
    let mut rest = statement.trim_start();
    loop {
        let after = if rest.starts_with("--") {
            rest.find('\n').map_or("", |end| &rest[end..])
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or("", |end| &rest[end + 2..])
        } else {
            return rest.trim_end();
        };
        rest = after.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run::{Outcome, RunOptions, run};

    #[test]
    fn a_file_holds_several_tests() {
        let check = |text: &str, want: &[(&str, usize, Option<&str>)]| {
            let cases = read("f", text);
            let message = |case: &Case| case.failure.as_ref().map(|failure| failure.message.clone());
            let got: Vec<_> =
                cases.iter().map(|case| (case.id.clone(), case.statements.len(), message(case))).collect();
            let want: Vec<_> =
                want.iter().map(|(id, count, text)| ((*id).to_owned(), *count, text.map(str::to_owned))).collect();
            assert_eq!(got, want, "{text}");
        };
        check("SHOW STREAMS; SHOW TABLES;", &[("f", 2, None)]);
        let two = "-- all\n--@test: a\nSHOW ';';\n\n--@test: b\n--@expected.error: no x\nx;";
        check(two, &[("f", 0, None), ("f/a", 1, None), ("f/b", 1, Some("no x"))][1..]);
        let java = "--@test: a\n--@expected.error: a.b.C\n--@expected.message: bad\n/* x */ x;";
        check(java, &[("f/a", 1, Some("bad"))]);
        check("", &[]);
    }

    const STREAM: &str = "CREATE STREAM a (id INT KEY, n INT) WITH (KAFKA_TOPIC = 'a', VALUE_FORMAT = 'JSON');";

    #[test]
    fn scripts_pass_and_fail() {
        let check = |text: &str, want: &str| {
            let cases = read("f", &format!("--@test: one\n{text}"));
            for (batch_rows, restart) in [(None, false), (Some(1), false), (None, true), (Some(9), true)] {
                let options = RunOptions { batch_rows, restart, ..RunOptions::default() };
                let got = match run(&cases[0], &options) {
                    Outcome::Passed { message_fits, .. } => format!("passed {message_fits:?}"),
                    Outcome::Failed(problem) => problem.lines().next().unwrap_or_default().to_owned(),
                    Outcome::Skipped(reason) => reason,
                };
                assert_eq!(got, want, "{options:?} {text}");
            }
        };
        let rows = "CREATE STREAM b AS SELECT id, CAST(n + 1 AS INT) AS n FROM a WHERE n > 0;
            ASSERT STREAM b (id INT KEY, n INT) WITH (KAFKA_TOPIC = 'B', VALUE_FORMAT = 'JSON');
            INSERT INTO a (ROWTIME, id, n) VALUES (5, 1, 1);
            INSERT INTO a (ROWTIME, id, n) VALUES (6, 1, -1);
            INSERT INTO a (ROWTIME, id, n) VALUES (7, 2, 2);
            ASSERT VALUES b (ROWTIME, id, n) VALUES (5, 1, 2);
            ASSERT VALUES b (id, n) VALUES (2, 3);";
        check(&format!("{STREAM}{rows}"), "passed None");
        let table = "CREATE TABLE t AS SELECT id, COUNT(*) AS c FROM a GROUP BY id HAVING COUNT(*) < 2;
            INSERT INTO a VALUES (1, 1), (1, 1);
            ASSERT VALUES t (id, c) VALUES (1, 1);
            ASSERT NULL VALUES t (id) KEY (1);";
        check(&format!("{STREAM}{table}"), "passed None");
        let other = "INSERT INTO a VALUES (1, 1); ASSERT VALUES a (id, n) VALUES (1, 2);";
        let differs = r#"Expected record does not match actual. Expected: {"ID":1,"N":2}, Actual: {"ID":1,"N":1}"#;
        check(&format!("{STREAM}{other}"), differs);
        let none = "ASSERT VALUES a (id, n) VALUES (1, 2);";
        check(&format!("{STREAM}{none}"), "Expected another record, but all 0 of topic a were asked for");
        check(&format!("--@expected.error: Expected another record\n{STREAM}{none}"), "passed Some(true)");
        check(&format!("--@expected.error: x\n{STREAM}"), "every statement was accepted; expected was: x");
    }
}
