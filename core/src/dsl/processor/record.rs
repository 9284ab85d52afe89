//! A record as a processor sees it: typed, with its timestamp and headers.

use crate::record::{Header, Timestamp};

/// A typed record.
///
/// ```
/// use millstream::{dsl::ProcessorRecord, record::Timestamp};
///
/// let record = ProcessorRecord::new("ada", 3, Timestamp(10));
/// let other = record.with_key("bob").with_value("three").with_timestamp(Timestamp(11));
/// assert_eq!((other.key, other.value, other.timestamp), ("bob", "three", Timestamp(11)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessorRecord<K, V> {
    /// The key.
    pub key: K,
    /// The value.
    pub value: V,
    /// Event time.
    pub timestamp: Timestamp,
    /// Headers in order.
    pub headers: Vec<Header>,
}

impl<K, V> ProcessorRecord<K, V> {
    /// A record without headers.
    pub const fn new(key: K, value: V, timestamp: Timestamp) -> Self {
        Self { key, value, timestamp, headers: Vec::new() }
    }

    /// The same record with another key.
    pub fn with_key<K2>(self, key: K2) -> ProcessorRecord<K2, V> {
        ProcessorRecord { key, value: self.value, timestamp: self.timestamp, headers: self.headers }
    }

    /// The same record with another value.
    pub fn with_value<V2>(self, value: V2) -> ProcessorRecord<K, V2> {
        ProcessorRecord { key: self.key, value, timestamp: self.timestamp, headers: self.headers }
    }

    /// The same record at another time.
    pub fn with_timestamp(self, timestamp: Timestamp) -> Self {
        Self { timestamp, ..self }
    }

    /// The same record with other headers.
    pub fn with_headers(self, headers: Vec<Header>) -> Self {
        Self { headers, ..self }
    }
}
