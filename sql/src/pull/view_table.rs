//! The rows of a store as a table of DataFusion: key lookups become gets, anything else a scan of the snapshot.
//!
//! A filter that fixes every key column (`=` or `IN` of constants) is used for gets and still applied afterwards, so that it need only
//! be a superset.

use std::{fmt, pin::Pin, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::SchemaRef,
};
use datafusion::{
    catalog::{Session, TableProvider},
    common::ScalarValue,
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{Expr, Operator, TableProviderFilterPushDown, TableType},
    physical_plan::{
        ExecutionPlan,
        stream::RecordBatchReceiverStream,
        streaming::{PartitionStream, StreamingTableExec},
    },
};
use millstream::query::{View, ViewSnapshot};

/// Rows of a scanned batch.
const BATCH_ROWS: usize = 8192;
/// More keys than this are not worth looking up one by one.
const MOST_KEYS: usize = 10_000;

/// A view at one moment.
#[derive(Clone)]
pub(super) struct ViewTable {
    name: String,
    schema: SchemaRef,
    key_columns: usize,
    snapshot: Arc<ViewSnapshot>,
}

impl ViewTable {
    /// The rows of `view` as they are now.
    ///
    /// # Errors
    /// If its store has failed.
    pub(super) fn new(view: &View) -> Result<Self, millstream::query::QueryError> {
        let snapshot = Arc::new(view.snapshot()?);
        let (name, schema) = (view.name().to_owned(), Arc::clone(view.schema()));
        Ok(Self { name, schema, key_columns: view.key_columns(), snapshot })
    }

    /// The keys that filters leave, one array a key column; none if they do not fix every key column.
    fn keys(&self, filters: &[Expr]) -> Option<Vec<ArrayRef>> {
        let mut choices: Vec<Vec<ScalarValue>> = Vec::with_capacity(self.key_columns);
        for field in &self.schema.fields()[..self.key_columns] {
            let values = filters.iter().find_map(|filter| constants(filter, field.name()))?;
            let cast = |value: ScalarValue| value.cast_to(field.data_type()).ok().filter(|cast| !cast.is_null());
            choices.push(values.into_iter().map(cast).collect::<Option<_>>()?);
        }
        let count: usize = choices.iter().map(Vec::len).try_fold(1_usize, usize::checked_mul)?;
        if count == 0 || count > MOST_KEYS {
            return None;
        }
        let mut repeat = count;
        let mut columns = Vec::with_capacity(choices.len());
        for values in &choices {
            repeat /= values.len();
            let row = |index: usize| values[index / repeat % values.len()].clone();
            columns.push(ScalarValue::iter_to_array((0..count).map(row)).ok()?);
        }
        Some(columns)
    }
}

/// The constants to which a filter compares a column for equality, each once.
fn constants(filter: &Expr, column: &str) -> Option<Vec<ScalarValue>> {
    let is_column = |expr: &Expr| matches!(expr, Expr::Column(found) if found.name == column);
    let literal = |expr: &Expr| match expr {
        Expr::Literal(value, _) => Some(value.clone()),
        _ => None,
    };
    let mut values = match filter {
        Expr::BinaryExpr(binary) if binary.op == Operator::Eq && is_column(&binary.left) => {
            vec![literal(&binary.right)?]
        }
        Expr::BinaryExpr(binary) if binary.op == Operator::Eq && is_column(&binary.right) => {
            vec![literal(&binary.left)?]
        }
        // A short IN list has become a chain of OR by now.
        Expr::BinaryExpr(binary) if binary.op == Operator::Or => {
            let mut left = constants(&binary.left, column)?;
            left.extend(constants(&binary.right, column)?);
            left
        }
        Expr::InList(list) if !list.negated && is_column(&list.expr) => {
            list.list.iter().map(literal).collect::<Option<_>>()?
        }
        _ => return None,
    };
    let mut seen = std::collections::HashSet::new();
    values.retain(|value| seen.insert(value.clone()));
    Some(values)
}

impl fmt::Debug for ViewTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ViewTable").field("name", &self.name).finish_non_exhaustive()
    }
}

type Scan<'a> = Pin<Box<dyn Future<Output = Result<Arc<dyn ExecutionPlan>>> + Send + 'a>>;

impl TableProvider for ViewTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let keys = &self.schema.fields()[..self.key_columns];
        let use_of = |filter: &&Expr| {
            if keys.iter().any(|field| constants(filter, field.name()).is_some()) {
                TableProviderFilterPushDown::Inexact
            } else {
                TableProviderFilterPushDown::Unsupported
            }
        };
        Ok(filters.iter().map(use_of).collect())
    }

    // `async fn` in a trait of trait objects is written out, as the macro would.
    fn scan<'life0, 'life1, 'life2, 'life3, 'async_trait>(
        &'life0 self,
        _state: &'life1 dyn Session,
        projection: Option<&'life2 Vec<usize>>,
        filters: &'life3 [Expr],
        limit: Option<usize>,
    ) -> Scan<'async_trait>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        'life2: 'async_trait,
        'life3: 'async_trait,
        Self: 'async_trait,
    {
        let rows = ViewRows { table: self.clone(), keys: self.keys(filters) };
        let schema = Arc::clone(&self.schema);
        let plan = StreamingTableExec::try_new(schema, vec![Arc::new(rows)], projection, [], false, limit);
        Box::pin(async move { plan.map(|plan| Arc::new(plan) as Arc<dyn ExecutionPlan>) })
    }
}

/// The rows of a snapshot, as far as they are asked for.
#[derive(Debug)]
struct ViewRows {
    table: ViewTable,
    keys: Option<Vec<ArrayRef>>,
}

impl PartitionStream for ViewRows {
    fn schema(&self) -> &SchemaRef {
        &self.table.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut stream = RecordBatchReceiverStream::builder(Arc::clone(&self.table.schema), 2);
        let sender = stream.tx();
        let snapshot = Arc::clone(&self.table.snapshot);
        let keys = self.keys.clone();
        stream.spawn_blocking(move || {
            let mut send = |rows: RecordBatch| sender.blocking_send(Ok(rows)).map_err(|_| CLOSED.to_owned());
            let outcome = match keys {
                Some(keys) => snapshot.get(&keys).map(|rows| {
                    let _ = send(rows);
                }),
                None => snapshot.scan(BATCH_ROWS, &mut send),
            };
            match outcome {
                Err(error) if error.read_problem() != Some(CLOSED) => Err(DataFusionError::External(Box::new(error))),
                _ => Ok(()),
            }
        });
        stream.build()
    }
}

/// What ends a scan whose reader has enough, by LIMIT for one.
const CLOSED: &str = "nobody reads on";

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};

    use super::*;

    #[test]
    fn equality_with_constants_is_recognised() {
        let check = |filter: Expr, want: Option<usize>| {
            assert_eq!(constants(&filter, "k").map(|values| values.len()), want, "{filter}");
        };
        check(col("k").eq(lit("a")), Some(1));
        check(lit("a").eq(col("k")), Some(1));
        check(col("k").in_list(vec![lit("a"), lit("b"), lit("a")], false), Some(2));
        check(col("k").eq(lit("a")).or(col("k").eq(lit("b"))), Some(2));
        check(col("k").in_list(vec![lit("a")], true), None);
        check(col("k").gt(lit("a")), None);
        check(col("other").eq(lit("a")), None);
        check(col("k").eq(lit("a")).or(col("other").eq(lit("b"))), None);
    }
}
