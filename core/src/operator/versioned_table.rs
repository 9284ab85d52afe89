//! Versioned table: keeps the records of each key by their timestamps, and passes changes on.
//!
//! Unlike a [`Table`](super::Table) it goes by timestamps and not by the order of records. One that is the newest of its key changes the
//! table; one that is older changes its past, and is passed on as superseded: what goes by the newest row leaves it out. A record older than
//! history is kept is a dead letter, and so is one without a key.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, BooleanArray},
    buffer::{BooleanBuffer, NullBuffer},
};

use super::{
    Context, EmitPolicy, FoldError, Operator, OperatorError, TaskStore,
    fold::scatter,
    table::{IdentityRows, drop_null_keys, stored_fields},
    versioned_rows::{Put, VersionedRows},
};
use crate::{
    Batch,
    batch::Before,
    record::{TimeSpan, Timestamp},
    row::RowCodec,
    schema::StreamSchema,
};

/// Keeps a versioned table in two stores.
pub struct VersionedTable {
    latest: usize,
    versions: VersionedRows,
    keys: RowCodec,
    rows: RowCodec,
    needs_before: bool,
    emit: EmitPolicy,
}

/// What became of each row, and the newest row of its key that was there before it.
type Puts = Vec<(Put, Option<Vec<u8>>)>;

impl VersionedTable {
    /// A table of `schema` whose newest rows are in store number `latest`, older ones in number `history` for `span`; says what was there
    /// before if `needs_before`.
    ///
    /// # Errors
    /// If a column has no row encoding.
    pub(crate) fn new(
        (latest, history): (usize, usize),
        span: TimeSpan,
        schema: &StreamSchema,
        needs_before: bool,
        emit: EmitPolicy,
    ) -> Result<Self, FoldError> {
        let layout = IdentityRows::new(schema.value().to_vec());
        Ok(Self {
            latest,
            versions: VersionedRows::new(latest, history, span),
            keys: RowCodec::new(schema.whole_key()).map_err(FoldError::of)?,
            rows: RowCodec::new(&stored_fields(&layout)).map_err(FoldError::of)?,
            needs_before,
            emit,
        })
    }

    /// Puts rows in; gives what became of each, and the newest row that was there before it.
    fn put(&mut self, batch: &Batch, stores: &mut [TaskStore]) -> Result<Puts, FoldError> {
        let keys = self.keys.encode_binary(batch.keys()).map_err(FoldError::of)?;
        let mut columns = batch.values().to_vec();
        columns.push(Arc::clone(batch.rows().column(batch.schema().time_index())));
        let rows = self.rows.encode_binary(&columns).map_err(FoldError::of)?;
        let exists = |row: usize| batch.present().is_none_or(|present| present.is_valid(row));
        self.versions.look_at_clock(stores)?;
        let asked: Vec<&[u8]> = (0..keys.len()).map(|row| keys.value(row)).collect();
        let mut newest: HashMap<&[u8], Option<Vec<u8>>> = HashMap::with_capacity(asked.len());
        let mut each = |place: usize, row: Option<&[u8]>| drop(newest.insert(asked[place], row.map(<[u8]>::to_vec)));
        stores[self.latest].get_many(&asked, &mut each).map_err(FoldError::of)?;
        let mut puts = Vec::with_capacity(batch.len());
        for (row, &key) in asked.iter().enumerate() {
            let now = newest.entry(key).or_default();
            let before = now.clone();
            let value = exists(row).then(|| rows.value(row));
            puts.push((self.versions.put(key, value, batch.times().value(row), now, stores)?, before));
        }
        self.versions.finish(stores)?;
        Ok(puts)
    }

    /// The changes, in their order: those of the newest rows, and superseded ones between them.
    fn changes(&self, batch: Batch, puts: &Puts) -> Result<Vec<Batch>, FoldError> {
        let exists = |row: usize| batch.present().is_none_or(|present| present.is_valid(row));
        let every = self.emit == EmitPolicy::Record;
        let passes = |row: usize| match puts[row].0 {
            Put::TooLate => false,
            Put::Superseded => true,
            Put::Newest => every || exists(row) || puts[row].1.is_some(),
        };
        let passed: Vec<usize> = (0..batch.len()).filter(|&row| passes(row)).collect();
        let keep = BooleanBuffer::collect_bool(batch.len(), passes);
        let before = self.needs_before.then(|| self.before(puts)).transpose()?;
        let changes = batch.with_before(before).filter(&BooleanArray::new(keep, None)).map_err(FoldError::of)?;
        let mut runs = Vec::new();
        let mut start = 0;
        for run in passed.chunk_by(|&one, &next| puts[one].0 == puts[next].0) {
            let part = changes.slice(start, run.len());
            start += run.len();
            runs.push(if puts[run[0]].0 == Put::Superseded { part.into_superseded() } else { part.into_current() });
        }
        Ok(runs)
    }

    fn before(&self, puts: &Puts) -> Result<Before, FoldError> {
        let had: Vec<usize> = (0..puts.len()).filter(|&row| puts[row].1.is_some()).collect();
        let rows = puts.iter().filter_map(|(_, before)| before.as_deref());
        let states: Vec<ArrayRef> = self.rows.decode(rows).map_err(FoldError::of)?;
        let values = scatter(&states[..states.len() - 1], &had, puts.len())?;
        Ok(Before { values, present: Some(NullBuffer::from_iter(puts.iter().map(|(_, before)| before.is_some()))) })
    }
}

impl Operator for VersionedTable {
    fn on_batch(&mut self, batch: Batch, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let batch = drop_null_keys(batch, context)?.into_current();
        if batch.is_empty() {
            return Ok(());
        }
        let puts = self.put(&batch, context.stores).map_err(|error| context.error(error))?;
        let late = (0..puts.len()).filter(|&row| puts[row].0 == Put::TooLate);
        let now = self.versions.stream_time();
        let problem = |row: usize| {
            let time = Timestamp(batch.times().value(row));
            (row, format!("the record of {time} is older than history is kept: stream time is {now}"))
        };
        context.reject_late(&batch, late.map(problem))?;
        context.output.extend(self.changes(batch, &puts).map_err(|error| context.error(error))?);
        Ok(())
    }

    fn on_flush(&mut self, _context: &mut Context<'_>) -> Result<(), OperatorError> {
        Ok(())
    }

    fn stream_time(&self) -> Option<Timestamp> {
        None
    }

    fn restore_stream_time(&mut self, _stream_time: Timestamp) {}
}
