//! Global tables: topics that are read whole into every process, and joins with them.
//!
//! A global table belongs to no subtopology: no task reads its topic, and no position of it says what was joined with what.

use std::sync::Arc;

use super::{OperatorNode, Site, SourceNode};
use crate::{
    operator::{
        FoldError, GlobalJoin, JoinKind, KeyMapping, Operator, StateLayout, StoreRetention, StoreSpec, TableReader,
    },
    schema::StreamSchema,
};

/// A topic whose newest record of each key is in every process.
#[derive(Clone)]
pub struct GlobalTable {
    /// How its topic is read.
    pub source: SourceNode,
    /// Its columns.
    pub schema: Arc<StreamSchema>,
    /// What its store is called and holds. It has no changelog: its topic is one.
    pub store: StoreSpec,
}

/// Joins its input, a stream, with a global table.
#[derive(Clone)]
pub(crate) struct GlobalJoinNode {
    /// What becomes of records that meet no row.
    pub(crate) kind: JoinKind,
    /// The number of the global table.
    pub(crate) table: usize,
    /// What its store is called.
    pub(crate) name: String,
    /// How its rows are read.
    pub(crate) layout: Arc<dyn StateLayout>,
    /// Its columns.
    pub(crate) schema: Arc<StreamSchema>,
    /// Which key a record has in it.
    pub(crate) key: Arc<dyn KeyMapping>,
}

impl OperatorNode for GlobalJoinNode {
    fn create(&self, site: &Site<'_>) -> Result<Box<dyn Operator>, FoldError> {
        let reader = TableReader::new(0, &StoreRetention::Forever, Arc::clone(&self.layout), &self.schema)?;
        let rows = Arc::clone(&site.globals[self.table]);
        Ok(Box::new(GlobalJoin::new(self.kind, Arc::clone(&self.key), rows, reader, Arc::clone(site.output))))
    }

    fn describe(&self, _store: &dyn Fn(usize) -> String) -> String {
        format!("{} join with the global table `{}` by {}", self.kind, self.name, self.key.describe())
    }
}
