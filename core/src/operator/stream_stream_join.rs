//! Stream-stream join: records of two streams that have one key and lie within a window of each other.
//!
//! Each record meets all records of the other side that are kept and within reach, by their timestamps, those of one timestamp as they
//! came; then it is kept itself. The result has the key, the higher timestamp of both, and the columns of both sides.
//!
//! ```text
//! within 10     left A@3, a@4 right    -> (A, a)@4
//!               left B@5               -> (B, a)@5
//!               right b@6              -> (A, b)@6, (B, b)@6
//! ```
//!
//! Outer sides: without a grace, a record that meets nothing is passed on with nulls at once. With one it waits until nothing can meet
//! it any more, and is then passed on with its own timestamp, by a record that has the highest timestamp so far, before that record
//! itself is joined. A record whose window is over already when it comes does not wait. One without key meets nothing and is passed
//! on at once.
//!
//! Late records still meet what is kept, but are not kept themselves if they are older than the store of their side keeps records (it
//! has its own clock): they are dead letters, too. Records without value, and those without key of inner sides, are dead letters only; but
//! time goes on with them: that of the join with all, that of their side with those that have a key.
//!
//! Order and times are those of Kafka Streams, whose throttle by the wall clock is left out: what can be released is, unless [`Unmatched`] says
//! otherwise.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, BooleanArray, Int64Array, UInt32Array},
    buffer::NullBuffer,
    compute,
    datatypes::FieldRef,
};

use super::{
    Context, FoldError, Operator, OperatorError, Reason, StreamJoinKind, TaskStore,
    joined_sides::add_sides,
    record_store::{Kept, Loaded, RecordStore},
    waiting_records::{Released, Unmatched, WaitingRecords},
};
use crate::{
    Batch,
    record::{TimeSpan, Timestamp},
    row::RowCodec,
    schema::{StreamSchema, WindowKind},
    window::{JoinSide, JoinWindows},
};

/// What a stream-stream join is built from.
pub struct StreamStreamJoinSettings {
    /// What becomes of records that meet nothing.
    pub kind: StreamJoinKind,
    /// Which records meet.
    pub windows: JoinWindows,
    /// How long records are kept to be met.
    pub retention: TimeSpan,
    /// The numbers of the stores of the left and the right side.
    pub stores: [usize; 2],
    /// The number of the store of records that wait: there is one if a side is outer and the windows have a grace.
    pub waiting: Option<usize>,
    /// When records that met nothing are passed on.
    pub unmatched: Unmatched,
    /// The columns of the left and the right input.
    pub inputs: [Arc<StreamSchema>; 2],
    /// The key, the left values, the right values, under whatever names; then which sides there are, if two more columns are left.
    pub output: Arc<StreamSchema>,
}

/// Joins two streams.
pub struct StreamStreamJoin {
    kind: StreamJoinKind,
    windows: JoinWindows,
    sides: [Side; 2],
    waiting: Option<WaitingRecords>,
    /// The highest timestamp of both sides, of records that cannot be joined among them.
    stream_time: Timestamp,
    keys: RowCodec,
    /// How many columns of the batch's key say which records meet.
    key_columns: usize,
    /// The columns of the left input.
    left: Arc<StreamSchema>,
    output: Arc<StreamSchema>,
}

/// What is done with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Usable {
    /// It is joined and kept.
    Joined,
    /// It has no key, meets nothing, and is passed on for itself.
    Alone,
    /// It is left out, but its side's clock moves on.
    WithoutValue,
    /// It is left out.
    WithoutKey,
}

/// What is kept of one side.
struct Side {
    records: RecordStore,
    /// Value columns, then window bounds if keys have windows.
    rows: RowCodec,
}

/// A row of the result, by where its parts come from.
struct Joined {
    /// A row of the batch, or one past them: a released key.
    key: u32,
    sides: [Option<u32>; 2],
    time: i64,
    /// The row of the batch that was being joined: the result has its headers.
    trigger: u32,
}

/// Stored rows that take part in results, to be decoded at once.
#[derive(Default)]
struct Stored {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Stored {
    fn push(&mut self, row: &[u8]) -> u32 {
        self.bytes.extend_from_slice(row);
        self.ends.push(self.bytes.len());
        (self.ends.len() - 1) as u32
    }

    fn rows(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.bytes[start..end])
    }
}

/// What is gathered while the rows of a batch are joined one after another.
struct Work {
    own: JoinSide,
    rows: u32,
    joined: Vec<Joined>,
    stored: [Stored; 2],
    released: Stored,
}

impl Work {
    fn new(own: JoinSide, rows: usize) -> Self {
        let (stored, released) = (Default::default(), Stored::default());
        Self { own, rows: rows as u32, joined: Vec::with_capacity(rows), stored, released }
    }

    /// The number of a stored row among all rows of its side.
    fn stored(&mut self, side: JoinSide, row: &[u8]) -> u32 {
        let before = if side == self.own { self.rows } else { 0 };
        before + self.stored[index(side)].push(row)
    }

    fn alone(&mut self, side: JoinSide, row: u32, time: i64) {
        let mut sides = [None; 2];
        sides[index(side)] = Some(row);
        self.joined.push(Joined { key: row, sides, time, trigger: row });
    }

    fn release(&mut self, released: Released, trigger: u32) {
        let Released { side, time, key, rows } = released;
        for row in rows {
            let key = self.rows + self.released.push(&key);
            let mut sides = [None; 2];
            sides[index(side)] = Some(self.stored(side, &row));
            self.joined.push(Joined { key, sides, time, trigger });
        }
    }
}

fn index(side: JoinSide) -> usize {
    match side {
        JoinSide::Left => 0,
        JoinSide::Right => 1,
    }
}

/// How many columns of a key, window bounds among them, say which records meet.
fn meeting_columns(schema: &StreamSchema) -> usize {
    match schema.window() {
        WindowKind::None | WindowKind::Session | WindowKind::Bounds => schema.key_width(),
        // Windows of one start are one window: keys are written without an end.
        WindowKind::Time { .. } => schema.key().len() + 1,
    }
}

impl StreamStreamJoin {
    /// A join of its first input, the left stream, with its second one.
    ///
    /// # Errors
    /// [`FoldError`] if a column has no row encoding.
    pub fn new(settings: StreamStreamJoinSettings) -> Result<Self, FoldError> {
        let StreamStreamJoinSettings { kind, windows, retention, stores, waiting, unmatched, inputs, output } =
            settings;
        let codec = |fields: &[FieldRef]| RowCodec::new(fields).map_err(FoldError::of);
        let side = |number: usize| -> Result<Side, FoldError> {
            let columns = inputs[number].columns().fields();
            let bounds = &columns[inputs[number].key().len()..inputs[number].key_width()];
            let fields: Vec<FieldRef> = inputs[number].value().iter().chain(bounds).cloned().collect();
            Ok(Side { records: RecordStore::new(stores[number], &windows, retention), rows: codec(&fields)? })
        };
        let key_columns = meeting_columns(&inputs[0]);
        Ok(Self {
            kind,
            windows,
            sides: [side(0)?, side(1)?],
            waiting: waiting.map(|store| WaitingRecords::new(store, unmatched)),
            stream_time: Timestamp::NONE,
            keys: codec(&inputs[0].columns().fields()[..key_columns])?,
            key_columns,
            left: Arc::clone(&inputs[0]),
            output,
        })
    }

    /// Whether records of `side` that meet nothing are passed on.
    fn is_outer(&self, side: JoinSide) -> bool {
        match self.kind {
            StreamJoinKind::Inner => false,
            StreamJoinKind::Left => side == JoinSide::Left,
            StreamJoinKind::Right => side == JoinSide::Right,
            StreamJoinKind::Outer => true,
        }
    }

    /// What is to be done with each row; those that cannot be joined at all are dead letters.
    fn usable(&self, batch: &Batch, own: JoinSide, context: &mut Context<'_>) -> Vec<Usable> {
        let nulls = null_keys(batch);
        let usable = |row: usize| {
            let has_key = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
            let has_value = batch.present().is_none_or(|present| present.is_valid(row));
            match (has_key, has_value) {
                (true, true) => Usable::Joined,
                (false, true) if self.is_outer(own) => Usable::Alone,
                (true, false) => Usable::WithoutValue,
                (false, _) => Usable::WithoutKey,
            }
        };
        let rows: Vec<Usable> = (0..batch.len()).map(usable).collect();
        let mut reject = |kind: Usable, reason: Reason, problem: &str| {
            let without = rows.iter().enumerate().filter(|(_, row)| **row == kind);
            context.reject(batch, reason, without.map(|(row, _)| (row, problem.to_owned())));
        };
        reject(Usable::WithoutKey, Reason::NullKey, "the record has no key");
        reject(Usable::WithoutValue, Reason::NullValue, "the record has no value");
        rows
    }

    /// Joins the rows of a batch in their order, and keeps them; gives the results and the rows that are too old to be kept.
    fn join(
        &mut self,
        batch: &Batch,
        usable: &[Usable],
        own: JoinSide,
        stores: &mut [TaskStore],
    ) -> Result<(Option<Batch>, Vec<usize>), FoldError> {
        let keys = self.keys.encode_binary(&batch.keys()[..self.key_columns]).map_err(FoldError::of)?;
        let mut columns = batch.values().to_vec();
        columns.extend_from_slice(&batch.keys()[batch.schema().key().len()..]);
        let rows = self.sides[index(own)].rows.encode_rows(&columns, batch.len()).map_err(FoldError::of)?;
        let times = batch.times().values();

        let other = own.other();
        let visible = self.sides[index(other)].records.oldest_visible();
        let windows = self.windows;
        let reach = |row: usize| {
            let (from, to) = windows.reach(own, Timestamp(times[row]));
            (from.max(visible), to)
        };
        let wanted = (0..batch.len()).filter(|&row| usable[row] == Usable::Joined).map(|row| {
            let (from, to) = reach(row);
            (keys.value(row), from, to)
        });
        let others = self.sides[index(other)].records.load(wanted, stores)?;

        let mut work = Work::new(own, batch.len());
        let (mut kept, mut late) = (Vec::with_capacity(batch.len()), Vec::new());
        for row in 0..batch.len() {
            self.stream_time = self.stream_time.max(Timestamp(times[row]));
            match usable[row] {
                Usable::Joined => {}
                Usable::Alone => {
                    work.alone(own, row as u32, times[row]);
                    continue;
                }
                Usable::WithoutValue => {
                    self.sides[index(own)].records.advance(Timestamp(times[row]));
                    continue;
                }
                Usable::WithoutKey => continue,
            }
            let record = Kept { key: keys.value(row), time: times[row], row: rows.value(row) };
            self.step(row as u32, &record, reach(row), &others, &mut work, stores)?;
            if Timestamp(record.time) >= self.sides[index(own)].records.oldest_visible() {
                kept.push(record);
            } else {
                late.push(row);
            }
        }
        self.sides[index(own)].records.insert(&kept, stores)?;
        Ok((self.assemble(batch, &columns, work)?, late))
    }

    /// Moves the clocks of both sides on and gives what can meet nothing any more, if there is anything.
    fn release(&mut self, stream_time: Timestamp, stores: &mut [TaskStore]) -> Result<Option<Batch>, FoldError> {
        let Some(waiting) = &mut self.waiting else { return Ok(None) };
        if waiting.next_due(&self.windows, stores)?.is_none_or(|due| due > stream_time) {
            return Ok(None);
        }
        self.sides.iter_mut().for_each(|side| side.records.advance(stream_time));
        self.stream_time = self.stream_time.max(stream_time);
        let none = Batch::empty(&self.left);
        let mut columns = none.values().to_vec();
        columns.extend_from_slice(&none.keys()[self.left.key().len()..]);
        let mut work = Work::new(JoinSide::Left, 0);
        waiting.release(&self.windows, stream_time, stores)?.into_iter().for_each(|one| work.release(one, 0));
        self.assemble(&none, &columns, work)
    }

    /// Joins one record.
    fn step(
        &mut self,
        row: u32,
        record: &Kept<'_>,
        (from, to): (Timestamp, Timestamp),
        others: &Loaded<'_>,
        work: &mut Work,
        stores: &mut [TaskStore],
    ) -> Result<(), FoldError> {
        let (own, other) = (work.own, work.own.other());
        self.sides[index(own)].records.advance(Timestamp(record.time));
        let stream_time = self.stream_time;
        if let Some(waiting) = &mut self.waiting
            && record.time == stream_time.millis()
        {
            waiting
                .release_at(own, &self.windows, stream_time, stores)?
                .into_iter()
                .for_each(|released| work.release(released, row));
        }
        let mut met = false;
        for found in others.between(record.key, from, to) {
            met = true;
            if let Some(waiting) = &mut self.waiting {
                waiting.met(other, found.time, record.key, stores)?;
            }
            let across = work.stored(other, others.row(found));
            let mut sides = [Some(across); 2];
            sides[index(own)] = Some(row);
            work.joined.push(Joined { key: row, sides, time: record.time.max(found.time), trigger: row });
        }
        if met || !self.is_outer(own) {
            return Ok(());
        }
        match &mut self.waiting {
            Some(waiting) if to >= stream_time => waiting.add(own, record.time, record.key, record.row, stores),
            _ => {
                work.alone(own, row, record.time);
                Ok(())
            }
        }
    }

    /// The results as a batch. `columns` are those of the batch's rows as they are stored.
    fn assemble(&self, batch: &Batch, columns: &[ArrayRef], work: Work) -> Result<Option<Batch>, FoldError> {
        let Work { own, joined, stored, released, .. } = work;
        if joined.is_empty() {
            return Ok(None);
        }
        let take =
            |column: &ArrayRef, indices: &UInt32Array| compute::take(column, indices, None).map_err(FoldError::of);
        let side = |side: JoinSide| -> Result<Vec<ArrayRef>, FoldError> {
            let number = index(side);
            let decoded = self.sides[number].rows.decode(stored[number].rows()).map_err(FoldError::of)?;
            let indices: UInt32Array = joined.iter().map(|joined| joined.sides[number]).collect();
            let all = decoded.into_iter().enumerate().map(|(column, decoded)| {
                let both = if side == own { with(&columns[column], decoded)? } else { decoded };
                take(&both, &indices)
            });
            all.collect()
        };
        let (left, right) = (side(JoinSide::Left)?, side(JoinSide::Right)?);

        let key_count = self.output.key().len();
        let bounds = self.output.key_width() - key_count;
        let mut released_keys = self.keys.decode(released.rows()).map_err(FoldError::of)?;
        released_keys.truncate(key_count);
        let indices: UInt32Array = joined.iter().map(|joined| Some(joined.key)).collect();
        let mut output = Vec::with_capacity(self.output.columns().fields().len());
        for (column, released) in batch.keys()[..key_count].iter().zip(released_keys) {
            output.push(take(&with(column, released)?, &indices)?);
        }
        // The window is that of the left record where there is one.
        let has_left = BooleanArray::from_iter(joined.iter().map(|joined| Some(joined.sides[0].is_some())));
        let (left_values, right_values) = (left.len() - bounds, right.len() - bounds);
        for bound in 0..bounds {
            let (of_left, of_right) = (&left[left_values + bound], &right[right_values + bound]);
            output.push(compute::kernels::zip::zip(&has_left, of_left, of_right).map_err(FoldError::of)?);
        }
        let mut values = [&left[..left_values], &right[..right_values]].concat();
        let has = |side: usize, row: usize| joined[row].sides[side].is_some();
        add_sides(&mut values, &self.output, joined.len(), |row| has(0, row), |row| has(1, row));
        output.extend(values);
        let times = Int64Array::from_iter_values(joined.iter().map(|joined| joined.time));
        output.extend([Arc::new(times) as ArrayRef, Batch::no_offsets(joined.len())]);
        let triggers: UInt32Array = joined.iter().map(|joined| Some(joined.trigger)).collect();
        let headers = batch.headers_at(&triggers).map_err(FoldError::of)?;
        Ok(Some(Batch::new(Arc::clone(&self.output), output).with_headers(headers)))
    }
}

/// The rows of a batch's column, then decoded ones.
fn with(column: &ArrayRef, decoded: ArrayRef) -> Result<ArrayRef, FoldError> {
    if decoded.is_empty() {
        return Ok(Arc::clone(column));
    }
    compute::concat(&[column.as_ref(), decoded.as_ref()]).map_err(FoldError::of)
}

/// Which rows have a key; `None` if all have.
fn null_keys(batch: &Batch) -> Option<NullBuffer> {
    let keyed = &batch.keys()[..batch.schema().key().len()];
    let nulls =
        keyed.iter().fold(None, |nulls, column| NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref()));
    nulls.filter(|nulls| nulls.null_count() > 0)
}

impl Operator for StreamStreamJoin {
    fn on_batch(&mut self, batch: Batch, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let own = JoinSide::of_input(context.input);
        let usable = self.usable(&batch, own, context);
        let (joined, late) = self.join(&batch, &usable, own, context.stores).map_err(|error| context.error(error))?;
        context.output.extend(joined);
        let records = &self.sides[index(own)].records;
        let oldest = records.oldest_visible();
        let problem = |row: usize| {
            let time = Timestamp(batch.times().value(row));
            (
                row,
                format!(
                    "the record of {time} is too late to be kept for the other stream: records from {oldest} on are"
                ),
            )
        };
        context.reject_late(&batch, late.into_iter().map(problem))
    }

    fn on_flush(&mut self, _context: &mut Context<'_>) -> Result<(), OperatorError> {
        Ok(())
    }

    fn stream_time(&self) -> Option<Timestamp> {
        None
    }

    fn restore_stream_time(&mut self, _stream_time: Timestamp) {}

    fn clocks(&self) -> Vec<Timestamp> {
        let sides = self.sides.iter().map(|side| side.records.newest());
        sides.chain([self.stream_time]).chain(self.waiting.as_ref().map(WaitingRecords::first_time)).collect()
    }

    fn restore_clock(&mut self, index: usize, time: Timestamp) {
        match (index, &mut self.waiting) {
            (0 | 1, _) => {
                self.sides[index].records.advance(time);
                self.stream_time = self.stream_time.max(time);
            }
            (2, _) => self.stream_time = self.stream_time.max(time),
            (_, Some(waiting)) => waiting.restore_first_time(time),
            (_, None) => {}
        }
    }

    fn on_idle(
        &mut self,
        stream_time: Timestamp,
        context: &mut Context<'_>,
    ) -> Result<Option<Timestamp>, OperatorError> {
        let released = self.release(stream_time, context.stores).map_err(|error| context.error(error))?;
        context.output.extend(released);
        let Some(waiting) = &mut self.waiting else { return Ok(None) };
        waiting.next_due(&self.windows, context.stores).map_err(|error| context.error(error))
    }
}
