//! Answer: keeps the subscriptions of a foreign-key join and answers each with the right row of the moment.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, UInt32Array},
    compute,
    datatypes::Int32Type,
};

use super::{
    Context, FoldError, Operator, OperatorError, TaskStore,
    foreign_key_join::Instruction,
    subscription_store::{Subscriber, SubscriptionStore},
    table_reader::TableReader,
};
use crate::{Batch, record::Timestamp, row::RowCodec, schema::StreamSchema};

/// Answers subscriptions.
pub struct ForeignKeyAnswer {
    subscriptions: SubscriptionStore,
    right: TableReader,
    foreign: RowCodec,
    primary: RowCodec,
    output: Arc<StreamSchema>,
}

/// An answer, by what it is made of.
struct Answer {
    /// The row of the subscription.
    row: u32,
    /// Whether it carries the right row.
    found: bool,
    time: i64,
}

impl ForeignKeyAnswer {
    /// Subscriptions are kept in store number `subscriptions`; `input` and `output` are the columns of the two topics of the join.
    ///
    /// # Errors
    /// [`FoldError`] if a column has no row encoding.
    pub(crate) fn new(
        subscriptions: usize,
        right: TableReader,
        input: &StreamSchema,
        output: Arc<StreamSchema>,
    ) -> Result<Self, FoldError> {
        Ok(Self {
            subscriptions: SubscriptionStore::new(subscriptions),
            right,
            foreign: RowCodec::new(input.key()).map_err(FoldError::of)?,
            primary: RowCodec::new(output.key()).map_err(FoldError::of)?,
            output,
        })
    }

    fn answer(&self, batch: &Batch, stores: &mut [TaskStore]) -> Result<Option<Batch>, FoldError> {
        let (keys, asked) = batch.values().split_at(self.output.key().len());
        let (hashes, codes) = (asked[0].as_binary::<i32>(), asked[1].as_primitive::<Int32Type>());
        let partitions = asked[2].as_primitive::<Int32Type>();
        let right = self.right.read(batch.keys(), stores)?;
        let foreign = self.foreign.encode_binary(batch.keys()).map_err(FoldError::of)?;
        let primary = self.primary.encode_binary(keys).map_err(FoldError::of)?;
        let mut answers = Vec::with_capacity(batch.len());
        for row in 0..batch.len() {
            let time = batch.times().value(row);
            let instruction = Instruction::from_code(codes.value(row));
            let instruction = instruction.ok_or_else(|| FoldError {
                problem: format!("a subscription says {}, which is no instruction", codes.value(row)),
            })?;
            let has_key = batch.keys().iter().all(|column| column.is_valid(row));
            match instruction {
                Instruction::Unsubscribe | Instruction::UnsubscribeAndClear => {
                    self.subscriptions.remove(foreign.value(row), primary.value(row), Timestamp(time), stores)?;
                }
                Instruction::Answer | Instruction::AnswerIfThere if has_key => {
                    let (key, hash) = (primary.value(row).to_vec(), hashes.value(row).to_vec());
                    let subscriber = Subscriber { key, hash, partition: partitions.value(row) };
                    self.subscriptions.add(foreign.value(row), &subscriber, Timestamp(time), stores)?;
                }
                Instruction::Answer | Instruction::AnswerIfThere => {}
            }
            let found = right.is_there(row);
            let answered = match instruction {
                Instruction::Unsubscribe => None,
                Instruction::UnsubscribeAndClear => Some(false),
                Instruction::Answer => Some(found),
                Instruction::AnswerIfThere => found.then_some(true),
            };
            let time = right.times[row].map_or(time, |right| right.max(time));
            answers.extend(answered.map(|found| Answer { row: row as u32, found, time }));
        }
        if answers.is_empty() {
            return Ok(None);
        }
        let rows: UInt32Array = answers.iter().map(|answer| Some(answer.row)).collect();
        let rights: UInt32Array = answers.iter().map(|answer| answer.found.then_some(answer.row)).collect();
        let take = |column: &ArrayRef, rows: &UInt32Array| compute::take(column, rows, None).map_err(FoldError::of);
        let mut columns = keys.iter().map(|column| take(column, &rows)).collect::<Result<Vec<_>, _>>()?;
        for column in &right.values {
            columns.push(take(column, &rights)?);
        }
        columns.push(Arc::new(BooleanArray::from_iter(answers.iter().map(|answer| Some(answer.found)))));
        columns.extend([take(&asked[0], &rows)?, take(&asked[2], &rows)?]);
        let times = Int64Array::from_iter_values(answers.iter().map(|answer| answer.time));
        columns.extend([Arc::new(times) as ArrayRef, Batch::no_offsets(answers.len())]);
        let headers = batch.headers_at(&rows).map_err(FoldError::of)?;
        Ok(Some(Batch::new(Arc::clone(&self.output), columns).with_headers(headers)))
    }
}

impl Operator for ForeignKeyAnswer {
    fn on_batch(&mut self, batch: Batch, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let answers = self.answer(&batch, context.stores).map_err(|error| context.error(error))?;
        context.output.extend(answers);
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
