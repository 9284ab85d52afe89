//! What can be wrong with the properties of a connector.

/// Why properties make no connector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No connector of the class has a property of that name.
    #[error("unknown property `{name}`{}; known are {known}", nearest.as_ref().map(|n| format!(", did you mean `{n}`?")).unwrap_or_default())]
    Unknown {
        /// The name as given.
        name: String,
        /// The known name that is most like it, if one is.
        nearest: Option<String>,
        /// All names known for the class.
        known: String,
    },
    /// Required properties are not there.
    #[error("missing {names}")]
    Missing {
        /// What is needed, each with what it is for.
        names: String,
    },
    /// A value that cannot be.
    #[error("property `{name}` is `{value}`, must be {expected}")]
    BadValue {
        /// The property.
        name: String,
        /// The value as given.
        value: String,
        /// What it may be.
        expected: String,
    },
    /// A secret that is not to be had; it is not shown.
    #[error("property `{name}`: {problem}")]
    Secret {
        /// The property.
        name: String,
        /// Why, and what to do.
        problem: String,
    },
    /// Properties that exclude each other.
    #[error("property `{name}` does not go with {other}: {reason}")]
    Conflict {
        /// The property.
        name: String,
        /// What it does not go with.
        other: String,
        /// Why, or what to do.
        reason: String,
    },
    /// A property given more than once.
    #[error("property `{name}` is given twice")]
    Duplicate {
        /// The property.
        name: String,
    },
}
