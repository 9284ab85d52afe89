//! 06: your own source.
//!
//! You learn what a source is: a `poll` that hands over records together with the position behind them. The connector runtime
//! commits both in one transaction and gives the position back to `open`: a restart neither loses nor repeats a record.
//!
//! ```text
//! $ cargo run --example your_own_source
//! first run: 10 readings in 3 commits
//! second run: 5 readings in 2 commits
//! in the topic: [0, 1, 4, 9, 16, 25, 36, 49, 64, 81, 100, 121, 144, 169, 196]
//! ```
//!
//! Next: `07_crash_and_recover.rs`.
#![expect(clippy::print_stdout, reason = "examples show their results")]

use std::{error::Error, sync::Arc};

use millstream::{
    connect::{
        ConnectError, PollLimits, Position, Positions, Progress, ProgressUnit, Readiness, Source, SourceBatch,
        SourceStart, SourceTopic,
    },
    log::{Append, TopicConfig},
    record::{PartitionId, Record, TopicName, TopicPartition},
};
use millstream_connectors::{config::TaskSettings, runtime};

#[path = "where_to_run.rs"]
mod where_to_run;

/// A meter with a numbered list of readings, of which `there` are there by now. `next` is the first one not yet read.
struct Meter {
    next: u64,
    there: u64,
    topic: TopicName,
}

impl Source for Meter {
    /// Made if they are not there.
    fn topics(&self) -> Vec<SourceTopic> {
        vec![SourceTopic { name: self.topic.clone(), config: TopicConfig::default() }]
    }

    /// Also called after an error: everything that is not committed is forgotten, and polled again.
    fn open(&mut self, start: SourceStart<'_>) -> Result<(), ConnectError> {
        self.next = match start.positions.get("meter").map(|position| String::from_utf8_lossy(&position.0)) {
            None => 0,
            Some(text) => text.parse().map_err(|_| ConnectError::Position {
                partition: "meter".to_owned(),
                problem: format!("`{text}` is not the number of a reading; was another source run under this name?"),
            })?,
        };
        Ok(())
    }

    fn poll(&mut self, limits: PollLimits) -> Result<SourceBatch, ConnectError> {
        let end = self.there.min(self.next + limits.rows as u64);
        let reading = |n: u64| Record::new("meter", (n * n).to_string()).at_ms(n as i64 * 1000);
        let records = (self.next..end).map(reading).collect();
        self.next = end;
        Ok(SourceBatch {
            appends: vec![Append { partition: TopicPartition::new(self.topic.clone(), PartitionId(0)), records }],
            positions: Positions::from([("meter".to_owned(), Position(end.to_string().into_bytes()))]),
            // A source that will have more would say `Idle` and be polled again after a pause.
            readiness: if end == self.there { Readiness::Exhausted } else { Readiness::Ready },
            rejected: 0,
        })
    }

    fn progress(&self) -> Progress {
        Progress { done: self.next, total: Some(self.there), unit: ProgressUnit::Rows }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let log = where_to_run::log(directory.path())?;
    let readings = TopicPartition::new(TopicName::new("readings")?, PartitionId(0));
    let (mut settings, clock) = (TaskSettings::default(), Arc::new(runtime::SystemClock));
    settings.limits.rows = 4;

    // Each run has a `Meter` that knows nothing of the other's; what they share is the connector's name, `meter-1`.
    for (run, there, expected) in [("first", 10, (10, 3)), ("second", 15, (5, 2))] {
        let meter = Meter { next: 0, there, topic: readings.topic.clone() };
        let running = runtime::start_source("meter-1", Box::new(meter), settings.clone(), log.clone(), clock.clone())?;
        let status = running.wait_until_exhausted(None)?;
        println!("{run} run: {} readings in {} commits", status.rows, status.commits);
        assert_eq!((status.rows, status.commits), expected);
    }
    let (mut next, mut values) = (log.start_offset(&readings)?, Vec::<u64>::new());
    while next < log.end_offset(&readings)? {
        let fetched = log.fetch(&readings, next, 1 << 20)?;
        let records = fetched.batches.iter().flat_map(|batch| batch.records.iter());
        values.extend(records.filter_map(|record| str::from_utf8(record.value?).ok()?.parse::<u64>().ok()));
        next = fetched.next;
    }
    println!("in the topic: {values:?}");
    assert_eq!(values, (0..15).map(|n| n * n).collect::<Vec<u64>>());
    Ok(())
}

#[test]
fn runs() -> Result<(), Box<dyn Error>> {
    main()
}
