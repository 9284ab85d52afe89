//! What names mean in a query: columns of its sources, as the user writes them, to columns of the batches that flow.
//!
//! Invariants: each user-visible column has one internal name; pseudo columns keep theirs.

use datafusion::sql::sqlparser::ast::Ident;

use super::error::BindError;
use crate::catalog::SqlType;
use crate::functions::{Functions, aggregate::Limits};
use crate::syntax::{Position, suggest::nearest};

/// A source under the name that qualifies its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScopeSource {
    /// The alias, or the name if there is none.
    pub(crate) reference: String,
    /// The stream or table.
    pub(crate) name: String,
}

/// A column that can be named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScopeColumn {
    /// The number of its source.
    pub(crate) source: usize,
    /// Its name as the user writes it.
    pub(crate) name: String,
    /// Its name in the batches.
    pub(crate) internal: String,
    /// Whether `*` leaves it out.
    pub(crate) is_pseudo: bool,
}

/// The names of a query.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    pub(crate) sources: Vec<ScopeSource>,
    pub(crate) columns: Vec<ScopeColumn>,
    /// The custom types that CAST can name.
    pub(crate) types: std::collections::BTreeMap<String, SqlType>,
    /// How much the functions that collect keep.
    pub(crate) limits: Limits,
    /// What can be called.
    pub(crate) functions: Functions,
}

/// Where an identifier stands.
pub(crate) fn place(ident: &Ident, otherwise: Position) -> Position {
    Position::from_location(ident.span.start).unwrap_or(otherwise)
}

impl Scope {
    /// Adds a source and gives its number.
    pub(crate) fn add_source(&mut self, reference: &str, name: &str) -> usize {
        self.sources.push(ScopeSource { reference: reference.to_owned(), name: name.to_owned() });
        self.sources.len() - 1
    }

    /// Adds a column under its own name.
    pub(crate) fn add_column(&mut self, source: usize, name: &str, is_pseudo: bool) {
        let (name, internal) = (name.to_owned(), name.to_owned());
        self.columns.push(ScopeColumn { source, name, internal, is_pseudo });
    }

    /// Whether the first part of a compound name is one of the sources.
    pub(crate) fn is_source(&self, name: &str) -> bool {
        self.sources.iter().any(|source| source.reference == name || source.name == name)
    }

    /// Whether a column is called so, in any source.
    pub(crate) fn has_column(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column.name == name)
    }

    /// The column that a name means, with a source before it or not.
    pub(crate) fn resolve(
        &self,
        qualifier: Option<&Ident>,
        name: &Ident,
        otherwise: Position,
    ) -> Result<&ScopeColumn, BindError> {
        let at = place(name, otherwise);
        let source = match qualifier {
            None => None,
            Some(qualifier) => Some(self.source(&qualifier.value, place(qualifier, otherwise))?),
        };
        let mut found = self
            .columns
            .iter()
            .filter(|column| column.name == name.value && source.is_none_or(|source| column.source == source));
        let Some(first) = found.next() else { return Err(self.unknown(source, qualifier, &name.value, at)) };
        let Some(second) = found.next() else { return Ok(first) };
        let reference = |column: &ScopeColumn| self.sources[column.source].reference.clone();
        Err(BindError::AmbiguousColumn {
            at,
            name: name.value.clone(),
            sources: format!("{0}.{2} or {1}.{2}", reference(first), reference(second), name.value),
        })
    }

    /// The number of the source that is called so.
    pub(crate) fn source(&self, name: &str, at: Position) -> Result<usize, BindError> {
        let by = |wanted: fn(&ScopeSource) -> &str| self.sources.iter().position(|source| wanted(source) == name);
        by(|source| &source.reference).or_else(|| by(|source| &source.name)).ok_or_else(|| {
            let known: Vec<&str> = self.sources.iter().map(|source| source.reference.as_str()).collect();
            let hint = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean {near}"),
                None => format!("there is {}", known.join(", ")),
            };
            BindError::invalid_hint(at, format!("'{name}' is not a valid stream/table name or alias."), hint)
        })
    }

    fn unknown(&self, source: Option<usize>, qualifier: Option<&Ident>, name: &str, at: Position) -> BindError {
        let candidates: Vec<&ScopeColumn> =
            self.columns.iter().filter(|column| source.is_none_or(|source| column.source == source)).collect();
        let names: Vec<&str> = candidates.iter().map(|column| column.name.as_str()).collect();
        let same = names.iter().copied().find(|known| known.eq_ignore_ascii_case(name));
        let scope = match source {
            Some(source) => self.sources[source].name.clone(),
            None => self.sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>().join(", "),
        };
        let known: Vec<&str> =
            candidates.iter().filter(|column| !column.is_pseudo).map(|column| column.name.as_str()).collect();
        BindError::UnknownColumn {
            at,
            name: name.to_owned(),
            written: qualifier.map_or_else(|| name.into(), |qualifier| format!("{}.{name}", qualifier.value).into()),
            scope: if scope.is_empty() { "this expression".to_owned() } else { scope },
            suggestion: same.or_else(|| nearest(name, names.iter().copied())).map(str::to_owned),
            known: if known.is_empty() { "none".into() } else { known.join(", ").into() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(qualifier: Option<&str>, name: &str, want: &str) {
        let mut scope = Scope::default();
        for (reference, source) in [("O", "ORDERS"), ("C", "CUSTOMERS")] {
            let number = scope.add_source(reference, source);
            scope.add_column(number, "ID", false);
            scope.add_column(number, &format!("{reference}_NAME"), false);
        }
        let (qualifier, name) = (qualifier.map(Ident::new), Ident::new(name));
        let got = scope.resolve(qualifier.as_ref(), &name, Position::new(1, 8));
        let got = got.map_or_else(|error| error.to_string(), |column| format!("{}.{}", column.source, column.internal));
        assert_eq!(got, want);
    }

    #[test]
    fn names_are_found_or_refused_with_their_neighbours() {
        check(Some("O"), "ID", "0.ID");
        check(Some("CUSTOMERS"), "ID", "1.ID");
        check(None, "C_NAME", "1.C_NAME");
        check(None, "ID", "1:8: Column 'ID' is ambiguous. Could be O.ID or C.ID.");
        check(Some("O"), "NAME", "1:8: no column NAME in ORDERS; it has ID, O_NAME");
        check(
            None,
            "C_NAM",
            "1:8: no column C_NAM in ORDERS, CUSTOMERS; did you mean C_NAME; it has ID, O_NAME, ID, C_NAME",
        );
        check(Some("X"), "ID", "1:8: 'X' is not a valid stream/table name or alias. There is O, C");
    }
}
