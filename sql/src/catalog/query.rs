//! Persistent queries as the catalog knows them: ids, what they read and write.

use std::fmt;

use super::query_shape::QueryShape;

/// The id of a persistent query: `CSAS_NAME_0`, `CTAS_NAME_1`, `INSERTQUERY_2`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueryId(pub String);

impl QueryId {
    /// The id of the query with this number.
    pub fn generate(kind: QueryKind, sink: &str, number: u64) -> Self {
        Self(match kind {
            QueryKind::CreateStream => format!("CSAS_{sink}_{number}"),
            QueryKind::CreateTable => format!("CTAS_{sink}_{number}"),
            QueryKind::Insert => format!("INSERTQUERY_{number}"),
        })
    }
}

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which statement started a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueryKind {
    /// `CREATE STREAM .. AS SELECT`.
    CreateStream,
    /// `CREATE TABLE .. AS SELECT`.
    CreateTable,
    /// `INSERT INTO .. SELECT`.
    Insert,
}

/// A persistent query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryRecord {
    /// Its id.
    pub id: QueryId,
    /// Which statement started it.
    pub kind: QueryKind,
    /// The text of that statement.
    pub statement: String,
    /// The stream or table that it writes.
    pub sink: String,
    /// The streams and tables that it reads.
    pub sources: Vec<String>,
    /// What it does, in outline.
    pub shape: QueryShape,
    /// Whether it was told to wait (PAUSE).
    pub paused: bool,
}
