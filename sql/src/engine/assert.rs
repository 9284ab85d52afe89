//! ASSERT TOPIC and ASSERT SCHEMA: whether something is there, in ksqlDB's words.

use std::time::Duration;

use millstream::{
    format::registry::{RegistryError, SchemaId, Version},
    log::{Log, LogError},
    record::TopicName,
};

use super::error::EngineError;
use crate::{
    catalog::RegistryHandle,
    syntax::{
        Position,
        ast::{Assert, Asserted, Literal, Properties},
    },
};

/// How long it may take if nothing is said.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to wait before it is looked again.
const PAUSE: Duration = Duration::from_millis(10);

/// Waits until it holds; gives a line that says what does.
///
/// # Errors
/// What is otherwise when the time is over.
pub(super) fn wait_for(
    assert: &Assert,
    log: &dyn Log,
    registry: &RegistryHandle,
    now: &dyn Fn() -> Duration,
) -> Result<String, EngineError> {
    let millis = assert.timeout.as_ref().map(|timeout| u64::try_from(timeout.millis()).unwrap_or_default());
    let timeout = millis.map_or(DEFAULT_TIMEOUT, Duration::from_millis);
    let start = now();
    loop {
        match check(assert, log, registry) {
            Err(_) if now().saturating_sub(start) < timeout => std::thread::sleep(PAUSE),
            checked => return checked,
        }
    }
}

/// Whether it holds now; gives a line that says what does.
///
/// # Errors
/// What is otherwise.
pub(super) fn check(assert: &Assert, log: &dyn Log, registry: &RegistryHandle) -> Result<String, EngineError> {
    let (what, problem) = match &assert.what {
        Asserted::Topic { name, written, properties } => {
            let wanted = settings(properties)?;
            let names = if name.quoted { vec![written] } else { vec![written, &name.value] };
            (format!("Topic {written}"), topic(&names, &wanted, log)?)
        }
        Asserted::Schema { subject, id } => {
            let subject = subject.as_ref().map(|subject| subject.node.as_str());
            let id = id.as_ref().map(|id| id.node);
            let what = match (subject, id) {
                (Some(subject), Some(id)) => format!("Schema with subject {subject} and id {id}"),
                (Some(subject), None) => format!("Schema with subject {subject}"),
                (None, Some(id)) => format!("Schema with id {id}"),
                (None, None) => "Schema".to_owned(),
            };
            let found = schema(subject, id, registry).map_err(|error| EngineError::at(assert.span.start, error))?;
            (what, found)
        }
    };
    let refuse = |problem: String| EngineError::at(assert.span.start, problem);
    match (assert.is_absent, problem) {
        (false, Found::Fits) => Ok(format!("{what} exists")),
        (false, Found::Nothing) => Err(refuse(format!("{what} does not exist"))),
        (false, Found::Differs(problem)) => Err(refuse(problem)),
        (true, Found::Nothing) => Ok(format!("{what} does not exist")),
        // Something of the name with other settings is not what must not be there.
        (true, Found::Differs(_)) => Ok(format!("{what} does not exist with these settings")),
        (true, Found::Fits) => Err(refuse(format!("{what} exists"))),
    }
}

/// What there is.
enum Found {
    Fits,
    Nothing,
    /// It is there, but otherwise.
    Differs(String),
}

/// A setting of a topic: its name and its value.
struct Setting {
    name: String,
    value: u64,
}

fn settings(properties: &Properties) -> Result<Vec<Setting>, EngineError> {
    let setting = |property: &crate::syntax::ast::Property| {
        let name = property.name.value.to_ascii_lowercase();
        let at: Position = property.name.span.start;
        if !["partitions", "replicas"].contains(&name.as_str()) {
            return Err(EngineError::at(at, format!("no setting {name} of topics; there is partitions, replicas")));
        }
        match &property.value {
            Literal::Number(digits) | Literal::Text(digits) => digits.parse().ok(),
            Literal::Boolean(_) => None,
        }
        .map(|value| Setting { name, value })
        .ok_or_else(|| EngineError::at(property.value_span.start, "a whole number is wanted here"))
    };
    properties.entries.iter().map(setting).collect()
}

fn topic(names: &[&String], wanted: &[Setting], log: &dyn Log) -> Result<Found, EngineError> {
    for name in names {
        let Ok(topic) = TopicName::new(name) else { continue };
        let partitions = match log.describe_topic(&topic) {
            Ok(found) => u64::from(found.config.partitions),
            Err(LogError::UnknownTopic { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        for Setting { name, value } in wanted {
            // The log keeps one copy.
            let found = if name == "partitions" { partitions } else { 1 };
            if found != *value {
                return Ok(Found::Differs(format!(
                    "Mismatched configuration for topic {topic}: For config {name}, expected {value} got {found}"
                )));
            }
        }
        return Ok(Found::Fits);
    }
    Ok(Found::Nothing)
}

fn schema(subject: Option<&str>, id: Option<u64>, registry: &RegistryHandle) -> Result<Found, RegistryError> {
    let id = id.map(|id| u32::try_from(id).map(SchemaId));
    let found = match (subject, id) {
        (_, Some(Err(_))) => false,
        (None, None) => false,
        (None, Some(Ok(id))) => match registry.0.schema(id) {
            Ok(_) => true,
            Err(RegistryError::UnknownId { .. }) => false,
            Err(error) => return Err(error),
        },
        (Some(subject), id) => match registry.0.versions(subject) {
            Ok(versions) => match id {
                None => !versions.is_empty(),
                Some(id) => {
                    let mut has = false;
                    for version in versions {
                        has |= registry.0.version(subject, Version::Number(version))?.id == id.unwrap_or(SchemaId(0));
                    }
                    has
                }
            },
            Err(RegistryError::UnknownSubject { .. }) => false,
            Err(error) => return Err(error),
        },
    };
    Ok(if found { Found::Fits } else { Found::Nothing })
}
