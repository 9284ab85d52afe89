//! Tables of columns: the newest row of each key, changing.

use std::{rc::Rc, sync::Arc};

use datafusion::logical_expr::Expr;

use super::{
    ColumnStream,
    builder::SharedGraph,
    options::{Materialized, Repartitioned},
};
use crate::{
    expression::{ExpressionError, RetractableAggregation, RetractableSet},
    operator::{Column, Filter, FoldFactory, ForgetBefore, Project, Retract, ToStream, Tombstones, Transform},
    record::TimeSpan,
    schema::StreamSchema,
    topology::{Node, NodeId, NodeKind},
};

/// A table of rows: the newest record of a key is its row, a null deletes it.
///
/// ```
/// use millstream::{StreamsBuilder, dsl::Consumed, expression::{col, lit}, testing::TopologyTestDriver};
///
/// let builder = StreamsBuilder::new();
/// let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into());
/// stock.columns().filter(&col("value").gt(lit(0_i64))).materialize("in-stock".into());
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input_topic::<String, i64>("stock")?.pipe_key_value_list([("tea", 7), ("ink", 3), ("ink", 0)])?;
/// let in_stock = driver.store::<String, i64>("in-stock")?;
/// assert_eq!((in_stock.get("tea")?, in_stock.get("ink")?), (Some(7), None));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ColumnTable {
    pub(super) graph: SharedGraph,
    pub(super) node: NodeId,
    pub(super) schema: Arc<StreamSchema>,
    /// The number of the store that holds exactly this table, if there is one.
    pub(super) store: Option<usize>,
}

impl ColumnTable {
    /// The columns.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into()).columns().clone();
    /// assert_eq!((stock.schema().key()[0].name().as_str(), stock.schema().value()[0].name().as_str()), ("key", "value"));
    /// ```
    pub fn schema(&self) -> &Arc<StreamSchema> {
        &self.schema
    }

    /// The name of the store that holds this table, if there is one: the view's name. Of final results the view shows open windows, too.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, expression::{col, lit}};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into()).columns().clone();
    /// assert_eq!(stock.store_name().as_deref(), Some("stock"));
    /// assert_eq!(stock.filter(&col("value").gt(lit(0_i64))).store_name(), None); // computed when `stock` changes
    /// ```
    pub fn store_name(&self) -> Option<String> {
        let graph = self.graph.borrow();
        let store = match &graph.nodes[self.node.0].kind {
            NodeKind::Aggregate(aggregate) => Some(aggregate.store),
            _ => self.store,
        };
        store.map(|store| graph.stores[store].name.clone())
    }

    /// Keeps the rows for which `predicate` is true; a row that no longer passes is deleted.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, expression::{col, lit}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into()).columns().clone();
    /// stock.filter(&col("value").gt(lit(0_i64))).to_stream().to("in-stock", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("stock")?.pipe_key_value_list([("tea", 7), ("tea", 0)])?;
    /// assert_eq!(driver.output_topic::<String, i64>("in-stock")?.read_values_to_list()?, [Some(7), None]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn filter(&self, predicate: &Expr) -> Self {
        match Filter::new(predicate, &self.schema) {
            Ok(filter) => {
                let filter = self.deleting(Arc::new(filter.of_rows()));
                self.transform("filter", filter, Arc::clone(&self.schema))
            }
            Err(error) => self.failed("filter", error),
        }
    }

    /// Computes new value columns; the key stays.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, expression::{col, lit}, operator::Column, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into()).columns().clone();
    /// stock.select(&[Column::new("value", col("value") * lit(10_i64))]).to_stream().to("by-tens", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("stock")?.pipe("tea", 7)?;
    /// assert_eq!(driver.output_topic::<String, i64>("by-tens")?.read_values_to_list()?, [Some(70)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn select(&self, value: &[Column]) -> Self {
        match Project::new(None, value, &self.schema) {
            Ok(project) => {
                let schema = Arc::clone(project.output());
                self.transform("select", Arc::new(project), schema)
            }
            Err(error) => self.failed("select", error),
        }
    }

    /// Applies a stateless function of changes whose output has `schema` and the same keys.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, expression::{col, lit}, operator::{Column, Project}};
    /// # use millstream::testing::TopologyTestDriver;
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into()).columns().clone();
    /// let tens = Project::new(None, &[Column::new("value", col("value") * lit(10_i64))], stock.schema())?; // or one's own
    /// let schema = Arc::clone(tens.output());
    /// stock.transform("tens", Arc::new(tens), schema).to_stream().to("by-tens", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("stock")?.pipe("tea", 7)?;
    /// assert_eq!(driver.output_topic::<String, i64>("by-tens")?.read_values_to_list()?, [Some(70)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn transform(&self, name: &str, transform: Arc<dyn Transform>, schema: Arc<StreamSchema>) -> Self {
        let kind = NodeKind::Transform(transform);
        let node = self.graph.borrow_mut().add(name, kind, vec![self.node], Arc::clone(&schema));
        Self { graph: Rc::clone(&self.graph), node, schema, store: None }
    }

    /// The same changes, each with the row that it replaces, for a [`transform`](Self::transform) that looks at both.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, expression::{col, lit}, operator::Filter, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into()).columns().clone();
    /// // Deletes the row of what is sold out, and nothing if there was no row.
    /// let is_left = Filter::new(&col("value").gt(lit(0_i64)), stock.schema())?.of_rows();
    /// let left = stock.with_before().transform("is-left", Arc::new(is_left), Arc::clone(stock.schema()));
    /// left.to_stream().to("in-stock", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("stock")?.pipe_key_value_list([("ink", 0), ("tea", 7), ("tea", 0)])?;
    /// assert_eq!(driver.output_topic::<String, i64>("in-stock")?.read_values_to_list()?, [Some(7), None]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_before(&self) -> Self {
        self.require_before();
        self.clone()
    }

    /// Keeps the table in a store, so that it can be joined with and queried.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, expression::{col, lit}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into()).columns().clone();
    /// stock.filter(&col("value").gt(lit(0_i64))).materialize("in-stock".into());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("stock")?.pipe("tea", 7)?;
    /// assert_eq!(driver.store::<String, i64>("in-stock")?.get("tea")?, Some(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn materialize(&self, materialized: Materialized) -> Self {
        self.to_stream().to_table(materialized)
    }

    /// The same table without rows that were not updated for `ttl`: a row goes when stream time, which is event time, reaches its timestamp and
    /// `ttl`. What an aggregation above remembers does not: a group that comes back goes on from where it was.
    ///
    /// # State
    /// The rows that are left, and an index of them by time: see [`to_table_with_ttl`](ColumnStream::to_table_with_ttl). This table stays beside
    /// it, with what it keeps: of a table that is read from a topic that is every key, for ever, under its own name, which can be queried. Where
    /// only the rows that are left are wanted, read the topic as a stream and make that a table with a TTL.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into()).columns().clone();
    /// stock.expire_after(Duration::from_millis(10), "counted-lately".into());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("stock")?.pipe_at("tea", 7, 0)?;
    /// driver.input_topic::<String, i64>("stock")?.pipe_at("ink", 3, 10)?;
    /// let lately = driver.store::<String, i64>("counted-lately")?;
    /// assert_eq!((lately.get("tea")?, lately.get("ink")?), (None, Some(3)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn expire_after(&self, ttl: impl Into<TimeSpan>, materialized: Materialized) -> Self {
        // What a table was made of has the positions of its records, too, for those that come too late.
        let source = match &self.graph.borrow().nodes[self.node.0] {
            Node { kind: NodeKind::Table { .. }, inputs, .. } => Some(inputs[0]),
            _ => None,
        };
        match source {
            None => self.to_stream().to_table_with_ttl(ttl, materialized),
            Some(node) => {
                let (graph, schema) = (Rc::clone(&self.graph), Arc::clone(&self.schema));
                ColumnStream { graph, node, schema, rekeyed: false }.to_table_with_ttl(ttl, materialized)
            }
        }
    }

    /// The changes as a stream: each new row, a null value for each deleted one.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into()).columns().clone();
    /// stock.to_stream().to("changes", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("stock")?.pipe("tea", 7)?;
    /// driver.input_topic::<String, i64>("stock")?.pipe_null_value("tea")?;
    /// assert_eq!(driver.output_topic::<String, i64>("changes")?.read_values_to_list()?, [Some(7), None]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_stream(&self) -> ColumnStream {
        self.changes(ToStream::All)
    }

    /// Changes as a stream: all, or those of the newest rows.
    pub(super) fn changes(&self, which: ToStream) -> ColumnStream {
        let stream = ColumnStream {
            graph: Rc::clone(&self.graph),
            node: self.node,
            schema: Arc::clone(&self.schema),
            rekeyed: false,
        };
        stream.transform("to-stream", Arc::new(which), Arc::clone(&self.schema), false)
    }

    /// Groups rows by other columns: what a row contributes is taken back when it changes or goes.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, expression::{col, count, lit}, operator::Column, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into()).columns().clone();
    /// let by_left = stock.group_by(&[Column::new("key", col("value"))], &[Column::new("item", col("key"))]);
    /// by_left.aggregate(&[count(lit(1_i64)).alias("value")], "items-by-left".into());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("stock")?.pipe_key_value_list([("tea", 7), ("ink", 7), ("ink", 6)])?;
    /// let items = driver.store::<i64, i64>("items-by-left")?;
    /// assert_eq!((items.get(7)?, items.get(6)?), (Some(1), Some(1)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn group_by(&self, key: &[Column], value: &[Column]) -> ColumnTableGroup {
        self.grouped(Retract::new(key, value, &self.schema).map_err(|error| error.to_string()))
    }

    /// Groups rows as `retract` says.
    pub(super) fn grouped(&self, retract: Result<Retract, String>) -> ColumnTableGroup {
        self.graph.borrow_mut().require_before(self.node);
        let retract = retract.unwrap_or_else(|problem| {
            self.failed("group_by", problem);
            Retract::new(&[], &[], &self.schema).expect("no columns cannot fail")
        });
        ColumnTableGroup { table: self.clone(), retract }
    }

    /// Gives the operator that this table comes from a name: see [`ColumnStream::named`].
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, expression::{col, lit}};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into()).columns().clone();
    /// stock.filter(&col("value").gt(lit(0_i64))).named("in-stock");
    /// assert!(builder.build()?.describe().contains("in-stock: filter"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn named(&self, name: &str) -> Self {
        self.graph.borrow_mut().name(self.node, name);
        self.clone()
    }

    /// Keeps a mistake for `build` and goes on as if the operator were not there.
    pub(super) fn failed(&self, operator: &str, problem: impl std::fmt::Display) -> Self {
        self.graph.borrow_mut().fail(operator, problem);
        self.clone()
    }

    /// A filter of this table as it has to be: one that knows what was there before, or one that deletes what was not there, too. Kafka Streams'
    /// filters know it where that is to be had for nothing.
    pub(super) fn deleting(&self, filter: Arc<dyn Transform>) -> Arc<dyn Transform> {
        let mut graph = self.graph.borrow_mut();
        if graph.tombstones == Tombstones::OfRows || graph.has_before(self.node) {
            graph.require_before(self.node);
            return filter;
        }
        Arc::new(ForgetBefore::new(filter))
    }

    /// Asks for changes that say what was there before on behalf of an operator whose counterpart in Kafka Streams does, so that deletions of what
    /// was not there are those of Kafka Streams, if they are wanted.
    pub(super) fn require_before_as_kafka_streams(&self) {
        let mut graph = self.graph.borrow_mut();
        if graph.tombstones == Tombstones::AsKafkaStreams {
            graph.require_before(self.node);
        }
    }

    /// Asks for changes that say what was there before.
    pub(super) fn require_before(&self) {
        self.graph.borrow_mut().require_before(self.node);
    }
}

/// A table grouped by other columns than its key.
///
/// ```
/// # use millstream::{StreamsBuilder, dsl::Consumed, expression::{col, count, lit}, operator::Column, testing::TopologyTestDriver};
/// # let builder = StreamsBuilder::new();
/// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into()).columns().clone();
/// let by_left = stock.group_by(&[Column::new("key", col("value"))], &[Column::new("item", col("key"))]);
/// // The row of tea counts in the group of 7 only until there are 6 left.
/// by_left.aggregate(&[count(lit(1_i64)).alias("value")], "items-by-left".into());
/// # let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input_topic::<String, i64>("stock")?.pipe_key_value_list([("tea", 7), ("tea", 6)])?;
/// assert_eq!(driver.store::<i64, i64>("items-by-left")?.get(7)?, Some(0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ColumnTableGroup {
    table: ColumnTable,
    retract: Retract,
}

impl ColumnTableGroup {
    /// Computes aggregate expressions per group. Counts, sums and means subtract what goes; functions that cannot take a row back,
    /// such as `max`, keep the rows of each group instead.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, expression::{col, lit, max}, operator::Column, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into()).columns().clone();
    /// let all = stock.group_by(&[Column::new("key", lit("all"))], &[Column::new("left", col("value"))]);
    /// all.aggregate(&[max(col("left")).alias("value")], "most".into());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("stock")?.pipe_key_value_list([("tea", 7), ("ink", 3), ("tea", 1)])?;
    /// assert_eq!(driver.store::<String, i64>("most")?.get("all")?, Some(3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn aggregate(&self, calls: &[Expr], materialized: Materialized) -> ColumnTable {
        let plain = bind(calls, &self.retract);
        let needs_identity = plain.as_ref().is_ok_and(|bound| bound.iter().any(RetractableAggregation::needs_identity));
        let (retract, bound) = match needs_identity.then(|| self.retract.with_identity(&self.table.schema)) {
            None => (self.retract.clone(), plain),
            Some(Ok(retract)) => {
                let bound = bind(calls, &retract);
                (retract, bound)
            }
            Some(Err(error)) => {
                self.table.failed("group_by", error);
                (self.retract.clone(), plain)
            }
        };
        let fold = match bound {
            Ok(aggregations) => RetractableSet::new(aggregations),
            Err(error) => {
                self.table.failed("aggregate", error);
                RetractableSet::new(Vec::new())
            }
        };
        self.folded(retract, Arc::new(fold), materialized)
    }

    /// Keeps a mistake for `build` and gives the table that was to be grouped.
    pub(super) fn failed(&self, operator: &str, problem: impl std::fmt::Display) -> ColumnTable {
        self.table.failed(operator, problem)
    }

    /// Folds the changes of each group in a way of one's own: rows are those that [`Retract`] gives.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, expression::{RetractableAggregation, RetractableSet, col, lit, sum}};
    /// # use millstream::{operator::{Column, Retract}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into()).columns().clone();
    /// let (key, value) = ([Column::new("key", lit("all"))], [Column::new("left", col("value"))]);
    /// let rows = Retract::new(&key, &value, stock.schema())?;
    /// let total = RetractableAggregation::bind(&sum(col("left")).alias("value"), rows.output())?;
    /// stock.group_by(&key, &value).fold(Arc::new(RetractableSet::new(vec![total])), "total".into());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("stock")?.pipe_key_value_list([("tea", 7), ("ink", 3), ("tea", 1)])?;
    /// assert_eq!(driver.store::<String, i64>("total")?.get("all")?, Some(4));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fold(&self, fold: Arc<dyn FoldFactory>, materialized: Materialized) -> ColumnTable {
        self.folded(self.retract.clone(), fold, materialized)
    }

    fn folded(&self, retract: Retract, fold: Arc<dyn FoldFactory>, materialized: Materialized) -> ColumnTable {
        let schema = Arc::clone(retract.output());
        let kind = NodeKind::Transform(Arc::new(retract));
        let graph = Rc::clone(&self.table.graph);
        let node = graph.borrow_mut().add("group-by", kind, vec![self.table.node], Arc::clone(&schema));
        let stream = ColumnStream { graph, node, schema, rekeyed: true };
        let stream = stream.repartition(Repartitioned { name: materialized.name.clone(), ..Repartitioned::default() });
        stream.group_by_key().fold(fold, materialized)
    }
}

fn bind(calls: &[Expr], retract: &Retract) -> Result<Vec<RetractableAggregation>, ExpressionError> {
    calls.iter().map(|call| RetractableAggregation::bind(call, retract.output())).collect()
}
