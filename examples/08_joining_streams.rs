//! 08: joining streams, and one result a window.
//!
//! You learn to join two streams within a window, so that orders meet their payments and those that are never paid are told; and to hold
//! the updates of a windowed table back until its window closes.
//!
//! ```text
//! $ cargo run --example joining_streams
//! o1 paid after 40 s
//! o2 never paid
//! o3 never paid
//! unpaid orders of minute 0: 1
//! ```
//!
//! Next: `09_your_own_operator.rs`.
#![expect(clippy::print_stdout, reason = "examples show their results")]

use std::{error::Error, time::Duration};

use millstream::{
    StreamsBuilder,
    dsl::{BufferLimit, Consumed, Produced, Suppressed},
    testing::TopologyTestDriver,
    window::{JoinWindows, TimeWindows},
};

const NEVER: &str = "never paid";

fn main() -> Result<(), Box<dyn Error>> {
    let builder = StreamsBuilder::new();
    // Values are the second of the order and of the payment; keys are orders.
    let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    let payments = builder.stream::<String, i64>("payments", Consumed::kafka());
    // A payment counts until a minute after its order. With a grace, an order that has met nothing is passed on when nothing can meet it any
    // more: at the first record past its window and the grace.
    let windows = JoinWindows::new(Duration::ZERO, Duration::from_secs(60)).with_grace(Duration::ZERO);
    let settled = orders.left_join_stream(&payments, windows, |_order, ordered, paid| match paid {
        Some(paid) => format!("paid after {} s", paid - ordered),
        None => NEVER.to_owned(),
    });
    settled.to("settled", Produced::kafka());

    let minutes = TimeWindows::tumbling(Duration::from_secs(60), Duration::from_secs(60))?;
    settled
        .filter(|_order, what| what == NEVER)
        .group_by(|_order, _what| "all".to_owned())
        .windowed_by(minutes)
        .count("unpaid")
        // Every update would be passed on; this holds them until their window closes. `emit_final` on the grouped stream does the same without
        // a buffer; suppression works for any table, and `until_time_limit` for tables without windows.
        .suppress(Suppressed::until_window_closes(BufferLimit::unbounded()))
        .to_stream()
        .map(|window, unpaid| (format!("minute {}", window.start / 60_000), unpaid))
        .to("unpaid", Produced::kafka());

    let driver = TopologyTestDriver::new(&builder.build()?)?;
    let orders = driver.input_topic::<String, i64>("orders")?;
    let payments = driver.input_topic::<String, i64>("payments")?;
    orders.pipe_at("o1", 10, 10_000)?;
    orders.pipe_at("o2", 20, 20_000)?;
    payments.pipe_at("o1", 50, 50_000)?;
    // Too late for o2, and what moves time past its window; the next one closes the window of a minute and its grace.
    payments.pipe_at("o2", 90, 90_000)?;
    orders.pipe_at("o3", 200, 200_000)?;
    orders.pipe_at("o4", 400, 400_000)?;

    let mut lines = Vec::new();
    for (order, what) in driver.output_topic::<String, String>("settled")?.read_key_values_to_list()? {
        lines.push(format!("{order} {}", what.unwrap_or_default()));
    }
    for (minute, unpaid) in driver.output_topic::<String, i64>("unpaid")?.read_key_values_to_list()? {
        lines.push(format!("unpaid orders of {minute}: {}", unpaid.unwrap_or_default()));
    }
    lines.iter().for_each(|line| println!("{line}"));
    assert_eq!(lines, ["o1 paid after 40 s", "o2 never paid", "o3 never paid", "unpaid orders of minute 0: 1"]);
    Ok(())
}

#[test]
fn runs() -> Result<(), Box<dyn Error>> {
    main()
}
