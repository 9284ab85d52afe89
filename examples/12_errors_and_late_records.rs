//! 12: errors and late records.
//!
//! You learn what becomes of records that cannot be read, processed or are late: who decides, and where they go; and how the last window closes
//! though no record comes any more.
//!
//! ```text
//! $ cargo run --example errors_and_late_records
//! dead letter: sensors offset 1, expression: invalid float literal
//! late: 19.5 at 30 s
//! kitchen [0 s, 60 s): 2
//! kitchen [60 s, 120 s): 1                      closed by the clock
//! dropped: expression 2, late 1
//! ```
#![expect(clippy::print_stdout, reason = "examples show their results")]

use std::{error::Error, time::Duration};

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Produced},
    operator::Reason,
    record::Record,
    runtime::{ErrorHandler, ErrorHandlers, HandlerResponse},
    testing::{DriverOptions, TopologyTestDriver},
    window::TimeWindows,
};

fn main() -> Result<(), Box<dyn Error>> {
    let builder = StreamsBuilder::new();
    let readings = builder.stream::<String, String>("sensors", Consumed::kafka());
    // A closure may fail: the error is that of its record, and so is a panic.
    let degrees = readings.try_map_values(|text| text.parse::<f64>()).named("parse");
    let minutes = TimeWindows::tumbling(Duration::from_secs(60), Duration::ZERO)?;
    let counts = degrees.group_by_key().windowed_by(minutes).emit_final().count("readings");
    // Late records are a stream like any other.
    counts.late_records::<f64>().map_values(|degrees| degrees.to_string()).to("late", Produced::kafka());
    let shown = counts.to_stream().map(|room, readings| {
        (format!("{} [{} s, {} s)", room.key, room.start / 1000, room.end / 1000), readings.to_string())
    });
    shown.to("counts", Produced::kafka());

    // Empty readings are common here and dropped; everything else is kept in the dead-letter topic, which is the default.
    let processing = ErrorHandler::from_fn(|error| match error.row {
        Some(row) if String::from_utf8_lossy(row).contains(r#""value":"""#) => HandlerResponse::Continue,
        _ => HandlerResponse::DeadLetter,
    });
    let options = DriverOptions {
        handlers: ErrorHandlers { processing, ..ErrorHandlers::default() },
        // After ten seconds without a record time goes on by the clock.
        idle_advance: Some(Duration::from_secs(10)),
        ..DriverOptions::default()
    };
    let mut driver = TopologyTestDriver::with_options(&builder.build()?, options)?;

    for (reading, second) in [("20.1", 10), ("warm", 20), ("20.3", 40), ("", 50), ("20.2", 70), ("19.5", 30)] {
        driver.push("sensors", Record::new("kitchen", reading).at_ms(second * 1000))?;
    }
    let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap_or_default());
    let mut lines = Vec::new();
    for letter in driver.dead_letters()? {
        let header = |name: &str| {
            let header = letter.headers.iter().find(|header| header.name == format!("millstream.{name}"));
            text(header.and_then(|header| header.value.clone()))
        };
        let [topic, offset, reason, problem] = ["topic", "offset", "reason", "problem"].map(header);
        lines.push(format!("dead letter: {} offset {}, {}: {}", topic?, offset?, reason?, problem?));
    }
    for late in driver.drain("late")? {
        lines.push(format!("late: {} at {} s", text(late.value)?, late.timestamp.millis() / 1000));
    }
    // The first window was closed by the record at 70 s. The second one waits for a record, or for the clock.
    driver.advance_wall_clock(Duration::from_secs(10 + 50))?;
    for count in driver.drain("counts")? {
        lines.push(format!("{}: {}", text(count.key)?, text(count.value)?));
    }
    let dropped = |reason| driver.metrics().dropped_for(reason);
    lines.push(format!("dropped: expression {}, late {}", dropped(Reason::Expression), dropped(Reason::Late)));
    lines.iter().for_each(|line| println!("{line}"));
    let expected = [
        "dead letter: sensors offset 1, expression: invalid float literal",
        "late: 19.5 at 30 s",
        "kitchen [0 s, 60 s): 2",
        "kitchen [60 s, 120 s): 1",
        "dropped: expression 2, late 1",
    ];
    assert_eq!(lines, expected);
    Ok(())
}

#[test]
fn runs() -> Result<(), Box<dyn Error>> {
    main()
}
