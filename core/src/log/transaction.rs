//! What one commit holds, and what is known after it.

use crate::record::{GroupId, Offset, Records, TopicPartition};

/// Everything that one commit makes durable and visible, at once or not at all.
#[derive(Debug, Clone, Default)]
pub struct Transaction {
    /// Records to append, in this order for each partition.
    pub appends: Vec<Append>,
    /// How far groups have read.
    pub offsets: Vec<OffsetCommit>,
}

impl Transaction {
    /// Whether it holds neither records nor offsets. Such a transaction can be committed like any other.
    pub fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.offsets.is_empty()
    }

    /// Bytes of records held: what a limit on uncommitted work is measured in.
    pub fn payload_bytes(&self) -> usize {
        self.appends.iter().map(|append| append.records.payload_bytes()).sum()
    }
}

/// Records for one partition.
#[derive(Debug, Clone)]
pub struct Append {
    /// Where to.
    pub partition: TopicPartition,
    /// What.
    pub records: Records,
}

/// A position that a group commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetCommit {
    /// The group.
    pub group: GroupId,
    /// The partition it has read.
    pub partition: TopicPartition,
    /// Its position there.
    pub position: GroupOffset,
}

/// How far a group has read, with what it needs to read on in the same way (stream time, for one).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOffset {
    /// The first offset not yet processed.
    pub next: Offset,
    /// The group's own bytes; at most 4 KiB.
    pub metadata: Vec<u8>,
}

/// What a commit did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitReceipt {
    /// For each [`Append`], in order: the offset of its first record.
    pub base_offsets: Vec<Offset>,
    /// For each [`Append`], in order: the end of its partition right after the commit.
    pub end_offsets: Vec<Offset>,
}
