//! Subscribe: changes of the left table of a foreign-key join as subscriptions to its foreign key.
//!
//! ```text
//! row of the left table     inner                        left
//! comes                     answer if there              answer
//! keeps its foreign key     answer if there              answer
//! gets another one          unsubscribe; answer          unsubscribe; answer
//! goes                      unsubscribe and clear        unsubscribe; answer without a key
//! ```
//!
//! A row of an inner join that is [unsettled](super::unsettled_rows) asks as one of a left join does, unless it goes. In a left join the answer to a
//! row that goes has the time of that row alone, for no row of the right table is asked.
//!
//! A row whose foreign key is null, in any of its columns, meets nothing. In an inner join it is a dead letter, and what it gave before is
//! cleared; in a left join it asks for an answer without a key.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, BinaryArray, Int32Array, Int64Array, UInt32Array},
    buffer::NullBuffer,
    compute,
};

use super::{
    Context, FoldError, JoinKind, KeyMapping, Operator, OperatorError, Reason,
    filter::image_before,
    foreign_key_join::{Instruction, RowHash},
    table::drop_null_keys,
    unsettled_rows::UnsettledRows,
};
use crate::{
    Batch,
    expression::RowError,
    record::{PartitionId, Timestamp},
    row::RowCodec,
    schema::StreamSchema,
};

/// Turns changes of the left table into subscriptions.
pub struct ForeignKeySubscribe {
    kind: JoinKind,
    foreign_key: Arc<dyn KeyMapping>,
    keys: RowCodec,
    hash: RowHash,
    /// `None` in a left join, in which everything is answered.
    unsettled: Option<UnsettledRows>,
    partition: PartitionId,
    output: Arc<StreamSchema>,
}

/// The foreign keys of some rows.
struct ForeignKeys {
    columns: Vec<ArrayRef>,
    /// As bytes; null if a column is.
    bytes: BinaryArray,
    nulls: Option<NullBuffer>,
}

impl ForeignKeys {
    fn of(&self, row: usize) -> Option<&[u8]> {
        self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)).then(|| self.bytes.value(row))
    }
}

/// Which foreign key a subscription goes to.
#[derive(Clone, Copy)]
enum To {
    Old,
    New,
}

/// The subscriptions that a change makes, in their order; `None` goes to no key.
fn instructions(
    kind: JoinKind,
    old: Option<Option<&[u8]>>,
    new: Option<Option<&[u8]>>,
) -> Vec<(Option<To>, Instruction)> {
    use Instruction::{Answer, AnswerIfThere, Unsubscribe, UnsubscribeAndClear};
    match (kind, old, new) {
        (_, None, None) => vec![],
        (JoinKind::Inner, Some(Some(_)), None) => vec![(Some(To::Old), UnsubscribeAndClear)],
        (JoinKind::Left, Some(Some(_)), None) => vec![(Some(To::Old), Unsubscribe), (None, Answer)],
        (JoinKind::Left, Some(None), None) => vec![(None, Answer)],
        (JoinKind::Left, Some(Some(old)), Some(new)) if new != Some(old) => {
            vec![(Some(To::Old), Unsubscribe), (new.map(|_| To::New), Answer)]
        }
        (JoinKind::Left, _, Some(new)) => vec![(new.map(|_| To::New), Answer)],
        (JoinKind::Inner, Some(None), None) => vec![],
        (JoinKind::Inner, Some(Some(_)), Some(None)) => vec![(Some(To::Old), UnsubscribeAndClear)],
        (JoinKind::Inner, _, Some(None)) => vec![],
        (JoinKind::Inner, Some(Some(old)), Some(Some(new))) if old != new => {
            vec![(Some(To::Old), Unsubscribe), (Some(To::New), Answer)]
        }
        (JoinKind::Inner, _, Some(Some(_))) => vec![(Some(To::New), AnswerIfThere)],
    }
}

impl ForeignKeySubscribe {
    /// Subscriptions of rows of `left` to what `foreign_key` computes from them. `output` are the columns of the subscription topic.
    /// `unsettled` is the number of the store of unsettled rows, which inner joins need; `partition` is where the left rows are.
    ///
    /// # Errors
    /// [`FoldError`] if a column has no row encoding.
    pub fn new(
        kind: JoinKind,
        foreign_key: Arc<dyn KeyMapping>,
        left: &StreamSchema,
        unsettled: Option<usize>,
        partition: PartitionId,
        output: Arc<StreamSchema>,
    ) -> Result<Self, FoldError> {
        Ok(Self {
            kind,
            foreign_key,
            keys: RowCodec::new(output.key()).map_err(FoldError::of)?,
            hash: RowHash::new(left.value())?,
            unsettled: unsettled.map(|store| UnsettledRows::new(store, left.key())).transpose()?,
            partition,
            output,
        })
    }

    fn foreign_keys(&self, rows: &Batch, errors: &mut Vec<RowError>) -> Result<ForeignKeys, FoldError> {
        let columns = self.foreign_key.keys(rows, errors).map_err(FoldError::of)?;
        let nulls = columns
            .iter()
            .fold(None, |nulls, column| NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref()));
        let bytes = self.keys.encode_binary(&columns).map_err(FoldError::of)?;
        Ok(ForeignKeys { columns, bytes, nulls })
    }

    fn subscriptions(&self, batch: &Batch, context: &mut Context<'_>) -> Result<Option<Batch>, FoldError> {
        let is_there = |row: usize| batch.present().is_none_or(|present| present.is_valid(row));
        let before = batch.before();
        let was_there = |row: usize| {
            before.is_some_and(|before| before.present.as_ref().is_none_or(|present| present.is_valid(row)))
        };
        let mut errors = Vec::new();
        let new = self.foreign_keys(batch, &mut errors)?;
        let old = match before {
            Some(before) => self.foreign_keys(&image_before(batch, before), &mut Vec::new())?,
            None => self.foreign_keys(batch, &mut Vec::new())?,
        };
        errors.retain(|error| is_there(error.row));
        errors.sort_by_key(|error| error.row);
        errors.dedup_by_key(|error| error.row);
        let without = (0..batch.len()).filter(|&row| {
            let failed = errors.binary_search_by_key(&row, |error| error.row).is_ok();
            self.kind == JoinKind::Inner && is_there(row) && new.of(row).is_none() && !failed
        });
        let without: Vec<_> = without.map(|row| (row, "the row has no foreign key".to_owned())).collect();
        context.reject(batch, Reason::NullKey, without);
        context.reject(batch, Reason::Expression, errors.into_iter().map(|error| (error.row, error.problem)));

        let (mut rows, mut keys, mut codes) = (Vec::new(), Vec::new(), Vec::new());
        let count = batch.len() as u32;
        let unsettled = self.unsettled.as_ref().map(|rows| Ok((rows, rows.look(batch.keys(), context.stores)?)));
        let mut unsettled = unsettled.transpose()?;
        for row in 0..batch.len() {
            let old = was_there(row).then(|| old.of(row));
            let new = is_there(row).then(|| new.of(row));
            // In a left join everything is answered, which is what an unsettled row needs.
            let is_unsettled = unsettled.as_ref().is_some_and(|(_, now)| now.is(row));
            let goes = matches!(old, Some(Some(_))) && new.is_none();
            let kind = if is_unsettled && !goes { JoinKind::Left } else { self.kind };
            for (to, instruction) in instructions(kind, old, new) {
                if let (Some((rows, now)), Instruction::Answer | Instruction::UnsubscribeAndClear) =
                    (&mut unsettled, instruction)
                {
                    rows.set(now, row, true, batch.times().value(row), context.stores);
                }
                rows.push(row as u32);
                keys.push(to.map(|to| match to {
                    To::New => row as u32,
                    To::Old => count + row as u32,
                }));
                codes.push(instruction.code());
            }
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let (rows, keys) = (UInt32Array::from(rows), UInt32Array::from(keys));
        let take =
            |column: &dyn Array, indices: &UInt32Array| compute::take(column, indices, None).map_err(FoldError::of);
        let mut columns = Vec::with_capacity(self.output.columns().fields().len());
        for (new, old) in new.columns.iter().zip(&old.columns) {
            let both = compute::concat(&[new.as_ref(), old.as_ref()]).map_err(FoldError::of)?;
            columns.push(take(&both, &keys)?);
        }
        for column in batch.keys() {
            columns.push(take(column, &rows)?);
        }
        let hashes = self.hash.of(batch.values(), batch.len(), is_there)?;
        let partition = i32::try_from(self.partition.0).map_err(FoldError::of)?;
        let partitions = Int32Array::from_value(partition, codes.len());
        columns.extend([take(&hashes, &rows)?, Arc::new(Int32Array::from(codes)) as ArrayRef, Arc::new(partitions)]);
        let times: Int64Array = rows.values().iter().map(|&row| Some(batch.times().value(row as usize))).collect();
        columns.extend([Arc::new(times) as ArrayRef, Batch::no_offsets(rows.len())]);
        let headers = batch.headers_at(&rows).map_err(FoldError::of)?;
        Ok(Some(Batch::new(Arc::clone(&self.output), columns).with_headers(headers)))
    }
}

impl Operator for ForeignKeySubscribe {
    fn on_batch(&mut self, batch: Batch, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let batch = drop_null_keys(batch, context)?;
        if batch.is_empty() || context.refuses_superseded(&batch) {
            return Ok(());
        }
        let subscriptions = self.subscriptions(&batch, context).map_err(|error| context.error(error))?;
        context.output.extend(subscriptions);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: JoinKind, old: Option<Option<&'static str>>, new: Option<Option<&'static str>>) -> String {
        let bytes = |key: Option<Option<&'static str>>| key.map(|key| key.map(str::as_bytes));
        let sent = instructions(kind, bytes(old), bytes(new)).into_iter().map(|(to, instruction)| {
            let to = match to {
                Some(To::Old) => "old",
                Some(To::New) => "new",
                None => "none",
            };
            format!("{to} {}", instruction.code())
        });
        sent.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn instructions_are_those_of_kafka_streams() {
        let (row, other, null) = (Some(Some("a")), Some(Some("b")), Some(None));
        for (old, new, inner, left) in [
            (None, None, "", ""),
            (None, row, "new 3", "new 2"),
            (None, null, "", "none 2"),
            (row, row, "new 3", "new 2"),
            (row, other, "old 0, new 2", "old 0, new 2"),
            (row, null, "old 1", "old 0, none 2"),
            (row, None, "old 1", "old 0, none 2"),
            (null, row, "new 3", "new 2"),
            (null, null, "", "none 2"),
            (null, None, "", "none 2"),
        ] {
            assert_eq!(check(JoinKind::Inner, old, new), inner, "inner {old:?} {new:?}");
            assert_eq!(check(JoinKind::Left, old, new), left, "left {old:?} {new:?}");
        }
    }
}
