//! What can go wrong with a log.

use std::{io, path::PathBuf};

use crate::record::{GroupId, InvalidName, Offset, PartitionId, TopicName, TopicPartition};

/// Why a log could not be opened, read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// No topic of that name.
    #[error("there is no topic {topic}; create it first, or look with `topic list`")]
    UnknownTopic {
        /// The name asked for.
        topic: TopicName,
    },
    /// The topic has fewer partitions.
    #[error("topic {topic} has {partitions} partition(s), numbered from 0: there is no partition {partition}")]
    UnknownPartition {
        /// The topic.
        topic: TopicName,
        /// The partition asked for.
        partition: PartitionId,
        /// How many there are.
        partitions: u32,
    },
    /// A topic of that name is there already.
    #[error("topic {topic} exists already")]
    TopicExists {
        /// The name.
        topic: TopicName,
    },
    /// A setting of a topic that cannot be.
    #[error("topic {topic}: {setting} {problem}")]
    InvalidTopic {
        /// The topic.
        topic: TopicName,
        /// The setting.
        setting: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A name that cannot be.
    #[error(transparent)]
    InvalidName(#[from] InvalidName),
    /// A position that is not, or no longer, in the log.
    #[error(
        "{partition}: offset {wanted} is outside the log, which holds {start} to {end}; read from the earliest or raise the retention"
    )]
    OffsetOutOfRange {
        /// Where.
        partition: TopicPartition,
        /// The offset asked for.
        wanted: Offset,
        /// The first there.
        start: Offset,
        /// The next to be written.
        end: Offset,
    },
    /// Bytes that were durable are damaged.
    #[error("{}: damaged at byte {byte}: {problem}; restore the file from a copy, or move the directory away to start anew", file.display())]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Where the damage was noticed.
        byte: u64,
        /// What was wrong.
        problem: String,
    },
    /// Written by a version that this one does not know.
    #[error("{}: format version {found}, this program reads {known}; use the version that wrote it", file.display())]
    UnknownVersion {
        /// The file.
        file: PathBuf,
        /// The version found.
        found: u32,
        /// The version this program reads and writes.
        known: u32,
    },
    /// Another process has the directory.
    #[error("{}: in use by {holder}; one process at a time owns a data directory", directory.display())]
    InUse {
        /// The directory.
        directory: PathBuf,
        /// What the lock file says of its holder.
        holder: String,
    },
    /// The engine stopped writing after a failed write or sync, and says so until it is opened again.
    #[error(
        "the log stopped after a failed write ({cause}); what was acknowledged is kept: mend the disk and start again"
    )]
    Poisoned {
        /// The first failure.
        cause: String,
    },
    /// The engine is elsewhere and did not do what it was asked.
    #[error("{cluster}: cannot {action}: {problem}")]
    Remote {
        /// Which one.
        cluster: String,
        /// What was tried, as a verb and its object.
        action: String,
        /// Why not, and what to do.
        problem: String,
        /// Whether the same may succeed later.
        transient: bool,
    },
    /// The operating system refused.
    #[error("{}: cannot {action}: {source}", file.display())]
    Io {
        /// The file or directory.
        file: PathBuf,
        /// What was tried, as a verb.
        action: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl LogError {
    /// Whether the same may succeed later, without anything being done about it.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Remote { transient: true, .. })
    }
}

/// Why a commit did not return a receipt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// A newer producer of the same name was opened; nothing was committed.
    #[error("producer {producer} was replaced by a newer one; nothing was committed")]
    Fenced {
        /// The name of the producer.
        producer: String,
    },
    /// The group has given the member up in whose name the commit was to be made; nothing was committed.
    #[error("group {group} has given this member up ({problem}); nothing was committed")]
    NotOwner {
        /// The group.
        group: GroupId,
        /// What the engine said.
        problem: String,
    },
    /// The transaction cannot be committed as it is; nothing was committed and the engine works on.
    #[error("nothing was committed: {0}")]
    Rejected(#[source] LogError),
    /// The engine cannot say whether the transaction was committed; opening it again will tell.
    #[error("it is unknown whether the commit took place: {0}")]
    Unknown(#[source] LogError),
}

impl CommitError {
    /// Whether it is certain that nothing was committed.
    pub fn is_nothing_committed(&self) -> bool {
        matches!(self, Self::Fenced { .. } | Self::NotOwner { .. } | Self::Rejected(_))
    }
}
