//! Why something could not be done with a queue.

use crate::{
    log::LogError,
    record::{Offset, PartitionId, TopicName},
};

/// Why a queue could not be opened or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// A setting that cannot be.
    #[error("queue {queue}: {setting} {problem}")]
    InvalidSetting {
        /// The queue.
        queue: String,
        /// The setting, as it is called in SQL.
        setting: &'static str,
        /// What is wrong with it, and what it may be.
        problem: String,
    },
    /// A text that is no receipt.
    #[error("`{text}` is not a receipt: use one as it was received")]
    NotAReceipt {
        /// The text, shortened.
        text: String,
    },
    /// The message is no longer held under this receipt.
    #[error(
        "queue {queue}: the receipt of topic={topic} partition={partition} offset={offset} is stale: {problem}; \
         receive again"
    )]
    StaleReceipt {
        /// The queue.
        queue: String,
        /// The topic of the message.
        topic: TopicName,
        /// Its partition.
        partition: PartitionId,
        /// Its offset.
        offset: Offset,
        /// What has happened meanwhile.
        problem: &'static str,
    },
    /// There is no topic for dead letters.
    #[error("queue {queue} has no dead-letter topic; name one when it is made")]
    NoDeadLetters {
        /// The queue.
        queue: String,
    },
    /// More ids are remembered than there may be.
    #[error(
        "queue {queue}: {ids} messages of the last {window_ms} ms are remembered, and no more may be; shorten dedup_window"
    )]
    TooManyIds {
        /// The queue.
        queue: String,
        /// How many ids.
        ids: usize,
        /// The window.
        window_ms: u128,
    },
    /// A message that the log does not take.
    #[error("queue {queue}: the message has {bytes} bytes, the log takes {most}")]
    TooLarge {
        /// The queue.
        queue: String,
        /// Bytes of key, value and headers.
        bytes: usize,
        /// Bytes that a record may have.
        most: usize,
    },
    /// Another process or handle has opened the queue.
    #[error("queue {queue} was opened elsewhere, and one owner at a time has it; nothing was done")]
    Fenced {
        /// The queue.
        queue: String,
    },
    /// A commit failed, so that what is in memory may not be what is in the log.
    #[error("queue {queue} stopped: {problem}; open it again")]
    Stopped {
        /// The queue.
        queue: String,
        /// What the log said.
        problem: String,
    },
    /// What the queue has written about itself cannot be read.
    #[error("queue {queue}: topic={topic} offset={offset} holds no state that this program can read: {problem}")]
    BadState {
        /// The queue.
        queue: String,
        /// The topic of its state.
        topic: TopicName,
        /// The record there.
        offset: Offset,
        /// What is wrong with it.
        problem: String,
    },
    /// The log refused.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl QueueError {
    /// Whether the handle is of no use any more: the queue has another owner, or has to be opened again.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Fenced { .. } | Self::Stopped { .. })
    }
}
