//! What a disk holds: inodes and names, each as they are and as they were synced, and which call is to fail.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

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

/// What was done to an inode and is not synced.
#[derive(Clone)]
pub(super) enum Pending {
    Write { position: usize, bytes: Vec<u8> },
    Length(usize),
}

/// The bytes of a file.
#[derive(Default)]
pub(super) struct Inode {
    pub(super) now: Vec<u8>,
    pub(super) synced: Vec<u8>,
    pub(super) pending: Vec<Pending>,
}

impl Pending {
    pub(super) fn apply(&self, to: &mut Vec<u8>) {
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

/// What a name stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Directory,
    File(usize),
}

/// The state of a disk.
#[derive(Default)]
pub(super) struct Medium {
    pub(super) inodes: Vec<Inode>,
    pub(super) names: BTreeMap<PathBuf, Node>,
    pub(super) synced_names: BTreeMap<PathBuf, Node>,
    pub(super) locks: BTreeSet<PathBuf>,
    pub(super) calls: u64,
    pub(super) fault: Fault,
    pub(super) is_off: bool,
    /// The write that was under way when the power went.
    pub(super) last_write: Option<(usize, usize, Vec<u8>)>,
    /// Files opened before the last power cut are dead.
    pub(super) epoch: u64,
}

pub(super) fn power_is_off() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the power is off")
}

pub(super) fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Medium {
    /// Counts a call, and fails it if its turn has come.
    pub(super) fn call(&mut self) -> io::Result<()> {
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

    pub(super) fn file(&self, path: &Path) -> io::Result<usize> {
        match self.names.get(path) {
            Some(Node::File(inode)) => Ok(*inode),
            _ => Err(not_found()),
        }
    }

    pub(super) fn require_parent(&self, path: &Path) -> io::Result<()> {
        match path.parent().and_then(|parent| self.names.get(parent)) {
            Some(Node::Directory) => Ok(()),
            _ => Err(not_found()),
        }
    }
}
