//! A topology as text.

use std::fmt::Write;

use super::{Node, NodeKind, OffsetReset, TimestampExtractor, Topology};
use crate::{operator::StoreRetention, window::EmitStrategy};

pub(super) fn describe(topology: &Topology) -> String {
    let mut text = String::new();
    for (number, part) in topology.subtopologies().iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "subtopology {number}");
        for &id in &part.nodes {
            let node = &topology.nodes()[id.0];
            let inputs: Vec<&str> = node.inputs.iter().map(|input| topology.nodes()[input.0].name.as_str()).collect();
            let from = if inputs.is_empty() { String::new() } else { format!(" <- {}", inputs.join(", ")) };
            let _ = writeln!(text, "  {}{from}", node.name);
            let _ = writeln!(text, "      {}", what(topology, node));
        }
    }
    text
}

fn what(topology: &Topology, node: &Node) -> String {
    let store = |number: usize| {
        let store = &topology.stores()[number];
        match &store.retention {
            StoreRetention::Forever => format!("store `{}`", store.name),
            StoreRetention::Windows { retention, .. } | StoreRetention::Sessions { retention, .. } => {
                format!("store `{}` kept for {retention}", store.name)
            }
        }
    };
    match &node.kind {
        NodeKind::Source(source) => {
            let fields = node.schema.value();
            let read: Vec<&str> = fields
                .iter()
                .zip(&source.decoded)
                .filter(|(_, read)| **read)
                .map(|(field, _)| field.name().as_str())
                .collect();
            let mut text = format!("topic {} ({}), decodes [{}]", source.topic, source.formats, read.join(", "));
            if let TimestampExtractor::Column { name, format } = &source.timestamp {
                let _ = write!(
                    text,
                    ", timestamp from {name}{}",
                    format.as_ref().map(|f| format!(" as {f}")).unwrap_or_default()
                );
            }
            if source.reset == OffsetReset::Latest {
                text.push_str(", from the latest");
            }
            text
        }
        NodeKind::Transform(transform) => transform.describe(),
        NodeKind::Merge => "merge".to_owned(),
        NodeKind::Table { store: number, .. } => format!("table: newest record per key, {}", store(*number)),
        NodeKind::RowTtl(node) => format!(
            "table: newest record per key, gone {} after its timestamp, {}, index {}",
            node.ttl,
            store(node.store),
            store(node.index)
        ),
        NodeKind::Aggregate(aggregate) => {
            let windows = aggregate.windows.as_ref().map(|windows| format!(" WINDOW {windows}")).unwrap_or_default();
            let emitted = match aggregate.strategy {
                EmitStrategy::OnUpdate => "",
                EmitStrategy::OnClose => ", final results",
                EmitStrategy::OnCloseIfKept => ", final results of windows still kept",
            };
            format!("aggregate: {}{windows}{emitted}, {}", aggregate.fold.describe(), store(aggregate.store))
        }
        NodeKind::Join(join) => {
            format!("{} join with the table in {}", join.kind, store(join.store))
        }
        NodeKind::StreamJoin(join) => {
            let waiting =
                join.waiting.map(|waiting| format!(", waiting ones in {}", store(waiting))).unwrap_or_default();
            let [left, right] = join.stores.map(store);
            format!("{} join of streams {}, records in {left} and {right}{waiting}", join.kind, join.windows)
        }
        NodeKind::TableJoin(join) => {
            let [left, right] = [0, 1].map(|side| store(join.tables[side].store));
            format!("{} join of the tables in {left} and {right}", join.kind)
        }
        NodeKind::ForeignKey(join) => join.describe(&store),
        NodeKind::Sink(sink) => format!("to topic {} ({})", sink.topic, sink.formats),
    }
}
