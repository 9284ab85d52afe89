//! Scalar expressions over a batch, with errors that spoil a row and not a batch.
//!
//! A batch is evaluated whole. Only if that fails is it cut in halves until the rows that fail stand alone: they become null
//! and are reported, or where values are put together ([`COMPOSING`]) null in the parts that failed. The clean path pays nothing, `k` bad rows among `n` cost about `k log n` small evaluations.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, RecordBatch, new_null_array},
    compute,
    datatypes::{Field, FieldRef},
};
use datafusion::{
    common::{DFSchema, ScalarValue},
    logical_expr::Expr,
    physical_expr::{PhysicalExpr, ScalarFunctionExpr, expressions::Literal},
};

use super::{ExpressionError, functions};
use crate::schema::StreamSchema;

/// The functions that put values together: where one of these fails, it alone is null.
pub const COMPOSING: [&str; 3] = ["array", "map", "struct"];

/// A row for which an expression failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowError {
    /// The row of the batch.
    pub row: usize,
    /// Why.
    pub problem: String,
}

/// What an expression gave for a batch.
#[derive(Debug)]
pub struct Evaluated {
    /// One value a row; null where the expression failed.
    pub column: ArrayRef,
    /// The rows where it failed, rising.
    pub errors: Vec<RowError>,
}

/// An expression bound to the columns of its input.
#[derive(Debug, Clone)]
pub struct Expression {
    physical: Arc<dyn PhysicalExpr>,
    field: FieldRef,
    text: String,
}

impl Expression {
    /// Binds `expr` to the columns of `schema`, pseudo columns included; types are coerced as DataFusion does.
    ///
    /// # Errors
    /// [`ExpressionError`] for unknown columns and functions and for types that do not fit.
    pub fn bind(expr: &Expr, schema: &StreamSchema) -> Result<Self, ExpressionError> {
        let error = |problem: datafusion::error::DataFusionError| ExpressionError::new(expr, problem.strip_backtrace());
        let columns = DFSchema::try_from(schema.columns().as_ref().clone()).map_err(error)?;
        let physical = functions().create_physical_expr(expr.clone(), &columns).map_err(error)?;
        let kind = physical.data_type(schema.columns()).map_err(error)?;
        let name = expr.schema_name().to_string();
        Ok(Self { physical, field: Arc::new(Field::new(name, kind, true)), text: expr.to_string() })
    }

    /// The name and type of the result; always nullable.
    pub fn field(&self) -> &FieldRef {
        &self.field
    }

    /// The expression as DataFusion evaluates it.
    pub(super) fn physical(&self) -> Arc<dyn PhysicalExpr> {
        Arc::clone(&self.physical)
    }

    /// The names of the columns it reads.
    pub fn columns(&self) -> Vec<String> {
        let columns = datafusion::physical_expr::utils::collect_columns(&self.physical);
        columns.into_iter().map(|column| column.name().to_owned()).collect()
    }

    /// Evaluates over `rows`, which has the columns the expression was bound to.
    pub fn evaluate(&self, rows: &RecordBatch) -> Evaluated {
        let mut errors = Vec::new();
        let column = self.evaluate_range(rows, 0, &mut errors);
        Evaluated { column, errors }
    }

    fn evaluate_range(&self, rows: &RecordBatch, first: usize, errors: &mut Vec<RowError>) -> ArrayRef {
        let count = rows.num_rows();
        let failed = match self.physical.evaluate(rows).and_then(|value| value.into_array(count)) {
            Ok(column) => return column,
            Err(failed) => failed,
        };
        if count <= 1 {
            errors.push(RowError { row: first, problem: failed.strip_backtrace() });
            let composed = (count == 1).then(|| composed(&self.physical, rows)).flatten();
            return composed.unwrap_or_else(|| new_null_array(self.field.data_type(), count));
        }
        let half = count / 2;
        let halves = [
            self.evaluate_range(&rows.slice(0, half), first, errors),
            self.evaluate_range(&rows.slice(half, count - half), first + half, errors),
        ];
        let parts: Vec<&dyn Array> = halves.iter().map(AsRef::as_ref).collect();
        compute::concat(&parts).expect("both halves have the type of the expression")
    }
}

/// What a function that puts values together gives for one row, with null for those that fail; `None` for anything else.
fn composed(call: &Arc<dyn PhysicalExpr>, row: &RecordBatch) -> Option<ArrayRef> {
    let function = call.downcast_ref::<ScalarFunctionExpr>()?;
    if !COMPOSING.contains(&function.name()) {
        return None;
    }
    let part = |part: &Arc<dyn PhysicalExpr>| -> Option<Arc<dyn PhysicalExpr>> {
        let data_type = part.data_type(row.schema_ref()).ok()?;
        let evaluated = part.evaluate(row).and_then(|value| value.into_array(1)).ok();
        let value = evaluated.or_else(|| composed(part, row)).unwrap_or_else(|| new_null_array(&data_type, 1));
        Some(Arc::new(Literal::new(ScalarValue::try_from_array(&value, 0).ok()?)))
    };
    let parts = call.children().into_iter().map(part).collect::<Option<Vec<_>>>()?;
    let call = Arc::clone(call).with_new_children(parts).ok()?;
    call.evaluate(row).and_then(|value| value.into_array(1)).ok()
}

impl std::fmt::Display for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{AsArray, Int64Array},
        datatypes::{DataType, Int64Type},
    };

    use super::*;
    use crate::expression::{col, lit};

    fn check(expr: Expr, input: &[i64]) -> Result<(Vec<Option<i64>>, Vec<usize>), String> {
        let schema = StreamSchema::new(vec![], vec![Arc::new(Field::new("a", DataType::Int64, true))], false)
            .expect("legal schema");
        let column: ArrayRef = Arc::new(Int64Array::from(input.to_vec()));
        let none = crate::Batch::no_offsets(input.len());
        let batch = crate::Batch::new(Arc::clone(&schema), vec![Arc::clone(&column), column, none]);
        let result = Expression::bind(&expr, &schema).map_err(|e| e.to_string())?.evaluate(batch.rows());
        let values = result.column.as_primitive::<Int64Type>().iter().collect();
        Ok((values, result.errors.iter().map(|error| error.row).collect()))
    }

    #[test]
    fn failing_rows_are_null_and_the_rest_is_computed() {
        let (values, errors) = check(lit(12_i64) / col("a"), &[3, 0, 4, 6, 0]).expect("binds");
        assert_eq!(values, [Some(4), None, Some(3), Some(2), None]);
        assert_eq!(errors, [1, 4]);
    }

    #[test]
    fn pseudo_columns_can_be_read() {
        assert_eq!(check(col("ROWTIME") + lit(1_i64), &[7]).expect("binds").0, [Some(8)]);
    }

    #[test]
    fn unknown_columns_are_refused_with_their_name() {
        let problem = check(col("b") + lit(1_i64), &[]).expect_err("no such column");
        assert!(problem.contains('b') && problem.contains("expression"), "{problem}");
    }
}
