//! A disk whose errors say which file and what was tried, and which counts what it writes.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::buffer::Buffer;

use super::disk::{Disk, DiskFile};
use crate::log::LogError;

pub(super) fn failed(file: &Path, action: &'static str) -> impl FnOnce(io::Error) -> LogError {
    move |source| LogError::Io { file: file.to_owned(), action, source }
}

pub(super) fn corrupt(file: &Path, byte: u64, problem: impl Into<String>) -> LogError {
    LogError::Corrupt { file: file.to_owned(), byte, problem: problem.into() }
}

/// Whether an operation failed because a file is not there.
pub(super) fn is_not_found(error: &LogError) -> bool {
    matches!(error, LogError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

/// Whether an operation failed for want of space.
pub(super) fn is_full(error: &LogError) -> bool {
    matches!(error, LogError::Io { source, .. } if is_full_kind(source.kind()))
}

fn is_full_kind(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The disk under one data directory.
pub(super) struct Storage {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) written: AtomicU64,
    pub(super) syncs: AtomicU64,
}

impl Storage {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Arc<Self> {
        Arc::new(Self { disk, written: AtomicU64::new(0), syncs: AtomicU64::new(0) })
    }

    pub(super) fn open(self: &Arc<Self>, path: &Path) -> Result<LogFile, LogError> {
        let file = self.disk.open(path).map_err(failed(path, "open"))?;
        Ok(LogFile { path: path.into(), file, storage: Arc::clone(self) })
    }

    pub(super) fn create(self: &Arc<Self>, path: &Path) -> Result<LogFile, LogError> {
        let file = self.disk.create(path).map_err(failed(path, "create"))?;
        Ok(LogFile { path: path.into(), file, storage: Arc::clone(self) })
    }

    pub(super) fn create_dir(&self, directory: &Path) -> Result<(), LogError> {
        self.disk.create_dir(directory).map_err(failed(directory, "create"))
    }

    /// The names in a directory that are text; none if it is not there. Other names are none of ours.
    pub(super) fn list(&self, directory: &Path) -> Result<Vec<String>, LogError> {
        match self.disk.list(directory) {
            Ok(names) => Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(failed(directory, "list")(error)),
        }
    }

    pub(super) fn remove_file(&self, path: &Path) -> Result<(), LogError> {
        self.disk.remove_file(path).map_err(failed(path, "remove"))
    }

    pub(super) fn remove_dir(&self, directory: &Path) -> Result<(), LogError> {
        self.disk.remove_dir(directory).map_err(failed(directory, "remove"))
    }

    pub(super) fn sync_dir(&self, directory: &Path) -> Result<(), LogError> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.disk.sync_dir(directory).map_err(failed(directory, "sync"))
    }

    pub(super) fn read(self: &Arc<Self>, path: &Path) -> Result<Buffer, LogError> {
        let file = self.open(path)?;
        file.view(0, file.size()? as usize)
    }

    /// Puts a small file in place whole or not at all, durably. A full disk is reported as such only while nothing can
    /// have taken the place of the file: afterwards it is an error like any other.
    pub(super) fn replace(self: &Arc<Self>, directory: &Path, name: &str, bytes: &[u8]) -> Result<(), LogError> {
        let temporary = directory.join(format!("{name}.tmp"));
        let written = self.create(&temporary).and_then(|file| {
            file.write_at(0, bytes)?;
            file.sync()
        });
        if let Err(error) = written {
            // What is left behind is removed when the log is opened, if not now.
            self.disk.remove_file(&temporary).ok();
            return Err(error);
        }
        let path = directory.join(name);
        let placed = self.disk.rename(&temporary, &path).map_err(failed(&path, "put in place"));
        placed.and_then(|()| self.sync_dir(directory)).map_err(|error| match error {
            LogError::Io { file, action, source } if is_full_kind(source.kind()) => {
                LogError::Io { file, action, source: io::Error::other(source) }
            }
            error => error,
        })
    }
}

/// An open file with its path.
#[derive(Clone)]
pub(super) struct LogFile {
    pub(super) path: Arc<Path>,
    file: Arc<dyn DiskFile>,
    storage: Arc<Storage>,
}

impl LogFile {
    pub(super) fn size(&self) -> Result<u64, LogError> {
        self.file.size().map_err(failed(&self.path, "measure"))
    }

    pub(super) fn view(&self, position: u64, length: usize) -> Result<Buffer, LogError> {
        self.file.view(position, length).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => corrupt(&self.path, position, "the file ends too early"),
            _ => failed(&self.path, "read")(error),
        })
    }

    pub(super) fn write_at(&self, position: u64, bytes: &[u8]) -> Result<(), LogError> {
        self.storage.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.file.write_at(position, bytes).map_err(failed(&self.path, "write"))
    }

    pub(super) fn preallocate(&self, length: u64) -> Result<(), LogError> {
        self.file.preallocate(length).map_err(failed(&self.path, "reserve space for"))
    }

    pub(super) fn truncate(&self, length: u64) -> Result<(), LogError> {
        self.file.truncate(length).map_err(failed(&self.path, "cut"))
    }

    pub(super) fn sync(&self) -> Result<(), LogError> {
        self.storage.syncs.fetch_add(1, Ordering::Relaxed);
        self.file.sync().map_err(failed(&self.path, "sync"))
    }

    pub(super) fn into_path(self) -> PathBuf {
        self.path.to_path_buf()
    }
}
