//! Time buffer: records that wait for their time, in the order in which it comes.
//!
//! Rows lie in a store, which brings them back after a restart; an index of their names is in memory. The order is that of Kafka Streams: by
//! timestamp, then by key, then as they came.
//!
//! ```text
//! timestamp (8) | key | number (8)   ->   row
//! ```

use std::collections::BTreeSet;

use super::{FoldError, TaskStore};
use crate::record::Timestamp;

/// The records that wait in a store.
pub(crate) struct TimeBuffer {
    store: usize,
    /// The names of what waits, and the number of the next one; `None` until the store was read.
    index: Option<(BTreeSet<Vec<u8>>, u64)>,
}

impl TimeBuffer {
    /// The records in store number `store`.
    pub(crate) fn new(store: usize) -> Self {
        Self { store, index: None }
    }

    fn index(&mut self, stores: &mut [TaskStore]) -> Result<&mut (BTreeSet<Vec<u8>>, u64), FoldError> {
        if self.index.is_none() {
            let (mut names, mut next) = (BTreeSet::new(), 0);
            let each = &mut |name: &[u8], _: &[u8]| {
                let number = name.last_chunk::<8>().map_or(0, |number| u64::from_be_bytes(*number));
                next = next.max(number + 1);
                names.insert(name.to_vec());
                true
            };
            stores[self.store].range(&[], None, each).map_err(FoldError::of)?;
            self.index = Some((names, next));
        }
        Ok(self.index.as_mut().expect("made above"))
    }

    /// Lets a row wait.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) fn add(&mut self, time: i64, key: &[u8], row: &[u8], stores: &mut [TaskStore]) -> Result<(), FoldError> {
        let (names, next) = self.index(stores)?;
        let mut name = Vec::with_capacity(16 + key.len());
        millstream_state::key::window_key(time, key, &mut name);
        name.extend_from_slice(&next.to_be_bytes());
        *next += 1;
        names.insert(name.clone());
        stores[self.store].put(&name, Some(row), Timestamp(time));
        Ok(())
    }

    /// The earliest timestamp of what waits; `None` if nothing does.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) fn first_time(&mut self, stores: &mut [TaskStore]) -> Result<Option<Timestamp>, FoldError> {
        let (names, _) = self.index(stores)?;
        let time = |name: &Vec<u8>| millstream_state::key::split_window_key(name).map(|(time, _)| Timestamp(time));
        Ok(names.first().and_then(time))
    }

    /// Takes out the rows of `until` and before, in order, each with its time.
    ///
    /// # Errors
    /// Those of the store, and damage.
    pub(crate) fn release(
        &mut self,
        until: Timestamp,
        stores: &mut [TaskStore],
    ) -> Result<Vec<(i64, Vec<u8>)>, FoldError> {
        let mut bound = Vec::new();
        millstream_state::key::window_key(until.millis().saturating_add(1), &[], &mut bound);
        let (names, _) = self.index(stores)?;
        let later = names.split_off(&bound);
        let due = std::mem::replace(names, later);
        if due.is_empty() {
            return Ok(Vec::new());
        }
        let due: Vec<Vec<u8>> = due.into_iter().collect();
        let asked: Vec<&[u8]> = due.iter().map(Vec::as_slice).collect();
        let mut rows: Vec<Option<Vec<u8>>> = vec![None; due.len()];
        let mut each = |place: usize, row: Option<&[u8]>| rows[place] = row.map(<[u8]>::to_vec);
        stores[self.store].get_many(&asked, &mut each).map_err(FoldError::of)?;
        let mut released = Vec::with_capacity(due.len());
        for (name, row) in due.iter().zip(rows) {
            let time = millstream_state::key::split_window_key(name).map(|(time, _)| time);
            let (time, row) = time.zip(row).ok_or_else(|| FoldError {
                problem: "a record that waits for a join is damaged; delete the state to rebuild it".to_owned(),
            })?;
            stores[self.store].put(name, None, Timestamp(time));
            released.push((time, row));
        }
        Ok(released)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{MemoryStore, StoreRetention},
        *,
    };

    #[test]
    fn records_leave_by_time_then_key_then_as_they_came_restarts_or_not() {
        let mut stores = [TaskStore::new(Box::new(MemoryStore::default()), StoreRetention::Forever)];
        let mut buffer = TimeBuffer::new(0);
        for (time, key, row) in [(5, "b", "1"), (5, "a", "2"), (3, "z", "3"), (5, "a", "4"), (9, "a", "5")] {
            buffer.add(time, key.as_bytes(), row.as_bytes(), &mut stores).expect("memory does not fail");
            buffer = TimeBuffer::new(0);
        }
        let mut check = |until: i64| {
            let released = buffer.release(Timestamp(until), &mut stores).expect("memory does not fail");
            released.into_iter().map(|(_, row)| String::from_utf8(row).expect("text")).collect::<Vec<_>>()
        };
        assert_eq!(check(2), [""; 0]);
        assert_eq!(check(5), ["3", "2", "4", "1"]);
        assert_eq!(check(8), [""; 0]);
        assert_eq!(check(9), ["5"]);
    }
}
