//! Rows in memory, in the order of their keys, of which a snapshot costs next to nothing.
//!
//! The rows lie in chunks; a snapshot shares them. A writer copies the list of chunks once after a snapshot, and of the chunks those that
//! it writes to.
//!
//! Invariants: no chunk is empty; a chunk is listed under a key that is not above its first one, and above every key of the chunk before.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

/// Rows of a chunk at most.
const CHUNK_ROWS: usize = 256;

type Chunk = BTreeMap<Vec<u8>, Vec<u8>>;

/// Rows by key. Cloning takes a snapshot.
#[derive(Debug, Clone, Default)]
pub struct MemoryRows {
    chunks: Arc<BTreeMap<Arc<[u8]>, Arc<Chunk>>>,
    len: usize,
}

impl MemoryRows {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn chunk_of(&self, key: &[u8]) -> Option<(&Arc<[u8]>, &Arc<Chunk>)> {
        self.chunks.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back()
    }

    /// The row of a key.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.chunk_of(key)?.1.get(key).map(Vec::as_slice)
    }

    /// The rows with keys from `from` to before `to` (none: to the end), in order; they can be walked from either end.
    pub fn range<'a>(
        &'a self,
        from: &'a [u8],
        to: Option<&'a [u8]>,
    ) -> impl DoubleEndedIterator<Item = (&'a [u8], &'a [u8])> {
        let is_empty = to.is_some_and(|to| to <= from);
        let first = self.chunk_of(from).map_or(from, |(name, _)| name);
        let bound = |to: Option<&'a [u8]>| to.map_or(Bound::Unbounded, Bound::Excluded);
        // Of an empty range the map would not hear.
        let chunks = (!is_empty).then(|| self.chunks.range::<[u8], _>((Bound::Included(first), bound(to))));
        let rows = chunks
            .into_iter()
            .flatten()
            .flat_map(move |(_, chunk)| chunk.range::<[u8], _>((Bound::Included(from), bound(to))));
        rows.map(|(key, value)| (key.as_slice(), value.as_slice()))
    }

    /// All rows, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> {
        self.range(&[], None)
    }

    /// Sets the row of a key.
    pub fn insert(&mut self, key: &[u8], value: &[u8]) {
        let name = self.chunk_of(key).map(|(name, _)| Arc::clone(name));
        let chunks = Arc::make_mut(&mut self.chunks);
        let name = name.unwrap_or_else(|| {
            // A key below all others: the first chunk is listed under it from now on.
            let (name, first): (Arc<[u8]>, _) = (key.into(), chunks.pop_first());
            chunks.insert(Arc::clone(&name), first.map(|(_, chunk)| chunk).unwrap_or_default());
            name
        });
        let chunk = Arc::make_mut(chunks.entry(name).or_default());
        if chunk.insert(key.to_vec(), value.to_vec()).is_none() {
            self.len += 1;
        }
        if chunk.len() > CHUNK_ROWS
            && let Some(middle) = chunk.keys().nth(CHUNK_ROWS / 2).cloned()
        {
            let upper = chunk.split_off(&middle);
            chunks.insert(middle.into(), Arc::new(upper));
        }
    }

    /// Removes the row of a key.
    pub fn remove(&mut self, key: &[u8]) {
        let Some((name, chunk)) = self.chunk_of(key) else { return };
        if !chunk.contains_key(key) {
            return;
        }
        let name = Arc::clone(name);
        let chunks = Arc::make_mut(&mut self.chunks);
        let is_gone = chunks.get_mut(&name).is_some_and(|chunk| {
            let chunk = Arc::make_mut(chunk);
            chunk.remove(key);
            chunk.is_empty()
        });
        if is_gone {
            chunks.remove(&name);
        }
        self.len -= 1;
    }

    /// Removes the rows whose keys lie below `bound`.
    pub fn remove_below(&mut self, bound: &[u8]) {
        let gone: Vec<Vec<u8>> = self.range(&[], Some(bound)).map(|(key, _)| key.to_vec()).collect();
        gone.iter().for_each(|key| self.remove(key));
    }

    /// Removes all rows.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_are_those_of_a_map_and_snapshots_stay(
            steps in prop::collection::vec((0_u16..1_500, 0_u8..10), 1..3_000),
            ends in (0_u16..1_500, 0_u16..1_500),
        ) {
            let (mut rows, mut model) = (MemoryRows::default(), BTreeMap::new());
            let mut snapshots: Vec<(MemoryRows, BTreeMap<Vec<u8>, Vec<u8>>)> = Vec::new();
            for (number, (key, what)) in steps.into_iter().enumerate() {
                let key = key.to_be_bytes().to_vec();
                if what < 3 {
                    rows.remove(&key);
                    model.remove(&key);
                } else {
                    rows.insert(&key, &[what]);
                    model.insert(key.clone(), vec![what]);
                }
                if number % 500 == 250 {
                    snapshots.push((rows.clone(), model.clone()));
                }
                if number % 1_000 == 999 {
                    rows.remove_below(&100_u16.to_be_bytes());
                    model = model.split_off(&100_u16.to_be_bytes().to_vec());
                }
                prop_assert_eq!(rows.get(&key), model.get(&key).map(Vec::as_slice));
            }
            snapshots.push((rows, model));
            let (from, to) = (ends.0.to_be_bytes(), ends.1.to_be_bytes());
            for (rows, model) in snapshots {
                prop_assert_eq!(rows.len(), model.len());
                prop_assert!(rows.iter().eq(model.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))));
                let within = model.iter().filter(|(key, _)| key.as_slice() >= &from[..] && key.as_slice() < &to[..]);
                let within: Vec<(&[u8], &[u8])> = within.map(|(key, value)| (key.as_slice(), value.as_slice())).collect();
                prop_assert!(rows.range(&from, Some(&to)).eq(within.iter().copied()));
                prop_assert!(rows.range(&from, Some(&to)).rev().eq(within.iter().rev().copied()));
            }
        }
    }
}
