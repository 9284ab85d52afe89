//! Pull queries: read once from committed state, planned and run by DataFusion.
//!
//! A table that a query of this process keeps is read from its store, every other source from its topic. All stores are taken at one
//! moment per query, before anything runs.
//!
//! # Map
//! - [`access`]: lookups and scans, and which are allowed
//! - `plain`: queries over one source, by the language's own rules
//! - `view_table`: stores as tables, with gets for keys; `topic_table`: topics as tables
//! - this file: which sources a query names, its pseudo columns, its errors with their places

pub mod access;
mod plain;
mod topic_table;
mod view_table;

use std::{collections::BTreeSet, ops::ControlFlow, sync::Arc};

use arrow::datatypes::SchemaRef;
use datafusion::{
    catalog::{TableProvider, view::ViewTable as LogicalView},
    common::{SchemaError, TableReference},
    datasource::provider_as_source,
    error::{DataFusionError, Result as DataFusionResult},
    logical_expr::LogicalPlanBuilder,
    prelude::{DataFrame, SessionContext, ident},
    sql::{
        parser::Statement as PlanStatement,
        sqlparser::ast::{
            self as sql, ExcludeSelectItem, Expr as SqlExpr, Ident, ObjectName, ObjectNamePart, Query, SelectItem,
            SetExpr, Visit, VisitMut, Visitor, VisitorMut,
        },
    },
};
use millstream::{
    log::SharedLog,
    query::View,
    schema::{ROWOFFSET, ROWTIME},
};

use crate::{
    catalog::Catalog,
    functions::Functions,
    planner::{PlanError, ViewPlan, functions, input::ROWPARTITION, moment_literal, one_line},
    response::Rows,
    syntax::{
        Position,
        ast::{Name, PullQuery, SourceKind},
        position::Span,
        suggest::nearest,
    },
};
use access::Scans;
use topic_table::TopicTable;
use view_table::ViewTable;

/// Columns that are there when they are named, and not part of `*`.
const PSEUDO: [&str; 3] = [ROWTIME, ROWOFFSET, ROWPARTITION];

/// What a pull query reads from.
pub struct PullContext<'a> {
    /// The sources.
    pub catalog: &'a Catalog,
    /// The topics.
    pub log: &'a SharedLog,
    /// The stores of tables that running queries keep.
    pub views: &'a dyn Views,
    /// Which scans are allowed.
    pub scans: Scans,
}

/// Finds stores.
pub trait Views {
    /// The store that holds a table, and how its rows are read; none if no running query keeps the table.
    fn view(&self, table: &str) -> Option<(View, ViewPlan)>;
}

/// Runs a query, all its rows in memory at the end.
///
/// # Errors
/// [`PlanError`] with the place of a name or expression that is wrong; what goes wrong while it runs has the place of the query.
pub fn run(query: &PullQuery, context: &PullContext<'_>) -> Result<Rows, PlanError> {
    let (session, plan_query) = prepare(query, context)?;
    let (at, own) = (query.span.start, context.catalog.functions());
    let statement = PlanStatement::Statement(Box::new(sql::Statement::Query(plan_query)));
    block_on(at, async {
        let frame = frame(query, statement, &session, context).await?;
        let schema: SchemaRef = Arc::new(frame.schema().as_arrow().clone());
        let batches = frame.collect().await.map_err(|error| place(error, query, at, own))?;
        let schema = batches.first().map_or(schema, |batch| batch.schema());
        Ok(Rows { schema, batches })
    })
}

/// What a query computes.
async fn frame(
    query: &PullQuery,
    statement: PlanStatement,
    session: &SessionContext,
    context: &PullContext<'_>,
) -> Result<DataFrame, PlanError> {
    let (at, own) = (query.span.start, context.catalog.functions());
    let Some(plain) = query.plain.as_ref().filter(|plain| plain::is_by_row(plain, own)) else {
        if let Some(span) = query.plain.as_ref().and_then(|plain| plain::all_fields(plain)) {
            let what = "->* beside functions over all rows is".to_owned();
            return Err(PlanError::NotYet { at: span.start, what, hint: Some("name the fields".to_owned()) });
        }
        let plan = session.state().statement_to_plan(statement).await.map_err(|error| place(error, query, at, own))?;
        return session.execute_logical_plan(plan).await.map_err(|error| place(error, query, at, own));
    };
    plain::rows(plain, context.catalog.expect_source(&plain.from.name)?, context.catalog, session).await
}

/// Runs a query on this thread; what it reads is read on threads of its own.
fn block_on<T>(at: Position, work: impl Future<Output = Result<T, PlanError>>) -> Result<T, PlanError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.map_err(|error| PlanError::invalid(at, format!("cannot start a runtime: {error}")))?.block_on(work)
}

/// The optimised plan of a query, as text.
///
/// # Errors
/// As [`run`].
pub fn explain(query: &PullQuery, context: &PullContext<'_>) -> Result<String, PlanError> {
    let (session, plan_query) = prepare(query, context)?;
    let (at, own) = (query.span.start, context.catalog.functions());
    let statement = PlanStatement::Statement(Box::new(sql::Statement::Query(plan_query)));
    block_on(at, async {
        let frame = frame(query, statement, &session, context).await?;
        let optimized = frame.into_optimized_plan().map_err(|error| place(error, query, at, own))?;
        Ok(optimized.display_indent().to_string())
    })
}

/// A session that knows the tables of a query, and the query as DataFusion is to see it.
fn prepare(query: &PullQuery, context: &PullContext<'_>) -> Result<(SessionContext, Box<Query>), PlanError> {
    let mut found = Relations::default();
    let _ = query.query.visit(&mut found);
    check_pseudo_columns(query, &found)?;
    let session = functions::new_context();
    context.catalog.functions().register(&session);
    let pseudo: Vec<&str> = PSEUDO.into_iter().filter(|name| found.columns.contains(*name)).collect();
    let mut registered = BTreeSet::new();
    for name in &found.tables {
        if found.common.contains(&name.value) || !registered.insert(name.value.clone()) {
            continue;
        }
        let at = Position::from_location(name.span.start).unwrap_or(query.span.start);
        let written = Name { value: name.value.clone(), quoted: false, span: Span { start: at, end: at } };
        let source = context.catalog.expect_source(&written)?;
        if source.kind == SourceKind::Table {
            access::check(&query.query, source, context.scans, at)?;
        }
        let table = match context.views.view(&source.name) {
            Some((view, plan)) => stored(&view, &plan, &pseudo, at)?,
            None => unstored(TopicTable::new(source, Arc::clone(context.log), at)?, &pseudo, at)?,
        };
        let refused = |error: DataFusionError| PlanError::invalid(at, one_line(&error.strip_backtrace()));
        session.register_table(TableReference::bare(name.value.clone()), table).map_err(refused)?;
    }
    let mut plan_query = query.query.clone();
    if let ControlFlow::Break(error) = VisitMut::visit(&mut plan_query, &mut Rewrite { hidden: &pseudo }) {
        return Err(error);
    }
    Ok((session, plan_query))
}

/// Refuses the pseudo columns that tell where a record lies: rows are no records.
fn check_pseudo_columns(query: &PullQuery, found: &Relations) -> Result<(), PlanError> {
    let Some(name) = [ROWOFFSET, ROWPARTITION].into_iter().find(|name| found.columns.contains(*name)) else {
        return Ok(());
    };
    let at = position_of_name(query, name).unwrap_or(query.span.start);
    let in_filter =
        query.plain.as_ref().and_then(|plain| plain.filter.as_ref()).is_some_and(|filter| at >= filter.span.start);
    let clause = if in_filter { "WHERE" } else { "SELECT" };
    let problem = format!("Pull queries don't support the following columns in {clause} clauses: `{name}`");
    Err(PlanError::invalid_hint(at, problem, "add EMIT CHANGES for a continuous query"))
}

/// A table over the store that holds it.
fn stored(view: &View, plan: &ViewPlan, pseudo: &[&str], at: Position) -> Result<Arc<dyn TableProvider>, PlanError> {
    let rows = ViewTable::new(view).map_err(|error| PlanError::invalid(at, error.to_string()))?;
    let build = || -> DataFusionResult<Arc<dyn TableProvider>> {
        let scan = LogicalPlanBuilder::scan(view.name(), provider_as_source(Arc::new(rows)), None)?.build()?;
        let plan = plan.over(scan)?;
        projected(plan, pseudo)
    };
    build().map_err(|error| PlanError::invalid(at, one_line(&error.strip_backtrace())))
}

/// A source over its topic.
fn unstored(table: TopicTable, pseudo: &[&str], at: Position) -> Result<Arc<dyn TableProvider>, PlanError> {
    let build = || -> DataFusionResult<Arc<dyn TableProvider>> {
        let scan = LogicalPlanBuilder::scan("topic", provider_as_source(Arc::new(table)), None)?.build()?;
        projected(scan, pseudo)
    };
    build().map_err(|error| PlanError::invalid(at, one_line(&error.strip_backtrace())))
}

/// Leaves out the pseudo columns that the query does not name.
fn projected(plan: datafusion::logical_expr::LogicalPlan, pseudo: &[&str]) -> DataFusionResult<Arc<dyn TableProvider>> {
    let fields = plan.schema().fields().iter().map(|field| field.name().clone());
    let shown = fields.filter(|name| !PSEUDO.contains(&name.as_str()) || pseudo.contains(&name.as_str()));
    let columns: Vec<_> = shown.map(ident).collect();
    let plan = LogicalPlanBuilder::from(plan).project(columns)?.build()?;
    Ok(Arc::new(LogicalView::new(plan, None)))
}

/// The tables and columns that a query names, and its common table expressions.
#[derive(Default)]
struct Relations {
    tables: Vec<Ident>,
    common: BTreeSet<String>,
    columns: BTreeSet<String>,
}

impl Visitor for Relations {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let common = query.with.iter().flat_map(|with| &with.cte_tables);
        self.common.extend(common.map(|table| table.alias.name.value.clone()));
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        if let [ObjectNamePart::Identifier(name)] = relation.0.as_slice() {
            self.tables.push(name.clone());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &SqlExpr) -> ControlFlow<()> {
        match expr {
            SqlExpr::Identifier(name) => {
                self.columns.insert(name.value.clone());
            }
            SqlExpr::CompoundIdentifier(parts) => self.columns.extend(parts.last().map(|name| name.value.clone())),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Puts numbers in the place of moments, and leaves named pseudo columns out of stars.
struct Rewrite<'a> {
    hidden: &'a [&'a str],
}

impl VisitorMut for Rewrite<'_> {
    type Break = PlanError;

    fn post_visit_expr(&mut self, expr: &mut SqlExpr) -> ControlFlow<PlanError> {
        let outcome = match expr {
            SqlExpr::BinaryOp { left, right, .. } => {
                moment_literal(left, right).and_then(|()| moment_literal(right, left))
            }
            SqlExpr::Between { expr, low, high, .. } => {
                moment_literal(expr, low).and_then(|()| moment_literal(expr, high))
            }
            _ => Ok(()),
        };
        outcome.map_or_else(ControlFlow::Break, ControlFlow::Continue)
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<PlanError> {
        if let (SetExpr::Select(select), false) = (query.body.as_mut(), self.hidden.is_empty()) {
            for item in &mut select.projection {
                if let SelectItem::Wildcard(options) = item
                    && options.opt_exclude.is_none()
                {
                    let names = self.hidden.iter().map(|name| ObjectName::from(vec![Ident::with_quote('`', *name)]));
                    options.opt_exclude = Some(ExcludeSelectItem::Multiple(names.collect()));
                }
            }
        }
        ControlFlow::Continue(())
    }
}

/// An error of DataFusion with its place, where that can be found.
fn place(error: DataFusionError, query: &PullQuery, at: Position, own: &Functions) -> PlanError {
    if let DataFusionError::SchemaError(problem, _) = error.find_root() {
        match problem.as_ref() {
            SchemaError::FieldNotFound { field, valid_fields } => {
                let at = position_of_name(query, &field.name).unwrap_or(at);
                let names: BTreeSet<&str> = valid_fields.iter().map(|field| field.name.as_str()).collect();
                let same = names.iter().copied().find(|name| name.eq_ignore_ascii_case(&field.name));
                let suggestion = same.or_else(|| nearest(&field.name, names.iter().copied())).map(str::to_owned);
                let scope = match &field.relation {
                    Some(relation) => relation.table().to_owned(),
                    None => "this query".to_owned(),
                };
                let known =
                    if names.is_empty() { "none".to_owned() } else { names.into_iter().collect::<Vec<_>>().join(", ") };
                let (name, written) = (field.name.clone(), field.name.as_str().into());
                let known = known.into();
                return PlanError::UnknownColumn { at, name, written, scope, suggestion, known, clause: None };
            }
            SchemaError::AmbiguousReference { field } => {
                let at = position_of_name(query, &field.name).unwrap_or(at);
                let problem = format!("column {} is in several of the tables", field.name);
                return PlanError::invalid_hint(at, problem, format!("write which one, as in T.{}", field.name));
            }
            _ => {}
        }
    }
    let span = error.diagnostic().and_then(|diagnostic| diagnostic.span);
    let found = span.and_then(|span| {
        let (line, column) = (u32::try_from(span.start.line).ok()?, u32::try_from(span.start.column).ok()?);
        (line > 0).then(|| Position::new(line, column))
    });
    let text = error.strip_backtrace();
    if let Some(name) = text.split("Invalid function '").nth(1).and_then(|rest| rest.split('\'').next()) {
        let name = name.to_ascii_uppercase();
        let at = position_of_function(query, &name).unwrap_or(at);
        let suggestion = own.nearest(&name);
        return PlanError::UnknownFunction { at, name, suggestion };
    }
    if text.contains("must appear in the GROUP BY clause")
        && let Some(column) = text.split('"').nth(1)
    {
        let name = column.rsplit('.').next().unwrap_or(column);
        let at = position_of_name(query, name).or(found).unwrap_or(at);
        let problem = format!("column {name} is neither grouped by nor in an aggregate function");
        return PlanError::invalid_hint(at, problem, "group by it, or take an aggregate of it such as MAX");
    }
    PlanError::Expression { at: found.unwrap_or(at), problem: one_line(&text) }
}

/// Finds where a name first stands.
struct Find<'a> {
    column: Option<&'a str>,
    function: Option<&'a str>,
}

impl Visitor for Find<'_> {
    type Break = Position;

    fn pre_visit_expr(&mut self, expr: &SqlExpr) -> ControlFlow<Position> {
        let name = match expr {
            SqlExpr::Identifier(name) => self.column.filter(|wanted| name.value == **wanted).map(|_| name),
            SqlExpr::CompoundIdentifier(parts) => parts.last().filter(|name| self.column == Some(name.value.as_str())),
            SqlExpr::Function(call) => match call.name.0.last() {
                Some(ObjectNamePart::Identifier(name)) if self.function == Some(name.value.as_str()) => Some(name),
                _ => None,
            },
            _ => None,
        };
        match name.and_then(|name| Position::from_location(name.span.start)) {
            Some(at) => ControlFlow::Break(at),
            None => ControlFlow::Continue(()),
        }
    }
}

fn position_of_name(query: &PullQuery, name: &str) -> Option<Position> {
    query.query.visit(&mut Find { column: Some(name), function: None }).break_value()
}

fn position_of_function(query: &PullQuery, name: &str) -> Option<Position> {
    query.query.visit(&mut Find { column: None, function: Some(name) }).break_value()
}
