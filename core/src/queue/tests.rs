//! Queues on real logs: many consumers, long polling, ids, dead letters, retention, owners.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc, thread, time::Duration};

use parking_lot::Mutex;

use super::{
    DEAD_REASON, DedupBy, Delivery, Message, Order, Queue, QueueConfig, QueueError, Sent, StartAt, records::header,
};
use crate::{
    log::{
        Append, Log, TopicConfig, Transaction,
        embedded::{EmbeddedConfig, EmbeddedLog},
    },
    record::{Header, Offset, PartitionId, Record, Timestamp, TopicName, TopicPartition},
    runtime::{ManualClock, SystemClock},
    testing::{MemoryCluster, MemoryLog},
};

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A log with the topic `work`, and a clock.
fn place(partitions: u32) -> (Arc<MemoryLog>, Arc<ManualClock>) {
    let log = Arc::new(MemoryLog::new());
    log.create_topic(&topic("work"), &TopicConfig { partitions, ..TopicConfig::default() }).unwrap();
    (log, Arc::new(ManualClock::at(Timestamp(1_000_000))))
}

fn open(log: &Arc<MemoryLog>, clock: &Arc<ManualClock>, config: QueueConfig) -> Queue {
    Queue::open_with_clock(Arc::<MemoryLog>::clone(log), config, Arc::<ManualClock>::clone(clock)).unwrap()
}

fn config() -> QueueConfig {
    QueueConfig::new("q", topic("work"))
}

fn with_dead_letters() -> QueueConfig {
    QueueConfig { dead_letter: Some(topic("dead")), max_attempts: 2, ..config() }
}

fn one(queue: &Queue) -> Delivery {
    queue.receive(1, Duration::ZERO).unwrap().remove(0)
}

fn values(log: &dyn Log, name: &str) -> Vec<Record> {
    let mut found = Vec::new();
    for partition in 0..log.describe_topic(&topic(name)).unwrap().config.partitions {
        let partition = TopicPartition::new(topic(name), PartitionId(partition));
        let start = log.start_offset(&partition).unwrap();
        for batch in log.fetch(&partition, start, usize::MAX).unwrap().batches {
            found.extend(batch.records.iter().map(|record| super::records::owned(&record)));
        }
    }
    found
}

#[test]
fn messages_sent_twice_are_taken_once_in_the_window_and_across_a_restart() {
    let (log, clock) = place(3);
    let config = QueueConfig { dedup_window: Some(seconds(300)), ..config() };
    let queue = open(&log, &clock, config.clone());
    let message = |id| Message::new("k", "v").with_dedup_id(id);
    let Sent::At(partition, offset) = queue.send(message("a")).unwrap() else { panic!("it is new") };
    let sent = queue.send_all(vec![message("b"), message("a"), message("b"), Message::new("k", "v")]).unwrap();
    assert_eq!(sent[1], Sent::Duplicate(partition, offset));
    let Sent::At(partition_of_b, offset_of_b) = sent[0] else { panic!("b is new") };
    assert_eq!(sent[2], Sent::Duplicate(partition_of_b, offset_of_b));
    assert!(matches!(sent[3], Sent::At(..)), "without an id it is like no other");
    assert_eq!(queue.stats().unwrap().duplicates, 2);

    clock.advance(seconds(299));
    let queue = open(&log, &clock, config);
    assert_eq!(queue.send(message("a")).unwrap(), Sent::Duplicate(partition, offset));
    clock.advance(seconds(1));
    assert!(matches!(queue.send(message("a")).unwrap(), Sent::At(..)), "the window has passed");
    assert!(matches!(queue.send(message("a")).unwrap(), Sent::Duplicate(..)), "a new one has begun");
}

#[test]
fn bodies_are_ids_where_that_is_asked_for() {
    let (log, clock) = place(1);
    let config = QueueConfig { dedup_window: Some(seconds(300)), dedup_by: DedupBy::Body, ..config() };
    let queue = open(&log, &clock, config);
    let sent =
        queue.send_all(vec![Message::new("k", "v"), Message::new("other", "v"), Message::new("k", "w")]).unwrap();
    assert!(matches!(sent[..], [Sent::At(..), Sent::Duplicate(..), Sent::At(..)]), "{sent:?}");
}

#[test]
fn dead_letters_say_where_they_are_from_and_go_back() {
    let (log, clock) = place(1);
    let queue = open(&log, &clock, with_dead_letters());
    let header_of_sender = Header { name: "trace".to_owned(), value: Some(b"7".to_vec()) };
    let message = Message { headers: vec![header_of_sender.clone()], ..Message::new("k", "v") };
    queue.send_all(vec![message; 5]).unwrap();
    for delivery in queue.receive(5, Duration::ZERO).unwrap() {
        queue.nack(&delivery.receipt, Duration::ZERO).unwrap();
    }
    assert_eq!(queue.receive(5, Duration::ZERO).unwrap().len(), 5);
    clock.advance(seconds(30));
    queue.tick().unwrap();
    let letters = values(log.as_ref(), "dead");
    assert_eq!((letters.len(), queue.stats().unwrap().dead), (5, 5));
    let row = super::receive::as_ref(&letters[3]);
    assert_eq!(header(&row, DEAD_REASON), Some("attempts used up: the visibility timeout passed"));
    assert_eq!((header(&row, super::DEAD_TOPIC), header(&row, super::DEAD_OFFSET)), (Some("work"), Some("3")));

    assert_eq!(queue.redrive_some(2).unwrap(), super::Redriven { moved: 2, left: 3 });
    assert_eq!(queue.redrive(NonZeroU32::new(10_000)).unwrap(), super::Redriven { moved: 3, left: 0 });
    assert_eq!(queue.redrive(None).unwrap(), super::Redriven::default());
    let again = queue.receive(10, Duration::ZERO).unwrap();
    assert_eq!(again.len(), 5);
    assert!(
        again.iter().all(|delivery| delivery.attempts == 1 && delivery.record.headers == [header_of_sender.clone()])
    );
}

#[test]
fn a_rejected_message_is_dead_at_once() {
    let (log, clock) = place(1);
    let queue = open(&log, &clock, with_dead_letters());
    queue.send(Message::new("k", "v")).unwrap();
    queue.reject(&one(&queue).receipt, "not for us").unwrap();
    let letters = values(log.as_ref(), "dead");
    assert_eq!(header(&super::receive::as_ref(&letters[0]), DEAD_REASON), Some("not for us"));
    let other = open(&log, &clock, QueueConfig::new("other", topic("work")));
    let refused = other.reject(&one(&other).receipt, "no").unwrap_err();
    assert_eq!(refused.to_string(), "queue other has no dead-letter topic; name one when it is made");
}

#[test]
fn receipts_go_stale_and_say_why() {
    let (log, clock) = place(1);
    let queue = open(&log, &clock, config());
    queue.send(Message::new("k", "v")).unwrap();
    let first = one(&queue).receipt;
    let check = |receipt, expected: &str| {
        let said = queue.ack(&receipt).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    };
    clock.advance(seconds(30));
    check(first, "its visibility timeout has passed");
    let second = one(&queue).receipt;
    check(first, "received again since");
    queue.extend(&second, seconds(60)).unwrap();
    clock.advance(seconds(59));
    queue.ack(&second).unwrap();
    check(second, "is done with");
    check(super::Receipt { queue: 1, ..second }, "another queue");
    assert_eq!(queue.ack_all(&[first, second]).unwrap(), [first, second]);
    let refused = queue.nack(&second, seconds(50_000)).unwrap_err();
    assert_eq!(refused.to_string(), "queue q: delay is 50000 s; at most 43200 s");
}

#[test]
fn work_and_its_results_are_one_transaction() {
    let (log, clock) = place(1);
    log.create_topic(&topic("results"), &TopicConfig::default()).unwrap();
    let queue = open(&log, &clock, config());
    queue.send_all(vec![Message::new("k", "v"); 2]).unwrap();
    let receipts: Vec<_> = queue.receive(2, Duration::ZERO).unwrap().iter().map(|delivery| delivery.receipt).collect();
    let results = |name: &str| {
        let partition = TopicPartition::new(topic(name), PartitionId(0));
        let records = [Record::new("k", "done")].into_iter().collect();
        Transaction { appends: vec![Append { partition, records }], offsets: Vec::new() }
    };
    assert_eq!(queue.ack_with(&receipts[..1], results("results")).unwrap(), [Offset(0)]);
    let refused = queue.ack_with(&receipts, results("results")).unwrap_err();
    assert!(matches!(refused, QueueError::StaleReceipt { .. }), "one of two is done with: {refused}");
    assert!(matches!(queue.ack_with(&receipts[1..], results("nowhere")), Err(QueueError::Log(_))));
    assert_eq!((values(log.as_ref(), "results").len(), queue.stats().unwrap().acknowledged), (1, 1));
    queue.ack(&receipts[1]).unwrap();
}

#[test]
fn a_queue_has_one_owner() {
    let (log, clock) = place(1);
    let old = open(&log, &clock, config());
    old.send(Message::new("k", "v")).unwrap();
    let held = one(&old).receipt;
    let new = open(&log, &clock, config());
    assert!(matches!(old.ack(&held), Err(QueueError::Fenced { .. })));
    assert!(matches!(old.receive(1, Duration::ZERO), Err(QueueError::Fenced { .. })), "it stays so");
    assert!(new.receive(1, Duration::ZERO).unwrap().is_empty(), "what the former owner gave out stays given out");
    new.ack(&held).unwrap();
    let other = open(&log, &clock, QueueConfig::new("other", topic("work")));
    assert_eq!(one(&other).record.value.as_deref(), Some(b"v".as_slice()), "another queue sees all messages");
}

#[test]
fn a_queue_deleted_or_of_a_topic_made_anew_begins_anew() {
    let (log, clock) = place(1);
    let queue = open(&log, &clock, config());
    queue.send_all(vec![Message::new("k", "v"); 3]).unwrap();
    let receipt = one(&queue).receipt;
    queue.ack(&receipt).unwrap();
    log.delete_topic(&topic("work")).unwrap();
    log.create_topic(&topic("work"), &TopicConfig::default()).unwrap();
    let queue = open(&log, &clock, config());
    assert_eq!(queue.stats().unwrap(), super::QueueStats::default());
    queue.send(Message::new("k", "new")).unwrap();
    assert_eq!(one(&queue).record.value.as_deref(), Some(b"new".as_slice()));
    Queue::delete(log.as_ref(), &config()).unwrap();
    Queue::delete(log.as_ref(), &config()).unwrap();
    assert!(queue.receive(1, Duration::ZERO).is_err() || queue.receive(1, Duration::ZERO).unwrap().is_empty());
    let queue = open(&log, &clock, config());
    assert_eq!(one(&queue).attempts, 1);
    let queue =
        open(&log, &clock, QueueConfig { start_at: StartAt::Latest, ..QueueConfig::new("late", topic("work")) });
    assert!(queue.receive(1, Duration::ZERO).unwrap().is_empty());
    queue.send(Message::new("k", "later")).unwrap();
    let queue =
        open(&log, &clock, QueueConfig { start_at: StartAt::Latest, ..QueueConfig::new("late", topic("work")) });
    assert_eq!(one(&queue).record.value.as_deref(), Some(b"later".as_slice()), "where it begins is decided once");
}

#[test]
fn limits_hold_messages_back_until_others_are_done_with() {
    let (log, clock) = place(1);
    let queue = open(&log, &clock, QueueConfig { max_in_flight: 2, max_tracked: 3, ..config() });
    queue
        .send_all(
            (0..6).map(|n| Message::new("k", n.to_string()).delayed(seconds(if n == 0 { 60 } else { 0 }))).collect(),
        )
        .unwrap();
    let held = queue.receive(10, Duration::ZERO).unwrap();
    assert_eq!(held.len(), 2);
    assert!(queue.receive(10, Duration::ZERO).unwrap().is_empty());
    queue.ack(&held[0].receipt).unwrap();
    assert_eq!(queue.receive(10, Duration::ZERO).unwrap().len(), 1);
    assert_eq!(queue.receive(0, seconds(60)).unwrap(), []);
}

#[test]
fn a_delay_of_the_queue_holds_for_records_written_past_it() {
    let (log, clock) = place(1);
    let queue = open(&log, &clock, QueueConfig { delay: seconds(10), ..config() });
    let record = Record { timestamp: Timestamp(1_000_000), ..Record::new("k", "v") };
    let partition = TopicPartition::new(topic("work"), PartitionId(0));
    let appends = vec![Append { partition, records: [record].into_iter().collect() }];
    log.producer("p").unwrap().commit(Transaction { appends, offsets: Vec::new() }).unwrap();
    queue.send_all(vec![Message::new("k", "v"), Message::new("k", "now").delayed(Duration::ZERO)]).unwrap();
    assert_eq!(one(&queue).record.value.as_deref(), Some(b"now".as_slice()));
    assert!(queue.receive(1, Duration::ZERO).unwrap().is_empty());
    assert_eq!(queue.stats().unwrap().delayed, 2);
    clock.advance(seconds(10));
    assert_eq!(queue.receive(5, Duration::ZERO).unwrap().len(), 2);
    assert_eq!(queue.stats().unwrap().oldest_age, Some(seconds(10)));
}

#[test]
fn retention_that_passes_messages_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(directory.path(), EmbeddedConfig::default()).unwrap();
    log.create_topic(&topic("work"), &TopicConfig { segment_bytes: 1, ..TopicConfig::default() }).unwrap();
    let queue = Queue::open(Arc::<EmbeddedLog>::clone(&log), config()).unwrap();
    (0..10).for_each(|n| assert!(queue.send(Message::new("k", n.to_string())).is_ok()));
    let held = queue.receive(3, Duration::ZERO).unwrap();
    queue.ack(&held[0].receipt).unwrap();
    log.delete_records(&TopicPartition::new(topic("work"), PartitionId(0)), Offset(6)).unwrap();
    let stats = queue.stats().unwrap();
    assert_eq!((stats.expired, stats.in_flight, stats.available), (5, 0, 4));
    assert!(matches!(queue.ack(&held[1].receipt), Err(QueueError::StaleReceipt { .. })));
    let queue = Queue::open(log, config()).unwrap();
    assert_eq!(queue.stats().unwrap().expired, 5);
    assert_eq!(one(&queue).record.value.as_deref(), Some(b"6".as_slice()));
}

#[test]
fn a_consumer_that_waits_is_woken() {
    let (log, _) = place(1);
    let config = QueueConfig { visibility: Duration::from_millis(50), ..config() };
    let queue = Queue::open_with_clock(log, config, Arc::new(SystemClock::default())).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| queue.receive(1, seconds(60)).unwrap());
        queue.send(Message::new("k", "v")).unwrap();
        assert_eq!(waiting.join().unwrap().len(), 1);
    });
    assert_eq!(queue.receive(1, seconds(60)).unwrap()[0].attempts, 2, "when the lease ends");
}

#[test]
fn many_consumers_share_the_work_and_the_commits() {
    const MESSAGES: u32 = 400;
    let directory = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(directory.path(), EmbeddedConfig::default()).unwrap();
    log.create_topic(&topic("work"), &TopicConfig { partitions: 2, ..TopicConfig::default() }).unwrap();
    let config = QueueConfig { order: Order::Key, snapshot_every: 7, ..config() };
    let queue = Queue::open(Arc::<EmbeddedLog>::clone(&log), config.clone()).unwrap();
    queue.send_all((0..MESSAGES).map(|n| Message::new(format!("k{}", n % 13), n.to_string())).collect()).unwrap();
    let seen = Mutex::new(BTreeMap::<Vec<u8>, Vec<u32>>::new());
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                loop {
                    let received = queue.receive(4, Duration::from_millis(20)).unwrap();
                    if received.is_empty() && queue.stats().unwrap().acknowledged == u64::from(MESSAGES) {
                        return;
                    }
                    for delivery in received {
                        let Record { key, value, .. } = delivery.record;
                        let number = String::from_utf8(value.unwrap()).unwrap().parse().unwrap();
                        seen.lock().entry(key.unwrap()).or_default().push(number);
                        queue.ack(&delivery.receipt).unwrap();
                    }
                }
            });
        }
    });
    for (key, numbers) in seen.into_inner() {
        assert!(numbers.is_sorted(), "{key:?}: {numbers:?}");
        assert_eq!(numbers.len(), (0..MESSAGES).filter(|n| format!("k{}", n % 13).as_bytes() == key).count());
    }
    log.maintain(Timestamp(i64::MAX / 2)).unwrap();
    let queue = Queue::open(log, config).unwrap();
    assert_eq!(queue.stats().unwrap().acknowledged, u64::from(MESSAGES));
    assert!(queue.receive(1, Duration::ZERO).unwrap().is_empty());
}

#[test]
fn another_process_that_opens_a_queue_takes_it_over() {
    let cluster = MemoryCluster::new();
    let (ada, bob) = (cluster.process("ada"), cluster.process("bob"));
    ada.create_topic(&topic("work"), &TopicConfig::default()).unwrap();
    let old = Queue::open(ada, config()).unwrap();
    old.send_all(vec![Message::new("k", "v"); 2]).unwrap();
    let held = one(&old).receipt;
    let new = Queue::open(bob, config()).unwrap();
    assert!(matches!(old.ack(&held), Err(QueueError::Fenced { .. })));
    assert_eq!(one(&new).receipt.offset(), Offset(1), "what the other process gave out is hidden");
    new.ack(&held).unwrap();
}
