//! Window stores: one value a key and window, the windows all of one length, kept for a while.

use std::{ops::RangeInclusive, sync::Arc};

use super::{
    StateStore, StoreAccess, StoreHandle,
    store_codec::StoreCodec,
    stretches::{Stretches, WindowedRows},
};
use crate::{
    dsl::{Windowed, typed::Data},
    operator::ProcessorError,
    record::{TimeSpan, Timestamp},
    window::Session,
};

/// A handle to a window store: see [`Stores::window`](super::Stores::window).
///
/// ```
/// use std::time::Duration;
/// use millstream::{StreamsBuilder, dsl::{Consumed, Produced, Stores}, record::Record, testing::TopologyTestDriver};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Passes on what was not there in the last ten seconds.
/// let builder = StreamsBuilder::new();
/// let seen = Stores::window::<String, bool>("seen", Duration::from_secs(60), Duration::from_secs(10));
/// let seen = builder.add_state_store(seen);
/// let store = seen.clone();
/// builder.stream::<String, String>("in", Consumed::kafka()).process_values_each(move |record, context| {
///     let at = record.timestamp();
///     let mut seen = context.store(&store)?;
///     let before = seen.fetch_range(record.value(), at.minus(Duration::from_secs(10).into())..=at)?;
///     seen.put(record.value(), &true, at)?;
///     if before.is_empty() {
///         context.forward(record);
///     }
///     Ok(())
/// }, &[&seen]).to("out", Produced::kafka());
/// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.push_all("in", [0, 9_000, 30_000].map(|at| Record::new("k", "tea").at_ms(at)))?;
/// assert_eq!(driver.drain("out")?.len(), 2);
/// # Ok(())
/// # }
/// ```
pub struct WindowStore<K, V> {
    name: Arc<str>,
    codec: Arc<Result<StoreCodec<K, V>, String>>,
    stretches: Stretches,
    size: TimeSpan,
}

impl<K, V> WindowStore<K, V> {
    pub(super) fn new(
        name: Arc<str>,
        codec: Arc<Result<StoreCodec<K, V>, String>>,
        stretches: Stretches,
        size: TimeSpan,
    ) -> Self {
        Self { name, codec, stretches, size }
    }
}

impl<K, V> Clone for WindowStore<K, V> {
    fn clone(&self) -> Self {
        Self { name: Arc::clone(&self.name), codec: Arc::clone(&self.codec), ..*self }
    }
}

impl<K, V> StateStore for WindowStore<K, V> {
    fn name(&self) -> &str {
        &self.name
    }
}

impl<K: Data, V: Data> StoreHandle for WindowStore<K, V> {
    type Rows<'a> = WindowStoreRows<'a, K, V>;

    fn open<'a>(&self, access: StoreAccess<'a>) -> Result<WindowStoreRows<'a, K, V>, ProcessorError> {
        let (codec, stretches) = (Arc::clone(&self.codec), self.stretches);
        Ok(WindowStoreRows { rows: WindowedRows { codec, access, stretches }, size: self.size })
    }
}

/// The windows of a window store on the partition of the task, with what the task has written since the last commit.
///
/// A window is there while `start + retention > stream time` of the task. One that starts after stream time cannot be stored.
pub struct WindowStoreRows<'a, K, V> {
    rows: WindowedRows<'a, K, V>,
    size: TimeSpan,
}

impl<K: Data, V: Data> WindowStoreRows<'_, K, V> {
    fn window(&self, start: Timestamp) -> Session {
        Session { start: start.millis(), end: start.plus(self.size).millis() }
    }

    /// Sets the value of a key in the window that starts at `start`; says whether the window is still there.
    ///
    /// # Errors
    /// If `start` lies after stream time, or the types have no columns.
    pub fn put(&mut self, key: &K, value: &V, start: Timestamp) -> Result<bool, ProcessorError> {
        self.rows.set(key, self.window(start), Some(value))
    }

    /// Removes the value of a key in the window that starts at `start`.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn delete(&mut self, key: &K, start: Timestamp) -> Result<(), ProcessorError> {
        self.rows.set(key, self.window(start), None).map(drop)
    }

    /// The value of a key in the window that starts at `start`.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn fetch(&mut self, key: &K, start: Timestamp) -> Result<Option<V>, ProcessorError> {
        Ok(self.fetch_range(key, start..=start)?.pop().map(|(_, value)| value))
    }

    /// The values of a key in the windows that start in a range, both ends included, by start.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn fetch_range(
        &mut self,
        key: &K,
        starts: RangeInclusive<Timestamp>,
    ) -> Result<Vec<(Timestamp, V)>, ProcessorError> {
        let found = self.rows.of_key(key, starts.start().millis()..=starts.end().millis())?;
        Ok(found.into_iter().map(|(window, value)| (Timestamp(window.start), value)).collect())
    }

    /// The values of all keys in the windows that start in a range, both ends included, in stretches of time and in these by key.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn fetch_all(&mut self, starts: RangeInclusive<Timestamp>) -> Result<Vec<(Windowed<K>, V)>, ProcessorError> {
        self.rows.of_all(starts.start().millis()..=starts.end().millis())
    }

    /// Every key and window that is there.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn all(&mut self) -> Result<Vec<(Windowed<K>, V)>, ProcessorError> {
        self.rows.of_all(i64::MIN..=i64::MAX)
    }
}
