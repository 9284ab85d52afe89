//! Cases on a cluster: real topics, real transactions, the runtime that queries have in earnest.
//!
//! A case has a part of the cluster to itself, told by a prefix of all names, and a data directory that goes with it. Records are written one
//! at a time, each when all queries are through with the one before, so that they are processed in the order of the case across topics.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use millstream::{
    log::{
        Append, Log, LogError, Producer, SharedLog, Transaction,
        kafka::{KafkaConfig, KafkaLog, ProcessId},
        partition_for_key,
    },
    record::{PartitionId, Record, Records, TopicName, TopicPartition},
};

use super::{prefixed_log::PrefixedLog, run::RunOptions, stage::Stage};
use crate::{
    catalog::{Catalog, RegistryHandle},
    engine::{Engine, EngineConfig, EngineError, ServiceId, Session, in_memory::Answer},
    response::Response,
};

/// How long queries may take to be through with what there is.
const IDLE_WITHIN: Duration = Duration::from_secs(60);
const COMMIT_INTERVAL: Duration = Duration::from_millis(10);
const MEMORY_BYTES: usize = 32 << 20;
const FETCH_BYTES: usize = 4 << 20;

/// A cluster for cases; each gets a part of it.
#[derive(Clone)]
pub struct TestCluster {
    log: SharedLog,
    /// What the names of this run begin with.
    run: Arc<str>,
    cases: Arc<AtomicU64>,
}

impl std::fmt::Debug for TestCluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestCluster").field("run", &self.run).finish_non_exhaustive()
    }
}

impl TestCluster {
    /// Reaches a cluster.
    ///
    /// # Errors
    /// If no broker answers.
    pub fn connect(config: KafkaConfig) -> Result<Self, LogError> {
        Ok(Self::on(Arc::new(KafkaLog::connect(config)?)))
    }

    /// Cases on a log that is there.
    pub fn on(log: SharedLog) -> Self {
        let run = ProcessId::random().as_str().chars().take(8).collect::<String>();
        Self { log, run: run.into(), cases: Arc::default() }
    }

    fn part(&self) -> SharedLog {
        let case = self.cases.fetch_add(1, Ordering::Relaxed);
        Arc::new(PrefixedLog::new(Arc::clone(&self.log), &format!("test-{}-{case}.", self.run)))
    }
}

/// A directory that is not there yet, and goes with its case.
struct CaseDirectory(PathBuf);

impl CaseDirectory {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("millstream-case-{}", ProcessId::random())))
    }
}

impl Drop for CaseDirectory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, "{} stays", self.0.display());
        }
    }
}

/// The stage of one case.
pub(super) struct ClusterStage {
    /// In this order: what is dropped first uses what is dropped after it.
    session: Option<Session>,
    engine: Option<Engine>,
    log: SharedLog,
    producer: Box<dyn Producer>,
    config: EngineConfig,
    registry: RegistryHandle,
    _directory: CaseDirectory,
}

impl ClusterStage {
    /// A part of the cluster with nothing in it.
    pub(super) fn open(
        cluster: &TestCluster,
        options: &RunOptions,
        registry: RegistryHandle,
    ) -> Result<Self, EngineError> {
        let directory = CaseDirectory::new();
        let log = cluster.part();
        let config = EngineConfig {
            threads: 1,
            emit: options.emit,
            memory_bytes: MEMORY_BYTES,
            commit_interval: COMMIT_INTERVAL,
            functions: options.functions.clone(),
            ..EngineConfig::new(directory.0.clone())
        };
        let producer = log.producer("inputs")?;
        let mut stage = Self { session: None, engine: None, log, producer, config, registry, _directory: directory };
        stage.start()?;
        Ok(stage)
    }

    fn start(&mut self) -> Result<(), EngineError> {
        let registry = self.registry.clone();
        let engine = Engine::open_with(self.config.clone(), Arc::clone(&self.log), ServiceId::default(), registry)?;
        self.session = Some(engine.session());
        self.engine = Some(engine);
        Ok(())
    }

    fn stop(&mut self) -> Result<(), EngineError> {
        self.session = None;
        self.engine.take().map_or(Ok(()), Engine::shutdown)
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("it is missing only while it is restarted")
    }
}

impl Stage for ClusterStage {
    fn execute(&mut self, statement: &str) -> Result<Answer, EngineError> {
        let session = self.session.as_mut().expect("it is missing only while the engine is restarted");
        match session.execute(statement)? {
            Response::Done { .. } => Ok(Answer::Done),
            Response::Rows(rows) => Ok(Answer::Rows(rows)),
            Response::Push(_) => {
                let problem = "the answer of a push query has no end on a cluster";
                Err(EngineError::at(crate::syntax::Position::START, problem))
            }
        }
    }

    fn set_property(&mut self, name: &str, value: &str) {
        if let Some(session) = &mut self.session {
            session.set_property(name, value);
        }
    }

    fn catalog(&self) -> Catalog {
        self.engine().catalog()
    }

    fn log(&self) -> &dyn Log {
        self.log.as_ref()
    }

    fn produce(&mut self, topic: &str, records: Vec<Record>) -> Result<(), EngineError> {
        let topic = TopicName::new(topic)?;
        let partitions = self.log.describe_topic(&topic)?.config.partitions;
        let mut by_partition: BTreeMap<u32, Vec<Record>> = BTreeMap::new();
        for record in records {
            let partition = record.key.as_ref().map_or(0, |key| partition_for_key(key, partitions).0);
            by_partition.entry(partition).or_default().push(record);
        }
        let append = |(partition, records): (u32, Vec<Record>)| Append {
            partition: TopicPartition::new(topic.clone(), PartitionId(partition)),
            records: Records::from_iter(records),
        };
        let appends = by_partition.into_iter().map(append).collect();
        self.producer.commit(Transaction { appends, offsets: Vec::new() })?;
        self.run()
    }

    fn run(&mut self) -> Result<(), EngineError> {
        self.engine().wait_until_idle(Some(IDLE_WITHIN), &mut |_| {})
    }

    fn run_in_batches(&mut self) -> Result<(), EngineError> {
        self.run()
    }

    fn restart(&mut self) -> Result<(), EngineError> {
        self.stop()?;
        self.start()
    }

    fn records(&self, topic: &str) -> Result<Vec<Record>, EngineError> {
        let topic = TopicName::new(topic)?;
        let mut records = Vec::new();
        for partition in (0..self.log.describe_topic(&topic)?.config.partitions).map(PartitionId) {
            let partition = TopicPartition::new(topic.clone(), partition);
            let mut next = self.log.start_offset(&partition)?;
            let end = self.log.end_offset(&partition)?;
            while next < end {
                let fetched = self.log.fetch(&partition, next, FETCH_BYTES)?;
                for record in fetched.batches.iter().flat_map(|batch| batch.records.iter()) {
                    records.push(Record {
                        key: record.key.map(Into::into),
                        value: record.value.map(Into::into),
                        timestamp: record.timestamp,
                        headers: record.headers.to_vec(),
                    });
                }
                next = fetched.next;
            }
        }
        Ok(records)
    }
}

impl Drop for ClusterStage {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            // A case that has failed a query says so by its outcome.
            tracing::debug!(%error, "the engine of a case did not stop in order");
        }
        let topics = self.log.topics().unwrap_or_default();
        for topic in topics {
            if let Err(error) = self.log.delete_topic(&topic.name) {
                tracing::warn!(topic = %topic.name, %error, "a topic of a case stays");
            }
        }
    }
}
