//! The one RocksDB of a process: its options, the format stamp beside it, and the latch that the first failure closes.
//!
//! ```text
//! <directory>/FORMAT     "millstream-state 1\n", written and synced before RocksDB is made
//! <directory>/rocksdb/   one column family per store: "kv/<name>" or "window/<name>"
//! ```
//! The stamp is a file, because opening RocksDB already rewrites its own files, and a directory of an unknown version must stay untouched.
//!
//! No write-ahead log: the changelog is the log. RocksDB retries some failed flushes by itself and, with several column
//! families and no log, may come back with a part of them; hence any write error and any background error closes the
//! latch, and every later operation returns [`StoreError::Failed`].

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::RwLock;
use rocksdb::{
    BlockBasedOptions, BoundColumnFamily, Cache, ColumnFamilyDescriptor, DBCompressionType, DBWithThreadMode,
    DataBlockIndexType, ErrorKind, FlushOptions, IngestExternalFileOptions, LruCacheOptions, MultiThreaded, Options,
    SstFileWriter, WriteBatch, WriteBufferManager, WriteOptions,
};

use crate::error::StoreError;
use crate::memory::MemoryBudget;

pub(crate) type Rocks = DBWithThreadMode<MultiThreaded>;

const FORMAT: &str = "millstream-state 1\n";
const DEFAULT_FAMILY: &str = "default";

/// How files are called that are being written, before their number.
const CHECKPOINT_FILE: &str = "checkpoint-";

/// Changes in key order, on their way into a column family.
pub(crate) struct CheckpointFile<'d> {
    pub(crate) writer: SstFileWriter<'d>,
    path: PathBuf,
}

pub(crate) struct Database {
    rocks: Rocks,
    directory: PathBuf,
    family_options: Options,
    /// As the above, for files written beside the database.
    file_options: Options,
    next_file: AtomicU64,
    block_cache: Cache,
    write_buffers: WriteBufferManager,
    /// Names of the column families that hold stores.
    families: RwLock<BTreeSet<String>>,
    failure: OnceLock<String>,
}

impl Database {
    pub(crate) fn open(directory: &Path, budget: &MemoryBudget) -> Result<Self, StoreError> {
        check_or_write_format(directory)?;
        remove_unfinished(directory)?;
        let path = directory.join("rocksdb");
        let mut cache_options = LruCacheOptions::default();
        cache_options.set_capacity(budget.block_cache_bytes);
        // Few and large shards: one that is smaller than the filter of a file could never hold it.
        cache_options.set_num_shard_bits(1);
        let block_cache = Cache::new_lru_cache_opts(&cache_options);
        let write_buffers = WriteBufferManager::new_write_buffer_manager(budget.write_buffer_bytes, false);
        let options = database_options(&write_buffers);
        let family_options = family_options(&block_cache, budget);
        let is_new = !path.join("CURRENT").exists();
        let mut families = match Rocks::list_cf(&options, &path) {
            Ok(families) => families,
            Err(_) if is_new => Vec::new(),
            Err(error) => return Err(open_error(directory, &error)),
        };
        families.retain(|family| family != DEFAULT_FAMILY);
        let names = families.iter().map(String::as_str).chain([DEFAULT_FAMILY]);
        let descriptors = names.map(|name| ColumnFamilyDescriptor::new(name, family_options.clone()));
        let rocks =
            Rocks::open_cf_descriptors(&options, &path, descriptors).map_err(|error| open_error(directory, &error))?;
        let directory = directory.to_path_buf();
        let families = RwLock::new(families.into_iter().collect());
        let file_options = family_options.clone();
        Ok(Self {
            rocks,
            directory,
            family_options,
            file_options,
            next_file: AtomicU64::new(0),
            block_cache,
            write_buffers,
            families,
            failure: OnceLock::new(),
        })
    }

    pub(crate) fn rocks(&self) -> &Rocks {
        &self.rocks
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn block_cache_bytes(&self) -> usize {
        self.block_cache.get_usage()
    }

    pub(crate) fn write_buffer_bytes(&self) -> usize {
        self.write_buffers.get_usage()
    }

    /// Names of the column families that hold stores.
    pub(crate) fn families(&self) -> BTreeSet<String> {
        self.families.read().clone()
    }

    pub(crate) fn create_family(&self, family: &str) -> Result<(), StoreError> {
        self.check()?;
        let created = self.rocks.create_cf(family, &self.family_options);
        created.map_err(|error| self.fail("create a column family", error))?;
        self.families.write().insert(family.into());
        Ok(())
    }

    pub(crate) fn drop_family(&self, family: &str) -> Result<(), StoreError> {
        self.check()?;
        self.rocks.drop_cf(family).map_err(|error| self.fail("drop a column family", error))?;
        self.families.write().remove(family);
        Ok(())
    }

    /// An error if a write has failed before, in the foreground or in the background.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self.failure.get() {
            None => Ok(()),
            Some(detail) => Err(StoreError::Failed { directory: self.directory.clone(), detail: detail.clone() }),
        }
    }

    /// Writes the batch into the memtables, all or nothing.
    pub(crate) fn write(&self, batch: WriteBatch) -> Result<(), StoreError> {
        self.check()?;
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        self.rocks.write_opt(batch, &options).map_err(|error| self.fail("write a checkpoint", error))?;
        self.check_background()
    }

    /// Begins a file of changes in key order.
    pub(crate) fn checkpoint_file(&self) -> Result<CheckpointFile<'_>, rocksdb::Error> {
        let number = self.next_file.fetch_add(1, Ordering::Relaxed);
        let path = self.directory.join(format!("{CHECKPOINT_FILE}{number}"));
        let writer = SstFileWriter::create(&self.file_options);
        writer.open(&path)?;
        Ok(CheckpointFile { writer, path })
    }

    /// Makes a file of changes part of the column family, durably, all or nothing.
    pub(crate) fn ingest(
        &self,
        family: &Arc<BoundColumnFamily<'_>>,
        file: CheckpointFile<'_>,
    ) -> Result<(), StoreError> {
        self.check()?;
        let CheckpointFile { mut writer, path } = file;
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        let ingested =
            writer.finish().and_then(|()| self.rocks.ingest_external_file_cf_opts(family, &options, vec![&path]));
        ingested.map_err(|error| self.fail("write a checkpoint", error))?;
        self.check_background()
    }

    /// Makes what was written into the column family durable.
    pub(crate) fn flush(&self, family: &str) -> Result<(), StoreError> {
        self.check()?;
        let Some(handle) = self.rocks.cf_handle(family) else { return Ok(()) };
        let mut options = FlushOptions::default();
        options.set_wait(true);
        self.rocks.flush_cf_opt(&handle, &options).map_err(|error| self.fail("flush a checkpoint", error))?;
        self.check_background()
    }

    fn check_background(&self) -> Result<(), StoreError> {
        match self.rocks.property_int_value(rocksdb::properties::BACKGROUND_ERRORS) {
            Ok(None | Some(0)) => Ok(()),
            Ok(Some(count)) => {
                let _ = self.failure.set(format!("{count} background errors in RocksDB, see its LOG file"));
                self.check()
            }
            Err(error) => Err(self.fail("report its background errors", error)),
        }
    }

    /// Closes the latch and gives the error to return.
    pub(crate) fn fail(&self, action: &'static str, source: rocksdb::Error) -> StoreError {
        let directory = self.directory.clone();
        tracing::error!(directory = %directory.display(), action, error = %source, "state backend stops");
        let _ = self.failure.set(format!("cannot {action}: {source}"));
        match source.kind() {
            ErrorKind::Corruption => StoreError::Corrupt { directory, detail: source.into_string() },
            _ => StoreError::Storage { directory, action, source },
        }
    }
}

fn database_options(write_buffers: &WriteBufferManager) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_write_buffer_manager(write_buffers);
    options.set_max_background_jobs(2);
    options.set_max_open_files(512);
    options.set_paranoid_checks(true);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options.set_stats_dump_period_sec(0);
    options
}

/// Every store's column family: point reads behind whole-key bloom filters, bulk writes at checkpoints.
fn family_options(block_cache: &Cache, budget: &MemoryBudget) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(block_cache);
    table.set_bloom_filter(10.0, false);
    table.set_cache_index_and_filter_blocks(true);
    table.set_cache_index_and_filter_blocks_with_high_priority(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_optimize_filters_for_memory(true);
    table.set_format_version(5);
    table.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
    table.set_data_block_hash_ratio(0.75);
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::Lz4);
    // The manager decides when memtables are flushed; there are many column families, so arenas start small.
    options.set_write_buffer_size(budget.write_buffer_bytes.max(64 << 10));
    options.set_arena_block_size(64 << 10);
    options.set_max_write_buffer_number(2);
    options.set_target_file_size_base((budget.memory_bytes as u64 / 16).clamp(1 << 20, 64 << 20));
    // Eight checkpoints make a run as large as the first level, so that neither is rewritten for little.
    options.set_level_zero_file_num_compaction_trigger(8);
    options.set_max_bytes_for_level_base((budget.memory_bytes as u64).clamp(16 << 20, 1 << 30));
    options.set_level_compaction_dynamic_level_bytes(true);
    options
}

fn open_error(directory: &Path, error: &rocksdb::Error) -> StoreError {
    let (directory, detail) = (directory.to_path_buf(), error.to_string());
    match error.kind() {
        ErrorKind::IOError if detail.contains("lock") || detail.contains("LOCK") => {
            StoreError::InUse { directory, detail }
        }
        ErrorKind::Corruption | ErrorKind::InvalidArgument | ErrorKind::NotFound => {
            StoreError::Corrupt { directory, detail }
        }
        // A file that the manifest names and that is gone is an I/O error to RocksDB.
        ErrorKind::IOError if detail.contains("No such file") => StoreError::Corrupt { directory, detail },
        _ => StoreError::Storage { directory, action: "open the database", source: error.clone() },
    }
}

fn check_or_write_format(directory: &Path) -> Result<(), StoreError> {
    let failed = |action| {
        let directory = directory.to_path_buf();
        move |source| StoreError::Io { directory, action, source }
    };
    let unknown =
        |found: String| StoreError::UnknownFormat { directory: directory.to_path_buf(), found, known: FORMAT };
    let stamp = directory.join("FORMAT");
    match fs::read(&stamp) {
        Ok(found) if found == FORMAT.as_bytes() => Ok(()),
        Ok(found) => Err(unknown(String::from_utf8_lossy(&found).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if directory.join("rocksdb").exists() {
                return Err(unknown("none".into()));
            }
            fs::create_dir_all(directory).map_err(failed("create the directory"))?;
            write_format(directory, &stamp).map_err(failed("write the format stamp"))
        }
        Err(error) => Err(failed("read the format stamp")(error)),
    }
}

/// Files that a crash has left before they became part of the database.
fn remove_unfinished(directory: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::Io { directory: directory.to_path_buf(), action: "remove an old file", source };
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_string_lossy().starts_with(CHECKPOINT_FILE) {
            fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}

/// Complete or not there at all, also after a power cut.
fn write_format(directory: &Path, stamp: &Path) -> io::Result<()> {
    let unfinished = directory.join("FORMAT.new");
    let mut file = File::create(&unfinished)?;
    file.write_all(FORMAT.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, stamp)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(directory: &Path) -> Result<Database, StoreError> {
        Database::open(directory, &MemoryBudget::split(8 << 20, 1 << 20)?)
    }

    fn check(prepare: impl FnOnce(&Path), expected: &str) {
        let directory = tempfile::tempdir().unwrap();
        drop(open(directory.path()).unwrap());
        prepare(directory.path());
        let error = open(directory.path()).err().expect("must be refused");
        assert!(error.is_rebuildable(), "{error}");
        let (text, path) = (error.to_string(), directory.path().display().to_string());
        assert!(text.contains(expected) && text.contains(&path), "{text}");
    }

    #[test]
    fn an_unknown_version_is_refused_untouched() {
        check(|directory| fs::write(directory.join("FORMAT"), "millstream-state 2\n").unwrap(), "has format");
        check(|directory| fs::remove_file(directory.join("FORMAT")).unwrap(), "\"none\"");
    }

    #[test]
    fn damage_says_that_the_changelog_can_rebuild() {
        check(
            |directory| fs::write(directory.join("rocksdb/CURRENT"), "MANIFEST-999999\n").unwrap(),
            "rebuilt from the changelog",
        );
        check(
            |directory| {
                for file in fs::read_dir(directory.join("rocksdb")).unwrap() {
                    let path = file.unwrap().path();
                    if path.to_string_lossy().contains("MANIFEST") {
                        fs::write(path, [0x5a; 300]).unwrap();
                    }
                }
            },
            "rebuilt from the changelog",
        );
    }

    #[test]
    fn a_directory_is_opened_once() {
        let directory = tempfile::tempdir().unwrap();
        let _first = open(directory.path()).unwrap();
        assert!(matches!(open(directory.path()), Err(StoreError::InUse { .. })));
    }
}
