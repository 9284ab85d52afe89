//! What a processor sees of its surroundings: the record, the times, its stores, and where its output goes.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use super::{GlobalStore, ProcessorRecord, StoreAccess, StoreHandle};
use crate::{
    dsl::typed::Data,
    operator::{Cancellable, ProcessorError, PunctuationType, RecordMetadata, RowContext, TaskId},
    record::{Header, TimeSpan, Timestamp},
};

/// The surroundings of a processor, whatever it forwards.
pub struct ProcessingContext<'a> {
    row: RowContext<'a>,
    /// The stores that are connected, with their numbers in the task.
    stores: &'a [(Arc<str>, usize)],
}

impl<'a> ProcessingContext<'a> {
    pub(super) fn new(row: RowContext<'a>, stores: &'a [(Arc<str>, usize)]) -> Self {
        Self { row, stores }
    }

    /// Where the record was read; `None` at a tick and in `init`.
    pub fn record_metadata(&self) -> Option<RecordMetadata> {
        self.row.record_metadata()
    }

    /// The task's stream time: the highest timestamp of the records that it has taken, this one included, whatever became of them;
    /// [`Timestamp::NONE`] before the first. It survives a restart.
    pub fn current_stream_time(&self) -> Timestamp {
        self.row.stream_time
    }

    /// The time of day when the task began its present work.
    pub fn current_system_time(&self) -> Timestamp {
        self.row.wall_clock
    }

    /// The task.
    pub fn task_id(&self) -> TaskId {
        self.row.task
    }

    /// Asks to be called every `interval`, by event time or by the time of day.
    ///
    /// On stream time ticks lie at multiples of the interval: the first record makes the first tick. On wall-clock time the first tick is an
    /// interval from now. Ticks that were missed are skipped.
    ///
    /// Schedules live as long as the task: make them in `init`. Stream time is committed, so that after a restart the next tick of such a
    /// schedule is the one that would have come without it; schedules on wall-clock time begin anew. A schedule that was made elsewhere is
    /// gone after a restart.
    ///
    /// # Errors
    /// If the interval is shorter than a millisecond.
    pub fn schedule(
        &mut self,
        interval: impl Into<TimeSpan>,
        kind: PunctuationType,
    ) -> Result<Cancellable, ProcessorError> {
        let made = self.row.schedule(kind, interval.into());
        made.ok_or_else(|| ProcessorError::fatal("a schedule needs an interval of a millisecond at least"))
    }

    /// A store, by the handle that [`add_state_store`](crate::StreamsBuilder::add_state_store) gave.
    ///
    /// # Errors
    /// If the store was not connected where the processor was added.
    pub fn store<S: StoreHandle>(&mut self, store: &S) -> Result<S::Rows<'_>, ProcessorError> {
        let Some((_, number)) = self.stores.iter().find(|(name, _)| **name == *store.name()) else {
            let connected: Vec<&str> = self.stores.iter().map(|(name, _)| name.as_ref()).collect();
            return Err(ProcessorError::fatal(format!(
                "store `{}` is not connected to this processor, which has [{}]: name it where the processor is added",
                store.name(),
                connected.join(", ")
            )));
        };
        let RowContext { timestamp, stream_time, .. } = self.row;
        store.open(StoreAccess { store: &mut self.row.stores[*number], timestamp, stream_time })
    }

    /// The value of a key in a global table, which needs not be connected. It is what the process has read of the topic by now: what it shows is
    /// not bound to the time of the record, and may differ when the record is processed again.
    ///
    /// # Errors
    /// If the key has no columns, or the table belongs to another topology.
    ///
    /// ```
    /// use millstream::{StreamsBuilder, dsl::{Consumed, Produced, Stores}, record::Record, testing::TopologyTestDriver};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let builder = StreamsBuilder::new();
    /// let cities = builder.add_global_store(Stores::key_value::<String, String>("cities"), "cities", Consumed::kafka());
    /// builder.stream::<String, String>("people", Consumed::kafka()).process_values_each(move |record, context| {
    ///     if let Some(city) = context.global(&cities, record.value())? {
    ///         context.forward(record.with_value(city));
    ///     }
    ///     Ok(())
    /// }, &[]).to("out", Produced::kafka());
    /// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.push("cities", Record::new("R", "Rome"))?;
    /// driver.push("people", Record::new("ada", "R"))?;
    /// assert_eq!(driver.drain("out")?, [Record::new("ada", "Rome")]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn global<K: Data, V: Data>(&self, table: &GlobalStore<K, V>, key: &K) -> Result<Option<V>, ProcessorError> {
        Ok(table.read(self.row.globals, key)?.map(|(value, _)| value))
    }

    /// Makes the record a dead letter, for this reason. What was forwarded of it stays.
    pub fn drop_record(&mut self, reason: impl Into<String>) {
        self.row.drop_record(reason.into());
    }
}

/// The surroundings of a [`Processor`](super::Processor): those of [`ProcessingContext`], and where its output goes.
///
/// ```
/// use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::{Record, Timestamp}, testing::TopologyTestDriver};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let builder = StreamsBuilder::new();
/// builder.stream::<String, String>("in", Consumed::kafka()).process_each(|record, context| {
///     let metadata = context.record_metadata().ok_or("a record was read somewhere")?;
///     assert_eq!((metadata.topic.as_str(), context.task_id().to_string().as_str()), ("in", "0_0"));
///     assert_eq!(context.current_stream_time(), Timestamp(7));
///     match record.value.parse::<i64>() {
///         Ok(number) => context.forward(record.with_value(number)),
///         Err(problem) => context.drop_record(problem.to_string()),
///     }
///     Ok(())
/// }, &[]).to("numbers", Produced::kafka());
/// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.push_all("in", [Record::new("a", "x").at_ms(7), Record::new("b", "12").at_ms(5)])?;
/// assert_eq!(driver.drain("numbers")?.len(), 1);
/// assert_eq!(driver.dead_letters()?.len(), 1);
/// # Ok(())
/// # }
/// ```
pub struct ProcessorContext<'a, K, V> {
    base: ProcessingContext<'a>,
    forwarded: &'a mut Forwarded<K, V>,
}

impl<'a, K, V> ProcessorContext<'a, K, V> {
    pub(super) fn new(base: ProcessingContext<'a>, forwarded: &'a mut Forwarded<K, V>) -> Self {
        Self { base, forwarded }
    }

    /// Passes a record on to all operators below.
    ///
    /// # Ordering
    /// In the order of these calls, between the outputs of the records before and after.
    pub fn forward(&mut self, record: ProcessorRecord<K, V>) {
        self.forwarded.push(record, self.base.record_metadata().and_then(|metadata| metadata.offset));
    }

    /// The same for a shorter while.
    pub(super) fn reborrow(&mut self) -> ProcessorContext<'_, K, V> {
        let base = ProcessingContext { row: self.base.row.reborrow(), stores: self.base.stores };
        ProcessorContext { base, forwarded: self.forwarded }
    }
}

impl<'a, K, V> Deref for ProcessorContext<'a, K, V> {
    type Target = ProcessingContext<'a>;

    fn deref(&self) -> &ProcessingContext<'a> {
        &self.base
    }
}

impl<K, V> DerefMut for ProcessorContext<'_, K, V> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.base
    }
}

/// Records that were forwarded, by the column.
pub(super) struct Forwarded<K, V> {
    pub(super) keys: Vec<K>,
    /// The values of those that have one, and which ones these are.
    pub(super) values: Vec<V>,
    pub(super) there: Vec<usize>,
    pub(super) times: Vec<i64>,
    pub(super) headers: Vec<Vec<Header>>,
    pub(super) offsets: Vec<Option<i64>>,
}

impl<K, V> Default for Forwarded<K, V> {
    fn default() -> Self {
        let (keys, values, there) = (Vec::new(), Vec::new(), Vec::new());
        Self { keys, values, there, times: Vec::new(), headers: Vec::new(), offsets: Vec::new() }
    }
}

impl<K, V> Forwarded<K, V> {
    fn push(&mut self, record: ProcessorRecord<K, V>, offset: Option<crate::record::Offset>) {
        self.there.push(self.keys.len());
        self.keys.push(record.key);
        self.values.push(record.value);
        self.times.push(record.timestamp.millis());
        self.headers.push(record.headers);
        self.offsets.push(offset.map(|offset| offset.0.cast_signed()));
    }

    /// Passes on that the row of a key is deleted.
    pub(super) fn push_deleted(&mut self, key: K, timestamp: Timestamp, offset: Option<crate::record::Offset>) {
        self.keys.push(key);
        self.times.push(timestamp.millis());
        self.headers.push(Vec::new());
        self.offsets.push(offset.map(|offset| offset.0.cast_signed()));
    }
}
