//! Sources and sinks: the two traits by which records enter and leave Millstream.
//!
//! A connector talks to one outside system and knows no thread, no transaction and no retry: the connector runtime
//! drives it. What makes a restart exact is that a connector keeps no position of its own:
//!
//! - A [`Source`] hands over records together with the [`Position`] behind them. The runtime commits both in one
//!   transaction and gives the committed position back to [`Source::open`].
//! - A [`Sink`] is told by [`Sink::open`] which offsets are committed, with the bytes it returned from the
//!   [`Sink::flush`] that preceded that commit. It brings its target back to that point, or overwrites what lies beyond.
//!
//! Recovery from an error and recovery from a crash are the same path: `open` again from what is committed.

use std::{collections::BTreeMap, error::Error, io, path::PathBuf};

use crate::{
    log::{Append, CommitError, FetchedBatch, LogError, TopicConfig},
    record::{Offset, Record, Timestamp, TopicName, TopicPartition},
};

/// How far a source partition has been read: bytes that only its source understands, by convention JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position(pub Vec<u8>);

/// Positions by source partition: a name that the source chooses and keeps for ever, such as `file:flights.csv`.
pub type Positions = BTreeMap<String, Position>;

/// How much one poll may bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollLimits {
    /// At most so many records.
    pub rows: usize,
    /// No further record once so many bytes are reached.
    pub bytes: usize,
}

/// Whether polling again makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// There is more: poll again at once.
    Ready,
    /// Nothing more for now: poll again after a pause.
    Idle,
    /// Nothing will ever come again.
    Exhausted,
}

/// What one poll brings.
#[derive(Debug, Clone)]
pub struct SourceBatch {
    /// Records, in order for each partition. A topic that [`Source::topics`] does not name, such as one for dead
    /// letters, is made with one partition when it is first written to.
    pub appends: Vec<Append>,
    /// The positions behind these records; those that did not change may be left out.
    pub positions: Positions,
    /// Whether to poll again.
    pub readiness: Readiness,
    /// Rows of the outside system that could not be taken and are among `appends` as dead letters.
    pub rejected: u64,
}

/// How far along a source is, for people to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// So much is read.
    pub done: u64,
    /// Of so much; `None` where there is no end.
    pub total: Option<u64>,
    /// What is counted.
    pub unit: ProgressUnit,
}

/// What a [`Progress`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProgressUnit {
    /// Bytes of the input as it is stored.
    #[default]
    Bytes,
    /// Rows.
    Rows,
}

/// A topic that a source writes to, and how it is made if it is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceTopic {
    /// The name.
    pub name: TopicName,
    /// The settings for making it; an existing topic is taken as it is.
    pub config: TopicConfig,
}

/// What a source starts from.
#[derive(Debug, Clone, Copy)]
pub struct SourceStart<'a> {
    /// The committed positions; empty the first time.
    pub positions: &'a Positions,
    /// How many partitions each of [`Source::topics`] really has.
    pub partitions: &'a BTreeMap<TopicName, u32>,
}

/// Reads records out of an outside system.
///
/// # Contract
/// - From equal positions and an unchanged outside system come equal records in the same order on the same partitions,
///   whatever the limits are. (Timestamps taken from the clock are the exception.)
/// - A poll does not block for longer than the outside system needs to answer; waiting is the caller's.
/// - After an error the source is not polled before it has been opened again.
pub trait Source: Send {
    /// The topics it writes to; they exist when [`open`](Self::open) is called.
    fn topics(&self) -> Vec<SourceTopic>;

    /// Starts, or starts again, from committed positions.
    ///
    /// # Errors
    /// [`ConnectError::Position`] if the outside system is no longer the one that the positions speak of.
    fn open(&mut self, start: SourceStart<'_>) -> Result<(), ConnectError>;

    /// Brings the next records, and the positions behind them. A batch without records may still move positions.
    ///
    /// # Errors
    /// Those of the outside system. A row that cannot be understood is not an error but a dead letter.
    fn poll(&mut self, limits: PollLimits) -> Result<SourceBatch, ConnectError>;

    /// Told after a commit which positions are durable now, those of the batch that was committed: what lies before them may be given up
    /// outside, such as messages deleted from a queue or a log position confirmed. A crash may come before this call; the positions given to
    /// [`open`](Self::open) say the same.
    ///
    /// # Errors
    /// Those of the outside system. What is committed stays so; the source is opened again.
    fn committed(&mut self, positions: &Positions) -> Result<(), ConnectError> {
        let _ = positions;
        Ok(())
    }

    /// How far it is, counting what was polled.
    fn progress(&self) -> Progress;
}

/// What a sink promises about records and crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// The target holds every record once.
    ExactlyOnce,
    /// The target holds every record; those around a crash perhaps more than once.
    AtLeastOnce,
}

/// A committed position of a sink in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkPosition {
    /// The partition.
    pub partition: TopicPartition,
    /// The first offset that is not written.
    pub next: Offset,
    /// What [`Sink::flush`] returned before this position was committed. `None`: this sink has never committed here.
    pub mark: Option<Vec<u8>>,
}

/// The first offset that is not written, by partition.
pub type SinkPositions = BTreeMap<TopicPartition, Offset>;

/// A record that the target does not take, or that cannot be read as rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedRecord {
    /// Where it was read.
    pub partition: TopicPartition,
    /// At which offset.
    pub offset: Offset,
    /// The record as it was read.
    pub record: Record,
    /// What is wrong with it and what to do.
    pub problem: String,
}

impl RejectedRecord {
    /// Record number `row` of a batch, and what is wrong with it.
    pub fn of(partition: &TopicPartition, batch: &FetchedBatch, row: usize, problem: String) -> Self {
        Self {
            partition: partition.clone(),
            offset: batch.offsets.at(row),
            record: batch.records.get(row).into(),
            problem,
        }
    }
}

/// Writes committed records to an outside system.
///
/// # The order of calls
/// ```text
/// open, then again and again:   write, write, ..   settle   [dead letters are committed]   flush   [offsets are committed]
/// ```
///
/// # Contract
/// - Of each partition, records come in offset order, from [`positions`](Self::positions) on if the sink has any after
///   [`open`](Self::open), else from [`SinkPosition::next`] on, without gaps other than those of compaction.
/// - After an error the sink is not written to before it has been opened again; records since the last committed
///   position then come once more.
pub trait Sink: Send {
    /// The topics it reads.
    fn topics(&self) -> &[TopicName];

    /// What it promises.
    fn promise(&self) -> Promise;

    /// Brings the target to the committed state. The first time all marks are `None`; the runtime then flushes and
    /// commits before the first write, so that a crash during the first write finds a mark.
    ///
    /// # Errors
    /// [`ConnectError::Position`] if the target is not the one that was written to.
    fn open(&mut self, committed: &[SinkPosition]) -> Result<(), ConnectError>;

    /// Writes records; they need not be durable yet.
    ///
    /// # Errors
    /// Those of the outside system.
    fn write(&mut self, partition: &TopicPartition, batch: &FetchedBatch) -> Result<(), ConnectError>;

    /// Brings everything written to the target as far as it goes without becoming visible there, and hands over the records that the target
    /// does not take. They are dead letters, durable before [`flush`](Self::flush), or an error, as the configuration says.
    ///
    /// # Errors
    /// Those of the outside system that are no fault of a single record.
    fn settle(&mut self) -> Result<Vec<RejectedRecord>, ConnectError> {
        Ok(Vec::new())
    }

    /// Makes everything written durable, and returns a mark (at most 4 KiB) from which [`open`](Self::open) recognises
    /// this state. It is committed together with the offsets. A sink with [`positions`](Self::positions) may leave records open that lie
    /// behind them.
    ///
    /// # Errors
    /// Those of the outside system.
    fn flush(&mut self) -> Result<Vec<u8>, ConnectError>;

    /// How far the target itself is, for sinks that know better than the group's offsets: a database that keeps offsets beside its rows, or
    /// files of which the last are still open. After [`open`](Self::open) reading begins there, after [`flush`](Self::flush) this is what
    /// is committed; partitions that are missing are taken as for sinks without positions.
    fn positions(&self) -> Option<&SinkPositions> {
        None
    }

    /// After how many records it wishes its offsets to be committed, unless its user says otherwise: a target that takes records one by one sees
    /// those since the last commit again after a crash. `None`: as many as are read in one go, which suits targets that are exactly once.
    fn rows_a_commit(&self) -> Option<usize> {
        None
    }

    /// Called while no records come, with the wall clock: whether there is something to settle and flush now, such as a file that has been
    /// open for long enough.
    ///
    /// # Errors
    /// Those of the outside system.
    fn is_due(&mut self, now: Timestamp) -> Result<bool, ConnectError> {
        let _ = now;
        Ok(false)
    }
}

/// Why a connector cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The operating system refused.
    #[error("{}: cannot {action}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What was tried, as a verb.
        action: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The outside system refused or cannot be reached.
    #[error("{system}: {problem}")]
    Outside {
        /// Which system, as its user knows it.
        system: String,
        /// What happened and what to do.
        problem: String,
        /// Whether trying again later may help.
        retryable: bool,
        /// The cause.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// The outside system is not the one that the committed position speaks of.
    #[error("{partition}: cannot go on from the committed position: {problem}")]
    Position {
        /// The source partition, or the target of a sink.
        partition: String,
        /// What does not fit and what to do.
        problem: String,
    },
    /// The input as a whole is not what the configuration says.
    #[error("{input}: {problem}")]
    Input {
        /// The input.
        input: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A record that the target does not take, where none is to be left out.
    #[error("{record}: {problem}")]
    Record {
        /// Topic, partition and offset.
        record: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A commit failed.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl ConnectError {
    /// Whether opening again later may succeed without anybody doing something about it.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Io { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::Interrupted
                    | io::ErrorKind::WouldBlock
                    | io::ErrorKind::TimedOut
                    | io::ErrorKind::ResourceBusy
            ),
            Self::Outside { retryable, .. } => *retryable,
            Self::Log(error) => error.is_transient(),
            Self::Commit(CommitError::Rejected(error) | CommitError::Unknown(error)) => error.is_transient(),
            Self::Position { .. } | Self::Input { .. } | Self::Record { .. } | Self::Commit(_) => false,
        }
    }

    /// Whether somebody else has taken over under the same name.
    pub fn is_replaced(&self) -> bool {
        matches!(self, Self::Commit(CommitError::Fenced { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_passing_troubles_are_retried() {
        let remote = |transient| LogError::Remote {
            cluster: "a:9092".into(),
            action: "read".into(),
            problem: "no leader".into(),
            transient,
        };
        let io = |kind: io::ErrorKind| ConnectError::Io { file: "f".into(), action: "read", source: kind.into() };
        let outside =
            |retryable| ConnectError::Outside { system: "db".into(), problem: "down".into(), retryable, source: None };
        let check = |error: ConnectError, expected: bool| assert_eq!(error.is_retryable(), expected, "{error}");
        check(io(io::ErrorKind::TimedOut), true);
        check(io(io::ErrorKind::NotFound), false);
        check(outside(true), true);
        check(outside(false), false);
        check(remote(true).into(), true);
        check(remote(false).into(), false);
        check(CommitError::Unknown(remote(true)).into(), true);
        check(CommitError::Rejected(remote(false)).into(), false);
        check(CommitError::Fenced { producer: "p".into() }.into(), false);
        check(ConnectError::Position { partition: "p".into(), problem: "shorter".into() }, false);
    }
}
