//! Making single tasks while an application runs, as they come to this process.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    StreamsConfig, StreamsError, TaskSettings,
    build::{Builder, StoreHandle, changelog_topic},
    global_tables::GlobalTables,
    metrics::Counters,
    partitions::Partitions,
    progress::TaskProgress,
    restore::{RestoreBoard, begin},
    store_partitions::StorePartitions,
    task::{RunningStore, Task},
};
use crate::{
    log::{GroupPart, GroupTopology},
    operator::{GlobalRows, StoreKind, StoreLogging, StoreSpec, TaskId},
    record::{GroupId, Offset, PartitionId, TopicName, TopicPartition},
    topology::{NodeKind, SinkNode, SourceNode, Subtopology, TopicRef, Topology},
};

/// Everything that a task is made from.
pub(super) struct TaskFactory {
    topology: Topology,
    config: StreamsConfig,
    counters: Arc<Counters>,
    settings: TaskSettings,
    board: Arc<RestoreBoard>,
    partitions: Partitions,
    globals: Vec<Arc<dyn GlobalRows>>,
}

/// The stores of a task, by their numbers, as others may read them.
pub(super) type Handles = Vec<(usize, PartitionId, StoreHandle)>;

/// A store that is to follow its changelog, from where it is.
pub(super) struct Followed {
    pub(super) number: usize,
    pub(super) store: RunningStore,
    pub(super) handle: StoreHandle,
    pub(super) next: Offset,
}

impl TaskFactory {
    /// Makes internal topics where they are missing, and reads global tables.
    ///
    /// # Errors
    /// Those of the log, and topologies or settings that processes cannot share.
    pub(super) fn prepare(
        topology: &Topology,
        config: &StreamsConfig,
        counters: Arc<Counters>,
        settings: TaskSettings,
        board: Arc<RestoreBoard>,
    ) -> Result<(Self, GlobalTables), StreamsError> {
        if config.idle_advance.is_some() {
            let why = "nobody knows when the tasks of all processes are idle; leave it out";
            return Err(StreamsError::NotShared { setting: "idle_advance", why });
        }
        let (topology, config) = (topology.clone(), config.clone());
        let none = Partitions::none(&config.application_id);
        let mut factory = Self { topology, config, counters, settings, board, partitions: none, globals: Vec::new() };
        let partitions = factory.builder().prepare()?;
        let globals = GlobalTables::read(&factory.builder())?;
        (factory.partitions, factory.globals) = (partitions, globals.rows());
        Ok((factory, globals))
    }

    fn builder(&self) -> Builder<'_> {
        Builder {
            topology: &self.topology,
            application: &self.config.application_id,
            log: &self.config.log,
            state: Some(self.config.state.as_ref()),
            reads: Some(self.config.reads.as_ref()),
            emit: self.config.emit,
            clock: self.config.clock.as_ref(),
            counters: Arc::clone(&self.counters),
            settings: self.settings.clone(),
            restoring: &self.board,
        }
    }

    pub(super) fn topology(&self) -> &Topology {
        &self.topology
    }

    pub(super) fn config(&self) -> &StreamsConfig {
        &self.config
    }

    pub(super) fn board(&self) -> &RestoreBoard {
        &self.board
    }

    /// How many tasks a part has.
    ///
    /// # Errors
    /// Names that cannot be.
    pub(super) fn tasks(&self, part: &Subtopology) -> Result<u32, StreamsError> {
        self.partitions.tasks(&self.topology, part)
    }

    /// The partitions of each store, by its number; none of them is here yet.
    ///
    /// # Errors
    /// Names that cannot be.
    pub(super) fn store_partitions(&self) -> Result<Vec<StorePartitions>, StreamsError> {
        let mut counts = vec![0; self.topology.stores().len()];
        for part in self.topology.subtopologies() {
            let tasks = self.tasks(part)? as usize;
            part.stores.iter().for_each(|&store| counts[store] = tasks);
        }
        let store = |(count, spec): (usize, &StoreSpec)| {
            let topic = changelog_topic(&self.config.application_id, &spec.name)?;
            let is_logged = spec.options.logging == StoreLogging::Enabled;
            Ok(StorePartitions::new(count, is_logged.then(|| (Arc::clone(&self.config.log), topic))))
        };
        counts.into_iter().zip(self.topology.stores()).map(store).collect()
    }

    /// Every partition that the application reads.
    ///
    /// # Errors
    /// Names that cannot be.
    pub(super) fn inputs(&self, group: &GroupId) -> Result<Vec<(GroupId, TopicPartition)>, StreamsError> {
        let topics = self.topology.nodes().iter().filter_map(|node| match &node.kind {
            NodeKind::Source(source) => Some(Partitions::resolve(&self.config.application_id, &source.topic)),
            _ => None,
        });
        let topics: BTreeSet<TopicName> = topics.collect::<Result<_, _>>()?;
        let input = |topic: TopicName| {
            let all = (0..self.partitions.of(&topic)).map(PartitionId);
            all.map(move |partition| TopicPartition::new(topic.clone(), partition))
        };
        Ok(topics.into_iter().flat_map(input).map(|partition| (group.clone(), partition)).collect())
    }

    /// Makes a task and brings its stores up to date.
    ///
    /// # Errors
    /// Those of log and stores; [`StreamsError::TaskGone`] if nobody wants it any more.
    pub(super) fn open(&self, task: TaskId) -> Result<(Task, TaskProgress, Handles), StreamsError> {
        let (builder, mut handles) = (self.builder(), Vec::new());
        let task = builder.task(task, (&self.partitions, &self.globals), &mut handles)?;
        let progress = builder.task_progress(&task, &self.partitions)?;
        Ok((task, progress, handles))
    }

    /// Opens the stores of a task that another process has, to follow their changelogs. Stores in memory are not followed: they would not
    /// stay when the task is taken over.
    ///
    /// # Errors
    /// Those of log and stores.
    pub(super) fn follow(&self, task: TaskId) -> Result<Vec<Followed>, StreamsError> {
        let (builder, log) = (self.builder(), self.config.log.as_ref());
        let specs = self.topology.subtopologies()[task.subtopology].stores.iter();
        let specs = specs.map(|&number| (number, &self.topology.stores()[number]));
        let kept = specs.filter(|(_, spec)| {
            spec.options.kind == StoreKind::Persistent && spec.options.logging == StoreLogging::Enabled
        });
        let open = |(number, spec): (usize, &StoreSpec)| {
            let (mut running, handle) = builder.open_store(spec, task.partition)?;
            let mut next = Offset::ZERO;
            if let Some(changelog) = &running.changelog {
                let end = log.unsettled_end(&changelog.topic)?;
                next = begin(&mut running.store, log, changelog, end).map_err(|failure| failure.of(&spec.name))?;
            }
            Ok(Followed { number, store: running, handle, next })
        };
        kept.map(open).collect()
    }

    /// What the processes of the group work on.
    ///
    /// # Errors
    /// [`StreamsError::ReadTwice`] if two parts read one topic.
    pub(super) fn group_topology(&self) -> Result<GroupTopology, StreamsError> {
        let parts = self.topology.subtopologies().iter().map(|part| self.group_part(part));
        let parts: Vec<GroupPart> = parts.collect::<Result<_, _>>()?;
        for (number, part) in parts.iter().enumerate() {
            let twice = |topic: &&_| parts[..number].iter().any(|earlier| earlier.sources.contains(*topic));
            if let Some(topic) = part.sources.iter().find(twice) {
                return Err(StreamsError::ReadTwice { topic: topic.clone() });
            }
        }
        Ok(GroupTopology { parts })
    }

    fn group_part(&self, part: &Subtopology) -> Result<GroupPart, StreamsError> {
        let application = &self.config.application_id;
        let mut group = GroupPart { tasks: self.tasks(part)?, ..GroupPart::default() };
        for id in &part.nodes {
            match &self.topology.nodes()[id.0].kind {
                NodeKind::Source(SourceNode { topic, .. }) => {
                    let name = Partitions::resolve(application, topic)?;
                    match topic {
                        TopicRef::External(_) => drop(group.sources.insert(name)),
                        TopicRef::Internal { .. } => {
                            let partitions = self.partitions.of(&name);
                            group.repartition_sources.push((name, partitions));
                        }
                    }
                }
                NodeKind::Sink(SinkNode { topic: topic @ TopicRef::Internal { .. }, .. }) => {
                    group.repartition_sinks.insert(Partitions::resolve(application, topic)?);
                }
                _ => {}
            }
        }
        group.repartition_sources.sort();
        group.repartition_sources.dedup();
        for &store in &part.stores {
            let spec = &self.topology.stores()[store];
            if spec.options.logging == StoreLogging::Enabled {
                group.changelogs.insert(changelog_topic(application, &spec.name)?);
            }
        }
        Ok(group)
    }
}
