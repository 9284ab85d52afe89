//! The nodes of a topology and their settings.

use std::{fmt, sync::Arc};

use arrow::{
    array::{ArrayRef, Int32Array, new_null_array},
    datatypes::DataType,
};

use super::{ForeignKeyNode, JoinNode, OperatorNode, StreamJoinNode, TableJoinNode};
use crate::{
    format::{Format, Wrapping},
    operator::{FoldFactory, RecordFormats, Routing, Tombstones, Transform},
    record::{MomentFormat, PartitionId, TimeSpan, TopicName, headers_type, last_header, no_headers},
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
    /// The name that a user gave it.
    pub given_name: Option<String>,
    /// The word for its operator, such as `filter`.
    pub operator: String,
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
    /// Keeps the newest record of each key until it has not been updated for a while.
    RowTtl(RowTtlNode),
    /// Aggregates by key, or by key and window.
    Aggregate(AggregateNode),
    /// Joins the stream with a table.
    Join(JoinNode),
    /// Joins two streams.
    StreamJoin(StreamJoinNode),
    /// Joins two tables.
    TableJoin(TableJoinNode),
    /// A step of a foreign-key join of two tables.
    ForeignKey(ForeignKeyNode),
    /// Whatever its node makes.
    Operator(Arc<dyn OperatorNode>),
    /// The records of input number `input` that its own input, an operator with windows, has left out as late.
    Late {
        /// The number of the input of that operator.
        input: usize,
    },
    /// Writes a topic.
    Sink(SinkNode),
}

impl NodeKind {
    /// The numbers of the stores that it reads or writes.
    pub fn stores(&self) -> Vec<usize> {
        match self {
            Self::Table { store, .. } => vec![*store],
            Self::RowTtl(node) => vec![node.store, node.index],
            Self::Aggregate(aggregate) => std::iter::once(aggregate.store).chain(aggregate.index).collect(),
            Self::Join(join) => vec![join.store],
            Self::StreamJoin(join) => join.stores.into_iter().chain(join.waiting).collect(),
            Self::TableJoin(join) => join.tables.iter().map(|table| table.store).collect(),
            Self::ForeignKey(join) => join.stores(),
            Self::Operator(node) => {
                let stores = node.stores();
                stores.written.into_iter().chain(stores.read).collect()
            }
            Self::Source(_) | Self::Transform(_) | Self::Merge | Self::Late { .. } | Self::Sink(_) => Vec::new(),
        }
    }
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
    /// The same as how records of a sink are written.
    pub(crate) fn of_records(&self, computed_keys: bool) -> RecordFormats {
        let Self { key, value, wrapping } = self.clone();
        RecordFormats { key, value, wrapping, computed_keys }
    }

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
        /// How text is written; `None`: ISO 8601.
        format: Option<MomentFormat>,
        /// What becomes of records without a usable one.
        on_invalid: InvalidTimestamps,
    },
}

/// What becomes of a record whose timestamp column is null, unreadable or negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InvalidTimestamps {
    /// It is a dead letter.
    #[default]
    DeadLetter,
    /// The query ends.
    Fail,
}

/// Where to begin in a topic of which nothing was read yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OffsetReset {
    /// At its first record.
    #[default]
    Earliest,
    /// At its end.
    Latest,
    /// At its first record, at every start, whatever was read before: for what is kept nowhere else.
    EveryStart,
}

/// What a column of a source holds that is no part of the record's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordPart {
    /// All headers: a column of [`headers_type`](crate::record::headers_type).
    Headers,
    /// The value of the last header of this name, as bytes; null if there is none.
    Header(String),
    /// The number of the partition, as a 32-bit integer.
    Partition,
}

impl RecordPart {
    /// The type of such a column.
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Headers => headers_type(),
            Self::Header(_) => DataType::Binary,
            Self::Partition => DataType::Int32,
        }
    }

    /// The column of `rows` records of a partition; `headers` are those that they have, if any has one.
    pub fn column(&self, partition: PartitionId, headers: Option<&ArrayRef>, rows: usize) -> ArrayRef {
        match (self, headers) {
            (Self::Headers, Some(headers)) => Arc::clone(headers),
            (Self::Headers, None) => no_headers(rows),
            (Self::Header(name), Some(headers)) => last_header(headers, name),
            (Self::Header(_), None) => new_null_array(&DataType::Binary, rows),
            (Self::Partition, _) => Arc::new(Int32Array::from(vec![partition.0.cast_signed(); rows])),
        }
    }
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
    /// What the last value columns hold: they are not in the record's value.
    pub parts: Vec<RecordPart>,
    /// Which value columns are decoded; the others are null. Found when the topology is built.
    pub decoded: Vec<bool>,
}

impl SourceNode {
    /// Whether both read one topic in the same way: of the columns that both decode they make the same.
    pub(crate) fn reads_like(&self, other: &Self) -> bool {
        let Self { topic, formats, timestamp, reset: _, parts, decoded: _ } = self;
        *topic == other.topic && *formats == other.formats && *timestamp == other.timestamp && *parts == other.parts
    }
}

/// Keeps rows for a while.
#[derive(Debug, Clone)]
pub struct RowTtlNode {
    /// The number of the store of rows.
    pub store: usize,
    /// The number of the store of their index by time.
    pub index: usize,
    /// How long a row stays after its timestamp.
    pub ttl: TimeSpan,
    /// Whether someone below needs to know what was there before.
    pub needs_before: bool,
}

/// Aggregates.
#[derive(Clone)]
pub struct AggregateNode {
    /// The number of the store.
    pub store: usize,
    /// The number of the store that holds which windows a key has, if they are sliding ones.
    pub index: Option<usize>,
    /// What is computed.
    pub fold: Arc<dyn FoldFactory>,
    /// Per which windows.
    pub windows: Option<Windows>,
    /// Which results of windows are passed on.
    pub strategy: EmitStrategy,
    /// Whether deletions are passed on of what was not there.
    pub tombstones: Tombstones,
    /// Whether someone below needs to know what was there before.
    pub needs_before: bool,
}

/// Writes a topic.
#[derive(Debug, Clone)]
pub struct SinkNode {
    /// How rows find their partition.
    pub routing: Routing,
    /// The topic.
    pub topic: TopicRef,
    /// How records are written.
    pub formats: Formats,
    /// Whether keys were computed: one of several columns, all null, is then a key of nulls and not the lack of a key, as in ksqlDB.
    pub computed_keys: bool,
}
