//! Which rows of a table with a TTL are due when.
//!
//! ```text
//! | time (8 bytes) | key |            an entry: the row of the key does not expire before this time and the TTL
//! | the last time (8 bytes) | key |   the time of the key's entry (8 bytes)
//! ```
//! So a key has one entry, which is found when it has to be moved or deleted. A row of the last time never expires; its entry and the time of
//! it are one.

use std::collections::BTreeSet;

use millstream_state::key::{START_BYTES, decode_start, encode_start, split_window_key, window_key};

use crate::{
    operator::{FoldError, task_store::TaskStore},
    record::{TimeSpan, Timestamp},
};

/// How many entries are read and how many rows expire at once.
pub(super) const CHUNK: usize = 8192;

/// What part of the TTL is looked ahead when entries are read.
const AHEAD: i64 = 16;

/// What an entry holds: something, since nothing would delete it.
const ENTRY: &[u8] = &[1];

/// The entries by time, the next ones in memory.
pub(super) struct TimeIndex {
    /// How far beyond what is due entries are read.
    ahead: i64,
    /// Every entry before `frontier`.
    near: BTreeSet<(i64, Vec<u8>)>,
    frontier: Vec<u8>,
    /// No entry from the frontier on is earlier. Not known after a restart: then before all times.
    far: i64,
}

impl TimeIndex {
    /// An index of which nothing was read yet.
    pub(super) fn new(ttl: TimeSpan) -> Self {
        let ahead = (ttl.millis() / AHEAD).max(1);
        Self { ahead, near: BTreeSet::new(), frontier: Vec::new(), far: i64::MIN }
    }

    /// No entry is earlier.
    pub(super) fn next(&self) -> i64 {
        self.near.first().map_or(self.far, |(time, _)| *time)
    }

    /// Reads entries until it is known whether one is not later than `until`, and says so.
    pub(super) fn load(&mut self, until: i64, store: &mut TaskStore) -> Result<bool, FoldError> {
        let until = until.min(i64::MAX - 1);
        while self.near.is_empty() && self.far <= until {
            let to = until.saturating_add(self.ahead);
            let end = named(to, &[]);
            let (near, mut last) = (&mut self.near, None);
            let mut each = |entry: &[u8], _: &[u8]| {
                if let Some((time, key)) = split_window_key(entry) {
                    near.insert((time, key.to_vec()));
                }
                let goes_on = near.len() < CHUNK;
                if !goes_on {
                    last = Some(entry.to_vec());
                }
                goes_on
            };
            store.range(&self.frontier, Some(&end), &mut each).map_err(FoldError::of)?;
            match last {
                Some(mut last) => {
                    self.far = split_window_key(&last).map_or(i64::MIN, |(time, _)| time);
                    last.push(0);
                    self.frontier = last;
                }
                None => {
                    self.far = to;
                    self.frontier = end;
                }
            }
        }
        Ok(self.next() <= until)
    }

    /// The first entries up to a time, a chunk at most; they stay in the store.
    pub(super) fn take(&mut self, until: i64) -> Vec<(i64, Vec<u8>)> {
        let mut taken = Vec::new();
        while taken.len() < CHUNK && self.near.first().is_some_and(|(time, _)| *time <= until) {
            taken.extend(self.near.pop_first());
        }
        taken
    }

    /// The times of the entries of keys.
    pub(super) fn times_of(keys: &[&[u8]], store: &mut TaskStore) -> Result<Vec<Option<i64>>, FoldError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<Vec<u8>> = keys.iter().map(|key| named(i64::MAX, key)).collect();
        let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        let mut times = vec![None; keys.len()];
        let decoded = |value: &[u8]| <[u8; START_BYTES]>::try_from(value).ok().map(decode_start);
        store.get_many(&names, &mut |row, value| times[row] = value.and_then(decoded)).map_err(FoldError::of)?;
        Ok(times)
    }

    /// Adds the entry of a key that has none.
    pub(super) fn add(&mut self, time: i64, key: &[u8], store: &mut TaskStore) {
        let entry = named(time, key);
        store.put(&entry, Some(ENTRY), Timestamp(time));
        store.put(&named(i64::MAX, key), Some(&encode_start(time)), Timestamp(time));
        if entry >= self.frontier {
            self.far = self.far.min(time);
            return;
        }
        self.near.insert((time, key.to_vec()));
        if self.near.len() > 2 * CHUNK
            && let Some((time, key)) = self.near.pop_last()
        {
            self.frontier = named(time, &key);
            self.far = self.far.min(time);
        }
    }

    /// Deletes the entry of a key.
    pub(super) fn remove(&mut self, time: i64, key: &[u8], store: &mut TaskStore) {
        let entry = named(time, key);
        store.put(&entry, None, Timestamp(time));
        store.put(&named(i64::MAX, key), None, Timestamp(time));
        if entry < self.frontier {
            self.near.remove(&(time, key.to_vec()));
        }
    }
}

fn named(time: i64, key: &[u8]) -> Vec<u8> {
    let mut name = Vec::new();
    window_key(time, key, &mut name);
    name
}
