//! Row TTL: a table whose rows go when they have not been updated for a while of event time.
//!
//! A row is there while `its timestamp + TTL > stream time`; stream time is the highest timestamp that the table has seen, deletions
//! included, on its partition, and is committed with the offsets. So what is left is the newest record of each key without those that have expired: the same
//! whatever the batches, commits and restarts. No clock is read: a table that nobody writes to keeps its rows.
//!
//! ```text
//! TTL 10     a at 0    b at 4    c at 11             a goes at 11, with the timestamp 10 at which it expired
//!            a at 0    a at 7    c at 11             a stays until 17
//!            c at 11   a at 1                        a is gone as it comes; it takes an earlier row of its key with it
//! ```
//!
//! Stream time is that of the changes that come here: below other operators under [`EmitPolicy::Commit`], a deletion of what was not there does
//! not.
//!
//! Under [`EmitPolicy::Record`] rows go at the record that lets them expire, before its own change is passed on. Under
//! [`EmitPolicy::Commit`] they go at the commit, and before if their key changes: the changes of a key are the same, but those of different
//! keys come in another order. Rows that expire together go in the order of their timestamps, then keys.
//!
//! # State
//! The rows, and beside them an index by time: an entry is never later than the timestamp of its row, so that expiry reads no more of it than
//! is due. An update that is newer than its row leaves the entry where it is; when it is due it is moved to where the row then is. So a row
//! costs one entry written and one moved a TTL, however often it is updated.
//!
//! A record without key is a dead letter. After Flink SQL's state TTL, in event time.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array},
    buffer::NullBuffer,
    datatypes::Int64Type,
};
use millstream_state::key::{split_window_key, window_key};

use super::{
    Context, EmitPolicy, FoldError, IdentityRows, Operator, OperatorError,
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

/// What an index entry holds: something, since nothing would delete it.
const ENTRY: &[u8] = &[1];

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
    /// No entry of the index is earlier. Not known after a restart: then before all times.
    next_entry: i64,
    /// The entries that are due up to `due_until`, while a batch is being processed.
    due: BTreeSet<(i64, Vec<u8>)>,
    due_until: i64,
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
            next_entry: i64::MIN,
            due: BTreeSet::new(),
            due_until: i64::MIN,
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
        let stream_times = times.iter().scan(self.stream_time, |newest, &time| {
            *newest = (*newest).max(Timestamp(time));
            Some(*newest)
        });
        let stream_times: Vec<Timestamp> = stream_times.collect();
        let (mut from, mut earliest) = (0, i64::MAX);
        if self.settings.emit == EmitPolicy::Record {
            let newest = *stream_times.last().unwrap_or(&self.stream_time);
            self.load_due(self.expired_until(newest), context)?;
            for (row, &stream_time) in stream_times.iter().enumerate() {
                let expired = self.expired_until(stream_time);
                let next = self.due.first().map_or(i64::MAX, |(time, _)| *time).min(earliest);
                if next <= expired && row > 0 {
                    context.output.extend(self.upsert(batch, from..row, &stream_times, context.stores)?);
                    (from, earliest) = (row, i64::MAX);
                }
                if next <= expired {
                    let gone = self.expire(expired, context)?;
                    context.output.extend(gone);
                }
                // A row that is expired as it comes is not kept.
                if times[row] > expired {
                    earliest = earliest.min(times[row]);
                }
            }
        }
        context.output.extend(self.upsert(batch, from..batch.len(), &stream_times, context.stores)?);
        self.stream_time = *stream_times.last().unwrap_or(&self.stream_time);
        Ok(())
    }

    /// Writes a stretch of rows and gives the changes.
    fn upsert(
        &mut self,
        batch: &Batch,
        stretch: std::ops::Range<usize>,
        stream_times: &[Timestamp],
        stores: &mut [TaskStore],
    ) -> Result<Option<Batch>, FoldError> {
        if stretch.is_empty() {
            return Ok(None);
        }
        let part = batch.slice(stretch.start, stretch.len());
        let keys = self.keys.encode_binary(part.keys()).map_err(FoldError::of)?;
        let mut columns = part.values().to_vec();
        columns.push(Arc::clone(part.rows().column(part.schema().time_index())));
        let rows = self.rows.encode_binary(&columns).map_err(FoldError::of)?;
        let distinct: Vec<&[u8]> = (0..keys.len()).map(|row| keys.value(row)).collect();
        let mut now: HashMap<&[u8], Option<Stored>> = HashMap::with_capacity(keys.len());
        for (row, stored) in self.read(&distinct, &mut stores[self.settings.store])?.into_iter().enumerate() {
            now.entry(distinct[row]).or_insert(stored);
        }

        let every = self.settings.emit == EmitPolicy::Record;
        let mut steps = Vec::with_capacity(part.len());
        for (row, &key) in distinct.iter().enumerate() {
            let time = part.times().value(row);
            let expired = self.expired_until(stream_times[stretch.start + row]);
            let mut before = now.remove(key).flatten();
            if let Some(gone) = before.take_if(|before| before.time <= expired) {
                let time = self.expires_at(gone.time);
                steps.push(Step { row: row as u32, time, is_there: false, before: Some(gone.bytes) });
            }
            let wanted = part.present().is_none_or(|present| present.is_valid(row));
            let is_there = wanted && time > expired;
            if is_there && before.as_ref().is_none_or(|before| time < before.time) {
                self.add_entry(time, key, &mut stores[self.settings.index]);
            }
            let after = is_there.then(|| Stored { bytes: rows.value(row).to_vec(), time });
            let moment = if wanted && !is_there { self.expires_at(time) } else { time };
            stores[self.settings.store].put(key, after.as_ref().map(|row| row.bytes.as_slice()), Timestamp(moment));
            if is_there || before.is_some() || (every && !wanted) {
                let before = before.map(|before| before.bytes);
                steps.push(Step { row: row as u32, time: moment, is_there, before });
            }
            now.insert(key, after);
        }
        self.changes(&part, steps)
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

    fn add_entry(&mut self, time: i64, key: &[u8], index: &mut TaskStore) {
        let mut name = Vec::with_capacity(key.len() + 8);
        window_key(time, key, &mut name);
        index.put(&name, Some(ENTRY), Timestamp(time));
        self.next_entry = self.next_entry.min(time);
        if time <= self.due_until {
            self.due.insert((time, key.to_vec()));
        }
    }

    /// Reads the entries up to a timestamp; they stay in the index until they are used.
    fn load_due(&mut self, until: i64, context: &mut Context<'_>) -> Result<(), FoldError> {
        self.due_until = until;
        if self.next_entry > until {
            return Ok(());
        }
        let (due, mut next) = (&mut self.due, i64::MAX);
        let mut each = |entry: &[u8], _: &[u8]| match split_window_key(entry) {
            Some((time, key)) if time <= until => {
                due.insert((time, key.to_vec()));
                true
            }
            Some((time, _)) => {
                next = time;
                false
            }
            None => true,
        };
        context.stores[self.settings.index].range(&[], None, &mut each).map_err(FoldError::of)?;
        self.next_entry = next;
        Ok(())
    }

    /// Deletes rows with timestamps up to `until` and gives the changes; entries of rows that are newer move to where those are.
    fn expire(&mut self, until: i64, context: &mut Context<'_>) -> Result<Option<Batch>, FoldError> {
        let mut asked: BTreeSet<Vec<u8>> = BTreeSet::new();
        let mut name = Vec::new();
        while let Some((time, key)) = self.due.pop_first() {
            if time > until {
                self.due.insert((time, key));
                break;
            }
            name.clear();
            window_key(time, &key, &mut name);
            context.stores[self.settings.index].put(&name, None, Timestamp(time));
            asked.insert(key);
        }
        let keys: Vec<&[u8]> = asked.iter().map(Vec::as_slice).collect();
        let found = self.read(&keys, &mut context.stores[self.settings.store])?;
        let mut gone: BTreeMap<(i64, &[u8]), Vec<u8>> = BTreeMap::new();
        for (&key, stored) in keys.iter().zip(found) {
            match stored {
                Some(row) if row.time <= until => drop(gone.insert((row.time, key), row.bytes)),
                Some(row) => self.add_entry(row.time, key, &mut context.stores[self.settings.index]),
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
            context.stores[self.settings.store].put(key, None, Timestamp(time));
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
        let until = self.expired_until(self.stream_time);
        let loaded = self.load_due(until, context);
        let gone = loaded.and_then(|()| self.expire(until, context)).map_err(|error| context.error(error))?;
        context.output.extend(gone);
        Ok(())
    }

    fn stream_time(&self) -> Option<Timestamp> {
        Some(self.stream_time)
    }

    fn restore_stream_time(&mut self, stream_time: Timestamp) {
        self.stream_time = self.stream_time.max(stream_time);
    }
}
