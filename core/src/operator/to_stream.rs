//! To-stream: the changes of a table as records of a stream.

use super::{Reads, Superseded, Transform, TransformError};
use crate::{Batch, expression::RowError};

/// Forgets what was there before; a deleted row is a null value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToStream {
    /// Of all changes, those of the past of a versioned table among them.
    All,
    /// Of the newest rows; changes of the past are dead letters.
    Newest,
}

impl Transform for ToStream {
    fn apply(&self, batch: &Batch, _errors: &mut Vec<RowError>) -> Result<Batch, TransformError> {
        Ok(batch.clone().with_before(None))
    }

    fn reads(&self) -> Reads {
        Reads::AndPassesOn(Vec::new())
    }

    fn describe(&self) -> String {
        match self {
            Self::All => "to stream".to_owned(),
            Self::Newest => "to stream: newest versions".to_owned(),
        }
    }

    fn superseded(&self) -> Superseded {
        match self {
            Self::All => Superseded::Records,
            Self::Newest => Superseded::Refused,
        }
    }
}
