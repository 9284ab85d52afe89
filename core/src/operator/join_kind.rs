//! Kinds of joins: what becomes of rows that meet nothing.

use std::fmt;

/// What becomes of records of a stream, or rows of a left table, that meet no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JoinKind {
    /// They are left out.
    Inner,
    /// They are passed on with nulls in the table's columns.
    Left,
}

/// What becomes of records of two streams that meet nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamJoinKind {
    /// They are left out.
    Inner,
    /// Those of the left stream are passed on with nulls in the right one's columns.
    Left,
    /// Those of the right stream are passed on with nulls in the left one's columns.
    Right,
    /// Those of both are.
    Outer,
}

/// What becomes of rows of two tables whose key the other table does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TableJoinKind {
    /// They are left out.
    Inner,
    /// Those of the left table are in the result, with nulls in the right one's columns.
    Left,
    /// Those of the right table are, with nulls in the left one's columns.
    Right,
    /// Those of both are.
    Outer,
}

impl fmt::Display for JoinKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inner => "inner",
            Self::Left => "left",
        })
    }
}

impl fmt::Display for StreamJoinKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inner => "inner",
            Self::Left => "left",
            Self::Right => "right",
            Self::Outer => "outer",
        })
    }
}

impl fmt::Display for TableJoinKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inner => "inner",
            Self::Left => "left",
            Self::Right => "right",
            Self::Outer => "outer",
        })
    }
}
