//! Cutting a graph into the parts that run as tasks of their own.
//!
//! Nodes belong together if one takes the other's output or both use one store. A repartition topic is a cut: who writes it and who reads
//! it are not connected.

use super::{Node, NodeId, NodeKind};

/// A part of a topology that runs as one task per partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subtopology {
    /// Its nodes, inputs before outputs.
    pub nodes: Vec<NodeId>,
    /// Those that read topics.
    pub sources: Vec<NodeId>,
    /// The numbers of the stores it owns.
    pub stores: Vec<usize>,
}

/// The parts, numbered by their first node.
pub(super) fn cut(nodes: &[Node]) -> Vec<Subtopology> {
    let mut part_of: Vec<usize> = (0..nodes.len()).collect();
    let unite = |part_of: &mut Vec<usize>, a: usize, b: usize| {
        let (low, high) = (part_of[a].min(part_of[b]), part_of[a].max(part_of[b]));
        part_of.iter_mut().filter(|part| **part == high).for_each(|part| *part = low);
    };
    for (index, node) in nodes.iter().enumerate() {
        for input in &node.inputs {
            unite(&mut part_of, index, input.0);
        }
        for store in node.kind.stores() {
            if let Some(other) = nodes.iter().position(|other| other.kind.stores().contains(&store)) {
                unite(&mut part_of, index, other);
            }
        }
    }
    let mut labels: Vec<usize> = part_of.clone();
    labels.sort_unstable();
    labels.dedup();
    let part = |label: &usize| {
        let mut part = Subtopology::default();
        for (index, node) in nodes.iter().enumerate().filter(|(index, _)| part_of[*index] == *label) {
            part.nodes.push(NodeId(index));
            if matches!(node.kind, NodeKind::Source(_)) {
                part.sources.push(NodeId(index));
            }
            for store in node.kind.stores() {
                if !part.stores.contains(&store) {
                    part.stores.push(store);
                }
            }
        }
        part
    };
    labels.iter().map(part).collect()
}
