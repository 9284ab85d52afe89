//! Where the rows of a key lie: which partition of a store, told from how the topics that feed it are partitioned.
//!
//! Between the topic that feeds a store and the store no operator changes keys: a new key moves through a repartition topic first. So the
//! partition of a key in the topic is that in the store. A repartition topic is written by this topology only, by the rule of
//! [`partition_for_key`](crate::log::partition_for_key); a topic of others is usually written so, but may not be.

use arrow::datatypes::FieldRef;

use super::{NodeId, NodeKind, SinkNode, SourceNode, Topology};
use crate::{format::Format, operator::Routing};

/// How sure it is that a key's rows lie where its bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnerCertainty {
    /// Nobody else writes the topics.
    Certain,
    /// Others write them, and may put records elsewhere.
    Probable,
}

/// How keys of a store were written when their partition was chosen.
#[derive(Debug, Clone)]
pub(crate) struct StoreOwner {
    pub(crate) format: Format,
    pub(crate) key: Vec<FieldRef>,
    pub(crate) certainty: OwnerCertainty,
}

impl Topology {
    /// How the partition of a key of a store is found; `None` if it cannot be told.
    pub(crate) fn owner_of(&self, store: usize) -> Option<StoreOwner> {
        let writes = |kind: &NodeKind| match kind {
            NodeKind::Table { store: written, .. } => *written == store,
            NodeKind::RowTtl(node) => node.store == store,
            NodeKind::Aggregate(node) => node.store == store,
            NodeKind::Operator(node) => node.versions().is_some_and(|versions| versions.latest == store),
            _ => false,
        };
        let writer = self.nodes().iter().position(|node| writes(&node.kind))?;
        let mut owner: Option<StoreOwner> = None;
        let mut waiting: Vec<NodeId> = self.nodes()[writer].inputs.clone();
        while let Some(id) = waiting.pop() {
            let node = &self.nodes()[id.0];
            match &node.kind {
                NodeKind::Source(source) => {
                    let found = self.owner_by(source, node.schema.key())?;
                    if owner.as_ref().is_some_and(|other| other.format != found.format) {
                        return None;
                    }
                    let certainty = match &owner {
                        Some(other) if other.certainty == OwnerCertainty::Probable => OwnerCertainty::Probable,
                        _ => found.certainty,
                    };
                    owner = Some(StoreOwner { certainty, ..found });
                }
                // What an open node does with keys is its own affair.
                NodeKind::Operator(_) => return None,
                _ => waiting.extend(&node.inputs),
            }
        }
        let spec = self.stores()[store].key.iter().map(|field| field.data_type());
        owner.filter(|owner| owner.key.iter().map(|field| field.data_type()).eq(spec))
    }

    fn owner_by(&self, source: &SourceNode, key: &[FieldRef]) -> Option<StoreOwner> {
        // Keys with the id of a schema in front differ in bytes where they are equal.
        if source.formats.key.registered().is_some() {
            return None;
        }
        let sinks = self.nodes().iter().filter_map(|node| match &node.kind {
            NodeKind::Sink(sink) if sink.topic == source.topic => Some(sink),
            _ => None,
        });
        let mut certainty = match source.topic {
            super::TopicRef::External(_) => OwnerCertainty::Probable,
            super::TopicRef::Internal { .. } => OwnerCertainty::Certain,
        };
        for SinkNode { routing, computed_keys, .. } in sinks {
            if !matches!(routing, Routing::ByKey) || (*computed_keys && key.len() > 1) {
                certainty = OwnerCertainty::Probable;
            }
        }
        Some(StoreOwner { format: source.formats.key.clone(), key: key.to_vec(), certainty })
    }
}
