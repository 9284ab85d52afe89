//! Carrying statements out that change the catalog.
//!
//! A statement is first applied to a copy of the catalog ([`change`]), then its topics are made, then it is recorded, then the copy becomes
//! the catalog, then what it starts is started or what it ends is ended. If something does not start, the statement is undone in the
//! record and the old catalog comes back.

use std::{collections::BTreeMap, sync::Arc};

use millstream::{
    log::{CleanupPolicy as TopicCleanup, Log, LogError, TopicConfig},
    record::TopicName,
};
use millstream_connectors::{Direction, runtime};

use super::{
    Inner,
    commands::CommandLog,
    declare::{Applied, Effect, Started, change, connector_config, sink_topics},
    error::EngineError,
    names,
    properties::SessionProperties,
    running::OnFailure,
    schemas,
};
use crate::{
    catalog::{Catalog, CleanupPolicy, Connector, QueryId, QueryShape},
    planner::{PersistentPlan, SinkTopic},
    syntax::{
        Position,
        ast::{ConnectorKind, ParsedStatement, Properties},
    },
};

/// A statement to be recorded.
struct Record<'a> {
    text: &'a str,
    query: Option<&'a str>,
    /// The properties to record.
    recorded: &'a BTreeMap<String, String>,
    properties: &'a SessionProperties,
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
            Effect::Replace { plan, at, .. } => ensure_topic(self.shared.as_ref(), &plan.topic, *at)?,
            Effect::End { topic: Some((topic, at)), .. } => names::check_unused(topic, &new, *at)?,
            Effect::Start { .. }
            | Effect::Nothing
            | Effect::Pause { .. }
            | Effect::End { .. }
            | Effect::EndConnector(_) => {}
        }
        schemas::register(&new, statement)?;
        let recorded = schemas::recorded(&new, statement, properties);
        let record = Record { text: &statement.text, query: query.as_deref(), recorded: &recorded, properties };
        let effect = match effect {
            Effect::Replace { id, plan, old: shape, at } => {
                self.replace(&mut commands, &record, (old, new), (&id, &shape, *plan))
                    .map_err(|error| error.at_place(at))?;
                return Ok(message);
            }
            other => other,
        };
        let number = commands.record(record.text, record.query, record.recorded, self.now())?;
        *self.catalog.write() = new;
        match effect {
            Effect::Nothing | Effect::Topic { .. } | Effect::Replace { .. } => {}
            Effect::Pause { queries, paused } => queries.iter().for_each(|id| self.pause_query(id, paused)),
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

    /// Puts a query in the place of another one; that runs again if it cannot be done.
    fn replace(
        &self,
        commands: &mut CommandLog,
        record: &Record<'_>,
        (old, new): (Catalog, Catalog),
        (id, shape, plan): (&QueryId, &QueryShape, PersistentPlan),
    ) -> Result<(), EngineError> {
        let stopped = self.take_over(id, shape, &plan)?;
        let number = match commands.record(record.text, record.query, record.recorded, self.now()) {
            Ok(number) => number,
            Err(error) => {
                self.bring_back(id, stopped);
                return Err(error);
            }
        };
        *self.catalog.write() = new;
        if let Err(error) = self.start_in_place(id, plan, record.properties) {
            *self.catalog.write() = old;
            self.bring_back(id, stopped);
            commands.undo(number, self.now())?;
            return Err(error);
        }
        Ok(())
    }

    pub(super) fn start(
        &self,
        started: Started,
        properties: &SessionProperties,
        on_failure: OnFailure,
    ) -> Result<(), EngineError> {
        match started {
            Started::Query { id, plan } => {
                let shape = plan.shape.clone();
                self.start_query(&id, *plan, properties, on_failure)?;
                self.forget_older(&id, &shape);
                Ok(())
            }
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
