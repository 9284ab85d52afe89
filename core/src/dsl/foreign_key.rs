//! Foreign keys by closures: the key of another table, computed from key and value of a row.

use arrow::{array::ArrayRef, datatypes::DataType};

use super::{
    closure::{Input, Missing},
    typed::{Data, Shape},
};
use crate::{
    Batch,
    expression::RowError,
    operator::{KeyMapping, TransformError, scatter},
};

/// A closure that names a key.
type Naming<K, V, K2> = dyn Fn(&K, &V) -> Option<K2> + Send + Sync;

/// A [`KeyMapping`] of a closure. Rows for which it gives nothing, and rows that cannot be read, have no such key.
pub(super) struct ForeignKeyClosure<K, V, K2> {
    input: Input<K, V>,
    output: Shape<K2>,
    naming: Box<Naming<K, V, K2>>,
}

impl<K: Data, V: Data, K2: Data> ForeignKeyClosure<K, V, K2> {
    pub(super) fn new(naming: impl Fn(&K, &V) -> Option<K2> + Send + Sync + 'static) -> Result<Self, String> {
        Ok(Self { input: Input::of_table()?, output: Shape::of("key")?, naming: Box::new(naming) })
    }
}

impl<K: Data, V: Data, K2: Data> KeyMapping for ForeignKeyClosure<K, V, K2> {
    fn keys(&self, batch: &Batch, errors: &mut Vec<RowError>) -> Result<Vec<ArrayRef>, TransformError> {
        let (mut rows, mut keys) = (Vec::new(), Vec::new());
        for (row, key, value) in self.input.records(batch, Missing::Skipped, errors) {
            if let Some(named) = (self.naming)(&key, &value) {
                rows.push(row);
                keys.push(named);
            }
        }
        let columns = self.output.write(&keys).map_err(TransformError::of)?;
        scatter(&columns, &rows, batch.len()).map_err(TransformError::of)
    }

    fn types(&self) -> Vec<DataType> {
        self.output.fields.iter().map(|field| field.data_type().clone()).collect()
    }

    fn describe(&self) -> String {
        "a key by a closure".to_owned()
    }
}
