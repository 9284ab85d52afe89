//! Questions about windows of a window store.

use std::ops::Range;

use millstream_state::key::encode_start;

use super::{
    QueryError, ReadOnlyStore, RowsQuery, ScanOrder, ScanPlan,
    range_query::key_range,
    row_reader::{RowFilter, WindowFilter},
    store_query::sealed::Question,
    view_snapshot::EntryRange,
};
use crate::{
    dsl::{Data, Windowed},
    operator::StoreRetention,
    record::Timestamp,
    window::{TimeWindows, WindowBounds},
};

/// Which windows does this key have? The answer is in the order of the windows' starts. Expired windows are not in it.
///
/// It leaps from window to window and reads nothing of other keys; only the partition that owns the key is read, as by
/// [`KeyQuery`](super::KeyQuery).
///
/// ```
/// # use std::time::Duration;
/// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver, window::TimeWindows};
/// use millstream::query::WindowKeyQuery;
/// # let builder = StreamsBuilder::new();
/// # let minute = TimeWindows::tumbling(Duration::from_secs(60), Duration::from_secs(3_600))?;
/// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().windowed_by(minute).count("counts");
/// # let driver = TopologyTestDriver::new(&builder.build()?)?;
/// let orders = driver.input_topic::<String, i64>("orders")?;
/// orders.pipe_at("ada", 30, 1_000)?;
/// orders.pipe_at("ada", 12, 61_000)?;
/// let counts = driver.store::<String, i64>("counts")?;
/// let rows = counts.query(WindowKeyQuery::with_key_and_window_start_range("ada", 60_000, 120_000))?.result;
/// assert_eq!(rows.iter().map(|row| (row.key.start, row.key.end, row.value)).collect::<Vec<_>>(), [(60_000, 120_000, 1)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct WindowKeyQuery<K> {
    key: K,
    from: i64,
    to: i64,
    order: ScanOrder,
}

/// Which windows start in this span of time, of all keys, or of a range of keys? The answer is in the order of starts, then keys, over all
/// partitions.
///
/// ```
/// # use std::time::Duration;
/// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver, window::TimeWindows};
/// use millstream::query::WindowRangeQuery;
/// # let builder = StreamsBuilder::new();
/// # let minute = TimeWindows::tumbling(Duration::from_secs(60), Duration::from_secs(3_600))?;
/// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().windowed_by(minute).count("counts");
/// # let driver = TopologyTestDriver::new(&builder.build()?)?;
/// let orders = driver.input_topic::<String, i64>("orders")?;
/// orders.pipe_at("bob", 30, 1_000)?;
/// orders.pipe_at("ada", 12, 2_000)?;
/// let counts = driver.store::<String, i64>("counts")?;
/// let keys = |query: WindowRangeQuery<String>| {
///     counts.query(query).map(|answer| answer.result.into_iter().map(|row| row.key.key).collect::<Vec<_>>())
/// };
/// assert_eq!(keys(WindowRangeQuery::with_window_start_range(0, 60_000))?, ["ada", "bob"]);
/// assert_eq!(keys(WindowRangeQuery::with_window_start_range(0, 60_000).with_key_range("b", "z"))?, ["bob"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct WindowRangeQuery<K> {
    keys: (Option<K>, Option<K>),
    from: i64,
    to: i64,
    order: ScanOrder,
}

impl<K> WindowKeyQuery<K> {
    /// The windows of a key that start from one moment to another, both included, in milliseconds since the epoch.
    ///
    /// ```
    /// # use millstream::query::WindowKeyQuery;
    /// let query: WindowKeyQuery<String> = WindowKeyQuery::with_key_and_window_start_range("ada", 0, 60_000);
    /// ```
    pub fn with_key_and_window_start_range(key: impl Into<K>, from_millis: i64, to_millis: i64) -> Self {
        Self { key: key.into(), from: from_millis, to: to_millis, order: ScanOrder::Ascending }
    }

    /// All windows of a key.
    ///
    /// ```
    /// # use millstream::query::WindowKeyQuery;
    /// let query: WindowKeyQuery<String> = WindowKeyQuery::with_key("ada");
    /// ```
    pub fn with_key(key: impl Into<K>) -> Self {
        Self::with_key_and_window_start_range(key, i64::MIN, i64::MAX)
    }

    /// The same windows, the latest first.
    ///
    /// ```
    /// # use millstream::query::WindowKeyQuery;
    /// let query: WindowKeyQuery<String> = WindowKeyQuery::with_key("ada").with_latest_first();
    /// ```
    pub fn with_latest_first(self) -> Self {
        Self { order: ScanOrder::Descending, ..self }
    }
}

impl<K> WindowRangeQuery<K> {
    /// The windows that start from one moment to another, both included, in milliseconds since the epoch.
    ///
    /// ```
    /// # use millstream::query::WindowRangeQuery;
    /// let query: WindowRangeQuery<String> = WindowRangeQuery::with_window_start_range(0, 60_000);
    /// ```
    pub fn with_window_start_range(from_millis: i64, to_millis: i64) -> Self {
        Self { keys: (None, None), from: from_millis, to: to_millis, order: ScanOrder::Ascending }
    }

    /// Of these windows those of keys from one to another, both included. The windows of other keys are passed over one by one.
    ///
    /// ```
    /// # use millstream::query::WindowRangeQuery;
    /// let query: WindowRangeQuery<String> = WindowRangeQuery::with_window_start_range(0, 60_000).with_key_range("a", "f");
    /// ```
    pub fn with_key_range(self, from: impl Into<K>, to: impl Into<K>) -> Self {
        Self { keys: (Some(from.into()), Some(to.into())), ..self }
    }

    /// The same windows, the latest first.
    ///
    /// ```
    /// # use millstream::query::WindowRangeQuery;
    /// let query: WindowRangeQuery<String> = WindowRangeQuery::with_window_start_range(0, 60_000).with_latest_first();
    /// ```
    pub fn with_latest_first(self) -> Self {
        Self { order: ScanOrder::Descending, ..self }
    }
}

impl<K> Question for WindowKeyQuery<K> {}
impl<K> Question for WindowRangeQuery<K> {}

fn is_window(retention: &StoreRetention) -> bool {
    matches!(retention, StoreRetention::Windows { .. })
}

/// Numbers that hold all windows which start from one moment to another. Others among them are sorted out by their starts.
fn numbers(retention: &StoreRetention, from: i64, to: i64) -> Range<i64> {
    match retention {
        StoreRetention::Windows { windows, .. } if windows.is_numbered_by_start() => from..to.saturating_add(1),
        StoreRetention::Windows { windows, .. } => first_number(windows, from)..last_number(windows, to),
        StoreRetention::Forever | StoreRetention::Sessions { .. } => from..to,
    }
}

fn first_number(windows: &TimeWindows, from: i64) -> i64 {
    if from == i64::MIN { from } else { windows.first_from(Timestamp(from)) }
}

/// A number above those of windows that start at a moment: their ends by a clock that is at most some hours ahead.
fn last_number(windows: &TimeWindows, to: i64) -> i64 {
    const TWO_DAYS: i64 = 2 * 86_400_000;
    to.saturating_add(windows.longest().millis()).saturating_add(TWO_DAYS)
}

impl<K: Data, V: Data> RowsQuery<K, V> for WindowKeyQuery<K> {
    type Key = Windowed<K>;

    fn plan(&self, store: &ReadOnlyStore<K, V>) -> Result<(ScanPlan, Option<K>), QueryError> {
        store.check(is_window, "WindowKeyQuery")?;
        let numbers = numbers(&store.view.spec.retention, self.from, self.to);
        let windows = WindowFilter::Starting(self.from, self.to);
        let plan = ScanPlan {
            entries: EntryRange::OfKey(store.key_bytes(&self.key)?, numbers),
            filter: RowFilter { windows, ..RowFilter::default() },
            order: self.order,
        };
        Ok((plan, Some(self.key.clone())))
    }

    fn key(key: K, window: Option<WindowBounds>) -> Windowed<K> {
        windowed(key, window)
    }
}

impl<K: Data, V: Data> RowsQuery<K, V> for WindowRangeQuery<K> {
    type Key = Windowed<K>;

    fn plan(&self, store: &ReadOnlyStore<K, V>) -> Result<(ScanPlan, Option<K>), QueryError> {
        store.check(is_window, "WindowRangeQuery")?;
        let numbers = numbers(&store.view.spec.retention, self.from, self.to);
        let (from_key, to_key) = key_range(&self.keys.0, &self.keys.1, store)?;
        let windows = WindowFilter::Starting(self.from, self.to);
        let to = (numbers.end < i64::MAX).then(|| encode_start(numbers.end).to_vec());
        let plan = ScanPlan {
            entries: EntryRange::Stored(encode_start(numbers.start).to_vec(), to),
            filter: RowFilter { from_key, to_key, windows },
            order: self.order,
        };
        Ok((plan, None))
    }

    fn key(key: K, window: Option<WindowBounds>) -> Windowed<K> {
        windowed(key, window)
    }
}

/// A key with the window of its row.
pub(super) fn windowed<K>(key: K, window: Option<WindowBounds>) -> Windowed<K> {
    let WindowBounds { start, end } = window.expect("the rows of a store with windows have windows");
    Windowed { key, start, end }
}
