//! 09: your own operator, with a state store and a schedule.
//!
//! You learn to write a processor: what it remembers lies in a store, which is committed with the records and comes back after a crash; a
//! schedule on wall-clock time wakes it up when no record comes. The driver's clock stands still until the test moves it.
//!
//! ```text
//! $ cargo run --example your_own_operator
//! boiler: silent since 1000
//! boiler: back after 29 s
//! ```
//!
//! Next: `10_asking_a_service.rs`.
#![expect(clippy::print_stdout, reason = "examples show their results")]

use std::{error::Error, time::Duration};

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, KeyValueStore, Processor, ProcessorContext, ProcessorError, ProcessorRecord, Produced, Stores},
    operator::{Punctuation, PunctuationType},
    testing::TopologyTestDriver,
};

/// Tells which sensors have been silent for ten seconds, and when they are back.
struct Watchdog {
    /// When each sensor was heard last, by the clock; a negative time: and it was told.
    heard: KeyValueStore<String, i64>,
}

const SILENCE_MS: i64 = 10_000;

impl Processor<String, f64, String, String> for Watchdog {
    fn init(&mut self, context: &mut ProcessorContext<'_, String, String>) -> Result<(), ProcessorError> {
        context.schedule(Duration::from_secs(1), PunctuationType::WallClockTime)?;
        Ok(())
    }

    fn process(
        &mut self,
        record: ProcessorRecord<String, f64>,
        context: &mut ProcessorContext<'_, String, String>,
    ) -> Result<(), ProcessorError> {
        let now = context.current_system_time().millis();
        let mut heard = context.store(&self.heard)?;
        let before = heard.get(&record.key)?;
        heard.put(&record.key, &now)?;
        if let Some(told) = before.filter(|before| *before < 0) {
            let seconds = (now + told) / 1_000;
            context.forward(record.with_value(format!("back after {seconds} s")));
        }
        Ok(())
    }

    fn punctuate(
        &mut self,
        tick: &Punctuation,
        context: &mut ProcessorContext<'_, String, String>,
    ) -> Result<(), ProcessorError> {
        for (sensor, heard) in context.store(&self.heard)?.all()? {
            if heard > 0 && tick.timestamp.millis() - heard >= SILENCE_MS {
                context.store(&self.heard)?.put(&sensor, &-heard)?;
                let text = format!("silent since {heard}");
                context.forward(ProcessorRecord::new(sensor, text, tick.timestamp));
            }
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let builder = StreamsBuilder::new();
    let heard = builder.add_state_store(Stores::key_value("heard"));
    let handle = heard.clone();
    builder
        .stream::<String, f64>("readings", Consumed::kafka())
        // One watchdog a task; it may only use the stores that are named here.
        .process(move || Watchdog { heard: handle.clone() }, &[&heard])
        .to("alarms", Produced::kafka());
    let driver = TopologyTestDriver::new(&builder.build()?)?;

    let readings = driver.input_topic::<String, f64>("readings")?;
    driver.advance_wall_clock(Duration::from_secs(1))?;
    readings.pipe("boiler", 71.5)?;
    driver.advance_wall_clock(Duration::from_secs(5))?;
    // A crash changes nothing: the store comes back from its changelog.
    driver.restart()?;
    driver.advance_wall_clock(Duration::from_secs(24))?;
    readings.pipe("boiler", 70.0)?;

    let alarms = driver.output_topic::<String, String>("alarms")?.read_key_values_to_list()?;
    let lines: Vec<String> =
        alarms.into_iter().map(|(sensor, text)| format!("{sensor}: {}", text.unwrap_or_default())).collect();
    lines.iter().for_each(|line| println!("{line}"));
    assert_eq!(lines, ["boiler: silent since 1000", "boiler: back after 29 s"]);
    Ok(())
}

#[test]
fn runs() -> Result<(), Box<dyn Error>> {
    main()
}
