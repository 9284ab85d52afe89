//! Global join: each record of a stream meets the row that a key computed from it has in a global table.
//!
//! A global table is whole in every process, so that nothing moves: the record stays where it is, with its own key. Only the stream triggers,
//! and the table is as it is at the moment, whatever the timestamps: there is no order between the two.
//!
//! ```text
//! global table  x -> 1, y -> 2     record a -> (x, "tea")  by the first field   ->   a -> (x, "tea", 1)
//! ```
//!
//! A record without value is a dead letter. One whose key in the table is null is a dead letter of an inner join and meets nothing in a left
//! one, as in Kafka Streams.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, BooleanArray},
    buffer::{BooleanBuffer, NullBuffer},
};

use super::{
    Context, FoldError, JoinKind, KeyMapping, Operator, OperatorError, Reason, joined_sides::add_sides,
    table_reader::TableReader,
};
use crate::{Batch, record::Timestamp, schema::StreamSchema};

/// The rows of a global table, for all tasks of a process.
///
/// # Contract
/// A read sees each change whole. It may see changes that come while the task works.
///
/// ```
/// # use std::collections::HashMap;
/// # use millstream::operator::GlobalRows;
/// struct Fixed(HashMap<Vec<u8>, Vec<u8>>);
///
/// impl GlobalRows for Fixed {
///     fn get_many(&self, keys: &[&[u8]], each: &mut dyn FnMut(usize, Option<&[u8]>)) -> Result<(), String> {
///         keys.iter().enumerate().for_each(|(place, key)| each(place, self.0.get(*key).map(Vec::as_slice)));
///         Ok(())
///     }
/// }
/// # let rows = Fixed([(b"a".to_vec(), b"1".to_vec())].into());
/// # let mut found = Vec::new();
/// # rows.get_many(&[b"b", b"a"], &mut |_, row| found.push(row.map(<[u8]>::to_vec)))?;
/// # assert_eq!(found, [None, Some(b"1".to_vec())]);
/// # Ok::<(), String>(())
/// ```
pub trait GlobalRows: Send + Sync {
    /// Gives each key's row, in no particular order.
    ///
    /// # Errors
    /// A text that says which store failed and why.
    fn get_many(&self, keys: &[&[u8]], each: &mut dyn FnMut(usize, Option<&[u8]>)) -> Result<(), String>;
}

/// Joins a stream with a global table.
pub struct GlobalJoin {
    kind: JoinKind,
    key: Arc<dyn KeyMapping>,
    rows: Arc<dyn GlobalRows>,
    table: TableReader,
    output: Arc<StreamSchema>,
}

impl GlobalJoin {
    /// A join with `rows`, which `table` reads, by what `key` computes. Columns of `output` are the stream's key, the stream's values, the table's
    /// values, under whatever names, and then which sides there are if two more columns are left.
    pub(crate) fn new(
        kind: JoinKind,
        key: Arc<dyn KeyMapping>,
        rows: Arc<dyn GlobalRows>,
        table: TableReader,
        output: Arc<StreamSchema>,
    ) -> Self {
        Self { kind, key, rows, table, output }
    }

    /// The rows that can be joined, with their keys in the table.
    fn usable(&self, batch: Batch, context: &mut Context<'_>) -> Result<(Batch, Vec<ArrayRef>), OperatorError> {
        let mut errors = Vec::new();
        let keys = self.key.keys(&batch, &mut errors).map_err(|error| context.error(error))?;
        let nulls =
            keys.iter().fold(None, |nulls, key| NullBuffer::union(nulls.as_ref(), key.logical_nulls().as_ref()));
        let has_value = |row: usize| batch.present().is_none_or(|present| present.is_valid(row));
        errors.retain(|error| has_value(error.row));
        errors.sort_by_key(|error| error.row);
        errors.dedup_by_key(|error| error.row);
        let failed = |row: usize| errors.binary_search_by_key(&row, |error| error.row).is_ok();
        let without_key = |row: usize| {
            self.kind == JoinKind::Inner && nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) && !failed(row)
        };
        let (mut valueless, mut keyless) = (Vec::new(), Vec::new());
        let keep = BooleanBuffer::collect_bool(batch.len(), |row| {
            if !has_value(row) {
                valueless.push((row, "the record has no value".to_owned()));
            } else if without_key(row) {
                keyless.push((row, "the record has no key in the global table".to_owned()));
            } else {
                return !failed(row);
            }
            false
        });
        context.reject(&batch, Reason::NullValue, valueless);
        context.reject(&batch, Reason::NullKey, keyless);
        context.reject(&batch, Reason::Expression, errors.into_iter().map(|error| (error.row, error.problem)));
        if keep.count_set_bits() == batch.len() {
            return Ok((batch, keys));
        }
        let keep = BooleanArray::new(keep, None);
        let keys = keys.iter().map(|key| arrow::compute::filter(key, &keep)).collect::<Result<_, _>>();
        let keys = keys.map_err(|error| context.error(error))?;
        Ok((batch.filter(&keep).map_err(|error| context.error(error))?, keys))
    }

    fn join(&self, batch: &Batch, keys: &[ArrayRef]) -> Result<Batch, FoldError> {
        let rows = self.table.read_from(keys, &mut |asked, each| self.rows.get_many(asked, each))?;
        let schema = batch.schema();
        let mut values: Vec<ArrayRef> = batch.values().iter().chain(&rows.values).cloned().collect();
        add_sides(&mut values, &self.output, batch.len(), |_| true, |row| rows.is_there(row));
        let mut columns: Vec<ArrayRef> = batch.keys().to_vec();
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

impl Operator for GlobalJoin {
    fn on_batch(&mut self, batch: Batch, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let (batch, keys) = self.usable(batch, context)?;
        if batch.is_empty() {
            return Ok(());
        }
        let joined = self.join(&batch, &keys).map_err(|error| context.error(error))?;
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
