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
mod join_kind;
mod merge;
mod placement;
mod project;
mod record_encoder;
mod record_store;
mod retract;
mod row_time;
mod row_ttl;
mod session_aggregate;
mod session_interval;
mod session_rows;
mod session_updates;
mod sink;
mod stream_stream_join;
mod stream_table_join;
mod subscription_store;
mod table;
mod table_reader;
mod table_table_join;
mod task_store;
mod to_stream;
mod tombstones;
mod transform;
mod unnest;
mod unsettled_rows;
mod waiting_records;

use std::{fmt, str::FromStr};

pub use aggregate::{Aggregate, AggregateSettings};
pub use dead_letter::{DeadLetter, Reason};
pub use dynamic_sink::{DynamicSink, DynamicSinkSettings, PartitionCounts, TopicNameExtractor};
pub use filter::Filter;
pub(crate) use filter::{filter_changes, rows_before};
pub(crate) use fold::scatter;
pub use fold::{Finished, Fold, FoldError, FoldFactory, Folded, Rows, StateLayout};
pub use foreign_key_answer::ForeignKeyAnswer;
pub use foreign_key_join::ForeignKeySchemas;
pub use foreign_key_notify::ForeignKeyNotify;
pub use foreign_key_resolve::ForeignKeyResolve;
pub use foreign_key_subscribe::ForeignKeySubscribe;
pub use join_kind::{JoinKind, StreamJoinKind, TableJoinKind};
pub use merge::Merge;
pub use placement::{Partitioner, Partitioning, Placement, Routing};
pub use project::{Column, Project, ProjectError};
pub use record_encoder::RecordFormats;
pub use record_store::OpaqueRows;
pub(crate) use record_store::RecordStore;
pub(crate) use retract::change_sides;
pub use retract::{Regroup, Regrouped, Retract};
pub use row_time::SetRowTime;
pub use row_ttl::{RowTtl, RowTtlSettings};
pub use session_aggregate::{SessionAggregate, SessionAggregateSettings};
pub(crate) use session_rows::{sessions_in, stretch_span};
pub use sink::{Sink, SinkRecords, SinkSettings};
pub use stream_stream_join::{StreamStreamJoin, StreamStreamJoinSettings};
pub use stream_table_join::StreamTableJoin;
pub(crate) use table::stored_fields;
pub use table::{IdentityRows, Table};
pub(crate) use table_reader::TableReader;
pub use table_table_join::TableTableJoin;
pub use task_store::{CommittedStore, MemoryStore, RangeVisitor, StoreRetention, StoreSpec, TaskStore};
pub use to_stream::ToStream;
pub use tombstones::Tombstones;
pub use transform::{Reads, Transform, TransformError, Transformer};
pub use unnest::{Unnest, UnnestError};

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
    /// The name of the operator that runs.
    pub operator: &'a str,
    /// Which of the operator's inputs the batch comes from: 0 for the first. Joins have two.
    pub input: usize,
    /// The topic and partition whose records are being processed.
    pub origin: Option<&'a crate::record::TopicPartition>,
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

    /// Keeps rows of `batch` that could not be processed, each with its own problem.
    pub fn reject(&mut self, batch: &Batch, reason: Reason, rows: impl IntoIterator<Item = (usize, String)>) {
        for (row, problem) in rows {
            let letter = DeadLetter::of_row(self.operator, self.origin, batch, row, reason, problem);
            self.dead_letters.push(letter);
        }
    }
}
