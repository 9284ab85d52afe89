//! Whether a queue has kept its promises, from what its processes said, the topic and the dead letters.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use millstream::{
    log::Log,
    queue::{DEAD_ATTEMPTS, DEAD_OFFSET, DEAD_PARTITION, DEAD_REASON},
    record::{Offset, PartitionId, RecordRef, TopicPartition},
};

use super::{
    evidence::{self, Deed},
    worker::{DEAD, MAX_ATTEMPTS, TOPIC, name, open_log, open_queue},
};

/// A message by partition and offset.
type Place = (u32, u64);

/// What is known of one message.
#[derive(Debug, Default)]
struct History {
    key: Vec<u8>,
    value: Vec<u8>,
    /// In which line each attempt was received.
    received: BTreeMap<u64, usize>,
    /// The attempt whose acknowledgement was confirmed.
    acknowledged: Option<u64>,
}

/// A dead letter.
struct Letter {
    attempts: u64,
    reason: String,
}

fn for_each(log: &dyn Log, topic: &str, each: &mut dyn FnMut(Place, &RecordRef<'_>)) {
    let partitions = log.describe_topic(&name(topic)).expect("the topic is there").config.partitions;
    for partition in 0..partitions {
        let place = TopicPartition::new(name(topic), PartitionId(partition));
        let fetched = log.fetch(&place, Offset::ZERO, usize::MAX).expect("the topic can be read");
        assert_eq!(fetched.next, fetched.end, "the whole partition");
        for batch in &fetched.batches {
            for (row, record) in batch.records.iter().enumerate() {
                each((partition, batch.offsets.at(row).0), &record);
            }
        }
    }
}

fn text(record: &RecordRef<'_>, header: &str) -> String {
    let found = record.headers.iter().find(|found| found.name == header).unwrap_or_else(|| panic!("no {header}"));
    String::from_utf8(found.value.clone().expect("a value")).expect("text")
}

/// Checks everything; panics with the message that is wrong.
pub(super) fn check(directory: &Path) {
    let log = open_log(directory);
    let mut histories = BTreeMap::<Place, History>::new();
    for_each(log.as_ref(), TOPIC, &mut |place, record| {
        let (key, value) = (record.key.expect("a key").to_vec(), record.value.expect("a value").to_vec());
        histories.insert(place, History { key, value, ..History::default() });
    });
    let lines = evidence::read(directory);
    for (at, line) in lines.iter().enumerate() {
        let place = (line.partition, line.offset);
        let history = histories.get_mut(&place).unwrap_or_else(|| panic!("{place:?} is not in the topic"));
        match line.deed {
            Deed::Sent => assert_eq!(history.value, line.number.to_string().into_bytes(), "{place:?} was sent"),
            Deed::Received => {
                assert!(
                    history.received.insert(line.number, at).is_none(),
                    "{place:?}: attempt {} came twice",
                    line.number
                );
                assert!((1..=u64::from(MAX_ATTEMPTS)).contains(&line.number), "{place:?}: attempt {}", line.number);
            }
            Deed::Acknowledged => assert!(history.acknowledged.replace(line.number).is_none(), "{place:?}: done twice"),
        }
    }
    let letters = letters(log.as_ref());
    histories.iter().for_each(|(place, history)| check_message(*place, history, letters.get(place)));
    check_order(&histories, &letters);
    let confirmed = histories.values().filter(|history| history.acknowledged.is_some()).count() as u64;
    let stats = open_queue(log).stats().expect("the queue stands somehow");
    eprintln!("{} messages, {} lines, {stats:?}", histories.len(), lines.len());
    assert_eq!((stats.available, stats.in_flight, stats.delayed, stats.expired), (0, 0, 0, 0));
    assert_eq!(stats.acknowledged + stats.dead, histories.len() as u64, "each message came to one end");
    assert_eq!(stats.dead, letters.len() as u64);
    // Of the last acknowledgements before a kill nobody was told.
    assert!((confirmed..=histories.len() as u64).contains(&stats.acknowledged));
}

fn letters(log: &dyn Log) -> BTreeMap<Place, Letter> {
    let mut letters = BTreeMap::new();
    for_each(log, DEAD, &mut |_, record| {
        let number = |header: &str| text(record, header).parse::<u64>().expect("a number");
        let place = (number(DEAD_PARTITION) as u32, number(DEAD_OFFSET));
        let letter = Letter { attempts: number(DEAD_ATTEMPTS), reason: text(record, DEAD_REASON) };
        assert!(letters.insert(place, letter).is_none(), "{place:?} died twice");
    });
    letters
}

fn check_message(place: Place, history: &History, letter: Option<&Letter>) {
    let last = history.received.keys().next_back().copied().unwrap_or_default();
    if let Some(attempt) = history.acknowledged {
        assert!(letter.is_none(), "{place:?} is acknowledged and dead");
        assert_eq!(last, attempt, "{place:?} came again after it was acknowledged: {history:?}");
    }
    if let Some(letter) = letter {
        assert_eq!(letter.attempts, u64::from(MAX_ATTEMPTS), "{place:?}: {}", letter.reason);
        assert!(last <= letter.attempts, "{place:?} was received after it was dead");
    }
}

/// A message of a key is received only when the one before is done with. The line of an attempt that timed out may be late; that of one that ended
/// in an acknowledgement, or was given back, was written before.
fn check_order(histories: &BTreeMap<Place, History>, letters: &BTreeMap<Place, Letter>) {
    let mut keys = BTreeMap::<&[u8], Vec<(&Place, &History)>>::new();
    for (place, history) in histories {
        keys.entry(&history.key).or_default().push((place, history));
    }
    let mut compared = 0;
    for messages in keys.values() {
        let partitions: BTreeSet<u32> = messages.iter().map(|((partition, _), _)| *partition).collect();
        assert_eq!(partitions.len(), 1, "a key has one partition");
        for pair in messages.windows(2) {
            let [(place, earlier), (next, later)] = pair else { unreachable!("windows of two") };
            let given_back = letters.get(place).is_some_and(|letter| letter.reason.ends_with("given back"));
            let end = earlier.received.last_key_value().filter(|_| earlier.acknowledged.is_some() || given_back);
            if let (Some((_, end)), Some(first)) = (end, later.received.values().min()) {
                assert!(end < first, "{next:?} was received before {place:?} was done with");
                compared += 1;
            }
        }
    }
    assert!(compared > 100, "only {compared} pairs could be compared");
}
