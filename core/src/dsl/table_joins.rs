//! Joins of typed tables: by equal keys, and by a foreign key that rows of one table name.
//!
//! A joiner is given the key, which it cannot change, and the rows of both tables; what may be missing is an `Option`. Of a row that is there
//! every column may be null; a row that is not there is `None`.

use std::sync::Arc;

use super::{
    ColumnTable, KTable, TableJoined,
    foreign_key::ForeignKeyClosure,
    joiner::{Sides, names},
    typed::Data,
};
use crate::{
    expression::Expr,
    operator::{JoinKind, KeyExpressions, KeyMapping, TableJoinKind},
};

/// Why a joiner can count on a side.
const BOTH: &str = "an inner join gives rows with both sides";
/// Why a joiner of a left join can count on the left side.
const LEFT: &str = "a left join gives rows with a left side";

impl<K: Data, V: Data> KTable<K, V> {
    /// The rows of keys that both tables have.
    ///
    /// # Ordering
    /// Each change of either table gives one of the result, with the higher timestamp of both rows; a row that loses its other side goes.
    ///
    /// # State
    /// None of its own: both tables are kept, and are if they were not. [`materialize`](Self::materialize) keeps the result, too.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, testing::TopologyTestDriver};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let builder = StreamsBuilder::new();
    /// # let table = |topic: &str| builder.table::<String, String>(topic, Consumed::kafka(), topic.into());
    /// let (names, cities) = (table("names"), table("cities"));
    /// names.join(&cities, |_, name, city| format!("{name} of {city}")).to_stream().to("people", Produced::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// # driver.push("names", Record::new("1", "Ada").at_ms(3))?;
    /// # driver.push("cities", Record::new("1", "London").at_ms(4))?;
    /// # driver.push("names", Record { value: None, ..Record::new("1", "").at_ms(7) })?;
    /// let people = driver.drain("people")?;
    /// assert_eq!(people, [Record::new("1", "Ada of London").at_ms(4), Record { value: None, ..Record::new("1", "").at_ms(7) }]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn join<T: Data, R: Data>(
        &self,
        other: &KTable<K, T>,
        joiner: impl Fn(&K, V, T) -> R + Send + Sync + 'static,
    ) -> KTable<K, R> {
        self.with_table(other, TableJoinKind::Inner, move |key, left, right| {
            joiner(key, left.expect(BOTH), right.expect(BOTH))
        })
    }

    /// The rows of this table, each with the row of its key in the other one if there is one. Otherwise as [`join`](Self::join).
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, testing::TopologyTestDriver};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let builder = StreamsBuilder::new();
    /// # let table = |topic: &str| builder.table::<String, String>(topic, Consumed::kafka(), topic.into());
    /// # let (names, cities) = (table("names"), table("cities"));
    /// let people = names.left_join(&cities, |_, name, city: Option<String>| format!("{name} of {}", city.unwrap_or("?".into())));
    /// # people.to_stream().to("people", Produced::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// # driver.push("names", Record::new("1", "Ada").at_ms(3))?;
    /// # assert_eq!(driver.drain("people")?, [Record::new("1", "Ada of ?").at_ms(3)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn left_join<T: Data, R: Data>(
        &self,
        other: &KTable<K, T>,
        joiner: impl Fn(&K, V, Option<T>) -> R + Send + Sync + 'static,
    ) -> KTable<K, R> {
        self.with_table(other, TableJoinKind::Left, move |key, left, right| joiner(key, left.expect(LEFT), right))
    }

    /// The rows of keys that either table has. Otherwise as [`join`](Self::join).
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, testing::TopologyTestDriver};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let builder = StreamsBuilder::new();
    /// # let table = |topic: &str| builder.table::<String, i64>(topic, Consumed::kafka(), topic.into());
    /// # let (bought, sold) = (table("bought"), table("sold"));
    /// let stock = bought.outer_join(&sold, |_, bought, sold| bought.unwrap_or(0) - sold.unwrap_or(0));
    /// # stock.to_stream().to("stock", Produced::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// # driver.push("sold", Record::new("tea", 3_i64.to_be_bytes()).at_ms(3))?;
    /// # assert_eq!(driver.drain("stock")?, [Record::new("tea", (-3_i64).to_be_bytes()).at_ms(3)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn outer_join<T: Data, R: Data>(
        &self,
        other: &KTable<K, T>,
        joiner: impl Fn(&K, Option<V>, Option<T>) -> R + Send + Sync + 'static,
    ) -> KTable<K, R> {
        self.with_table(other, TableJoinKind::Outer, joiner)
    }

    /// The rows of this table, each with the row of `other` whose key `foreign_key` computes from key and value. A row that names none, or one
    /// that is not there, is not in the result; the former is a dead letter.
    ///
    /// # Ordering
    /// Changes of either table pass through two internal topics. What a row causes that has changed again meanwhile is left out; deletions may
    /// come more than once. The timestamp is the higher one of both rows where this table's row caused the change, else that of the other.
    ///
    /// # State
    /// One subscription a row that names a foreign key, in the partition of that key. Both tables are kept.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, testing::TopologyTestDriver};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let builder = StreamsBuilder::new();
    /// # let table = |topic: &str| builder.table::<String, String>(topic, Consumed::kafka(), topic.into());
    /// // An order names its customer before the colon.
    /// let (orders, customers) = (table("orders"), table("customers"));
    /// let customer_of = |_: &String, order: &String| order.split_once(':').map(|(customer, _)| customer.to_owned());
    /// orders.join_foreign(&customers, customer_of, |_, order, customer| format!("{order} for {customer}")).to_stream().to("out", Produced::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// # driver.push("customers", Record::new("1", "Ada"))?;
    /// # driver.push("orders", Record::new("a", "1:tea"))?;
    /// # driver.push("orders", Record::new("b", "nobody"))?;
    /// # driver.push("customers", Record::new("1", "Bob"))?;
    /// # let out = driver.drain("out")?;
    /// # let out: Vec<_> = out.iter().map(|record| std::str::from_utf8(record.value.as_deref().unwrap()).unwrap()).collect();
    /// assert_eq!(out, ["1:tea for Ada", "1:tea for Bob"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn join_foreign<'a, K2: Data, T: Data, R: Data>(
        &self,
        other: impl Into<TableJoined<'a, KTable<K2, T>>>,
        foreign_key: impl Fn(&K, &V) -> Option<K2> + Send + Sync + 'static,
        joiner: impl Fn(&K, V, T) -> R + Send + Sync + 'static,
    ) -> KTable<K, R> {
        let joiner =
            move |key: &K, left: Option<V>, right: Option<T>| joiner(key, left.expect(BOTH), right.expect(BOTH));
        self.with_foreign(other.into(), self.by_closure(foreign_key), JoinKind::Inner, joiner)
    }

    /// All rows of this table, each with the row of `other` whose key `foreign_key` computes from key and value, if there is one. Otherwise as
    /// [`join_foreign`](Self::join_foreign).
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, testing::TopologyTestDriver};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let builder = StreamsBuilder::new();
    /// # let table = |topic: &str| builder.table::<String, String>(topic, Consumed::kafka(), topic.into());
    /// # let (orders, customers) = (table("orders"), table("customers"));
    /// let joined = orders.left_join_foreign(&customers, |_, order| Some(order.clone()), |_, order, customer| (order, customer));
    /// # let text = joined.map_values(|(order, customer): (String, Option<String>)| format!("{order} {customer:?}"));
    /// # text.to_stream().to("out", Produced::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// # driver.push("orders", Record::new("a", "1"))?;
    /// # assert_eq!(driver.drain("out")?[0].value.as_deref(), Some(&b"1 None"[..]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn left_join_foreign<'a, K2: Data, T: Data, R: Data>(
        &self,
        other: impl Into<TableJoined<'a, KTable<K2, T>>>,
        foreign_key: impl Fn(&K, &V) -> Option<K2> + Send + Sync + 'static,
        joiner: impl Fn(&K, V, Option<T>) -> R + Send + Sync + 'static,
    ) -> KTable<K, R> {
        let joiner = move |key: &K, left: Option<V>, right: Option<T>| joiner(key, left.expect(LEFT), right);
        self.with_foreign(other.into(), self.by_closure(foreign_key), JoinKind::Left, joiner)
    }

    /// As [`join_foreign`](Self::join_foreign), with an expression for the foreign key.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, expression::col, record::Record, testing::TopologyTestDriver};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let builder = StreamsBuilder::new();
    /// # let table = |topic: &str| builder.table::<String, String>(topic, Consumed::kafka(), topic.into());
    /// # let (orders, customers) = (table("orders"), table("customers"));
    /// orders.join_foreign_expr(&customers, col("value"), |_, _, customer| customer).to_stream().to("out", Produced::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// # driver.push("orders", Record::new("a", "1"))?;
    /// # driver.push("customers", Record::new("1", "Ada"))?;
    /// # assert_eq!(driver.drain("out")?[0].value.as_deref(), Some(&b"Ada"[..]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn join_foreign_expr<'a, K2: Data, T: Data, R: Data>(
        &self,
        other: impl Into<TableJoined<'a, KTable<K2, T>>>,
        foreign_key: Expr,
        joiner: impl Fn(&K, V, T) -> R + Send + Sync + 'static,
    ) -> KTable<K, R> {
        let joiner =
            move |key: &K, left: Option<V>, right: Option<T>| joiner(key, left.expect(BOTH), right.expect(BOTH));
        self.with_foreign(other.into(), self.by_expression(&foreign_key), JoinKind::Inner, joiner)
    }

    /// As [`left_join_foreign`](Self::left_join_foreign), with an expression for the foreign key.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, expression::col, record::Record, testing::TopologyTestDriver};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let builder = StreamsBuilder::new();
    /// # let table = |topic: &str| builder.table::<String, String>(topic, Consumed::kafka(), topic.into());
    /// # let (orders, customers) = (table("orders"), table("customers"));
    /// let joined = orders.left_join_foreign_expr(&customers, col("value"), |_, _, customer| customer.unwrap_or("nobody".to_owned()));
    /// # joined.to_stream().to("out", Produced::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// # driver.push("orders", Record::new("a", "1"))?;
    /// # assert_eq!(driver.drain("out")?[0].value.as_deref(), Some(&b"nobody"[..]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn left_join_foreign_expr<'a, K2: Data, T: Data, R: Data>(
        &self,
        other: impl Into<TableJoined<'a, KTable<K2, T>>>,
        foreign_key: Expr,
        joiner: impl Fn(&K, V, Option<T>) -> R + Send + Sync + 'static,
    ) -> KTable<K, R> {
        let joiner = move |key: &K, left: Option<V>, right: Option<T>| joiner(key, left.expect(LEFT), right);
        self.with_foreign(other.into(), self.by_expression(&foreign_key), JoinKind::Left, joiner)
    }

    fn by_closure<K2: Data>(
        &self,
        foreign_key: impl Fn(&K, &V) -> Option<K2> + Send + Sync + 'static,
    ) -> Result<Arc<dyn KeyMapping>, String> {
        Ok(Arc::new(ForeignKeyClosure::new(foreign_key)?))
    }

    fn by_expression(&self, foreign_key: &Expr) -> Result<Arc<dyn KeyMapping>, String> {
        let bound = KeyExpressions::new(std::slice::from_ref(foreign_key), self.columns().schema());
        Ok(Arc::new(bound.map_err(|error| error.to_string())?))
    }

    fn with_table<T: Data, R: Data>(
        &self,
        other: &KTable<K, T>,
        kind: TableJoinKind,
        joiner: impl Fn(&K, Option<V>, Option<T>) -> R + Send + Sync + 'static,
    ) -> KTable<K, R> {
        let names = names(self.columns().schema().value(), other.columns().schema().value());
        self.joined(self.columns().join_table(other.columns(), kind, &names), joiner)
    }

    fn with_foreign<K2: Data, T: Data, R: Data>(
        &self,
        joined: TableJoined<'_, KTable<K2, T>>,
        foreign_key: Result<Arc<dyn KeyMapping>, String>,
        kind: JoinKind,
        joiner: impl Fn(&K, Option<V>, Option<T>) -> R + Send + Sync + 'static,
    ) -> KTable<K, R> {
        let other = joined.table.columns();
        let names = names(self.columns().schema().value(), other.schema().value());
        let flat = match foreign_key {
            Ok(foreign_key) => self.columns().join_by(joined.of(other), foreign_key, kind, &names),
            Err(problem) => self.columns().failed("foreign-key join", problem),
        };
        self.joined(flat, joiner)
    }

    /// What a joiner makes of joined columns.
    fn joined<T: Data, R: Data>(
        &self,
        flat: ColumnTable,
        joiner: impl Fn(&K, Option<V>, Option<T>) -> R + Send + Sync + 'static,
    ) -> KTable<K, R> {
        let made = Sides::<K, V, T>::new().and_then(|sides| sides.joiner(flat.schema(), joiner));
        KTable::new(match made {
            Ok((transform, schema)) => flat.transform("joiner", transform, schema),
            Err(problem) => flat.failed("join", problem),
        })
    }
}
