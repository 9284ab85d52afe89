//! Session stores: one value a key and session, kept for a while.

use std::sync::Arc;

use super::{
    StateStore, StoreAccess, StoreHandle,
    store_codec::StoreCodec,
    stretches::{Stretches, WindowedRows},
};
use crate::{
    dsl::{Windowed, typed::Data},
    operator::ProcessorError,
    record::Timestamp,
    window::Session,
};

/// A handle to a session store: see [`Stores::session`](super::Stores::session).
///
/// ```
/// use std::time::Duration;
/// use millstream::{StreamsBuilder, dsl::{Consumed, Produced, Stores, Windowed}, record::{Record, Timestamp}, testing::TopologyTestDriver};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Counts what comes with less than 5 ms in between.
/// let builder = StreamsBuilder::new();
/// let visits = builder.add_state_store(Stores::session::<String, i64>("visits", Duration::from_secs(1)));
/// let store = visits.clone();
/// builder.stream::<String, String>("in", Consumed::kafka()).process_values_each(move |record, context| {
///     let (at, key) = (record.timestamp().millis(), record.key().clone());
///     let mut visits = context.store(&store)?;
///     let mut merged = (Windowed { key: key.clone(), start: at, end: at }, 1);
///     for (session, count) in visits.find_sessions(&key, Timestamp(at - 5), Timestamp(at + 5))? {
///         visits.remove(&session)?;
///         merged.0.start = merged.0.start.min(session.start);
///         merged.0.end = merged.0.end.max(session.end);
///         merged.1 += count;
///     }
///     visits.put(&merged.0, &merged.1)?;
///     context.forward(record.with_value(merged.1));
///     Ok(())
/// }, &[&visits]).to("out", Produced::kafka());
/// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.push_all("in", [0, 4, 20].map(|at| Record::new("ada", "x").at_ms(at)))?;
/// let counts: Vec<_> = driver.drain("out")?.into_iter().filter_map(|record| record.value).collect();
/// assert_eq!(counts, [1_i64, 2, 1].map(|count| count.to_be_bytes().to_vec()));
/// # Ok(())
/// # }
/// ```
pub struct SessionStore<K, V> {
    name: Arc<str>,
    codec: Arc<Result<StoreCodec<K, V>, String>>,
    stretches: Stretches,
}

impl<K, V> SessionStore<K, V> {
    pub(super) fn new(name: Arc<str>, codec: Arc<Result<StoreCodec<K, V>, String>>, stretches: Stretches) -> Self {
        Self { name, codec, stretches }
    }
}

impl<K, V> Clone for SessionStore<K, V> {
    fn clone(&self) -> Self {
        Self { name: Arc::clone(&self.name), codec: Arc::clone(&self.codec), ..*self }
    }
}

impl<K, V> StateStore for SessionStore<K, V> {
    fn name(&self) -> &str {
        &self.name
    }
}

impl<K: Data, V: Data> StoreHandle for SessionStore<K, V> {
    type Rows<'a> = SessionStoreRows<'a, K, V>;

    fn open<'a>(&self, access: StoreAccess<'a>) -> Result<SessionStoreRows<'a, K, V>, ProcessorError> {
        let (codec, stretches) = (Arc::clone(&self.codec), self.stretches);
        Ok(SessionStoreRows { rows: WindowedRows { codec, access, stretches } })
    }
}

/// The sessions of a session store on the partition of the task, with what the task has written since the last commit.
///
/// A session is there while `end + retention > stream time` of the task. One that ends after stream time cannot be stored.
pub struct SessionStoreRows<'a, K, V> {
    rows: WindowedRows<'a, K, V>,
}

impl<K: Data, V: Data> SessionStoreRows<'_, K, V> {
    /// Sets the value of a session; says whether the session is still there.
    ///
    /// # Errors
    /// If it ends after stream time or before its start, or the types have no columns.
    pub fn put(&mut self, session: &Windowed<K>, value: &V) -> Result<bool, ProcessorError> {
        let Windowed { key, start, end } = session;
        if start > end {
            return Err(ProcessorError::of(format!("a session cannot end at {end}, before it starts at {start}")));
        }
        self.rows.set(key, Session { start: *start, end: *end }, Some(value))
    }

    /// Removes a session.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn remove(&mut self, session: &Windowed<K>) -> Result<(), ProcessorError> {
        self.rows.set(&session.key, Session { start: session.start, end: session.end }, None).map(drop)
    }

    /// The value of a session.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn fetch_session(&mut self, session: &Windowed<K>) -> Result<Option<V>, ProcessorError> {
        let found = self.rows.of_key(&session.key, session.end..=session.end)?;
        Ok(found.into_iter().find(|(found, _)| found.start == session.start).map(|(_, value)| value))
    }

    /// All sessions of a key, by end.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn fetch(&mut self, key: &K) -> Result<Vec<(Windowed<K>, V)>, ProcessorError> {
        self.find_sessions(key, Timestamp(i64::MIN), Timestamp(i64::MAX))
    }

    /// The sessions of a key that end at `earliest_end` or later and start at `latest_start` or earlier, by end.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn find_sessions(
        &mut self,
        key: &K,
        earliest_end: Timestamp,
        latest_start: Timestamp,
    ) -> Result<Vec<(Windowed<K>, V)>, ProcessorError> {
        let found = self.rows.of_key(key, earliest_end.millis()..=i64::MAX)?.into_iter();
        let found = found.filter(|(session, _)| session.start <= latest_start.millis());
        Ok(found.map(|(Session { start, end }, value)| (Windowed { key: key.clone(), start, end }, value)).collect())
    }

    /// Every session that is there, in stretches of time and in these by key.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn all(&mut self) -> Result<Vec<(Windowed<K>, V)>, ProcessorError> {
        self.rows.of_all(i64::MIN..=i64::MAX)
    }
}
