//! From nodes to running tasks: operators, inputs at their committed positions, stores brought up to their changelogs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use millstream_state::{StateBackend, Store};

use super::{
    Clock, StreamsError, TaskSettings,
    build_aggregate::{self, AggregateSite},
    build_join,
    global_tables::GlobalTables,
    metrics::Counters,
    partitions::Partitions,
    progress::Progress,
    rejected::Rejected,
    restore::RestoreBoard,
    shared_reads::SharedReads,
    source_reader::{SourceReader, Turns},
    task::{RunningNode, Task},
};
use crate::{
    log::{CleanupPolicy, Log, LogError, SharedLog, TopicConfig},
    operator::{
        EmitPolicy, FoldError, GlobalRows, MemoryRows, Merge, Operator, PartitionCounts, Partitioning, RowTtl,
        RowTtlSettings, Sink, SinkSettings, StoreLogging, StoreSpec, StreamTableJoin, Table, TaskId, Transformer,
    },
    record::{GroupId, PartitionId, TopicName, TopicPartition},
    topology::{Node, NodeId, NodeKind, OffsetReset, RowTtlNode, Site, SourceNode, Subtopology, TopicRef, Topology},
};

/// The stores of one name, by partition: what a view reads.
#[derive(Clone)]
pub(crate) enum StoreHandle {
    /// On disk.
    Persistent(Arc<Store>),
    /// In memory.
    Memory(Arc<parking_lot::RwLock<MemoryRows>>),
}

/// Builds the tasks of an application.
pub(super) struct Builder<'a> {
    pub(super) topology: &'a Topology,
    pub(super) application: &'a str,
    pub(super) log: &'a SharedLog,
    /// `None`: stores are in memory.
    pub(super) state: Option<&'a StateBackend>,
    /// `None`: each source reads for itself.
    pub(super) reads: Option<&'a SharedReads>,
    pub(super) emit: EmitPolicy,
    pub(super) clock: &'a dyn Clock,
    pub(super) counters: Arc<Counters>,
    pub(super) settings: TaskSettings,
    /// How far stores that are brought up to date have come.
    pub(super) restoring: &'a RestoreBoard,
}

/// Tasks, and their stores as others may read them: store number, partition, handle.
pub(super) struct Built {
    pub(super) tasks: Vec<Task>,
    pub(super) stores: Vec<(usize, PartitionId, StoreHandle)>,
    pub(super) globals: GlobalTables,
    pub(super) progress: Progress,
}

/// The topic that holds the changes of a store.
pub(crate) fn changelog_topic(application: &str, store: &str) -> Result<TopicName, StreamsError> {
    Ok(TopicName::new(&format!("{application}-{store}-changelog"))?)
}

/// The group under which a part of the topology commits: two parts may read one topic, each at its own pace. Where processes share the log
/// there is one group an application, whose members the engine knows.
pub(crate) fn group_of(application: &str, subtopology: usize, log: &dyn Log) -> Result<GroupId, StreamsError> {
    let own = || GroupId::new(&format!("{application}-{subtopology}"));
    Ok(if log.is_shared() { GroupId::new(application)? } else { own()? })
}

/// The topic that keeps records which could not be processed.
pub(crate) fn dead_letter_topic(application: &str) -> Result<TopicName, StreamsError> {
    Ok(TopicName::new(&format!("{application}-dead-letter"))?)
}

impl Builder<'_> {
    /// Makes internal topics where they are missing; says how many partitions each topic has.
    pub(super) fn prepare(&self) -> Result<Partitions, StreamsError> {
        let partitions = Partitions::find(self.topology, self.application, self.log.as_ref())?;
        self.ensure_dead_letter_topic()?;
        for node in self.topology.nodes() {
            if let NodeKind::Source(SourceNode { topic: topic @ TopicRef::Internal { .. }, .. }) = &node.kind {
                let name = Partitions::resolve(self.application, topic)?;
                let config = TopicConfig { partitions: partitions.of(&name), ..TopicConfig::default() };
                self.ensure_topic(&name, &config)?;
            }
        }
        for part in self.topology.subtopologies() {
            let count = partitions.tasks(self.topology, part)?;
            for &store in &part.stores {
                let spec = &self.topology.stores()[store];
                if spec.options.logging == StoreLogging::Enabled {
                    let config = self.changelog_config(spec, count);
                    self.ensure_topic(&changelog_topic(self.application, &spec.name)?, &config)?;
                }
            }
        }
        Ok(partitions)
    }

    /// Makes internal topics where they are missing and builds every task.
    pub(super) fn build(&self) -> Result<Built, StreamsError> {
        let partitions = self.prepare()?;
        let globals = GlobalTables::read(self)?;
        let rows = globals.rows();
        let mut built = Built { tasks: Vec::new(), stores: Vec::new(), globals, progress: Progress::default() };
        for (number, part) in self.topology.subtopologies().iter().enumerate() {
            for partition in (0..partitions.tasks(self.topology, part)?).map(PartitionId) {
                let id = TaskId { subtopology: number, partition };
                let task = self.task(id, (&partitions, &rows), &mut built.stores)?;
                built.tasks.push(task);
            }
        }
        self.tell_upstream(&mut built.tasks)?;
        built.progress = self.progress(&built.tasks, &partitions)?;
        Ok(built)
    }

    /// A changelog keeps the last change of each key. It has no retention by time even where windows expire: its timestamps are event
    /// time, and replaying old events must not make the log forget what the stores still need. Expired windows are let go of by offset, which an
    /// engine that processes share allows only where old records may go at all.
    fn changelog_config(&self, store: &StoreSpec, partitions: u32) -> TopicConfig {
        let lets_go = self.log.is_shared() && store.retention.is_windowed();
        let cleanup = if lets_go { CleanupPolicy::CompactDelete } else { CleanupPolicy::Compact };
        TopicConfig { partitions, cleanup, ..TopicConfig::default() }
    }

    /// What tells operators how many partitions a topic has.
    fn partition_counts(&self) -> PartitionCounts {
        let log = Arc::clone(self.log);
        Arc::new(move |topic| log.describe_topic(topic).ok().map(|topic| topic.config.partitions))
    }

    fn ensure_topic(&self, topic: &TopicName, config: &TopicConfig) -> Result<(), StreamsError> {
        match self.log.create_topic(topic, config) {
            Ok(()) => Ok(()),
            Err(LogError::TopicExists { .. }) => {
                let found = self.log.describe_topic(topic)?.config.partitions;
                if found == config.partitions {
                    return Ok(());
                }
                Err(StreamsError::PartitionsChanged { topic: topic.clone(), found, needed: config.partitions })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Builds a task, its inputs at their committed positions and its stores brought up to their changelogs; what others read of the stores is
    /// added to `handles`.
    ///
    /// Positions are asked for first: what a former owner has committed with them is in the changelogs by then, or about to be.
    pub(super) fn task(
        &self,
        id: TaskId,
        (partitions, globals): (&Partitions, &[Arc<dyn GlobalRows>]),
        handles: &mut Vec<(usize, PartitionId, StoreHandle)>,
    ) -> Result<Task, StreamsError> {
        let part = &self.topology.subtopologies()[id.subtopology];
        let group = group_of(self.application, id.subtopology, self.log.as_ref())?;
        let local_store =
            |number: usize| part.stores.iter().position(|&store| store == number).expect("a part owns its stores");
        let consumers = self.topology.consumers();
        let mut nodes = Vec::new();
        let mut readers = Vec::new();
        let mut metadata = Vec::new();
        for (index, &node_id) in part.nodes.iter().enumerate() {
            let node = &self.topology.nodes()[node_id.0];
            let operator = match &node.kind {
                NodeKind::Source(source) => {
                    let mut turns = self.turns(node_id, &consumers);
                    turns.one_by_one |= self.needs_single_records(node_id, id, &consumers);
                    let reader =
                        self.reader(index, node, source, id.partition, partitions, turns, &group, &mut metadata)?;
                    readers.extend(reader);
                    None
                }
                _ => Some(self.operator(node_id, id, (partitions, globals), &local_store)?),
            };
            let consumers = self.takers(node_id, part);
            let late_consumers = self.late_takers(node_id, part);
            let (name, word) = (node.name.clone(), node.operator.clone());
            nodes.push(RunningNode { name, word, operator, consumers, late_consumers });
        }
        let mut stores = Vec::new();
        for &number in &part.stores {
            let (store, handle) = self.store(&self.topology.stores()[number], id)?;
            stores.push(store);
            handles.push((number, id.partition, handle));
        }
        let only_input = if let [reader] = &readers[..] { Some(reader.partition.clone()) } else { None };
        let handlers = Arc::clone(&self.settings.handlers);
        let rejected = Rejected::new(id, handlers, self.dead_letters()?, only_input, self.log.largest_record());
        let counters = Arc::clone(&self.counters);
        let mut task = Task::new(id, group, nodes, readers, stores, rejected, counters, self.settings.clone());
        metadata.iter().for_each(|metadata| task.restore_stream_times(metadata));
        task.start(self.clock.wall())?;
        Ok(task)
    }

    /// The nodes of a part, by their place in it, that take the output of `node`, and at which of their inputs.
    fn takers(&self, node: NodeId, part: &Subtopology) -> Vec<(usize, usize)> {
        let late = self.late_takers(node, part);
        let inputs = part.nodes.iter().enumerate().flat_map(|(place, id)| {
            let inputs = self.topology.nodes()[id.0].inputs.iter().enumerate();
            inputs.map(move |(number, input)| (*input, (place, number)))
        });
        let takers = inputs.filter(|(input, _)| *input == node).map(|(_, taker)| taker);
        takers.filter(|(place, _)| late.iter().all(|(_, taker)| taker != place)).collect()
    }

    /// Whether a join, or what else must see every update, sees what an aggregate does: it takes rows that come from it, or reads a store that it or one below it writes.
    fn feeds_join(&self, aggregate: NodeId, part: &Subtopology) -> bool {
        let kind = |id: NodeId| &self.topology.nodes()[id.0].kind;
        let consumers = self.topology.consumers();
        let mut written = BTreeSet::new();
        let mut waiting = vec![aggregate];
        while let Some(id) = waiting.pop() {
            match kind(id) {
                NodeKind::Join(_) | NodeKind::StreamJoin(_) => return true,
                NodeKind::Table { store, .. } | NodeKind::RowTtl(RowTtlNode { store, .. }) => {
                    written.insert(*store);
                }
                NodeKind::Aggregate(aggregate) => drop(written.insert(aggregate.store)),
                NodeKind::Operator(node) if node.needs_every_update() => return true,
                NodeKind::Operator(node) => written.extend(node.stores().written),
                _ => {}
            }
            waiting.extend(consumers.get(&id).into_iter().flatten().copied());
        }
        part.nodes.iter().any(|id| match kind(*id) {
            NodeKind::Join(join) => written.contains(&join.store),
            NodeKind::Operator(node) => node.stores().read.iter().any(|store| written.contains(store)),
            _ => false,
        })
    }

    /// When a node passes updates on: a join may look between commits, it must see every one.
    pub(super) fn emit_of(&self, node: NodeId, id: TaskId) -> EmitPolicy {
        let part = &self.topology.subtopologies()[id.subtopology];
        if self.feeds_join(node, part) { EmitPolicy::Record } else { self.emit }
    }

    /// How a source takes turns with others, from what lies below it.
    fn turns(&self, source: NodeId, consumers: &BTreeMap<NodeId, Vec<NodeId>>) -> Turns {
        let (mut written, mut joined) = (BTreeSet::new(), BTreeSet::new());
        let (mut feeds_table, mut meets_itself) = (false, false);
        // Whether a node is reached through nothing but stateless operators goes along with it.
        let mut waiting = vec![(source, true)];
        let (mut visited, mut entered) = (BTreeSet::new(), BTreeMap::new());
        while let Some((id, stateless)) = waiting.pop() {
            if !visited.insert((id, stateless)) {
                continue;
            }
            let through = match &self.topology.nodes()[id.0].kind {
                NodeKind::Table { store, .. } | NodeKind::RowTtl(RowTtlNode { store, .. }) => {
                    feeds_table |= stateless;
                    written.insert(*store);
                    false
                }
                NodeKind::Aggregate(aggregate) => {
                    written.insert(aggregate.store);
                    false
                }
                NodeKind::Join(join) => {
                    joined.insert(join.store);
                    false
                }
                NodeKind::StreamJoin(_) | NodeKind::TableJoin(_) => false,
                NodeKind::Operator(node) => {
                    feeds_table |= stateless && node.makes_table();
                    let stores = node.stores();
                    joined.extend(stores.read);
                    written.extend(stores.written);
                    false
                }
                NodeKind::ForeignKey(join) => {
                    joined.extend(join.read_store());
                    written.extend(join.written_store());
                    false
                }
                _ => stateless,
            };
            for &below in consumers.get(&id).into_iter().flatten() {
                let node = &self.topology.nodes()[below.0];
                if matches!(node.kind, NodeKind::StreamJoin(_) | NodeKind::TableJoin(_)) {
                    let inputs: &mut BTreeSet<usize> = entered.entry(below).or_default();
                    inputs.extend((0..node.inputs.len()).filter(|&input| node.inputs[input] == id));
                    meets_itself |= inputs.len() > 1;
                }
                waiting.push((below, through));
            }
        }
        Turns { feeds_table, one_by_one: meets_itself || !written.is_disjoint(&joined) }
    }

    #[expect(clippy::too_many_arguments, reason = "all of it is one position in one topic")]
    fn reader(
        &self,
        index: usize,
        node: &Node,
        source: &SourceNode,
        partition: PartitionId,
        partitions: &Partitions,
        turns: Turns,
        group: &GroupId,
        metadata: &mut Vec<Vec<u8>>,
    ) -> Result<Option<SourceReader>, StreamsError> {
        let topic = Partitions::resolve(self.application, &source.topic)?;
        if partition.0 >= partitions.of(&topic) {
            return Ok(None);
        }
        let from = TopicPartition::new(topic, partition);
        let next = match self.log.committed(group, &from)? {
            Some(position) => {
                metadata.push(position.metadata);
                let start = self.log.start_offset(&from)?;
                if source.reset == OffsetReset::EveryStart { start } else { position.next.max(start) }
            }
            None => match source.reset {
                OffsetReset::Earliest | OffsetReset::EveryStart => self.log.start_offset(&from)?,
                OffsetReset::Latest => self.log.end_offset(&from)?,
            },
        };
        let mut reader = SourceReader::new(index, &node.name, source, &node.schema, from, next, turns)
            .map_err(|source| StreamsError::Format { operator: node.name.clone(), source })?;
        if let Some(reads) = self.reads {
            reader.share(&node.name, source, &node.schema, reads);
        }
        Ok(Some(reader))
    }

    fn operator(
        &self,
        node_id: NodeId,
        id: TaskId,
        (partitions, globals): (&Partitions, &[Arc<dyn GlobalRows>]),
        local_store: &dyn Fn(usize) -> usize,
    ) -> Result<Box<dyn Operator>, StreamsError> {
        let node = &self.topology.nodes()[node_id.0];
        let fold_error = |source: FoldError| StreamsError::Fold { operator: node.name.clone(), source };
        Ok(match &node.kind {
            NodeKind::Source(_) => unreachable!("sources are readers, not operators"),
            NodeKind::Transform(transform) => Box::new(Transformer::new(Arc::clone(transform))),
            NodeKind::Merge | NodeKind::Late { .. } => Box::new(Merge),
            NodeKind::Table { store, needs_before } => {
                Box::new(Table::new(local_store(*store), &node.schema, *needs_before, self.emit).map_err(fold_error)?)
            }
            NodeKind::RowTtl(ttl) => {
                let settings = RowTtlSettings {
                    store: local_store(ttl.store),
                    index: local_store(ttl.index),
                    ttl: ttl.ttl,
                    schema: Arc::clone(&node.schema),
                    emit: self.emit_of(node_id, id),
                    needs_before: ttl.needs_before,
                };
                Box::new(RowTtl::new(settings).map_err(fold_error)?)
            }
            NodeKind::Aggregate(aggregate) => {
                let emit = self.emit_of(node_id, id);
                let (output, specs, inputs) = (&node.schema, self.topology.stores(), node.inputs.len());
                let site = AggregateSite { output, specs, local_store, emit, inputs };
                build_aggregate::operator(aggregate, &site).map_err(fold_error)?
            }
            NodeKind::Join(join) => {
                let layout = Arc::clone(&join.layout);
                let output = Arc::clone(&node.schema);
                let retention = &self.topology.stores()[join.store].retention;
                let store = local_store(join.store);
                Box::new(StreamTableJoin::new(join.kind, store, retention, layout, output).map_err(fold_error)?)
            }
            NodeKind::Operator(own) => {
                let schema = |input: &NodeId| Arc::clone(&self.topology.nodes()[input.0].schema);
                let inputs: Vec<_> = node.inputs.iter().map(schema).collect();
                let site = Site {
                    task: id,
                    emit: self.emit_of(node_id, id),
                    store: local_store,
                    specs: self.topology.stores(),
                    globals,
                    inputs: &inputs,
                    partition_counts: &self.partition_counts(),
                    largest_record: self.log.largest_record(),
                    futures: &self.settings.futures,
                    output: &node.schema,
                };
                own.create(&site).map_err(fold_error)?
            }
            NodeKind::StreamJoin(_) | NodeKind::TableJoin(_) | NodeKind::ForeignKey(_) => {
                build_join::operator(self.topology, node, (id.partition, self.emit), local_store).map_err(fold_error)?
            }
            NodeKind::Sink(sink) => {
                let topic = Partitions::resolve(self.application, &sink.topic)?;
                let partitioning = Partitioning { partitions: partitions.of(&topic), keyless: id.partition };
                let formats = sink.formats.of_records(sink.computed_keys);
                let (schema, routing) = (Arc::clone(&node.schema), sink.routing.clone());
                let largest_record = self.log.largest_record();
                let settings = SinkSettings { topic, schema, formats, routing, partitioning, largest_record };
                let sink = Sink::new(settings);
                Box::new(sink.map_err(|source| StreamsError::Format { operator: node.name.clone(), source })?)
            }
        })
    }
}
