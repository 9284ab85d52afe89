//! Typed streams.

use std::{marker::PhantomData, sync::Arc};

use super::{
    ColumnStream, KTable,
    closure::{Closure, Input, Look},
    group::KGroupedStream,
    options::{Materialized, Produced, Repartitioned},
    partitioner::{TypedRows, TypedTopics},
    printed::Printed,
    split::Split,
    typed::{Data, Shape},
};
use crate::{expression::Expr, schema::StreamSchema};

/// A stream of records with keys `K` and values `V`: every record is a fact.
///
/// Closures and expressions do the same: `.filter(|_, order| order.amount > 0.0)` and `.filter_expr(col("amount").gt(lit(0.0)))`. They have
/// two names because Rust infers a closure's argument types only where a method asks for a closure and nothing else.
///
/// ```
/// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::TopologyTestDriver};
/// # let builder = StreamsBuilder::new();
/// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
/// orders.filter(|_customer, amount| *amount > 10).map_values(|amount| amount * 2).to("doubled", Produced::kafka());
/// # let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input_topic::<String, i64>("orders")?.pipe_key_value_list([("ada", 5), ("ada", 15)])?;
/// assert_eq!(driver.output_topic::<String, i64>("doubled")?.read_values_to_list()?, [Some(30)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct KStream<K, V> {
    columns: ColumnStream,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for KStream<K, V> {
    fn clone(&self) -> Self {
        Self { columns: self.columns.clone(), types: PhantomData }
    }
}

impl<K: Data, V: Data> KStream<K, V> {
    pub(super) fn new(columns: ColumnStream) -> Self {
        Self { columns, types: PhantomData }
    }

    /// The same stream by the column.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed};
    /// # let orders = StreamsBuilder::new().stream::<String, i64>("orders", Consumed::kafka());
    /// assert_eq!(orders.columns().schema().value()[0].name(), "value");
    /// ```
    pub fn columns(&self) -> &ColumnStream {
        &self.columns
    }

    /// A stream of columns, typed: `K` and `V` must have these columns.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, KStream}, expression::{col, lit}};
    /// # let orders = StreamsBuilder::new().stream::<String, i64>("orders", Consumed::kafka());
    /// let big = KStream::<String, i64>::from_columns(&orders.columns().filter(&col("value").gt(lit(10_i64))));
    /// # let _ = big;
    /// ```
    pub fn from_columns(columns: &ColumnStream) -> Self {
        let check = |expected: &[arrow::datatypes::FieldRef], found: &[arrow::datatypes::FieldRef]| {
            let pairs = |fields: &[arrow::datatypes::FieldRef]| {
                fields
                    .iter()
                    .map(|field| format!("{} {}", field.name(), field.data_type()))
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            (pairs(expected) != pairs(found))
                .then(|| format!("the type has ({}), the stream ({})", pairs(expected), pairs(found)))
        };
        let problem = Shape::<V>::of("value").map(|shape| check(&shape.fields, columns.schema().value()));
        match problem {
            Ok(None) => Self::new(columns.clone()),
            Ok(Some(problem)) | Err(problem) => Self::new(columns.failed("from_columns", problem)),
        }
    }

    /// Keeps the records for which `predicate` holds.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// orders.filter(|_customer, amount| *amount > 10).to("big", Produced::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// # driver.push("orders", Record::new("ada", 5_i64.to_be_bytes()))?;
    /// # driver.push("orders", Record::new("ada", 15_i64.to_be_bytes()))?;
    /// # assert_eq!(driver.drain("big")?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn filter(&self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        let schema = Arc::clone(self.columns.schema());
        self.with("filter", |input| Ok((input.filter("filter", predicate), schema)), Key::Kept)
    }

    /// Keeps the records for which `predicate` does not hold.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// orders.filter_not(|customer, _amount| customer == "test").to("real", Produced::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// # driver.push("orders", Record::new("test", 5_i64.to_be_bytes()))?;
    /// # assert_eq!(driver.drain("real")?.len(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn filter_not(&self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        let schema = Arc::clone(self.columns.schema());
        let fails = move |key: &K, value: &V| !predicate(key, value);
        self.with("filter_not", |input| Ok((input.filter("filter_not", fails), schema)), Key::Kept)
    }

    /// Keeps the records for which an expression is true; null counts as false.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, expression::{col, lit}};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// orders.filter_expr(col("value").gt(lit(10_i64))).to("big", Produced::kafka());
    /// # builder.build()?;
    /// # Ok::<(), millstream::topology::TopologyError>(())
    /// ```
    pub fn filter_expr(&self, predicate: Expr) -> Self {
        Self::new(self.columns.filter(&predicate))
    }

    /// Makes a record of each record. The key may change: what groups or joins by it moves records through a repartition topic first.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// orders.map(|customer, amount| (amount, customer)).to("by-amount", Produced::kafka());
    /// # builder.build()?;
    /// # Ok::<(), millstream::topology::TopologyError>(())
    /// ```
    pub fn map<K2: Data, V2: Data>(
        &self,
        function: impl Fn(K, V) -> (K2, V2) + Send + Sync + 'static,
    ) -> KStream<K2, V2> {
        let make = |input: Input<K, V>| {
            let schema = output_schema::<K2, V2>()?;
            Ok((input.flat_map("map", Arc::clone(&schema), move |key, value| [function(key, value)])?, schema))
        };
        self.with("map", make, Key::Changed)
    }

    /// Makes a value of each value; keys stay, and so does where the records are.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// orders.map_values(|amount| amount as f64 / 100.0).to("in-euros", Produced::kafka());
    /// # builder.build()?;
    /// # Ok::<(), millstream::topology::TopologyError>(())
    /// ```
    pub fn map_values<V2: Data>(&self, function: impl Fn(V) -> V2 + Send + Sync + 'static) -> KStream<K, V2> {
        let make = |input: Input<K, V>| {
            let schema = value_schema::<V2>(self.columns.schema())?;
            Ok((input.map_values(Arc::clone(&schema), function)?, schema))
        };
        self.with("map_values", make, Key::Kept)
    }

    /// Makes a value of each key and value; keys stay.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// orders.map_values_with_key(|customer, amount| format!("{customer}: {amount}")).to("labels", Produced::kafka());
    /// # builder.build()?;
    /// # Ok::<(), millstream::topology::TopologyError>(())
    /// ```
    pub fn map_values_with_key<V2: Data>(
        &self,
        function: impl Fn(&K, V) -> V2 + Send + Sync + 'static,
    ) -> KStream<K, V2> {
        let make = |input: Input<K, V>| {
            let schema = value_schema::<V2>(self.columns.schema())?;
            Ok((input.map_values_with_key(Arc::clone(&schema), function)?, schema))
        };
        self.with("map_values", make, Key::Kept)
    }

    /// Makes any number of records of each record, with its timestamp and headers.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}};
    /// # let builder = StreamsBuilder::new();
    /// # let lines = builder.stream::<String, String>("lines", Consumed::kafka());
    /// let words = |_: String, line: String| line.split(' ').map(|word| (word.to_owned(), 1_i64)).collect::<Vec<_>>();
    /// lines.flat_map(words).to("words", Produced::kafka());
    /// # builder.build()?;
    /// # Ok::<(), millstream::topology::TopologyError>(())
    /// ```
    pub fn flat_map<K2: Data, V2: Data, I: IntoIterator<Item = (K2, V2)> + 'static>(
        &self,
        function: impl Fn(K, V) -> I + Send + Sync + 'static,
    ) -> KStream<K2, V2> {
        let make = |input: Input<K, V>| {
            let schema = output_schema::<K2, V2>()?;
            Ok((input.flat_map("flat_map", Arc::clone(&schema), function)?, schema))
        };
        self.with("flat_map", make, Key::Changed)
    }

    /// Makes any number of values of each key and value; keys stay, and so does where the records are.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}};
    /// # let builder = StreamsBuilder::new();
    /// # let lines = builder.stream::<String, String>("lines", Consumed::kafka());
    /// let words = |_: &String, line: String| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    /// lines.flat_map_values(words).to("words", Produced::kafka());
    /// # builder.build()?;
    /// # Ok::<(), millstream::topology::TopologyError>(())
    /// ```
    pub fn flat_map_values<V2: Data, I: IntoIterator<Item = V2> + 'static>(
        &self,
        function: impl Fn(&K, V) -> I + Send + Sync + 'static,
    ) -> KStream<K, V2> {
        let make = |input: Input<K, V>| {
            let schema = value_schema::<V2>(self.columns.schema())?;
            Ok((input.flat_map_values(Arc::clone(&schema), function)?, schema))
        };
        self.with("flat_map_values", make, Key::Kept)
    }

    /// Gives each record another key.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// orders.select_key(|_customer, amount| amount / 100).to("by-price", Produced::kafka());
    /// # builder.build()?;
    /// # Ok::<(), millstream::topology::TopologyError>(())
    /// ```
    pub fn select_key<K2: Data>(&self, function: impl Fn(&K, &V) -> K2 + Send + Sync + 'static) -> KStream<K2, V> {
        let make = |input: Input<K, V>| {
            let schema = output_schema::<K2, V>()?;
            let rekeyed = move |key, value| [(function(&key, &value), value)];
            Ok((input.flat_map("select_key", Arc::clone(&schema), rekeyed)?, schema))
        };
        self.with("select_key", make, Key::Changed)
    }

    /// Shows each record to `function` and passes it on. After a crash a record may be shown again.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// orders.peek(|customer, amount| assert!(*amount > 0, "{customer}")).to("seen", Produced::kafka());
    /// # builder.build()?;
    /// # Ok::<(), millstream::topology::TopologyError>(())
    /// ```
    pub fn peek(&self, function: impl Fn(&K, &V) + Send + Sync + 'static) -> Self {
        let schema = Arc::clone(self.columns.schema());
        self.with("peek", |input| Ok((input.look(Look::Peek, function), schema)), Key::Kept)
    }

    /// Shows each record to `function`; nothing is passed on. After a crash a record may be shown again.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// orders.for_each(|customer, amount| eprintln!("{customer} {amount}"));
    /// # builder.build()?;
    /// # Ok::<(), millstream::topology::TopologyError>(())
    /// ```
    pub fn for_each(&self, function: impl Fn(&K, &V) + Send + Sync + 'static) {
        let schema = Arc::clone(self.columns.schema());
        let _: Self = self.with("for_each", |input| Ok((input.look(Look::ForEach, function), schema)), Key::Kept);
    }

    /// Prints each record; nothing is passed on. See [`Printed`].
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Printed}};
    /// # let orders = StreamsBuilder::new().stream::<String, i64>("orders", Consumed::kafka());
    /// orders.print(Printed::to_sys_out().with_label("orders"));
    /// ```
    pub fn print(&self, printed: Printed)
    where
        K: std::fmt::Debug,
        V: std::fmt::Debug,
    {
        self.for_each(move |key, value| printed.print(key, value));
    }

    /// Gives the operator that this stream comes from a name: see [`ColumnStream::named`].
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// orders.filter(|_, amount| *amount > 10).named("big-orders");
    /// assert!(builder.build().is_ok_and(|topology| topology.describe().contains("big-orders: filter")));
    /// ```
    pub fn named(&self, name: &str) -> Self {
        Self::new(self.columns.named(name))
    }

    /// Begins to share records out to branches: each goes to the first whose predicate holds.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed};
    /// # let orders = StreamsBuilder::new().stream::<String, i64>("orders", Consumed::kafka());
    /// let branches = orders.split().branch(|_, amount| *amount > 10).default_branch();
    /// assert_eq!(branches.len(), 2);
    /// ```
    pub fn split(&self) -> Split<K, V> {
        Split::of(self.clone())
    }

    /// The records of both streams.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}};
    /// # let builder = StreamsBuilder::new();
    /// let [shop, web] = ["shop", "web"].map(|topic| builder.stream::<String, i64>(topic, Consumed::kafka()));
    /// shop.merge(&web).to("orders", Produced::kafka());
    /// # assert!(builder.build().is_ok());
    /// ```
    pub fn merge(&self, other: &Self) -> Self {
        Self::new(self.columns.merge(&other.columns))
    }

    /// Moves every record to the partition of its key.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced, Repartitioned}};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// orders.repartition(Repartitioned::named("spread").with_partitions(4)).to("out", Produced::kafka());
    /// # assert!(builder.build().is_ok());
    /// ```
    pub fn repartition(&self, options: Repartitioned) -> Self {
        Self::new(self.columns.repartition(options))
    }

    /// Writes the records to `topic`.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// orders.to("copy", Produced::json());
    /// # assert!(builder.build().is_ok());
    /// ```
    pub fn to(&self, topic: &str, produced: Produced) {
        if let Some(produced) = self.produced(produced) {
            self.columns.to(topic, produced);
        }
    }

    /// Writes each record to the topic that `topic` names; it must exist when the first record for it comes. A record whose topic does not is
    /// a dead letter.
    ///
    /// ```
    /// use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, testing::TopologyTestDriver};
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// orders.to_dynamic(|_, amount| if *amount < 0 { "refunds".to_owned() } else { "sales".to_owned() }, Produced::kafka());
    /// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.create_topic("sales", 1)?;
    /// driver.push("orders", Record::new("ada", 30_i64.to_be_bytes()))?;
    /// driver.push("orders", Record::new("bob", (-5_i64).to_be_bytes()))?;
    /// assert_eq!(driver.drain("sales")?.len(), 1);
    /// assert_eq!(driver.dead_letters()?.len(), 1, "there is no topic of refunds");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_dynamic(&self, topic: impl Fn(&K, &V) -> String + Send + Sync + 'static, produced: Produced) {
        let Some(produced) = self.produced(produced) else { return };
        match TypedRows::of() {
            Ok(rows) => self.columns.to_dynamic(Arc::new(TypedTopics { rows, choose: topic }), produced),
            Err(problem) => drop(self.columns.failed("to_dynamic", problem)),
        }
    }

    /// The same options with values written as their type is.
    fn produced(&self, produced: Produced) -> Option<Produced> {
        match Shape::<V>::of("value") {
            Ok(shape) => {
                let formats = crate::topology::Formats { wrapping: shape.wrapping(), ..produced.formats };
                Some(Produced { formats, ..produced })
            }
            Err(problem) => {
                self.columns.failed("to", problem);
                None
            }
        }
    }

    /// Makes a table of the newest record of each key.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// let last = orders.to_table("last-orders");
    /// assert_eq!(last.columns().store_name().as_deref(), Some("last-orders"));
    /// ```
    pub fn to_table(&self, materialized: impl Into<Materialized>) -> KTable<K, V> {
        KTable::new(self.columns.to_table(materialized.into()))
    }

    /// Groups by the key there is.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// orders.group_by_key().count("orders-per-customer");
    /// # assert!(builder.build().is_ok());
    /// ```
    pub fn group_by_key(&self) -> KGroupedStream<K, V> {
        KGroupedStream::new(self.columns.group_by_key())
    }

    /// Groups by another key.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// orders.group_by(|_customer, amount| amount / 100).count("orders-by-price");
    /// # assert!(builder.build().is_ok());
    /// ```
    pub fn group_by<K2: Data>(&self, key: impl Fn(&K, &V) -> K2 + Send + Sync + 'static) -> KGroupedStream<K2, V> {
        self.select_key(key).group_by_key()
    }

    pub(super) fn with<K2: Data, V2: Data>(
        &self,
        name: &str,
        make: impl FnOnce(Input<K, V>) -> Result<(Closure, Arc<StreamSchema>), String>,
        key: Key,
    ) -> KStream<K2, V2> {
        let columns = match Input::of_stream().and_then(make) {
            Ok((closure, schema)) => {
                self.columns.transform(name, Arc::new(closure), schema, key == Key::Changed || self.columns.rekeyed)
            }
            Err(problem) => self.columns.failed(name, problem),
        };
        KStream::new(columns)
    }
}

/// Whether an operator may give records other keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Kept,
    Changed,
}

pub(super) fn output_schema<K: Data, V: Data>() -> Result<Arc<StreamSchema>, String> {
    StreamSchema::new(Shape::<K>::of("key")?.fields, Shape::<V>::of("value")?.fields, false)
        .map_err(|error| error.to_string())
}

/// The schema of `input` with the columns of `V` as its values.
pub(super) fn value_schema<V: Data>(input: &StreamSchema) -> Result<Arc<StreamSchema>, String> {
    StreamSchema::new(input.key().to_vec(), Shape::<V>::of("value")?.fields, input.window())
        .map_err(|error| error.to_string())
}
