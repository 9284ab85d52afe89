//! Grouping the rows of a table by a closure.

use std::sync::Arc;

use super::typed::{Data, Shape};
use crate::{
    Batch,
    expression::RowError,
    operator::{Reads, Regroup, Regrouped, Retract, scatter},
};

/// A closure that gives each row a new key and a value.
pub(super) struct ClosureRegroup<K, V, K2, V2, F> {
    key: Shape<K>,
    value: Shape<V>,
    new_key: Shape<K2>,
    new_value: Shape<V2>,
    function: F,
}

impl<K, V, K2, V2, F> ClosureRegroup<K, V, K2, V2, F>
where
    K: Data,
    V: Data,
    K2: Data,
    V2: Data,
    F: Fn(&K, &V) -> (K2, V2) + Send + Sync + 'static,
{
    /// Changes under the keys that `function` gives.
    pub(super) fn retract(function: F) -> Result<Retract, String> {
        let new_key = Shape::of("key")?;
        let new_value = Shape::of("value")?;
        let fields = (new_key.fields.clone(), new_value.fields.clone());
        let regroup = Self { key: Shape::of("key")?, value: Shape::of("value")?, new_key, new_value, function };
        Retract::of(Arc::new(regroup), fields.0, fields.1).map_err(|error| error.to_string())
    }

    fn try_regroup(&self, batch: &Batch, errors: &mut Vec<RowError>) -> Result<Regrouped, String> {
        let (mut rows, mut keys, mut values) = (Vec::new(), Vec::new(), Vec::new());
        let old_keys = self.key.read_keys(batch, errors);
        let old_values = self.value.read_present(batch.values(), batch.present(), batch.len(), errors);
        for (row, (key, value)) in old_keys.into_iter().zip(old_values).enumerate() {
            let is_there = batch.present().is_none_or(|present| present.is_valid(row));
            if let (true, Some(key), Some(value)) = (is_there, key, value) {
                let (key, value) = (self.function)(&key, &value);
                rows.push(row);
                keys.push(key);
                values.push(value);
            }
        }
        let keys = self.new_key.write(&keys)?;
        let (values, present) = self.new_value.write_present(&values)?;
        let mut there = vec![false; batch.len()];
        for (index, &row) in rows.iter().enumerate() {
            there[row] = present.as_ref().is_none_or(|present| present.is_valid(index));
        }
        let spread = |columns: &[_]| scatter(columns, &rows, batch.len()).map_err(|error| error.to_string());
        Ok(Regrouped { keys: spread(&keys)?, values: spread(&values)?, there: Some(there) })
    }
}

impl<K, V, K2, V2, F> Regroup for ClosureRegroup<K, V, K2, V2, F>
where
    K: Data,
    V: Data,
    K2: Data,
    V2: Data,
    F: Fn(&K, &V) -> (K2, V2) + Send + Sync + 'static,
{
    fn regroup(&self, batch: &Batch, errors: &mut Vec<RowError>) -> Regrouped {
        self.try_regroup(batch, errors).unwrap_or_else(|problem| {
            errors.extend((0..batch.len()).map(|row| RowError { row, problem: problem.clone() }));
            let nulls = |fields: &[arrow::datatypes::FieldRef]| {
                fields.iter().map(|field| arrow::array::new_null_array(field.data_type(), batch.len())).collect()
            };
            let there = Some(vec![false; batch.len()]);
            Regrouped { keys: nulls(&self.new_key.fields), values: nulls(&self.new_value.fields), there }
        })
    }

    fn reads(&self) -> Reads {
        Reads::Everything
    }

    fn describe(&self) -> String {
        "key and value by a closure".to_owned()
    }
}
