//! Why a topology cannot start or go on.

use crate::{
    format::FormatError,
    log::{CommitError, LogError},
    operator::{FoldError, OperatorError, Reason, TaskId},
    record::{InvalidName, TopicName},
};

/// An error of a running topology.
///
/// ```
/// # use millstream::runtime::StreamsError;
/// let error = StreamsError::Store { store: "counts".to_owned(), problem: "disk full".to_owned() };
/// assert_eq!(error.to_string(), "store counts: disk full");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamsError {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A commit failed.
    #[error("commit failed: {0}")]
    Commit(#[from] CommitError),
    /// A name that cannot be.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A store failed.
    #[error("store {store}: {problem}")]
    Store {
        /// The store.
        store: String,
        /// What happened.
        problem: String,
    },
    /// An operator failed.
    #[error("task {task}: {source}")]
    Operator {
        /// Where.
        task: TaskId,
        /// What happened.
        #[source]
        source: OperatorError,
    },
    /// A handler of errors said that a record ends the task.
    #[error(
        "task {task}: operator={operator}{place}: {reason}: {problem}; the handler for such records says fail: mend the record, or let \
         the handler continue or keep dead letters"
    )]
    Rejected {
        /// Where.
        task: TaskId,
        /// The operator that met the record.
        operator: String,
        /// Where the record was read, as far as that is known: ` topic=orders partition=3 offset=17`.
        place: String,
        /// Why it is not processed.
        reason: Reason,
        /// Why, in full.
        problem: String,
    },
    /// A format cannot hold the columns.
    #[error("{operator}: {source}")]
    Format {
        /// The source or sink.
        operator: String,
        /// What is wrong.
        #[source]
        source: FormatError,
    },
    /// A record has no usable timestamp, and the query asks for one.
    #[error("Fatal user code error in TimestampExtractor callback for record {record}: {problem}")]
    Timestamp {
        /// Which one.
        record: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An aggregation or join cannot be built.
    #[error("{operator}: {source}")]
    Fold {
        /// The operator.
        operator: String,
        /// What is wrong.
        #[source]
        source: FoldError,
    },
    /// Topics that are joined have different numbers of partitions.
    #[error(
        "Can't join `{left}` with `{right}` since the number of partitions don't match. `{left}` partitions = \
         {left_partitions}; `{right}` partitions = {right_partitions}. Please repartition either one so that the number of \
         partitions match."
    )]
    NotCoPartitioned {
        /// One topic.
        left: TopicName,
        /// Its partitions.
        left_partitions: u32,
        /// Another topic.
        right: TopicName,
        /// Its partitions.
        right_partitions: u32,
    },
    /// The number of partitions of an internal topic is not known.
    #[error("topic {topic}: nothing decides how many partitions it has; give a number")]
    UnknownPartitions {
        /// The topic.
        topic: String,
    },
    /// An internal topic from an earlier run does not fit.
    #[error(
        "topic {topic} has {found} partition(s) from an earlier run, this topology needs {needed}; \
         choose another application id, or delete the application's topics and stores"
    )]
    PartitionsChanged {
        /// The topic.
        topic: TopicName,
        /// How many it has.
        found: u32,
        /// How many are needed.
        needed: u32,
    },
    /// Two parts of a topology read one topic, and the engine keeps one position a topic and application.
    #[error(
        "topic {topic} is read by two parts of the topology, each at its own pace; a log that processes share keeps one position for it: read it \
         once and go on from there, or write it to a second topic first"
    )]
    ReadTwice {
        /// The topic.
        topic: TopicName,
    },
    /// A setting that a log which processes share does not allow.
    #[error("{setting} cannot be used with a log that several processes share: {why}")]
    NotShared {
        /// The setting.
        setting: &'static str,
        /// Why not, and what to do.
        why: &'static str,
    },
    /// A store is not brought up to date because its task went elsewhere meanwhile.
    #[error("the task went to another process while its stores were brought up to date")]
    TaskGone,
    /// A thread ended without saying why: a mistake of the program.
    #[error("a worker thread panicked; this is a mistake of the program, please report it: {what}")]
    Panic {
        /// The panic's message.
        what: String,
    },
    /// The operating system gave no thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
}
