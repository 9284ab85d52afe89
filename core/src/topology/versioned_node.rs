//! Nodes of versioned tables and of joins with them.

use std::sync::Arc;

use super::{NodeStores, OperatorNode, Site};
use crate::{
    operator::{
        FoldError, JoinKind, Operator, StateLayout, VersionedJoin, VersionedJoinSettings, VersionedRows, VersionedTable,
    },
    record::TimeSpan,
};

/// The stores of a versioned table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionedStores {
    /// The number of the store of the newest rows.
    pub latest: usize,
    /// The number of the store of what they were before.
    pub history: usize,
    /// How long that is kept.
    pub span: TimeSpan,
}

/// Keeps a versioned table.
#[derive(Debug, Clone)]
pub(crate) struct VersionedTableNode {
    pub(crate) stores: VersionedStores,
    pub(crate) needs_before: bool,
}

/// Joins its input, a stream, with a versioned table.
#[derive(Clone)]
pub(crate) struct VersionedJoinNode {
    /// What becomes of records that meet no row.
    pub(crate) kind: JoinKind,
    pub(crate) table: VersionedStores,
    /// How rows of the table are read.
    pub(crate) layout: Arc<dyn StateLayout>,
    /// How long records wait, and the number of the store that they wait in.
    pub(crate) grace: Option<(TimeSpan, usize)>,
}

impl OperatorNode for VersionedTableNode {
    fn create(&self, site: &Site<'_>) -> Result<Box<dyn Operator>, FoldError> {
        let VersionedStores { latest, history, span } = self.stores;
        let stores = ((site.store)(latest), (site.store)(history));
        Ok(Box::new(VersionedTable::new(stores, span, site.output, self.needs_before, site.emit)?))
    }

    fn stores(&self) -> NodeStores {
        NodeStores { written: vec![self.stores.latest, self.stores.history], read: Vec::new() }
    }

    fn with_before(&self) -> Option<Arc<dyn OperatorNode>> {
        Some(Arc::new(Self { needs_before: true, ..self.clone() }))
    }

    fn versions(&self) -> Option<VersionedStores> {
        Some(self.stores)
    }

    fn makes_table(&self) -> bool {
        true
    }

    fn has_late_records(&self) -> bool {
        true
    }

    fn describe(&self, store: &dyn Fn(usize) -> String) -> String {
        format!("newest record of each key, {}, history of {}", store(self.stores.latest), self.stores.span)
    }

    fn describe_store(&self, store: usize) -> (String, String) {
        if store == self.stores.latest {
            return ("one row a key".to_owned(), "one row a key: grows with the number of keys".to_owned());
        }
        let growth = format!("kept {}: bounded by the changes of that time", self.stores.span);
        ("what rows were before".to_owned(), growth)
    }
}

impl OperatorNode for VersionedJoinNode {
    fn create(&self, site: &Site<'_>) -> Result<Box<dyn Operator>, FoldError> {
        let VersionedStores { latest, history, span } = self.table;
        let settings = VersionedJoinSettings {
            kind: self.kind,
            table: VersionedRows::new((site.store)(latest), (site.store)(history), span),
            layout: Arc::clone(&self.layout),
            grace: self.grace.map(|(grace, store)| (grace, (site.store)(store))),
            input: Arc::clone(&site.inputs[0]),
            output: Arc::clone(site.output),
        };
        Ok(Box::new(VersionedJoin::new(settings)?))
    }

    fn stores(&self) -> NodeStores {
        let written = self.grace.iter().map(|(_, store)| *store).collect();
        NodeStores { written, read: vec![self.table.latest, self.table.history] }
    }

    fn describe(&self, store: &dyn Fn(usize) -> String) -> String {
        let grace = self.grace.map(|(grace, _)| format!(", waits {grace}")).unwrap_or_default();
        format!("{} join with the versions in {}{grace}", self.kind, store(self.table.latest))
    }

    fn describe_store(&self, _store: usize) -> (String, String) {
        ("records that wait".to_owned(), "bounded by the records of the grace".to_owned())
    }
}
