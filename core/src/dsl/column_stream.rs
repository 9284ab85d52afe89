//! Streams of columns: operators written as expressions. SQL and the typed streams are built on it.

use std::{rc::Rc, sync::Arc};

use super::{
    ColumnGroup, ColumnTable,
    builder::{SharedGraph, identity_store},
    options::{Materialized, Produced, Repartitioned},
    partitioner::ClosurePartitioner,
};
use crate::{
    expression::Expr,
    format::Side,
    operator::{
        Column, Filter, OpaqueRows, Project, ProjectError, Routing, StoreRetention, StoreSpec, Transform, Unnest,
    },
    record::{TimeSpan, TopicName},
    schema::StreamSchema,
    topology::{
        Formats, NodeId, NodeKind, OffsetReset, RowTtlNode, SinkNode, SourceNode, TimestampExtractor, TopicRef,
    },
};

/// A stream of rows: every record is a fact.
///
/// ```
/// use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, expression::{col, lit}, operator::Column, testing::TopologyTestDriver};
///
/// let builder = StreamsBuilder::new();
/// let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
/// let doubled = [Column::new("value", col("value") * lit(2_i64))];
/// orders.columns().filter(&col("value").gt(lit(10_i64))).select(&doubled).to("doubled", Produced::kafka());
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input_topic::<String, i64>("orders")?.pipe_key_value_list([("ada", 5), ("ada", 15)])?;
/// assert_eq!(driver.output_topic::<String, i64>("doubled")?.read_values_to_list()?, [Some(30)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ColumnStream {
    pub(super) graph: SharedGraph,
    pub(super) node: NodeId,
    pub(super) schema: Arc<StreamSchema>,
    /// Whether the key is no longer the one that partitioned the records.
    pub(super) rekeyed: bool,
}

impl ColumnStream {
    /// The columns.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka()).columns().clone();
    /// assert_eq!((orders.schema().key()[0].name().as_str(), orders.schema().value()[0].name().as_str()), ("key", "value"));
    /// ```
    pub fn schema(&self) -> &Arc<StreamSchema> {
        &self.schema
    }

    /// Whether the key is no longer the one that partitioned the records.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Repartitioned}, expression::col, operator::Column};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka()).columns().clone();
    /// let by_amount = orders.select_key(&[Column::new("key", col("value"))], &[Column::new("value", col("key"))]);
    /// assert!(by_amount.is_rekeyed() && !by_amount.repartition(Repartitioned::default()).is_rekeyed());
    /// ```
    pub fn is_rekeyed(&self) -> bool {
        self.rekeyed
    }

    /// Keeps the records for which `predicate` is true.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, expression::{col, lit}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka()).columns().clone();
    /// orders.filter(&col("value").gt(lit(10_i64))).to("big", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe_key_value_list([("ada", 5), ("ada", 15)])?;
    /// assert_eq!(driver.output_topic::<String, i64>("big")?.read_values_to_list()?, [Some(15)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn filter(&self, predicate: &Expr) -> Self {
        match Filter::new(predicate, &self.schema) {
            Ok(filter) => self.transform("filter", Arc::new(filter), Arc::clone(&self.schema), self.rekeyed),
            Err(error) => self.failed("filter", error),
        }
    }

    /// Computes new value columns; the key stays.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, expression::{col, lit}, operator::Column, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka()).columns().clone();
    /// orders.select(&[Column::new("value", col("value") + lit(1_i64))]).to("more", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe("ada", 5)?;
    /// assert_eq!(driver.output_topic::<String, i64>("more")?.read_values_to_list()?, [Some(6)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn select(&self, value: &[Column]) -> Self {
        match Project::new(None, value, &self.schema) {
            Ok(project) => {
                let schema = Arc::clone(project.output());
                self.transform("select", Arc::new(project), schema, self.rekeyed)
            }
            Err(error) => self.failed("select", error),
        }
    }

    /// Computes a new key and new value columns; records move to the partition of the new key where that matters.
    ///
    /// A record whose key fails is left out and reported.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, expression::col, operator::Column, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka()).columns().clone();
    /// orders.select_key(&[Column::new("key", col("value"))], &[Column::new("value", col("key"))]).to("swapped", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe("ada", 5)?;
    /// assert_eq!(driver.output_topic::<i64, String>("swapped")?.read_key_value()?, Some((5, Some("ada".to_owned()))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn select_key(&self, key: &[Column], value: &[Column]) -> Self {
        self.with_key(Project::new(Some(key), value, &self.schema))
    }

    /// As [`select_key`](Self::select_key), but a record whose key fails stays, with null there, and is reported.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, expression::{col, lit}, operator::Column, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka()).columns().clone();
    /// let share = [Column::new("key", lit(60_i64) / col("value"))];
    /// orders.select_key_or_null(&share, &[Column::new("value", col("value"))]).to("shares", Produced::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe_key_value_list([("ada", 3), ("ada", 0)])?;
    /// let keys: Vec<_> = driver.drain("shares")?.into_iter().map(|record| record.key).collect();
    /// assert_eq!(keys, [Some(20_i64.to_be_bytes().to_vec()), None]); // nothing can be divided by zero
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn select_key_or_null(&self, key: &[Column], value: &[Column]) -> Self {
        self.with_key(Project::new(Some(key), value, &self.schema).map(Project::keep_failed_keys))
    }

    fn with_key(&self, project: Result<Project, ProjectError>) -> Self {
        match project {
            Ok(project) => {
                let schema = Arc::clone(project.output());
                self.transform("select-key", Arc::new(project), schema, true)
            }
            Err(error) => self.failed("select_key", error),
        }
    }

    /// Makes a row of each item of the value columns `lists`, which go in step, the shorter ones padded with null. The columns keep their
    /// names; a record whose lists are all null or empty gives no row.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// let lists = builder.stream::<String, Vec<i64>>("lists", Consumed::json());
    /// lists.columns().unnest(&["value"]).to("items", Produced::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.push("lists", Record::new("ada", "[30, 12]"))?;
    /// assert_eq!(driver.output_topic::<String, i64>("items")?.read_values_to_list()?, [Some(30), Some(12)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unnest(&self, lists: &[&str]) -> Self {
        match Unnest::new(lists, &self.schema) {
            Ok(unnest) => {
                let schema = Arc::clone(unnest.output());
                self.transform("unnest", Arc::new(unnest), schema, self.rekeyed)
            }
            Err(error) => self.failed("unnest", error),
        }
    }

    /// Applies a stateless function whose output has `schema`; `rekeyed` says that keys are not those that partitioned the records.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, expression::{col, lit}, operator::Filter, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka()).columns().clone();
    /// let is_big = Filter::new(&col("value").gt(lit(10_i64)), orders.schema())?; // or a transform of one's own
    /// orders.transform("is-big", Arc::new(is_big), Arc::clone(orders.schema()), orders.is_rekeyed()).to("big", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe_key_value_list([("ada", 5), ("ada", 15)])?;
    /// assert_eq!(driver.output_topic::<String, i64>("big")?.read_values_to_list()?, [Some(15)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn transform(
        &self,
        name: &str,
        transform: Arc<dyn Transform>,
        schema: Arc<StreamSchema>,
        rekeyed: bool,
    ) -> Self {
        let kind = NodeKind::Transform(transform);
        let node = self.graph.borrow_mut().add(name, kind, vec![self.node], Arc::clone(&schema));
        Self { graph: Rc::clone(&self.graph), node, schema, rekeyed }
    }

    /// The records of both streams, which have the same columns.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let [shop, web] = ["shop", "web"].map(|topic| builder.stream::<String, i64>(topic, Consumed::kafka()).columns().clone());
    /// shop.merge(&web).to("orders", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("web")?.pipe("ada", 5)?;
    /// driver.input_topic::<String, i64>("shop")?.pipe("bob", 7)?;
    /// assert_eq!(driver.output_topic::<String, i64>("orders")?.read_values_to_list()?, [Some(5), Some(7)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn merge(&self, other: &Self) -> Self {
        if self.schema != other.schema {
            return self.failed("merge", "the streams have different columns");
        }
        let inputs = vec![self.node, other.node];
        let node = self.graph.borrow_mut().add("merge", NodeKind::Merge, inputs, Arc::clone(&self.schema));
        // The same key in other bytes may lie in another partition.
        let mixed = {
            let graph = self.graph.borrow();
            graph.key_format(self.node) != graph.key_format(other.node)
        };
        Self { node, rekeyed: self.rekeyed || other.rekeyed || mixed, ..self.clone() }
    }

    /// Moves every record to the partition of its key, through a topic of the topology's own.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced, Repartitioned}};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka()).columns().clone();
    /// orders.repartition(Repartitioned::named("spread").with_partitions(4)).to("out", Produced::kafka());
    /// assert!(builder.build()?.describe().contains("<application>-spread-repartition"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn repartition(&self, options: Repartitioned) -> Self {
        self.repartition_with(options, Formats::INTERNAL.key)
    }

    /// The same with keys in a given format: it decides the partition, so that what is joined must have one.
    pub(super) fn repartition_with(&self, options: Repartitioned, key: crate::format::Format) -> Self {
        let formats = Formats { key, ..Formats::INTERNAL };
        let routing = ClosurePartitioner::routing(options.partitioner.as_ref(), &self.schema);
        let mut graph = self.graph.borrow_mut();
        let routing = routing.unwrap_or_else(|problem| {
            graph.fail("repartition", problem);
            Routing::ByKey
        });
        let name = options.name.unwrap_or_else(|| graph.unnamed("repartition", &[self.node]));
        let topic = TopicRef::Internal { name: format!("{name}-repartition"), partitions: options.partitions };
        let sink = SinkNode { topic: topic.clone(), formats: formats.clone(), computed_keys: false, routing };
        graph.add("repartition-sink", NodeKind::Sink(sink), vec![self.node], Arc::clone(&self.schema));
        let source = SourceNode {
            topic,
            formats,
            timestamp: TimestampExtractor::Record,
            reset: OffsetReset::Earliest,
            parts: Vec::new(),
            decoded: vec![true; self.schema.value().len()],
        };
        let node = graph.add("repartition-source", NodeKind::Source(source), vec![], Arc::clone(&self.schema));
        drop(graph);
        Self { node, rekeyed: false, ..self.clone() }
    }

    /// This stream with every record in the partition of its key.
    pub(super) fn partitioned_by_key(&self, name: Option<&str>) -> Self {
        if !self.rekeyed {
            return self.clone();
        }
        self.repartition(Repartitioned { name: name.map(str::to_owned), ..Repartitioned::default() })
    }

    /// Writes the records to `topic`.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka()).columns().clone();
    /// orders.to("copy", Produced::json());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe("ada", 5)?;
    /// assert_eq!(driver.drain("copy")?, [Record::new("ada", "5")]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to(&self, topic: &str, produced: Produced) {
        let name = TopicName::new(topic).map_err(|error| error.to_string());
        match name.and_then(|name| Ok((name, self.checked(&produced)?))) {
            Ok((name, routing)) => {
                let Produced { formats, name: operator, .. } = produced;
                let sink = SinkNode { topic: TopicRef::External(name), formats, computed_keys: self.rekeyed, routing };
                let mut graph = self.graph.borrow_mut();
                let node = graph.add("sink", NodeKind::Sink(sink), vec![self.node], Arc::clone(&self.schema));
                graph.nodes[node.0].given_name = operator;
            }
            Err(problem) => drop(self.failed(&format!("to {topic}"), problem)),
        }
    }

    /// Whether the formats can hold the columns, and how rows find their partition.
    pub(super) fn checked(&self, produced: &Produced) -> Result<Routing, String> {
        let Formats { key, value, wrapping } = &produced.formats;
        key.serializer(Side::Key, *wrapping, self.schema.key()).map_err(|error| error.to_string())?;
        value.serializer(Side::Value, *wrapping, self.schema.value()).map_err(|error| error.to_string())?;
        ClosurePartitioner::routing(produced.partitioner.as_ref(), &self.schema)
    }

    /// Gives the operator that this stream comes from a name, which metrics, errors, dead letters and plans use; it must be unique.
    ///
    /// ```
    /// use millstream::{StreamsBuilder, dsl::Consumed};
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("orders", Consumed::kafka()).filter(|_, amount| *amount > 100).named("big-orders");
    /// assert!(builder.build()?.describe().contains("big-orders: filter"));
    /// # Ok::<(), millstream::topology::TopologyError>(())
    /// ```
    pub fn named(&self, name: &str) -> Self {
        self.graph.borrow_mut().name(self.node, name);
        self.clone()
    }

    /// Makes a table of the newest record of each key.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka()).columns().clone();
    /// orders.to_table("last-orders".into());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe_key_value_list([("ada", 5), ("ada", 15)])?;
    /// assert_eq!(driver.store::<String, i64>("last-orders")?.get("ada")?, Some(15));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_table(&self, materialized: Materialized) -> ColumnTable {
        if materialized.history.is_some() {
            return self.to_versioned_table(materialized);
        }
        let input = self.partitioned_by_key(materialized.name.as_deref());
        let mut graph = self.graph.borrow_mut();
        let name = materialized.name.unwrap_or_else(|| graph.unnamed("table", &[input.node]));
        let store = graph.add_store(identity_store(name, &input.schema, materialized.store));
        let kind = NodeKind::Table { store, needs_before: false };
        let node = graph.add("table", kind, vec![input.node], Arc::clone(&input.schema));
        drop(graph);
        ColumnTable { graph: Rc::clone(&self.graph), node, schema: input.schema, store: Some(store) }
    }

    /// Makes a table of the newest record of each key, in which a row stays until stream time reaches its timestamp and `ttl`: see
    /// [`RowTtl`](crate::operator::RowTtl). A record that has expired when it comes is a dead letter. Deletions do not move stream time.
    ///
    /// # State
    /// The rows that are left, and an index of them by time.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka()).columns().clone();
    /// orders.to_table_with_ttl(Duration::from_millis(10), "recent-orders".into());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe_at("ada", 5, 0)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe_at("bob", 7, 10)?;
    /// let recent = driver.store::<String, i64>("recent-orders")?;
    /// assert_eq!((recent.get("ada")?, recent.get("bob")?), (None, Some(7)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_table_with_ttl(&self, ttl: impl Into<TimeSpan>, materialized: Materialized) -> ColumnTable {
        let ttl = ttl.into();
        if self.schema.is_windowed() {
            self.failed("row TTL", "the keys have windows, which go by themselves: give the windows a retention");
        }
        if materialized.retention.is_some() {
            self.failed("row TTL", "a retention is for windows: the TTL says how long rows are kept");
        }
        if materialized.history.is_some() {
            self.failed("row TTL", "a table with a TTL has no versions: make a versioned table of it");
        }
        if ttl == TimeSpan::ZERO {
            self.failed("row TTL", "it must be longer than zero milliseconds");
        }
        let input = self.partitioned_by_key(materialized.name.as_deref());
        let mut graph = self.graph.borrow_mut();
        let name = materialized.name.unwrap_or_else(|| graph.unnamed("table", &[input.node]));
        let (key, layout) = (input.schema.key().to_vec(), Arc::new(OpaqueRows));
        let index = index_name(&name, &graph.stores);
        let by_time =
            StoreSpec { name: index, key, retention: StoreRetention::Forever, layout, options: materialized.store };
        let store = graph.add_store(identity_store(name, &input.schema, materialized.store));
        let index = graph.add_store(by_time);
        let kind = NodeKind::RowTtl(RowTtlNode { store, index, ttl, needs_before: false });
        let node = graph.add("row-ttl", kind, vec![input.node], Arc::clone(&input.schema));
        drop(graph);
        ColumnTable { graph: Rc::clone(&self.graph), node, schema: input.schema, store: Some(store) }
    }

    /// Groups by the key there is.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, expression::{count, lit}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka()).columns().clone();
    /// orders.group_by_key().aggregate(&[count(lit(1_i64)).alias("value")], "counts".into());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe_key_value_list([("ada", 5), ("ada", 15)])?;
    /// assert_eq!(driver.store::<String, i64>("counts")?.get("ada")?, Some(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn group_by_key(&self) -> ColumnGroup {
        ColumnGroup::of(vec![self.clone()])
    }

    /// Keeps a mistake for `build` and goes on as if the operator were not there.
    pub(super) fn failed(&self, operator: &str, problem: impl std::fmt::Display) -> Self {
        self.graph.borrow_mut().fail(operator, problem);
        self.clone()
    }
}

/// What the index by time of a store is called: after the store without the version that `CREATE OR REPLACE` in SQL gives it, since what is
/// in the index is right for each version. If there is such an index, of a store that happens to be called so, then after the whole name.
pub(super) fn index_name(store: &str, stores: &[StoreSpec]) -> String {
    let is_version = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let base = store.rsplit_once("-v").filter(|(_, version)| is_version(version)).map_or(store, |(base, _)| base);
    let index = format!("{base}-by-time");
    if stores.iter().any(|other| other.name == index) { format!("{store}-by-time") } else { index }
}
