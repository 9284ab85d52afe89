//! Errors of the state stores: where, what happened, what to do.
//!
//! [`StoreError::is_rebuildable`] tells the caller whether throwing the directory away and replaying the changelog cures
//! the trouble. This crate never throws anything away by itself.

use std::path::PathBuf;

use crate::metadata::{Position, StoreKind};

/// What went wrong with the state directory or one of its stores.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The configuration cannot work.
    #[error("state configuration: {setting} is {value}; it must be at least {least}")]
    InvalidConfig {
        /// The field's name.
        setting: &'static str,
        /// What was given.
        value: usize,
        /// The smallest value that works.
        least: usize,
    },
    /// The file system refused an operation on the state directory.
    #[error("state directory {directory}: cannot {action}: {source}; check that it exists, is writable and has space", directory = .directory.display())]
    Io {
        /// The state directory.
        directory: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The file system's answer.
        #[source]
        source: std::io::Error,
    },
    /// Another process, or this one, has the directory open.
    #[error("state directory {directory} is in use ({detail}); stop the other process or choose another directory", directory = .directory.display())]
    InUse {
        /// The state directory.
        directory: PathBuf,
        /// RocksDB's message.
        detail: String,
    },
    /// The directory was written by a version that this one does not know, or is not a state directory. Nothing was
    /// touched.
    #[error(
        "state directory {directory} has format {found:?}, this version reads {known:?}; use the version that wrote it, \
         or remove the directory and let the state be rebuilt from the changelog",
        directory = .directory.display()
    )]
    UnknownFormat {
        /// The state directory.
        directory: PathBuf,
        /// The stamp that was found.
        found: String,
        /// The stamp that this version writes.
        known: &'static str,
    },
    /// The files are damaged.
    #[error(
        "state directory {directory} is damaged: {detail}; its content can be rebuilt from the changelog: remove the \
         directory and restore",
        directory = .directory.display()
    )]
    Corrupt {
        /// The state directory.
        directory: PathBuf,
        /// What was found.
        detail: String,
    },
    /// RocksDB refused an operation for another reason.
    #[error("state directory {directory}: RocksDB cannot {action}: {source}; every store in it now refuses, restart to restore from the last checkpoint", directory = .directory.display())]
    Storage {
        /// The state directory.
        directory: PathBuf,
        /// What was tried.
        action: &'static str,
        /// RocksDB's answer.
        #[source]
        source: rocksdb::Error,
    },
    /// An earlier write failed, so that nothing more is read or written.
    #[error("state directory {directory} refuses since an earlier failure ({detail}); restart to restore from the last checkpoint", directory = .directory.display())]
    Failed {
        /// The state directory.
        directory: PathBuf,
        /// The first failure.
        detail: String,
    },
    /// The store exists with another kind.
    #[error("store {store} is a {stored} store and was opened as a {wanted} store; open it as it is or drop it first")]
    KindMismatch {
        /// The store.
        store: String,
        /// The kind on disk.
        stored: StoreKind,
        /// The kind that was asked for.
        wanted: StoreKind,
    },
    /// A store name that cannot be used.
    #[error("store name {store:?} is not usable: {reason}")]
    InvalidName {
        /// The name.
        store: String,
        /// Why.
        reason: &'static str,
    },
    /// No store of that name.
    #[error("no store {store} in state directory {directory}; it has {known:?}", directory = .directory.display())]
    UnknownStore {
        /// The name.
        store: String,
        /// The state directory.
        directory: PathBuf,
        /// The names that exist.
        known: Vec<String>,
    },
    /// The store was dropped while a handle or snapshot of it was still in use.
    #[error("store {store} was dropped; open it again")]
    StoreDropped {
        /// The store.
        store: String,
    },
    /// A change with a key or value of an impossible size. The changes before it are applied, so the store refuses until
    /// it is reset.
    #[error("store {store}: {what} of {length} bytes, allowed are {least} to {most}")]
    InvalidLength {
        /// The store.
        store: String,
        /// Key or value.
        what: &'static str,
        /// Its length.
        length: usize,
        /// The shortest allowed.
        least: usize,
        /// The longest allowed.
        most: usize,
    },
    /// The content is between two positions after a refused change.
    #[error("store {store} holds half of a refused batch; reset it and restore it from the changelog")]
    HalfApplied {
        /// The store.
        store: String,
    },
    /// Changes of an older position, or of another incarnation of the changelog, than the store already holds.
    #[error("store {store} is at {current}, changes for {given} do not continue it; reset the store to start over")]
    PositionMismatch {
        /// The store.
        store: String,
        /// What the store holds.
        current: Position,
        /// What was given.
        given: Position,
    },
}

impl StoreError {
    /// True if removing the directory and restoring from the changelog cures the trouble.
    pub fn is_rebuildable(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::UnknownFormat { .. } | Self::HalfApplied { .. })
    }
}
