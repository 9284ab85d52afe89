//! Forgetting what was there before: a filter of a table that deletes what does not pass, whether it was there or not, as Kafka Streams does.

use std::sync::Arc;

use super::{Reads, Transform, TransformError, transform::Superseded};
use crate::{Batch, expression::RowError};

/// A transform that is not told what was there before, until its output has to say so.
pub struct ForgetBefore {
    transform: Arc<dyn Transform>,
}

impl ForgetBefore {
    /// Hides from `transform` what was there before.
    pub fn new(transform: Arc<dyn Transform>) -> Self {
        Self { transform }
    }
}

impl Transform for ForgetBefore {
    fn apply(&self, batch: &Batch, errors: &mut Vec<RowError>) -> Result<Batch, TransformError> {
        self.transform.apply(&batch.clone().with_before(None), errors)
    }

    fn reads(&self) -> Reads {
        self.transform.reads()
    }

    fn describe(&self) -> String {
        self.transform.describe()
    }

    fn with_before(&self) -> Option<Arc<dyn Transform>> {
        Some(Arc::clone(&self.transform))
    }

    fn superseded(&self) -> Superseded {
        self.transform.superseded()
    }
}
