//! Power cuts, failing calls and damaged files: the recovered log is a prefix of what was committed, with everything that
//! was acknowledged; damage is named or harmless.
//!
//! One script is run on [`FaultDisk`] once for every call it makes, with something going wrong at that call. It makes
//! topics, commits over three partitions and a group (every third commit is empty), rolls segments and the commit log,
//! retains, compacts, closes and reopens, deletes and makes again. Each step changes what a reader sees in one frame, so
//! after every crash the log must look exactly as after the last acknowledged step or the one that was under way.

use std::{collections::BTreeMap, fmt::Write, io, path::Path, sync::Arc, time::Duration};

use super::{
    fault_disk::{Fault, FaultDisk, Survival},
    *,
};
use crate::{
    log::{Append, CleanupPolicy, CommitError, OffsetCommit, Transaction},
    record::{PartitionId, Record},
};

const STEPS: usize = 48;
const ROOT: &str = "/data/log";

fn place(name: &str, partition: u32) -> TopicPartition {
    TopicPartition::new(TopicName::new(name).unwrap(), PartitionId(partition))
}

fn config(durability: Durability) -> EmbeddedConfig {
    EmbeddedConfig { durability, commit_log_bytes: 1024 }
}

fn open(disk: &Arc<FaultDisk>, durability: Durability) -> Result<Arc<EmbeddedLog>, LogError> {
    EmbeddedLog::open_on(Arc::clone(disk) as _, Path::new(ROOT), config(durability))
}

/// Why a step failed.
#[derive(Debug)]
enum Failure {
    Log(#[expect(dead_code, reason = "shown by Debug")] LogError),
    Commit(CommitError),
}

struct Script {
    disk: Arc<FaultDisk>,
    durability: Durability,
    log: Option<Arc<EmbeddedLog>>,
    producer: Option<Box<dyn Producer>>,
}

impl Script {
    fn start(disk: &Arc<FaultDisk>, durability: Durability) -> Result<Self, Failure> {
        let log = open(disk, durability).map_err(Failure::Log)?;
        Ok(Self { disk: Arc::clone(disk), durability, log: Some(log), producer: None })
    }

    fn log(&self) -> &EmbeddedLog {
        self.log.as_ref().expect("the log is open")
    }

    fn step(&mut self, number: usize) -> Result<(), Failure> {
        let small = TopicConfig { segment_bytes: 1100, ..TopicConfig::default() };
        let make = |log: &EmbeddedLog, name: &str, config: TopicConfig| {
            log.create_topic(&TopicName::new(name).unwrap(), &config).map_err(Failure::Log)
        };
        match number {
            0 => make(self.log(), "events", TopicConfig { partitions: 3, ..small }),
            1 | 37 => make(self.log(), "old", TopicConfig { retention_bytes: Some(2000), ..small }),
            2 => {
                let delay = Duration::from_millis(5);
                let config = TopicConfig { cleanup: CleanupPolicy::Compact, tombstone_delay: delay, ..small };
                make(self.log(), "table", config)
            }
            3 => {
                self.producer = Some(self.log().producer("script").map_err(Failure::Log)?);
                Ok(())
            }
            35 => self.log().delete_topic(&place("old", 0).topic).map_err(Failure::Log),
            24 => {
                self.producer = None;
                self.log = None;
                self.log = Some(open(&self.disk, self.durability).map_err(Failure::Log)?);
                self.producer = Some(self.log().producer("script").map_err(Failure::Log)?);
                Ok(())
            }
            _ if number % 8 == 7 => self.log().maintain(Timestamp(number as i64)).map(drop).map_err(Failure::Log),
            _ => self.commit(number).map_err(Failure::Commit),
        }
    }

    fn commit(&mut self, number: usize) -> Result<(), CommitError> {
        let producer = self.producer.as_mut().expect("the producer is open");
        if number.is_multiple_of(3) {
            return producer.commit(Transaction::default()).map(drop);
        }
        let value = format!("{number} {}", "x".repeat(100 + number * 13 % 300)).into_bytes();
        let record = |key: usize, value: Option<&[u8]>| Record {
            key: Some(vec![b'k', key as u8]),
            value: value.map(Into::into),
            timestamp: Timestamp(number as i64),
            headers: vec![],
        };
        let one = |to, record| Append { partition: to, records: [record].into_iter().collect() };
        let mut appends: Vec<Append> = (0..3).map(|p| one(place("events", p), record(number, Some(&value)))).collect();
        appends.push(one(place("table", 0), record(number % 4, (!number.is_multiple_of(5)).then_some(&value[..]))));
        if !(35..=37).contains(&number) {
            appends.push(one(place("old", 0), record(number, Some(&value))));
        }
        let position = GroupOffset { next: Offset(number as u64), metadata: vec![number as u8] };
        let offset = OffsetCommit { group: GroupId::new("g").unwrap(), partition: place("events", 1), position };
        producer.commit(Transaction { appends, offsets: vec![offset] }).map(drop)
    }
}

/// What a reader sees, as text: for the compacted topic the table that it amounts to, for others every record.
fn look(log: &EmbeddedLog) -> Result<String, LogError> {
    let mut text = String::new();
    for topic in log.topics()? {
        for number in 0..topic.config.partitions {
            let of = TopicPartition::new(topic.name.clone(), PartitionId(number));
            let compacted = topic.config.cleanup == CleanupPolicy::Compact;
            let (start, end) = (log.start_offset(&of)?, log.end_offset(&of)?);
            writeln!(text, "{of}: {start} to {end}, {:?}", log.committed(&GroupId::new("g").unwrap(), &of)?).unwrap();
            let (mut next, mut table) = (start, BTreeMap::new());
            while next < end {
                let fetched = log.fetch(&of, next, 1000)?;
                assert!(fetched.next > next);
                next = fetched.next;
                for batch in fetched.batches {
                    for (row, r) in batch.records.iter().enumerate() {
                        let key = if compacted { u64::from(r.key.unwrap()[1]) } else { batch.offsets.at(row).0 };
                        table.insert(key, r.value.map(<[u8]>::to_vec));
                    }
                }
            }
            table.retain(|_, value| value.is_some());
            writeln!(text, "{table:?}").unwrap();
        }
    }
    Ok(text)
}

/// Runs the script until a step fails: how many steps were acknowledged, why it ended, and the script.
fn run(
    disk: &Arc<FaultDisk>,
    durability: Durability,
    mut each: impl FnMut(&EmbeddedLog),
) -> (usize, Option<Failure>, Option<Script>) {
    let mut script = match Script::start(disk, durability) {
        Ok(script) => script,
        Err(failure) => return (0, Some(failure), None),
    };
    each(script.log());
    for number in 0..STEPS {
        if let Err(failure) = script.step(number) {
            return (number, Some(failure), Some(script));
        }
        each(script.log());
    }
    (STEPS, None, Some(script))
}

/// What a reader sees before the first step and after each.
fn reference(disk: &Arc<FaultDisk>, durability: Durability) -> Vec<String> {
    let mut looks = Vec::new();
    let (done, failure, _) = run(disk, durability, |log| looks.push(look(log).unwrap()));
    assert!(failure.is_none() && done == STEPS, "{failure:?}");
    looks
}

/// The log must open and look like one of `allowed`, twice, also if opening is cut short once; and take a commit.
fn check_recovered(disk: &Arc<FaultDisk>, durability: Durability, allowed: &[String], context: &str) {
    let log = open(disk, durability).unwrap_or_else(|error| panic!("{context}: {error}"));
    let found = look(&log).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert!(allowed.contains(&found), "{context}: found\n{found}\nbut expected one of\n{}", allowed.join("\nor\n"));
    // What was served must survive the next power cut: nothing is served that is not durable.
    drop_without_closing(log, disk);
    let log = open(disk, durability).unwrap_or_else(|error| panic!("{context}, again: {error}"));
    assert_eq!(look(&log).unwrap(), found, "{context}, again");
    let mut producer = log.producer("after").unwrap();
    if log.topics().unwrap().iter().any(|topic| topic.name.as_str() == "events") {
        let records = [Record { value: Some(b"after".to_vec()), ..Record::default() }].into_iter().collect();
        let append = Append { partition: place("events", 2), records };
        let receipt = producer.commit(Transaction { appends: vec![append], offsets: vec![] }).unwrap();
        let fetched = log.fetch(&place("events", 2), receipt.base_offsets[0], 1).unwrap();
        assert_eq!(fetched.batches[0].records.get(0).value, Some(&b"after"[..]), "{context}");
    }
}

fn drop_without_closing(log: Arc<EmbeddedLog>, disk: &FaultDisk) {
    disk.arm(Fault::PowerCut { at: 0 });
    drop(log);
    disk.power_on(Survival::Synced);
}

fn check_power_cuts(durability: Durability) {
    let disk = FaultDisk::new();
    let looks = reference(&disk, durability);
    let calls = disk.calls();
    assert!(calls > 300, "the script makes only {calls} calls");
    for at in 1..=calls {
        let survivals =
            [Survival::Synced, Survival::Torn { bytes: at as usize * 29 % 700 }, Survival::Any { seed: at }];
        for survival in survivals {
            let disk = FaultDisk::new();
            disk.arm(Fault::PowerCut { at });
            let (done, failure, script) = run(&disk, durability, |_| {});
            assert!(failure.is_some() || at + 20 > calls, "cut at call {at}: nothing failed");
            drop(script);
            disk.power_on(survival);
            if at % 7 == 0 {
                // A second cut, while recovery is at work.
                disk.arm(Fault::PowerCut { at: disk.calls() + 1 + at % 5 });
                drop(open(&disk, durability));
                disk.power_on(survival);
            }
            let first = if durability == Durability::Fsync { done } else { 0 };
            let last = (done + 1).min(STEPS);
            check_recovered(
                &disk,
                durability,
                &looks[first..=last],
                &format!("cut at call {at} of {calls}, {survival:?}"),
            );
        }
    }
}

#[test]
fn a_power_cut_at_any_call_keeps_what_was_acknowledged() {
    check_power_cuts(Durability::Fsync);
}

#[test]
fn a_power_cut_with_durability_os_leaves_a_prefix() {
    check_power_cuts(Durability::Os);
}

#[test]
fn a_kill_with_durability_os_loses_nothing() {
    let disk = FaultDisk::new();
    let looks = reference(&disk, Durability::Os);
    for at in (1..=disk.calls()).step_by(3) {
        let disk = FaultDisk::new();
        disk.arm(Fault::PowerCut { at });
        let (done, _, script) = run(&disk, Durability::Os, |_| {});
        drop(script);
        disk.power_on(Survival::Torn { bytes: 0 });
        check_recovered(&disk, Durability::Os, &looks[done..=(done + 1).min(STEPS)], &format!("killed at call {at}"));
    }
}

#[test]
fn a_failing_call_is_reported_and_never_acknowledged() {
    let disk = FaultDisk::new();
    let looks = reference(&disk, Durability::Fsync);
    let calls = disk.calls();
    let mut rejected = 0;
    for at in 1..=calls {
        for (kind, sticky) in
            [(io::ErrorKind::Other, false), (io::ErrorKind::StorageFull, false), (io::ErrorKind::StorageFull, true)]
        {
            let context = format!("call {at} fails with {kind}, sticky: {sticky}");
            let disk = FaultDisk::new();
            disk.arm(Fault::Error { at, kind, sticky });
            let (done, failure, script) = run(&disk, Durability::Fsync, |_| {});
            disk.arm(Fault::None);
            let last = (done + 1).min(STEPS);
            let context = format!("{context}, step {done}: {failure:?}");
            if let (Some(failure), Some(mut script)) = (&failure, script)
                && script.log.is_some()
            {
                // Readers go on; a writer that says it works does.
                let seen = look(script.log()).unwrap();
                match failure {
                    Failure::Commit(CommitError::Rejected(_)) => {
                        rejected += 1;
                        assert_eq!(seen, looks[done], "{context}");
                        script.step(done).unwrap_or_else(|failure| panic!("{context}: {failure:?}"));
                        assert_eq!(look(script.log()).unwrap(), looks[last], "{context}");
                    }
                    Failure::Commit(_) => {
                        assert_eq!(seen, looks[done], "{context}");
                        let again = script.commit(3).unwrap_err();
                        assert!(
                            matches!(again, CommitError::Rejected(LogError::Poisoned { .. })),
                            "{context}: {again}"
                        );
                    }
                    Failure::Log(_) => assert!(looks[done..=last].contains(&seen), "{context}"),
                }
            }
            disk.power_on(Survival::Synced);
            check_recovered(&disk, Durability::Fsync, &looks[done..=last], &context);
        }
    }
    assert!(rejected > 20, "a full disk was survived only {rejected} times");
}

/// Opens a damaged copy: refused by name, or the answer is one of `allowed`.
fn check_damage(disk: &Arc<FaultDisk>, allowed: &[String], context: &str) -> bool {
    let refused = |error: LogError| match error {
        LogError::Corrupt { .. } | LogError::UnknownVersion { .. } => false,
        error => panic!("{context}: {error}"),
    };
    match open(disk, Durability::Fsync).and_then(|log| look(&log)) {
        Ok(found) => {
            assert!(allowed.contains(&found), "{context}: a wrong answer\n{found}");
            true
        }
        Err(error) => refused(error),
    }
}

fn check_flips(disk: &FaultDisk, allowed: &[String]) -> (usize, usize) {
    let (mut harmless, mut refused) = (0, 0);
    for (path, bytes) in disk.files() {
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let spots = (0..used).step_by((used / 100).max(1)).chain((used..bytes.len()).step_by(1021));
        for spot in spots {
            let copy = disk.copy();
            let mut damaged = bytes.clone();
            damaged[spot] ^= 1 << (spot % 8);
            copy.put(&path, damaged);
            match check_damage(&copy, allowed, &format!("{} flipped at {spot}", path.display())) {
                true => harmless += 1,
                false => refused += 1,
            }
        }
    }
    (harmless, refused)
}

#[test]
fn a_flipped_bit_is_refused_by_name_or_harmless() {
    let disk = FaultDisk::new();
    let looks = reference(&disk, Durability::Fsync);
    let (_, refused) = check_flips(&disk, &looks[STEPS..]);
    assert!(refused > 500, "only {refused} flips were noticed");
}

#[test]
fn a_flipped_bit_in_a_log_that_was_not_closed_costs_at_most_its_last_frame() {
    let disk = FaultDisk::new();
    let mut looks = Vec::new();
    let (.., script) = run(&disk, Durability::Fsync, |log| looks.push(look(log).unwrap()));
    let crashed = disk.copy();
    drop(script);
    let (_, refused) = check_flips(&crashed, &looks[STEPS - 1..]);
    assert!(refused > 500, "only {refused} flips were noticed");
}

#[test]
fn a_cut_zeroed_or_missing_file_is_refused_by_name_or_harmless() {
    let disk = FaultDisk::new();
    let looks = reference(&disk, Durability::Fsync);
    let (mut refused, mut segments) = (0, 0);
    for (path, bytes) in disk.files() {
        let mut damages: Vec<(String, Option<Vec<u8>>)> = vec![("missing".to_owned(), None)];
        for length in (0..bytes.len()).step_by((bytes.len() / 50).max(1)).map(|length| length.next_multiple_of(64)) {
            let length = length.min(bytes.len());
            damages.push((format!("cut at {length}"), Some(bytes[..length].to_vec())));
            let zeroed = bytes.iter().enumerate().map(|(i, byte)| if i < length { *byte } else { 0 }).collect();
            damages.push((format!("zeroed from {length}"), Some(zeroed)));
        }
        segments += usize::from(path.extension().is_some_and(|extension| extension == "segment"));
        for (what, damaged) in damages {
            let copy = disk.copy();
            copy.take_away(&path);
            if let Some(damaged) = damaged {
                copy.put(&path, damaged);
            }
            refused += usize::from(!check_damage(&copy, &looks[STEPS..], &format!("{} {what}", path.display())));
        }
    }
    assert!(refused > 300 && segments > 10, "{refused} refused, {segments} segments");
}

#[test]
fn a_segment_in_the_place_of_another_is_refused() {
    let disk = FaultDisk::new();
    let looks = reference(&disk, Durability::Fsync);
    let files = disk.files();
    let segments: Vec<_> = files.iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "segment")).collect();
    for pair in segments.windows(2) {
        let copy = disk.copy();
        copy.put(&pair[0].0, pair[1].1.clone());
        copy.put(&pair[1].0, pair[0].1.clone());
        assert!(!check_damage(&copy, &looks[STEPS..], &format!("{} swapped", pair[0].0.display())));
    }
}

#[test]
fn a_stored_disk_opens_as_a_real_directory() {
    let disk = FaultDisk::new();
    let looks = reference(&disk, Durability::Fsync);
    let directory = tempfile::tempdir().unwrap();
    disk.store(Path::new(ROOT), directory.path()).unwrap();
    let log = EmbeddedLog::open(directory.path(), config(Durability::Fsync)).unwrap();
    assert_eq!(look(&log).unwrap(), looks[STEPS]);
    drop(log);
    let back = FaultDisk::load(directory.path(), Path::new(ROOT)).unwrap();
    assert_eq!(look(&open(&back, Durability::Fsync).unwrap()).unwrap(), looks[STEPS]);
}
