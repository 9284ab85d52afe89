//! Where the stores of a topology are: RocksDB behind a hot tier, or memory for tests.

use std::{ops::Bound, sync::Arc};

use millstream_state::{Change, Position, StateBackend, Store, StoreError, StoreKind};

use crate::{
    operator::{CommittedStore, RangeVisitor, StoreRetention},
    record::{PartitionId, Records, Timestamp},
};

/// The name of a store on one partition, unique in a process.
pub(crate) fn store_name(application: &str, store: &str, partition: PartitionId) -> String {
    format!("{application}/{store}/{partition}")
}

/// A store of the state crate as an operator's committed store.
pub(super) struct PersistentStore {
    store: Arc<Store>,
}

impl PersistentStore {
    pub(super) fn open(backend: &StateBackend, name: &str, retention: &StoreRetention) -> Result<Self, StoreError> {
        let kind = if retention.is_windowed() { StoreKind::Window } else { StoreKind::KeyValue };
        Ok(Self { store: backend.open_store(name, kind)? })
    }

    pub(super) fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }
}

impl CommittedStore for PersistentStore {
    fn get_many(&self, keys: &[&[u8]], each: &mut dyn FnMut(usize, Option<&[u8]>)) -> Result<(), String> {
        let values = self.store.get_many(keys.iter().copied()).map_err(|error| error.to_string())?;
        for (index, value) in values.iter().enumerate() {
            each(index, value);
        }
        Ok(())
    }

    fn range(&self, from: &[u8], to: Option<&[u8]>, each: &mut RangeVisitor<'_>) -> Result<(), String> {
        let mut read = || -> Result<(), StoreError> {
            let snapshot = self.store.snapshot()?;
            let mut rows = snapshot.range(Bound::Included(from), to.map_or(Bound::Unbounded, Bound::Excluded))?;
            while let Some((key, value)) = rows.next_entry()? {
                if !each(key, value) {
                    break;
                }
            }
            Ok(())
        };
        read().map_err(|error| error.to_string())
    }

    fn apply(&mut self, changes: &Records, incarnation: u128, next: u64) -> Result<(), String> {
        let changes = changes.iter().filter_map(|change| Some(Change { key: change.key?, value: change.value }));
        self.store.apply(changes, Position { incarnation, next }).map_err(|error| error.to_string())
    }

    fn expire_before(&mut self, start: Timestamp) -> Result<(), String> {
        self.store.expire_before(start.millis()).map_err(|error| error.to_string())
    }

    fn position(&self) -> Option<(u128, u64)> {
        self.store.position().map(|position| (position.incarnation, position.next))
    }

    fn reset(&mut self) -> Result<(), String> {
        self.store.reset().map_err(|error| error.to_string())
    }
}
