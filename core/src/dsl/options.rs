//! One options struct an operation: what has a sensible default is here, what changes results is an argument.

use std::{fmt, marker::PhantomData};

use arrow::datatypes::FieldRef;

use super::{partitioner::ClosurePartitioner, typed::Data};
use crate::{
    format::{Format, Wrapping},
    operator::{Placement, StoreKind, StoreLogging, StoreOptions},
    record::TimeSpan,
    schema::WindowKind,
    topology::{Formats, InvalidTimestamps, OffsetReset, RecordPart, TimestampExtractor},
};

/// How a topic of columns is read.
///
/// ```
/// use std::sync::Arc;
/// use millstream::{StreamsBuilder, dsl::SourceOptions, record::Record, schema::WindowKind, format::{Format, Wrapping}};
/// use millstream::{topology::{Formats, OffsetReset, TimestampExtractor}, testing::TopologyTestDriver};
///
/// use arrow::datatypes::{DataType, Field};
///
/// let column = |name: &str, data_type: DataType| Arc::new(Field::new(name, data_type, true));
/// let options = SourceOptions {
///     key: vec![column("customer", DataType::Utf8)],
///     value: vec![column("amount", DataType::Int64)],
///     parts: Vec::new(),
///     window: WindowKind::None,
///     formats: Formats { key: Format::Kafka, value: Format::Json, wrapping: Wrapping::Wrapped },
///     timestamp: TimestampExtractor::Record,
///     reset: OffsetReset::Earliest,
/// };
/// let builder = StreamsBuilder::new();
/// builder.stream_columns("orders", options).to_table("last-orders".into());
/// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.push("orders", Record::new("ada", r#"{"amount": 30}"#))?;
/// assert_eq!(driver.view("last-orders")?[0].num_rows(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct SourceOptions {
    /// The key columns.
    pub key: Vec<FieldRef>,
    /// The value columns.
    pub value: Vec<FieldRef>,
    /// Further value columns, by name, that hold something else of the record than its value.
    pub parts: Vec<(String, RecordPart)>,
    /// What kind of window keys carry; of time windows the length must be known.
    pub window: WindowKind,
    /// How records are written.
    pub formats: Formats,
    /// Where timestamps come from.
    pub timestamp: TimestampExtractor,
    /// Where to begin in a topic of which nothing was read yet.
    pub reset: OffsetReset,
}

/// How a topic is read into a typed stream or table.
///
/// ```
/// # use millstream::{StreamsBuilder, dsl::Consumed, topology::OffsetReset};
/// # let builder = StreamsBuilder::new();
/// let latest = Consumed::json().timestamp_column("value").reset(OffsetReset::Latest);
/// builder.stream::<String, i64>("clicks", latest);
/// # builder.build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Consumed<K, V> {
    formats: Formats,
    timestamp: TimestampExtractor,
    reset: OffsetReset,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Consumed<K, V> {
    /// Keys and values in these formats.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, format::Format, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// let keys_too = Consumed::with(Format::Json, Format::Json);
    /// builder.stream::<String, i64>("orders", keys_too).to("plain", Produced::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.push("orders", Record::new(r#""ada""#, "30"))?;
    /// assert_eq!(driver.drain("plain")?, [Record::new("ada", 30_i64.to_be_bytes())]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with(key: Format, value: Format) -> Self {
        Self {
            formats: Formats { key, value, wrapping: Wrapping::Unwrapped },
            timestamp: TimestampExtractor::Record,
            reset: OffsetReset::Earliest,
            types: PhantomData,
        }
    }

    /// JSON values and keys as Kafka's own serialisers write them: text, or big-endian numbers.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("orders", Consumed::json()).to("plain", Produced::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.push("orders", Record::new("ada", "30"))?;
    /// assert_eq!(driver.drain("plain")?, [Record::new("ada", 30_i64.to_be_bytes())]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn json() -> Self {
        Self::with(Format::Kafka, Format::Json)
    }

    /// Keys and values as Kafka's own serialisers write them.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("orders", Consumed::kafka()).to("as-json", Produced::json());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.push("orders", Record::new("ada", 30_i64.to_be_bytes()))?;
    /// assert_eq!(driver.drain("as-json")?, [Record::new("ada", "30")]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn kafka() -> Self {
        Self::with(Format::Kafka, Format::Kafka)
    }

    /// Takes timestamps from a column of the value.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Timestamp, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("clicks", Consumed::kafka().timestamp_column("value")).to("timed", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("clicks")?.pipe_at("ada", 61_000, 5)?;
    /// let timed = driver.output_topic::<String, i64>("timed")?.read_record()?;
    /// assert_eq!(timed.map(|record| record.timestamp), Some(Timestamp(61_000)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn timestamp_column(mut self, name: &str) -> Self {
        self.timestamp = TimestampExtractor::Column {
            name: name.to_owned(),
            format: None,
            on_invalid: InvalidTimestamps::default(),
        };
        self
    }

    /// Begins elsewhere than at the first record.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, topology::OffsetReset};
    /// # let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("clicks", Consumed::kafka().reset(OffsetReset::Latest));
    /// # builder.build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reset(mut self, reset: OffsetReset) -> Self {
        self.reset = reset;
        self
    }

    pub(super) fn into_source(self, key: Vec<FieldRef>, value: Vec<FieldRef>, wrapping: Wrapping) -> SourceOptions {
        let Self { formats, timestamp, reset, .. } = self;
        let formats = Formats { wrapping, ..formats };
        SourceOptions { key, value, parts: Vec::new(), window: WindowKind::None, formats, timestamp, reset }
    }
}

/// How a topic is written: formats, and where records go in it.
///
/// ```
/// use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, operator::Placement};
///
/// let builder = StreamsBuilder::new();
/// let first_letter = |key: &String, _: &i64, partitions: u32| match key.bytes().next() {
///     Some(letter) => Placement::One(u32::from(letter) % partitions),
///     None => Placement::Nowhere,
/// };
/// let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
/// orders.to("by-letter", Produced::kafka().named("letters").partitioner(first_letter));
/// assert!(builder.build()?.describe().contains("letters"));
/// # Ok::<(), millstream::topology::TopologyError>(())
/// ```
#[derive(Clone)]
pub struct Produced {
    /// How records are written.
    pub formats: Formats,
    /// The name of the operator that writes; one is made up if there is none.
    pub name: Option<String>,
    pub(super) partitioner: Option<ClosurePartitioner>,
}

impl Produced {
    /// Keys and values in these formats.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, format::Format, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// orders.to("out", Produced::with(Format::Json, Format::Json));
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe("ada", 30)?;
    /// assert_eq!(driver.drain("out")?, [Record::new(r#""ada""#, "30")]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with(key: Format, value: Format) -> Self {
        Self::of(Formats { key, value, wrapping: Wrapping::Unwrapped })
    }

    /// Records written so.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, format::{Format, Wrapping}, topology::Formats};
    /// # use millstream::testing::TopologyTestDriver;
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// let formats = Formats { key: Format::Kafka, value: Format::Json, wrapping: Wrapping::Wrapped };
    /// orders.columns().to("out", Produced::of(formats));
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe("ada", 30)?;
    /// assert_eq!(driver.drain("out")?, [Record::new("ada", r#"{"value":30}"#)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of(formats: Formats) -> Self {
        Self { formats, name: None, partitioner: None }
    }

    /// Names the operator that writes.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// orders.to("out", Produced::kafka().named("copy"));
    /// assert!(builder.build()?.describe().contains("copy"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Lets a closure choose partitions: it is given key, value and how many partitions the topic has. Its types must be those of the stream.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, operator::{EmitPolicy, Placement}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// let by_amount = |_: &String, amount: &i64, partitions: u32| Placement::One(*amount as u32 % partitions);
    /// orders.to("out", Produced::kafka().partitioner(by_amount));
    /// # let driver = TopologyTestDriver::with(&builder.build()?, 4, EmitPolicy::Record)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe("ada", 6)?;
    /// assert_eq!(driver.end_offsets("out")?.iter().map(|end| end.0).collect::<Vec<_>>(), [0, 0, 1, 0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn partitioner<K: Data, V: Data>(
        mut self,
        choose: impl Fn(&K, &V, u32) -> Placement + Send + Sync + 'static,
    ) -> Self {
        self.partitioner = Some(ClosurePartitioner::new(choose));
        self
    }

    /// JSON values and keys as Kafka's own serialisers write them.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// orders.to("out", Produced::json());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe("ada", 30)?;
    /// assert_eq!(driver.drain("out")?, [Record::new("ada", "30")]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn json() -> Self {
        Self::with(Format::Kafka, Format::Json)
    }

    /// Keys and values as Kafka's own serialisers write them.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// orders.to("out", Produced::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe("ada", 30)?;
    /// assert_eq!(driver.drain("out")?, [Record::new("ada", 30_i64.to_be_bytes())]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn kafka() -> Self {
        Self::with(Format::Kafka, Format::Kafka)
    }
}

/// How a table is kept.
///
/// ```
/// # use std::time::Duration;
/// # use millstream::{StreamsBuilder, dsl::{Consumed, Materialized}, window::TimeWindows, record::TimeSpan};
/// # let builder = StreamsBuilder::new();
/// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
/// let week = TimeSpan::from(Duration::from_secs(7 * 86_400));
/// let days = TimeWindows::tumbling(Duration::from_secs(86_400), Duration::ZERO)?;
/// let kept = Materialized { retention: Some(week), ..Materialized::named("orders-by-day").in_memory() };
/// orders.group_by_key().windowed_by(days).count(kept);
/// # builder.build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Materialized {
    /// The name of its store and of the view that can be queried; one is made up if there is none.
    pub name: Option<String>,
    /// How long windows are kept, from their start (sessions: from their end); at least size, or gap, and grace, which is the default.
    pub retention: Option<TimeSpan>,
    /// Where its rows are kept.
    pub store: StoreOptions,
    /// How long it is kept what rows were before; `None`: it is not.
    pub history: Option<TimeSpan>,
}

impl Materialized {
    /// A store of this name.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Materialized}};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// orders.group_by_key().count(Materialized::named("counts"));
    /// assert_eq!(builder.build()?.stores()[0].name, "counts");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn named(name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::default() }
    }

    /// Keeps the rows in memory. They come back from the changelog after a restart, all of them.
    ///
    /// ```
    /// use millstream::{StreamsBuilder, dsl::{Consumed, Materialized}};
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// orders.group_by_key().count(Materialized::named("counts").in_memory());
    /// ```
    pub fn in_memory(mut self) -> Self {
        self.store.kind = StoreKind::InMemory;
        self
    }

    /// Writes no changelog: the table is empty after every start, and begins anew with the records that come.
    ///
    /// ```
    /// use millstream::{StreamsBuilder, dsl::{Consumed, Materialized}};
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// orders.group_by_key().count(Materialized::named("counts-since-start").with_logging_disabled());
    /// ```
    pub fn with_logging_disabled(mut self) -> Self {
        self.store.logging = StoreLogging::Disabled;
        self
    }

    /// Makes the table versioned: records count by their timestamps, and what rows were before is kept for `history`.
    ///
    /// A join of a stream with such a table meets the row of the record's time. Joins of tables, foreign-key joins and aggregations leave out
    /// records that are not the newest of their keys. A record older than stream time and `history` is a dead letter.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Materialized, Produced}, record::{Record, TimeSpan}, testing::TopologyTestDriver};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let builder = StreamsBuilder::new();
    /// let hour = TimeSpan::from_millis(3_600_000).unwrap();
    /// let prices = builder.table::<String, i64>("prices", Consumed::kafka(), Materialized::named("prices").versioned(hour));
    /// let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// orders.join(&prices, |_, count, price| count * price).to("amounts", Produced::kafka());
    /// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.push("prices", Record::new("tea", 3_i64.to_be_bytes()).at_ms(100))?;
    /// driver.push("prices", Record::new("tea", 4_i64.to_be_bytes()).at_ms(200))?;
    /// driver.push("orders", Record::new("tea", 2_i64.to_be_bytes()).at_ms(150))?;
    /// assert_eq!(driver.drain("amounts")?, [Record::new("tea", 6_i64.to_be_bytes()).at_ms(150)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn versioned(self, history: impl Into<TimeSpan>) -> Self {
        Self { history: Some(history.into()), ..self }
    }
}

/// A name may stand for the options: `count("orders-per-customer")`.
impl From<&str> for Materialized {
    fn from(name: &str) -> Self {
        Self::named(name)
    }
}

/// How records are moved through a topic of the topology's own, to the partitions of their keys or to those that a partitioner chooses.
///
/// ```
/// use millstream::{StreamsBuilder, dsl::{Consumed, Repartitioned}, operator::Placement};
///
/// let builder = StreamsBuilder::new();
/// let by_amount = |_: &String, amount: &i64, partitions: u32| Placement::One(*amount as u32 % partitions);
/// let options = Repartitioned::named("by-amount").with_partitions(4).partitioner(by_amount);
/// builder.stream::<String, i64>("orders", Consumed::kafka()).repartition(options);
/// assert!(builder.build()?.describe().contains("by-amount-repartition"));
/// # Ok::<(), millstream::topology::TopologyError>(())
/// ```
#[derive(Clone, Default)]
pub struct Repartitioned {
    /// The middle of the topic's name: `<application>-<name>-repartition`.
    pub name: Option<String>,
    /// How many partitions; by default as many as what is read beside it, or as where it comes from.
    pub partitions: Option<u32>,
    pub(super) partitioner: Option<ClosurePartitioner>,
}

impl Repartitioned {
    /// Through a topic of this name: `<application>-<name>-repartition`.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Repartitioned}};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// orders.repartition(Repartitioned::named("spread"));
    /// assert!(builder.build()?.describe().contains("<application>-spread-repartition"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn named(name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::default() }
    }

    /// Over so many partitions.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced, Repartitioned}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// orders.repartition(Repartitioned::named("spread").with_partitions(4)).to("out", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// assert_eq!(driver.end_offsets("test-driver-spread-repartition")?.len(), 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_partitions(mut self, partitions: u32) -> Self {
        self.partitions = Some(partitions);
        self
    }

    /// Lets a closure choose partitions: it is given key, value and how many partitions the topic has. Its types must be those of the stream.
    /// What is joined or grouped by key afterwards must lie where its key lies: a closure that puts equal keys apart makes several groups of them.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Repartitioned}, operator::Placement};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// let by_amount = |_: &String, amount: &i64, partitions: u32| Placement::One(*amount as u32 % partitions);
    /// orders.repartition(Repartitioned::named("spread").with_partitions(4).partitioner(by_amount));
    /// # builder.build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn partitioner<K: Data, V: Data>(
        mut self,
        choose: impl Fn(&K, &V, u32) -> Placement + Send + Sync + 'static,
    ) -> Self {
        self.partitioner = Some(ClosurePartitioner::new(choose));
        self
    }
}

impl fmt::Debug for Produced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { formats, name, partitioner } = self;
        let mut debug = f.debug_struct("Produced");
        debug.field("formats", formats).field("name", name).field("has_partitioner", &partitioner.is_some()).finish()
    }
}

impl fmt::Debug for Repartitioned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, partitions, partitioner } = self;
        let mut debug = f.debug_struct("Repartitioned");
        debug.field("name", name).field("partitions", partitions);
        debug.field("has_partitioner", &partitioner.is_some()).finish()
    }
}
