//! Merge: the records of several streams of one schema, as one stream, in the order in which they are processed.

use super::{Context, Operator, OperatorError};
use crate::{Batch, record::Timestamp};

/// Passes every batch on.
pub struct Merge;

impl Operator for Merge {
    fn on_batch(&mut self, batch: Batch, context: &mut Context<'_>) -> Result<(), OperatorError> {
        context.output.push(batch);
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
