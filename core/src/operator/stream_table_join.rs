//! Stream-table join: each record of the stream meets the row its key has in the table at that moment.
//!
//! Only the stream triggers. The result has the stream record's key and timestamp. A record without value is a dead letter; one without
//! key is a dead letter of an inner join and meets nothing in a left join. As in Kafka Streams, the table is as its records up to
//! this moment have made it; the task takes records of both sides in the order of their timestamps.
//!
//! ```text
//! table  a -> 1           stream  a, b       inner  (a, 1)        left  (a, 1), (b, null)
//! ```

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray},
    buffer::BooleanBuffer,
};

use super::{
    Context, FoldError, JoinKind, Operator, OperatorError, Reason, StoreRetention, fold::StateLayout,
    joined_sides::add_sides, table::drop_null_keys, table_reader::TableReader, task_store::TaskStore,
};
use crate::{Batch, record::Timestamp, schema::StreamSchema};

/// Joins a stream with the table in a store.
pub struct StreamTableJoin {
    kind: JoinKind,
    table: TableReader,
    output: Arc<StreamSchema>,
}

impl StreamTableJoin {
    /// A join with the table in store number `store`, which keeps rows as `retention` says. Columns of `output` are the stream's key, the stream's values, the table's
    /// values, under whatever names, and then which sides there are if two more columns are left; if its keys have windows, so have the table's.
    ///
    /// # Errors
    /// [`FoldError`] if a column has no row encoding.
    pub fn new(
        kind: JoinKind,
        store: usize,
        retention: &StoreRetention,
        layout: Arc<dyn StateLayout>,
        output: Arc<StreamSchema>,
    ) -> Result<Self, FoldError> {
        let table = TableReader::new(store, retention, layout, &output)?;
        Ok(Self { kind, table, output })
    }

    fn join(&self, batch: &Batch, stores: &mut [TaskStore]) -> Result<Batch, FoldError> {
        let rows = self.table.read(batch.keys(), stores)?;
        let schema = batch.schema();
        let mut columns: Vec<ArrayRef> = batch.keys().to_vec();
        let mut values: Vec<ArrayRef> = batch.values().iter().chain(&rows.values).cloned().collect();
        add_sides(&mut values, &self.output, batch.len(), |_| true, |row| rows.is_there(row));
        columns.extend(values);
        columns
            .extend([schema.time_index(), schema.offset_index()].map(|index| Arc::clone(batch.rows().column(index))));
        let joined = Batch::new(Arc::clone(&self.output), columns).with_headers(batch.headers().cloned());
        let met = BooleanBuffer::collect_bool(batch.len(), |row| rows.is_there(row));
        if self.kind == JoinKind::Left || met.count_set_bits() == batch.len() {
            return Ok(joined);
        }
        joined.filter(&BooleanArray::new(met, None)).map_err(FoldError::of)
    }
}

impl Operator for StreamTableJoin {
    fn on_batch(&mut self, batch: Batch, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let mut batch = match self.kind {
            JoinKind::Inner => drop_null_keys(batch, context)?,
            JoinKind::Left => batch,
        };
        if let Some(present) = batch.present().cloned() {
            let without = (0..batch.len()).filter(|&row| present.is_null(row));
            context.reject(&batch, Reason::NullValue, without.map(|row| (row, "the record has no value".to_owned())));
            let keep = BooleanArray::new(present.into_inner(), None);
            batch = batch.filter(&keep).map_err(|error| context.error(error))?;
        }
        if batch.is_empty() {
            return Ok(());
        }
        let joined = self.join(&batch, context.stores).map_err(|error| context.error(error))?;
        if !joined.is_empty() {
            context.output.push(joined);
        }
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
