//! The partitions of a store that this process has: all of them if the log belongs to it alone, else those of its tasks, which come and go.

use std::{collections::BTreeMap, sync::Arc};

use millstream_state::Store;
use parking_lot::RwLock;

use super::build::StoreHandle;
use crate::{
    log::SharedLog,
    operator::TaskId,
    query::Freshness,
    record::{Offset, PartitionId, TopicName, TopicPartition},
};

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
    /// The changes that copies follow, if there are any.
    changelog: Option<(SharedLog, TopicName)>,
    here: RwLock<BTreeMap<usize, (StoreHandle, Role)>>,
}

impl StorePartitions {
    /// A store of so many partitions, none of which is here yet.
    pub(super) fn new(total: usize, changelog: Option<(SharedLog, TopicName)>) -> Self {
        Self { total, changelog, here: RwLock::default() }
    }

    /// A store that is here as a whole.
    pub(super) fn whole(handles: Vec<StoreHandle>) -> Self {
        let total = handles.len();
        let here = handles.into_iter().map(|handle| (handle, Role::Active)).enumerate().collect();
        Self { total, changelog: None, here: RwLock::new(here) }
    }

    /// How many there are in all processes together.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// The partition, if it is here.
    pub(crate) fn get(&self, partition: usize) -> Option<(StoreHandle, Role)> {
        self.here.read().get(&partition).cloned()
    }

    /// The partition, if it is here and as fresh as is wanted.
    ///
    /// # Errors
    /// Those of asking the log how far the changes go.
    pub(crate) fn get_within(&self, partition: usize, freshness: Freshness) -> Result<Option<StoreHandle>, String> {
        match (self.get(partition), freshness) {
            (Some((handle, Role::Active)), _) => Ok(Some(handle)),
            (Some((handle, Role::Standby)), Freshness::Within(changes)) => {
                let lag = self.lag(partition, &handle)?;
                Ok(lag.is_some_and(|lag| lag <= changes).then_some(handle))
            }
            _ => Ok(None),
        }
    }

    /// How many changes a copy is behind.
    fn lag(&self, partition: usize, handle: &StoreHandle) -> Result<Option<u64>, String> {
        let (Some((log, topic)), StoreHandle::Persistent(store)) = (&self.changelog, handle) else { return Ok(None) };
        let changelog = TopicPartition::new(topic.clone(), PartitionId(partition as u32));
        let end = log.end_offset(&changelog).map_err(|error| error.to_string())?;
        let next = store.position().map_or(0, |position| position.next);
        Ok(Some(end.since(Offset(next.min(end.0)))))
    }
}

/// All stores of an application, by their numbers in the topology.
pub(super) struct StoreRegistry {
    stores: Vec<Arc<StorePartitions>>,
}

impl StoreRegistry {
    /// Stores none of which is here yet.
    pub(super) fn new(stores: impl IntoIterator<Item = StorePartitions>) -> Self {
        Self { stores: stores.into_iter().map(Arc::new).collect() }
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
