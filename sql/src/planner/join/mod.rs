//! Joins, from left to right: each step joins all that is left of it with one more source.
//!
//! First the steps are looked at ([`steps`]): how each is done, over which key. Then they are built: both sides are brought under the
//! step's key ([`relation`]), and met. Streams are moved to the partitions of a new key, tables keep theirs; a table whose foreign key is
//! compared is joined through topics of its own.
//!
//! ```text
//! FROM orders o JOIN customers c ON o.customer = c.id
//!   left  key __KEY_0 = CUSTOMER | O_AMOUNT ..      right  key __KEY_0 = ID | C_NAME ..      joined  key __KEY_0 | O_AMOUNT .. C_NAME ..
//! ```

mod condition;
mod keys;
mod named;
mod relation;
mod steps;

use millstream::{
    dsl::ColumnStream,
    operator::{JoinKind, StreamJoinKind, TableJoinKind},
    record::TimeSpan,
    window::{GRACE_WITHOUT_ONE, JoinWindows},
};

pub(super) use self::{
    keys::JoinKey,
    named::{named_columns, partition_column},
};
use self::{
    relation::{Relation, Side},
    steps::{Method, Step},
};
use super::{
    error::PlanError,
    query::{Flow, Joined, QueryContext, source_scope},
    scope::{Scope, ScopeColumn},
    subquery::Found,
};
use crate::{
    catalog::{Catalog, Source},
    syntax::ast::{self, StreamQuery},
};

/// Plans FROM and JOIN.
///
/// # Errors
/// [`PlanError`] with the place of what is wrong.
pub(super) fn join(context: &QueryContext<'_>, query: &StreamQuery) -> Result<Joined, PlanError> {
    let written: Vec<&ast::SourceRef> =
        std::iter::once(&query.from).chain(query.joins.iter().map(|step| &step.right)).collect();
    check_references(&written)?;
    let found = written.iter().map(|one| context.found(one)).collect::<Result<Vec<Found>, _>>()?;
    let sources: Vec<Source> = found.iter().map(|one| one.source.clone()).collect();
    let bases: Vec<Source> = found.iter().flat_map(|one| one.bases.clone()).collect();
    let mut scope = names(&written, &sources, context.catalog);
    let (steps, key) = steps::steps(query, &scope, &sources)?;
    for (position, name) in key.synthetic(&scope) {
        let internal = keys::key_name(position);
        scope.columns.insert(0, ScopeColumn { source: 0, name, internal, is_pseudo: true });
    }
    let named = named_columns(query, &scope)?;

    let mut joined = Relation::read(context, written[0], &found[0], 0, &named)?;
    for step in &steps {
        let right = Relation::read(context, &step.written.right, &found[step.number], step.number, &named)?;
        joined = meet(joined, right, step, &scope)?;
    }
    let scope = result_scope(scope, &joined);
    Ok(Joined { flow: joined.flow, scope, sources, bases, stored: None, key: Some(key) })
}

fn check_references(written: &[&ast::SourceRef]) -> Result<(), PlanError> {
    for (index, one) in written.iter().enumerate() {
        let reference = one.reference();
        if written[..index].iter().any(|other| other.reference().value == reference.value) {
            let hint = "give each an alias: FROM a AS x JOIN a AS y";
            let problem = format!("two sources are called {}", reference.value);
            return Err(PlanError::invalid_hint(reference.span.start, problem, hint));
        }
    }
    Ok(())
}

/// The names of all sources, as the user may write them.
fn names(written: &[&ast::SourceRef], sources: &[Source], catalog: &Catalog) -> Scope {
    let mut scope = Scope { functions: catalog.functions().clone(), ..Scope::default() };
    for (index, (written, source)) in written.iter().zip(sources).enumerate() {
        let one = source_scope(written, source, catalog);
        scope.sources.extend(one.sources);
        scope.columns.extend(one.columns.into_iter().map(|mut column| {
            column.source = index;
            column
        }));
    }
    scope
}

/// What the names of a query mean in the result: columns that it does not name are not there.
fn result_scope(mut scope: Scope, joined: &Relation) -> Scope {
    for column in &mut scope.columns {
        let found = joined.columns.iter().find(|known| known.source == column.source && known.name == column.name);
        if let Some(found) = found {
            column.internal.clone_from(&found.internal);
        }
    }
    scope
}

fn meet(left: Relation, right: Relation, step: &Step<'_>, scope: &Scope) -> Result<Relation, PlanError> {
    check_types(&left, &right, step, scope)?;
    let kind = step.written.kind;
    let left_side = Side {
        on: &step.on,
        operand: |equality| &equality.left,
        keeps_key: step.keeps_left,
        is_kept: matches!(kind, ast::JoinKind::Inner | ast::JoinKind::Left),
    };
    let right_side = Side {
        on: &step.on,
        operand: |equality| &equality.right,
        keeps_key: step.keeps_right,
        is_kept: matches!(kind, ast::JoinKind::Inner | ast::JoinKind::Right),
    };
    if step.method == Method::ForeignKey {
        return meet_by_foreign_key(left, right, &left_side, step, scope);
    }
    let left = left.prepared(&left_side, scope)?;
    let right = right.prepared(&right_side, scope)?;
    let (own, other) = (left.value_names(), right.value_names());
    let forward: Vec<String> = own.iter().chain(&other).cloned().collect();
    let backward: Vec<String> = other.iter().chain(&own).cloned().collect();
    let at = step.written.span.start;
    let wrong_side = || PlanError::invalid(at, "the sides of this join do not fit");
    let flow = match step.method {
        Method::StreamStream => {
            let (one, two) = (left.stream().ok_or_else(wrong_side)?, right.stream().ok_or_else(wrong_side)?);
            Flow::Stream(meet_streams(one, two, step, &forward, &backward)?)
        }
        Method::StreamTable => {
            let (stream, table) = (left.stream().ok_or_else(wrong_side)?, right.table().ok_or_else(wrong_side)?);
            let kind = if kind == ast::JoinKind::Left { JoinKind::Left } else { JoinKind::Inner };
            Flow::Stream(stream.join(table, kind, &forward))
        }
        Method::TableTable | Method::ForeignKey => {
            let (one, two) = (left.table().ok_or_else(wrong_side)?, right.table().ok_or_else(wrong_side)?);
            Flow::Table(match kind {
                ast::JoinKind::Inner => one.join_table(two, TableJoinKind::Inner, &forward),
                ast::JoinKind::Left => one.join_table(two, TableJoinKind::Left, &forward),
                ast::JoinKind::Full => one.join_table(two, TableJoinKind::Outer, &forward),
                ast::JoinKind::Right => two.join_table(one, TableJoinKind::Left, &backward),
            })
        }
    };
    Ok(Relation::joined(flow, left, right))
}

fn meet_streams(
    left: &ColumnStream,
    right: &ColumnStream,
    step: &Step<'_>,
    forward: &[String],
    backward: &[String],
) -> Result<ColumnStream, PlanError> {
    let Some(within) = &step.written.within else {
        return Err(PlanError::invalid(step.written.span.start, "a join of streams must have a WITHIN clause"));
    };
    let span = |interval: &ast::Interval| TimeSpan::from_millis(interval.millis()).unwrap_or_default();
    let mut windows = JoinWindows::new(span(&within.before), span(&within.after));
    match &within.grace {
        Some(grace) => windows = windows.with_grace(span(grace)),
        None if step.is_final => windows = windows.with_grace(GRACE_WITHOUT_ONE),
        None => {}
    }
    Ok(match step.written.kind {
        ast::JoinKind::Inner => left.join_stream(right, StreamJoinKind::Inner, windows, forward),
        ast::JoinKind::Left => left.join_stream(right, StreamJoinKind::Left, windows, forward),
        ast::JoinKind::Full => left.join_stream(right, StreamJoinKind::Outer, windows, forward),
        ast::JoinKind::Right => right.join_stream(left, StreamJoinKind::Left, windows.swapped(), backward),
    })
}

/// The key stays that of the left table; the right table's key is carried along as values.
fn meet_by_foreign_key(
    left: Relation,
    right: Relation,
    left_side: &Side<'_>,
    step: &Step<'_>,
    scope: &Scope,
) -> Result<Relation, PlanError> {
    let at = step.written.span.start;
    let left = left.settled();
    let all_as_values = Side { on: &[], operand: left_side.operand, keeps_key: true, is_kept: false };
    let right = right.prepared(&all_as_values, scope)?;
    let input = std::sync::Arc::clone(left.flow.schema().columns());
    let foreign_key: Vec<_> =
        left.bound(left_side, scope, &input)?.into_iter().map(|column| column.expression).collect();
    let names: Vec<String> = left.value_names().into_iter().chain(right.value_names()).collect();
    let kind = if step.written.kind == ast::JoinKind::Left { JoinKind::Left } else { JoinKind::Inner };
    let (Some(one), Some(two)) = (left.table(), right.table()) else {
        return Err(PlanError::invalid(at, "the sides of this join do not fit"));
    };
    let flow = Flow::Table(one.join_foreign(two, &foreign_key, kind, &names));
    Ok(Relation::joined(flow, left, right))
}

fn check_types(left: &Relation, right: &Relation, step: &Step<'_>, scope: &Scope) -> Result<(), PlanError> {
    for equality in &step.on {
        let one = left.type_of(&equality.left, scope, equality.at)?;
        let two = right.type_of(&equality.right, scope, equality.at)?;
        if one != two {
            let problem = format!(
                "Invalid join condition: types don't match. Got {}{{{one}}} = {}{{{two}}}",
                equality.left.expr, equality.right.expr
            );
            return Err(PlanError::invalid_hint(equality.at, problem, format!("write CAST(.. AS {two})")));
        }
    }
    Ok(())
}
