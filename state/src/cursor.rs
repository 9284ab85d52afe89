//! A cursor over a snapshot in key order, or against it: hot and cold tier merged, streaming.
//!
//! ```text
//! hot    b=2   c=deleted        e=5
//! cold   a=1   c=3   d=4        e=0
//! gives  a=1   b=2   d=4        e=5      an equal key is taken from the hot tier; a deletion hides the cold one
//! ```
//! Borrowed from the snapshot. To go on in another call, start a range after the last key seen.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use crate::cold_tier::{ColdIterator, strip};
use crate::error::StoreError;
use crate::key;
use crate::layer_stack::{LayerStack, SortedEntries};
use crate::snapshot::StoreSnapshot;

type KeyAndValue<'c> = (&'c [u8], &'c [u8]);

/// Which way a cursor goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// In key order.
    Forward,
    /// Against it.
    Backward,
}

/// Entries of a [`StoreSnapshot`] in key order, or against it.
pub struct Cursor<'s> {
    direction: Direction,
    snapshot: &'s StoreSnapshot,
    from: Vec<u8>,
    to: Option<Vec<u8>>,
    buckets: Box<dyn Iterator<Item = &'s LayerStack> + Send + 's>,
    hot: Option<SortedEntries<'s>>,
    hot_index: usize,
    cold: Option<ColdIterator<'s>>,
    /// Sides that the entry given last came from and that must move on before the next one.
    consumed: Consumed,
}

#[derive(Clone, Copy)]
enum Consumed {
    Nothing,
    Hot,
    Cold,
    Both,
}

impl<'s> Cursor<'s> {
    pub(crate) fn new(
        snapshot: &'s StoreSnapshot,
        from: Vec<u8>,
        to: Option<Vec<u8>>,
        direction: Direction,
    ) -> Result<Self, StoreError> {
        let is_empty = to.as_ref().is_some_and(|to| *to <= from);
        let first = key::split_window_key(&from).map_or(i64::MIN, |(start, _)| start);
        let last = to.as_deref().and_then(key::split_window_key).map_or(i64::MAX, |(start, _)| start);
        let buckets: Box<dyn Iterator<Item = _> + Send> = match direction {
            _ if is_empty => Box::new(std::iter::empty()),
            Direction::Forward => Box::new(snapshot.hot.buckets(first, last)),
            Direction::Backward => Box::new(snapshot.hot.buckets(first, last).rev()),
        };
        let mut cold = None;
        if let (Some(view), false) = (&snapshot.view, is_empty) {
            let mut entries = snapshot.cold.iterate(view, &from, to.as_deref())?;
            match direction {
                Direction::Forward => entries.seek_to_first(),
                Direction::Backward => entries.seek_to_last(),
            }
            cold = Some(entries);
        }
        Ok(Self { direction, snapshot, from, to, buckets, hot: None, hot_index: 0, cold, consumed: Consumed::Nothing })
    }

    /// The next key and value, or `None` at the end; they are borrowed until the next call.
    ///
    /// # Errors
    /// If the cold tier cannot be read; the cursor has then not reached the end.
    pub fn next_entry(&mut self) -> Result<Option<KeyAndValue<'_>>, StoreError> {
        let found = loop {
            if let ControlFlow::Break(found) = self.step()? {
                break found;
            }
        };
        Ok(match found {
            Consumed::Nothing => None,
            Consumed::Cold => self.cold.as_ref().and_then(ColdIterator::item).map(|(key, value)| (strip(key), value)),
            Consumed::Hot | Consumed::Both => self.hot_entry().and_then(|(key, value)| Some((key, value?))),
        })
    }

    /// Moves on by one entry; breaks with the side whose entry is the next to give.
    fn step(&mut self) -> Result<ControlFlow<Consumed>, StoreError> {
        let moved = std::mem::replace(&mut self.consumed, Consumed::Nothing);
        if matches!(moved, Consumed::Hot | Consumed::Both) {
            self.hot_index += 1;
        }
        if let (Consumed::Cold | Consumed::Both, Some(cold)) = (moved, &mut self.cold) {
            match self.direction {
                Direction::Forward => cold.next(),
                Direction::Backward => cold.prev(),
            }
        }
        self.fill_hot();
        let cold_key = match &self.cold {
            Some(cold) => {
                let key = cold.key();
                if key.is_none() {
                    self.snapshot.cold.check_iterator(cold)?;
                }
                key.map(strip)
            }
            None => None,
        };
        let (side, is_deletion) = match (self.hot_entry(), cold_key) {
            (None, None) => (Consumed::Nothing, false),
            (None, Some(_)) => (Consumed::Cold, false),
            (Some((_, value)), None) => (Consumed::Hot, value.is_none()),
            (Some((hot_key, value)), Some(cold_key)) => match self.order(hot_key, cold_key) {
                Ordering::Less => (Consumed::Hot, value.is_none()),
                Ordering::Equal => (Consumed::Both, value.is_none()),
                Ordering::Greater => (Consumed::Cold, false),
            },
        };
        self.consumed = side;
        Ok(if is_deletion { ControlFlow::Continue(()) } else { ControlFlow::Break(side) })
    }

    /// Which of two keys comes first.
    fn order(&self, one: &[u8], other: &[u8]) -> Ordering {
        match self.direction {
            Direction::Forward => one.cmp(other),
            Direction::Backward => other.cmp(one),
        }
    }

    fn hot_entry(&self) -> Option<(&'s [u8], Option<&'s [u8]>)> {
        let entries = self.hot.as_ref()?;
        match self.direction {
            Direction::Forward => entries.get(self.hot_index),
            Direction::Backward => entries.get(entries.len().checked_sub(self.hot_index + 1)?),
        }
    }

    /// Sorts the next bucket that has a key in the range, if the current one is used up.
    fn fill_hot(&mut self) {
        while self.hot_entry().is_none() {
            let Some(stack) = self.buckets.next() else { return };
            let (from, to) = (&self.from[..], self.to.as_deref());
            let keep = |key: &[u8]| key >= from && to.is_none_or(|to| key < to);
            self.hot = Some(SortedEntries::new(stack.layers(), |_, key| keep(key)));
            self.hot_index = 0;
        }
    }
}
