//! What can be wrong about names, types and properties: [`CatalogError`].

use std::fmt;

use crate::syntax::Position;
use crate::syntax::ast::SourceKind;

/// A list of names for a message, cut after a dozen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameList(pub Vec<String>);

impl fmt::Display for NameList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 12;
        for (index, name) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}{name}", if index == 0 { "" } else { ", " })?;
        }
        if self.0.len() > SHOWN { write!(f, " and {} more", self.0.len() - SHOWN) } else { Ok(()) }
    }
}

/// A mistake in a statement that only the catalog can see.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// No such stream or table.
    #[error("{at}: {name} does not exist. There is no stream or table {name}{}", hint(suggestion, known))]
    UnknownSource {
        /// Where the name stands.
        at: Position,
        /// The name.
        name: String,
        /// The nearest name there is.
        suggestion: Option<String>,
        /// The names there are.
        known: NameList,
    },
    /// No such column.
    #[error("{at}: no column {name} in {source_name}{}", columns(suggestion, known))]
    UnknownColumn {
        /// Where the name stands.
        at: Position,
        /// The name.
        name: String,
        /// The stream or table.
        source_name: String,
        /// The nearest column there is.
        suggestion: Option<String>,
        /// The columns there are.
        known: NameList,
    },
    /// No such type.
    #[error("{at}: no type {name}{}", hint(suggestion, &NameList(Vec::new())))]
    UnknownType {
        /// Where the name stands.
        at: Position,
        /// The name.
        name: String,
        /// The nearest name there is.
        suggestion: Option<String>,
    },
    /// No such connector.
    #[error("{at}: no connector {name}{}", hint(suggestion, known))]
    UnknownConnector {
        /// Where the name stands.
        at: Position,
        /// The name.
        name: String,
        /// The nearest name there is.
        suggestion: Option<String>,
        /// The names there are.
        known: NameList,
    },
    /// No such queue.
    #[error("{at}: no queue {name}{}", hint(suggestion, known))]
    UnknownQueue {
        /// Where the name stands.
        at: Position,
        /// The name.
        name: String,
        /// The nearest name there is.
        suggestion: Option<String>,
        /// The names there are.
        known: NameList,
    },
    /// No such persistent query.
    #[error("{at}: no query {name}{}", hint(suggestion, known))]
    UnknownQuery {
        /// Where the id stands.
        at: Position,
        /// The id.
        name: String,
        /// The nearest id there is.
        suggestion: Option<String>,
        /// The ids there are.
        known: NameList,
    },
    /// The name is taken.
    #[error("{at}: {what} {name} exists already; {advice}")]
    AlreadyExists {
        /// Where the name stands.
        at: Position,
        /// What has the name: `stream`, `type` ..
        what: &'static str,
        /// The name.
        name: String,
        /// What to do.
        advice: &'static str,
    },
    /// A stream was named where a table stands, or the reverse.
    #[error("{at}: {name} is a {found}, not a {wanted}")]
    WrongKind {
        /// Where the name stands.
        at: Position,
        /// The name.
        name: String,
        /// What it is.
        found: SourceKind,
        /// What it was taken for.
        wanted: SourceKind,
    },
    /// The source cannot be changed this way.
    #[error("{at}: cannot {action} {name}: {reason}")]
    NotAllowed {
        /// Where the name stands.
        at: Position,
        /// `drop`, `replace`, `add columns to` ..
        action: &'static str,
        /// The name.
        name: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// Queries depend on the source.
    #[error("{at}: cannot drop {name}: {}; terminate them first", users(readers, writers))]
    InUse {
        /// Where the name stands.
        at: Position,
        /// The name.
        name: String,
        /// Queries that read it.
        readers: NameList,
        /// Queries that write it, without the one that created it.
        writers: NameList,
    },
    /// A type that makes no sense.
    #[error("{at}: {reason}")]
    InvalidType {
        /// Where it stands.
        at: Position,
        /// What is wrong.
        reason: String,
    },
    /// A `WITH` property that there is not.
    #[error("{at}: no property {name} here{}", hint(suggestion, known))]
    UnknownProperty {
        /// Where it stands.
        at: Position,
        /// Its name.
        name: String,
        /// The nearest property there is.
        suggestion: Option<String>,
        /// The properties there are, if they are few.
        known: NameList,
    },
    /// A `WITH` property with a wrong value, or at odds with another or with the columns.
    #[error("{at}: {name}: {reason}")]
    InvalidProperty {
        /// Where it stands.
        at: Position,
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A column that makes no sense.
    #[error("{at}: column {name}: {reason}")]
    InvalidColumn {
        /// Where it stands.
        at: Position,
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A declaration that lacks something.
    #[error("{at}: {reason}")]
    Incomplete {
        /// Where it would stand.
        at: Position,
        /// What is missing.
        reason: String,
    },
    /// Columns were left out, and the schema registry does not give them.
    #[error("{at}: the {side} columns of topic {topic} cannot be inferred: {problem}")]
    Inference {
        /// Where the name of the source stands.
        at: Position,
        /// `key` or `value`.
        side: &'static str,
        /// The topic.
        topic: String,
        /// Why not.
        problem: String,
    },
    /// Part of the language, but not there yet.
    #[error("{at}: {what} is not there yet{}", instead.map(|i| format!("; {i}")).unwrap_or_default())]
    NotYet {
        /// Where it stands.
        at: Position,
        /// What.
        what: String,
        /// What to do instead.
        instead: Option<&'static str>,
    },
}

impl CatalogError {
    /// Where it is.
    pub fn position(&self) -> Position {
        match self {
            Self::UnknownSource { at, .. }
            | Self::UnknownColumn { at, .. }
            | Self::UnknownType { at, .. }
            | Self::UnknownConnector { at, .. }
            | Self::UnknownQueue { at, .. }
            | Self::UnknownQuery { at, .. }
            | Self::AlreadyExists { at, .. }
            | Self::WrongKind { at, .. }
            | Self::NotAllowed { at, .. }
            | Self::InUse { at, .. }
            | Self::InvalidType { at, .. }
            | Self::UnknownProperty { at, .. }
            | Self::InvalidProperty { at, .. }
            | Self::InvalidColumn { at, .. }
            | Self::Incomplete { at, .. }
            | Self::Inference { at, .. }
            | Self::NotYet { at, .. } => *at,
        }
    }
}

fn hint(suggestion: &Option<String>, known: &NameList) -> String {
    match suggestion {
        Some(name) => format!("; did you mean {name}"),
        None if known.0.is_empty() => String::new(),
        None => format!("; there is {known}"),
    }
}

fn columns(suggestion: &Option<String>, known: &NameList) -> String {
    match suggestion {
        Some(name) => format!("; did you mean {name}, of {known}"),
        None => format!("; it has {known}"),
    }
}

fn users(readers: &NameList, writers: &NameList) -> String {
    match (readers.0.is_empty(), writers.0.is_empty()) {
        (false, false) => format!("queries {readers} read it and queries {writers} write it"),
        (false, true) => format!("queries {readers} read it"),
        _ => format!("queries {writers} write it"),
    }
}
