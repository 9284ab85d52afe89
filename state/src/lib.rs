//! State stores: a cache of the committed changelog in two tiers, memory and RocksDB.
//!
//! A [`Store`] maps key bytes to value bytes. It holds exactly what the first [`Position`] entries of a changelog left
//! behind; it knows neither topics nor columns. Committed changes go to the **hot tier**, hash tables in memory. The
//! **cold tier** is one RocksDB column family per store, written only at checkpoints and without a write-ahead log: the
//! changelog is the log, RocksDB is the checkpoint. After a crash a store is at the position of its last durable
//! checkpoint, and the caller replays the changelog from there.
//!
//! # Invariants
//! - Content and position never part: a checkpoint is one write batch into one column family, or one file of it, position included.
//! - The hot tier shadows the cold one: a key found in memory is never looked for on disk.
//! - All stores of a process share one RocksDB and one memory budget, [`StateConfig::memory_bytes`].
//! - The first failed write of RocksDB is the last: from then on every store of the backend refuses.
//!
//! # Map
//! - [`key`], `metadata`: bytes of window keys; the typed key space of a column family and its one metadata record
//! - `layer`, `layer_stack`, `hot_tier`: hash table over an arena; copy-on-write stack of them; one stack per window range
//! - `database`, `cold_tier`: RocksDB with its options and its failure latch; one column family of it
//! - [`Store`], [`StoreSnapshot`], [`Cursor`], [`Values`]: writing and reading a store; reading a fixed state of it
//! - [`StateBackend`], `pool`, `memory`: all stores of a process, the thread that writes their checkpoints, their shared budget
//!
//! # Limits
//! Keys and values up to 1 GiB each. A change below the bound of [`Store::expire_before`] is dropped and counted.
//!
//! # Example
//! ```
//! use millstream_state::{Change, Position, StateBackend, StateConfig, StoreKind};
//!
//! let directory = tempfile::tempdir()?;
//! let backend = StateBackend::open(StateConfig::new(directory.path(), 64 << 20))?;
//! let store = backend.open_store("totals", StoreKind::KeyValue)?;
//! store.apply([Change::put(b"ada", b"42"), Change::delete(b"bob")], Position { incarnation: 7, next: 2 })?;
//! let values = store.get_many([b"ada".as_slice(), b"bob"])?;
//! assert_eq!(values.get(0), Some(b"42".as_slice()));
//! assert_eq!(values.get(1), None);
//! store.checkpoint()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod key;

mod error;
mod metadata;
mod values;

mod hot_tier;
mod layer;
mod layer_stack;

mod cold_tier;
mod database;

mod cursor;
mod snapshot;
mod store;

mod backend;
mod memory;
mod pool;

#[cfg(test)]
mod model_tests;

pub use backend::{StateBackend, StateConfig};
pub use cursor::Cursor;
pub use error::StoreError;
pub use memory::MemoryUsage;
pub use metadata::{Position, StoreKind};
pub use snapshot::StoreSnapshot;
pub use store::{Change, Store, StoreMetrics};
pub use values::Values;
