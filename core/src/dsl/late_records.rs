//! Late records as streams: what an operator with windows has left out because it came too late.
//!
//! Who asks for them gets each record once, unchanged, with its own timestamp; it is counted as late still, but is no dead letter. What happens
//! to it then is the topology's business: it may go to a topic, or be aggregated apart. How such records lie between the results of the operator
//! itself is not fixed.

use std::{rc::Rc, sync::Arc};

use super::{ColumnStream, ColumnTable, KStream, KTable, Windowed, typed::Data};
use crate::{
    topology::{NodeId, NodeKind},
    window::JoinSide,
};

impl ColumnTable {
    /// The records that the windowed aggregation which makes this table has left out as late: at least one of the windows that they fall into
    /// was closed. Filters and projections may lie between.
    ///
    /// It is a mistake, told by `build`, if the table does not come from an aggregation with windows.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, window::TimeWindows};
    /// # use std::time::Duration;
    /// # let builder = StreamsBuilder::new();
    /// # let windows = TimeWindows::tumbling(Duration::from_secs(60), Duration::ZERO)?;
    /// let counts = builder.stream::<String, i64>("clicks", Consumed::kafka()).group_by_key().windowed_by(windows).count("n");
    /// counts.columns().late_records().to("late-clicks", Produced::kafka());
    /// # builder.build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn late_records(&self) -> ColumnStream {
        self.late_records_of(0)
    }

    /// The same for one of the streams that an aggregation brings together, by its number: 0 for the first that was cogrouped.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, window::TimeWindows};
    /// # use std::time::Duration;
    /// # let builder = StreamsBuilder::new();
    /// # let windows = TimeWindows::tumbling(Duration::from_secs(60), Duration::ZERO)?;
    /// # let [clicks, views] = ["clicks", "views"].map(|topic| builder.stream::<String, i64>(topic, Consumed::kafka()).group_by_key());
    /// let both = clicks.cogroup(|_, click, sum: i64| sum + click).cogroup(&views, |_, view, sum| sum + view);
    /// let sums = both.windowed_by(windows).aggregate(|| 0, "sums");
    /// sums.columns().late_records_of(1).to("late-views", Produced::kafka());
    /// # builder.build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn late_records_of(&self, input: usize) -> ColumnStream {
        let stream = ColumnStream {
            graph: Rc::clone(&self.graph),
            node: self.node,
            schema: Arc::clone(&self.schema),
            rekeyed: false,
        };
        stream.late_at(input)
    }
}

impl ColumnStream {
    /// The records of one side that the join of two streams which makes this stream could not keep, because they came later than its windows and
    /// grace allow. They have met what was kept of the other side all the same.
    ///
    /// It is a mistake, told by `build`, if the stream does not come from such a join.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, operator::StreamJoinKind, record::TimeSpan, window::{JoinSide, JoinWindows}};
    /// # let builder = StreamsBuilder::new();
    /// # let span = |millis| TimeSpan::from_millis(millis).unwrap();
    /// let [clicks, views] = ["clicks", "views"].map(|topic| builder.stream::<String, i64>(topic, Consumed::kafka()));
    /// let windows = JoinWindows::new(span(1_000), span(1_000)).with_grace(span(0));
    /// let names = ["click".to_owned(), "view".to_owned()];
    /// let joined = clicks.columns().join_stream(views.columns(), StreamJoinKind::Inner, windows, &names);
    /// joined.late_records(JoinSide::Left).to("late-clicks", Produced::kafka());
    /// # builder.build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn late_records(&self, side: JoinSide) -> Self {
        self.late_at(match side {
            JoinSide::Left => 0,
            JoinSide::Right => 1,
        })
    }

    fn late_at(&self, input: usize) -> Self {
        let Some(source) = self.late_source(input) else {
            return self.failed("late_records", "nothing here has windows for which a record could be late: ask the windowed aggregation, or the join of streams, itself");
        };
        let mut graph = self.graph.borrow_mut();
        let from = graph.nodes[source.0].inputs[input];
        let schema = Arc::clone(&graph.nodes[from.0].schema);
        let node = graph.add("late-records", NodeKind::Late { input }, vec![source], Arc::clone(&schema));
        drop(graph);
        Self { graph: Rc::clone(&self.graph), node, schema, rekeyed: false }
    }

    /// The operator with windows and so many inputs that this comes from, through stateless ones.
    fn late_source(&self, input: usize) -> Option<NodeId> {
        let graph = self.graph.borrow();
        let mut id = self.node;
        loop {
            let node = &graph.nodes[id.0];
            let has_late = match &node.kind {
                NodeKind::Aggregate(aggregate) => aggregate.windows.is_some(),
                NodeKind::StreamJoin(_) => true,
                NodeKind::Operator(own) => own.has_late_records(),
                _ => false,
            };
            match (&node.kind, &node.inputs[..]) {
                (_, inputs) if has_late => return (input < inputs.len()).then_some(id),
                (NodeKind::Transform(_), [above]) => id = *above,
                _ => return None,
            }
        }
    }
}

impl<K: Data, A: Data> KTable<Windowed<K>, A> {
    /// The records, with values of type `V`, that the windowed aggregation which makes this table has left out as late: see
    /// [`ColumnTable::late_records`]. `V` is the type of the values that were aggregated.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, record::Record, dsl::{Consumed, Produced}, testing::TopologyTestDriver, window::TimeWindows};
    /// # use std::time::Duration;
    /// let builder = StreamsBuilder::new();
    /// let minutes = TimeWindows::tumbling(Duration::from_secs(60), Duration::ZERO)?;
    /// let counts = builder.stream::<String, i64>("clicks", Consumed::kafka()).group_by_key().windowed_by(minutes).count("n");
    /// let late = counts.late_records::<i64>();
    /// late.map_values(|click| -click).to("late-clicks", Produced::kafka());
    ///
    /// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for (click, time) in [(1, 0), (2, 60_000), (3, 59_999)] {
    ///     driver.push("clicks", Record::new("ada", i64::to_be_bytes(click)).at_ms(time))?;
    /// }
    /// let late = driver.drain("late-clicks")?;
    /// assert_eq!((late[0].value.as_deref(), late[0].timestamp.millis()), (Some(&i64::to_be_bytes(-3)[..]), 59_999));
    /// assert!(driver.dead_letters()?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn late_records<V: Data>(&self) -> KStream<K, V> {
        KStream::from_columns(&self.columns().late_records())
    }
}

impl<K: Data, R: Data> KStream<K, R> {
    /// The records of one side, with values of type `V`, that the join of two streams which makes this stream could not keep: see
    /// [`ColumnStream::late_records`].
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, KStream, Produced}, operator::StreamJoinKind, record::TimeSpan, window::{JoinSide, JoinWindows}};
    /// # let builder = StreamsBuilder::new();
    /// # let span = |millis| TimeSpan::from_millis(millis).unwrap();
    /// # let [clicks, views] = ["clicks", "views"].map(|topic| builder.stream::<String, i64>(topic, Consumed::kafka()));
    /// # let windows = JoinWindows::new(span(1_000), span(1_000)).with_grace(span(0));
    /// # let names = ["click".to_owned(), "view".to_owned()];
    /// # #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// # struct Both { click: i64, view: i64 }
    /// # let joined: KStream<String, Both> =
    /// #     KStream::from_columns(&clicks.columns().join_stream(views.columns(), StreamJoinKind::Inner, windows, &names));
    /// joined.late_records::<i64>(JoinSide::Right).to("late-views", Produced::kafka());
    /// # builder.build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn late_records<V: Data>(&self, side: JoinSide) -> KStream<K, V> {
        KStream::from_columns(&self.columns().late_records(side))
    }
}
