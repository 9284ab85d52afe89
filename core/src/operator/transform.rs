//! Stateless operators: a function from a batch to a batch, shared by all tasks.

use std::sync::Arc;

use super::{Context, Operator, OperatorError, Reason};
use crate::{Batch, expression::RowError, record::Timestamp};

/// A batch that a transform cannot turn into another one at all, whatever the rows.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct TransformError {
    /// What happened.
    pub problem: String,
}

impl TransformError {
    /// Wraps an error of a library.
    pub fn of(error: impl std::fmt::Display) -> Self {
        Self { problem: error.to_string() }
    }
}

/// A stateless function of batches.
///
/// Batches of changes are handled as such: what is done to a row is done to the row it replaces.
pub trait Transform: Send + Sync {
    /// The batch that `batch` becomes. Rows that fail are added to `errors` and left out or null, as the transform documents.
    ///
    /// # Errors
    /// [`TransformError`] if no row can be processed.
    fn apply(&self, batch: &Batch, errors: &mut Vec<RowError>) -> Result<Batch, TransformError>;

    /// Which columns of a row it needs, so that the others need not be decoded.
    fn reads(&self) -> Reads;

    /// What it does, for `describe`: every setting that can change a result.
    fn describe(&self) -> String;

    /// The transform to be used instead where changes have to say what was there before; `None` if it is this one.
    fn with_before(&self) -> Option<Arc<dyn Transform>> {
        None
    }

    /// What becomes of versions of a versioned table that are not the newest of their keys.
    fn superseded(&self) -> Superseded {
        Superseded::PassedOn
    }
}

/// What a transform makes of versions of rows that are not the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Superseded {
    /// Versions that are not the newest either: it computes rows from rows.
    PassedOn,
    /// Records like any others: what was a table is a stream behind it.
    Records,
    /// Nothing: only the newest versions count. The others are dead letters.
    Refused,
}

/// Which columns a transform needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reads {
    /// All of them.
    Everything,
    /// These, and it passes all columns on.
    AndPassesOn(Vec<String>),
    /// These and no others; the output is computed from them. Keys are always there.
    Only(Vec<String>),
}

/// Runs a [`Transform`] as an operator.
pub struct Transformer {
    transform: Arc<dyn Transform>,
}

impl Transformer {
    /// An operator that applies `transform`.
    pub fn new(transform: Arc<dyn Transform>) -> Self {
        Self { transform }
    }
}

impl Operator for Transformer {
    fn on_batch(&mut self, batch: Batch, context: &mut Context<'_>) -> Result<(), OperatorError> {
        if self.transform.superseded() == Superseded::Refused && context.refuses_superseded(&batch) {
            return Ok(());
        }
        let mut errors = Vec::new();
        let mut output = self.transform.apply(&batch, &mut errors).map_err(|error| context.error(error))?;
        if batch.is_superseded() {
            let is_table = self.transform.superseded() == Superseded::PassedOn;
            output = if is_table { output.into_superseded() } else { output.into_current() };
        }
        context.reject(&batch, Reason::Expression, errors.into_iter().map(|error| (error.row, error.problem)));
        if !output.is_empty() {
            context.output.push(output);
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
