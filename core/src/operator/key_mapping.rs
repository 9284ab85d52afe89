//! Key mapping: the key that each row has in another table, computed from the row.
//!
//! Foreign-key joins and joins with global tables look rows up by it.

use arrow::{array::ArrayRef, datatypes::DataType};

use super::TransformError;
use crate::{
    Batch,
    expression::{Expr, Expression, ExpressionError, RowError},
    schema::StreamSchema,
};

/// Computes the key that rows have in another table.
///
/// # Contract
/// [`keys`](Self::keys) gives the columns of [`types`](Self::types), one value a row of the batch. A row that has no such key, or whose key
/// cannot be computed, has null in one of them; the latter is in the errors, too. What it gives for rows without value means nothing.
///
/// ```
/// # use std::sync::Arc;
/// # use arrow::{array::{ArrayRef, Int64Array}, datatypes::{DataType, Field}};
/// # use millstream::{Batch, expression::{RowError, col, lit}, operator::{KeyExpressions, KeyMapping}, schema::StreamSchema};
/// # let field = |name: &str| Arc::new(Field::new(name, DataType::Int64, true));
/// let schema = StreamSchema::new(vec![field("id")], vec![field("a")], false)?;
/// let half = KeyExpressions::new(&[lit(12_i64) / col("a")], &schema)?;
/// # let column = |values: &[i64]| -> ArrayRef { Arc::new(Int64Array::from(values.to_vec())) };
/// let batch = Batch::new(schema, vec![column(&[1, 2]), column(&[3, 0]), column(&[10, 20]), Batch::no_offsets(2)]);
/// let mut errors = Vec::new();
/// let keys = half.keys(&batch, &mut errors)?;
/// assert_eq!((keys[0].is_null(0), keys[0].is_null(1), errors[0].row), (false, true, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait KeyMapping: Send + Sync {
    /// The key of each row, as columns.
    ///
    /// # Errors
    /// [`TransformError`] if no row can be processed.
    fn keys(&self, batch: &Batch, errors: &mut Vec<RowError>) -> Result<Vec<ArrayRef>, TransformError>;

    /// The types of the columns.
    fn types(&self) -> Vec<DataType>;

    /// What it computes, for `describe`.
    fn describe(&self) -> String;
}

/// A key of expressions, one a column.
pub struct KeyExpressions {
    bound: Vec<Expression>,
}

impl KeyExpressions {
    /// Binds the expressions to the columns of `schema`.
    ///
    /// # Errors
    /// [`ExpressionError`] for unknown columns and functions and for types that do not fit.
    pub fn new(expressions: &[Expr], schema: &StreamSchema) -> Result<Self, ExpressionError> {
        let bound = expressions.iter().map(|expression| Expression::bind(expression, schema));
        Ok(Self { bound: bound.collect::<Result<_, _>>()? })
    }
}

impl KeyMapping for KeyExpressions {
    fn keys(&self, batch: &Batch, errors: &mut Vec<RowError>) -> Result<Vec<ArrayRef>, TransformError> {
        let column = |expression: &Expression| {
            let mut evaluated = expression.evaluate(batch.rows());
            errors.append(&mut evaluated.errors);
            evaluated.column
        };
        Ok(self.bound.iter().map(column).collect())
    }

    fn types(&self) -> Vec<DataType> {
        self.bound.iter().map(|expression| expression.field().data_type().clone()).collect()
    }

    fn describe(&self) -> String {
        self.bound.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}
