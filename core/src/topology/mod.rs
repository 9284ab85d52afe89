//! The logical graph of a pipeline: what is read, done and written, before any of it runs.
//!
//! Nodes are added inputs first, so that a node's inputs always have lower numbers and the order of numbers is an order of
//! processing. The graph is cut at repartition topics into *subtopologies*; each runs as one task per partition. A topology knows no
//! runtime: it can be described, tested and run in several ways.

mod describe;
mod description;
mod global_table;
mod join_node;
mod node;
mod node_names;
mod operator_node;
mod prune;
mod shared_source;
mod store_owner;
mod subtopology;
mod suppress_node;
mod versioned_node;

use std::collections::{BTreeMap, BTreeSet};

pub use description::{
    GlobalTableDescription, OperatorDescription, StoreDescription, SubtopologyDescription, TopicDescription, TopicRole,
    TopologyDescription,
};
pub(crate) use global_table::GlobalJoinNode;
pub use global_table::GlobalTable;
pub use join_node::{ForeignKeyNode, JoinNode, KeptTable, StreamJoinNode, TableJoinNode};
pub use node::{
    AggregateNode, Formats, InvalidTimestamps, Node, NodeId, NodeKind, OffsetReset, RecordPart, RowTtlNode, SinkNode,
    SourceNode, TimestampExtractor, TopicRef,
};
pub(crate) use node_names::topics_of;
pub use operator_node::{NodeStores, OperatorNode, Site};
pub(crate) use store_owner::{OwnerCertainty, StoreOwner};
pub use subtopology::Subtopology;
pub(crate) use suppress_node::SuppressNode;
pub use versioned_node::VersionedStores;
pub(crate) use versioned_node::{VersionedJoinNode, VersionedTableNode};

use crate::{operator::StoreSpec, record::InvalidName};

/// A complete, checked graph.
#[derive(Clone)]
pub struct Topology {
    nodes: Vec<Node>,
    stores: Vec<StoreSpec>,
    globals: Vec<GlobalTable>,
    subtopologies: Vec<Subtopology>,
}

/// Why a graph is no topology.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TopologyError {
    /// There is nothing to read.
    #[error("the topology has no source: begin with a stream or a table")]
    NoSource,
    /// Two stores have one name.
    #[error("two state stores are called `{name}`; give each its own name")]
    DuplicateStore {
        /// The name.
        name: String,
    },
    /// Two internal topics have one name.
    #[error("two repartitions are called `{name}`; give each its own name")]
    DuplicateRepartition {
        /// The name.
        name: String,
    },
    /// One topic is read twice by one subtopology.
    #[error("topic {topic} is read twice in one part of the topology; read it once and branch")]
    TopicReadTwice {
        /// The topic.
        topic: String,
    },
    /// An operator does not fit its input.
    #[error("{operator}: {problem}")]
    Operator {
        /// What was to be added, as the user calls it.
        operator: String,
        /// Why it cannot be.
        problem: String,
    },
    /// A name that cannot be.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

impl Topology {
    /// Checks a graph, finds its subtopologies and which columns each source has to decode.
    ///
    /// # Errors
    /// [`TopologyError`] for a graph that could not run.
    pub(crate) fn new(
        mut nodes: Vec<Node>,
        stores: Vec<StoreSpec>,
        globals: Vec<GlobalTable>,
    ) -> Result<Self, TopologyError> {
        if !nodes.iter().any(|node| matches!(node.kind, NodeKind::Source(_))) {
            return Err(TopologyError::NoSource);
        }
        let mut names = BTreeSet::new();
        for store in stores.iter().chain(globals.iter().map(|table| &table.store)) {
            if !names.insert(store.name.as_str()) {
                return Err(TopologyError::DuplicateStore { name: store.name.clone() });
            }
        }
        let mut repartitions = BTreeSet::new();
        for node in &nodes {
            if let NodeKind::Sink(SinkNode { topic: TopicRef::Internal { name, .. }, .. }) = &node.kind
                && !repartitions.insert(name.clone())
            {
                return Err(TopologyError::DuplicateRepartition { name: name.clone() });
            }
        }
        shared_source::share(&mut nodes);
        prune::prune(&mut nodes);
        node_names::assign(&mut nodes, &stores);
        let subtopologies = subtopology::cut(&nodes);
        for part in &subtopologies {
            let mut topics = BTreeSet::new();
            for &source in &part.sources {
                if let NodeKind::Source(SourceNode { topic, .. }) = &nodes[source.0].kind
                    && !topics.insert(topic.to_string())
                {
                    return Err(TopologyError::TopicReadTwice { topic: topic.to_string() });
                }
            }
        }
        Ok(Self { nodes, stores, globals, subtopologies })
    }

    /// The nodes, inputs before outputs.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The state stores, by the numbers that nodes use.
    pub fn stores(&self) -> &[StoreSpec] {
        &self.stores
    }

    /// The global tables, by the numbers that nodes use.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed};
    /// # let builder = StreamsBuilder::new();
    /// builder.global_table::<String, i64>("prices", Consumed::kafka(), "all-prices");
    /// # builder.stream::<String, i64>("orders", Consumed::kafka());
    /// assert_eq!(builder.build()?.globals()[0].store.name, "all-prices");
    /// # Ok::<(), millstream::topology::TopologyError>(())
    /// ```
    pub fn globals(&self) -> &[GlobalTable] {
        &self.globals
    }

    /// The stores of the versioned table whose newest rows are in store number `latest`; `None` if that is no versioned table's.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Materialized}, record::TimeSpan};
    /// # let builder = StreamsBuilder::new();
    /// let hour = TimeSpan::from_millis(3_600_000).unwrap();
    /// builder.table::<String, i64>("prices", Consumed::kafka(), Materialized::named("prices").versioned(hour));
    /// let topology = builder.build()?;
    /// let latest = topology.stores().iter().position(|store| store.name == "prices").unwrap();
    /// let versions = topology.versions(latest).unwrap();
    /// assert_eq!((topology.stores()[versions.history].name.as_str(), versions.span), ("prices-history", hour));
    /// # Ok::<(), millstream::topology::TopologyError>(())
    /// ```
    pub fn versions(&self, latest: usize) -> Option<VersionedStores> {
        let versions = |node: &Node| match &node.kind {
            NodeKind::Operator(node) => node.versions().filter(|versions| versions.latest == latest),
            _ => None,
        };
        self.nodes.iter().find_map(versions)
    }

    /// The parts that run as tasks of their own.
    pub fn subtopologies(&self) -> &[Subtopology] {
        &self.subtopologies
    }

    /// The nodes that read the output of each node.
    pub fn consumers(&self) -> BTreeMap<NodeId, Vec<NodeId>> {
        let mut consumers: BTreeMap<NodeId, Vec<NodeId>> = BTreeMap::new();
        for (index, node) in self.nodes.iter().enumerate() {
            for &input in &node.inputs {
                consumers.entry(input).or_default().push(NodeId(index));
            }
        }
        consumers
    }

    /// What it does: operators with every setting that can change a result, topics and stores.
    pub fn description(&self) -> TopologyDescription {
        describe::describe(self)
    }

    /// The same as text.
    pub fn describe(&self) -> String {
        self.description().render(&|data_type| data_type.to_string())
    }
}
