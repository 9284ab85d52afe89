//! Statements that change the catalog: what becomes of it, and what else they do ([`Effect`]).
//!
//! [`apply`] is for the replay of recorded statements, [`change`] for new ones; nothing is carried out here, see
//! [`carry_out`](super::carry_out).

use millstream::topology::OffsetReset;
use millstream_connectors::ConnectorConfig;

use super::{connectors, error::EngineError, names, properties::SessionProperties, queues, schemas};
use crate::{
    catalog::{
        Catalog, CatalogError, CleanupPolicy, Connector, DeclaredQueue, PropertyScope, QueryId, QueryKind, QueryRecord,
        QueryShape, Source, SourceProperties, declare_columns, declare_source,
    },
    planner::{PersistentPlan, SinkTopic, plan_create, plan_insert},
    syntax::{
        Position,
        ast::{
            CreateAsSelect, CreateSource, DropSource, InsertSelect, ParsedStatement, QueryChoice, SourceKind,
            Statement, Steering,
        },
    },
};

/// What is to be started.
pub(super) enum Started {
    /// A persistent query.
    Query {
        /// Its id.
        id: QueryId,
        /// What runs.
        plan: Box<PersistentPlan>,
    },
    /// A queue.
    Queue(Box<DeclaredQueue>),
    /// A connector.
    Connector {
        /// Its name.
        name: String,
        /// What it does; of a recorded one, what is wrong with it by now, such as a variable that is not set.
        config: Result<Box<ConnectorConfig>, String>,
    },
}

impl Started {
    /// Whether the catalog still has it.
    pub(super) fn is_declared(&self, catalog: &Catalog) -> bool {
        match self {
            Self::Query { id, .. } => catalog.query(id).is_some(),
            Self::Queue(queue) => catalog.queue(&queue.name).is_some(),
            Self::Connector { name, .. } => catalog.connectors().any(|connector| connector.name == *name),
        }
    }
}

/// What a statement does beside changing the catalog.
pub(super) enum Effect {
    Nothing,
    /// Makes a topic unless it is there.
    Topic {
        topic: SinkTopic,
        at: Position,
    },
    Start {
        started: Started,
        at: Position,
    },
    /// Puts a query in the place of the one with its id, which has read and kept the same.
    Replace {
        id: QueryId,
        plan: Box<PersistentPlan>,
        /// What the query did until now.
        old: QueryShape,
        at: Position,
    },
    /// Pauses or resumes queries.
    Pause {
        queries: Vec<QueryId>,
        paused: bool,
    },
    /// Ends queries and deletes a topic, that of the stream or table named at a place.
    End {
        queries: Vec<QueryId>,
        topic: Option<(String, Position)>,
    },
    /// Ends a connector.
    EndConnector(Connector),
    /// Lets a connector wait, go on, or start again.
    SteerConnector {
        name: String,
        steering: Steering,
    },
    /// Ends a queue.
    EndQueue(Box<DeclaredQueue>),
}

/// A statement as applied to a catalog.
pub(super) struct Applied {
    pub(super) effect: Effect,
    /// The id of the query that it starts.
    pub(super) query: Option<String>,
    pub(super) message: String,
}

impl Effect {
    /// What it starts.
    pub(super) fn into_started(self) -> Option<Started> {
        match self {
            Self::Start { started, .. } => Some(started),
            Self::Replace { id, plan, .. } => Some(Started::Query { id, plan }),
            Self::Nothing
            | Self::Topic { .. }
            | Self::Pause { .. }
            | Self::End { .. }
            | Self::EndConnector(_)
            | Self::SteerConnector { .. }
            | Self::EndQueue(_) => None,
        }
    }
}

impl Applied {
    fn done(message: String) -> Self {
        Self { effect: Effect::Nothing, query: None, message }
    }
}

/// Applies a recorded statement; gives what it does beside changing the catalog.
pub(super) fn apply(
    catalog: &mut Catalog,
    statement: &ParsedStatement,
    query: Option<&str>,
    properties: &SessionProperties,
) -> Result<Effect, EngineError> {
    let id = query.map(|id| QueryId(id.to_owned()));
    let is_named =
        matches!(&statement.statement, Statement::InsertSelect(insert) if !insert.properties.entries.is_empty());
    let number = query.filter(|_| !is_named).and_then(names::generated_number);
    if let Some(next) = number.and_then(|number| number.checked_add(1)) {
        catalog.resume_query_numbers(next);
    }
    if let Statement::CreateConnector(create) = &statement.statement {
        return connectors::recall(catalog, create, &statement.text).map(|applied| applied.effect);
    }
    change(catalog, statement, id, properties).map(|applied| applied.effect)
}

/// Applies a new statement: what it changes in the catalog, and what else it does.
pub(super) fn change(
    catalog: &mut Catalog,
    parsed: &ParsedStatement,
    id: Option<QueryId>,
    properties: &SessionProperties,
) -> Result<Applied, EngineError> {
    let reset = properties.reset(OffsetReset::Earliest);
    properties.settle(catalog);
    check_replace(&parsed.statement, properties)?;
    match &parsed.statement {
        Statement::CreateSource(create) => create_source(catalog, create, &parsed.text, properties),
        Statement::CreateAsSelect(create) => create_as_select(catalog, create, &parsed.text, id, reset),
        Statement::InsertSelect(insert) => insert_select(catalog, insert, &parsed.text, id, reset),
        Statement::DropSource(drop) => drop_source(catalog, drop),
        Statement::AlterSource(alter) => {
            catalog.add_columns(&alter.name, alter.kind, &alter.add)?;
            Ok(Applied::done(format!("Altered {} {}", alter.kind.word(), alter.name.value)))
        }
        Statement::CreateType(create) => {
            let data_type = catalog.resolve_type(&create.data_type)?;
            catalog.add_type(&create.name, data_type)?;
            Ok(Applied::done(format!("Created type {}", create.name.value)))
        }
        Statement::DropType(drop) => {
            catalog.drop_type(&drop.name)?;
            Ok(Applied::done(format!("Dropped type {}", drop.name.value)))
        }
        Statement::CreateConnector(create) => connectors::create(catalog, create, &parsed.text),
        Statement::SteerConnector(steer) => connectors::steer(catalog, steer),
        Statement::DropConnector(drop) => {
            let connector = catalog.drop_connector(&drop.name)?;
            let message = format!("Dropped connector {}", drop.name.value);
            Ok(Applied { effect: Effect::EndConnector(connector), query: None, message })
        }
        Statement::CreateQueue(create) => {
            let (queue, at) = (queues::declared(catalog, create, &parsed.text)?, create.name.span.start);
            catalog.add_queue(queue.clone(), at)?;
            let message = format!("Created queue {} on {}", queue.name, queue.config.topic);
            let started = Started::Queue(Box::new(queue));
            Ok(Applied { effect: Effect::Start { started, at }, query: None, message })
        }
        Statement::DropQueue(drop) => {
            let queue = catalog.drop_queue(&drop.name)?;
            let message = format!("Dropped queue {}", queue.name);
            Ok(Applied { effect: Effect::EndQueue(Box::new(queue)), query: None, message })
        }
        Statement::Terminate(choice) => terminate(catalog, choice),
        Statement::Pause(choice) => pause(catalog, choice, true),
        Statement::Resume(choice) => pause(catalog, choice, false),
        _ => Err(EngineError::at(parsed.span.start, "this statement declares nothing")),
    }
}

/// Refuses CREATE OR REPLACE where it is switched off.
fn check_replace(statement: &Statement, properties: &SessionProperties) -> Result<(), EngineError> {
    let name = match statement {
        Statement::CreateSource(create) if create.or_replace => &create.name,
        Statement::CreateAsSelect(create) if create.or_replace => &create.name,
        _ => return Ok(()),
    };
    if properties.may_replace() {
        return Ok(());
    }
    let problem = "CREATE OR REPLACE is disabled: 'ksql.create.or.replace.enabled' is false in this session";
    Err(EngineError::at(name.span.start, problem))
}

fn create_source(
    catalog: &mut Catalog,
    create: &CreateSource,
    text: &str,
    session: &SessionProperties,
) -> Result<Applied, EngineError> {
    let properties = SourceProperties::parse(&create.properties, PropertyScope::Declare)?;
    let source = match schemas::recorded_columns(catalog, create, session)? {
        Some(columns) => declare_columns(catalog, create, &properties, text, columns)?,
        None => declare_source(catalog, create, &properties, text)?,
    };
    let at = create.name.span.start;
    if create.or_replace {
        check_replaced_source(catalog, &source, at)?;
    }
    let compacted = if source.kind == SourceKind::Table { CleanupPolicy::Compact } else { CleanupPolicy::Delete };
    let topic = SinkTopic {
        name: source.topic.clone(),
        partitions: properties.partitions,
        like: source.topic.clone(),
        retention_ms: properties.retention_ms,
        cleanup: properties.cleanup_policy.unwrap_or(compacted),
    };
    let replaced = catalog.add_source(source, create.or_replace, at)?.is_some();
    let verb = if replaced { "Replaced" } else { "Created" };
    let message = format!("{verb} {} {}", create.kind.word(), create.name.value);
    Ok(Applied { effect: Effect::Topic { topic, at }, query: None, message })
}

/// Running queries go on with the columns that they were planned with: what they read and write may get more columns, nothing else.
fn check_replaced_source(catalog: &Catalog, new: &Source, at: Position) -> Result<(), EngineError> {
    let refuse = |reason: String| -> EngineError {
        CatalogError::NotAllowed { at, action: "replace", name: new.name.clone(), reason }.into()
    };
    if new.is_source {
        let word = new.kind.word();
        return Err(refuse(format!(
            "Cannot add {word} '{}': CREATE OR REPLACE is not supported on source {word}s.",
            new.name
        )));
    }
    let Some(old) = catalog.source(&new.name) else { return Ok(()) };
    if let Some(query) = &old.created_by {
        return Err(refuse(format!("it is the result of query {query}; use CREATE OR REPLACE .. AS SELECT")));
    }
    let users: Vec<String> =
        catalog.readers(&new.name).chain(catalog.writers(&new.name)).map(|query| query.id.to_string()).collect();
    let is_same = old.key_format == new.key_format
        && old.value_format == new.value_format
        && old.wrap_single_value == new.wrap_single_value
        && old.timestamp == new.timestamp;
    if users.is_empty() || is_same || old.why_not_replaced_by(new).is_some() {
        return Ok(());
    }
    let reason = format!(
        "formats and the timestamp column must stay while queries use it; terminate {} first",
        users.join(", ")
    );
    Err(refuse(reason))
}

fn create_as_select(
    catalog: &mut Catalog,
    create: &CreateAsSelect,
    text: &str,
    id: Option<QueryId>,
    reset: OffsetReset,
) -> Result<Applied, EngineError> {
    let kind = match create.kind {
        SourceKind::Stream => QueryKind::CreateStream,
        SourceKind::Table => QueryKind::CreateTable,
    };
    let at = create.name.span.start;
    let refuse = |reason: String| -> EngineError {
        CatalogError::NotAllowed { at, action: "replace", name: create.name.value.clone(), reason }.into()
    };
    let replaced = catalog.source(&create.name.value).filter(|_| create.or_replace).cloned();
    let previous = replaced.as_ref().and_then(|source| catalog.query(source.created_by.as_ref()?)).cloned();
    let id = previous.as_ref().map(|query| query.id.clone()).or(id);
    let id = id.unwrap_or_else(|| catalog.new_query_id(kind, &create.name.value));
    let shape = previous.as_ref().map(|query| &query.shape);
    let plan = plan_create(catalog, create, text, id.clone(), reset, shape)?;
    catalog.add_source(plan.sink.clone(), create.or_replace, at)?;
    let verb = if replaced.is_some() { "Replaced" } else { "Created" };
    let message = format!("{verb} {} {}, query {id}", create.kind.word(), create.name.value);
    let Some(previous) = previous else {
        return Ok(start_query(catalog, id, kind, text, plan, at, message));
    };
    if let Some(reason) = previous.shape.why_not_replaced_by(&plan.shape) {
        return Err(refuse(reason));
    }
    let formats = |source: &Source| (source.key_format.clone(), source.value_format.clone(), source.wrap_single_value);
    if let Some(old) = replaced.filter(|old| formats(old) != formats(&plan.sink)) {
        let reason = format!("its formats are {} and {} and must stay", old.key_format.kind, old.value_format.kind);
        return Err(refuse(reason));
    }
    let old = previous.shape.clone();
    catalog.add_query(QueryRecord {
        statement: text.to_owned(),
        sources: plan.sources.clone(),
        shape: plan.shape.clone(),
        ..previous
    });
    let query = Some(id.0.clone());
    Ok(Applied { effect: Effect::Replace { id, plan: Box::new(plan), old, at }, query, message })
}

fn insert_select(
    catalog: &mut Catalog,
    insert: &InsertSelect,
    text: &str,
    id: Option<QueryId>,
    reset: OffsetReset,
) -> Result<Applied, EngineError> {
    let properties = SourceProperties::parse(&insert.properties, PropertyScope::Insert)?;
    let at = insert.target.span.start;
    let plan = plan_insert(catalog, insert, reset)?;
    let named = properties.query_id.map(QueryId);
    if let Some(taken) = named.as_ref().filter(|id| catalog.query(id).is_some()) {
        return Err(EngineError::at(
            insert.properties.span.start,
            format!("query {taken} exists already; choose another QUERY_ID"),
        ));
    }
    let id = id.or(named).unwrap_or_else(|| catalog.new_query_id(QueryKind::Insert, &insert.target.value));
    let message = format!("Created query {id}, which writes {}", insert.target.value);
    Ok(start_query(catalog, id, QueryKind::Insert, text, plan, at, message))
}

fn start_query(
    catalog: &mut Catalog,
    id: QueryId,
    kind: QueryKind,
    text: &str,
    plan: PersistentPlan,
    at: Position,
    message: String,
) -> Applied {
    let sink = plan.sink.name.clone();
    catalog.add_query(QueryRecord {
        id: id.clone(),
        kind,
        statement: text.to_owned(),
        sink,
        sources: plan.sources.clone(),
        shape: plan.shape.clone(),
        paused: false,
    });
    let query = Some(id.0.clone());
    Applied { effect: Effect::Start { started: Started::Query { id, plan: Box::new(plan) }, at }, query, message }
}

fn drop_source(catalog: &mut Catalog, drop: &DropSource) -> Result<Applied, EngineError> {
    let dropped = catalog.drop_source(&drop.name, drop.kind, drop.delete_topic)?;
    let shared = catalog.sources().any(|other| other.topic == dropped.source.topic);
    if drop.delete_topic && shared {
        let reason = "another stream or table is over the same topic; leave DELETE TOPIC out".to_owned();
        let (at, name) = (drop.name.span.start, drop.name.value.clone());
        return Err(CatalogError::NotAllowed { at, action: "delete the topic of", name, reason }.into());
    }
    let mut message = format!("Dropped {} {}", drop.kind.word(), drop.name.value);
    if let Some(query) = &dropped.ended {
        message.push_str(&format!(" and ended query {}", query.id));
    }
    if drop.delete_topic {
        message.push_str(&format!(", deleted topic {}", dropped.source.topic));
    }
    let topic = drop.delete_topic.then_some((dropped.source.topic, drop.name.span.start));
    let queries = dropped.ended.into_iter().map(|query| query.id).collect();
    Ok(Applied { effect: Effect::End { queries, topic }, query: None, message })
}

fn terminate(catalog: &mut Catalog, choice: &QueryChoice) -> Result<Applied, EngineError> {
    let queries = chosen(catalog, choice)?;
    for id in &queries {
        catalog.end_query(id);
    }
    let message = match queries.as_slice() {
        [one] => format!("Terminated query {one}"),
        all => format!("Terminated {} queries", all.len()),
    };
    Ok(Applied { effect: Effect::End { queries, topic: None }, query: None, message })
}

fn pause(catalog: &mut Catalog, choice: &QueryChoice, paused: bool) -> Result<Applied, EngineError> {
    let queries = chosen(catalog, choice)?;
    for id in &queries {
        catalog.set_paused(id, paused);
    }
    let verb = if paused { "Paused" } else { "Resumed" };
    let message = match queries.as_slice() {
        [one] => format!("{verb} query {one}"),
        all => format!("{verb} {} queries", all.len()),
    };
    Ok(Applied { effect: Effect::Pause { queries, paused }, query: None, message })
}

/// The queries that a statement means.
fn chosen(catalog: &Catalog, choice: &QueryChoice) -> Result<Vec<QueryId>, EngineError> {
    Ok(match choice {
        QueryChoice::All => catalog.queries().map(|query| query.id.clone()).collect(),
        QueryChoice::Id(name) => vec![catalog.expect_query(name)?.id.clone()],
    })
}
