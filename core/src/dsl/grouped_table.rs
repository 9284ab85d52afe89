//! Tables grouped by another key: what a row contributes is taken back when it changes or goes.

use std::marker::PhantomData;

use super::{
    ColumnTableGroup, KTable, change_row_fold::ChangeRowFold, group::typed, options::Materialized, typed::Data,
};
use crate::expression::{Expr, avg, count, lit, max, min, sum};

/// A table grouped by another key than its own.
///
/// ```
/// use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, testing::TopologyTestDriver};
///
/// let builder = StreamsBuilder::new();
/// // Where each parcel is: its row changes when it moves.
/// let parcels = builder.table::<String, String>("parcels", Consumed::kafka(), "parcels".into());
/// parcels.group_by(|_parcel, city| (city.clone(), 1_i64)).count("parcels-by-city").to_stream().to("counts", Produced::kafka());
/// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.push("parcels", Record::new("p1", "Rome"))?;
/// driver.push("parcels", Record::new("p1", "Oslo"))?;
/// let counts: Vec<_> = driver.drain("counts")?.into_iter().map(|record| (record.key, record.value)).collect();
/// let row = |city: &str, count: i64| (Some(city.as_bytes().to_vec()), Some(count.to_be_bytes().to_vec()));
/// assert_eq!(counts, [row("Rome", 1), row("Rome", 0), row("Oslo", 1)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct KGroupedTable<K, V> {
    group: ColumnTableGroup,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: Data, V: Data> KGroupedTable<K, V> {
    pub(super) fn new(group: ColumnTableGroup) -> Self {
        Self { group, types: PhantomData }
    }

    /// How many rows. A group that has lost its last row has a count of 0.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into());
    /// let by_letter = stock.group_by(|item, left| (item[..1].to_owned(), *left));
    /// by_letter.count("items");
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("stock")?.pipe_key_value_list([("tea", 7), ("toast", 2), ("tea", 6)])?;
    /// assert_eq!(driver.store::<String, i64>("items")?.get("t")?, Some(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn count(&self, materialized: impl Into<Materialized>) -> KTable<K, i64> {
        self.single(count(lit(1_i64)), materialized.into())
    }

    /// The sum of an expression over the rows.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, expression::col, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into());
    /// # let by_letter = stock.group_by(|item, left| (item[..1].to_owned(), *left));
    /// by_letter.sum::<i64>(col("value"), "left");
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("stock")?.pipe_key_value_list([("tea", 7), ("toast", 2), ("tea", 6)])?;
    /// assert_eq!(driver.store::<String, i64>("left")?.get("t")?, Some(8));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sum<T: Data>(&self, of: Expr, materialized: impl Into<Materialized>) -> KTable<K, T> {
        self.single(sum(of), materialized.into())
    }

    /// The mean of an expression over the rows.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, expression::col, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into());
    /// # let by_letter = stock.group_by(|item, left| (item[..1].to_owned(), *left));
    /// by_letter.avg(col("value"), "mean");
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("stock")?.pipe_key_value_list([("tea", 7), ("toast", 2), ("tea", 6)])?;
    /// assert_eq!(driver.store::<String, f64>("mean")?.get("t")?, Some(4.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn avg(&self, of: Expr, materialized: impl Into<Materialized>) -> KTable<K, f64> {
        self.single(avg(of), materialized.into())
    }

    /// The least value of an expression. The rows of each group are kept, so that the next one is known when it goes.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, expression::col, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into());
    /// # let by_letter = stock.group_by(|item, left| (item[..1].to_owned(), *left));
    /// by_letter.min::<i64>(col("value"), "least");
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("stock")?.pipe_key_value_list([("tea", 7), ("toast", 2), ("toast", 9)])?;
    /// assert_eq!(driver.store::<String, i64>("least")?.get("t")?, Some(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn min<T: Data>(&self, of: Expr, materialized: impl Into<Materialized>) -> KTable<K, T> {
        self.single(min(of), materialized.into())
    }

    /// The greatest value of an expression. The rows of each group are kept, so that the next one is known when it goes.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, expression::col, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into());
    /// # let by_letter = stock.group_by(|item, left| (item[..1].to_owned(), *left));
    /// by_letter.max::<i64>(col("value"), "most");
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("stock")?.pipe_key_value_list([("tea", 7), ("toast", 2), ("tea", 1)])?;
    /// assert_eq!(driver.store::<String, i64>("most")?.get("t")?, Some(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max<T: Data>(&self, of: Expr, materialized: impl Into<Materialized>) -> KTable<K, T> {
        self.single(max(of), materialized.into())
    }

    /// Several aggregate expressions at once; `T` is a struct of their aliases.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, expression::{col, count, lit, sum}, testing::TopologyTestDriver};
    /// # use serde::{Deserialize, Serialize};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into());
    /// # let by_letter = stock.group_by(|item, left| (item[..1].to_owned(), *left));
    /// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    /// struct Summary {
    ///     items: i64,
    ///     left: i64,
    /// }
    ///
    /// let calls = [count(lit(1_i64)).alias("items"), sum(col("value")).alias("left")];
    /// by_letter.aggregate_expr::<Summary>(&calls, "summaries");
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("stock")?.pipe_key_value_list([("tea", 7), ("toast", 2), ("tea", 6)])?;
    /// assert_eq!(driver.store::<String, Summary>("summaries")?.get("t")?, Some(Summary { items: 2, left: 8 }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn aggregate_expr<T: Data>(&self, calls: &[Expr], materialized: impl Into<Materialized>) -> KTable<K, T> {
        typed(self.group.aggregate(calls, materialized.into()))
    }

    /// Brings the values of a group together into one: `adder` takes the value so far and one that comes, `subtractor` the value so far and one
    /// that goes. The first value of a group is taken as it is.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into());
    /// let by_letter = stock.group_by(|item, left| (item.chars().take(1).collect::<String>(), *left));
    /// by_letter.reduce(|total, left| total + left, |total, left| total - left, "by-letter").to_stream().to("totals", Produced::kafka());
    /// # builder.build()?;
    /// # Ok::<(), millstream::topology::TopologyError>(())
    /// ```
    pub fn reduce(
        &self,
        adder: impl Fn(V, V) -> V + Send + Sync + 'static,
        subtractor: impl Fn(V, V) -> V + Send + Sync + 'static,
        materialized: impl Into<Materialized>,
    ) -> KTable<K, V> {
        let add = move |_: &K, value: V, state: Option<V>| match state {
            Some(state) => adder(state, value),
            None => value,
        };
        let subtract = move |_: &K, value: V, state: V| subtractor(state, value);
        self.fold(ChangeRowFold::new("reduce", add, subtract), materialized.into())
    }

    /// Folds the values of a group into a state of another type: `adder` takes key, a value that comes and the state, `subtractor` key, a value that
    /// goes and the state. A group without a state begins with what `initial` gives. With a state that is an `Option`, `None` deletes the row of
    /// the group.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}};
    /// # let builder = StreamsBuilder::new();
    /// # let parcels = builder.table::<String, String>("parcels", Consumed::kafka(), "parcels".into());
    /// let by_city = parcels.group_by(|parcel, city| (city.clone(), parcel.clone()));
    /// let add = |_city: &String, _parcel, n: Option<i64>| Some(n.unwrap_or(0) + 1);
    /// let subtract = |_city: &String, _parcel, n: Option<i64>| n.map(|n| n - 1).filter(|n| *n > 0);
    /// by_city.aggregate(|| None, add, subtract, "parcels-by-city").to_stream().to("counts", Produced::kafka());
    /// # builder.build()?;
    /// # Ok::<(), millstream::topology::TopologyError>(())
    /// ```
    pub fn aggregate<A: Data>(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        adder: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
        subtractor: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
        materialized: impl Into<Materialized>,
    ) -> KTable<K, A> {
        let add = move |key: &K, value: V, state: Option<A>| adder(key, value, state.unwrap_or_else(&initial));
        self.fold(ChangeRowFold::new("aggregate", add, subtractor), materialized.into())
    }

    fn fold<A: Data>(&self, fold: Result<ChangeRowFold<K, V, A>, String>, materialized: Materialized) -> KTable<K, A> {
        match fold {
            Ok(fold) => KTable::new(self.group.fold(std::sync::Arc::new(fold), materialized)),
            Err(problem) => KTable::new(self.group.failed("aggregate", problem)),
        }
    }

    fn single<T: Data>(&self, call: Expr, materialized: Materialized) -> KTable<K, T> {
        typed(self.group.aggregate(&[call.alias("value")], materialized))
    }
}
