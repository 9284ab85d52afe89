//! Queues: work is given out message by message from a topic, to any number of consumers, until each message is acknowledged or dead.
//!
//! A [`Queue`] is a view of a topic: records stay where they are, so several queues, queries and tables read the same topic. A message that
//! was received is hidden from others for a while (*visibility timeout*); whoever got it acknowledges it, gives it back or holds it longer,
//! by its [`Receipt`]. After so many attempts it goes to a topic of dead letters. The behaviour is that of queue services and of Kafka's share
//! groups (KIP-932).
//!
//! # Invariants
//! - What was answered is durable: an acknowledgement, an attempt, a lease. So no message comes again after its acknowledgement was
//!   confirmed, none is received more often than it may, and leases and attempts outlive the process. Before that a message may come twice.
//! - A message is done with once: acknowledged, dead (copied in the same transaction) or expired, by retention, which is counted.
//! - A queue has one owner, fenced by its producer. Changes of many consumers share one commit.
//! - Memory grows with the messages that are tracked ([`QueueConfig::max_tracked`]) and with the ids of the dedup window, not with the topic.
//!
//! # Limits
//! Leases end when somebody next asks the queue for something: it has no thread. Messages that were not looked at yet count as available,
//! delayed ones among them. One call receives up to [`MAX_RECEIVE`] messages of about 8 MiB.
//!
//! # Map
//! `config`, `message`, `error`, `stats`: what is said to a queue and by it; `span`, `runs`: one partition, a state machine without log
//! and clock; `frame`: what is durable of it; `state`, `commit`: all partitions, and the commits that callers share; `open`, `receive`, `send`,
//! `dead_letters`, `records`: what is done with the log
//!
//! # Example
//! ```
//! use std::{sync::Arc, time::Duration};
//! use millstream::{log::Log, queue::{Message, Queue, QueueConfig}, testing::MemoryLog};
//!
//! let log = Arc::new(MemoryLog::new());
//! log.create_topic(&"mails".parse()?, &Default::default())?;
//! let queue = Queue::open(log, QueueConfig::new("mailer", "mails".parse()?))?;
//! queue.send(Message::new("ada", "welcome"))?;
//!
//! let received = queue.receive(10, Duration::from_secs(1))?; // waits if there is nothing
//! assert_eq!(received[0].record.value.as_deref(), Some(b"welcome".as_slice()));
//! assert!(queue.receive(10, Duration::ZERO)?.is_empty()); // hidden
//! queue.ack(&received[0].receipt)?; // durable when it returns
//! assert_eq!(queue.stats()?.acknowledged, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod commit;
mod config;
mod dead_letters;
mod dedup;
mod error;
mod frame;
mod message;
mod open;
mod receive;
mod records;
mod runs;
mod send;
mod settle;
mod span;
mod state;
mod stats;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use self::{dedup::Dedup, state::State};
use crate::{
    log::SharedLog,
    record::{PartitionId, TopicName, TopicPartition},
    runtime::Clock,
};

pub use config::{DedupBy, Order, QueueConfig, StartAt};
pub use dead_letters::{DEAD_ATTEMPTS, DEAD_OFFSET, DEAD_PARTITION, DEAD_QUEUE, DEAD_REASON, DEAD_TOPIC, Redriven};
pub use error::QueueError;
pub use message::{DEDUP_ID, Delivery, Message, Receipt, Sent, VISIBLE_AT};
pub use receive::MAX_RECEIVE;
pub use stats::QueueStats;

/// A queue, open in this process; shared by its consumers as `&Queue` or in an `Arc`. Every method may be called from any thread.
pub struct Queue {
    config: QueueConfig,
    state_topic: TopicName,
    /// Tells queues apart that were made under one name.
    identity: u32,
    /// Of the topic of the messages.
    incarnation: u128,
    log: SharedLog,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// A commit has ended.
    committed: Condvar,
    /// Held while messages with ids are sent.
    dedup: Mutex<Dedup>,
    /// Held while dead letters are moved.
    redriving: Mutex<()>,
}

impl Queue {
    /// The settings.
    pub fn config(&self) -> &QueueConfig {
        &self.config
    }

    fn partition(&self, partition: usize) -> TopicPartition {
        TopicPartition::new(self.config.topic.clone(), PartitionId(partition as u32))
    }
}
