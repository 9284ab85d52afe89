//! Questions about the versions of the rows of a versioned table.

use super::{
    Answer, QueryError, ReadOnlyStore, ScanOrder, StoreQuery, store_query::sealed::Question,
    versions_snapshot::StoredVersion, view::Owners,
};
use crate::{dsl::Data, operator::StoreRetention, record::Timestamp};

/// A version of a row: a value and the time during which it held.
///
/// ```
/// use millstream::{query::VersionedRecord, record::Timestamp};
///
/// let version = VersionedRecord { value: 3, timestamp: Timestamp(20), valid_to: None };
/// assert!(version.valid_to.is_none(), "it is the newest one");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionedRecord<V> {
    /// The value.
    pub value: V,
    /// The timestamp of its record: since when it holds.
    pub timestamp: Timestamp,
    /// Until before when it held; `None`: it is the newest version.
    pub valid_to: Option<Timestamp>,
}

/// What was the value of this key at a moment? Without a moment, what is it now?
///
/// History is kept for as long as the table says; of a moment before that only a value that still holds is known. Only the partition that
/// owns the key is read, as by [`KeyQuery`](super::KeyQuery).
///
/// ```
/// # use std::time::Duration;
/// # use millstream::{StreamsBuilder, dsl::{Consumed, Materialized}, testing::TopologyTestDriver};
/// use millstream::query::VersionedKeyQuery;
/// # let builder = StreamsBuilder::new();
/// let kept = Materialized::named("prices").versioned(Duration::from_secs(3_600));
/// builder.table::<String, i64>("prices", Consumed::kafka(), kept);
/// # let driver = TopologyTestDriver::new(&builder.build()?)?;
/// let prices = driver.input_topic::<String, i64>("prices")?;
/// prices.pipe_at("tea", 3, 10)?;
/// prices.pipe_at("tea", 4, 20)?;
/// let store = driver.store::<String, i64>("prices")?;
/// let then = store.query(VersionedKeyQuery::with_key("tea").as_of(15))?.result.ok_or("no price")?;
/// assert_eq!((then.value, then.valid_to.map(|time| time.millis())), (3, Some(20)));
/// assert_eq!(store.query(VersionedKeyQuery::with_key("tea"))?.result.map(|now| now.value), Some(4));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct VersionedKeyQuery<K> {
    key: K,
    as_of: Timestamp,
}

/// Which values did this key have in a span of time? The answer is in the order of their timestamps.
///
/// ```
/// # use std::time::Duration;
/// # use millstream::{StreamsBuilder, dsl::{Consumed, Materialized}, testing::TopologyTestDriver};
/// use millstream::query::MultiVersionedKeyQuery;
/// # let builder = StreamsBuilder::new();
/// # let kept = Materialized::named("prices").versioned(Duration::from_secs(3_600));
/// # builder.table::<String, i64>("prices", Consumed::kafka(), kept);
/// # let driver = TopologyTestDriver::new(&builder.build()?)?;
/// let prices = driver.input_topic::<String, i64>("prices")?;
/// for (value, time) in [(3, 10), (4, 20), (5, 30)] {
///     prices.pipe_at("tea", value, time)?;
/// }
/// let store = driver.store::<String, i64>("prices")?;
/// let versions = store.query(MultiVersionedKeyQuery::with_key("tea").from_time(15).to_time(25))?.result;
/// assert_eq!(versions.iter().map(|version| version.value).collect::<Vec<_>>(), [3, 4]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct MultiVersionedKeyQuery<K> {
    key: K,
    from: Timestamp,
    to: Timestamp,
    order: ScanOrder,
}

impl<K> VersionedKeyQuery<K> {
    /// Asks for the newest version of a key.
    ///
    /// ```
    /// # use millstream::query::VersionedKeyQuery;
    /// let query: VersionedKeyQuery<String> = VersionedKeyQuery::with_key("tea");
    /// ```
    pub fn with_key(key: impl Into<K>) -> Self {
        Self { key: key.into(), as_of: Timestamp(i64::MAX) }
    }

    /// Asks for the version that held at a moment, in milliseconds since the epoch.
    ///
    /// ```
    /// # use millstream::query::VersionedKeyQuery;
    /// let query: VersionedKeyQuery<String> = VersionedKeyQuery::with_key("tea").as_of(15);
    /// ```
    pub fn as_of(self, millis: i64) -> Self {
        Self { as_of: Timestamp(millis), ..self }
    }
}

impl<K> MultiVersionedKeyQuery<K> {
    /// Asks for all versions of a key that are kept.
    ///
    /// ```
    /// # use millstream::query::MultiVersionedKeyQuery;
    /// let query: MultiVersionedKeyQuery<String> = MultiVersionedKeyQuery::with_key("tea");
    /// ```
    pub fn with_key(key: impl Into<K>) -> Self {
        let (from, to) = (Timestamp(i64::MIN), Timestamp(i64::MAX));
        Self { key: key.into(), from, to, order: ScanOrder::Ascending }
    }

    /// Of these the versions that held at this moment or later, in milliseconds since the epoch.
    ///
    /// ```
    /// # use millstream::query::MultiVersionedKeyQuery;
    /// let query: MultiVersionedKeyQuery<String> = MultiVersionedKeyQuery::with_key("tea").from_time(15);
    /// ```
    pub fn from_time(self, millis: i64) -> Self {
        Self { from: Timestamp(millis), ..self }
    }

    /// Of these the versions that held at this moment or earlier, in milliseconds since the epoch.
    ///
    /// ```
    /// # use millstream::query::MultiVersionedKeyQuery;
    /// let query: MultiVersionedKeyQuery<String> = MultiVersionedKeyQuery::with_key("tea").to_time(25);
    /// ```
    pub fn to_time(self, millis: i64) -> Self {
        Self { to: Timestamp(millis), ..self }
    }

    /// The same versions, the newest first.
    ///
    /// ```
    /// # use millstream::query::MultiVersionedKeyQuery;
    /// let query: MultiVersionedKeyQuery<String> = MultiVersionedKeyQuery::with_key("tea").with_descending_timestamps();
    /// ```
    pub fn with_descending_timestamps(self) -> Self {
        Self { order: ScanOrder::Descending, ..self }
    }

    /// The same versions, the oldest first: as it is without being said.
    ///
    /// ```
    /// # use millstream::query::MultiVersionedKeyQuery;
    /// let query: MultiVersionedKeyQuery<String> = MultiVersionedKeyQuery::with_key("tea").with_ascending_timestamps();
    /// ```
    pub fn with_ascending_timestamps(self) -> Self {
        Self { order: ScanOrder::Ascending, ..self }
    }
}

impl<K> Question for VersionedKeyQuery<K> {}
impl<K> Question for MultiVersionedKeyQuery<K> {}

impl<K: Data, V: Data> StoreQuery<K, V> for VersionedKeyQuery<K> {
    type Result = Option<VersionedRecord<V>>;

    fn answer(self, store: &ReadOnlyStore<K, V>) -> Result<Answer<Self::Result>, QueryError> {
        store.check_versioned("VersionedKeyQuery")?;
        let Answer { mut result, position } = ask(&self.key, store, &|key, versions| versions.as_of(key, self.as_of))?;
        Ok(Answer { result: result.pop(), position })
    }
}

impl<K: Data, V: Data> StoreQuery<K, V> for MultiVersionedKeyQuery<K> {
    type Result = Vec<VersionedRecord<V>>;

    fn answer(self, store: &ReadOnlyStore<K, V>) -> Result<Answer<Self::Result>, QueryError> {
        store.check_versioned("MultiVersionedKeyQuery")?;
        let mut answer = ask(&self.key, store, &|key, versions| versions.between(key, self.from, self.to))?;
        if self.order == ScanOrder::Descending {
            answer.result.reverse();
        }
        Ok(answer)
    }
}

/// Reads versions of a key.
type ReadVersions<'a> =
    dyn Fn(&[u8], &super::versions_snapshot::VersionsSnapshot) -> Result<Vec<StoredVersion>, QueryError> + 'a;

/// The versions that `read` finds at the owner of a key, or at others if that knows none.
fn ask<K: Data, V: Data>(
    key: &K,
    store: &ReadOnlyStore<K, V>,
    read: &ReadVersions<'_>,
) -> Result<Answer<Vec<VersionedRecord<V>>>, QueryError> {
    let columns = store.key_columns(std::slice::from_ref(key))?;
    let bytes = store.key_bytes(key)?;
    let owner = store.view.owners(&columns).pop().unwrap_or(Owners::All);
    let mut snapshot = store.versions(&store.first_asked(&owner))?;
    let mut found = read(&bytes, &snapshot)?;
    if let (true, Some(others)) = (found.is_empty(), store.asked_next(&owner)) {
        snapshot = store.versions(&others)?;
        found = read(&bytes, &snapshot)?;
    }
    let rows = store.decode(&snapshot.rows(&bytes, &found)?)?;
    let rows = rows.into_iter().zip(found);
    let versions =
        rows.map(|((.., value, timestamp), stored)| VersionedRecord { value, timestamp, valid_to: stored.valid_to });
    Ok(Answer { result: versions.collect(), position: snapshot.position().clone() })
}

impl<K: Data, V: Data> ReadOnlyStore<K, V> {
    /// Refuses a question about versions where there are none.
    fn check_versioned(&self, asked: &'static str) -> Result<(), QueryError> {
        self.check(|retention| *retention == StoreRetention::Forever, asked)?;
        if self.view.has_versions() {
            return Ok(());
        }
        Err(QueryError::WrongQuery {
            store: self.name().to_owned(),
            holds: "one row a key without its versions",
            asked,
            instead: "KeyQuery, KeysQuery or RangeQuery, or make the table versioned",
        })
    }
}
