//! Asynchronous calls in the chain of calls: values that are waited for.

use std::{rc::Rc, sync::Arc};

use arrow::{array::ArrayRef, buffer::NullBuffer};

use super::{
    KStream,
    closure::{Input, Missing},
    typed::{Data, Shape},
};
use crate::{
    Batch,
    dsl::ColumnStream,
    expression::RowError,
    operator::{AsyncCalls, AsyncMap, AsyncOptions, BoxFuture, Call, FoldError, Operator, ProcessorError},
    schema::StreamSchema,
    topology::{NodeKind, OperatorNode, Site},
};

/// A closure that is called with some records and answers in their order.
type Ask<K, V, V2> = dyn Fn(Vec<(K, V)>) -> BoxFuture<Result<Vec<V2>, ProcessorError>> + Send + Sync;

/// Typed calls: the records of the batch at hand.
struct TypedCalls<K, V, V2> {
    input: Arc<Input<K, V>>,
    output: Shape<V2>,
    ask: Arc<Ask<K, V, V2>>,
    rows: Vec<Option<(K, V)>>,
}

impl<K: Data, V: Data, V2: Data> AsyncCalls for TypedCalls<K, V, V2> {
    type Answer = V2;

    fn read(&mut self, batch: &Batch, errors: &mut Vec<RowError>) -> Vec<bool> {
        self.rows = (0..batch.len()).map(|_| None).collect();
        for (row, key, value) in self.input.records(batch, Missing::Skipped, errors) {
            self.rows[row] = Some((key, value));
        }
        self.rows.iter().map(Option::is_some).collect()
    }

    fn call(&mut self, rows: &[u32]) -> Call<V2> {
        let records: Vec<(K, V)> = rows.iter().filter_map(|row| self.rows[*row as usize].take()).collect();
        let ask = Arc::clone(&self.ask);
        Arc::new(move || ask(records.clone()))
    }

    fn write(&self, answers: &[V2]) -> Result<(Vec<ArrayRef>, Option<NullBuffer>), FoldError> {
        self.output.write_present(answers).map_err(FoldError::of)
    }
}

/// Asynchronous calls in the graph.
struct AsyncNode<K, V, V2> {
    input: Arc<Input<K, V>>,
    output: Shape<V2>,
    ask: Arc<Ask<K, V, V2>>,
    options: AsyncOptions,
    rows_a_call: usize,
}

impl<K: Data, V: Data, V2: Data> OperatorNode for AsyncNode<K, V, V2> {
    fn create(&self, site: &Site<'_>) -> Result<Box<dyn Operator>, FoldError> {
        let (input, output) = (Arc::clone(&self.input), self.output.clone());
        let calls = TypedCalls { input, output, ask: Arc::clone(&self.ask), rows: Vec::new() };
        let (schema, pool) = (Arc::clone(site.output), Arc::clone(site.futures));
        Ok(Box::new(AsyncMap::new(calls, self.options, self.rows_a_call, schema, pool)))
    }

    fn describe(&self, _store: &dyn Fn(usize) -> String) -> String {
        let AsyncOptions { max_in_flight, order, timeout, retry } = self.options;
        let order = format!("{order:?}").to_lowercase();
        let (rows, attempts) = (self.rows_a_call, retry.attempts.max(1));
        format!(
            "map_values by asynchronous calls of {rows} record(s), {order}, {max_in_flight} in flight, {timeout:?} each, \
             {attempts} attempt(s)"
        )
    }
}

impl<K: Data, V: Data> KStream<K, V> {
    /// Makes a value of each record by an asynchronous call, of a service for instance; keys and timestamps stay.
    ///
    /// Many calls are in flight at once, over batches; a commit waits for all of them. After a crash the calls of what was not committed are
    /// made again: the service sees a record at least once, the result is committed once. Records without value stay so, unless `V` is an
    /// `Option`.
    ///
    /// Futures run on threads of tokio that the application owns, and may use all that needs tokio. They should not block.
    ///
    /// # Errors
    /// A call that fails is made again as often as [`AsyncOptions::retry`] says. If it still fails, panics, or has no answer in time, its
    /// record is a dead letter; a failure that [is fatal](ProcessorError::fatal) ends the task without a commit.
    ///
    /// # Ordering
    /// In the order of the records, whichever call is answered first, unless [`AsyncOptions::order`] says otherwise.
    ///
    /// # State
    /// None: what has no answer is not committed. Waiting blocks the thread of the task, with its other tasks: while
    /// [`AsyncOptions::max_in_flight`] calls are out, and at commits, at most [`AsyncOptions::timeout`]. An application that is stopped waits five
    /// seconds; what has no answer then is processed again after the next start. One that is dropped waits for nothing.
    ///
    /// ```
    /// use millstream::{StreamsBuilder, dsl::{AsyncOptions, Consumed, ProcessorError, Produced}, record::Record, testing::TopologyTestDriver};
    ///
    /// async fn look_up(city: &str) -> Result<String, ProcessorError> {
    ///     // .. ask a service
    ///     if city.is_empty() { Err("no city".into()) } else { Ok(format!("{city}, Italy")) }
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let builder = StreamsBuilder::new();
    /// let cities = builder.stream::<String, String>("cities", Consumed::kafka());
    /// let places = cities.map_values_async(|_, city| async move { look_up(&city).await }, AsyncOptions::default());
    /// places.to("places", Produced::kafka());
    /// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.push_all("cities", [Record::new("ada", "Rome"), Record::new("bob", "")])?;
    /// assert_eq!(driver.drain("places")?, [Record::new("ada", "Rome, Italy")]);
    /// assert_eq!(driver.dead_letters()?.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn map_values_async<V2: Data, F>(
        &self,
        call: impl Fn(K, V) -> F + Send + Sync + 'static,
        options: AsyncOptions,
    ) -> KStream<K, V2>
    where
        F: Future<Output = Result<V2, ProcessorError>> + Send + 'static,
    {
        let ask = move |records: Vec<(K, V)>| -> BoxFuture<Result<Vec<V2>, ProcessorError>> {
            let calls: Vec<F> = records.into_iter().map(|(key, value)| call(key, value)).collect();
            Box::pin(async move {
                let mut answers = Vec::with_capacity(calls.len());
                for call in calls {
                    answers.push(call.await?);
                }
                Ok(answers)
            })
        };
        self.asynchronously(Arc::new(ask), options, 1)
    }

    /// As [`map_values_async`](Self::map_values_async) with `most` records a call, which answers in their order. Records wait until
    /// there are so many, or a commit is due.
    ///
    /// # Errors
    /// A call that fails makes all its records dead letters, and so does one with another number of answers.
    ///
    /// ```
    /// use millstream::{StreamsBuilder, dsl::{AsyncOptions, Consumed, Produced}, record::Record, testing::TopologyTestDriver};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let builder = StreamsBuilder::new();
    /// let words = builder.stream::<String, String>("words", Consumed::kafka());
    /// let lengths = words.map_values_batch_async(50, |words| async move {
    ///     Ok(words.iter().map(|(_, word)| word.len() as i64).collect())
    /// }, AsyncOptions::default());
    /// lengths.to("lengths", Produced::kafka());
    /// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.push_all("words", ["to", "be"].map(|word| Record::new("k", word)))?;
    /// assert_eq!(driver.drain("lengths")?.len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn map_values_batch_async<V2: Data, F>(
        &self,
        most: usize,
        call: impl Fn(Vec<(K, V)>) -> F + Send + Sync + 'static,
        options: AsyncOptions,
    ) -> KStream<K, V2>
    where
        F: Future<Output = Result<Vec<V2>, ProcessorError>> + Send + 'static,
    {
        let ask = move |records: Vec<(K, V)>| -> BoxFuture<Result<Vec<V2>, ProcessorError>> { Box::pin(call(records)) };
        self.asynchronously(Arc::new(ask), options, most)
    }

    fn asynchronously<V2: Data>(
        &self,
        ask: Arc<Ask<K, V, V2>>,
        options: AsyncOptions,
        rows_a_call: usize,
    ) -> KStream<K, V2> {
        let stream = self.columns();
        let what = "map-values-async";
        let made = || {
            let output = Shape::<V2>::of("value")?;
            let input = &stream.schema;
            let schema = StreamSchema::new(input.key().to_vec(), output.fields.clone(), input.window());
            Ok((schema.map_err(|error| error.to_string())?, output, Arc::new(Input::of_stream()?)))
        };
        let (schema, output, input) = match made() {
            Ok(made) => made,
            Err(problem) => return KStream::new(stream.failed(what, String::as_str(&problem))),
        };
        let problem = match options {
            _ if rows_a_call == 0 => Some("a call needs a record at least"),
            AsyncOptions { max_in_flight: 0, .. } => Some("at least one call must be in flight"),
            AsyncOptions { retry, .. } if retry.attempts == 0 => Some("at least one attempt must be made"),
            AsyncOptions { timeout, .. } if timeout.is_zero() => Some("the timeout must be longer than nothing"),
            _ => None,
        };
        if let Some(problem) = problem {
            stream.failed(what, problem);
        }
        let node = AsyncNode { input, output, ask, options, rows_a_call };
        let kind = NodeKind::Operator(Arc::new(node));
        let node = stream.graph.borrow_mut().add(what, kind, vec![stream.node], Arc::clone(&schema));
        let (graph, rekeyed) = (Rc::clone(&stream.graph), stream.rekeyed);
        KStream::new(ColumnStream { graph, node, schema, rekeyed })
    }
}
