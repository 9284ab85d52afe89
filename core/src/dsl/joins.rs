//! Joins of streams with streams and of tables with tables, as methods of [`ColumnStream`] and [`ColumnTable`].

use super::{ColumnStream, ColumnTable};
use crate::{
    expression::Expr,
    operator::{JoinKind, StreamJoinKind, TableJoinKind},
    window::JoinWindows,
};

impl ColumnStream {
    /// Meets each record with those of `other` that have its key and lie within `windows` of it. `names` are the value columns of the
    /// result: this stream's, then the other's. The key and its names are this stream's.
    pub fn join_stream(
        &self,
        _other: &ColumnStream,
        _kind: StreamJoinKind,
        _windows: JoinWindows,
        _names: &[String],
    ) -> ColumnStream {
        self.failed("join", "joins of two streams are not there yet")
    }
}

impl ColumnTable {
    /// Meets each row with that of `other` which has its key. `names` are the value columns of the result: this table's, then the
    /// other's.
    pub fn join_table(&self, _other: &ColumnTable, _kind: TableJoinKind, _names: &[String]) -> ColumnTable {
        self.failed("join", "joins of two tables are not there yet")
    }

    /// Meets each row with the row of `other` whose key is what `foreign_key` computes from it: one expression for each key column of
    /// `other`. `names` are the value columns of the result: this table's, then the other's.
    pub fn join_foreign(
        &self,
        _other: &ColumnTable,
        _foreign_key: &[Expr],
        _kind: JoinKind,
        _names: &[String],
    ) -> ColumnTable {
        self.failed("join", "foreign-key joins are not there yet")
    }
}
