//! Schemas of the records that statements declare: registered when a statement takes effect, and kept for its replay.
//!
//! `CREATE .. (columns)` registers its schemas unless its topic has some; `CREATE .. AS SELECT` always does, so that what the registry
//! refuses fails the statement and not the query later. Columns that came from the registry are recorded with the statement: a restart must not
//! find others, nor need the registry.

use std::collections::BTreeMap;

use arrow::datatypes::FieldRef;
use millstream::format::{
    Format, Side,
    registry::{RegistryError, Version},
};

use super::{error::EngineError, properties::SessionProperties};
use crate::{
    catalog::{Catalog, CatalogError, Column, FormatKind, Source, declare::column},
    planner::input,
    syntax::{
        Position,
        ast::{CreateSource, ParsedStatement, Statement},
        parse_statement,
    },
};

/// The recorded columns of a declaration that had left some out.
const COLUMNS: &str = "_columns";

/// Registers the schemas that a statement, which `catalog` holds already, gives to its topic.
///
/// # Errors
/// What the registry refuses, at the name that is declared.
pub(super) fn register(catalog: &Catalog, statement: &ParsedStatement) -> Result<(), EngineError> {
    let (name, always) = match &statement.statement {
        Statement::CreateSource(create) => (&create.name, false),
        Statement::CreateAsSelect(create) => (&create.name, true),
        _ => return Ok(()),
    };
    let Some(source) = catalog.source(&name.value) else { return Ok(()) };
    let formats = input::formats(source);
    let key: Vec<FieldRef> = source.key_columns().map(field).collect();
    let value: Vec<FieldRef> = source.value_columns().map(field).collect();
    for (side, format, fields) in [(Side::Key, &formats.key, key), (Side::Value, &formats.value, value)] {
        if fields.is_empty() || !(always || is_new(format).map_err(|error| EngineError::at(name.span.start, error))?) {
            continue;
        }
        format
            .register(side, formats.wrapping, &fields)
            .map_err(|error| EngineError::at(name.span.start, format!("topic {}: {error}", source.topic)))?;
    }
    Ok(())
}

fn field(column: &Column) -> FieldRef {
    FieldRef::new(arrow::datatypes::Field::new(&column.name, column.data_type.to_arrow(), true))
}

/// Whether a format has a registry in which nothing is known of its subject.
fn is_new(format: &Format) -> Result<bool, RegistryError> {
    let Some((settings, _)) = format.registered() else { return Ok(false) };
    match settings.registry.version(&settings.subject, Version::Latest) {
        Ok(_) => Ok(false),
        Err(RegistryError::UnknownSubject { .. } | RegistryError::UnknownVersion { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Forgets the schemas of a topic that is deleted.
///
/// # Errors
/// If the registry does not answer.
pub(super) fn forget(catalog: &Catalog, topic: &str) -> Result<(), RegistryError> {
    for side in ["key", "value"] {
        match catalog.registry().0.delete_subject(&format!("{topic}-{side}")) {
            Ok(_) | Err(RegistryError::UnknownSubject { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether the records of a source have schemas in a registry.
pub(super) fn has_schemas(source: &Source) -> bool {
    let has = |kind: FormatKind| kind.has_registry();
    has(source.key_format.kind) || has(source.value_format.kind)
}

/// The properties to record with a statement: those of the session, and the columns that came from the registry.
pub(super) fn recorded(
    catalog: &Catalog,
    statement: &ParsedStatement,
    properties: &SessionProperties,
) -> BTreeMap<String, String> {
    let mut recorded = properties.set.clone();
    recorded.remove(COLUMNS);
    if let Statement::CreateSource(create) = &statement.statement
        && let Some(source) = catalog.source(&create.name.value)
        && source.columns.len() > create.columns.len()
    {
        let columns: Vec<String> = source.columns.iter().map(Column::to_string).collect();
        recorded.insert(COLUMNS.to_owned(), columns.join(", "));
    }
    recorded
}

/// The columns that were recorded with a declaration.
///
/// # Errors
/// If they cannot be read.
pub(super) fn recorded_columns(
    catalog: &Catalog,
    create: &CreateSource,
    properties: &SessionProperties,
) -> Result<Option<Vec<Column>>, EngineError> {
    let Some(written) = properties.set.get(COLUMNS) else { return Ok(None) };
    let kind = create.kind;
    let text = format!("CREATE {kind} recorded ({written}) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON')");
    let parsed = parse_statement(&text)?;
    let Statement::CreateSource(parsed) = &parsed.statement else {
        return Err(EngineError::at(Position::START, "the recorded columns are no columns"));
    };
    let columns: Result<Vec<Column>, CatalogError> =
        parsed.columns.iter().map(|written| column(catalog, written)).collect();
    Ok(Some(columns?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use arrow::util::display::array_value_to_string;
    use millstream::format::registry::{Schema, SchemaType};

    use crate::{
        engine::{Engine, EngineConfig},
        response::Response,
    };

    fn run(engine: &Engine, script: &str) -> Result<(), String> {
        let ran = engine.session().run_script(script, &mut |_, _| {});
        ran.map(drop).map_err(|error| error.to_string())
    }

    fn check(engine: &Engine, query: &str, want: &[&str]) {
        engine.wait_until_idle(Some(Duration::from_secs(60)), &mut |_| {}).expect("comes to rest");
        let Ok(Response::Rows(rows)) = engine.session().execute(query) else { panic!("{query}: no rows") };
        let mut lines = Vec::new();
        for batch in &rows.batches {
            for row in 0..batch.num_rows() {
                let cell = |column| array_value_to_string(column, row).expect("it is shown");
                lines.push(batch.columns().iter().map(|column| cell(column)).collect::<Vec<_>>().join("|"));
            }
        }
        assert_eq!(lines, want, "{query}");
    }

    #[test]
    fn schemas_live_as_long_as_their_topics() {
        let directory = tempfile::tempdir().expect("a directory");
        let open = || {
            let mut config = EngineConfig::new(directory.path());
            config.memory_bytes = 32 << 20;
            config.threads = 1;
            Engine::open(config).expect("it opens")
        };
        let engine = open();
        run(
            &engine,
            "CREATE STREAM a (k STRING KEY, v INT) WITH (KAFKA_TOPIC = 'a', FORMAT = 'AVRO');
             CREATE STREAM p WITH (VALUE_FORMAT = 'PROTOBUF', VALUE_PROTOBUF_NULLABLE_REPRESENTATION = 'OPTIONAL') AS SELECT * FROM a;
             CREATE STREAM j WITH (FORMAT = 'JSON_SR') AS SELECT * FROM p;
             CREATE STREAM same WITH (KAFKA_TOPIC = 'a', FORMAT = 'AVRO');
             INSERT INTO a VALUES ('x', 1), ('y', NULL);",
        )
        .expect("it is declared");
        check(&engine, "SELECT * FROM j;", &["x|1", "y|"]);
        check(&engine, "SELECT * FROM same;", &["x|1", "y|"]);
        let registry = engine.schema_registry();
        assert_eq!(
            registry.subjects().expect("in memory"),
            ["J-key", "J-value", "P-key", "P-value", "a-key", "a-value"]
        );
        // What is registered later does not change what was inferred before.
        let record = r#"{"type": "record", "name": "KsqlDataSourceSchema", "fields": [{"name": "W", "type": "int", "default": 1}]}"#;
        registry.register("a-value", &Schema::new(SchemaType::Avro, record)).expect("it reads the old one");
        engine.shutdown().expect("it stops");

        let engine = open();
        run(&engine, "INSERT INTO same VALUES ('z', 3);").expect("it is written");
        check(&engine, "SELECT * FROM j;", &["x|1", "y|", "z|3"]);
        let refused = "CREATE STREAM other WITH (KAFKA_TOPIC = 'P', VALUE_FORMAT = 'PROTOBUF') AS SELECT k, CAST(v AS STRING) AS v FROM a;";
        let error = run(&engine, refused).expect_err("another type under the number");
        assert!(error.contains("schema is not compatible with version 1 of subject P-value (BACKWARD)"), "{error}");
        run(&engine, "DROP STREAM j DELETE TOPIC;").expect("nobody reads it");
        let left = engine.schema_registry().subjects().expect("in memory");
        assert_eq!(left, ["P-key", "P-value", "a-key", "a-value"]);
        engine.shutdown().expect("it stops");
    }
}
