//! Resolve: the responses of a foreign-key join beside the rows of the left table, as changes of the result.
//!
//! A response to a row that has changed since is dropped, without a dead letter: the answer to the row as it is now comes later. One that
//! is not dropped settles the row.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array},
    buffer::{BooleanBuffer, NullBuffer},
    compute,
};

use super::{
    Context, EmitPolicy, FoldError, JoinKind, Operator, OperatorError, Table, TaskStore, foreign_key_join::RowHash,
    joined_sides::add_sides, table_reader::TableReader, unsettled_rows::UnsettledRows,
};
use crate::{Batch, record::Timestamp, schema::StreamSchema};

/// Makes changes of the result from responses.
pub struct ForeignKeyResolve {
    kind: JoinKind,
    left: TableReader,
    hash: RowHash,
    /// `None` in a left join.
    unsettled: Option<UnsettledRows>,
    /// Keeps the result, where someone below needs to know what was there before.
    results: Option<(Table, usize)>,
    output: Arc<StreamSchema>,
}

impl ForeignKeyResolve {
    /// `left` reads the left table, whose value columns begin those of `output`; its last ones say which sides there are if two more are left
    /// than those of both sides. `unsettled` is the number of the store of
    /// unsettled rows, `results` that of a store for the result.
    ///
    /// # Errors
    /// [`FoldError`] if a column has no row encoding.
    pub(crate) fn new(
        kind: JoinKind,
        left: TableReader,
        left_values: &[arrow::datatypes::FieldRef],
        unsettled: Option<usize>,
        results: Option<usize>,
        emit: EmitPolicy,
        output: Arc<StreamSchema>,
    ) -> Result<Self, FoldError> {
        let table = |store: usize| Ok((Table::new(store, &output, true, emit)?, store));
        Ok(Self {
            kind,
            left,
            hash: RowHash::new(left_values)?,
            unsettled: unsettled.map(|store| UnsettledRows::new(store, output.key())).transpose()?,
            results: results.map(table).transpose()?,
            output: Arc::clone(&output),
        })
    }

    fn resolve(&self, batch: &Batch, stores: &mut [TaskStore]) -> Result<Batch, FoldError> {
        let (right, told) = batch.values().split_at(batch.values().len() - 3);
        let (found, hashes) = (told[0].as_boolean(), told[1].as_binary::<i32>());
        let left = self.left.read(batch.keys(), stores)?;
        let present_hashes = self.hash.of(&left.values, batch.len(), |row| left.is_there(row))?;
        let current = BooleanBuffer::collect_bool(batch.len(), |row| {
            match (hashes.is_valid(row), present_hashes.is_valid(row)) {
                (true, true) => hashes.value(row) == present_hashes.value(row),
                (asked, now) => asked == now,
            }
        });
        if let Some(rows) = &self.unsettled {
            let mut unsettled = rows.look(batch.keys(), stores)?;
            for row in (0..batch.len()).filter(|&row| current.value(row)) {
                rows.set(&mut unsettled, row, false, batch.times().value(row), stores);
            }
        }
        let gives = |row: usize| left.is_there(row) && (found.value(row) || self.kind == JoinKind::Left);
        let rows: UInt32Array = (0..batch.len()).map(|row| gives(row).then_some(row as u32)).collect();
        let mut columns = batch.keys().to_vec();
        let values = left.values.iter().chain(right).map(|column| compute::take(column, &rows, None));
        let mut values = values.collect::<Result<Vec<ArrayRef>, _>>().map_err(FoldError::of)?;
        add_sides(&mut values, &self.output, batch.len(), |row| left.is_there(row), |row| found.value(row));
        columns.extend(values);
        columns.push(Arc::clone(batch.rows().column(batch.schema().time_index())));
        columns.push(Batch::no_offsets(batch.len()) as ArrayRef);
        let present = NullBuffer::from_iter((0..batch.len()).map(gives));
        let changes = Batch::new(Arc::clone(&self.output), columns)
            .with_present(Some(present))
            .with_headers(batch.headers().cloned());
        changes.filter(&BooleanArray::new(current, None)).map_err(FoldError::of)
    }

    fn changes(&self, batch: &Batch, stores: &mut [TaskStore]) -> Result<Option<Batch>, FoldError> {
        let changes = self.resolve(batch, stores)?;
        match &self.results {
            _ if changes.is_empty() => Ok(None),
            None => Ok(Some(changes)),
            Some((table, store)) => table.upsert(changes, &mut stores[*store]),
        }
    }
}

impl Operator for ForeignKeyResolve {
    fn on_batch(&mut self, batch: Batch, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let changes = self.changes(&batch, context.stores).map_err(|error| context.error(error))?;
        context.output.extend(changes);
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
