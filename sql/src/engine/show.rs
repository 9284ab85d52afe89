//! SHOW, DESCRIBE, EXPLAIN: what is declared and what runs, as tables of text.

use super::{
    Session,
    error::EngineError,
    progress::{Progress, QueryProgress},
    properties::KNOWN,
    show_inputs,
    text_table::TextTable,
};
use crate::{
    catalog::{Catalog, QueryId, Source},
    functions::registry::FunctionKind,
    planner::{LogicalPlan, Reader, logical_plan::type_name, plan_create, plan_insert, plan_push, shown_window},
    pull,
    response::Response,
    syntax::{
        ast::{Describe, Explain, Literal, ParsedStatement, Show, ShowWhat, SourceKind, Statement},
        parse_statement,
    },
};
use millstream::topology::{OffsetReset, Topology};

impl Session {
    pub(super) fn show(&self, show: &Show) -> Result<Response, EngineError> {
        let catalog = self.inner.catalog.read().clone();
        Ok(match show.what {
            ShowWhat::Streams => sources(&catalog, SourceKind::Stream),
            ShowWhat::Tables => sources(&catalog, SourceKind::Table),
            ShowWhat::Topics { all } => self.topics(all),
            ShowWhat::Queries if show.extended => {
                let ids: Vec<QueryId> = catalog.queries().map(|query| query.id.clone()).collect();
                return show_inputs::queries(self, &ids);
            }
            ShowWhat::Queries => self.queries(&catalog),
            ShowWhat::Connectors(kind) => {
                let progress = self.inner.progress();
                let mut table =
                    TextTable::new(&["Connector", "Type", "Class", "Status", "Rows", "Rejected", "Lag", "Error"]);
                for connector in catalog.connectors().filter(|connector| kind.is_none_or(|kind| connector.kind == kind))
                {
                    let class = connector
                        .properties
                        .iter()
                        .find(|property| property.name.value.eq_ignore_ascii_case("connector.class"))
                        .map_or_else(String::new, |property| literal(&property.value));
                    let status = progress.connectors.iter().find(|status| status.name == connector.name);
                    table.row(vec![
                        connector.name.clone(),
                        connector.kind.to_string(),
                        class,
                        status.map_or_else(|| "STOPPED".to_owned(), |status| status.state.clone()),
                        status.map_or(0, |status| status.rows).to_string(),
                        status.map_or(0, |status| status.rejected).to_string(),
                        status.and_then(|status| status.lag).map_or_else(String::new, |lag| lag.to_string()),
                        status.and_then(|status| status.error.clone()).unwrap_or_default(),
                    ]);
                }
                table.into_response()
            }
            ShowWhat::Queues => self.show_queues(&catalog),
            ShowWhat::Properties => {
                let mut table = TextTable::new(&["Property", "Value", "Default", "Meaning"]);
                for (name, default, meaning) in KNOWN {
                    let value = self.properties.set.get(name).cloned().unwrap_or_else(|| default.to_owned());
                    table.row(vec![name.to_owned(), value, default.to_owned(), meaning.to_owned()]);
                }
                table.into_response()
            }
            ShowWhat::Functions => {
                let mut table = TextTable::new(&["Function", "Kind"]);
                for (name, kind) in catalog.functions().all() {
                    table.row(vec![name, kind_text(kind).to_owned()]);
                }
                table.into_response()
            }
            ShowWhat::Types => {
                let mut table = TextTable::new(&["Type", "Schema"]);
                catalog.types().for_each(|(name, data_type)| table.row(vec![name.to_owned(), data_type.to_string()]));
                table.into_response()
            }
            ShowWhat::Variables => {
                let mut table = TextTable::new(&["Variable", "Value"]);
                self.variables.iter().for_each(|(name, value)| table.row(vec![name.clone(), value.clone()]));
                table.into_response()
            }
        })
    }

    fn topics(&self, all: bool) -> Response {
        let mut table = TextTable::new(&["Topic", "Partitions", "Cleanup", "Records"]);
        for topic in self.inner.shared.topics().unwrap_or_default() {
            if !all && topic.name.as_str().starts_with("_millstream") {
                continue;
            }
            let records: u64 = (0..topic.config.partitions)
                .map(|partition| {
                    let partition = millstream::record::TopicPartition::new(
                        topic.name.clone(),
                        millstream::record::PartitionId(partition),
                    );
                    let log = &self.inner.shared;
                    log.end_offset(&partition)
                        .unwrap_or_default()
                        .since(log.start_offset(&partition).unwrap_or_default())
                })
                .sum();
            let cleanup = format!("{:?}", topic.config.cleanup).to_lowercase();
            table.row(vec![topic.name.to_string(), topic.config.partitions.to_string(), cleanup, records.to_string()]);
        }
        table.into_response()
    }

    fn queries(&self, catalog: &Catalog) -> Response {
        let progress = self.inner.progress();
        let mut table = TextTable::new(&[
            "Query",
            "Sink",
            "Sources",
            "State",
            "Records in",
            "Records out",
            "Behind",
            "Error",
            "Statement",
        ]);
        for query in catalog.queries() {
            let status = status_of(&progress, &query.id);
            let count = |of: fn(&QueryProgress) -> u64| status.map_or(0, of).to_string();
            table.row(vec![
                query.id.to_string(),
                query.sink.clone(),
                query.sources.join(", "),
                status.map_or_else(|| "STOPPED".to_owned(), |status| status.state.to_string()),
                count(|status| status.records_in),
                count(|status| status.records_out),
                count(|status| status.lag),
                status.and_then(|status| status.error.clone()).unwrap_or_default(),
                query.statement.split_whitespace().collect::<Vec<_>>().join(" "),
            ]);
        }
        table.into_response()
    }

    pub(super) fn describe(&self, describe: &Describe) -> Result<Response, EngineError> {
        let catalog = self.inner.catalog.read().clone();
        match describe {
            Describe::Source { name, extended } => {
                let source = catalog.expect_source(name)?;
                if *extended { self.extended(&catalog, source) } else { Ok(columns(source)) }
            }
            Describe::Sources { kind, .. } => Ok(sources(&catalog, *kind)),
            Describe::Function(name) => match catalog.functions().kind_of(&name.value) {
                FunctionKind::Unknown => {
                    let hint = catalog.functions().nearest(&name.value).map(|near| format!("; did you mean {near}"));
                    Err(EngineError::at(
                        name.span.start,
                        format!("no function {}{}", name.value, hint.unwrap_or_default()),
                    ))
                }
                kind => {
                    let mut row = vec![name.value.clone(), kind_text(kind).to_owned()];
                    Ok(match catalog.functions().description(&name.value) {
                        None => {
                            let mut table = TextTable::new(&["Function", "Kind"]);
                            table.row(row);
                            table.into_response()
                        }
                        Some(description) => {
                            let mut table = TextTable::new(&["Function", "Kind", "Meaning"]);
                            row.push(description.to_owned());
                            table.row(row);
                            table.into_response()
                        }
                    })
                }
            },
            Describe::Queue(name) => self.describe_queue(&catalog, name),
            Describe::Connector(name) => {
                let connector = catalog.expect_connector(name)?;
                let progress = self.inner.progress();
                let mut table = TextTable::new(&["Property", "Value"]);
                table.row(vec!["name".to_owned(), connector.name.clone()]);
                if let Some(status) = progress.connectors.iter().find(|status| status.name == connector.name) {
                    table.row(vec!["state".to_owned(), status.state.clone()]);
                    table.row(vec!["rows".to_owned(), status.rows.to_string()]);
                    table.row(vec!["rejected".to_owned(), status.rejected.to_string()]);
                    let lag = status.lag.map_or_else(|| "unknown".to_owned(), |lag| lag.to_string());
                    table.row(vec!["lag".to_owned(), lag]);
                    table.row(vec!["commits".to_owned(), status.commits.to_string()]);
                    table.row(vec!["retries".to_owned(), status.retries.to_string()]);
                    table.row(vec!["last error".to_owned(), status.error.clone().unwrap_or_default()]);
                }
                if !connector.topics.is_empty() {
                    let topics: Vec<&str> = connector.topics.iter().map(|topic| topic.as_str()).collect();
                    table.row(vec!["topics".to_owned(), topics.join(", ")]);
                }
                for property in &connector.properties {
                    table.row(vec![property.name.value.clone(), literal(&property.value)]);
                }
                Ok(table.into_response())
            }
        }
    }

    fn extended(&self, catalog: &Catalog, source: &Source) -> Result<Response, EngineError> {
        let mut table = TextTable::new(&["Property", "Value"]);
        let mut row = |name: &str, value: String| table.row(vec![name.to_owned(), value]);
        row("name", source.name.clone());
        row("kind", source.kind.to_string());
        row("columns", source.schema_text());
        row("topic", source.topic.clone());
        row("key format", source.key_format.kind.to_string());
        row("value format", source.value_format.kind.to_string());
        if let Some(timestamp) = &source.timestamp {
            row("timestamp", timestamp.column.clone());
        }
        if let Some(window) = &source.window {
            let size = || window.size_ms.map(|size| format!(" {size} ms")).unwrap_or_default();
            row("window", windows_of(source).unwrap_or_else(|| format!("{}{}", window.window_type, size())));
        }
        if let Some(ttl) = source.row_ttl_ms {
            row("row TTL", format!("{ttl} ms"));
        }
        let ids = |queries: Vec<&QueryId>| queries.iter().map(|id| id.to_string()).collect::<Vec<_>>().join(", ");
        row("read by", ids(catalog.readers(&source.name).map(|query| &query.id).collect()));
        row("written by", ids(catalog.writers(&source.name).map(|query| &query.id).collect()));
        let progress = self.inner.progress();
        for query in catalog.writers(&source.name) {
            if let Some(status) = status_of(&progress, &query.id) {
                let text = format!(
                    "{}: {} records in, {} out, {} behind, {} late, {} errors{}",
                    status.state,
                    status.records_in,
                    status.records_out,
                    status.lag,
                    status.late,
                    status.errors,
                    status.error.as_ref().map(|error| format!("; {error}")).unwrap_or_default()
                );
                row(&query.id.0, text);
                row("inputs", show_inputs::line(self, &query.id)?);
            }
        }
        row("statement", source.statement.clone());
        Ok(table.into_response())
    }

    pub(super) fn explain(&self, explain: &Explain) -> Result<Response, EngineError> {
        let text = match explain {
            Explain::Query(name) => {
                let id = self.inner.catalog.read().expect_query(name)?.id.clone();
                let running = self.inner.running.lock();
                match running.queries.get(&id) {
                    Some(query) => {
                        plan_text(&query.logical, &query.topology).replace("<application>", &query.application)
                    }
                    None => return Err(EngineError::at(name.span.start, format!("query {id} is not running"))),
                }
            }
            Explain::Statement(statement) => self.plan_of(statement)?,
        };
        let mut table = TextTable::new(&["Plan"]);
        text.lines().for_each(|line| table.row(vec![line.to_owned()]));
        Ok(table.into_response())
    }

    fn plan_of(&self, parsed: &ParsedStatement) -> Result<String, EngineError> {
        let catalog = self.properties.settled(&self.inner.catalog.read());
        let reset = self.properties.reset(OffsetReset::Earliest);
        let (logical, topology): (LogicalPlan, Topology) = match &parsed.statement {
            Statement::CreateAsSelect(create) => {
                let id = QueryId("EXPLAINED".to_owned());
                let plan = plan_create(&catalog, create, &parsed.text, id, reset, None)?;
                (plan.logical, plan.topology)
            }
            Statement::InsertSelect(insert) => {
                let plan = plan_insert(&catalog, insert, reset)?;
                (plan.logical, plan.topology)
            }
            Statement::PushQuery(query) => {
                let plan = plan_push(&catalog, query, self.properties.reset(OffsetReset::Latest), Reader::SameThread)?;
                (plan.logical, plan.topology)
            }
            Statement::PullQuery(query) => {
                return Ok(pull::explain(query, &self.inner.pull_context(&catalog, self.properties.scans()))?);
            }
            _ => {
                let problem = "only queries can be explained: SELECT, CREATE .. AS SELECT, INSERT INTO .. SELECT";
                return Err(EngineError::at(parsed.span.start, problem));
            }
        };
        Ok(plan_text(&logical, &topology))
    }
}

/// The sections of EXPLAIN.
fn plan_text(logical: &LogicalPlan, topology: &Topology) -> String {
    format!("{logical}{}", topology.description().render(&type_name))
}

fn status_of<'a>(progress: &'a Progress, id: &QueryId) -> Option<&'a QueryProgress> {
    progress.queries.iter().find(|status| status.id == id.0)
}

/// The windows of the query that made a source, with every setting; none if no query made it, or if it takes its windows from its input.
fn windows_of(source: &Source) -> Option<String> {
    match parse_statement(&source.statement).ok()?.statement {
        Statement::CreateAsSelect(create) => shown_window(&create.query),
        _ => None,
    }
}

fn kind_text(kind: FunctionKind) -> &'static str {
    match kind {
        FunctionKind::Scalar => "SCALAR",
        FunctionKind::Aggregate => "AGGREGATE",
        FunctionKind::Table => "TABLE",
        FunctionKind::Window => "WINDOW",
        FunctionKind::Unknown => "UNKNOWN",
    }
}

fn literal(literal: &Literal) -> String {
    match literal {
        Literal::Text(text) | Literal::Number(text) => text.clone(),
        Literal::Boolean(value) => value.to_string(),
    }
}

fn sources(catalog: &Catalog, kind: SourceKind) -> Response {
    let name = if kind == SourceKind::Stream { "Stream" } else { "Table" };
    let mut table = TextTable::new(&[name, "Topic", "Key format", "Value format", "Windowed"]);
    for source in catalog.sources().filter(|source| source.kind == kind) {
        table.row(vec![
            source.name.clone(),
            source.topic.clone(),
            source.key_format.kind.to_string(),
            source.value_format.kind.to_string(),
            source.window.is_some().to_string(),
        ]);
    }
    table.into_response()
}

fn columns(source: &Source) -> Response {
    let mut table = TextTable::new(&["Field", "Type"]);
    for column in &source.columns {
        let text = column.to_string();
        // What the column prints after its name: type and role.
        let kind = text.strip_prefix(&format!("`{}` ", column.name)).unwrap_or(&text).to_owned();
        table.row(vec![column.name.clone(), kind]);
    }
    table.into_response()
}
