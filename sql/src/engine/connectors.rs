//! Connectors: what a statement declares, and what it does to those that run.

use millstream::record::TopicName;
use millstream_connectors::{ConfigError, ConnectorConfig, Direction, SinkKind};

use super::{
    Inner,
    declare::{Applied, Effect, Started},
    error::EngineError,
    names::connector_topics,
    running::OnFailure,
};
use crate::{
    catalog::{Catalog, Connector, Source},
    planner::{KeyColumns, declared_rows, selected_rows},
    syntax::{
        Position,
        ast::{ConnectorKind, CreateConnector, Literal, Properties, SinkInput, SteerConnector, Steering},
    },
};

/// The property that names the topics of a sink.
const TOPICS: &str = "topics";

/// Declares a connector.
pub(super) fn create(catalog: &mut Catalog, create: &CreateConnector, text: &str) -> Result<Applied, EngineError> {
    let config = config_of(catalog, create)?;
    declare(catalog, create, text, Ok(Box::new(config)))
}

/// Declares a connector that was declared before. What has become wrong with it is its own trouble, and keeps nobody from the rest.
pub(super) fn recall(catalog: &mut Catalog, create: &CreateConnector, text: &str) -> Result<Applied, EngineError> {
    let config = recalled_config(catalog, create);
    declare(catalog, create, text, config)
}

/// What a recorded connector is to do, or what keeps it from running and what to do about it.
fn recalled_config(catalog: &Catalog, create: &CreateConnector) -> Result<Box<ConnectorConfig>, String> {
    let mend = |error: EngineError| format!("{}; then RESTART CONNECTOR {}", error.problem(), create.name.value);
    config_of(catalog, create).map(Box::new).map_err(mend)
}

fn declare(
    catalog: &mut Catalog,
    create: &CreateConnector,
    text: &str,
    config: Result<Box<ConnectorConfig>, String>,
) -> Result<Applied, EngineError> {
    let at = create.name.span.start;
    let name = create.name.value.clone();
    let connector = Connector {
        name: name.clone(),
        kind: create.kind,
        properties: create.properties.entries.clone(),
        topics: match &config {
            Ok(config) => config.kind.topics().to_vec(),
            Err(_) => topics_of(catalog, create),
        },
        paused: false,
        statement: text.to_owned(),
    };
    catalog.add_connector(connector, at)?;
    let message = format!("Created {} connector {name}", direction(create.kind));
    Ok(Applied { effect: Effect::Start { started: Started::Connector { name, config }, at }, query: None, message })
}

/// The topics that a sink reads which cannot run as it is: they are still its own, and its positions in them go when it is dropped.
fn topics_of(catalog: &Catalog, create: &CreateConnector) -> Vec<TopicName> {
    if create.kind == ConnectorKind::Source {
        return Vec::new();
    }
    if let Some(input) = &create.input {
        let topic = source_of(catalog, input).ok().and_then(|(source, _)| TopicName::new(&source.topic).ok());
        return topic.into_iter().collect();
    }
    let named = create.properties.entries.iter().flat_map(connector_topics);
    named.filter_map(|(name, _)| TopicName::new(name).ok()).collect()
}

/// Lets a connector wait, go on, or start again.
pub(super) fn steer(catalog: &mut Catalog, steer: &SteerConnector) -> Result<Applied, EngineError> {
    let name = catalog.expect_connector(&steer.name)?.name.clone();
    if steer.steering != Steering::Restart {
        catalog.set_connector_paused(&steer.name, steer.steering == Steering::Pause)?;
    }
    let done = match steer.steering {
        Steering::Pause => "Paused",
        Steering::Resume => "Resumed",
        Steering::Restart => "Restarted",
    };
    let message = format!("{done} connector {name}");
    Ok(Applied { effect: Effect::SteerConnector { name, steering: steer.steering }, query: None, message })
}

fn direction(kind: ConnectorKind) -> Direction {
    match kind {
        ConnectorKind::Source => Direction::Source,
        ConnectorKind::Sink => Direction::Sink,
    }
}

fn has_columns(config: &ConnectorConfig) -> bool {
    config.kind.as_sink().is_some_and(SinkKind::has_columns)
}

/// What a statement says a connector is to do, checked.
///
/// # Errors
/// What is wrong with its properties or its query, at its place.
pub(super) fn config_of(catalog: &Catalog, create: &CreateConnector) -> Result<ConnectorConfig, EngineError> {
    let source = create.input.as_ref().map(|input| source_of(catalog, input)).transpose()?;
    let topic = source.map(|(source, at)| TopicName::new(&source.topic).map_err(|error| EngineError::at(at, error)));
    let topic = topic.transpose()?;
    let mut config = parse(&create.properties, direction(create.kind), topic.as_ref())?;
    if let (Some(input), Some((source, at)), Some(topic)) = (&create.input, source, topic) {
        // Targets with columns have nothing but those to know a row of a table by; a record keeps its key beside them.
        let key = if has_columns(&config) { KeyColumns::Selected } else { KeyColumns::Beside };
        let rows = match input {
            SinkInput::From(_) => declared_rows(source, at)?,
            SinkInput::Select(query) => selected_rows(query, source, catalog, key)?,
        };
        config.rows = std::mem::take(&mut config.rows).with(topic, rows);
        return Ok(config);
    }
    // Whoever names topics gets their records as they are, where a target takes such.
    let topics = if has_columns(&config) { config.kind.topics().to_vec() } else { Vec::new() };
    for topic in topics {
        let mut declared = catalog.sources().filter(|source| source.topic == topic.as_str());
        if let (Some(source), None) = (declared.next(), declared.next()) {
            let rows = declared_rows(source, create.properties.span.start)?;
            config.rows = std::mem::take(&mut config.rows).with(topic, rows);
        }
    }
    Ok(config)
}

/// The stream or table that a connector reads, and where the statement names it.
fn source_of<'a>(catalog: &'a Catalog, input: &SinkInput) -> Result<(&'a Source, Position), EngineError> {
    let name = match input {
        SinkInput::From(name) => name,
        SinkInput::Select(query) => &query.from.name,
    };
    Ok((catalog.expect_source(name)?, name.span.start))
}

/// Properties of a connector, a mistake in one at its place.
fn parse(
    properties: &Properties,
    direction: Direction,
    topic: Option<&TopicName>,
) -> Result<ConnectorConfig, EngineError> {
    let value = |literal: &Literal| match literal {
        Literal::Text(text) | Literal::Number(text) => text.clone(),
        Literal::Boolean(value) => value.to_string(),
    };
    let mut pairs: Vec<(String, String)> =
        properties.entries.iter().map(|property| (property.name.value.clone(), value(&property.value))).collect();
    if let Some(topic) = topic {
        let is_topic = |name: &str| name.eq_ignore_ascii_case(TOPICS) || name.eq_ignore_ascii_case("topic");
        if let Some(property) = properties.entries.iter().find(|property| is_topic(&property.name.value)) {
            let problem = "a connector FROM a stream or table, or AS SELECT, reads its topic; leave this property out";
            return Err(EngineError::at(property.name.span.start, problem));
        }
        pairs.push((TOPICS.to_owned(), topic.to_string()));
    }
    ConnectorConfig::parse(&pairs, direction).map_err(|error| {
        let find =
            |name: &str| properties.entries.iter().find(|property| property.name.value.eq_ignore_ascii_case(name));
        let at = match &error {
            ConfigError::Unknown { name, .. }
            | ConfigError::Conflict { name, .. }
            | ConfigError::Duplicate { name } => find(name).map(|property| property.name.span.start),
            ConfigError::BadValue { name, .. } | ConfigError::Secret { name, .. } => {
                find(name).map(|property| property.value_span.start)
            }
            _ => None,
        };
        EngineError::at(at.unwrap_or(properties.span.start), error)
    })
}

impl Inner {
    /// Lets a connector of this process wait, go on, or start again.
    pub(super) fn steer_connector(&self, name: &str, steering: Steering) -> Result<(), EngineError> {
        if steering != Steering::Restart {
            if let Some(connector) = self.running.lock().connectors.get(name) {
                connector.set_paused(steering == Steering::Pause);
            }
            return Ok(());
        }
        let started = {
            let catalog = self.catalog.read();
            let Some(connector) = catalog.connectors().find(|connector| connector.name == name) else { return Ok(()) };
            let text = connector.statement.clone();
            let parsed = crate::syntax::parse_statement(&text)?;
            let crate::syntax::ast::Statement::CreateConnector(create) = &parsed.statement else { return Ok(()) };
            Started::Connector { name: name.to_owned(), config: recalled_config(&catalog, create) }
        };
        self.stop_connector(name);
        self.start(started, &Default::default(), OnFailure::Keep)
    }
}
