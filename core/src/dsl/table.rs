//! Typed tables.

use std::{marker::PhantomData, sync::Arc};

use super::{
    ColumnTable, KStream,
    closure::{Closure, Input},
    grouped_table::KGroupedTable,
    options::Materialized,
    regroup::ClosureRegroup,
    stream::value_schema,
    typed::{Data, Shape},
};
use crate::{expression::Expr, operator::Column, record::TimeSpan, schema::StreamSchema};

/// A table with keys `K` and rows `V`: the newest record of a key is its row.
///
/// ```
/// use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
///
/// let builder = StreamsBuilder::new();
/// let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into());
/// stock.filter(|_item, left| *left > 0).materialize("in-stock");
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input_topic::<String, i64>("stock")?.pipe_key_value_list([("tea", 7), ("ink", 3), ("ink", 0)])?;
/// let in_stock = driver.store::<String, i64>("in-stock")?;
/// assert_eq!((in_stock.get("tea")?, in_stock.get("ink")?), (Some(7), None));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct KTable<K, V> {
    columns: ColumnTable,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for KTable<K, V> {
    fn clone(&self) -> Self {
        Self { columns: self.columns.clone(), types: PhantomData }
    }
}

impl<K: Data, V: Data> KTable<K, V> {
    pub(super) fn new(columns: ColumnTable) -> Self {
        Self { columns, types: PhantomData }
    }

    /// The same table by the column.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into());
    /// assert_eq!(stock.columns().store_name().as_deref(), Some("stock"));
    /// ```
    pub fn columns(&self) -> &ColumnTable {
        &self.columns
    }

    /// Keeps the rows for which `predicate` holds; a row that no longer passes is deleted.
    ///
    /// # Ordering
    /// A change of a row that does not pass and did not pass before gives nothing, unless tombstones are to be as in Kafka Streams: see
    /// [`StreamsBuilder::with_tombstones`](super::StreamsBuilder::with_tombstones).
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into());
    /// stock.filter(|_item, left| *left > 0).to_stream().to("in-stock", Produced::kafka());
    /// # builder.build()?;
    /// # Ok::<(), millstream::topology::TopologyError>(())
    /// ```
    pub fn filter(&self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        self.filtered("filter", move |key, value| Ok(predicate(key, value)))
    }

    /// Keeps the rows for which `predicate` does not hold; otherwise as [`filter`](Self::filter).
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into());
    /// stock.filter_not(|_item, left| *left > 0).to_stream().to("sold-out", Produced::kafka());
    /// # builder.build()?;
    /// # Ok::<(), millstream::topology::TopologyError>(())
    /// ```
    pub fn filter_not(&self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        self.filtered("filter_not", move |key, value| Ok(!predicate(key, value)))
    }

    pub(super) fn filtered(
        &self,
        what: &'static str,
        predicate: impl Fn(&K, &V) -> Result<bool, String> + Send + Sync + 'static,
    ) -> Self {
        match Input::of_table() {
            Ok(input) => {
                let schema = Arc::clone(self.columns.schema());
                Self::new(self.columns.transform(
                    what,
                    self.columns.deleting(Arc::new(input.try_filter(what, predicate))),
                    schema,
                ))
            }
            Err(problem) => Self::new(self.columns.failed(what, problem)),
        }
    }

    /// Keeps the rows for which an expression is true.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, expression::{col, lit}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into());
    /// stock.filter_expr(col("value").gt(lit(0_i64))).to_stream().to("in-stock", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("stock")?.pipe_key_value_list([("tea", 7), ("tea", 0)])?;
    /// assert_eq!(driver.output_topic::<String, i64>("in-stock")?.read_values_to_list()?, [Some(7), None]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn filter_expr(&self, predicate: Expr) -> Self {
        Self::new(self.columns.filter(&predicate))
    }

    /// Makes a row of each row; deleted rows stay deleted. A result of `None` deletes, too.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into());
    /// stock.map_values(|left| format!("{left} left")).to_stream().to("labels", Produced::kafka());
    /// # builder.build()?;
    /// # Ok::<(), millstream::topology::TopologyError>(())
    /// ```
    pub fn map_values<V2: Data>(&self, function: impl Fn(V) -> V2 + Send + Sync + 'static) -> KTable<K, V2> {
        self.mapped(|input, schema| input.map_values(schema, function))
    }

    /// Makes a row of each key and row; otherwise as [`map_values`](Self::map_values).
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into());
    /// stock.map_values_with_key(|item, left| format!("{left} {item}s")).to_stream().to("labels", Produced::kafka());
    /// # builder.build()?;
    /// # Ok::<(), millstream::topology::TopologyError>(())
    /// ```
    pub fn map_values_with_key<V2: Data>(
        &self,
        function: impl Fn(&K, V) -> V2 + Send + Sync + 'static,
    ) -> KTable<K, V2> {
        self.mapped(|input, schema| input.map_values_with_key(schema, function))
    }

    pub(super) fn mapped<V2: Data>(
        &self,
        make: impl FnOnce(Input<K, V>, Arc<StreamSchema>) -> Result<Closure, String>,
    ) -> KTable<K, V2> {
        let mapped = value_schema::<V2>(self.columns.schema()).and_then(|schema| {
            let closure = make(Input::of_table()?, Arc::clone(&schema))?;
            Ok(self.columns.transform("map_values", Arc::new(closure), schema))
        });
        KTable::new(mapped.unwrap_or_else(|problem| self.columns.failed("map_values", problem)))
    }

    /// Gives the operator that this table comes from a name: see [`ColumnStream::named`](super::ColumnStream::named).
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into());
    /// stock.filter(|_item, left| *left > 0).named("in-stock");
    /// assert!(builder.build()?.describe().contains("in-stock: filter"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn named(&self, name: &str) -> Self {
        Self::new(self.columns.named(name))
    }

    /// Keeps the table in a store, so that it can be joined with and queried.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into());
    /// stock.map_values(|left| left * 10).materialize("by-tens");
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("stock")?.pipe("tea", 7)?;
    /// assert_eq!(driver.store::<String, i64>("by-tens")?.get("tea")?, Some(70));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn materialize(&self, materialized: impl Into<Materialized>) -> Self {
        Self::new(self.columns.materialize(materialized.into()))
    }

    /// The same table without rows that were not updated for `ttl` of event time. This table's own store stays: see
    /// [`ColumnTable::expire_after`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into());
    /// stock.expire_after(Duration::from_millis(10), "counted-lately");
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("stock")?.pipe_at("tea", 7, 0)?;
    /// driver.input_topic::<String, i64>("stock")?.pipe_at("ink", 3, 10)?;
    /// let lately = driver.store::<String, i64>("counted-lately")?;
    /// assert_eq!((lately.get("tea")?, lately.get("ink")?), (None, Some(3)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn expire_after(&self, ttl: impl Into<TimeSpan>, materialized: impl Into<Materialized>) -> Self {
        Self::new(self.columns.expire_after(ttl, materialized.into()))
    }

    /// The changes as a stream: each new row, a null value for each deleted one.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into());
    /// stock.to_stream().to("changes", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("stock")?.pipe("tea", 7)?;
    /// driver.input_topic::<String, i64>("stock")?.pipe_null_value("tea")?;
    /// assert_eq!(driver.output_topic::<String, i64>("changes")?.read_values_to_list()?, [Some(7), None]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_stream(&self) -> KStream<K, V> {
        KStream::new(self.columns.to_stream())
    }

    /// Groups rows by another key, with another value; what a row contributes is taken back when it changes or goes. A row for which key or value is
    /// `None` of an `Option` is in no group. See [`KGroupedTable`].
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, expression::col, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into());
    /// stock.group_by(|item, left| (item[..1].to_owned(), *left)).sum::<i64>(col("value"), "left-by-letter");
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("stock")?.pipe_key_value_list([("tea", 7), ("toast", 2), ("tea", 6)])?;
    /// assert_eq!(driver.store::<String, i64>("left-by-letter")?.get("t")?, Some(8));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn group_by<K2: Data, V2: Data>(
        &self,
        function: impl Fn(&K, &V) -> (K2, V2) + Send + Sync + 'static,
    ) -> KGroupedTable<K2, V2> {
        KGroupedTable::new(self.columns.grouped(ClosureRegroup::<K, V, K2, V2, _>::retract(function)))
    }

    /// Groups rows by an expression over their columns; otherwise as [`group_by`](Self::group_by).
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, expression::col};
    /// # let builder = StreamsBuilder::new();
    /// # let parcels = builder.table::<String, String>("parcels", Consumed::kafka(), "parcels".into());
    /// parcels.group_by_expr::<String>(col("value")).count("parcels-by-city").to_stream().to("counts", Produced::kafka());
    /// # builder.build()?;
    /// # Ok::<(), millstream::topology::TopologyError>(())
    /// ```
    pub fn group_by_expr<K2: Data>(&self, key: Expr) -> KGroupedTable<K2, V> {
        let value: Vec<Column> = self
            .columns
            .schema()
            .value()
            .iter()
            .map(|field| Column::new(field.name(), crate::expression::col(field.name())))
            .collect();
        let name = match Shape::<K2>::of("key").map(|shape| shape.fields) {
            Ok(fields) if fields.len() == 1 => fields[0].name().clone(),
            Ok(_) => {
                self.columns.failed("group_by", "the new key must be one column");
                "key".to_owned()
            }
            Err(problem) => {
                self.columns.failed("group_by", problem);
                "key".to_owned()
            }
        };
        let value = value.into_iter().filter(|column| column.name != name).collect::<Vec<_>>();
        KGroupedTable::new(self.columns.group_by(&[Column::new(name, key)], &value))
    }
}
