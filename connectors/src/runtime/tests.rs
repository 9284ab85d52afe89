//! Tasks with sources and sinks made to misbehave: retries, failures, fencing, pace.

use std::{sync::Arc, time::Duration};

use millstream::{
    connect::{
        ConnectError, PollLimits, Position, Positions, Progress, Promise, Readiness, Sink, SinkPosition, Source,
        SourceBatch, SourceStart, SourceTopic,
    },
    log::{Append, FetchedBatch, Log, TopicConfig},
    record::{PartitionId, Record, TopicName, TopicPartition},
};

use super::{testing::ManualClock, *};
use crate::{
    config::{Direction, TaskSettings},
    memory_log::MemoryLog,
};

const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

fn topic() -> TopicName {
    TopicName::new("numbers").expect("legal")
}

fn outside(problem: &str, retryable: bool) -> ConnectError {
    ConnectError::Outside { system: "flaky".into(), problem: problem.into(), retryable, source: None }
}

/// Counts to ten; polls fail as the list says, first entry first.
struct Flaky {
    next: u8,
    polls: Vec<Option<bool>>,
    /// The positions that it heard to be committed.
    heard: Arc<parking_lot::Mutex<Vec<u8>>>,
    /// Where somebody else begins in its name when a poll fails.
    overtaken_in: Option<Arc<MemoryLog>>,
}

impl Flaky {
    fn new(polls: Vec<Option<bool>>) -> Self {
        Self { next: 0, polls, heard: Arc::default(), overtaken_in: None }
    }
}

impl Source for Flaky {
    fn topics(&self) -> Vec<SourceTopic> {
        vec![SourceTopic { name: topic(), config: TopicConfig::default() }]
    }

    fn open(&mut self, start: SourceStart<'_>) -> Result<(), ConnectError> {
        self.next = start.positions.get("count").map_or(0, |position| position.0[0]);
        Ok(())
    }

    fn poll(&mut self, limits: PollLimits) -> Result<SourceBatch, ConnectError> {
        let step = if self.polls.is_empty() { None } else { self.polls.remove(0) };
        let count = limits.rows.min(10 - usize::from(self.next));
        let first = self.next;
        // A poll that fails has moved on already: only opening again brings it back.
        self.next += count as u8;
        if let Some(retryable) = step {
            self.overtaken_in.iter().for_each(|log| drop(log.producer("connector-flaky").expect("opened")));
            return Err(outside("down", retryable));
        }
        let records = (first..self.next).map(|n| Record { value: Some(vec![n]), ..Record::default() }).collect();
        let partition = TopicPartition::new(topic(), PartitionId(0));
        Ok(SourceBatch {
            appends: vec![Append { partition, records }],
            positions: Positions::from([("count".into(), Position(vec![self.next]))]),
            readiness: if self.next < 10 { Readiness::Ready } else { Readiness::Exhausted },
            rejected: 0,
        })
    }

    fn committed(&mut self, positions: &Positions) -> Result<(), ConnectError> {
        self.heard.lock().extend(positions.values().map(|position| position.0[0]));
        Ok(())
    }

    fn progress(&self) -> Progress {
        Progress::default()
    }
}

fn settings(rows: usize) -> TaskSettings {
    let mut settings = TaskSettings::default();
    settings.limits.rows = rows;
    settings.retry.attempts = 2;
    settings
}

fn start_flaky(polls: Vec<Option<bool>>, log: &Arc<MemoryLog>, clock: &Arc<ManualClock>) -> RunningConnector {
    start_source("flaky", Box::new(Flaky::new(polls)), settings(4), log.clone(), clock.clone()).expect("started")
}

fn numbers(log: &MemoryLog) -> Vec<u8> {
    log.records("numbers", 0).into_iter().flat_map(|record| record.value).flatten().collect()
}

#[test]
fn passing_errors_are_retried_with_growing_waits_and_lose_nothing() {
    let (log, clock) = (MemoryLog::new(), ManualClock::new());
    let polls = vec![None, Some(true), Some(true), None, Some(true)];
    let status = start_flaky(polls, &log, &clock).wait_until_exhausted(PATIENCE).expect("it comes through");
    assert_eq!(numbers(&log), (0..10).collect::<Vec<_>>());
    assert_eq!((status.retries, status.commits, status.rows), (3, 3, 10));
    assert_eq!(status.last_error.as_deref(), Some("flaky: down"));
    let waited = clock.now().0 - 1000;
    assert!(
        (1000..=2000).contains(&waited),
        "at least half of 500, 1000 and, as progress resets the wait, 500: {waited}"
    );
}

#[test]
fn a_source_hears_of_each_commit() {
    let (log, clock, heard) = (MemoryLog::new(), ManualClock::new(), Arc::default());
    let source = Box::new(Flaky { heard: Arc::clone(&heard), ..Flaky::new(vec![None, Some(true)]) });
    let running = start_source("flaky", source, settings(4), log, clock).expect("started");
    running.wait_until_exhausted(PATIENCE).expect("it comes through");
    assert_eq!(*heard.lock(), [4, 8, 10]);
}

#[test]
fn lasting_errors_end_it() {
    let check = |polls: Vec<Option<bool>>, retries: u64| {
        let (log, clock) = (MemoryLog::new(), ManualClock::new());
        let running = start_flaky(polls, &log, &clock);
        let error = running.wait_until_exhausted(PATIENCE).expect_err("it fails");
        assert_eq!(error, WaitError::Failed { name: "flaky".into(), error: "flaky: down".into() });
        assert_eq!((running.status().state, running.status().retries), (ConnectorState::Failed, retries));
    };
    check(vec![Some(false)], 0);
    check(vec![Some(true); 3], 2);
}

#[test]
fn a_newer_connector_of_the_name_fences_the_older() {
    let (log, clock) = (MemoryLog::new(), ManualClock::new());
    let mut older = log.producer("connector-flaky").expect("opened");
    start_flaky(Vec::new(), &log, &clock).wait_until_exhausted(PATIENCE).expect("done");
    assert!(older.commit(millstream::log::Transaction::default()).is_err_and(|error| error.is_nothing_committed()));
    start_flaky(Vec::new(), &log, &clock).wait_until_exhausted(PATIENCE).expect("nothing is left to do");
    assert_eq!(numbers(&log).len(), 10);
}

#[test]
fn a_connector_that_was_replaced_while_it_waited_does_not_fence_the_newer() {
    let (log, clock) = (MemoryLog::new(), ManualClock::new());
    let source = Flaky { overtaken_in: Some(Arc::clone(&log)), ..Flaky::new(vec![None, Some(true)]) };
    let running = start_source("flaky", Box::new(source), settings(4), log.clone(), clock).expect("started");
    assert!(matches!(running.wait_until_exhausted(PATIENCE), Err(WaitError::Failed { .. })));
    assert_eq!((running.status().retries, numbers(&log)), (1, (0..4).collect::<Vec<_>>()));
}

#[test]
fn a_throttled_source_takes_its_time() {
    let (log, clock) = (MemoryLog::new(), ManualClock::new());
    let settings = TaskSettings { rows_per_second: Some(20.0), ..TaskSettings::default() };
    let source = Box::new(Flaky::new(Vec::new()));
    let running = start_source("slow", source, settings, log.clone(), clock.clone()).expect("started");
    assert_eq!(running.wait_until_exhausted(PATIENCE).expect("done").commits, 5, "two rows a tenth of a second");
    assert_eq!(clock.now().0, 1000 + 400, "no wait after the last");
}

/// Writes nothing, fails as told.
struct FlakySink {
    topics: Vec<TopicName>,
    failures: u32,
    written: Vec<u64>,
    report: Arc<parking_lot::Mutex<Vec<u64>>>,
}

impl Sink for FlakySink {
    fn topics(&self) -> &[TopicName] {
        &self.topics
    }

    fn promise(&self) -> Promise {
        Promise::AtLeastOnce
    }

    fn open(&mut self, committed: &[SinkPosition]) -> Result<(), ConnectError> {
        self.written.truncate(committed[0].next.0 as usize);
        Ok(())
    }

    fn write(&mut self, _partition: &TopicPartition, batch: &FetchedBatch) -> Result<(), ConnectError> {
        self.written.extend((0..batch.records.len()).map(|row| batch.offsets.at(row).0));
        if self.failures > 0 {
            self.failures -= 1;
            return Err(outside("full", true));
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<Vec<u8>, ConnectError> {
        self.report.lock().clone_from(&self.written);
        Ok(b"mark".into())
    }
}

#[test]
fn a_sink_starts_again_from_what_is_committed() {
    let (log, clock, report) = (MemoryLog::new(), ManualClock::new(), Arc::default());
    let sink = |failures| {
        Box::new(FlakySink { topics: vec![topic()], failures, written: Vec::new(), report: Arc::clone(&report) })
    };
    let missing =
        start_sink("out", sink(0), settings(1), log.clone(), clock.clone()).err().map(|error| error.to_string());
    assert!(missing.is_some_and(|error| error.contains("connector out: there is no topic numbers")));
    start_flaky(Vec::new(), &log, &clock).wait_until_exhausted(PATIENCE).expect("numbers are there");
    let running = start_sink("out", sink(2), settings(1), log.clone(), clock.clone()).expect("started");
    let status = running.wait_for_status(PATIENCE, |status| status.idle).expect("it comes through");
    assert_eq!((status.direction, status.rows, status.retries), (Direction::Sink, 10, 2));
    assert_eq!(*report.lock(), (0..10).collect::<Vec<_>>());
    assert!(running.is_idle().expect("asked"));
    log.append("numbers", 0, vec![Record::default()]);
    running.wait_for_status(PATIENCE, |status| status.rows == 11).expect("wakes up");
}

#[test]
fn names_are_checked() {
    let source = Box::new(Flaky::new(Vec::new()));
    let started = start_source("a name", source, settings(1), MemoryLog::new(), ManualClock::new());
    assert!(matches!(started, Err(StartError::Name(_))));
}
