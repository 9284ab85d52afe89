//! What can be read of an application's stores.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    build::StoreHandle,
    global_tables::GlobalTables,
    store_partitions::{StorePartitions, StoreRegistry},
    visibility::Visibility,
};
use crate::{
    operator::StoreSpec,
    query::{Peers, View},
    topology::{GlobalTable, Topology},
};

/// The views over stores, each over all its partitions.
pub(super) fn views(
    topology: &Topology,
    stores: &StoreRegistry,
    globals: &GlobalTables,
    visibility: &Arc<Visibility>,
    peers: Option<&Arc<Peers>>,
) -> BTreeMap<String, View> {
    let view = |(number, spec): (usize, &StoreSpec)| {
        let of = |number: usize| Arc::clone(stores.store(number));
        let part = topology.subtopologies().iter().position(|part| part.stores.contains(&number));
        let view = View::new(spec.clone(), of(number), Arc::clone(visibility), part, topology.owner_of(number));
        let view = peers.iter().fold(view, |view, peers| view.with_peers(Arc::clone(peers)));
        let view = match topology.versions(number) {
            Some(versions) => view.with_history(of(versions.history), versions.span),
            None => view,
        };
        (spec.name.clone(), view)
    };
    let global = |(table, handle): (&GlobalTable, StoreHandle)| {
        let whole = Arc::new(StorePartitions::whole(vec![handle]));
        (table.store.name.clone(), View::new(table.store.clone(), whole, Arc::clone(visibility), None, None))
    };
    let globals = topology.globals().iter().zip(globals.handles()).map(global);
    let own = topology.stores().iter().enumerate().filter(|(_, spec)| spec.layout.is_readable()).map(view);
    own.chain(globals).collect()
}
