//! Global tables: topics that are read whole into every process.

use std::{marker::PhantomData, rc::Rc, sync::Arc};

use super::{
    GlobalStore, StreamsBuilder,
    builder::{SharedGraph, identity_store},
    options::{Consumed, Materialized, SourceOptions},
    typed::Data,
};
use crate::{schema::StreamSchema, topology::GlobalTable};

/// A table of columns that is whole in every process.
///
/// ```
/// # use millstream::{StreamsBuilder, dsl::Consumed};
/// # let builder = StreamsBuilder::new();
/// let cities = builder.global_table::<String, String>("cities", Consumed::kafka(), "all-cities").columns().clone();
/// assert_eq!((cities.store_name().as_str(), cities.schema().value()[0].name().as_str()), ("all-cities", "value"));
/// ```
#[derive(Clone)]
pub struct ColumnGlobalTable {
    pub(super) graph: SharedGraph,
    pub(super) number: usize,
    pub(super) schema: Arc<StreamSchema>,
}

impl ColumnGlobalTable {
    /// The columns.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed};
    /// # let builder = StreamsBuilder::new();
    /// let cities = builder.global_table::<String, String>("cities", Consumed::kafka(), "cities");
    /// assert_eq!(cities.columns().schema().key()[0].name(), "key");
    /// ```
    pub fn schema(&self) -> &Arc<StreamSchema> {
        &self.schema
    }

    /// The name of its store: the view's name.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed};
    /// # let builder = StreamsBuilder::new();
    /// let cities = builder.global_table::<String, String>("cities", Consumed::kafka(), "all-cities");
    /// assert_eq!(cities.columns().store_name(), "all-cities");
    /// ```
    pub fn store_name(&self) -> String {
        self.graph.borrow().globals[self.number].store.name.clone()
    }
}

/// A table with keys `K` and rows `V` that is whole in every process, whatever the partitions of its topic: see
/// [`StreamsBuilder::global_table`].
///
/// ```
/// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::TopologyTestDriver};
/// # let builder = StreamsBuilder::new();
/// let cities = builder.global_table::<String, String>("cities", Consumed::kafka(), "cities");
/// let shops = builder.stream::<i64, String>("shops", Consumed::kafka());
/// shops.join_global(&cities, |_, city| Some(city.clone()), |_, _, country| country).to("countries", Produced::kafka());
/// # let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input_topic::<String, String>("cities")?.pipe("Paris", "France")?;
/// driver.input_topic::<i64, String>("shops")?.pipe(7, "Paris")?;
/// assert_eq!(driver.output_topic::<i64, String>("countries")?.read_key_value()?, Some((7, Some("France".to_owned()))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct GlobalKTable<K, V> {
    columns: ColumnGlobalTable,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for GlobalKTable<K, V> {
    fn clone(&self) -> Self {
        Self { columns: self.columns.clone(), types: PhantomData }
    }
}

impl<K: Data, V: Data> GlobalKTable<K, V> {
    /// The same table by the column.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed};
    /// # let builder = StreamsBuilder::new();
    /// let cities = builder.global_table::<String, i64>("cities", Consumed::kafka(), "cities");
    /// assert_eq!(cities.columns().schema().value()[0].name(), "value");
    /// ```
    pub fn columns(&self) -> &ColumnGlobalTable {
        &self.columns
    }
}

impl<K: Data, V: Data> GlobalKTable<K, V> {
    /// A handle by which processors read the table: see [`global`](super::ProcessingContext::global).
    ///
    /// ```
    /// use millstream::{StreamsBuilder, dsl::Consumed};
    ///
    /// let builder = StreamsBuilder::new();
    /// let cities = builder.global_table::<String, String>("cities", Consumed::kafka(), "cities");
    /// let handle = cities.state_store();
    /// ```
    pub fn state_store(&self) -> GlobalStore<K, V> {
        GlobalStore::new(self.columns.number)
    }
}

impl StreamsBuilder {
    /// Reads `topic` as a table of which every process has all partitions, so that streams can be joined with it by whatever key.
    ///
    /// It is read to its end before the first task starts, and followed from then on: its changes are seen as they come, in no order with the
    /// records of streams. Records without key, and those that cannot be decoded, are dead letters.
    ///
    /// # State
    /// One row a key in each process, read again from the topic at each start: there is no changelog. The store is a view that can be queried.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, testing::TopologyTestDriver};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let builder = StreamsBuilder::new();
    /// let cities = builder.global_table::<String, String>("cities", Consumed::kafka(), "cities");
    /// let shops = builder.stream::<i64, String>("shops", Consumed::kafka());
    /// shops.join_global(&cities, |_, city| Some(city.clone()), |_, _, country| country).to("countries", Produced::kafka());
    /// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.push("cities", Record::new("Paris", "France"))?;
    /// driver.push("shops", Record::new(7_i64.to_be_bytes(), "Paris"))?;
    /// assert_eq!(driver.drain("countries")?, [Record::new(7_i64.to_be_bytes(), "France")]);
    /// # assert_eq!(driver.view("cities")?[0].num_rows(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn global_table<K: Data, V: Data>(
        &self,
        topic: &str,
        consumed: Consumed<K, V>,
        materialized: impl Into<Materialized>,
    ) -> GlobalKTable<K, V> {
        let columns = self.global_table_columns(topic, self.typed_source::<K, V>(topic, consumed), materialized.into());
        GlobalKTable { columns, types: PhantomData }
    }

    /// Reads `topic` as a global table of columns: see [`global_table`](Self::global_table).
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::SourceOptions, format::{Format, Wrapping}, schema::WindowKind};
    /// # use millstream::topology::{Formats, OffsetReset, TimestampExtractor};
    /// # use arrow::datatypes::{DataType, Field};
    /// # let builder = StreamsBuilder::new();
    /// # let text = |name: &str| std::sync::Arc::new(Field::new(name, DataType::Utf8, true));
    /// let options = SourceOptions {
    ///     key: vec![text("city")],
    ///     value: vec![text("country")],
    /// #   parts: Vec::new(),
    /// #   window: WindowKind::None,
    /// #   formats: Formats { key: Format::Kafka, value: Format::Json, wrapping: Wrapping::Wrapped },
    /// #   timestamp: TimestampExtractor::Record,
    /// #   reset: OffsetReset::Earliest,
    ///     // ..
    /// };
    /// let cities = builder.global_table_columns("cities", options, "cities".into());
    /// assert_eq!(cities.schema().value()[0].name(), "country");
    /// ```
    pub fn global_table_columns(
        &self,
        topic: &str,
        options: SourceOptions,
        materialized: Materialized,
    ) -> ColumnGlobalTable {
        let (source, schema) = self.source(topic, options);
        let mut graph = self.graph.borrow_mut();
        let operator = format!("global table {topic}");
        if schema.is_windowed() {
            graph.fail(&operator, "keys with windows cannot be looked up: read the topic as a table");
        }
        if materialized.retention.is_some() {
            graph.fail(&operator, "a retention is for windows: rows are kept until they are deleted");
        }
        if materialized.history.is_some() {
            graph.fail(&operator, "a global table has no versions: read the topic as a table");
        }
        let name = materialized.name.unwrap_or_else(|| format!("global-table-{topic}"));
        if materialized.store.logging == crate::operator::StoreLogging::Disabled {
            graph.fail(&operator, "its topic is its changelog: there is no other one to be turned off");
        }
        let store = identity_store(name, &schema, materialized.store);
        graph.globals.push(GlobalTable { source, schema: Arc::clone(&schema), store });
        let number = graph.globals.len() - 1;
        drop(graph);
        ColumnGlobalTable { graph: Rc::clone(&self.graph), number, schema }
    }
}
