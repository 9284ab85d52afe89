//! What the processes of a queue do: four consumers and a sender, until they are killed or everything is done.

use std::{fs::File, path::Path, sync::Arc, thread, time::Duration};

use millstream::{
    log::{
        Log, TopicConfig,
        embedded::{EmbeddedConfig, EmbeddedLog},
    },
    queue::{Delivery, Message, Order, Queue, QueueConfig, Sent},
    record::TopicName,
};
use rand::RngExt;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::evidence::{self, Deed, Line};

pub(super) const DIRECTORY: &str = "MILLSTREAM_QUEUE_WORKER_DIRECTORY";
pub(super) const RUN: &str = "MILLSTREAM_QUEUE_WORKER_RUN";
/// When this file is there nothing more is sent.
pub(super) const STOP: &str = "stop";
pub(super) const MAX_ATTEMPTS: u32 = 6;
pub(super) const TOPIC: &str = "work";
pub(super) const DEAD: &str = "work-dead";

const CONSUMERS: u64 = 4;
const KEYS: u64 = 40;
const PARTITIONS: u32 = 3;
const VISIBILITY: Duration = Duration::from_millis(500);
/// Messages whose number divides by this cannot be worked on.
const POISON: u64 = 50;

pub(super) fn name(topic: &str) -> TopicName {
    TopicName::new(topic).expect("a legal name")
}

pub(super) fn open_log(directory: &Path) -> Arc<EmbeddedLog> {
    EmbeddedLog::open(&directory.join("log"), EmbeddedConfig::default()).expect("the log opens")
}

pub(super) fn open_queue(log: Arc<EmbeddedLog>) -> Queue {
    let config = QueueConfig {
        visibility: VISIBILITY,
        max_attempts: MAX_ATTEMPTS,
        dead_letter: Some(name(DEAD)),
        order: Order::Key,
        snapshot_every: 20,
        ..QueueConfig::new("q", name(TOPIC))
    };
    Queue::open(log, config).expect("the queue opens")
}

/// Makes the topic.
pub(super) fn prepare(directory: &Path) {
    let config = TopicConfig { partitions: PARTITIONS, ..TopicConfig::default() };
    open_log(directory).create_topic(&name(TOPIC), &config).expect("the topic is new");
}

/// Works until everything is done and the sender was told to stop.
pub(super) fn work(directory: &Path, run: u64) {
    let queue = open_queue(open_log(directory));
    let file = evidence::open(directory);
    thread::scope(|scope| {
        scope.spawn(|| send(&queue, &file, directory, run));
        for consumer in 0..CONSUMERS {
            let (queue, file) = (&queue, &file);
            scope.spawn(move || consume(queue, file, directory, run * CONSUMERS + consumer));
        }
    });
}

fn send(queue: &Queue, file: &File, directory: &Path, run: u64) {
    let mut number = run * 1_000_000;
    while !directory.join(STOP).exists() {
        let message = |number: u64| {
            let delay = if number.is_multiple_of(30) { Duration::from_millis(40) } else { Duration::ZERO };
            Message::new(format!("k{}", number % KEYS), number.to_string()).delayed(delay)
        };
        let sent = queue.send_all((number..number + 5).map(message).collect()).expect("messages are sent");
        for place in sent {
            let Sent::At(partition, offset) = place else { panic!("no ids, no duplicates") };
            evidence::write(file, Line { deed: Deed::Sent, partition: partition.0, offset: offset.0, number });
            number += 1;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn consume(queue: &Queue, file: &File, directory: &Path, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    loop {
        let received = queue.receive(5, Duration::from_millis(20)).expect("messages are received");
        if received.is_empty() && directory.join(STOP).exists() && is_done(queue) {
            return;
        }
        for delivery in received {
            work_on(queue, file, &delivery, &mut random);
        }
    }
}

fn is_done(queue: &Queue) -> bool {
    let stats = queue.stats().expect("the queue stands somehow");
    stats.available + stats.in_flight + stats.delayed == 0
}

fn work_on(queue: &Queue, file: &File, delivery: &Delivery, random: &mut ChaCha8Rng) {
    let (partition, offset) = (delivery.receipt.partition().0, delivery.receipt.offset().0);
    let line = |deed| Line { deed, partition, offset, number: u64::from(delivery.attempts) };
    evidence::write(file, line(Deed::Received));
    let value = delivery.record.value.as_deref().expect("a value");
    let number: u64 = std::str::from_utf8(value).expect("text").parse().expect("a number");
    // A receipt may have gone stale where the machine was slow: then somebody else has the message.
    match random.random_range(0..100) {
        _ if number.is_multiple_of(POISON) => drop(queue.nack(&delivery.receipt, Duration::ZERO)),
        0..6 => drop(queue.nack(&delivery.receipt, Duration::from_millis(20))),
        6..8 => {}
        _ => {
            if queue.ack(&delivery.receipt).is_ok() {
                evidence::write(file, line(Deed::Acknowledged));
            }
        }
    }
}
