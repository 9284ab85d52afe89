//! 04: SQL and a push query.
//!
//! You learn to open an engine on a data directory, to run statements in a session, and that a push query (`EMIT CHANGES`) does
//! not end by itself: it shows rows that are there and rows that come, until its `LIMIT` or until it is dropped.
//!
//! ```text
//! $ cargo run --example sql_push_query
//! Created stream ORDERS
//! CUSTOMER,ITEM,AMOUNT
//! ada,TEA,30
//! bob,INK,25
//! ada,PEN,42
//! ```
//!
//! The same statements can be typed into the shell: `cargo run --bin millstream -- sql --data DIR`, or `-- sql --kafka HOST:PORT` on a Kafka
//! cluster; `MILLSTREAM_KAFKA=HOST:PORT` takes this program there.
//!
//! Next: `05_pull_query_on_a_view.rs`.
#![expect(clippy::print_stdout, reason = "examples show their results")]

use std::error::Error;

use millstream_sql::{
    engine::Engine,
    output::{LiveWriter, OutputFormat},
    response::Response,
};

#[path = "where_to_run.rs"]
mod where_to_run;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    // Log, state and everything declared live in this directory; one process at a time has it.
    let engine = Engine::open(where_to_run::engine(directory.path())?)?;
    let mut session = engine.session();

    // A stream is a topic with columns. This one makes the topic; ROWTIME, the timestamp, is a column of every stream.
    let created = session.execute(
        "CREATE STREAM orders (customer STRING KEY, item STRING, amount INT)
         WITH (KAFKA_TOPIC = 'orders', VALUE_FORMAT = 'JSON', PARTITIONS = 1);",
    )?;
    if let Response::Done { message } = created {
        println!("{message}");
    }
    session.execute("INSERT INTO orders (customer, item, amount) VALUES ('ada', 'tea', 30), ('bob', 'cup', 5);")?;

    // By default a push query shows only what comes after its start.
    session.execute("SET 'auto.offset.reset' = 'earliest';")?;
    let push = "SELECT customer, UCASE(item) AS item, amount FROM orders WHERE amount > 20 EMIT CHANGES LIMIT 3;";
    let Response::Push(query) = session.execute(push)? else { return Err("EMIT CHANGES makes a push query".into()) };

    // Rows that are inserted while it runs: another session, as another client would have.
    let mut writer = engine.session();
    writer.execute("INSERT INTO orders (customer, item, amount) VALUES ('bob', 'ink', 25), ('eve', 'mug', 1);")?;
    writer.execute("INSERT INTO orders (customer, item, amount) VALUES ('ada', 'pen', 42);")?;

    // Rows come in batches of columns over a bounded channel: who reads slowly holds back this query and nothing else.
    let mut csv = LiveWriter::new(OutputFormat::Csv, &query.schema, None);
    let mut text = Vec::new();
    for batch in &query.batches {
        csv.write(&batch?, &mut text)?;
    }
    let text = String::from_utf8(text)?;
    print!("{text}");
    assert_eq!(text.lines().collect::<Vec<_>>(), ["CUSTOMER,ITEM,AMOUNT", "ada,TEA,30", "bob,INK,25", "ada,PEN,42"]);

    // Mistakes come back with their place and, where there is one, a guess at what was meant.
    let mistake = session.execute("SELECT custmer FROM orders EMIT CHANGES;").err().ok_or("a mistake is an error")?;
    assert_eq!(mistake.position(), Some((1, 8)), "{mistake}");

    drop(query);
    engine.shutdown()?;
    Ok(())
}

#[test]
fn runs() -> Result<(), Box<dyn Error>> {
    main()
}
