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

use arrow::array::{ArrayRef, BooleanArray};

use super::{
    Context, FoldError, Operator, OperatorError, Reason,
    fold::{StateLayout, scatter},
    table::{drop_null_keys, stored_fields},
    task_store::TaskStore,
};
use crate::{Batch, record::Timestamp, row::RowCodec, schema::StreamSchema};

/// What becomes of stream records that meet no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JoinKind {
    /// They are left out.
    Inner,
    /// They are passed on with nulls in the table's columns.
    Left,
}

/// Joins a stream with the table in a store.
pub struct StreamTableJoin {
    kind: JoinKind,
    store: usize,
    keys: RowCodec,
    rows: RowCodec,
    layout: Arc<dyn StateLayout>,
    output: Arc<StreamSchema>,
}

impl StreamTableJoin {
    /// A join with the table in store number `store`. Columns of `output` are the stream's key, the stream's values, the table's
    /// values, under whatever names.
    ///
    /// # Errors
    /// [`FoldError`] if a column has no row encoding.
    pub fn new(
        kind: JoinKind,
        store: usize,
        layout: Arc<dyn StateLayout>,
        output: Arc<StreamSchema>,
    ) -> Result<Self, FoldError> {
        Ok(Self {
            kind,
            store,
            keys: RowCodec::new(output.key()).map_err(FoldError::of)?,
            rows: RowCodec::new(&stored_fields(layout.as_ref())).map_err(FoldError::of)?,
            layout,
            output,
        })
    }

    fn join(&self, batch: &Batch, store: &mut TaskStore) -> Result<Batch, FoldError> {
        let keys = self.keys.encode(batch.keys()).map_err(FoldError::of)?;
        let key_bytes: Vec<&[u8]> = keys.iter().map(|key| key.data()).collect();
        let mut bytes = Vec::new();
        let mut met: Vec<(usize, usize, usize)> = Vec::new();
        let mut each = |row: usize, value: Option<&[u8]>| {
            if let Some(value) = value {
                met.push((row, bytes.len(), bytes.len() + value.len()));
                bytes.extend_from_slice(value);
            }
        };
        store.get_many(&key_bytes, &mut each).map_err(FoldError::of)?;
        let rows = met.iter().map(|&(_, start, end)| &bytes[start..end]);
        let mut states = self.rows.decode(rows).map_err(FoldError::of)?;
        states.pop();
        let found: Vec<usize> = met.iter().map(|&(row, ..)| row).collect();
        let table = scatter(&self.layout.results_of(&states)?, &found, batch.len())?;

        let schema = batch.schema();
        let mut columns: Vec<ArrayRef> = batch.keys().to_vec();
        columns.extend(batch.values().iter().cloned());
        columns.extend(table);
        columns
            .extend([schema.time_index(), schema.offset_index()].map(|index| Arc::clone(batch.rows().column(index))));
        let joined = Batch::new(Arc::clone(&self.output), columns).with_headers(batch.headers().cloned());
        if self.kind == JoinKind::Left || found.len() == batch.len() {
            return Ok(joined);
        }
        let mut keep = vec![false; batch.len()];
        found.iter().for_each(|&row| keep[row] = true);
        joined.filter(&BooleanArray::from(keep)).map_err(FoldError::of)
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
        let joined = self.join(&batch, &mut context.stores[self.store]).map_err(|error| context.error(error))?;
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
