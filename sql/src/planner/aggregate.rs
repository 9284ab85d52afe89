//! GROUP BY: aggregates per key, or per key and window.
//!
//! Items are bound over the input, with aggregates in them; then each aggregate and each grouping expression in them is replaced
//! by the column that will hold it. What is left over of the input's columns is a mistake of the user.
//!
//! ```text
//! SELECT ucase(city) AS c, SUM(a) / COUNT(*) AS mean .. GROUP BY ucase(city)
//!   key  C = upper(CITY)      aggregates  __AGG0 = sum(A), __AGG1 = count(1)      items  C, __AGG0 / __AGG1 AS MEAN
//! ```

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::{
    common::{
        Column as ColumnName,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    error::DataFusionError,
    sql::sqlparser::ast::visit_expressions,
};
use millstream::{
    dsl::{ColumnGroup, ColumnStream, ColumnTable, Materialized, Repartitioned},
    expression::{Expr, col},
    operator::Column,
    schema::{ROWTIME, StreamSchema, WINDOWEND, WINDOWSTART},
    window::{EmitStrategy, Windows},
};

use super::{
    bind::{self, bind, is_column, with_bigints},
    clause::Clause,
    error::PlanError,
    named_key::NamedKey,
    projection::{Projection, WrittenItem},
    query::{Flow, Item, Joined, Purpose, QueryContext, Selected, Stored},
    unnest::contains_table_function,
    window::{self, is_final},
};
use crate::{
    expression::shown,
    functions::{Functions, registry::FunctionKind},
    syntax::{
        Position,
        ast::{self, StreamQuery},
        position_of,
    },
};

/// Whether an aggregate function is called in an expression.
pub(super) fn contains_aggregate(expr: &Expr) -> bool {
    expr.exists(|part| Ok(matches!(part, Expr::AggregateFunction(_)))).unwrap_or(false)
}

/// Whether a query without GROUP BY has an aggregate function in its projection, so that all rows are one group.
pub(super) fn is_over_all(query: &StreamQuery, functions: &Functions) -> bool {
    let is_call = |part: &ast::Expr| match part {
        ast::Expr::Function(call) => functions.kind_of(&call.name.to_string()) == FunctionKind::Aggregate,
        _ => false,
    };
    query.items.iter().any(|item| match item {
        ast::SelectItem::Expr { expr, .. } => {
            let found =
                visit_expressions(
                    expr,
                    |part| {
                        if is_call(part) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                    },
                );
            found.is_break()
        }
        _ => false,
    })
}

/// Grouping expressions and aggregates, with the columns that hold them.
struct Grouping {
    keys: Vec<(String, Expr)>,
    calls: Vec<(String, Expr)>,
    windowed: bool,
}

/// Plans GROUP BY, HAVING and the projection over it.
pub(super) fn aggregate(
    query: &StreamQuery,
    group_by: &[ast::Expr],
    joined: Joined,
    context: &QueryContext<'_>,
) -> Result<Selected, PlanError> {
    let Joined { flow, scope, sources: _, bases, stored: _, key: _ } = joined;
    let input = Arc::clone(flow.schema().columns());
    let windows = query.window.as_ref().map(|clause| window::windows_of(clause, is_final(query))).transpose()?;
    let is_join = !query.joins.is_empty();
    let projection = Projection { scope: &scope, columns: &input, purpose: Purpose::Push, is_join, partition_by: None };
    let mut written = projection.expand(&query.items)?;
    // What is grouped by is the key, even if it is written as a copy.
    written.iter_mut().filter(|item| group_by.contains(&item.expr)).for_each(|item| item.is_copy = false);

    if let Some(item) = written.iter().find(|item| contains_table_function(&item.expr, &scope.functions)) {
        let at = position_of(&item.expr).unwrap_or(item.at);
        return Err(PlanError::invalid(at, "Table functions cannot be used with aggregations."));
    }
    let mut scope = scope;
    let columns = match &windows {
        Some(_) => {
            scope.add_column(0, WINDOWSTART, true);
            scope.add_column(0, WINDOWEND, true);
            with_bigints(&input, &[WINDOWSTART, WINDOWEND])
        }
        None => Arc::clone(&input),
    };
    let group_at = query.group_by.as_ref().map_or(query.span.start, |group_by| group_by.span.start);
    let keys = group_by.iter().map(|expr| group_key(expr, &scope, &input, group_at)).collect::<Result<Vec<_>, _>>()?;
    let bound =
        |item: &WrittenItem| bind(&item.expr, &scope, &columns, item.at).map_err(|error| Clause::Select.tell(error));
    let bound = written.iter().map(bound).collect::<Result<Vec<_>, _>>()?;

    let having = match &query.having {
        None => None,
        Some(having) => {
            let predicate = bind::bind_predicate(&having.node, &scope, &columns, having.span.start);
            Some((having, predicate.map_err(|error| Clause::Having.tell(error))?))
        }
    };
    if !bound.iter().chain(having.iter().map(|(_, expr)| expr)).any(contains_aggregate) {
        let problem = "GROUP BY requires aggregate functions in either the SELECT or HAVING clause.";
        return Err(PlanError::invalid(group_at, problem));
    }

    let mut grouping =
        Grouping { keys: name_keys(keys, &written, &bound), calls: Vec::new(), windowed: windows.is_some() };
    let mut left_over = Vec::new();
    let rewritten = written.iter().zip(bound).map(|(item, expr)| grouping.rewrite(expr, item, &mut left_over));
    let rewritten = rewritten.collect::<Result<Vec<_>, _>>()?;
    if let Some(first) = left_over.first() {
        let items: Vec<&str> = left_over.iter().map(|one| one.item.as_str()).collect();
        let problem = format!("Non-aggregate SELECT expression(s) not part of GROUP BY: {}", items.join(", "));
        return Err(first.error(problem));
    }
    let having = match having {
        None => None,
        Some((having, expr)) => {
            let at = position_of(&having.node).unwrap_or(having.span.start);
            let item = WrittenItem { name: String::new(), expr: having.node.clone(), at, is_copy: false };
            let rewritten = grouping.rewrite(expr, &item, &mut left_over)?;
            if let Some(first) = left_over.first() {
                let problem = format!("Non-aggregate HAVING expression not part of GROUP BY: {}", first.column);
                return Err(first.error(problem));
            }
            Some((rewritten, &having.node, at))
        }
    };

    let materialized = Materialized {
        name: Some(context.versions.name(&context.store)),
        retention: window::retention(query, windows.as_ref())?,
        ..Materialized::default()
    };
    let strategy = if is_final(query) { window::final_strategy(windows.as_ref()) } else { EmitStrategy::OnUpdate };
    let table = match flow {
        Flow::Stream(stream) => grouping.over_stream(&stream, windows.clone(), strategy, materialized, &context.store),
        Flow::Table(table) => {
            if let Some(window) = &query.window {
                return Err(PlanError::invalid(window.span.start, "WINDOW is for streams; a table has one row a key"));
            }
            grouping.over_table(&table, materialized)
        }
    };
    let named_key = NamedKey::grouping(group_by.iter().map(shown).collect());
    finish(query, grouping, table, written, rewritten, having, bases, windows, named_key)
}

#[expect(clippy::too_many_arguments, reason = "the parts of one query, put together once")]
fn finish(
    query: &StreamQuery,
    grouping: Grouping,
    table: ColumnTable,
    written: Vec<WrittenItem>,
    rewritten: Vec<Expr>,
    having: Option<(Expr, &ast::Expr, Position)>,
    sources: Vec<crate::catalog::Source>,
    windows: Option<Windows>,
    named_key: NamedKey,
) -> Result<Selected, PlanError> {
    let result = Arc::clone(table.schema().columns());
    // The builder keeps what is wrong with an aggregate call until the end; here its column is then missing.
    if let Some((name, call)) = grouping.calls.iter().find(|(name, _)| result.index_of(name).is_err()) {
        let at = written.iter().find(|item| item.name == *name).map_or(query.span.start, |item| item.at);
        return Err(PlanError::Expression { at, problem: format!("{call} cannot be computed over these columns") });
    }
    let mut items = Vec::with_capacity(written.len());
    for (written, expr) in written.into_iter().zip(rewritten) {
        let at = position_of(&written.expr).unwrap_or(written.at);
        let (expr, data_type) = bind::normalised(expr, &result, at)?;
        let text = shown(&written.expr);
        items.push(Item { name: written.name, expr, data_type, text, at: written.at, is_copy: written.is_copy });
    }
    let mut stored = table.store_name().map(|store| Stored { store, filters: Vec::new() });
    let mut flow = Flow::Table(table);
    if let Some((predicate, written, at)) = having {
        bind::expect_boolean(&predicate, &result, Clause::Having, (written, at))?;
        flow = flow.filter(&predicate);
        if let Some(stored) = &mut stored {
            stored.filters.push(predicate);
        }
    }
    let window = windows.as_ref().map(window::info);
    let at = query.span.start;
    Ok(Selected { flow, stored, items, key: None, window, sources, is_distinct: false, named_key, at })
}

fn group_key(
    expr: &ast::Expr,
    scope: &super::scope::Scope,
    input: &SchemaRef,
    at: Position,
) -> Result<Expr, PlanError> {
    let at = position_of(expr).unwrap_or(at);
    for (_, column) in bind::named_columns(expr) {
        let is_bound = column.value == WINDOWSTART || column.value == WINDOWEND;
        if is_bound && input.index_of(&column.value).is_err() {
            return Err(PlanError::invalid(super::scope::place(&column, at), only_in_select(&column.value)));
        }
    }
    let bound = bind(expr, scope, input, at).map_err(|error| Clause::GroupBy.tell(error))?;
    if let Some(name) = aggregate_in(&bound) {
        let problem = format!("GROUP BY does not support aggregate functions: {name} is an aggregate function.");
        return Err(PlanError::invalid(at, problem));
    }
    let (bound, data_type) = bind::normalised(bound, input, at)?;
    if has_empty_struct(&data_type) {
        let problem = "rows cannot be grouped by STRUCT(), which has no fields";
        return Err(PlanError::invalid_hint(at, problem, "leave it out: it is the same for all rows"));
    }
    Ok(bound)
}

/// Whether a type is or contains a struct without fields.
fn has_empty_struct(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => fields.is_empty() || fields.iter().any(|field| has_empty_struct(field.data_type())),
        DataType::List(item) | DataType::Map(item, _) => {
            // The entries of a map are a struct of key and value.
            has_empty_struct(item.data_type())
        }
        _ => false,
    }
}

/// The name of an aggregate function that is called in an expression, if one is.
fn aggregate_in(expr: &Expr) -> Option<String> {
    let mut found = None;
    let _ = expr.apply(|part| {
        if let Expr::AggregateFunction(call) = part {
            found.get_or_insert(call.func.name().to_uppercase());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

/// A column that is left over in an expression over groups.
struct LeftOver {
    /// The column.
    column: String,
    /// The whole expression.
    item: String,
    at: Position,
}

impl LeftOver {
    fn error(&self, problem: String) -> PlanError {
        let column = &self.column;
        PlanError::invalid_hint(self.at, problem, format!("group by {column}, or take an aggregate of it such as MAX"))
    }
}

/// The bound of a window that an aggregate function in an expression takes, if one does.
fn aggregated_bound(expr: &Expr) -> Option<String> {
    let mut found = None;
    let _ = expr.apply(|part| {
        if matches!(part, Expr::AggregateFunction(_)) {
            let bound = |column: &&ColumnName| column.name == WINDOWSTART || column.name == WINDOWEND;
            found =
                found.take().or_else(|| part.column_refs().into_iter().find(bound).map(|column| column.name.clone()));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

fn only_in_select(bound: &str) -> String {
    format!("Window bounds column {bound} can only be used in the SELECT clause of windowed aggregations")
}

/// A key is called like the first item that is just it, or like its column, or `KSQL_COL_n`.
fn name_keys(keys: Vec<Expr>, written: &[WrittenItem], bound: &[Expr]) -> Vec<(String, Expr)> {
    let plain = |expr: &Expr| match expr {
        Expr::Cast(cast) => cast.expr.as_ref().clone(),
        other => other.clone(),
    };
    let name = |index: usize, key: &Expr| {
        let selected =
            written.iter().zip(bound).find(|(item, expr)| !item.is_copy && (*expr == key || **expr == plain(key)));
        match (selected, key) {
            (Some((item, _)), _) => item.name.clone(),
            (None, Expr::Column(column)) => column.name.clone(),
            (None, _) => format!("KSQL_COL_{index}"),
        }
    };
    keys.into_iter().enumerate().map(|(index, key)| (name(index, &key), key)).collect()
}

impl Grouping {
    /// Puts key and aggregate columns in the place of what they hold.
    fn rewrite(&mut self, expr: Expr, item: &WrittenItem, left: &mut Vec<LeftOver>) -> Result<Expr, PlanError> {
        let at = position_of(&item.expr).unwrap_or(item.at);
        if let Some(bound) = aggregated_bound(&expr).filter(|_| self.windowed) {
            return Err(PlanError::invalid(at, only_in_select(&bound)));
        }
        let is_whole = matches!(expr, Expr::AggregateFunction(_));
        let mut left_over = None;
        let rewritten = expr.transform_down(|part| {
            if let Some(name) = self.key_of(&part) {
                return Ok(Transformed::new(col(&name), true, TreeNodeRecursion::Jump));
            }
            if matches!(part, Expr::AggregateFunction(_)) {
                let preferred = is_whole.then_some(item.name.as_str()).filter(|name| !name.is_empty());
                let name = self.call(part, &item.expr, preferred)?;
                return Ok(Transformed::new(col(&name), true, TreeNodeRecursion::Jump));
            }
            if let Expr::Column(column) = &part {
                let is_bound = self.windowed && (column.name == WINDOWSTART || column.name == WINDOWEND);
                if !is_bound {
                    left_over.get_or_insert(column.name.clone());
                }
            }
            Ok(Transformed::no(part))
        });
        let problem = |error: DataFusionError| match error {
            DataFusionError::Plan(problem) => PlanError::Expression { at, problem },
            other => PlanError::Expression { at, problem: super::error::one_line(&other.strip_backtrace()) },
        };
        let rewritten = rewritten.map_err(problem)?.data;
        if let Some(column) = left_over {
            let named = bind::named_columns(&item.expr).into_iter().find(|(_, named)| column.ends_with(&named.value));
            let at = named.map_or(at, |(_, column)| super::scope::place(&column, at));
            left.push(LeftOver { column, item: shown(&item.expr), at });
        }
        Ok(rewritten)
    }

    fn key_of(&self, part: &Expr) -> Option<String> {
        let matches = |key: &Expr| match key {
            key if key == part => true,
            Expr::Cast(cast) => cast.expr.as_ref() == part && !is_plain_column(part),
            _ => false,
        };
        self.keys.iter().find(|(_, key)| matches(key)).map(|(name, _)| name.clone())
    }

    fn call(&mut self, call: Expr, written: &ast::Expr, preferred: Option<&str>) -> Result<String, DataFusionError> {
        let Expr::AggregateFunction(function) = &call else {
            return Err(DataFusionError::Plan("no aggregate function".to_owned()));
        };
        if function.params.args.iter().any(contains_aggregate) {
            let written = shown(written);
            return Err(DataFusionError::Plan(format!("Aggregate functions can not be nested: {written}")));
        }
        if let Some((name, _)) = self.calls.iter().find(|(_, known)| *known == call) {
            return Ok(name.clone());
        }
        let is_free = |name: &str| {
            !self.keys.iter().any(|(key, _)| key == name) && !self.calls.iter().any(|(known, _)| known == name)
        };
        let reserved = |name: &str| matches!(name, ROWTIME | WINDOWSTART | WINDOWEND | millstream::schema::ROWOFFSET);
        let name = match preferred.filter(|name| is_free(name) && !reserved(name)) {
            Some(name) => name.to_owned(),
            None => format!("__AGG{}", self.calls.len()),
        };
        self.calls.push((name.clone(), call));
        Ok(name)
    }

    /// Whether the key of the input is the one that is grouped by, so that nothing has to move.
    fn keeps_key(&self, schema: &StreamSchema) -> bool {
        !schema.is_windowed()
            && schema.key().len() == self.keys.len()
            && schema.key().iter().zip(&self.keys).all(|(field, (_, key))| is_column(key, field.name()))
    }

    fn over_stream(
        &mut self,
        stream: &ColumnStream,
        windows: Option<Windows>,
        strategy: EmitStrategy,
        materialized: Materialized,
        repartition: &str,
    ) -> ColumnTable {
        let (input, calls) = if self.keeps_key(stream.schema()) {
            let names: Vec<String> = self.keys.iter().map(|(name, _)| name.clone()).collect();
            (rename(stream, &names), self.renamed_calls(&self.renamed_keys(stream.schema())))
        } else {
            let (values, renamed) = self.values();
            // Named apart from the store: that may have versions, what is on its way must not be lost.
            let moved = Repartitioned::named(repartition);
            (stream.select_key(&self.key_columns(), &values).repartition(moved), self.renamed_calls(&renamed))
        };
        let group: ColumnGroup = match windows {
            Some(windows) => input.group_by_key().windowed_by(windows).emit_strategy(strategy),
            None => input.group_by_key(),
        };
        group.aggregate(&calls, materialized)
    }

    fn over_table(&mut self, table: &ColumnTable, materialized: Materialized) -> ColumnTable {
        let (values, renamed) = self.values();
        table.group_by(&self.key_columns(), &values).aggregate(&self.renamed_calls(&renamed), materialized)
    }

    fn key_columns(&self) -> Vec<Column> {
        self.keys.iter().map(|(name, expr)| Column::new(name, expr.clone())).collect()
    }

    fn renamed_keys(&self, schema: &StreamSchema) -> BTreeMap<String, String> {
        schema.key().iter().zip(&self.keys).map(|(field, (name, _))| (field.name().clone(), name.clone())).collect()
    }

    /// The columns that aggregates read, as value columns beside the new key, and what they are then called.
    fn values(&self) -> (Vec<Column>, BTreeMap<String, String>) {
        let mut read: Vec<&ColumnName> = self.calls.iter().flat_map(|(_, call)| call.column_refs()).collect();
        read.sort();
        read.dedup();
        let mut values = Vec::new();
        let mut renamed = BTreeMap::new();
        for column in read.into_iter().filter(|column| column.name != ROWTIME) {
            let name = column.name.as_str();
            if let Some((key, _)) = self.keys.iter().find(|(_, key)| is_column(key, name)) {
                renamed.insert(name.to_owned(), key.clone());
                continue;
            }
            let reserved = [WINDOWSTART, WINDOWEND, millstream::schema::ROWOFFSET].contains(&name);
            let clashes = reserved || self.keys.iter().any(|(key, _)| key == name);
            let new = if clashes { format!("__{name}") } else { name.to_owned() };
            values.push(Column::new(&new, col(name)));
            renamed.insert(name.to_owned(), new);
        }
        (values, renamed)
    }

    fn renamed_calls(&self, renamed: &BTreeMap<String, String>) -> Vec<Expr> {
        let rename = |call: &Expr| {
            let changed = call.clone().transform(|part| match &part {
                Expr::Column(column) => match renamed.get(&column.name) {
                    Some(new) if *new != column.name => Ok(Transformed::yes(col(new))),
                    _ => Ok(Transformed::no(part)),
                },
                _ => Ok(Transformed::no(part)),
            });
            changed.map_or_else(|_| call.clone(), |changed| changed.data)
        };
        self.calls.iter().map(|(name, call)| rename(call).alias(name)).collect()
    }
}

fn is_plain_column(expr: &Expr) -> bool {
    matches!(expr, Expr::Column(_))
}

/// A stream under other names of its key columns; names that a value column has are left as they are.
fn rename(stream: &ColumnStream, names: &[String]) -> ColumnStream {
    if stream.schema().key().iter().zip(names).all(|(field, name)| field.name() == name) {
        return stream.clone();
    }
    match super::rename_key::RenameKey::new(stream.schema(), names) {
        Ok(renamed) => {
            let schema = Arc::clone(renamed.output());
            stream.transform("rename-key", Arc::new(renamed), schema, stream.is_rekeyed())
        }
        Err(_) => stream.clone(),
    }
}
