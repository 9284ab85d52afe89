//! A typed record, as tests write and read it.

use crate::record::{Header, Timestamp};

/// A record of a topic, with its key and value as Rust types.
///
/// ```
/// use millstream::testing::TestRecord;
///
/// let record = TestRecord::new("ada", Some(3)).at_ms(20).with_header("source", b"shop");
/// assert_eq!((record.timestamp.millis(), record.headers.len()), (20, 1));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestRecord<K, V> {
    /// The key; use `Option<K>` as the key type of topics whose records may have none.
    pub key: K,
    /// The value; `None` is a tombstone in a table.
    pub value: Option<V>,
    /// Event time.
    pub timestamp: Timestamp,
    /// Headers in order.
    pub headers: Vec<Header>,
}

impl<K, V> TestRecord<K, V> {
    /// A record at time 0 without headers.
    ///
    /// ```
    /// # use millstream::testing::TestRecord;
    /// assert_eq!(TestRecord::<_, i64>::new("ada", None).value, None);
    /// ```
    pub fn new(key: K, value: Option<V>) -> Self {
        Self { key, value, timestamp: Timestamp(0), headers: Vec::new() }
    }

    /// The same record at another time, in milliseconds since the epoch.
    ///
    /// ```
    /// # use millstream::testing::TestRecord;
    /// assert_eq!(TestRecord::new("ada", Some(1)).at_ms(7).timestamp.millis(), 7);
    /// ```
    pub fn at_ms(mut self, millis: i64) -> Self {
        self.timestamp = Timestamp(millis);
        self
    }

    /// The same record with one more header.
    ///
    /// ```
    /// # use millstream::testing::TestRecord;
    /// assert_eq!(TestRecord::new("ada", Some(1)).with_header("a", b"1").headers[0].name, "a");
    /// ```
    pub fn with_header(mut self, name: &str, value: &[u8]) -> Self {
        self.headers.push(Header { name: name.to_owned(), value: Some(value.to_vec()) });
        self
    }
}
