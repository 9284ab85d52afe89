//! What is wrong with a statement that is well formed: names, types, and what cannot run.
//!
//! Invariant: every error has a place in the text of its statement.

use super::clause::{self, Clause};
use crate::{
    catalog::CatalogError,
    syntax::{Position, error::with_hint},
};

/// Why a statement cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A name, type or property that the catalog refuses.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// No such column among those that can be named here.
    #[error("{at}: {}no column {name} in {scope}{}; it has {known}", clause::unresolved(*clause, written), suggestion.as_ref().map(|n| format!("; did you mean {n}")).unwrap_or_default())]
    UnknownColumn {
        /// Where the name stands.
        at: Position,
        /// The name.
        name: String,
        /// What was looked through.
        scope: String,
        /// The nearest column there is.
        suggestion: Option<String>,
        /// The columns there are.
        known: Box<str>,
        /// The name with what stands before it.
        written: Box<str>,
        /// The clause that it stands in.
        clause: Option<Clause>,
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
    #[error("{at}: Can't find any functions with the name '{name}'{}", suggestion.as_ref().map(|n| format!("; did you mean {n}")).unwrap_or_default())]
    UnknownFunction {
        /// Where it is called.
        at: Position,
        /// Its name.
        name: String,
        /// The nearest function there is.
        suggestion: Option<String>,
    },
    /// An expression whose parts do not fit together.
    #[error("{at}: {problem}")]
    Expression {
        /// Where it begins.
        at: Position,
        /// What is wrong.
        problem: String,
    },
    /// Clauses that do not fit together.
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
        /// What, with its verb: `EMIT FINAL is`.
        what: String,
        /// What to do instead.
        hint: Option<String>,
    },
}

impl PlanError {
    /// Clauses that do not fit together.
    pub(crate) fn invalid(at: Position, problem: impl Into<String>) -> Self {
        Self::Invalid { at, problem: problem.into(), hint: None }
    }

    /// The same, with what to do.
    pub(crate) fn invalid_hint(at: Position, problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Invalid { at, problem: problem.into(), hint: Some(hint.into()) }
    }

    /// Where it is.
    pub fn position(&self) -> Position {
        match self {
            Self::Catalog(error) => error.position(),
            Self::UnknownColumn { at, .. }
            | Self::AmbiguousColumn { at, .. }
            | Self::UnknownFunction { at, .. }
            | Self::Expression { at, .. }
            | Self::Invalid { at, .. }
            | Self::NotYet { at, .. } => *at,
        }
    }
}

/// An error of DataFusion as one line that begins in lower case and ends without a full stop, without the names of its stages.
pub(crate) fn one_line(problem: &str) -> String {
    const STAGES: [&str; 10] = [
        "Error during planning: ",
        "Execution error: ",
        "Schema error: ",
        "SQL error: ",
        "Arrow error: ",
        "Optimizer rule ",
        "type_coercion\ncaused by\n",
        "This feature is not implemented: ",
        "External error: ",
        "Internal error: ",
    ];
    let mut rest = problem.trim();
    while let Some(stripped) = STAGES.iter().find_map(|stage| rest.strip_prefix(stage)) {
        rest = stripped;
    }
    let line = rest.lines().next().unwrap_or_default().trim().trim_end_matches('.');
    let mut letters = line.chars();
    match letters.next() {
        Some(first) if letters.clone().next().is_some_and(char::is_lowercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_library_are_cut_to_what_matters() {
        let check = |text: &str, want: &str| assert_eq!(one_line(text), want);
        check("Error during planning: Invalid function 'foo'.\nDid you mean 'floor'?", "invalid function 'foo'");
        check("Arrow error: Divide by zero error", "divide by zero error");
        check("UDF fails.", "UDF fails");
    }
}
