//! A continuous query to streams and tables of the DSL, up to its projection: sources, joins, WHERE, then GROUP BY or the items.
//!
//! What is done with the result (a topic, a view, rows on a screen) is decided by who asks: see [`sink`](super::sink) and
//! [`push`](super::push).

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast::Value;
use millstream::{
    StreamsBuilder,
    dsl::{ColumnStream, ColumnTable},
    expression::{Expr, col},
    operator::Column,
    schema::{ROWOFFSET, ROWTIME, StreamSchema, WINDOWEND, WINDOWSTART},
    topology::OffsetReset,
};

use super::{
    aggregate::{self, contains_aggregate},
    bind::{self, bind},
    clause::Clause,
    distinct,
    error::PlanError,
    input::{self, ROWPARTITION},
    join::{self, JoinKey},
    named_key::NamedKey,
    projection::{Projection, WrittenItem},
    scope::Scope,
    subquery::{Found, Nesting},
    union, unnest,
    upgrade::StoreVersions,
};
use crate::{
    catalog::{Catalog, Source, WindowInfo},
    expression::shown,
    functions::aggregate::Limits,
    syntax::{
        Position,
        ast::{self, Emit, SourceKind, StreamQuery},
        position_of,
    },
};

/// The columns that sources have without naming them.
pub(super) const PSEUDO_COLUMNS: [&str; 5] = [ROWTIME, ROWOFFSET, ROWPARTITION, WINDOWSTART, WINDOWEND];

/// What a query makes of its sources.
#[derive(Clone)]
pub(super) enum Flow {
    Stream(ColumnStream),
    Table(ColumnTable),
}

impl Flow {
    pub(super) fn schema(&self) -> &Arc<StreamSchema> {
        match self {
            Self::Stream(stream) => stream.schema(),
            Self::Table(table) => table.schema(),
        }
    }

    pub(super) fn filter(self, predicate: &Expr) -> Self {
        match self {
            Self::Stream(stream) => Self::Stream(stream.filter(predicate)),
            Self::Table(table) => Self::Table(table.filter(predicate)),
        }
    }

    pub(super) fn kind(&self) -> SourceKind {
        match self {
            Self::Stream(_) => SourceKind::Stream,
            Self::Table(_) => SourceKind::Table,
        }
    }
}

/// A column of the projection.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) name: String,
    /// Over the columns of the flow.
    pub(super) expr: Expr,
    pub(super) data_type: DataType,
    /// As it was written, for plans.
    pub(super) text: String,
    pub(super) at: Position,
    /// Written as `AS_VALUE(..)`: never the key.
    pub(super) is_copy: bool,
}

/// A store whose rows, filtered, are the rows of a table.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) store: String,
    pub(super) filters: Vec<Expr>,
}

/// A query planned up to its projection.
pub(super) struct Selected {
    pub(super) flow: Flow,
    /// Where the rows of a table are kept.
    pub(super) stored: Option<Stored>,
    pub(super) items: Vec<Item>,
    /// The new key: none keeps the one there is, no columns drop it.
    pub(super) key: Option<Vec<Expr>>,
    pub(super) window: Option<WindowInfo>,
    /// The sources of the catalog that are read, left-most first.
    pub(super) sources: Vec<Source>,
    /// Whether it has no value columns because SELECT DISTINCT makes all of them the key.
    pub(super) is_distinct: bool,
    /// What makes the key, for messages.
    pub(super) named_key: NamedKey,
    /// Where the query begins.
    pub(super) at: Position,
}

/// Who asks for a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A persistent query: its result has a key, and is stored or written.
    Persistent,
    /// Rows on a screen.
    Push,
}

/// What planning a query needs to know.
pub(super) struct QueryContext<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) builder: &'a StreamsBuilder,
    pub(super) reset: OffsetReset,
    pub(super) purpose: Purpose,
    /// The name of the store that holds the result, should there be one, in its first version.
    pub(super) store: String,
    /// What is made of the result, for messages.
    pub(super) result: String,
    /// Which versions of stores there are.
    pub(super) versions: StoreVersions,
    /// Where the query stands among those of its statement.
    pub(super) nesting: Nesting,
}

/// A name in which only letters, digits and underscores are left, so that topics can be called after it.
pub(crate) fn legal(name: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    name.chars().map(legal).take(100).collect()
}

/// The columns of a flow with their names, before the projection.
pub(super) struct Joined {
    pub(super) flow: Flow,
    pub(super) scope: Scope,
    /// What FROM and JOIN name.
    pub(super) sources: Vec<Source>,
    /// The sources of the catalog that are read for them.
    pub(super) bases: Vec<Source>,
    pub(super) stored: Option<Stored>,
    /// Which columns a projection may select as the key, if that was made by a join.
    pub(super) key: Option<JoinKey>,
}

impl QueryContext<'_> {
    /// Plans a query up to its projection.
    ///
    /// # Errors
    /// [`PlanError`] with the place of what is wrong.
    pub(super) fn select(&self, query: &StreamQuery) -> Result<Selected, PlanError> {
        if query.named.is_empty() { self.parts(query) } else { self.with_named(query) }
    }

    /// Plans a query whose WITH is planned.
    ///
    /// # Errors
    /// [`PlanError`] with the place of what is wrong.
    pub(super) fn parts(&self, query: &StreamQuery) -> Result<Selected, PlanError> {
        if !query.unions.is_empty() {
            return union::union(self, query);
        }
        if let Some(at) = query.distinct {
            return distinct::distinct(self, query, at.start);
        }
        check_clauses(query, self.purpose)?;
        let joined = self.joined(query)?;
        match &query.group_by {
            Some(group_by) => aggregate::aggregate(query, &group_by.node, joined, self),
            None if self.purpose == Purpose::Push && aggregate::is_over_all(query, self.catalog.functions()) => {
                let all = [ast::Expr::value(Value::Number("0".to_owned(), false))];
                aggregate::aggregate(query, &all, joined, self)
            }
            None => self.project(query, joined),
        }
    }

    /// Plans FROM, JOIN and WHERE.
    ///
    /// # Errors
    /// [`PlanError`] with the place of what is wrong.
    pub(super) fn joined(&self, query: &StreamQuery) -> Result<Joined, PlanError> {
        let Joined { mut flow, mut scope, sources, bases, mut stored, key } =
            if query.joins.is_empty() { self.single(query)? } else { join::join(self, query)? };
        scope.limits = self.limits(query)?;
        scope.types = self.catalog.types().map(|(name, data_type)| (name.to_owned(), data_type.clone())).collect();
        if let Some(filter) = &query.filter {
            let at = filter.span.start;
            let predicate = bind::bind_predicate(&filter.node, &scope, flow.schema().columns(), at);
            let predicate = predicate.map_err(|error| told_of_filter(error, query))?;
            if contains_aggregate(&predicate) {
                return Err(PlanError::invalid_hint(at, "WHERE cannot have aggregate functions", "use HAVING"));
            }
            bind::expect_boolean(
                &predicate,
                flow.schema().columns(),
                Clause::Where,
                (&filter.node, position_of(&filter.node).unwrap_or(at)),
            )?;
            flow = flow.filter(&predicate);
            if let Some(stored) = &mut stored {
                stored.filters.push(predicate);
            }
        }
        Ok(Joined { flow, scope, sources, bases, stored, key })
    }

    /// How much the functions that collect keep.
    fn limits(&self, query: &StreamQuery) -> Result<Limits, PlanError> {
        let set = |limits: Limits, (name, value): (&String, &String)| limits.with_property(name, value);
        let limits = self.catalog.function_properties().iter().try_fold(Limits::default(), set);
        limits.map_err(|problem| PlanError::invalid(query.span.start, problem))
    }

    /// A query over one source.
    fn single(&self, query: &StreamQuery) -> Result<Joined, PlanError> {
        let found = self.found(&query.from)?;
        let at = query.from.name.span.start;
        let scope = source_scope(&query.from, &found.source, self.catalog);
        let partition = join::partition_column(query);
        found.check_partition(partition, at)?;
        let Found { source, flow, bases } = found;
        if let Some(flow) = flow {
            return Ok(Joined { flow, scope, sources: vec![source], bases, stored: None, key: None });
        }
        let as_changes = self.purpose == Purpose::Push && query.group_by.is_none();
        let ttl = source.ttl_when_read();
        if source.kind == SourceKind::Stream || as_changes {
            let rows = input::stream(self, &source, self.reset, at, partition)?;
            let flow = Flow::Stream(match ttl {
                Some(_) => input::table(&rows, &self.table_store(&source.name), ttl).to_stream(),
                None => rows,
            });
            return Ok(Joined { flow, scope, sources: vec![source], bases, stored: None, key: None });
        }
        let store = self.versions.name(&self.table_store(&source.name));
        let named = join::named_columns(query, &scope)?;
        let rows = input::stream(self, &source, OffsetReset::Earliest, at, partition)?;
        let value = rows.schema().value().iter().map(|field| field.name());
        let needed: Vec<Column> =
            value.filter(|name| named.has(0, name)).map(|name| Column::new(name, col(name))).collect();
        let rows = if needed.len() == rows.schema().value().len() { rows } else { rows.select(&needed) };
        let table = input::table(&rows, &store, ttl);
        let stored = Some(Stored { store, filters: Vec::new() });
        Ok(Joined { flow: Flow::Table(table), scope, sources: vec![source], bases, stored, key: None })
    }

    /// A projection without GROUP BY.
    fn project(&self, query: &StreamQuery, joined: Joined) -> Result<Selected, PlanError> {
        let Joined { flow, mut scope, sources, bases, stored, key: join_key } = joined;
        let columns = flow.schema().columns();
        let mut items = Vec::new();
        let partition_by = query.partition_by.as_ref().map(|partition_by| {
            let old_key = flow.schema().key().iter().map(|field| field.name().clone()).collect();
            (partition_by.node.as_slice(), old_key)
        });
        let is_join = !query.joins.is_empty();
        let projection = Projection { scope: &scope, columns, purpose: self.purpose, is_join, partition_by };
        let mut projection = projection.expand(&query.items)?;
        let texts: Vec<String> = projection.iter().map(|item| qualified(&item.expr, &scope)).collect();
        let flow = unnest::unnest(flow, &mut scope, &mut projection)?;
        let columns = flow.schema().columns();
        for (written, text) in projection.iter().zip(texts) {
            let expr = bind(&written.expr, &scope, columns, written.at).map_err(|error| Clause::Select.tell(error))?;
            if contains_aggregate(&expr) {
                let at = position_of(&written.expr).unwrap_or(written.at);
                return Err(PlanError::invalid_hint(
                    at,
                    "an aggregate function needs GROUP BY",
                    "group by a column or an expression",
                ));
            }
            let at = position_of(&written.expr).unwrap_or(written.at);
            if self.purpose == Purpose::Persistent && bind::type_of(&expr, columns, at)? == DataType::Null {
                let problem = "Can't infer a type of null. Please explicitly cast it to a required type, e.g. CAST(null AS VARCHAR).";
                return Err(PlanError::invalid(at, problem));
            }
            let (expr, data_type) = bind::normalised(expr, columns, at)?;
            let name = written.name.clone();
            items.push(Item { name, expr, data_type, text, at: written.at, is_copy: written.is_copy });
        }
        if let (Some(join_key), None, Purpose::Persistent) = (&join_key, &query.partition_by, self.purpose) {
            let chosen = join_key.choose(&projection, &mut items, &scope, (query.span.start, &self.result));
            // A stream inside a statement may go on without a key.
            if !(self.is_nested() && flow.kind() == SourceKind::Stream) {
                chosen?;
            }
        }
        let key = match &query.partition_by {
            None => None,
            Some(partition_by) => {
                if flow.kind() == SourceKind::Table {
                    let hint = "a table is partitioned by its key; use GROUP BY for another one";
                    return Err(PlanError::invalid_hint(partition_by.span.start, "PARTITION BY is for streams", hint));
                }
                let key = partition_key(&partition_by.node, &scope, &flow, partition_by.span.start)?;
                prefer_as_written(&partition_by.node, &key, &projection, &mut items);
                Some(key)
            }
        };
        let named_key = match &query.partition_by {
            None => NamedKey::columns(flow.schema().key().iter().map(|field| field.name().clone()).collect()),
            Some(partition_by) => {
                NamedKey::partitioning(partition_by.node.iter().map(|expr| qualified(expr, &scope)).collect())
            }
        };
        let window = if key.is_none() { sources[0].window.filter(|_| flow.schema().is_windowed()) } else { None };
        let at = query.span.start;
        Ok(Selected { flow, stored, items, key, window, sources: bases, is_distinct: false, named_key, at })
    }
}

/// What is wrong with WHERE. The bounds of windows are not there yet when it filters.
fn told_of_filter(error: PlanError, query: &StreamQuery) -> PlanError {
    match error {
        PlanError::UnknownColumn { at, name, .. }
            if query.window.is_some() && [WINDOWSTART, WINDOWEND].contains(&name.as_str()) =>
        {
            let problem = format!("Error in WHERE expression: Unknown column {name}.");
            PlanError::invalid_hint(at, problem, "rows are put in windows after WHERE: use HAVING")
        }
        error => Clause::Where.tell(error),
    }
}

/// An expression as ksqlDB shows it, a column with its source.
pub(super) fn qualified(expr: &ast::Expr, scope: &Scope) -> String {
    let column = match expr {
        ast::Expr::Identifier(name) => scope.resolve(None, name, Position::START).ok(),
        ast::Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [source, name] => scope.resolve(Some(source), name, Position::START).ok(),
            _ => None,
        },
        _ => None,
    };
    match column {
        Some(column) => format!("{}.{}", scope.sources[column.source].reference, column.name),
        None => shown(expr),
    }
}

fn partition_key(written: &[ast::Expr], scope: &Scope, flow: &Flow, at: Position) -> Result<Vec<Expr>, PlanError> {
    let is_null = |expr: &ast::Expr| expr.to_string().eq_ignore_ascii_case("NULL");
    if let [expr] = written
        && is_null(expr)
    {
        return Ok(Vec::new());
    }
    if written.iter().any(is_null) {
        let hint = "leave NULL out, or PARTITION BY NULL alone for no key";
        return Err(PlanError::invalid_hint(at, "Cannot PARTITION BY multiple columns including NULL", hint));
    }
    written
        .iter()
        .map(|expr| {
            let bound =
                bind(expr, scope, flow.schema().columns(), at).map_err(|error| Clause::PartitionBy.tell(error))?;
            Ok(bind::normalised(bound, flow.schema().columns(), position_of(expr).unwrap_or(at))?.0)
        })
        .collect()
}

/// Where several items have the values of a key column, the one that is written as PARTITION BY is the key, the others are copies.
fn prefer_as_written(written: &[ast::Expr], key: &[Expr], projection: &[WrittenItem], items: &mut [Item]) {
    for (written, key) in written.iter().zip(key) {
        let is_written = |item: &WrittenItem| item.expr.to_string() == written.to_string();
        if !projection.iter().any(is_written) {
            continue;
        }
        for (item, _) in
            items.iter_mut().zip(projection).filter(|(item, other)| item.expr == *key && !is_written(other))
        {
            item.is_copy = true;
        }
    }
}

/// The names that a query over one source can use.
pub(super) fn source_scope(written: &ast::SourceRef, source: &Source, catalog: &Catalog) -> Scope {
    let mut scope = Scope { functions: catalog.functions().clone(), ..Scope::default() };
    let number = scope.add_source(&written.reference().value, &source.name);
    source.key_columns().for_each(|column| scope.add_column(number, &column.name, false));
    if source.window.is_some() {
        scope.add_column(number, WINDOWSTART, true);
        scope.add_column(number, WINDOWEND, true);
    }
    let others = source.value_columns().chain(source.header_columns());
    others.for_each(|column| scope.add_column(number, &column.name, false));
    scope.add_column(number, ROWTIME, true);
    scope.add_column(number, ROWOFFSET, true);
    scope.add_column(number, ROWPARTITION, true);
    scope
}

/// Whether a join has results that may turn out to be preliminary: those of records that have met nothing yet.
fn has_final_results(join: &ast::Join) -> bool {
    join.within.is_some() && join.kind != ast::JoinKind::Inner
}

/// Clauses that do not go together, whatever the sources are.
pub(super) fn check_clauses(query: &StreamQuery, purpose: Purpose) -> Result<(), PlanError> {
    if let Some(emit) = &query.emit
        && emit.node == Emit::Final
        && query.window.is_none()
        && (query.group_by.is_some() || !query.joins.iter().any(has_final_results))
    {
        let hint = "add a WINDOW, or use EMIT CHANGES";
        let problem = "EMIT FINAL is for windowed aggregations, and for left, right and full joins of streams";
        return Err(PlanError::invalid_hint(emit.span.start, problem, hint));
    }
    if let (Some(limit), Purpose::Persistent) = (&query.limit, purpose) {
        let kind = if query.group_by.is_some() { SourceKind::Table } else { SourceKind::Stream };
        let problem = format!("CREATE {kind} AS SELECT statements don't support LIMIT clause.");
        return Err(PlanError::invalid_hint(limit.span.start, problem, "LIMIT is for queries that are shown"));
    }
    if query.group_by.is_none() {
        if let Some(window) = &query.window {
            return Err(PlanError::invalid(window.span.start, "WINDOW clause requires a GROUP BY clause."));
        }
        if let Some(having) = &query.having {
            return Err(PlanError::invalid_hint(
                having.span.start,
                "HAVING needs GROUP BY",
                "use WHERE to filter rows",
            ));
        }
    }
    if let (Some(_), Some(partition_by)) = (&query.group_by, &query.partition_by) {
        return Err(PlanError::invalid(
            partition_by.span.start,
            "PARTITION BY and GROUP BY exclude each other: both make the key",
        ));
    }
    Ok(())
}
