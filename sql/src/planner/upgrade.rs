//! The outline of a planned query ([`QueryShape`]), from which it is decided whether another query can take its place, and which of its
//! stores are then laid out anew.

use std::{collections::BTreeMap, fmt::Write, ops::ControlFlow};

use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, visit_expressions};
use millstream::{
    runtime,
    schema::ROWTIME,
    topology::{NodeKind, Topology},
};

use super::window;
use crate::{
    catalog::{KeptStore, QueryShape, QueryStep, Source, WINDOWS, versioned},
    syntax::ast::{Expr, SelectItem, SourceKind, StreamQuery},
};

/// Versions of stores, by their names in the first one.
#[derive(Debug, Clone, Default)]
pub(super) struct StoreVersions(BTreeMap<String, u32>);

impl StoreVersions {
    /// Those of a query that is there.
    pub(super) fn of(shape: &QueryShape) -> Self {
        Self(shape.stores.iter().map(|store| (store.base.clone(), store.version)).collect())
    }

    /// The name of a store.
    pub(super) fn name(&self, base: &str) -> String {
        versioned(base, self.0.get(base).copied().unwrap_or(1))
    }

    /// The same with a new version for each store of `topology` that is laid out otherwise than in `previous`; none if there is none.
    pub(super) fn next(&self, previous: &QueryShape, topology: &Topology) -> Option<Self> {
        let mut next = self.clone();
        for store in self.kept(topology) {
            let old = previous.stores.iter().find(|old| old.base == store.base);
            if old.is_some_and(|old| old.parts != store.parts) {
                next.0.insert(store.base, store.version + 1);
            }
        }
        (next.0 != self.0).then_some(next)
    }

    /// The stores of a topology.
    fn kept(&self, topology: &Topology) -> Vec<KeptStore> {
        let store = |spec: &millstream::operator::StoreSpec| {
            let known = self.0.iter().find(|(base, version)| versioned(base, **version) == spec.name);
            let (base, version) = known.map_or((spec.name.clone(), 1), |(base, version)| (base.clone(), *version));
            KeptStore { base, version, parts: spec.layout.parts() }
        };
        topology.stores().iter().map(store).collect()
    }
}

/// The outline of a query.
pub(super) fn shape(
    query: &StreamQuery,
    sources: &[Source],
    topology: &Topology,
    versions: &StoreVersions,
) -> QueryShape {
    let mut steps = Vec::new();
    let has_join = !query.joins.is_empty();
    let first = &sources[0];
    let is_stream = first.kind == SourceKind::Stream;
    if let Some(name) = query.made_of() {
        steps.push(QueryStep { name, can_change: false, properties: Vec::new() });
    }
    if let Some(group_by) = &query.group_by {
        let (name, can_change) = match (is_stream || joins_stream(topology), &query.window) {
            (true, None) => ("StreamAggregate", true),
            (true, Some(_)) => ("StreamWindowedAggregate", false),
            (false, _) => ("TableAggregate", false),
        };
        let columns = ("columns not part of aggregate", columns_of(query));
        let groups = ("groupByExpressions", listed(&group_by.node));
        let windows = window::shown(query).map(|windows| (WINDOWS, windows));
        steps.push(QueryStep { name, can_change, properties: windows.into_iter().chain([columns, groups]).collect() });
    }
    if let Some(partition_by) = &query.partition_by {
        let properties = vec![("keyExpressions", listed(&partition_by.node))];
        steps.push(QueryStep { name: "StreamSelectKey", can_change: true, properties });
    }
    if has_join {
        steps.push(QueryStep { name: join_step(topology), can_change: false, properties: Vec::new() });
    }
    steps.push(source_step(first));
    QueryShape { steps, inputs: runtime::inputs(topology), stores: versions.kept(topology) }
}

/// Whether what comes out of the joins of a query is a stream.
fn joins_stream(topology: &Topology) -> bool {
    topology.nodes().iter().any(|node| matches!(node.kind, NodeKind::Join(_) | NodeKind::StreamJoin(_)))
}

/// The last join.
fn join_step(topology: &Topology) -> &'static str {
    let name = |kind: &NodeKind| match kind {
        NodeKind::Join(_) => Some("StreamTableJoin"),
        NodeKind::StreamJoin(_) => Some("StreamStreamJoin"),
        NodeKind::TableJoin(_) => Some("TableTableJoin"),
        NodeKind::ForeignKey(_) => Some("ForeignKeyTableTableJoin"),
        _ => None,
    };
    topology.nodes().iter().rev().find_map(|node| name(&node.kind)).unwrap_or("StreamStreamJoin")
}

fn source_step(source: &Source) -> QueryStep {
    let name = match (source.kind, source.window.is_some()) {
        (SourceKind::Stream, false) => "StreamSource",
        (SourceKind::Stream, true) => "WindowedStreamSource",
        (SourceKind::Table, false) => "TableSource",
        (SourceKind::Table, true) => "WindowedTableSource",
    };
    let timestamp = source.timestamp.as_ref().map_or_else(
        || "none".to_owned(),
        |timestamp| match &timestamp.format {
            Some(format) => format!("{} ({format})", timestamp.column),
            None => timestamp.column.clone(),
        },
    );
    let formats = format!("{}, {}", source.key_format.kind, source.value_format.kind);
    let properties = vec![("topicName", source.topic.clone()), ("formats", formats), ("timestampColumn", timestamp)];
    QueryStep { name, can_change: true, properties }
}

/// Expressions as text.
fn listed(expressions: &[Expr]) -> String {
    format!("[{}]", expressions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

/// The columns of the input that an aggregation and what comes before it need, in the order of the statement: COUNT(*) counts ROWTIME.
fn columns_of(query: &StreamQuery) -> String {
    let mut columns: Vec<String> = Vec::new();
    let mut add = |expr: &Expr| {
        let _ = visit_expressions(expr, |part: &SqlExpr| {
            let named = match part {
                SqlExpr::Identifier(name) => Some(name.value.clone()),
                SqlExpr::CompoundIdentifier(parts) if parts.len() > 1 => Some(parts[1].value.clone()),
                SqlExpr::Function(call) => {
                    let text = call.to_string().to_ascii_uppercase();
                    (text == "COUNT(*)" || text == "COUNT()").then(|| ROWTIME.to_owned())
                }
                _ => None,
            };
            if let Some(name) = named.filter(|name| !columns.contains(name)) {
                columns.push(name);
            }
            ControlFlow::<()>::Continue(())
        });
    };
    for item in &query.items {
        if let SelectItem::Expr { expr, .. } = item {
            add(expr);
        }
    }
    query.filter.iter().for_each(|filter| add(&filter.node));
    query.having.iter().for_each(|having| add(&having.node));
    query.group_by.iter().flat_map(|group_by| &group_by.node).for_each(add);
    let mut text = String::from("[");
    for (index, column) in columns.iter().enumerate() {
        let _ = write!(text, "{}`{column}`", if index == 0 { "" } else { ", " });
    }
    text + "]"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::{ast::Statement, parse_statement};

    #[test]
    fn the_columns_that_an_aggregation_needs() {
        let check = |text: &str, want: &str| {
            let parsed = parse_statement(&format!("{text} EMIT CHANGES;")).unwrap();
            let Statement::PushQuery(query) = parsed.statement else { panic!("{text}") };
            assert_eq!(columns_of(&query), want, "{text}");
        };
        check("SELECT id, COUNT(*) FROM s GROUP BY id", "[`ID`, `ROWTIME`]");
        check("SELECT id, COUNT(*) FROM s WHERE a > 0 GROUP BY id", "[`ID`, `ROWTIME`, `A`]");
        check("SELECT s.id, SUM(a + b) FROM s GROUP BY id, c HAVING MAX(d) > 1", "[`ID`, `A`, `B`, `D`, `C`]");
    }
}
