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
#[derive(Debug, Clone)]
pub struct Consumed<K, V> {
    formats: Formats,
    timestamp: TimestampExtractor,
    reset: OffsetReset,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Consumed<K, V> {
    /// Keys and values in these formats.
    pub fn with(key: Format, value: Format) -> Self {
        Self {
            formats: Formats { key, value, wrapping: Wrapping::Unwrapped },
            timestamp: TimestampExtractor::Record,
            reset: OffsetReset::Earliest,
            types: PhantomData,
        }
    }

    /// JSON values and keys as Kafka's own serialisers write them: text, or big-endian numbers.
    pub fn json() -> Self {
        Self::with(Format::Kafka, Format::Json)
    }

    /// Keys and values as Kafka's own serialisers write them.
    pub fn kafka() -> Self {
        Self::with(Format::Kafka, Format::Kafka)
    }

    /// Takes timestamps from a column of the value.
    pub fn timestamp_column(mut self, name: &str) -> Self {
        self.timestamp = TimestampExtractor::Column {
            name: name.to_owned(),
            format: None,
            on_invalid: InvalidTimestamps::default(),
        };
        self
    }

    /// Begins elsewhere than at the first record.
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
    pub fn with(key: Format, value: Format) -> Self {
        Self::of(Formats { key, value, wrapping: Wrapping::Unwrapped })
    }

    /// Records written so.
    pub fn of(formats: Formats) -> Self {
        Self { formats, name: None, partitioner: None }
    }

    /// Names the operator that writes.
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Lets a closure choose partitions: it is given key, value and how many partitions the topic has. Its types must be those of the stream.
    pub fn partitioner<K: Data, V: Data>(
        mut self,
        choose: impl Fn(&K, &V, u32) -> Placement + Send + Sync + 'static,
    ) -> Self {
        self.partitioner = Some(ClosurePartitioner::new(choose));
        self
    }

    /// JSON values and keys as Kafka's own serialisers write them.
    pub fn json() -> Self {
        Self::with(Format::Kafka, Format::Json)
    }

    /// Keys and values as Kafka's own serialisers write them.
    pub fn kafka() -> Self {
        Self::with(Format::Kafka, Format::Kafka)
    }
}

/// How a table is kept.
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
    pub fn named(name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::default() }
    }

    /// Over so many partitions.
    pub fn with_partitions(mut self, partitions: u32) -> Self {
        self.partitions = Some(partitions);
        self
    }

    /// Lets a closure choose partitions: it is given key, value and how many partitions the topic has. Its types must be those of the stream.
    /// What is joined or grouped by key afterwards must lie where its key lies: a closure that puts equal keys apart makes several groups of them.
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
