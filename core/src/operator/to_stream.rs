//! To-stream: the changes of a table as records of a stream.

use super::{Reads, Superseded, Transform, TransformError};
use crate::{Batch, expression::RowError};

/// Forgets what was there before; a deleted row is a null value.
pub struct ToStream;

impl Transform for ToStream {
    fn apply(&self, batch: &Batch, _errors: &mut Vec<RowError>) -> Result<Batch, TransformError> {
        Ok(batch.clone().with_before(None))
    }

    fn reads(&self) -> Reads {
        Reads::AndPassesOn(Vec::new())
    }

    fn describe(&self) -> String {
        "to stream".to_owned()
    }

    fn superseded(&self) -> Superseded {
        Superseded::Records
    }
}
