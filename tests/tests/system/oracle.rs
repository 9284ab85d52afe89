//! The second opinion: DataFusion's batch SQL over the whole input, in memory. And how rows are compared: as sorted lines of text.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, RecordBatch},
    util::display::array_value_to_string,
};
use datafusion::{datasource::MemTable, prelude::SessionContext};

/// Tables in memory, and SQL over them.
pub(crate) struct Oracle {
    context: SessionContext,
    runtime: tokio::runtime::Runtime,
}

impl Oracle {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
        Self { context: SessionContext::new(), runtime }
    }

    /// Adds a table.
    pub(crate) fn table(self, name: &str, batches: Vec<RecordBatch>) -> Self {
        let schema = batches.first().expect("a table has a batch").schema();
        let table = MemTable::try_new(schema, vec![batches]).expect("batches of one schema");
        self.context.register_table(name, Arc::new(table)).expect("a new name");
        self
    }

    /// The rows of a query as sorted lines.
    pub(crate) fn lines(&self, sql: &str) -> Vec<String> {
        let collect = async { self.context.sql(sql).await?.collect().await };
        let batches = self.runtime.block_on(collect).unwrap_or_else(|error| panic!("{sql}: {error}"));
        sorted_lines(&batches)
    }
}

/// The rows of batches, values parted by `|`, sorted.
pub(crate) fn sorted_lines(batches: &[RecordBatch]) -> Vec<String> {
    let mut lines: Vec<String> = batches.iter().flat_map(lines_of).collect();
    lines.sort_unstable();
    lines
}

fn lines_of(batch: &RecordBatch) -> Vec<String> {
    let value = |column: &ArrayRef, row: usize| {
        if column.is_null(row) {
            "null".to_owned()
        } else {
            array_value_to_string(column, row).expect("it can be shown")
        }
    };
    let line = |row| batch.columns().iter().map(|column| value(column, row)).collect::<Vec<_>>().join("|");
    (0..batch.num_rows()).map(line).collect()
}

/// Compares sorted lines; shows the first few that differ, not millions.
pub(crate) fn assert_same(what: &str, got: &[String], expected: &[String]) {
    if got == expected {
        return;
    }
    let missing: Vec<&String> = expected.iter().filter(|line| got.binary_search(line).is_err()).take(5).collect();
    let surplus: Vec<&String> = got.iter().filter(|line| expected.binary_search(line).is_err()).take(5).collect();
    panic!(
        "{what}: {} rows instead of {}\n   missing, for one {missing:#?}\n   not expected, for one {surplus:#?}",
        got.len(),
        expected.len()
    );
}
