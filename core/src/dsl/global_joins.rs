//! Joins of streams with global tables, by a key that each record computes.

use std::{rc::Rc, sync::Arc};

use super::{
    ColumnGlobalTable, ColumnStream, GlobalKTable, KStream, foreign_key::ForeignKeyClosure, joiner::names,
    joins::renamed, typed::Data,
};
use crate::{
    expression::Expr,
    operator::{JoinKind, KeyExpressions, KeyMapping},
    schema::StreamSchema,
    topology::{GlobalJoinNode, NodeKind},
};

impl ColumnStream {
    /// Meets each record with the row of `table` whose key is what `key` computes from it: one expression for each key column. `names` are the
    /// value columns of the result: this stream's, then the table's, and two more if they are to say which sides there are. Keys stay, and so
    /// does where the records are.
    ///
    /// # Ordering
    /// None between stream and table: a record meets the row of the moment.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, expression::col, operator::JoinKind};
    /// # let builder = StreamsBuilder::new();
    /// let cities = builder.global_table::<String, String>("cities", Consumed::kafka(), "cities");
    /// let shops = builder.stream::<i64, String>("shops", Consumed::kafka());
    /// let names = ["city", "country"].map(str::to_owned);
    /// shops.columns().join_global(cities.columns(), &[col("value")], JoinKind::Left, &names);
    /// # assert!(builder.build().unwrap().describe().contains("left join with the global table `cities` by value"));
    /// ```
    pub fn join_global(&self, table: &ColumnGlobalTable, key: &[Expr], kind: JoinKind, names: &[String]) -> Self {
        match KeyExpressions::new(key, &self.schema) {
            Ok(key) => self.join_global_by(table, Arc::new(key), kind, names),
            Err(problem) => self.failed("join", problem),
        }
    }

    /// The same with a key that is computed in whatever way.
    fn join_global_by(
        &self,
        table: &ColumnGlobalTable,
        key: Arc<dyn KeyMapping>,
        kind: JoinKind,
        names: &[String],
    ) -> Self {
        let wanted: Vec<_> = table.schema.key().iter().map(|field| field.data_type().clone()).collect();
        let given = key.types();
        if given != wanted {
            return self.failed("join", format!("a key of {given:?} cannot be looked up among keys of {wanted:?}"));
        }
        let schema = renamed(&self.schema, &table.schema, names).and_then(|value| {
            StreamSchema::new(self.schema.key().to_vec(), value, self.schema.window())
                .map_err(|error| error.to_string())
        });
        let schema = match schema {
            Ok(schema) => schema,
            Err(problem) => return self.failed("join", problem),
        };
        let mut graph = self.graph.borrow_mut();
        let store = &graph.globals[table.number].store;
        let (name, layout) = (store.name.clone(), Arc::clone(&store.layout));
        let node = GlobalJoinNode { kind, table: table.number, name, layout, schema: Arc::clone(&table.schema), key };
        let node = graph.add("join-global", NodeKind::Operator(Arc::new(node)), vec![self.node], Arc::clone(&schema));
        drop(graph);
        Self { graph: Rc::clone(&self.graph), node, schema, rekeyed: self.rekeyed }
    }
}

impl<K: Data, V: Data> KStream<K, V> {
    /// Meets each record with the row of `table` whose key `key` computes from key and value; records that meet none, and those for which
    /// `key` gives none, are left out, the latter as dead letters. The key that the joiner is given is the stream's, which the result keeps.
    ///
    /// # Ordering
    /// None between stream and table: a record meets the row of the moment. Results are in the order of the stream, with its timestamps.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, testing::TopologyTestDriver};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let builder = StreamsBuilder::new();
    /// let prices = builder.global_table::<String, i64>("prices", Consumed::kafka(), "prices");
    /// let orders = builder.stream::<String, String>("orders", Consumed::kafka());
    /// orders.join_global(&prices, |_, item| Some(item.clone()), |_, _, price| price).to("amounts", Produced::kafka());
    /// # let mut driver = TopologyTestDriver::with(&builder.build()?, 3, Default::default())?;
    /// # driver.push("prices", Record::new("tea", 3_i64.to_be_bytes()))?;
    /// # driver.push("orders", Record::new("ada", "tea"))?;
    /// # assert_eq!(driver.drain("amounts")?, [Record::new("ada", 3_i64.to_be_bytes())]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn join_global<K2: Data, T: Data, R: Data>(
        &self,
        table: &GlobalKTable<K2, T>,
        key: impl Fn(&K, &V) -> Option<K2> + Send + Sync + 'static,
        joiner: impl Fn(&K, V, T) -> R + Send + Sync + 'static,
    ) -> KStream<K, R> {
        self.with_global(table, key, JoinKind::Inner, move |key, left, right| {
            joiner(
                key,
                left.expect("a join with a table gives rows with a left side"),
                right.expect("an inner join gives rows with both sides"),
            )
        })
    }

    /// As [`join_global`](Self::join_global), but records that meet no row are passed on, and so are those for which `key` gives none.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, testing::TopologyTestDriver};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let builder = StreamsBuilder::new();
    /// # let prices = builder.global_table::<String, i64>("prices", Consumed::kafka(), "prices");
    /// # let orders = builder.stream::<String, String>("orders", Consumed::kafka());
    /// let amounts = orders.left_join_global(&prices, |_, item| Some(item.clone()), |_, _, price| price.unwrap_or(-1));
    /// # amounts.to("amounts", Produced::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// # driver.push("orders", Record::new("ada", "tea"))?;
    /// # assert_eq!(driver.drain("amounts")?, [Record::new("ada", (-1_i64).to_be_bytes())]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn left_join_global<K2: Data, T: Data, R: Data>(
        &self,
        table: &GlobalKTable<K2, T>,
        key: impl Fn(&K, &V) -> Option<K2> + Send + Sync + 'static,
        joiner: impl Fn(&K, V, Option<T>) -> R + Send + Sync + 'static,
    ) -> KStream<K, R> {
        self.with_global(table, key, JoinKind::Left, move |key, left, right| {
            joiner(key, left.expect("a join with a table gives rows with a left side"), right)
        })
    }

    fn with_global<K2: Data, T: Data, R: Data>(
        &self,
        table: &GlobalKTable<K2, T>,
        key: impl Fn(&K, &V) -> Option<K2> + Send + Sync + 'static,
        kind: JoinKind,
        joiner: impl Fn(&K, Option<V>, Option<T>) -> R + Send + Sync + 'static,
    ) -> KStream<K, R> {
        let table = table.columns();
        let names = names(self.columns().schema().value(), table.schema().value());
        let flat = match ForeignKeyClosure::new(key) {
            Ok(key) => self.columns().join_global_by(table, Arc::new(key), kind, &names),
            Err(problem) => self.columns().failed("join", problem),
        };
        self.joined(flat, joiner)
    }
}
