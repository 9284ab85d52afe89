//! One source for each topic of a part: what reads a topic twice, in the same way, reads it once.
//!
//! A stream joined with a table of the same topic, or with itself, is such a case. As in Kafka Streams the first source stays, and
//! whatever took the output of the others takes its output.

use std::collections::BTreeMap;

use super::{Node, NodeId, NodeKind, subtopology};

/// Whether two sources read one topic in the same way.
fn same(left: &Node, right: &Node) -> bool {
    let (NodeKind::Source(one), NodeKind::Source(other)) = (&left.kind, &right.kind) else { return false };
    one.reads_like(other) && one.reset == other.reset && left.schema == right.schema
}

/// Joins sources of one part that read one topic in the same way.
pub(super) fn share(nodes: &mut Vec<Node>) {
    let mut replaced: BTreeMap<NodeId, NodeId> = BTreeMap::new();
    for part in subtopology::cut(nodes) {
        for (place, &source) in part.sources.iter().enumerate() {
            let first = part.sources[..place].iter().find(|first| same(&nodes[first.0], &nodes[source.0]));
            if let Some(&first) = first {
                replaced.insert(source, first);
            }
        }
    }
    if replaced.is_empty() {
        return;
    }
    let mut next = 0;
    let mut numbers = Vec::with_capacity(nodes.len());
    for index in 0..nodes.len() {
        numbers.push(NodeId(next));
        next += usize::from(!replaced.contains_key(&NodeId(index)));
    }
    for input in nodes.iter_mut().flat_map(|node| &mut node.inputs) {
        *input = numbers[replaced.get(input).unwrap_or(input).0];
    }
    let mut index = 0;
    nodes.retain(|_| {
        index += 1;
        !replaced.contains_key(&NodeId(index - 1))
    });
}
