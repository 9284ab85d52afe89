//! Runs a processor of the user's own: record by record, and at the ticks of its schedules.
//!
//! Columns become rows, and what is forwarded becomes columns again, a batch at a time. In between each record sees what the records before it
//! have written to the stores; the stores commit with everything else that the task did.
//!
//! A record that the processor fails for, or drops, is a dead letter; what it had written and forwarded until then stays, as in Kafka Streams
//! where failures are passed over. A failure that [is fatal](ProcessorError::fatal) ends the task without a commit.
//!
//! Ticks on stream time come after the record that moves stream time to them: the task sees to it, which cuts its input there. Only where a
//! processor makes a schedule while it processes a record are its ticks found here, before the next record of the batch.
//!
//! Invariant: what a processor holds in memory does not survive; [`RowProcessor::init`] begins each life.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use arrow::array::Array;

use super::{
    Context, DeadLetter, FoldError, GlobalRows, Operator, OperatorError, Punctuation, PunctuationType, Reason,
    Schedules, TaskId, TaskStore,
    punctuation::{Cancellable, Over},
};
use crate::{
    Batch,
    expression::RowError,
    record::{Offset, PartitionId, Record, TimeSpan, Timestamp, TopicName, TopicPartition},
};

/// Why a processor could not do what it was asked to.
///
/// ```
/// use millstream::dsl::ProcessorError;
///
/// let parse = |text: &str| text.parse::<i64>().map_err(ProcessorError::of);
/// assert!(!parse("x").unwrap_err().is_fatal());
/// assert!(ProcessorError::fatal("the licence has expired").is_fatal());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct ProcessorError {
    problem: String,
    is_fatal: bool,
}

impl ProcessorError {
    /// The record cannot be processed: it becomes a dead letter, and the next one comes.
    pub fn of(problem: impl std::fmt::Display) -> Self {
        Self { problem: problem.to_string(), is_fatal: false }
    }

    /// Nothing can be processed any more: the task ends, and nothing since the last commit has happened.
    pub fn fatal(problem: impl std::fmt::Display) -> Self {
        Self { problem: problem.to_string(), is_fatal: true }
    }

    /// Whether the task has to end.
    pub fn is_fatal(&self) -> bool {
        self.is_fatal
    }
}

impl From<&str> for ProcessorError {
    fn from(problem: &str) -> Self {
        Self::of(problem)
    }
}

impl From<String> for ProcessorError {
    fn from(problem: String) -> Self {
        Self::of(problem)
    }
}

/// Where a record was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordMetadata {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionId,
    /// The offset; `None` for what was computed on the way, as by an aggregation.
    pub offset: Option<Offset>,
}

/// Why a record was not processed, in short and in full.
pub type Dropped = Vec<(Reason, String)>;

/// What a processor may touch while it runs.
pub struct RowContext<'a> {
    /// The stores of the task.
    pub stores: &'a mut [TaskStore],
    /// The rows of the topology's global tables.
    pub globals: &'a [Arc<dyn GlobalRows>],
    /// The task.
    pub task: TaskId,
    /// Stream time, the record that is being processed included.
    pub stream_time: Timestamp,
    /// The time of day.
    pub wall_clock: Timestamp,
    /// The timestamp of the record or tick: that of the changes to stores.
    pub timestamp: Timestamp,
    schedules: &'a mut Schedules,
    over: Over,
    origin: Option<&'a TopicPartition>,
    offset: Option<Offset>,
    dropped: &'a mut Dropped,
}

impl RowContext<'_> {
    /// The same for a shorter while.
    pub fn reborrow(&mut self) -> RowContext<'_> {
        RowContext { stores: self.stores, schedules: self.schedules, dropped: self.dropped, ..*self }
    }

    /// Where the record was read; `None` at a tick.
    pub fn record_metadata(&self) -> Option<RecordMetadata> {
        let origin = self.origin?;
        Some(RecordMetadata { topic: origin.topic.clone(), partition: origin.partition, offset: self.offset })
    }

    /// Makes a schedule; `None` if the interval is shorter than a millisecond.
    pub fn schedule(&mut self, kind: PunctuationType, interval: TimeSpan) -> Option<Cancellable> {
        let now = match kind {
            PunctuationType::StreamTime => self.stream_time,
            PunctuationType::WallClockTime => self.wall_clock,
        };
        self.schedules.add(kind, interval, now, self.over)
    }

    /// Makes the record a dead letter.
    pub fn drop_record(&mut self, reason: String) {
        self.dropped.push((Reason::Dropped, reason));
    }
}

/// A processor whose types are not seen from outside.
///
/// # Contract
/// [`read`](Self::read) comes before the rows of a batch are processed, [`take_output`](Self::take_output) after them and after every other call.
pub trait RowProcessor: Send {
    /// Begins.
    ///
    /// # Errors
    /// Those of the processor; they are fatal here.
    fn init(&mut self, context: &mut RowContext<'_>) -> Result<(), ProcessorError>;

    /// Makes rows of a batch; those that cannot be read are added to `errors` and skipped.
    fn read(&mut self, batch: &Batch, errors: &mut Vec<RowError>);

    /// Processes a row of the batch.
    ///
    /// # Errors
    /// Those of the processor.
    fn process(&mut self, row: usize, context: &mut RowContext<'_>) -> Result<(), ProcessorError>;

    /// Takes a tick.
    ///
    /// # Errors
    /// Those of the processor.
    fn punctuate(&mut self, tick: &Punctuation, context: &mut RowContext<'_>) -> Result<(), ProcessorError>;

    /// What was forwarded since it was asked last, in order.
    ///
    /// # Errors
    /// [`FoldError`] if it cannot be written as columns.
    fn take_output(&mut self) -> Result<Option<Batch>, FoldError>;

    /// Ends, whether or not what was done last will be committed.
    fn close(&mut self);
}

fn panicked(panic: &(dyn Any + Send)) -> ProcessorError {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    ProcessorError::of(format!("the processor panicked: {}", text.unwrap_or("without a message")))
}

/// Runs a [`RowProcessor`] as an operator.
pub struct Process {
    processor: Box<dyn RowProcessor>,
    schedules: Schedules,
    globals: Vec<Arc<dyn GlobalRows>>,
}

/// The row that is being processed, or the tick.
struct Moment<'a> {
    timestamp: Timestamp,
    stream_time: Timestamp,
    origin: Option<&'a TopicPartition>,
    offset: Option<Offset>,
    over: Over,
}

type Step<'s> = &'s mut dyn FnMut(&mut dyn RowProcessor, &mut RowContext<'_>) -> Result<(), ProcessorError>;

impl Process {
    /// An operator around `processor`, which begins when the operator does and may read `globals`.
    pub fn new(processor: Box<dyn RowProcessor>, globals: Vec<Arc<dyn GlobalRows>>) -> Self {
        Self { processor, schedules: Schedules::default(), globals }
    }

    /// Runs the processor once; gives what it has dropped, its failure included.
    fn run(
        &mut self,
        moment: &Moment<'_>,
        context: &mut Context<'_>,
        step: Step<'_>,
    ) -> Result<Dropped, OperatorError> {
        let mut dropped = Dropped::new();
        let mut row = RowContext {
            stores: context.stores,
            globals: &self.globals,
            task: context.time.task,
            stream_time: moment.stream_time,
            wall_clock: context.time.wall_clock,
            timestamp: moment.timestamp,
            schedules: &mut self.schedules,
            over: moment.over,
            origin: moment.origin,
            offset: moment.offset,
            dropped: &mut dropped,
        };
        // What a panic leaves behind in the processor is the processor's affair; the record that met it is the one to blame.
        let done = catch_unwind(AssertUnwindSafe(|| step(self.processor.as_mut(), &mut row)));
        match done.unwrap_or_else(|panic| Err(panicked(panic.as_ref()))) {
            Ok(()) => {}
            Err(error) if error.is_fatal() => return Err(context.error(error)),
            Err(error) => dropped.push((Reason::Processor, error.problem)),
        }
        Ok(dropped)
    }

    /// Takes a tick: nobody's record, so that what is dropped has none either.
    fn punctuate(
        &mut self,
        tick: &Punctuation,
        stream_time: Timestamp,
        context: &mut Context<'_>,
    ) -> Result<(), OperatorError> {
        let moment = Moment { timestamp: tick.timestamp, stream_time, origin: None, offset: None, over: Over::Nothing };
        let dropped = self.run(&moment, context, &mut |processor, row| processor.punctuate(tick, row))?;
        for (reason, problem) in dropped {
            context.dead_letters.push(DeadLetter {
                reason,
                problem,
                operator: context.operator.to_owned(),
                origin: None,
                offset: None,
                record: Record { timestamp: tick.timestamp, ..Record::default() },
                is_row: false,
            });
        }
        Ok(())
    }

    /// Makes the ticks that are due after the records at `places` of the run.
    fn catch_up(&mut self, places: std::ops::Range<usize>, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let kind = PunctuationType::StreamTime;
        for place in places {
            let time = context.time;
            if self.schedules.next(kind).is_none_or(|next| next > time.stream_time()) {
                break;
            }
            let now = time.reached(place);
            while let Some(tick) = self.schedules.take_due(kind, now) {
                self.punctuate(&tick, now, context)?;
            }
        }
        Ok(())
    }

    fn give(&mut self, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let output = self.processor.take_output().map_err(|error| context.error(error))?;
        context.output.extend(output.filter(|batch| !batch.is_empty()));
        Ok(())
    }
}

impl Operator for Process {
    fn on_batch(&mut self, batch: Batch, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let mut errors = Vec::new();
        self.processor.read(&batch, &mut errors);
        context.reject(&batch, Reason::Expression, errors.into_iter().map(|error| (error.row, error.problem)));
        let (time, origin, mut done) = (context.time, context.origin, 0);
        let offsets = batch.offsets();
        for row in 0..batch.len() {
            let offset = offsets.is_valid(row).then(|| Offset(offsets.value(row).cast_unsigned()));
            let place = offset.and_then(|offset| time.place_of(offset));
            if let Some(place) = place.filter(|place| *place > done) {
                self.catch_up(done..place, context)?;
                done = place;
            }
            let moment = Moment {
                timestamp: Timestamp(batch.times().value(row)),
                stream_time: place.map_or_else(|| time.stream_time(), |place| time.reached(place)),
                origin,
                offset,
                over: Over::Nothing,
            };
            let dropped = self.run(&moment, context, &mut |processor, context| processor.process(row, context))?;
            for (reason, problem) in dropped {
                context.reject(&batch, reason, [(row, problem)]);
            }
        }
        self.catch_up(done..time.places().saturating_sub(1), context)?;
        self.give(context)
    }

    fn on_flush(&mut self, _context: &mut Context<'_>) -> Result<(), OperatorError> {
        Ok(())
    }

    fn stream_time(&self) -> Option<Timestamp> {
        None
    }

    fn restore_stream_time(&mut self, _stream_time: Timestamp) {}

    fn on_start(&mut self, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let stream_time = context.time.stream_time();
        let (timestamp, over) = (stream_time, Over::WhatHasPassed);
        let moment = Moment { timestamp, stream_time, origin: None, offset: None, over };
        let dropped = self.run(&moment, context, &mut |processor, row| processor.init(row))?;
        if let Some((_, problem)) = dropped.first() {
            return Err(context.error(format!("cannot begin: {problem}")));
        }
        self.give(context)
    }

    fn next_punctuation(&self, kind: PunctuationType) -> Option<Timestamp> {
        self.schedules.next(kind)
    }

    fn on_punctuation(
        &mut self,
        kind: PunctuationType,
        now: Timestamp,
        context: &mut Context<'_>,
    ) -> Result<(), OperatorError> {
        if let Some(tick) = self.schedules.take_due(kind, now) {
            self.punctuate(&tick, context.time.stream_time(), context)?;
        }
        self.give(context)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.processor.close();
    }
}
