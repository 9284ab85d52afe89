//! Which columns of a source anyone reads: the others are never decoded.

use std::collections::BTreeSet;

use super::{Node, NodeKind, SourceNode, TimestampExtractor};
use crate::operator::Reads;

/// The value columns that are needed of a node's output.
#[derive(Clone)]
enum Needed {
    Everything,
    Some(BTreeSet<String>),
}

impl Needed {
    fn add(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Some(mine), Self::Some(others)) => mine.extend(others),
            (_, Self::Everything) => *self = Self::Everything,
            (Self::Everything, Self::Some(_)) => {}
        }
    }

    /// What is needed of the input of an operator whose output is needed so.
    fn through(self, reads: Reads) -> Self {
        match reads {
            Reads::Everything => Self::Everything,
            Reads::AndPassesOn(names) => self.with(names),
            Reads::Only(names) => Self::Some(names.into_iter().collect()),
        }
    }

    fn with(mut self, names: Vec<String>) -> Self {
        if let Self::Some(mine) = &mut self {
            mine.extend(names);
        }
        self
    }
}

/// Marks in each source the columns that have to be decoded.
pub(super) fn prune(nodes: &mut [Node]) {
    let mut needed: Vec<Needed> = vec![Needed::Some(BTreeSet::new()); nodes.len()];
    // Outputs before inputs: a node's needs are complete when it is looked at.
    for index in (0..nodes.len()).rev() {
        let of_output = needed[index].clone();
        let of_input = match &nodes[index].kind {
            NodeKind::Source(_) => continue,
            NodeKind::Merge => of_output,
            // They are rows of what the operator takes, not of what it gives.
            NodeKind::Late { input } => {
                let operator = &nodes[nodes[index].inputs[0].0];
                needed[operator.inputs[*input].0].add(of_output);
                continue;
            }
            NodeKind::Transform(transform) => of_output.through(transform.reads()),
            NodeKind::Operator(node) => of_output.through(node.reads()),
            NodeKind::Aggregate(aggregate) => match aggregate.fold.reads() {
                None => Needed::Everything,
                Some(names) => Needed::Some(names.into_iter().collect()),
            },
            NodeKind::Table { .. }
            | NodeKind::RowTtl(_)
            | NodeKind::Join(_)
            | NodeKind::StreamJoin(_)
            | NodeKind::TableJoin(_)
            | NodeKind::ForeignKey(_)
            | NodeKind::Sink(_) => Needed::Everything,
        };
        for input in nodes[index].inputs.clone() {
            needed[input.0].add(of_input.clone());
        }
    }
    for (node, needed) in nodes.iter_mut().zip(needed) {
        let NodeKind::Source(SourceNode { decoded, timestamp, .. }) = &mut node.kind else { continue };
        let is_needed = |name: &str| match (&needed, &*timestamp) {
            (_, TimestampExtractor::Column { name: column, .. }) if column == name => true,
            (Needed::Everything, _) => true,
            (Needed::Some(names), _) => names.contains(name),
        };
        *decoded = node.schema.value().iter().map(|field| is_needed(field.name())).collect();
    }
}
