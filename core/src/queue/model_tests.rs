//! A queue against a naive list of messages: everything that consumers, time and crashes can do, in any order.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proptest::prelude::*;

use super::{
    DEAD_ATTEMPTS, DEAD_OFFSET, DEAD_PARTITION, Message, Order, Queue, QueueConfig, Receipt, Sent, records::header,
};
use crate::{
    log::{Log, TopicConfig},
    record::{Offset, PartitionId, Timestamp, TopicName, TopicPartition},
    runtime::ManualClock,
    testing::MemoryLog,
};

const MAX_ATTEMPTS: u32 = 3;
const VISIBILITY_MS: i64 = 100;

#[derive(Debug, Clone)]
enum Step {
    Send {
        key: u8,
        delay: u8,
    },
    Receive {
        max: u8,
    },
    /// Of all receipts ever given, one.
    Ack(usize),
    Nack(usize, u8),
    Extend(usize, u8),
    Reject(usize),
    Wait(u8),
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..5, prop_oneof![3 => Just(0_u8), 1 => 1_u8..200]).prop_map(|(key, delay)| Step::Send { key, delay }),
        4 => (1_u8..6).prop_map(|max| Step::Receive { max }),
        3 => any::<usize>().prop_map(Step::Ack),
        2 => (any::<usize>(), prop_oneof![Just(0_u8), 1_u8..200]).prop_map(|(which, delay)| Step::Nack(which, delay)),
        1 => (any::<usize>(), 0_u8..250).prop_map(|(which, by)| Step::Extend(which, by)),
        1 => any::<usize>().prop_map(Step::Reject),
        2 => (1_u8..120).prop_map(Step::Wait),
        1 => Just(Step::Crash),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stand {
    From(i64),
    Held(i64),
    Acknowledged,
    Dead,
}

#[derive(Debug)]
struct Entry {
    key: u8,
    attempts: u32,
    stand: Stand,
}

/// The naive queue: by partition and offset.
#[derive(Default)]
struct Model {
    now: i64,
    is_ordered: bool,
    entries: BTreeMap<(u32, u64), Entry>,
}

impl Model {
    fn pass(&mut self) {
        for entry in self.entries.values_mut() {
            if let Stand::Held(until) = entry.stand
                && until <= self.now
            {
                entry.stand = if entry.attempts >= MAX_ATTEMPTS { Stand::Dead } else { Stand::From(self.now) };
            }
        }
    }

    /// What can be received, by partition.
    fn available(&self) -> BTreeMap<u32, Vec<u64>> {
        let is_over = |entry: &Entry| matches!(entry.stand, Stand::Acknowledged | Stand::Dead);
        let mut available = BTreeMap::<u32, Vec<u64>>::new();
        for (&(partition, offset), entry) in &self.entries {
            let mut earlier = self.entries.range((partition, 0)..(partition, offset));
            let is_blocked = self.is_ordered && earlier.any(|(_, other)| other.key == entry.key && !is_over(other));
            if matches!(entry.stand, Stand::From(at) if at <= self.now) && !is_blocked {
                available.entry(partition).or_default().push(offset);
            }
        }
        available
    }

    fn held(&mut self, receipt: &Receipt) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(&(receipt.partition.0, receipt.offset.0))?;
        (matches!(entry.stand, Stand::Held(_)) && entry.attempts == receipt.attempt).then_some(entry)
    }

    fn count(&self, is: impl Fn(Stand) -> bool) -> u64 {
        self.entries.values().filter(|entry| is(entry.stand)).count() as u64
    }

    fn dead(&self) -> Vec<(u32, u64, u32)> {
        let dead = self.entries.iter().filter(|(_, entry)| entry.stand == Stand::Dead);
        dead.map(|(&(partition, offset), entry)| (partition, offset, entry.attempts)).collect()
    }
}

struct Bench {
    log: Arc<MemoryLog>,
    clock: Arc<ManualClock>,
    config: QueueConfig,
    queue: Queue,
    receipts: Vec<Receipt>,
    model: Model,
}

impl Bench {
    fn new(order: Order, snapshot_every: u32) -> Self {
        let topic = TopicName::new("work").unwrap();
        let config = QueueConfig {
            visibility: Duration::from_millis(VISIBILITY_MS as u64),
            max_attempts: MAX_ATTEMPTS,
            dead_letter: Some(TopicName::new("work-dead").unwrap()),
            order,
            snapshot_every,
            ..QueueConfig::new("q", topic.clone())
        };
        let log = Arc::new(MemoryLog::new());
        log.create_topic(&topic, &TopicConfig { partitions: 2, ..TopicConfig::default() }).unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp(1_000)));
        let queue = Self::open(&log, &config, &clock);
        let model = Model { now: 1_000, is_ordered: order == Order::Key, ..Model::default() };
        Self { log, clock, config, queue, receipts: Vec::new(), model }
    }

    fn open(log: &Arc<MemoryLog>, config: &QueueConfig, clock: &Arc<ManualClock>) -> Queue {
        Queue::open_with_clock(Arc::<MemoryLog>::clone(log), config.clone(), Arc::<ManualClock>::clone(clock)).unwrap()
    }

    fn run(&mut self, step: &Step) {
        self.model.pass();
        match *step {
            Step::Send { key, delay } => self.send(key, delay),
            Step::Receive { max } => self.receive(max as usize),
            Step::Wait(ms) => {
                self.clock.advance(Duration::from_millis(ms.into()));
                self.model.now += i64::from(ms);
            }
            Step::Crash => self.queue = Self::open(&self.log, &self.config, &self.clock),
            Step::Ack(which) => self.use_receipt(
                which,
                |queue, receipt| queue.ack(receipt).is_ok(),
                |entry, _| {
                    entry.stand = Stand::Acknowledged;
                },
            ),
            Step::Nack(which, delay) => {
                let nack =
                    |queue: &Queue, receipt: &Receipt| queue.nack(receipt, Duration::from_millis(delay.into())).is_ok();
                self.use_receipt(which, nack, |entry, now| {
                    let again = Stand::From(now + i64::from(delay));
                    entry.stand = if entry.attempts >= MAX_ATTEMPTS { Stand::Dead } else { again };
                });
            }
            Step::Extend(which, by) => {
                let extend =
                    |queue: &Queue, receipt: &Receipt| queue.extend(receipt, Duration::from_millis(by.into())).is_ok();
                self.use_receipt(which, extend, |entry, now| entry.stand = Stand::Held(now + i64::from(by)));
            }
            Step::Reject(which) => {
                self.use_receipt(
                    which,
                    |queue, receipt| queue.reject(receipt, "no").is_ok(),
                    |entry, _| entry.stand = Stand::Dead,
                );
            }
        }
        self.model.pass();
        self.compare();
    }

    fn send(&mut self, key: u8, delay: u8) {
        let message = Message::new([key], "work").delayed(Duration::from_millis(delay.into()));
        let Sent::At(partition, offset) = self.queue.send(message).unwrap() else { panic!("no ids, no duplicates") };
        let entry = Entry { key, attempts: 0, stand: Stand::From(self.model.now + i64::from(delay)) };
        assert!(self.model.entries.insert((partition.0, offset.0), entry).is_none());
    }

    fn receive(&mut self, max: usize) {
        let available = self.model.available();
        let received = self.queue.receive(max, Duration::ZERO).unwrap();
        let expected = available.values().map(Vec::len).sum::<usize>().min(max);
        assert_eq!(received.len(), expected, "available: {available:?}");
        let mut taken = BTreeMap::<u32, Vec<u64>>::new();
        for delivery in received {
            let (partition, offset) = (delivery.receipt.partition().0, delivery.receipt.offset().0);
            taken.entry(partition).or_default().push(offset);
            let entry = self.model.entries.get_mut(&(partition, offset)).unwrap();
            entry.attempts += 1;
            assert_eq!((delivery.attempts, delivery.record.key), (entry.attempts, Some(vec![entry.key])));
            assert!(entry.attempts <= MAX_ATTEMPTS);
            entry.stand = Stand::Held(self.model.now + VISIBILITY_MS);
            self.receipts.push(delivery.receipt);
        }
        for (partition, offsets) in taken {
            assert_eq!(offsets, available[&partition][..offsets.len()], "the first that can be received");
        }
    }

    fn use_receipt(&mut self, which: usize, call: impl Fn(&Queue, &Receipt) -> bool, change: impl Fn(&mut Entry, i64)) {
        if self.receipts.is_empty() {
            return;
        }
        let receipt = self.receipts[which % self.receipts.len()];
        let now = self.model.now;
        let held = self.model.held(&receipt);
        assert_eq!(call(&self.queue, &receipt), held.is_some(), "{receipt}");
        if let Some(entry) = held {
            change(entry, now);
        }
    }

    fn compare(&self) {
        let stats = self.queue.stats().unwrap();
        let waiting = self.model.count(|stand| matches!(stand, Stand::From(_)));
        assert_eq!(stats.in_flight, self.model.count(|stand| matches!(stand, Stand::Held(_))));
        assert_eq!(stats.acknowledged, self.model.count(|stand| stand == Stand::Acknowledged));
        assert_eq!(stats.available + stats.delayed, waiting);
        assert_eq!((stats.dead, stats.expired), (self.model.dead().len() as u64, 0));
        assert_eq!(self.dead_letters(), self.model.dead());
    }

    fn dead_letters(&self) -> Vec<(u32, u64, u32)> {
        let mut letters = Vec::new();
        for partition in 0..2 {
            let partition = TopicPartition::new(TopicName::new("work-dead").unwrap(), PartitionId(partition));
            for batch in self.log.fetch(&partition, Offset::ZERO, usize::MAX).unwrap().batches {
                letters.extend(batch.records.iter().map(|record| {
                    let number = |name| header(&record, name).unwrap().parse::<u64>().unwrap();
                    (number(DEAD_PARTITION) as u32, number(DEAD_OFFSET), number(DEAD_ATTEMPTS) as u32)
                }));
            }
        }
        letters.sort_unstable();
        letters
    }
}

fn check(order: Order, snapshot_every: u32, steps: &[Step]) {
    let mut bench = Bench::new(order, snapshot_every);
    steps.iter().for_each(|step| bench.run(step));
    // Whatever has happened, everything comes to an end.
    for _ in 0..=MAX_ATTEMPTS {
        bench.run(&Step::Wait(255));
        bench.run(&Step::Receive { max: 255 });
        while !bench.model.available().is_empty() {
            bench.run(&Step::Receive { max: 255 });
        }
    }
    for which in 0..bench.receipts.len() {
        bench.run(&Step::Ack(which));
    }
    assert!(bench.model.count(|stand| matches!(stand, Stand::Held(_))) == 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_queue_does_what_a_list_does(steps in prop::collection::vec(step(), 1..80), snapshot_every in 1_u32..9) {
        check(Order::None, snapshot_every, &steps);
    }

    #[test]
    fn a_queue_in_order_does_what_a_list_does(steps in prop::collection::vec(step(), 1..80), snapshot_every in 1_u32..9) {
        check(Order::Key, snapshot_every, &steps);
    }
}
