//! From a topology to its [`TopologyDescription`].

use std::fmt::Write;

use arrow::datatypes::{DataType, FieldRef};

use super::{
    ForeignKeyNode, GlobalTable, InvalidTimestamps, Node, NodeId, NodeKind, OffsetReset, SourceNode,
    TimestampExtractor, TopicRef, Topology,
    description::{
        GlobalTableDescription, OperatorDescription, StoreDescription, SubtopologyDescription, TopicDescription,
        TopicRole, TopologyDescription,
    },
    node_names,
};
use crate::{
    operator::{StoreLogging, StoreRetention, StoreSpec},
    schema::StreamSchema,
    window::EmitStrategy,
};

pub(super) fn describe(topology: &Topology) -> TopologyDescription {
    let operator = |id: &NodeId| {
        let node = &topology.nodes()[id.0];
        let inputs = node.inputs.iter().map(|input| topology.nodes()[input.0].name.clone()).collect();
        OperatorDescription { name: node.name.clone(), what: what(topology, node), inputs }
    };
    let part =
        |part: &super::Subtopology| SubtopologyDescription { operators: part.nodes.iter().map(operator).collect() };
    TopologyDescription {
        subtopologies: topology.subtopologies().iter().map(part).collect(),
        topics: topics(topology),
        stores: stores(topology),
        global_tables: topology.globals().iter().map(global_table).collect(),
    }
}

fn global_table(table: &GlobalTable) -> GlobalTableDescription {
    GlobalTableDescription {
        name: table.store.name.clone(),
        topic: table.source.topic.to_string(),
        key: table.schema.key().to_vec(),
        value: table.schema.value().to_vec(),
    }
}

fn topics(topology: &Topology) -> Vec<TopicDescription> {
    let mut topics: Vec<TopicDescription> = Vec::new();
    for node in topology.nodes() {
        let (topic, formats, role) = match &node.kind {
            NodeKind::Source(source) => (&source.topic, &source.formats, TopicRole::Read),
            NodeKind::Sink(sink) => (&sink.topic, &sink.formats, TopicRole::Written),
            _ => continue,
        };
        let name = topic.to_string();
        let (role, partitions) = match topic {
            TopicRef::External(_) => (role, "as created".to_owned()),
            TopicRef::Internal { partitions: Some(count), .. } => (TopicRole::Internal, count.to_string()),
            TopicRef::Internal { partitions: None, .. } => {
                (TopicRole::Internal, "as many as what is read beside it, or it comes from".to_owned())
            }
        };
        if topics.iter().any(|known| known.name == name && known.role == role) {
            continue;
        }
        let (key, value) = written(node, &node.schema);
        let (key_format, value_format) = (formats.key.to_string(), formats.value.to_string());
        topics.push(TopicDescription { name, role, partitions, key_format, value_format, key, value });
    }
    for (number, store) in topology
        .stores()
        .iter()
        .enumerate()
        .filter(|(number, store)| is_used(topology, *number) && store.options.logging == StoreLogging::Enabled)
    {
        topics.push(TopicDescription {
            name: format!("<application>-{}-changelog", store.name),
            role: TopicRole::Changelog,
            partitions: match owner(topology, number) {
                Some((_, part)) => format!("one a task of subtopology {part}"),
                None => String::new(),
            },
            key_format: "ROW".to_owned(),
            value_format: "ROW".to_owned(),
            key: store.key.clone(),
            value: store.layout.state_fields(),
        });
    }
    topics
}

/// The columns of a record of a topic; those of a source that are no part of its values left out.
fn written(node: &Node, schema: &StreamSchema) -> (Vec<FieldRef>, Vec<FieldRef>) {
    let mut value = schema.value().to_vec();
    if let NodeKind::Source(SourceNode { parts, .. }) = &node.kind {
        value.truncate(value.len().saturating_sub(parts.len()));
    }
    (schema.key().to_vec(), value)
}

fn is_used(topology: &Topology, store: usize) -> bool {
    topology.nodes().iter().any(|node| node.kind.stores().contains(&store))
}

/// The node that writes a store, and the number of its subtopology.
fn owner(topology: &Topology, store: usize) -> Option<(&Node, usize)> {
    let writes = |node: &&Node| match &node.kind {
        NodeKind::Table { store: own, .. } => *own == store,
        NodeKind::RowTtl(ttl) => [ttl.store, ttl.index].contains(&store),
        NodeKind::Aggregate(aggregate) => aggregate.store == store || aggregate.index == Some(store),
        NodeKind::StreamJoin(join) => join.stores.contains(&store) || join.waiting == Some(store),
        NodeKind::ForeignKey(join) => join.written_store() == Some(store) || is_unsettled(join, store),
        NodeKind::Operator(node) => node.stores().written.contains(&store),
        _ => false,
    };
    let index = topology.nodes().iter().position(|node| writes(&node))?;
    let part = topology.subtopologies().iter().position(|part| part.nodes.contains(&NodeId(index)))?;
    Some((&topology.nodes()[index], part))
}

fn is_unsettled(join: &ForeignKeyNode, store: usize) -> bool {
    matches!(join, ForeignKeyNode::Subscribe { unsettled: Some(own), .. } if *own == store)
}

/// The columns of a stored row. Records that wait for a join lie in cells of several; their columns are those of their stream.
fn stored(topology: &Topology, node: &Node, number: usize, store: &StoreSpec) -> Vec<FieldRef> {
    let NodeKind::StreamJoin(join) = &node.kind else { return store.layout.state_fields() };
    let side = join.stores.iter().position(|own| *own == number);
    let input = side.and_then(|side| node.inputs.get(side));
    input.map(|input| topology.nodes()[input.0].schema.value().to_vec()).unwrap_or_default()
}

fn stores(topology: &Topology) -> Vec<StoreDescription> {
    let describe = |(number, store): (usize, &StoreSpec)| {
        let (node, subtopology) = owner(topology, number)?;
        let (rows, growth) = growth(topology, node, number, store);
        Some(StoreDescription {
            name: store.name.clone(),
            operator: node.name.clone(),
            subtopology,
            rows,
            key: store.key.clone(),
            value: stored(topology, node, number, store),
            retention_ms: store.retention.retention().map(|kept| kept.millis()),
            growth,
        })
    };
    topology.stores().iter().enumerate().filter_map(describe).collect()
}

/// Whether an aggregation keeps the rows of its groups, to be able to take one back.
fn keeps_rows(store: &StoreSpec) -> bool {
    let is_rows = |of: &DataType| matches!(of, DataType::List(item) if *item.data_type() == DataType::Binary);
    store.layout.state_fields().iter().any(|field| field.name().ends_with("[rows]") && is_rows(field.data_type()))
}

/// What a row of a store is, and what bounds their number.
fn growth(topology: &Topology, node: &Node, number: usize, store: &StoreSpec) -> (String, String) {
    let index = topology.nodes().iter().position(|other| std::ptr::eq(other, node)).unwrap_or_default();
    let topics: Vec<String> = node_names::topics_of(topology.nodes(), NodeId(index)).into_iter().collect();
    let keys: Vec<&str> = store.key.iter().map(|field| field.name().as_str()).collect();
    let (topics, keys) = (topics.join(", "), keys.join(", "));
    match (&node.kind, store.retention.retention()) {
        (NodeKind::StreamJoin(join), kept) => {
            let kept = kept.map(|kept| format!("kept {kept}: ")).unwrap_or_default();
            let rows = if join.waiting == Some(number) { "keys of records that wait" } else { "records of one side" };
            (rows.to_owned(), format!("{kept}bounded by {} and the records of that time", join.windows))
        }
        (NodeKind::Aggregate(aggregate), Some(kept)) => {
            let windows = aggregate.windows.as_ref().map(ToString::to_string).unwrap_or_default();
            let (rows, what) = match store.retention {
                _ if aggregate.index == Some(number) => ("which windows a key has in a stretch of time", "windows"),
                StoreRetention::Sessions { .. } => ("sessions of one key and stretch of time", "sessions"),
                _ => ("one row a key and window", "windows"),
            };
            (rows.to_owned(), format!("{what} kept {kept} ({windows}): bounded by the values of {keys} in that time"))
        }
        (NodeKind::Aggregate(_), None) => {
            let each = if keeps_rows(store) { format!(", and every row of {topics} in it") } else { String::new() };
            ("one row a group".to_owned(), format!("one row a value of {keys}{each}: grows with their number"))
        }
        (NodeKind::RowTtl(ttl), _) => {
            let rows = if ttl.index == number { "the keys of one stretch of time" } else { "one row a key" };
            (rows.to_owned(), format!("ROW_TTL {}: bounded by the values of {keys} in that time", ttl.ttl))
        }
        (NodeKind::Table { .. }, None) => {
            ("one row a key".to_owned(), format!("one row a key of {topics}: grows with the number of keys"))
        }
        (NodeKind::ForeignKey(join), _) if is_unsettled(join, number) => {
            ("rows that wait for an answer".to_owned(), "bounded by the changes that are under way".to_owned())
        }
        (NodeKind::ForeignKey(ForeignKeyNode::Answer { .. }), _) => (
            "one row a subscription".to_owned(),
            format!("one subscription a row of {topics} that names a foreign key: grows with the number of rows"),
        ),
        (NodeKind::Operator(node), _) => node.describe_store(number),
        (_, Some(kept)) => ("one row a key".to_owned(), format!("kept {kept}: bounded by the keys of that time")),
        (_, None) => ("one row a key".to_owned(), "one row a key: grows with the number of keys".to_owned()),
    }
}

fn what(topology: &Topology, node: &Node) -> String {
    let store = |number: usize| format!("store `{}`", topology.stores()[number].name);
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
            if let TimestampExtractor::Column { name, format, on_invalid } = &source.timestamp {
                let _ = write!(
                    text,
                    ", timestamp from {name}{}",
                    format.as_ref().map(|f| format!(" as {f}")).unwrap_or_default()
                );
                if *on_invalid == InvalidTimestamps::Fail {
                    text.push_str(", which must be valid");
                }
            }
            if source.reset == OffsetReset::EveryStart {
                text.push_str(", from the first record at every start");
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
        NodeKind::Operator(node) => node.describe(&store),
        NodeKind::Late { input: 0 } => "late records".to_owned(),
        NodeKind::Late { input } => format!("late records of input {}", input + 1),
        NodeKind::Sink(sink) => format!("to topic {} ({})", sink.topic, sink.formats),
    }
}
