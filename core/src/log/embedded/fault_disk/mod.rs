//! A disk in memory that fails on command: for tests of the log, of whole systems on it, and of other engines.
//!
//! It keeps apart what was written and what was synced. Names and bytes are separate, as on a real disk: a synced file in
//! a directory that was not synced is gone after a power cut. What becomes of unsynced work is chosen with [`Survival`].
//!
//! ```
//! use std::{path::Path, sync::Arc};
//! use millstream::log::{Log, embedded::{EmbeddedConfig, EmbeddedLog, fault_disk::{Fault, FaultDisk, Survival}}};
//!
//! let disk = FaultDisk::new();
//! let log = EmbeddedLog::open_on(Arc::clone(&disk) as _, Path::new("/data"), EmbeddedConfig::default())?;
//! disk.arm(Fault::PowerCut { at: disk.calls() + 1 });
//! assert!(log.producer("me").is_err());
//! drop(log);
//! disk.power_on(Survival::Synced);
//! let log = EmbeddedLog::open_on(disk, Path::new("/data"), EmbeddedConfig::default())?;
//! # Ok::<(), millstream::log::LogError>(())
//! ```
//!
//! [`FaultDisk::store`] writes what the disk holds into a real directory, [`FaultDisk::load`] reads one.

mod file;
mod medium;
mod survival;

pub use medium::Fault;
pub use survival::Survival;

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use self::{
    file::FaultFile,
    medium::{Inode, Medium, Node, Pending, not_found, power_is_off},
};
use super::disk::{Disk, DiskFile, Lock};

/// The disk. Share it with [`Arc`]; every log opened on it sees the same files.
#[derive(Default)]
pub struct FaultDisk(Arc<Mutex<Medium>>);

impl FaultDisk {
    /// An empty disk without faults.
    pub fn new() -> Arc<Self> {
        let disk = Self::default();
        disk.0.lock().names.insert(PathBuf::from("/"), Node::Directory);
        disk.0.lock().synced_names.insert(PathBuf::from("/"), Node::Directory);
        Arc::new(disk)
    }

    /// Calls that changed or synced something, so far.
    pub fn calls(&self) -> u64 {
        self.0.lock().calls
    }

    /// Sets what is to go wrong.
    pub fn arm(&self, fault: Fault) {
        self.0.lock().fault = fault;
    }

    /// Whether the power cut has happened.
    pub fn is_off(&self) -> bool {
        self.0.lock().is_off
    }

    /// Cuts the power (if it is not off) and turns it on again without faults. Files that are open are dead, locks are free.
    pub fn power_on(&self, survival: Survival) {
        let mut inner = self.0.lock();
        inner.survive(survival);
        inner.is_off = false;
        inner.fault = Fault::None;
        inner.locks.clear();
        inner.epoch += 1;
    }

    /// All files with their bytes as they are.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let inner = self.0.lock();
        let files = inner.names.iter().filter_map(|(path, node)| match node {
            Node::File(inode) => Some((path.clone(), inner.inodes[*inode].now.clone())),
            Node::Directory => None,
        });
        files.collect()
    }

    /// Puts a file in place, durably, with the directories above it: for damage, and for set-ups.
    pub fn put(&self, path: &Path, bytes: Vec<u8>) {
        let mut inner = self.0.lock();
        for directory in path.ancestors().skip(1) {
            inner.names.insert(directory.to_owned(), Node::Directory);
            inner.synced_names.insert(directory.to_owned(), Node::Directory);
        }
        let node = Node::File(inner.inodes.len());
        inner.inodes.push(Inode { now: bytes.clone(), synced: bytes, pending: Vec::new() });
        inner.names.insert(path.to_owned(), node);
        inner.synced_names.insert(path.to_owned(), node);
    }

    /// Takes a file away, durably.
    pub fn take_away(&self, path: &Path) {
        let mut inner = self.0.lock();
        inner.names.remove(path);
        inner.synced_names.remove(path);
    }

    /// A disk with the same files, all of them synced, and no faults.
    pub fn copy(&self) -> Arc<Self> {
        let copy = Self::new();
        let names: Vec<_> = self.0.lock().names.iter().map(|(path, node)| (path.clone(), *node)).collect();
        for (path, _) in names.into_iter().filter(|(_, node)| *node == Node::Directory) {
            let mut inner = copy.0.lock();
            inner.names.insert(path.clone(), Node::Directory);
            inner.synced_names.insert(path, Node::Directory);
        }
        for (path, bytes) in self.files() {
            copy.put(&path, bytes);
        }
        copy
    }

    /// Writes the files below `directory` of this disk into the real directory `to`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn store(&self, directory: &Path, to: &Path) -> io::Result<()> {
        for (path, bytes) in self.files() {
            let Ok(below) = path.strip_prefix(directory) else { continue };
            let target = to.join(below);
            if let Some(parent) = target.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(target, bytes)?;
        }
        Ok(())
    }

    /// A disk that holds the files of the real directory `from` below `directory`, all of them synced.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn load(from: &Path, directory: &Path) -> io::Result<Arc<Self>> {
        let disk = Self::new();
        let mut open = vec![from.to_owned()];
        while let Some(next) = open.pop() {
            for entry in std::fs::read_dir(next)? {
                let path = entry?.path();
                if path.is_dir() {
                    open.push(path);
                } else if let Ok(below) = path.strip_prefix(from) {
                    disk.put(&directory.join(below), std::fs::read(&path)?);
                }
            }
        }
        Ok(disk)
    }

    fn handle(&self, inner: &Medium, inode: usize) -> Arc<dyn DiskFile> {
        Arc::new(FaultFile { disk: Arc::clone(&self.0), inode, epoch: inner.epoch })
    }
}

impl Disk for FaultDisk {
    fn create_dir(&self, directory: &Path) -> io::Result<()> {
        let mut inner = self.0.lock();
        if inner.names.contains_key(directory) {
            return Ok(());
        }
        inner.call()?;
        for directory in directory.ancestors() {
            inner.names.insert(directory.to_owned(), Node::Directory);
        }
        Ok(())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        let inner = self.0.lock();
        if inner.names.get(directory) != Some(&Node::Directory) {
            return Err(not_found());
        }
        let children = inner.names.keys().filter(|path| path.parent() == Some(directory));
        Ok(children.filter_map(|path| path.file_name().map(ToOwned::to_owned)).collect())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let inner = self.0.lock();
        let inode = inner.file(path)?;
        Ok(self.handle(&inner, inode))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.0.lock();
        inner.call()?;
        inner.require_parent(path)?;
        let inode = match inner.file(path) {
            Ok(inode) => {
                inner.inodes[inode].now.clear();
                inner.inodes[inode].pending.push(Pending::Length(0));
                inode
            }
            Err(_) => {
                inner.inodes.push(Inode::default());
                inner.inodes.len() - 1
            }
        };
        inner.names.insert(path.to_owned(), Node::File(inode));
        Ok(self.handle(&inner, inode))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.call()?;
        inner.require_parent(to)?;
        let inode = inner.file(from)?;
        inner.names.remove(from);
        inner.names.insert(to.to_owned(), Node::File(inode));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.file(path)?;
        inner.call()?;
        inner.names.remove(path);
        Ok(())
    }

    fn remove_dir(&self, directory: &Path) -> io::Result<()> {
        let mut inner = self.0.lock();
        if !inner.names.contains_key(directory) {
            return Err(not_found());
        }
        inner.call()?;
        inner.names.retain(|path, _| !path.starts_with(directory));
        Ok(())
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.call()?;
        if !inner.names.contains_key(directory) {
            return Err(not_found());
        }
        let Medium { names, synced_names, .. } = &mut *inner;
        synced_names.retain(|path, _| path.parent() != Some(directory) || names.contains_key(path));
        for (path, node) in names.iter().filter(|(path, _)| path.parent() == Some(directory)) {
            synced_names.insert(path.clone(), *node);
        }
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        let mut inner = self.0.lock();
        if inner.is_off {
            return Err(power_is_off());
        }
        inner.require_parent(path)?;
        if !inner.locks.insert(path.to_owned()) {
            return Ok(Lock::TakenBy(format!("process {}", std::process::id())));
        }
        let epoch = inner.epoch;
        let held = Held { disk: Arc::clone(&self.0), path: path.to_owned(), epoch };
        Ok(Lock::Held(Box::new(held)))
    }
}

/// A lock that is free again when this is dropped, or the power goes.
struct Held {
    disk: Arc<Mutex<Medium>>,
    path: PathBuf,
    epoch: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut inner = self.disk.lock();
        if inner.epoch == self.epoch {
            inner.locks.remove(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survivors(survival: Survival) -> Vec<(String, Vec<u8>)> {
        let disk = FaultDisk::new();
        let path = |name: &str| Path::new("/d").join(name);
        disk.create_dir(Path::new("/d")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        let kept = disk.create(&path("kept")).unwrap();
        kept.write_at(0, b"synced").unwrap();
        kept.sync().unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        let nameless = disk.create(&path("nameless")).unwrap();
        nameless.write_at(0, b"bytes").unwrap();
        nameless.sync().unwrap();
        kept.write_at(6, b" not").unwrap();
        disk.arm(Fault::PowerCut { at: disk.calls() + 1 });
        assert!(kept.write_at(10, b" last").is_err() && kept.sync().is_err() && disk.is_off());
        disk.power_on(survival);
        assert!(kept.size().is_err(), "a file opened before the cut still works");
        disk.files().into_iter().map(|(path, bytes)| (path.display().to_string(), bytes)).collect()
    }

    #[test]
    fn a_power_cut_takes_unsynced_bytes_and_unsynced_names() {
        assert_eq!(survivors(Survival::Synced), [("/d/kept".to_owned(), b"synced".to_vec())]);
        let torn = survivors(Survival::Torn { bytes: 2 });
        assert_eq!(torn[0].1, b"synced not l");
        assert_eq!(torn[1].1, b"bytes");
        assert_eq!(survivors(Survival::Any { seed: 3 }), survivors(Survival::Any { seed: 3 }));
    }
}
