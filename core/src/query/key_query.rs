//! Questions about single keys of a key-value store.

use super::{
    Answer, QueryError, ReadOnlyStore, StoreQuery, ValueAndTimestamp, ViewSnapshot, store_query::sealed::Question,
    view::Owners,
};
use crate::{dsl::Data, operator::StoreRetention};

/// What is the value of this key? Only the partition that owns the key is read, where that can be told.
///
/// Which partition that is is known for certain if a repartition topic feeds the store. A topic that others write is taken to be
/// partitioned as Kafka's own producers do it; if the owner by that rule knows nothing, the other partitions are asked, too.
///
/// ```
/// # use millstream::{StreamsBuilder, dsl::{Consumed, Materialized}, testing::TopologyTestDriver};
/// use millstream::query::KeyQuery;
/// # let builder = StreamsBuilder::new();
/// # builder.table::<String, i64>("prices", Consumed::kafka(), Materialized::named("prices"));
/// # let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input_topic::<String, i64>("prices")?.pipe_at("tea", 3, 20)?;
/// let found = driver.store::<String, i64>("prices")?.query(KeyQuery::with_key("tea"))?.result.ok_or("no tea")?;
/// assert_eq!((found.value, found.timestamp.millis()), (3, 20));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct KeyQuery<K> {
    key: K,
}

/// What are the values of these keys, all at one moment? The answer has one place a key, in the order in which they were given.
///
/// ```
/// # use millstream::{StreamsBuilder, dsl::{Consumed, Materialized}, testing::TopologyTestDriver};
/// use millstream::query::KeysQuery;
/// # let builder = StreamsBuilder::new();
/// # builder.table::<String, i64>("prices", Consumed::kafka(), Materialized::named("prices"));
/// # let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input_topic::<String, i64>("prices")?.pipe("tea", 3)?;
/// let found = driver.store::<String, i64>("prices")?.query(KeysQuery::with_keys(["rye", "tea"]))?.result;
/// assert_eq!(found.into_iter().map(|found| found.map(|found| found.value)).collect::<Vec<_>>(), [None, Some(3)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct KeysQuery<K> {
    keys: Vec<K>,
}

impl<K> KeyQuery<K> {
    /// Asks for a key.
    ///
    /// ```
    /// # use millstream::query::KeyQuery;
    /// let query: KeyQuery<String> = KeyQuery::with_key("tea");
    /// ```
    pub fn with_key(key: impl Into<K>) -> Self {
        Self { key: key.into() }
    }
}

impl<K> KeysQuery<K> {
    /// Asks for keys.
    ///
    /// ```
    /// # use millstream::query::KeysQuery;
    /// let query: KeysQuery<String> = KeysQuery::with_keys(["tea", "rye"]);
    /// ```
    pub fn with_keys<I: Into<K>>(keys: impl IntoIterator<Item = I>) -> Self {
        Self { keys: keys.into_iter().map(Into::into).collect() }
    }
}

impl<K> Question for KeyQuery<K> {}
impl<K> Question for KeysQuery<K> {}

fn is_key_value(retention: &StoreRetention) -> bool {
    *retention == StoreRetention::Forever
}

impl<K: Data, V: Data> StoreQuery<K, V> for KeyQuery<K> {
    type Result = Option<ValueAndTimestamp<V>>;

    fn answer(self, store: &ReadOnlyStore<K, V>) -> Result<Answer<Self::Result>, QueryError> {
        store.check(is_key_value, "KeyQuery")?;
        let columns = store.key_columns(std::slice::from_ref(&self.key))?;
        let owner = store.view.owners(&columns).pop().unwrap_or(Owners::All);
        let first = |snapshot: &ViewSnapshot| -> Result<_, QueryError> {
            let row = store.decode(&snapshot.get(&columns)?)?.into_iter().next();
            Ok(row.map(|(.., value, timestamp)| ValueAndTimestamp { value, timestamp }))
        };
        let mut snapshot = store.snapshot(&store.first_asked(&owner))?;
        let mut result = first(&snapshot)?;
        if let (None, Some(others)) = (&result, store.asked_next(&owner)) {
            snapshot = store.snapshot(&others)?;
            result = first(&snapshot)?;
        }
        Ok(Answer { result, position: snapshot.position().clone() })
    }
}

impl<K: Data, V: Data> StoreQuery<K, V> for KeysQuery<K> {
    type Result = Vec<Option<ValueAndTimestamp<V>>>;

    fn answer(self, store: &ReadOnlyStore<K, V>) -> Result<Answer<Self::Result>, QueryError> {
        store.check(is_key_value, "KeysQuery")?;
        let columns = store.key_columns(&self.keys)?;
        let snapshot = store.snapshot(&store.first_asked(&Owners::All))?;
        let (batch, places) = snapshot.get_by_place(&columns)?;
        let mut result: Vec<Option<ValueAndTimestamp<V>>> = self.keys.iter().map(|_| None).collect();
        for ((.., value, timestamp), place) in store.decode(&batch)?.into_iter().zip(places) {
            result[place] = Some(ValueAndTimestamp { value, timestamp });
        }
        Ok(Answer { result, position: snapshot.position().clone() })
    }
}
