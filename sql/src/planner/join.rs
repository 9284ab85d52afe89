//! Joins of a stream with tables, from left to right.
//!
//! The stream is brought under the table's key (through a repartition topic, unless that is its key already), each column of it
//! that the query names under the internal name `SOURCE_COLUMN`; then each record meets the table's row.
//!
//! ```text
//! FROM orders o JOIN customers c ON o.customer = c.id
//!   stream   key O_CUSTOMER | O_AMOUNT ..        table   key ID | C_NAME ..        joined   key O_CUSTOMER | O_AMOUNT .. C_NAME ..
//! ```
//!
//! The table's key is the joined key; in a left join it is a copy in the table's value, so that it is null where nothing was met.

use std::{collections::BTreeSet, sync::Arc};

use datafusion::sql::sqlparser::ast::BinaryOperator;
use millstream::{
    dsl::{ColumnStream, ColumnTable, Materialized},
    expression::{Expr, col},
    operator::{Column, JoinKind},
    schema::{ROWOFFSET, ROWTIME},
    topology::OffsetReset,
};

use super::{
    bind::{self, bind, is_column},
    error::PlanError,
    input,
    query::{Flow, Joined, QueryContext, legal, source_scope},
    scope::Scope,
};
use crate::{
    catalog::{Source, SqlType},
    syntax::{
        Position,
        ast::{self, SelectItem, SourceKind, StreamQuery},
        position_of,
    },
};

/// The columns that a query names: sources by number, names as written.
pub(super) struct Named {
    columns: BTreeSet<(usize, String)>,
    all_of: BTreeSet<usize>,
}

impl Named {
    /// Whether the query needs a column of a source.
    pub(super) fn has(&self, source: usize, name: &str) -> bool {
        self.all_of.contains(&source) || self.columns.contains(&(source, name.to_owned()))
    }
}

/// Plans FROM and JOIN.
pub(super) fn join(context: &QueryContext<'_>, query: &StreamQuery) -> Result<Joined, PlanError> {
    let left = context.catalog.expect_source(&query.from.name)?.clone();
    let mut sources = vec![left.clone()];
    for step in &query.joins {
        sources.push(check_step(context, &left, query, step)?);
    }
    let written: Vec<&ast::SourceRef> =
        std::iter::once(&query.from).chain(query.joins.iter().map(|step| &step.right)).collect();
    let user_scope = all_names(&written, &sources)?;
    let named = named_columns(query, &user_scope)?;

    let at = query.from.name.span.start;
    let mut stream = input::stream(context.builder, &left, context.reset, at)?;
    if stream.schema().is_windowed() {
        return Err(PlanError::not_yet(at, "joins of windowed streams are"));
    }
    // The names as far as joined; internal names change with each step.
    let mut scope = source_scope(&query.from, &left);
    for (index, step) in query.joins.iter().enumerate() {
        let number = index + 1;
        let table = &sources[number];
        let key: Vec<String> = table.key_columns().map(|column| column.name.clone()).collect();
        let conditions = conditions(step, &user_scope, number, table)?;
        stream = rekey(stream, &mut scope, &conditions, &key, table, &named)?;
        let (joined, table_columns) = meet(context, stream, step, number, table, &named, &user_scope)?;
        stream = joined;
        let added = scope.add_source(&step.right.reference().value, &table.name);
        debug_assert_eq!(added, number, "sources are numbered alike");
        for column in table_columns.iter().chain(&key_names(&key, &table_columns, &stream, number)) {
            scope.columns.push(column.clone());
        }
    }
    order_like(&mut scope, &user_scope);
    Ok(Joined { flow: Flow::Stream(stream), scope, sources, stored: None })
}

fn check_step(
    context: &QueryContext<'_>,
    left: &Source,
    query: &StreamQuery,
    step: &ast::Join,
) -> Result<Source, PlanError> {
    let right = context.catalog.expect_source(&step.right.name)?.clone();
    let at = step.span.start;
    match (left.kind, right.kind) {
        (SourceKind::Stream, SourceKind::Table) => {}
        (SourceKind::Stream, SourceKind::Stream) => {
            return Err(PlanError::not_yet_hint(at, "joins of streams with streams are", "make one of them a table"));
        }
        (SourceKind::Table, SourceKind::Table) => {
            return Err(PlanError::not_yet(at, "joins of tables with tables are"));
        }
        (SourceKind::Table, SourceKind::Stream) => {
            let hint = format!("write FROM {} .. JOIN {}", right.name, left.name);
            return Err(PlanError::invalid_hint(
                at,
                "a table cannot be joined with a stream, only a stream with a table",
                hint,
            ));
        }
    }
    if let Some(within) = &step.within {
        return Err(PlanError::invalid(within.span.start, "WITHIN is for joins of streams with streams"));
    }
    if matches!(step.kind, ast::JoinKind::Right | ast::JoinKind::Full) {
        return Err(PlanError::invalid_hint(
            at,
            "a stream is joined with a table by INNER or LEFT JOIN only",
            "use LEFT JOIN",
        ));
    }
    if right.window.is_some() {
        return Err(PlanError::not_yet(step.right.span.start, "joins with windowed tables are"));
    }
    let reference = step.right.reference();
    let same = std::iter::once(&query.from).chain(query.joins.iter().map(|step| &step.right));
    if same.filter(|other| other.reference().value == reference.value).count() > 1 {
        let hint = "give each an alias: FROM a AS x JOIN a AS y";
        return Err(PlanError::invalid_hint(
            reference.span.start,
            format!("two sources are called {}", reference.value),
            hint,
        ));
    }
    Ok(right)
}

/// The names of all sources, as the user may write them.
fn all_names(written: &[&ast::SourceRef], sources: &[Source]) -> Result<Scope, PlanError> {
    let mut scope = Scope::default();
    for (index, (written, source)) in written.iter().zip(sources).enumerate() {
        let one = source_scope(written, source);
        scope.sources.extend(one.sources);
        let is_known = |name: &str| index == 0 || !matches!(name, ROWTIME | ROWOFFSET);
        scope.columns.extend(one.columns.into_iter().filter(|column| is_known(&column.name)).map(|mut column| {
            column.source = index;
            column
        }));
    }
    Ok(scope)
}

/// Looks up every name of the query, so that mistakes are found before anything is joined.
pub(super) fn named_columns(query: &StreamQuery, scope: &Scope) -> Result<Named, PlanError> {
    let mut named = Named { columns: BTreeSet::new(), all_of: BTreeSet::new() };
    // The expressions, each with the source whose columns it only compares with: those need not be carried along.
    let mut expressions: Vec<(&ast::Expr, Option<usize>)> = Vec::new();
    for item in &query.items {
        match item {
            SelectItem::All { .. } => named.all_of.extend(0..scope.sources.len()),
            SelectItem::AllOf { source, .. } => {
                named.all_of.insert(scope.source(&source.value, source.span.start)?);
            }
            SelectItem::AllFields { expr, .. } | SelectItem::Expr { expr, .. } => expressions.push((expr, None)),
        }
    }
    expressions.extend(query.joins.iter().enumerate().map(|(index, step)| (&step.on.node, Some(index + 1))));
    let others = query.filter.iter().chain(&query.having).map(|clause| &clause.node);
    let others = others.chain(query.group_by.iter().chain(&query.partition_by).flat_map(|clause| &clause.node));
    expressions.extend(others.map(|expression| (expression, None)));
    for (expression, compared) in expressions {
        for (qualifier, name) in bind::named_columns(expression) {
            if query.window.is_some() && matches!(name.value.as_str(), "WINDOWSTART" | "WINDOWEND") {
                continue;
            }
            let qualifier = qualifier.as_ref();
            let is_field = |qualifier: &datafusion::sql::sqlparser::ast::Ident| {
                !scope.is_source(&qualifier.value) && scope.columns.iter().any(|column| column.name == qualifier.value)
            };
            let column = match qualifier {
                Some(column) if is_field(column) => scope.resolve(None, column, query.span.start)?,
                qualifier => scope.resolve(qualifier, &name, query.span.start)?,
            };
            if compared != Some(column.source) {
                named.columns.insert((column.source, column.name.clone()));
            }
        }
    }
    Ok(named)
}

/// The conditions of ON in the order of the table's key columns.
fn conditions(
    step: &ast::Join,
    user_scope: &Scope,
    number: usize,
    table: &Source,
) -> Result<Vec<(ast::Expr, Position)>, PlanError> {
    let mut equalities = Vec::new();
    split(&step.on.node, &mut equalities, step.on.span.start)?;
    let mut by_key: Vec<Option<(ast::Expr, Position)>> = table.key_columns().map(|_| None).collect();
    for (a, b) in equalities {
        let at = position_of(&a).unwrap_or(step.on.span.start);
        let side = |expr: &ast::Expr| -> Result<(bool, bool), PlanError> {
            let mut sides = (false, false);
            for (qualifier, name) in bind::named_columns(expr) {
                let column = user_scope.resolve(qualifier.as_ref(), &name, at)?;
                if column.source == number { sides.1 = true } else { sides.0 = true }
            }
            Ok(sides)
        };
        let (left, right) = match (side(&a)?, side(&b)?) {
            ((_, false), (false, true)) => (a, b),
            ((false, true), (_, false)) => (b, a),
            _ => {
                let hint = "write ON stream.column = table.key";
                return Err(PlanError::invalid_hint(at, "each side of = in ON must name columns of one source", hint));
            }
        };
        let key = key_position(&right, user_scope, number, table, at)?;
        if by_key[key].replace((left, at)).is_some() {
            return Err(PlanError::invalid(at, "a key column of the table is compared twice"));
        }
    }
    let names: Vec<&str> = table.key_columns().map(|column| column.name.as_str()).collect();
    let complete: Option<Vec<_>> = by_key.into_iter().collect();
    complete.ok_or_else(|| {
        let problem = format!("ON must compare the whole key of table {}: {}", table.name, names.join(", "));
        PlanError::invalid(step.on.span.start, problem)
    })
}

fn split(on: &ast::Expr, equalities: &mut Vec<(ast::Expr, ast::Expr)>, at: Position) -> Result<(), PlanError> {
    use datafusion::sql::sqlparser::ast::Expr as Sql;
    match on {
        Sql::Nested(inner) => split(inner, equalities, at),
        Sql::BinaryOp { left, op: BinaryOperator::And, right } => {
            split(left, equalities, at)?;
            split(right, equalities, at)
        }
        Sql::BinaryOp { left, op: BinaryOperator::Eq, right } => {
            equalities.push((left.as_ref().clone(), right.as_ref().clone()));
            Ok(())
        }
        other => {
            let at = position_of(other).unwrap_or(at);
            Err(PlanError::invalid_hint(
                at,
                "ON must be an equality",
                "write ON stream.column = table.key, other conditions in WHERE",
            ))
        }
    }
}

/// Which key column of the table an expression is.
fn key_position(
    expr: &ast::Expr,
    user_scope: &Scope,
    number: usize,
    table: &Source,
    at: Position,
) -> Result<usize, PlanError> {
    let named = bind::named_columns(expr);
    let is_column = matches!(
        expr,
        datafusion::sql::sqlparser::ast::Expr::Identifier(_)
            | datafusion::sql::sqlparser::ast::Expr::CompoundIdentifier(_)
    );
    let keys: Vec<&str> = table.key_columns().map(|column| column.name.as_str()).collect();
    if let ([(qualifier, name)], true) = (named.as_slice(), is_column) {
        let column = user_scope.resolve(qualifier.as_ref(), name, at)?;
        if column.source == number
            && let Some(position) = keys.iter().position(|key| *key == column.name)
        {
            return Ok(position);
        }
    }
    let at = position_of(expr).unwrap_or(at);
    let hint =
        format!("use a table whose key it is: CREATE TABLE .. AS SELECT .. GROUP BY, or join on {}", keys.join(", "));
    Err(PlanError::invalid_hint(
        at,
        format!("a table is joined by its primary key; that of {} is {}", table.name, keys.join(", ")),
        hint,
    ))
}

/// Brings the stream under the key of the table, its columns under internal names.
fn rekey(
    stream: ColumnStream,
    scope: &mut Scope,
    written: &[(ast::Expr, Position)],
    key_of_table: &[String],
    table: &Source,
    named: &Named,
) -> Result<ColumnStream, PlanError> {
    let columns = Arc::clone(stream.schema().columns());
    let mut conditions = Vec::with_capacity(written.len());
    for ((expr, at), column) in written.iter().zip(table.key_columns()) {
        let bound = bind(expr, scope, &columns, *at)?;
        let (left, found) = bind::normalised(bound, &columns, *at)?;
        if found != column.data_type.to_arrow() {
            let found = SqlType::from_arrow(&found).map_or_else(|| found.to_string(), |found| found.to_string());
            let problem = format!("the sides of = have different types: {found} and {}", column.data_type);
            return Err(PlanError::invalid_hint(*at, problem, format!("write CAST(.. AS {})", column.data_type)));
        }
        conditions.push(left);
    }
    let schema = stream.schema();
    let keeps = schema.key().len() == conditions.len()
        && schema.key().iter().zip(&conditions).all(|(field, left)| is_column(left, field.name()));

    let mut taken: BTreeSet<String> = schema.key().iter().map(|field| field.name().clone()).collect();
    taken.extend([ROWTIME.to_owned(), ROWOFFSET.to_owned()]);
    let key_names: Vec<String> = match keeps {
        true => schema.key().iter().map(|field| field.name().clone()).collect(),
        false => {
            taken.clear();
            let reference = |left: &Expr| match left {
                Expr::Column(column) => scope
                    .columns
                    .iter()
                    .find(|known| known.internal == column.name)
                    .map(|known| format!("{}_{}", scope.sources[known.source].reference, known.name)),
                _ => None,
            };
            let fallback = |index: usize| format!("ROWKEY_{}", key_of_table[index]);
            let names = conditions.iter().enumerate();
            names.map(|(index, left)| unique(reference(left).unwrap_or_else(|| fallback(index)), &mut taken)).collect()
        }
    };
    let mut values = Vec::new();
    for column in &mut scope.columns {
        if column.is_pseudo || !named.has(column.source, &column.name) {
            continue;
        }
        if let Some(index) = conditions.iter().position(|left| is_column(left, &column.internal)) {
            column.internal = key_names[index].clone();
            continue;
        }
        let is_internal = column.internal.starts_with(&format!("{}_", scope.sources[column.source].reference));
        let name = if is_internal && !taken.contains(&column.internal) {
            taken.insert(column.internal.clone());
            column.internal.clone()
        } else {
            unique(format!("{}_{}", scope.sources[column.source].reference, column.name), &mut taken)
        };
        values.push(Column::new(&name, col(&column.internal)));
        column.internal = name;
    }
    if keeps {
        return Ok(stream.select(&values));
    }
    let key: Vec<Column> = key_names.into_iter().zip(conditions).map(|(name, left)| Column::new(name, left)).collect();
    Ok(stream.select_key(&key, &values))
}

fn unique(wanted: String, taken: &mut BTreeSet<String>) -> String {
    let mut name = wanted;
    while !taken.insert(name.clone()) {
        name.push('_');
    }
    name
}

/// Joins with one table; gives the table's columns that the query names.
fn meet(
    context: &QueryContext<'_>,
    stream: ColumnStream,
    step: &ast::Join,
    number: usize,
    table: &Source,
    named: &Named,
    user_scope: &Scope,
) -> Result<(ColumnStream, Vec<super::scope::ScopeColumn>), PlanError> {
    let reference = &user_scope.sources[number].reference;
    let own: BTreeSet<String> = stream.schema().columns().fields().iter().map(|field| field.name().clone()).collect();
    let mut taken = own;
    let kind = if step.kind == ast::JoinKind::Left { JoinKind::Left } else { JoinKind::Inner };
    let mut columns = Vec::new();
    let mut values = Vec::new();
    for column in table.columns.iter().filter(|column| named.has(number, &column.name)) {
        if column.is_key() && kind == JoinKind::Inner {
            continue;
        }
        let name = unique(format!("{reference}_{}", column.name), &mut taken);
        values.push(Column::new(&name, col(&column.name)));
        let (source, user_name) = (number, column.name.clone());
        columns.push(super::scope::ScopeColumn { source, name: user_name, internal: name, is_pseudo: false });
    }
    let at = step.right.name.span.start;
    let options = input::options(table, OffsetReset::Earliest, at)?;
    let store = format!("{}-table", legal(reference));
    let rows = context.builder.stream_columns(&table.topic, options).select(&values);
    let rows: ColumnTable = rows.to_table(Materialized::named(&store));
    let names: Vec<String> = stream
        .schema()
        .value()
        .iter()
        .map(|field| field.name().clone())
        .chain(values.iter().map(|column| column.name.clone()))
        .collect();
    Ok((stream.join(&rows, kind, &names), columns))
}

/// The table's key columns that are not copies: they are the key of what was joined.
fn key_names(
    key: &[String],
    copied: &[super::scope::ScopeColumn],
    stream: &ColumnStream,
    number: usize,
) -> Vec<super::scope::ScopeColumn> {
    let missing =
        key.iter().zip(stream.schema().key()).filter(|(name, _)| copied.iter().all(|column| column.name != **name));
    missing
        .map(|(name, field)| super::scope::ScopeColumn {
            source: number,
            name: name.clone(),
            internal: field.name().clone(),
            is_pseudo: false,
        })
        .collect()
}

/// Puts columns in the order in which the sources have them, which is that of `*`.
fn order_like(scope: &mut Scope, user_scope: &Scope) {
    let order = |source: usize, name: &str| {
        user_scope
            .columns
            .iter()
            .position(|column| column.source == source && column.name == name)
            .unwrap_or(usize::MAX)
    };
    scope.columns.sort_by_key(|column| order(column.source, &column.name));
}
