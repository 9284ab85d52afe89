//! Suppress: holds the changes of a table back and passes on only what is left of them: when a window closes, or after a while.
//!
//! Each key waits from a *buffer time* on: the end of its window, or the timestamp of the first change that is held back. It leaves when stream time
//! reaches its buffer time and what it waits for, in the order of buffer times, then keys; or earlier, first come first, if the buffer is full and may
//! give early results. Later changes of a key that waits replace what is held of it, and do not make it wait longer.
//!
//! ```text
//! windows of 10, grace 5     a[0,10) = 1 @3   a[0,10) = 2 @7   a[10,20) = 1 @15 -> a[0,10) = 2 @7 is passed on
//! ```
//!
//! Stream time is the highest timestamp of a change that came here, including the one that is looked at. A row keeps the timestamp and the headers
//! of its change. What is said to be there before is what was passed on last, so that operators below take back what they were given.
//! Where windows close, deletions are not passed on: what they delete was not passed on either.
//!
//! Changes that come one after another are looked at one after another, whatever the batches. If only time windows are waited for and nothing may
//! leave early, it is enough to look once a commit: no change of a closed window can come any more. Otherwise the operators above pass every update
//! on ([`SuppressSettings::needs_every_update`]).
//!
//! # State
//! Described in `suppress_buffer`.
//!
//! After Kafka Streams (KIP-328), which says what was there before the last change instead of what was passed on last.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray},
    buffer::NullBuffer,
    compute,
    datatypes::{Field, FieldRef, Int64Type},
};

use super::{
    Context, EmitPolicy, FoldError, IdentityRows, Operator, OperatorError,
    fold::scatter,
    suppress_buffer::{Evicted, Held, SuppressBuffer},
    table::stored_fields,
    task_store::TaskStore,
};
use crate::{
    Batch,
    batch::Before,
    record::{TimeSpan, Timestamp, headers_type, no_headers},
    row::RowCodec,
    schema::StreamSchema,
};

/// What changes wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuppressUntil {
    /// That the window of their key closes: that stream time reaches its end and this wait.
    WindowCloses {
        /// How long after its end a window closes: its grace, of a session its gap and grace.
        wait: TimeSpan,
        /// Whether a window that has closed is never changed any more. Of sessions and sliding windows the last moment is still open.
        is_last: IsLast,
    },
    /// That stream time has moved on by this much since the first change that is held back.
    TimeLimit(TimeSpan),
}

/// Whether a change may still come after what it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsLast {
    /// None can.
    Always,
    /// One at the very moment can.
    Mostly,
}

/// What happens when the buffer is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The changes that have waited longest are passed on early.
    EmitEarly,
    /// The task ends with an error.
    ShutDown,
}

/// What a suppression is built from.
#[derive(Debug, Clone)]
pub struct SuppressSettings {
    /// The number of its store in the task.
    pub store: usize,
    /// The columns of the table.
    pub schema: Arc<StreamSchema>,
    /// What changes wait for.
    pub until: SuppressUntil,
    /// How many keys may wait; `None` for any number.
    pub max_records: Option<usize>,
    /// How many bytes they may take, as they are stored: of each key 8 for its time, the key, its newest row and the row that was passed on last.
    pub max_bytes: Option<usize>,
    /// What happens when there are more.
    pub when_full: WhenFull,
    /// When changes come here.
    pub emit: EmitPolicy,
    /// Whether someone below needs to know what was there before.
    pub needs_before: bool,
}

impl SuppressSettings {
    /// Whether each update must come by itself, whatever the emit policy, so that the same ones are passed on.
    pub fn needs_every_update(&self) -> bool {
        let is_limited = self.max_records.is_some() || self.max_bytes.is_some();
        let gives_early = is_limited && self.when_full == WhenFull::EmitEarly;
        gives_early || !matches!(self.until, SuppressUntil::WindowCloses { is_last: IsLast::Always, .. })
    }
}

/// Holds changes of a table back.
pub struct Suppress {
    settings: SuppressSettings,
    stream_time: Timestamp,
    keys: RowCodec,
    /// Value columns, timestamp, headers.
    rows: RowCodec,
    values: RowCodec,
    buffer: SuppressBuffer,
}

impl Suppress {
    /// A suppression that has seen no change yet.
    ///
    /// # Errors
    /// [`FoldError`] if a column has no row encoding.
    pub fn new(settings: SuppressSettings) -> Result<Self, FoldError> {
        let schema = &settings.schema;
        let mut fields: Vec<FieldRef> = stored_fields(&IdentityRows::new(schema.value().to_vec()));
        fields.push(Arc::new(Field::new("headers", headers_type(), true)));
        Ok(Self {
            stream_time: Timestamp::NONE,
            keys: RowCodec::new(schema.whole_key()).map_err(FoldError::of)?,
            rows: RowCodec::new(&fields).map_err(FoldError::of)?,
            values: RowCodec::new(schema.value()).map_err(FoldError::of)?,
            buffer: SuppressBuffer::default(),
            settings,
        })
    }

    /// Whether what leaves is looked for after each change.
    fn looks_each_time(&self) -> bool {
        self.settings.emit == EmitPolicy::Record || self.settings.needs_every_update()
    }

    /// The changes of a batch, as they are held.
    fn held(&self, batch: &Batch) -> Result<Vec<Held>, FoldError> {
        let has_value = |row: usize| batch.present().is_none_or(|present| present.is_valid(row));
        let mut columns = batch.values().to_vec();
        if let Some(present) = batch.present() {
            // What a tombstone has in its columns means nothing.
            let absent = compute::not(&BooleanArray::new(present.inner().clone(), None)).map_err(FoldError::of)?;
            let cleared = columns.iter().map(|column| compute::nullif(column, &absent));
            columns = cleared.collect::<Result<_, _>>().map_err(FoldError::of)?;
        }
        columns.push(Arc::clone(batch.rows().column(batch.schema().time_index())));
        columns.push(batch.headers().cloned().unwrap_or_else(|| no_headers(batch.len())));
        let rows = self.rows.encode(&columns).map_err(FoldError::of)?;
        let before = batch.before().filter(|_| self.settings.needs_before);
        let priors = before.map(|before| self.values.encode_rows(&before.values, batch.len())).transpose();
        let priors = priors.map_err(FoldError::of)?;
        let was_there = |row: usize| {
            before.is_some_and(|before| before.present.as_ref().is_none_or(|present| present.is_valid(row)))
        };
        let held = |row: usize| {
            let prior = priors.as_ref().filter(|_| was_there(row)).map(|priors| priors.value(row).to_vec());
            Held { has_value: has_value(row), prior, row: rows.row(row).data().to_vec() }
        };
        Ok((0..batch.len()).map(held).collect())
    }

    /// From when on each row of a batch waits.
    fn buffer_times(&self, batch: &Batch) -> Vec<i64> {
        let column = match self.settings.until {
            SuppressUntil::TimeLimit(_) => batch.times(),
            SuppressUntil::WindowCloses { .. } => {
                let ends = batch.keys().last().expect("keys with windows end in the end of the window");
                ends.as_primitive::<Int64Type>()
            }
        };
        column.values().to_vec()
    }

    /// Holds the changes of a batch back; gives what leaves because of them.
    fn process(&mut self, batch: &Batch, store: &mut TaskStore) -> Result<Vec<Evicted>, FoldError> {
        let keys = self.keys.encode_rows(batch.keys(), batch.len()).map_err(FoldError::of)?;
        let distinct: Vec<&[u8]> = (0..keys.len()).map(|row| keys.value(row)).collect();
        self.buffer.prepare(&distinct, store)?;
        let (times, looks_each_time) = (self.buffer_times(batch), self.looks_each_time());
        for (row, held) in self.held(batch)?.into_iter().enumerate() {
            self.stream_time = self.stream_time.max(Timestamp(batch.times().value(row)));
            self.buffer.put(times[row], distinct[row], held);
            if looks_each_time {
                self.evict()?;
            }
        }
        self.buffer.finish(self.stream_time, store)
    }

    /// Lets go what has waited long enough, and what there is no room for.
    fn evict(&mut self) -> Result<(), FoldError> {
        let due = self.stream_time.minus(self.wait()).millis();
        while self.stream_time != Timestamp::NONE && self.buffer.first_time().is_some_and(|first| first <= due) {
            self.buffer.evict();
        }
        match self.settings.when_full {
            WhenFull::EmitEarly => {
                while self.is_full() {
                    self.buffer.evict();
                }
                Ok(())
            }
            WhenFull::ShutDown if self.is_full() => Err(FoldError::of(self.overflow())),
            WhenFull::ShutDown => Ok(()),
        }
    }

    /// Passes on what has waited long enough.
    fn leave(&mut self, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let store = &mut context.stores[self.settings.store];
        let mut leave = || {
            self.buffer.prepare(&[], store)?;
            self.evict()?;
            let evicted = self.buffer.finish(self.stream_time, store)?;
            self.changes(evicted)
        };
        let changes = leave().map_err(|error| context.error(error))?;
        context.output.extend(changes);
        Ok(())
    }

    /// The stream time at which the next change leaves.
    fn next_due(&self) -> Option<Timestamp> {
        self.buffer.first_time().map(|first| Timestamp(first).plus(self.wait()))
    }

    /// How long changes wait from their buffer time on.
    fn wait(&self) -> TimeSpan {
        match self.settings.until {
            SuppressUntil::TimeLimit(wait) | SuppressUntil::WindowCloses { wait, .. } => wait,
        }
    }

    /// Whether more waits than may.
    fn is_full(&self) -> bool {
        let above = |held: usize, most: Option<usize>| most.is_some_and(|most| held > most);
        above(self.buffer.len(), self.settings.max_records) || above(self.buffer.bytes(), self.settings.max_bytes)
    }

    fn overflow(&self) -> String {
        let of = |most: Option<usize>| most.map_or("any number".to_owned(), |most| most.to_string());
        format!(
            "it holds {} records of at most {}, and {} bytes of at most {}: give it more room, a shorter wait, or let it emit early when full",
            self.buffer.len(),
            of(self.settings.max_records),
            self.buffer.bytes(),
            of(self.settings.max_bytes)
        )
    }

    /// What leaves, as changes.
    fn changes(&self, mut evicted: Vec<Evicted>) -> Result<Option<Batch>, FoldError> {
        if matches!(self.settings.until, SuppressUntil::WindowCloses { .. }) {
            evicted.retain(|one| one.held.has_value);
        }
        if evicted.is_empty() {
            return Ok(None);
        }
        let mut columns = self.keys.decode(evicted.iter().map(|one| one.key.as_slice())).map_err(FoldError::of)?;
        let rows = evicted.iter().map(|one| one.held.row.as_slice());
        let mut values = self.rows.decode(rows).map_err(FoldError::of)?;
        let headers = values.pop().filter(has_any);
        columns.extend(values);
        columns.push(Batch::no_offsets(evicted.len()));
        let present = NullBuffer::from_iter(evicted.iter().map(|one| one.held.has_value));
        let changes = Batch::new(Arc::clone(&self.settings.schema), columns).with_present(Some(present));
        Ok(Some(changes.with_before(self.before(&evicted)?).with_headers(headers)))
    }

    fn before(&self, evicted: &[Evicted]) -> Result<Option<Before>, FoldError> {
        if !self.settings.needs_before {
            return Ok(None);
        }
        let had: Vec<usize> = (0..evicted.len()).filter(|&row| evicted[row].held.prior.is_some()).collect();
        let priors = evicted.iter().filter_map(|one| one.held.prior.as_deref());
        let values = scatter(&self.values.decode(priors).map_err(FoldError::of)?, &had, evicted.len())?;
        let present = NullBuffer::from_iter(evicted.iter().map(|one| one.held.prior.is_some()));
        Ok(Some(Before { values, present: Some(present) }))
    }
}

/// Whether a column of headers has one.
fn has_any(headers: &ArrayRef) -> bool {
    !headers.as_list::<i32>().values().is_empty()
}

impl Operator for Suppress {
    fn on_batch(&mut self, batch: Batch, context: &mut Context<'_>) -> Result<(), OperatorError> {
        if batch.is_empty() {
            return Ok(());
        }
        let evicted = self.process(&batch, &mut context.stores[self.settings.store]);
        let changes = evicted.and_then(|evicted| self.changes(evicted)).map_err(|error| context.error(error))?;
        context.output.extend(changes);
        Ok(())
    }

    fn on_flush(&mut self, context: &mut Context<'_>) -> Result<(), OperatorError> {
        if self.looks_each_time() || self.stream_time == Timestamp::NONE {
            return Ok(());
        }
        self.leave(context)
    }

    fn on_idle(
        &mut self,
        stream_time: Timestamp,
        context: &mut Context<'_>,
    ) -> Result<Option<Timestamp>, OperatorError> {
        let store = &mut context.stores[self.settings.store];
        self.buffer.prepare(&[], store).map_err(|error| context.error(error))?;
        let next = self.next_due();
        if next.is_none_or(|next| next > stream_time) {
            return Ok(next);
        }
        self.stream_time = self.stream_time.max(stream_time);
        self.leave(context)?;
        Ok(self.next_due())
    }

    fn stream_time(&self) -> Option<Timestamp> {
        Some(self.stream_time)
    }

    fn restore_stream_time(&mut self, stream_time: Timestamp) {
        self.stream_time = self.stream_time.max(stream_time);
    }

    fn forget_stream_time(&mut self) {
        self.stream_time = Timestamp::NONE;
    }
}
