//! One state store: committed changes in, batched reads out, checkpoints to the cold tier.
//!
//! One task writes a store; any thread may read it. A reader holds the lock for one batch of keys, a checkpoint only to
//! begin and to end: while it writes, new changes go to layers above the frozen ones.
//!
//! Invariants: `apply` moves content and position under one lock; a checkpoint writes the position that was current when
//! its content was frozen; an entry leaves memory only after a checkpoint has written it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};

use crate::cold_tier::{ColdTier, ColdView};
use crate::error::StoreError;
use crate::hot_tier::{ColdExtent, FrozenTier, HotTier, Lookup};
use crate::key::START_BYTES;
use crate::layer::MAX_BYTES;
use crate::layer_stack::SortedEntries;
use crate::metadata::{Metadata, Position, StoreKind};
use crate::pool::{Lasting, StorePool};
use crate::snapshot::StoreSnapshot;
use crate::values::Values;

/// Keys hashed together before they are read or written.
const KEYS_AT_ONCE: usize = 512;

/// One committed change: the key's new value, or its deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<'a> {
    /// The key; of a window store, made by [`crate::key::window_key`].
    pub key: &'a [u8],
    /// The value; `None` deletes the key.
    pub value: Option<&'a [u8]>,
}

impl<'a> Change<'a> {
    /// Sets a key.
    pub fn put(key: &'a [u8], value: &'a [u8]) -> Self {
        Self { key, value: Some(value) }
    }

    /// Deletes a key.
    pub fn delete(key: &'a [u8]) -> Self {
        Self { key, value: None }
    }
}

/// Counters and sizes of one store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreMetrics {
    /// Keys in memory, deletions and shadowed copies included.
    pub hot_entries: usize,
    /// Memory of the store's tables.
    pub hot_bytes: usize,
    /// Bytes that the next checkpoint will write.
    pub dirty_bytes: usize,
    /// Keys that reads answered from memory, absent ones included.
    pub hot_reads: u64,
    /// Keys that reads had to ask the cold tier for.
    pub cold_reads: u64,
    /// Changes dropped because their window had expired.
    pub expired_changes: u64,
    /// Checkpoints written.
    pub checkpoints: u64,
}

/// A state store; made by [`StateBackend::open_store`].
pub struct Store {
    name: String,
    kind: StoreKind,
    cold: ColdTier,
    inner: RwLock<Inner>,
    /// Held by whoever writes to the cold tier.
    maintenance: Mutex<()>,
    pool: Weak<StorePool>,
    hot_bytes: AtomicUsize,
    hot_reads: AtomicU64,
    cold_reads: AtomicU64,
    expired_changes: AtomicU64,
    checkpoints: AtomicU64,
}

struct Inner {
    hot: HotTier,
    position: Option<Position>,
    extent: ColdExtent,
    /// What the cold tier says about itself.
    written: Metadata,
    /// Grows with every change of content; a reader that sees the same number may add what it read.
    version: u64,
    is_half_applied: bool,
    /// The view that snapshots share until the next checkpoint.
    view: Weak<ColdView>,
}

struct Checkpoint {
    tier: FrozenTier,
    metadata: Metadata,
    extent: ColdExtent,
    dirty_bytes: usize,
}

impl Store {
    pub(crate) fn open(cold: ColdTier, name: &str, kind: StoreKind, pool: Weak<StorePool>) -> Result<Self, StoreError> {
        let (written, extent) = cold.read_metadata()?;
        let inner = Inner {
            hot: HotTier::new(kind, written.expired_before),
            position: written.position,
            extent,
            written,
            version: 0,
            is_half_applied: false,
            view: Weak::new(),
        };
        Ok(Self {
            name: name.into(),
            kind,
            cold,
            inner: RwLock::new(inner),
            maintenance: Mutex::new(()),
            pool,
            hot_bytes: AtomicUsize::new(0),
            hot_reads: AtomicU64::new(0),
            cold_reads: AtomicU64::new(0),
            expired_changes: AtomicU64::new(0),
            checkpoints: AtomicU64::new(0),
        })
    }

    /// The name it was opened with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its kind.
    pub fn kind(&self) -> StoreKind {
        self.kind
    }

    /// The position of the content; `None` if nothing was ever applied.
    pub fn position(&self) -> Option<Position> {
        self.inner.read().position
    }

    /// The position last written to the cold tier. After [`checkpoint`](Self::checkpoint) it is what a crash comes back to; after a
    /// checkpoint for want of memory a crash may come back to an earlier one, never to a mix.
    pub fn checkpointed_position(&self) -> Option<Position> {
        self.inner.read().written.position
    }

    /// An upper bound of the number of keys in memory plus RocksDB's estimate of those on disk.
    pub fn approximate_len(&self) -> usize {
        let hot = self.inner.read().hot.len();
        hot.max(self.cold.approximate_len())
    }

    /// Counters and sizes.
    pub fn metrics(&self) -> StoreMetrics {
        let inner = self.inner.read();
        StoreMetrics {
            hot_entries: inner.hot.len(),
            hot_bytes: inner.hot.bytes(),
            dirty_bytes: inner.hot.dirty_bytes(),
            hot_reads: self.hot_reads.load(Ordering::Relaxed),
            cold_reads: self.cold_reads.load(Ordering::Relaxed),
            expired_changes: self.expired_changes.load(Ordering::Relaxed),
            checkpoints: self.checkpoints.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn hot_bytes(&self) -> usize {
        self.hot_bytes.load(Ordering::Relaxed)
    }

    fn check(&self, inner: &Inner) -> Result<(), StoreError> {
        self.cold.check()?;
        if inner.is_half_applied {
            return Err(StoreError::HalfApplied { store: self.name.clone() });
        }
        Ok(())
    }

    /// The committed values of `keys`, in their order. Keys in memory cost a probe; the others are read from RocksDB in
    /// one sorted batch, and kept in memory if nobody writes meanwhile.
    ///
    /// # Errors
    /// If the cold tier cannot be read, or the store was dropped.
    pub fn get_many<'k>(&self, keys: impl IntoIterator<Item = &'k [u8]>) -> Result<Values, StoreError> {
        let mut values = Values::default();
        let (mut places, mut missing) = (Vec::new(), Vec::new());
        let mut promotions: Vec<(u32, &[u8], usize)> = Vec::new();
        let inner = self.inner.read();
        self.check(&inner)?;
        let generation = inner.hot.generation();
        let mut keys = keys.into_iter();
        let mut batch = Vec::with_capacity(KEYS_AT_ONCE);
        loop {
            batch.clear();
            batch.extend(keys.by_ref().take(KEYS_AT_ONCE));
            if batch.is_empty() {
                break;
            }
            for (&key, hash) in batch.iter().zip(inner.hot.hashes(&batch)) {
                match inner.hot.lookup(hash, key, &inner.extent) {
                    Lookup::Found(found) => {
                        if found.generation < generation {
                            promotions.push((hash, key, values.len()));
                        }
                        values.push(found.value());
                    }
                    Lookup::Absent => values.push(None),
                    Lookup::AskCold => {
                        promotions.push((hash, key, values.len()));
                        places.push(values.len());
                        missing.push(key);
                        values.push(None);
                    }
                }
            }
        }
        if !missing.is_empty() {
            self.cold.read_many(None, &missing, |place, value| values.set(places[place], Some(value)))?;
        }
        let version = inner.version;
        drop(inner);
        self.cold_reads.fetch_add(missing.len() as u64, Ordering::Relaxed);
        self.hot_reads.fetch_add((values.len() - missing.len()) as u64, Ordering::Relaxed);
        self.remember(&promotions, &values, version);
        Ok(values)
    }

    /// The committed value of one key; see [`Store::get_many`].
    ///
    /// # Errors
    /// As [`Store::get_many`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.get_many([key])?.get(0).map(<[u8]>::to_vec))
    }

    fn remember(&self, promotions: &[(u32, &[u8], usize)], values: &Values, version: u64) {
        let has_room = || self.pool.upgrade().is_some_and(|pool| pool.has_room());
        if promotions.is_empty() || !has_room() {
            return;
        }
        let Some(mut inner) = self.inner.try_write() else { return };
        if inner.version != version {
            return;
        }
        let inner = &mut *inner;
        for &(hash, key, place) in promotions {
            // What is absent stays unremembered: a bloom filter answers for it.
            if let Some(value) = values.get(place) {
                inner.hot.remember(hash, key, Some(value), &inner.extent);
            }
        }
        inner.hot.fold(&inner.extent);
        self.account(inner);
    }

    /// Applies committed changes, in order, and moves to `position`. The changes stay in memory; the cold tier is written
    /// when the store's dirty bytes or the memory of all stores ask for it. No changes with a new position is a commit too.
    ///
    /// # Errors
    /// If the position does not continue the current one, a key or value has an impossible length, the store was dropped,
    /// or a checkpoint fails.
    pub fn apply<'a>(
        &self,
        changes: impl IntoIterator<Item = Change<'a>>,
        position: Position,
    ) -> Result<(), StoreError> {
        let mut guard = self.inner.write();
        self.check(&guard)?;
        let inner = &mut *guard;
        if let Some(current) = inner.position
            && (current.incarnation != position.incarnation || current.next > position.next)
        {
            return Err(StoreError::PositionMismatch { store: self.name.clone(), current, given: position });
        }
        inner.version += 1;
        let mut expired = 0;
        let mut changes = changes.into_iter();
        let mut batch = Vec::with_capacity(KEYS_AT_ONCE);
        loop {
            batch.clear();
            batch.extend(changes.by_ref().take(KEYS_AT_ONCE));
            if batch.is_empty() {
                break;
            }
            if let Err(error) = batch.iter().try_for_each(|change| self.check_lengths(change.key, change.value)) {
                inner.is_half_applied = true;
                return Err(error);
            }
            expired += inner.hot.write(&batch, &inner.extent);
        }
        inner.position = Some(position);
        inner.hot.fold(&inner.extent);
        self.expired_changes.fetch_add(expired, Ordering::Relaxed);
        self.account(inner);
        let dirty_bytes = inner.hot.dirty_bytes();
        let Some(pool) = self.pool.upgrade() else { return Ok(()) };
        if pool.is_half_full() && !inner.hot.has_older_generation() {
            inner.hot.rotate();
        }
        drop(guard);
        pool.after_write(self, dirty_bytes)
    }

    fn check_lengths(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        let least = if self.kind == StoreKind::Window { START_BYTES } else { 0 };
        let refused = |what, length, least| {
            Err(StoreError::InvalidLength { store: self.name.clone(), what, length, least, most: MAX_BYTES })
        };
        match value {
            _ if key.len() < least || key.len() > MAX_BYTES => refused("key", key.len(), least),
            Some(value) if value.len() > MAX_BYTES => refused("value", value.len(), 0),
            _ => Ok(()),
        }
    }

    /// Forgets all windows that start below `start_ms`, for good: later changes to them are dropped and counted. Memory is
    /// freed now, the cold tier at the next checkpoint. Nothing happens in a key-value store, or if the bound was higher before.
    ///
    /// # Errors
    /// If the store was dropped or has failed.
    pub fn expire_before(&self, start_ms: i64) -> Result<(), StoreError> {
        let mut inner = self.inner.write();
        self.check(&inner)?;
        if self.kind == StoreKind::Window && inner.hot.expire_before(start_ms) {
            inner.version += 1;
            self.account(&inner);
        }
        Ok(())
    }

    /// Writes what is dirty, together with the position, and makes it durable.
    ///
    /// # Errors
    /// If RocksDB cannot write; the backend then refuses everything from there on.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        let maintenance = self.maintenance.lock();
        self.write_checkpoint(&maintenance)?;
        self.cold.flush()
    }

    /// Has a durable checkpoint written by the backend's thread; does not wait for it.
    pub fn ask_checkpoint(&self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.ask(&self.name, Lasting::AtOnce);
        }
    }

    /// Writes what is dirty, as [`checkpoint`](Self::checkpoint) does; RocksDB decides when it becomes durable.
    pub(crate) fn write_dirty(&self) -> Result<(), StoreError> {
        self.write_checkpoint(&self.maintenance.lock())
    }

    /// Writes what is dirty, together with the position; RocksDB decides when it becomes durable.
    fn write_checkpoint(&self, _maintenance: &parking_lot::MutexGuard<'_, ()>) -> Result<(), StoreError> {
        let checkpoint = {
            let mut inner = self.inner.write();
            self.check(&inner)?;
            let metadata = Metadata { position: inner.position, expired_before: inner.hot.expired_before() };
            if metadata == inner.written && inner.hot.dirty_bytes() == 0 {
                return Ok(());
            }
            let dirty_bytes = inner.hot.dirty_bytes();
            Checkpoint { tier: inner.hot.freeze(), metadata, extent: inner.extent, dirty_bytes }
        };
        let extent = self.write_frozen(&checkpoint)?;
        self.checkpoints.fetch_add(1, Ordering::Relaxed);
        let mut inner = self.inner.write();
        let epoch = checkpoint.tier.epoch;
        drop(checkpoint.tier);
        inner.hot.thaw(epoch);
        inner.extent = extent;
        inner.written = checkpoint.metadata;
        inner.view = Weak::new();
        let inner = &mut *inner;
        inner.hot.fold(&inner.extent);
        self.account(inner);
        Ok(())
    }

    /// Expired windows, changes in key order, metadata, as one. Gives what the cold tier then can hold.
    fn write_frozen(&self, checkpoint: &Checkpoint) -> Result<ColdExtent, StoreError> {
        let Checkpoint { tier, metadata, extent: before, dirty_bytes } = checkpoint;
        let expired_before = metadata.expired_before;
        let failed = |error| self.cold.database().fail("write a checkpoint", error);
        let mut batch = self.cold.batch(*dirty_bytes, metadata)?;
        let mut extent = before.without_starts_below(expired_before);
        if extent != *before {
            batch.delete_windows_before(expired_before).map_err(failed)?;
        }
        let has_no_cold_keys = extent == ColdExtent::Empty;
        for stack in &tier.stacks {
            let is_dirty = |entry: &crate::layer::Entry, key: &[u8]| {
                entry.epoch() > tier.clean_epoch
                    && (self.kind == StoreKind::KeyValue
                        || crate::key::split_window_key(key).is_some_and(|(start, _)| start >= expired_before))
            };
            let sorted = SortedEntries::new(stack.layers(), is_dirty);
            for (key, value) in sorted.iter() {
                if value.is_some() {
                    extent = extent.including(self.kind, key);
                } else if has_no_cold_keys {
                    continue;
                }
                batch.change(key, value).map_err(failed)?;
            }
        }
        self.cold.write(batch, metadata)?;
        Ok(extent)
    }

    /// Checkpoints the store and drops what is clean and of an older generation; the younger one becomes the older.
    pub(crate) fn evict(&self) -> Result<(), StoreError> {
        let maintenance = self.maintenance.lock();
        {
            let mut inner = self.inner.write();
            if !inner.hot.has_older_generation() {
                inner.hot.rotate();
            }
        }
        self.write_checkpoint(&maintenance)?;
        let mut inner = self.inner.write();
        inner.hot.drop_older_generations();
        inner.hot.rotate();
        self.account(&inner);
        Ok(())
    }

    /// The content as it is now, for readers that must not hold up the writer.
    ///
    /// # Errors
    /// If the store was dropped or has failed.
    pub fn snapshot(&self) -> Result<StoreSnapshot, StoreError> {
        let mut inner = self.inner.write();
        self.check(&inner)?;
        let view = match (inner.extent, inner.view.upgrade()) {
            (ColdExtent::Empty, _) => None,
            (_, Some(view)) => Some(view),
            (_, None) => {
                let view = Arc::new(ColdView::new(self.cold.database()));
                inner.view = Arc::downgrade(&view);
                Some(view)
            }
        };
        Ok(StoreSnapshot {
            kind: self.kind,
            position: inner.position,
            hot: inner.hot.clone(),
            extent: inner.extent,
            cold: self.cold.clone(),
            view,
        })
    }

    /// Removes content, position and expiry bound, durably. For a changelog of another incarnation.
    ///
    /// # Errors
    /// If RocksDB cannot write.
    pub fn reset(&self) -> Result<(), StoreError> {
        let _maintenance = self.maintenance.lock();
        let mut inner = self.inner.write();
        self.cold.check()?;
        self.cold.clear()?;
        inner.hot.clear();
        inner.position = None;
        inner.extent = ColdExtent::Empty;
        inner.written = Metadata::EMPTY;
        inner.version += 1;
        inner.is_half_applied = false;
        inner.view = Weak::new();
        self.account(&inner);
        Ok(())
    }

    /// Ends the store: handles and snapshots of it refuse from now on.
    pub(crate) fn mark_dropped(&self) {
        let _maintenance = self.maintenance.lock();
        let mut inner = self.inner.write();
        self.cold.mark_dropped();
        inner.hot.clear();
        inner.view = Weak::new();
        self.account(&inner);
    }

    /// Tells the backend how much memory the store holds now.
    fn account(&self, inner: &Inner) {
        let now = inner.hot.bytes();
        let before = self.hot_bytes.swap(now, Ordering::Relaxed);
        if let Some(pool) = self.pool.upgrade() {
            pool.account(before, now);
        }
    }
}
