//! The partitions of a store that this process has: all of them if the log belongs to it alone, else those of its tasks, which come and go.

use std::{collections::BTreeMap, sync::Arc};

use millstream_state::Store;
use parking_lot::RwLock;

use super::build::StoreHandle;
use crate::{operator::TaskId, record::PartitionId};

/// In what capacity a process has a partition of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It processes the task that writes it.
    Active,
    /// It follows the changelog, to take over soon.
    Standby,
}

/// The partitions of one store.
pub(crate) struct StorePartitions {
    total: usize,
    here: RwLock<BTreeMap<usize, (StoreHandle, Role)>>,
}

impl StorePartitions {
    /// A store of so many partitions, none of which is here yet.
    pub(super) fn new(total: usize) -> Self {
        Self { total, here: RwLock::default() }
    }

    /// A store that is here as a whole.
    pub(super) fn whole(handles: Vec<StoreHandle>) -> Self {
        let total = handles.len();
        let here = handles.into_iter().map(|handle| (handle, Role::Active)).enumerate().collect();
        Self { total, here: RwLock::new(here) }
    }

    /// How many there are in all processes together.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// The partition, if it is here.
    pub(crate) fn get(&self, partition: usize) -> Option<(StoreHandle, Role)> {
        self.here.read().get(&partition).cloned()
    }
}

/// All stores of an application, by their numbers in the topology.
pub(super) struct StoreRegistry {
    stores: Vec<Arc<StorePartitions>>,
}

impl StoreRegistry {
    /// Stores of so many partitions each.
    pub(super) fn new(totals: impl IntoIterator<Item = usize>) -> Self {
        Self { stores: totals.into_iter().map(|total| Arc::new(StorePartitions::new(total))).collect() }
    }

    /// Stores that are here as a whole.
    pub(super) fn whole(stores: usize, handles: &[(usize, PartitionId, StoreHandle)]) -> Self {
        let of = |number: usize| handles.iter().filter(move |(store, ..)| *store == number);
        let one = |number: usize| of(number).map(|(.., handle)| handle.clone()).collect();
        Self { stores: (0..stores).map(|number| Arc::new(StorePartitions::whole(one(number)))).collect() }
    }

    pub(super) fn store(&self, number: usize) -> &Arc<StorePartitions> {
        &self.stores[number]
    }

    /// Shows a partition of a store to readers.
    pub(super) fn show(&self, number: usize, partition: PartitionId, handle: StoreHandle, role: Role) {
        self.stores[number].here.write().insert(partition.0 as usize, (handle, role));
    }

    /// The stores on disk that tasks of this process write.
    pub(super) fn persistent(&self) -> Vec<Arc<Store>> {
        let all = self.stores.iter().flat_map(|store| store.here.read().values().cloned().collect::<Vec<_>>());
        let active = all.filter(|(_, role)| *role == Role::Active);
        let on_disk = active.filter_map(|(handle, _)| match handle {
            StoreHandle::Persistent(store) => Some(store),
            StoreHandle::Memory(_) => None,
        });
        on_disk.collect()
    }

    /// Hides what a task had shown.
    pub(super) fn hide(&self, stores: &[usize], task: TaskId) {
        for &number in stores {
            self.stores[number].here.write().remove(&(task.partition.0 as usize));
        }
    }
}
