//! Why a test driver could not go on.

use crate::{
    format::FormatError,
    log::{CommitError, LogError},
    query::QueryError,
    record::{InvalidName, TopicName, TopicPartition},
    runtime::StreamsError,
};

/// Why the driver could not go on.
///
/// ```
/// # use millstream::{StreamsBuilder, dsl::Consumed, testing::{DriverError, TopologyTestDriver}};
/// # let builder = StreamsBuilder::new();
/// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
/// # let _ = orders;
/// # let driver = TopologyTestDriver::new(&builder.build()?)?;
/// let Err(error) = driver.input_topic::<String, i64>("order") else { return Err("there is no such topic".into()) };
/// assert!(matches!(error, DriverError::UnknownTopic { .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// A task failed.
    #[error(transparent)]
    Streams(#[from] StreamsError),
    /// A topic is not there.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A commit failed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A name that cannot be.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A view cannot be read.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The topology has no store of that name.
    #[error("there is no store `{name}`")]
    UnknownStore {
        /// The name asked for.
        name: String,
    },
    /// The topology does not use a topic of that name.
    #[error("topic {topic}: the topology {does} no topic of that name, it {does} {known}")]
    UnknownTopic {
        /// The name asked for.
        topic: String,
        /// `reads` or `writes`.
        does: &'static str,
        /// The topics that it does read or write.
        known: String,
    },
    /// There is such a topic, made otherwise.
    #[error("topic {topic}: there is one already, with {there} partitions and not {wanted}")]
    PartitionsDiffer {
        /// The topic.
        topic: TopicName,
        /// How many partitions it has.
        there: u32,
        /// How many were asked for.
        wanted: u32,
    },
    /// A topic does not hold the types asked for.
    #[error("topic {topic}: the {side} has the columns {problem}")]
    Types {
        /// The topic.
        topic: String,
        /// `key` or `value`.
        side: &'static str,
        /// What does not fit.
        problem: String,
    },
    /// Keys have windows and were asked for without, or the other way round.
    #[error("topic {topic}: its keys have {found}; ask for keys of the type {wanted}")]
    Windows {
        /// The topic.
        topic: String,
        /// What its keys have.
        found: &'static str,
        /// The type to ask for.
        wanted: String,
    },
    /// The topic's formats cannot write or read the columns.
    #[error("topic {topic}: {source}")]
    Format {
        /// The topic.
        topic: String,
        /// What is wrong.
        #[source]
        source: FormatError,
    },
    /// A record cannot be written or read with the types asked for.
    #[error("{partition} offset={offset}: {problem}")]
    Record {
        /// Where it is.
        partition: TopicPartition,
        /// Its offset.
        offset: u64,
        /// What is wrong.
        problem: String,
    },
    /// A value cannot be made into columns.
    #[error("topic {topic}: the {side} cannot be written: {problem}")]
    Value {
        /// The topic.
        topic: String,
        /// `key` or `value`.
        side: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The driver has crashed, as it was told to, or has ended with an error.
    #[error("the driver has ended ({why}); call `restart` to go on from what is committed")]
    Ended {
        /// What ended it.
        why: String,
    },
    /// The state directory cannot be used.
    #[error("state directory: {problem}")]
    State {
        /// What is wrong.
        problem: String,
    },
}
