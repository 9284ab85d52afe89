//! A typed processor behind the face that operators see: columns to records, forwarded records to columns.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array},
    buffer::NullBuffer,
};

use super::{
    Processor, ProcessorContext, ProcessorRecord,
    context::{Forwarded, ProcessingContext},
};
use crate::{
    Batch,
    dsl::{
        closure::{Input, Missing},
        typed::{Data, Shape},
    },
    expression::RowError,
    operator::{FoldError, ProcessorError, Punctuation, RowContext, RowProcessor, scatter},
    record::{Timestamp, headers_column, headers_of},
    schema::StreamSchema,
};

/// The types that a processor takes and gives.
pub(super) struct Shapes<KIn, VIn, KOut, VOut> {
    pub(super) input: Arc<Input<KIn, VIn>>,
    pub(super) key_out: Shape<KOut>,
    pub(super) value_out: Shape<VOut>,
}

impl<KIn, VIn, KOut, VOut> Clone for Shapes<KIn, VIn, KOut, VOut> {
    fn clone(&self) -> Self {
        let Self { input, key_out, value_out } = self;
        Self { input: Arc::clone(input), key_out: key_out.clone(), value_out: value_out.clone() }
    }
}

/// A row of the batch that is being processed.
pub(super) enum Row<K, V> {
    /// A record.
    There(ProcessorRecord<K, V>),
    /// A row of a table that is deleted.
    Deleted(K, Timestamp),
    /// Nothing that could be processed.
    Unreadable,
}

/// A processor with its rows.
pub(super) struct Host<KIn, VIn, KOut, VOut, P> {
    pub(super) shapes: Shapes<KIn, VIn, KOut, VOut>,
    pub(super) output: Arc<StreamSchema>,
    pub(super) stores: Vec<(Arc<str>, usize)>,
    pub(super) processor: P,
    /// Where rows are those of a table: the key under which a deletion is passed on.
    pub(super) deletes: Option<fn(KIn) -> KOut>,
    pub(super) rows: Vec<Row<KIn, VIn>>,
    pub(super) forwarded: Forwarded<KOut, VOut>,
}

impl<KIn, VIn, KOut, VOut, P> Host<KIn, VIn, KOut, VOut, P> {
    fn call(
        &mut self,
        row: &mut RowContext<'_>,
        work: impl FnOnce(&mut P, &mut ProcessorContext<'_, KOut, VOut>) -> Result<(), ProcessorError>,
    ) -> Result<(), ProcessorError> {
        let base = ProcessingContext::new(row.reborrow(), &self.stores);
        work(&mut self.processor, &mut ProcessorContext::new(base, &mut self.forwarded))
    }
}

impl<KIn, VIn, KOut, VOut, P> RowProcessor for Host<KIn, VIn, KOut, VOut, P>
where
    KIn: Data,
    VIn: Data,
    KOut: Data,
    VOut: Data,
    P: Processor<KIn, VIn, KOut, VOut>,
{
    fn init(&mut self, context: &mut RowContext<'_>) -> Result<(), ProcessorError> {
        self.call(context, |processor, context| processor.init(context))
    }

    fn read(&mut self, batch: &Batch, errors: &mut Vec<RowError>) {
        self.rows.clear();
        self.rows.resize_with(batch.len(), || Row::Unreadable);
        let missing = if self.deletes.is_some() { Missing::Skipped } else { Missing::Reported };
        let mut headers = batch.headers().map(headers_of);
        for (row, key, value) in self.shapes.input.records(batch, missing, errors) {
            let timestamp = Timestamp(batch.times().value(row));
            let headers = headers.as_mut().map(|headers| std::mem::take(&mut headers[row])).unwrap_or_default();
            self.rows[row] = Row::There(ProcessorRecord { key, value, timestamp, headers });
        }
        let Some(present) = batch.present().filter(|_| self.deletes.is_some()) else { return };
        let keys = self.shapes.input.key.read_keys(batch, &mut Vec::new()).into_iter().enumerate();
        for (row, key) in keys.filter(|(row, _)| present.is_null(*row)) {
            let timestamp = Timestamp(batch.times().value(row));
            self.rows[row] = key.map_or(Row::Unreadable, |key| Row::Deleted(key, timestamp));
        }
    }

    fn process(&mut self, row: usize, context: &mut RowContext<'_>) -> Result<(), ProcessorError> {
        match std::mem::replace(&mut self.rows[row], Row::Unreadable) {
            Row::There(record) => self.call(context, |processor, context| processor.process(record, context)),
            Row::Deleted(key, timestamp) => {
                let offset = context.record_metadata().and_then(|metadata| metadata.offset);
                let key = self.deletes.map(|same| same(key));
                key.into_iter().for_each(|key| self.forwarded.push_deleted(key, timestamp, offset));
                Ok(())
            }
            Row::Unreadable => Ok(()),
        }
    }

    fn punctuate(&mut self, tick: &Punctuation, context: &mut RowContext<'_>) -> Result<(), ProcessorError> {
        self.call(context, |processor, context| processor.punctuate(tick, context))
    }

    fn take_output(&mut self) -> Result<Option<Batch>, FoldError> {
        if self.forwarded.keys.is_empty() {
            return Ok(None);
        }
        let Forwarded { keys, values, there, times, headers, offsets } = std::mem::take(&mut self.forwarded);
        let mut columns = self.shapes.key_out.write_keys(&keys, &self.output).map_err(FoldError::of)?;
        let (mut values, mut present) = self.shapes.value_out.write_present(&values).map_err(FoldError::of)?;
        if there.len() < keys.len() {
            let is_value = |index: usize| present.as_ref().is_none_or(|present| present.is_valid(index));
            let mut mask = vec![false; keys.len()];
            there.iter().enumerate().for_each(|(index, &row)| mask[row] = is_value(index));
            (values, present) = (scatter(&values, &there, keys.len())?, Some(NullBuffer::from(mask)));
        }
        columns.extend(values);
        columns.push(Arc::new(Int64Array::from(times)) as ArrayRef);
        columns.push(Arc::new(Int64Array::from(offsets)));
        let headers = headers.iter().any(|headers| !headers.is_empty()).then(|| headers_column(&headers));
        Ok(Some(Batch::new(Arc::clone(&self.output), columns).with_present(present).with_headers(headers)))
    }

    fn close(&mut self) {
        self.processor.close();
    }
}
