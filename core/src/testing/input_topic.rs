//! A topic that a test writes, with typed keys and values.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryArray},
    datatypes::Int64Type,
};
use parking_lot::Mutex;

use super::{DriverError, TestRecord, driver_state::DriverState, topic_columns::TopicColumns};
use crate::{
    dsl::{Data, Shape},
    format::{Side, Wrapping},
    record::{Record, TimeSpan, Timestamp, TopicName},
    window::with_windows,
};

/// Writes records to a topic of a [`TopologyTestDriver`](super::TopologyTestDriver), each to the partition of its key.
///
/// Records without a time of their own get that of the topic's clock, which stands at 0 at first and moves on by
/// [`auto_advance`](Self::auto_advance) after each of them.
///
/// ```
/// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::TopologyTestDriver};
/// # use std::time::Duration;
/// # let builder = StreamsBuilder::new();
/// # builder.stream::<String, i64>("orders", Consumed::kafka()).to("out", Produced::kafka());
/// # let driver = TopologyTestDriver::new(&builder.build()?)?;
/// let orders = driver.input_topic::<String, i64>("orders")?.starting_at_ms(1_000).auto_advance(Duration::from_secs(1));
/// orders.pipe("ada", 30)?;
/// orders.pipe("ada", 12)?;
/// let out = driver.output_topic::<String, i64>("out")?.read_records_to_list()?;
/// assert_eq!(out.iter().map(|record| record.timestamp.millis()).collect::<Vec<_>>(), [1_000, 2_000]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TestInputTopic<K, V> {
    driver: Arc<Mutex<DriverState>>,
    columns: TopicColumns,
    key: Shape<K>,
    value: Shape<V>,
    clock: Mutex<Timestamp>,
    advance: TimeSpan,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: Data, V: Data> TestInputTopic<K, V> {
    pub(super) fn new(driver: Arc<Mutex<DriverState>>, topic: &str) -> Result<Self, DriverError> {
        let columns = TopicColumns::of_input(&driver.lock().topology, topic)?;
        let (key, value) = columns.shapes()?;
        let clock = Mutex::new(Timestamp(0));
        Ok(Self { driver, columns, key, value, clock, advance: TimeSpan::ZERO, types: PhantomData })
    }

    /// The same topic with a clock that stands elsewhere, in milliseconds since the epoch.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.starting_at_ms(1_000).pipe("ada", 30)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn starting_at_ms(self, millis: i64) -> Self {
        *self.clock.lock() = Timestamp(millis);
        self
    }

    /// The same topic with a clock that moves on by so much after each record that it gave its time.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # use std::time::Duration;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.auto_advance(Duration::from_secs(1)).pipe("ada", 30)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn auto_advance(mut self, by: Duration) -> Self {
        self.advance = by.into();
        self
    }

    /// Moves the topic's clock on.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::TopologyTestDriver};
    /// # use std::time::Duration;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).to("out", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// let orders = driver.input_topic::<String, i64>("orders")?;
    /// orders.advance_time(Duration::from_millis(5));
    /// orders.pipe("ada", 30)?;
    /// let out = driver.output_topic::<String, i64>("out")?;
    /// assert_eq!(out.read_record()?.map(|record| record.timestamp.millis()), Some(5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn advance_time(&self, by: Duration) {
        let mut clock = self.clock.lock();
        *clock = clock.plus(by.into());
    }

    fn tick(&self) -> Timestamp {
        let mut clock = self.clock.lock();
        let now = *clock;
        *clock = now.plus(self.advance);
        now
    }

    /// Writes a record at the time of the topic's clock and lets the topology work.
    ///
    /// # Errors
    /// If the values cannot be written in the topic's formats, or a task fails.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe("ada", 30)?;
    /// assert_eq!(driver.metrics().records_in, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pipe(&self, key: impl Into<K>, value: impl Into<V>) -> Result<(), DriverError> {
        let timestamp = self.tick();
        self.pipe_record(TestRecord { timestamp, ..TestRecord::new(key.into(), Some(value.into())) })
    }

    /// Writes a record at a time of its own, in milliseconds since the epoch; the topic's clock stays.
    ///
    /// # Errors
    /// As [`pipe`](Self::pipe).
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe_at("ada", 30, 1_000)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pipe_at(&self, key: impl Into<K>, value: impl Into<V>, millis: i64) -> Result<(), DriverError> {
        self.pipe_record(TestRecord::new(key.into(), Some(value.into())).at_ms(millis))
    }

    /// Writes a record without value, at the time of the topic's clock: a tombstone in a table.
    ///
    /// # Errors
    /// As [`pipe`](Self::pipe).
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Materialized}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.table::<String, i64>("prices", Consumed::kafka(), Materialized::named("prices"));
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// let prices = driver.input_topic::<String, i64>("prices")?;
    /// prices.pipe("tea", 3)?;
    /// prices.pipe_null_value("tea")?;
    /// assert!(driver.view("prices")?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pipe_null_value(&self, key: impl Into<K>) -> Result<(), DriverError> {
        let timestamp = self.tick();
        self.pipe_record(TestRecord { timestamp, ..TestRecord::new(key.into(), None) })
    }

    /// Writes a record without value at a time of its own, in milliseconds since the epoch.
    ///
    /// # Errors
    /// As [`pipe`](Self::pipe).
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe_null_value_at("ada", 1_000)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pipe_null_value_at(&self, key: impl Into<K>, millis: i64) -> Result<(), DriverError> {
        self.pipe_record(TestRecord::new(key.into(), None).at_ms(millis))
    }

    /// Writes a record with time and headers of its own.
    ///
    /// # Errors
    /// As [`pipe`](Self::pipe).
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::{TestRecord, TopologyTestDriver}};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).to("out", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// let record = TestRecord::new("ada".to_owned(), Some(30)).at_ms(7).with_header("source", b"shop");
    /// driver.input_topic::<String, i64>("orders")?.pipe_record(record.clone())?;
    /// assert_eq!(driver.output_topic::<String, i64>("out")?.read_record()?, Some(record));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pipe_record(&self, record: TestRecord<K, V>) -> Result<(), DriverError> {
        self.pipe_record_list([record])
    }

    /// Writes keys and values at once, each at the time of the topic's clock, and lets the topology work: they are processed, and committed,
    /// together.
    ///
    /// # Errors
    /// As [`pipe`](Self::pipe); then nothing is written.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe_key_value_list([("ada", 30), ("bob", 7)])?;
    /// assert_eq!(driver.metrics().commits, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pipe_key_value_list<K2: Into<K>, V2: Into<V>>(
        &self,
        records: impl IntoIterator<Item = (K2, V2)>,
    ) -> Result<(), DriverError> {
        let record = |(key, value): (K2, V2)| TestRecord {
            timestamp: self.tick(),
            ..TestRecord::new(key.into(), Some(value.into()))
        };
        self.pipe_record_list(records.into_iter().map(record))
    }

    /// Writes records at once and lets the topology work: they are processed, and committed, together.
    ///
    /// # Errors
    /// As [`pipe`](Self::pipe); then nothing is written.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::{TestRecord, TopologyTestDriver}};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// let records = [3, 4].map(|time| TestRecord::new("ada".to_owned(), Some(1)).at_ms(time));
    /// driver.input_topic::<String, i64>("orders")?.pipe_record_list(records)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pipe_record_list(&self, records: impl IntoIterator<Item = TestRecord<K, V>>) -> Result<(), DriverError> {
        let records: Vec<TestRecord<K, V>> = records.into_iter().collect();
        let (keys, values) = (self.encode_keys(&records)?, self.encode_values(&records)?);
        let bytes = |column: &BinaryArray, row: usize| column.is_valid(row).then(|| column.value(row).to_vec());
        let raw = records.into_iter().enumerate().map(|(row, record)| Record {
            key: bytes(&keys, row),
            value: record.value.as_ref().and_then(|_| bytes(&values, row)),
            timestamp: record.timestamp,
            headers: record.headers,
        });
        let mut driver = self.driver.lock();
        driver.append(&self.columns.topic, raw.collect())?;
        driver.run()
    }

    fn encode_keys(&self, records: &[TestRecord<K, V>]) -> Result<BinaryArray, DriverError> {
        let keys: Vec<K> = records.iter().map(|record| record.key.clone()).collect();
        let columns = self.key.write(&keys).map_err(|problem| self.value_error("key", problem))?;
        let schema = &self.columns.schema;
        let (plain, bounds): (Vec<ArrayRef>, _) = match columns.as_slice() {
            [key, start, end] if schema.is_windowed() => {
                let plain = key.as_struct_opt().map_or_else(|| vec![Arc::clone(key)], |parts| parts.columns().to_vec());
                (plain, Some((start.as_primitive::<Int64Type>().clone(), end.as_primitive::<Int64Type>().clone())))
            }
            _ => (columns, None),
        };
        let serializer = self.columns.formats.key.serializer(Side::Key, Wrapping::Wrapped, schema.key());
        let mut serializer = serializer.map_err(|source| self.columns.format_error(source))?;
        let encoded =
            serializer.encode(&plain, keys.len(), None).map_err(|source| self.columns.format_error(source))?;
        Ok(match bounds {
            Some((starts, ends)) => with_windows(schema.window(), &encoded, &starts, &ends),
            None => encoded,
        })
    }

    /// The values as bytes; a record without one has any bytes.
    fn encode_values(&self, records: &[TestRecord<K, V>]) -> Result<BinaryArray, DriverError> {
        let there: Vec<V> = records.iter().filter_map(|record| record.value.clone()).collect();
        let columns = self.value.write(&there).map_err(|problem| self.value_error("value", problem))?;
        let formats = &self.columns.formats;
        let serializer = formats.value.serializer(Side::Value, formats.wrapping, self.columns.schema.value());
        let mut serializer = serializer.map_err(|source| self.columns.format_error(source))?;
        let encoded = serializer.encode(&columns, there.len(), None);
        let encoded = encoded.map_err(|source| self.columns.format_error(source))?;
        let mut rows = encoded.iter();
        Ok(records.iter().map(|record| record.value.as_ref().and_then(|_| rows.next().flatten())).collect())
    }

    fn value_error(&self, side: &'static str, problem: String) -> DriverError {
        DriverError::Value { topic: self.topic().to_string(), side, problem }
    }

    /// The topic's name.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// assert_eq!(driver.input_topic::<String, i64>("orders")?.topic().as_str(), "orders");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn topic(&self) -> &TopicName {
        &self.columns.topic
    }
}
