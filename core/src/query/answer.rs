//! What a store answers.

use crate::record::{Position, Timestamp};

/// An answer, and what of the inputs of the store it includes.
///
/// ```
/// use millstream::{query::Answer, record::Position};
///
/// let answer = Answer { result: 3, position: Position::new() };
/// assert_eq!(answer.result, 3);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// What was asked for.
    pub result: T,
    /// For each partition of the inputs that feed what was read, the first offset that the answer does not include. Through repartition
    /// topics it reaches to the topics that users write. It may say less than is true, never more.
    pub position: Position,
}

/// A value with the timestamp of the record that it comes from; of an aggregate, the highest of them.
///
/// ```
/// use millstream::{query::ValueAndTimestamp, record::Timestamp};
///
/// let value = ValueAndTimestamp { value: 3, timestamp: Timestamp(20) };
/// assert_eq!(value.timestamp.millis(), 20);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueAndTimestamp<V> {
    /// The value.
    pub value: V,
    /// Event time.
    pub timestamp: Timestamp,
}

/// A row of a store: of windowed stores the key is a [`Windowed`](crate::dsl::Windowed).
///
/// ```
/// use millstream::{query::StoreRow, record::Timestamp};
///
/// let row = StoreRow { key: "ada", value: 3, timestamp: Timestamp(20) };
/// assert_eq!((row.key, row.value), ("ada", 3));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreRow<K, V> {
    /// The key.
    pub key: K,
    /// The value.
    pub value: V,
    /// Event time, as in [`ValueAndTimestamp`].
    pub timestamp: Timestamp,
}
