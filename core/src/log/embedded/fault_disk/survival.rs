//! What a power cut leaves of what was not synced.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use super::medium::{Inode, Medium, Node, Pending};

/// Bytes that a disk writes whole or not at all.
const SECTOR: usize = 512;

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

impl Medium {
    /// Takes away what the cut takes.
    pub(super) fn survive(&mut self, survival: Survival) {
        let mut coin = Coin(match survival {
            Survival::Any { seed } => seed,
            _ => 0,
        });
        self.keep_last_write(survival);
        for inode in &mut self.inodes {
            inode.survive(survival, &mut coin);
        }
        self.keep_names(survival, &mut coin);
    }

    /// The write that was under way becomes one that was not synced, as far as it came.
    fn keep_last_write(&mut self, survival: Survival) {
        let Some((inode, position, bytes)) = self.last_write.take() else { return };
        let kept = match survival {
            Survival::Synced => 0,
            Survival::Torn { bytes: kept } => kept.min(bytes.len()),
            Survival::Any { .. } => bytes.len(),
        };
        let write = Pending::Write { position, bytes: bytes[..kept].to_vec() };
        self.inodes[inode].pending.push(write);
    }

    fn keep_names(&mut self, survival: Survival, coin: &mut Coin) {
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

impl Inode {
    fn survive(&mut self, survival: Survival, coin: &mut Coin) {
        let mut left = std::mem::take(&mut self.synced);
        for pending in std::mem::take(&mut self.pending) {
            match (survival, &pending) {
                (Survival::Synced, _) => {}
                (Survival::Torn { .. }, _) => pending.apply(&mut left),
                (Survival::Any { .. }, Pending::Length(_)) => {
                    if coin.flip() {
                        pending.apply(&mut left);
                    }
                }
                (Survival::Any { .. }, Pending::Write { position, bytes }) => {
                    keep_sectors(*position, bytes, coin, &mut left);
                }
            }
        }
        self.now.clone_from(&left);
        self.synced = left;
    }
}

/// Applies those sectors of a write that the coin keeps.
fn keep_sectors(position: usize, bytes: &[u8], coin: &mut Coin, left: &mut Vec<u8>) {
    let mut at = 0;
    while at < bytes.len() {
        let to = ((position + at + 1).next_multiple_of(SECTOR) - position).min(bytes.len());
        if coin.flip() {
            Pending::Write { position: position + at, bytes: bytes[at..to].to_vec() }.apply(left);
        }
        at = to;
    }
}
