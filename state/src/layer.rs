//! One hash table of the hot tier: entries of fixed size over an arena of key and value bytes.
//!
//! ```text
//! table:  [hash 4 | chunk 4 | offset 4 | key_len 4 | value_len 4 | epoch 4]  per key
//! chunks: [key bytes, value bytes, key bytes, value bytes, ...]              never moved, 1 KiB doubling to 1 MiB
//! ```
//! A deletion is an entry without value: it hides the key in whatever lies below. An entry's *epoch* counts the
//! checkpoints that were begun before it was written; it is dirty until one begun after it has ended. A value of the same length is
//! overwritten in place; other replaced bytes are garbage, which is collected when it is half of the arena.

use hashbrown::HashTable;

const ABSENT: u32 = u32::MAX;
const FIRST_CHUNK_BYTES: usize = 1 << 10;
const LAST_CHUNK_BYTES: usize = 1 << 20;
/// Keys from which on a layer is larger than the caches of one core.
const WORTH_WARMING: usize = 1 << 14;
/// Entries whose misses may be on their way at once; more than a processor has room for.
pub(crate) const WARMED_AT_ONCE: usize = 64;
/// Lookups from which on overlapping them pays.
const LEAST_WARMED: usize = 8;
/// Longest key or value: offsets and the sum of both lengths stay far inside `u32`.
pub(crate) const MAX_BYTES: usize = 1 << 30;

/// Where one key and its value lie in a layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    hash: u32,
    chunk: u32,
    offset: u32,
    key_len: u32,
    value_len: u32,
    epoch: u32,
}

impl Entry {
    pub(crate) fn is_tombstone(&self) -> bool {
        self.value_len == ABSENT
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    fn record_len(&self) -> usize {
        self.key_len as usize + if self.is_tombstone() { 0 } else { self.value_len as usize }
    }
}

/// A hash table that owns its bytes.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    table: HashTable<Entry>,
    arena: Arena,
    garbage_bytes: usize,
    tombstones: usize,
    max_epoch: u32,
    /// What all keys begin with, those that have left included; `None` before the first key.
    common_prefix: Option<Vec<u8>>,
}

#[derive(Debug, Default)]
struct Arena {
    chunks: Vec<Vec<u8>>,
    capacity_bytes: usize,
}

impl Arena {
    fn key(&self, entry: &Entry) -> &[u8] {
        let start = entry.offset as usize;
        &self.chunks[entry.chunk as usize][start..start + entry.key_len as usize]
    }

    fn value(&self, entry: &Entry) -> Option<&[u8]> {
        if entry.is_tombstone() {
            return None;
        }
        let start = entry.offset as usize + entry.key_len as usize;
        Some(&self.chunks[entry.chunk as usize][start..start + entry.value_len as usize])
    }

    fn value_mut(&mut self, entry: &Entry) -> &mut [u8] {
        let start = entry.offset as usize + entry.key_len as usize;
        &mut self.chunks[entry.chunk as usize][start..start + entry.value_len as usize]
    }

    /// Appends key and value to one chunk; gives chunk and offset.
    fn append(&mut self, key: &[u8], value: Option<&[u8]>) -> (u32, u32) {
        let value = value.unwrap_or_default();
        let needed = key.len() + value.len();
        if self.chunks.last().is_none_or(|chunk| chunk.capacity() - chunk.len() < needed) {
            let capacity = needed.max(self.capacity_bytes.clamp(FIRST_CHUNK_BYTES, LAST_CHUNK_BYTES));
            self.capacity_bytes += capacity;
            self.chunks.push(Vec::with_capacity(capacity));
        }
        let last = self.chunks.len() - 1;
        let chunk = &mut self.chunks[last];
        let offset = chunk.len();
        chunk.extend_from_slice(key);
        chunk.extend_from_slice(value);
        (narrow(last), narrow(offset))
    }
}

/// How many bytes both begin with.
pub(crate) fn shared(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

fn narrow(length: usize) -> u32 {
    u32::try_from(length).expect("stores refuse keys and values above 1 GiB")
}

/// hashbrown takes its tag from the top bits and the bucket from the bottom ones.
fn widen(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

impl Layer {
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn max_epoch(&self) -> u32 {
        self.max_epoch
    }

    /// Memory that the layer holds.
    pub(crate) fn bytes(&self) -> usize {
        self.table.allocation_size() + self.arena.capacity_bytes
    }

    /// What all keys begin with; `None` if there never was one.
    pub(crate) fn common_prefix(&self) -> Option<&[u8]> {
        self.common_prefix.as_deref()
    }

    pub(crate) fn find(&self, hash: u32, key: &[u8]) -> Option<&Entry> {
        self.table.find(widen(hash), |entry| entry.hash == hash && self.arena.key(entry) == key)
    }

    /// Brings what is needed to find keys with these hashes into the processor's cache, if the layer is too large to be there anyway.
    ///
    /// A lookup waits for memory two times: for its bucket and for the key's bytes. Lookups one after another hardly overlap, since
    /// each ends in a comparison that the next one is speculated across; these loops compare nothing, so that many misses are on their way
    /// at once.
    pub(crate) fn warm(&self, mut hashes: impl ExactSizeIterator<Item = u32>) {
        // Few lookups overlap too little to be worth a second one each.
        if self.table.len() < WORTH_WARMING || hashes.len() < LEAST_WARMED {
            return;
        }
        let mut found = [None; WARMED_AT_ONCE];
        while hashes.len() > 0 {
            let count = hashes.len().min(WARMED_AT_ONCE);
            for (found, hash) in found.iter_mut().zip(hashes.by_ref()) {
                *found = self.table.find(widen(hash), |entry| entry.hash == hash);
            }
            self.warm_bytes(found[..count].iter().copied().flatten());
        }
    }

    /// Brings the first bytes of entries into the processor's cache, many misses at once.
    pub(crate) fn warm_bytes<'e>(&self, entries: impl Iterator<Item = &'e Entry>) {
        let byte = |entry: &Entry| self.arena.chunks[entry.chunk as usize].get(entry.offset as usize).copied();
        std::hint::black_box(entries.filter_map(byte).fold(0, |all, byte| all ^ byte));
    }

    pub(crate) fn key(&self, entry: &Entry) -> &[u8] {
        self.arena.key(entry)
    }

    /// The entry's value; `None` for a deletion.
    pub(crate) fn value(&self, entry: &Entry) -> Option<&[u8]> {
        self.arena.value(entry)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.table.iter()
    }

    /// Writes a key; gives epoch and record length of the entry that it replaced.
    pub(crate) fn insert(&mut self, hash: u32, key: &[u8], value: Option<&[u8]>, epoch: u32) -> Option<(u32, usize)> {
        self.max_epoch = self.max_epoch.max(epoch);
        let value_len = value.map_or(ABSENT, |value| narrow(value.len()));
        let Self { table, arena, garbage_bytes, tombstones, .. } = self;
        let found = table.find_mut(widen(hash), |entry| entry.hash == hash && arena.key(entry) == key);
        let Some(entry) = found else {
            let (chunk, offset) = arena.append(key, value);
            let entry = Entry { hash, chunk, offset, key_len: narrow(key.len()), value_len, epoch };
            table.insert_unique(widen(hash), entry, |entry| widen(entry.hash));
            *tombstones += usize::from(value.is_none());
            match &mut self.common_prefix {
                Some(common) if key.starts_with(common) => {}
                Some(common) => common.truncate(shared(common, key)),
                None => self.common_prefix = Some(key.to_vec()),
            }
            return None;
        };
        let replaced = (entry.epoch, entry.record_len());
        *tombstones -= usize::from(entry.is_tombstone());
        *tombstones += usize::from(value.is_none());
        entry.epoch = entry.epoch.max(epoch);
        match value {
            Some(value) if entry.value_len == value_len => arena.value_mut(entry).copy_from_slice(value),
            Some(_) => {
                *garbage_bytes += replaced.1;
                (entry.chunk, entry.offset) = arena.append(key, value);
                entry.value_len = value_len;
            }
            None => {
                *garbage_bytes += replaced.1 - entry.key_len as usize;
                entry.value_len = ABSENT;
            }
        }
        if self.garbage_bytes > LAST_CHUNK_BYTES / 16 && self.garbage_bytes * 2 > self.arena.capacity_bytes {
            self.collect_garbage();
        }
        Some(replaced)
    }

    /// Takes over what `newer` holds; its entries win.
    pub(crate) fn absorb_newer(&mut self, newer: &Layer) {
        for entry in newer.entries() {
            self.insert(entry.hash, newer.key(entry), newer.value(entry), entry.epoch);
        }
    }

    /// Takes over what `older` holds and this layer does not. A key that is dirty below stays dirty.
    pub(crate) fn absorb_older(&mut self, older: &Layer) {
        for entry in older.entries() {
            let key = older.key(entry);
            let Self { table, arena, max_epoch, .. } = self;
            match table.find_mut(widen(entry.hash), |own| own.hash == entry.hash && arena.key(own) == key) {
                Some(own) => {
                    own.epoch = own.epoch.max(entry.epoch);
                    *max_epoch = (*max_epoch).max(entry.epoch);
                }
                None => drop(self.insert(entry.hash, key, older.value(entry), entry.epoch)),
            }
        }
    }

    /// Forgets deletions that a checkpoint has carried out, if they are half of the layer. Only right at the bottom of a stack.
    pub(crate) fn purge_tombstones(&mut self, clean_epoch: u32) {
        if self.tombstones * 2 <= self.table.len() || self.tombstones < 64 {
            return;
        }
        let Self { table, garbage_bytes, tombstones, .. } = self;
        table.retain(|entry| {
            let keep = !entry.is_tombstone() || entry.epoch > clean_epoch;
            if !keep {
                *garbage_bytes += entry.key_len as usize;
                *tombstones -= 1;
            }
            keep
        });
        table.shrink_to_fit(|entry| widen(entry.hash));
        self.collect_garbage();
    }

    fn collect_garbage(&mut self) {
        let mut arena = Arena::default();
        for entry in self.table.iter_mut() {
            let (key, value) = (self.arena.key(entry), self.arena.value(entry));
            (entry.chunk, entry.offset) = arena.append(key, value);
        }
        self.arena = arena;
        self.garbage_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn check(layer: &Layer, expected: &[(&str, Option<&str>)]) {
        let actual: BTreeMap<Vec<u8>, Option<Vec<u8>>> =
            layer.entries().map(|entry| (layer.key(entry).to_vec(), layer.value(entry).map(<[u8]>::to_vec))).collect();
        let expected: BTreeMap<Vec<u8>, Option<Vec<u8>>> = expected
            .iter()
            .map(|(key, value)| (key.as_bytes().to_vec(), value.map(|v| v.as_bytes().to_vec())))
            .collect();
        assert_eq!(actual, expected);
    }

    fn layer(entries: &[(&str, Option<&str>)], epoch: u32) -> Layer {
        let mut layer = Layer::default();
        for (key, value) in entries {
            // One hash for all keys: every lookup meets every other key.
            layer.insert(7, key.as_bytes(), value.map(str::as_bytes), epoch);
        }
        layer
    }

    #[test]
    fn the_last_write_of_a_key_wins_whatever_its_length() {
        let written = layer(&[("a", Some("1")), ("b", Some("22")), ("a", Some("3")), ("b", None), ("c", None)], 1);
        check(&written, &[("a", Some("3")), ("b", None), ("c", None)]);
        let again = layer(&[("b", None), ("b", Some("4444")), ("b", Some(""))], 1);
        check(&again, &[("b", Some(""))]);
    }

    #[test]
    fn merging_from_either_side_gives_the_same() {
        let older = [("a", Some("1")), ("b", Some("2")), ("c", None)];
        let newer = [("b", None), ("c", Some("3")), ("d", Some("4"))];
        let merged = [("a", Some("1")), ("b", None), ("c", Some("3")), ("d", Some("4"))];
        let mut below = layer(&older, 1);
        below.absorb_newer(&layer(&newer, 2));
        check(&below, &merged);
        let mut above = layer(&newer, 2);
        above.absorb_older(&layer(&older, 1));
        check(&above, &merged);
    }

    #[test]
    fn a_clean_copy_above_a_dirty_key_stays_dirty_when_merged() {
        let mut above = layer(&[("a", Some("1"))], 0);
        above.absorb_older(&layer(&[("a", Some("1"))], 5));
        assert_eq!((above.max_epoch(), above.find(7, b"a").map(Entry::epoch)), (5, Some(5)));
    }

    #[test]
    fn replaced_bytes_are_collected() {
        let mut layer = Layer::default();
        for round in 0..20_000_usize {
            layer.insert(1, b"key", Some(&vec![b'x'; round % 400]), 1);
        }
        assert!(layer.bytes() < 1 << 20, "{} bytes for one key", layer.bytes());
        assert_eq!(layer.value(layer.find(1, b"key").expect("written")).map(<[u8]>::len), Some(19_999 % 400));
    }

    #[test]
    fn only_deletions_that_are_checkpointed_are_purged() {
        let mut layer = Layer::default();
        for number in 0..100_u32 {
            layer.insert(number, &number.to_be_bytes(), None, if number < 90 { 1 } else { 2 });
        }
        layer.purge_tombstones(1);
        assert_eq!(layer.len(), 10);
        assert!(layer.find(95, &95_u32.to_be_bytes()).is_some());
    }
}
