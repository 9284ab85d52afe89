//! Error handlers: what becomes of a record that cannot be read, processed or written.
//!
//! Every such record, its dead letter at hand, goes through the handler of its kind when its turn has come, within the commit interval to which it
//! belongs. What the handler says is committed with that interval or not at all; after a crash it may be asked about a record again.
//!
//! The kinds are those of Kafka Streams (KIP-161, KIP-1033, KIP-210), and one for records that operators leave out by rule.

use std::{fmt, sync::Arc};

use crate::{
    operator::{DeadLetter, Reason, TaskId},
    record::{Header, Offset, PartitionId, Timestamp, TopicName},
};

/// What a handler answers.
///
/// ```
/// # use millstream::runtime::{ErrorHandler, HandlerResponse};
/// let handler = ErrorHandler::from(HandlerResponse::Continue);
/// assert_eq!(format!("{handler:?}"), "Continue");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HandlerResponse {
    /// The task ends with an error that says which record it was; nothing of the commit interval is committed.
    Fail,
    /// The record is counted and dropped.
    Continue,
    /// The record is counted and kept in the dead-letter topic, with where it was and why it is there.
    #[default]
    DeadLetter,
}

/// What was being done when a record failed: which handler is asked.
///
/// ```
/// # use millstream::{operator::Reason, runtime::ErrorKind};
/// assert_eq!(ErrorKind::of(Reason::Undecodable), ErrorKind::Deserialization);
/// assert_eq!(ErrorKind::of(Reason::Late), ErrorKind::Skipped);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorKind {
    /// It was being read: its bytes or its timestamp cannot be used.
    Deserialization,
    /// An expression, a closure or a processor failed for it.
    Processing,
    /// It was being written: its format cannot hold it, or it is larger than the log takes.
    Production,
    /// Nothing failed, but an operator has no use for it: it is late, or has no key or value where one is needed, or
    /// a processor dropped it. Kafka Streams drops and
    /// counts such records and asks no handler.
    Skipped,
}

impl ErrorKind {
    /// The kind that a reason belongs to.
    ///
    /// ```
    /// # use millstream::{operator::Reason, runtime::ErrorKind};
    /// assert_eq!(ErrorKind::of(Reason::TooLarge), ErrorKind::Production);
    /// ```
    pub fn of(reason: Reason) -> Self {
        match reason {
            Reason::Undecodable | Reason::Timestamp => Self::Deserialization,
            Reason::Expression | Reason::Processor => Self::Processing,
            Reason::Unwritable | Reason::TooLarge => Self::Production,
            Reason::Late | Reason::NullKey | Reason::NullValue | Reason::Superseded | Reason::Dropped => Self::Skipped,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deserialization => "deserialization",
            Self::Processing => "processing",
            Self::Production => "production",
            Self::Skipped => "skipped",
        })
    }
}

/// What a handler is told of a record.
///
/// ```
/// # use millstream::runtime::{ErrorContext, ErrorHandler, HandlerResponse};
/// let handler = ErrorHandler::from_fn(|error: &ErrorContext<'_>| match error.offset {
///     Some(_) => HandlerResponse::DeadLetter,
///     None => HandlerResponse::Fail,
/// });
/// # let _ = handler;
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ErrorContext<'a> {
    /// The task.
    pub task: TaskId,
    /// The operator that met it: the source, the sink, or what lies between.
    pub operator: &'a str,
    /// What was being done.
    pub kind: ErrorKind,
    /// Why it is not processed.
    pub reason: Reason,
    /// Why, in full.
    pub problem: &'a str,
    /// The topic that was read, where that is known: rows that were computed from several records come from none.
    pub topic: Option<&'a TopicName>,
    /// Its partition.
    pub partition: Option<PartitionId>,
    /// The offset there.
    pub offset: Option<Offset>,
    /// The timestamp of the record, or of the row that was made of it.
    pub timestamp: Timestamp,
    /// The bytes of the key, if the record could not be read.
    pub key: Option<&'a [u8]>,
    /// The bytes of the value, if the record could not be read.
    pub value: Option<&'a [u8]>,
    /// The columns of the row as one line of JSON, if the record had been read.
    pub row: Option<&'a [u8]>,
    /// The headers of a record that could not be read.
    pub headers: &'a [Header],
}

impl<'a> ErrorContext<'a> {
    pub(super) fn of(task: TaskId, letter: &'a DeadLetter) -> Self {
        let DeadLetter { reason, problem, operator, origin, offset, record, is_row } = letter;
        let bytes = |wanted: bool| record.value.as_deref().filter(|_| wanted);
        Self {
            task,
            operator,
            kind: ErrorKind::of(*reason),
            reason: *reason,
            problem,
            topic: origin.as_ref().map(|origin| &origin.topic),
            partition: origin.as_ref().map(|origin| origin.partition),
            offset: *offset,
            timestamp: record.timestamp,
            key: record.key.as_deref(),
            value: bytes(!is_row),
            row: bytes(*is_row),
            headers: &record.headers,
        }
    }
}

type Decide = dyn Fn(&ErrorContext<'_>) -> HandlerResponse + Send + Sync;

/// Decides what becomes of a record: always the same, or what a closure says.
///
/// ```
/// # use millstream::{operator::Reason, runtime::{ErrorHandler, HandlerResponse}};
/// let always = ErrorHandler::from(HandlerResponse::Fail);
/// let by_reason = ErrorHandler::from_fn(|error| match error.reason {
///     Reason::Timestamp => HandlerResponse::Continue,
///     _ => HandlerResponse::DeadLetter,
/// });
/// # let _ = (always, by_reason);
/// ```
#[derive(Clone)]
pub struct ErrorHandler(Way);

#[derive(Clone)]
enum Way {
    Always(HandlerResponse),
    Ask(Arc<Decide>),
}

impl ErrorHandler {
    /// A handler that asks `decide` about every record. It is called by the threads that process; a panic in it counts as
    /// [`HandlerResponse::Fail`].
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record};
    /// # use millstream::{runtime::{ErrorHandler, ErrorHandlers, HandlerResponse}, testing::{DriverOptions, TopologyTestDriver}};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).to("out", Produced::kafka());
    /// let handler = ErrorHandler::from_fn(|error| match error.value {
    ///     Some(b"test") => HandlerResponse::Continue,
    ///     _ => HandlerResponse::DeadLetter,
    /// });
    /// let handlers = ErrorHandlers { deserialization: handler, ..ErrorHandlers::default() };
    /// let options = DriverOptions { handlers, ..DriverOptions::default() };
    /// # let mut driver = TopologyTestDriver::with_options(&builder.build()?, options)?;
    /// driver.push_all("orders", ["test", "seven"].map(|value| Record::new("ada", value)))?;
    /// assert_eq!(driver.dead_letters()?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_fn(decide: impl Fn(&ErrorContext<'_>) -> HandlerResponse + Send + Sync + 'static) -> Self {
        Self(Way::Ask(Arc::new(decide)))
    }

    pub(super) fn decide(&self, context: &ErrorContext<'_>) -> HandlerResponse {
        match &self.0 {
            Way::Always(response) => *response,
            Way::Ask(decide) => std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| decide(context)))
                .unwrap_or(HandlerResponse::Fail),
        }
    }
}

impl Default for ErrorHandler {
    fn default() -> Self {
        HandlerResponse::default().into()
    }
}

impl From<HandlerResponse> for ErrorHandler {
    fn from(response: HandlerResponse) -> Self {
        Self(Way::Always(response))
    }
}

impl fmt::Debug for ErrorHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Way::Always(response) => response.fmt(f),
            Way::Ask(_) => f.write_str("a closure"),
        }
    }
}

/// The handlers of an application, and where its dead letters go. By default every record is kept as a dead letter.
///
/// ```
/// # use millstream::runtime::{ErrorHandlers, HandlerResponse};
/// let handlers = ErrorHandlers {
///     deserialization: HandlerResponse::Fail.into(),
///     skipped: HandlerResponse::Continue.into(),
///     ..ErrorHandlers::default()
/// };
/// # let _ = handlers;
/// ```
#[derive(Debug, Clone, Default)]
pub struct ErrorHandlers {
    /// For records that cannot be read: see [`ErrorKind::Deserialization`].
    pub deserialization: ErrorHandler,
    /// For records that an expression or a closure fails for: see [`ErrorKind::Processing`].
    pub processing: ErrorHandler,
    /// For records that cannot be written: see [`ErrorKind::Production`].
    pub production: ErrorHandler,
    /// For records that are left out by rule: see [`ErrorKind::Skipped`].
    pub skipped: ErrorHandler,
    /// The dead-letter topic; `None`: `<application>-dead-letter`. It is made, with one partition, if it is not there; one with a name given
    /// here may be shared by applications and is not removed with one.
    pub dead_letter_topic: Option<TopicName>,
}

impl ErrorHandlers {
    /// The handler of a kind.
    ///
    /// ```
    /// # use millstream::runtime::{ErrorHandlers, ErrorKind, HandlerResponse};
    /// let handlers = ErrorHandlers { skipped: HandlerResponse::Continue.into(), ..ErrorHandlers::default() };
    /// assert_eq!(format!("{:?}", handlers.of(ErrorKind::Skipped)), "Continue");
    /// ```
    pub fn of(&self, kind: ErrorKind) -> &ErrorHandler {
        match kind {
            ErrorKind::Deserialization => &self.deserialization,
            ErrorKind::Processing => &self.processing,
            ErrorKind::Production => &self.production,
            ErrorKind::Skipped => &self.skipped,
        }
    }
}
