//! Versioned tables, and joins of streams with them.

use std::{rc::Rc, sync::Arc};

use super::{ColumnStream, ColumnTable, Joined, Materialized, Repartitioned, builder::identity_store, joins};
use crate::{
    operator::{JoinKind, OpaqueRows, StoreOptions, StoreRetention, StoreSpec, VersionedRows},
    topology::{Formats, NodeKind, VersionedJoinNode, VersionedStores, VersionedTableNode},
};

impl ColumnStream {
    /// Makes a table of the newest record, by timestamp, of each key, and keeps what it was before.
    pub(super) fn to_versioned_table(&self, materialized: Materialized) -> ColumnTable {
        if materialized.retention.is_some() {
            self.failed("versioned table", "a retention is for windows: the history says how long versions are kept");
        }
        let span = materialized.history.unwrap_or_default();
        let input = self.partitioned_by_key(materialized.name.as_deref());
        let mut graph = self.graph.borrow_mut();
        let name = materialized.name.unwrap_or_else(|| graph.unnamed("table", &[input.node]));
        let history = StoreSpec {
            name: format!("{name}-history"),
            key: input.schema.whole_key().to_vec(),
            retention: VersionedRows::history_retention(span),
            layout: Arc::new(OpaqueRows),
            options: materialized.store,
        };
        let latest = graph.add_store(identity_store(name, &input.schema, materialized.store));
        let history = graph.add_store(history);
        let stores = VersionedStores { latest, history, span };
        let kind = NodeKind::Operator(Arc::new(VersionedTableNode { stores, needs_before: false }));
        let node = graph.add("table", kind, vec![input.node], Arc::clone(&input.schema));
        graph.versioned.insert(node.0, stores);
        drop(graph);
        ColumnTable { graph: Rc::clone(&self.graph), node, schema: input.schema, store: Some(latest) }
    }

    /// Meets each record with the row that its key had at its time in a versioned table.
    pub(super) fn join_versions(
        &self,
        joined: Joined<'_, ColumnTable>,
        versions: VersionedStores,
        is_kept: bool,
        kind: JoinKind,
        names: &[String],
    ) -> Self {
        let Joined { table, name, grace } = joined;
        let schema = match joins::joined_schema(&self.schema, &table.schema, names) {
            Ok(schema) => schema,
            Err(problem) => return self.failed("join", problem),
        };
        if let Some(grace) = grace.filter(|grace| *grace > versions.span) {
            let span = versions.span;
            return self.failed("join", format!("a grace of {grace} is longer than the history of the table: {span}"));
        }
        let key = self.graph.borrow().key_format(table.node);
        let moves = self.rekeyed || self.graph.borrow().key_format(self.node) != key;
        let again = Materialized::default().versioned(versions.span);
        let (table, key) = match moves && key.registered().is_some() {
            true => {
                let moved = table.to_stream().repartition_with(Repartitioned::default(), Formats::INTERNAL.key);
                (moved.to_versioned_table(again), Formats::INTERNAL.key)
            }
            false if is_kept => (table.clone(), key),
            false => (table.to_stream().to_versioned_table(again), key),
        };
        let input = if moves { self.repartition_with(joins::moved(name), key) } else { self.clone() };
        let mut graph = self.graph.borrow_mut();
        let (versions, _) = graph.versions(table.node).expect("made or found above");
        let layout = Arc::clone(&graph.stores[versions.latest].layout);
        let waiting = grace.map(|grace| {
            let name = format!("{}-waiting", graph.unnamed("join", &[input.node, table.node]));
            let (key, layout) = (input.schema.key().to_vec(), Arc::new(OpaqueRows));
            (
                grace,
                graph.add_store(StoreSpec {
                    name,
                    key,
                    retention: StoreRetention::Forever,
                    layout,
                    options: StoreOptions::default(),
                }),
            )
        });
        let node = VersionedJoinNode { kind, table: versions, layout, grace: waiting };
        let node = graph.add("join", NodeKind::Operator(Arc::new(node)), vec![input.node], Arc::clone(&schema));
        drop(graph);
        Self { graph: Rc::clone(&self.graph), node, schema, rekeyed: false }
    }
}

impl ColumnTable {
    /// The stores of the versioned table that this one is, or that its rows are computed from, and whether it is that table itself.
    pub(super) fn versions(&self) -> Option<(VersionedStores, bool)> {
        self.graph.borrow().versions(self.node)
    }
}
