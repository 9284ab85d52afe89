//! All state stores of a process: one RocksDB, one block cache, one write-buffer budget, one budget for the hot tiers.
//!
//! Checkpoints are written by a thread of the backend while tasks go on; see `pool` for when.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::cold_tier::ColdTier;
use crate::database::Database;
use crate::error::StoreError;
use crate::memory::{MemoryBudget, MemoryUsage};
use crate::metadata::StoreKind;
use crate::pool::StorePool;
use crate::store::Store;

const LONGEST_NAME_BYTES: usize = 1024;

/// Where the state lies and how much memory it may take.
#[derive(Debug, Clone)]
pub struct StateConfig {
    /// The state directory; made if it is not there. One process at a time.
    pub directory: PathBuf,
    /// Memory for all stores of the process together, at least 1 MiB.
    pub memory_bytes: usize,
    /// Dirty bytes of one store that cause a checkpoint; at most an eighth of `memory_bytes` is used.
    pub checkpoint_bytes: usize,
}

impl StateConfig {
    /// A configuration whose checkpoints are as large as the memory allows.
    pub fn new(directory: impl Into<PathBuf>, memory_bytes: usize) -> Self {
        Self { directory: directory.into(), memory_bytes, checkpoint_bytes: (memory_bytes / 8).max(64 << 10) }
    }
}

/// All state stores of a process.
///
/// Dropping it closes the directory once all stores and snapshots are dropped too, without a checkpoint: what was not
/// checkpointed comes back from the changelog. [`StateBackend::checkpoint_all`] is the clean stop.
pub struct StateBackend {
    database: Arc<Database>,
    pool: Arc<StorePool>,
    checkpointer: Option<JoinHandle<()>>,
}

impl StateBackend {
    /// Opens the state directory, or makes it.
    ///
    /// # Errors
    /// If the configuration cannot work, or the directory is in use, damaged or of an unknown format. See
    /// [`StoreError::is_rebuildable`].
    pub fn open(config: StateConfig) -> Result<Arc<Self>, StoreError> {
        let budget = MemoryBudget::split(config.memory_bytes, config.checkpoint_bytes)?;
        let database = Arc::new(Database::open(&config.directory, &budget)?);
        let pool = Arc::new(StorePool::new(budget));
        let work = Arc::clone(&pool);
        let checkpointer = std::thread::Builder::new().name("checkpointer".into()).spawn(move || work.run());
        let checkpointer = checkpointer.map_err(|source| StoreError::Io {
            directory: config.directory,
            action: "start a thread for",
            source,
        })?;
        Ok(Arc::new(Self { database, pool, checkpointer: Some(checkpointer) }))
    }

    /// Opens a store, or makes it. Opening it again gives the same store.
    ///
    /// # Errors
    /// If the name is unusable, the store has another kind, or RocksDB fails.
    pub fn open_store(&self, name: &str, kind: StoreKind) -> Result<Arc<Store>, StoreError> {
        if name.is_empty() || name.len() > LONGEST_NAME_BYTES || name.contains('\0') {
            let reason = "it must have 1 to 1024 bytes, none of them zero";
            return Err(StoreError::InvalidName { store: name.into(), reason });
        }
        self.database.check()?;
        let mut stores = self.pool.stores.write();
        let families = self.database.families();
        if let Some(stored) = kind_of(&families, name).filter(|stored| *stored != kind) {
            return Err(StoreError::KindMismatch { store: name.into(), stored, wanted: kind });
        }
        if let Some(store) = stores.get(name) {
            return Ok(Arc::clone(store));
        }
        let family = family_name(name, kind);
        if !families.contains(&family) {
            self.database.create_family(&family)?;
        }
        let cold = ColdTier::new(Arc::clone(&self.database), name, family, kind);
        let store = Arc::new(Store::open(cold, name, kind, Arc::downgrade(&self.pool))?);
        stores.insert(name.into(), Arc::clone(&store));
        Ok(store)
    }

    /// Removes a store and its content, opened or not. Handles and snapshots of it refuse from then on.
    ///
    /// # Errors
    /// If there is no such store, or RocksDB fails.
    pub fn drop_store(&self, name: &str) -> Result<(), StoreError> {
        let mut stores = self.pool.stores.write();
        let Some(kind) = kind_of(&self.database.families(), name) else {
            drop(stores);
            let (directory, known) = (self.database.directory().to_path_buf(), self.store_names());
            return Err(StoreError::UnknownStore { store: name.into(), directory, known });
        };
        if let Some(store) = stores.remove(name) {
            store.mark_dropped();
        }
        self.database.drop_family(&family_name(name, kind))
    }

    /// The names of all stores in the directory, opened or not, in order.
    pub fn store_names(&self) -> Vec<String> {
        let families = self.database.families();
        let mut names: Vec<String> =
            families.iter().filter_map(|family| Some(family.split_once('/')?.1.into())).collect();
        names.sort_unstable();
        names
    }

    /// About how many keys the open stores hold, see [`Store::approximate_len`].
    pub fn approximate_keys(&self) -> usize {
        self.pool.stores.read().values().map(|store| store.approximate_len()).sum()
    }

    /// What the stores hold in memory now.
    pub fn memory_usage(&self) -> MemoryUsage {
        let dirty_bytes = self.pool.stores.read().values().map(|store| store.metrics().dirty_bytes).sum();
        MemoryUsage {
            hot_bytes: self.pool.hot_bytes(),
            dirty_bytes,
            block_cache_bytes: self.database.block_cache_bytes(),
            write_buffer_bytes: self.database.write_buffer_bytes(),
            limit_bytes: self.pool.memory_bytes(),
        }
    }

    /// Checkpoints every open store: the clean stop.
    ///
    /// # Errors
    /// The first error, if RocksDB cannot write or a store is half applied; the other stores are tried nevertheless.
    pub fn checkpoint_all(&self) -> Result<(), StoreError> {
        let stores: Vec<Arc<Store>> = self.pool.stores.read().values().cloned().collect();
        let results: Vec<Result<(), StoreError>> = stores.iter().map(|store| store.checkpoint()).collect();
        results.into_iter().collect()
    }
}

impl Drop for StateBackend {
    fn drop(&mut self) {
        self.pool.stop();
        if let Some(thread) = self.checkpointer.take() {
            // A panic of the thread was logged; what it has not written comes back from the changelog.
            let _ = thread.join();
        }
    }
}

fn family_name(name: &str, kind: StoreKind) -> String {
    match kind {
        StoreKind::KeyValue => format!("kv/{name}"),
        StoreKind::Window => format!("window/{name}"),
    }
}

/// The kind of a store on disk: it is part of the column family's name, hence never apart from it.
fn kind_of(families: &BTreeSet<String>, name: &str) -> Option<StoreKind> {
    [StoreKind::KeyValue, StoreKind::Window].into_iter().find(|kind| families.contains(&family_name(name, *kind)))
}
