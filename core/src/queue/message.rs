//! What is sent to a queue, and what is received from it.

use std::{fmt, str::FromStr, time::Duration};

use super::QueueError;
use crate::record::{Header, Offset, PartitionId, Record};

/// The header that says from when on a message can be received: milliseconds since the epoch, as text.
pub const VISIBLE_AT: &str = "millstream.queue.visible_at";
/// The header by which the same message is known.
pub const DEDUP_ID: &str = "millstream.queue.dedup_id";

/// A message to be sent.
///
/// ```
/// use std::time::Duration;
/// use millstream::queue::Message;
///
/// let message = Message::new("ada@example.com", "welcome").delayed(Duration::from_secs(60)).with_dedup_id("welcome-17");
/// assert_eq!(message.dedup_id.as_deref(), Some("welcome-17"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// The key: in a queue ordered by key, what is in order. It decides about the partition; messages without one are spread.
    pub key: Option<Vec<u8>>,
    /// The body.
    pub value: Option<Vec<u8>>,
    /// Headers of the sender.
    pub headers: Vec<Header>,
    /// How long it stays hidden; `None` is the delay of the queue.
    pub delay: Option<Duration>,
    /// What it is known by in the dedup window.
    pub dedup_id: Option<String>,
}

impl Message {
    /// A message with a key and a body.
    pub fn new(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self { key: Some(key.into()), value: Some(value.into()), ..Self::default() }
    }

    /// The same, hidden for a while.
    pub fn delayed(self, delay: Duration) -> Self {
        Self { delay: Some(delay), ..self }
    }

    /// The same, known by an id.
    pub fn with_dedup_id(self, id: &str) -> Self {
        Self { dedup_id: Some(id.to_owned()), ..self }
    }
}

/// What became of a message that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is in the topic.
    At(PartitionId, Offset),
    /// The same message is there already, here; nothing was written.
    Duplicate(PartitionId, Offset),
}

/// A message that was received, and is hidden from others until its visibility timeout has passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// By which it is acknowledged, given back or held longer.
    pub receipt: Receipt,
    /// How often it was received, this time included.
    pub attempts: u32,
    /// The record.
    pub record: Record,
}

/// Names one delivery of one message of one queue: the next delivery has another one. It is good after a restart, too.
///
/// As text it is `<queue>-<partition>-<offset>-<attempt>`, where `<queue>` tells queues apart that were made under the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Receipt {
    pub(super) queue: u32,
    pub(super) partition: PartitionId,
    pub(super) offset: Offset,
    pub(super) attempt: u32,
}

impl Receipt {
    /// The partition of the message.
    pub fn partition(&self) -> PartitionId {
        self.partition
    }

    /// The offset of the message.
    pub fn offset(&self) -> Offset {
        self.offset
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}-{}-{}", self.queue, self.partition, self.offset, self.attempt)
    }
}

impl FromStr for Receipt {
    type Err = QueueError;

    fn from_str(text: &str) -> Result<Self, QueueError> {
        let read = || {
            let mut parts = text.split('-');
            let receipt = Self {
                queue: u32::from_str_radix(parts.next()?, 16).ok()?,
                partition: PartitionId(parts.next()?.parse().ok()?),
                offset: Offset(parts.next()?.parse().ok()?),
                attempt: parts.next()?.parse().ok()?,
            };
            parts.next().is_none().then_some(receipt)
        };
        read().ok_or_else(|| QueueError::NotAReceipt { text: text.chars().take(80).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_are_read_as_they_are_written() {
        let receipt = Receipt { queue: 0xbeef, partition: PartitionId(3), offset: Offset(u64::MAX), attempt: 2 };
        assert_eq!(receipt.to_string(), "0000beef-3-18446744073709551615-2");
        assert_eq!(receipt.to_string().parse::<Receipt>().unwrap(), receipt);
        for bad in ["", "1-2-3", "1-2-3-4-5", "x-1-1-1", "1-1-1--1", "1-99999999999-1-1"] {
            assert!(bad.parse::<Receipt>().is_err(), "{bad}");
        }
    }
}
