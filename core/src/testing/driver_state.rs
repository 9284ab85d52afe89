//! What a test driver and the topics that it gives out share: the log, the running tasks, and what is to go wrong.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
};

use millstream_state::{StateBackend, StateConfig};

use super::{CommitFault, CommitPolicy, CrashPoint, DriverError, DriverOptions, MemoryLog, faulty_log::FaultyLog};
use crate::{
    log::{Append, FetchedBatch, Log, LogError, Producer, TopicConfig, Transaction, partition_for_key},
    record::{Offset, PartitionId, Record, Records, TopicName, TopicPartition},
    runtime::{ManualClock, StreamsError, SynchronousConfig, SynchronousStreams},
    topology::{NodeKind, SinkNode, SourceNode, TopicRef, Topology},
};

pub(super) const APPLICATION: &str = "test-driver";
/// Memory of stores on disk.
const STATE_BYTES: usize = 16 << 20;

/// The tasks, or what has ended them.
enum Tasks {
    Running(Box<SynchronousStreams>),
    /// As the test wanted.
    Crashed(String),
    /// By an error, which the call that met it has returned.
    Failed(String),
}

/// Everything behind a driver.
pub(super) struct DriverState {
    log: MemoryLog,
    faulty: FaultyLog,
    producer: Box<dyn Producer>,
    pub(super) topology: Topology,
    options: DriverOptions,
    pub(super) clock: Arc<ManualClock>,
    tasks: Tasks,
    /// Where stores on disk are; closed while nothing runs.
    backend: Option<Arc<StateBackend>>,
    crash: Option<CrashPoint>,
    read: HashMap<TopicPartition, Offset>,
    pub(super) paused: bool,
}

impl DriverState {
    pub(super) fn new(topology: &Topology, options: DriverOptions) -> Result<Self, DriverError> {
        let log = MemoryLog::new();
        let globals = topology.globals().iter().map(|table| &table.source.topic);
        let read_or_written = topology.nodes().iter().filter_map(|node| match &node.kind {
            NodeKind::Source(SourceNode { topic, .. }) | NodeKind::Sink(SinkNode { topic, .. }) => Some(topic),
            _ => None,
        });
        for topic in read_or_written.chain(globals) {
            let TopicRef::External(topic) = topic else { continue };
            create_topic(&log, topic, options.partitions_of(topic.as_str()))?;
        }
        for (topic, &partitions) in &options.topic_partitions {
            create_topic(&log, &TopicName::new(topic)?, partitions)?;
        }
        let faulty = FaultyLog::new(log.clone());
        let producer = log.producer("test-input")?;
        let mut state = Self {
            log,
            faulty,
            producer,
            topology: topology.clone(),
            clock: Arc::new(ManualClock::at(options.wall_clock)),
            options,
            tasks: Tasks::Crashed("not started".to_owned()),
            backend: None,
            crash: None,
            read: HashMap::new(),
            paused: false,
        };
        state.start()?;
        Ok(state)
    }

    fn start(&mut self) -> Result<(), DriverError> {
        self.backend = self.options.state_directory.as_deref().map(open_backend).transpose()?;
        let log = Arc::new(self.faulty.clone());
        let DriverOptions { emit, handlers, max_task_idle, stream_time_at_start, idle_advance, .. } =
            self.options.clone();
        let (clock, state) = (Arc::clone(&self.clock) as _, self.backend.clone());
        let config =
            SynchronousConfig { emit, handlers, max_task_idle, stream_time_at_start, idle_advance, clock, state };
        let streams = SynchronousStreams::with_config(&self.topology, APPLICATION, log, config)?;
        self.tasks = Tasks::Running(Box::new(streams));
        Ok(())
    }

    /// Starts anew from what is committed and processes what waits.
    pub(super) fn restart(&mut self) -> Result<(), DriverError> {
        self.end(Tasks::Crashed("it is being restarted".to_owned()));
        self.start()
    }

    /// Lets go of everything that only the process knew.
    fn end(&mut self, tasks: Tasks) {
        self.tasks = tasks;
        self.backend = None;
    }

    pub(super) fn crash_now(&mut self, why: &str) {
        self.crash = None;
        self.faulty.set_fault(None);
        self.end(Tasks::Crashed(why.to_owned()));
    }

    pub(super) fn crash_at(&mut self, point: CrashPoint) {
        self.crash = Some(point);
        self.faulty.set_fault(match point {
            CrashPoint::BeforeCommit => Some(CommitFault::UnknownAndLost),
            CrashPoint::AfterCommit => Some(CommitFault::UnknownAndWritten),
            CrashPoint::AfterRecords(_) | CrashPoint::AtCheckpoint => None,
        });
    }

    pub(super) fn fail_next_commit(&mut self, fault: CommitFault) {
        self.faulty.set_fault(Some(fault));
    }

    pub(super) fn has_crashed(&self) -> bool {
        matches!(self.tasks, Tasks::Crashed(_))
    }

    /// The tasks, if they run.
    pub(super) fn streams(&mut self) -> Result<&mut SynchronousStreams, DriverError> {
        match &mut self.tasks {
            Tasks::Running(streams) => Ok(streams),
            Tasks::Crashed(why) | Tasks::Failed(why) => Err(DriverError::Ended { why: why.clone() }),
        }
    }

    /// Appends records, each to the partition of its key, as one commit of a producer outside.
    pub(super) fn append(&mut self, topic: &TopicName, records: Vec<Record>) -> Result<(), DriverError> {
        let partitions = self.partitions(topic)?;
        let mut transaction = Transaction::default();
        for record in records {
            let partition = record.key.as_ref().map_or(PartitionId(0), |key| partition_for_key(key, partitions));
            let partition = TopicPartition::new(topic.clone(), partition);
            transaction.appends.push(Append { partition, records: Records::from_iter([record]) });
        }
        self.producer.commit(transaction)?;
        Ok(())
    }

    pub(super) fn partitions(&self, topic: &TopicName) -> Result<u32, DriverError> {
        Ok(self.log.describe_topic(topic)?.config.partitions)
    }

    /// The batches of a topic that were not read yet, by partition. Reading them does not move on: see [`read_up_to`](Self::read_up_to).
    pub(super) fn unread(
        &mut self,
        topic: &TopicName,
    ) -> Result<Vec<(TopicPartition, Vec<FetchedBatch>)>, DriverError> {
        let mut unread = Vec::new();
        for partition in (0..self.partitions(topic)?).map(PartitionId) {
            let partition = TopicPartition::new(topic.clone(), partition);
            let next = self.read.get(&partition).copied().unwrap_or_default();
            let fetched = self.log.fetch(&partition, next, usize::MAX)?;
            unread.push((partition, fetched.batches));
        }
        Ok(unread)
    }

    /// Says that records of a partition below an offset were read.
    pub(super) fn read_up_to(&mut self, partition: TopicPartition, next: Offset) {
        self.read.insert(partition, next);
    }

    /// Works as far as the commit policy says, unless paused. After a crash records wait for the restart.
    pub(super) fn run(&mut self) -> Result<(), DriverError> {
        match &self.tasks {
            _ if self.paused => Ok(()),
            Tasks::Crashed(_) => Ok(()),
            Tasks::Failed(why) => Err(DriverError::Ended { why: why.clone() }),
            Tasks::Running(_) => {
                let outcome = self.work();
                self.settle(outcome)
            }
        }
    }

    fn work(&mut self) -> Result<(), StreamsError> {
        while self.process()? && self.options.commit == CommitPolicy::AfterEachPipe {
            self.commit_work()?;
        }
        Ok(())
    }

    /// Processes until nothing is left that is committed; says whether there was anything to be committed afterwards.
    fn process(&mut self) -> Result<bool, StreamsError> {
        while let Tasks::Running(streams) = &mut self.tasks {
            let most = if let Some(CrashPoint::AfterRecords(left)) = self.crash { left } else { usize::MAX };
            let (worked, rows) = if most == 0 { (false, 0) } else { streams.process(most)? };
            if let Some(CrashPoint::AfterRecords(left)) = &mut self.crash {
                *left -= rows;
                if *left == 0 {
                    self.crash_now("it crashed after records, as it was told to");
                    break;
                }
            }
            if !worked && !streams.advance_idle()? {
                return Ok(streams.is_dirty());
            }
        }
        Ok(false)
    }

    fn commit_work(&mut self) -> Result<(), StreamsError> {
        match &mut self.tasks {
            Tasks::Running(streams) => streams.commit(),
            Tasks::Crashed(_) | Tasks::Failed(_) => Ok(()),
        }
    }

    /// Ends the tasks if they have met an error: one that the test wanted as a crash is none.
    fn settle(&mut self, outcome: Result<(), StreamsError>) -> Result<(), DriverError> {
        let Err(error) = outcome else { return Ok(()) };
        let at_commit = matches!(self.crash, Some(CrashPoint::BeforeCommit | CrashPoint::AfterCommit));
        if at_commit && self.faulty.fault().is_none() && matches!(error, StreamsError::Commit(_)) {
            self.crash_now("it crashed at a commit, as it was told to");
            return Ok(());
        }
        self.end(Tasks::Failed(error.to_string()));
        Err(error.into())
    }

    /// One commit of what was processed, and then processes what it has let through to repartition topics.
    pub(super) fn commit(&mut self) -> Result<(), DriverError> {
        if self.streams()?.is_dirty() {
            let outcome = self.commit_work();
            self.settle(outcome)?;
        }
        self.run()
    }

    /// Commits until nothing is left to be committed.
    pub(super) fn commit_until_idle(&mut self) -> Result<(), DriverError> {
        self.run()?;
        while let Tasks::Running(streams) = &self.tasks {
            if !streams.is_dirty() {
                break;
            }
            self.commit()?;
        }
        Ok(())
    }

    /// Processes record by record in the order in which they came, each with a commit.
    pub(super) fn run_in_order_of_arrival(&mut self) -> Result<(), DriverError> {
        let outcome = self.work_in_order_of_arrival();
        self.settle(outcome)
    }

    fn work_in_order_of_arrival(&mut self) -> Result<(), StreamsError> {
        while let Tasks::Running(streams) = &mut self.tasks {
            if !streams.process_next_arrival()? {
                return if streams.is_dirty() { streams.commit() } else { Ok(()) };
            }
            if let Some(CrashPoint::AfterRecords(left)) = &mut self.crash {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    self.crash_now("it crashed after records, as it was told to");
                    break;
                }
            }
            streams.commit()?;
        }
        Ok(())
    }

    /// Writes stores on disk; only half of them if it is to crash here.
    pub(super) fn checkpoint(&mut self) -> Result<(), DriverError> {
        let crashes = self.crash == Some(CrashPoint::AtCheckpoint);
        let streams = self.streams()?;
        let all = streams.stores_on_disk();
        streams.checkpoint(if crashes { all / 2 } else { all })?;
        if crashes {
            self.crash_now("it crashed at a checkpoint, as it was told to");
        }
        Ok(())
    }

    /// Makes a topic, if there is none of this name.
    pub(super) fn add_topic(&self, topic: &TopicName, partitions: u32) -> Result<(), DriverError> {
        create_topic(&self.log, topic, partitions)?;
        let there = self.partitions(topic)?;
        if there == partitions {
            return Ok(());
        }
        Err(DriverError::PartitionsDiffer { topic: topic.clone(), there, wanted: partitions })
    }

    /// How many records of each partition of a topic there are.
    pub(super) fn ends(&self, topic: &TopicName) -> Result<BTreeMap<TopicPartition, Offset>, DriverError> {
        let partitions =
            (0..self.partitions(topic)?).map(|partition| TopicPartition::new(topic.clone(), PartitionId(partition)));
        partitions.map(|partition| Ok((partition.clone(), self.log.end_offset(&partition)?))).collect()
    }
}

fn create_topic(log: &MemoryLog, topic: &TopicName, partitions: u32) -> Result<(), DriverError> {
    match log.create_topic(topic, &TopicConfig { partitions, ..TopicConfig::default() }) {
        Ok(()) | Err(LogError::TopicExists { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn open_backend(directory: &Path) -> Result<Arc<StateBackend>, DriverError> {
    StateBackend::open(StateConfig::new(directory, STATE_BYTES))
        .map_err(|error| DriverError::State { problem: error.to_string() })
}
