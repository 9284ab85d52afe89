//! Names of topics, partitions and consumer groups, and positions in a partition.

use std::{fmt, str::FromStr, sync::Arc};

/// A name that a file system, a log engine and a metric can all carry: 1 to 249 of `[A-Za-z0-9._-]`, as in Kafka.
fn is_legal_name(name: &str) -> bool {
    (1..=249).contains(&name.len())
        && name != "."
        && name != ".."
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// A name that was refused, and what a name may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a legal {kind} name: use 1 to 249 of the characters a-z A-Z 0-9 . _ -")]
pub struct InvalidName {
    /// What was to be named: `topic` or `group`.
    pub kind: &'static str,
    /// The text that was refused.
    pub name: String,
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and takes a name.
            ///
            /// # Errors
            /// [`InvalidName`] if the text is empty, longer than 249 bytes, or holds other characters than
            /// letters, digits, dot, underscore and hyphen.
            pub fn new(name: &str) -> Result<Self, InvalidName> {
                if is_legal_name(name) {
                    Ok(Self(name.into()))
                } else {
                    Err(InvalidName { kind: $kind, name: name.chars().take(80).collect() })
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(name: &str) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }
    };
}

name_type!(
    /// The name of a topic.
    TopicName,
    "topic"
);
name_type!(
    /// The name under which a consumer commits how far it has read.
    GroupId,
    "group"
);

/// A partition of a topic, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionId(pub u32);

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One partition of one topic; `Display` writes `topic=orders partition=3`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicName,
    /// The partition of it.
    pub partition: PartitionId,
}

impl TopicPartition {
    /// Names partition `partition` of `topic`.
    pub fn new(topic: TopicName, partition: PartitionId) -> Self {
        Self { topic, partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "topic={} partition={}", self.topic, self.partition)
    }
}

/// The position of a record in one partition, from 0. A *next offset* is the first one not yet read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Offset(pub u64);

impl Offset {
    /// The first position of a partition.
    pub const ZERO: Self = Self(0);

    /// The position after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The position `count` records further on.
    pub fn advance(self, count: u64) -> Self {
        Self(self.0 + count)
    }

    /// How many positions lie from `earlier` up to this one; zero if it is not earlier.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_the_legal_alphabet() {
        for good in ["a", "orders-2024_v1.x", "A0"] {
            assert_eq!(TopicName::new(good).map(|n| n.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", ".", "..", "a/b", "a b", "ä", &"x".repeat(250)] {
            assert!(TopicName::new(bad).is_err(), "{bad:?} was taken");
        }
    }
}
