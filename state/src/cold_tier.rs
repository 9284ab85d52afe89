//! The cold tier of one store: its column family, and a fixed view of it for snapshots.
//!
//! Written only by checkpoints: deletions and changes, an optional range of expired windows, and the metadata record, in one batch or one
//! file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rocksdb::{BoundColumnFamily, DBRawIteratorWithThreadMode, ReadOptions, SnapshotWithThreadMode, WriteBatch};

use crate::database::{CheckpointFile, Database, Rocks};
use crate::error::StoreError;
use crate::hot_tier::ColdExtent;
use crate::key;
use crate::metadata::{DATA, DATA_END, METADATA_KEY, Metadata, StoreKind};

/// Keys per read: bounds how many cache blocks one call pins.
const KEYS_PER_READ: usize = 1024;
/// Checkpoints with fewer bytes of changes go through the memtable. Tests take both ways with few keys.
const LEAST_FILE_BYTES: usize = if cfg!(test) { 512 } else { 1 << 20 };

pub(crate) type ColdIterator<'a> = DBRawIteratorWithThreadMode<'a, Rocks>;

#[derive(Clone)]
pub(crate) struct ColdTier {
    database: Arc<Database>,
    store: String,
    family: String,
    kind: StoreKind,
    /// A later store of the same name has another column family under the same name.
    is_dropped: Arc<AtomicBool>,
    /// Whether a checkpoint was written that may not be durable yet.
    has_memtable: Arc<AtomicBool>,
}

/// A checkpoint under construction: expired windows, then changes in key order.
pub(crate) struct ColdBatch<'c> {
    sink: Sink<'c>,
    scratch: Vec<u8>,
}

/// Small checkpoints go through the memtable, since a file costs two syncs; large ones are written in order into a file of their own, which
/// costs neither a sorted insertion a key nor the memory of a batch and a memtable.
enum Sink<'c> {
    Memtable { batch: WriteBatch, family: Arc<BoundColumnFamily<'c>> },
    File(CheckpointFile<'c>),
}

impl ColdBatch<'_> {
    pub(crate) fn delete_windows_before(&mut self, start_ms: i64) -> Result<(), rocksdb::Error> {
        let end = prefixed(&key::encode_start(start_ms));
        match &mut self.sink {
            Sink::Memtable { batch, family } => batch.delete_range_cf(family, vec![DATA], end),
            Sink::File(file) => file.writer.delete_range(vec![DATA], end)?,
        }
        Ok(())
    }

    pub(crate) fn change(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), rocksdb::Error> {
        self.scratch.clear();
        self.scratch.push(DATA);
        self.scratch.extend_from_slice(key);
        match (&mut self.sink, value) {
            (Sink::Memtable { batch, family }, Some(value)) => batch.put_cf(family, &self.scratch, value),
            (Sink::Memtable { batch, family }, None) => batch.delete_cf(family, &self.scratch),
            (Sink::File(file), Some(value)) => file.writer.put(&self.scratch, value)?,
            (Sink::File(file), None) => file.writer.delete(&self.scratch)?,
        }
        Ok(())
    }
}

impl ColdTier {
    pub(crate) fn new(database: Arc<Database>, store: &str, family: String, kind: StoreKind) -> Self {
        Self { database, store: store.into(), family, kind, is_dropped: Arc::default(), has_memtable: Arc::default() }
    }

    pub(crate) fn database(&self) -> &Arc<Database> {
        &self.database
    }

    pub(crate) fn mark_dropped(&self) {
        self.is_dropped.store(true, Ordering::Release);
    }

    /// An error if the store was dropped or the database has failed.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.is_dropped.load(Ordering::Acquire) {
            return Err(StoreError::StoreDropped { store: self.store.clone() });
        }
        self.database.check()
    }

    fn family(&self) -> Result<Arc<BoundColumnFamily<'_>>, StoreError> {
        self.check()?;
        let dropped = || StoreError::StoreDropped { store: self.store.clone() };
        self.database.rocks().cf_handle(&self.family).ok_or_else(dropped)
    }

    fn corrupt(&self, detail: String) -> StoreError {
        let directory = self.database.directory().to_path_buf();
        StoreError::Corrupt { directory, detail: format!("store {}: {detail}", self.store) }
    }

    /// Position and extent of what the column family holds.
    pub(crate) fn read_metadata(&self) -> Result<(Metadata, ColdExtent), StoreError> {
        let family = self.family()?;
        let record = self.database.rocks().get_pinned_cf(&family, METADATA_KEY);
        let record = record.map_err(|error| self.database.fail("read a store's metadata", error))?;
        let extent = self.read_extent()?;
        match record {
            Some(bytes) => Ok((Metadata::decode(&bytes).map_err(|detail| self.corrupt(detail))?, extent)),
            None if extent == ColdExtent::Empty => Ok((Metadata::EMPTY, extent)),
            None => Err(self.corrupt("data without a metadata record".into())),
        }
    }

    fn read_extent(&self) -> Result<ColdExtent, StoreError> {
        let family = self.family()?;
        let mut entries = self.database.rocks().raw_iterator_cf_opt(&family, bounded(&[], None));
        let mut extent = ColdExtent::Empty;
        entries.seek_to_first();
        if let Some(first) = entries.key() {
            extent = extent.including(self.kind, &first[1..]);
            entries.seek_to_last();
            if let Some(last) = entries.key() {
                extent = extent.including(self.kind, &last[1..]);
            }
        }
        self.check_iterator(&entries)?;
        Ok(extent)
    }

    pub(crate) fn check_iterator(&self, entries: &ColdIterator<'_>) -> Result<(), StoreError> {
        entries.status().map_err(|error| self.database.fail("iterate over a store", error))
    }

    /// RocksDB's estimate of the number of keys.
    pub(crate) fn approximate_len(&self) -> usize {
        let Ok(family) = self.family() else { return 0 };
        let keys = self.database.rocks().property_int_value_cf(&family, rocksdb::properties::ESTIMATE_NUM_KEYS);
        // The metadata record is one of them.
        keys.ok().flatten().map_or(0, |keys| usize::try_from(keys).unwrap_or(usize::MAX).saturating_sub(1))
    }

    /// Reads `keys` in batches and hands each value to `sink` with the key's place; absent keys are not handed over.
    pub(crate) fn read_many(
        &self,
        view: Option<&ColdView>,
        keys: &[&[u8]],
        mut sink: impl FnMut(usize, &[u8]),
    ) -> Result<(), StoreError> {
        let family = self.family()?;
        let mut options = ReadOptions::default();
        if let Some(view) = view {
            options.set_snapshot(&view.snapshot);
        }
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_unstable_by_key(|&place| keys[place]);
        for places in order.chunks(KEYS_PER_READ) {
            let bytes: usize = places.iter().map(|&place| 1 + keys[place].len()).sum();
            let mut buffer = Vec::with_capacity(bytes);
            for &place in places {
                buffer.push(DATA);
                buffer.extend_from_slice(keys[place]);
            }
            let mut rest = &buffer[..];
            let prefixed: Vec<&[u8]> = places
                .iter()
                .map(|&place| {
                    let (key, tail) = rest.split_at(1 + keys[place].len());
                    rest = tail;
                    key
                })
                .collect();
            let found = self.database.rocks().batched_multi_get_cf_opt(&family, prefixed, true, &options);
            for (&place, value) in places.iter().zip(found) {
                match value {
                    Ok(Some(value)) => sink(place, &value),
                    Ok(None) => {}
                    Err(error) => return Err(self.database.fail("read from a store", error)),
                }
            }
        }
        Ok(())
    }

    /// Begins a checkpoint of about so many bytes.
    pub(crate) fn batch(&self, bytes: usize, metadata: &Metadata) -> Result<ColdBatch<'_>, StoreError> {
        let sink = if bytes < LEAST_FILE_BYTES {
            Sink::Memtable { batch: WriteBatch::default(), family: self.family()? }
        } else {
            self.check()?;
            let file = self.database.checkpoint_file();
            let mut file = file.map_err(|error| self.database.fail("begin a checkpoint", error))?;
            let put = file.writer.put(METADATA_KEY, metadata.encode());
            put.map_err(|error| self.database.fail("write a checkpoint", error))?;
            Sink::File(file)
        };
        Ok(ColdBatch { sink, scratch: Vec::new() })
    }

    /// Makes changes and metadata part of the store, as one.
    pub(crate) fn write(&self, batch: ColdBatch<'_>, metadata: &Metadata) -> Result<(), StoreError> {
        match batch.sink {
            Sink::Memtable { mut batch, family } => {
                batch.put_cf(&family, METADATA_KEY, metadata.encode());
                self.has_memtable.store(true, Ordering::Release);
                self.database.write(batch)
            }
            Sink::File(file) => {
                // The file is durable at once. What an earlier checkpoint has left in the memtable must be so before.
                if self.has_memtable.swap(false, Ordering::AcqRel) {
                    self.database.flush(&self.family)?;
                }
                self.database.ingest(&self.family()?, file)
            }
        }
    }

    /// Removes all changes and the metadata, durably.
    pub(crate) fn clear(&self) -> Result<(), StoreError> {
        let family = self.family()?;
        let mut batch = WriteBatch::default();
        batch.delete_range_cf(&family, &[DATA][..], DATA_END);
        batch.put_cf(&family, METADATA_KEY, Metadata::EMPTY.encode());
        self.database.write(batch)?;
        self.database.flush(&self.family)
    }

    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        self.database.flush(&self.family)
    }

    /// Entries of the view with keys in `[from, to)`, not yet positioned; see [`strip`] for the keys.
    pub(crate) fn iterate<'v>(
        &self,
        view: &'v ColdView,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> Result<ColdIterator<'v>, StoreError> {
        let mut options = bounded(from, to);
        // A scan of everything must not push the blocks of point reads out of the cache.
        options.fill_cache(!from.is_empty() || to.is_some());
        options.set_snapshot(&view.snapshot);
        let family = self.family()?;
        Ok(view.database.rocks().raw_iterator_cf_opt(&family, options))
    }
}

/// The bytes of a data key in the column family.
pub(crate) fn prefixed(key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + key.len());
    bytes.push(DATA);
    bytes.extend_from_slice(key);
    bytes
}

/// The store's key inside a key of the column family.
pub(crate) fn strip(family_key: &[u8]) -> &[u8] {
    &family_key[1..]
}

fn bounded(from: &[u8], to: Option<&[u8]>) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(prefixed(from));
    options.set_iterate_upper_bound(to.map_or_else(|| DATA_END.to_vec(), prefixed));
    options
}

/// The column families as they were when it was made.
///
/// RocksDB's snapshot borrows the database. This one owns a share of it instead, so that a reader can keep it.
pub(crate) struct ColdView {
    // Declared first, hence dropped before the database that it points into.
    snapshot: SnapshotWithThreadMode<'static, Rocks>,
    database: Arc<Database>,
}

impl ColdView {
    pub(crate) fn new(database: &Arc<Database>) -> Self {
        let database = Arc::clone(database);
        #[expect(unsafe_code, reason = "a snapshot that owns its database refers to itself")]
        // SAFETY: the database lies in the `Arc`'s allocation and neither moves nor ends before `self.database` is
        // dropped, which is after `self.snapshot`. The reference never leaves this struct with its false lifetime:
        // everything read through the snapshot borrows from the view.
        let rocks: &'static Rocks = unsafe { &*std::ptr::from_ref(database.rocks()) };
        Self { snapshot: SnapshotWithThreadMode::new(rocks), database }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryBudget;
    use crate::metadata::Position;

    fn check(write: impl FnOnce(&ColdTier), metadata: Metadata, extent: ColdExtent) {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(directory.path(), &MemoryBudget::split(8 << 20, 1 << 20).unwrap()).unwrap();
        database.create_family("window/w").unwrap();
        let cold = ColdTier::new(Arc::new(database), "w", "window/w".into(), StoreKind::Window);
        write(&cold);
        assert_eq!(cold.read_metadata().unwrap(), (metadata, extent));
    }

    const METADATA: Metadata = Metadata { position: Some(Position { incarnation: 1, next: 2 }), expired_before: 5 };

    #[test]
    fn extent_and_metadata_are_found_again() {
        check(|_| {}, Metadata::EMPTY, ColdExtent::Empty);
        let fill = |cold: &ColdTier| {
            let mut batch = cold.batch(0, &METADATA).unwrap();
            for start in [-7, 9, 30] {
                batch.change(&key::encode_start(start), Some(b"value")).unwrap();
            }
            cold.write(batch, &METADATA).unwrap();
        };
        check(fill, METADATA, ColdExtent::Starts { first: -7, last: 30 });
        let expire = |cold: &ColdTier| {
            fill(cold);
            let mut batch = cold.batch(0, &METADATA).unwrap();
            batch.delete_windows_before(9).unwrap();
            cold.write(batch, &METADATA).unwrap();
        };
        check(expire, METADATA, ColdExtent::Starts { first: 9, last: 30 });
    }

    #[test]
    fn a_view_outlives_other_handles_and_later_writes() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(directory.path(), &MemoryBudget::split(8 << 20, 1 << 20).unwrap()).unwrap();
        database.create_family("kv/s").unwrap();
        let cold = ColdTier::new(Arc::new(database), "s", "kv/s".into(), StoreKind::KeyValue);
        let write = |value: &[u8]| {
            let mut batch = cold.batch(0, &METADATA).unwrap();
            batch.change(b"key", Some(value)).unwrap();
            cold.write(batch, &METADATA).unwrap();
        };
        write(b"old");
        let view = ColdView::new(cold.database());
        write(b"new");
        let read = |view: Option<&ColdView>| {
            let mut values = Vec::new();
            cold.read_many(view, &[b"absent", b"key"], |place, value| values.push((place, value.to_vec()))).unwrap();
            values
        };
        assert_eq!(read(Some(&view)), [(1, b"old".to_vec())]);
        assert_eq!(read(None), [(1, b"new".to_vec())]);
        drop(cold);
        drop(view);
    }
}
