//! Persistent queries: the result of a query as a topic, an entry of the catalog and, for a table, a view.
//!
//! Rules of ksqlDB: every key column is in the projection, once; there is a value column; formats are those of the left-most source
//! unless WITH says otherwise.

use std::sync::Arc;

use arrow::datatypes::FieldRef;
use millstream::{
    StreamsBuilder,
    dsl::{ColumnStream, Materialized, Produced},
    expression::{Expr, col},
    format::{Format as CoreFormat, Side},
    operator::{Column as Projected, SetRowTime},
    record::TimeSpan,
    schema::{StreamSchema, WINDOWEND, WINDOWSTART},
    topology::{Formats, OffsetReset, TimestampExtractor, Topology},
};

use super::{
    bind::is_column,
    error::PlanError,
    input, into_sink,
    logical_plan::LogicalPlan,
    query::{Flow, Item, Purpose, QueryContext, Selected, legal},
    rename_key::RenameKey,
    result_columns,
    subquery::{Nesting, key_expressions},
    upgrade::{self, StoreVersions},
    view_plan::ViewPlan,
};
use crate::{
    catalog::{
        self, Catalog, CleanupPolicy, Column, Format, FormatKind, FormatPlaces, PropertyScope, QueryId, QueryShape,
        Source, SourceProperties, SqlType, TimestampColumn,
    },
    syntax::{
        Position,
        ast::{ColumnRole, CreateAsSelect, InsertSelect, SourceKind},
    },
};

/// The topic that a persistent query writes, should it have to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkTopic {
    /// Its name.
    pub name: String,
    /// `PARTITIONS`; none means as many as the left-most source has.
    pub partitions: Option<u32>,
    /// The topic whose partitions count if none are given.
    pub like: String,
    /// `RETENTION_MS`; none and -1 keep records for ever.
    pub retention_ms: Option<i64>,
    /// What becomes of old records.
    pub cleanup: CleanupPolicy,
}

/// A persistent query, ready to run.
pub struct PersistentPlan {
    /// What runs.
    pub topology: Topology,
    /// The stream or table that is made; of an INSERT the one that is written, as it is.
    pub sink: Source,
    /// The topic it writes.
    pub topic: SinkTopic,
    /// How the rows of a table are read.
    pub view: Option<ViewPlan>,
    /// The names of the sources it reads.
    pub sources: Vec<String>,
    /// What it does, in outline.
    pub shape: QueryShape,
    /// What it does, clause by clause.
    pub logical: LogicalPlan,
}

/// A projection cut into key and value.
pub(super) struct Split {
    /// The new key, or none if the key stays and only its names may change.
    pub(super) key: Option<Vec<Projected>>,
    pub(super) key_names: Vec<String>,
    pub(super) value: Vec<Projected>,
}

/// Plans `CREATE STREAM|TABLE .. AS SELECT`; the entry has the id `query`. If it replaces a query of the shape `previous`, stores that are
/// laid out otherwise are other stores.
///
/// # Errors
/// [`PlanError`].
pub fn plan_create(
    catalog: &Catalog,
    create: &CreateAsSelect,
    statement: &str,
    query: QueryId,
    reset: OffsetReset,
    previous: Option<&QueryShape>,
) -> Result<PersistentPlan, PlanError> {
    let plan = |versions| plan_with(catalog, create, statement, query.clone(), reset, versions);
    let Some(previous) = previous else { return plan(StoreVersions::default()) };
    let versions = StoreVersions::of(previous);
    let planned = plan(versions.clone())?;
    match versions.next(previous, &planned.topology) {
        Some(next) => plan(next),
        None => Ok(planned),
    }
}

fn plan_with(
    catalog: &Catalog,
    create: &CreateAsSelect,
    statement: &str,
    query: QueryId,
    reset: OffsetReset,
    versions: StoreVersions,
) -> Result<PersistentPlan, PlanError> {
    let properties = SourceProperties::parse(&create.properties, PropertyScope::AsSelect)?;
    let builder = StreamsBuilder::new();
    let store = legal(&create.name.value);
    let purpose = Purpose::Persistent;
    let nesting = Nesting::default();
    let result = create.name.value.clone();
    let context =
        QueryContext { catalog, builder: &builder, reset, purpose, store, result, versions: versions.clone(), nesting };
    let selected = context.select(&create.query)?;
    check_kind(create, &selected)?;
    result_columns::check_timestamp(&properties, &selected)?;
    let split = split(&selected, &create.name.value)?;
    let (stream, items) = shape(&selected, &split)?;
    let at = create.name.span.start;
    let source = sink_source(catalog, create, &properties, statement, query, &selected, stream.schema(), &items)?;
    let places = FormatPlaces {
        key: &properties.key,
        value: &properties.value,
        wrap_single_value: properties.wrap_single_value.as_ref(),
        otherwise: at,
    };
    catalog::check_formats(&source, &places)?;
    let formats = input::formats(&source);
    check_formats(&formats, stream.schema(), at)?;
    let (stream, view) = match source.row_ttl_ms.and_then(TimeSpan::from_millis) {
        Some(ttl) => {
            let store = versions.name(&format!("{}-rows", context.store));
            let table = timed(stream, &source, at)?.to_table_with_ttl(ttl, Materialized::named(&store));
            (table.to_stream(), Some(all_of(table.schema(), &store)))
        }
        None => {
            let view = match (view(&selected, &split), create.kind) {
                (None, SourceKind::Table) => Some(kept(&stream, &versions.name(&context.store))),
                (view, _) => view,
            };
            (timed(stream, &source, at)?, view)
        }
    };
    stream.to(&source.topic, Produced::of(formats));
    let topology = builder.build().map_err(|error| PlanError::invalid(selected.at, error.to_string()))?;
    let cleanup = match (properties.cleanup_policy, create.kind, source.window) {
        (Some(given), ..) => given,
        (None, SourceKind::Stream, _) => CleanupPolicy::Delete,
        (None, SourceKind::Table, None) => CleanupPolicy::Compact,
        (None, SourceKind::Table, Some(_)) => CleanupPolicy::CompactDelete,
    };
    let topic = SinkTopic {
        name: source.topic.clone(),
        partitions: properties.partitions.or(catalog.sink_defaults().partitions),
        like: selected.sources[0].topic.clone(),
        retention_ms: properties.retention_ms,
        cleanup,
    };
    let sources = names(&selected.sources);
    let shape = upgrade::shape(&create.query, &selected.sources, &topology, &versions);
    let logical = LogicalPlan::of(&create.query, catalog, &selected.items).written_to(&source);
    Ok(PersistentPlan { topology, sink: source, topic, view, sources, shape, logical })
}

/// The stream with the timestamps that the sink asks for.
fn timed(stream: ColumnStream, sink: &Source, at: Position) -> Result<ColumnStream, PlanError> {
    let TimestampExtractor::Column { name, format, .. } = input::extractor(sink.timestamp.as_ref(), at)? else {
        return Ok(stream);
    };
    let Some(row_time) = SetRowTime::new(&name, format, stream.schema()) else { return Ok(stream) };
    let schema = Arc::clone(stream.schema());
    Ok(stream.transform("row-time", Arc::new(row_time), schema, false))
}

/// Plans `INSERT INTO stream SELECT`.
///
/// # Errors
/// [`PlanError`], among them a projection that does not have the stream's columns.
pub fn plan_insert(catalog: &Catalog, insert: &InsertSelect, reset: OffsetReset) -> Result<PersistentPlan, PlanError> {
    let target = catalog.expect_source(&insert.target)?.clone();
    let at = insert.target.span.start;
    if target.kind == SourceKind::Table {
        let problem = format!("INSERT INTO can only be used to insert into a stream. {} is a table.", target.name);
        return Err(PlanError::invalid(at, problem));
    }
    if target.is_source {
        return Err(PlanError::invalid(at, format!("Cannot insert into read-only stream: {}", target.name)));
    }
    if target.header_columns().next().is_some() {
        let problem = format!("Cannot insert into {} because it has header columns", target.name);
        return Err(PlanError::invalid(at, problem));
    }
    let builder = StreamsBuilder::new();
    let store = legal(&target.name);
    let (purpose, versions, nesting) = (Purpose::Persistent, StoreVersions::default(), Nesting::default());
    let result = target.name.clone();
    let context = QueryContext { catalog, builder: &builder, reset, purpose, store, result, versions, nesting };
    let selected = context.select(&insert.query)?;
    if selected.flow.kind() == SourceKind::Table {
        return Err(PlanError::invalid_hint(
            selected.at,
            "INSERT INTO needs a query that gives a stream",
            "leave GROUP BY out",
        ));
    }
    let split = into_sink::split_like(&selected, split(&selected, &target.name)?, &target)?;
    let (stream, _) = shape(&selected, &split)?;
    stream.to(&target.topic, Produced::of(input::formats(&target)));
    let topology = builder.build().map_err(|error| PlanError::invalid(selected.at, error.to_string()))?;
    let topic = SinkTopic {
        name: target.topic.clone(),
        partitions: None,
        like: selected.sources[0].topic.clone(),
        retention_ms: None,
        cleanup: CleanupPolicy::Delete,
    };
    let sources = names(&selected.sources);
    let logical = LogicalPlan::of(&insert.query, catalog, &selected.items).written_to(&target);
    let shape = QueryShape::default();
    Ok(PersistentPlan { topology, sink: target, topic, view: None, sources, shape, logical })
}

fn names(sources: &[Source]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for source in sources {
        if !names.contains(&source.name) {
            names.push(source.name.clone());
        }
    }
    names
}

fn check_kind(create: &CreateAsSelect, selected: &Selected) -> Result<(), PlanError> {
    let found = selected.flow.kind();
    if create.kind == found {
        return Ok(());
    }
    let hint = match found {
        SourceKind::Table => "write CREATE TABLE",
        SourceKind::Stream => "write CREATE STREAM, or GROUP BY to make a table",
    };
    Err(PlanError::invalid_hint(create.name.span.start, format!("this query gives a {found}"), hint))
}

fn split(selected: &Selected, result: &str) -> Result<Split, PlanError> {
    let is_bound = |item: &&Item| [WINDOWSTART, WINDOWEND].contains(&item.name.as_str());
    if let Some(item) = selected.items.iter().find(is_bound) {
        let problem = format!("Reserved column name in select: `{}`. Please remove or alias the column.", item.name);
        let hint = format!("the key has it already; write e.g. {} AS W", item.name);
        return Err(PlanError::invalid_hint(item.at, problem, hint));
    }
    result_columns::check_names(&selected.items)?;
    let mut key_items: Vec<&Item> = Vec::new();
    for expr in key_expressions(selected) {
        let mut found = selected.items.iter().filter(|item| item.expr == expr && !item.is_copy);
        let Some(first) = found.next() else {
            return Err(PlanError::invalid(selected.at, selected.named_key.missing(result)));
        };
        if let Some(second) = found.next() {
            let hint = format!("write AS_VALUE({}) for a copy", shown(&expr));
            let others = std::iter::once(second).chain(found).map(|item| item.name.clone());
            let aliases: Vec<String> = std::iter::once(first.name.clone()).chain(others).collect();
            let problem = selected.named_key.twice(&first.name, &aliases);
            return Err(PlanError::invalid_hint(second.at, problem, hint));
        }
        key_items.push(first);
    }
    let is_key = |item: &Item| key_items.iter().any(|key| std::ptr::eq(*key, item));
    let value: Vec<Projected> = selected
        .items
        .iter()
        .filter(|item| !is_key(item))
        .map(|item| Projected::new(&item.name, item.expr.clone()))
        .collect();
    if value.is_empty() && !selected.is_distinct {
        let hint = "select another column, or AS_VALUE of a key column";
        return Err(PlanError::invalid_hint(selected.at, "The projection contains no value columns.", hint));
    }
    let key = selected
        .key
        .as_ref()
        .map(|_| key_items.iter().map(|item| Projected::new(&item.name, item.expr.clone())).collect());
    Ok(Split { key, key_names: key_items.iter().map(|item| item.name.clone()).collect(), value })
}

fn shown(expr: &Expr) -> String {
    match expr {
        Expr::Column(column) => column.name.clone(),
        other => other.to_string(),
    }
}

/// Whether a projection leaves the value columns as they are.
fn is_identity(value: &[Projected], schema: &StreamSchema) -> bool {
    value.len() == schema.value().len()
        && value
            .iter()
            .zip(schema.value())
            .all(|(column, field)| column.name == *field.name() && is_column(&column.expression, field.name()))
}

/// The result as a stream of what is to be written, and its items in the order of the projection.
fn shape(selected: &Selected, split: &Split) -> Result<(ColumnStream, Vec<String>), PlanError> {
    let items = selected.items.iter().map(|item| item.name.clone()).collect();
    let renamed = |schema: &StreamSchema| {
        RenameKey::new(schema, &split.key_names).map_err(|error| PlanError::invalid(selected.at, error.to_string()))
    };
    let has_names =
        |schema: &StreamSchema| schema.key().iter().zip(&split.key_names).all(|(field, name)| field.name() == name);
    let stream = match &selected.flow {
        Flow::Stream(stream) => match &split.key {
            Some(key) => stream.select_key_or_null(key, &split.value),
            None => {
                let schema = stream.schema();
                let projected =
                    if is_identity(&split.value, schema) { stream.clone() } else { stream.select(&split.value) };
                if has_names(projected.schema()) {
                    projected
                } else {
                    let rename = renamed(projected.schema())?;
                    let output = Arc::clone(rename.output());
                    let rekeyed = projected.is_rekeyed();
                    projected.transform("rename-key", Arc::new(rename), output, rekeyed)
                }
            }
        },
        Flow::Table(table) => {
            let schema = table.schema();
            let projected = if is_identity(&split.value, schema) { table.clone() } else { table.select(&split.value) };
            let stream = projected.to_stream();
            if has_names(stream.schema()) {
                stream
            } else {
                let rename = renamed(stream.schema())?;
                let output = Arc::clone(rename.output());
                stream.transform("rename-key", Arc::new(rename), output, false)
            }
        }
    };
    Ok((stream, items))
}

/// How a table's rows are read from its store: the columns in the order of the projection, window bounds behind the key.
fn view(selected: &Selected, split: &Split) -> Option<ViewPlan> {
    let stored = selected.stored.as_ref()?;
    let mut columns: Vec<(String, Expr)> = Vec::new();
    let keys = key_expressions(selected);
    for (name, expr) in split.key_names.iter().zip(&keys) {
        columns.push((name.clone(), expr.clone()));
    }
    if selected.flow.schema().is_windowed() {
        columns.extend([WINDOWSTART, WINDOWEND].map(|name| (name.to_owned(), col(name))));
    }
    columns.extend(split.value.iter().map(|column| (column.name.clone(), column.expression.clone())));
    Some(ViewPlan { store: stored.store.clone(), filters: stored.filters.clone(), columns }.without_offsets())
}

/// Keeps the rows of a table that no store holds yet.
fn kept(stream: &ColumnStream, store: &str) -> ViewPlan {
    stream.to_table(Materialized::named(store));
    all_of(stream.schema(), store)
}

/// The rows of a store that holds all columns of a schema.
fn all_of(schema: &StreamSchema, store: &str) -> ViewPlan {
    let mut names: Vec<&str> = schema.key().iter().map(|field| field.name().as_str()).collect();
    if schema.is_windowed() {
        names.extend([WINDOWSTART, WINDOWEND]);
    }
    names.extend(schema.value().iter().map(|field| field.name().as_str()));
    let columns = names.into_iter().map(|name| (name.to_owned(), col(name))).collect();
    ViewPlan { store: store.to_owned(), filters: Vec::new(), columns }
}

/// The entry of the catalog.
#[expect(clippy::too_many_arguments, reason = "an entry is made of the statement, its query and what the query gives")]
fn sink_source(
    catalog: &Catalog,
    create: &CreateAsSelect,
    properties: &SourceProperties,
    statement: &str,
    query: QueryId,
    selected: &Selected,
    schema: &StreamSchema,
    items: &[String],
) -> Result<Source, PlanError> {
    let at = create.name.span.start;
    let key_role = if create.kind == SourceKind::Table { ColumnRole::PrimaryKey } else { ColumnRole::Key };
    let column = |field: &FieldRef, role: ColumnRole| -> Result<Column, PlanError> {
        let Some(data_type) = SqlType::from_arrow(field.data_type()) else {
            return Err(PlanError::invalid(
                at,
                format!("column {} is of a type that cannot be written: {}", field.name(), field.data_type()),
            ));
        };
        Ok(Column { name: field.name().clone(), data_type, role })
    };
    let mut columns = Vec::new();
    for field in schema.key() {
        columns.push(column(field, key_role.clone())?);
    }
    for field in schema.value() {
        columns.push(column(field, ColumnRole::Value)?);
    }
    let order = |column: &Column| items.iter().position(|name| *name == column.name).unwrap_or(usize::MAX);
    // Keys are in the order in which they are written to the topic, values in that of the projection.
    columns.sort_by_key(|column| if column.is_key() { (false, 0) } else { (true, order(column)) });
    let first = &selected.sources[0];
    let defaults = catalog.format_defaults();
    let default_key = Format::plain(defaults.key.unwrap_or(FormatKind::Kafka));
    let key_format = match (properties.key.named(), schema.key().len()) {
        (Some(given), 0) if given.kind != FormatKind::None => {
            let hint = "leave KEY_FORMAT out, or say NONE";
            return Err(PlanError::invalid_hint(at, "Key format specified for stream without key columns.", hint));
        }
        (Some(given), _) => given,
        (None, 0) => Format::plain(FormatKind::None),
        (None, _) if first.key_format.kind == FormatKind::None => properties.key.over(&default_key),
        (None, _) => properties.key.over(&first.key_format),
    };
    let value_format = properties.value.over(&first.value_format);
    let single = schema.value().len() == 1;
    let wrap_default = defaults.wrap_single_value.filter(|wrap| single && value_format.kind.can_wrap(*wrap));
    let timestamp = match &properties.timestamp {
        None => None,
        Some(named) => {
            if !schema.columns().fields().iter().any(|field| *field.name() == named.node) {
                let known: Vec<&str> = schema.value().iter().map(|field| field.name().as_str()).collect();
                let problem = format!("TIMESTAMP: no column {} in the projection", named.node);
                return Err(PlanError::invalid_hint(named.span.start, problem, format!("it has {}", known.join(", "))));
            }
            let format = properties.timestamp_format.as_ref().map(|format| format.node.clone());
            let data_type = schema.columns().field_with_name(&named.node).ok().map(|field| field.data_type().clone());
            let data_type = data_type.as_ref().and_then(SqlType::from_arrow);
            let is_moment = matches!(
                (&data_type, &format),
                (Some(SqlType::BigInt | SqlType::Timestamp), None) | (Some(SqlType::Varchar), Some(_))
            );
            if !is_moment {
                let problem = format!(
                    "Timestamp column, `{}`, should be LONG(INT64), TIMESTAMP, or a String with a timestamp_format specified",
                    named.node
                );
                return Err(PlanError::invalid(named.span.start, problem));
            }
            Some(TimestampColumn { column: named.node.clone(), format })
        }
    };
    Ok(Source {
        name: create.name.value.clone(),
        kind: create.kind,
        columns,
        topic: properties
            .topic
            .clone()
            .unwrap_or_else(|| format!("{}{}", catalog.sink_defaults().topic_prefix, create.name.value)),
        key_format,
        value_format,
        wrap_single_value: properties.wrap_single_value.as_ref().map(|wrap| wrap.node).or(wrap_default),
        registry: catalog.registry().clone(),
        timestamp,
        window: selected.window,
        row_ttl_ms: properties.row_ttl(create.kind, schema.is_windowed())?,
        created_by: Some(query),
        is_source: false,
        statement: statement.to_owned(),
    })
}

fn check_formats(formats: &Formats, schema: &StreamSchema, at: Position) -> Result<(), PlanError> {
    let check = |side: Side, format: &CoreFormat, fields: &[FieldRef], property: &str| {
        format.serializer(side, formats.wrapping, fields).map(drop).map_err(|error| {
            PlanError::invalid_hint(at, error.to_string(), format!("say another {property} in WITH (..)"))
        })
    };
    check(Side::Key, &formats.key, schema.key(), "KEY_FORMAT")?;
    check(Side::Value, &formats.value, schema.value(), "VALUE_FORMAT")
}
