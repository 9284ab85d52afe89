//! Places in SQL text: [`Position`] (line and column) and [`Span`] (from, to).
//!
//! Invariants: lines and columns count from 1, columns count characters, not bytes; a span's `end` is the place just after
//! its last character, so an empty span has `start == end`.

use std::fmt;

use datafusion::sql::sqlparser::ast::{Expr, Spanned as _};
use datafusion::sql::sqlparser::tokenizer::{Location, Span as TokenSpan};

/// A place in the text: line and column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Position {
    /// The first character of a text.
    pub const START: Position = Position { line: 1, column: 1 };

    /// A place by line and column, both from 1.
    pub const fn new(line: u32, column: u32) -> Self {
        Self { line, column }
    }

    /// The place of a token; none for tokens that were made, not read (line 0).
    pub(crate) fn from_location(location: Location) -> Option<Self> {
        let line = u32::try_from(location.line).ok()?;
        let column = u32::try_from(location.column).ok()?;
        (line > 0).then_some(Self { line, column })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A stretch of text: `start` inclusive, `end` exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// The first character.
    pub start: Position,
    /// The place after the last character.
    pub end: Position,
}

impl Span {
    /// An empty span at the beginning of the text, for things that have no text of their own.
    pub const START: Span = Span { start: Position::START, end: Position::START };

    /// From the start of this span to the end of the other.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start, end: self.end.max(other.end) }
    }

    pub(crate) fn from_token(span: TokenSpan) -> Option<Span> {
        Some(Span { start: Position::from_location(span.start)?, end: Position::from_location(span.end)? })
    }
}

/// Where an expression begins in the text it was parsed from; none if no part of it carries a place.
pub fn position_of(expr: &Expr) -> Option<Position> {
    span_of(expr).map(|span| span.start)
}

/// The stretch of text that an expression was parsed from, as far as its parts carry places.
///
/// Parentheses, keywords and the like carry none, so the span may be narrower than the expression.
pub fn span_of(expr: &Expr) -> Option<Span> {
    Span::from_token(expr.span())
}
