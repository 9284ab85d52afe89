//! Queues as declared: `WITH (..)` to the settings of a queue.

use std::time::Duration;

use millstream::{
    queue::{DedupBy, Order, QueueConfig, QueueError, StartAt},
    record::TopicName,
};

use super::{
    CatalogError,
    error::NameList,
    properties::{invalid_value, number, one_of, place_of, text, topic, wanted},
};
use crate::syntax::{
    ast::{CreateQueue, Property},
    suggest::nearest,
};

/// The settings that there are, sorted.
const SETTINGS: [&str; 10] = [
    "DEAD_LETTER",
    "DEDUP_BY",
    "DEDUP_WINDOW",
    "DELAY",
    "FIFO",
    "MAX_ATTEMPTS",
    "MAX_IN_FLIGHT",
    "MAX_TRACKED",
    "START",
    "VISIBILITY",
];
/// Units of a length, with how many milliseconds they are.
const UNITS: [(&str, &str, u64); 5] = [
    ("MS", "MILLISECOND", 1),
    ("S", "SECOND", 1_000),
    ("M", "MINUTE", 60_000),
    ("H", "HOUR", 3_600_000),
    ("D", "DAY", 86_400_000),
];

/// A queue as declared.
#[derive(Debug, Clone, PartialEq)]
pub struct DeclaredQueue {
    /// Its name.
    pub name: String,
    /// Its settings.
    pub config: QueueConfig,
    /// The text of the statement that made it.
    pub statement: String,
}

impl DeclaredQueue {
    /// Reads a declaration of a queue on a topic.
    ///
    /// # Errors
    /// [`CatalogError`] at the place of what is wrong.
    pub fn parse(create: &CreateQueue, topic_name: &str, statement: &str) -> Result<Self, CatalogError> {
        let incomplete = |error: millstream::record::InvalidName| CatalogError::Incomplete {
            at: create.on.span.start,
            reason: error.to_string(),
        };
        let topic = TopicName::new(topic_name).map_err(incomplete)?;
        let mut config = QueueConfig::new(&topic_part(&create.name.value), topic);
        create.properties.entries.iter().try_for_each(|property| set(&mut config, property))?;
        check_attempts(&config, create)?;
        config.check().map_err(|error| match &error {
            QueueError::InvalidSetting { setting, problem, .. } => CatalogError::InvalidProperty {
                at: place_of(&create.properties, setting),
                name: setting.to_ascii_uppercase(),
                reason: problem.clone(),
            },
            _ => CatalogError::Incomplete { at: create.name.span.start, reason: error.to_string() },
        })?;
        Ok(Self { name: create.name.value.clone(), config, statement: statement.to_owned() })
    }
}

/// Attempts are counted for dead letters only.
fn check_attempts(config: &QueueConfig, create: &CreateQueue) -> Result<(), CatalogError> {
    let is_attempts = |property: &&Property| property.name.value.eq_ignore_ascii_case("MAX_ATTEMPTS");
    match create.properties.entries.iter().find(is_attempts) {
        Some(property) if config.dead_letter.is_none() => Err(CatalogError::InvalidProperty {
            at: property.name.span.start,
            name: "MAX_ATTEMPTS".to_owned(),
            reason: "has no use without DEAD_LETTER, the topic where messages go then; give both".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// The name of a queue as part of the name of a topic: other letters than topics have are written as `.` and their number.
fn topic_part(name: &str) -> String {
    let mut part = String::new();
    for letter in name.chars() {
        match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => part.push(letter),
            other => part.push_str(&format!(".{:x}.", u32::from(other))),
        }
    }
    part
}

fn set(config: &mut QueueConfig, property: &Property) -> Result<(), CatalogError> {
    let name = property.name.value.to_ascii_uppercase();
    match name.as_str() {
        "VISIBILITY" => config.visibility = length(property)?,
        "DELAY" => config.delay = length(property)?,
        "DEDUP_WINDOW" => config.dedup_window = Some(length(property)?),
        "DEDUP_BY" => config.dedup_by = one_of(property, &[("id", DedupBy::Id), ("body", DedupBy::Body)])?,
        "FIFO" => config.order = one_of(property, &[("key", Order::Key), ("none", Order::None)])?,
        "START" => {
            config.start_at = one_of(property, &[("earliest", StartAt::Earliest), ("latest", StartAt::Latest)])?;
        }
        "MAX_ATTEMPTS" => config.max_attempts = number(property, 1, 1_000)?,
        "MAX_IN_FLIGHT" => config.max_in_flight = number(property, 1, 1_000_000)?,
        "MAX_TRACKED" => config.max_tracked = number(property, 1, 1_000_000)?,
        "DEAD_LETTER" => {
            let name = topic(property)?;
            config.dead_letter =
                Some(TopicName::new(&name).map_err(|error| invalid_value(property, error.to_string()))?);
        }
        _ => {
            return Err(CatalogError::UnknownProperty {
                at: property.name.span.start,
                name: property.name.value.clone(),
                suggestion: nearest(&name, SETTINGS.iter().copied()).map(str::to_owned),
                known: NameList(SETTINGS.iter().map(|name| (*name).to_owned()).collect()),
            });
        }
    }
    Ok(())
}

/// `'30s'` or `'30 SECONDS'`.
fn length(property: &Property) -> Result<Duration, CatalogError> {
    let value = text(property)?.trim().to_ascii_uppercase();
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (count, unit) = value.split_at(digits);
    let unit = unit.trim();
    let of_unit = |(short, long, _): &&(&str, &str, u64)| {
        unit == *short || unit == *long || unit.strip_suffix('S') == Some(*long)
    };
    let millis = UNITS.iter().find(of_unit).and_then(|(_, _, millis)| count.parse::<u64>().ok()?.checked_mul(*millis));
    millis.map(Duration::from_millis).ok_or_else(|| wanted(property, "a length such as '30s' or '30 SECONDS'"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::{ast::Statement, parse_statement};

    fn declare(with: &str) -> Result<DeclaredQueue, CatalogError> {
        let text = format!("CREATE QUEUE q ON mails WITH ({with})");
        let Statement::CreateQueue(create) = parse_statement(&text).unwrap().statement else { panic!("{text}") };
        DeclaredQueue::parse(&create, &create.written, &text)
    }

    #[test]
    fn settings_are_read() {
        let declared = declare(
            "visibility = '90s', max_attempts = 3, dead_letter = 'Dead', fifo = 'key', delay = '2 minutes', \
             dedup_window = '5m', dedup_by = 'body', max_in_flight = 10, max_tracked = 50, start = 'latest'",
        )
        .unwrap();
        let expected = QueueConfig {
            visibility: Duration::from_secs(90),
            max_attempts: 3,
            dead_letter: Some(TopicName::new("Dead").unwrap()),
            order: Order::Key,
            delay: Duration::from_secs(120),
            dedup_window: Some(Duration::from_secs(300)),
            dedup_by: DedupBy::Body,
            max_in_flight: 10,
            max_tracked: 50,
            start_at: StartAt::Latest,
            ..QueueConfig::new("Q", TopicName::new("mails").unwrap())
        };
        assert_eq!(declared.config, expected);
        assert!(declare("").is_ok());
    }

    #[test]
    fn mistakes_are_said_where_they_are() {
        let check = |with: &str, expected: &str| assert_eq!(declare(with).unwrap_err().to_string(), expected);
        check("visibilty = '30s'", "1:31: no property VISIBILTY here; did you mean VISIBILITY");
        check("visibility = '30'", "1:44: VISIBILITY: expected a length such as '30s' or '30 SECONDS', found '30'");
        check("visibility = '13h'", "1:44: VISIBILITY: is 46800 s; at most 43200 s");
        check("dead_letter = 'mails'", "1:45: DEAD_LETTER: is the topic of the queue; use another one");
        check(
            "max_attempts = 3",
            "1:31: MAX_ATTEMPTS: has no use without DEAD_LETTER, the topic where messages go then; give both",
        );
        check("fifo = 'keys'", "1:38: FIFO: there is no 'keys'; did you mean 'key'");
    }

    #[test]
    fn names_differ_in_topics_if_they_differ() {
        assert_eq!(["Q", "a b", "ä", "a.b"].map(topic_part), ["Q", "a.20.b", ".e4.", "a.2e.b"]);
    }
}
