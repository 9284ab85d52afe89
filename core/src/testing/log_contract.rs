//! The contract of [`Log`], as checks that run on any engine.
//!
//! Each check makes topics of its own, named after `name`, so that checks may run on one log at the same time; [`check_all`] runs them one after
//! another. They fail by a panic that says which promise was broken.

use std::time::Duration;

use crate::{
    log::{
        Append, CommitError, GroupMember, GroupOffset, Log, LogError, OffsetCommit, Producer, TopicConfig, Transaction,
    },
    record::{GroupId, Header, Offset, PartitionId, Record, Timestamp, TopicName, TopicPartition},
};

/// A check: the log, and a name for its topics.
pub type Check = fn(&dyn Log, &str);

/// All checks by name.
pub const CHECKS: &[(&str, Check)] = &[
    ("topics", topics),
    ("round-trip", round_trip),
    ("reading", reading),
    ("two-readers", two_readers),
    ("tailing", tailing),
    ("positions", positions),
    ("fencing", fencing),
    ("all-or-nothing", all_or_nothing),
    ("given-up-member", given_up_member),
    ("ranges", ranges),
    ("times", times),
    ("waiting", waiting),
    ("empty", empty),
    ("deleting", deleting),
];

/// Runs every check.
///
/// ```
/// # use millstream::testing::{MemoryLog, log_contract};
/// log_contract::check_all(&MemoryLog::new(), "contract");
/// ```
///
/// # Panics
/// If the log breaks its contract.
pub fn check_all(log: &dyn Log, name: &str) {
    for (check_name, check) in CHECKS {
        check(log, &format!("{name}-{check_name}"));
    }
}

fn topic(name: &str) -> TopicName {
    TopicName::new(name).expect("names of checks are legal")
}

fn group(name: &str) -> GroupId {
    GroupId::new(name).expect("names of checks are legal")
}

fn make(log: &dyn Log, name: &str, partitions: u32) -> TopicName {
    let topic = topic(name);
    let config = TopicConfig { partitions, ..TopicConfig::default() };
    log.create_topic(&topic, &config).unwrap_or_else(|error| panic!("{name}: {error}"));
    topic
}

fn at(topic: &TopicName, partition: u32) -> TopicPartition {
    TopicPartition::new(topic.clone(), PartitionId(partition))
}

fn append(partition: &TopicPartition, records: impl IntoIterator<Item = Record>) -> Append {
    Append { partition: partition.clone(), records: records.into_iter().collect() }
}

fn records(appends: Vec<Append>) -> Transaction {
    Transaction { appends, offsets: Vec::new() }
}

/// Records `v0`, `v1`, ... with those numbers, at that many milliseconds.
fn numbered(numbers: std::ops::Range<i64>) -> Vec<Record> {
    numbers.map(|number| Record::new(format!("k{number}"), format!("v{number}")).at_ms(number)).collect()
}

fn open(log: &dyn Log, name: &str) -> Box<dyn Producer> {
    log.producer(name).unwrap_or_else(|error| panic!("producer {name}: {error}"))
}

/// Reads from `from` to the end, in fetches of about `max_bytes`.
fn read(log: &dyn Log, partition: &TopicPartition, from: Offset, max_bytes: usize) -> Vec<(Offset, Record)> {
    let end = log.end_offset(partition).expect("the partition is there");
    let (mut all, mut next) = (Vec::new(), from);
    for _ in 0..10_000 {
        if next >= end {
            return all;
        }
        let fetched = log.fetch(partition, next, max_bytes).unwrap_or_else(|error| panic!("{partition}: {error}"));
        for batch in &fetched.batches {
            assert!(!batch.records.is_empty(), "{partition}: an empty batch");
            for (row, record) in batch.records.iter().enumerate() {
                let offset = batch.offsets.at(row);
                assert!(offset >= next, "{partition}: offset {offset} was read before");
                assert!(offset < fetched.next, "{partition}: offset {offset} lies behind {}", fetched.next);
                let owned = Record {
                    key: record.key.map(Into::into),
                    value: record.value.map(Into::into),
                    timestamp: record.timestamp,
                    headers: record.headers.to_vec(),
                };
                all.push((offset, owned));
            }
        }
        assert!(fetched.next >= next, "{partition}: reading went back");
        if fetched.batches.is_empty() && fetched.next < end {
            log.wait_for_commit(u64::MAX, Duration::from_millis(10));
        }
        next = fetched.next;
    }
    panic!("{partition}: no end in sight at {next} of {end}");
}

fn values(read: &[(Offset, Record)]) -> Vec<String> {
    let text = |record: &Record| String::from_utf8_lossy(record.value.as_deref().unwrap_or(b"null")).into_owned();
    read.iter().map(|(_, record)| text(record)).collect()
}

/// Topics are made once, described as they were made, and are other topics after they were removed.
pub fn topics(log: &dyn Log, name: &str) {
    let topic = make(log, name, 2);
    let exists = log.create_topic(&topic, &TopicConfig::default());
    assert!(matches!(exists, Err(LogError::TopicExists { .. })), "made twice: {exists:?}");
    let none = TopicConfig { partitions: 0, ..TopicConfig::default() };
    let refused = log.create_topic(&self::topic(&format!("{name}-none")), &none);
    assert!(matches!(refused, Err(LogError::InvalidTopic { .. })), "made without partitions: {refused:?}");
    let described = log.describe_topic(&topic).expect("it is there");
    assert_eq!((described.config.partitions, &described.name), (2, &topic));
    assert_eq!(described.config.retention, None, "it is kept for ever");
    assert!(log.topics().expect("they can be listed").contains(&described), "it is not listed");
    open(log, name).commit(records(vec![append(&at(&topic, 1), numbered(0..3))])).expect("it can be written");
    log.delete_topic(&topic).expect("it can be removed");
    let gone = log.describe_topic(&topic);
    assert!(matches!(gone, Err(LogError::UnknownTopic { .. })), "described though removed: {gone:?}");
    let gone = log.fetch(&at(&topic, 1), Offset::ZERO, 1);
    assert!(matches!(gone, Err(LogError::UnknownTopic { .. })), "read though removed: {gone:?}");
    let gone = log.delete_topic(&topic);
    assert!(matches!(gone, Err(LogError::UnknownTopic { .. })), "removed twice: {gone:?}");
    make(log, name, 2);
    let again = log.describe_topic(&topic).expect("it is there again");
    assert_ne!(again.incarnation, described.incarnation, "another topic of the same name is not told apart");
    assert_eq!(read(log, &at(&topic, 1), Offset::ZERO, 1 << 20), [], "it has the old one's records");
}

/// Records come back as they were written.
pub fn round_trip(log: &dyn Log, name: &str) {
    let partition = at(&make(log, name, 1), 0);
    let header = |name: &str, value: Option<&[u8]>| Header { name: name.to_owned(), value: value.map(Into::into) };
    let record = |key: Option<&[u8]>, value: Option<&[u8]>, at: i64, headers: Vec<Header>| Record {
        key: key.map(Into::into),
        value: value.map(Into::into),
        timestamp: Timestamp(at),
        headers,
    };
    let all = [
        record(Some(b"key"), Some(b"value"), 1_700_000_000_000, vec![]),
        record(None, Some(b"no key"), 0, vec![]),
        record(Some(b"tombstone"), None, 1, vec![]),
        record(Some(b""), Some(b""), 2, vec![header("a", Some(b"1")), header("a", None), header("\u{e4}", Some(b""))]),
        record(None, None, 0, vec![]),
        record(Some(&[0, 255, 0]), Some(&[7; 300]), i64::from(u32::MAX) * 1_000, vec![header("", Some(&[0, 1]))]),
    ];
    open(log, name).commit(records(vec![append(&partition, all.clone())])).expect("they can be written");
    let back: Vec<_> = read(log, &partition, Offset::ZERO, 1 << 20).into_iter().map(|(_, record)| record).collect();
    assert_eq!(back, all, "records came back changed");
}

/// Offsets rise; each record is read once; commits on several partitions are whole; receipts say where records are.
pub fn reading(log: &dyn Log, name: &str) {
    let topic = make(log, name, 2);
    let (one, two) = (at(&topic, 0), at(&topic, 1));
    let mut producer = open(log, name);
    let mut expected = Vec::new();
    for round in 0..10 {
        let wrote = numbered(round * 10..round * 10 + 10);
        let appends = vec![
            append(&one, wrote.clone()),
            append(&two, numbered(round..round + 1)),
            append(&one, numbered(1000..1001)),
        ];
        let receipt = producer.commit(records(appends)).expect("it can be written");
        assert_eq!((receipt.base_offsets.len(), receipt.end_offsets.len()), (3, 3), "a receipt has a line an append");
        assert_eq!(receipt.base_offsets[2], receipt.base_offsets[0].advance(10), "one partition is written in order");
        assert!(receipt.end_offsets[0] >= receipt.base_offsets[2], "the end lies behind the records");
        assert!(receipt.end_offsets[2] > receipt.base_offsets[2], "the end lies behind the records");
        expected.extend(
            wrote.into_iter().enumerate().map(|(row, record)| (receipt.base_offsets[0].advance(row as u64), record)),
        );
        expected.push((receipt.base_offsets[2], numbered(1000..1001).remove(0)));
    }
    for max_bytes in [1, 100, 1 << 20] {
        let back = read(log, &one, Offset::ZERO, max_bytes);
        assert!(back.windows(2).all(|pair| pair[0].0 < pair[1].0), "offsets do not rise");
        assert_eq!(back, expected, "in fetches of {max_bytes}");
    }
    assert_eq!(values(&read(log, &two, Offset::ZERO, 1 << 20)).len(), 10, "the other partition is not whole");
    let middle = expected[57].0;
    assert_eq!(read(log, &one, middle, 1 << 20), expected[57..], "from the middle on");
}

/// Readers at different places of one partition do not disturb each other.
pub fn two_readers(log: &dyn Log, name: &str) {
    let partition = at(&make(log, name, 1), 0);
    let mut producer = open(log, name);
    for round in 0..20 {
        producer
            .commit(records(vec![append(&partition, numbered(round * 10..round * 10 + 10))]))
            .expect("it can be written");
    }
    let all = read(log, &partition, Offset::ZERO, 1 << 20);
    let end = log.end_offset(&partition).expect("it is there");
    let mut places = [(Offset::ZERO, 0), (all[100].0, 100), (all[150].0, 150)];
    let mut turns = 10_000;
    while places.iter().any(|(next, _)| *next < end) {
        for (next, seen) in &mut places {
            let fetched = log.fetch(&partition, *next, 300).expect("it can be read");
            for batch in &fetched.batches {
                for row in 0..batch.records.len() {
                    assert_eq!(batch.offsets.at(row), all[*seen].0, "a reader got another one's records");
                    *seen += 1;
                }
            }
            *next = fetched.next;
        }
        turns -= 1;
        assert!(turns > 0, "a reader does not reach the end");
    }
    assert_eq!(places.map(|(_, seen)| seen), [200; 3], "a reader missed records");
}

/// Who has read everything goes on where they stand: nothing is passed over, nothing comes twice, and the end is said to be the end.
pub fn tailing(log: &dyn Log, name: &str) {
    let partition = at(&make(log, name, 1), 0);
    let mut producer = open(log, name);
    let mut next = Offset::ZERO;
    for number in 0..4 {
        let mut seen = log.wait_for_commit(0, Duration::ZERO);
        for _ in 0..20 {
            let fetched = log.fetch(&partition, next, 1 << 20).expect("the end can be read from");
            assert!(fetched.batches.is_empty(), "a record came twice, or from nowhere: {fetched:?}");
            next = fetched.next;
            seen = log.wait_for_commit(seen, Duration::from_millis(20));
        }
        let receipt = producer.commit(records(vec![append(&partition, numbered(number..number + 1))]));
        let place = receipt.expect("it can be written").base_offsets[0];
        assert!(next <= place, "offset {place} was passed over: reading stood at {next} before it was written");
        let fetched = (0..1_000).map(|_| {
            let fetched = log.fetch(&partition, next, 1 << 20).expect("it can be read");
            if fetched.batches.is_empty() {
                log.wait_for_commit(u64::MAX, Duration::from_millis(5));
            }
            next = fetched.next;
            fetched
        });
        let came = fetched.map(|fetched| fetched.batches).find(|batches| !batches.is_empty());
        let came = came.expect("what was committed can be read soon");
        assert_eq!((came.len(), came[0].records.len(), came[0].offsets.at(0)), (1, 1, place));
    }
}

/// Positions of groups are committed with the records, and come back with what the group says of them.
pub fn positions(log: &dyn Log, name: &str) {
    let partition = at(&make(log, name, 1), 0);
    let group = group(name);
    assert_eq!(log.committed(&group, &partition).expect("it can be asked"), None, "a new group has read something");
    let mut producer = open(log, name);
    for (next, metadata) in [(1, &b"{\"t\":5}"[..]), (2, b""), (3, &[0, 255, 7])] {
        let position = GroupOffset { next: Offset(next), metadata: metadata.to_vec() };
        let offsets =
            vec![OffsetCommit { group: group.clone(), partition: partition.clone(), position: position.clone() }];
        let appends = vec![append(&partition, numbered(0..1))];
        producer.commit(Transaction { appends, offsets }).expect("it can be committed");
        assert_eq!(log.committed(&group, &partition).expect("it can be asked"), Some(position));
    }
    let position = GroupOffset { next: Offset(1), metadata: Vec::new() };
    let offsets = vec![OffsetCommit { group: group.clone(), partition: partition.clone(), position: position.clone() }];
    producer.commit(Transaction { appends: Vec::new(), offsets }).expect("positions alone can be committed");
    assert_eq!(log.committed(&group, &partition).expect("it can be asked"), Some(position), "a group may go back");
    assert_eq!(read(log, &partition, Offset::ZERO, 1 << 20).len(), 3);
}

/// A newer producer of the same name ends the older one.
pub fn fencing(log: &dyn Log, name: &str) {
    let partition = at(&make(log, name, 1), 0);
    let commit = |producer: &mut Box<dyn Producer>, number: i64| {
        producer.commit(records(vec![append(&partition, numbered(number..number + 1))]))
    };
    let mut old = open(log, name);
    commit(&mut old, 0).expect("it is the only one");
    let mut other = open(log, &format!("{name}-other"));
    let mut new = open(log, name);
    for _ in 0..2 {
        let fenced = commit(&mut old, 1);
        assert!(matches!(fenced, Err(CommitError::Fenced { .. })), "the old producer still writes: {fenced:?}");
    }
    commit(&mut new, 2).expect("it is the newest");
    commit(&mut other, 3).expect("it has another name");
    assert_eq!(values(&read(log, &partition, Offset::ZERO, 1 << 20)), ["v0", "v2", "v3"]);
}

/// What was not committed is never read, and the producer works on.
pub fn all_or_nothing(log: &dyn Log, name: &str) {
    let partition = at(&make(log, name, 1), 0);
    let group = group(name);
    let mut producer = open(log, name);
    for number in 0..3 {
        let nowhere = at(&topic(&format!("{name}-nowhere")), 0);
        let position = GroupOffset { next: Offset(9), metadata: Vec::new() };
        let refused = producer.commit(Transaction {
            appends: vec![append(&partition, numbered(100..110)), append(&nowhere, numbered(0..1))],
            offsets: vec![OffsetCommit { group: group.clone(), partition: partition.clone(), position }],
        });
        assert!(matches!(refused, Err(CommitError::Rejected(_))), "a topic that is not there was written: {refused:?}");
        producer.commit(records(vec![append(&partition, numbered(number..number + 1))])).expect("it works on");
    }
    assert_eq!(values(&read(log, &partition, Offset::ZERO, 1 << 20)), ["v0", "v1", "v2"]);
    assert_eq!(log.committed(&group, &partition).expect("it can be asked"), None, "positions of a refused commit stay");
}

/// On an engine with groups: a member that the group does not have commits nothing, though its records were under way.
pub fn given_up_member(log: &dyn Log, name: &str) {
    if !log.is_shared() {
        return;
    }
    let partition = at(&make(log, name, 1), 0);
    let group = group(name);
    let mut producer = open(log, name);
    let member = GroupMember { group: group.clone(), member: "nobody".to_owned(), epoch: 7, instance: None };
    for number in 0..3 {
        let position = GroupOffset { next: Offset(9), metadata: Vec::new() };
        let transaction = Transaction {
            appends: vec![append(&partition, numbered(100..110))],
            offsets: vec![OffsetCommit { group: group.clone(), partition: partition.clone(), position }],
        };
        let refused = producer.commit_as(&member, transaction);
        assert!(matches!(refused, Err(CommitError::NotOwner { .. })), "nobody committed: {refused:?}");
        producer.commit(records(vec![append(&partition, numbered(number..number + 1))])).expect("it works on");
    }
    let back = read(log, &partition, Offset::ZERO, 1 << 20);
    assert_eq!(values(&back), ["v0", "v1", "v2"], "an aborted transaction was read");
    assert!(back[2].0.0 > 2, "it left no holes: this check checks nothing");
    assert_eq!(
        log.committed(&group, &partition).expect("it can be asked"),
        None,
        "positions of an aborted commit stay"
    );
}

/// What is not there is said to be not there.
pub fn ranges(log: &dyn Log, name: &str) {
    let topic = make(log, name, 1);
    let partition = at(&topic, 0);
    open(log, name).commit(records(vec![append(&partition, numbered(0..3))])).expect("it can be written");
    let end = log.end_offset(&partition).expect("it is there");
    assert_eq!(log.start_offset(&partition).expect("it is there"), Offset::ZERO);
    let at_end = log.fetch(&partition, end, 1).expect("the end can be read from");
    assert!(at_end.batches.is_empty() && at_end.next >= end, "something lies past the end: {at_end:?}");
    let past = log.fetch(&partition, end.advance(50), 1);
    assert!(matches!(past, Err(LogError::OffsetOutOfRange { .. })), "read past the end: {past:?}");
    let nowhere = at(&topic, 1);
    for error in [
        log.fetch(&nowhere, Offset::ZERO, 1).map(|_| ()),
        log.end_offset(&nowhere).map(|_| ()),
        log.start_offset(&nowhere).map(|_| ()),
        log.offset_at(&nowhere, Timestamp(0)).map(|_| ()),
        log.delete_records(&nowhere, Offset(1)),
    ] {
        assert!(matches!(error, Err(LogError::UnknownPartition { .. })), "partition 1 of 1: {error:?}");
    }
}

/// Offsets are found by time.
pub fn times(log: &dyn Log, name: &str) {
    let partition = at(&make(log, name, 1), 0);
    assert_eq!(log.offset_at(&partition, Timestamp(0)).expect("it can be asked"), None, "nothing has a time yet");
    let mut producer = open(log, name);
    for round in 0..3 {
        let wrote: Vec<_> = (0..10).map(|row| Record::new("k", "v").at_ms(1_000 * round + 10 * row)).collect();
        producer.commit(records(vec![append(&partition, wrote)])).expect("it can be written");
    }
    let all = read(log, &partition, Offset::ZERO, 1 << 20);
    for (time, place) in [(0, 0), (1, 1), (90, 9), (91, 10), (1_000, 10), (2_000, 20), (2_090, 29)] {
        let found = log.offset_at(&partition, Timestamp(time)).expect("it can be asked");
        assert_eq!(found, Some(all[place].0), "at {time} ms");
    }
    assert_eq!(log.offset_at(&partition, Timestamp(2_091)).expect("it can be asked"), None, "nothing is that late");
}

/// Who waits for commits is woken, and does not wait for what has been.
pub fn waiting(log: &dyn Log, name: &str) {
    let partition = at(&make(log, name, 1), 0);
    let mut producer = open(log, name);
    producer.commit(records(vec![append(&partition, numbered(0..1))])).expect("it can be written");
    let seen = log.wait_for_commit(0, Duration::from_secs(60));
    assert!(seen > 0, "a commit was not counted");
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| log.wait_for_commit(seen, Duration::from_secs(60)));
        producer.commit(records(vec![append(&partition, numbered(1..2))])).expect("it can be written");
        assert!(waiter.join().expect("it does not panic") > seen, "nobody was woken");
    });
}

/// A commit of nothing is a commit.
pub fn empty(log: &dyn Log, name: &str) {
    let partition = at(&make(log, name, 1), 0);
    let mut producer = open(log, name);
    producer.commit(Transaction::default()).expect("nothing can be committed");
    producer.commit(records(vec![append(&partition, numbered(0..2))])).expect("it can be written");
    let receipt =
        producer.commit(records(vec![append(&partition, [])])).expect("an append of nothing can be committed");
    assert!(receipt.base_offsets[0] >= Offset(2) && receipt.base_offsets == receipt.end_offsets, "{receipt:?}");
    assert_eq!(values(&read(log, &partition, Offset::ZERO, 1 << 20)), ["v0", "v1"]);
}

/// The first offset, once it can be read: an engine that is elsewhere may still be at letting records go when it answers.
fn start_that_stays(log: &dyn Log, partition: &TopicPartition) -> Offset {
    for _ in 0..100 {
        let start = log.start_offset(partition).expect("it is there");
        match log.fetch(partition, start, 1) {
            Err(LogError::OffsetOutOfRange { .. }) => std::thread::sleep(Duration::from_millis(20)),
            read => return read.map(|_| start).unwrap_or_else(|error| panic!("{partition}: {error}")),
        }
    }
    panic!("{partition}: what is said to be its start cannot be read")
}

/// Old records may go, others stay.
pub fn deleting(log: &dyn Log, name: &str) {
    let partition = at(&make(log, name, 1), 0);
    open(log, name).commit(records(vec![append(&partition, numbered(0..10))])).expect("it can be written");
    log.delete_records(&partition, Offset(4)).expect("it may be said");
    let start = start_that_stays(log, &partition);
    assert!(start <= Offset(4), "records went that were to stay: from {start}");
    let back = read(log, &partition, start, 1 << 20);
    assert_eq!(back.len() as u64, 10 - start.0, "from {start} on");
    if start > Offset::ZERO {
        let below = log.fetch(&partition, Offset::ZERO, 1);
        assert!(matches!(below, Err(LogError::OffsetOutOfRange { .. })), "read below the start: {below:?}");
    }
}
