//! Streams of columns grouped by their key: what is aggregated, by which windows, and when results are passed on.

use std::{rc::Rc, sync::Arc};

use arrow::datatypes::FieldRef;

use super::{
    ColumnStream, ColumnTable,
    column_stream::index_name,
    options::{Materialized, Repartitioned},
};
use crate::{
    expression::{Aggregation, AggregationSet, Expr},
    operator::{FoldFactory, OpaqueRows, StoreOptions, StoreRetention, StoreSpec, sliding_stretch, stretch_span},
    record::TimeSpan,
    schema::StreamSchema,
    topology::{AggregateNode, NodeId, NodeKind},
    window::{EmitStrategy, Windows},
};

/// A stream grouped by its key, with or without windows.
///
/// ```
/// use millstream::{StreamsBuilder, dsl::Consumed, expression::{col, sum}, testing::TopologyTestDriver};
///
/// let builder = StreamsBuilder::new();
/// let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
/// orders.columns().group_by_key().aggregate(&[sum(col("value")).alias("value")], "totals".into());
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input_topic::<String, i64>("orders")?.pipe_key_value_list([("ada", 30), ("ada", 12)])?;
/// assert_eq!(driver.store::<String, i64>("totals")?.get("ada")?, Some(42));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ColumnGroup {
    /// What is grouped: more than one stream if they are cogrouped. All have the same key.
    pub(super) streams: Vec<ColumnStream>,
    pub(super) windows: Option<Windows>,
    pub(super) strategy: EmitStrategy,
}

impl ColumnGroup {
    pub(super) fn of(streams: Vec<ColumnStream>) -> Self {
        Self { streams, windows: None, strategy: EmitStrategy::OnUpdate }
    }

    /// The first stream: where mistakes are told.
    pub(super) fn first(&self) -> &ColumnStream {
        self.streams.first().expect("a group is made of a stream")
    }

    /// Groups by window, too.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced, Windowed}, expression::{col, sum}, window::TimeWindows};
    /// # use millstream::testing::TopologyTestDriver;
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka()).columns().clone();
    /// let windows = TimeWindows::tumbling(Duration::from_millis(10), Duration::ZERO)?;
    /// let totals = orders.group_by_key().windowed_by(windows).aggregate(&[sum(col("value")).alias("value")], "totals".into());
    /// totals.to_stream().to("out", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe_at("ada", 30, 27)?;
    /// let key = Windowed { key: "ada".to_owned(), start: 20, end: 30 };
    /// assert_eq!(driver.output_topic::<Windowed<String>, i64>("out")?.read_key_value()?, Some((key, Some(30))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn windowed_by(mut self, windows: impl Into<Windows>) -> Self {
        self.windows = Some(windows.into());
        self
    }

    /// Passes on only the final result of each window, once, when it closes.
    ///
    /// # Ordering
    /// By the end of windows, then by key. A window closes when a record of its partition moves stream time past its end and grace
    /// (of a session: its gap and grace).
    ///
    /// # State
    /// The view of the store shows open windows as well.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced, Windowed}, expression::{col, sum}, window::TimeWindows};
    /// # use millstream::testing::TopologyTestDriver;
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka()).columns().clone();
    /// # let windows = TimeWindows::tumbling(Duration::from_millis(10), Duration::ZERO)?;
    /// let group = orders.group_by_key().windowed_by(windows).emit_final();
    /// group.aggregate(&[sum(col("value")).alias("value")], "totals".into()).to_stream().to("out", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for (amount, time) in [(30, 3), (12, 7), (5, 10)] {
    ///     driver.input_topic::<String, i64>("orders")?.pipe_at("ada", amount, time)?;
    /// }
    /// assert_eq!(driver.output_topic::<Windowed<String>, i64>("out")?.read_values_to_list()?, [Some(42)]); // of [0, 10)
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn emit_final(self) -> Self {
        self.emit_strategy(EmitStrategy::OnClose)
    }

    /// Which results of windows are passed on.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced, Windowed}, expression::{col, sum}, window::{EmitStrategy, TimeWindows}};
    /// # use millstream::testing::TopologyTestDriver;
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka()).columns().clone();
    /// # let windows = TimeWindows::tumbling(Duration::from_millis(10), Duration::ZERO)?;
    /// let group = orders.group_by_key().windowed_by(windows).emit_strategy(EmitStrategy::OnCloseIfKept);
    /// group.aggregate(&[sum(col("value")).alias("value")], "totals".into()).to_stream().to("out", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for (amount, time) in [(30, 3), (5, 10), (7, 1_000)] {
    ///     driver.input_topic::<String, i64>("orders")?.pipe_at("ada", amount, time)?;
    /// }
    /// // The windows [0, 10) and [10, 20) have closed; the latter is no longer kept when time jumps to 1000.
    /// assert_eq!(driver.output_topic::<Windowed<String>, i64>("out")?.read_values_to_list()?, [Some(30)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn emit_strategy(mut self, strategy: EmitStrategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// Computes aggregate expressions per group, such as `sum(col("amount")).alias("total")`.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, expression::{col, count, lit, max}};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka()).columns().clone();
    /// let calls = [count(lit(1_i64)).alias("orders"), max(col("value")).alias("most")];
    /// let summaries = orders.group_by_key().aggregate(&calls, "summaries".into());
    /// let names: Vec<_> = summaries.schema().value().iter().map(|field| field.name().as_str()).collect();
    /// assert_eq!(names, ["orders", "most"]);
    /// # builder.build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn aggregate(&self, calls: &[Expr], materialized: Materialized) -> ColumnTable {
        let bound =
            calls.iter().map(|call| Aggregation::bind(call, &self.first().schema)).collect::<Result<Vec<_>, _>>();
        let fold = match bound {
            Ok(aggregations) => AggregationSet::new(aggregations),
            Err(error) => {
                self.first().failed("aggregate", error);
                AggregationSet::new(Vec::new())
            }
        };
        self.fold(Arc::new(fold), materialized)
    }

    /// Folds each group in a way of one's own.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, expression::{Aggregation, AggregationSet, col, sum}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka()).columns().clone();
    /// let total = Aggregation::bind(&sum(col("value")).alias("value"), orders.schema())?;
    /// orders.group_by_key().fold(Arc::new(AggregationSet::new(vec![total])), "totals".into());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe_key_value_list([("ada", 30), ("ada", 12)])?;
    /// assert_eq!(driver.store::<String, i64>("totals")?.get("ada")?, Some(42));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fold(&self, fold: Arc<dyn FoldFactory>, materialized: Materialized) -> ColumnTable {
        let inputs = self.inputs(materialized.name.as_deref());
        let input = &inputs[0];
        let mut graph = input.graph.borrow_mut();
        let kind = self.windows.as_ref().map(Windows::kind).unwrap_or_default();
        let schema = StreamSchema::new(input.schema.key().to_vec(), fold.result_fields(), kind);
        let schema = schema.unwrap_or_else(|error| {
            graph.fail("aggregate", error);
            Arc::clone(&input.schema)
        });
        if input.schema.is_windowed() {
            graph.fail("aggregate", "the key has a window already; group by other columns first");
        }
        if materialized.history.is_some() {
            graph.fail("aggregate", "the store of an aggregate has no versions: make a versioned table of the result");
        }
        if self.strategy.is_final() && self.windows.is_none() {
            graph.fail("aggregate", "final results need windows: without them no result is final");
        }
        if self.strategy.is_final() && matches!(&self.windows, Some(Windows::Time(windows)) if windows.is_unlimited()) {
            graph.fail("aggregate", "an unlimited window never closes, so that there is no final result: leave it out");
        }
        let retention = self.retention(materialized.retention, fold.as_ref()).unwrap_or_else(|problem| {
            graph.fail("aggregate", problem);
            StoreRetention::Forever
        });
        let nodes: Vec<NodeId> = inputs.iter().map(|input| input.node).collect();
        let name = materialized.name.unwrap_or_else(|| graph.unnamed("aggregate", &nodes));
        let layout = Arc::clone(&fold).layout();
        let index = self.sliding_index(&name, schema.key(), &retention, &graph.stores);
        let options = materialized.store;
        let store = graph.add_store(StoreSpec { name, key: schema.key().to_vec(), retention, layout, options });
        let index = index.map(|index| graph.add_store(StoreSpec { options, ..index }));
        let (windows, strategy, tombstones) = (self.windows.clone(), self.strategy, graph.tombstones);
        let kind = NodeKind::Aggregate(AggregateNode {
            store,
            index,
            fold,
            windows,
            strategy,
            tombstones,
            needs_before: false,
        });
        let node = graph.add("aggregate", kind, nodes, Arc::clone(&schema));
        drop(graph);
        // The store of final results holds open windows, too: it is not the table.
        let store = (!strategy.is_final()).then_some(store);
        ColumnTable { graph: Rc::clone(&input.graph), node, schema, store }
    }

    /// The streams with every record in the partition of its key. Keys that are written in different ways lie in different partitions: if there
    /// are such, all streams move.
    fn inputs(&self, name: Option<&str>) -> Vec<ColumnStream> {
        let graph = &self.first().graph;
        let formats: Vec<_> = self.streams.iter().map(|stream| graph.borrow().key_format(stream.node)).collect();
        let alike = self.streams.iter().zip(&formats).all(|(stream, format)| !stream.rekeyed && *format == formats[0]);
        if alike || self.streams.len() == 1 {
            return self.streams.iter().map(|stream| stream.partitioned_by_key(name)).collect();
        }
        let moved = |(number, stream): (usize, &ColumnStream)| {
            let name = name.map(|name| format!("{name}-{number}"));
            stream.repartition(Repartitioned { name, ..Repartitioned::default() })
        };
        self.streams.iter().enumerate().map(moved).collect()
    }

    /// How the store keeps its rows, if they are wanted for so long.
    fn retention(&self, wanted: Option<TimeSpan>, fold: &dyn FoldFactory) -> Result<StoreRetention, String> {
        let Some(windows) = &self.windows else { return Ok(StoreRetention::Forever) };
        let least = windows.least_retention();
        // Inputs that are cogrouped have a time each: windows are kept until the newest window of all is so far ahead, not the newest record.
        let more = if self.streams.len() > 1 { least.millis() } else { 0 };
        let retention = wanted.unwrap_or(TimeSpan::from_millis(least.millis().saturating_add(more)).unwrap_or(least));
        let least = TimeSpan::from_millis(least.millis().saturating_add(more)).unwrap_or(least);
        if retention < least {
            return Err(format!("a retention of {retention} is shorter than window and grace: {least}"));
        }
        match windows {
            Windows::Time(windows) => Ok(StoreRetention::Windows { windows: windows.clone(), retention }),
            Windows::Session(windows) if fold.can_merge_states() => {
                let span = stretch_span(*windows, retention);
                let kept = TimeSpan::from_millis(retention.millis().saturating_add(span.millis()));
                Ok(StoreRetention::Sessions { span, retention: kept.unwrap_or(retention) })
            }
            Windows::Sliding(windows) => {
                let kept = retention.millis().saturating_add(windows.time_difference().millis()).saturating_add(1);
                let retention = TimeSpan::from_millis(kept).unwrap_or(retention);
                Ok(StoreRetention::Windows { windows: windows.as_time_windows(), retention })
            }
            Windows::Session(_) => {
                Err("sessions that meet are merged, which this closure cannot do: use aggregate_merging, reduce or expressions".to_owned())
            }
        }
    }

    /// The store beside a store of sliding windows: which windows there are of a key.
    fn sliding_index(
        &self,
        name: &str,
        key: &[FieldRef],
        retention: &StoreRetention,
        stores: &[StoreSpec],
    ) -> Option<StoreSpec> {
        let (Some(Windows::Sliding(windows)), Some(kept)) = (&self.windows, retention.retention()) else { return None };
        let reach = windows.time_difference().millis().saturating_mul(2).saturating_add(1);
        let span = sliding_stretch(TimeSpan::from_millis(reach)?, kept);
        let retention = TimeSpan::from_millis(kept.millis().saturating_add(span.millis()))?;
        let retention = StoreRetention::Sessions { span, retention };
        let layout = Arc::new(OpaqueRows);
        Some(StoreSpec {
            name: index_name(name, stores),
            key: key.to_vec(),
            retention,
            layout,
            options: StoreOptions::default(),
        })
    }
}
