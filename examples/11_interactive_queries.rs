//! 11: interactive queries.
//!
//! You learn to ask the stores of a running topology: keys, ranges, windows; to read your own write by waiting for its offset; and to
//! take a whole view as Arrow batches.
//!
//! ```text
//! $ cargo run --example interactive_queries
//! ada has ordered 3 times
//! from b on: bob 1, cleo 1
//! ada by hour: 0:2 1:1
//! ```
#![expect(clippy::print_stdout, reason = "examples show their results")]

use std::{error::Error, sync::Arc, time::Duration};

use millstream::{
    StreamsBuilder,
    dsl::Consumed,
    log::{Append, SharedLog, TopicConfig, Transaction},
    query::{RangeQuery, WindowKeyQuery},
    record::{Offset, PartitionId, Position, Record, Records, TopicName, TopicPartition},
    runtime::{Streams, StreamsConfig},
    window::TimeWindows,
};
use millstream_state::{StateBackend, StateConfig};

#[path = "where_to_run.rs"]
mod where_to_run;

const HOUR_MS: i64 = 3_600_000;

fn main() -> Result<(), Box<dyn Error>> {
    let builder = StreamsBuilder::new();
    let orders = builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key();
    orders.count("orders-by-customer");
    let hours = TimeWindows::tumbling(Duration::from_secs(3_600), Duration::ZERO)?;
    orders.windowed_by(hours).count("orders-by-hour");
    let topology = builder.build()?;

    let directory = tempfile::tempdir()?;
    let log: SharedLog = where_to_run::log(directory.path())?;
    let topic = TopicName::new("orders")?;
    log.create_topic(&topic, &TopicConfig::default())?;
    let state = StateBackend::open(StateConfig::new(directory.path().join("state"), 64 << 20))?;
    let streams = Streams::start(&topology, StreamsConfig::new("shop", Arc::clone(&log), state))?;

    // A producer knows the offsets of its records once they are committed, here 0 to 4 ..
    let partition = TopicPartition::new(topic, PartitionId(0));
    let order = |customer: &str, hour: i64| Record::new(customer, 1_i64.to_be_bytes()).at_ms(hour * HOUR_MS);
    let records: Records =
        [order("ada", 0), order("bob", 0), order("ada", 0), order("ada", 1), order("cleo", 1)].into_iter().collect();
    let appends = vec![Append { partition: partition.clone(), records }];
    log.producer("shop-front")?.commit(Transaction { appends, ..Transaction::default() })?;
    // .. and asks for answers that have seen them. Nobody waits for longer than the time given.
    let seen = Position::after(partition, Offset(4));
    let counts = streams.store::<String, i64>("orders-by-customer")?.at_least(seen.clone(), Duration::from_secs(10))?;

    let mut lines = vec![format!("ada has ordered {} times", counts.get("ada")?.unwrap_or_default())];
    let rows = counts.query(RangeQuery::with_lower_bound("b"))?.result;
    let rows: Vec<String> = rows.iter().map(|row| format!("{} {}", row.key, row.value)).collect();
    lines.push(format!("from b on: {}", rows.join(", ")));
    let by_hour = streams.store::<String, i64>("orders-by-hour")?.at_least(seen, Duration::from_secs(10))?;
    let windows = by_hour.query(WindowKeyQuery::with_key("ada"))?.result;
    let windows: Vec<String> = windows.iter().map(|row| format!("{}:{}", row.key.start / HOUR_MS, row.value)).collect();
    lines.push(format!("ada by hour: {}", windows.join(" ")));
    lines.iter().for_each(|line| println!("{line}"));
    assert_eq!(lines, ["ada has ordered 3 times", "from b on: bob 1, cleo 1", "ada by hour: 0:2 1:1"]);

    // Scans come as columns, ready for DataFusion or a file.
    let batches = counts.batches(&RangeQuery::with_no_bounds())?.result;
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 3);
    streams.stop()?;
    Ok(())
}

#[test]
fn runs() -> Result<(), Box<dyn Error>> {
    main()
}
