//! Queries as sources: `FROM (SELECT ..) AS x`, `WITH x AS (SELECT ..)`.
//!
//! Such a query is planned like a persistent one, but nothing of it is written: its result flows on. For what reads it, it is a [`Source`]
//! with a name, columns and a key, only that no topic holds it. A stream that does not select its key has none from there on; a table must
//! select it. A query of WITH is planned once, however often it is read.
//!
//! ```text
//! WITH big AS (SELECT id, amount * 2 AS twice FROM orders WHERE amount > 10) SELECT * FROM big JOIN customers c ON big.id = c.id
//!   orders -> filter -> select -> [big: ID KEY, TWICE] -> join
//! ```

use std::{cell::Cell, rc::Rc, sync::Arc};

use millstream::{
    expression::{Expr, col},
    operator::Column as Projected,
    schema::StreamSchema,
};

use super::{
    error::PlanError,
    input::PartitionColumn,
    query::{Flow, Purpose, QueryContext, Selected, legal},
    rename_key::RenameKey,
};
use crate::{
    catalog::{Column, Source, SqlType},
    syntax::{
        Position,
        ast::{ColumnRole, SourceKind, SourceRef, StreamQuery},
    },
};

/// Where a query stands among the queries of its statement.
#[derive(Clone, Default)]
pub(super) struct Nesting {
    /// None for the query of the statement itself; else what the names of its stores begin with.
    stores: Option<String>,
    /// The queries of WITH that it can read, the innermost last.
    named: Vec<Rc<NamedSource>>,
    /// How many queries were planned inside the statement's.
    planned: Rc<Cell<usize>>,
}

/// A query of WITH, planned.
struct NamedSource {
    name: String,
    found: Found,
    is_read: Cell<bool>,
}

/// What FROM or JOIN names.
#[derive(Clone)]
pub(super) struct Found {
    /// Its name, columns and key.
    pub(super) source: Source,
    /// What a query gives; none for a source of the catalog, which is read from its topic.
    pub(super) flow: Option<Flow>,
    /// The sources of the catalog that are read for it, left-most first.
    pub(super) bases: Vec<Source>,
}

impl Found {
    /// Refuses the number of a partition, which only what is read from a topic has.
    ///
    /// # Errors
    /// If it is named over a query.
    pub(super) fn check_partition(&self, partition: PartitionColumn, at: Position) -> Result<(), PlanError> {
        if self.flow.is_none() || partition == PartitionColumn::Left {
            return Ok(());
        }
        let problem =
            format!("{} is a query: its rows are in no partition, so that there is no ROWPARTITION", self.source.name);
        Err(PlanError::invalid_hint(at, problem, "select it inside, as in ROWPARTITION AS P"))
    }
}

impl<'a> QueryContext<'a> {
    /// Whether this is a query inside the statement's.
    pub(super) fn is_nested(&self) -> bool {
        self.nesting.stores.is_some()
    }

    /// The name of the store of a table that is read as `name`.
    pub(super) fn table_store(&self, name: &str) -> String {
        match &self.nesting.stores {
            None => format!("{}-table", legal(name)),
            Some(stores) => format!("{stores}-{}-table", legal(name)),
        }
    }

    /// The context of a query inside this one.
    pub(super) fn inner(&self) -> QueryContext<'a> {
        let number = self.nesting.planned.get() + 1;
        self.nesting.planned.set(number);
        let outermost = self.store.split("-query-").next().unwrap_or_default();
        let store = format!("{outermost}-query-{number}");
        let nesting = Nesting { stores: Some(store.clone()), ..self.nesting.clone() };
        QueryContext {
            catalog: self.catalog,
            builder: self.builder,
            reset: self.reset,
            purpose: Purpose::Persistent,
            store,
            result: self.result.clone(),
            versions: self.versions.clone(),
            nesting,
        }
    }

    /// What FROM or JOIN names: a subquery, a query of WITH, or a source of the catalog.
    ///
    /// # Errors
    /// If there is nothing of this name, or the subquery cannot be planned.
    pub(super) fn found(&self, written: &SourceRef) -> Result<Found, PlanError> {
        if let Some(query) = &written.query {
            return found_by(&self.inner().select(query)?, &written.name.value);
        }
        if let Some(named) = self.nesting.named.iter().rev().find(|named| named.name == written.name.value) {
            named.is_read.set(true);
            return Ok(named.found.clone());
        }
        let source = self.catalog.expect_source(&written.name)?.clone();
        Ok(Found { bases: vec![source.clone()], source, flow: None })
    }

    /// Plans a query after those that its WITH names.
    ///
    /// # Errors
    /// [`PlanError`], also for a name that nothing reads.
    pub(super) fn with_named(&self, query: &StreamQuery) -> Result<Selected, PlanError> {
        let mut nesting = self.nesting.clone();
        let first = nesting.named.len();
        for one in &query.named {
            let selected = self.nested(nesting.clone()).inner().select(&one.query)?;
            let found = found_by(&selected, &one.name.value)?;
            let named = NamedSource { name: one.name.value.clone(), found, is_read: Cell::new(false) };
            nesting.named.push(Rc::new(named));
        }
        let selected = self.nested(nesting.clone()).parts(query)?;
        for (one, named) in query.named.iter().zip(&nesting.named[first..]) {
            if !named.is_read.get() {
                let problem = format!("nothing reads the query {}", one.name.value);
                return Err(PlanError::invalid_hint(
                    one.name.span.start,
                    problem,
                    "leave it out, or name it in FROM or JOIN",
                ));
            }
        }
        Ok(selected)
    }

    fn nested(&self, nesting: Nesting) -> QueryContext<'a> {
        QueryContext {
            catalog: self.catalog,
            builder: self.builder,
            reset: self.reset,
            purpose: self.purpose,
            store: self.store.clone(),
            result: self.result.clone(),
            versions: self.versions.clone(),
            nesting,
        }
    }
}

/// A planned query as a source of this name.
fn found_by(selected: &Selected, name: &str) -> Result<Found, PlanError> {
    let names: Vec<String> = selected.items.iter().map(|item| item.name.clone()).collect();
    for (index, item) in selected.items.iter().enumerate() {
        if names[..index].contains(&item.name) {
            let hint = "give one of them another name with AS";
            return Err(PlanError::invalid_hint(
                item.at,
                format!("two columns of {name} are called {}", item.name),
                hint,
            ));
        }
    }
    let key = key_positions(selected);
    if key.is_none() && selected.flow.kind() == SourceKind::Table {
        let known: Vec<String> = key_expressions(selected).iter().map(shown).collect();
        let problem = format!("{name} is a table: its key {} must be selected", known.join(", "));
        return Err(PlanError::invalid_hint(selected.at, problem, "add it to the SELECT of the query"));
    }
    let flow = named_flow(selected, &names, key.as_deref())?;
    let source = source(name, &flow, selected)?;
    Ok(Found { source, flow: Some(flow), bases: selected.sources.clone() })
}

/// The entry that a catalog would have for a query.
fn source(name: &str, flow: &Flow, selected: &Selected) -> Result<Source, PlanError> {
    let schema = flow.schema();
    let key_role = if flow.kind() == SourceKind::Table { ColumnRole::PrimaryKey } else { ColumnRole::Key };
    let keys = schema.key().iter().map(|field| (field, key_role.clone()));
    let values = schema.value().iter().map(|field| (field, ColumnRole::Value));
    let mut columns = Vec::new();
    for (field, role) in keys.chain(values) {
        let Some(data_type) = SqlType::from_arrow(field.data_type()) else {
            let item = selected.items.iter().find(|item| item.name == *field.name());
            let at = item.map_or(selected.at, |item| item.at);
            return Err(PlanError::invalid(at, format!("there is no type for values that are {}", field.data_type())));
        };
        columns.push(Column { name: field.name().clone(), data_type, role });
    }
    let first = &selected.sources[0];
    Ok(Source {
        name: name.to_owned(),
        kind: flow.kind(),
        columns,
        timestamp: None,
        window: selected.window.filter(|_| schema.is_windowed()),
        row_ttl_ms: None,
        created_by: None,
        is_source: true,
        statement: String::new(),
        ..first.clone()
    })
}

/// The expressions that make the key of a result, in order.
pub(super) fn key_expressions(selected: &Selected) -> Vec<Expr> {
    match &selected.key {
        Some(key) => key.clone(),
        None => selected.flow.schema().key().iter().map(|field| col(field.name())).collect(),
    }
}

fn shown(expr: &Expr) -> String {
    match expr {
        Expr::Column(column) => column.name.clone(),
        other => other.to_string(),
    }
}

/// Which items are the key columns, in the order of the key; none if one is not selected.
pub(super) fn key_positions(selected: &Selected) -> Option<Vec<usize>> {
    let position = |expr: Expr| selected.items.iter().position(|item| item.expr == expr && !item.is_copy);
    key_expressions(selected).into_iter().map(position).collect()
}

/// The result with its columns called `names`, one for each item, those at `key` as its key; without a key, if there is none.
///
/// # Errors
/// If the columns cannot be called so.
pub(super) fn named_flow(selected: &Selected, names: &[String], key: Option<&[usize]>) -> Result<Flow, PlanError> {
    let at = selected.at;
    let is_key = |index: &usize| key.is_some_and(|key| key.contains(index));
    let column = |index: usize| Projected::new(&names[index], selected.items[index].expr.clone());
    let values: Vec<Projected> = (0..names.len()).filter(|index| !is_key(index)).map(column).collect();
    let keys: Vec<Projected> = key.unwrap_or_default().iter().map(|index| column(*index)).collect();
    let moves = selected.key.is_some() || (keys.is_empty() && !selected.flow.schema().key().is_empty());
    if let (Flow::Stream(stream), true) = (&selected.flow, moves) {
        return Ok(Flow::Stream(stream.select_key_or_null(&keys, &values)));
    }
    let key_names: Vec<String> = keys.iter().map(|column| column.name.clone()).collect();
    // A value column may be called as the key was: both get their names after the old one is gone.
    let clashes = values.iter().any(|column| selected.flow.schema().key().iter().any(|key| *key.name() == column.name));
    if !clashes {
        return renamed(&select(&selected.flow, &values), &key_names, at);
    }
    let hidden = |index: usize| format!("__VALUE_{index}");
    let first = values.iter().enumerate();
    let first: Vec<Projected> =
        first.map(|(index, column)| Projected::new(hidden(index), column.expression.clone())).collect();
    let last = values.iter().enumerate();
    let last: Vec<Projected> = last.map(|(index, column)| Projected::new(&column.name, col(&hidden(index)))).collect();
    Ok(select(&renamed(&select(&selected.flow, &first), &key_names, at)?, &last))
}

/// The flow with these value columns.
pub(super) fn select(flow: &Flow, values: &[Projected]) -> Flow {
    match flow {
        Flow::Stream(stream) => Flow::Stream(stream.select(values)),
        Flow::Table(table) => Flow::Table(table.select(values)),
    }
}

/// The flow with its key columns called `names`.
///
/// # Errors
/// If a value column has one of the names.
pub(super) fn renamed(flow: &Flow, names: &[String], at: Position) -> Result<Flow, PlanError> {
    let has_names = |schema: &StreamSchema| schema.key().iter().zip(names).all(|(field, name)| field.name() == name);
    if has_names(flow.schema()) {
        return Ok(flow.clone());
    }
    let rename = RenameKey::new(flow.schema(), names).map_err(|error| PlanError::invalid(at, error.to_string()))?;
    let output = Arc::clone(rename.output());
    Ok(match flow {
        Flow::Stream(stream) => {
            Flow::Stream(stream.transform("rename-key", Arc::new(rename), output, stream.is_rekeyed()))
        }
        Flow::Table(table) => Flow::Table(table.transform("rename-key", Arc::new(rename), output)),
    })
}
