//! What declarations use beside their own text: the schema registry, and what holds where a statement does not say.

use std::{fmt, sync::Arc};

use millstream::format::registry::{EmbeddedRegistry, SharedRegistry};

use super::source::FormatKind;

/// A schema registry, compared by identity.
#[derive(Clone)]
pub struct RegistryHandle(pub SharedRegistry);

impl Default for RegistryHandle {
    /// An empty one in memory.
    fn default() -> Self {
        Self(Arc::new(EmbeddedRegistry::in_memory()))
    }
}

impl fmt::Debug for RegistryHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl PartialEq for RegistryHandle {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for RegistryHandle {}

/// The formats that hold where a statement names none: `ksql.persistence.default.format.key` and so on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FormatDefaults {
    /// For keys; none means KAFKA.
    pub key: Option<FormatKind>,
    /// For values.
    pub value: Option<FormatKind>,
    /// Whether a single value column is wrapped in a record, for formats that can do both; none means that it is.
    pub wrap_single_value: Option<bool>,
}

/// What holds for the topics of queries where a statement does not say: `ksql.output.topic.name.prefix` and so on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SinkDefaults {
    /// What the name begins with; the name of the stream or table follows.
    pub topic_prefix: String,
    /// How many partitions; none means as many as the left-most source has.
    pub partitions: Option<u32>,
}
