//! What must be there after a case: streams and tables with their columns and formats, topics, and topics that must not be.

use fancy_regex::Regex;

use super::{answers::schema_text, case::Case, stage::Stage, value::Value};
use crate::{
    catalog::{Catalog, Source},
    syntax::{
        ast::{ColumnDef, ColumnRole, Statement},
        parse_statement,
    },
};

/// Checks all of it.
///
/// # Errors
/// What is not as it must be.
pub(super) fn check(case: &Case, engine: &dyn Stage) -> Result<(), String> {
    let topics = engine.log().topics().map_err(|error| error.to_string())?;
    for topic in &case.required_topics {
        if !topics.iter().any(|known| known.name.as_str() == topic) {
            return Err(format!("topic {topic} is not there"));
        }
    }
    if let Some(pattern) = &case.forbidden_topics {
        let regex = Regex::new(pattern).map_err(|error| format!("the pattern {pattern}: {error}"))?;
        if let Some(topic) = topics.iter().find(|topic| regex.is_match(topic.name.as_str()).unwrap_or(false)) {
            return Err(format!("topic {} is there, which {pattern} forbids", topic.name));
        }
    }
    let catalog = engine.catalog();
    case.required_sources.iter().try_for_each(|expected| check_source(expected, &catalog))
}

fn check_source(expected: &Value, catalog: &Catalog) -> Result<(), String> {
    let text =
        |name: &str| expected.get(name).map(|value| value.text().map_or_else(|| value.to_string(), str::to_owned));
    let name = text("name").unwrap_or_default();
    let source = catalog.source(&name).ok_or_else(|| format!("{name} is not declared"))?;
    let window = |source: &Source| source.window.map(|window| window.window_type.to_string());
    let wanted_window = expected.get("key_window").and_then(|window| window.get("type")).and_then(Value::text);
    let pairs = [
        ("kind", text("type").map(|kind| kind.to_ascii_uppercase()), Some(source.kind.to_string())),
        ("key format", text("key_format"), Some(source.key_format.kind.to_string())),
        ("value format", text("value_format"), Some(source.value_format.kind.to_string())),
        ("is_source", text("is_source"), Some(source.is_source.to_string())),
        ("window", wanted_window.map(str::to_ascii_uppercase), window(source)),
        ("schema", text("schema").map(|schema| columns(&schema)).transpose()?, Some(schema_text(source))),
    ];
    for (what, wanted, found) in pairs {
        if wanted.is_some() && wanted != found {
            let shown = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
            return Err(format!("{what} of {name}\n  expected {}\n  found    {}", shown(wanted), shown(found)));
        }
    }
    Ok(())
}

/// The columns of a schema text in the form of [`schema_text`].
///
/// # Errors
/// If the text is none.
pub(super) fn columns(schema: &str) -> Result<String, String> {
    if schema.trim().is_empty() {
        return Ok(String::new());
    }
    // A schema says KEY of the keys of tables, too.
    let schema = schema.replace(" PRIMARY KEY", " KEY");
    let statement = format!("CREATE STREAM s ({schema}) WITH (KAFKA_TOPIC = 's', FORMAT = 'JSON')");
    let parsed = parse_statement(&statement).map_err(|error| format!("schema {schema}: {error}"))?;
    let Statement::CreateSource(create) = parsed.statement else { return Err(format!("{schema} is no schema")) };
    let catalog = Catalog::new();
    let column = |column: &ColumnDef| {
        let data_type = catalog.resolve_type(&column.data_type).map_err(|error| error.to_string())?;
        let is_key = matches!(column.role, ColumnRole::Key | ColumnRole::PrimaryKey);
        Ok(format!("`{}` {data_type}{}", column.name.value, if is_key { " KEY" } else { "" }))
    };
    create.columns.iter().map(column).collect::<Result<Vec<_>, String>>().map(|columns| columns.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_have_one_form() {
        let check = |schema: &str, want: &str| assert_eq!(columns(schema).as_deref(), Ok(want), "{schema}");
        check("ID INT KEY, v VARCHAR", "`ID` INTEGER KEY, `V` STRING");
        check("`a` BIGINT, `h` BYTES HEADER('x')", "`a` BIGINT, `h` BYTES");
        check("ID INT PRIMARY KEY", "`ID` INTEGER KEY");
        check("", "");
    }
}
