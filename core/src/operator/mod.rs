//! Physical operators: what a task does with a batch, one operator a file.
//!
//! # Contract
//! - [`Operator::on_batch`] sees rows in order; cutting the same rows into other batches changes nothing about what is
//!   committed in the end, and under [`EmitPolicy::Record`] nothing about what is emitted either.
//! - [`Operator::on_flush`] is called at every commit, inputs before outputs; afterwards an operator holds nothing that a restart
//!   must bring back, except its stream time, which is committed beside the offsets.
//! - Operators read no clock and write no topic: they put batches, records for sinks and dead letters into their [`Context`].
//! - A row that fails is counted and becomes a dead letter; only what would corrupt state is an [`OperatorError`].

mod aggregate;
mod async_map;
mod async_pool;
mod change_fold;
mod dead_letter;
mod dynamic_sink;
mod filter;
mod final_results;
mod fold;
mod foreign_key_answer;
mod foreign_key_join;
mod foreign_key_notify;
mod foreign_key_resolve;
mod foreign_key_subscribe;
mod forget_before;
mod global_join;
mod join_kind;
mod joined_sides;
mod key_mapping;
mod late_output;
mod lateness;
mod memory_rows;
mod merge;
mod placement;
mod process;
mod project;
mod punctuation;
mod record_encoder;
mod record_store;
mod retract;
mod rounds;
mod row_time;
mod row_ttl;
mod session_aggregate;
mod session_interval;
mod session_rows;
mod session_states;
mod session_updates;
mod sink;
mod sliding_aggregate;
mod sliding_interval;
mod sliding_rows;
mod sliding_states;
mod sliding_updates;
mod store_options;
mod stream_stream_join;
mod stream_table_join;
mod subscription_store;
mod suppress;
mod suppress_buffer;
mod table;
mod table_reader;
mod table_table_join;
mod task_store;
mod task_time;
mod time_buffer;
mod to_stream;
mod tombstones;
mod transform;
mod unnest;
mod unsettled_rows;
mod versioned_join;
mod versioned_rows;
mod versioned_table;
mod waiting_records;

use std::{fmt, str::FromStr};

use arrow::array::UInt32Array;

pub use aggregate::{Aggregate, AggregateSettings};
pub use async_map::{AsyncCalls, AsyncMap, AsyncOptions, AsyncOrder, AsyncRetry, BoxFuture, Call};
pub use async_pool::AsyncPool;
pub use dead_letter::{DeadLetter, Reason};
pub use dynamic_sink::{DynamicSink, DynamicSinkSettings, PartitionCounts, TopicNameExtractor};
pub use filter::Filter;
pub(crate) use filter::{filter_changes, image_before};
pub(crate) use fold::scatter;
pub use fold::{Finished, Fold, FoldError, FoldFactory, FoldFailure, Folded, Rows, StateLayout};
pub use foreign_key_answer::ForeignKeyAnswer;
pub use foreign_key_join::ForeignKeySchemas;
pub use foreign_key_notify::ForeignKeyNotify;
pub use foreign_key_resolve::ForeignKeyResolve;
pub use foreign_key_subscribe::ForeignKeySubscribe;
pub use forget_before::ForgetBefore;
pub use global_join::{GlobalJoin, GlobalRows};
pub use join_kind::{JoinKind, StreamJoinKind, TableJoinKind};
pub(crate) use joined_sides::SIDE_COLUMNS;
pub use key_mapping::{KeyExpressions, KeyMapping};
pub use late_output::LateOutput;
pub use memory_rows::MemoryRows;
pub use merge::Merge;
pub use placement::{Partitioner, Partitioning, Placement, Routing};
pub use process::{Dropped, Process, ProcessorError, RecordMetadata, RowContext, RowProcessor};
pub use project::{Column, Project, ProjectError};
pub use punctuation::{Cancellable, Punctuation, PunctuationType, Schedules};
pub use record_encoder::RecordFormats;
pub use record_store::OpaqueRows;
pub(crate) use record_store::RecordStore;
pub(crate) use retract::change_sides;
pub use retract::{Regroup, Regrouped, Retract};
pub use row_time::SetRowTime;
pub use row_ttl::{RowTtl, RowTtlSettings};
pub use session_aggregate::{SessionAggregate, SessionAggregateSettings};
pub(crate) use session_rows::{append_session, sessions_in, stretch_of, stretch_span};
pub use sink::{Sink, SinkRecords, SinkSettings};
pub use sliding_aggregate::{SlidingAggregate, SlidingAggregateSettings};
pub(crate) use sliding_rows::sliding_stretch;
pub use store_options::{StoreKind, StoreLogging, StoreOptions};
pub use stream_stream_join::{StreamStreamJoin, StreamStreamJoinSettings};
pub use stream_table_join::StreamTableJoin;
pub use suppress::{IsLast, Suppress, SuppressSettings, SuppressUntil, WhenFull};
pub(crate) use table::stored_fields;
pub use table::{IdentityRows, Table};
pub use table_reader::GetMany;
pub(crate) use table_reader::TableReader;
pub use table_table_join::TableTableJoin;
pub use task_store::{CommittedStore, MemoryStore, RangeVisitor, StoreRetention, StoreSpec, TaskStore};
pub use task_time::TaskTime;
pub use to_stream::ToStream;
pub use tombstones::Tombstones;
pub use transform::{Reads, Superseded, Transform, TransformError, Transformer};
pub use unnest::{Unnest, UnnestError};
pub use versioned_join::{VersionedJoin, VersionedJoinSettings};
pub use versioned_rows::{Version, VersionedRows};
pub use versioned_table::VersionedTable;
pub use waiting_records::Unmatched;

use crate::{
    Batch,
    record::{PartitionId, Timestamp},
};

/// When updates of a table are passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EmitPolicy {
    /// Updates of one key within a commit interval are merged into one: the fast way.
    #[default]
    Commit,
    /// Every record passes its update on, as Kafka Streams does without a cache.
    Record,
}

impl fmt::Display for EmitPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Commit => "commit",
            Self::Record => "record",
        })
    }
}

impl FromStr for EmitPolicy {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "commit" => Ok(Self::Commit),
            "record" => Ok(Self::Record),
            other => Err(format!("unknown emit policy `{other}`; it is `commit` or `record`")),
        }
    }
}

/// One piece of the work: a subtopology on one partition. Written `0_3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId {
    /// Which part of the topology, from 0.
    pub subtopology: usize,
    /// Which partition of its inputs.
    pub partition: PartitionId,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.subtopology, self.partition)
    }
}

/// Something that takes batches and gives batches.
pub trait Operator: Send {
    /// Takes rows that have arrived.
    ///
    /// # Errors
    /// [`OperatorError`] if going on would make state or output wrong; the task then ends without committing.
    fn on_batch(&mut self, batch: Batch, context: &mut Context<'_>) -> Result<(), OperatorError>;

    /// Passes on what was held back and writes state, before a commit.
    ///
    /// # Errors
    /// As [`on_batch`](Self::on_batch).
    fn on_flush(&mut self, context: &mut Context<'_>) -> Result<(), OperatorError>;

    /// The highest timestamp that decided about lateness here, if any did: committed with the offsets.
    fn stream_time(&self) -> Option<Timestamp>;

    /// Takes the stream time of the last commit back after a restart.
    fn restore_stream_time(&mut self, stream_time: Timestamp);

    /// Further times that a restart must bring back, in an order of the operator's own. Most operators have none.
    fn clocks(&self) -> Vec<Timestamp> {
        Vec::new()
    }

    /// Takes clock number `index` of the last commit back after a restart. An operator without clocks is never asked to.
    fn restore_clock(&mut self, _index: usize, _time: Timestamp) {}

    /// Begins, before anything else and after times were restored. Most operators have nothing to begin with.
    ///
    /// # Errors
    /// As [`on_batch`](Self::on_batch).
    fn on_start(&mut self, _context: &mut Context<'_>) -> Result<(), OperatorError> {
        Ok(())
    }

    /// When it wants to be called next by this time; `None`: never.
    fn next_punctuation(&self, _kind: PunctuationType) -> Option<Timestamp> {
        None
    }

    /// Makes the earliest tick of this kind that is due at `now`. It is called again while more are due, and by the task only: after each record
    /// that moves stream time to a tick is through, and when the time of day has come to one.
    ///
    /// # Errors
    /// As [`on_batch`](Self::on_batch).
    fn on_punctuation(
        &mut self,
        _kind: PunctuationType,
        _now: Timestamp,
        _context: &mut Context<'_>,
    ) -> Result<(), OperatorError> {
        Ok(())
    }

    /// Forgets the stream time that was taken back, as Kafka Streams does at a start: lateness is decided anew from the next record on. What was
    /// passed on as final must stay so. An operator may keep a time that belongs to what it has stored; most operators have none.
    fn forget_stream_time(&mut self) {}

    /// Is told that no record has come for long and that stream time may be taken to be `stream_time`: the operator lets go of what is final by
    /// then, as if a record of that time had come that belongs to no key. Gives the earliest stream time at which it would let go of something
    /// more; `None` if it holds nothing back. If nothing is final by `stream_time`, stream time stays; that of an operator which decides about
    /// lateness but holds nothing back goes on, so that what is final below stays so.
    ///
    /// Called between commits only, when everything that was read has been committed, and by whoever knows a clock: operators do not. An operator
    /// that passes on everything at once holds nothing back.
    ///
    /// # Errors
    /// As [`on_batch`](Self::on_batch).
    fn on_idle(
        &mut self,
        _stream_time: Timestamp,
        _context: &mut Context<'_>,
    ) -> Result<Option<Timestamp>, OperatorError> {
        Ok(None)
    }
}

/// What an operator may touch while it runs.
pub struct Context<'a> {
    /// The stores of the task, by the numbers that its operators were built with.
    pub stores: &'a mut [TaskStore],
    /// Where batches for the operators below go.
    pub output: &'a mut Vec<Batch>,
    /// Where records for topics go.
    pub sinks: &'a mut Vec<SinkRecords>,
    /// Where rows go that could not be processed.
    pub dead_letters: &'a mut Vec<DeadLetter>,
    /// Where late records go that someone asked for.
    pub late: &'a mut LateOutput,
    /// The name of the operator that runs.
    pub operator: &'a str,
    /// Which of the operator's inputs the batch comes from: 0 for the first. Joins have two.
    pub input: usize,
    /// The topic and partition whose records are being processed.
    pub origin: Option<&'a crate::record::TopicPartition>,
    /// What time it is for the task.
    pub time: &'a TaskTime,
}

/// Why a task cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("operator {operator}: {problem}")]
pub struct OperatorError {
    /// The operator.
    pub operator: String,
    /// What happened.
    pub problem: String,
}

impl Context<'_> {
    /// An error of the operator that runs.
    pub fn error(&self, problem: impl fmt::Display) -> OperatorError {
        OperatorError { operator: self.operator.to_owned(), problem: problem.to_string() }
    }

    /// Whether `batch` is of versions of rows that are not the newest, which do not count here: they become dead letters.
    pub(crate) fn refuses_superseded(&mut self, batch: &Batch) -> bool {
        if batch.is_superseded() {
            let problem = "a newer version of the row is there already".to_owned();
            self.reject(batch, Reason::Superseded, (0..batch.len()).map(|row| (row, problem.clone())));
        }
        batch.is_superseded()
    }

    /// Keeps rows of `batch` that could not be processed, each with its own problem.
    pub fn reject(&mut self, batch: &Batch, reason: Reason, rows: impl IntoIterator<Item = (usize, String)>) {
        for (row, problem) in rows {
            let letter = DeadLetter::of_row(self.operator, self.origin, batch, row, reason, problem);
            self.dead_letters.push(letter);
        }
    }

    /// Keeps rows that a fold has failed for.
    pub fn reject_folded(&mut self, failures: Vec<FoldFailure>) {
        let letter = |failure: FoldFailure| DeadLetter::of_folded(self.operator, self.origin, failure);
        self.dead_letters.extend(failures.into_iter().map(letter));
    }

    /// Leaves out rows of `batch` that are late, each with its own problem: for those who asked for the late records of this input, or else as
    /// dead letters. A row may come several times, one after another, if several of its windows are closed.
    ///
    /// # Errors
    /// If a row is not in the batch.
    pub fn reject_late(
        &mut self,
        batch: &Batch,
        rows: impl IntoIterator<Item = (usize, String)>,
    ) -> Result<(), OperatorError> {
        if !self.late.wanted.contains(&self.input) {
            self.reject(batch, Reason::Late, rows);
            return Ok(());
        }
        let mut late: Vec<u32> = rows.into_iter().map(|(row, _)| row as u32).collect();
        self.late.misses += late.len() as u64;
        late.dedup();
        if !late.is_empty() {
            let records = batch.take(&UInt32Array::from(late)).map_err(|error| self.error(error))?;
            self.late.records.push((self.input, records));
        }
        Ok(())
    }
}
