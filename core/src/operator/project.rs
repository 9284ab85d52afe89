//! Project: computes each output column from the row. Keys stay as they are unless new ones are given.
//!
//! A column for which the expression fails is null in that row and the row is reported; a key that fails leaves the row out, since it
//! would go to the wrong partition, unless failed keys are asked for as nulls. On a table the replaced row is projected as well.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, RecordBatch},
    buffer::BooleanBuffer,
    datatypes::Field,
};

use super::{Reads, Transform, TransformError, filter::rows_before};
use crate::{
    Batch,
    batch::Before,
    expression::{Expr, Expression, ExpressionError, RowError},
    schema::{SchemaError, StreamSchema},
};

/// An output column: a name and what it is computed by.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name in the output.
    pub name: String,
    /// How it is computed from a row of the input.
    pub expression: Expr,
}

impl Column {
    /// A column of this name.
    pub fn new(name: impl Into<String>, expression: Expr) -> Self {
        Self { name: name.into(), expression }
    }
}

/// Why a projection could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// An expression does not fit the input.
    #[error(transparent)]
    Expression(#[from] ExpressionError),
    /// The output columns cannot stand together.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// Computes output columns from rows.
pub struct Project {
    /// `None`: the key, window bounds included, is passed on.
    key: Option<Vec<Expression>>,
    value: Vec<Expression>,
    output: Arc<StreamSchema>,
    /// Whether a row stays when its key fails, with null there.
    keeps_failed_keys: bool,
}

impl Project {
    /// A projection to `value` columns; the key stays, or becomes `key`.
    ///
    /// # Errors
    /// [`ProjectError`] if an expression does not bind or names clash.
    pub fn new(key: Option<&[Column]>, value: &[Column], input: &StreamSchema) -> Result<Self, ProjectError> {
        let bind = |columns: &[Column]| -> Result<Vec<Expression>, ExpressionError> {
            columns.iter().map(|column| Expression::bind(&column.expression, input)).collect()
        };
        let fields = |columns: &[Column], bound: &[Expression]| {
            let field = |(column, bound): (&Column, &Expression)| {
                Arc::new(Field::new(&column.name, bound.field().data_type().clone(), true))
            };
            columns.iter().zip(bound).map(field).collect::<Vec<_>>()
        };
        let bound_value = bind(value)?;
        let value_fields = fields(value, &bound_value);
        let (key, output) = match key {
            None => (None, StreamSchema::new(input.key().to_vec(), value_fields, input.window())?),
            Some(key) => {
                let bound_key = bind(key)?;
                let output = StreamSchema::new(fields(key, &bound_key), value_fields, false)?;
                (Some(bound_key), output)
            }
        };
        Ok(Self { key, value: bound_value, output, keeps_failed_keys: false })
    }

    /// The same, but a row whose key fails stays, with null there.
    #[must_use]
    pub fn keep_failed_keys(self) -> Self {
        Self { keeps_failed_keys: true, ..self }
    }

    /// The columns it gives.
    pub fn output(&self) -> &Arc<StreamSchema> {
        &self.output
    }
}

/// The columns that `expressions` give; null where one fails.
pub(super) fn evaluate(expressions: &[Expression], rows: &RecordBatch, errors: &mut Vec<RowError>) -> Vec<ArrayRef> {
    let column = |expression: &Expression| {
        let mut evaluated = expression.evaluate(rows);
        errors.append(&mut evaluated.errors);
        evaluated.column
    };
    expressions.iter().map(column).collect()
}

impl Transform for Project {
    fn apply(&self, batch: &Batch, errors: &mut Vec<RowError>) -> Result<Batch, TransformError> {
        let rows = batch.rows();
        let mut failed_keys = Vec::new();
        let mut columns = match &self.key {
            None => batch.keys().to_vec(),
            Some(key) => evaluate(key, rows, &mut failed_keys),
        };
        let first_value_error = errors.len();
        columns.extend(evaluate(&self.value, rows, errors));
        if let Some(present) = batch.present() {
            let later = errors.split_off(first_value_error);
            errors.extend(later.into_iter().filter(|error| present.is_valid(error.row)));
        }
        let input = batch.schema();
        columns.extend([input.time_index(), input.offset_index()].map(|index| Arc::clone(rows.column(index))));
        let before = batch.before().map(|before| Before {
            values: evaluate(&self.value, &rows_before(batch, before), &mut Vec::new()),
            present: before.present.clone(),
        });
        let output =
            Batch::new(Arc::clone(&self.output), columns).with_present(batch.present().cloned()).with_before(before);
        let output = output.with_headers(batch.headers().cloned());
        if failed_keys.is_empty() || self.keeps_failed_keys {
            errors.append(&mut failed_keys);
            return Ok(output);
        }
        let keep = BooleanBuffer::collect_bool(rows.num_rows(), |row| failed_keys.iter().all(|error| error.row != row));
        errors.append(&mut failed_keys);
        output.filter(&BooleanArray::new(keep, None)).map_err(TransformError::of)
    }

    fn reads(&self) -> Reads {
        Reads::Only(self.key.iter().flatten().chain(&self.value).flat_map(Expression::columns).collect())
    }

    fn describe(&self) -> String {
        let list = |names: &[std::sync::Arc<Field>], expressions: &[Expression]| {
            let column = |(field, expression): (&Arc<Field>, &Expression)| format!("{} = {expression}", field.name());
            names.iter().zip(expressions).map(column).collect::<Vec<_>>().join(", ")
        };
        let value = list(self.output.value(), &self.value);
        match &self.key {
            None => format!("project: {value}"),
            Some(key) => {
                let failed = if self.keeps_failed_keys { " or null" } else { "" };
                format!("project: key {}{failed}; {value}", list(self.output.key(), key))
            }
        }
    }
}
