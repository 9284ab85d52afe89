//! Where records have to be taken one by one for processors to see what they would see if they always were.
//!
//! A processor is told stream time at each record. Which record of a run a row comes from is known by its offset; what an aggregation or a join
//! has computed has none, and so a run must be one record long there. The same if two processors share a store: what one does with a record
//! must be through before the other one sees it, and before the next record comes.

use std::collections::{BTreeMap, BTreeSet};

use super::build::Builder;
use crate::{
    operator::{EmitPolicy, TaskId},
    topology::{NodeId, NodeKind},
};

impl Builder<'_> {
    /// Whether processors below `source` need each record on its own.
    pub(super) fn needs_single_records(
        &self,
        source: NodeId,
        task: TaskId,
        consumers: &BTreeMap<NodeId, Vec<NodeId>>,
    ) -> bool {
        let mut owners: BTreeMap<usize, NodeId> = BTreeMap::new();
        let mut waiting = vec![(source, true)];
        let mut visited = BTreeSet::new();
        while let Some((id, has_offsets)) = waiting.pop() {
            if !visited.insert((id, has_offsets)) {
                continue;
            }
            let mut keeps_offsets = has_offsets;
            match &self.topology.nodes()[id.0].kind {
                NodeKind::Operator(node) if node.follows_stream_time() => {
                    let shares = |store: usize| *owners.entry(store).or_insert(id) != id;
                    if !has_offsets || node.stores().written.into_iter().map(shares).any(|shares| shares) {
                        return true;
                    }
                }
                NodeKind::Aggregate(_) | NodeKind::RowTtl(_) => {
                    keeps_offsets &= self.emit_of(id, task) == EmitPolicy::Commit;
                }
                NodeKind::StreamJoin(_) | NodeKind::TableJoin(_) | NodeKind::ForeignKey(_) | NodeKind::Operator(_) => {
                    keeps_offsets = false;
                }
                _ => {}
            }
            waiting.extend(consumers.get(&id).into_iter().flatten().map(|below| (*below, keeps_offsets)));
        }
        false
    }
}
