//! Notify: a change of the right table of a foreign-key join, once for each row of the left table that subscribes to it.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BinaryArray, BooleanArray, Int32Array, Int64Array, UInt32Array},
    compute,
};

use super::{
    Context, FoldError, Operator, OperatorError, TaskStore, subscription_store::SubscriptionStore,
    table::drop_null_keys,
};
use crate::{Batch, record::Timestamp, row::RowCodec, schema::StreamSchema};

/// Sends changes of right rows to their subscribers.
pub struct ForeignKeyNotify {
    subscriptions: SubscriptionStore,
    foreign: RowCodec,
    primary: RowCodec,
    output: Arc<StreamSchema>,
}

impl ForeignKeyNotify {
    /// Subscriptions are in store number `subscriptions`; `right` are the right table's columns, `output` those of the responses.
    ///
    /// # Errors
    /// [`FoldError`] if a column has no row encoding.
    pub fn new(subscriptions: usize, right: &StreamSchema, output: Arc<StreamSchema>) -> Result<Self, FoldError> {
        Ok(Self {
            subscriptions: SubscriptionStore::new(subscriptions),
            foreign: RowCodec::new(right.key()).map_err(FoldError::of)?,
            primary: RowCodec::new(output.key()).map_err(FoldError::of)?,
            output,
        })
    }

    fn notify(&self, batch: &Batch, stores: &mut [TaskStore]) -> Result<Option<Batch>, FoldError> {
        let foreign = self.foreign.encode_binary(batch.keys()).map_err(FoldError::of)?;
        let (mut rows, mut subscribers) = (Vec::new(), Vec::new());
        for row in 0..batch.len() {
            let found = self.subscriptions.subscribers(foreign.value(row), stores)?;
            rows.extend(std::iter::repeat_n(row as u32, found.len()));
            subscribers.extend(found);
        }
        if subscribers.is_empty() {
            return Ok(None);
        }
        let is_there = |row: u32| batch.present().is_none_or(|present| present.is_valid(row as usize));
        let present: UInt32Array = rows.iter().map(|&row| is_there(row).then_some(row)).collect();
        let primary = subscribers.iter().map(|subscriber| subscriber.key.as_slice());
        let mut columns = self.primary.decode(primary).map_err(FoldError::of)?;
        for column in batch.values() {
            columns.push(compute::take(column, &present, None).map_err(FoldError::of)?);
        }
        columns.push(Arc::new(BooleanArray::from_iter(rows.iter().map(|&row| Some(is_there(row))))));
        let hashes = subscribers.iter().map(|subscriber| subscriber.hash.as_slice());
        columns.push(Arc::new(BinaryArray::from_iter_values(hashes)));
        let partitions = subscribers.iter().map(|subscriber| subscriber.partition);
        columns.push(Arc::new(Int32Array::from_iter_values(partitions)));
        let times = Int64Array::from_iter_values(rows.iter().map(|&row| batch.times().value(row as usize)));
        columns.extend([Arc::new(times) as ArrayRef, Batch::no_offsets(rows.len())]);
        let headers = batch.headers_at(&UInt32Array::from(rows)).map_err(FoldError::of)?;
        Ok(Some(Batch::new(Arc::clone(&self.output), columns).with_headers(headers)))
    }
}

impl Operator for ForeignKeyNotify {
    fn on_batch(&mut self, batch: Batch, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let batch = drop_null_keys(batch, context)?;
        if batch.is_empty() || context.refuses_superseded(&batch) {
            return Ok(());
        }
        let notified = self.notify(&batch, context.stores).map_err(|error| context.error(error))?;
        context.output.extend(notified);
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
