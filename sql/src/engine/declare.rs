//! Statements that change the catalog.
//!
//! Each is first applied to a copy of the catalog ([`apply`], which the replay of recorded statements uses as well), then its topics are
//! made, then it is recorded, then the copy becomes the catalog, then what it starts is started or what it ends is ended. If something
//! does not start, the statement is undone in the record and the old catalog comes back.

use std::sync::Arc;

use millstream::{
    log::{CleanupPolicy as TopicCleanup, Log, LogError, TopicConfig},
    record::TopicName,
    topology::OffsetReset,
};
use millstream_connectors::{ConfigError, ConnectorConfig, ConnectorKind as ConnectorClass, Direction, runtime};

use super::{Inner, error::EngineError, names, properties::SessionProperties, running::OnFailure, schemas};
use crate::{
    catalog::{
        Catalog, CatalogError, CleanupPolicy, Connector, PropertyScope, QueryId, QueryKind, QueryRecord,
        SourceProperties, declare_columns, declare_source,
    },
    planner::{PersistentPlan, SinkTopic, plan_create, plan_insert},
    syntax::{
        Position,
        ast::{
            ConnectorKind, CreateAsSelect, CreateConnector, CreateSource, DropSource, InsertSelect, Literal, Name,
            ParsedStatement, Properties, QueryChoice, SourceKind, Statement,
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
    /// A connector.
    Connector {
        /// Its name.
        name: String,
        /// What it does.
        config: Box<ConnectorConfig>,
    },
}

impl Started {
    /// Whether the catalog still has it.
    pub(super) fn is_declared(&self, catalog: &Catalog) -> bool {
        match self {
            Self::Query { id, .. } => catalog.query(id).is_some(),
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
    /// Ends queries and deletes a topic, that of the stream or table named at a place.
    End {
        queries: Vec<QueryId>,
        topic: Option<(String, Position)>,
    },
    /// Ends a connector.
    EndConnector(Connector),
}

/// A statement as applied to a catalog.
pub(super) struct Applied {
    pub(super) effect: Effect,
    /// The id of the query that it starts.
    pub(super) query: Option<String>,
    pub(super) message: String,
}

impl Applied {
    fn done(message: String) -> Self {
        Self { effect: Effect::Nothing, query: None, message }
    }
}

/// Applies a recorded statement; gives what it starts.
pub(super) fn apply(
    catalog: &mut Catalog,
    statement: &ParsedStatement,
    query: Option<&str>,
    properties: &SessionProperties,
) -> Result<Option<Started>, EngineError> {
    let id = query.map(|id| QueryId(id.to_owned()));
    let is_named =
        matches!(&statement.statement, Statement::InsertSelect(insert) if !insert.properties.entries.is_empty());
    let number = query.filter(|_| !is_named).and_then(names::generated_number);
    if let Some(next) = number.and_then(|number| number.checked_add(1)) {
        catalog.resume_query_numbers(next);
    }
    match change(catalog, statement, id, properties)?.effect {
        Effect::Start { started, .. } => Ok(Some(started)),
        Effect::Nothing | Effect::Topic { .. } | Effect::End { .. } | Effect::EndConnector(_) => Ok(None),
    }
}

/// Applies a new statement: what it changes in the catalog, and what else it does.
pub(super) fn change(
    catalog: &mut Catalog,
    parsed: &ParsedStatement,
    id: Option<QueryId>,
    properties: &SessionProperties,
) -> Result<Applied, EngineError> {
    let reset = properties.reset(OffsetReset::Earliest);
    catalog.set_format_defaults(properties.format_defaults());
    match &parsed.statement {
        Statement::CreateSource(create) => create_source(catalog, create, &parsed.text, properties),
        Statement::CreateAsSelect(create) => create_as_select(catalog, create, &parsed.text, id, reset),
        Statement::InsertSelect(insert) => insert_select(catalog, insert, &parsed.text, id, reset),
        Statement::DropSource(drop) => drop_source(catalog, drop),
        Statement::AlterSource(alter) => {
            catalog.add_columns(&alter.name, alter.kind, &alter.add)?;
            Ok(Applied::done(format!("Altered {} {}", word(alter.kind), alter.name.value)))
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
        Statement::CreateConnector(create) => create_connector(catalog, create, &parsed.text),
        Statement::DropConnector(drop) => {
            let connector = catalog.drop_connector(&drop.name)?;
            let message = format!("Dropped connector {}", drop.name.value);
            Ok(Applied { effect: Effect::EndConnector(connector), query: None, message })
        }
        Statement::Terminate(choice) => terminate(catalog, choice),
        _ => Err(EngineError::at(parsed.span.start, "this statement declares nothing")),
    }
}

fn word(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Stream => "stream",
        SourceKind::Table => "table",
    }
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
    if create.or_replace && catalog.source(&source.name).is_some() {
        refuse_if_read(catalog, &create.name)?;
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
    let message = format!("{verb} {} {}", word(create.kind), create.name.value);
    Ok(Applied { effect: Effect::Topic { topic, at }, query: None, message })
}

/// Running queries keep the columns they were planned with: what they read is not replaced under them.
fn refuse_if_read(catalog: &Catalog, name: &Name) -> Result<(), EngineError> {
    let users: Vec<String> =
        catalog.readers(&name.value).chain(catalog.writers(&name.value)).map(|query| query.id.to_string()).collect();
    if users.is_empty() {
        return Ok(());
    }
    let reason = format!("queries use it; terminate {} first", users.join(", "));
    Err(CatalogError::NotAllowed { at: name.span.start, action: "replace", name: name.value.clone(), reason }.into())
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
    if create.or_replace && catalog.source(&create.name.value).is_some() {
        let reason = "changing a running query is not there yet; drop it first".to_owned();
        return Err(CatalogError::NotAllowed { at, action: "replace", name: create.name.value.clone(), reason }.into());
    }
    let id = id.unwrap_or_else(|| catalog.new_query_id(kind, &create.name.value));
    let plan = plan_create(catalog, create, text, id.clone(), reset)?;
    catalog.add_source(plan.sink.clone(), false, at)?;
    let message = format!("Created {} {}, query {id}", word(create.kind), create.name.value);
    Ok(start_query(catalog, id, kind, text, plan, at, message))
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
    let mut message = format!("Dropped {} {}", word(drop.kind), drop.name.value);
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
    let queries: Vec<QueryId> = match choice {
        QueryChoice::All => catalog.queries().map(|query| query.id.clone()).collect(),
        QueryChoice::Id(name) => vec![catalog.expect_query(name)?.id.clone()],
    };
    for id in &queries {
        catalog.end_query(id);
    }
    let message = match queries.as_slice() {
        [one] => format!("Terminated query {one}"),
        all => format!("Terminated {} queries", all.len()),
    };
    Ok(Applied { effect: Effect::End { queries, topic: None }, query: None, message })
}

fn create_connector(catalog: &mut Catalog, create: &CreateConnector, text: &str) -> Result<Applied, EngineError> {
    let direction = match create.kind {
        ConnectorKind::Source => Direction::Source,
        ConnectorKind::Sink => Direction::Sink,
    };
    let config = connector_config(&create.properties, direction)?;
    let at = create.name.span.start;
    let name = create.name.value.clone();
    let connector = Connector {
        name: name.clone(),
        kind: create.kind,
        properties: create.properties.entries.clone(),
        statement: text.to_owned(),
    };
    catalog.add_connector(connector, at)?;
    let message = format!("Created {direction} connector {name}");
    let started = Started::Connector { name, config: Box::new(config) };
    Ok(Applied { effect: Effect::Start { started, at }, query: None, message })
}

/// Properties of a connector, a mistake in one at its place.
fn connector_config(properties: &Properties, direction: Direction) -> Result<ConnectorConfig, EngineError> {
    let value = |literal: &Literal| match literal {
        Literal::Text(text) | Literal::Number(text) => text.clone(),
        Literal::Boolean(value) => value.to_string(),
    };
    let pairs: Vec<(String, String)> =
        properties.entries.iter().map(|property| (property.name.value.clone(), value(&property.value))).collect();
    ConnectorConfig::parse(&pairs, direction).map_err(|error| {
        let find =
            |name: &str| properties.entries.iter().find(|property| property.name.value.eq_ignore_ascii_case(name));
        let at = match &error {
            ConfigError::Unknown { name, .. }
            | ConfigError::Conflict { name, .. }
            | ConfigError::Duplicate { name } => find(name).map(|property| property.name.span.start),
            ConfigError::BadValue { name, .. } => find(name).map(|property| property.value_span.start),
            _ => None,
        };
        EngineError::at(at.unwrap_or(properties.span.start), error)
    })
}

/// The topics that a connector reads, if it is a sink.
fn sink_topics(config: &ConnectorConfig) -> Vec<TopicName> {
    match &config.kind {
        ConnectorClass::FileSink(sink) => sink.topics.clone(),
        _ => Vec::new(),
    }
}

impl Inner {
    /// Carries out a statement that changes the catalog; gives a line that says what was done.
    pub(super) fn declare(
        &self,
        statement: &ParsedStatement,
        properties: &SessionProperties,
    ) -> Result<String, EngineError> {
        let mut commands = self.commands.lock();
        let old = self.catalog.read().clone();
        let mut new = old.clone();
        names::check(statement, &old)?;
        let Applied { effect, query, message } = change(&mut new, statement, None, properties)?;
        match &effect {
            Effect::Topic { topic, at } => ensure_topic(self.shared.as_ref(), topic, *at)?,
            Effect::Start { started: Started::Query { plan, .. }, at } => {
                ensure_topic(self.shared.as_ref(), &plan.topic, *at)?
            }
            Effect::End { topic: Some((topic, at)), .. } => names::check_unused(topic, &new, *at)?,
            Effect::Start { .. } | Effect::Nothing | Effect::End { .. } | Effect::EndConnector(_) => {}
        }
        schemas::register(&new, statement)?;
        let recorded = schemas::recorded(&new, statement, properties);
        let number = commands.record(&statement.text, query.as_deref(), &recorded, self.now())?;
        *self.catalog.write() = new;
        match effect {
            Effect::Nothing | Effect::Topic { .. } => {}
            Effect::Start { started, at } => {
                if let Err(error) = self.start(started, properties, OnFailure::Refuse) {
                    *self.catalog.write() = old;
                    commands.undo(number, self.now())?;
                    return Err(error.at_place(at));
                }
            }
            Effect::End { queries, topic } => {
                for id in &queries {
                    self.end_query(id)?;
                }
                if let Some((topic, at)) = topic {
                    match self.shared.delete_topic(&TopicName::new(&topic)?) {
                        Ok(()) | Err(LogError::UnknownTopic { .. }) => {}
                        Err(error) => return Err(error.into()),
                    }
                    if old.sources().any(|source| source.topic == topic && schemas::has_schemas(source)) {
                        schemas::forget(&old, &topic).map_err(|error| EngineError::at(at, error))?;
                    }
                }
            }
            Effect::EndConnector(connector) => self.end_connector(&connector)?,
        }
        Ok(message)
    }

    pub(super) fn start(
        &self,
        started: Started,
        properties: &SessionProperties,
        on_failure: OnFailure,
    ) -> Result<(), EngineError> {
        match started {
            Started::Query { id, plan } => self.start_query(&id, *plan, properties, on_failure),
            Started::Connector { name, config } => {
                match runtime::start(&name, *config, Arc::clone(&self.shared)) {
                    Ok(connector) => {
                        self.running.lock().connectors.insert(name, connector);
                    }
                    Err(error) => {
                        let error = EngineError::connector(&name, &error);
                        if on_failure == OnFailure::Refuse {
                            return Err(error);
                        }
                        tracing::error!(%error, "connector does not start");
                        self.running.lock().unstarted.insert(name, error.problem());
                    }
                }
                Ok(())
            }
        }
    }

    /// Ends a connector and forgets how far it has come.
    fn end_connector(&self, connector: &Connector) -> Result<(), EngineError> {
        let running = {
            let mut running = self.running.lock();
            running.unstarted.remove(&connector.name);
            running.connectors.remove(&connector.name)
        };
        if let Some(running) = running {
            running.stop();
        }
        let direction = match connector.kind {
            ConnectorKind::Source => Direction::Source,
            ConnectorKind::Sink => Direction::Sink,
        };
        let properties = Properties { entries: connector.properties.clone(), span: crate::syntax::Span::START };
        let topics = connector_config(&properties, direction).map(|config| sink_topics(&config)).unwrap_or_default();
        let problem = |error: millstream::connect::ConnectError| EngineError::Connector {
            name: connector.name.clone(),
            problem: error.to_string(),
        };
        runtime::forget(self.shared.as_ref(), &connector.name, &topics).map_err(problem)
    }
}

/// Makes a topic, or checks that the one there is as it should be.
pub(super) fn ensure_topic(log: &dyn Log, topic: &SinkTopic, at: Position) -> Result<(), EngineError> {
    let name = TopicName::new(&topic.name).map_err(|error| EngineError::at(at, error))?;
    names::check_reserved(name.as_str()).map_err(|problem| EngineError::at(at, problem))?;
    match log.describe_topic(&name) {
        Ok(found) => {
            let found = found.config.partitions;
            return match topic.partitions {
                Some(wanted) if wanted != found => {
                    let problem = format!(
                        "topic {name} exists with {found} partition(s), not {wanted}; leave PARTITIONS out or say {found}"
                    );
                    Err(EngineError::at(at, problem))
                }
                _ => Ok(()),
            };
        }
        Err(LogError::UnknownTopic { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let like = || -> Result<u32, EngineError> {
        match log.describe_topic(&TopicName::new(&topic.like)?) {
            Ok(like) => Ok(like.config.partitions),
            Err(LogError::UnknownTopic { .. }) => Ok(1),
            Err(error) => Err(error.into()),
        }
    };
    let cleanup = match topic.cleanup {
        CleanupPolicy::Delete => TopicCleanup::Delete,
        CleanupPolicy::Compact => TopicCleanup::Compact,
        CleanupPolicy::CompactDelete => TopicCleanup::CompactDelete,
    };
    let config = TopicConfig {
        partitions: topic.partitions.map_or_else(like, Ok)?,
        cleanup,
        retention: topic
            .retention_ms
            .and_then(|millis| u64::try_from(millis).ok())
            .map(std::time::Duration::from_millis),
        ..TopicConfig::default()
    };
    log.create_topic(&name, &config).map_err(|error| EngineError::at(at, error))
}
