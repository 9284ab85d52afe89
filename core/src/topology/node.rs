//! The nodes of a topology and their settings.

use std::{fmt, sync::Arc};

use crate::{
    format::{Format, Wrapping},
    operator::{FoldFactory, JoinKind, StateLayout, Transform},
    record::TopicName,
    schema::StreamSchema,
    window::{EmitStrategy, Windows},
};

/// The number of a node in its topology.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// One step of a pipeline.
#[derive(Clone)]
pub struct Node {
    /// Its name, unique in the topology: metrics, errors and dead letters use it.
    pub name: String,
    /// What it does.
    pub kind: NodeKind,
    /// Whose output it takes.
    pub inputs: Vec<NodeId>,
    /// The columns of its output.
    pub schema: Arc<StreamSchema>,
}

/// What a node does.
#[derive(Clone)]
pub enum NodeKind {
    /// Reads a topic.
    Source(SourceNode),
    /// A stateless function.
    Transform(Arc<dyn Transform>),
    /// Brings several streams together.
    Merge,
    /// Keeps the newest record of each key in store number `store`.
    Table {
        /// The number of the store.
        store: usize,
        /// Whether someone below needs to know what was there before.
        needs_before: bool,
    },
    /// Aggregates by key, or by key and window.
    Aggregate(AggregateNode),
    /// Joins the stream with a table.
    Join(JoinNode),
    /// Writes a topic.
    Sink(SinkNode),
}

/// A topic: one that users know, or one that belongs to the topology.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicRef {
    /// A topic of this name.
    External(TopicName),
    /// A topic that is called after the application: `<application>-<name>`.
    Internal {
        /// The rest of its name, such as `group-by-3-repartition`.
        name: String,
        /// How many partitions; `None`: as many as the topics that are read beside it, or that it comes from.
        partitions: Option<u32>,
    },
}

impl fmt::Display for TopicRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::External(topic) => topic.fmt(f),
            Self::Internal { name, .. } => write!(f, "<application>-{name}"),
        }
    }
}

/// How keys and values of a topic are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formats {
    /// Keys.
    pub key: Format,
    /// Values.
    pub value: Format,
    /// Whether a single value column is a field of a record.
    pub wrapping: Wrapping,
}

impl Formats {
    /// How internal topics are written.
    pub const INTERNAL: Self = Self { key: Format::Row, value: Format::Row, wrapping: Wrapping::Wrapped };
}

impl fmt::Display for Formats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {}, value {}", self.key, self.value)
    }
}

/// Where a record's timestamp comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TimestampExtractor {
    /// The log's own timestamp of the record.
    #[default]
    Record,
    /// A column: a number of milliseconds since the epoch, a timestamp, or text.
    Column {
        /// Its name.
        name: String,
        /// How text is written, in the letters of `chrono`'s format; `None`: ISO 8601.
        format: Option<String>,
    },
}

/// Where to begin in a topic of which nothing was read yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OffsetReset {
    /// At its first record.
    #[default]
    Earliest,
    /// At its end.
    Latest,
}

/// Reads a topic.
#[derive(Debug, Clone)]
pub struct SourceNode {
    /// The topic.
    pub topic: TopicRef,
    /// How its records are written.
    pub formats: Formats,
    /// Where timestamps come from.
    pub timestamp: TimestampExtractor,
    /// Where to begin.
    pub reset: OffsetReset,
    /// Which value columns are decoded; the others are null. Found when the topology is built.
    pub decoded: Vec<bool>,
}

/// Aggregates.
#[derive(Clone)]
pub struct AggregateNode {
    /// The number of the store.
    pub store: usize,
    /// What is computed.
    pub fold: Arc<dyn FoldFactory>,
    /// Per which windows.
    pub windows: Option<Windows>,
    /// Which results of windows are passed on.
    pub strategy: EmitStrategy,
    /// Whether someone below needs to know what was there before.
    pub needs_before: bool,
}

/// Joins a stream with a table.
#[derive(Clone)]
pub struct JoinNode {
    /// What becomes of records that meet no row.
    pub kind: JoinKind,
    /// The number of the table's store.
    pub store: usize,
    /// How its rows are read.
    pub layout: Arc<dyn StateLayout>,
}

/// Writes a topic.
#[derive(Debug, Clone)]
pub struct SinkNode {
    /// The topic.
    pub topic: TopicRef,
    /// How records are written.
    pub formats: Formats,
}
