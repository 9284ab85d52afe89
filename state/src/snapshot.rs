//! A store as it was at one position: reads from outside that never hold up the writer.
//!
//! Taking one clones the list of layers and shares a view of the cold tier, which is made at most once between two checkpoints. Reading
//! one takes no lock of the store. It keeps the memory and the files that it saw, so hold it for a query, not for a session.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::Arc;

use crate::cold_tier::{ColdTier, ColdView, prefixed, strip};
use crate::cursor::{Cursor, Direction};
use crate::error::StoreError;
use crate::hot_tier::{ColdExtent, HotTier, Lookup};
use crate::key;
use crate::layer_stack::LayerStack;
use crate::metadata::{Position, StoreKind};
use crate::values::Values;

/// The content of a store at one position.
pub struct StoreSnapshot {
    pub(crate) kind: StoreKind,
    pub(crate) position: Option<Position>,
    pub(crate) hot: HotTier,
    pub(crate) extent: ColdExtent,
    pub(crate) cold: ColdTier,
    /// `None` if the cold tier was empty.
    pub(crate) view: Option<Arc<ColdView>>,
}

impl StoreSnapshot {
    /// The position of the content; `None` if nothing was ever applied.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// The store's kind.
    pub fn kind(&self) -> StoreKind {
        self.kind
    }

    /// The values of `keys`, in their order.
    ///
    /// # Errors
    /// If the cold tier cannot be read, or the store was dropped.
    pub fn get_many<'k>(&self, keys: impl IntoIterator<Item = &'k [u8]>) -> Result<Values, StoreError> {
        self.cold.check()?;
        let mut values = Values::default();
        let (mut places, mut missing) = (Vec::new(), Vec::new());
        for key in keys {
            match self.hot.lookup(self.hot.hash(key), key, &self.extent) {
                Lookup::Found(found) => values.push(found.value()),
                Lookup::Absent => values.push(None),
                Lookup::AskCold => {
                    places.push(values.len());
                    missing.push(key);
                    values.push(None);
                }
            }
        }
        if !missing.is_empty() {
            let view = self.view.as_deref();
            self.cold.read_many(view, &missing, |place, value| values.set(places[place], Some(value)))?;
        }
        Ok(values)
    }

    /// A cursor over all entries, in key order.
    ///
    /// # Errors
    /// If the cold tier cannot be read, or the store was dropped.
    pub fn scan(&self) -> Result<Cursor<'_>, StoreError> {
        self.range(Bound::Unbounded, Bound::Unbounded)
    }

    /// A cursor over the entries between two keys, in key order.
    ///
    /// Cost: keys of the hot tier are sorted bucket by bucket (a whole key-value store, one window of a window store); values
    /// and the cold tier are streamed.
    ///
    /// # Errors
    /// If the cold tier cannot be read, or the store was dropped.
    pub fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Result<Cursor<'_>, StoreError> {
        self.cursor(from, to, Direction::Forward)
    }

    /// A cursor over the entries between two keys, against key order: the last one first. The cost is that of [`range`](Self::range).
    ///
    /// # Errors
    /// If the cold tier cannot be read, or the store was dropped.
    pub fn range_backward(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Result<Cursor<'_>, StoreError> {
        self.cursor(from, to, Direction::Backward)
    }

    fn cursor(&self, from: Bound<&[u8]>, to: Bound<&[u8]>, direction: Direction) -> Result<Cursor<'_>, StoreError> {
        self.cold.check()?;
        let mut from = match from {
            Bound::Unbounded => Vec::new(),
            Bound::Included(key) => key.to_vec(),
            Bound::Excluded(key) => successor(key),
        };
        let to = match to {
            Bound::Unbounded => None,
            Bound::Included(key) => Some(successor(key)),
            Bound::Excluded(key) => Some(key.to_vec()),
        };
        if self.kind == StoreKind::Window {
            from = from.max(key::encode_start(self.hot.expired_before()).to_vec());
        }
        Cursor::new(self, from, to, direction)
    }

    /// A cursor over all keys of the windows that start in `starts`, by start, then key.
    ///
    /// # Errors
    /// If the cold tier cannot be read, or the store was dropped.
    pub fn window_range(&self, starts: Range<i64>) -> Result<Cursor<'_>, StoreError> {
        let (from, to) = (key::encode_start(starts.start), key::encode_start(starts.end.max(starts.start)));
        self.range(Bound::Included(&from), Bound::Excluded(&to))
    }

    /// The values of one key in the windows that start in `starts`, by start.
    ///
    /// Cost: one probe per window in memory, two seeks per window in the cold tier.
    ///
    /// # Errors
    /// If the cold tier cannot be read, or the store was dropped.
    pub fn fetch(&self, key: &[u8], starts: Range<i64>) -> Result<Vec<(i64, Vec<u8>)>, StoreError> {
        self.cold.check()?;
        let starts = starts.start.max(self.hot.expired_before())..starts.end;
        if self.kind != StoreKind::Window || starts.is_empty() {
            return Ok(Vec::new());
        }
        let mut values = self.fetch_cold(key, &starts)?;
        let last = starts.end - 1;
        let mut hot_starts: Vec<i64> = Vec::new();
        match self.hot.exact_starts(starts.start, last) {
            Some(exact) => hot_starts.extend(exact),
            None => {
                let layers = self.hot.buckets(starts.start, last).flat_map(LayerStack::layers);
                for layer in layers {
                    let split = layer.entries().filter_map(|entry| key::split_window_key(layer.key(entry)));
                    hot_starts.extend(split.filter(|(at, own)| *own == key && starts.contains(at)).map(|(at, _)| at));
                }
            }
        }
        let mut window_key = Vec::new();
        for start in hot_starts {
            window_key.clear();
            key::window_key(start, key, &mut window_key);
            if let Lookup::Found(found) = self.hot.lookup(self.hot.hash(&window_key), &window_key, &self.extent) {
                match found.value() {
                    Some(value) => values.insert(start, value.to_vec()),
                    None => values.remove(&start),
                };
            }
        }
        Ok(values.into_iter().collect())
    }

    /// Leaps from window to window over the cold tier.
    fn fetch_cold(&self, key: &[u8], starts: &Range<i64>) -> Result<BTreeMap<i64, Vec<u8>>, StoreError> {
        let mut values = BTreeMap::new();
        let Some(view) = &self.view else { return Ok(values) };
        let to = key::encode_start(starts.end);
        let mut entries = self.cold.iterate(view, &key::encode_start(starts.start), Some(&to))?;
        let mut next = Some(starts.start);
        let mut window_key = Vec::new();
        while let Some(start) = next {
            window_key.clear();
            key::window_key(start, key, &mut window_key);
            entries.seek(prefixed(&window_key));
            let Some((found, value)) = entries.item() else { break };
            let Some((found_start, found_key)) = key::split_window_key(strip(found)) else { break };
            if found_key == key {
                values.insert(found_start, value.to_vec());
            }
            // A smaller key means that a later window was reached before its own place for the key.
            next = if found_key < key { Some(found_start) } else { found_start.checked_add(1) };
        }
        self.cold.check_iterator(&entries)?;
        Ok(values)
    }
}

/// The smallest key above `key`.
fn successor(key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(key.len() + 1);
    bytes.extend_from_slice(key);
    bytes.push(0);
    bytes
}
