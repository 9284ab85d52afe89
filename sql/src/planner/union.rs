//! UNION ALL: the records of several queries as one stream.
//!
//! Columns are matched by their position and must have the same types; they are called as in the first query. The key stays if every query
//! has it at the same positions; else the stream has none, and all columns are values. Nothing moves to another partition.
//!
//! ```text
//! SELECT id, amount FROM orders UNION ALL SELECT id, -amount FROM returns      key ID | AMOUNT
//! ```

use super::{
    error::PlanError,
    named_key::NamedKey,
    query::{Flow, Item, Purpose, QueryContext, Selected, check_clauses},
    subquery,
};
use crate::{
    catalog::SqlType,
    syntax::ast::{Emit, SourceKind, StreamQuery},
};
use millstream::{dsl::ColumnStream, expression::col};

/// Plans a query with UNION ALL.
///
/// # Errors
/// [`PlanError`] with the place of what does not fit.
pub(super) fn union(context: &QueryContext<'_>, query: &StreamQuery) -> Result<Selected, PlanError> {
    let first = StreamQuery { unions: Vec::new(), emit: None, limit: None, named: Vec::new(), ..query.clone() };
    check_end(query, context.purpose)?;
    let mut branches = Vec::with_capacity(query.unions.len() + 1);
    for branch in std::iter::once(&first).chain(&query.unions) {
        let selected = context.inner().select(branch)?;
        if selected.flow.kind() == SourceKind::Table {
            let problem =
                "UNION ALL is for streams, this SELECT gives a TABLE: rows of one key would replace each other";
            let hint = "join the tables, or unite the streams that they are made of";
            return Err(PlanError::invalid_hint(selected.at, problem, hint));
        }
        if let Some(first) = branches.first() {
            check_columns(first, &selected)?;
        }
        branches.push(selected);
    }
    merged(branches, query)
}

/// EMIT and LIMIT, which are those of the whole.
fn check_end(query: &StreamQuery, purpose: Purpose) -> Result<(), PlanError> {
    if let Some(emit) = query.emit.as_ref().filter(|emit| emit.node == Emit::Final) {
        let problem = "EMIT FINAL is for windowed aggregations, UNION ALL gives a stream";
        return Err(PlanError::invalid_hint(emit.span.start, problem, "use EMIT CHANGES"));
    }
    let end = StreamQuery { window: None, having: None, group_by: None, partition_by: None, ..query.clone() };
    check_clauses(&end, purpose)
}

/// Refuses a branch whose columns are not those of the first.
fn check_columns(first: &Selected, other: &Selected) -> Result<(), PlanError> {
    let (wanted, found) = (first.items.len(), other.items.len());
    if wanted != found {
        let problem = format!("UNION ALL needs the same columns: the first SELECT has {wanted}, this one {found}");
        return Err(PlanError::invalid(other.at, problem));
    }
    let shown = |item: &Item| {
        SqlType::from_arrow(&item.data_type).map_or_else(|| item.data_type.to_string(), |known| known.to_string())
    };
    for (number, (wanted, item)) in first.items.iter().zip(&other.items).enumerate() {
        let (wanted_type, found_type) = (shown(wanted), shown(item));
        if wanted_type != found_type {
            let problem = format!(
                "column {} of UNION ALL is {} {wanted_type} in the first SELECT, here {} {found_type}",
                number + 1,
                wanted.name,
                item.name
            );
            return Err(PlanError::invalid_hint(item.at, problem, format!("write CAST(.. AS {wanted_type})")));
        }
    }
    Ok(())
}

/// The branches as one stream.
fn merged(branches: Vec<Selected>, query: &StreamQuery) -> Result<Selected, PlanError> {
    let at = query.span.start;
    let names: Vec<String> = branches[0].items.iter().map(|item| item.name.clone()).collect();
    let key = common_key(&branches);
    let window = if key.is_some() { branches[0].window } else { None };
    let mut united: Option<ColumnStream> = None;
    for branch in &branches {
        let Flow::Stream(stream) = subquery::named_flow(branch, &names, key.as_deref())? else { continue };
        united = Some(match united {
            None => stream,
            Some(others) => others.merge(&stream),
        });
    }
    let Some(stream) = united else { return Err(PlanError::invalid(at, "UNION ALL of no streams")) };
    let mut items = Vec::with_capacity(names.len());
    let mut sources = Vec::new();
    for branch in branches {
        if items.is_empty() {
            items.extend(branch.items.into_iter().map(|item| Item { expr: col(&item.name), is_copy: false, ..item }));
        }
        sources.extend(branch.sources);
    }
    let named_key = NamedKey::columns(stream.schema().key().iter().map(|field| field.name().clone()).collect());
    let flow = Flow::Stream(stream);
    Ok(Selected { flow, stored: None, items, key: None, window, sources, is_distinct: false, named_key, at })
}

/// Where all branches have the same key; none if they do not.
fn common_key(branches: &[Selected]) -> Option<Vec<usize>> {
    let key = subquery::key_positions(&branches[0])?;
    let is_same = |branch: &Selected| {
        subquery::key_positions(branch).as_ref() == Some(&key)
            && branch.window == branches[0].window
            && branch.flow.schema().window() == branches[0].flow.schema().window()
    };
    branches.iter().all(is_same).then_some(key)
}
