//! The tree of a continuous query: the clauses of ksqlDB's SELECT, each with its place.
//!
//! Reached as [`super::ast`]; what holds for names and expressions is said there.

use super::ast::{Expr, Name, Spanned};
use super::position::Span;

/// A continuous query, in the order of its clauses.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamQuery {
    /// `WITH name AS (..), ..`: queries that FROM and JOIN may name. Names are distinct.
    pub named: Vec<NamedQuery>,
    /// `DISTINCT`, its place.
    pub distinct: Option<Span>,
    /// The projection; at least one.
    pub items: Vec<SelectItem>,
    /// `FROM`.
    pub from: SourceRef,
    /// Joins, left to right: each joins all that is left of it with one source.
    pub joins: Vec<Join>,
    /// `WINDOW ..`.
    pub window: Option<WindowClause>,
    /// `WHERE ..`.
    pub filter: Option<Spanned<Expr>>,
    /// `GROUP BY ..`; one entry per key column. A tuple in parentheses is flattened.
    pub group_by: Option<Spanned<Vec<Expr>>>,
    /// `PARTITION BY ..`; one entry per key column. `PARTITION BY NULL` is the single literal `NULL`.
    pub partition_by: Option<Spanned<Vec<Expr>>>,
    /// `HAVING ..`.
    pub having: Option<Spanned<Expr>>,
    /// `EMIT CHANGES|FINAL`; none if left out (in a persistent query that means `CHANGES`).
    pub emit: Option<Spanned<Emit>>,
    /// `LIMIT n`.
    pub limit: Option<Spanned<u64>>,
    /// `UNION ALL SELECT ..`, in order. EMIT and LIMIT, which stand at the end, are those of the whole; these have none.
    pub unions: Vec<StreamQuery>,
    /// The whole query, `WITH` or `SELECT` included.
    pub span: Span,
}

impl StreamQuery {
    /// What makes it more than one SELECT of ksqlDB, if something does.
    pub fn made_of(&self) -> Option<&'static str> {
        let mut read = std::iter::once(&self.from).chain(self.joins.iter().map(|step| &step.right));
        if !self.named.is_empty() || read.any(|source| source.query.is_some()) {
            Some("Subquery")
        } else if !self.unions.is_empty() {
            Some("Union")
        } else {
            self.distinct.map(|_| "Distinct")
        }
    }
}

/// `name AS (query)`.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedQuery {
    /// Its name.
    pub name: Name,
    /// What it stands for.
    pub query: StreamQuery,
}

/// When a continuous query emits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Emit {
    /// Every update.
    Changes,
    /// Once, when a window closes.
    Final,
}

/// One item of a projection.
#[derive(Debug, Clone, PartialEq)]
pub enum SelectItem {
    /// `*`.
    All {
        /// Its place.
        span: Span,
    },
    /// `source.*`.
    AllOf {
        /// The source or its alias.
        source: Name,
        /// Its place.
        span: Span,
    },
    /// `expression->*`: all fields of a struct.
    AllFields {
        /// The struct.
        expr: Expr,
        /// Its place.
        span: Span,
    },
    /// `expression [[AS] alias]`.
    Expr {
        /// The expression.
        expr: Expr,
        /// Its name, if one is given.
        alias: Option<Name>,
        /// Its place, alias included.
        span: Span,
    },
}

/// `name [[AS] alias]` or `(query) [AS] name` after `FROM` or `JOIN`.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceRef {
    /// The stream or table; of a subquery the name that it is given.
    pub name: Name,
    /// The subquery, if it is one.
    pub query: Option<Box<StreamQuery>>,
    /// Its alias.
    pub alias: Option<Name>,
    /// Both.
    pub span: Span,
}

impl SourceRef {
    /// The name by which columns of this source are qualified: the alias if there is one.
    pub fn reference(&self) -> &Name {
        self.alias.as_ref().unwrap_or(&self.name)
    }
}

/// Which unmatched rows a join keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JoinKind {
    /// None.
    Inner,
    /// Those of the left side.
    Left,
    /// Those of the right side.
    Right,
    /// Those of both sides.
    Full,
}

/// `[kind] JOIN right [WITHIN ..] [GRACE PERIOD ..] ON condition`.
#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    /// Which unmatched rows are kept.
    pub kind: JoinKind,
    /// The right side.
    pub right: SourceRef,
    /// `WITHIN ..`, for stream-stream joins.
    pub within: Option<Within>,
    /// `ON ..`.
    pub on: Spanned<Expr>,
    /// The whole clause.
    pub span: Span,
}

/// `WITHIN n unit` or `WITHIN (before, after)`, then `[GRACE PERIOD n unit]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Within {
    /// How much earlier the right record may be.
    pub before: Interval,
    /// How much later the right record may be.
    pub after: Interval,
    /// How long late records are waited for.
    pub grace: Option<Interval>,
    /// Its place, `WITHIN` included.
    pub span: Span,
}

/// `WINDOW [name] kind (..)`.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowClause {
    /// Which windows.
    pub window: Window,
    /// How much later than the epoch, or than midnight, windows start.
    pub offset: Option<Interval>,
    /// The time zone whose midnight they start at.
    pub zone: Option<Spanned<String>>,
    /// How long closed windows are kept.
    pub retention: Option<Interval>,
    /// How long late records are waited for.
    pub grace: Option<Interval>,
    /// Its place, `WINDOW` included.
    pub span: Span,
}

/// Which windows a record falls into.
#[derive(Debug, Clone, PartialEq)]
pub enum Window {
    /// Side by side.
    Tumbling {
        /// Length.
        size: Interval,
    },
    /// Overlapping.
    Hopping {
        /// Length.
        size: Interval,
        /// Distance of the starts.
        advance: Interval,
    },
    /// Starting together, ending one after another.
    Cumulate {
        /// Length of the longest.
        size: Interval,
        /// By how much each is longer than the one before.
        step: Interval,
    },
    /// Bounded by pauses.
    Session {
        /// The pause that ends a session.
        gap: Interval,
    },
}

/// `n unit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// How many.
    pub count: u64,
    /// Of what.
    pub unit: TimeUnit,
    /// Its place.
    pub span: Span,
}

impl Interval {
    /// Its length in milliseconds. The parser refuses intervals that do not fit.
    pub fn millis(&self) -> i64 {
        i64::try_from(self.count).unwrap_or(i64::MAX).saturating_mul(self.unit.millis())
    }
}

/// A unit of time of fixed length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeUnit {
    /// `MILLISECOND[S]`.
    Millisecond,
    /// `SECOND[S]`.
    Second,
    /// `MINUTE[S]`.
    Minute,
    /// `HOUR[S]`.
    Hour,
    /// `DAY[S]`: 24 hours.
    Day,
}

impl TimeUnit {
    /// The length of one.
    pub const fn millis(self) -> i64 {
        match self {
            TimeUnit::Millisecond => 1,
            TimeUnit::Second => 1_000,
            TimeUnit::Minute => 60_000,
            TimeUnit::Hour => 3_600_000,
            TimeUnit::Day => 86_400_000,
        }
    }
}
