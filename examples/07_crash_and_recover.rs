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
#![expect(clippy::print_stdout, reason = "examples show their results")]

use std::{env, error::Error, os::unix::process::ExitStatusExt, path::Path, process, sync::Arc, time::Duration};

use arrow::array::{ArrayRef, StringArray};
use millstream::{
    StreamsBuilder,
    dsl::Consumed,
    log::{Append, Log, SharedLog, Transaction, embedded::EmbeddedLog},
    record::{PartitionId, Record, TopicName, TopicPartition},
    runtime::{Status, Streams, StreamsConfig},
};
use millstream_state::{StateBackend, StateConfig};

const CRASH_IN: &str = "MILLSTREAM_EXAMPLE_CRASH_IN";

/// Starts the topology on a directory; it aborts the process when it meets the order `crash_at`.
fn start(directory: &Path, crash_at: Option<i64>) -> Result<(SharedLog, Streams), Box<dyn Error>> {
    let builder = StreamsBuilder::new();
    let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    let dies = move |order: i64| {
        if crash_at == Some(order) {
            process::abort()
        }
    };
    orders.peek(move |_customer, order| dies(*order)).group_by_key().count("orders-per-customer");
    // By default a commit counts when it is on the disk.
    let log = EmbeddedLog::open(&directory.join("log"), Default::default())?;
    if log.topics()?.is_empty() {
        log.create_topic(&TopicName::new("orders")?, &Default::default())?;
    }
    // Stores are checkpointed now and then; a restart replays what came after from the store's changelog in the log.
    let state = StateBackend::open(StateConfig::new(directory.join("state"), 16 << 20))?;
    let streams = Streams::start(&builder.build()?, StreamsConfig::new("shop", log.clone(), state))?;
    Ok((log, streams))
}

fn place_orders(log: &SharedLog, numbers: std::ops::Range<i64>) -> Result<(), Box<dyn Error>> {
    let customer = |number| if number % 2 == 0 { "ada" } else { "bob" };
    let records = numbers.map(|number| Record::new(customer(number), number.to_be_bytes()).at_ms(number)).collect();
    let partition = TopicPartition::new(TopicName::new("orders")?, PartitionId(0));
    log.producer("till")?.commit(Transaction { appends: vec![Append { partition, records }], offsets: vec![] })?;
    Ok(())
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
        place_orders(&log, 0..500)?;
        catch_up(&log, &streams)?;
        place_orders(&log, 500..1000)?;
        catch_up(&log, &streams)?;
        return Err("order 750 ends this process".into());
    }
    // The first life is this program once more, in a process of its own. (The argument is for the test runner.)
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
    let customers: ArrayRef = Arc::new(StringArray::from(vec!["ada", "bob"]));
    let rows = view.snapshot()?.get(&[customers])?;
    let table = arrow::util::pretty::pretty_format_batches(&[rows])?.to_string();
    println!("{table}");
    assert!(table.contains("| ada | 500   | 998     |") && table.contains("| bob | 500   | 999     |"));
    Ok(())
}

#[test]
fn runs() -> Result<(), Box<dyn Error>> {
    main()
}
