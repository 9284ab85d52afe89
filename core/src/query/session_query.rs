//! Questions about the sessions of a session store.

use millstream_state::key::encode_start;

use super::{
    QueryError, ReadOnlyStore, RowsQuery, ScanOrder, ScanPlan,
    range_query::key_range,
    row_reader::{RowFilter, WindowFilter},
    store_query::sealed::Question,
    view_snapshot::EntryRange,
    window_query::windowed,
};
use crate::{
    dsl::{Data, Windowed},
    operator::{StoreRetention, stretch_of},
    window::WindowBounds,
};

/// Which sessions does this key have? The answer is in the order of the sessions' ends.
///
/// Only the partition that owns the key is read, as by [`KeyQuery`](super::KeyQuery).
///
/// ```
/// # use std::time::Duration;
/// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver, window::SessionWindows};
/// use millstream::query::SessionKeyQuery;
/// # let builder = StreamsBuilder::new();
/// # let visits = SessionWindows::new(Duration::from_millis(10), Duration::from_secs(60))?;
/// # builder.stream::<String, i64>("clicks", Consumed::kafka()).group_by_key().windowed_by(visits).count("visits");
/// # let driver = TopologyTestDriver::new(&builder.build()?)?;
/// let clicks = driver.input_topic::<String, i64>("clicks")?;
/// for time in [0, 7, 100] {
///     clicks.pipe_at("ada", 1, time)?;
/// }
/// let visits = driver.store::<String, i64>("visits")?;
/// let rows = visits.query(SessionKeyQuery::with_key("ada"))?.result;
/// assert_eq!(rows.iter().map(|row| (row.key.start, row.key.end, row.value)).collect::<Vec<_>>(), [(0, 7, 2), (100, 100, 1)]);
/// assert_eq!(visits.query(SessionKeyQuery::with_key("ada").overlapping(50, 200))?.result.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct SessionKeyQuery<K> {
    key: K,
    sessions: WindowFilter,
    order: ScanOrder,
}

/// Which sessions are there, of all keys, or of a range of keys? The answer comes by stretches of time in which sessions end, within one
/// by keys, and of a key by the sessions' ends.
///
/// ```
/// # use std::time::Duration;
/// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver, window::SessionWindows};
/// use millstream::query::SessionRangeQuery;
/// # let builder = StreamsBuilder::new();
/// # let visits = SessionWindows::new(Duration::from_millis(10), Duration::from_secs(60))?;
/// # builder.stream::<String, i64>("clicks", Consumed::kafka()).group_by_key().windowed_by(visits).count("visits");
/// # let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input_topic::<String, i64>("clicks")?.pipe_key_value_list([("ada", 1), ("bob", 1)])?;
/// let visits = driver.store::<String, i64>("visits")?;
/// assert_eq!(visits.query(SessionRangeQuery::with_no_bounds())?.result.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct SessionRangeQuery<K> {
    keys: (Option<K>, Option<K>),
    sessions: WindowFilter,
    order: ScanOrder,
}

impl<K> SessionKeyQuery<K> {
    /// All sessions of a key.
    ///
    /// ```
    /// # use millstream::query::SessionKeyQuery;
    /// let query: SessionKeyQuery<String> = SessionKeyQuery::with_key("ada");
    /// ```
    pub fn with_key(key: impl Into<K>) -> Self {
        Self { key: key.into(), sessions: WindowFilter::All, order: ScanOrder::Ascending }
    }

    /// The one session of a key with these bounds, if there is one, in milliseconds since the epoch.
    ///
    /// ```
    /// # use millstream::query::SessionKeyQuery;
    /// let query: SessionKeyQuery<String> = SessionKeyQuery::with_key_and_bounds("ada", 0, 7);
    /// ```
    pub fn with_key_and_bounds(key: impl Into<K>, start_millis: i64, end_millis: i64) -> Self {
        Self { sessions: WindowFilter::Exactly(start_millis, end_millis), ..Self::with_key(key) }
    }

    /// Of the key's sessions those that end at `earliest_end` or later and start at `latest_start` or earlier, in milliseconds since the
    /// epoch.
    ///
    /// ```
    /// # use millstream::query::SessionKeyQuery;
    /// let query: SessionKeyQuery<String> = SessionKeyQuery::with_key("ada").overlapping(0, 60_000);
    /// ```
    pub fn overlapping(self, earliest_end: i64, latest_start: i64) -> Self {
        Self { sessions: WindowFilter::Overlapping { earliest_end, latest_start }, ..self }
    }

    /// The same sessions, the latest first.
    ///
    /// ```
    /// # use millstream::query::SessionKeyQuery;
    /// let query: SessionKeyQuery<String> = SessionKeyQuery::with_key("ada").with_latest_first();
    /// ```
    pub fn with_latest_first(self) -> Self {
        Self { order: ScanOrder::Descending, ..self }
    }
}

impl<K> SessionRangeQuery<K> {
    /// All sessions.
    ///
    /// ```
    /// # use millstream::query::SessionRangeQuery;
    /// let query: SessionRangeQuery<String> = SessionRangeQuery::with_no_bounds();
    /// ```
    pub fn with_no_bounds() -> Self {
        Self { keys: (None, None), sessions: WindowFilter::All, order: ScanOrder::Ascending }
    }

    /// The sessions of keys from one to another, both included.
    ///
    /// ```
    /// # use millstream::query::SessionRangeQuery;
    /// let query: SessionRangeQuery<String> = SessionRangeQuery::with_key_range("a", "f");
    /// ```
    pub fn with_key_range(from: impl Into<K>, to: impl Into<K>) -> Self {
        Self { keys: (Some(from.into()), Some(to.into())), ..Self::with_no_bounds() }
    }

    /// Of these sessions those that end at `earliest_end` or later and start at `latest_start` or earlier, in milliseconds since the epoch.
    ///
    /// ```
    /// # use millstream::query::SessionRangeQuery;
    /// let query: SessionRangeQuery<String> = SessionRangeQuery::with_no_bounds().overlapping(0, 60_000);
    /// ```
    pub fn overlapping(self, earliest_end: i64, latest_start: i64) -> Self {
        Self { sessions: WindowFilter::Overlapping { earliest_end, latest_start }, ..self }
    }

    /// The same sessions, the latest first.
    ///
    /// ```
    /// # use millstream::query::SessionRangeQuery;
    /// let query: SessionRangeQuery<String> = SessionRangeQuery::with_no_bounds().with_latest_first();
    /// ```
    pub fn with_latest_first(self) -> Self {
        Self { order: ScanOrder::Descending, ..self }
    }
}

impl<K> Question for SessionKeyQuery<K> {}
impl<K> Question for SessionRangeQuery<K> {}

fn is_session(retention: &StoreRetention) -> bool {
    matches!(retention, StoreRetention::Sessions { .. })
}

/// The starts of the stretches in which the wanted sessions end: from the first one to before the last one.
fn stretches(retention: &StoreRetention, sessions: WindowFilter) -> (i64, i64) {
    let StoreRetention::Sessions { span, .. } = retention else { return (i64::MIN, i64::MAX) };
    match sessions {
        WindowFilter::Overlapping { earliest_end, .. } if earliest_end > i64::MIN => {
            (stretch_of(earliest_end, *span), i64::MAX)
        }
        WindowFilter::Exactly(_, end) => (stretch_of(end, *span), stretch_of(end, *span).saturating_add(1)),
        _ => (i64::MIN, i64::MAX),
    }
}

impl<K: Data, V: Data> RowsQuery<K, V> for SessionKeyQuery<K> {
    type Key = Windowed<K>;

    fn plan(&self, store: &ReadOnlyStore<K, V>) -> Result<(ScanPlan, Option<K>), QueryError> {
        store.check(is_session, "SessionKeyQuery")?;
        let (from, to) = stretches(&store.view.spec.retention, self.sessions);
        let plan = ScanPlan {
            entries: EntryRange::OfKey(store.key_bytes(&self.key)?, from..to),
            filter: RowFilter { windows: self.sessions, ..RowFilter::default() },
            order: self.order,
        };
        Ok((plan, Some(self.key.clone())))
    }

    fn key(key: K, window: Option<WindowBounds>) -> Windowed<K> {
        windowed(key, window)
    }
}

impl<K: Data, V: Data> RowsQuery<K, V> for SessionRangeQuery<K> {
    type Key = Windowed<K>;

    fn plan(&self, store: &ReadOnlyStore<K, V>) -> Result<(ScanPlan, Option<K>), QueryError> {
        store.check(is_session, "SessionRangeQuery")?;
        let (from, to) = stretches(&store.view.spec.retention, self.sessions);
        let (from_key, to_key) = key_range(&self.keys.0, &self.keys.1, store)?;
        let to = (to < i64::MAX).then(|| encode_start(to).to_vec());
        let plan = ScanPlan {
            entries: EntryRange::Stored(encode_start(from).to_vec(), to),
            filter: RowFilter { from_key, to_key, windows: self.sessions },
            order: self.order,
        };
        Ok((plan, None))
    }

    fn key(key: K, window: Option<WindowBounds>) -> Windowed<K> {
        windowed(key, window)
    }
}
