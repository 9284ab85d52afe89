//! One partition of a store at one moment: lookups and walks over its entries, on disk or in memory.

use std::ops::{Bound, Range};

use millstream_state::{Cursor, StoreSnapshot, key};

use super::remote::{RemotePartition, RemoteWalk};
use crate::{operator::MemoryRows, runtime::StoreHandle};

/// The entries of a partition.
pub(super) enum PartitionSnapshot {
    Persistent(Box<StoreSnapshot>),
    Memory(MemoryRows),
    /// In another process.
    Remote(RemotePartition),
}

/// Is given the key and the value of an entry.
pub(super) type EachEntry<'a> = dyn FnMut(&[u8], &[u8]) + 'a;

impl PartitionSnapshot {
    /// The entries as they are now.
    pub(super) fn of(handle: &StoreHandle) -> Result<Self, String> {
        Ok(match handle {
            StoreHandle::Persistent(store) => {
                Self::Persistent(Box::new(store.snapshot().map_err(|error| error.to_string())?))
            }
            StoreHandle::Memory(rows) => Self::Memory(rows.read().clone()),
        })
    }

    /// Gives the value of each key that is there, by the place of the key.
    pub(super) fn get_many(&self, keys: &[&[u8]], each: &mut dyn FnMut(usize, &[u8])) -> Result<(), String> {
        match self {
            Self::Remote(partition) => partition.get_many(keys, each)?,
            Self::Memory(rows) => {
                for (place, key) in keys.iter().enumerate() {
                    rows.get(key).into_iter().for_each(|value| each(place, value));
                }
            }
            Self::Persistent(snapshot) => {
                let values = snapshot.get_many(keys.iter().copied()).map_err(|error| error.to_string())?;
                for (place, value) in values.iter().enumerate() {
                    value.into_iter().for_each(|value| each(place, value));
                }
            }
        }
        Ok(())
    }

    /// Gives the entries of one key in the windows of these numbers, by number. It leaps from window to window, past the other keys.
    pub(super) fn windows_of(&self, key: &[u8], numbers: Range<i64>, each: &mut EachEntry<'_>) -> Result<(), String> {
        let mut stored = Vec::new();
        match self {
            Self::Remote(partition) => partition.windows_of(key, numbers, each)?,
            Self::Persistent(snapshot) => {
                let found = snapshot.fetch(key, numbers).map_err(|error| error.to_string())?;
                for (number, value) in found {
                    stored.clear();
                    key::window_key(number, key, &mut stored);
                    each(&stored, &value);
                }
            }
            Self::Memory(rows) => {
                let mut next = Some(numbers.start);
                while let Some(number) = next.filter(|number| *number < numbers.end) {
                    stored.clear();
                    key::window_key(number, key, &mut stored);
                    let Some((found, value)) = rows.range(&stored, None).next() else { break };
                    let Some((found_number, found_key)) = key::split_window_key(found) else { break };
                    if found_number >= numbers.end {
                        break;
                    }
                    if found_key == key {
                        each(found, value);
                    }
                    // A smaller key means that a later window was reached before its own place for the key.
                    next = if found_key < key { Some(found_number) } else { found_number.checked_add(1) };
                }
            }
        }
        Ok(())
    }

    /// Walks the entries with keys from `from` to before `to` (none: to the end).
    pub(super) fn walk<'s>(
        &'s self,
        from: &'s [u8],
        to: Option<&'s [u8]>,
        order: ScanOrder,
    ) -> Result<EntryWalk<'s>, String> {
        let is_empty = to.is_some_and(|to| to <= from);
        match self {
            _ if is_empty => Ok(EntryWalk::Memory(Box::new(std::iter::empty()))),
            Self::Remote(partition) => Ok(EntryWalk::Remote(Box::new(partition.walk(from, to, order)))),
            Self::Memory(rows) => Ok(match order {
                ScanOrder::Ascending => EntryWalk::Memory(Box::new(rows.range(from, to))),
                ScanOrder::Descending => EntryWalk::Memory(Box::new(rows.range(from, to).rev())),
            }),
            Self::Persistent(snapshot) => {
                let to = to.map_or(Bound::Unbounded, Bound::Excluded);
                let cursor = match order {
                    ScanOrder::Ascending => snapshot.range(Bound::Included(from), to),
                    ScanOrder::Descending => snapshot.range_backward(Bound::Included(from), to),
                };
                Ok(EntryWalk::Persistent(Box::new(cursor.map_err(|error| error.to_string())?)))
            }
        }
    }
}

/// In which order rows are given.
///
/// ```
/// use millstream::query::ScanOrder;
///
/// assert_eq!(ScanOrder::default(), ScanOrder::Ascending);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ScanOrder {
    /// The lowest key first; of windows the earliest.
    #[default]
    Ascending,
    /// The highest key first; of windows the latest.
    Descending,
}

/// A stored key and its value.
pub(super) type Entry<'a> = (&'a [u8], &'a [u8]);

/// Entries one after another.
pub(super) enum EntryWalk<'s> {
    Persistent(Box<Cursor<'s>>),
    Memory(Box<dyn Iterator<Item = Entry<'s>> + 's>),
    Remote(Box<RemoteWalk>),
}

impl EntryWalk<'_> {
    /// The next entry, borrowed until the one after it.
    pub(super) fn next(&mut self) -> Result<Option<Entry<'_>>, String> {
        match self {
            Self::Persistent(cursor) => cursor.next_entry().map_err(|error| error.to_string()),
            Self::Memory(entries) => Ok(entries.next()),
            Self::Remote(walk) => walk.next(),
        }
    }
}
