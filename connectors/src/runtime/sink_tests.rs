//! Sinks that refuse records, know their own positions, or are told to wait.

use std::{sync::Arc, time::Duration};

use millstream::{
    connect::{ConnectError, Promise, RejectedRecord, Sink, SinkPosition, SinkPositions},
    log::{FetchedBatch, Log, TopicConfig},
    record::{Offset, Record, Timestamp, TopicName, TopicPartition},
};
use parking_lot::Mutex;

use super::{testing::ManualClock, *};
use crate::{
    config::{TaskSettings, Tolerance},
    memory_log::MemoryLog,
};

const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

/// What the target holds and knows.
#[derive(Default)]
struct Target {
    visible: Vec<u64>,
    positions: SinkPositions,
    due: bool,
}

/// Writes in fives, knows how far its target is, and takes no record with the value 3.
struct Fives {
    topics: Vec<TopicName>,
    open: Vec<(TopicPartition, u64)>,
    rejected: Vec<RejectedRecord>,
    target: Arc<Mutex<Target>>,
    positions: SinkPositions,
}

impl Fives {
    fn boxed(target: &Arc<Mutex<Target>>) -> Box<Self> {
        let topics = vec![TopicName::new("numbers").expect("legal")];
        let target = Arc::clone(target);
        Box::new(Self { topics, open: Vec::new(), rejected: Vec::new(), target, positions: SinkPositions::new() })
    }
}

impl Sink for Fives {
    fn topics(&self) -> &[TopicName] {
        &self.topics
    }

    fn promise(&self) -> Promise {
        Promise::ExactlyOnce
    }

    fn open(&mut self, committed: &[SinkPosition]) -> Result<(), ConnectError> {
        self.open.clear();
        self.positions = self.target.lock().positions.clone();
        for position in committed {
            self.positions.entry(position.partition.clone()).or_insert(position.next);
        }
        Ok(())
    }

    fn write(&mut self, partition: &TopicPartition, batch: &FetchedBatch) -> Result<(), ConnectError> {
        for row in 0..batch.records.len() {
            if batch.records.get(row).value == Some(&[3]) {
                self.rejected.push(RejectedRecord::of(partition, batch, row, "three is not taken".to_owned()));
            }
            self.open.push((partition.clone(), batch.offsets.at(row).0));
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<Vec<RejectedRecord>, ConnectError> {
        Ok(std::mem::take(&mut self.rejected))
    }

    fn flush(&mut self) -> Result<Vec<u8>, ConnectError> {
        let mut target = self.target.lock();
        while self.open.len() >= 5 || (target.due && !self.open.is_empty()) {
            let whole = self.open.len().min(5);
            for (partition, offset) in self.open.drain(..whole) {
                target.visible.push(offset);
                self.positions.insert(partition, Offset(offset + 1));
            }
        }
        target.positions = self.positions.clone();
        Ok(Vec::new())
    }

    fn positions(&self) -> Option<&SinkPositions> {
        Some(&self.positions)
    }

    fn is_due(&mut self, _now: Timestamp) -> Result<bool, ConnectError> {
        Ok(self.target.lock().due && !self.open.is_empty())
    }
}

fn log_of(values: impl IntoIterator<Item = u8>) -> Arc<MemoryLog> {
    let log = MemoryLog::new();
    log.create_topic(&TopicName::new("numbers").expect("legal"), &TopicConfig::default()).expect("made");
    append(&log, values);
    log
}

fn append(log: &MemoryLog, values: impl IntoIterator<Item = u8>) {
    let record = |value| Record { value: Some(vec![value]), ..Record::default() };
    log.append("numbers", 0, values.into_iter().map(record).collect());
}

fn start(target: &Arc<Mutex<Target>>, settings: TaskSettings, log: &Arc<MemoryLog>) -> RunningConnector {
    start_sink("fives", Fives::boxed(target), settings, log.clone(), ManualClock::new()).expect("started")
}

fn tolerant() -> TaskSettings {
    TaskSettings { tolerance: Some(Tolerance::All), ..TaskSettings::default() }
}

#[test]
fn records_that_are_not_taken_end_a_sink_or_are_kept() {
    let (log, target) = (log_of(0..5), Arc::default());
    let failed =
        start(&target, TaskSettings::default(), &log).wait_for_status(PATIENCE, |_| false).expect_err("it fails");
    let text = failed.to_string();
    for part in
        ["topic=numbers partition=0 offset=3", "three is not taken", "errors.tolerance", "connect-fives-dead-letter"]
    {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(target.lock().visible, [0_u64; 0]);
    let running = start(&target, tolerant(), &log);
    let status = running.wait_for_status(PATIENCE, |status| status.idle).expect("it goes on");
    assert_eq!((status.rows, status.rejected), (4, 1));
    let letters = log.records("connect-fives-dead-letter", 0);
    let [letter] = letters.as_slice() else { panic!("one letter: {letters:?}") };
    let headers: Vec<String> = letter
        .headers
        .iter()
        .map(|header| {
            format!("{}={}", header.name, String::from_utf8_lossy(header.value.as_deref().unwrap_or_default()))
        })
        .collect();
    let expected = ["connector=fives", "topic=numbers", "partition=0", "offset=3", "problem=three is not taken"];
    assert_eq!(headers, expected.map(|header| format!("millstream.{header}")));
    assert_eq!(letter.value.as_deref(), Some(&[3_u8][..]));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test that hangs is to fail")]
fn what_the_target_says_of_its_positions_counts() {
    let (log, target) = (log_of(10..22), Arc::default());
    let running = start(&target, tolerant(), &log);
    running.wait_for_status(PATIENCE, |status| status.idle).expect("it waits");
    assert_eq!(running.lag().expect("known"), Some(2), "two records are open");
    assert_eq!(target.lock().visible, (0..10).collect::<Vec<_>>());
    // They come once more to the next one, and none twice to the target.
    running.stop();
    let running = start(&target, tolerant(), &log);
    append(&log, 22..25);
    running.wait_for_status(PATIENCE, |status| status.idle && status.rows == 5).expect("five are whole");
    assert_eq!(target.lock().visible, (0..15).collect::<Vec<_>>());
    append(&log, 25..27);
    running.wait_for_status(PATIENCE, |status| status.rows == 7).expect("they are read");
    target.lock().due = true;
    let reached = |_: &ConnectorStatus| target.lock().visible.len() == 17;
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !reached(&running.status()) || running.lag().expect("known") != Some(0) {
        assert!(std::time::Instant::now() < deadline, "what is due is flushed");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_group_that_a_crash_has_left_behind_its_target_catches_up() {
    let (log, target) = (log_of(10..15), Arc::default());
    let running = start(&target, tolerant(), &log);
    running.wait_for_status(PATIENCE, |status| status.rows == 5).expect("they are written");
    running.stop();
    // The target has more, of which the group does not know, and nothing comes any more.
    append(&log, 15..20);
    let partition = target.lock().positions.keys().next().expect("there is one").clone();
    target.lock().positions.insert(partition, Offset(10));
    let running = start(&target, tolerant(), &log);
    running.wait_for_status(PATIENCE, |status| status.idle && status.commits == 1).expect("it commits what is there");
    assert!(running.is_idle().expect("asked"));
    assert_eq!(target.lock().visible.len(), 5, "nothing is written twice");
}

#[test]
fn no_commit_takes_more_records_than_it_is_told() {
    let log = MemoryLog::new();
    let config = TopicConfig { partitions: 3, ..TopicConfig::default() };
    log.create_topic(&TopicName::new("numbers").expect("legal"), &config).expect("made");
    for (partition, count) in [(0, 23), (1, 4), (2, 9)] {
        let record = |value| Record { value: Some(vec![value]), ..Record::default() };
        log.append("numbers", partition, (10..10 + count).map(record).collect());
    }
    let target = Arc::<Mutex<Target>>::default();
    target.lock().due = true;
    let running = start(&target, TaskSettings { sink_rows: Some(5), ..TaskSettings::default() }, &log);
    let status = running.wait_for_status(PATIENCE, |status| status.idle && status.rows == 36).expect("all of it");
    // The first commit has no records; then there are 36 in fives.
    assert_eq!(status.commits, 1 + 8);
    let target = target.lock();
    // The full partition does not keep the others waiting: they are read where the commit before has stopped.
    assert_eq!(target.visible[..20], [0, 1, 2, 3, 4, 0, 1, 2, 3, 0, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5]);
    let mut offsets = target.visible.clone();
    offsets.sort_unstable();
    let mut expected: Vec<u64> = (0..23).chain(0..4).chain(0..9).collect();
    expected.sort_unstable();
    assert_eq!(offsets, expected);
}

#[test]
fn a_target_of_another_topic_is_refused() {
    let log = log_of(0..2);
    let partition = TopicPartition::new(TopicName::new("numbers").expect("legal"), millstream::record::PartitionId(0));
    let target = Arc::new(Mutex::new(Target { positions: [(partition, Offset(40))].into(), ..Target::default() }));
    let error =
        start(&target, tolerant(), &log).wait_for_status(PATIENCE, |_| false).expect_err("it fails").to_string();
    assert!(error.contains("offset 40") && error.contains("ends at 2"), "{error}");
}

#[test]
fn a_paused_sink_waits_and_goes_on() {
    let (log, target) = (log_of(10..15), Arc::default());
    let running = start(&target, tolerant(), &log);
    running.wait_for_status(PATIENCE, |status| status.rows == 5).expect("they are written");
    running.pause();
    running.wait_for_status(PATIENCE, |status| status.state == ConnectorState::Paused).expect("it waits");
    append(&log, 15..20);
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!((running.status().rows, running.lag().expect("known")), (5, Some(5)));
    running.resume();
    let status = running.wait_for_status(PATIENCE, |status| status.rows == 10).expect("it goes on");
    assert_eq!(status.state, ConnectorState::Running);
}
