//! Which names of topics and queries are free to choose.
//!
//! Topics that start with `_millstream` are the engine's own. Ids of queries are names of applications as well, so that they have few
//! kinds of letters, differ not in case alone, and leave the form of generated ids to these. Only new statements are checked: what was
//! recorded stays.

use super::{error::EngineError, queues};
use crate::{
    catalog::{Catalog, DeclaredQueue, PropertyScope, SourceProperties, properties::place_of},
    syntax::{
        Position,
        ast::{Literal, ParsedStatement, Property, Statement},
    },
};

const RESERVED: &str = "_millstream";
const DEAD_LETTERS: &str = "-dead-letter";
const GENERATED: [&str; 3] = ["CSAS_", "CTAS_", "INSERTQUERY_"];
const LONGEST_QUERY_ID: usize = 60;

/// Refuses the engine's own topics, but for dead letters, which are there to be read; gives what is wrong with the name.
pub(crate) fn check_reserved(topic: &str) -> Result<(), String> {
    if topic.starts_with(RESERVED) && !topic.ends_with(DEAD_LETTERS) {
        return Err(format!("topic {topic}: names that start with {RESERVED} are the engine's own; choose another"));
    }
    Ok(())
}

/// Checks the names that a statement chooses in its properties.
pub(super) fn check(statement: &ParsedStatement, catalog: &Catalog) -> Result<(), EngineError> {
    match &statement.statement {
        Statement::CreateConnector(create) => {
            for (topic, at) in create.properties.entries.iter().flat_map(connector_topics) {
                check_reserved(topic).map_err(|problem| EngineError::at(at, problem))?;
            }
        }
        Statement::CreateQueue(create) => {
            let queue = queues::declared(catalog, create, &statement.text)?.config;
            let dead_letter = queue.dead_letter.as_ref().map(|topic| (topic, "DEAD_LETTER"));
            for (topic, property) in [(&queue.topic, "")].into_iter().chain(dead_letter) {
                let at =
                    if property.is_empty() { create.on.span.start } else { place_of(&create.properties, property) };
                check_reserved(topic.as_str()).map_err(|problem| EngineError::at(at, problem))?;
            }
        }
        Statement::InsertSelect(insert) => {
            let properties = SourceProperties::parse(&insert.properties, PropertyScope::Insert)?;
            if let Some(id) = properties.query_id {
                let at =
                    insert.properties.entries.first().map_or(properties.span.start, |entry| entry.value_span.start);
                check_query_id(&id, catalog).map_err(|problem| EngineError::at(at, problem))?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Checks a QUERY_ID; gives what is wrong with it.
pub(super) fn check_query_id(id: &str, catalog: &Catalog) -> Result<(), String> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if id.is_empty() || id.len() > LONGEST_QUERY_ID || !id.chars().all(is_legal) {
        return Err(format!("QUERY_ID is 1 to {LONGEST_QUERY_ID} letters of A-Z, digits, _ and -, not '{id}'"));
    }
    if generated_number(&id.to_ascii_uppercase()).is_some() {
        return Err(format!("QUERY_ID '{id}' looks like a generated one; choose one that does not end in a number"));
    }
    match catalog.queries().find(|query| query.id.0.eq_ignore_ascii_case(id)) {
        Some(taken) => Err(format!("query {} exists already; choose another QUERY_ID", taken.id)),
        None => Ok(()),
    }
}

/// The number of a generated id.
pub(super) fn generated_number(id: &str) -> Option<u64> {
    GENERATED.iter().any(|start| id.starts_with(start)).then(|| id.rsplit('_').next()?.parse().ok()).flatten()
}

/// Refuses to delete a topic that a connector or a queue names.
pub(super) fn check_unused(topic: &str, catalog: &Catalog, at: Position) -> Result<(), EngineError> {
    let of_queue = |queue: &&DeclaredQueue| {
        queue.config.topic.as_str() == topic
            || queue.config.dead_letter.as_ref().is_some_and(|dead| dead.as_str() == topic)
    };
    if let Some(queue) = catalog.queues().find(of_queue) {
        let name = &queue.name;
        let problem =
            format!("cannot delete topic {topic}: queue {name} names it; drop that first, or leave DELETE TOPIC out");
        return Err(EngineError::at(at, problem));
    }
    let names = |property: &Property| connector_topics(property).any(|(name, _)| name == topic);
    let users: Vec<&str> = catalog
        .connectors()
        .filter(|connector| {
            connector.properties.iter().any(names) || connector.topics.iter().any(|read| read.as_str() == topic)
        })
        .map(|connector| connector.name.as_str())
        .collect();
    if users.is_empty() {
        return Ok(());
    }
    let problem = format!(
        "cannot delete topic {topic}: connector {} names it; drop that first, or leave DELETE TOPIC out",
        users.join(", ")
    );
    Err(EngineError::at(at, problem))
}

/// The topics that a property of a connector names, if it is one of those that do.
pub(super) fn connector_topics(property: &Property) -> impl Iterator<Item = (&str, Position)> {
    let name = property.name.value.to_ascii_lowercase();
    let names_topics = matches!(name.as_str(), "topic" | "topics") || name.starts_with("topic.");
    let text = match &property.value {
        Literal::Text(text) if names_topics => text.as_str(),
        _ => "",
    };
    let at = property.value_span.start;
    text.split(',').map(str::trim).filter(|topic| !topic.is_empty()).map(move |topic| (topic, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_generated_ids_have_numbers() {
        let check = |id: &str, want: Option<u64>| assert_eq!(generated_number(id), want, "{id}");
        check("CSAS_A_B_12", Some(12));
        check("INSERTQUERY_3", Some(3));
        check("mine_4", None);
        check("CTAS_T_18446744073709551615", Some(u64::MAX));
        check("CTAS_T_99999999999999999999", None);
    }
}
