//! Versioned rows: the rows of a table with what they were before, for as long as history is kept.
//!
//! The newest version of each key lies in one store, as in any other table; that store is a view. What it has superseded lies in a second one,
//! by key and the time at which it ceased to hold, so that old history goes in whole buckets (see [`RecordStore`]).
//!
//! ```text
//! puts A@3, B@7, C@5        newest  B from 7        history  A from 3 until 5,  C from 5 until 7
//! ```
//!
//! Invariants: the versions of a key do not overlap; where none holds, the key has no row. Of history records that end at one time the last
//! counts. A deletion leaves a record that ends or begins at its time, so that versions put in later end there. A put is taken in if it
//! is not older than stream time - history; the highest time of a put is stream time, and kept beside the history.
//!
//! As Kafka Streams' versioned stores do (KIP-889).
//!
//! Who reads from outside gives closures over snapshots of both stores: first the clock is looked at, then versions are asked for.

use super::{
    FoldError, StoreRetention, TaskStore,
    record_store::{Kept, RecordStore},
    table_reader::GetMany,
};
use crate::record::{TimeSpan, Timestamp};

/// How many buckets the history of a key lies in at most, but for one.
const BUCKETS: i64 = 4;
/// Narrower buckets than this would only be more buckets.
const LEAST_WIDTH: i64 = 1_000;

/// The versions of the rows of one table on one partition.
///
/// ```
/// # use millstream::{operator::VersionedRows, record::{TimeSpan, Timestamp}};
/// let mut versions = VersionedRows::new(0, 1, TimeSpan::from_millis(1_000).unwrap());
/// // Two stores in which there is nothing.
/// let empty = |_: &[&[u8]], _: &mut dyn FnMut(usize, Option<&[u8]>)| Ok(());
/// let (mut latest, mut history) = (empty, empty);
/// versions.look_at_clock_in(&mut history).unwrap();
/// let found = versions.as_of(&[(b"key", Timestamp(5))], &mut latest, &mut history).unwrap();
/// assert_eq!(found, [None]);
/// ```
pub struct VersionedRows {
    latest: usize,
    history: RecordStore,
    store: usize,
    span: TimeSpan,
    /// Records for the history that were not written yet: key, end, version.
    appended: Vec<(Vec<u8>, i64, Vec<u8>)>,
}

/// A version of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Since when it holds.
    pub valid_from: Timestamp,
    /// Until before when; `None`: it is the newest.
    pub valid_to: Option<Timestamp>,
    /// The stored row.
    pub row: Vec<u8>,
}

/// What became of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is older than history is kept, and was left out.
    TooLate,
    /// It is the newest version of its key.
    Newest,
    /// There is a newer version of its key.
    Superseded,
}

/// A record of the history: until when what held, since when. No row: the key had none.
#[derive(Debug, Clone)]
struct Past {
    valid_from: i64,
    valid_to: i64,
    row: Option<Vec<u8>>,
}

/// The time of a stored row: its last column. The row encoding writes it as a byte and eight in the order of their values.
pub(crate) fn time_of(row: &[u8]) -> Result<i64, FoldError> {
    let bytes = row.last_chunk::<8>().ok_or_else(|| FoldError::of("a stored row has no time"))?;
    Ok((u64::from_be_bytes(*bytes) ^ (1 << 63)).cast_signed())
}

impl VersionedRows {
    /// Rows whose newest versions are in store number `latest`, the others in number `history`, for `span`.
    pub fn new(latest: usize, history: usize, span: TimeSpan) -> Self {
        let records = RecordStore::in_buckets(history, width(span), span);
        Self { latest, history: records, store: history, span, appended: Vec::new() }
    }

    /// How long the store of a history of this span keeps its buckets.
    pub fn history_retention(span: TimeSpan) -> StoreRetention {
        RecordStore::bucket_retention(width(span), span)
    }

    /// The highest time of a put.
    pub(crate) fn stream_time(&self) -> Timestamp {
        self.history.newest()
    }

    /// Takes stream time from the store.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) fn look_at_clock(&mut self, stores: &mut [TaskStore]) -> Result<(), FoldError> {
        let store = self.store;
        self.look_at_clock_in(&mut |keys, each| stores[store].get_many(keys, each))
    }

    /// The same from what `history` gives.
    ///
    /// # Errors
    /// Those of `history`.
    pub fn look_at_clock_in(&mut self, history: &mut GetMany<'_>) -> Result<(), FoldError> {
        let mut time = None;
        let mut each =
            |_: usize, value: Option<&[u8]>| time = value.and_then(|value| value.first_chunk::<8>().copied());
        history(&[&clock_name()], &mut each).map_err(FoldError::of)?;
        time.into_iter().for_each(|time| self.history.advance(Timestamp(i64::from_le_bytes(time))));
        Ok(())
    }

    /// Writes what was appended to the history, and stream time.
    ///
    /// # Errors
    /// Those of the stores.
    pub(crate) fn finish(&mut self, stores: &mut [TaskStore]) -> Result<(), FoldError> {
        self.write_history(stores)?;
        let time = self.history.newest();
        stores[self.store].put(&clock_name(), Some(&time.millis().to_le_bytes()), time);
        Ok(())
    }

    /// Makes `row` what `key` is from `time` on; none: it has no row from then on. `newest` is the newest row of the key, which follows.
    ///
    /// # Errors
    /// Those of the stores, and damage.
    pub(crate) fn put(
        &mut self,
        key: &[u8],
        row: Option<&[u8]>,
        time: i64,
        newest: &mut Option<Vec<u8>>,
        stores: &mut [TaskStore],
    ) -> Result<Put, FoldError> {
        let now = self.history.newest();
        if now != Timestamp::NONE && Timestamp(time) < now.minus(self.span) {
            return Ok(Put::TooLate);
        }
        self.history.advance(Timestamp(time));
        let head = newest.as_deref().map(time_of).transpose()?;
        let past = match head {
            Some(head) if time > head => Vec::new(),
            _ => self.past(key, time, stores)?,
        };
        let next = past.iter().find(|past| past.valid_to > time);
        match (head, next) {
            (Some(head), _) if time >= head => {
                if time > head {
                    self.append(key, time, head, newest.as_deref());
                } else if row.is_none() {
                    self.mark(key, time, &past);
                }
            }
            (None, None) => {
                if row.is_none() {
                    self.mark(key, time, &past);
                }
            }
            (head, next) => {
                let end = next
                    .map_or(head, |next| Some(if next.valid_from > time { next.valid_from } else { next.valid_to }));
                if let Some(next) = next.filter(|next| next.valid_from < time) {
                    self.append(key, time, next.valid_from, next.row.as_deref());
                }
                self.append(key, end.unwrap_or(time), time, row);
                return Ok(Put::Superseded);
            }
        }
        stores[self.latest].put(key, row, Timestamp(time));
        *newest = row.map(<[u8]>::to_vec);
        Ok(Put::Newest)
    }

    /// Remembers a deletion at `time`, unless a version ends there anyway.
    fn mark(&mut self, key: &[u8], time: i64, past: &[Past]) {
        if !past.iter().any(|past| past.valid_to == time) {
            self.append(key, time, time, None);
        }
    }

    fn append(&mut self, key: &[u8], valid_to: i64, valid_from: i64, row: Option<&[u8]>) {
        let mut version = valid_from.to_le_bytes().to_vec();
        version.extend_from_slice(row.unwrap_or_default());
        self.appended.push((key.to_vec(), valid_to, version));
    }

    fn write_history(&mut self, stores: &mut [TaskStore]) -> Result<(), FoldError> {
        let appended = std::mem::take(&mut self.appended);
        let records: Vec<Kept<'_>> = appended.iter().map(|(key, time, row)| Kept { key, time: *time, row }).collect();
        self.history.insert(&records, stores)
    }

    /// What of `key` ended at `from` or later, in the order of time.
    fn past(&mut self, key: &[u8], from: i64, stores: &mut [TaskStore]) -> Result<Vec<Past>, FoldError> {
        self.write_history(stores)?;
        let store = self.store;
        self.past_in(&[(key, from)], &mut |names, each| stores[store].get_many(names, each))
            .map(|mut past| past.remove(0))
    }

    /// The same of several keys, from what `history` gives.
    fn past_in(&self, wanted: &[(&[u8], i64)], history: &mut GetMany<'_>) -> Result<Vec<Vec<Past>>, FoldError> {
        let (oldest, now) = (self.history.oldest_visible(), self.history.newest());
        let range = |&(key, from): &(_, i64)| (key, Timestamp(from).max(oldest), now);
        if now == Timestamp::NONE {
            return Ok(wanted.iter().map(|_| Vec::new()).collect());
        }
        let loaded = self.history.load_from(wanted.iter().map(range), history)?;
        let past_of = |wanted| {
            let (key, from, to) = range(wanted);
            let mut past: Vec<Past> = Vec::new();
            for found in loaded.between(key, from, to) {
                let (valid_from, row) = loaded.row(found).split_first_chunk::<8>().ok_or_else(damaged)?;
                let row = (!row.is_empty()).then(|| row.to_vec());
                let version = Past { valid_from: i64::from_le_bytes(*valid_from), valid_to: found.time, row };
                match past.last_mut() {
                    Some(last) if last.valid_to == version.valid_to => *last = version,
                    _ => past.push(version),
                }
            }
            Ok(past)
        };
        wanted.iter().map(past_of).collect()
    }

    /// The version of each key that held at its time, if any did and is still kept. `latest` and `history` read the two stores.
    ///
    /// A time before stream time - history gives the newest version if that held then, else nothing.
    ///
    /// # Errors
    /// Those of `latest` and `history`, and damage.
    pub fn as_of(
        &self,
        wanted: &[(&[u8], Timestamp)],
        latest: &mut GetMany<'_>,
        history: &mut GetMany<'_>,
    ) -> Result<Vec<Option<Version>>, FoldError> {
        let mut found = self.newest(wanted, latest)?;
        let first = self.history.newest().minus(self.span);
        let holds = |version: &Option<Version>, time: Timestamp| {
            version.as_ref().is_some_and(|version| version.valid_from <= time)
        };
        let missing: Vec<usize> = (0..wanted.len()).filter(|&place| !holds(&found[place], wanted[place].1)).collect();
        missing.iter().for_each(|&place| found[place] = None);
        let missing: Vec<usize> = missing.into_iter().filter(|&place| wanted[place].1 >= first).collect();
        let asked = |&place: &usize| (wanted[place].0, wanted[place].1.millis().saturating_add(1));
        let asked: Vec<(&[u8], i64)> = missing.iter().map(asked).collect();
        for (place, past) in missing.into_iter().zip(self.past_in(&asked, history)?) {
            let first = past.into_iter().next().filter(|past| Timestamp(past.valid_from) <= wanted[place].1);
            found[place] = first.and_then(Past::version);
        }
        Ok(found)
    }

    /// The versions of a key that held at some time from `from` to `to`, both included, the oldest first.
    ///
    /// # Errors
    /// As [`as_of`](Self::as_of).
    pub fn between(
        &self,
        key: &[u8],
        from: Timestamp,
        to: Timestamp,
        latest: &mut GetMany<'_>,
        history: &mut GetMany<'_>,
    ) -> Result<Vec<Version>, FoldError> {
        let newest = self.newest(&[(key, to)], latest)?.remove(0).filter(|newest| newest.valid_from <= to);
        let kept = to >= self.history.newest().minus(self.span);
        let after = from.millis().saturating_add(1);
        let past = if kept { self.past_in(&[(key, after)], history)?.remove(0) } else { Vec::new() };
        let past = past.into_iter().filter(|past| past.valid_from <= to.millis()).filter_map(Past::version);
        Ok(past.chain(newest).collect())
    }

    fn newest(
        &self,
        wanted: &[(&[u8], Timestamp)],
        latest: &mut GetMany<'_>,
    ) -> Result<Vec<Option<Version>>, FoldError> {
        let keys: Vec<&[u8]> = wanted.iter().map(|(key, _)| *key).collect();
        let mut rows: Vec<Option<Vec<u8>>> = vec![None; keys.len()];
        latest(&keys, &mut |place, row| rows[place] = row.map(<[u8]>::to_vec)).map_err(FoldError::of)?;
        let version = |row: Vec<u8>| Ok(Version { valid_from: Timestamp(time_of(&row)?), valid_to: None, row });
        rows.into_iter().map(|row| row.map(version).transpose()).collect()
    }

    /// The version of each key that held at its time, from the stores of a task.
    ///
    /// # Errors
    /// As [`as_of`](Self::as_of).
    pub(crate) fn read(
        &mut self,
        wanted: &[(&[u8], Timestamp)],
        stores: &mut [TaskStore],
    ) -> Result<Vec<Option<Version>>, FoldError> {
        self.look_at_clock(stores)?;
        let stores = std::cell::RefCell::new(stores);
        let read = |store: usize| {
            let stores = &stores;
            move |keys: &[&[u8]], each: &mut dyn FnMut(usize, Option<&[u8]>)| {
                stores.borrow_mut()[store].get_many(keys, each)
            }
        };
        self.as_of(wanted, &mut read(self.latest), &mut read(self.store))
    }
}

impl Past {
    fn version(self) -> Option<Version> {
        let (valid_from, valid_to) = (Timestamp(self.valid_from), Some(Timestamp(self.valid_to)));
        self.row.map(|row| Version { valid_from, valid_to, row })
    }
}

fn width(span: TimeSpan) -> i64 {
    (span.millis() / BUCKETS).max(LEAST_WIDTH)
}

/// Where stream time lies among the cells of the history: behind all, so that it never expires.
fn clock_name() -> Vec<u8> {
    let mut name = Vec::new();
    millstream_state::key::window_key(i64::MAX, b"clock", &mut name);
    name
}

fn damaged() -> FoldError {
    FoldError { problem: "a version of a row is damaged; delete the state to rebuild it".to_owned() }
}
