//! Depth and size: what nests or goes on for long is planned or refused, in a thread with the stack that threads have by default.

use super::{run_one, statements::SOURCES};
use millstream::operator::EmitPolicy;
use millstream_sql::{engine::in_memory::InMemoryEngine, syntax};

/// What Rust gives a thread, and tests have.
const STACK_BYTES: usize = 2 << 20;

type Shape = (&'static str, fn(usize) -> String);

fn around(open: &str, middle: &str, close: &str, times: usize) -> String {
    format!("{}{middle}{}", open.repeat(times), close.repeat(times))
}

fn select(expression: &str) -> String {
    format!("SELECT {expression} AS x FROM s EMIT CHANGES;")
}

/// Expressions that nest, or are long.
const EXPRESSIONS: [Shape; 28] = [
    ("parentheses", |n| around("(", "n", ")", n)),
    ("sums", |n| around("(1 + ", "n", ")", n)),
    ("calls", |n| around("ABS(", "n", ")", n)),
    ("casts", |n| around("CAST(", "n", " AS INT)", n)),
    ("cases", |n| around("CASE WHEN ok THEN ", "n", " END", n)),
    ("cases in conditions", |n| around("CASE WHEN ", "ok", " THEN ok END", n)),
    ("nots", |n| format!("{}ok", "NOT ".repeat(n))),
    ("minus signs", |n| format!("{}n", "- ".repeat(n))),
    ("plus signs", |n| format!("{}n", "+ ".repeat(n))),
    ("arrays", |n| around("ARRAY[", "n", "]", n)),
    ("structs", |n| around("STRUCT(a := ", "n", ")", n)),
    ("maps", |n| around("MAP('a' := ", "n", ")", n)),
    ("lambdas", |n| around("TRANSFORM(ARRAY[1], x => ", "n", ")", n)),
    ("a long sum", |n| format!("n{}", " + n".repeat(n))),
    ("a long text", |n| format!("t{}", " || t".repeat(n))),
    ("a long conjunction", |n| format!("ok{}", " AND n > 1".repeat(n))),
    ("a long disjunction", |n| format!("ok{}", " OR t = 'a'".repeat(n))),
    ("a long list", |n| format!("n IN (1{})", ", 2".repeat(n))),
    ("a long list of columns", |n| format!("n IN (n{})", ", n".repeat(n))),
    ("a long list of arrays", |n| format!("ARRAY[n] IN (ARRAY[n]{})", ", ARRAY[n]".repeat(n / 3))),
    ("a call of many arguments", |n| format!("CONCAT(t{})", ", t".repeat(n))),
    ("a chain of subscripts", |n| format!("k{}", "[1]".repeat(n))),
    ("a chain of fields", |n| format!("k{}", "->a".repeat(n))),
    ("sums in sums", |n| around("(n + n + n + n + n + n + n + n + ", "n", ")", n)),
    ("a chain of casts", |n| format!("n{}", "::INT".repeat(n))),
    ("a chain of BETWEEN", |n| format!("n{}", " BETWEEN 1 AND 2".repeat(n))),
    ("a chain of comparisons", |n| format!("ok{}", " = ok".repeat(n))),
    ("a chain of IS NULL", |n| format!("n{}", " IS NULL".repeat(n))),
];

/// Statements that nest, or are long.
const STATEMENTS: [Shape; 16] = [
    ("type brackets", |n| {
        let columns = around("ARRAY<", "INT", ">", n);
        format!("CREATE STREAM x (k INT KEY, a {columns}) WITH (KAFKA_TOPIC = 'x', VALUE_FORMAT = 'JSON');")
    }),
    ("struct types", |n| format!("CREATE TYPE deep AS {};", around("STRUCT<a ", "INT", ">", n))),
    ("map types", |n| format!("SELECT CAST(n AS {}) FROM s EMIT CHANGES;", around("MAP<STRING, ", "INT", ">", n))),
    ("subqueries of a push query", |n| {
        format!("{} EMIT CHANGES;", around("SELECT * FROM (", "SELECT * FROM s", ") AS a", n))
    }),
    ("subqueries of a pull query", |n| format!("{};", around("SELECT * FROM (", "SELECT * FROM w", ") AS a", n))),
    ("subqueries in expressions", |n| around("SELECT (", "1", ") AS x FROM w;", n).replace("; )", ")")),
    ("joins", |n| {
        let join = |i| format!(" JOIN u u{i} ON s.k = u{i}.id");
        format!("SELECT s.k, s.n FROM s{} EMIT CHANGES;", (0..n.min(64)).map(join).collect::<String>())
    }),
    ("UNION ALL", |n| format!("SELECT k FROM s{} EMIT CHANGES;", " UNION ALL SELECT k FROM r".repeat(n))),
    ("UNION ALL of a pull query", |n| format!("SELECT k FROM w{};", " UNION ALL SELECT k FROM w".repeat(n.min(2_000)))),
    ("joins of a pull query", |n| {
        let join = |i| format!(" JOIN w w{i} ON w.k = w{i}.k");
        format!("SELECT w.k FROM w{};", (0..n.min(2_000)).map(join).collect::<String>())
    }),
    ("tables of a pull query", |n| {
        let table = |i| format!(", w w{i}");
        format!("SELECT w.k FROM w{};", (0..n.min(2_000)).map(table).collect::<String>())
    }),
    ("columns", |n| {
        let columns: String = (0..n.min(2_000)).map(|i| format!(", c{i} INT")).collect();
        format!("CREATE STREAM x (k INT KEY{columns}) WITH (KAFKA_TOPIC = 'x', VALUE_FORMAT = 'JSON');")
    }),
    ("rows", |n| format!("INSERT INTO r (k, n) VALUES ('a', 1){};", ", ('a', 1)".repeat(n.min(1_000)))),
    ("semicolons", |n| ";".repeat(n)),
    ("open parentheses", |n| "(".repeat(n)),
    ("open comments", |n| format!("SHOW STREAMS {}", "/*".repeat(n))),
];

/// Runs a text of each size, in an engine with a few sources, on a small stack.
fn check(name: &'static str, of: impl Fn(usize) -> String) {
    let texts: Vec<String> = [10, 40, 49, 60, 150, 600, 1_200, 4_900, 12_000, 200_000].map(of).into();
    let work = move || {
        let mut engine = engine();
        for text in texts {
            if text.starts_with("CREATE") {
                engine = self::engine();
            }
            run_one(&mut engine, &text).unwrap_or_else(|problem| panic!("{name}, {} bytes: {problem}", text.len()));
        }
    };
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work).expect("a thread starts");
    thread.join().unwrap_or_else(|_| panic!("{name} panicked"));
}

pub(super) fn engine() -> InMemoryEngine {
    let mut engine = InMemoryEngine::new(EmitPolicy::Record).expect("an engine in memory");
    for statement in SOURCES {
        engine.execute(statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    engine
}

#[test]
fn deep_and_long_expressions_are_planned_or_refused() {
    for (name, expression) in EXPRESSIONS {
        check(name, |n| select(&expression(n)));
    }
}

#[test]
fn deep_and_long_filters_are_planned_or_refused() {
    for (name, expression) in &EXPRESSIONS[13..17] {
        check(name, |n| format!("SELECT n FROM s WHERE {} EMIT CHANGES;", expression(n)));
        check(name, |n| format!("SELECT k FROM w WHERE {};", expression(n).replace("ok", "true").replace('n', "c")));
    }
}

#[test]
fn deep_and_long_statements_are_planned_or_refused() {
    for (name, statement) in STATEMENTS {
        check(name, statement);
    }
}

#[test]
fn limits_are_told_where_they_are_passed() {
    let check = |text: String, want: &str| {
        let error = syntax::parse_script(&text).err().map(|error| error.to_string());
        let error = error.unwrap_or_else(|| "no error".to_owned());
        assert!(error.contains(want), "{error}\nfor {} bytes", text.len());
    };
    check(select(&around("(", "n", ")", 51)), "nested more than 50 deep; split the query in two");
    check(select(&format!("n{}", " + n".repeat(6_000))), "more than 10000 words and signs");
    check(
        select(&format!("n{}", " + n".repeat(300))),
        "1:8: this expression has more than 300 operators on each other",
    );
    check(" ".repeat(syntax::MAX_TEXT_BYTES + 1), "at most 1048576 are read; run it in several parts");
    check(
        format!("{} EMIT CHANGES;", around("SELECT * FROM (", "SELECT * FROM s", ") AS a", 9)),
        "subqueries nest more than 8 deep",
    );
}
