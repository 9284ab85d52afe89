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

use super::{aggregate::is_over_all, query::Item, window};
use crate::{
    catalog::{Catalog, Source, SqlType},
    expression::shown_as_written as shown,
    syntax::ast::{Emit, Join, JoinKind, NamedQuery, SelectItem, SourceRef, StreamQuery},
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
        Steps { catalog, shown: Vec::new() }.over(query, &[], Some(projection))
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

    fn write(&self, depth: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}{}", "  ".repeat(depth), self.what)?;
        self.inputs.iter().try_for_each(|input| input.write(depth + 1, f))
    }
}

/// Makes the steps of a query.
struct Steps<'a> {
    catalog: &'a Catalog,
    /// The queries of WITH whose steps are there already: read again, they are only named.
    shown: Vec<&'a NamedQuery>,
}

impl<'a> Steps<'a> {
    /// The steps of a whole query that reads what `names` are, the innermost last. Each of them reads those before it.
    fn over(&mut self, query: &'a StreamQuery, names: &[&'a NamedQuery], projection: Option<String>) -> LogicalPlan {
        let names: Vec<&NamedQuery> = names.iter().copied().chain(&query.named).collect();
        let mut plan = if query.unions.is_empty() {
            self.branch(query, &names, projection)
        } else {
            let branches = std::iter::once(query).chain(&query.unions);
            let inputs = branches.map(|branch| self.branch(branch, &names, None)).collect();
            let what = projection.map_or_else(String::new, |projection| format!(": {projection}"));
            LogicalPlan { what: format!("union all{what}"), inputs }
        };
        if query.emit.as_ref().is_some_and(|emit| emit.node == Emit::Final) {
            plan = plan.step("final results only".to_owned());
        }
        match &query.limit {
            Some(limit) => plan.step(format!("limit {}", limit.node)),
            None => plan,
        }
    }

    /// The steps of one SELECT.
    fn branch(&mut self, query: &'a StreamQuery, names: &[&'a NamedQuery], projection: Option<String>) -> LogicalPlan {
        let mut plan = self.read(&query.from, names);
        for step in &query.joins {
            let right = self.read(&step.right, names);
            plan = LogicalPlan { what: join_text(step), inputs: vec![plan, right] };
        }
        if let Some(filter) = &query.filter {
            plan = plan.step(format!("filter {}", shown(&filter.node)));
        }
        let list = |expressions: &[_]| expressions.iter().map(shown).collect::<Vec<_>>().join(", ");
        if let Some(group_by) = &query.group_by {
            let windows = windows_text(query);
            plan = plan.step(format!("aggregate by {}{windows}", list(&group_by.node)));
        } else if is_over_all(query, self.catalog.functions()) {
            plan = plan.step(format!("aggregate over all{}", windows_text(query)));
        }
        if let Some(having) = &query.having {
            plan = plan.step(format!("filter {}", shown(&having.node)));
        }
        let projection = projection.unwrap_or_else(|| items_text(query));
        plan = plan.step(format!("project {projection}"));
        if query.distinct.is_some() {
            plan = plan.step(format!("distinct{}", windows_text(query)));
        }
        match &query.partition_by {
            Some(partition_by) => plan.step(format!("partition by {}", list(&partition_by.node))),
            None => plan,
        }
    }

    fn read(&mut self, written: &'a SourceRef, names: &[&'a NamedQuery]) -> LogicalPlan {
        let name = &written.name.value;
        let alias = written.alias.as_ref().map(|alias| format!(" as {}", alias.value)).unwrap_or_default();
        if let Some(inner) = &written.query {
            return self.over(inner, names, None).step(format!("query {name}{alias}"));
        }
        if let Some(position) = names.iter().rposition(|named| named.name.value == *name) {
            let named = names[position];
            if self.shown.iter().any(|shown| std::ptr::eq(*shown, named)) {
                return LogicalPlan { what: format!("query {name}{alias}: as above"), inputs: Vec::new() };
            }
            self.shown.push(named);
            return self.over(&named.query, &names[..position], None).step(format!("query {name}{alias}"));
        }
        let what = match self.catalog.source(name) {
            Some(source) => format!("read {} {name}{alias}: {}", source.kind, source.schema_text()),
            None => format!("read {name}{alias}"),
        };
        LogicalPlan { what, inputs: Vec::new() }
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
