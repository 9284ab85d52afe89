//! What is wrong with an expression: [`BindError`], always with a place.

use crate::{
    catalog::CatalogError,
    syntax::{Position, error::with_hint},
};

/// Why an expression cannot be bound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BindError {
    /// A type that the catalog refuses.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// No such column among those that can be named here.
    #[error("{at}: no column {name} in {scope}{}; it has {known}", suggestion.as_ref().map(|n| format!("; did you mean {n}")).unwrap_or_default())]
    UnknownColumn {
        /// Where the name stands.
        at: Position,
        /// The name.
        name: String,
        /// The name with what stands before it.
        written: Box<str>,
        /// What was looked through.
        scope: String,
        /// The nearest column there is.
        suggestion: Option<String>,
        /// The columns there are.
        known: Box<str>,
    },
    /// A name that could mean columns of several sources.
    #[error("{at}: Column '{name}' is ambiguous. Could be {sources}.")]
    AmbiguousColumn {
        /// Where the name stands.
        at: Position,
        /// The name.
        name: String,
        /// The columns that it may be, each with its source.
        sources: String,
    },
    /// No such function.
    #[error("{at}: Can't find any functions with the name '{name}'")]
    UnknownFunction {
        /// Where it is called.
        at: Position,
        /// Its name.
        name: String,
        /// The nearest function there is.
        suggestion: Option<String>,
    },
    /// Parts that do not fit together.
    #[error("{at}: {}", with_hint(problem, hint.as_deref()))]
    Invalid {
        /// Where.
        at: Position,
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: Option<String>,
    },
    /// Part of the language, but not there yet.
    #[error("{at}: {what} not there yet{}", hint.as_ref().map(|h| format!("; {h}")).unwrap_or_default())]
    NotYet {
        /// Where it stands.
        at: Position,
        /// What, with its verb.
        what: String,
        /// What to do instead.
        hint: Option<String>,
    },
}

impl BindError {
    /// Parts that do not fit together.
    pub(crate) fn invalid(at: Position, problem: impl Into<String>) -> Self {
        Self::Invalid { at, problem: problem.into(), hint: None }
    }

    /// The same, with what to do.
    pub(crate) fn invalid_hint(at: Position, problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Invalid { at, problem: problem.into(), hint: Some(hint.into()) }
    }
}
