//! 01: word count, the first topology.
//!
//! You learn to build a topology with the DSL, to feed it with the test driver, and that a table is a stream of updates:
//! each new occurrence of a word revises its count.
//!
//! ```text
//! $ cargo run --example word_count
//! the 1
//! mill 1
//! turns 1
//! the 2
//! stream 1
//! turns 2
//! the 3
//! mill 2
//! ```
//!
//! Next: `02_windows_and_grace.rs`.
#![expect(clippy::print_stdout, reason = "examples show their results")]

use std::error::Error;

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Produced},
    record::Record,
    testing::TopologyTestDriver,
};

fn main() -> Result<(), Box<dyn Error>> {
    // A topology is a plan: it names topics and operators and runs nothing. Types are those of keys and values; the formats,
    // here the bytes that Kafka's own serialisers write, are named where the topic is.
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("lines", Consumed::kafka())
        // One record becomes many, each with its word as the key.
        .flat_map(|_line, text| text.split_whitespace().map(|word| (word.to_lowercase(), ())).collect::<Vec<_>>())
        // The key has changed, so records move through a repartition topic: equal words meet in one partition.
        .group_by_key()
        // A table, kept in a store of this name.
        .count("word-counts")
        // Its updates as a stream again, written to a topic.
        .to_stream()
        .to("counts", Produced::json());
    // All mistakes, such as an unknown column, show here and not when records come.
    let topology = builder.build()?;

    // The driver runs the topology in this thread, without disks or clocks. `runtime::Streams` runs it for good (see 07).
    let mut driver = TopologyTestDriver::new(&topology)?;
    driver.push("lines", Record::new("1", "The mill turns"))?;
    driver.push("lines", Record::new("2", "the stream turns the mill"))?;

    let mut updates = Vec::new();
    for record in driver.drain("counts")? {
        let word = String::from_utf8(record.key.unwrap_or_default())?;
        let count = String::from_utf8(record.value.unwrap_or_default())?;
        println!("{word} {count}");
        updates.push(format!("{word} {count}"));
    }
    assert_eq!(updates, ["the 1", "mill 1", "turns 1", "the 2", "stream 1", "turns 2", "the 3", "mill 2"]);
    Ok(())
}

#[test]
fn runs() -> Result<(), Box<dyn Error>> {
    main()
}
