//! Typed tables.

use std::{marker::PhantomData, sync::Arc};

use super::{
    ColumnTable, KStream,
    closure::Input,
    group::KGroupedTable,
    options::Materialized,
    stream::value_schema,
    typed::{Data, Shape},
};
use crate::{expression::Expr, operator::Column, record::TimeSpan};

/// A table with keys `K` and rows `V`: the newest record of a key is its row.
pub struct KTable<K, V> {
    columns: ColumnTable,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for KTable<K, V> {
    fn clone(&self) -> Self {
        Self { columns: self.columns.clone(), types: PhantomData }
    }
}

impl<K: Data, V: Data> KTable<K, V> {
    pub(super) fn new(columns: ColumnTable) -> Self {
        Self { columns, types: PhantomData }
    }

    /// The same table by the column.
    pub fn columns(&self) -> &ColumnTable {
        &self.columns
    }

    /// Keeps the rows for which `predicate` holds; a row that no longer passes is deleted.
    pub fn filter(&self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        self.columns.require_before();
        match Input::new() {
            Ok(input) => {
                let schema = Arc::clone(self.columns.schema());
                Self::new(self.columns.transform("filter", Arc::new(input.filter(predicate)), schema))
            }
            Err(problem) => Self::new(self.columns.failed("filter", problem)),
        }
    }

    /// Keeps the rows for which an expression is true.
    pub fn filter_expr(&self, predicate: Expr) -> Self {
        Self::new(self.columns.filter(&predicate))
    }

    /// Makes a row of each row.
    pub fn map_values<V2: Data>(&self, function: impl Fn(V) -> V2 + Send + Sync + 'static) -> KTable<K, V2> {
        self.columns.require_before();
        let mapped = value_schema::<V2>(self.columns.schema()).and_then(|schema| {
            let closure = Input::<K, V>::new()?.map_values(Arc::clone(&schema), move |_, value| function(value))?;
            Ok(self.columns.transform("map_values", Arc::new(closure), schema))
        });
        KTable::new(mapped.unwrap_or_else(|problem| self.columns.failed("map_values", problem)))
    }

    /// Keeps the table in a store, so that it can be joined with and queried.
    pub fn materialize(&self, materialized: impl Into<Materialized>) -> Self {
        Self::new(self.columns.materialize(materialized.into()))
    }

    /// The same table without rows that were not updated for `ttl` of event time. This table's own store stays: see
    /// [`ColumnTable::expire_after`].
    pub fn expire_after(&self, ttl: impl Into<TimeSpan>, materialized: impl Into<Materialized>) -> Self {
        Self::new(self.columns.expire_after(ttl, materialized.into()))
    }

    /// The changes as a stream: each new row, a null value for each deleted one.
    pub fn to_stream(&self) -> KStream<K, V> {
        KStream::new(self.columns.to_stream())
    }

    /// Groups rows by a column; what a row contributes is taken back when it changes.
    pub fn group_by<K2: Data>(&self, key: Expr) -> KGroupedTable<K2, V> {
        let value: Vec<Column> = self
            .columns
            .schema()
            .value()
            .iter()
            .map(|field| Column::new(field.name(), crate::expression::col(field.name())))
            .collect();
        let name = match Shape::<K2>::of("key").map(|shape| shape.fields) {
            Ok(fields) if fields.len() == 1 => fields[0].name().clone(),
            Ok(_) => {
                self.columns.failed("group_by", "the new key must be one column");
                "key".to_owned()
            }
            Err(problem) => {
                self.columns.failed("group_by", problem);
                "key".to_owned()
            }
        };
        let value = value.into_iter().filter(|column| column.name != name).collect::<Vec<_>>();
        KGroupedTable::new(self.columns.group_by(&[Column::new(name, key)], &value))
    }
}
