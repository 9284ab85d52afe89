//! 02: windows and grace.
//!
//! You learn that windows are cut by the timestamps of records, never by a clock; that a record may come out of order as long
//! as its window is open; and where a record goes that comes too late.
//!
//! A window `[start, end)` is closed when `end + grace <= stream time`, where stream time is the highest timestamp seen so far:
//!
//! ```text
//! $ cargo run --example windows_and_grace
//! click at  1 s: ada [0 s, 10 s) has 1
//! click at  4 s: ada [0 s, 10 s) has 2
//! click at 12 s: ada [10 s, 20 s) has 1
//! click at  7 s: ada [0 s, 10 s) has 3          out of order, but 10 + 5 > 12: accepted
//! click at 15 s: ada [10 s, 20 s) has 2         10 + 5 <= 15: [0 s, 10 s) is closed from now on
//! click at  9 s: late
//! ```
//!
//! Next: `03_stream_table_join.rs`.
#![expect(clippy::print_stdout, reason = "examples show their results")]

use std::{error::Error, time::Duration};

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Produced},
    record::{Record, TimeSpan, Timestamp},
    testing::TopologyTestDriver,
    window::TimeWindows,
};

fn main() -> Result<(), Box<dyn Error>> {
    // Size and grace have no defaults: both change results.
    let windows = TimeWindows::tumbling(Duration::from_secs(10), Duration::from_secs(5))?;
    assert!(!windows.is_closed(Timestamp(10_000), Timestamp(14_999)));
    assert!(windows.is_closed(Timestamp(10_000), Timestamp(0).plus(TimeSpan::from(Duration::from_secs(15)))));

    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("clicks", Consumed::kafka())
        .group_by_key()
        .windowed_by(windows)
        // One row per user and window. The key is now `Windowed { key, start, end }`, in milliseconds.
        .count("clicks-per-user")
        .to_stream()
        .map(|user, clicks| (format!("{} [{} s, {} s)", user.key, user.start / 1000, user.end / 1000), clicks))
        .to("counts", Produced::json());
    let mut driver = TopologyTestDriver::new(&builder.build()?)?;

    let mut lines = Vec::new();
    for second in [1, 4, 12, 7, 15, 9] {
        driver.push("clicks", Record::new("ada", "/shop").at_ms(second * 1000))?;
        for record in driver.drain("counts")? {
            let window = String::from_utf8(record.key.unwrap_or_default())?;
            let clicks = String::from_utf8(record.value.unwrap_or_default())?;
            lines.push(format!("click at {second:2} s: {window} has {clicks}"));
        }
        // A late record changes nothing. It is counted and kept in the dead-letter topic, with headers that say why and
        // where it was read. Undecodable records and those whose expressions fail go there, too.
        for letter in driver.dead_letters()? {
            let reason = letter.headers.into_iter().find(|header| header.name == "millstream.reason");
            let reason = reason.and_then(|header| header.value).unwrap_or_default();
            lines.push(format!("click at {second:2} s: {}", String::from_utf8(reason)?));
        }
    }
    lines.iter().for_each(|line| println!("{line}"));
    let expected = [
        "click at  1 s: ada [0 s, 10 s) has 1",
        "click at  4 s: ada [0 s, 10 s) has 2",
        "click at 12 s: ada [10 s, 20 s) has 1",
        "click at  7 s: ada [0 s, 10 s) has 3",
        "click at 15 s: ada [10 s, 20 s) has 2",
        "click at  9 s: late",
    ];
    assert_eq!(lines, expected);
    Ok(())
}

#[test]
fn runs() -> Result<(), Box<dyn Error>> {
    main()
}
