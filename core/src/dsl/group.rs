//! Typed groups: what can be computed over them.

use std::{marker::PhantomData, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    CogroupedKStream, ColumnGroup, ColumnStream, ColumnTable, KTable,
    cogroup::Aggregator,
    options::Materialized,
    row_fold::RowFold,
    typed::{Data, Shape},
};
use crate::{
    expression::{Expr, avg, count, lit, max, min, sum},
    window::{EmitStrategy, Windows},
};

/// A key in a window, in milliseconds since the epoch.
///
/// ```
/// # use std::time::Duration;
/// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced, Windowed}, window::TimeWindows, testing::TopologyTestDriver};
/// # let builder = StreamsBuilder::new();
/// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
/// let windows = TimeWindows::tumbling(Duration::from_millis(10), Duration::ZERO)?;
/// orders.group_by_key().windowed_by(windows).count("counts").to_stream().to("counts", Produced::kafka());
/// # let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input_topic::<String, i64>("orders")?.pipe_at("ada", 30, 27)?;
/// let key = Windowed { key: "ada".to_owned(), start: 20, end: 30 };
/// assert_eq!(driver.output_topic("counts")?.read_key_value()?, Some((key, Some(1_i64))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Windowed<K> {
    /// The key.
    pub key: K,
    /// The first moment of the window.
    pub start: i64,
    /// Of a time window the first moment after it, of a session the moment of its last record.
    pub end: i64,
}

macro_rules! aggregations {
    ($key:ty) => {
        /// How many records.
        ///
        /// ```
        /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
        /// # let builder = StreamsBuilder::new();
        /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
        /// orders.group_by_key().count("counts");
        /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
        /// driver.input_topic::<String, i64>("orders")?.pipe_key_value_list([("ada", 30), ("ada", 12)])?;
        /// assert_eq!(driver.store::<String, i64>("counts")?.get("ada")?, Some(2));
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        pub fn count(&self, materialized: impl Into<Materialized>) -> KTable<$key, i64> {
            self.single(count(lit(1_i64)), materialized.into())
        }

        /// The sum of an expression over the records; null values do not count. `T` must be the type of the sum: `i64` for whole
        /// numbers, `f64` for others.
        ///
        /// ```
        /// # use millstream::{StreamsBuilder, dsl::Consumed, expression::col, testing::TopologyTestDriver};
        /// # let builder = StreamsBuilder::new();
        /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
        /// orders.group_by_key().sum::<i64>(col("value"), "totals");
        /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
        /// driver.input_topic::<String, i64>("orders")?.pipe_key_value_list([("ada", 30), ("ada", 12)])?;
        /// assert_eq!(driver.store::<String, i64>("totals")?.get("ada")?, Some(42));
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        pub fn sum<T: Data>(&self, of: Expr, materialized: impl Into<Materialized>) -> KTable<$key, T> {
            self.single(sum(of), materialized.into())
        }

        /// The least value of an expression.
        ///
        /// ```
        /// # use millstream::{StreamsBuilder, dsl::Consumed, expression::col, testing::TopologyTestDriver};
        /// # let builder = StreamsBuilder::new();
        /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
        /// orders.group_by_key().min::<i64>(col("value"), "least");
        /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
        /// driver.input_topic::<String, i64>("orders")?.pipe_key_value_list([("ada", 30), ("ada", 12)])?;
        /// assert_eq!(driver.store::<String, i64>("least")?.get("ada")?, Some(12));
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        pub fn min<T: Data>(&self, of: Expr, materialized: impl Into<Materialized>) -> KTable<$key, T> {
            self.single(min(of), materialized.into())
        }

        /// The greatest value of an expression.
        ///
        /// ```
        /// # use millstream::{StreamsBuilder, dsl::Consumed, expression::col, testing::TopologyTestDriver};
        /// # let builder = StreamsBuilder::new();
        /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
        /// orders.group_by_key().max::<i64>(col("value"), "most");
        /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
        /// driver.input_topic::<String, i64>("orders")?.pipe_key_value_list([("ada", 30), ("ada", 12)])?;
        /// assert_eq!(driver.store::<String, i64>("most")?.get("ada")?, Some(30));
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        pub fn max<T: Data>(&self, of: Expr, materialized: impl Into<Materialized>) -> KTable<$key, T> {
            self.single(max(of), materialized.into())
        }

        /// The mean of an expression.
        ///
        /// ```
        /// # use millstream::{StreamsBuilder, dsl::Consumed, expression::col, testing::TopologyTestDriver};
        /// # let builder = StreamsBuilder::new();
        /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
        /// orders.group_by_key().avg(col("value"), "means");
        /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
        /// driver.input_topic::<String, i64>("orders")?.pipe_key_value_list([("ada", 30), ("ada", 12)])?;
        /// assert_eq!(driver.store::<String, f64>("means")?.get("ada")?, Some(21.0));
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        pub fn avg(&self, of: Expr, materialized: impl Into<Materialized>) -> KTable<$key, f64> {
            self.single(avg(of), materialized.into())
        }

        /// Several aggregate expressions at once; `T` is a struct of their aliases.
        ///
        /// ```
        /// # use millstream::{StreamsBuilder, dsl::Consumed, expression::{col, count, lit, max}, testing::TopologyTestDriver};
        /// # use serde::{Deserialize, Serialize};
        /// # let builder = StreamsBuilder::new();
        /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
        /// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        /// struct Summary {
        ///     orders: i64,
        ///     most: i64,
        /// }
        ///
        /// let calls = [count(lit(1_i64)).alias("orders"), max(col("value")).alias("most")];
        /// orders.group_by_key().aggregate_expr::<Summary>(&calls, "summaries");
        /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
        /// driver.input_topic::<String, i64>("orders")?.pipe_key_value_list([("ada", 30), ("ada", 12)])?;
        /// assert_eq!(driver.store::<String, Summary>("summaries")?.get("ada")?, Some(Summary { orders: 2, most: 30 }));
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        pub fn aggregate_expr<T: Data>(
            &self,
            calls: &[Expr],
            materialized: impl Into<Materialized>,
        ) -> KTable<$key, T> {
            typed(self.group.aggregate(calls, materialized.into()))
        }

        /// Brings two values together into one, again and again.
        ///
        /// ```
        /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
        /// # let builder = StreamsBuilder::new();
        /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
        /// orders.group_by_key().reduce(|total, amount| total + amount, "totals");
        /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
        /// driver.input_topic::<String, i64>("orders")?.pipe_key_value_list([("ada", 30), ("ada", 12)])?;
        /// assert_eq!(driver.store::<String, i64>("totals")?.get("ada")?, Some(42));
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        pub fn reduce(
            &self,
            reducer: impl Fn(V, V) -> V + Send + Sync + 'static,
            materialized: impl Into<Materialized>,
        ) -> KTable<$key, V> {
            let reducer = Arc::new(reducer);
            let merger = Arc::clone(&reducer);
            let step = move |_: &K, value: V, state: Option<V>| match state {
                Some(state) => reducer(state, value),
                None => value,
            };
            let fold = RowFold::new("reduce", step).map(|fold| fold.merging(move |a, b| merger(a, b)));
            self.fold(fold, materialized.into())
        }

        /// Folds values into a state of another type, beginning with what `initial` gives.
        ///
        /// ```
        /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
        /// # let builder = StreamsBuilder::new();
        /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
        /// let list = |_: &String, amount: i64, list: String| format!("{list} {amount}");
        /// orders.group_by_key().aggregate(String::new, list, "lists");
        /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
        /// driver.input_topic::<String, i64>("orders")?.pipe_key_value_list([("ada", 30), ("ada", 12)])?;
        /// assert_eq!(driver.store::<String, String>("lists")?.get("ada")?.as_deref(), Some(" 30 12"));
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        pub fn aggregate<A: Data>(
            &self,
            initial: impl Fn() -> A + Send + Sync + 'static,
            aggregator: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
            materialized: impl Into<Materialized>,
        ) -> KTable<$key, A> {
            let step =
                move |key: &K, value: V, state: Option<A>| aggregator(key, value, state.unwrap_or_else(&initial));
            self.fold(RowFold::new("aggregate", step), materialized.into())
        }

        fn single<T: Data>(&self, call: Expr, materialized: Materialized) -> KTable<$key, T> {
            typed(self.group.aggregate(&[call.alias("value")], materialized))
        }

        fn fold<A: Data>(&self, fold: Result<RowFold<K, V, A>, String>, materialized: Materialized) -> KTable<$key, A> {
            match fold {
                Ok(fold) => KTable::new(self.group.fold(Arc::new(fold), materialized)),
                Err(problem) => {
                    self.group.first().failed("aggregate", problem);
                    KTable::new(self.group.aggregate(&[], materialized))
                }
            }
        }
    };
}

/// A table of columns as a typed one, if the columns are those of the type.
pub(super) fn typed<K: Data, T: Data>(table: ColumnTable) -> KTable<K, T> {
    let expected = Shape::<T>::of("value").map(|shape| shape.fields);
    let columns = |fields: &[arrow::datatypes::FieldRef]| {
        fields.iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect::<Vec<_>>().join(", ")
    };
    let problem = match expected {
        Ok(expected) if columns(&expected) == columns(table.schema().value()) => return KTable::new(table),
        Ok(expected) => {
            format!("it gives ({}), the type asked for has ({})", columns(table.schema().value()), columns(&expected))
        }
        Err(problem) => problem,
    };
    KTable::new(table.failed("aggregate", problem))
}

/// A stream grouped by key.
///
/// ```
/// use millstream::{StreamsBuilder, dsl::Consumed, expression::col, testing::TopologyTestDriver};
///
/// let builder = StreamsBuilder::new();
/// let orders = builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key();
/// orders.count("counts");
/// orders.sum::<i64>(col("value"), "totals");
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input_topic::<String, i64>("orders")?.pipe_key_value_list([("ada", 30), ("ada", 12)])?;
/// assert_eq!(driver.store::<String, i64>("counts")?.get("ada")?, Some(2));
/// assert_eq!(driver.store::<String, i64>("totals")?.get("ada")?, Some(42));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct KGroupedStream<K, V> {
    group: ColumnGroup,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: Data, V: Data> KGroupedStream<K, V> {
    pub(super) fn new(group: ColumnGroup) -> Self {
        Self { group, types: PhantomData }
    }

    /// Groups by window, too: by time windows, sliding windows or sessions.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced, Windowed}, window::SessionWindows, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// let sessions = SessionWindows::new(Duration::from_millis(5), Duration::ZERO)?;
    /// orders.group_by_key().windowed_by(sessions).count("counts").to_stream().to("counts", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe_at("ada", 30, 7)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe_at("ada", 12, 12)?;
    /// let key = Windowed { key: "ada".to_owned(), start: 7, end: 12 };
    /// assert_eq!(driver.output_topic("counts")?.read_key_values_to_list()?.pop(), Some((key, Some(2_i64))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn windowed_by(&self, windows: impl Into<Windows>) -> KWindowedStream<K, V> {
        KWindowedStream { group: self.group.clone().windowed_by(windows), types: PhantomData }
    }

    /// Begins to fold several streams of one key into one state per key: see [`CogroupedKStream`].
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed};
    /// # let builder = StreamsBuilder::new();
    /// # let [paid, refunded] = ["paid", "refunded"].map(|topic| builder.stream::<String, i64>(topic, Consumed::kafka()).group_by_key());
    /// let balances = paid.cogroup(|_customer, amount, balance: i64| balance + amount);
    /// balances.cogroup(&refunded, |_customer, amount, balance| balance - amount).aggregate(|| 0, "balances");
    /// # builder.build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cogroup<A: Data>(
        &self,
        aggregator: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
    ) -> CogroupedKStream<K, A> {
        CogroupedKStream::begin(self.group.first(), Aggregator::new(aggregator))
    }

    /// The stream that is grouped.
    pub(super) fn stream(&self) -> &ColumnStream {
        self.group.first()
    }

    aggregations!(K);
}

/// A stream grouped by key and window.
///
/// ```
/// use std::time::Duration;
/// use millstream::{StreamsBuilder, dsl::{Consumed, Produced, Windowed}, window::TimeWindows, testing::TopologyTestDriver};
///
/// let builder = StreamsBuilder::new();
/// let orders = builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key();
/// let windows = TimeWindows::hopping(Duration::from_millis(10), Duration::from_millis(5), Duration::ZERO)?;
/// orders.windowed_by(windows).count("counts").to_stream().to("counts", Produced::kafka());
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input_topic::<String, i64>("orders")?.pipe_at("ada", 30, 12)?;
/// let counts = driver.output_topic::<Windowed<String>, i64>("counts")?.read_key_values_to_list()?;
/// assert_eq!(counts.iter().map(|(key, _)| (key.start, key.end)).collect::<Vec<_>>(), [(5, 15), (10, 20)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct KWindowedStream<K, V> {
    group: ColumnGroup,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: Data, V: Data> KWindowedStream<K, V> {
    /// Passes on only the final result of each window, once, when it closes: see [`ColumnGroup::emit_final`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced, Windowed}, window::TimeWindows, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// # let windows = TimeWindows::tumbling(Duration::from_millis(10), Duration::ZERO)?;
    /// orders.group_by_key().windowed_by(windows).emit_final().count("counts").to_stream().to("counts", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for time in [3, 7, 10] {
    ///     driver.input_topic::<String, i64>("orders")?.pipe_at("ada", 30, time)?;
    /// }
    /// assert_eq!(driver.output_topic::<Windowed<String>, i64>("counts")?.read_values_to_list()?, [Some(2)]); // of [0, 10)
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn emit_final(self) -> Self {
        Self { group: self.group.emit_final(), types: PhantomData }
    }

    /// Which results of windows are passed on, and when.
    ///
    /// With [`OnCloseIfKept`](EmitStrategy::OnCloseIfKept) they are exactly those of Kafka Streams, which has nothing to say of a window that its
    /// store has dropped by the time the window closes: the retention is size and grace by default, so that a record whose time lies further
    /// ahead than that closes windows without a result. [`emit_final`](Self::emit_final) passes those on as well.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, window::{EmitStrategy, TimeWindows}};
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, i64>("clicks", Consumed::kafka()).group_by_key();
    /// let minutes = TimeWindows::tumbling(Duration::from_secs(60), Duration::ZERO)?;
    /// let closed = clicks.windowed_by(minutes).emit_strategy(EmitStrategy::OnCloseIfKept).count("clicks-by-minute");
    /// closed.to_stream().to("counts", Produced::kafka());
    /// builder.build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn emit_strategy(self, strategy: EmitStrategy) -> Self {
        Self { group: self.group.emit_strategy(strategy), types: PhantomData }
    }

    /// Folds values into a state of another type, as `aggregate` does; `merger` brings the states of two sessions that meet together.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced, Windowed}, window::SessionWindows, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// let sessions = SessionWindows::new(Duration::from_millis(5), Duration::from_secs(60))?;
    /// let list = |_: &String, amount: i64, list: String| format!("{list} {amount}");
    /// let merge = |earlier, later| format!("{earlier}{later}");
    /// let lists = orders.group_by_key().windowed_by(sessions).aggregate_merging(String::new, list, merge, "lists");
    /// lists.to_stream().to("lists", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for (amount, time) in [(30, 0), (12, 8), (7, 4)] {
    ///     driver.input_topic::<String, i64>("orders")?.pipe_at("ada", amount, time)?;
    /// }
    /// let last = driver.output_topic::<Windowed<String>, String>("lists")?.read_values_to_list()?.pop().flatten();
    /// assert_eq!(last.as_deref(), Some(" 30 12 7"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn aggregate_merging<A: Data>(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
        merger: impl Fn(A, A) -> A + Send + Sync + 'static,
        materialized: impl Into<Materialized>,
    ) -> KTable<Windowed<K>, A> {
        let initial = Arc::new(initial);
        let begin = Arc::clone(&initial);
        let step = move |key: &K, value: V, state: Option<A>| aggregator(key, value, state.unwrap_or_else(|| begin()));
        let fold = RowFold::new("aggregate", step).map(|fold| fold.merging(merger).beginning(move || initial()));
        self.fold(fold, materialized.into())
    }

    aggregations!(Windowed<K>);
}
