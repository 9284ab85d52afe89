//! The persistent queries of a [`Catalog`]: their numbers, who reads a source and who writes it.
//!
//! Invariant: a number is given once, over all kinds of query and over restarts.

use super::{Catalog, near};
use crate::catalog::error::CatalogError;
use crate::catalog::query::{QueryId, QueryKind, QueryRecord};
use crate::syntax::ast::Name;

impl Catalog {
    /// The persistent queries, by id.
    pub fn queries(&self) -> impl Iterator<Item = &QueryRecord> {
        self.queries.values()
    }

    /// A query by its exact id.
    pub fn query(&self, id: &QueryId) -> Option<&QueryRecord> {
        self.queries.get(id)
    }

    /// The query that a statement names.
    pub fn expect_query(&self, id: &Name) -> Result<&QueryRecord, CatalogError> {
        self.queries.get(&QueryId(id.value.clone())).ok_or_else(|| {
            let (suggestion, known) = near(&id.value, self.queries.keys().map(|id| id.0.as_str()));
            CatalogError::UnknownQuery { at: id.span.start, name: id.value.clone(), suggestion, known }
        })
    }

    /// The id for the next query; each call takes a number.
    pub fn new_query_id(&mut self, kind: QueryKind, sink: &str) -> QueryId {
        let number = self.next_query;
        self.next_query += 1;
        QueryId::generate(kind, sink, number)
    }

    /// The number that the next id will have, to be kept across restarts.
    pub fn next_query_number(&self) -> u64 {
        self.next_query
    }

    /// Goes on at a number that was kept; never back.
    pub fn resume_query_numbers(&mut self, next: u64) {
        self.next_query = self.next_query.max(next);
    }

    /// Records a query; gives back the one with the same id, which it replaces.
    pub fn add_query(&mut self, query: QueryRecord) -> Option<QueryRecord> {
        self.queries.insert(query.id.clone(), query)
    }

    /// Takes a query away (TERMINATE); its sink stays, and is then nobody's.
    pub fn end_query(&mut self, id: &QueryId) -> Option<QueryRecord> {
        let ended = self.queries.remove(id)?;
        if let Some(sink) = self.sources.get_mut(&ended.sink)
            && sink.created_by.as_ref() == Some(id)
        {
            sink.created_by = None;
        }
        Some(ended)
    }

    /// Pauses or resumes a query; false if there is none.
    pub fn set_paused(&mut self, id: &QueryId, paused: bool) -> bool {
        self.queries.get_mut(id).map(|query| query.paused = paused).is_some()
    }

    /// The queries that read a source.
    pub fn readers<'a>(&'a self, source: &'a str) -> impl Iterator<Item = &'a QueryRecord> {
        self.queries.values().filter(move |query| query.sources.iter().any(|name| name == source))
    }

    /// The queries that write a source.
    pub fn writers<'a>(&'a self, source: &'a str) -> impl Iterator<Item = &'a QueryRecord> {
        self.queries.values().filter(move |query| query.sink == source)
    }
}
