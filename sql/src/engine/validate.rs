//! Connectors of a script, checked without running anything.

use std::collections::BTreeMap;

use millstream_connectors::{Direction, SinkKind};

use super::{
    connectors::{self, config_of},
    declare,
    error::EngineError,
    properties::SessionProperties,
    variables::substitute,
};
use crate::{
    catalog::{Catalog, QueryId},
    syntax::{
        ast::{ConnectorKind, Literal, Statement},
        parse_script,
    },
};

/// A connector of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedConnector {
    /// Its name.
    pub name: String,
    /// Which way records go.
    pub direction: Direction,
    /// What it is, as in `'connector.class' = 'file'`; empty if it does not say.
    pub class: String,
    /// The topics that a sink reads.
    pub topics: Vec<String>,
    /// Where a sink writes to, without anything secret; empty of a source, and if something is wrong.
    pub target: String,
    /// What is wrong with it, with its place; `None`: nothing.
    pub problem: Option<String>,
}

/// Checks the connectors of a script: their properties, secrets that they name, and the streams and tables that sinks read, which the script
/// declares before. Nothing is connected to, nothing runs.
///
/// # Errors
/// [`EngineError`] if the script is no script of the language, or declares a stream, table or type that cannot be.
pub fn check_connectors(script: &str) -> Result<Vec<CheckedConnector>, EngineError> {
    check_connectors_after("", script)
}

/// The same of a script that is run after another one, whose streams and tables are there.
///
/// # Errors
/// As [`check_connectors`], of either script.
pub fn check_connectors_after(earlier: &str, script: &str) -> Result<Vec<CheckedConnector>, EngineError> {
    let mut catalog = Catalog::default();
    let mut checked = Vec::new();
    check(earlier, &mut catalog, &mut checked)?;
    check(script, &mut catalog, &mut checked)?;
    Ok(checked)
}

/// Applies a script to the catalog, without running anything; adds its connectors.
fn check(script: &str, catalog: &mut Catalog, checked: &mut Vec<CheckedConnector>) -> Result<(), EngineError> {
    let properties = SessionProperties::default();
    let script = substitute(script, &BTreeMap::new())?;
    for (number, parsed) in parse_script(&script)?.into_iter().enumerate() {
        match &parsed.statement {
            Statement::CreateConnector(create) => {
                let config = config_of(catalog, create);
                let class = create.properties.entries.iter().find_map(|property| match &property.value {
                    Literal::Text(text) if property.name.value.eq_ignore_ascii_case("connector.class") => Some(text),
                    _ => None,
                });
                let topics = config.as_ref().map(|config| config.kind.topics().to_vec()).unwrap_or_default();
                checked.push(CheckedConnector {
                    name: create.name.value.clone(),
                    direction: match create.kind {
                        ConnectorKind::Source => Direction::Source,
                        ConnectorKind::Sink => Direction::Sink,
                    },
                    class: class.cloned().unwrap_or_default(),
                    topics: topics.iter().map(ToString::to_string).collect(),
                    target: config
                        .as_ref()
                        .ok()
                        .and_then(|config| config.kind.as_sink())
                        .map(SinkKind::target)
                        .unwrap_or_default(),
                    problem: config.err().map(|error| error.to_string()),
                });
                connectors::recall(catalog, create, &parsed.text)?;
            }
            Statement::CreateSource(_)
            | Statement::CreateAsSelect(_)
            | Statement::CreateType(_)
            | Statement::DropSource(_)
            | Statement::DropType(_)
            | Statement::DropConnector(_)
            | Statement::AlterSource(_) => {
                let id = matches!(parsed.statement, Statement::CreateAsSelect(_))
                    .then(|| QueryId(format!("CHECKED-{number}")));
                declare::change(catalog, &parsed, id, &properties)?;
            }
            // What runs or shows something has no part in it.
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connectors_are_checked_one_by_one() {
        let script = "DEFINE n = '1'; CREATE TABLE t (id BIGINT PRIMARY KEY, v STRING) WITH (KAFKA_TOPIC = 'rows', VALUE_FORMAT = 'JSON', PARTITIONS = ${n});\n\
                      CREATE SINK CONNECTOR good FROM t WITH ('connector.class' = 'file', 'path' = 'out.ndjson');\n\
                      CREATE SINK CONNECTOR odd FROM t WITH ('connector.class' = 'file', 'pth' = 'out.ndjson');\n\
                      CREATE SINK CONNECTOR lost FROM u WITH ('connector.class' = 'file', 'path' = 'out.ndjson');";
        let checked = check_connectors(script).expect("a script");
        let [good, odd, lost] = checked.as_slice() else { panic!("three connectors: {checked:?}") };
        assert_eq!((good.topics.as_slice(), good.problem.as_deref()), (&["rows".to_owned()][..], None));
        assert_eq!((good.target.as_str(), odd.target.as_str()), ("file out.ndjson", ""));
        let problem = |checked: &CheckedConnector| checked.problem.clone().expect("it is wrong");
        assert!(problem(odd).contains("missing 'path'"), "{}", problem(odd));
        assert!(problem(lost).contains('U') && problem(lost).starts_with("4:"), "{}", problem(lost));
    }
}
