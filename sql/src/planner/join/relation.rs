//! What is joined so far: a flow, and what the columns of its sources are called in it.
//!
//! Key columns are called `__KEY_0`, `__KEY_1`, ..; value columns `SOURCE_COLUMN`. A column that is equal to a key column in every row is
//! not carried a second time: its internal name is that of the key.

use std::collections::BTreeSet;

use arrow::datatypes::SchemaRef;
use millstream::{
    dsl::{ColumnStream, ColumnTable},
    expression::{Expr, col},
    operator::Column,
    record::TimeSpan,
    schema::{WINDOWEND, WINDOWSTART},
    topology::OffsetReset,
};

use super::{
    condition::{ColumnRef, Equality, Operand},
    keys::key_name,
    named::Named,
};
use crate::{
    catalog::SqlType,
    planner::{
        bind::{self, bind},
        error::PlanError,
        input,
        query::{Flow, QueryContext, source_scope},
        scope::{Scope, ScopeColumn},
        subquery::{self, Found},
    },
    syntax::{
        Position,
        ast::{self, SourceKind},
    },
};

/// A flow with the columns of one or several sources.
pub(super) struct Relation {
    pub(super) flow: Flow,
    /// The sources' columns; their numbers are those of the whole query.
    pub(super) columns: Vec<ScopeColumn>,
    /// Of a table that is still a stream of changes: what its store will be called.
    store: Option<String>,
    /// How long its rows stay.
    ttl: Option<TimeSpan>,
}

/// Which side of a step a relation is, as far as its columns matter.
pub(super) struct Side<'a> {
    pub(super) on: &'a [Equality],
    pub(super) operand: fn(&Equality) -> &Operand,
    /// Whether the relation has the key already.
    pub(super) keeps_key: bool,
    /// Whether each row of the result has a row of this side: columns that are compared are then equal to the key.
    pub(super) is_kept: bool,
}

impl Relation {
    /// A source under internal names, with the columns that the query names.
    ///
    /// # Errors
    /// If the source cannot be read.
    pub(super) fn read(
        context: &QueryContext<'_>,
        written: &ast::SourceRef,
        found: &Found,
        number: usize,
        named: &Named,
    ) -> Result<Self, PlanError> {
        let at = written.name.span.start;
        let source = &found.source;
        found.check_partition(named.partition_of(number), at)?;
        let reset = if source.kind == SourceKind::Table { OffsetReset::Earliest } else { context.reset };
        let read = |source| input::stream(context, source, reset, at, named.partition_of(number));
        let reference = &written.reference().value;
        let mut taken = BTreeSet::new();
        let mut columns = Vec::new();
        let mut values = Vec::new();
        let keys: Vec<&str> = source.key_columns().map(|column| column.name.as_str()).collect();
        let names: Vec<String> = (0..keys.len()).map(key_name).collect();
        let mut of_source = source_scope(written, source, context.catalog).columns;
        of_source.retain(|column| named.has(number, &column.name));
        for column in of_source {
            let internal = match keys.iter().position(|key| *key == column.name) {
                Some(position) => names[position].clone(),
                None => {
                    let internal = unique(format!("{reference}_{}", column.name), &mut taken);
                    values.push(Column::new(&internal, col(&column.name)));
                    internal
                }
            };
            columns.push(ScopeColumn { source: number, internal, ..column });
        }
        let is_table = source.kind == SourceKind::Table;
        let (flow, store) = match &found.flow {
            Some(flow) => (flow.clone(), None),
            None => (Flow::Stream(read(source)?), is_table.then(|| context.table_store(reference))),
        };
        let ttl = source.ttl_when_read();
        let flow = subquery::select(&subquery::renamed(&flow, &names, at)?, &values);
        Ok(Self { flow, columns, store, ttl })
    }

    /// What a step has given.
    pub(super) fn joined(flow: Flow, left: Self, right: Self) -> Self {
        Self { flow, columns: left.columns.into_iter().chain(right.columns).collect(), store: None, ttl: None }
    }

    /// The relation with its rows kept, if it is a table.
    pub(super) fn settled(mut self) -> Self {
        if let (Some(store), Flow::Stream(changes)) = (self.store.take(), &self.flow) {
            self.flow = Flow::Table(input::table(changes, &store, self.ttl));
        }
        self
    }

    /// The relation under the key of a join, columns under the names that the result gives them.
    ///
    /// # Errors
    /// If what is compared cannot be computed or has not the type of the other side.
    pub(super) fn prepared(mut self, side: &Side<'_>, scope: &Scope) -> Result<Self, PlanError> {
        let input = std::sync::Arc::clone(self.flow.schema().columns());
        let key = if side.keeps_key { Vec::new() } else { self.bound(side, scope, &input)? };
        let mut taken = BTreeSet::new();
        let mut values = Vec::new();
        for column in &mut self.columns {
            let is_compared = |equality: &Equality| {
                let compared: &Option<ColumnRef> = &(side.operand)(equality).column;
                compared.as_ref().is_some_and(|(source, name)| *source == column.source && *name == column.name)
            };
            if let Some(position) = side.on.iter().position(is_compared).filter(|_| side.is_kept) {
                column.internal = key_name(position);
                continue;
            }
            let reference = &scope.sources[column.source].reference;
            let is_value = !column.internal.starts_with("__KEY_");
            let wanted = if is_value { column.internal.clone() } else { format!("{reference}_{}", column.name) };
            let internal = unique(wanted, &mut taken);
            values.push(Column::new(&internal, col(&column.internal)));
            column.internal = internal;
        }
        self.flow = match self.flow {
            Flow::Stream(stream) if side.keeps_key => Flow::Stream(stream.select(&values)),
            Flow::Stream(stream) => Flow::Stream(stream.select_key(&key, &values)),
            Flow::Table(table) => Flow::Table(table.select(&values)),
        };
        Ok(self.settled())
    }

    /// A foreign key, over the columns of the relation.
    pub(super) fn bound(&self, side: &Side<'_>, scope: &Scope, input: &SchemaRef) -> Result<Vec<Column>, PlanError> {
        let own = self.own_scope(scope);
        let mut key = Vec::with_capacity(side.on.len());
        for (position, equality) in side.on.iter().enumerate() {
            let bound = bind(&(side.operand)(equality).expr, &own, input, equality.at)?;
            let (expr, _) = bind::normalised(bound, input, equality.at)?;
            key.push(Column::new(key_name(position), expr));
        }
        Ok(key)
    }

    /// The names that expressions over this relation alone may use.
    pub(super) fn own_scope(&self, scope: &Scope) -> Scope {
        Scope {
            sources: scope.sources.clone(),
            columns: self.columns.clone(),
            types: scope.types.clone(),
            limits: scope.limits,
            functions: scope.functions.clone(),
        }
    }

    /// The type of an operand.
    pub(super) fn type_of(&self, operand: &Operand, scope: &Scope, at: Position) -> Result<SqlType, PlanError> {
        let columns = self.flow.schema().columns();
        let bound: Expr = bind(&operand.expr, &self.own_scope(scope), columns, at)?;
        let (_, data_type) = bind::normalised(bound, columns, at)?;
        SqlType::from_arrow(&data_type)
            .ok_or_else(|| PlanError::invalid(at, format!("there is no type for values that are {data_type}")))
    }

    /// The names of the value columns, in order.
    pub(super) fn value_names(&self) -> Vec<String> {
        self.flow.schema().value().iter().map(|field| field.name().clone()).collect()
    }

    pub(super) fn stream(&self) -> Option<&ColumnStream> {
        match &self.flow {
            Flow::Stream(stream) => Some(stream),
            Flow::Table(_) => None,
        }
    }

    pub(super) fn table(&self) -> Option<&ColumnTable> {
        match &self.flow {
            Flow::Table(table) => Some(table),
            Flow::Stream(_) => None,
        }
    }
}

/// A name that is not taken yet, and now is.
pub(super) fn unique(wanted: String, taken: &mut BTreeSet<String>) -> String {
    let mut name = wanted;
    while [WINDOWSTART, WINDOWEND].contains(&name.as_str()) || !taken.insert(name.clone()) {
        name.push('_');
    }
    name
}
