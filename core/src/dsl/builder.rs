//! The builder: a graph under construction, shared by the streams and tables made from it.
//!
//! A chain of calls reads better without a `?` in every line, so a mistake is kept and returned by [`StreamsBuilder::build`]; the
//! operator that could not be added is left out until then.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
};

use arrow::datatypes::Field;

use super::{
    ColumnStream, ColumnTable, KStream, KTable,
    options::{Consumed, Materialized, SourceOptions},
    typed::{Data, Shape},
};
use crate::{
    format::Wrapping,
    operator::{IdentityRows, StoreOptions, StoreRetention, StoreSpec, Tombstones},
    record::TopicName,
    schema::{StreamSchema, WindowKind},
    topology::{
        ForeignKeyNode, GlobalTable, Node, NodeId, NodeKind, RecordPart, SourceNode, TopicRef, Topology, TopologyError,
        VersionedStores, topics_of,
    },
};

/// Makes a [`Topology`]: begin with [`stream`](Self::stream) or [`table`](Self::table), end with [`build`](Self::build).
///
/// ```
/// use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::TopologyTestDriver};
///
/// let builder = StreamsBuilder::new();
/// let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
/// orders.group_by_key().count("orders-per-customer").to_stream().to("counts", Produced::kafka());
/// let driver = TopologyTestDriver::new(&builder.build()?)?; // in production `Streams::start`
/// driver.input_topic::<String, i64>("orders")?.pipe_key_value_list([("ada", 30), ("ada", 12)])?;
/// assert_eq!(driver.output_topic::<String, i64>("counts")?.read_values_to_list()?, [Some(1), Some(2)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct StreamsBuilder {
    pub(super) graph: Rc<RefCell<Graph>>,
}

/// What has been added so far.
#[derive(Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    pub(super) stores: Vec<StoreSpec>,
    pub(super) globals: Vec<GlobalTable>,
    /// The stores of versioned tables, by the nodes that keep them.
    pub(super) versioned: BTreeMap<usize, VersionedStores>,
    /// Whether deletions of what was not there are passed on.
    pub(super) tombstones: Tombstones,
    error: Option<TopologyError>,
    /// How often each name was made up.
    made_up: BTreeMap<String, usize>,
}

/// How long a made-up name is at most, a number behind it not counted.
const LONGEST_NAME: usize = 80;

impl Graph {
    /// Adds a node; its whole name is made when the topology is built.
    pub(super) fn add(
        &mut self,
        operator: &str,
        kind: NodeKind,
        inputs: Vec<NodeId>,
        schema: Arc<StreamSchema>,
    ) -> NodeId {
        let id = NodeId(self.nodes.len());
        let (name, operator) = (operator.to_owned(), operator.to_owned());
        self.nodes.push(Node { name, given_name: None, operator, kind, inputs, schema });
        id
    }

    /// Adds a store and gives its number.
    pub(super) fn add_store(&mut self, store: StoreSpec) -> usize {
        self.stores.push(store);
        self.stores.len() - 1
    }

    /// A name for something that was given none, made of what it does with the output of `inputs`: the topics that this comes from and
    /// its key. Stores and internal topics are called after it, so that it must not change when other operators come or go.
    pub(super) fn unnamed(&mut self, what: &str, inputs: &[NodeId]) -> String {
        let mut parts: Vec<String> = vec![what.to_owned()];
        parts.extend(inputs.iter().flat_map(|input| topics_of(&self.nodes, *input)));
        let key = inputs.first().map(|input| self.nodes[input.0].schema.key()).unwrap_or_default();
        if !key.is_empty() {
            parts.push("by".to_owned());
            parts.extend(key.iter().map(|field| field.name().clone()));
        }
        let legal = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' };
        let name: String = parts.join("-").chars().map(legal).take(LONGEST_NAME).collect();
        let times = self.made_up.entry(name.clone()).or_default();
        *times += 1;
        if *times == 1 { name } else { format!("{name}-{times}") }
    }

    /// Gives a node the name that a user has for it.
    pub(super) fn name(&mut self, node: NodeId, name: &str) {
        let is_taken = |other: &Node| other.given_name.as_deref() == Some(name);
        if name.is_empty() {
            self.fail(&self.nodes[node.0].operator.clone(), "a name must not be empty");
        } else if self.nodes.iter().any(is_taken) {
            self.fail(name, "two operators are called so; give each its own name");
        } else {
            self.nodes[node.0].given_name = Some(name.to_owned());
        }
    }

    /// Keeps the first mistake.
    pub(super) fn fail(&mut self, operator: &str, problem: impl std::fmt::Display) {
        let error = TopologyError::Operator { operator: operator.to_owned(), problem: problem.to_string() };
        self.error.get_or_insert(error);
    }

    /// How the keys were written that decided the partitions of `node`'s records.
    pub(super) fn key_format(&self, node: NodeId) -> crate::format::Format {
        let node = &self.nodes[node.0];
        match (&node.kind, node.inputs.first()) {
            (NodeKind::ForeignKey(ForeignKeyNode::Resolve { key, .. }), _) => key.clone(),
            (NodeKind::Source(source), _) => source.formats.key.clone(),
            (_, Some(&input)) => self.key_format(input),
            (_, None) => crate::topology::Formats::INTERNAL.key,
        }
    }

    /// Whether Kafka Streams' table of this node says what was there before without being made to: a table that is read does if that is asked for
    /// elsewhere, aggregations and joins of tables always can.
    pub(super) fn has_before(&self, node: NodeId) -> bool {
        let node = &self.nodes[node.0];
        match &node.kind {
            NodeKind::TableJoin(_) | NodeKind::Aggregate(_) | NodeKind::Table { needs_before: true, .. } => true,
            NodeKind::Operator(operator) if operator.with_before().is_none() && !operator.passes_before_through() => {
                false
            }
            NodeKind::Operator(_) | NodeKind::Transform(_) => node.inputs.iter().all(|input| self.has_before(*input)),
            _ => false,
        }
    }

    /// Makes the operators that feed `node` say what was there before, as far up as changes come from.
    pub(super) fn require_before(&mut self, node: NodeId) {
        match &mut self.nodes[node.0].kind {
            NodeKind::Table { needs_before, .. } => *needs_before = true,
            NodeKind::RowTtl(node) => node.needs_before = true,
            NodeKind::Aggregate(aggregate) => aggregate.needs_before = true,
            NodeKind::TableJoin(join) => {
                join.needs_before = true;
                self.require_inputs_before(node);
            }
            NodeKind::Transform(transform) => {
                if let Some(telling) = transform.with_before() {
                    *transform = telling;
                }
                self.require_inputs_before(node);
            }
            NodeKind::Operator(operator) => {
                let passes_through = operator.passes_before_through();
                if let Some(telling) = operator.with_before() {
                    self.nodes[node.0].kind = NodeKind::Operator(telling);
                }
                if passes_through {
                    self.require_inputs_before(node);
                }
            }
            NodeKind::ForeignKey(ForeignKeyNode::Resolve { results: None, .. }) => {
                let schema = Arc::clone(&self.nodes[node.0].schema);
                let name = self.unnamed("foreign-key-result", &[node]);
                let store = self.add_store(identity_store(name, &schema, StoreOptions::default()));
                if let NodeKind::ForeignKey(ForeignKeyNode::Resolve { results, .. }) = &mut self.nodes[node.0].kind {
                    *results = Some(store);
                }
            }
            _ => {}
        }
    }

    /// The stores of the versioned table that `node` is, or that its rows are computed from, and whether it is that table itself.
    pub(super) fn versions(&self, node: NodeId) -> Option<(VersionedStores, bool)> {
        match (&self.nodes[node.0].kind, self.versioned.get(&node.0)) {
            (_, Some(stores)) => Some((*stores, true)),
            (NodeKind::Transform(_), None) => Some((self.versions(self.nodes[node.0].inputs[0])?.0, false)),
            _ => None,
        }
    }

    /// Whether two nodes take records of one topic, other than through further topics.
    pub(super) fn share_source(&self, left: NodeId, right: NodeId) -> bool {
        let [left, right] = [left, right].map(|node| {
            let (mut topics, mut waiting) = (BTreeSet::new(), vec![node]);
            while let Some(NodeId(node)) = waiting.pop() {
                if let NodeKind::Source(source) = &self.nodes[node].kind {
                    topics.insert(source.topic.to_string());
                }
                waiting.extend(&self.nodes[node].inputs);
            }
            topics
        });
        !left.is_disjoint(&right)
    }

    fn require_inputs_before(&mut self, node: NodeId) {
        for input in self.nodes[node.0].inputs.clone() {
            self.require_before(input);
        }
    }
}

pub(super) type SharedGraph = Rc<RefCell<Graph>>;

impl StreamsBuilder {
    /// An empty builder.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed};
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("orders", Consumed::kafka());
    /// assert_eq!(builder.build()?.nodes().len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// The same builder, whose tables pass on tombstones so; to be said before the first operator. See [`Tombstones`].
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced, Tombstones}, testing::TopologyTestDriver};
    /// let builder = StreamsBuilder::new().with_tombstones(Tombstones::AsKafkaStreams);
    /// let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into());
    /// stock.filter(|_item, left| *left > 0).to_stream().to("in-stock", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("stock")?.pipe("tea", 0)?;
    /// assert_eq!(driver.output_topic::<String, i64>("in-stock")?.read_values_to_list()?, [None]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_tombstones(self, tombstones: Tombstones) -> Self {
        self.graph.borrow_mut().tombstones = tombstones;
        self
    }

    /// Reads `topic` as a stream of facts, typed by serde: a struct is a row of columns, anything else a single column called
    /// `key` or `value`.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, testing::TopologyTestDriver};
    /// # use serde::{Deserialize, Serialize};
    /// # let builder = StreamsBuilder::new();
    /// #[derive(Clone, Serialize, Deserialize)]
    /// struct Order {
    ///     item: String,
    ///     amount: i64,
    /// }
    ///
    /// let orders = builder.stream::<String, Order>("orders", Consumed::json());
    /// orders.map_values(|order| order.amount).to("amounts", Produced::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.push("orders", Record::new("ada", r#"{"item": "tea", "amount": 30}"#))?;
    /// assert_eq!(driver.output_topic::<String, i64>("amounts")?.read_values_to_list()?, [Some(30)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stream<K: Data, V: Data>(&self, topic: &str, consumed: Consumed<K, V>) -> KStream<K, V> {
        KStream::new(self.stream_columns(topic, self.typed_source::<K, V>(topic, consumed)))
    }

    /// Reads `topic` as a table: the newest record of each key is its row.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("stock")?.pipe_key_value_list([("tea", 7), ("tea", 6)])?;
    /// assert_eq!(driver.store::<String, i64>("stock")?.get("tea")?, Some(6));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn table<K: Data, V: Data>(
        &self,
        topic: &str,
        consumed: Consumed<K, V>,
        materialized: Materialized,
    ) -> KTable<K, V> {
        KTable::new(self.table_columns(topic, self.typed_source::<K, V>(topic, consumed), materialized))
    }

    pub(super) fn typed_source<K: Data, V: Data>(&self, topic: &str, consumed: Consumed<K, V>) -> SourceOptions {
        let shapes = Shape::<K>::of("key").and_then(|key| Ok((key, Shape::<V>::of("value")?)));
        match shapes {
            Ok((key, value)) => {
                let wrapping = value.wrapping();
                consumed.into_source(key.fields, value.fields, wrapping)
            }
            Err(problem) => {
                self.graph.borrow_mut().fail(&format!("source {topic}"), problem);
                consumed.into_source(Vec::new(), Vec::new(), Wrapping::Wrapped)
            }
        }
    }

    /// Reads `topic` as a stream of columns.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::{Produced, SourceOptions}, expression::{col, lit}, operator::Column, record::Record};
    /// # use millstream::{schema::WindowKind, format::{Format, Wrapping}, topology::{Formats, OffsetReset, TimestampExtractor}};
    /// # use millstream::testing::TopologyTestDriver;
    /// # use arrow::datatypes::{DataType, Field};
    /// # let builder = StreamsBuilder::new();
    /// let column = |name: &str, data_type: DataType| Arc::new(Field::new(name, data_type, true));
    /// let options = SourceOptions {
    ///     key: vec![column("customer", DataType::Utf8)],
    ///     value: vec![column("item", DataType::Utf8), column("amount", DataType::Int64)],
    ///     parts: Vec::new(),
    ///     window: WindowKind::None,
    ///     formats: Formats { key: Format::Kafka, value: Format::Json, wrapping: Wrapping::Wrapped },
    ///     timestamp: TimestampExtractor::Record,
    ///     reset: OffsetReset::Earliest,
    /// };
    /// let big = builder.stream_columns("orders", options).filter(&col("amount").gt(lit(10_i64)));
    /// big.select(&[Column::new("item", col("item"))]).to("big", Produced::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.push("orders", Record::new("ada", r#"{"item": "tea", "amount": 30}"#))?;
    /// assert_eq!(driver.drain("big")?, [Record::new("ada", "tea")]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stream_columns(&self, topic: &str, options: SourceOptions) -> ColumnStream {
        let (source, schema) = self.source(topic, options);
        let mut graph = self.graph.borrow_mut();
        let node = graph.add("source", NodeKind::Source(source), vec![], Arc::clone(&schema));
        drop(graph);
        ColumnStream { graph: Rc::clone(&self.graph), node, schema, rekeyed: false }
    }

    /// How a topic is read, and its columns.
    pub(super) fn source(&self, topic: &str, options: SourceOptions) -> (SourceNode, Arc<StreamSchema>) {
        let mut graph = self.graph.borrow_mut();
        let operator = format!("source {topic}");
        if options.window == (WindowKind::Time { size: None }) {
            graph.fail(&operator, "windowed keys hold only the start of their window: say how long windows are");
        }
        let (names, parts): (Vec<String>, Vec<RecordPart>) = options.parts.into_iter().unzip();
        let part = |(name, part): (String, &RecordPart)| Arc::new(Field::new(name, part.data_type(), true));
        let value = options.value.into_iter().chain(names.into_iter().zip(&parts).map(part)).collect();
        let schema = StreamSchema::new(options.key, value, options.window).unwrap_or_else(|error| {
            graph.fail(&operator, error);
            StreamSchema::new(vec![], vec![], false).expect("no columns cannot clash")
        });
        let name = TopicName::new(topic).unwrap_or_else(|error| {
            graph.fail(&operator, error);
            TopicName::new("unnamed").expect("legal")
        });
        let source = SourceNode {
            topic: TopicRef::External(name),
            formats: options.formats,
            timestamp: options.timestamp,
            reset: options.reset,
            parts,
            decoded: vec![true; schema.value().len()],
        };
        (source, schema)
    }

    /// Reads `topic` as a table of columns, kept in a store.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::SourceOptions, record::Record, schema::WindowKind, format::{Format, Wrapping}};
    /// # use millstream::{topology::{Formats, OffsetReset, TimestampExtractor}, testing::TopologyTestDriver};
    /// # use arrow::datatypes::{DataType, Field};
    /// # let builder = StreamsBuilder::new();
    /// # let options = SourceOptions {
    /// #     key: vec![Arc::new(Field::new("key", DataType::Utf8, true))],
    /// #     value: vec![Arc::new(Field::new("value", DataType::Int64, true))],
    /// #     parts: Vec::new(),
    /// #     window: WindowKind::None,
    /// #     formats: Formats { key: Format::Kafka, value: Format::Json, wrapping: Wrapping::Wrapped },
    /// #     timestamp: TimestampExtractor::Record,
    /// #     reset: OffsetReset::Earliest,
    /// # };
    /// builder.table_columns("stock", options, "stock".into()); // options as in `stream_columns`
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.push("stock", Record::new("tea", r#"{"value": 7}"#))?;
    /// assert_eq!(driver.store::<String, i64>("stock")?.get("tea")?, Some(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn table_columns(&self, topic: &str, options: SourceOptions, materialized: Materialized) -> ColumnTable {
        self.stream_columns(topic, options).to_table(materialized)
    }

    /// The finished topology.
    ///
    /// # Errors
    /// The first mistake made on the way, or what is wrong with the whole.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed};
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("no legal name", Consumed::kafka());
    /// assert!(builder.build().is_err_and(|error| error.to_string().contains("no legal name")));
    /// ```
    pub fn build(self) -> Result<Topology, TopologyError> {
        let mut graph = self.graph.borrow_mut();
        if let Some(error) = graph.error.take() {
            return Err(error);
        }
        Topology::new(graph.nodes.clone(), graph.stores.clone(), graph.globals.clone())
    }
}

/// The store of a table whose rows are stored as they are read. Bounds of windows are key columns like others: rows are kept until they are
/// deleted.
pub(super) fn identity_store(name: String, schema: &StreamSchema, options: StoreOptions) -> StoreSpec {
    StoreSpec {
        name,
        key: schema.whole_key().to_vec(),
        retention: StoreRetention::Forever,
        layout: Arc::new(IdentityRows::new(schema.value().to_vec())),
        options,
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::*;
    use crate::{
        expression::{col, count, lit},
        format::Format,
        operator::Column,
        topology::{Formats, TimestampExtractor},
    };

    fn source() -> SourceOptions {
        let field = |name: &str| Arc::new(Field::new(name, DataType::Utf8, true));
        SourceOptions {
            key: vec![field("id")],
            value: vec![field("city"), field("shop")],
            parts: Vec::new(),
            window: WindowKind::None,
            formats: Formats { key: Format::Kafka, value: Format::Json, wrapping: Wrapping::Wrapped },
            timestamp: TimestampExtractor::Record,
            reset: crate::topology::OffsetReset::Earliest,
        }
    }

    /// The names of stores and of internal topics, sorted.
    fn names(stateless: bool) -> Vec<String> {
        let builder = StreamsBuilder::new();
        let mut stream = builder.stream_columns("orders", source());
        if stateless {
            stream = stream.filter(&col("city").is_not_null()).filter(&col("shop").is_not_null());
        }
        let values = [Column::new("value", col("id"))];
        for key in ["city", "shop", "city"] {
            let grouped = stream.select_key(&[Column::new(key, col(key))], &values).group_by_key();
            grouped.aggregate(&[count(lit(1_i64)).alias("n")], Materialized::default());
        }
        let topology = builder.build().expect("a legal topology");
        let mut names: Vec<String> = topology.stores().iter().map(|store| store.name.clone()).collect();
        names.extend(topology.nodes().iter().filter_map(|node| match &node.kind {
            NodeKind::Source(SourceNode { topic: TopicRef::Internal { name, .. }, .. }) => Some(name.clone()),
            _ => None,
        }));
        names.sort();
        names
    }

    #[test]
    fn names_stay_when_other_operators_come() {
        let want = [
            "aggregate-orders-by-city",
            "aggregate-orders-by-city-2",
            "aggregate-orders-by-shop",
            "repartition-orders-by-city-2-repartition",
            "repartition-orders-by-city-repartition",
            "repartition-orders-by-shop-repartition",
        ];
        assert_eq!(names(false), want);
        assert_eq!(names(true), want);
    }
}
