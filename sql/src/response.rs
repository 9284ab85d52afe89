//! What a statement answers: the seam between the engine and whatever shows its answers.

use arrow::{array::RecordBatch, datatypes::SchemaRef};

/// The answer to one statement.
#[derive(Debug)]
pub enum Response {
    /// Something was done; one line says what.
    Done {
        /// For people: `Created stream ORDERS`.
        message: String,
    },
    /// A finite table: a pull query, SHOW, DESCRIBE, EXPLAIN.
    Rows(Rows),
    /// An endless one: a push query or PRINT.
    Push(PushQuery),
}

/// A finite table.
#[derive(Debug, Clone)]
pub struct Rows {
    /// Its columns, also when there is no row.
    pub schema: SchemaRef,
    /// Its rows.
    pub batches: Vec<RecordBatch>,
}

/// A running push query: ends when it is dropped, when its LIMIT is reached, or when the engine stops.
pub struct PushQuery {
    /// The columns of every batch.
    pub schema: SchemaRef,
    /// Rows as they come; bounded, so that a slow reader holds back its own query and nothing else. Disconnected at the end;
    /// an error ends the query.
    pub batches: std::sync::mpsc::Receiver<Result<RecordBatch, String>>,
    /// Ends the query when dropped.
    pub guard: Box<dyn std::any::Any + Send>,
}

impl std::fmt::Debug for PushQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushQuery").field("schema", &self.schema).finish_non_exhaustive()
    }
}
