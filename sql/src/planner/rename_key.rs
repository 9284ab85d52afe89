//! Rename-key: the same rows under other names of their key columns. Keys, and with them partitions, stay.

use std::sync::Arc;

use arrow::datatypes::FieldRef;
use millstream::{
    Batch,
    expression::RowError,
    operator::{Reads, Transform, TransformError},
    schema::{SchemaError, StreamSchema},
};

/// Renames key columns.
pub(super) struct RenameKey {
    output: Arc<StreamSchema>,
}

impl RenameKey {
    /// Gives the key columns of `input` these names, in order.
    ///
    /// # Errors
    /// If a value column has one of the names.
    pub(super) fn new(input: &StreamSchema, names: &[String]) -> Result<Self, SchemaError> {
        let key: Vec<FieldRef> = input
            .key()
            .iter()
            .zip(names)
            .map(|(field, name)| Arc::new(field.as_ref().clone().with_name(name)))
            .collect();
        Ok(Self { output: StreamSchema::new(key, input.value().to_vec(), input.window())? })
    }

    /// The columns it gives.
    pub(super) fn output(&self) -> &Arc<StreamSchema> {
        &self.output
    }
}

impl Transform for RenameKey {
    fn apply(&self, batch: &Batch, _errors: &mut Vec<RowError>) -> Result<Batch, TransformError> {
        let renamed = Batch::new(Arc::clone(&self.output), batch.rows().columns().to_vec());
        let renamed = renamed.with_present(batch.present().cloned()).with_before(batch.before().cloned());
        Ok(renamed.with_headers(batch.headers().cloned()))
    }

    fn reads(&self) -> Reads {
        Reads::AndPassesOn(Vec::new())
    }

    fn describe(&self) -> String {
        let names: Vec<&str> = self.output.key().iter().map(|field| field.name().as_str()).collect();
        format!("key is called {}", names.join(", "))
    }
}
