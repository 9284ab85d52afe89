//! Cogrouped streams: several streams of one key, folded into one state per key, each with a closure of its own.
//!
//! They are the inputs of one aggregate. Within a commit interval records wait in the order in which they came, whichever stream they are of, so
//! that closures that do not commute give the same under both emit policies.

use std::{marker::PhantomData, sync::Arc};

use arrow::{array::ArrayRef, datatypes::FieldRef};

use super::{
    ColumnGroup, ColumnStream, KGroupedStream, KTable,
    group::Windowed,
    options::Materialized,
    row_fold::typed_rows,
    row_states::{RowStates, merge_states},
    typed::{Data, Shape},
};
use crate::{
    expression::RowError,
    operator::{Finished, Fold, FoldError, FoldFactory, Folded, Rows, StateLayout},
    window::Windows,
};

/// How the records of one stream change a state; makes the waiting line for them.
pub(super) struct Aggregator<A> {
    line: Arc<dyn Fn() -> Result<Box<dyn Line<A>>, FoldError> + Send + Sync>,
}

impl<A> Clone for Aggregator<A> {
    fn clone(&self) -> Self {
        Self { line: Arc::clone(&self.line) }
    }
}

/// Records of one stream that wait for the states of their groups.
trait Line<A>: Send {
    /// Takes rows; gives the group of each record that it took.
    fn add(&mut self, rows: &Rows<'_>, errors: &mut Vec<RowError>) -> Vec<usize>;

    /// Applies the next record to a state.
    fn apply(&mut self, state: A) -> A;
}

struct TypedLine<K, V, A> {
    key: Shape<K>,
    value: Shape<V>,
    aggregator: Arc<dyn Fn(&K, V, A) -> A + Send + Sync>,
    waiting: std::collections::VecDeque<(K, V)>,
}

impl<A: Data> Aggregator<A> {
    pub(super) fn new<K: Data, V: Data>(aggregator: impl Fn(&K, V, A) -> A + Send + Sync + 'static) -> Self {
        let aggregator: Arc<dyn Fn(&K, V, A) -> A + Send + Sync> = Arc::new(aggregator);
        let line = move || -> Result<Box<dyn Line<A>>, FoldError> {
            let (key, value) = (Shape::of("key").map_err(FoldError::of)?, Shape::of("value").map_err(FoldError::of)?);
            let waiting = std::collections::VecDeque::new();
            Ok(Box::new(TypedLine { key, value, aggregator: Arc::clone(&aggregator), waiting }))
        };
        Self { line: Arc::new(line) }
    }
}

impl<K: Data, V: Data, A: Data> Line<A> for TypedLine<K, V, A> {
    fn add(&mut self, rows: &Rows<'_>, errors: &mut Vec<RowError>) -> Vec<usize> {
        let typed = typed_rows(rows, &self.key, &self.value, errors);
        let mut groups = Vec::with_capacity(typed.len());
        for (_, group, key, value) in typed {
            groups.push(group);
            self.waiting.push_back((key, value));
        }
        groups
    }

    fn apply(&mut self, state: A) -> A {
        match self.waiting.pop_front() {
            Some((key, value)) => (self.aggregator)(&key, value, state),
            None => state,
        }
    }
}

/// A fold of the records of several streams.
struct CogroupFold<A> {
    state: Shape<A>,
    initial: Arc<dyn Fn() -> A + Send + Sync>,
    aggregators: Vec<Aggregator<A>>,
    merger: Option<Arc<dyn Fn(A, A) -> A + Send + Sync>>,
}

impl<A: Data> StateLayout for CogroupFold<A> {
    fn state_fields(&self) -> Vec<FieldRef> {
        self.state.fields.clone()
    }

    fn result_fields(&self) -> Vec<FieldRef> {
        self.state.fields.clone()
    }

    fn results_of(&self, states: &[ArrayRef]) -> Result<Vec<ArrayRef>, FoldError> {
        Ok(states.to_vec())
    }
}

impl<A: Data> FoldFactory for CogroupFold<A> {
    fn create(&self) -> Result<Box<dyn Fold>, FoldError> {
        let lines = self.aggregators.iter().map(|aggregator| (aggregator.line)()).collect::<Result<_, _>>()?;
        let (state, initial) = (self.state.clone(), Arc::clone(&self.initial));
        Ok(Box::new(Pending { state, initial, lines, waiting: Vec::new() }))
    }

    fn reads(&self) -> Option<Vec<String>> {
        None
    }

    fn describe(&self) -> String {
        format!("cogroup of {} streams by closures", self.aggregators.len())
    }

    fn layout(self: Arc<Self>) -> Arc<dyn StateLayout> {
        self
    }

    fn can_delete(&self) -> bool {
        self.state.is_nullable()
    }

    fn can_merge_states(&self) -> bool {
        self.merger.is_some()
    }

    fn merge_states(&self, parts: &Folded, total: usize) -> Result<Vec<ArrayRef>, FoldError> {
        merge_states(&self.state, (None, self.merger.as_deref()), parts, total)
    }

    fn folds_into_merged(&self) -> bool {
        self.merger.is_some()
    }

    fn merge_before_record(&self, parts: &Folded, total: usize) -> Result<Vec<ArrayRef>, FoldError> {
        merge_states(&self.state, (Some(self.initial.as_ref()), self.merger.as_deref()), parts, total)
    }
}

/// Records that wait: the group and the stream of each, in the order in which they came.
struct Pending<A> {
    state: Shape<A>,
    initial: Arc<dyn Fn() -> A + Send + Sync>,
    lines: Vec<Box<dyn Line<A>>>,
    waiting: Vec<(usize, usize)>,
}

impl<A: Data> Fold for Pending<A> {
    fn add(&mut self, rows: &Rows<'_>, errors: &mut Vec<RowError>) -> Result<(), FoldError> {
        let groups = self.lines[rows.input].add(rows, errors);
        self.waiting.extend(groups.into_iter().map(|group| (group, rows.input)));
        Ok(())
    }

    fn finish(&mut self, stored: Folded, total: usize) -> Result<Finished, FoldError> {
        let mut states = RowStates::read(&self.state, &stored, total)?;
        for (group, input) in self.waiting.drain(..) {
            let state = states.take(group).unwrap_or_else(|| (self.initial)());
            states.put(group, self.lines[input].apply(state))?;
        }
        states.finish()
    }
}

/// Streams of one key that are folded into one state per key.
///
/// ```
/// use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, testing::TopologyTestDriver};
///
/// let builder = StreamsBuilder::new();
/// let paid = builder.stream::<String, i64>("paid", Consumed::kafka()).group_by_key();
/// let refunded = builder.stream::<String, i64>("refunded", Consumed::kafka()).group_by_key();
/// paid.cogroup(|_customer, amount, balance: i64| balance + amount)
///     .cogroup(&refunded, |_customer, amount, balance| balance - amount)
///     .aggregate(|| 0, "balances")
///     .to_stream()
///     .to("balances", Produced::kafka());
/// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.push("paid", Record::new("ada", 30_i64.to_be_bytes()))?;
/// driver.push("refunded", Record::new("ada", 12_i64.to_be_bytes()))?;
/// let balances: Vec<_> = driver.drain("balances")?.into_iter().filter_map(|record| record.value).collect();
/// assert_eq!(balances, [30_i64.to_be_bytes(), 18_i64.to_be_bytes()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct CogroupedKStream<K, A> {
    streams: Vec<ColumnStream>,
    aggregators: Vec<Aggregator<A>>,
    types: PhantomData<fn() -> K>,
}

impl<K: Data, A: Data> CogroupedKStream<K, A> {
    pub(super) fn begin(stream: &ColumnStream, aggregator: Aggregator<A>) -> Self {
        Self { streams: vec![stream.clone()], aggregators: vec![aggregator], types: PhantomData }
    }

    /// Folds another stream into the same states: `aggregator` takes key, value and state.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let [paid, refunded] = ["paid", "refunded"].map(|topic| builder.stream::<String, i64>(topic, Consumed::kafka()).group_by_key());
    /// let balances = paid.cogroup(|_customer, amount, balance: i64| balance + amount);
    /// balances.cogroup(&refunded, |_customer, amount, balance| balance - amount).aggregate(|| 0, "balances");
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("paid")?.pipe("ada", 30)?;
    /// driver.input_topic::<String, i64>("refunded")?.pipe("ada", 12)?;
    /// assert_eq!(driver.store::<String, i64>("balances")?.get("ada")?, Some(18));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cogroup<V: Data>(
        mut self,
        stream: &KGroupedStream<K, V>,
        aggregator: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
    ) -> Self {
        self.streams.push(stream.stream().clone());
        self.aggregators.push(Aggregator::new(aggregator));
        self
    }

    /// Folds by window, too.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced, Windowed}, window::TimeWindows, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let [paid, refunded] = ["paid", "refunded"].map(|topic| builder.stream::<String, i64>(topic, Consumed::kafka()).group_by_key());
    /// # let balances = paid.cogroup(|_, amount, balance: i64| balance + amount).cogroup(&refunded, |_, amount, balance| balance - amount);
    /// let windows = TimeWindows::tumbling(Duration::from_millis(10), Duration::ZERO)?;
    /// balances.windowed_by(windows).aggregate(|| 0, "balances").to_stream().to("out", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("paid")?.pipe_at("ada", 30, 27)?;
    /// let key = Windowed { key: "ada".to_owned(), start: 20, end: 30 };
    /// assert_eq!(driver.output_topic::<Windowed<String>, i64>("out")?.read_key_value()?, Some((key, Some(30))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn windowed_by(self, windows: impl Into<Windows>) -> WindowedCogroupedKStream<K, A> {
        let group = ColumnGroup::of(self.streams).windowed_by(windows);
        WindowedCogroupedKStream { group, aggregators: self.aggregators, types: PhantomData }
    }

    /// The states, each beginning with what `initial` gives. Records without key or value are dead letters, as in other aggregations. With a state
    /// that is an `Option`, `None` deletes the row of a key.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let [paid, refunded] = ["paid", "refunded"].map(|topic| builder.stream::<String, i64>(topic, Consumed::kafka()).group_by_key());
    /// let changes = paid.cogroup(|_, _, n: Option<i64>| Some(n.unwrap_or(0) + 1)).cogroup(&refunded, |_, _, _| None);
    /// changes.aggregate(|| None, "unrefunded");
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("paid")?.pipe_key_value_list([("ada", 30), ("bob", 7)])?;
    /// driver.input_topic::<String, i64>("refunded")?.pipe("ada", 30)?;
    /// let unrefunded = driver.store::<String, i64>("unrefunded")?;
    /// assert_eq!((unrefunded.get("ada")?, unrefunded.get("bob")?), (None, Some(1)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn aggregate(
        self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        materialized: impl Into<Materialized>,
    ) -> KTable<K, A> {
        folded(&ColumnGroup::of(self.streams), self.aggregators, Arc::new(initial), None, materialized.into())
    }
}

/// Streams of one key that are folded into one state per key and window: see [`CogroupedKStream`].
///
/// Each stream has a stream time of its own, which decides what is late in it, as in Kafka Streams; with [`emit_final`](Self::emit_final) they share
/// one.
///
/// ```
/// use std::time::Duration;
/// use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, window::TimeWindows};
///
/// let builder = StreamsBuilder::new();
/// let paid = builder.stream::<String, i64>("paid", Consumed::kafka()).group_by_key();
/// let refunded = builder.stream::<String, i64>("refunded", Consumed::kafka()).group_by_key();
/// let hours = TimeWindows::tumbling(Duration::from_secs(3_600), Duration::ZERO)?;
/// paid.cogroup(|_customer, amount, balance: i64| balance + amount)
///     .cogroup(&refunded, |_customer, amount, balance| balance - amount)
///     .windowed_by(hours)
///     .aggregate(|| 0, "balances-by-hour")
///     .to_stream()
///     .to("balances", Produced::kafka());
/// builder.build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct WindowedCogroupedKStream<K, A> {
    group: ColumnGroup,
    aggregators: Vec<Aggregator<A>>,
    types: PhantomData<fn() -> K>,
}

impl<K: Data, A: Data> WindowedCogroupedKStream<K, A> {
    /// Passes on only the final result of each window, once, when it closes: see [`ColumnGroup::emit_final`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced, Windowed}, window::TimeWindows, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let [paid, refunded] = ["paid", "refunded"].map(|topic| builder.stream::<String, i64>(topic, Consumed::kafka()).group_by_key());
    /// # let balances = paid.cogroup(|_, amount, balance: i64| balance + amount).cogroup(&refunded, |_, amount, balance| balance - amount);
    /// let windows = TimeWindows::tumbling(Duration::from_millis(10), Duration::ZERO)?;
    /// balances.windowed_by(windows).emit_final().aggregate(|| 0, "balances").to_stream().to("out", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("paid")?.pipe_at("ada", 30, 3)?;
    /// driver.input_topic::<String, i64>("refunded")?.pipe_at("ada", 12, 7)?;
    /// driver.input_topic::<String, i64>("paid")?.pipe_at("bob", 5, 10)?; // the end of the window [0, 10)
    /// assert_eq!(driver.output_topic::<Windowed<String>, i64>("out")?.read_values_to_list()?, [Some(18)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn emit_final(self) -> Self {
        Self { group: self.group.emit_final(), ..self }
    }

    /// The states by window, each beginning with what `initial` gives.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced, Windowed}, window::TimeWindows, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let [paid, refunded] = ["paid", "refunded"].map(|topic| builder.stream::<String, i64>(topic, Consumed::kafka()).group_by_key());
    /// # let windows = TimeWindows::tumbling(Duration::from_millis(10), Duration::ZERO)?;
    /// # let balances = paid.cogroup(|_, amount, balance: i64| balance + amount).cogroup(&refunded, |_, amount, balance| balance - amount);
    /// # let windowed = balances.windowed_by(windows);
    /// windowed.aggregate(|| 0, "balances").to_stream().to("out", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("paid")?.pipe_at("ada", 30, 3)?;
    /// driver.input_topic::<String, i64>("refunded")?.pipe_at("ada", 12, 7)?;
    /// assert_eq!(driver.output_topic::<Windowed<String>, i64>("out")?.read_values_to_list()?, [Some(30), Some(18)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn aggregate(
        self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        materialized: impl Into<Materialized>,
    ) -> KTable<Windowed<K>, A> {
        folded(&self.group, self.aggregators, Arc::new(initial), None, materialized.into())
    }

    /// The same; `merger` brings the states of two sessions that meet together, the earlier one first.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced, Windowed}, window::SessionWindows, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let [paid, refunded] = ["paid", "refunded"].map(|topic| builder.stream::<String, i64>(topic, Consumed::kafka()).group_by_key());
    /// let sessions = SessionWindows::new(Duration::from_millis(5), Duration::from_secs(60))?;
    /// let balances = paid.cogroup(|_, amount, balance: i64| balance + amount).cogroup(&refunded, |_, amount, balance| balance - amount);
    /// let merged = balances.windowed_by(sessions).aggregate_merging(|| 0, |earlier, later| earlier + later, "balances");
    /// merged.to_stream().to("out", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("paid")?.pipe_at("ada", 30, 0)?;
    /// driver.input_topic::<String, i64>("paid")?.pipe_at("ada", 7, 8)?;
    /// driver.input_topic::<String, i64>("refunded")?.pipe_at("ada", 12, 4)?; // brings both sessions together
    /// let key = Windowed { key: "ada".to_owned(), start: 0, end: 8 };
    /// assert_eq!(driver.output_topic("out")?.read_key_values_to_list()?.pop(), Some((key, Some(25_i64))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn aggregate_merging(
        self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        merger: impl Fn(A, A) -> A + Send + Sync + 'static,
        materialized: impl Into<Materialized>,
    ) -> KTable<Windowed<K>, A> {
        folded(&self.group, self.aggregators, Arc::new(initial), Some(Arc::new(merger)), materialized.into())
    }
}

fn folded<K: Data, A: Data>(
    group: &ColumnGroup,
    aggregators: Vec<Aggregator<A>>,
    initial: Arc<dyn Fn() -> A + Send + Sync>,
    merger: Option<Arc<dyn Fn(A, A) -> A + Send + Sync>>,
    materialized: Materialized,
) -> KTable<K, A> {
    match Shape::of("value") {
        Ok(state) => {
            let fold = CogroupFold { state, initial, aggregators, merger };
            KTable::new(group.fold(Arc::new(fold), materialized))
        }
        Err(problem) => {
            group.first().failed("cogroup", problem);
            KTable::new(group.aggregate(&[], materialized))
        }
    }
}
