//! Table: makes the newest record of each key the row of that key, and passes changes on.
//!
//! Records are taken in the order in which they were written, whatever their timestamps, as Kafka Streams does for unversioned tables.
//! A windowed key is the key with the bounds of its window: one row a key and window, kept until it is deleted.
//! A null value deletes its row. Deleting what is not there passes nothing on, but under [`EmitPolicy::Record`], where every record passes
//! its update on as in Kafka Streams without a cache. A record without a key is a dead letter.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, BooleanArray},
    buffer::{BooleanBuffer, NullBuffer},
    datatypes::FieldRef,
};

use super::{
    Context, EmitPolicy, FoldError, Operator, OperatorError, Reason,
    fold::{StateLayout, scatter},
    task_store::TaskStore,
};
use crate::{
    Batch,
    batch::Before,
    record::Timestamp,
    row::RowCodec,
    schema::{ROWTIME, StreamSchema},
};

/// The layout of a table's store: rows are stored as they are read.
#[derive(Debug)]
pub struct IdentityRows {
    fields: Vec<FieldRef>,
}

impl IdentityRows {
    /// Rows of these value columns.
    pub fn new(fields: Vec<FieldRef>) -> Self {
        Self { fields }
    }
}

impl StateLayout for IdentityRows {
    fn state_fields(&self) -> Vec<FieldRef> {
        self.fields.clone()
    }

    fn result_fields(&self) -> Vec<FieldRef> {
        self.fields.clone()
    }

    fn results_of(&self, states: &[ArrayRef]) -> Result<Vec<ArrayRef>, FoldError> {
        Ok(states.to_vec())
    }
}

/// The columns of a stored row: those of the state, and the timestamp of the row behind them.
pub(crate) fn stored_fields(layout: &dyn StateLayout) -> Vec<FieldRef> {
    let time = arrow::datatypes::Field::new(ROWTIME, arrow::datatypes::DataType::Int64, true);
    layout.state_fields().into_iter().chain([Arc::new(time)]).collect()
}

/// Keeps a table in a store.
pub struct Table {
    store: usize,
    keys: RowCodec,
    rows: RowCodec,
    needs_before: bool,
    emit: EmitPolicy,
}

impl Table {
    /// A table of `schema` in store number `store`; says what was there before if `needs_before`.
    ///
    /// # Errors
    /// If a column has no row encoding.
    pub fn new(store: usize, schema: &StreamSchema, needs_before: bool, emit: EmitPolicy) -> Result<Self, FoldError> {
        let layout = IdentityRows::new(schema.value().to_vec());
        Ok(Self {
            store,
            keys: RowCodec::new(schema.whole_key()).map_err(FoldError::of)?,
            rows: RowCodec::new(&stored_fields(&layout)).map_err(FoldError::of)?,
            needs_before,
            emit,
        })
    }

    /// Writes rows and gives the changes.
    pub(crate) fn upsert(&self, batch: Batch, store: &mut TaskStore) -> Result<Option<Batch>, FoldError> {
        let keys = self.keys.encode_binary(batch.keys()).map_err(FoldError::of)?;
        let mut columns = batch.values().to_vec();
        columns.push(Arc::clone(batch.rows().column(batch.schema().time_index())));
        let rows = self.rows.encode_binary(&columns).map_err(FoldError::of)?;
        let exists = |row: usize| batch.present().is_none_or(|present| present.is_valid(row));

        let distinct: Vec<&[u8]> = (0..keys.len()).map(|row| keys.value(row)).collect();
        let mut before: Vec<Option<Vec<u8>>> = vec![None; keys.len()];
        store.get_many(&distinct, &mut |row, value| before[row] = value.map(<[u8]>::to_vec)).map_err(FoldError::of)?;
        let mut latest: HashMap<&[u8], usize> = HashMap::with_capacity(keys.len());
        for (row, &key) in distinct.iter().enumerate() {
            if let Some(earlier) = latest.insert(key, row) {
                before[row] = exists(earlier).then(|| rows.value(earlier).to_vec());
            }
            store.put(key, exists(row).then(|| rows.value(row)), Timestamp(batch.times().value(row)));
        }

        let had: Vec<usize> = (0..before.len()).filter(|&row| before[row].is_some()).collect();
        let every = self.emit == EmitPolicy::Record;
        let changed = BooleanBuffer::collect_bool(before.len(), |row| every || exists(row) || before[row].is_some());
        let images = if self.needs_before {
            let states = self.rows.decode(before.iter().flatten().map(Vec::as_slice)).map_err(FoldError::of)?;
            let values = scatter(&states[..states.len() - 1], &had, before.len())?;
            let present = NullBuffer::from_iter(before.iter().map(Option::is_some));
            Some(Before { values, present: Some(present) })
        } else {
            None
        };
        let changes = batch.with_before(images);
        if changed.count_set_bits() == changes.len() {
            return Ok(Some(changes));
        }
        let kept = changes.filter(&BooleanArray::new(changed, None)).map_err(FoldError::of)?;
        Ok((!kept.is_empty()).then_some(kept))
    }
}

impl Operator for Table {
    fn on_batch(&mut self, batch: Batch, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let batch = drop_null_keys(batch, context)?;
        if batch.is_empty() {
            return Ok(());
        }
        let changes = self.upsert(batch, &mut context.stores[self.store]);
        context.output.extend(changes.map_err(|error| context.error(error))?);
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

/// The rows of which every key column has a value; the others are dead letters.
pub(crate) fn drop_null_keys(batch: Batch, context: &mut Context<'_>) -> Result<Batch, OperatorError> {
    let keyed = &batch.keys()[..batch.schema().key().len()];
    let nulls =
        keyed.iter().fold(None, |nulls, column| NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref()));
    let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) else { return Ok(batch) };
    let without = (0..batch.len()).filter(|&row| nulls.is_null(row));
    context.reject(&batch, Reason::NullKey, without.map(|row| (row, "the record has no key".to_owned())));
    batch.filter(&BooleanArray::new(nulls.into_inner(), None)).map_err(|error| context.error(error))
}
