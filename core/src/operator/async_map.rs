//! Values by asynchronous calls: of a service, a database, anything that is waited for.
//!
//! Calls run while the task goes on: up to so many at once, over batches and inputs. A commit waits for all of them, so that a record whose call
//! has no answer is never committed as processed, and each answer is committed once. After a crash the calls of what was not committed are made
//! again: the service sees a record at least once.
//!
//! ```text
//! records    a  b  c  | commit          calls begin as records come, and are waited for
//! calls      |--|                       - where too many are in flight
//!               |------|                - at the commit
//! ordered    a  b  c   in the order of the records, whichever call was first
//! unordered  a  c  b   as answers come; those of one commit stay in one commit
//! ```
//! Ordered output is the same for every way of cutting the input. Where results meet other inputs of the task, when an answer comes decides, as
//! for any asynchronous call; results keep the timestamps of their records.
//!
//! What waits blocks its thread, and so the other tasks of that thread: for as long as too many calls are in flight, and at commits for the
//! longest call, at most its timeout. A call that fails, or has no answer in time, makes its records dead letters.
//!
//! After Flink's asynchronous I/O.

use std::{collections::VecDeque, pin::Pin, sync::Arc, time::Duration};

use arrow::{
    array::{ArrayRef, UInt32Array},
    buffer::NullBuffer,
};
use parking_lot::{Condvar, Mutex};

use super::{
    AsyncPool, Context, DeadLetter, FoldError, Operator, OperatorError, ProcessorError, Reason, fold::scatter,
};
use crate::{
    Batch,
    expression::RowError,
    record::{Timestamp, TopicPartition},
    schema::StreamSchema,
};

/// The order in which answers are passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AsyncOrder {
    /// That of the records.
    #[default]
    Ordered,
    /// As answers come: of one key, too, a later record may come first.
    Unordered,
}

/// How often a call is made that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsyncRetry {
    /// How many times it is made at most, the first included.
    pub attempts: usize,
    /// How long it is waited before the second attempt; twice as long before each further one.
    pub back_off: Duration,
}

/// One attempt, by default.
impl Default for AsyncRetry {
    fn default() -> Self {
        Self { attempts: 1, back_off: Duration::from_millis(100) }
    }
}

/// How asynchronous calls are made.
///
/// ```
/// use std::time::Duration;
/// use millstream::dsl::{AsyncOptions, AsyncOrder, AsyncRetry};
///
/// let options = AsyncOptions {
///     order: AsyncOrder::Unordered,
///     retry: AsyncRetry { attempts: 3, back_off: Duration::from_millis(50) },
///     ..AsyncOptions::default()
/// };
/// assert_eq!((options.max_in_flight, options.timeout), (100, Duration::from_secs(10)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsyncOptions {
    /// How many calls a task has in flight at most; at least one.
    pub max_in_flight: usize,
    /// The order of the answers.
    pub order: AsyncOrder,
    /// How long a call may take, all its attempts and the time between them together.
    pub timeout: Duration,
    /// How often a call is made that fails.
    pub retry: AsyncRetry,
}

impl Default for AsyncOptions {
    fn default() -> Self {
        let (order, retry) = (AsyncOrder::default(), AsyncRetry::default());
        Self { max_in_flight: 100, order, timeout: Duration::from_secs(10), retry }
    }
}

/// A future that can be sent to another thread.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// Makes a call, again if need be.
pub type Call<T> = Arc<dyn Fn() -> BoxFuture<Result<Vec<T>, ProcessorError>> + Send + Sync>;

/// What is called, and how answers are written.
pub trait AsyncCalls: Send {
    /// The answer for one record.
    type Answer: Send + 'static;

    /// Makes records of a batch and says for which rows there is one to be asked about; rows that cannot be read are added to `errors`.
    fn read(&mut self, batch: &Batch, errors: &mut Vec<RowError>) -> Vec<bool>;

    /// The call for these rows of the batch, each of which has a record.
    fn call(&mut self, rows: &[u32]) -> Call<Self::Answer>;

    /// The value columns of answers, and which of them are something.
    ///
    /// # Errors
    /// [`FoldError`] if they cannot be written as columns.
    fn write(&self, answers: &[Self::Answer]) -> Result<(Vec<ArrayRef>, Option<NullBuffer>), FoldError>;
}

/// What came of a call.
type Outcome<T> = Result<Vec<T>, ProcessorError>;
/// Answers that the task has not seen yet, with the numbers of their calls.
type Mailbox<T> = (Mutex<VecDeque<(u64, Outcome<T>)>>, Condvar);

/// Rows that wait for an answer.
struct Waiting<T> {
    number: u64,
    batch: Batch,
    rows: Vec<u32>,
    origin: Option<TopicPartition>,
    /// Rows without value have no answer to wait for.
    outcome: Option<Outcome<T>>,
}

/// Makes asynchronous calls for records.
pub struct AsyncMap<C: AsyncCalls> {
    calls: C,
    options: AsyncOptions,
    rows_a_call: usize,
    output: Arc<StreamSchema>,
    pool: Arc<AsyncPool>,
    /// Rows that are too few for a call, and where they come from.
    held: Option<(Batch, Option<TopicPartition>)>,
    waiting: VecDeque<Waiting<C::Answer>>,
    in_flight: usize,
    next: u64,
    mailbox: Arc<Mailbox<C::Answer>>,
}

/// Says that a call has ended, whatever has ended it.
struct Reply<T> {
    number: u64,
    outcome: Option<Outcome<T>>,
    mailbox: Arc<Mailbox<T>>,
}

impl<T> Reply<T> {
    fn give(mut self, outcome: Outcome<T>) {
        self.outcome = Some(outcome);
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or_else(|| Err(ProcessorError::of("the call panicked")));
        self.mailbox.0.lock().push_back((self.number, outcome));
        self.mailbox.1.notify_all();
    }
}

async fn attempts<T>(call: Call<T>, rows: usize, retry: AsyncRetry) -> Outcome<T> {
    let mut back_off = retry.back_off;
    for attempt in 1.. {
        let outcome = match call().await {
            Ok(answers) if answers.len() != rows => {
                Err(ProcessorError::of(format!("{} answers came for {rows} records", answers.len())))
            }
            outcome => outcome,
        };
        match outcome {
            Err(error) if attempt < retry.attempts && !error.is_fatal() => tokio::time::sleep(back_off).await,
            outcome => return outcome,
        }
        back_off = back_off.saturating_mul(2);
    }
    unreachable!("the last attempt returns")
}

impl<C: AsyncCalls> AsyncMap<C> {
    /// Calls for `rows_a_call` records at once, for fewer at commits.
    pub fn new(
        calls: C,
        options: AsyncOptions,
        rows_a_call: usize,
        output: Arc<StreamSchema>,
        pool: Arc<AsyncPool>,
    ) -> Self {
        let (waiting, mailbox) = (VecDeque::new(), Arc::default());
        Self { calls, options, rows_a_call, output, pool, held: None, waiting, in_flight: 0, next: 0, mailbox }
    }

    /// Asks about what was held to fill a call.
    fn ask_held(&mut self, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let Some((held, origin)) = self.held.take() else { return Ok(()) };
        self.ask(&held, origin.as_ref(), context)
    }

    /// Asks about the rows of a batch.
    fn ask(
        &mut self,
        batch: &Batch,
        origin: Option<&TopicPartition>,
        context: &mut Context<'_>,
    ) -> Result<(), OperatorError> {
        let mut errors = Vec::new();
        let mut asked = self.calls.read(batch, &mut errors);
        let mut silent: Vec<bool> = asked.iter().map(|asked| !asked).collect();
        for RowError { row, problem } in errors {
            (asked[row], silent[row]) = (false, false);
            let letter = DeadLetter::of_row(context.operator, origin, batch, row, Reason::Expression, problem);
            context.dead_letters.push(letter);
        }
        let mut rows: Vec<u32> = Vec::new();
        for row in 0..batch.len() {
            if asked[row] {
                rows.push(row as u32);
            }
            if !rows.is_empty() && (silent[row] || rows.len() >= self.rows_a_call) {
                self.begin(batch, &std::mem::take(&mut rows), origin, context)?;
            }
            if silent[row] {
                self.wait_for(batch, &[row as u32], Some(Ok(Vec::new())), origin);
            }
        }
        if rows.is_empty() { Ok(()) } else { self.begin(batch, &rows, origin, context) }
    }

    /// Makes the call for some rows.
    fn begin(
        &mut self,
        batch: &Batch,
        rows: &[u32],
        origin: Option<&TopicPartition>,
        context: &mut Context<'_>,
    ) -> Result<(), OperatorError> {
        while self.in_flight >= self.options.max_in_flight.max(1) {
            self.take_answers(self.in_flight - 1, context)?;
        }
        let (call, number) = (self.calls.call(rows), self.next);
        let (count, AsyncOptions { timeout, retry, .. }) = (rows.len(), self.options);
        let reply = Reply { number, outcome: None, mailbox: Arc::clone(&self.mailbox) };
        let asked = async move {
            let late = |_| Err(ProcessorError::of(format!("no answer came within {timeout:?}")));
            reply.give(tokio::time::timeout(timeout, attempts(call, count, retry)).await.unwrap_or_else(late));
        };
        self.pool.spawn(asked).map_err(|error| context.error(error))?;
        self.in_flight += 1;
        self.wait_for(batch, rows, None, origin);
        Ok(())
    }

    fn wait_for(
        &mut self,
        batch: &Batch,
        rows: &[u32],
        outcome: Option<Outcome<C::Answer>>,
        origin: Option<&TopicPartition>,
    ) {
        let (batch, rows, origin) = (batch.clone(), rows.to_vec(), origin.cloned());
        self.waiting.push_back(Waiting { number: self.next, batch, rows, origin, outcome });
        self.next += 1;
    }

    /// Takes the answers that are there, and waits for more until at most `left` calls are in flight; passes on what can be.
    fn take_answers(&mut self, left: usize, context: &mut Context<'_>) -> Result<(), OperatorError> {
        loop {
            let must_wait = self.in_flight > left;
            let take = |answers: &mut VecDeque<_>| (!must_wait || !answers.is_empty()).then(|| std::mem::take(answers));
            let Some(answers) = self.pool.wait(&self.mailbox, take) else {
                return Err(context.error(format!(
                    "it was stopped while {} calls had no answer; what they are for is not committed and will be processed again",
                    self.in_flight
                )));
            };
            self.in_flight -= answers.len();
            self.sort_in(answers);
            self.pass_on(context)?;
            if self.in_flight <= left {
                return Ok(());
            }
        }
    }

    /// Puts answers where their rows wait; unordered ones go to the front, in the order in which they came.
    fn sort_in(&mut self, answers: VecDeque<(u64, Outcome<C::Answer>)>) {
        let mut answered = 0;
        for (number, outcome) in answers {
            let Some(place) = self.waiting.iter().position(|waiting| waiting.number == number) else { continue };
            self.waiting[place].outcome = Some(outcome);
            if self.options.order == AsyncOrder::Unordered
                && let Some(waiting) = self.waiting.remove(place)
            {
                self.waiting.insert(answered, waiting);
                answered += 1;
            }
        }
    }

    /// Passes on what is answered at the front.
    fn pass_on(&mut self, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let ready = self.waiting.iter().take_while(|waiting| waiting.outcome.is_some()).count();
        let mut ready: VecDeque<Waiting<C::Answer>> = self.waiting.drain(..ready).collect();
        while let Some(first) = ready.front() {
            let batch = first.batch.clone();
            let same = |waiting: &Waiting<C::Answer>| {
                Arc::ptr_eq(waiting.batch.schema(), batch.schema()) && is_same(&waiting.batch, &batch)
            };
            let of_batch = ready.iter().take_while(|waiting| same(waiting)).count();
            let (mut rows, mut there, mut answers) = (Vec::new(), Vec::new(), Vec::new());
            for Waiting { rows: own, origin, outcome, .. } in ready.drain(..of_batch) {
                match outcome {
                    Some(Ok(own_answers)) => {
                        // Rows without value have no answers.
                        there.extend(rows.len()..rows.len() + own_answers.len());
                        rows.extend(own);
                        answers.extend(own_answers);
                    }
                    Some(Err(error)) if error.is_fatal() => return Err(context.error(error)),
                    Some(Err(error)) => reject(&batch, &own, origin.as_ref(), &error, context),
                    None => {}
                }
            }
            let output = self.write(&batch, rows, &there, &answers).map_err(|error| context.error(error))?;
            context.output.extend((!output.is_empty()).then_some(output));
        }
        Ok(())
    }

    /// The rows of `batch` at `rows` with their answers for values; `there` says which of them have one.
    fn write(&self, batch: &Batch, rows: Vec<u32>, there: &[usize], answers: &[C::Answer]) -> Result<Batch, FoldError> {
        let (values, present) = self.calls.write(answers)?;
        let mut mask = vec![false; rows.len()];
        for (index, &row) in there.iter().enumerate() {
            mask[row] = present.as_ref().is_none_or(|present| present.is_valid(index));
        }
        let values = scatter(&values, there, rows.len())?;
        let rows = UInt32Array::from(rows);
        let taken = |column: &ArrayRef| arrow::compute::take(column, &rows, None).map_err(FoldError::of);
        let schema = batch.schema();
        let mut columns = batch.keys().iter().map(taken).collect::<Result<Vec<_>, _>>()?;
        columns.extend(values);
        for index in [schema.time_index(), schema.offset_index()] {
            columns.push(taken(batch.rows().column(index))?);
        }
        let headers = batch.headers_at(&rows).map_err(FoldError::of)?;
        let output = Batch::new(Arc::clone(&self.output), columns);
        Ok(output.with_present(Some(NullBuffer::from(mask))).with_headers(headers))
    }
}

/// Whether two batches are one: they share the column of times.
fn is_same(one: &Batch, other: &Batch) -> bool {
    one.times().values().ptr_eq(other.times().values())
}

fn reject(
    batch: &Batch,
    rows: &[u32],
    origin: Option<&TopicPartition>,
    error: &ProcessorError,
    context: &mut Context<'_>,
) {
    for &row in rows {
        let (operator, problem) = (context.operator, error.to_string());
        let letter = DeadLetter::of_row(operator, origin, batch, row as usize, Reason::Processor, problem);
        context.dead_letters.push(letter);
    }
}

impl<C: AsyncCalls> Operator for AsyncMap<C> {
    fn on_batch(&mut self, batch: Batch, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let origin = context.origin.cloned();
        if self.rows_a_call <= 1 {
            self.ask(&batch, origin.as_ref(), context)?;
            return self.take_answers(self.in_flight, context);
        }
        if self.held.as_ref().is_some_and(|(_, held)| *held != origin) {
            self.ask_held(context)?;
        }
        let batches = self.held.take().map(|(held, _)| held).into_iter().chain([batch]).collect::<Vec<_>>();
        let held = Batch::concat(&batches).map_err(|error| context.error(error))?;
        let whole = held.len() - held.len() % self.rows_a_call;
        self.ask(&held.slice(0, whole), origin.as_ref(), context)?;
        self.held = Some((held.slice(whole, held.len() - whole), origin));
        self.take_answers(self.in_flight, context)
    }

    fn on_flush(&mut self, context: &mut Context<'_>) -> Result<(), OperatorError> {
        self.ask_held(context)?;
        self.take_answers(0, context)
    }

    fn stream_time(&self) -> Option<Timestamp> {
        None
    }

    fn restore_stream_time(&mut self, _stream_time: Timestamp) {}
}
