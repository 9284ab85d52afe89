//! All state stores of a process: one RocksDB, one block cache, one write-buffer budget, one budget for the hot tiers.
//!
//! When the hot tiers together pass their share, the largest store is checkpointed and gives up its older generation. Keys written or
//! read since the last such step are in the younger one and stay.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};

use crate::cold_tier::ColdTier;
use crate::database::Database;
use crate::error::StoreError;
use crate::memory::{MemoryBudget, MemoryUsage};
use crate::metadata::StoreKind;
use crate::store::Store;

const LONGEST_NAME_BYTES: usize = 1024;

/// Where the state lies and how much memory it may take.
#[derive(Debug, Clone)]
pub struct StateConfig {
    /// The state directory; made if it is not there. One process at a time.
    pub directory: PathBuf,
    /// Memory for all stores of the process together, at least 1 MiB.
    pub memory_bytes: usize,
    /// Dirty bytes of one store that cause a checkpoint; at most a sixteenth of `memory_bytes` is used.
    pub checkpoint_bytes: usize,
}

impl StateConfig {
    /// A configuration whose checkpoints are as large as the memory allows.
    pub fn new(directory: impl Into<PathBuf>, memory_bytes: usize) -> Self {
        Self { directory: directory.into(), memory_bytes, checkpoint_bytes: (memory_bytes / 16).max(64 << 10) }
    }
}

/// All state stores of a process.
///
/// Dropping it closes the directory once all stores and snapshots are dropped too, without a checkpoint: what was not
/// checkpointed comes back from the changelog. [`StateBackend::checkpoint_all`] is the clean stop.
pub struct StateBackend {
    database: Arc<Database>,
    budget: MemoryBudget,
    stores: RwLock<BTreeMap<String, Arc<Store>>>,
    hot_bytes: AtomicUsize,
    /// Held by the one thread that frees memory.
    relief: Mutex<()>,
    me: Weak<StateBackend>,
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
        Ok(Arc::new_cyclic(|me| Self {
            database,
            budget,
            stores: RwLock::default(),
            hot_bytes: AtomicUsize::new(0),
            relief: Mutex::new(()),
            me: me.clone(),
        }))
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
        let mut stores = self.stores.write();
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
        let store = Arc::new(Store::open(cold, name, kind, self.me.clone())?);
        stores.insert(name.into(), Arc::clone(&store));
        Ok(store)
    }

    /// Removes a store and its content, opened or not. Handles and snapshots of it refuse from then on.
    ///
    /// # Errors
    /// If there is no such store, or RocksDB fails.
    pub fn drop_store(&self, name: &str) -> Result<(), StoreError> {
        let mut stores = self.stores.write();
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
        self.stores.read().values().map(|store| store.approximate_len()).sum()
    }

    /// What the stores hold in memory now.
    pub fn memory_usage(&self) -> MemoryUsage {
        let dirty_bytes = self.stores.read().values().map(|store| store.metrics().dirty_bytes).sum();
        MemoryUsage {
            hot_bytes: self.hot_bytes.load(Ordering::Relaxed),
            dirty_bytes,
            block_cache_bytes: self.database.block_cache_bytes(),
            write_buffer_bytes: self.database.write_buffer_bytes(),
            limit_bytes: self.budget.memory_bytes,
        }
    }

    /// Checkpoints every open store: the clean stop.
    ///
    /// # Errors
    /// The first error, if RocksDB cannot write or a store is half applied; the other stores are tried nevertheless.
    pub fn checkpoint_all(&self) -> Result<(), StoreError> {
        let stores: Vec<Arc<Store>> = self.stores.read().values().cloned().collect();
        let results: Vec<Result<(), StoreError>> = stores.iter().map(|store| store.checkpoint()).collect();
        results.into_iter().collect()
    }

    pub(crate) fn checkpoint_bytes(&self) -> usize {
        self.budget.checkpoint_bytes
    }

    pub(crate) fn account(&self, before: usize, now: usize) {
        if now >= before {
            self.hot_bytes.fetch_add(now - before, Ordering::Relaxed);
        } else {
            self.hot_bytes.fetch_sub(before - now, Ordering::Relaxed);
        }
    }

    /// True if reads may still add to the hot tiers.
    pub(crate) fn has_room(&self) -> bool {
        self.hot_bytes.load(Ordering::Relaxed) < self.budget.hot_bytes
    }

    pub(crate) fn is_half_full(&self) -> bool {
        self.hot_bytes.load(Ordering::Relaxed) > self.budget.hot_bytes / 2
    }

    /// Frees memory if the hot tiers are above their share. One thread does it; others go on, until a quarter above.
    pub(crate) fn relieve(&self) -> Result<(), StoreError> {
        if self.has_room() {
            return Ok(());
        }
        let is_urgent = self.hot_bytes.load(Ordering::Relaxed) > self.budget.hot_bytes / 4 * 5;
        let guard = if is_urgent { Some(self.relief.lock()) } else { self.relief.try_lock() };
        let Some(_guard) = guard else { return Ok(()) };
        let stores: Vec<Arc<Store>> = self.stores.read().values().cloned().collect();
        // Each store gives up its older generation, then its younger one: two rounds free whatever can be freed.
        for _ in 0..2 * stores.len() {
            if self.has_room() {
                break;
            }
            let Some(largest) = stores.iter().max_by_key(|store| store.hot_bytes()) else { break };
            match largest.evict() {
                Err(StoreError::StoreDropped { .. } | StoreError::HalfApplied { .. }) => break,
                other => other?,
            }
        }
        Ok(())
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
