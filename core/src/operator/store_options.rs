//! Where a store keeps its rows, and whether they come back after a restart.

/// Where the rows of a store are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum StoreKind {
    /// On disk, behind a cache in memory.
    #[default]
    Persistent,
    /// In memory, all of them.
    InMemory,
}

/// Whether the changes of a store are written to a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum StoreLogging {
    /// They are: the store comes back from its changelog.
    #[default]
    Enabled,
    /// They are not: the store is empty after every start.
    Disabled,
}

/// How a store is kept.
///
/// ```
/// use millstream::operator::{StoreKind, StoreLogging, StoreOptions};
///
/// let usual = StoreOptions::default();
/// assert_eq!((usual.kind, usual.logging), (StoreKind::Persistent, StoreLogging::Enabled));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct StoreOptions {
    /// Where its rows are.
    pub kind: StoreKind,
    /// Whether they come back.
    pub logging: StoreLogging,
}
