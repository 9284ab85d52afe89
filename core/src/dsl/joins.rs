//! Joins, as methods of [`ColumnStream`] and [`ColumnTable`].
//!
//! Both sides of a join have one partition a key: what is partitioned by other keys, or by other bytes of the same keys, moves through a
//! repartition topic first. A table that is not kept in a store is kept for the join.
//!
//! The names that a join is given for its columns may be two more than the columns of both sides: the last two are then those of boolean
//! columns that say whether there is a left and a right side. A side whose columns are all null is not a missing one.

use std::{rc::Rc, sync::Arc};

use arrow::datatypes::{DataType, Field, FieldRef};

use super::{
    ColumnStream, ColumnTable, Joined, Materialized, Repartitioned, StreamJoined, TableJoined, builder::Graph,
};
use crate::{
    expression::Expr,
    operator::{
        ForeignKeySchemas, JoinKind, KeyExpressions, KeyMapping, OpaqueRows, RecordStore, Routing, SIDE_COLUMNS,
        StoreOptions, StoreRetention, StoreSpec, StreamJoinKind, TableJoinKind, ToStream,
    },
    schema::{StreamSchema, WindowKind},
    topology::{
        ForeignKeyNode, Formats, JoinNode, KeptTable, NodeId, NodeKind, OffsetReset, SinkNode, SourceNode,
        StreamJoinNode, TableJoinNode, TimestampExtractor, TopicRef,
    },
};

impl ColumnStream {
    /// Meets each record with the row of its key in `table`. `names` are the value columns of the result: the stream's, then the
    /// table's, and two more if they are to say which sides there are.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, expression::col, operator::{Column, JoinKind}};
    /// # use millstream::testing::TopologyTestDriver;
    /// # let builder = StreamsBuilder::new();
    /// let orders = builder.stream::<String, i64>("orders", Consumed::kafka()).columns().clone();
    /// let prices = builder.table::<String, i64>("prices", Consumed::kafka(), "prices".into()).columns().clone();
    /// let joined = orders.join(&prices, JoinKind::Inner, &["pieces".to_owned(), "price".to_owned()]);
    /// joined.select(&[Column::new("value", col("pieces") * col("price"))]).to("amounts", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("prices")?.pipe("tea", 3)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe("tea", 2)?;
    /// assert_eq!(driver.output_topic::<String, i64>("amounts")?.read_values_to_list()?, [Some(6)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join<'a>(&self, table: impl Into<Joined<'a, ColumnTable>>, kind: JoinKind, names: &[String]) -> Self {
        let joined = table.into();
        if let Some((versions, is_kept)) = joined.table.versions() {
            return self.join_versions(joined, versions, is_kept, kind, names);
        }
        let Joined { table, name, grace } = joined;
        if grace.is_some() {
            return self.failed("join", "a grace needs a versioned table: materialize it with a history");
        }
        let schema = match joined_schema(&self.schema, &table.schema, names) {
            Ok(schema) => schema,
            Err(problem) => return self.failed("join", problem),
        };
        // Equal keys are in equal partitions only if their bytes are equal.
        let key = self.graph.borrow().key_format(table.node);
        let moves = self.rekeyed || self.graph.borrow().key_format(self.node) != key;
        let (table, key) = if moves && key.registered().is_some() {
            (table.repartitioned(), Formats::INTERNAL.key)
        } else {
            (table.kept(), key)
        };
        let input = if moves { self.repartition_with(moved(name), key) } else { self.clone() };
        let KeptTable { store, layout } = table.in_store();
        let kind = NodeKind::Join(JoinNode { kind, store, layout });
        let node = self.graph.borrow_mut().add("join", kind, vec![input.node], Arc::clone(&schema));
        Self { graph: Rc::clone(&self.graph), node, schema, rekeyed: false }
    }

    /// Meets each record with those of `other` that have its key and lie within `windows` of it. `names` are the value columns of the
    /// result: this stream's, then the other's, and two more if they are to say which sides there are. The key and its names are this stream's; so is the window of a windowed key.
    ///
    /// # Ordering
    /// A record meets the records of the other side by their timestamps. The result has the higher timestamp of both.
    ///
    /// # State
    /// The records of both sides, for as long as the windows and their grace last, or as is asked for.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, expression::col, operator::{Column, StreamJoinKind}};
    /// # use millstream::{window::JoinWindows, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let [left, right] = ["left", "right"].map(|topic| builder.stream::<String, i64>(topic, Consumed::kafka()).columns().clone());
    /// let windows = JoinWindows::new(Duration::from_millis(10), Duration::from_millis(5));
    /// let joined = left.join_stream(&right, StreamJoinKind::Inner, windows, &["l".to_owned(), "r".to_owned()]);
    /// joined.select(&[Column::new("value", col("l") + col("r"))]).to("sums", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("left")?.pipe_at("ada", 30, 100)?;
    /// for (amount, time) in [(1, 89), (2, 90), (3, 105), (4, 106)] {
    ///     driver.input_topic::<String, i64>("right")?.pipe_at("ada", amount, time)?;
    /// }
    /// assert_eq!(driver.output_topic::<String, i64>("sums")?.read_values_to_list()?, [Some(32), Some(33)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join_stream(
        &self,
        other: &Self,
        kind: StreamJoinKind,
        windows: impl Into<StreamJoined>,
        names: &[String],
    ) -> Self {
        let StreamJoined { windows, name, stores, retention, unmatched } = windows.into();
        let retention = retention.unwrap_or(windows.retention());
        if retention < windows.retention() {
            let least = windows.retention();
            return self
                .failed("join", format!("a retention of {retention} is shorter than windows and grace: {least}"));
        }
        let schema = match joined_schema(&self.schema, &other.schema, names) {
            Ok(schema) => schema,
            Err(problem) => return self.failed("join", problem),
        };
        let (left, right) = self.co_partitioned(other, name.as_deref());
        let mut graph = self.graph.borrow_mut();
        let name = stores.or(name).unwrap_or_else(|| graph.unnamed("join", &[left.node, right.node]));
        let mut store = |of: &str, retention: StoreRetention| {
            let name = format!("{name}-{of}");
            graph.add_store(StoreSpec {
                name,
                key: schema.key().to_vec(),
                retention,
                layout: Arc::new(OpaqueRows),
                options: StoreOptions::default(),
            })
        };
        let kept = RecordStore::store_retention(&windows, retention);
        let stores = [store("left", kept.clone()), store("right", kept)];
        let waits = kind != StreamJoinKind::Inner && windows.grace().is_some();
        let waiting = waits.then(|| store("waiting", StoreRetention::Forever));
        let kind = NodeKind::StreamJoin(StreamJoinNode { kind, windows, retention, stores, waiting, unmatched });
        let node = graph.add("join", kind, vec![left.node, right.node], Arc::clone(&schema));
        drop(graph);
        Self { graph: Rc::clone(&self.graph), node, schema, rekeyed: false }
    }

    /// Both streams with equal keys in equal partitions; what moves goes through topics with `name` in their names.
    fn co_partitioned(&self, other: &Self, name: Option<&str>) -> (Self, Self) {
        let formats = [self, other].map(|stream| self.graph.borrow().key_format(stream.node));
        let left = |key| self.repartition_with(moved(name.map(|name| format!("{name}-left"))), key);
        let right = |key| other.repartition_with(moved(name.map(|name| format!("{name}-right"))), key);
        match (self.rekeyed, other.rekeyed) {
            (false, false) if formats[0] == formats[1] => (self.clone(), other.clone()),
            // Keys with the id of a schema in front cannot be written again as they were.
            _ if formats.iter().any(|format| format.registered().is_some()) => {
                (left(Formats::INTERNAL.key), right(Formats::INTERNAL.key))
            }
            (false, _) => (self.clone(), right(formats[0].clone())),
            (true, false) => (left(formats[1].clone()), other.clone()),
            (true, true) => (left(Formats::INTERNAL.key), right(Formats::INTERNAL.key)),
        }
    }
}

impl ColumnTable {
    /// This table, kept in a store in which a row can be found by its key. Sessions are not: they lie in stretches of time. Windows are
    /// if their start is their number.
    fn kept(&self) -> Self {
        let retention = self.store.map(|store| self.graph.borrow().stores[store].retention.clone());
        match retention {
            Some(StoreRetention::Forever) => self.clone(),
            Some(StoreRetention::Windows { windows, .. }) if windows.is_numbered_by_start() => self.clone(),
            Some(StoreRetention::Windows { .. } | StoreRetention::Sessions { .. }) | None => {
                self.newest().to_table(Materialized::default())
            }
        }
    }

    /// The changes of the newest rows: those of the past of a versioned table do not count in joins of tables.
    fn newest(&self) -> ColumnStream {
        self.changes(if self.versions().is_some() { ToStream::Newest } else { ToStream::All })
    }

    /// This table with every row in the partition of its key as internal topics write it, kept in a store: for keys with the id of a schema
    /// in front, whose bytes differ where the keys are equal.
    fn repartitioned(&self) -> Self {
        let moved = self.newest().repartition_with(Repartitioned::default(), Formats::INTERNAL.key);
        moved.to_table(Materialized::default()).kept()
    }

    /// The store of a table that is kept.
    fn in_store(&self) -> KeptTable {
        let store = self.store.unwrap_or_default();
        KeptTable { store, layout: Arc::clone(&self.graph.borrow().stores[store].layout) }
    }

    /// Meets each row with that of `other` which has its key. `names` are the value columns of the result: this table's, then the
    /// other's, and two more if they are to say which sides there are. The key and its names are this table's.
    ///
    /// # Ordering
    /// Each change of either table gives one of the result, with the higher timestamp of both rows.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, expression::col, operator::{Column, TableJoinKind}};
    /// # use millstream::testing::TopologyTestDriver;
    /// # let builder = StreamsBuilder::new();
    /// # let [left, right] = ["left", "right"].map(|topic| builder.table::<String, i64>(topic, Consumed::kafka(), topic.into()).columns().clone());
    /// let joined = left.join_table(&right, TableJoinKind::Inner, &["l".to_owned(), "r".to_owned()]);
    /// joined.select(&[Column::new("value", col("l") + col("r"))]).to_stream().to("sums", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("left")?.pipe("ada", 30)?;
    /// driver.input_topic::<String, i64>("right")?.pipe("ada", 12)?;
    /// driver.input_topic::<String, i64>("left")?.pipe_null_value("ada")?;
    /// assert_eq!(driver.output_topic::<String, i64>("sums")?.read_values_to_list()?, [Some(42), None]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join_table(&self, other: &Self, kind: TableJoinKind, names: &[String]) -> Self {
        let schema = match joined_schema(&self.schema, &other.schema, names) {
            Ok(schema) => schema,
            Err(problem) => return self.failed("join", problem),
        };
        if matches!(kind, TableJoinKind::Left | TableJoinKind::Outer) {
            self.require_before_as_kafka_streams();
        }
        if matches!(kind, TableJoinKind::Right | TableJoinKind::Outer) {
            other.require_before_as_kafka_streams();
        }
        let (left, right) = if self.graph.borrow().share_source(self.node, other.node) {
            // Each side of such a join changes its store just before it is joined, and the other side's store not yet.
            (self.newest().to_table(Materialized::default()), other.newest().to_table(Materialized::default()))
        } else {
            (self.kept(), other.kept())
        };
        let (mut left, mut right) = (left, right);
        let formats = [&left, &right].map(|table| self.graph.borrow().key_format(table.node));
        if formats[0] != formats[1] && formats.iter().any(|format| format.registered().is_some()) {
            (left, right) = (left.repartitioned(), right.repartitioned());
        } else if formats[0] != formats[1] {
            let moved = right.newest().repartition_with(Repartitioned::default(), formats[0].clone());
            right = moved.to_table(Materialized::default());
        }
        if matches!(kind, TableJoinKind::Left | TableJoinKind::Outer) {
            left.require_before();
        }
        if matches!(kind, TableJoinKind::Right | TableJoinKind::Outer) {
            right.require_before();
        }
        let tables = [left.in_store(), right.in_store()];
        let kind = NodeKind::TableJoin(TableJoinNode { kind, tables, needs_before: false });
        let inputs = vec![left.node, right.node];
        let node = self.graph.borrow_mut().add("join", kind, inputs, Arc::clone(&schema));
        Self { graph: Rc::clone(&self.graph), node, schema, store: None }
    }

    /// Meets each row with the row of `other` whose key is what `foreign_key` computes from it: one expression for each key column of
    /// `other`. `names` are the value columns of the result: this table's, then the other's, and two more if they are to say which sides there
    /// are. The key is this table's.
    ///
    /// # Ordering
    /// Changes pass through two internal topics. What a row causes that has changed again meanwhile is left out; deletions may come
    /// more than once. The timestamp is the higher one of both rows where this table's row caused the change, else that of the other.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, expression::col, operator::{Column, JoinKind}};
    /// # use millstream::testing::TopologyTestDriver;
    /// # let builder = StreamsBuilder::new();
    /// let orders = builder.table::<i64, String>("orders", Consumed::kafka(), "orders".into()).columns().clone();
    /// let prices = builder.table::<String, i64>("prices", Consumed::kafka(), "prices".into()).columns().clone();
    /// // Each order says of which item it is: that is the key of the prices.
    /// let joined = orders.join_foreign(&prices, &[col("value")], JoinKind::Inner, &["item".to_owned(), "price".to_owned()]);
    /// joined.select(&[Column::new("value", col("price"))]).to_stream().to("amounts", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("prices")?.pipe("tea", 3)?;
    /// driver.input_topic::<i64, String>("orders")?.pipe(1, "tea")?;
    /// driver.input_topic::<String, i64>("prices")?.pipe("tea", 4)?;
    /// assert_eq!(driver.output_topic::<i64, i64>("amounts")?.read_values_to_list()?, [Some(3), Some(4)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join_foreign<'a>(
        &self,
        other: impl Into<TableJoined<'a, Self>>,
        foreign_key: &[Expr],
        kind: JoinKind,
        names: &[String],
    ) -> Self {
        match KeyExpressions::new(foreign_key, &self.schema) {
            Ok(foreign_key) => self.join_by(other.into(), Arc::new(foreign_key), kind, names),
            Err(problem) => self.failed("foreign-key join", problem),
        }
    }

    /// The same with a foreign key that is computed in whatever way.
    pub(super) fn join_by(
        &self,
        joined: TableJoined<'_, Self>,
        foreign_key: Arc<dyn KeyMapping>,
        kind: JoinKind,
        names: &[String],
    ) -> Self {
        let TableJoined { table: other, name } = joined;
        let checked = foreign_key_schemas(&self.schema, &other.schema, foreign_key.as_ref(), names);
        let (schema, schemas) = match checked {
            Ok(checked) => checked,
            Err(problem) => return self.failed("foreign-key join", problem),
        };
        let partition_column = schemas.partition_column();
        let ForeignKeySchemas { subscription, response } = schemas;
        // Subscriptions go where their key is written as the right table's keys are; responses are told where to go.
        let rewritten = self.graph.borrow().key_format(other.node).registered().is_some();
        let (left, right) = (self.kept(), if rewritten { other.repartitioned() } else { other.kept() });
        left.require_before();
        let (left_store, right_store) = (left.in_store(), right.in_store());
        let mut graph = self.graph.borrow_mut();
        let name = name.unwrap_or_else(|| graph.unnamed("foreign-key-join", &[left.node, right.node]));
        let formats = Formats { key: graph.key_format(right.node), ..Formats::INTERNAL };
        let mut store = |of: &str, key: &StreamSchema| {
            let (name, retention) = (format!("{name}-{of}"), StoreRetention::Forever);
            graph.add_store(StoreSpec {
                name,
                key: key.key().to_vec(),
                retention,
                layout: Arc::new(OpaqueRows),
                options: StoreOptions::default(),
            })
        };
        let subscriptions = store("subscriptions", &right.schema);
        let unsettled = (kind == JoinKind::Inner).then(|| store("unsettled", &left.schema));
        let add =
            |graph: &mut Graph, operator: &str, join: ForeignKeyNode, input: NodeId, schema: &Arc<StreamSchema>| {
                graph.add(operator, NodeKind::ForeignKey(join), vec![input], Arc::clone(schema))
            };
        let subscribe = ForeignKeyNode::Subscribe { kind, foreign_key, unsettled };
        let asked = add(&mut graph, "foreign-key-subscribe", subscribe, left.node, &subscription);
        let topic = format!("{name}-subscription-registration");
        let asked = through(&mut graph, (&topic, formats, None), asked, &subscription);
        let answer = ForeignKeyNode::Answer { subscriptions, right: right_store };
        let answered = add(&mut graph, "foreign-key-answer", answer, asked, &response);
        let notify = ForeignKeyNode::Notify { subscriptions };
        let notified = add(&mut graph, "foreign-key-notify", notify, right.node, &response);
        let told = graph.add("merge", NodeKind::Merge, vec![answered, notified], Arc::clone(&response));
        let topic = format!("{name}-subscription-response");
        let told = through(&mut graph, (&topic, Formats::INTERNAL, Some(partition_column)), told, &response);
        let resolve = ForeignKeyNode::Resolve {
            kind,
            left: left_store,
            unsettled,
            key: graph.key_format(left.node),
            results: None,
        };
        let node = add(&mut graph, "foreign-key-resolve", resolve, told, &schema);
        drop(graph);
        Self { graph: Rc::clone(&self.graph), node, schema, store: None }
    }
}

/// Moves what `node` gives through a topic of the topology's own: its name, how records are written, which column says where they go.
fn through(
    graph: &mut Graph,
    (name, formats, partition_column): (&str, Formats, Option<usize>),
    node: NodeId,
    schema: &Arc<StreamSchema>,
) -> NodeId {
    let topic = TopicRef::Internal { name: name.to_owned(), partitions: None };
    let routing = partition_column.map_or(Routing::ByKey, Routing::Column);
    let sink = SinkNode { topic: topic.clone(), formats: formats.clone(), computed_keys: false, routing };
    graph.add("sink", NodeKind::Sink(sink), vec![node], Arc::clone(schema));
    let source = SourceNode {
        topic,
        formats,
        timestamp: TimestampExtractor::Record,
        reset: OffsetReset::Earliest,
        decoded: vec![true; schema.value().len()],
        parts: Vec::new(),
    };
    graph.add("source", NodeKind::Source(source), vec![], Arc::clone(schema))
}

/// How records move through a topic with this name in its name.
pub(super) fn moved(name: Option<String>) -> Repartitioned {
    Repartitioned { name, ..Repartitioned::default() }
}

fn types(fields: &[FieldRef]) -> Vec<DataType> {
    fields.iter().map(|field| field.data_type().clone()).collect()
}

/// The value columns of both sides under these names, and those that say which sides there are if there are two more names.
pub(super) fn renamed(left: &StreamSchema, right: &StreamSchema, names: &[String]) -> Result<Vec<FieldRef>, String> {
    let columns = left.value().len() + right.value().len();
    let sides = names.len().saturating_sub(columns);
    if names.len() < columns || ![0, SIDE_COLUMNS].contains(&sides) {
        return Err(format!("{} names for {columns} columns", names.len()));
    }
    let field = |(name, field): (&String, &FieldRef)| Arc::new(field.as_ref().clone().with_name(name));
    let mut fields: Vec<FieldRef> = names.iter().zip(left.value().iter().chain(right.value())).map(field).collect();
    fields.extend(names[columns..].iter().map(|name| Arc::new(Field::new(name, DataType::Boolean, true))));
    Ok(fields)
}

/// The columns of a join by equal keys.
pub(super) fn joined_schema(
    left: &StreamSchema,
    right: &StreamSchema,
    names: &[String],
) -> Result<Arc<StreamSchema>, String> {
    let value = renamed(left, right, names)?;
    if types(left.key()) != types(right.key()) {
        return Err("the keys of both sides are of different types".to_owned());
    }
    match (left.window(), right.window()) {
        (WindowKind::None, WindowKind::None)
        | (WindowKind::Time { .. }, WindowKind::Time { .. })
        | (WindowKind::Session, WindowKind::Session)
        | (WindowKind::Bounds, WindowKind::Bounds) => {}
        _ => return Err("keys with windows of different kinds, or of which one has none, are never equal".to_owned()),
    }
    let names_of = |schema: &StreamSchema| schema.key().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    if left.key().len() > 1 && names_of(left) != names_of(right) {
        return Err("keys of several columns must have the same names on both sides: rename them".to_owned());
    }
    StreamSchema::new(left.key().to_vec(), value, left.window()).map_err(|error| error.to_string())
}

/// The columns of a foreign-key join, and of its topics.
fn foreign_key_schemas(
    left: &StreamSchema,
    right: &StreamSchema,
    foreign_key: &dyn KeyMapping,
    names: &[String],
) -> Result<(Arc<StreamSchema>, ForeignKeySchemas), String> {
    if left.is_windowed() || right.is_windowed() {
        return Err(
            "foreign-key joins of tables with windowed keys are not there: key the table by other columns".to_owned()
        );
    }
    let value = renamed(left, right, names)?;
    let given = foreign_key.types();
    if given != types(right.key()) {
        let list = |types: &[DataType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let (given, wanted) = (list(&given), list(&types(right.key())));
        return Err(format!("the foreign key is of type {given}, the key of the other table of type {wanted}"));
    }
    let text = |error: crate::schema::SchemaError| error.to_string();
    let schema = StreamSchema::new(left.key().to_vec(), value, false).map_err(text)?;
    Ok((schema, ForeignKeySchemas::new(left, right).map_err(text)?))
}
