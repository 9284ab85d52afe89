//! 07: crash and recover.
//!
//! You learn to run a topology for good, on a log and state in a directory, and what is left of it when its process dies in the
//! middle of its work: outputs, state and input positions are committed together or not at all, so every order counts once.
//!
//! ```text
//! $ cargo run --example crash_and_recover
//! first life: ended by signal 6, with order 750 of 1000 in its hands
//! second life: went on at order 500
//! +-----+-------+---------+
//! | key | value | ROWTIME |
//! +-----+-------+---------+
//! | ada | 500   | 998     |
//! | bob | 500   | 999     |
//! +-----+-------+---------+
//! ```
//!
//! Next: `08_joining_streams.rs`.
#![expect(clippy::print_stdout, reason = "examples show their results")]

use std::{env, error::Error, os::unix::process::ExitStatusExt, path::Path, process, sync::Arc, time::Duration};

use arrow::{array::StringArray, util::pretty::pretty_format_batches};
use millstream::{
    StreamsBuilder,
    dsl::Consumed,
    log::{Append, LogError, SharedLog, Transaction},
    record::{PartitionId, Record, TopicName, TopicPartition},
    runtime::{Status, Streams, StreamsConfig},
};
use millstream_state::{StateBackend, StateConfig};

#[path = "where_to_run.rs"]
mod where_to_run;

const CRASH_IN: &str = "MILLSTREAM_EXAMPLE_CRASH_IN";

/// Starts the topology on a directory; it aborts the process when it meets the order `crash_at`.
fn start(directory: &Path, crash_at: Option<i64>) -> Result<(SharedLog, Streams), Box<dyn Error>> {
    let builder = StreamsBuilder::new();
    let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    let orders = orders.filter(move |_customer, order| crash_at != Some(*order) || process::abort());
    orders.group_by_key().count("orders-per-customer");
    // By default a commit is done when it is on the disk.
    let log = where_to_run::log(directory)?;
    match log.create_topic(&TopicName::new("orders")?, &Default::default()) {
        Ok(()) | Err(LogError::TopicExists { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    // Stores are checkpointed now and then; a restart replays what came after from the store's changelog in the log.
    let state = StateBackend::open(StateConfig::new(directory.join("state"), 16 << 20))?;
    let streams = Streams::start(&builder.build()?, StreamsConfig::new("shop", log.clone(), state))?;
    Ok((log, streams))
}

/// Waits until every order is processed and committed.
fn catch_up(log: &SharedLog, streams: &Streams) -> Result<(), Box<dyn Error>> {
    let mut commits = 0;
    while streams.lag()? > 0 {
        assert_eq!(streams.status(), Status::Running);
        commits = log.wait_for_commit(commits, Duration::from_millis(100));
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(directory) = env::var_os(CRASH_IN) {
        let (log, streams) = start(Path::new(&directory), Some(750))?;
        for numbers in [0..500_i64, 500..1000] {
            let order = |n: i64| Record::new(["ada", "bob"][n as usize % 2], n.to_be_bytes()).at_ms(n);
            let partition = TopicPartition::new(TopicName::new("orders")?, PartitionId(0));
            let appends = vec![Append { partition, records: numbers.map(order).collect() }];
            log.producer("till")?.commit(Transaction { appends, offsets: vec![] })?;
            catch_up(&log, &streams)?;
        }
        return Err("order 750 ends this process".into());
    }
    // The first life is this program once more, as a process of its own. (The argument is for the test runner.)
    let directory = tempfile::tempdir()?;
    let mut child = process::Command::new(env::current_exe()?);
    child.arg("crash_and_recover").env(CRASH_IN, directory.path()).stdout(process::Stdio::null());
    let signal = child.status()?.signal();
    println!("first life: ended by signal {}, with order 750 of 1000 in its hands", signal.unwrap_or_default());
    assert_eq!(signal, Some(6), "SIGABRT");

    // The second life needs to know nothing of the first.
    let (log, streams) = start(directory.path(), None)?;
    catch_up(&log, &streams)?;
    let done_again = streams.metrics().records_in;
    println!("second life: went on at order {}", 1000 - done_again);
    assert_eq!(done_again, 500, "committed work is not repeated");

    let view = streams.view("orders-per-customer").ok_or("the count is a view")?;
    streams.stop()?;
    let rows = view.snapshot()?.get(&[Arc::new(StringArray::from(vec!["ada", "bob"]))])?;
    let table = pretty_format_batches(&[rows])?.to_string();
    println!("{table}");
    assert!(table.contains("| ada | 500   | 998     |") && table.contains("| bob | 500   | 999     |"));
    Ok(())
}

#[test]
fn runs() -> Result<(), Box<dyn Error>> {
    main()
}
