//! An open kind of node: one that makes its own operator.
//!
//! The other kinds are known to the runtime by name. What is of use in one place only, or comes from a user, says itself what the runtime has
//! to know of it: its stores, what it reads, how it is made for a task.

use std::sync::Arc;

use super::VersionedStores;
use crate::{
    operator::{AsyncPool, EmitPolicy, FoldError, GlobalRows, Operator, PartitionCounts, Reads, StoreSpec, TaskId},
    schema::StreamSchema,
};

/// Where an operator is made: the task it is for, and what its node is given.
pub struct Site<'a> {
    /// The task.
    pub task: TaskId,
    /// When updates of tables are passed on here.
    pub emit: EmitPolicy,
    /// The number that a store of the topology has in the task.
    pub store: &'a dyn Fn(usize) -> usize,
    /// The stores of the topology.
    pub specs: &'a [StoreSpec],
    /// The rows of the topology's global tables, by their numbers.
    pub globals: &'a [Arc<dyn GlobalRows>],
    /// The columns of each input.
    pub inputs: &'a [Arc<StreamSchema>],
    /// How many partitions topics have.
    pub partition_counts: &'a PartitionCounts,
    /// How large a record may be: bytes of its key, its value and its headers.
    pub largest_record: usize,
    /// Where futures run.
    pub futures: &'a Arc<AsyncPool>,
    /// The columns of the output.
    pub output: &'a Arc<StreamSchema>,
}

/// The numbers of the stores that a node uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeStores {
    /// Those that it writes, and may read; the first gives the node its name.
    pub written: Vec<usize>,
    /// Those that it only reads.
    pub read: Vec<usize>,
}

/// A node that makes its own operator.
///
/// # Contract
/// [`create`](Self::create) gives an operator without state of its own for each task; [`describe`](Self::describe) names every setting that can
/// change a result, for the node is named after it.
pub trait OperatorNode: Send + Sync {
    /// The operator for one task.
    ///
    /// # Errors
    /// [`FoldError`] if a column has no row encoding, or a setting does not fit the columns.
    fn create(&self, site: &Site<'_>) -> Result<Box<dyn Operator>, FoldError>;

    /// Which value columns of its inputs it needs.
    fn reads(&self) -> Reads {
        Reads::Everything
    }

    /// The stores that it uses.
    fn stores(&self) -> NodeStores {
        NodeStores::default()
    }

    /// The same node, saying in its output what was there before; `None` if it needs not be told to.
    fn with_before(&self) -> Option<Arc<dyn OperatorNode>> {
        None
    }

    /// Whether its output says what was there before if its inputs do, so that these have to.
    fn passes_before_through(&self) -> bool {
        false
    }

    /// Whether what it does with a row depends on stream time at that row, or on what it did with the rows before it: it must see rows of one
    /// record at a time where it could not tell otherwise which record they come from. Its own rows have the offsets of these.
    fn follows_stream_time(&self) -> bool {
        false
    }

    /// The stores of the versioned table that it keeps, if it keeps one.
    fn versions(&self) -> Option<VersionedStores> {
        None
    }

    /// Whether it must see every update of the tables above it by itself, whatever the emit policy, so that these do not merge updates of a commit.
    fn needs_every_update(&self) -> bool {
        false
    }

    /// Whether it makes a table of a stream: of records of one timestamp those that it takes come first.
    fn makes_table(&self) -> bool {
        false
    }

    /// Whether its operator rejects late records by [`Context::reject_late`](crate::operator::Context::reject_late), so that one can ask for them.
    fn has_late_records(&self) -> bool {
        false
    }

    /// What it does, in one line; `store` gives the name of a store by its number.
    fn describe(&self, store: &dyn Fn(usize) -> String) -> String;

    /// What a row of one of its stores is, and what bounds their number.
    fn describe_store(&self, _store: usize) -> (String, String) {
        ("one row a key".to_owned(), "one row a key: grows with the number of keys".to_owned())
    }
}
