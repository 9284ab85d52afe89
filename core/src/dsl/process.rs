//! Processors in the chain of calls: operators of one's own over typed streams and tables.

use super::{
    FixedKeyProcessorContext, FixedKeyProcessorSupplier, FixedKeyRecord, KStream, KTable, Materialized,
    ProcessorContext, ProcessorError, ProcessorRecord, ProcessorSupplier, StateStore, StoreBuilder, StreamsBuilder,
    processor::{AnyKey, Keys, each_record, process},
    typed::Data,
};

impl StreamsBuilder {
    /// Adds a state store, to be connected to processors with the handle that it gives. Processors that share a store run in one task.
    ///
    /// # State
    /// A store that no processor is connected to is not made.
    ///
    /// ```
    /// use millstream::{StreamsBuilder, dsl::Stores};
    ///
    /// let builder = StreamsBuilder::new();
    /// let counts = builder.add_state_store(Stores::key_value::<String, i64>("counts"));
    /// let handle_for_a_closure = counts.clone();
    /// ```
    pub fn add_state_store<S: StateStore>(&self, store: StoreBuilder<S>) -> S {
        let mut graph = self.graph.borrow_mut();
        match store.spec {
            Ok(spec) => drop(graph.add_store(spec)),
            Err(problem) => graph.fail(&format!("state store {}", store.store.name()), problem),
        }
        drop(graph);
        store.store
    }
}

impl<K: Data, V: Data> KStream<K, V> {
    /// Lets a processor of one's own take the records; it may forward others, with other keys. See [`Processor`](super::Processor).
    ///
    /// Keys count as changed: what groups or joins below moves records to the partitions of their keys. The processor itself sees records
    /// where they are; if they were given other keys before, [`repartition`](Self::repartition) first where its stores are by key.
    ///
    /// # State
    /// What `stores` name, added with [`add_state_store`](StreamsBuilder::add_state_store).
    ///
    /// ```
    /// use millstream::{StreamsBuilder, dsl::{Consumed, KeyValueStore, Processor, ProcessorContext, ProcessorError, ProcessorRecord, Produced, Stores}};
    /// use millstream::{record::Record, testing::TopologyTestDriver};
    ///
    /// /// Passes on what is greater than all before it.
    /// struct Records { best: KeyValueStore<String, i64> }
    ///
    /// impl Processor<String, i64, String, i64> for Records {
    ///     fn process(&mut self, record: ProcessorRecord<String, i64>, context: &mut ProcessorContext<'_, String, i64>) -> Result<(), ProcessorError> {
    ///         let mut best = context.store(&self.best)?;
    ///         if best.get(&record.key)?.is_none_or(|best| best < record.value) {
    ///             best.put(&record.key, &record.value)?;
    ///             context.forward(record);
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let builder = StreamsBuilder::new();
    /// let best = builder.add_state_store(Stores::key_value("best"));
    /// let handle = best.clone();
    /// let jumps = builder.stream("jumps", Consumed::kafka());
    /// jumps.process(move || Records { best: handle.clone() }, &[&best]).to("records", Produced::kafka());
    /// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.push_all("jumps", [7_i64, 5, 8].map(|jump| Record::new("ada", jump.to_be_bytes())))?;
    /// assert_eq!(driver.drain("records")?.len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn process<K2: Data, V2: Data>(
        &self,
        supplier: impl ProcessorSupplier<K, V, K2, V2>,
        stores: &[&dyn StateStore],
    ) -> KStream<K2, V2> {
        KStream::new(process(self.columns(), ("process", Keys::Change), None, supplier, stores))
    }

    /// As [`process`](Self::process) with a closure that is called for each record.
    ///
    /// ```
    /// use millstream::{StreamsBuilder, dsl::{Consumed, ProcessorRecord, Produced}, record::Record, testing::TopologyTestDriver};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, String>("lines", Consumed::kafka()).process_each(|record, context| {
    ///     for word in record.value.split(' ') {
    ///         context.forward(ProcessorRecord::new(word.to_owned(), 1_i64, record.timestamp));
    ///     }
    ///     Ok(())
    /// }, &[]).to("words", Produced::kafka());
    /// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.push("lines", Record::new("k", "to be or not"))?;
    /// assert_eq!(driver.drain("words")?.len(), 4);
    /// # Ok(())
    /// # }
    /// ```
    pub fn process_each<K2: Data, V2: Data>(
        &self,
        closure: impl Fn(ProcessorRecord<K, V>, &mut ProcessorContext<'_, K2, V2>) -> Result<(), ProcessorError>
        + Send
        + Sync
        + 'static,
        stores: &[&dyn StateStore],
    ) -> KStream<K2, V2> {
        self.process(each_record(closure), stores)
    }

    /// Lets a processor take the records that leaves their keys as they are, so that nothing has to move later.
    ///
    /// # State
    /// What `stores` name, added with [`add_state_store`](StreamsBuilder::add_state_store).
    ///
    /// ```
    /// use millstream::{StreamsBuilder, dsl::{Consumed, FixedKeyProcessor, FixedKeyProcessorContext, FixedKeyRecord, ProcessorError, Produced}};
    ///
    /// struct Doubling;
    /// impl FixedKeyProcessor<String, i64, i64> for Doubling {
    ///     fn process(&mut self, record: FixedKeyRecord<String, i64>, context: &mut FixedKeyProcessorContext<'_, String, i64>) -> Result<(), ProcessorError> {
    ///         context.forward(record.map_value(|value| 2 * value));
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let builder = StreamsBuilder::new();
    /// builder.stream("in", Consumed::kafka()).process_values(|| Doubling, &[]).to("out", Produced::kafka());
    /// # builder.build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn process_values<V2: Data>(
        &self,
        supplier: impl FixedKeyProcessorSupplier<K, V, V2>,
        stores: &[&dyn StateStore],
    ) -> KStream<K, V2> {
        KStream::new(process(self.columns(), ("process-values", Keys::Stay), None, AnyKey(supplier), stores))
    }

    /// As [`process_values`](Self::process_values) with a closure that is called for each record.
    ///
    /// ```
    /// use millstream::{StreamsBuilder, dsl::{Consumed, Produced, Stores}, record::Record, testing::TopologyTestDriver};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let builder = StreamsBuilder::new();
    /// let sums = builder.add_state_store(Stores::key_value::<String, i64>("sums"));
    /// let store = sums.clone();
    /// builder.stream::<String, i64>("in", Consumed::kafka()).process_values_each(move |record, context| {
    ///     let sum = context.store(&store)?.get(record.key())?.unwrap_or(0) + record.value();
    ///     context.store(&store)?.put(record.key(), &sum)?;
    ///     context.forward(record.with_value(sum));
    ///     Ok(())
    /// }, &[&sums]).to("sums-out", Produced::kafka());
    /// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.push_all("in", [1_i64, 2].map(|value| Record::new("k", value.to_be_bytes())))?;
    /// assert_eq!(driver.drain("sums-out")?[1].value, Some(3_i64.to_be_bytes().to_vec()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn process_values_each<V2: Data>(
        &self,
        closure: impl Fn(FixedKeyRecord<K, V>, &mut FixedKeyProcessorContext<'_, K, V2>) -> Result<(), ProcessorError>
        + Send
        + Sync
        + 'static,
        stores: &[&dyn StateStore],
    ) -> KStream<K, V2> {
        let closure = std::sync::Arc::new(closure);
        self.process_values(move || super::processor::EachRecord(std::sync::Arc::clone(&closure)), stores)
    }
}

impl<K: Data, V: Data> KTable<K, V> {
    /// Lets a processor make each row's new value, with state stores at hand: what it forwards for a row is the row of the result. A row for
    /// which it forwards nothing stays as it was; a row that was deleted is deleted in the result, too.
    ///
    /// # State
    /// The result, under the name of `materialized`, so that what a row replaces need not be computed again; and what `stores` name.
    ///
    /// ```
    /// use millstream::{StreamsBuilder, dsl::{Consumed, Produced, Stores}, record::Record, testing::TopologyTestDriver};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let builder = StreamsBuilder::new();
    /// let changes = builder.add_state_store(Stores::key_value::<String, i64>("changes"));
    /// let store = changes.clone();
    /// let cities = builder.table::<String, String>("cities", Consumed::kafka(), "cities".into());
    /// let numbered = cities.transform_values_each(move |record, context| {
    ///     let times = context.store(&store)?.get(record.key())?.unwrap_or(0) + 1;
    ///     context.store(&store)?.put(record.key(), &times)?;
    ///     context.forward(record.map_value(|city| format!("{city} {times}")));
    ///     Ok(())
    /// }, &[&changes], "numbered");
    /// numbered.to_stream().to("out", Produced::kafka());
    /// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.push_all("cities", ["Rome", "Bonn"].map(|city| Record::new("ada", city)))?;
    /// assert_eq!(driver.drain("out")?[1].value, Some(b"Bonn 2".to_vec()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn transform_values_each<V2: Data>(
        &self,
        closure: impl Fn(FixedKeyRecord<K, V>, &mut FixedKeyProcessorContext<'_, K, V2>) -> Result<(), ProcessorError>
        + Send
        + Sync
        + 'static,
        stores: &[&dyn StateStore],
        materialized: impl Into<Materialized>,
    ) -> KTable<K, V2> {
        let closure = std::sync::Arc::new(closure);
        let supplier = move || super::processor::EachRecord(std::sync::Arc::clone(&closure));
        self.transform_values(supplier, stores, materialized)
    }

    /// As [`transform_values_each`](Self::transform_values_each) with a processor for each task.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, FixedKeyProcessor, FixedKeyProcessorContext, FixedKeyRecord, ProcessorError}};
    /// struct Length;
    /// impl FixedKeyProcessor<String, String, i64> for Length {
    ///     fn process(&mut self, record: FixedKeyRecord<String, String>, context: &mut FixedKeyProcessorContext<'_, String, i64>) -> Result<(), ProcessorError> {
    ///         context.forward(record.map_value(|text| text.len() as i64));
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.table("texts", Consumed::kafka(), "texts".into());
    /// let lengths = texts.transform_values(|| Length, &[], "lengths");
    /// # let _ = lengths;
    /// # builder.build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn transform_values<V2: Data>(
        &self,
        supplier: impl FixedKeyProcessorSupplier<K, V, V2>,
        stores: &[&dyn StateStore],
        materialized: impl Into<Materialized>,
    ) -> KTable<K, V2> {
        let changes = self.columns().to_stream();
        let what = ("transform-values", Keys::Stay);
        KTable::new(process(&changes, what, Some(|key| key), AnyKey(supplier), stores).to_table(materialized.into()))
    }
}
