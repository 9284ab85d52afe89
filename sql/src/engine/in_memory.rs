//! An engine in memory: the same statements over a log in memory, its queries run when they are told to, in the caller's thread.
//!
//! It reads no clock (now is 0), starts no thread and no RocksDB, and passes every update on: what tests of SQL pipelines need.

use std::{collections::BTreeMap, sync::Arc};

use arrow::array::RecordBatch;
use millstream::{
    log::{Append, Log, LogError, Producer, SharedLog, Transaction, partition_for_key},
    operator::EmitPolicy,
    query::View,
    record::{Offset, PartitionId, Record, Records, Timestamp, TopicName, TopicPartition},
    runtime::SynchronousStreams,
    testing::MemoryLog,
    topology::{OffsetReset, Topology},
};

use super::{
    assert,
    carry_out::ensure_topic,
    config::synchronous,
    declare::{Applied, Effect, Started, change},
    error::EngineError,
    insert, names,
    properties::SessionProperties,
    replace::{fill_stores, forget_older_stores},
    variables,
};
use crate::{
    catalog::{Catalog, QueryId, QueryShape, RegistryHandle, Source},
    functions::Functions,
    planner::{PersistentPlan, PushPlan, Reader, SinkTopic, ViewPlan, plan_insert_values, plan_push},
    pull::{self, PullContext, Views},
    response::Rows,
    syntax::{
        ast::{ParsedStatement, Statement, StreamQuery},
        parse_statement,
    },
};

/// What a statement answers.
#[derive(Debug)]
pub enum Answer {
    /// It was carried out.
    Done,
    /// The rows of a pull query.
    Rows(Rows),
    /// A push query, to be run.
    Push(Box<PushRun>),
}

/// A push query.
pub struct PushRun {
    plan: PushPlan,
    streams: SynchronousStreams,
    batches: Vec<RecordBatch>,
}

impl std::fmt::Debug for PushRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushRun").field("schema", &self.plan.schema).finish_non_exhaustive()
    }
}

/// A persistent query.
struct Query {
    id: QueryId,
    topology: Topology,
    sink: String,
    view: Option<ViewPlan>,
    streams: SynchronousStreams,
    paused: bool,
}

/// An engine in memory.
pub struct InMemoryEngine {
    catalog: Catalog,
    log: SharedLog,
    producer: Box<dyn Producer>,
    queries: Vec<Query>,
    properties: SessionProperties,
    variables: BTreeMap<String, String>,
    emit: EmitPolicy,
    transient: u64,
    single_partition: bool,
}

impl InMemoryEngine {
    /// An empty engine.
    ///
    /// # Errors
    /// Never, as long as a log in memory takes producers.
    pub fn new(emit: EmitPolicy) -> Result<Self, EngineError> {
        Self::with_registry(emit, RegistryHandle::default())
    }

    /// An empty engine with a schema registry.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn with_registry(emit: EmitPolicy, registry: RegistryHandle) -> Result<Self, EngineError> {
        let log: SharedLog = Arc::new(MemoryLog::new());
        Ok(Self {
            catalog: Catalog::with_registry(registry),
            producer: log.producer("in-memory")?,
            log,
            queries: Vec::new(),
            properties: SessionProperties::default(),
            variables: BTreeMap::new(),
            emit,
            transient: 0,
            single_partition: false,
        })
    }

    /// The same engine, with functions of the user; to be called before any statement.
    #[must_use]
    pub fn with_functions(mut self, functions: Functions) -> Self {
        self.catalog.set_functions(functions);
        self
    }

    /// What is declared.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The log.
    pub fn log(&self) -> &dyn Log {
        self.log.as_ref()
    }

    /// Runs one statement. Queries that it starts do nothing until [`run`](Self::run).
    ///
    /// # Errors
    /// [`EngineError`], with places in `statement`.
    pub fn execute(&mut self, statement: &str) -> Result<Answer, EngineError> {
        let text = variables::substitute(statement, &self.variables)?;
        let parsed = parse_statement(&text)?;
        match &parsed.statement {
            Statement::InsertValues(values) => {
                let plan = plan_insert_values(&self.catalog, values, Timestamp(0))?;
                insert::write(&plan, values, self.log.as_ref(), self.producer.as_mut(), &|| 0)?;
                Ok(Answer::Done)
            }
            Statement::PullQuery(query) => {
                let scans = self.properties.scans();
                let context = PullContext { catalog: &self.catalog, log: &self.log, views: self, scans };
                Ok(Answer::Rows(pull::run(query, &context)?))
            }
            Statement::PushQuery(query) => self.push(query).map(|run| Answer::Push(Box::new(run))),
            Statement::Set(set) => {
                let (name, value) = (&set.name, &set.value);
                self.properties.set(&name.node, &value.node, name.span.start, value.span.start)?;
                Ok(Answer::Done)
            }
            Statement::Unset(name) => {
                self.properties.unset(&name.node, name.span.start)?;
                Ok(Answer::Done)
            }
            Statement::Define(define) => {
                self.variables.insert(define.name.value.to_ascii_uppercase(), define.value.node.clone());
                Ok(Answer::Done)
            }
            Statement::Assert(asserted) => {
                assert::check(asserted, self.log.as_ref(), self.catalog.registry()).map(|_| Answer::Done)
            }
            Statement::Undefine(name) => {
                self.variables.remove(&name.value.to_ascii_uppercase());
                Ok(Answer::Done)
            }
            _ => self.declare(&parsed).map(|()| Answer::Done),
        }
    }

    /// Sets a property; one that the engine does not know is left out, and false is given.
    pub fn set_property(&mut self, name: &str, value: &str) -> bool {
        let at = crate::syntax::Position::START;
        self.properties.set(name, value, at, at).is_ok()
    }

    fn declare(&mut self, parsed: &ParsedStatement) -> Result<(), EngineError> {
        if let Some(done) = super::session::in_force(&self.catalog, parsed) {
            return done;
        }
        let mut new = self.catalog.clone();
        names::check(parsed, &new)?;
        let Applied { effect, .. } = change(&mut new, parsed, None, &self.properties)?;
        super::schemas::register(&new, parsed)?;
        match effect {
            Effect::Nothing | Effect::EndConnector(_) | Effect::EndQueue(_) | Effect::SteerConnector { .. } => {}
            Effect::Pause { queries, paused } => {
                let meant = self.queries.iter_mut().filter(|query| queries.contains(&query.id));
                meant.for_each(|query| query.paused = paused);
            }
            Effect::Replace { id, mut plan, old, at } => {
                plan.topic = self.one_partition(plan.topic);
                ensure_topic(self.log.as_ref(), &plan.topic, at)?;
                self.replace(&id, &old, *plan).map_err(|error| error.at_place(at))?;
            }
            Effect::Topic { topic, at } => ensure_topic(self.log.as_ref(), &self.one_partition(topic), at)?,
            Effect::Start { started: Started::Query { id, mut plan }, at } => {
                plan.topic = self.one_partition(plan.topic);
                ensure_topic(self.log.as_ref(), &plan.topic, at)?;
                let query = self.start(id, *plan).map_err(|error| error.at_place(at))?;
                self.queries.push(query);
            }
            Effect::Start { started: Started::Queue(_), at } => {
                return Err(EngineError::at(at, "an engine in memory has no queues"));
            }
            Effect::Start { started: Started::Connector { .. }, at } => {
                return Err(EngineError::at(at, "an engine in memory runs no connectors"));
            }
            Effect::End { queries, topic } => {
                self.queries.retain(|query| !queries.contains(&query.id));
                if let Some((topic, _)) = topic {
                    match self.log.delete_topic(&TopicName::new(&topic)?) {
                        Ok(()) | Err(LogError::UnknownTopic { .. }) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
        self.catalog = new;
        Ok(())
    }

    /// The topic with as many partitions as what it comes from, whatever was asked for, if all are to have one.
    fn one_partition(&self, topic: SinkTopic) -> SinkTopic {
        if self.single_partition { SinkTopic { partitions: None, ..topic } } else { topic }
    }

    /// From now on topics have one partition, whatever statements say: records then come out in the order of what caused them.
    pub fn use_one_partition(&mut self) {
        self.single_partition = true;
    }

    fn start(&self, id: QueryId, plan: PersistentPlan) -> Result<Query, EngineError> {
        let PersistentPlan { topology, sink, view, .. } = plan;
        let emit = self.properties.emit(self.emit);
        let streams =
            SynchronousStreams::with_config(&topology, &application(&id), Arc::clone(&self.log), synchronous(emit))
                .map_err(|error| EngineError::start_of(&id.0, &error, &self.catalog))?;
        Ok(Query { id, topology, sink: sink.name, view, streams, paused: false })
    }

    /// Puts a query in the place of the one with its id.
    fn replace(&mut self, id: &QueryId, old: &QueryShape, plan: PersistentPlan) -> Result<(), EngineError> {
        let Some(place) = self.queries.iter().position(|query| query.id == *id) else {
            return Err(EngineError::Query { id: id.0.clone(), problem: "it is not running".to_owned() });
        };
        let (shape, failed) = (plan.shape.clone(), |error| EngineError::start(&id.0, &error));
        let was = &self.queries[place];
        fill_stores((old, &was.topology), (&shape, &plan.topology), &application(id), &self.log).map_err(failed)?;
        let paused = was.paused;
        self.queries[place] = Query { paused, ..self.start(id.clone(), plan)? };
        forget_older_stores(&shape, &application(id), self.log.as_ref(), None).map_err(failed)
    }

    /// Runs every query, in the order in which they were made, each until it has nothing left to read; again until none has.
    ///
    /// # Errors
    /// What a query fails with.
    pub fn run(&mut self) -> Result<(), EngineError> {
        loop {
            let before = self.end_offsets()?;
            for query in self.queries.iter_mut().filter(|query| !query.paused) {
                query.streams.run_in_order_of_arrival().map_err(|error| EngineError::start(&query.id.0, &error))?;
            }
            if self.end_offsets()? == before {
                return Ok(());
            }
        }
    }

    /// As [`run`](Self::run), but all that a query has to read goes through it in batches, in the order of timestamps.
    ///
    /// # Errors
    /// What a query fails with.
    pub fn run_in_batches(&mut self) -> Result<(), EngineError> {
        loop {
            let before = self.end_offsets()?;
            for query in &mut self.queries {
                query.streams.run_until_idle().map_err(|error| EngineError::start(&query.id.0, &error))?;
            }
            if self.end_offsets()? == before {
                return Ok(());
            }
        }
    }

    /// Drops every query with its state and makes it anew, as a restart does: what was committed comes back.
    ///
    /// # Errors
    /// If a query does not start again.
    pub fn restart(&mut self) -> Result<(), EngineError> {
        let emit = self.properties.emit(self.emit);
        for query in &mut self.queries {
            query.streams = SynchronousStreams::with_config(
                &query.topology,
                &application(&query.id),
                Arc::clone(&self.log),
                synchronous(emit),
            )
            .map_err(|error| EngineError::start(&query.id.0, &error))?;
        }
        Ok(())
    }

    fn end_offsets(&self) -> Result<Vec<Offset>, EngineError> {
        let mut ends = Vec::new();
        for topic in self.log.topics()? {
            for partition in (0..topic.config.partitions).map(PartitionId) {
                ends.push(self.log.end_offset(&TopicPartition::new(topic.name.clone(), partition))?);
            }
        }
        Ok(ends)
    }

    /// Writes records to a topic, to the partitions of their keys, in one commit.
    ///
    /// # Errors
    /// If there is no such topic.
    pub fn produce(&mut self, topic: &str, records: Vec<Record>) -> Result<(), EngineError> {
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
        Ok(())
    }

    /// All records of a topic, partition by partition.
    ///
    /// # Errors
    /// If there is no such topic.
    pub fn records(&self, topic: &str) -> Result<Vec<Record>, EngineError> {
        let topic = TopicName::new(topic)?;
        let mut records = Vec::new();
        for partition in (0..self.log.describe_topic(&topic)?.config.partitions).map(PartitionId) {
            let fetched = self.log.fetch(&TopicPartition::new(topic.clone(), partition), Offset::ZERO, usize::MAX)?;
            for record in fetched.batches.iter().flat_map(|batch| batch.records.iter()) {
                records.push(Record {
                    key: record.key.map(Into::into),
                    value: record.value.map(Into::into),
                    timestamp: record.timestamp,
                    headers: record.headers.to_vec(),
                });
            }
        }
        Ok(records)
    }

    /// The sources over a topic.
    pub fn sources_of(&self, topic: &str) -> impl Iterator<Item = &Source> {
        self.catalog.sources().filter(move |source| source.topic == topic)
    }

    fn push(&mut self, query: &StreamQuery) -> Result<PushRun, EngineError> {
        let at = query.span.start;
        let catalog = self.properties.settled(&self.catalog);
        let plan = plan_push(&catalog, query, self.properties.reset(OffsetReset::Latest), Reader::SameThread)?;
        self.transient += 1;
        let application = format!("_millstream-push-{}", self.transient);
        let streams = SynchronousStreams::with_config(
            &plan.topology,
            &application,
            Arc::clone(&self.log),
            synchronous(self.emit),
        )
        .map_err(|error| EngineError::at(at, error))?;
        Ok(PushRun { plan, streams, batches: Vec::new() })
    }
}

impl PushRun {
    /// The columns of its rows.
    pub fn schema(&self) -> &arrow::datatypes::SchemaRef {
        &self.plan.schema
    }

    /// Runs until there is nothing left to read or the limit is reached; gives all rows so far, and whether the limit was reached.
    ///
    /// # Errors
    /// What the query fails with.
    pub fn run(&mut self) -> Result<(&[RecordBatch], bool), EngineError> {
        loop {
            let worked = self.streams.run_step().map_err(|error| EngineError::start("push", &error))?;
            while let Ok(batch) = self.plan.rows.try_recv() {
                self.batches.push(batch.map_err(|problem| EngineError::Query { id: "push".to_owned(), problem })?);
            }
            if !worked {
                break;
            }
        }
        Ok((&self.batches, self.plan.sender.lock().is_none()))
    }
}

impl Views for InMemoryEngine {
    fn view(&self, table: &str) -> Option<(View, ViewPlan)> {
        let query = self.queries.iter().find(|query| query.sink == table && query.view.is_some())?;
        let plan = query.view.clone()?;
        Some((query.streams.view(&plan.store)?, plan))
    }
}

fn application(id: &QueryId) -> String {
    super::running::application_id(id)
}
