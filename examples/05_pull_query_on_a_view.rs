//! 05: a pull query on a view.
//!
//! You learn that `CREATE TABLE .. AS SELECT` runs for good and keeps a view up to date; that a pull query reads views once and
//! ends, with the whole of DataFusion's SQL: joins, subqueries, window functions; and that a table of a directory that is opened
//! again is there with its rows.
//!
//! ```text
//! $ cargo run --example pull_query_on_a_view
//! TOTAL
//! 72
//!
//! CITY,TOTAL,COUNTRY,PLACE
//! Rome,72,Italy,1
//! Oslo,25,Norway,2
//!
//! CITY,TOTAL
//! Rome,72
//! ```
//!
//! Next: `06_your_own_source.rs`.
#![expect(clippy::print_stdout, reason = "examples show their results")]

use std::error::Error;

use millstream_sql::{
    engine::{Engine, Session},
    output::{OutputFormat, write_rows},
    response::Response,
};

#[path = "where_to_run.rs"]
mod where_to_run;

const SCRIPT: &str = "
    CREATE STREAM orders (id INT KEY, city STRING, amount INT)
        WITH (KAFKA_TOPIC = 'orders', VALUE_FORMAT = 'JSON', PARTITIONS = 2);
    CREATE TABLE countries (city STRING PRIMARY KEY, country STRING)
        WITH (KAFKA_TOPIC = 'countries', VALUE_FORMAT = 'JSON', PARTITIONS = 1);

    CREATE TABLE totals AS SELECT city, SUM(amount) AS total FROM orders GROUP BY city;

    INSERT INTO orders (id, city, amount) VALUES (1, 'Rome', 30), (2, 'Oslo', 25), (3, 'Rome', 42);
    INSERT INTO countries (city, country) VALUES ('Rome', 'Italy'), ('Oslo', 'Norway');
";

/// A pull query's answer as CSV.
fn pull(session: &mut Session, query: &str) -> Result<String, Box<dyn Error>> {
    let Response::Rows(rows) = session.execute(query)? else { return Err("a pull query gives rows".into()) };
    let mut text = Vec::new();
    write_rows(OutputFormat::Csv, &rows.schema, &rows.batches, None, &mut text)?;
    Ok(String::from_utf8(text)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let engine = Engine::open(where_to_run::engine(directory.path())?)?;
    let mut session = engine.session();
    session.run_script(SCRIPT, &mut |_statement, _response| {})?;
    // A view follows its input at a distance of one commit; here we wait until it has caught up.
    engine.wait_until_idle(None, &mut |_progress| {})?;

    // A condition on the key looks up one row. Every query sees whole commits only.
    let by_key = pull(&mut session, "SELECT total FROM totals WHERE city = 'Rome';")?;
    println!("{by_key}");
    assert_eq!(by_key, "TOTAL\n72\n");

    // A view and a topic read as tables, joined and ranked.
    let ranked = pull(
        &mut session,
        "SELECT t.city, t.total, c.country, RANK() OVER (ORDER BY t.total DESC) AS place
         FROM totals t JOIN countries c ON t.city = c.city ORDER BY place;",
    )?;
    println!("{ranked}");
    assert_eq!(ranked, "CITY,TOTAL,COUNTRY,PLACE\nRome,72,Italy,1\nOslo,25,Norway,2\n");

    // The directory is free for the next engine when sessions and handles are gone.
    drop(session);
    engine.shutdown()?;
    let engine = Engine::open(where_to_run::engine(directory.path())?)?;
    let again = pull(&mut engine.session(), "SELECT * FROM totals WHERE total > 50;")?;
    print!("{again}");
    assert_eq!(again, "CITY,TOTAL\nRome,72\n");
    engine.shutdown()?;
    Ok(())
}

#[test]
fn runs() -> Result<(), Box<dyn Error>> {
    main()
}
