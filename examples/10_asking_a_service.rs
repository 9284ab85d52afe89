//! 10: asking a service.
//!
//! You learn to call something outside for each record without waiting for one answer after another: calls are in flight together, retried
//! and bounded; a commit waits for them, so that a crash makes calls again but commits each result once. What gets no answer is a dead letter.
//!
//! ```text
//! $ cargo run --example asking_a_service
//! ada: 100 EUR are 108 USD
//! bob: 50 EUR are 54 USD
//! calls: 4
//! without an answer: cleo
//! ```
//!
//! Next: `11_interactive_queries.rs`.
#![expect(clippy::print_stdout, reason = "examples show their results")]

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use millstream::{
    StreamsBuilder,
    dsl::{AsyncOptions, AsyncRetry, Consumed, ProcessorError, Produced},
    testing::TopologyTestDriver,
};

/// A service that knows a rate, answers the first call with a failure, and knows nobody called Cleo.
async fn in_dollars(customer: &str, euros: i64, calls: &AtomicUsize) -> Result<String, ProcessorError> {
    let call = calls.fetch_add(1, Ordering::Relaxed);
    match (customer, call) {
        ("cleo", _) => Err("unknown customer".into()),
        (_, 0) => Err("try again later".into()),
        _ => Ok(format!("{euros} EUR are {} USD", euros * 108 / 100)),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let calls = Arc::new(AtomicUsize::new(0));
    let service = Arc::clone(&calls);
    let builder = StreamsBuilder::new();
    let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    let (known, unknown) = (orders.filter(|customer, _| customer != "cleo"), orders.filter(|name, _| name == "cleo"));
    let ask = move |customer: String, euros| {
        let service = Arc::clone(&service);
        async move { in_dollars(&customer, euros, &service).await }
    };
    // The first call fails once and is made again; answers keep the order of their records, whichever comes first.
    let retry = AsyncRetry { attempts: 2, back_off: Duration::from_millis(1) };
    known
        .map_values_async(ask.clone(), AsyncOptions { retry, ..AsyncOptions::default() })
        .to("priced", Produced::kafka());
    unknown.map_values_async(ask, AsyncOptions::default()).to("priced", Produced::kafka());

    let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    let orders = driver.input_topic::<String, i64>("orders")?;
    for (customer, euros) in [("ada", 100), ("bob", 50), ("cleo", 7)] {
        orders.pipe(customer, euros)?;
    }

    let mut lines = Vec::new();
    for (customer, price) in driver.output_topic::<String, String>("priced")?.read_key_values_to_list()? {
        lines.push(format!("{customer}: {}", price.unwrap_or_default()));
    }
    lines.push(format!("calls: {}", calls.load(Ordering::Relaxed)));
    for letter in driver.dead_letters()? {
        let row = String::from_utf8(letter.value.unwrap_or_default())?;
        lines.push(format!("without an answer: {}", if row.contains("cleo") { "cleo" } else { &row }));
    }
    lines.iter().for_each(|line| println!("{line}"));
    assert_eq!(lines, ["ada: 100 EUR are 108 USD", "bob: 50 EUR are 54 USD", "calls: 4", "without an answer: cleo"]);
    Ok(())
}

#[test]
fn runs() -> Result<(), Box<dyn Error>> {
    main()
}
