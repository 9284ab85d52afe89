//! Connectors: what a statement declares, and what it does to those that run.

use std::sync::Arc;

use millstream::record::TopicName;
use millstream_connectors::{ConfigError, ConnectorConfig, Direction, rows::RowFormat};

use super::{
    Inner,
    declare::{Applied, Effect, Started},
    error::EngineError,
    running::OnFailure,
};
use crate::{
    catalog::{Catalog, Connector, Source},
    planner::{declared_rows, selected_rows},
    syntax::{
        Position,
        ast::{ConnectorKind, CreateConnector, Literal, Properties, SinkInput, SteerConnector, Steering},
    },
};

/// The property that names the topics of a sink.
const TOPICS: &str = "topics";

/// What a sink writes: the topic, and its rows.
struct Input {
    topic: TopicName,
    rows: Arc<dyn RowFormat>,
}

/// Declares a connector.
pub(super) fn create(catalog: &mut Catalog, create: &CreateConnector, text: &str) -> Result<Applied, EngineError> {
    let config = config_of(catalog, create)?;
    declare(catalog, create, text, Ok(Box::new(config)))
}

/// Declares a connector that was declared before. What has become wrong with it is its own trouble, and keeps nobody from the rest.
pub(super) fn recall(catalog: &mut Catalog, create: &CreateConnector, text: &str) -> Result<Applied, EngineError> {
    let config = config_of(catalog, create).map(Box::new).map_err(|error| error.problem());
    declare(catalog, create, text, config)
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
        topics: config.as_ref().map(|config| config.kind.topics().to_vec()).unwrap_or_default(),
        paused: false,
        statement: text.to_owned(),
    };
    catalog.add_connector(connector, at)?;
    let message = format!("Created {} connector {name}", direction(create.kind));
    Ok(Applied { effect: Effect::Start { started: Started::Connector { name, config }, at }, query: None, message })
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

/// What a statement says a connector is to do, checked.
///
/// # Errors
/// What is wrong with its properties or its query, at its place.
pub(super) fn config_of(catalog: &Catalog, create: &CreateConnector) -> Result<ConnectorConfig, EngineError> {
    let input = match &create.input {
        None => None,
        Some(input) => Some(input_of(catalog, input)?),
    };
    let mut config = parse(&create.properties, direction(create.kind), input.as_ref())?;
    if let Some(SinkInput::Select(query)) = &create.input
        && !config.kind.takes_rows()
    {
        let problem = format!(
            "a {} connector writes records as they are; make a stream of the query, and the connector FROM that",
            config.kind.class()
        );
        return Err(EngineError::at(query.span.start, problem));
    }
    if let Some(Input { topic, rows }) = input {
        config.rows = std::mem::take(&mut config.rows).with(topic, rows);
        return Ok(config);
    }
    for topic in config.kind.topics().to_vec() {
        let mut declared = catalog.sources().filter(|source| source.topic == topic.as_str());
        if let (Some(source), None) = (declared.next(), declared.next()) {
            let rows = declared_rows(source, create.properties.span.start)?;
            config.rows = std::mem::take(&mut config.rows).with(topic, rows);
        }
    }
    Ok(config)
}

fn input_of(catalog: &Catalog, input: &SinkInput) -> Result<Input, EngineError> {
    let named = |source: &Source, at: Position, rows| {
        let topic = TopicName::new(&source.topic).map_err(|error| EngineError::at(at, error))?;
        Ok(Input { topic, rows })
    };
    match input {
        SinkInput::From(name) => {
            let source = catalog.expect_source(name)?;
            let at = name.span.start;
            if let Some(column) = source.header_columns().next() {
                let problem = format!("column {} is taken from headers, which connectors do not write", column.name);
                return Err(EngineError::at(at, format!("{problem}; select the others: .. WITH (..) AS SELECT ..")));
            }
            named(source, at, declared_rows(source, at)?)
        }
        SinkInput::Select(query) => {
            let source = catalog.expect_source(&query.from.name)?;
            named(source, query.from.name.span.start, selected_rows(query, source, catalog)?)
        }
    }
}

/// Properties of a connector, a mistake in one at its place.
fn parse(properties: &Properties, direction: Direction, input: Option<&Input>) -> Result<ConnectorConfig, EngineError> {
    let value = |literal: &Literal| match literal {
        Literal::Text(text) | Literal::Number(text) => text.clone(),
        Literal::Boolean(value) => value.to_string(),
    };
    let mut pairs: Vec<(String, String)> =
        properties.entries.iter().map(|property| (property.name.value.clone(), value(&property.value))).collect();
    if let Some(input) = input {
        let is_topic = |name: &str| name.eq_ignore_ascii_case(TOPICS) || name.eq_ignore_ascii_case("topic");
        if let Some(property) = properties.entries.iter().find(|property| is_topic(&property.name.value)) {
            let problem = "a connector FROM a stream or table, or AS SELECT, reads its topic; leave this property out";
            return Err(EngineError::at(property.name.span.start, problem));
        }
        pairs.push((TOPICS.to_owned(), input.topic.to_string()));
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
            Started::Connector {
                name: name.to_owned(),
                config: config_of(&catalog, create).map(Box::new).map_err(|error| error.problem()),
            }
        };
        self.stop_connector(name);
        self.start(started, &Default::default(), OnFailure::Keep)
    }
}
