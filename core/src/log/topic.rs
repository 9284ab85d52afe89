//! How a topic is kept.

use std::time::Duration;

use crate::record::TopicName;

/// What becomes of old records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CleanupPolicy {
    /// Whole segments go when they are past the retention by time or size.
    Delete,
    /// The last record of each key stays; a tombstone goes after its delay.
    Compact,
    /// Both.
    CompactDelete,
}

/// How batches are compressed on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all: the fastest to read, mapped straight into columns.
    None,
    /// Fast, about half the size for text.
    Lz4,
    /// Smaller, slower to write.
    Zstd,
}

/// The settings of a topic. `Default` is one partition, kept for ever, uncompressed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TopicConfig {
    /// How many partitions; at least 1.
    pub partitions: u32,
    /// What becomes of old records.
    pub cleanup: CleanupPolicy,
    /// Segments whose newest record is older than this may go; `None` keeps them.
    pub retention: Option<Duration>,
    /// A partition larger than this loses its oldest segments; `None` keeps them.
    pub retention_bytes: Option<u64>,
    /// How long a tombstone stays readable after compaction has first met it.
    pub tombstone_delay: Duration,
    /// Batches on disk.
    pub compression: Compression,
    /// A segment is closed when it is larger than this.
    pub segment_bytes: u64,
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            partitions: 1,
            cleanup: CleanupPolicy::Delete,
            retention: None,
            retention_bytes: None,
            tombstone_delay: Duration::from_secs(24 * 3600),
            compression: Compression::None,
            segment_bytes: 64 << 20,
        }
    }
}

/// A topic as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: TopicName,
    /// Its settings.
    pub config: TopicConfig,
    /// Which topic of that name this is: differs after the topic was deleted and made again, so that state restored from
    /// the old one is recognised.
    pub incarnation: u128,
}
