//! Stores that processors read and topics fill.

use super::{
    Consumed, GlobalStore, KTable, KeyValueStore, Materialized, ReadOnlyStore, StateStore, StoreBuilder,
    StreamsBuilder, processor::store_of_table, typed::Data,
};
use crate::{
    operator::{StoreLogging, StoreRetention},
    topology::{NodeKind, OffsetReset},
};

impl StreamsBuilder {
    /// Adds a store that holds the newest record of each key of `topic`, for processors that read it: Kafka Streams' read-only state store
    /// (KIP-813). The topic is its changelog, no other one is written; a processor reads the partition of its task.
    ///
    /// # Ordering
    /// As for a table: of records that wait those with the lowest timestamp come first, of one timestamp those of this topic. At every start the
    /// topic is read from its first record, in this order.
    ///
    /// # State
    /// One row a key: see [`Stores::key_value`](super::Stores::key_value).
    ///
    /// ```
    /// use millstream::{StreamsBuilder, dsl::{Consumed, Produced, Stores}, record::Record, testing::TopologyTestDriver};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let builder = StreamsBuilder::new();
    /// let prices = Stores::key_value::<String, i64>("prices");
    /// let prices = builder.add_read_only_state_store(prices, "prices", Consumed::kafka());
    /// let store = prices.clone();
    /// builder.stream::<String, i64>("orders", Consumed::kafka()).process_values_each(move |record, context| {
    ///     let price = context.store(&store)?.get(record.key())?.ok_or("no price")?;
    ///     context.forward(record.map_value(|count| count * price));
    ///     Ok(())
    /// }, &[&prices]).to("amounts", Produced::kafka());
    /// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.push("prices", Record::new("tea", 3_i64.to_be_bytes()))?;
    /// driver.restart()?;
    /// driver.push("orders", Record::new("tea", 2_i64.to_be_bytes()))?;
    /// assert_eq!(driver.drain("amounts")?, [Record::new("tea", 6_i64.to_be_bytes())]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn add_read_only_state_store<K: Data, V: Data>(
        &self,
        store: StoreBuilder<KeyValueStore<K, V>>,
        topic: &str,
        consumed: Consumed<K, V>,
    ) -> ReadOnlyStore<K, V> {
        let mut materialized = Materialized::named(store.store.name());
        materialized.store = store.spec.map(|spec| spec.options).unwrap_or_default();
        materialized.store.logging = StoreLogging::Disabled;
        let table: KTable<K, V> = self.table(topic, consumed.reset(OffsetReset::EveryStart), materialized);
        drop(table);
        ReadOnlyStore::new(store.store)
    }

    /// Adds a store that holds the newest record of each key of all partitions of `topic`, in every process: what
    /// [`global_table`](Self::global_table) makes, for processors, which read it with [`global`](super::ProcessingContext::global).
    /// Records are put as they are: there is no processor in between, whose work a restart would not do again in Kafka Streams either.
    ///
    /// ```
    /// use millstream::{StreamsBuilder, dsl::{Consumed, Stores}};
    ///
    /// let builder = StreamsBuilder::new();
    /// let cities = Stores::key_value::<String, String>("cities");
    /// let cities = builder.add_global_store(cities, "cities", Consumed::kafka());
    /// # let _ = cities;
    /// ```
    pub fn add_global_store<K: Data, V: Data>(
        &self,
        store: StoreBuilder<KeyValueStore<K, V>>,
        topic: &str,
        consumed: Consumed<K, V>,
    ) -> GlobalStore<K, V> {
        let mut materialized = Materialized::named(store.store.name());
        materialized.store = store.spec.map(|spec| spec.options).unwrap_or_default();
        self.global_table(topic, consumed, materialized).state_store()
    }
}

impl<K: Data, V: Data> KTable<K, V> {
    /// A handle by which processors read the table's store; `None` if the table has no store with one row of `V` a key.
    /// Tables with windows have none, nor those that are computed anew for each reader, nor aggregations by expressions, such as counts, which
    /// keep what they need to go on; [`materialize`](Self::materialize) makes one.
    ///
    /// ```
    /// use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, testing::TopologyTestDriver};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let builder = StreamsBuilder::new();
    /// let stream = builder.stream::<String, String>("in", Consumed::kafka());
    /// let joined = stream.group_by_key().reduce(|all, next| all + &next, "joined").state_store().ok_or("a store")?;
    /// let store = joined.clone();
    /// let asked = builder.stream::<String, String>("ask", Consumed::kafka());
    /// asked.process_values_each(move |record, context| {
    ///     let all = context.store(&store)?.get(record.key())?.unwrap_or_default();
    ///     context.forward(record.with_value(all));
    ///     Ok(())
    /// }, &[&joined]).to("out", Produced::kafka());
    /// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.push_all("in", ["a", "b"].map(|value| Record::new("k", value)))?;
    /// driver.push("ask", Record::new("k", "?"))?;
    /// assert_eq!(driver.drain("out")?, [Record::new("k", "ab")]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn state_store(&self) -> Option<ReadOnlyStore<K, V>> {
        let columns = self.columns();
        let graph = columns.graph.borrow();
        let number = match &graph.nodes[columns.node.0].kind {
            NodeKind::Aggregate(aggregate) => aggregate.store,
            _ => columns.store?,
        };
        let spec = &graph.stores[number];
        let plain = spec.retention == StoreRetention::Forever && spec.layout.is_readable();
        let same = spec.layout.state_fields() == spec.layout.result_fields();
        let store = if plain && same { store_of_table(spec) } else { None };
        store.map(ReadOnlyStore::new)
    }
}
