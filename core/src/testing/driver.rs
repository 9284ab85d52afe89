//! The test driver: a whole topology in the caller's thread, record by record.
//!
//! As Kafka Streams' driver it commits after each record, so that every update is seen; unlike it, it runs the very tasks, partitions,
//! commits and repartition topics that [`Streams`](crate::runtime::Streams) runs, and can be made to commit by hand, to crash and to go on.

use std::sync::Arc;

use arrow::array::RecordBatch;
use parking_lot::Mutex;

use super::{
    DriverError, DriverOptions, TestInputTopic, TestOutputTopic,
    driver_state::{APPLICATION, DriverState},
};
use crate::{
    dsl::{Data, Produced},
    operator::EmitPolicy,
    query::ReadOnlyStore,
    record::{Offset, Record, TopicName},
    runtime::Metrics,
    topology::Topology,
};

/// Runs a topology for a test, in the thread of the caller and without a clock: the same input gives the same output.
///
/// Topics and stores that it gives out stay tied to it; the closures of a topology must not use them.
///
/// ```
/// use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::TopologyTestDriver};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let builder = StreamsBuilder::new();
/// builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts").to_stream().to("out", Produced::kafka());
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// let (orders, out) = (driver.input_topic::<String, i64>("orders")?, driver.output_topic::<String, i64>("out")?);
/// orders.pipe("ada", 30)?;
/// orders.pipe("ada", 12)?;
/// assert_eq!(out.read_key_values_to_list()?, [("ada".to_owned(), Some(1)), ("ada".to_owned(), Some(2))]);
/// # Ok(())
/// # }
/// ```
pub struct TopologyTestDriver {
    pub(super) state: Arc<Mutex<DriverState>>,
}

impl TopologyTestDriver {
    /// A driver with one partition a topic, every update passed on.
    ///
    /// # Errors
    /// If the topology cannot be run.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka());
    /// assert!(TopologyTestDriver::new(&builder.build()?).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(topology: &Topology) -> Result<Self, DriverError> {
        Self::with_options(topology, DriverOptions::default())
    }

    /// A driver with so many partitions a topic and this emit policy.
    ///
    /// # Errors
    /// If the topology cannot be run.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, operator::EmitPolicy, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka());
    /// assert!(TopologyTestDriver::with(&builder.build()?, 3, EmitPolicy::Commit).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with(topology: &Topology, partitions: u32, emit: EmitPolicy) -> Result<Self, DriverError> {
        Self::with_options(topology, DriverOptions { partitions, emit, ..DriverOptions::default() })
    }

    /// A driver with all settings.
    ///
    /// # Errors
    /// If the topology cannot be run, or the state directory not be opened.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::{DriverOptions, TopologyTestDriver}};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka());
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, DriverOptions::default().topic_partitions("orders", 4))?;
    /// assert_eq!(driver.end_offsets("orders")?.len(), 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_options(topology: &Topology, options: DriverOptions) -> Result<Self, DriverError> {
        Ok(Self { state: Arc::new(Mutex::new(DriverState::new(topology, options)?)) })
    }

    /// A topic that the topology reads, to be written with typed keys and values. Formats are those that the topology reads it with.
    ///
    /// # Errors
    /// If the topology reads no such topic, or it has other columns than the types.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe("ada", 30)?;
    /// let error = driver.input_topic::<String, i64>("order").err().map(|error| error.to_string());
    /// assert_eq!(error.as_deref(), Some("topic order: the topology reads no topic of that name, it reads orders"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn input_topic<K: Data, V: Data>(&self, topic: &str) -> Result<TestInputTopic<K, V>, DriverError> {
        TestInputTopic::new(Arc::clone(&self.state), topic)
    }

    /// A topic that the topology writes, to be read with typed keys and values; keys with windows are
    /// [`Windowed`](crate::dsl::Windowed). Formats are those that the topology writes it with.
    ///
    /// All readers of a topic share one position: what one has read no other one reads.
    ///
    /// # Errors
    /// If the topology writes no such topic, or it has other columns than the types.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).to("out", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// let error = driver.output_topic::<String, String>("out").err().map(|error| error.to_string());
    /// assert_eq!(error.as_deref(), Some("topic out: the value has the columns (value Int64), and String has (value Utf8)"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn output_topic<K: Data, V: Data>(&self, topic: &str) -> Result<TestOutputTopic<K, V>, DriverError> {
        TestOutputTopic::new(Arc::clone(&self.state), topic)
    }

    /// A topic that the topology does not name, such as one that it chooses record by record, to be read with keys and values that are
    /// written as `produced` says.
    ///
    /// # Errors
    /// If there is no such topic yet, or the formats cannot hold the types.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// builder.stream::<String, String>("orders", Consumed::kafka()).to_dynamic(|city, _| city.clone(), Produced::kafka());
    /// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.create_topic("Rome", 1)?;
    /// driver.input_topic::<String, String>("orders")?.pipe("Rome", "tea")?;
    /// let rome = driver.output_topic_with::<String, String>("Rome", &Produced::kafka())?;
    /// assert_eq!(rome.read_value()?, Some(Some("tea".to_owned())));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn output_topic_with<K: Data, V: Data>(
        &self,
        topic: &str,
        produced: &Produced,
    ) -> Result<TestOutputTopic<K, V>, DriverError> {
        TestOutputTopic::with(Arc::clone(&self.state), topic, &produced.formats)
    }

    /// Makes a topic that the topology does not name, such as one that it chooses record by record.
    ///
    /// # Errors
    /// If the name is not legal, or there is such a topic with another number of partitions.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, String>("orders", Consumed::kafka()).to_dynamic(|city, _| city.clone(), Produced::kafka());
    /// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.create_topic("Rome", 2)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create_topic(&mut self, topic: &str, partitions: u32) -> Result<(), DriverError> {
        self.state.lock().add_topic(&TopicName::new(topic)?, partitions)
    }

    /// Writes a record to `topic`, to the partition of its key, and runs until there is nothing left to do.
    ///
    /// # Errors
    /// If there is no such topic, or a task fails.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, record::Record, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, String>("orders", Consumed::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.push("orders", Record::new("ada", "tea").at_ms(7))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn push(&mut self, topic: &str, record: Record) -> Result<(), DriverError> {
        self.push_all(topic, [record])
    }

    /// Writes records to `topic` at once, then runs until there is nothing left to do.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, record::Record, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, String>("orders", Consumed::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.push_all("orders", [Record::new("ada", "tea"), Record::new("bob", "rye")])?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn push_all(&mut self, topic: &str, records: impl IntoIterator<Item = Record>) -> Result<(), DriverError> {
        let topic = TopicName::new(topic)?;
        let mut state = self.state.lock();
        state.append(&topic, records.into_iter().collect())?;
        state.run()
    }

    /// Lets records pile up, so that several inputs are there before any is processed.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.pause();
    /// driver.input_topic::<String, i64>("orders")?.pipe("ada", 30)?;
    /// assert_eq!(driver.metrics().records_in, 0);
    /// driver.resume()?;
    /// assert_eq!(driver.metrics().records_in, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pause(&mut self) {
        self.state.lock().paused = true;
    }

    /// Processes what has piled up, and from now on every record at once.
    ///
    /// # Errors
    /// If a task fails.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.resume()?; // nothing was paused: nothing happens
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn resume(&mut self) -> Result<(), DriverError> {
        let mut state = self.state.lock();
        state.paused = false;
        state.run()
    }

    /// Processes what has piled up record by record, in the order in which it was pushed to whatever topic, and from now on every record at
    /// once. Each record is committed, whatever the commit policy.
    ///
    /// # Errors
    /// If a task fails.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.pause();
    /// let orders = driver.input_topic::<String, i64>("orders")?;
    /// orders.pipe("ada", 30)?;
    /// orders.pipe("ada", 12)?;
    /// driver.resume_in_order_of_arrival()?;
    /// assert_eq!(driver.metrics().commits, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn resume_in_order_of_arrival(&mut self) -> Result<(), DriverError> {
        let mut state = self.state.lock();
        state.paused = false;
        state.run_in_order_of_arrival()
    }

    /// Commits what was processed, in one step, and then processes what that lets through to repartition topics: the next commit has it. For
    /// [`CommitPolicy::ByHand`](super::CommitPolicy).
    ///
    /// # Errors
    /// If a task or the commit fails, or the driver has ended.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::{CommitPolicy, DriverOptions, TopologyTestDriver}};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).to("out", Produced::kafka());
    /// let options = DriverOptions { commit: CommitPolicy::ByHand, ..DriverOptions::default() };
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, options)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe("ada", 30)?;
    /// let out = driver.output_topic::<String, i64>("out")?;
    /// assert!(out.is_empty()?);
    /// driver.commit()?;
    /// assert_eq!(out.read_value()?, Some(Some(30)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn commit(&self) -> Result<(), DriverError> {
        self.state.lock().commit()
    }

    /// Commits again and again until nothing is left to be processed or committed, through all repartition topics.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.commit_until_idle()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn commit_until_idle(&self) -> Result<(), DriverError> {
        self.state.lock().commit_until_idle()
    }

    /// The records of `topic` that were not read yet, partition by partition.
    ///
    /// # Errors
    /// If there is no such topic.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, String>("orders", Consumed::kafka()).to("out", Produced::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.push("orders", Record::new("ada", "tea"))?;
    /// assert_eq!(driver.drain("out")?, [Record::new("ada", "tea")]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn drain(&mut self, topic: &str) -> Result<Vec<Record>, DriverError> {
        let topic = TopicName::new(topic)?;
        let mut state = self.state.lock();
        let mut records = Vec::new();
        for (partition, batches) in state.unread(&topic)? {
            for batch in &batches {
                records.extend(batch.records.iter().map(|record| Record {
                    key: record.key.map(Into::into),
                    value: record.value.map(Into::into),
                    timestamp: record.timestamp,
                    headers: record.headers.to_vec(),
                }));
                state.read_up_to(partition.clone(), batch.offsets.at(batch.records.len() - 1).next());
            }
        }
        Ok(records)
    }

    /// A store to be read between two steps: see [`ReadOnlyStore`]. It sees what is committed.
    ///
    /// # Errors
    /// If there is no such store, it has other columns than the types, or the driver has ended.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe("ada", 30)?;
    /// assert_eq!(driver.store::<String, i64>("counts")?.get("ada")?, Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn store<K: Data, V: Data>(&self, name: &str) -> Result<ReadOnlyStore<K, V>, DriverError> {
        Ok(self.state.lock().streams()?.store(name)?)
    }

    /// Every row of a store, as columns.
    ///
    /// # Errors
    /// If there is no such store or it cannot be read.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// assert!(driver.view("counts")?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn view(&self, store: &str) -> Result<Vec<RecordBatch>, DriverError> {
        let view = self.state.lock().streams()?.view(store);
        let view = view.ok_or_else(|| DriverError::UnknownStore { name: store.to_owned() })?;
        let mut batches = Vec::new();
        view.snapshot()?.scan(8192, &mut |batch| {
            batches.push(batch);
            Ok(())
        })?;
        Ok(batches)
    }

    /// Records that could not be processed, with headers that say why.
    ///
    /// # Errors
    /// As [`drain`](Self::drain).
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, record::Record, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.push("orders", Record::new("ada", "no number"))?;
    /// assert_eq!(driver.dead_letters()?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dead_letters(&mut self) -> Result<Vec<Record>, DriverError> {
        self.drain(&format!("{APPLICATION}-dead-letter"))
    }

    /// The next offset of each partition of a topic, by the number of the partition: where the next record goes.
    ///
    /// # Errors
    /// If there is no such topic.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe("ada", 30)?;
    /// assert_eq!(driver.end_offsets("orders")?[0].0, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn end_offsets(&self, topic: &str) -> Result<Vec<Offset>, DriverError> {
        Ok(self.state.lock().ends(&TopicName::new(topic)?)?.into_values().collect())
    }

    /// What was done since it was started, for the last time; nothing after a crash.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// assert_eq!(driver.metrics().records_in, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn metrics(&self) -> Metrics {
        self.state.lock().streams().map(|streams| streams.metrics()).unwrap_or_default()
    }
}
