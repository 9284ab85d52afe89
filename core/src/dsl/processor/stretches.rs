//! Values by key and window, the windows of a key and a stretch of time in one row: what window and session stores are made of.
//!
//! A window has a *place* in time, its start or its end. It is there while `place + retention > stream time` of the task, whatever the commits;
//! what is no longer there is removed later, whole stretches at once. Places lie at stream time or before it, so that the rows which may hold
//! those of a key are known and read by name, some thirty at most.

use std::{ops::RangeInclusive, sync::Arc};

use super::{StoreAccess, state_store::failed, store_codec::StoreCodec};
use crate::{
    dsl::{Windowed, typed::Data},
    operator::{ProcessorError, StoreRetention, append_session, sessions_in, stretch_of},
    record::{TimeSpan, Timestamp},
    window::Session,
};
use millstream_state::key::{split_window_key, window_key};

/// Stretches that a retention spans, roughly.
const STRETCHES: i64 = 32;

/// How the windows of a store lie in time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretches {
    pub(super) place: Place,
    pub(super) retention: TimeSpan,
    span: TimeSpan,
}

/// Which moment of a window decides where it is kept and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Its first.
    Start,
    /// Its last.
    End,
}

impl Stretches {
    pub(super) fn new(place: Place, retention: TimeSpan) -> Self {
        let span = TimeSpan::from_millis((retention.millis() / STRETCHES).max(1)).unwrap_or_default();
        Self { place, retention, span }
    }

    /// How long rows are kept, so that nothing goes that is still there.
    pub(super) fn kept(self) -> StoreRetention {
        let whole = self.retention.millis().saturating_add(self.span.millis());
        StoreRetention::Sessions { span: self.span, retention: TimeSpan::from_millis(whole).unwrap_or_default() }
    }

    fn place_of(self, window: Session) -> i64 {
        match self.place {
            Place::Start => window.start,
            Place::End => window.end,
        }
    }

    /// The places that are there.
    fn visible(self, stream_time: Timestamp) -> RangeInclusive<i64> {
        stream_time.minus(self.retention).millis().saturating_add(1)..=stream_time.millis()
    }
}

/// What is stored under a key.
type Stored = Vec<(Session, Vec<u8>)>;

/// The windows of one partition.
pub(super) struct WindowedRows<'a, K, V> {
    pub(super) codec: Arc<Result<StoreCodec<K, V>, String>>,
    pub(super) access: StoreAccess<'a>,
    pub(super) stretches: Stretches,
}

impl<K: Data, V: Data> WindowedRows<'_, K, V> {
    fn codec(&self) -> Result<&StoreCodec<K, V>, ProcessorError> {
        self.codec.as_ref().as_ref().map_err(failed)
    }

    /// The windows of `key` whose places lie in a range, by place.
    pub(super) fn of_key(&mut self, key: &K, places: RangeInclusive<i64>) -> Result<Vec<(Session, V)>, ProcessorError> {
        let visible = self.stretches.visible(self.access.stream_time);
        let (from, to) = ((*places.start()).max(*visible.start()), (*places.end()).min(*visible.end()));
        if from > to {
            return Ok(Vec::new());
        }
        let key = self.codec()?.key(key)?;
        let span = self.stretches.span;
        let firsts = std::iter::successors(Some(stretch_of(from, span)), |first| first.checked_add(span.millis()));
        let names: Vec<Vec<u8>> = firsts.take_while(|first| *first <= to).map(|first| name(first, &key)).collect();
        let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        let mut rows: Vec<Stored> = (0..names.len()).map(|_| Vec::new()).collect();
        let mut each = |index: usize, value: Option<&[u8]>| {
            rows[index] = value.map(windows_in).unwrap_or_default();
        };
        self.access.store.get_many(&names, &mut each).map_err(failed)?;
        let stretches = self.stretches;
        let within = |window: &Session| (from..=to).contains(&stretches.place_of(*window));
        let mut found: Stored = rows.into_iter().flatten().filter(|(window, _)| within(window)).collect();
        found.sort_by_key(|(window, _)| (stretches.place_of(*window), window.start, window.end));
        self.values(&found)
    }

    /// The windows of all keys whose places lie in a range, by stretch of time and key.
    pub(super) fn of_all(&mut self, places: RangeInclusive<i64>) -> Result<Vec<(Windowed<K>, V)>, ProcessorError> {
        let (stretches, visible) = (self.stretches, self.stretches.visible(self.access.stream_time));
        let (from, to) = ((*places.start()).max(*visible.start()), (*places.end()).min(*visible.end()));
        if from > to {
            return Ok(Vec::new());
        }
        let first = name(stretch_of(from, stretches.span), &[]);
        let end = stretch_of(to, stretches.span).saturating_add(stretches.span.millis());
        let (mut keys, mut windows): (Vec<Vec<u8>>, Stored) = (Vec::new(), Vec::new());
        let mut visit = |stored: &[u8], value: &[u8]| {
            let key = split_window_key(stored).map(|(_, key)| key).unwrap_or_default();
            let within = |window: &Session| (from..=to).contains(&stretches.place_of(*window));
            for found in windows_in(value).into_iter().filter(|(window, _)| within(window)) {
                keys.push(key.to_vec());
                windows.push(found);
            }
            true
        };
        self.access.store.range(&first, Some(&name(end, &[])), &mut visit).map_err(failed)?;
        let keys = self.codec()?.read_keys(keys.iter().map(Vec::as_slice))?;
        let values = self.values(&windows)?.into_iter();
        Ok(keys
            .into_iter()
            .zip(values)
            .map(|(key, (Session { start, end }, value))| (Windowed { key, start, end }, value))
            .collect())
    }

    /// Sets the value of a window, or removes it. A window that is no longer there stays away; says whether it is there.
    pub(super) fn set(&mut self, key: &K, window: Session, value: Option<&V>) -> Result<bool, ProcessorError> {
        let place = self.stretches.place_of(window);
        let visible = self.stretches.visible(self.access.stream_time);
        if place > *visible.end() {
            return Err(ProcessorError::of(format!(
                "a window at {place} lies after stream time, {}: it cannot be stored yet",
                visible.end()
            )));
        }
        if place < *visible.start() {
            return Ok(false);
        }
        let time = self.access.timestamp;
        let row = value.map(|value| self.codec()?.row(value, time)).transpose()?;
        let name = name(stretch_of(place, self.stretches.span), &self.codec()?.key(key)?);
        let mut stored = Stored::new();
        let mut each = |_: usize, value: Option<&[u8]>| stored = value.map(windows_in).unwrap_or_default();
        self.access.store.get_many(&[&name], &mut each).map_err(failed)?;
        stored.retain(|(other, _)| *other != window);
        stored.extend(row.map(|row| (window, row)));
        stored.sort_by_key(|(window, _)| (window.end, window.start));
        let mut bytes = Vec::new();
        stored.iter().for_each(|(window, row)| append_session(*window, row, &mut bytes));
        self.access.store.put(&name, (!stored.is_empty()).then_some(&bytes), time);
        Ok(true)
    }

    fn values(&self, found: &Stored) -> Result<Vec<(Session, V)>, ProcessorError> {
        let values = self.codec()?.read_rows(found.iter().map(|(_, row)| row.as_slice()))?;
        Ok(found.iter().zip(values).map(|((window, _), (value, _))| (*window, value)).collect())
    }
}

fn name(first: i64, key: &[u8]) -> Vec<u8> {
    let mut name = Vec::new();
    window_key(first, key, &mut name);
    name
}

fn windows_in(value: &[u8]) -> Stored {
    sessions_in(value).map(|(window, row)| (window, value[row].to_vec())).collect()
}
