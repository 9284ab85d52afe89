//! What a processor is, and what makes one for each task.

use std::sync::Arc;

use super::{ProcessorContext, ProcessorRecord};
use crate::operator::{ProcessorError, Punctuation};

/// An operator of one's own: takes records, forwards records.
///
/// # Contract
/// One processor serves one task, and is called by one thread at a time. What it keeps in itself is gone after a restart; what it keeps in
/// stores is not. After a crash records are processed again whose results were not committed, with the stores as they were committed.
/// Records of one partition come in order. Output must depend on records, stores and times only, or a restart may change it.
///
/// # Errors
/// A [`ProcessorError`] makes the record a dead letter; one that [is fatal](ProcessorError::fatal) ends the task.
///
/// ```
/// use millstream::{StreamsBuilder, dsl::{Consumed, Produced, Processor, ProcessorContext, ProcessorError, ProcessorRecord}};
/// use millstream::{record::Record, testing::TopologyTestDriver};
///
/// /// Numbers records; the number is forgotten at a restart.
/// struct Numbering(u64);
///
/// impl Processor<String, String, String, String> for Numbering {
///     fn process(
///         &mut self,
///         record: ProcessorRecord<String, String>,
///         context: &mut ProcessorContext<'_, String, String>,
///     ) -> Result<(), ProcessorError> {
///         self.0 += 1;
///         let numbered = format!("{} {}", self.0, record.value);
///         context.forward(record.with_value(numbered));
///         Ok(())
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let builder = StreamsBuilder::new();
/// let lines = builder.stream::<String, String>("lines", Consumed::kafka());
/// lines.process(|| Numbering(0), &[]).to("numbered", Produced::kafka());
/// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.push_all("lines", [Record::new("a", "tea"), Record::new("b", "ink")])?;
/// let values: Vec<_> = driver.drain("numbered")?.into_iter().filter_map(|record| record.value).collect();
/// assert_eq!(values, [b"1 tea", b"2 ink"]);
/// # Ok(())
/// # }
/// ```
pub trait Processor<KIn, VIn, KOut, VOut>: Send {
    /// Begins: the place for schedules. A failure ends the task.
    ///
    /// # Errors
    /// Whatever keeps it from beginning.
    fn init(&mut self, _context: &mut ProcessorContext<'_, KOut, VOut>) -> Result<(), ProcessorError> {
        Ok(())
    }

    /// Takes a record.
    ///
    /// # Errors
    /// Why the record cannot be processed.
    fn process(
        &mut self,
        record: ProcessorRecord<KIn, VIn>,
        context: &mut ProcessorContext<'_, KOut, VOut>,
    ) -> Result<(), ProcessorError>;

    /// Takes a tick of one of its schedules. A processor that makes schedules has to say what to do.
    ///
    /// # Errors
    /// Why it cannot go on; a failure that is not fatal is kept as a dead letter without a record.
    fn punctuate(
        &mut self,
        _tick: &Punctuation,
        _context: &mut ProcessorContext<'_, KOut, VOut>,
    ) -> Result<(), ProcessorError> {
        Err(ProcessorError::fatal("it has a schedule and does not say what to do at a tick: write `punctuate`"))
    }

    /// Ends. What was done since the last commit may or may not be committed.
    fn close(&mut self) {}
}

/// Makes a [`Processor`] for each task: a closure without arguments is one.
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
/// use millstream::dsl::{Processor, ProcessorContext, ProcessorError, ProcessorRecord, ProcessorSupplier};
///
/// struct Counting(Arc<AtomicU64>);
/// impl Processor<String, i64, String, i64> for Counting {
///     fn process(&mut self, _: ProcessorRecord<String, i64>, _: &mut ProcessorContext<'_, String, i64>) -> Result<(), ProcessorError> {
///         self.0.fetch_add(1, Ordering::Relaxed);
///         Ok(())
///     }
/// }
/// fn accepts(_: impl ProcessorSupplier<String, i64, String, i64>) {}
/// let total = Arc::new(AtomicU64::new(0));
/// accepts(move || Counting(Arc::clone(&total)));
/// ```
pub trait ProcessorSupplier<KIn, VIn, KOut, VOut>: Send + Sync + 'static {
    /// What it makes.
    type Processor: Processor<KIn, VIn, KOut, VOut> + 'static;

    /// A new processor.
    fn get(&self) -> Self::Processor;
}

impl<KIn, VIn, KOut, VOut, P, F> ProcessorSupplier<KIn, VIn, KOut, VOut> for F
where
    P: Processor<KIn, VIn, KOut, VOut> + 'static,
    F: Fn() -> P + Send + Sync + 'static,
{
    type Processor = P;

    fn get(&self) -> P {
        self()
    }
}

/// A closure that all tasks share, as a processor.
pub(in crate::dsl) struct EachRecord<F>(pub(in crate::dsl) Arc<F>);

impl<F, KIn, VIn, KOut, VOut> Processor<KIn, VIn, KOut, VOut> for EachRecord<F>
where
    F: Fn(ProcessorRecord<KIn, VIn>, &mut ProcessorContext<'_, KOut, VOut>) -> Result<(), ProcessorError> + Send + Sync,
{
    fn process(
        &mut self,
        record: ProcessorRecord<KIn, VIn>,
        context: &mut ProcessorContext<'_, KOut, VOut>,
    ) -> Result<(), ProcessorError> {
        (self.0)(record, context)
    }
}
