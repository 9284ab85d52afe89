//! Stored entries as columns: the rows of a store's entries, or those of them that a filter lets through.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch},
    error::ArrowError,
};

use super::{QueryError, View, partition_snapshot::ScanOrder};
use crate::{
    operator::{FoldError, StoreRetention, sessions_in, stored_fields},
    row::RowCodec,
    window::Session,
};

/// Which rows of the entries that were found are wanted.
#[derive(Debug, Clone, Default)]
pub(super) struct RowFilter {
    /// Of windowed stores: keys from here on, encoded.
    pub(super) from_key: Option<Vec<u8>>,
    /// Of windowed stores: keys before this one, encoded.
    pub(super) to_key: Option<Vec<u8>>,
    /// Which windows.
    pub(super) windows: WindowFilter,
}

/// Which windows are wanted; all bounds are included.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum WindowFilter {
    #[default]
    All,
    /// Those that start from one moment to another.
    Starting(i64, i64),
    /// Those that end at a moment or later and start at another one or earlier.
    Overlapping { earliest_end: i64, latest_start: i64 },
    /// The one with these bounds.
    Exactly(i64, i64),
}

impl WindowFilter {
    fn lets(self, start: i64, end: i64) -> bool {
        match self {
            Self::All => true,
            Self::Starting(from, to) => (from..=to).contains(&start),
            Self::Overlapping { earliest_end, latest_start } => end >= earliest_end && start <= latest_start,
            Self::Exactly(from, to) => (start, end) == (from, to),
        }
    }
}

impl RowFilter {
    fn lets_key(&self, key: &[u8]) -> bool {
        let after = self.from_key.as_ref().is_none_or(|from| key >= from.as_slice());
        after && self.to_key.as_ref().is_none_or(|to| key < to.as_slice())
    }
}

/// Collects stored entries and turns them into columns.
pub(super) struct RowReader<'a> {
    view: &'a View,
    pub(super) keys: RowCodec,
    states: RowCodec,
    filter: RowFilter,
    order: ScanOrder,
    entries: Vec<(usize, usize, usize)>,
    bytes: Vec<u8>,
    /// The bounds of the sessions in `entries`, if there are sessions.
    sessions: Vec<Session>,
}

impl<'a> RowReader<'a> {
    pub(super) fn new(view: &'a View) -> Result<Self, ArrowError> {
        Ok(Self {
            view,
            keys: RowCodec::new(&view.spec.key)?,
            states: RowCodec::new(&stored_fields(view.spec.layout.as_ref()))?,
            filter: RowFilter::default(),
            order: ScanOrder::Ascending,
            entries: Vec::new(),
            bytes: Vec::new(),
            sessions: Vec::new(),
        })
    }

    /// The same, of some rows only; of the sessions of an entry the last one first if so ordered.
    pub(super) fn filtering(mut self, filter: RowFilter, order: ScanOrder) -> Self {
        (self.filter, self.order) = (filter, order);
        self
    }

    /// Takes what is stored under a key: a row, or several sessions.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) {
        match &self.view.spec.retention {
            StoreRetention::Forever => self.push_row(key, value),
            StoreRetention::Windows { windows, .. } => {
                let Some((number, plain)) = millstream_state::key::split_window_key(key) else { return };
                let bounds = windows.bounds(number);
                if self.filter.lets_key(plain) && self.filter.windows.lets(bounds.start, bounds.end) {
                    self.push_row(key, value);
                }
            }
            StoreRetention::Sessions { .. } => {
                let Some((_, plain)) = millstream_state::key::split_window_key(key) else { return };
                if !self.filter.lets_key(plain) {
                    return;
                }
                let windows = self.filter.windows;
                let mut wanted: Vec<_> =
                    sessions_in(value).filter(|(session, _)| windows.lets(session.start, session.end)).collect();
                if self.order == ScanOrder::Descending {
                    wanted.reverse();
                }
                for (session, row) in wanted {
                    self.sessions.push(session);
                    self.push_row(key, &value[row]);
                }
            }
        }
    }

    fn push_row(&mut self, key: &[u8], value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.entries.push((start, middle, self.bytes.len()));
    }

    pub(super) fn emit_if(
        &mut self,
        rows: usize,
        each: &mut dyn FnMut(RecordBatch) -> Result<(), String>,
    ) -> Result<(), QueryError> {
        if self.entries.len() < rows {
            return Ok(());
        }
        let view = self.view;
        self.take().map_err(|error| error.to_string()).and_then(each).map_err(|problem| view.error(problem))
    }

    /// The key columns of the entries, bounds of windows included.
    fn key_columns(&self) -> Result<Vec<ArrayRef>, FoldError> {
        let stored = self.entries.iter().map(|&(start, middle, _)| &self.bytes[start..middle]);
        let windowed = |stored| {
            let split = millstream_state::key::split_window_key(stored);
            split.ok_or_else(|| FoldError::of("a stored key has no window"))
        };
        let (starts, ends): (Vec<i64>, Vec<i64>) = match &self.view.spec.retention {
            StoreRetention::Forever => return self.keys.decode(stored).map_err(FoldError::of),
            StoreRetention::Windows { windows, .. } => {
                let numbers =
                    stored.clone().map(|stored| Ok(windowed(stored)?.0)).collect::<Result<Vec<_>, FoldError>>()?;
                let bounds = numbers.into_iter().map(|number| windows.bounds(number));
                bounds.map(|bounds| (bounds.start, bounds.end)).unzip()
            }
            StoreRetention::Sessions { .. } => self.sessions.iter().map(|session| (session.start, session.end)).unzip(),
        };
        let plain = stored.map(|stored| Ok(windowed(stored)?.1)).collect::<Result<Vec<_>, FoldError>>()?;
        let mut columns = self.keys.decode(plain).map_err(FoldError::of)?;
        columns.extend([Arc::new(Int64Array::from(starts)) as ArrayRef, Arc::new(Int64Array::from(ends))]);
        Ok(columns)
    }

    /// The entries collected so far as columns.
    pub(super) fn take(&mut self) -> Result<RecordBatch, FoldError> {
        let mut columns = self.key_columns()?;
        let states = self.entries.iter().map(|&(_, middle, end)| &self.bytes[middle..end]);
        let mut states = self.states.decode(states).map_err(FoldError::of)?;
        let times = states.pop();
        columns.extend(self.view.spec.layout.results_of(&states)?);
        columns.extend(times);
        self.entries.clear();
        self.bytes.clear();
        self.sessions.clear();
        RecordBatch::try_new(Arc::clone(self.view.schema()), columns).map_err(FoldError::of)
    }
}
