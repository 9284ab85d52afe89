//! Carrying statements out that change the catalog.
//!
//! A statement is first applied to a copy of the catalog ([`change`]), then its topics are made, then it is recorded, then the copy becomes
//! the catalog, then what it starts is started or what it ends is ended. If something does not start, the statement is undone in the
//! record and the old catalog comes back.
//!
//! In a service a statement is planned on what all processes have declared until then; one that another process comes before is planned
//! again. What does not start is taken back by a statement of its own, as others may have seen the first one. What is ended is removed from the log
//! after the other processes have had the time to stop using it.

use std::collections::BTreeMap;

use millstream::{
    log::{CleanupPolicy as TopicCleanup, Log, LogError, TopicConfig},
    record::TopicName,
};
use millstream_connectors::runtime;

use super::{
    Inner, claim,
    commands::{CommandLog, Recorded},
    declare::{Applied, Effect, Started, change},
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
        ast::{ParsedStatement, Statement},
        parse_statement,
    },
};

/// How often a statement is planned again because another process came first.
const ATTEMPTS: u32 = 100;

/// What became of a statement.
pub(super) enum Outcome {
    /// It was carried out; a line says what was done.
    Done(String),
    /// Another process has declared something first.
    Outrun,
}

/// A statement to be recorded.
struct Record<'a> {
    text: &'a str,
    query: Option<&'a str>,
    /// The properties to record.
    recorded: &'a BTreeMap<String, String>,
    properties: &'a SessionProperties,
}

impl Inner {
    /// Carries out a statement that changes the catalog.
    pub(super) fn declare(
        &self,
        statement: &ParsedStatement,
        properties: &SessionProperties,
    ) -> Result<Outcome, EngineError> {
        let mut commands = self.commands.lock();
        self.catch_up_with(&mut commands)?;
        let old = self.catalog.read().clone();
        let mut new = old.clone();
        names::check(statement, &old)?;
        self.check_queue_owner(statement)?;
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
            | Effect::EndConnector(_)
            | Effect::SteerConnector { .. }
            | Effect::EndQueue(_) => {}
        }
        schemas::register(&new, statement)?;
        let recorded = schemas::recorded(&new, statement, properties);
        let record = Record { text: &statement.text, query: query.as_deref(), recorded: &recorded, properties };
        let effect = match effect {
            Effect::Replace { id, plan, old: shape, at } => {
                let replaced = self.replace(&mut commands, &record, (old, new), (&id, &shape, *plan));
                return Ok(match replaced.map_err(|error| error.at_place(at))? {
                    Recorded::As(_) => Outcome::Done(message),
                    Recorded::Outrun => Outcome::Outrun,
                });
            }
            other => other,
        };
        let recorded = commands.record(record.text, record.query, record.recorded, self.now())?;
        let Recorded::As(number) = recorded else { return Ok(Outcome::Outrun) };
        *self.catalog.write() = new;
        match effect {
            Effect::Nothing | Effect::Topic { .. } | Effect::Replace { .. } => {}
            Effect::Pause { queries, paused } => queries.iter().for_each(|id| self.pause_query(id, paused)),
            Effect::Start { started, at } => {
                if let Err(error) = self.start(started, properties, OnFailure::Refuse) {
                    if commands.is_shared() {
                        drop(commands);
                        self.take_back(statement, query.as_deref());
                    } else {
                        *self.catalog.write() = old;
                        commands.undo(number, self.now())?;
                    }
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
            Effect::SteerConnector { name, steering } => self.steer_connector(&name, steering)?,
            Effect::EndQueue(queue) => self.end_queue(&queue)?,
        }
        Ok(Outcome::Done(message))
    }

    /// Ends for the whole service what a statement has declared that could not be started here. If others have built on it already, it stays,
    /// as failed.
    fn take_back(&self, statement: &ParsedStatement, query: Option<&str>) {
        let text = match (&statement.statement, query) {
            (Statement::CreateAsSelect(create), _) => format!("DROP {} `{}`;", create.kind, create.name.value),
            (Statement::CreateConnector(create), _) => format!("DROP CONNECTOR `{}`;", create.name.value),
            (Statement::CreateQueue(create), _) => format!("DROP QUEUE `{}`;", create.name.value),
            (_, Some(query)) => format!("TERMINATE `{query}`;"),
            _ => return,
        };
        let taken_back = parse_statement(&text)
            .map_err(EngineError::from)
            .and_then(|parsed| self.declare_until_done(&parsed, &SessionProperties::default(), &|_| None));
        if let Err(error) = taken_back {
            tracing::error!(%error, "a statement that could not be carried out stays declared: {}", statement.text);
        }
    }

    /// Carries out a statement, again and again if others come first; `existing` says if there is nothing to do.
    pub(super) fn declare_until_done(
        &self,
        parsed: &ParsedStatement,
        properties: &SessionProperties,
        existing: &dyn Fn(&Catalog) -> Option<Result<String, EngineError>>,
    ) -> Result<String, EngineError> {
        for _ in 0..ATTEMPTS {
            self.catch_up()?;
            let catalog = self.catalog.read().clone();
            if let Some(nothing_to_do) = existing(&catalog) {
                return nothing_to_do;
            }
            if let Outcome::Done(message) = self.declare(parsed, properties)? {
                return Ok(message);
            }
        }
        Err(EngineError::Outrun { attempts: ATTEMPTS })
    }

    /// Puts a query in the place of another one; that runs again if it cannot be done.
    fn replace(
        &self,
        commands: &mut CommandLog,
        record: &Record<'_>,
        (old, new): (Catalog, Catalog),
        (id, shape, plan): (&QueryId, &QueryShape, PersistentPlan),
    ) -> Result<Recorded, EngineError> {
        let stopped = self.take_over(id, shape, &plan)?;
        let recorded = commands.record(record.text, record.query, record.recorded, self.now());
        let Ok(Recorded::As(number)) = recorded else {
            self.bring_back(id, stopped);
            return recorded;
        };
        *self.catalog.write() = new;
        let on_failure = if commands.is_shared() { OnFailure::Keep } else { OnFailure::Refuse };
        if let Err(error) = self.start_in_place(id, plan, record.properties, on_failure) {
            *self.catalog.write() = old;
            self.bring_back(id, stopped);
            commands.undo(number, self.now())?;
            return Err(error);
        }
        Ok(Recorded::As(number))
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
            Started::Queue(queue) => match self.open_queue(&queue.name, &queue.config) {
                Err(error) if on_failure == OnFailure::Refuse => Err(error),
                Err(error) => {
                    tracing::error!(%error, "queue cannot be opened");
                    Ok(())
                }
                Ok(_) => Ok(()),
            },
            Started::Connector { name, config } => {
                let problem = |problem| EngineError::Connector { name: name.clone(), problem };
                let start = |config| claim::start(&name, config, &self.shared, self.member.as_ref());
                match config.map_err(problem).and_then(|config| start(*config)) {
                    Ok(connector) => {
                        let catalog = self.catalog.read();
                        let declared = catalog.connectors().find(|declared| declared.name == name);
                        connector.set_paused(declared.is_some_and(|declared| declared.paused));
                        drop(catalog);
                        self.running.lock().connectors.insert(name, connector);
                    }
                    Err(error) => {
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
        self.stop_connector(&connector.name);
        if let Some(member) = &self.member {
            self.end_group(&member.connector_group(&connector.name));
        }
        let problem = |error: millstream::connect::ConnectError| EngineError::Connector {
            name: connector.name.clone(),
            problem: error.to_string(),
        };
        let name =
            self.member.as_ref().map_or_else(|| connector.name.clone(), |member| member.connector(&connector.name));
        runtime::forget(self.shared.as_ref(), &name, &connector.topics).map_err(problem)
    }

    /// Stops a connector in this process.
    pub(super) fn stop_connector(&self, name: &str) {
        let running = {
            let mut running = self.running.lock();
            running.unstarted.remove(name);
            running.connectors.remove(name)
        };
        if let Some(running) = running {
            running.stop();
        }
    }
}

/// Makes a topic, or checks that the one there is as it should be.
pub(super) fn ensure_topic(log: &dyn Log, topic: &SinkTopic, at: Position) -> Result<(), EngineError> {
    let name = TopicName::new(&topic.name).map_err(|error| EngineError::at(at, error))?;
    names::check_reserved(name.as_str()).map_err(|problem| EngineError::at(at, problem))?;
    match log.describe_topic(&name) {
        Ok(found) => return check_partitions(topic, found.config.partitions, at),
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
    match log.create_topic(&name, &config) {
        // Somebody was faster, such as a source that writes to it.
        Err(LogError::TopicExists { .. }) => check_partitions(topic, log.describe_topic(&name)?.config.partitions, at),
        made => made.map_err(|error| EngineError::at(at, error)),
    }
}

/// Refuses a topic that is there with another number of partitions than wanted.
fn check_partitions(topic: &SinkTopic, found: u32, at: Position) -> Result<(), EngineError> {
    match topic.partitions {
        Some(wanted) if wanted != found => {
            let name = &topic.name;
            let problem = format!(
                "topic {name} exists with {found} partition(s), not {wanted}; leave PARTITIONS out or say {found}"
            );
            Err(EngineError::at(at, problem))
        }
        _ => Ok(()),
    }
}
