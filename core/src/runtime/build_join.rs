//! From nodes of joins to their operators.

use std::sync::Arc;

use crate::{
    operator::{
        EmitPolicy, FoldError, ForeignKeyAnswer, ForeignKeyNotify, ForeignKeyResolve, ForeignKeySubscribe, Operator,
        StreamStreamJoin, StreamStreamJoinSettings, TableReader, TableTableJoin,
    },
    record::PartitionId,
    schema::StreamSchema,
    topology::{ForeignKeyNode, KeptTable, Node, NodeKind, StreamJoinNode, TableJoinNode, Topology},
};

/// The operator of a join with two inputs, or of a step of a foreign-key join. `local_store` gives a store's number in the task.
pub(super) fn operator(
    topology: &Topology,
    node: &Node,
    (partition, emit): (PartitionId, EmitPolicy),
    local_store: &dyn Fn(usize) -> usize,
) -> Result<Box<dyn Operator>, FoldError> {
    let output = Arc::clone(&node.schema);
    let reader = |table: &KeptTable, schema: &StreamSchema| {
        let retention = &topology.stores()[table.store].retention;
        TableReader::new(local_store(table.store), retention, Arc::clone(&table.layout), schema)
    };
    let input = |number: usize| &topology.nodes()[node.inputs[number].0].schema;
    Ok(match &node.kind {
        NodeKind::StreamJoin(join) => {
            let StreamJoinNode { kind, windows, retention, stores, waiting, unmatched } = *join;
            let settings = StreamStreamJoinSettings {
                kind,
                windows,
                retention,
                stores: stores.map(local_store),
                waiting: waiting.map(local_store),
                unmatched,
                inputs: [0, 1].map(|number| Arc::clone(input(number))),
                output,
            };
            Box::new(StreamStreamJoin::new(settings)?)
        }
        NodeKind::TableJoin(join) => {
            let TableJoinNode { kind, tables: [left, right], needs_before } = join;
            let left = reader(left, input(0))?;
            let right = reader(right, input(1))?;
            Box::new(TableTableJoin::new(*kind, left, right, output, *needs_before))
        }
        NodeKind::ForeignKey(join) => match join {
            ForeignKeyNode::Subscribe { kind, foreign_key, unsettled } => {
                let unsettled = unsettled.map(local_store);
                Box::new(ForeignKeySubscribe::new(
                    *kind,
                    Arc::clone(foreign_key),
                    input(0),
                    unsettled,
                    partition,
                    output,
                )?)
            }
            ForeignKeyNode::Answer { subscriptions, right } => {
                let right = reader(right, input(0))?;
                Box::new(ForeignKeyAnswer::new(local_store(*subscriptions), right, input(0), output)?)
            }
            ForeignKeyNode::Notify { subscriptions } => {
                Box::new(ForeignKeyNotify::new(local_store(*subscriptions), input(0), output)?)
            }
            ForeignKeyNode::Resolve { kind, left, unsettled, results, .. } => {
                let values = left.layout.result_fields();
                let left = reader(left, input(0))?;
                let (unsettled, results) = (unsettled.map(local_store), results.map(local_store));
                Box::new(ForeignKeyResolve::new(*kind, left, &values, unsettled, results, emit, output)?)
            }
        },
        _ => unreachable!("the other nodes are no such joins"),
    })
}
