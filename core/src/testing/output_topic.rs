//! A topic that a test reads, with typed keys and values.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use parking_lot::Mutex;

use super::{DriverError, TestRecord, driver_state::DriverState, topic_columns::TopicColumns};
use crate::{
    Batch,
    dsl::{Data, Shape},
    log::FetchedBatch,
    record::{Offset, TopicName, TopicPartition},
    runtime::Decoder,
    topology::Formats,
};

/// Reads records of a topic of a [`TopologyTestDriver`](super::TopologyTestDriver), partition by partition, in the order of each partition.
/// Every record is read once.
///
/// ```
/// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced, Windowed}, record::TimeSpan, testing::TopologyTestDriver, window::TimeWindows};
/// # let builder = StreamsBuilder::new();
/// let minute = TimeWindows::tumbling(TimeSpan::from_millis(60_000).expect("not negative"), TimeSpan::ZERO)?;
/// let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
/// orders.group_by_key().windowed_by(minute).count("counts").to_stream().to("out", Produced::kafka());
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input_topic::<String, i64>("orders")?.pipe_at("ada", 30, 61_000)?;
/// let out = driver.output_topic::<Windowed<String>, i64>("out")?;
/// let key = Windowed { key: "ada".to_owned(), start: 60_000, end: 120_000 };
/// assert_eq!(out.read_key_value()?, Some((key, Some(1))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TestOutputTopic<K, V> {
    driver: Arc<Mutex<DriverState>>,
    columns: TopicColumns,
    key: Shape<K>,
    value: Shape<V>,
}

impl<K: Data, V: Data> TestOutputTopic<K, V> {
    pub(super) fn new(driver: Arc<Mutex<DriverState>>, topic: &str) -> Result<Self, DriverError> {
        let columns = TopicColumns::of_output(&driver.lock().topology, topic)?;
        Self::of(driver, columns)
    }

    pub(super) fn with(driver: Arc<Mutex<DriverState>>, topic: &str, formats: &Formats) -> Result<Self, DriverError> {
        let columns = TopicColumns::of_types::<K, V>(topic, formats)?;
        driver.lock().partitions(&columns.topic)?;
        Self::of(driver, columns)
    }

    fn of(driver: Arc<Mutex<DriverState>>, columns: TopicColumns) -> Result<Self, DriverError> {
        let (key, value) = columns.shapes()?;
        Ok(Self { driver, columns, key, value })
    }

    /// The next record, if there is one.
    ///
    /// # Errors
    /// If the record cannot be read into the types: it then stays the next one.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).to("out", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// assert_eq!(driver.output_topic::<String, i64>("out")?.read_record()?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_record(&self) -> Result<Option<TestRecord<K, V>>, DriverError> {
        Ok(self.take(1)?.pop())
    }

    /// The key and the value of the next record; no value for a tombstone.
    ///
    /// # Errors
    /// As [`read_record`](Self::read_record).
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).to("out", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe("ada", 30)?;
    /// assert_eq!(driver.output_topic::<String, i64>("out")?.read_key_value()?, Some(("ada".to_owned(), Some(30))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_key_value(&self) -> Result<Option<(K, Option<V>)>, DriverError> {
        Ok(self.read_record()?.map(|record| (record.key, record.value)))
    }

    /// The value of the next record: none if there is no record, no value in it if it is a tombstone.
    ///
    /// # Errors
    /// As [`read_record`](Self::read_record).
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).to("out", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe("ada", 30)?;
    /// let out = driver.output_topic::<String, i64>("out")?;
    /// assert_eq!((out.read_value()?, out.read_value()?), (Some(Some(30)), None));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_value(&self) -> Result<Option<Option<V>>, DriverError> {
        Ok(self.read_record()?.map(|record| record.value))
    }

    /// All records that were not read yet.
    ///
    /// # Errors
    /// As [`read_record`](Self::read_record).
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).to("out", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe_at("ada", 30, 7)?;
    /// let records = driver.output_topic::<String, i64>("out")?.read_records_to_list()?;
    /// assert_eq!((records.len(), records[0].timestamp.millis()), (1, 7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_records_to_list(&self) -> Result<Vec<TestRecord<K, V>>, DriverError> {
        self.take(usize::MAX)
    }

    /// The keys and values of all records that were not read yet.
    ///
    /// # Errors
    /// As [`read_record`](Self::read_record).
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).to("out", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe("ada", 30)?;
    /// assert_eq!(driver.output_topic::<String, i64>("out")?.read_key_values_to_list()?, [("ada".to_owned(), Some(30))]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_key_values_to_list(&self) -> Result<Vec<(K, Option<V>)>, DriverError> {
        Ok(self.take(usize::MAX)?.into_iter().map(|record| (record.key, record.value)).collect())
    }

    /// The newest value of each key among the records that were not read yet; no value for a tombstone.
    ///
    /// # Errors
    /// As [`read_record`](Self::read_record).
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).to("out", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe_key_value_list([("ada", 30), ("ada", 12)])?;
    /// assert_eq!(driver.output_topic::<String, i64>("out")?.read_key_values_to_map()?["ada"], Some(12));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_key_values_to_map(&self) -> Result<HashMap<K, Option<V>>, DriverError>
    where
        K: Eq + Hash,
    {
        Ok(self.read_key_values_to_list()?.into_iter().collect())
    }

    /// The values of all records that were not read yet; no value for a tombstone.
    ///
    /// # Errors
    /// As [`read_record`](Self::read_record).
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).to("out", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe("ada", 30)?;
    /// assert_eq!(driver.output_topic::<String, i64>("out")?.read_values_to_list()?, [Some(30)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_values_to_list(&self) -> Result<Vec<Option<V>>, DriverError> {
        Ok(self.take(usize::MAX)?.into_iter().map(|record| record.value).collect())
    }

    /// Whether every record was read.
    ///
    /// # Errors
    /// If the topic is gone.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).to("out", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// assert!(driver.output_topic::<String, i64>("out")?.is_empty()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_empty(&self) -> Result<bool, DriverError> {
        Ok(self.queue_size()? == 0)
    }

    /// How many records were not read yet.
    ///
    /// # Errors
    /// If the topic is gone.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).to("out", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe("ada", 30)?;
    /// assert_eq!(driver.output_topic::<String, i64>("out")?.queue_size()?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn queue_size(&self) -> Result<usize, DriverError> {
        let unread = self.driver.lock().unread(&self.columns.topic)?;
        Ok(unread.iter().flat_map(|(_, batches)| batches).map(|batch| batch.records.len()).sum())
    }

    /// The topic's name.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).to("out", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// assert_eq!(driver.output_topic::<String, i64>("out")?.topic().as_str(), "out");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn topic(&self) -> &TopicName {
        &self.columns.topic
    }

    /// Reads at most so many records.
    fn take(&self, most: usize) -> Result<Vec<TestRecord<K, V>>, DriverError> {
        let mut driver = self.driver.lock();
        let mut records = Vec::new();
        for (partition, batches) in driver.unread(&self.columns.topic)? {
            for batch in &batches {
                let rows = batch.records.len().min(most - records.len());
                if rows == 0 {
                    return Ok(records);
                }
                let part = FetchedBatch { records: batch.records.slice(0, rows), offsets: batch.offsets.clone() };
                records.extend(self.decode(&partition, &part)?);
                driver.read_up_to(partition.clone(), batch.offsets.at(rows - 1).next());
            }
        }
        Ok(records)
    }

    fn decode(&self, partition: &TopicPartition, batch: &FetchedBatch) -> Result<Vec<TestRecord<K, V>>, DriverError> {
        let error = |offset: Offset, problem: &str| DriverError::Record {
            partition: partition.clone(),
            offset: offset.0,
            problem: problem.to_owned(),
        };
        let source = self.columns.source();
        let decoder = Decoder::new(self.topic().as_str(), &source, &source.decoded, &self.columns.schema);
        let mut decoder = decoder.map_err(|source| self.columns.format_error(source))?;
        let mut undecodable = std::collections::VecDeque::new();
        let rows: Batch = decoder.decode(partition, batch, &mut undecodable)?;
        if let Some(letter) = undecodable.front() {
            return Err(error(letter.offset.unwrap_or_default(), &letter.problem));
        }
        let mut errors = Vec::new();
        let keys = self.key.read_keys(&rows, &mut errors);
        let is_there = |row: usize| rows.present().is_none_or(|present| present.is_valid(row));
        let mut of_values = Vec::new();
        let values = self.value.read(rows.values(), rows.len(), &mut of_values);
        errors.extend(of_values.into_iter().filter(|error| is_there(error.row)));
        if let Some(first) = errors.iter().min_by_key(|error| error.row) {
            return Err(error(batch.offsets.at(first.row), &first.problem));
        }
        let typed = keys.into_iter().zip(values).zip(batch.records.iter()).enumerate();
        let record = |(row, ((key, value), raw)): (usize, ((Option<K>, Option<V>), crate::record::RecordRef<'_>))| {
            Some(TestRecord {
                key: key?,
                value: value.filter(|_| is_there(row)),
                timestamp: raw.timestamp,
                headers: raw.headers.to_vec(),
            })
        };
        Ok(typed.filter_map(record).collect())
    }
}
