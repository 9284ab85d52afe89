//! `millstream bench queue`: how fast messages of a work queue are received and acknowledged, every lease and acknowledgement durable.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use clap::Args;
use millstream::{
    log::{
        Log, TopicConfig,
        embedded::{EmbeddedConfig, EmbeddedLog},
    },
    queue::{Message, Queue, QueueConfig, QueueError},
};
use serde::Serialize;

use super::run::topic_name;
use crate::cli::{failure::Failure, stopwatch::Stopwatch};

/// Bytes of a message.
const MESSAGE_BYTES: usize = 100;
const PARTITIONS: u32 = 4;
/// Messages sent in one commit.
const SENT_AT_ONCE: u64 = 10_000;

/// `millstream bench queue`
#[derive(Debug, Args)]
pub struct QueueArguments {
    /// How many messages, of 100 bytes each.
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub messages: u64,
    /// How many consumers, each on a thread.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub consumers: u32,
    /// How many messages each receives, and then acknowledges, at once.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=millstream::queue::MAX_RECEIVE as i64))]
    pub batch: u32,
    /// One JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// The outcome of a run.
#[derive(Debug, Clone, Serialize)]
pub struct QueueReport {
    /// Always `queue`.
    pub workload: &'static str,
    /// Messages.
    pub messages: u64,
    /// Consumers.
    pub consumers: u32,
    /// Messages received at once.
    pub batch: u32,
    /// From the first receive to the last acknowledgement.
    pub wall_seconds: f64,
    /// Messages received and acknowledged a second.
    pub messages_per_second: f64,
}

impl QueueReport {
    /// The lines of the table, each with its name.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        vec![
            ("messages", self.messages.to_string()),
            ("consumers", format!("{}, {} messages at a time", self.consumers, self.batch)),
            ("wall", format!("{:.2} s", self.wall_seconds)),
            ("messages a second", format!("{:.0}", self.messages_per_second)),
        ]
    }
}

impl QueueArguments {
    /// Fills a queue in `directory` and empties it.
    ///
    /// # Errors
    /// Those of the log and of the queue.
    pub fn run(&self, directory: &Path) -> Result<QueueReport, Failure> {
        let refused = |error: QueueError| Failure::Refused(error.to_string());
        let log = EmbeddedLog::open(&directory.join("log"), EmbeddedConfig::default())?;
        let topic = topic_name("work")?;
        log.create_topic(&topic, &TopicConfig { partitions: PARTITIONS, ..TopicConfig::default() })?;
        let queue = Queue::open(log, QueueConfig::new("bench", topic)).map_err(refused)?;
        for from in (0..self.messages).step_by(SENT_AT_ONCE as usize) {
            let until = (from + SENT_AT_ONCE).min(self.messages);
            let message = |number: u64| Message::new(number.to_string(), [b'x'; MESSAGE_BYTES]);
            queue.send_all((from..until).map(message).collect()).map_err(refused)?;
        }
        let (watch, done) = (Stopwatch::start(), AtomicU64::new(0));
        thread::scope(|scope| {
            let consumers: Vec<_> = (0..self.consumers).map(|_| scope.spawn(|| self.consume(&queue, &done))).collect();
            consumers.into_iter().try_for_each(|consumer| match consumer.join() {
                Ok(ended) => ended.map_err(refused),
                Err(_) => Err(Failure::Refused("a consumer panicked".to_owned())),
            })
        })?;
        let wall_seconds = watch.elapsed().as_secs_f64();
        Ok(QueueReport {
            workload: "queue",
            messages: self.messages,
            consumers: self.consumers,
            batch: self.batch,
            wall_seconds,
            messages_per_second: self.messages as f64 / wall_seconds.max(1e-9),
        })
    }

    fn consume(&self, queue: &Queue, done: &AtomicU64) -> Result<(), QueueError> {
        while done.load(Ordering::Relaxed) < self.messages {
            let deliveries = queue.receive(self.batch as usize, Duration::ZERO)?;
            let receipts: Vec<_> = deliveries.iter().map(|delivery| delivery.receipt).collect();
            let failed = queue.ack_all(&receipts)?.len();
            done.fetch_add((receipts.len() - failed) as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}
