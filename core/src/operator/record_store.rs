//! Record store: the records of one stream by key and time, duplicates included, for as long as a join may look for them.
//!
//! Time is cut into buckets as wide as a join window, so that a window touches two buckets at most. The records of a key in a bucket
//! lie in cells, which are read by name: no scan is needed. New records go to the head; a head that is full becomes a sealed cell,
//! which is never written again. A bucket expires as a whole.
//!
//! ```text
//! head      bucket | key | 0    ->  number of sealed cells, then up to 16 records
//! sealed n  bucket | key | n    ->  16 records, those of n older than those of n + 1
//! record    timestamp (8), length (4), row
//! ```
//!
//! The store has its own clock, the highest timestamp in it, as in Kafka Streams: a record is visible while its timestamp is above
//! clock - retention, and is not taken in after that.

use std::ops::Range;

use foldhash::fast::RandomState;

use super::{FoldError, StateLayout, StoreRetention, TaskStore, table_reader::GetMany};
use crate::{
    record::{TimeSpan, Timestamp},
    window::{JoinWindows, TimeWindows},
};

/// How many records a cell holds.
const CELL_RECORDS: usize = 16;
/// Narrower buckets than this would only be more buckets.
const LEAST_WIDTH: i64 = 1_000;

/// The records of one side of a join.
pub(crate) struct RecordStore {
    store: usize,
    width: i64,
    retention: TimeSpan,
    newest: Timestamp,
}

/// A record to be kept.
pub(crate) struct Kept<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) time: i64,
    pub(crate) row: &'a [u8],
}

/// By start of the bucket and key.
type CellMap<'a, V> = hashbrown::HashMap<(i64, &'a [u8]), V, RandomState>;

/// Where a record that was read lies.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) time: i64,
    /// Its row among the bytes of [`Loaded`].
    pub(crate) row: Range<usize>,
    /// Sealed cells come before the head.
    cell: u32,
}

/// The records of the keys and buckets that were asked for, by time, those of one time as they came.
#[derive(Default)]
pub(crate) struct Loaded<'a> {
    cells: CellMap<'a, Vec<Found>>,
    bytes: Vec<u8>,
    width: i64,
}

/// The layout of a store whose rows are no rows of columns.
#[derive(Debug)]
pub struct OpaqueRows;

impl StateLayout for OpaqueRows {
    fn state_fields(&self) -> Vec<arrow::datatypes::FieldRef> {
        Vec::new()
    }

    fn result_fields(&self) -> Vec<arrow::datatypes::FieldRef> {
        Vec::new()
    }

    fn results_of(&self, _states: &[arrow::array::ArrayRef]) -> Result<Vec<arrow::array::ArrayRef>, FoldError> {
        Ok(Vec::new())
    }

    fn is_readable(&self) -> bool {
        false
    }
}

impl Loaded<'_> {
    /// The records of `key` from `from` to `to`, both included.
    pub(crate) fn between<'s>(
        &'s self,
        key: &'s [u8],
        from: Timestamp,
        to: Timestamp,
    ) -> impl Iterator<Item = &'s Found> {
        let (from, to) = (from.millis(), to.millis());
        let buckets = if from > to { 0..0 } else { from.div_euclid(self.width)..to.div_euclid(self.width) + 1 };
        buckets.filter_map(move |bucket| self.cells.get(&(bucket * self.width, key))).flat_map(move |records| {
            let first = records.partition_point(|found| found.time < from);
            records[first..].iter().take_while(move |found| found.time <= to)
        })
    }

    /// The row of a record.
    pub(crate) fn row(&self, found: &Found) -> &[u8] {
        &self.bytes[found.row.clone()]
    }
}

impl RecordStore {
    /// The records in store number `store` that `windows` may ask for, each kept for `retention`.
    pub(crate) fn new(store: usize, windows: &JoinWindows, retention: TimeSpan) -> Self {
        Self::in_buckets(store, width(windows), retention)
    }

    /// The records in store number `store`, each kept for `retention`, in buckets of `width` milliseconds.
    pub(crate) fn in_buckets(store: usize, width: i64, retention: TimeSpan) -> Self {
        Self { store, width, retention, newest: Timestamp::NONE }
    }

    /// How long such a store keeps its buckets: until the last record of one is invisible.
    pub(crate) fn store_retention(windows: &JoinWindows, retention: TimeSpan) -> StoreRetention {
        Self::bucket_retention(width(windows), retention)
    }

    /// The same for buckets of `width` milliseconds.
    pub(crate) fn bucket_retention(width: i64, retention: TimeSpan) -> StoreRetention {
        let whole = TimeSpan::from_millis(retention.millis().saturating_add(width));
        let size = TimeSpan::from_millis(width).unwrap_or_default();
        let windows = TimeWindows::tumbling(size, TimeSpan::ZERO).expect("a bucket is at least a millisecond wide");
        StoreRetention::Windows { windows, retention: whole.unwrap_or_default() }
    }

    /// The highest timestamp of a record in it.
    pub(crate) fn newest(&self) -> Timestamp {
        self.newest
    }

    /// Moves the clock up to `time` if it is behind.
    pub(crate) fn advance(&mut self, time: Timestamp) {
        self.newest = self.newest.max(time);
    }

    /// The lowest timestamp that is visible.
    pub(crate) fn oldest_visible(&self) -> Timestamp {
        Timestamp(self.newest.minus(self.retention).millis().saturating_add(1))
    }

    /// Reads the buckets of each key that hold times of its range; both ends are included.
    ///
    /// # Errors
    /// Those of the store, and damage.
    pub(crate) fn load<'a>(
        &self,
        wanted: impl Iterator<Item = (&'a [u8], Timestamp, Timestamp)>,
        stores: &mut [TaskStore],
    ) -> Result<Loaded<'a>, FoldError> {
        self.load_from(wanted, &mut |names, each| stores[self.store].get_many(names, each))
    }

    /// The same, of cells that `get_many` gives.
    ///
    /// # Errors
    /// Those of `get_many`, and damage.
    pub(crate) fn load_from<'a>(
        &self,
        wanted: impl Iterator<Item = (&'a [u8], Timestamp, Timestamp)>,
        get_many: &mut GetMany<'_>,
    ) -> Result<Loaded<'a>, FoldError> {
        let mut loaded = Loaded { width: self.width, ..Loaded::default() };
        let mut cells: Vec<(i64, &[u8])> = Vec::new();
        for (key, from, to) in wanted.filter(|(_, from, to)| from <= to) {
            for bucket in from.millis().div_euclid(self.width)..=to.millis().div_euclid(self.width) {
                let cell = (bucket * self.width, key);
                if loaded.cells.insert(cell, Vec::new()).is_none() {
                    cells.push(cell);
                }
            }
        }
        let mut sealed: Vec<(usize, u32)> = Vec::new();
        let names = Names::of(cells.iter().map(|&cell| (cell, 0)));
        read(&names, get_many, &mut |cell, value| {
            let (count, records) = split_head(value)?;
            sealed.extend((1..=count).map(|number| (cell, number)));
            loaded.take(cells[cell], u32::MAX, records)
        })?;
        let names = Names::of(sealed.iter().map(|&(cell, number)| (cells[cell], number)));
        read(&names, get_many, &mut |name, value| {
            let (cell, number) = sealed[name];
            loaded.take(cells[cell], number, value)
        })?;
        for records in loaded.cells.values_mut() {
            if !records.is_sorted_by_key(|found| (found.time, found.cell)) {
                records.sort_by_key(|found| (found.time, found.cell));
            }
        }
        Ok(loaded)
    }

    /// Takes records in, those of one key in their order. They must be visible.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub(crate) fn insert(&self, records: &[Kept<'_>], stores: &mut [TaskStore]) -> Result<(), FoldError> {
        let mut cells: Vec<(i64, &[u8])> = Vec::new();
        let mut index: CellMap<'_, usize> = CellMap::default();
        let mut added: Vec<Vec<&Kept<'_>>> = Vec::new();
        for record in records {
            let cell = (record.time.div_euclid(self.width) * self.width, record.key);
            let place = *index.entry(cell).or_insert_with(|| {
                cells.push(cell);
                added.push(Vec::new());
                cells.len() - 1
            });
            added[place].push(record);
        }
        let names = Names::of(cells.iter().map(|&cell| (cell, 0)));
        let mut heads: Vec<Head> = (0..cells.len()).map(|_| Head::default()).collect();
        read(&names, &mut |names, each| stores[self.store].get_many(names, each), &mut |cell, value| {
            let (sealed, content) = split_head(value)?;
            let count = records_of(content).count();
            heads[cell] = Head { sealed, count, content: content.to_vec() };
            Ok(())
        })?;
        let store = &mut stores[self.store];
        for ((place, mut head), added) in heads.into_iter().enumerate().zip(&added) {
            let name = names.get(place);
            let newest = Timestamp(added.iter().map(|record| record.time).max().unwrap_or_default());
            for record in added {
                if head.count == CELL_RECORDS {
                    head.sealed += 1;
                    let mut sealed = name[..name.len() - 4].to_vec();
                    sealed.extend_from_slice(&head.sealed.to_be_bytes());
                    store.put(&sealed, Some(&head.content), newest);
                    (head.count, head.content) = (0, Vec::new());
                }
                head.push(record)?;
            }
            let mut value = head.sealed.to_le_bytes().to_vec();
            value.extend_from_slice(&head.content);
            store.put(name, Some(&value), newest);
        }
        Ok(())
    }
}

fn read(names: &Names, get_many: &mut GetMany<'_>, each: &mut ReadCell<'_>) -> Result<(), FoldError> {
    if names.ends.is_empty() {
        return Ok(());
    }
    let keys: Vec<&[u8]> = (0..names.ends.len()).map(|place| names.get(place)).collect();
    let mut damage = Ok(());
    let mut visit = |index: usize, value: Option<&[u8]>| {
        if let (Some(value), true) = (value, damage.is_ok()) {
            damage = each(index, value);
        }
    };
    get_many(&keys, &mut visit).map_err(FoldError::of)?;
    damage
}

/// Takes the number of a name and the cell that it has.
type ReadCell<'a> = dyn FnMut(usize, &[u8]) -> Result<(), FoldError> + 'a;

/// The newest records of a key in a bucket.
#[derive(Default)]
struct Head {
    sealed: u32,
    count: usize,
    content: Vec<u8>,
}

impl Head {
    fn push(&mut self, record: &Kept<'_>) -> Result<(), FoldError> {
        let length = u32::try_from(record.row.len()).map_err(FoldError::of)?;
        self.content.extend_from_slice(&record.time.to_le_bytes());
        self.content.extend_from_slice(&length.to_le_bytes());
        self.content.extend_from_slice(record.row);
        self.count += 1;
        Ok(())
    }
}

impl<'a> Loaded<'a> {
    fn take(&mut self, cell: (i64, &'a [u8]), number: u32, content: &[u8]) -> Result<(), FoldError> {
        let records = self.cells.entry(cell).or_default();
        for record in records_of(content) {
            let (time, row) = record?;
            let start = self.bytes.len();
            self.bytes.extend_from_slice(row);
            records.push(Found { time, row: start..self.bytes.len(), cell: number });
        }
        Ok(())
    }
}

fn width(windows: &JoinWindows) -> i64 {
    windows.before().millis().saturating_add(windows.after().millis()).max(LEAST_WIDTH)
}

/// The names of some cells, one after another.
#[derive(Default)]
struct Names {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Names {
    /// The names of numbered cells of keys in buckets.
    fn of<'a>(cells: impl Iterator<Item = ((i64, &'a [u8]), u32)>) -> Self {
        let mut names = Self::default();
        for ((start, key), number) in cells {
            millstream_state::key::window_key(start, key, &mut names.bytes);
            names.bytes.extend_from_slice(&number.to_be_bytes());
            names.ends.push(names.bytes.len());
        }
        names
    }

    fn get(&self, place: usize) -> &[u8] {
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[place]]
    }
}

fn damaged() -> FoldError {
    FoldError { problem: "a cell of a join's records is damaged; delete the state to rebuild it".to_owned() }
}

fn split_head(value: &[u8]) -> Result<(u32, &[u8]), FoldError> {
    let (count, records) = value.split_first_chunk::<4>().ok_or_else(damaged)?;
    Ok((u32::from_le_bytes(*count), records))
}

/// The records of a cell: timestamps and rows.
fn records_of(mut content: &[u8]) -> impl Iterator<Item = Result<(i64, &[u8]), FoldError>> {
    std::iter::from_fn(move || {
        if content.is_empty() {
            return None;
        }
        let record = content.split_first_chunk::<8>().and_then(|(time, rest)| {
            let (length, rest) = rest.split_first_chunk::<4>()?;
            let (row, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            Some((i64::from_le_bytes(*time), row, rest))
        });
        let Some((time, row, rest)) = record else {
            content = &[];
            return Some(Err(damaged()));
        };
        content = rest;
        Some(Ok((time, row)))
    })
}

#[cfg(test)]
mod tests {
    use super::{super::MemoryStore, *};

    fn span(millis: i64) -> TimeSpan {
        TimeSpan::from_millis(millis).expect("not negative")
    }

    /// Inserts `times`, each with its number as its row, then reads from `from` to `to`.
    fn check(times: &[i64], from: i64, to: i64) -> Vec<(i64, usize)> {
        let windows = JoinWindows::new(span(600), span(600)).with_grace(span(0));
        let store = RecordStore::new(0, &windows, windows.retention());
        let mut stores = [TaskStore::new(
            Box::new(MemoryStore::default()),
            RecordStore::store_retention(&windows, windows.retention()),
        )];
        for (number, &time) in times.iter().enumerate() {
            let row = number.to_string();
            let kept = [Kept { key: b"k", time, row: row.as_bytes() }, Kept { key: b"other", time, row: b"x" }];
            store.insert(&kept, &mut stores).expect("memory does not fail");
        }
        let (from, to) = (Timestamp(from), Timestamp(to));
        let loaded = store.load([(&b"k"[..], from, to)].into_iter(), &mut stores).expect("memory does not fail");
        let row = |found: &Found| String::from_utf8_lossy(loaded.row(found)).parse().expect("a number");
        loaded.between(b"k", from, to).map(|found| (found.time, row(found))).collect()
    }

    #[test]
    fn records_are_read_by_time_and_those_of_one_time_as_they_came() {
        assert_eq!(check(&[5, 3, 5, 9_000], 0, 10), [(3, 1), (5, 0), (5, 2)]);
        assert_eq!(check(&[1_199, 1_200, 1_201], 1_199, 1_200), [(1_199, 0), (1_200, 1)]);
        assert_eq!(check(&[5], 6, 4), []);
        let many: Vec<i64> = (0..100).map(|number| 50 - number % 3).collect();
        let mut expected: Vec<(i64, usize)> = many.iter().copied().zip(0..).collect();
        expected.sort_by_key(|&(time, _)| time);
        assert_eq!(check(&many, 0, 100), expected);
    }

    #[test]
    fn the_clock_decides_what_is_visible() {
        let mut store = RecordStore::new(0, &JoinWindows::new(span(10), span(10)).with_grace(span(5)), span(25));
        store.advance(Timestamp(100));
        store.advance(Timestamp(90));
        assert_eq!((store.newest(), store.oldest_visible()), (Timestamp(100), Timestamp(76)));
    }

    #[test]
    fn buckets_expire_when_no_record_of_them_is_visible() {
        let windows = JoinWindows::new(span(1_000), span(0)).with_grace(span(500));
        let (mut store, committed) = (RecordStore::new(0, &windows, windows.retention()), MemoryStore::default());
        let rows = committed.rows();
        let mut stores =
            [TaskStore::new(Box::new(committed), RecordStore::store_retention(&windows, windows.retention()))];
        for (time, left) in [(100, 1), (999, 1), (1_000, 2), (2_500, 3), (3_600, 2), (10_000, 1)] {
            store.advance(Timestamp(time));
            store.insert(&[Kept { key: b"k", time, row: b"r" }], &mut stores).expect("memory does not fail");
            let changes = stores[0].changes();
            stores[0].apply(&changes, 1, 1).expect("memory does not fail");
            assert_eq!(rows.read().len(), left, "buckets after {time}");
            let visible = store.oldest_visible();
            let wanted = [(&b"k"[..], visible, Timestamp(time))];
            let loaded = store.load(wanted.into_iter(), &mut stores).expect("memory does not fail");
            assert!(loaded.between(b"k", visible, Timestamp(time)).count() > 0);
        }
    }

    #[test]
    fn a_damaged_cell_is_an_error() {
        assert!(records_of(&[1, 2, 3]).any(|record| record.is_err()));
        assert!(split_head(&[1]).is_err());
    }
}
