//! A task's view of a state store: what is committed, and over it what this commit interval has written.
//!
//! Invariants: the committed store changes only after the transaction that holds the same changes was committed, so a crash at
//! any moment leaves a store that is some earlier point of its changelog. What was written and not committed lives here
//! and dies with the task.

use std::{hash::BuildHasher, sync::Arc};

use arrow::{
    array::{BinaryBuilder, Int64Array},
    datatypes::FieldRef,
};
use hashbrown::HashTable;

use super::{fold::StateLayout, memory_rows::MemoryRows, store_options::StoreOptions};
use crate::{
    record::{Records, TimeSpan, Timestamp},
    window::TimeWindows,
};

/// What a store is called and holds: known when the topology is built.
#[derive(Clone)]
pub struct StoreSpec {
    /// Its name, unique in the topology; a view of that name can be queried.
    pub name: String,
    /// The key columns, without window bounds.
    pub key: Vec<FieldRef>,
    /// How long rows are kept.
    pub retention: StoreRetention,
    /// The columns of a stored row and what is read from them.
    pub layout: Arc<dyn StateLayout>,
    /// Where it is kept.
    pub options: StoreOptions,
}

/// How long a store keeps its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreRetention {
    /// One row a key, until it is deleted.
    Forever,
    /// One row a key and window, under the window's number, until the window's start lies `retention` behind the newest update.
    Windows {
        /// Which windows.
        windows: TimeWindows,
        /// How long a window is kept, from its start.
        retention: TimeSpan,
    },
    /// One row a key and stretch of time `span`: the sessions of the key that end in it, until the stretch's start lies `retention` behind
    /// the newest update.
    Sessions {
        /// The length of a stretch.
        span: TimeSpan,
        /// How long a stretch is kept, from its start.
        retention: TimeSpan,
    },
}

impl StoreRetention {
    /// Whether rows are kept by the windows of their keys.
    pub fn is_windowed(&self) -> bool {
        self.retention().is_some()
    }

    /// How long rows are kept, from the time in front of their stored keys; `None` if for ever.
    pub fn retention(&self) -> Option<TimeSpan> {
        match self {
            Self::Forever => None,
            Self::Windows { retention, .. } | Self::Sessions { retention, .. } => Some(*retention),
        }
    }

    /// The least number in front of a stored key that is not expired at a stream time; `None` if rows are kept for ever.
    fn first_kept(&self, newest: Timestamp) -> Option<i64> {
        let bound = newest.minus(self.retention()?);
        Some(match self {
            Self::Windows { windows, .. } => windows.first_from(bound),
            Self::Forever | Self::Sessions { .. } => bound.millis(),
        })
    }
}

/// Is given the key and value of a row; says whether it wants more.
pub type RangeVisitor<'a> = dyn FnMut(&[u8], &[u8]) -> bool + 'a;

/// The committed rows of a store on one partition.
///
/// # Contract
/// Reads see whole commits only. A change is seen by the next read of the same task.
pub trait CommittedStore: Send {
    /// Gives each key's row, in the order of the keys.
    ///
    /// # Errors
    /// A text that says which store failed and why.
    fn get_many(&self, keys: &[&[u8]], each: &mut dyn FnMut(usize, Option<&[u8]>)) -> Result<(), String>;

    /// Gives the rows with keys from `from` to before `to` (none: to the end), in the order of keys, until `each` gives `false`.
    ///
    /// # Errors
    /// As [`get_many`](Self::get_many).
    fn range(&self, from: &[u8], to: Option<&[u8]>, each: &mut RangeVisitor<'_>) -> Result<(), String>;

    /// Takes the changes of a commit, which ends at offset `next` of changelog `incarnation`.
    ///
    /// # Errors
    /// As [`get_many`](Self::get_many).
    fn apply(&mut self, changes: &Records, incarnation: u128, next: u64) -> Result<(), String>;

    /// Removes the windows that start before `start`.
    ///
    /// # Errors
    /// As [`get_many`](Self::get_many).
    fn expire_before(&mut self, start: Timestamp) -> Result<(), String>;

    /// Up to where of which changelog incarnation the content goes; `None` for an empty store.
    fn position(&self) -> Option<(u128, u64)>;

    /// Forgets everything.
    ///
    /// # Errors
    /// As [`get_many`](Self::get_many).
    fn reset(&mut self) -> Result<(), String>;
}

/// A committed store in memory, for tests and tools that need no disk.
#[derive(Debug, Default)]
pub struct MemoryStore {
    rows: Arc<parking_lot::RwLock<MemoryRows>>,
    position: Option<(u128, u64)>,
}

impl MemoryStore {
    /// A handle to the rows, which sees every later change.
    pub fn rows(&self) -> Arc<parking_lot::RwLock<MemoryRows>> {
        Arc::clone(&self.rows)
    }
}

impl CommittedStore for MemoryStore {
    fn get_many(&self, keys: &[&[u8]], each: &mut dyn FnMut(usize, Option<&[u8]>)) -> Result<(), String> {
        let rows = self.rows.read();
        for (index, key) in keys.iter().enumerate() {
            each(index, rows.get(key));
        }
        Ok(())
    }

    fn range(&self, from: &[u8], to: Option<&[u8]>, each: &mut RangeVisitor<'_>) -> Result<(), String> {
        let rows = self.rows.read().clone();
        for (key, value) in rows.range(from, to) {
            if !each(key, value) {
                break;
            }
        }
        Ok(())
    }

    fn apply(&mut self, changes: &Records, incarnation: u128, next: u64) -> Result<(), String> {
        let mut rows = self.rows.write();
        for change in changes.iter() {
            let Some(key) = change.key else { continue };
            match change.value {
                Some(value) => rows.insert(key, value),
                None => rows.remove(key),
            }
        }
        self.position = Some((incarnation, next));
        Ok(())
    }

    fn expire_before(&mut self, start: Timestamp) -> Result<(), String> {
        let mut bound = Vec::new();
        millstream_state::key::window_key(start.millis(), &[], &mut bound);
        self.rows.write().remove_below(&bound);
        Ok(())
    }

    fn position(&self) -> Option<(u128, u64)> {
        self.position
    }

    fn reset(&mut self) -> Result<(), String> {
        self.rows.write().clear();
        self.position = None;
        Ok(())
    }
}

/// A row written and not yet committed: where its bytes lie in the arena.
struct Pending {
    key: (usize, usize),
    value: Option<(usize, usize)>,
    time: i64,
}

/// A store as a task reads and writes it.
pub struct TaskStore {
    committed: Box<dyn CommittedStore>,
    retention: StoreRetention,
    /// Changes handed over whole: each key once, and no key of `pending`.
    batch: Option<Records>,
    pending: Vec<Pending>,
    index: HashTable<usize>,
    arena: Vec<u8>,
    hasher: foldhash::fast::RandomState,
    /// The newest update seen: decides what expires. Comes back by itself, from the changelog.
    newest: Timestamp,
}

impl TaskStore {
    /// A store over what is committed.
    pub fn new(committed: Box<dyn CommittedStore>, retention: StoreRetention) -> Self {
        Self {
            committed,
            retention,
            batch: None,
            pending: Vec::new(),
            index: HashTable::new(),
            arena: Vec::new(),
            hasher: foldhash::fast::RandomState::default(),
            newest: Timestamp::NONE,
        }
    }

    fn find(&self, key: &[u8]) -> Option<usize> {
        let hash = self.hasher.hash_one(key);
        let same = |&entry: &usize| self.bytes(self.pending[entry].key) == key;
        self.index.find(hash, same).copied()
    }

    fn bytes(&self, (start, end): (usize, usize)) -> &[u8] {
        &self.arena[start..end]
    }

    fn keep(&mut self, bytes: &[u8]) -> (usize, usize) {
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        (start, self.arena.len())
    }

    /// Gives each key's row as this task sees it, in no particular order.
    ///
    /// # Errors
    /// Those of the committed store.
    pub fn get_many(&mut self, keys: &[&[u8]], each: &mut dyn FnMut(usize, Option<&[u8]>)) -> Result<(), String> {
        self.spread_batch();
        if self.pending.is_empty() {
            return self.committed.get_many(keys, each);
        }
        let mut missing = Vec::with_capacity(keys.len());
        let mut missing_keys = Vec::with_capacity(keys.len());
        for (position, key) in keys.iter().enumerate() {
            match self.find(key) {
                Some(entry) => each(position, self.pending[entry].value.map(|value| self.bytes(value))),
                None => {
                    missing.push(position);
                    missing_keys.push(*key);
                }
            }
        }
        self.committed.get_many(&missing_keys, &mut |index, value| each(missing[index], value))
    }

    /// Gives the rows with keys from `from` to before `to` (none: to the end) as this task sees them, in the order of keys, until `each`
    /// gives `false`.
    ///
    /// Cost: what this commit interval has written is looked through and what lies in the range is sorted; what is committed is
    /// streamed.
    ///
    /// # Errors
    /// Those of the committed store.
    pub fn range(&mut self, from: &[u8], to: Option<&[u8]>, each: &mut RangeVisitor<'_>) -> Result<(), String> {
        self.spread_batch();
        let within = |key: &[u8]| key >= from && to.is_none_or(|to| key < to);
        let rows = self.pending.iter().map(|row| (self.bytes(row.key), row.value.map(|value| self.bytes(value))));
        let mut written: Vec<_> = rows.filter(|(key, _)| within(key)).collect();
        written.sort_unstable_by_key(|(key, _)| *key);
        let mut written = written.into_iter().peekable();
        let mut wants_more = true;
        self.committed.range(from, to, &mut |key, value| {
            while let Some((own, own_value)) = written.next_if(|(own, _)| *own <= key) {
                wants_more = wants_more && own_value.is_none_or(|own_value| each(own, own_value));
                if own == key {
                    return wants_more;
                }
            }
            wants_more = wants_more && each(key, value);
            wants_more
        })?;
        for (own, own_value) in written {
            wants_more = wants_more && own_value.is_none_or(|own_value| each(own, own_value));
        }
        Ok(())
    }

    /// Writes rows, each key once: a null value deletes. As many [`put`](Self::put)s do the same; this costs nothing a row as long as nothing
    /// else is read or written before the commit.
    pub fn put_all(&mut self, rows: Records) {
        self.spread_batch();
        if self.pending.is_empty() {
            self.batch = (!rows.is_empty()).then_some(rows);
        } else {
            self.put_each(&rows);
        }
    }

    fn put_each(&mut self, rows: &Records) {
        for row in rows.iter() {
            self.put(row.key.unwrap_or_default(), row.value, row.timestamp);
        }
    }

    /// Makes single rows of what was handed over whole, so that they can be found.
    fn spread_batch(&mut self) {
        if let Some(rows) = self.batch.take() {
            self.put_each(&rows);
        }
    }

    /// Writes a row, or deletes it.
    pub fn put(&mut self, key: &[u8], value: Option<&[u8]>, time: Timestamp) {
        self.spread_batch();
        let value = value.map(|value| self.keep(value));
        let time = time.millis();
        if let Some(entry) = self.find(key) {
            self.pending[entry].value = value;
            self.pending[entry].time = time;
            return;
        }
        let key_range = self.keep(key);
        let entry = self.pending.len();
        self.pending.push(Pending { key: key_range, value, time });
        let (hasher, arena, pending) = (&self.hasher, &self.arena, &self.pending);
        let hash_of = |&entry: &usize| {
            let (start, end) = pending[entry].key;
            hasher.hash_one(&arena[start..end])
        };
        self.index.insert_unique(hasher.hash_one(key), entry, hash_of);
    }

    /// Bytes written and not yet committed.
    pub fn pending_bytes(&self) -> usize {
        self.arena.len() + self.batch.as_ref().map_or(0, Records::payload_bytes)
    }

    /// The changes of this commit interval as changelog records, one a key, in the order of first change.
    pub fn changes(&self) -> Records {
        if let Some(rows) = &self.batch {
            return rows.clone();
        }
        let mut keys = BinaryBuilder::with_capacity(self.pending.len(), self.arena.len());
        let mut values = BinaryBuilder::with_capacity(self.pending.len(), self.arena.len());
        for entry in &self.pending {
            keys.append_value(self.bytes(entry.key));
            values.append_option(entry.value.map(|value| self.bytes(value)));
        }
        let times = Int64Array::from_iter_values(self.pending.iter().map(|entry| entry.time));
        Records::new(keys.finish(), values.finish(), times, None)
    }

    /// Takes committed changes over: those of [`changes`](Self::changes) after their commit, or records of the changelog when the
    /// store is restored.
    ///
    /// # Errors
    /// Those of the committed store.
    pub fn apply(&mut self, changes: &Records, incarnation: u128, next: u64) -> Result<(), String> {
        self.batch = None;
        self.pending.clear();
        self.index.clear();
        self.arena.clear();
        self.committed.apply(changes, incarnation, next)?;
        let newest = arrow::compute::max(changes.timestamps()).map_or(Timestamp::NONE, Timestamp);
        if newest <= self.newest {
            return Ok(());
        }
        self.newest = newest;
        match self.retention.first_kept(newest) {
            None => Ok(()),
            Some(first) => self.committed.expire_before(Timestamp(first)),
        }
    }

    /// The time before which no row of a windowed store is needed any more; `None` if rows are kept for ever.
    pub fn expired_before(&self) -> Option<Timestamp> {
        let retention = self.retention.retention()?;
        (self.newest != Timestamp::NONE).then(|| self.newest.minus(retention))
    }

    /// The committed store underneath.
    pub fn committed(&mut self) -> &mut dyn CommittedStore {
        self.committed.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(store: &mut TaskStore, keys: &[&str]) -> Vec<Option<String>> {
        let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
        let mut rows = vec![None; keys.len()];
        let mut each = |index: usize, value: Option<&[u8]>| {
            rows[index] = value.map(|value| String::from_utf8_lossy(value).into_owned());
        };
        store.get_many(&keys, &mut each).expect("memory does not fail");
        rows
    }

    fn read_range(store: &mut TaskStore, from: &str, to: Option<&str>, most: usize) -> String {
        let mut rows = Vec::new();
        let mut each = |key: &[u8], value: &[u8]| {
            rows.push(format!("{}{}", String::from_utf8_lossy(key), String::from_utf8_lossy(value)));
            rows.len() < most
        };
        store.range(from.as_bytes(), to.map(str::as_bytes), &mut each).expect("memory does not fail");
        rows.join(" ")
    }

    #[test]
    fn a_range_shows_what_is_committed_under_what_was_written_since() {
        let mut store = TaskStore::new(Box::new(MemoryStore::default()), StoreRetention::Forever);
        for (key, value) in [("b", "1"), ("d", "1"), ("f", "1"), ("h", "1")] {
            store.put(key.as_bytes(), Some(value.as_bytes()), Timestamp(0));
        }
        let changes = store.changes();
        store.apply(&changes, 1, 4).expect("memory does not fail");
        for (key, value) in [("a", Some("2")), ("d", Some("2")), ("f", None), ("g", Some("2")), ("c", None)] {
            store.put(key.as_bytes(), value.map(str::as_bytes), Timestamp(0));
        }
        let mut check = |from: &str, to: Option<&str>, most: usize| read_range(&mut store, from, to, most);
        assert_eq!(check("", None, 9), "a2 b1 d2 g2 h1");
        assert_eq!(check("b", Some("h"), 9), "b1 d2 g2");
        assert_eq!(check("e", Some("g"), 9), "");
        assert_eq!(check("", None, 3), "a2 b1 d2");
        assert_eq!(check("a", None, 1), "a2");
        assert_eq!(check("i", None, 9), "");
        assert_eq!(check("c", Some("b"), 9), "");
    }

    #[test]
    fn a_task_sees_its_own_writes_and_others_only_the_committed_ones() {
        let committed = MemoryStore::default();
        let outside = committed.rows();
        let mut store = TaskStore::new(Box::new(committed), StoreRetention::Forever);
        store.put(b"a", Some(b"1"), Timestamp(5));
        store.put(b"b", Some(b"2"), Timestamp(5));
        store.put(b"a", Some(b"3"), Timestamp(6));
        store.put(b"b", None, Timestamp(7));
        assert_eq!(read(&mut store, &["b", "a", "c"]), [None, Some("3".into()), None]);
        assert!(outside.read().is_empty());

        let changes = store.changes();
        assert_eq!(changes.len(), 2, "one change a key");

        let mut whole = TaskStore::new(Box::new(MemoryStore::default()), StoreRetention::Forever);
        whole.put_all(changes.clone());
        assert!(whole.changes().iter().eq(changes.iter()), "handed over and given back");
        whole.put(b"a", Some(b"4"), Timestamp(8));
        assert_eq!(read(&mut whole, &["b", "a"]), [None, Some("4".into())]);
        assert_eq!(whole.changes().len(), 2);

        store.apply(&changes, 1, 2).expect("memory does not fail");
        assert_eq!(read(&mut store, &["a", "b"]), [Some("3".into()), None]);
        assert_eq!(outside.read().len(), 1);
        assert!(store.changes().is_empty());
    }
}
