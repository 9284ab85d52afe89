//! Names of operators, made of what they do: metrics, errors, dead letters and plans use them.
//!
//! | operator | name |
//! |---|---|
//! | source, sink | `source-<topic>`, `sink-<topic>`; of internal topics the rest of the topic's name |
//! | what keeps rows | the operator and its store: `aggregate-<store>`, `table-<store>`; what the store was called after the operator is left out |
//! | what a user named | that name |
//! | anything else | the operator, the topics that its input comes from and a hash of what it does: `filter-orders-3f0a` |
//!
//! Invariants: names are unique; a name depends on what the operator does and on what it reads, never on what else the topology has, so
//! that it stays when operators come or go. Only of operators that do the same with records of the same topics later ones are numbered.

use std::collections::BTreeSet;

use super::{Node, NodeId, NodeKind, SourceNode, TopicRef};
use crate::operator::StoreSpec;

/// How long the names of topics are at most in a name.
const LONGEST_ORIGIN: usize = 60;

/// Names every node.
pub(super) fn assign(nodes: &mut [Node], stores: &[StoreSpec]) {
    let mut given: BTreeSet<String> = BTreeSet::new();
    for index in 0..nodes.len() {
        let base = nodes[index].given_name.clone().unwrap_or_else(|| base(nodes, stores, NodeId(index)));
        let mut name = base.clone();
        let mut times = 1;
        while !given.insert(name.clone()) {
            times += 1;
            name = format!("{base}-{times}");
        }
        nodes[index].name = name;
    }
}

fn base(nodes: &[Node], stores: &[StoreSpec], id: NodeId) -> String {
    let node = &nodes[id.0];
    let operator = &node.operator;
    let topic = |topic: &TopicRef| match topic {
        TopicRef::External(name) => name.to_string(),
        TopicRef::Internal { name, .. } => name.clone(),
    };
    match &node.kind {
        NodeKind::Source(source) => format!("source-{}", topic(&source.topic)),
        NodeKind::Sink(sink) => format!("sink-{}", topic(&sink.topic)),
        NodeKind::Transform(transform) => {
            format!("{operator}-{}-{:04x}", origin(nodes, id), hash(&transform.describe()))
        }
        NodeKind::Operator(own) if own.stores().written.is_empty() => {
            let name_of = |store: usize| stores[store].name.clone();
            format!("{operator}-{}-{:04x}", origin(nodes, id), hash(&own.describe(&name_of)))
        }
        NodeKind::Merge => format!("{operator}-{}", origin(nodes, id)),
        kind => match kind.stores().first() {
            Some(store) => format!("{operator}-{}", kept_in(operator, &stores[*store].name)),
            None => format!("{operator}-{}", origin(nodes, id)),
        },
    }
}

/// The name of a store without the words for the operator that made it up.
fn kept_in<'a>(operator: &str, store: &'a str) -> &'a str {
    let prefixes = ["foreign-key-join-", operator];
    let rest = prefixes.iter().find_map(|prefix| store.strip_prefix(prefix)).unwrap_or(store);
    let rest = rest.strip_prefix('-').unwrap_or(rest);
    if operator == "join" { rest.strip_suffix("-left").unwrap_or(rest) } else { rest }
}

fn origin(nodes: &[Node], id: NodeId) -> String {
    let topics: Vec<String> = topics_of(nodes, id).into_iter().collect();
    topics.join("-").chars().take(LONGEST_ORIGIN).collect()
}

/// The topics that the output of a node comes from, by name; those of the topology itself are left out.
pub(crate) fn topics_of(nodes: &[Node], node: NodeId) -> BTreeSet<String> {
    let (mut topics, mut waiting, mut visited) = (BTreeSet::new(), vec![node], BTreeSet::new());
    while let Some(node) = waiting.pop() {
        if !visited.insert(node) {
            continue;
        }
        match &nodes[node.0].kind {
            NodeKind::Source(SourceNode { topic: TopicRef::External(topic), .. }) => {
                topics.insert(topic.to_string());
            }
            NodeKind::Source(SourceNode { topic, .. }) => {
                let writes = |node: &Node| matches!(&node.kind, NodeKind::Sink(sink) if sink.topic == *topic);
                waiting.extend((0..nodes.len()).filter(|index| writes(&nodes[*index])).map(NodeId));
            }
            _ => {}
        }
        waiting.extend(&nodes[node.0].inputs);
    }
    topics
}

/// FNV-1a, folded to 16 bits: the same everywhere and for ever.
fn hash(text: &str) -> u16 {
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let hash = text.bytes().fold(0x811c_9dc5, step);
    let [a, b, c, d] = hash.to_be_bytes();
    u16::from_be_bytes([a ^ c, b ^ d])
}
