//! Questions about ranges of keys of a key-value store.

use std::sync::Arc;

use arrow::{
    array::BinaryArray,
    datatypes::{DataType, Field},
};

use super::{
    QueryError, ReadOnlyStore, RowsQuery, ScanOrder, ScanPlan, row_reader::RowFilter, store_query::sealed::Question,
    view_snapshot::EntryRange,
};
use crate::{
    dsl::{Data, column_list},
    operator::StoreRetention,
    row::RowCodec,
    window::WindowBounds,
};

/// Which rows have keys in this range? The answer is in the order of keys, over all partitions.
///
/// Keys are ordered as their values are: numbers by size, text by its bytes, structs by their first column, then by the next one. Bounds are
/// included.
///
/// ```
/// # use millstream::{StreamsBuilder, dsl::{Consumed, Materialized}, testing::TopologyTestDriver};
/// use millstream::query::RangeQuery;
/// # let builder = StreamsBuilder::new();
/// # builder.table::<i64, String>("names", Consumed::kafka(), Materialized::named("names"));
/// # let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input_topic::<i64, String>("names")?.pipe_key_value_list([(1, "ada"), (2, "bob"), (3, "cyd")])?;
/// let names = driver.store::<i64, String>("names")?;
/// let keys = |query: RangeQuery<i64>| names.query(query).map(|answer| answer.result.iter().map(|row| row.key).collect::<Vec<_>>());
/// assert_eq!(keys(RangeQuery::with_range(2, 9))?, [2, 3]);
/// assert_eq!(keys(RangeQuery::with_no_bounds().with_descending_keys())?, [3, 2, 1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct RangeQuery<K> {
    from: Option<K>,
    to: Option<K>,
    prefix: Option<String>,
    order: ScanOrder,
}

impl<K> RangeQuery<K> {
    /// All rows.
    ///
    /// ```
    /// # use millstream::query::RangeQuery;
    /// let query: RangeQuery<String> = RangeQuery::with_no_bounds();
    /// ```
    pub fn with_no_bounds() -> Self {
        Self { from: None, to: None, prefix: None, order: ScanOrder::Ascending }
    }

    /// The rows with keys from `from` to `to`, both included.
    ///
    /// ```
    /// # use millstream::query::RangeQuery;
    /// let query: RangeQuery<String> = RangeQuery::with_range("a", "f");
    /// ```
    pub fn with_range(from: impl Into<K>, to: impl Into<K>) -> Self {
        Self { from: Some(from.into()), to: Some(to.into()), ..Self::with_no_bounds() }
    }

    /// The rows with this key or a higher one.
    ///
    /// ```
    /// # use millstream::query::RangeQuery;
    /// let query: RangeQuery<i64> = RangeQuery::with_lower_bound(3);
    /// ```
    pub fn with_lower_bound(from: impl Into<K>) -> Self {
        Self { from: Some(from.into()), ..Self::with_no_bounds() }
    }

    /// The rows with this key or a lower one.
    ///
    /// ```
    /// # use millstream::query::RangeQuery;
    /// let query: RangeQuery<i64> = RangeQuery::with_upper_bound(3);
    /// ```
    pub fn with_upper_bound(to: impl Into<K>) -> Self {
        Self { to: Some(to.into()), ..Self::with_no_bounds() }
    }

    /// The rows whose keys begin with a text. Keys must be text.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Materialized}, testing::TopologyTestDriver};
    /// # use millstream::query::RangeQuery;
    /// # let builder = StreamsBuilder::new();
    /// # builder.table::<String, i64>("prices", Consumed::kafka(), Materialized::named("prices"));
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("prices")?.pipe_key_value_list([("tea", 3), ("tear", 4), ("toy", 5)])?;
    /// let found = driver.store::<String, i64>("prices")?.query(RangeQuery::with_prefix("tea"))?.result;
    /// assert_eq!(found.iter().map(|row| row.value).collect::<Vec<_>>(), [3, 4]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_prefix(prefix: &str) -> Self {
        Self { prefix: Some(prefix.to_owned()), ..Self::with_no_bounds() }
    }

    /// The same rows, the highest key first.
    ///
    /// ```
    /// # use millstream::query::RangeQuery;
    /// let query: RangeQuery<i64> = RangeQuery::with_no_bounds().with_descending_keys();
    /// ```
    pub fn with_descending_keys(self) -> Self {
        Self { order: ScanOrder::Descending, ..self }
    }

    /// The same rows, the lowest key first: as it is without being said.
    ///
    /// ```
    /// # use millstream::query::RangeQuery;
    /// let query: RangeQuery<i64> = RangeQuery::with_no_bounds().with_ascending_keys();
    /// ```
    pub fn with_ascending_keys(self) -> Self {
        Self { order: ScanOrder::Ascending, ..self }
    }
}

impl<K> Question for RangeQuery<K> {}

impl<K: Data, V: Data> RowsQuery<K, V> for RangeQuery<K> {
    type Key = K;

    fn plan(&self, store: &ReadOnlyStore<K, V>) -> Result<(ScanPlan, Option<K>), QueryError> {
        store.check(|retention| *retention == StoreRetention::Forever, "RangeQuery")?;
        let (from, to) = match &self.prefix {
            Some(prefix) => prefix_range(prefix, store)?,
            None => key_range(&self.from, &self.to, store)?,
        };
        let entries = EntryRange::Stored(from.unwrap_or_default(), to);
        Ok((ScanPlan { entries, filter: RowFilter::default(), order: self.order }, None))
    }

    fn key(key: K, _window: Option<WindowBounds>) -> K {
        key
    }
}

/// Where encoded keys begin, and before what they end.
type EncodedRange = (Option<Vec<u8>>, Option<Vec<u8>>);

/// Keys from one to another, both included, as they are stored.
pub(super) fn key_range<K: Data, V: Data>(
    from: &Option<K>,
    to: &Option<K>,
    store: &ReadOnlyStore<K, V>,
) -> Result<EncodedRange, QueryError> {
    let from = from.as_ref().map(|from| store.key_bytes(from)).transpose()?;
    let mut to = to.as_ref().map(|to| store.key_bytes(to)).transpose()?;
    // The least key above it.
    to.iter_mut().for_each(|to| to.push(0));
    Ok((from, to))
}

/// Keys that begin with a text, as they are stored. Text is encoded as its bytes are.
fn prefix_range<K: Data, V: Data>(prefix: &str, store: &ReadOnlyStore<K, V>) -> Result<EncodedRange, QueryError> {
    if store.text_key().is_none() {
        let problem = format!("({}), and a prefix needs one of text", column_list(&store.view.spec.key));
        return Err(QueryError::Types { store: store.name().to_owned(), side: "key", problem });
    }
    let encode = |bytes: &[u8]| -> Result<Vec<u8>, QueryError> {
        let codec = RowCodec::new(&[Arc::new(Field::new("key", DataType::Binary, true))]);
        let rows = codec.and_then(|codec| codec.encode(&[Arc::new(BinaryArray::from_vec(vec![bytes]))]));
        Ok(rows.map_err(|error| store.view.error(error))?.row(0).data().to_vec())
    };
    // The least bytes that do not begin so and lie above: none if all bytes are the highest, which text has not.
    let mut above = prefix.as_bytes().to_vec();
    let above = above.pop().map(|last| [above, vec![last + 1]].concat());
    Ok((Some(encode(prefix.as_bytes())?), above.map(|above| encode(&above)).transpose()?))
}
