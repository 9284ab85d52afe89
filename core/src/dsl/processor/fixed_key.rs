//! Processors that leave keys as they are, so that records stay where they are: no repartition follows.

use super::{EachRecord, ProcessingContext, Processor, ProcessorContext, ProcessorRecord, ProcessorSupplier};
use crate::{
    operator::{ProcessorError, Punctuation},
    record::{Header, Timestamp},
};
use std::ops::{Deref, DerefMut};

/// A record whose key cannot be changed. One that was kept may be forwarded later, at a tick for instance.
///
/// ```
/// use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, testing::TopologyTestDriver};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let builder = StreamsBuilder::new();
/// builder.stream::<String, String>("in", Consumed::kafka()).process_values_each(|record, context| {
///     let length = record.value().len();
///     context.forward(record.with_value(length as i64));
///     Ok(())
/// }, &[]).to("lengths", Produced::kafka());
/// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.push("in", Record::new("a", "four"))?;
/// assert_eq!(driver.drain("lengths")?, [Record::new("a", 4_i64.to_be_bytes())]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedKeyRecord<K, V>(ProcessorRecord<K, V>);

impl<K, V> FixedKeyRecord<K, V> {
    /// The key.
    pub const fn key(&self) -> &K {
        &self.0.key
    }

    /// The value.
    pub const fn value(&self) -> &V {
        &self.0.value
    }

    /// Event time.
    pub const fn timestamp(&self) -> Timestamp {
        self.0.timestamp
    }

    /// Headers in order.
    pub fn headers(&self) -> &[Header] {
        &self.0.headers
    }

    /// The same record with another value.
    pub fn with_value<V2>(self, value: V2) -> FixedKeyRecord<K, V2> {
        FixedKeyRecord(self.0.with_value(value))
    }

    /// The same record with what `function` makes of its value.
    pub fn map_value<V2>(self, function: impl FnOnce(V) -> V2) -> FixedKeyRecord<K, V2> {
        let ProcessorRecord { key, value, timestamp, headers } = self.0;
        FixedKeyRecord(ProcessorRecord { key, value: function(value), timestamp, headers })
    }

    /// The same record at another time.
    pub fn with_timestamp(self, timestamp: Timestamp) -> Self {
        Self(self.0.with_timestamp(timestamp))
    }

    /// The same record with other headers.
    pub fn with_headers(self, headers: Vec<Header>) -> Self {
        Self(self.0.with_headers(headers))
    }
}

/// The surroundings of a [`FixedKeyProcessor`]: those of [`ProcessingContext`], and where its output goes.
pub struct FixedKeyProcessorContext<'a, K, V>(ProcessorContext<'a, K, V>);

impl<K, V> FixedKeyProcessorContext<'_, K, V> {
    /// Passes a record on to all operators below.
    ///
    /// # Ordering
    /// In the order of these calls, between the outputs of the records before and after.
    pub fn forward(&mut self, record: FixedKeyRecord<K, V>) {
        self.0.forward(record.0);
    }
}

impl<'a, K, V> Deref for FixedKeyProcessorContext<'a, K, V> {
    type Target = ProcessingContext<'a>;

    fn deref(&self) -> &ProcessingContext<'a> {
        &self.0
    }
}

impl<K, V> DerefMut for FixedKeyProcessorContext<'_, K, V> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// A [`Processor`] that changes values only. The contract is the same.
///
/// ```
/// use millstream::dsl::{FixedKeyProcessor, FixedKeyProcessorContext, FixedKeyRecord, KeyValueStore, ProcessorError};
///
/// /// Adds up the numbers of each key.
/// struct Adding(KeyValueStore<String, i64>);
///
/// impl FixedKeyProcessor<String, i64, i64> for Adding {
///     fn process(
///         &mut self,
///         record: FixedKeyRecord<String, i64>,
///         context: &mut FixedKeyProcessorContext<'_, String, i64>,
///     ) -> Result<(), ProcessorError> {
///         let mut sums = context.store(&self.0)?;
///         let sum = sums.get(record.key())?.unwrap_or_default() + record.value();
///         sums.put(record.key(), &sum)?;
///         context.forward(record.with_value(sum));
///         Ok(())
///     }
/// }
/// ```
pub trait FixedKeyProcessor<K, VIn, VOut>: Send {
    /// Begins: see [`Processor::init`].
    ///
    /// # Errors
    /// Whatever keeps it from beginning.
    fn init(&mut self, _context: &mut FixedKeyProcessorContext<'_, K, VOut>) -> Result<(), ProcessorError> {
        Ok(())
    }

    /// Takes a record.
    ///
    /// # Errors
    /// Why the record cannot be processed.
    fn process(
        &mut self,
        record: FixedKeyRecord<K, VIn>,
        context: &mut FixedKeyProcessorContext<'_, K, VOut>,
    ) -> Result<(), ProcessorError>;

    /// Takes a tick of one of its schedules: see [`Processor::punctuate`].
    ///
    /// # Errors
    /// Why it cannot go on.
    fn punctuate(
        &mut self,
        _tick: &Punctuation,
        _context: &mut FixedKeyProcessorContext<'_, K, VOut>,
    ) -> Result<(), ProcessorError> {
        Err(ProcessorError::fatal("it has a schedule and does not say what to do at a tick: write `punctuate`"))
    }

    /// Ends: see [`Processor::close`].
    fn close(&mut self) {}
}

/// Makes a [`FixedKeyProcessor`] for each task: a closure without arguments is one.
///
/// ```
/// # use millstream::dsl::{FixedKeyProcessor, FixedKeyProcessorContext, FixedKeyProcessorSupplier, FixedKeyRecord, ProcessorError};
/// struct Same;
/// impl FixedKeyProcessor<String, i64, i64> for Same {
///     fn process(&mut self, record: FixedKeyRecord<String, i64>, context: &mut FixedKeyProcessorContext<'_, String, i64>) -> Result<(), ProcessorError> {
///         context.forward(record);
///         Ok(())
///     }
/// }
/// fn accepts(_: impl FixedKeyProcessorSupplier<String, i64, i64>) {}
/// accepts(|| Same);
/// ```
pub trait FixedKeyProcessorSupplier<K, VIn, VOut>: Send + Sync + 'static {
    /// What it makes.
    type Processor: FixedKeyProcessor<K, VIn, VOut> + 'static;

    /// A new processor.
    fn get(&self) -> Self::Processor;
}

impl<K, VIn, VOut, P, F> FixedKeyProcessorSupplier<K, VIn, VOut> for F
where
    P: FixedKeyProcessor<K, VIn, VOut> + 'static,
    F: Fn() -> P + Send + Sync + 'static,
{
    type Processor = P;

    fn get(&self) -> P {
        self()
    }
}

impl<F, K, VIn, VOut> FixedKeyProcessor<K, VIn, VOut> for EachRecord<F>
where
    F: Fn(FixedKeyRecord<K, VIn>, &mut FixedKeyProcessorContext<'_, K, VOut>) -> Result<(), ProcessorError>
        + Send
        + Sync,
{
    fn process(
        &mut self,
        record: FixedKeyRecord<K, VIn>,
        context: &mut FixedKeyProcessorContext<'_, K, VOut>,
    ) -> Result<(), ProcessorError> {
        (self.0)(record, context)
    }
}

/// A processor of values as one that could change keys.
pub(in crate::dsl) struct AnyKey<P>(pub(in crate::dsl) P);

impl<K, VIn, VOut, P: FixedKeyProcessor<K, VIn, VOut>> Processor<K, VIn, K, VOut> for AnyKey<P> {
    fn init(&mut self, context: &mut ProcessorContext<'_, K, VOut>) -> Result<(), ProcessorError> {
        self.0.init(&mut FixedKeyProcessorContext(context.reborrow()))
    }

    fn process(
        &mut self,
        record: ProcessorRecord<K, VIn>,
        context: &mut ProcessorContext<'_, K, VOut>,
    ) -> Result<(), ProcessorError> {
        self.0.process(FixedKeyRecord(record), &mut FixedKeyProcessorContext(context.reborrow()))
    }

    fn punctuate(
        &mut self,
        tick: &Punctuation,
        context: &mut ProcessorContext<'_, K, VOut>,
    ) -> Result<(), ProcessorError> {
        self.0.punctuate(tick, &mut FixedKeyProcessorContext(context.reborrow()))
    }

    fn close(&mut self) {
        self.0.close();
    }
}

impl<K, VIn, VOut, S: FixedKeyProcessorSupplier<K, VIn, VOut>> ProcessorSupplier<K, VIn, K, VOut> for AnyKey<S> {
    type Processor = AnyKey<S::Processor>;

    fn get(&self) -> Self::Processor {
        AnyKey(self.0.get())
    }
}
