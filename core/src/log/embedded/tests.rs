//! The embedded log through its public face, on the real file system.

use std::{collections::BTreeMap, io, path::Path, sync::Arc, time::Duration};

use proptest::prelude::*;

use super::{
    fault_disk::{Fault, FaultDisk},
    *,
};
use crate::{
    log::{Append, CleanupPolicy, CommitError, Compression, OffsetCommit, Transaction},
    record::{Header, PartitionId, Record, Records},
};

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn place(name: &str, partition: u32) -> TopicPartition {
    TopicPartition::new(topic(name), PartitionId(partition))
}

fn record(key: Option<&str>, value: Option<&str>, at: i64) -> Record {
    Record { key: key.map(Into::into), value: value.map(Into::into), timestamp: Timestamp(at), headers: vec![] }
}

fn append(to: &TopicPartition, records: impl IntoIterator<Item = Record>) -> Append {
    Append { partition: to.clone(), records: records.into_iter().collect() }
}

fn appends(appends: Vec<Append>) -> Transaction {
    Transaction { appends, offsets: vec![] }
}

fn open(directory: &Path) -> Arc<EmbeddedLog> {
    EmbeddedLog::open(directory, EmbeddedConfig::default()).unwrap()
}

/// Everything from `from` on, as offset and record, read in small steps.
fn read_from(log: &EmbeddedLog, from: &TopicPartition, start: Offset) -> Vec<(u64, Record)> {
    let (mut next, mut all) = (start, Vec::new());
    loop {
        let fetched = log.fetch(from, next, 1).unwrap();
        for batch in &fetched.batches {
            for (row, r) in batch.records.iter().enumerate() {
                let (key, value) = (r.key.map(Into::into), r.value.map(Into::into));
                let record = Record { key, value, timestamp: r.timestamp, headers: r.headers.to_vec() };
                all.push((batch.offsets.at(row).0, record));
            }
        }
        next = fetched.next;
        if next == fetched.end {
            assert!(all.windows(2).all(|pair| pair[0].0 < pair[1].0), "offsets do not rise");
            return all;
        }
    }
}

fn read(log: &EmbeddedLog, from: &TopicPartition) -> Vec<(u64, Record)> {
    read_from(log, from, log.start_offset(from).unwrap())
}

#[test]
fn records_come_back_as_they_were_with_every_codec_and_after_a_restart() {
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
        let directory = tempfile::tempdir().unwrap();
        let log = open(directory.path());
        let orders = place("orders", 1);
        let config = TopicConfig { partitions: 2, compression, segment_bytes: 4096, ..TopicConfig::default() };
        log.create_topic(&orders.topic, &config).unwrap();
        let mut all: Vec<Record> =
            (0..200).map(|i| record(Some(&format!("k{i}")), Some(&"v".repeat(i)), i as i64)).collect();
        all[3] = record(None, Some("no key"), 3);
        all[4] = record(Some("tombstone"), None, -4);
        all[5].headers =
            vec![Header { name: "a".into(), value: None }, Header { name: "a".into(), value: Some(vec![0]) }];
        let mut producer = log.producer("p").unwrap();
        for (number, chunk) in all.chunks(7).enumerate() {
            let receipt = producer.commit(appends(vec![append(&orders, chunk.to_vec())])).unwrap();
            assert_eq!(receipt.base_offsets, [Offset(7 * number as u64)]);
            assert_eq!(receipt.end_offsets, [Offset((7 * number + chunk.len()) as u64)]);
        }
        let expected: Vec<_> = (0..).zip(all).collect();
        assert_eq!(read(&log, &orders), expected);
        assert_eq!(read_from(&log, &orders, Offset(100)), expected[100..]);
        drop(log);
        let log = open(directory.path());
        assert_eq!(read(&log, &orders), expected);
        assert_eq!(log.describe_topic(&orders.topic).unwrap().config, config);
        assert!(read(&log, &place("orders", 0)).is_empty());
    }
}

#[test]
fn a_transaction_spans_partitions_and_offsets_or_does_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path());
    let (a, b) = (place("a", 0), place("b", 0));
    log.create_topic(&a.topic, &TopicConfig::default()).unwrap();
    log.create_topic(&b.topic, &TopicConfig::default()).unwrap();
    let mut producer = log.producer("p").unwrap();
    let group = GroupId::new("g").unwrap();
    let position = GroupOffset { next: Offset(9), metadata: vec![1] };
    let offsets = vec![OffsetCommit { group: group.clone(), partition: a.clone(), position: position.clone() }];
    let one = || [record(None, Some("x"), 1)];
    let seen = log.wait_for_commit(0, Duration::ZERO);
    let transaction = Transaction { appends: vec![append(&a, one()), append(&b, one()), append(&a, one())], offsets };
    let receipt = producer.commit(transaction.clone()).unwrap();
    assert_eq!(receipt.base_offsets, [Offset(0), Offset(0), Offset(1)]);
    assert_eq!(log.committed(&group, &a).unwrap(), Some(position.clone()));
    assert_eq!(log.wait_for_commit(seen, Duration::from_secs(60)), seen + 1);

    let mut wrong = transaction;
    wrong.appends.push(append(&place("missing", 0), one()));
    let error = producer.commit(wrong).unwrap_err();
    assert!(matches!(error, CommitError::Rejected(LogError::UnknownTopic { .. })), "{error}");
    assert_eq!(producer.commit(Transaction::default()).unwrap(), crate::log::CommitReceipt::default());
    let nothing = producer.commit(appends(vec![append(&b, [])])).unwrap();
    assert_eq!(nothing.end_offsets, [Offset(1)]);
    assert_eq!((read(&log, &a).len(), read(&log, &b).len()), (2, 1));

    drop(log);
    let error = producer.commit(Transaction::default()).unwrap_err();
    assert!(error.is_nothing_committed(), "{error}");
    let log = open(directory.path());
    assert_eq!((read(&log, &a).len(), read(&log, &b).len()), (2, 1));
    assert_eq!(log.committed(&group, &a).unwrap(), Some(position));
    let before = log.describe_topic(&a.topic).unwrap().incarnation;
    log.delete_topic(&a.topic).unwrap();
    assert!(matches!(log.fetch(&a, Offset(0), 1), Err(LogError::UnknownTopic { .. })));
    log.create_topic(&a.topic, &TopicConfig::default()).unwrap();
    assert_eq!(log.committed(&group, &a).unwrap(), None);
    assert_eq!(log.end_offset(&a).unwrap(), Offset(0));
    assert_ne!(log.describe_topic(&a.topic).unwrap().incarnation, before);
    assert_eq!(log.topics().unwrap().len(), 2);
}

#[test]
fn a_newer_producer_of_a_name_fences_the_older_also_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path());
    let mut old = log.producer("p").unwrap();
    let mut other = log.producer("q").unwrap();
    let mut new = log.producer("p").unwrap();
    assert!(matches!(old.commit(Transaction::default()), Err(CommitError::Fenced { .. })));
    new.commit(Transaction::default()).unwrap();
    other.commit(Transaction::default()).unwrap();
    drop(log);
    let log = open(directory.path());
    log.producer("p").unwrap();
    assert_eq!(log.shared.state.read().producers["p"], 3);
}

#[test]
fn threads_share_syncs_and_lose_repeat_and_reorder_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path());
    let events = place("events", 0);
    log.create_topic(&events.topic, &TopicConfig { segment_bytes: 8192, ..TopicConfig::default() }).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (log, events) = (&log, &events);
            scope.spawn(move || {
                let mut producer = log.producer(&format!("p{thread}")).unwrap();
                for i in 0..100 {
                    let value = format!("{i}");
                    let record = record(Some(&format!("{thread}")), Some(&value), 0);
                    let transaction = if i % 3 == 0 { vec![] } else { vec![append(events, [record])] };
                    let receipt = producer.commit(appends(transaction)).unwrap();
                    assert!(receipt.end_offsets.iter().all(|end| log.end_offset(events).unwrap() >= *end));
                }
            });
        }
    });
    let mut seen: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
    for (_, record) in read(&log, &events) {
        let number = String::from_utf8(record.value.unwrap()).unwrap().parse().unwrap();
        seen.entry(record.key.unwrap()).or_default().push(number);
    }
    let expected: Vec<usize> = (0..100).filter(|i| i % 3 != 0).collect();
    assert_eq!(seen.len(), 4);
    assert!(seen.values().all(|numbers| *numbers == expected));
}

#[test]
fn retention_drops_whole_old_segments() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path());
    let (by_time, by_size) = (place("t", 0), place("s", 0));
    let small = TopicConfig { segment_bytes: 1024, ..TopicConfig::default() };
    let time = TopicConfig { retention: Some(Duration::from_millis(100)), ..small.clone() };
    log.create_topic(&by_time.topic, &time).unwrap();
    log.create_topic(&by_size.topic, &TopicConfig { retention_bytes: Some(4096), ..small }).unwrap();
    let mut producer = log.producer("p").unwrap();
    for i in 0..50 {
        let one = || [record(None, Some(&"x".repeat(200)), i * 10)];
        producer.commit(appends(vec![append(&by_time, one()), append(&by_size, one())])).unwrap();
    }
    let done = log.maintain(Timestamp(490)).unwrap();
    assert!(done.segments_dropped > 10, "{done:?}");
    let start = log.start_offset(&by_time).unwrap();
    assert!((30..=39).contains(&start.0), "kept from {start}");
    assert!(read(&log, &by_size).len() < 10 && log.end_offset(&by_size).unwrap() == Offset(50));
    assert!(matches!(log.fetch(&by_time, Offset(0), 1), Err(LogError::OffsetOutOfRange { .. })));
    assert_eq!(log.offset_at(&by_time, Timestamp(0)).unwrap(), Some(start));
    assert_eq!(log.maintain(Timestamp(490)).unwrap(), Maintenance::default());
    let before = read(&log, &by_time);
    drop(log);
    let log = open(directory.path());
    assert_eq!((log.start_offset(&by_time).unwrap(), read(&log, &by_time)), (start, before));
}

#[test]
fn records_that_are_needed_no_more_go_by_the_segment() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path());
    let events = place("events", 0);
    log.create_topic(&events.topic, &TopicConfig { segment_bytes: 1024, ..TopicConfig::default() }).unwrap();
    let mut producer = log.producer("p").unwrap();
    for i in 0..50 {
        producer.commit(appends(vec![append(&events, [record(None, Some(&"x".repeat(200)), i)])])).unwrap();
    }
    log.delete_records(&events, Offset(30)).unwrap();
    let start = log.start_offset(&events).unwrap();
    assert!((20..=30).contains(&start.0), "kept from {start}");
    assert_eq!(read(&log, &events).first().map(|(offset, _)| *offset), Some(start.0));
    log.delete_records(&events, Offset(10)).unwrap();
    log.delete_records(&events, Offset(1_000)).unwrap();
    assert!(log.start_offset(&events).unwrap() < Offset(50), "the segment that is written stays");
    assert!(matches!(log.delete_records(&place("none", 0), Offset(1)), Err(LogError::UnknownTopic { .. })));
    drop(log);
    let log = open(directory.path());
    producer = log.producer("p").unwrap();
    assert_eq!(
        producer.commit(appends(vec![append(&events, [record(None, None, 0)])])).unwrap().base_offsets,
        [Offset(50)]
    );
}

#[test]
fn offsets_are_found_by_timestamp() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path());
    let events = place("events", 0);
    log.create_topic(&events.topic, &TopicConfig { segment_bytes: 1024, ..TopicConfig::default() }).unwrap();
    let mut producer = log.producer("p").unwrap();
    let times: Vec<i64> = (0..60).map(|i| (i * 37) % 50 + i).collect();
    for chunk in times.chunks(4) {
        producer.commit(appends(vec![append(&events, chunk.iter().map(|t| record(None, Some("value"), *t)))])).unwrap();
    }
    for wanted in -1..120 {
        let expected = times.iter().position(|t| *t >= wanted).map(|i| Offset(i as u64));
        assert_eq!(log.offset_at(&events, Timestamp(wanted)).unwrap(), expected, "at {wanted}");
    }
}

#[test]
fn one_process_owns_a_directory_once() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path());
    let Err(error) = EmbeddedLog::open(directory.path(), EmbeddedConfig::default()) else { panic!("opened twice") };
    assert!(matches!(error, LogError::InUse { .. }), "{error}");
    assert!(error.to_string().contains(&format!("process {}", std::process::id())));
    drop(log);
    open(directory.path());
}

#[test]
fn an_unknown_version_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    let stamp = directory.path().join("FORMAT");
    std::fs::write(&stamp, "millstream log format 7\n").unwrap();
    let error = EmbeddedLog::open(directory.path(), EmbeddedConfig::default()).err().unwrap();
    assert!(matches!(error, LogError::UnknownVersion { found: 7, .. }), "{error}");
    assert!(directory.path().join("CLOSED").exists());
    std::fs::write(&stamp, "millstream log format 1\n").unwrap();
    open(directory.path());
}

#[test]
fn large_uncompressed_columns_are_views_of_the_mapped_file() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path());
    let events = place("events", 0);
    log.create_topic(&events.topic, &TopicConfig::default()).unwrap();
    let mut producer = log.producer("p").unwrap();
    let text = "some value".repeat(100);
    producer.commit(appends(vec![append(&events, (0..100).map(|i| record(None, Some(&text), i)))])).unwrap();
    let fetched = log.fetch(&events, Offset(0), 1).unwrap();
    let at = fetched.batches[0].records.values().values().as_ptr() as usize;
    let maps = || std::fs::read_to_string("/proc/self/maps").unwrap();
    let holds = |line: &str| {
        let (start, end) = line.split(' ').next()?.split_once('-')?;
        let bound = |text| usize::from_str_radix(text, 16).ok();
        (bound(start)?..bound(end)?).contains(&at).then(|| line.contains(".segment"))
    };
    assert_eq!(maps().lines().find_map(holds), Some(true), "the column is a copy");
    drop(fetched);
    assert_ne!(maps().lines().find_map(holds), Some(true), "the map outlives the column");
}

/// Compacts a topic of 60,000 records, enough to be looked at first: how many segments were written anew.
fn segments_compacted(key: impl Fn(i64) -> i64, value: impl Fn(i64) -> Option<&'static str>) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path());
    let events = place("events", 0);
    let config = TopicConfig { cleanup: CleanupPolicy::Compact, segment_bytes: 1 << 20, ..TopicConfig::default() };
    log.create_topic(&events.topic, &config).unwrap();
    let mut producer = log.producer("p").unwrap();
    for from in (0..60_000).step_by(1000) {
        let records = (from..from + 1000).map(|i| record(Some(&format!("key {}", key(i))), value(i), i));
        producer.commit(appends(vec![append(&events, records)])).unwrap();
    }
    log.maintain(Timestamp(0)).unwrap().segments_compacted
}

#[test]
fn large_topics_are_compacted_where_half_of_the_records_would_go() {
    const VALUE: Option<&str> =
        Some("a value long enough to make a few megabytes of sixty thousand records, header included");
    assert_eq!(segments_compacted(|i| i, |_| VALUE), 0, "every key once");
    assert_eq!(segments_compacted(|i| i * 2 / 3, |_| VALUE), 0, "a third would go");
    assert!(segments_compacted(|i| i / 3, |_| VALUE) > 0, "two thirds would go");
    assert!(segments_compacted(|i| i, |i| VALUE.filter(|_| i % 3 == 0)) > 0, "two thirds are tombstones");
}

#[test]
fn a_full_disk_rejects_a_commit_and_the_log_goes_on_when_there_is_room() {
    let disk = FaultDisk::new();
    let log = EmbeddedLog::open_on(Arc::clone(&disk) as _, Path::new("/data"), EmbeddedConfig::default()).unwrap();
    let (a, b) = (place("a", 0), place("a", 1));
    log.create_topic(&a.topic, &TopicConfig { partitions: 2, segment_bytes: 2048, ..TopicConfig::default() }).unwrap();
    let mut producer = log.producer("p").unwrap();
    let mut expected = 0;
    let big = |i: i64| (0..3).map(move |_| record(None, Some(&"y".repeat(400)), i));
    for round in 0..20 {
        // The second change of the disk is within the appends: a new segment, its allocation or its bytes.
        disk.arm(Fault::Error { at: disk.calls() + 2, kind: io::ErrorKind::StorageFull, sticky: false });
        let outcome = producer.commit(appends(vec![append(&a, big(round)), append(&b, big(round))]));
        disk.arm(Fault::None);
        match outcome {
            Ok(_) => expected += 3,
            Err(CommitError::Rejected(LogError::Io { .. })) => {}
            Err(error) => panic!("{error}"),
        }
        producer.commit(appends(vec![append(&a, big(round)), append(&b, big(round))])).unwrap();
        expected += 3;
        assert_eq!((read(&log, &a).len(), read(&log, &b).len()), (expected, expected));
    }
    assert!(expected < 20 * 6, "no commit was refused");
    drop((log, producer));
    disk.power_on(super::fault_disk::Survival::Synced);
    let log = EmbeddedLog::open_on(disk, Path::new("/data"), EmbeddedConfig::default()).unwrap();
    assert_eq!((read(&log, &a).len(), read(&log, &b).len()), (expected, expected));
}

#[test]
fn large_transactions_are_split_into_batches() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path());
    let events = place("events", 0);
    log.create_topic(&events.topic, &TopicConfig::default()).unwrap();
    let mut producer = log.producer("p").unwrap();
    let megabyte = "z".repeat(1 << 20);
    let records: Records = (0..40).map(|i| record(None, Some(&megabyte), i)).collect();
    producer.commit(appends(vec![Append { partition: events.clone(), records }])).unwrap();
    let fetched = log.fetch(&events, Offset(0), usize::MAX).unwrap();
    assert!(
        fetched.batches.len() >= 3 && fetched.batches.iter().all(|batch| batch.records.payload_bytes() <= 16 << 20)
    );
    assert_eq!(fetched.batches.iter().map(|batch| batch.records.len()).sum::<usize>(), 40);
    let huge = "z".repeat(80 << 20);
    let refused = producer.commit(appends(vec![append(&events, [record(None, Some(&huge), 0)])])).unwrap_err();
    assert!(matches!(refused, CommitError::Rejected(LogError::InvalidTopic { .. })), "{refused}");
}

/// What a reader that replays a compacted topic ends up with.
fn table(log: &EmbeddedLog, of: &TopicPartition) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut table = BTreeMap::new();
    for (_, record) in read(log, of) {
        match (record.key, record.value) {
            (Some(key), Some(value)) => drop(table.insert(key, value)),
            (Some(key), None) => drop(table.remove(&key)),
            (None, _) => {}
        }
    }
    table
}

#[test]
fn compaction_drops_what_is_replaced_and_tombstones_after_their_delay() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path());
    let of = place("table", 0);
    let config = TopicConfig {
        cleanup: CleanupPolicy::Compact,
        segment_bytes: 1024,
        tombstone_delay: Duration::from_millis(100),
        ..TopicConfig::default()
    };
    log.create_topic(&of.topic, &config).unwrap();
    let mut producer = log.producer("p").unwrap();
    let mut put = |records: Vec<Record>| producer.commit(appends(vec![append(&of, records)])).unwrap();
    put(vec![record(Some("gone"), Some("1"), 0), record(None, Some("no key"), 0), record(Some("kept"), Some("1"), 0)]);
    put(vec![record(Some("gone"), None, 0)]);
    (0..20).for_each(|i| drop(put(vec![record(Some("counter"), Some(&i.to_string()), i)])));
    let tombstones = |log: &EmbeddedLog| read(log, &of).iter().filter(|(_, r)| r.value.is_none()).count();
    let (before, end) = (table(&log, &of), log.end_offset(&of).unwrap());
    assert!(log.maintain(Timestamp(1_000)).unwrap().records_dropped > 10);
    assert_eq!((table(&log, &of), log.end_offset(&of).unwrap()), (before.clone(), end));
    assert_eq!(tombstones(&log), 1, "a tombstone goes only after its delay");
    assert!(read(&log, &of).iter().all(|(_, r)| r.key.is_some()), "records without a key go");
    log.maintain(Timestamp(1_099)).unwrap();
    assert_eq!(tombstones(&log), 1);
    log.maintain(Timestamp(1_100)).unwrap();
    assert_eq!((tombstones(&log), table(&log, &of)), (0, before.clone()));
    // Reading on from within a hole.
    assert!(!read_from(&log, &of, Offset(5)).is_empty());
    drop(log);
    assert_eq!(table(&open(directory.path()), &of), before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn compaction_never_changes_the_table(
        operations in prop::collection::vec((0..12u8, prop::option::of(0..100u8), 0..10u8), 1..150),
    ) {
        let disk = FaultDisk::new();
        let config = EmbeddedConfig { commit_log_bytes: 2048, ..EmbeddedConfig::default() };
        let open = || EmbeddedLog::open_on(Arc::clone(&disk) as _, Path::new("/data"), config.clone()).unwrap();
        let mut log = open();
        let of = place("table", 0);
        let compacted = TopicConfig {
            cleanup: CleanupPolicy::Compact,
            segment_bytes: 1500,
            tombstone_delay: Duration::from_millis(20),
            compression: Compression::Lz4,
            ..TopicConfig::default()
        };
        log.create_topic(&of.topic, &compacted).unwrap();
        let mut producer = log.producer("p").unwrap();
        let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for (now, (key, value, action)) in operations.into_iter().enumerate() {
            let (key, value) = (vec![key], value.map(|value| vec![value; 40]));
            match &value {
                Some(value) => drop(model.insert(key.clone(), value.clone())),
                None => drop(model.remove(&key)),
            }
            let record = Record { key: Some(key), value, timestamp: Timestamp(now as i64), headers: vec![] };
            producer.commit(appends(vec![append(&of, [record])])).unwrap();
            match action {
                0 => drop(log.maintain(Timestamp(now as i64)).unwrap()),
                1 => {
                    drop((log, producer));
                    log = open();
                    producer = log.producer("p").unwrap();
                }
                _ => {}
            }
        }
        prop_assert_eq!(&table(&log, &of), &model);
        log.maintain(Timestamp(1_000)).unwrap();
        log.maintain(Timestamp(2_000)).unwrap();
        prop_assert_eq!(&table(&log, &of), &model);
    }
}

#[test]
fn the_largest_record_it_speaks_of_is_taken_and_much_more_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path());
    log.create_topic(&topic("t"), &TopicConfig::default()).unwrap();
    let largest = log.largest_record();
    let of = |bytes: usize| Record { value: Some(vec![7; bytes]), ..record(None, None, 0) };
    let mut producer = log.producer("p").unwrap();
    producer.commit(appends(vec![append(&place("t", 0), [of(largest)])])).unwrap();
    let refused = producer.commit(appends(vec![append(&place("t", 0), [of(largest + (128 << 10))])]));
    assert!(refused.unwrap_err().is_nothing_committed());
}
