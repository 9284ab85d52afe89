//! Row TTL: a table whose rows go when they have not been updated for a while of event time.
//!
//! A row is there while `its timestamp + TTL > stream time`; stream time is the highest timestamp of the rows that the table has seen on its
//! partition, and is committed with the offsets. So what is left is the newest record of each key without those that have expired: the same
//! whatever the batches, commits and restarts. No clock is read: a table that nobody writes to keeps its rows.
//!
//! ```text
//! TTL 10     a at 0    b at 4    c at 11             a goes at 11, with the timestamp 10 at which it expired
//!            a at 0    a at 7    c at 11             a stays until 17
//!            c at 11   a at 1                        a is late; it takes an earlier row of its key with it
//!            a at 0    b deleted at 11               a stays
//! ```
//!
//! A deletion deletes whatever its timestamp, and does not move stream time: where timestamps are in a column it has none but that of the
//! record, which may be far ahead, and some operators above keep deletions of what was not there to themselves.
//!
//! Under [`EmitPolicy::Record`] rows go at the record that lets them expire, before its own change is passed on. Under
//! [`EmitPolicy::Commit`] they go at the commit, and before if their key changes: the changes of a key are the same, but those of different
//! keys come in another order. Rows that expire together go in the order of their timestamps, then keys, in several batches if there are many.
//!
//! A row that has expired when it comes is a dead letter, and so is a record without key.
//!
//! # State
//! The rows, and beside them an index by time with one entry a row and where that entry is. The entry is never later than the timestamp of its
//! row, so that expiry reads no more of it than is due. An update that is newer than its row leaves the entry where it is; when it is due it is
//! moved to where the row then is. So a row costs one entry written and one moved a TTL, however often it is updated; it is looked up
//! when its row is deleted or becomes older. In memory are the next entries, some ten thousand at most.
//!
//! After Flink SQL's state TTL, in event time.

mod index;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use self::index::TimeIndex;
use super::{
    Context, EmitPolicy, FoldError, IdentityRows, Operator, OperatorError, Reason,
    fold::scatter,
    table::{drop_null_keys, stored_fields},
    task_store::TaskStore,
};
use crate::{
    Batch,
    batch::Before,
    record::{TimeSpan, Timestamp},
    row::RowCodec,
    schema::StreamSchema,
};
use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array},
    buffer::NullBuffer,
    datatypes::Int64Type,
};

/// What a table with a TTL is built from.
#[derive(Clone)]
pub struct RowTtlSettings {
    /// The number of the store of rows in the task.
    pub store: usize,
    /// The number of the store of the index in the task.
    pub index: usize,
    /// How long a row stays after its timestamp.
    pub ttl: TimeSpan,
    /// The columns; keys have no windows.
    pub schema: Arc<StreamSchema>,
    /// When expired rows go.
    pub emit: EmitPolicy,
    /// Whether someone below needs to know what was there before.
    pub needs_before: bool,
}

/// Keeps a table in a store and deletes rows that have expired.
pub struct RowTtl {
    settings: RowTtlSettings,
    keys: RowCodec,
    rows: RowCodec,
    stream_time: Timestamp,
    index: TimeIndex,
}

/// A stored row.
struct Stored {
    bytes: Vec<u8>,
    time: i64,
}

/// A change that is passed on: of which row of the batch, what it leaves and what was there.
struct Step {
    row: u32,
    time: i64,
    is_there: bool,
    before: Option<Vec<u8>>,
}

impl RowTtl {
    /// A table in which nothing has expired yet.
    ///
    /// # Errors
    /// [`FoldError`] if a column has no row encoding.
    pub fn new(settings: RowTtlSettings) -> Result<Self, FoldError> {
        let layout = IdentityRows::new(settings.schema.value().to_vec());
        Ok(Self {
            keys: RowCodec::new(settings.schema.key()).map_err(FoldError::of)?,
            rows: RowCodec::new(&stored_fields(&layout)).map_err(FoldError::of)?,
            stream_time: Timestamp::NONE,
            index: TimeIndex::new(settings.ttl),
            settings,
        })
    }

    /// The highest timestamp of rows that have expired at this stream time.
    fn expired_until(&self, stream_time: Timestamp) -> i64 {
        stream_time.minus(self.settings.ttl).millis()
    }

    fn expires_at(&self, time: i64) -> i64 {
        Timestamp(time).plus(self.settings.ttl).millis()
    }

    /// Takes rows, and lets others expire in between if each record is to be followed.
    fn process(&mut self, batch: &Batch, context: &mut Context<'_>) -> Result<(), FoldError> {
        let times = batch.times().values();
        let is_row = |row: usize| batch.present().is_none_or(|present| present.is_valid(row));
        let stream_times = times.iter().enumerate().scan(self.stream_time, |newest, (row, &time)| {
            if is_row(row) {
                *newest = (*newest).max(Timestamp(time));
            }
            Some(*newest)
        });
        let stream_times: Vec<Timestamp> = stream_times.collect();
        let newest = *stream_times.last().unwrap_or(&self.stream_time);
        let (mut from, mut earliest) = (0, i64::MAX);
        if self.settings.emit == EmitPolicy::Record {
            self.index.load(self.expired_until(newest), &mut context.stores[self.settings.index])?;
            for (row, &stream_time) in stream_times.iter().enumerate() {
                let expired = self.expired_until(stream_time);
                if self.index.next().min(earliest) <= expired {
                    self.upsert(batch, from..row, &stream_times, context)?;
                    (from, earliest) = (row, i64::MAX);
                    self.expire(expired, context)?;
                }
                // A row that is expired as it comes is not kept.
                if is_row(row) && times[row] > expired {
                    earliest = earliest.min(times[row]);
                }
            }
        }
        self.upsert(batch, from..batch.len(), &stream_times, context)?;
        self.stream_time = newest;
        Ok(())
    }

    /// Writes a stretch of rows and passes the changes on.
    fn upsert(
        &mut self,
        batch: &Batch,
        stretch: std::ops::Range<usize>,
        stream_times: &[Timestamp],
        context: &mut Context<'_>,
    ) -> Result<(), FoldError> {
        if stretch.is_empty() {
            return Ok(());
        }
        let part = batch.slice(stretch.start, stretch.len());
        let stream_times = &stream_times[stretch];
        let is_row = |row: usize| part.present().is_none_or(|present| present.is_valid(row));
        let is_late = |row: usize| is_row(row) && part.times().value(row) <= self.expired_until(stream_times[row]);
        let late: Vec<usize> = (0..part.len()).filter(|&row| is_late(row)).collect();
        let keys = self.keys.encode_binary(part.keys()).map_err(FoldError::of)?;
        let mut columns = part.values().to_vec();
        columns.push(Arc::clone(part.rows().column(part.schema().time_index())));
        let rows = self.rows.encode_binary(&columns).map_err(FoldError::of)?;
        let distinct: Vec<&[u8]> = (0..keys.len()).map(|row| keys.value(row)).collect();
        let found = self.read(&distinct, &mut context.stores[self.settings.store])?;
        // Where the entries are has to be known of rows that are deleted or become older.
        let moves = |row: usize, stored: &Stored| !is_row(row) || is_late(row) || part.times().value(row) < stored.time;
        let asked = found.iter().enumerate().filter_map(|(row, stored)| {
            let stored = stored.as_ref().filter(|stored| moves(row, stored))?;
            Some((distinct[row], stored.time))
        });
        let (asked, stored_times): (Vec<&[u8]>, Vec<i64>) = asked.unzip();
        let times = TimeIndex::times_of(&asked, &mut context.stores[self.settings.index])?;
        let times = times.into_iter().zip(stored_times).map(|(time, stored)| time.unwrap_or(stored));
        let mut entries: HashMap<&[u8], i64> = asked.into_iter().zip(times).collect();
        let mut now: HashMap<&[u8], Option<Stored>> = HashMap::with_capacity(keys.len());
        for (row, stored) in found.into_iter().enumerate() {
            now.entry(distinct[row]).or_insert(stored);
        }

        let every = self.settings.emit == EmitPolicy::Record;
        let mut steps = Vec::with_capacity(part.len());
        for (row, &key) in distinct.iter().enumerate() {
            let time = part.times().value(row);
            let expired = self.expired_until(stream_times[row]);
            let mut before = now.remove(key).flatten();
            let had_entry = before.is_some();
            if let Some(gone) = before.take_if(|before| before.time <= expired) {
                let time = self.expires_at(gone.time);
                steps.push(Step { row: row as u32, time, is_there: false, before: Some(gone.bytes) });
            }
            let wanted = is_row(row);
            let is_there = wanted && time > expired;
            let entry = entries.get(key).copied().filter(|_| had_entry);
            let index = &mut context.stores[self.settings.index];
            // The entry of a row that was not asked for is earlier than this one.
            if let Some(entry) = entry.filter(|&entry| !is_there || time < entry) {
                self.index.remove(entry, key, index);
                entries.remove(key);
            }
            if is_there && (!had_entry || entry.is_some_and(|entry| time < entry)) {
                self.index.add(time, key, index);
                entries.insert(key, time);
            }
            let after = is_there.then(|| Stored { bytes: rows.value(row).to_vec(), time });
            let moment = if wanted && !is_there { self.expires_at(time) } else { time };
            let bytes = after.as_ref().map(|row| row.bytes.as_slice());
            context.stores[self.settings.store].put(key, bytes, Timestamp(moment));
            if is_there || before.is_some() || (every && !wanted) {
                let before = before.map(|before| before.bytes);
                steps.push(Step { row: row as u32, time: moment, is_there, before });
            }
            now.insert(key, after);
        }
        let problem = |row: usize| {
            let (time, stream_time, ttl) = (Timestamp(part.times().value(row)), stream_times[row], self.settings.ttl);
            (
                row,
                format!("the row of {time} had expired when it came: the row TTL is {ttl}, stream time {stream_time}"),
            )
        };
        context.reject(&part, Reason::Late, late.into_iter().map(problem));
        context.output.extend(self.changes(&part, steps)?);
        Ok(())
    }

    /// Steps as changes, in their order.
    fn changes(&self, part: &Batch, steps: Vec<Step>) -> Result<Option<Batch>, FoldError> {
        if steps.is_empty() {
            return Ok(None);
        }
        let taken =
            part.take(&UInt32Array::from_iter_values(steps.iter().map(|step| step.row))).map_err(FoldError::of)?;
        let mut columns = taken.rows().columns().to_vec();
        columns[part.schema().time_index()] =
            Arc::new(Int64Array::from_iter_values(steps.iter().map(|step| step.time)));
        let present = NullBuffer::from_iter(steps.iter().map(|step| step.is_there));
        let before: Vec<Option<Vec<u8>>> = steps.into_iter().map(|step| step.before).collect();
        let changes = Batch::new(Arc::clone(&self.settings.schema), columns)
            .with_present(Some(present).filter(|present| present.null_count() > 0))
            .with_before(self.before(&before)?)
            .with_headers(taken.headers().cloned());
        Ok(Some(changes))
    }

    fn before(&self, rows: &[Option<Vec<u8>>]) -> Result<Option<Before>, FoldError> {
        if !self.settings.needs_before {
            return Ok(None);
        }
        let states = self.rows.decode(rows.iter().flatten().map(Vec::as_slice)).map_err(FoldError::of)?;
        let had: Vec<usize> = (0..rows.len()).filter(|&row| rows[row].is_some()).collect();
        let values = scatter(&states[..states.len() - 1], &had, rows.len())?;
        Ok(Some(Before { values, present: Some(NullBuffer::from_iter(rows.iter().map(Option::is_some))) }))
    }

    /// The stored rows of keys.
    fn read(&self, keys: &[&[u8]], store: &mut TaskStore) -> Result<Vec<Option<Stored>>, FoldError> {
        let mut found: Vec<Option<Vec<u8>>> = vec![None; keys.len()];
        store.get_many(keys, &mut |row, value| found[row] = value.map(<[u8]>::to_vec)).map_err(FoldError::of)?;
        let states = self.rows.decode(found.iter().flatten().map(Vec::as_slice)).map_err(FoldError::of)?;
        let times = states.last().ok_or_else(|| FoldError::of("a stored row has no timestamp"))?;
        let mut times = times.as_primitive::<Int64Type>().values().iter();
        let stored = |bytes: Option<Vec<u8>>| {
            let bytes = bytes?;
            times.next().map(|&time| Stored { bytes, time })
        };
        Ok(found.into_iter().map(stored).collect())
    }

    /// Deletes rows with timestamps up to `until` and passes the changes on, a chunk at a time.
    fn expire(&mut self, until: i64, context: &mut Context<'_>) -> Result<(), FoldError> {
        while self.index.load(until, &mut context.stores[self.settings.index])? {
            let due = self.index.take(until);
            let gone = self.expire_due(due, until, context.stores)?;
            context.output.extend(gone);
        }
        Ok(())
    }

    /// Deletes the rows of entries; entries of rows whose turn is later move to where those are.
    fn expire_due(
        &mut self,
        due: Vec<(i64, Vec<u8>)>,
        until: i64,
        stores: &mut [TaskStore],
    ) -> Result<Option<Batch>, FoldError> {
        let keys: Vec<&[u8]> = due.iter().map(|(_, key)| key.as_slice()).collect();
        let found = self.read(&keys, &mut stores[self.settings.store])?;
        // Rows of entries that are still to come may be earlier than some of these.
        let last = due.last().filter(|_| self.index.next() <= until).map(|(time, key)| (*time, key.as_slice()));
        let is_due = |time: i64, key: &[u8]| time <= until && last.is_none_or(|last| (time, key) <= last);
        let mut gone: BTreeMap<(i64, &[u8]), Vec<u8>> = BTreeMap::new();
        for ((time, key), stored) in due.iter().zip(found) {
            self.index.remove(*time, key, &mut stores[self.settings.index]);
            match stored {
                Some(row) if is_due(row.time, key) => drop(gone.insert((row.time, key), row.bytes)),
                Some(row) => self.index.add(row.time, key, &mut stores[self.settings.index]),
                None => {}
            }
        }
        if gone.is_empty() {
            return Ok(None);
        }
        let mut columns = self.keys.decode(gone.keys().map(|(_, key)| *key)).map_err(FoldError::of)?;
        columns.extend(self.rows.decode(gone.values().map(Vec::as_slice)).map_err(FoldError::of)?);
        columns.pop();
        let times: Vec<i64> = gone.keys().map(|(time, _)| self.expires_at(*time)).collect();
        for ((_, key), &time) in gone.keys().zip(&times) {
            stores[self.settings.store].put(key, None, Timestamp(time));
        }
        let before: Vec<Option<Vec<u8>>> = gone.into_values().map(Some).collect();
        let rows = times.len();
        columns.extend([Arc::new(Int64Array::from(times)) as ArrayRef, Batch::no_offsets(rows)]);
        let deleted = Batch::new(Arc::clone(&self.settings.schema), columns)
            .with_present(Some(NullBuffer::new_null(rows)))
            .with_before(self.before(&before)?);
        Ok(Some(deleted))
    }
}

impl Operator for RowTtl {
    fn on_batch(&mut self, batch: Batch, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let batch = drop_null_keys(batch, context)?;
        if batch.is_empty() {
            return Ok(());
        }
        self.process(&batch, context).map_err(|error| context.error(error))
    }

    fn on_flush(&mut self, context: &mut Context<'_>) -> Result<(), OperatorError> {
        self.expire(self.expired_until(self.stream_time), context).map_err(|error| context.error(error))
    }

    fn stream_time(&self) -> Option<Timestamp> {
        Some(self.stream_time)
    }

    fn restore_stream_time(&mut self, stream_time: Timestamp) {
        self.stream_time = self.stream_time.max(stream_time);
    }
}

#[cfg(test)]
mod tests;
