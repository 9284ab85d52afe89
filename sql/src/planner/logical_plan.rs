//! The logical plan of a query: what its clauses do, the last one on top, as EXPLAIN shows it.
//!
//! ```text
//! write STREAM X, topic X: `ID` INTEGER KEY, `TWICE` DOUBLE
//!   project ID INTEGER = ORDERS.ID, TWICE DOUBLE = (AMOUNT * 2)
//!     filter (CITY = 'Rome')
//!       read STREAM ORDERS: `ID` INTEGER KEY, `CITY` STRING, `AMOUNT` DOUBLE
//! ```
//!
//! Expressions are shown as ksqlDB writes them; those of the projection of the statement itself with the types that they are bound to.

use std::fmt::{self, Write};

use arrow::datatypes::DataType;

use super::{query::Item, window};
use crate::{
    catalog::{Catalog, Source, SqlType},
    expression::shown_as_written as shown,
    syntax::ast::{Emit, Join, JoinKind, SelectItem, SourceRef, StreamQuery},
};

/// One step of a query, and what it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicalPlan {
    /// What it does.
    pub what: String,
    /// The steps whose rows it takes, from left to right.
    pub inputs: Vec<LogicalPlan>,
}

/// The SQL name of a type.
pub fn type_name(data_type: &DataType) -> String {
    SqlType::from_arrow(data_type).map_or_else(|| data_type.to_string(), |known| known.to_string())
}

impl LogicalPlan {
    /// The plan of a query with the items of its projection.
    pub(super) fn of(query: &StreamQuery, catalog: &Catalog, items: &[Item]) -> Self {
        let item = |item: &Item| format!("{} {} = {}", item.name, type_name(&item.data_type), item.text);
        let projection = items.iter().map(item).collect::<Vec<_>>().join(", ");
        Self::over(query, catalog, Some(projection))
    }

    /// The same with what writes its rows on top.
    pub(super) fn written_to(self, sink: &Source) -> Self {
        Self {
            what: format!("write {} {}, topic {}: {}", sink.kind, sink.name, sink.topic, sink.schema_text()),
            inputs: vec![self],
        }
    }

    fn step(self, what: String) -> Self {
        Self { what, inputs: vec![self] }
    }

    fn over(query: &StreamQuery, catalog: &Catalog, projection: Option<String>) -> Self {
        if !query.unions.is_empty() {
            let first = StreamQuery { unions: Vec::new(), ..query.clone() };
            let branches = std::iter::once(&first).chain(&query.unions);
            let inputs = branches.map(|branch| Self::over(branch, catalog, None)).collect();
            let what = projection.map_or_else(String::new, |projection| format!(": {projection}"));
            return Self { what: format!("union all{what}"), inputs };
        }
        let mut plan = Self::read(&query.from, query, catalog);
        for step in &query.joins {
            let right = Self::read(&step.right, query, catalog);
            plan = Self { what: join_text(step), inputs: vec![plan, right] };
        }
        if let Some(filter) = &query.filter {
            plan = plan.step(format!("filter {}", shown(&filter.node)));
        }
        let list = |expressions: &[_]| expressions.iter().map(shown).collect::<Vec<_>>().join(", ");
        if let Some(group_by) = &query.group_by {
            let windows = windows_text(query);
            plan = plan.step(format!("aggregate by {}{windows}", list(&group_by.node)));
        }
        if let Some(having) = &query.having {
            plan = plan.step(format!("filter {}", shown(&having.node)));
        }
        let projection = projection.unwrap_or_else(|| items_text(query));
        plan = plan.step(format!("project {projection}"));
        if query.distinct.is_some() {
            plan = plan.step(format!("distinct{}", windows_text(query)));
        }
        if let Some(partition_by) = &query.partition_by {
            plan = plan.step(format!("partition by {}", list(&partition_by.node)));
        }
        if query.emit.as_ref().is_some_and(|emit| emit.node == Emit::Final) {
            plan = plan.step("final results only".to_owned());
        }
        match &query.limit {
            Some(limit) => plan.step(format!("limit {}", limit.node)),
            None => plan,
        }
    }

    fn read(written: &SourceRef, query: &StreamQuery, catalog: &Catalog) -> Self {
        let name = &written.name.value;
        let alias = written.alias.as_ref().map(|alias| format!(" as {}", alias.value)).unwrap_or_default();
        let named = query.named.iter().find(|named| named.name.value == *name);
        if let Some(inner) = written.query.as_deref().or(named.map(|named| &named.query)) {
            return Self::over(inner, catalog, None).step(format!("query {name}{alias}"));
        }
        let what = match catalog.source(name) {
            Some(source) => format!("read {} {name}{alias}: {}", source.kind, source.schema_text()),
            None => format!("read {name}{alias}"),
        };
        Self { what, inputs: Vec::new() }
    }

    fn write(&self, depth: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}{}", "  ".repeat(depth), self.what)?;
        self.inputs.iter().try_for_each(|input| input.write(depth + 1, f))
    }
}

impl fmt::Display for LogicalPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "logical plan")?;
        self.write(1, f)
    }
}

fn join_text(step: &Join) -> String {
    let kind = match step.kind {
        JoinKind::Inner => "inner",
        JoinKind::Left => "left",
        JoinKind::Right => "right",
        JoinKind::Full => "full",
    };
    let mut text = format!("{kind} join on {}", shown(&step.on.node));
    if let Some(within) = &step.within {
        let (before, after) = (window::span(&within.before), window::span(&within.after));
        // Writing to a String cannot fail.
        let _ = match before == after {
            true => write!(text, " within {before}"),
            false => write!(text, " within ({before}, {after})"),
        };
        if let Some(grace) = &within.grace {
            let _ = write!(text, " grace period {}", window::span(grace));
        }
    }
    text
}

/// The windows of a query, if it has any.
fn windows_text(query: &StreamQuery) -> String {
    window::shown(query).map(|windows| format!(" in windows {windows}")).unwrap_or_default()
}

/// The items of a projection as they are written.
fn items_text(query: &StreamQuery) -> String {
    let item = |item: &SelectItem| match item {
        SelectItem::All { .. } => "*".to_owned(),
        SelectItem::AllOf { source, .. } => format!("{}.*", source.value),
        SelectItem::AllFields { expr, .. } => format!("{}->*", shown(expr)),
        SelectItem::Expr { expr, alias: Some(alias), .. } => format!("{} = {}", alias.value, shown(expr)),
        SelectItem::Expr { expr, alias: None, .. } => shown(expr),
    };
    query.items.iter().map(item).collect::<Vec<_>>().join(", ")
}
