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

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::buffer::Buffer;
use parking_lot::Mutex;

use super::disk::{Disk, DiskFile, Lock};

/// Bytes that a disk writes whole or not at all.
const SECTOR: usize = 512;

/// What is to go wrong. Calls are counted from 1; those that change something or sync count, reads do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// The call `at` and all after it fail, until the power is on again. If that call is a write, it is the last one that
    /// is under way, and [`Survival`] may keep a part of it.
    PowerCut {
        /// The call.
        at: u64,
    },
    /// The call `at` fails with this kind of error.
    Error {
        /// The call.
        at: u64,
        /// The error.
        kind: io::ErrorKind,
        /// Whether all calls after it fail too.
        sticky: bool,
    },
}

/// What is left after a power cut of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// Nothing.
    Synced,
    /// Everything, and this many bytes of the write that was under way.
    Torn {
        /// Bytes of the last write.
        bytes: usize,
    },
    /// Any part: each sector of each write and each name is kept or lost by a coin, the same for the same seed.
    Any {
        /// The seed of the coin.
        seed: u64,
    },
}

#[derive(Clone)]
enum Pending {
    Write { position: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Default)]
struct Inode {
    now: Vec<u8>,
    synced: Vec<u8>,
    pending: Vec<Pending>,
}

impl Pending {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Length(length) => to.resize(*length, 0),
            Self::Write { position, bytes } => {
                let end = position + bytes.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[*position..end].copy_from_slice(bytes);
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Node {
    Directory,
    File(usize),
}

#[derive(Default)]
struct Inner {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, Node>,
    synced_names: BTreeMap<PathBuf, Node>,
    locks: BTreeSet<PathBuf>,
    calls: u64,
    fault: Fault,
    is_off: bool,
    /// The write that was under way when the power went.
    last_write: Option<(usize, usize, Vec<u8>)>,
    /// Files opened before the last power cut are dead.
    epoch: u64,
}

/// The disk. Share it with [`Arc`]; every log opened on it sees the same files.
#[derive(Default)]
pub struct FaultDisk(Arc<Mutex<Inner>>);

/// A splitmix64 generator (Steele, Lea, Flood 2014): small, seeded, good enough for coins.
struct Coin(u64);

impl Coin {
    fn flip(&mut self) -> bool {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) & 1 == 1
    }
}

fn power_is_off() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the power is off")
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Inner {
    /// Counts a call, and fails it if its turn has come.
    fn call(&mut self) -> io::Result<()> {
        if self.is_off {
            return Err(power_is_off());
        }
        self.calls += 1;
        match self.fault {
            Fault::PowerCut { at } if self.calls >= at => {
                self.is_off = true;
                Err(power_is_off())
            }
            Fault::Error { at, kind, sticky } if self.calls == at || sticky && self.calls > at => {
                Err(io::Error::new(kind, "a fault was asked for"))
            }
            _ => Ok(()),
        }
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        match self.names.get(path) {
            Some(Node::File(inode)) => Ok(*inode),
            _ => Err(not_found()),
        }
    }

    fn require_parent(&self, path: &Path) -> io::Result<()> {
        match path.parent().and_then(|parent| self.names.get(parent)) {
            Some(Node::Directory) => Ok(()),
            _ => Err(not_found()),
        }
    }

    fn survive(&mut self, survival: Survival) {
        let mut coin = Coin(match survival {
            Survival::Any { seed } => seed,
            _ => 0,
        });
        if let Some((inode, position, bytes)) = self.last_write.take() {
            let kept = match survival {
                Survival::Synced => 0,
                Survival::Torn { bytes: kept } => kept.min(bytes.len()),
                Survival::Any { .. } => bytes.len(),
            };
            let write = Pending::Write { position, bytes: bytes[..kept].to_vec() };
            self.inodes[inode].pending.push(write);
        }
        for inode in &mut self.inodes {
            let mut left = std::mem::take(&mut inode.synced);
            for pending in std::mem::take(&mut inode.pending) {
                match (survival, &pending) {
                    (Survival::Synced, _) => {}
                    (Survival::Torn { .. }, _) => pending.apply(&mut left),
                    (Survival::Any { .. }, Pending::Length(_)) => {
                        if coin.flip() {
                            pending.apply(&mut left);
                        }
                    }
                    (Survival::Any { .. }, Pending::Write { position, bytes }) => {
                        let mut at = 0;
                        while at < bytes.len() {
                            let to = ((position + at + 1).next_multiple_of(SECTOR) - position).min(bytes.len());
                            if coin.flip() {
                                Pending::Write { position: position + at, bytes: bytes[at..to].to_vec() }
                                    .apply(&mut left);
                            }
                            at = to;
                        }
                    }
                }
            }
            inode.now.clone_from(&left);
            inode.synced = left;
        }
        let all: BTreeSet<PathBuf> = self.names.keys().chain(self.synced_names.keys()).cloned().collect();
        let mut left: BTreeMap<PathBuf, Node> = BTreeMap::new();
        for path in all {
            let (now, synced) = (self.names.get(&path).copied(), self.synced_names.get(&path).copied());
            let node = match survival {
                Survival::Synced => synced,
                Survival::Torn { .. } => now,
                Survival::Any { .. } if now != synced && coin.flip() => now,
                Survival::Any { .. } => synced,
            };
            // A name below a directory that is gone is gone with it; parents sort before their children.
            let is_reachable = path.parent().is_none_or(|parent| left.get(parent) == Some(&Node::Directory));
            if let Some(node) = node.filter(|_| is_reachable) {
                left.insert(path, node);
            }
        }
        self.synced_names.clone_from(&left);
        self.names = left;
    }
}

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

    fn handle(&self, inner: &Inner, inode: usize) -> Arc<dyn DiskFile> {
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
        let Inner { names, synced_names, .. } = &mut *inner;
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

struct Held {
    disk: Arc<Mutex<Inner>>,
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

struct FaultFile {
    disk: Arc<Mutex<Inner>>,
    inode: usize,
    epoch: u64,
}

impl FaultFile {
    fn inner(&self) -> io::Result<parking_lot::MutexGuard<'_, Inner>> {
        let inner = self.disk.lock();
        if inner.is_off || inner.epoch != self.epoch { Err(power_is_off()) } else { Ok(inner) }
    }
}

impl DiskFile for FaultFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.inner()?.inodes[self.inode].now.len() as u64)
    }

    fn view(&self, position: u64, length: usize) -> io::Result<Buffer> {
        let inner = self.inner()?;
        let bytes = &inner.inodes[self.inode].now;
        let start = position as usize;
        let end = start.checked_add(length).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.get(start..end).map(Buffer::from).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.inner()?;
        if let Err(error) = inner.call() {
            if inner.is_off {
                inner.last_write = Some((self.inode, position as usize, bytes.to_vec()));
            } else {
                // A failed write leaves half of it behind.
                let half = Pending::Write { position: position as usize, bytes: bytes[..bytes.len() / 2].to_vec() };
                half.apply(&mut inner.inodes[self.inode].now);
                inner.inodes[self.inode].pending.push(half);
            }
            return Err(error);
        }
        let write = Pending::Write { position: position as usize, bytes: bytes.to_vec() };
        write.apply(&mut inner.inodes[self.inode].now);
        inner.inodes[self.inode].pending.push(write);
        Ok(())
    }

    fn preallocate(&self, length: u64) -> io::Result<()> {
        let mut inner = self.inner()?;
        inner.call()?;
        let inode = &mut inner.inodes[self.inode];
        let length = inode.now.len().max(length as usize);
        inode.now.resize(length, 0);
        inode.pending.push(Pending::Length(length));
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let mut inner = self.inner()?;
        inner.call()?;
        let inode = &mut inner.inodes[self.inode];
        inode.now.resize(length as usize, 0);
        inode.pending.push(Pending::Length(length as usize));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.inner()?;
        if let Err(error) = inner.call() {
            // After a failed sync the system forgets what it did not write, as Linux does.
            if !inner.is_off {
                inner.inodes[self.inode].pending.clear();
            }
            return Err(error);
        }
        let inode = &mut inner.inodes[self.inode];
        inode.synced.clone_from(&inode.now);
        inode.pending.clear();
        Ok(())
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
