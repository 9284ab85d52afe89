//! The buffer of a suppression: the newest change of each key, in the order of time and key.
//!
//! ```text
//! store     time (8, ordered) | key row   ->   flags (1) | length (4) | row before the first change | newest row
//! memory    which keys wait since when, and how many bytes each takes
//! ```
//! A key that waits keeps its place whatever else becomes of it, and what was there before the first change that is held back: the row that was
//! passed on last. Rows themselves are read when they leave.
//!
//! Invariant: what is in memory is what is in the store; after a restart it is read from there.

use std::collections::BTreeSet;

use hashbrown::HashMap;
use millstream_state::key::{START_BYTES, split_window_key, window_key};

use super::{FoldError, TaskStore};
use crate::record::Timestamp;

const HAS_VALUE: u8 = 1;
const HAS_PRIOR: u8 = 2;
/// Flags and the length of the row before.
const HEAD: usize = 5;

/// What waits of one key: its newest row, which may be a tombstone, and the row that was passed on last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) has_value: bool,
    pub(super) prior: Option<Vec<u8>>,
    pub(super) row: Vec<u8>,
}

impl Held {
    fn to_bytes(&self) -> Result<Vec<u8>, FoldError> {
        let prior = self.prior.as_deref().unwrap_or_default();
        let flags = if self.has_value { HAS_VALUE } else { 0 } | if self.prior.is_some() { HAS_PRIOR } else { 0 };
        let mut bytes = Vec::with_capacity(HEAD + prior.len() + self.row.len());
        bytes.push(flags);
        bytes.extend_from_slice(&u32::try_from(prior.len()).map_err(FoldError::of)?.to_le_bytes());
        bytes.extend_from_slice(prior);
        bytes.extend_from_slice(&self.row);
        Ok(bytes)
    }

    fn of_bytes(bytes: &[u8]) -> Result<Self, FoldError> {
        let damaged = || FoldError::of("a change that was held back is damaged; delete the state to rebuild it");
        let (&flags, rest) = bytes.split_first().ok_or_else(damaged)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        let (prior, row) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(damaged)?;
        let prior = (flags & HAS_PRIOR != 0).then(|| prior.to_vec());
        Ok(Self { has_value: flags & HAS_VALUE != 0, prior, row: row.to_vec() })
    }

    /// Bytes that it takes in a buffer.
    fn size(&self) -> usize {
        self.prior.as_ref().map_or(0, Vec::len) + self.row.len()
    }
}

/// A key that leaves the buffer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Evicted {
    pub(super) key: Vec<u8>,
    pub(super) held: Held,
}

/// A key that waits.
#[derive(Debug, Clone, Copy)]
struct Slot {
    time: i64,
    size: usize,
    /// Whether the store has it.
    is_stored: bool,
}

/// A key that leaves with this batch.
struct Leaving {
    time: i64,
    key: Box<[u8]>,
    is_stored: bool,
    /// Its row, unless that must be read.
    held: Option<Held>,
}

/// The changes that are held back, and what a batch does to them until it is [finished](Self::finish).
#[derive(Default)]
pub(super) struct SuppressBuffer {
    is_loaded: bool,
    order: BTreeSet<(i64, Box<[u8]>)>,
    slots: HashMap<Box<[u8]>, Slot>,
    bytes: usize,
    /// Rows that came with this batch and still wait.
    fresh: HashMap<Box<[u8]>, Held>,
    /// Rows of keys of this batch that waited before it.
    read: HashMap<Box<[u8]>, Held>,
    leaving: Vec<Leaving>,
}

impl SuppressBuffer {
    /// How many keys wait.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// How many bytes they take: of each 8 for its time, its key, its newest row and the row that was passed on last.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The time of the key that is to leave first.
    pub(super) fn first_time(&self) -> Option<i64> {
        self.order.first().map(|(time, _)| *time)
    }

    /// Reads which keys wait, if that is not known, and the rows of those among `keys` that do.
    pub(super) fn prepare(&mut self, keys: &[&[u8]], store: &mut TaskStore) -> Result<(), FoldError> {
        if !self.is_loaded {
            self.load(store)?;
        }
        let mut waiting: Vec<&[u8]> = keys.iter().copied().filter(|key| self.slots.contains_key(*key)).collect();
        waiting.sort_unstable();
        waiting.dedup();
        let names: Vec<Vec<u8>> = waiting.iter().map(|key| name_of(self.slots[*key].time, key)).collect();
        for (key, held) in waiting.iter().zip(read(&names, store)?) {
            self.read.insert((*key).into(), held);
        }
        Ok(())
    }

    fn load(&mut self, store: &mut TaskStore) -> Result<(), FoldError> {
        let mut damaged = None;
        let mut each = |name: &[u8], value: &[u8]| {
            match (split_window_key(name), Held::of_bytes(value)) {
                (Some((time, key)), Ok(held)) => {
                    let slot = Slot { time, size: size_of(key, &held), is_stored: true };
                    self.bytes += slot.size;
                    self.order.insert((time, key.into()));
                    self.slots.insert(key.into(), slot);
                }
                (_, Err(error)) => damaged = Some(error),
                (None, Ok(_)) => damaged = Some(FoldError::of("a key that was held back has no time")),
            }
            damaged.is_none()
        };
        store.range(&[], None, &mut each).map_err(FoldError::of)?;
        self.is_loaded = true;
        damaged.map_or(Ok(()), Err)
    }

    /// Holds a row back: from `time` on if its key does not wait yet, in which case `held` says what was passed on last.
    pub(super) fn put(&mut self, time: i64, key: &[u8], mut held: Held) {
        if let Some(slot) = self.slots.get_mut(key) {
            let earlier = self.fresh.get_mut(key).map(|held| held.prior.take());
            held.prior = earlier.unwrap_or_else(|| self.read.get(key).and_then(|held| held.prior.clone()));
            let size = size_of(key, &held);
            self.bytes = self.bytes - slot.size + size;
            slot.size = size;
        } else {
            let size = size_of(key, &held);
            self.slots.insert(key.into(), Slot { time, size, is_stored: false });
            self.order.insert((time, key.into()));
            self.bytes += size;
        }
        self.fresh.insert(key.into(), held);
    }

    /// Lets the key that is to leave first go.
    pub(super) fn evict(&mut self) {
        let Some((time, key)) = self.order.pop_first() else { return };
        let slot = self.slots.remove(&key);
        self.bytes -= slot.map_or(0, |slot| slot.size);
        let held = self.fresh.remove(&key).or_else(|| self.read.remove(&key));
        let is_stored = slot.is_some_and(|slot| slot.is_stored);
        self.leaving.push(Leaving { time, key, is_stored, held });
    }

    /// Writes what the batch has changed; gives what leaves, in order.
    pub(super) fn finish(&mut self, moment: Timestamp, store: &mut TaskStore) -> Result<Vec<Evicted>, FoldError> {
        let leaving = std::mem::take(&mut self.leaving);
        let unread = leaving.iter().filter(|one| one.held.is_none()).map(|one| name_of(one.time, &one.key));
        let mut rows = read(&unread.collect::<Vec<_>>(), store)?.into_iter();
        let mut evicted = Vec::with_capacity(leaving.len());
        for Leaving { time, key, is_stored, held } in leaving {
            if is_stored {
                store.put(&name_of(time, &key), None, moment);
            }
            let held = held.or_else(|| rows.next()).ok_or_else(|| FoldError::of("a row that left was not read"))?;
            evicted.push(Evicted { key: key.into_vec(), held });
        }
        self.read.clear();
        let slots = &mut self.slots;
        let named = self.fresh.drain().filter_map(|(key, held)| {
            let slot = slots.get_mut(&key)?;
            slot.is_stored = true;
            Some((name_of(slot.time, &key), held))
        });
        let mut named: Vec<(Vec<u8>, Held)> = named.collect();
        named.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (name, held) in named {
            store.put(&name, Some(&held.to_bytes()?), moment);
        }
        Ok(evicted)
    }
}

fn name_of(time: i64, key: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(START_BYTES + key.len());
    window_key(time, key, &mut name);
    name
}

fn size_of(key: &[u8], held: &Held) -> usize {
    START_BYTES + key.len() + held.size()
}

/// What waits under these names; all of it does.
fn read(names: &[Vec<u8>], store: &mut TaskStore) -> Result<Vec<Held>, FoldError> {
    let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
    let mut found: Vec<Option<Vec<u8>>> = vec![None; names.len()];
    store.get_many(&names, &mut |place, value| found[place] = value.map(<[u8]>::to_vec)).map_err(FoldError::of)?;
    let held = |value: Option<Vec<u8>>| match value {
        Some(value) => Held::of_bytes(&value),
        None => Err(FoldError::of("a row that is held back is not in the store")),
    };
    found.into_iter().map(held).collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::{MemoryStore, StoreRetention},
        *,
    };

    fn held(row: &str, prior: Option<&str>) -> Held {
        let prior = prior.map(|prior| prior.as_bytes().to_vec());
        Held { has_value: !row.is_empty(), prior, row: row.as_bytes().to_vec() }
    }

    fn text(evicted: &[Evicted]) -> Vec<String> {
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let prior = |held: &Held| held.prior.as_deref().map_or("-".to_owned(), lossy);
        evicted.iter().map(|one| format!("{}={}/{}", lossy(&one.key), lossy(&one.held.row), prior(&one.held))).collect()
    }

    #[test]
    fn keys_keep_their_place_and_what_was_passed_on_last() {
        let mut store = TaskStore::new(Box::new(MemoryStore::default()), StoreRetention::Forever);
        let mut buffer = SuppressBuffer::default();
        buffer.prepare(&[b"b", b"a"], &mut store).expect("reads");
        buffer.put(5, b"b", held("1", Some("0")));
        buffer.put(5, b"a", held("2", None));
        buffer.put(9, b"b", held("33", Some("1")));
        assert_eq!((buffer.len(), buffer.bytes(), buffer.first_time()), (2, 2 * 9 + 3 + 1, Some(5)));
        assert_eq!(text(&buffer.finish(Timestamp(9), &mut store).expect("writes")), [""; 0]);
        let changes = store.changes();
        store.apply(&changes, 1, 1).expect("memory does not fail");

        // Another life: what waits is read back, and the place of `b` is after `a`, by the first time.
        let mut buffer = SuppressBuffer::default();
        buffer.prepare(&[b"b"], &mut store).expect("reads");
        assert_eq!((buffer.len(), buffer.bytes()), (2, 2 * 9 + 3 + 1));
        buffer.put(20, b"b", held("", Some("33")));
        buffer.evict();
        buffer.evict();
        buffer.put(21, b"b", held("4", None));
        buffer.evict();
        assert_eq!(text(&buffer.finish(Timestamp(21), &mut store).expect("writes")), ["a=2/-", "b=/0", "b=4/-"]);
        assert_eq!((buffer.len(), buffer.bytes()), (0, 0));
        let changes = store.changes();
        store.apply(&changes, 1, 2).expect("memory does not fail");
        let mut left = 0;
        let mut count = |_: &[u8], _: &[u8]| {
            left += 1;
            true
        };
        store.range(&[], None, &mut count).expect("reads");
        assert_eq!(left, 0);
    }

    #[test]
    fn what_is_held_survives_its_bytes() {
        for held in [held("row", Some("prior")), held("", None), held("x", Some("")), held("", Some("y"))] {
            assert_eq!(Held::of_bytes(&held.to_bytes().expect("short")).expect("whole"), held);
        }
        assert!(Held::of_bytes(&[]).is_err() && Held::of_bytes(&[2, 9, 0, 0, 0, 1]).is_err());
    }
}
