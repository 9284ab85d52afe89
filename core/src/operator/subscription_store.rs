//! Subscription store: which rows of the left table name which key of the right one.
//!
//! Everything is read by name, so that no change needs a scan; who subscribes to a key is listed in cells of 32.
//!
//! ```text
//! entry   0 | foreign key | primary key  ->  number of the cell (4), left partition (4), hash of the row
//! cell n  1 | foreign key | n            ->  primary keys, each as length (4) and bytes
//! head    2 | foreign key                ->  number of cells (4); none if nobody subscribes
//! ```
//!
//! Invariant: cells are numbered from 0 and all but the last are full or have lost entries that the last one's replace: what
//! leaves a cell is replaced by an entry of the last cell, and an empty last cell goes.

use super::{FoldError, TaskStore};
use crate::record::Timestamp;

/// How many subscribers a cell lists.
const CELL_ENTRIES: usize = 32;

/// The subscriptions in store number `store`.
pub(crate) struct SubscriptionStore {
    store: usize,
}

/// A row of the left table that subscribes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscriber {
    pub(crate) key: Vec<u8>,
    pub(crate) hash: Vec<u8>,
    /// The partition of the left table that the row is in.
    pub(crate) partition: i32,
}

fn name(kind: u8, foreign: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(5 + foreign.len() + rest.len());
    name.push(kind);
    name.extend_from_slice(&(foreign.len() as u32).to_be_bytes());
    name.extend_from_slice(foreign);
    name.extend_from_slice(rest);
    name
}

fn entry_name(foreign: &[u8], key: &[u8]) -> Vec<u8> {
    name(0, foreign, key)
}

fn cell_name(foreign: &[u8], number: u32) -> Vec<u8> {
    name(1, foreign, &number.to_be_bytes())
}

fn head_name(foreign: &[u8]) -> Vec<u8> {
    name(2, foreign, &[])
}

fn damaged() -> FoldError {
    FoldError { problem: "a subscription of a foreign-key join is damaged; delete the state to rebuild it".to_owned() }
}

fn number(value: &[u8]) -> Result<(u32, &[u8]), FoldError> {
    let (number, rest) = value.split_first_chunk::<4>().ok_or_else(damaged)?;
    Ok((u32::from_le_bytes(*number), rest))
}

fn keys_of(mut cell: &[u8]) -> Result<Vec<Vec<u8>>, FoldError> {
    let mut keys = Vec::new();
    while !cell.is_empty() {
        let (length, rest) = number(cell)?;
        let (key, rest) = rest.split_at_checked(length as usize).ok_or_else(damaged)?;
        keys.push(key.to_vec());
        cell = rest;
    }
    Ok(keys)
}

fn cell_of(keys: &[Vec<u8>]) -> Vec<u8> {
    let mut cell = Vec::new();
    for key in keys {
        cell.extend_from_slice(&(key.len() as u32).to_le_bytes());
        cell.extend_from_slice(key);
    }
    cell
}

impl SubscriptionStore {
    pub(crate) fn new(store: usize) -> Self {
        Self { store }
    }

    fn read(&self, names: &[Vec<u8>], stores: &mut [TaskStore]) -> Result<Vec<Option<Vec<u8>>>, FoldError> {
        let keys: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        let mut values = vec![None; keys.len()];
        let mut each = |index: usize, value: Option<&[u8]>| values[index] = value.map(<[u8]>::to_vec);
        stores[self.store].get_many(&keys, &mut each).map_err(FoldError::of)?;
        Ok(values)
    }

    fn read_one(&self, name: Vec<u8>, stores: &mut [TaskStore]) -> Result<Option<Vec<u8>>, FoldError> {
        Ok(self.read(&[name], stores)?.pop().flatten())
    }

    fn cells(&self, foreign: &[u8], stores: &mut [TaskStore]) -> Result<u32, FoldError> {
        let head = self.read_one(head_name(foreign), stores)?;
        head.map_or(Ok(0), |head| Ok(number(&head)?.0))
    }

    /// Writes an entry; `rest` is what stands behind the number of its cell.
    fn put_entry(&self, foreign: &[u8], key: &[u8], cell: u32, rest: &[u8], time: Timestamp, stores: &mut [TaskStore]) {
        let mut value = cell.to_le_bytes().to_vec();
        value.extend_from_slice(rest);
        stores[self.store].put(&entry_name(foreign, key), Some(&value), time);
    }

    fn put_head(&self, foreign: &[u8], cells: u32, time: Timestamp, stores: &mut [TaskStore]) {
        let value = cells.to_le_bytes();
        stores[self.store].put(&head_name(foreign), (cells > 0).then_some(&value[..]), time);
    }

    /// Adds a subscription, or renews the hash of one that is there.
    pub(crate) fn add(
        &self,
        foreign: &[u8],
        subscriber: &Subscriber,
        time: Timestamp,
        stores: &mut [TaskStore],
    ) -> Result<(), FoldError> {
        let Subscriber { key, hash, partition } = subscriber;
        let mut rest = partition.to_le_bytes().to_vec();
        rest.extend_from_slice(hash);
        if let Some(entry) = self.read_one(entry_name(foreign, key), stores)? {
            self.put_entry(foreign, key, number(&entry)?.0, &rest, time, stores);
            return Ok(());
        }
        let mut cells = self.cells(foreign, stores)?;
        let mut keys = match cells.checked_sub(1) {
            None => Vec::new(),
            Some(last) => keys_of(&self.read_one(cell_name(foreign, last), stores)?.ok_or_else(damaged)?)?,
        };
        if cells == 0 || keys.len() >= CELL_ENTRIES {
            keys.clear();
            cells += 1;
            self.put_head(foreign, cells, time, stores);
        }
        keys.push(key.clone());
        stores[self.store].put(&cell_name(foreign, cells - 1), Some(&cell_of(&keys)), time);
        self.put_entry(foreign, key, cells - 1, &rest, time, stores);
        Ok(())
    }

    /// Ends a subscription, if there is one.
    pub(crate) fn remove(
        &self,
        foreign: &[u8],
        key: &[u8],
        time: Timestamp,
        stores: &mut [TaskStore],
    ) -> Result<(), FoldError> {
        let Some(entry) = self.read_one(entry_name(foreign, key), stores)? else { return Ok(()) };
        let (own, _) = number(&entry)?;
        stores[self.store].put(&entry_name(foreign, key), None, time);
        let last = self.cells(foreign, stores)?.checked_sub(1).ok_or_else(damaged)?;
        let mut last_keys = keys_of(&self.read_one(cell_name(foreign, last), stores)?.ok_or_else(damaged)?)?;
        if own == last {
            last_keys.retain(|listed| listed != key);
        } else if let Some(moved) = last_keys.pop() {
            let mut keys = keys_of(&self.read_one(cell_name(foreign, own), stores)?.ok_or_else(damaged)?)?;
            let place = keys.iter().position(|listed| listed == key).ok_or_else(damaged)?;
            let entry = self.read_one(entry_name(foreign, &moved), stores)?.ok_or_else(damaged)?;
            self.put_entry(foreign, &moved, own, number(&entry)?.1, time, stores);
            keys[place] = moved;
            stores[self.store].put(&cell_name(foreign, own), Some(&cell_of(&keys)), time);
        }
        let cell = (!last_keys.is_empty()).then(|| cell_of(&last_keys));
        stores[self.store].put(&cell_name(foreign, last), cell.as_deref(), time);
        if last_keys.is_empty() {
            self.put_head(foreign, last, time, stores);
        }
        Ok(())
    }

    /// All that subscribe to a key, by their own keys.
    pub(crate) fn subscribers(&self, foreign: &[u8], stores: &mut [TaskStore]) -> Result<Vec<Subscriber>, FoldError> {
        let cells = self.cells(foreign, stores)?;
        let names: Vec<Vec<u8>> = (0..cells).map(|cell| cell_name(foreign, cell)).collect();
        let mut keys = Vec::new();
        for cell in self.read(&names, stores)? {
            keys.extend(keys_of(&cell.ok_or_else(damaged)?)?);
        }
        keys.sort_unstable();
        let names: Vec<Vec<u8>> = keys.iter().map(|key| entry_name(foreign, key)).collect();
        let entries = self.read(&names, stores)?;
        let subscriber = |(key, entry): (Vec<u8>, Option<Vec<u8>>)| {
            let entry = entry.ok_or_else(damaged)?;
            let (partition, hash) = number(number(&entry)?.1)?;
            Ok(Subscriber { key, hash: hash.to_vec(), partition: partition.cast_signed() })
        };
        keys.into_iter().zip(entries).map(subscriber).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{
        super::{MemoryStore, StoreRetention},
        *,
    };

    #[test]
    fn subscriptions_come_and_go_as_in_a_map() {
        let committed = MemoryStore::default();
        let rows = committed.rows();
        let mut stores = [TaskStore::new(Box::new(committed), StoreRetention::Forever)];
        let store = SubscriptionStore::new(0);
        let mut model: BTreeMap<(u8, Vec<u8>), Vec<u8>> = BTreeMap::new();
        let mut random = 7_u64;
        for step in 0..3_000_u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (foreign, key) = ((random >> 60) as u8 % 3, (random >> 40) % 150);
            let key = key.to_be_bytes().to_vec();
            // It grows first, then shrinks to nothing.
            let adds = if step < 1_500 {
                !(random >> 20).is_multiple_of(4)
            } else {
                (random >> 20).is_multiple_of(8) && step < 2_000
            };
            let hash = step.to_be_bytes().to_vec();
            let subscriber = Subscriber { key: key.clone(), hash: hash.clone(), partition: foreign.into() };
            if adds {
                store.add(&[foreign], &subscriber, Timestamp(0), &mut stores).expect("memory does not fail");
                model.insert((foreign, key), hash);
            } else {
                store.remove(&[foreign], &key, Timestamp(0), &mut stores).expect("memory does not fail");
                model.remove(&(foreign, key));
            }
            if step % 100 == 99 {
                for foreign in 0..3 {
                    let found = store.subscribers(&[foreign], &mut stores).expect("memory does not fail");
                    let expected = model.iter().filter(|((own, _), _)| *own == foreign);
                    let expected = expected.map(|((_, key), hash)| Subscriber {
                        key: key.clone(),
                        hash: hash.clone(),
                        partition: foreign.into(),
                    });
                    assert_eq!(found, expected.collect::<Vec<_>>(), "after {step}");
                }
                let changes = stores[0].changes();
                stores[0].apply(&changes, 1, step).expect("memory does not fail");
            }
        }
        let left: Vec<_> = model.keys().cloned().collect();
        for (foreign, key) in left {
            store.remove(&[foreign], &key, Timestamp(0), &mut stores).expect("memory does not fail");
        }
        let changes = stores[0].changes();
        stores[0].apply(&changes, 1, 4_000).expect("memory does not fail");
        assert!(rows.read().is_empty(), "nothing is left behind");
    }
}
