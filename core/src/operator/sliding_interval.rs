//! The sliding windows that a batch touches: which there were, which records fall into them, which are made.
//!
//! Only bounds, timestamps and the *lineage* of states are kept here; states are folded elsewhere, once for the whole batch. A state is a
//! *version*: what it was before (a stored state, another version, or nothing) and the rows that were folded into it since. A window that is
//! made begins with the state of another one, as in Kafka Streams: what is left of a record begins with the state of the newest window that
//! ends before it, what is right of it with the state of the newest window that reaches beyond it.
//!
//! ```text
//! d = 10   stored [10,20] s0     record r at 25     [21,31] = nothing + r      [15,25] = s0 + r
//!                                record q at 22     [21,31] += q   [15,25] += q   [12,22] = s0 + q   [23,33] = what [21,31] was before
//! ```
//!
//! [`Lineage::Every`] makes a new version for each record, so that each update has its own result; versions then have *levels*, one above what
//! they begin with, and a level is folded at once. [`Lineage::Last`] keeps only what is left at the end of the batch: a copy of a state takes
//! the rows with it, and everything is of level 0.
//!
//! Invariant: what a record does depends only on the windows of its key, the timestamps in them, and the two clocks that the caller passes.

use std::{collections::BTreeMap, collections::BTreeSet};

use hashbrown::HashMap;

use super::{session_rows::stretch_of, sliding_rows::windows_in};
use crate::{record::TimeSpan, window::SlidingWindows};

/// Which versions of a state are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lineage {
    /// The one after each record.
    Every,
    /// The one after the last record.
    Last,
}

/// A state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing was folded yet.
    Nothing,
    /// The stored state of this number among [`SlidingInterval::stored`].
    Stored(usize),
    /// The version of this number.
    Version(usize),
}

/// What becomes of a state: `rows` are folded into `base`.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) base: State,
    pub(super) rows: Vec<u32>,
    /// One more than that of the version it begins with.
    pub(super) level: usize,
}

/// A window as it is now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Live {
    /// The highest timestamp in it.
    pub(super) time: i64,
    pub(super) state: State,
    /// What it was before the batch.
    pub(super) before: State,
}

/// A stored window.
#[derive(Debug)]
pub(super) struct StoredWindow {
    pub(super) key: usize,
    pub(super) start: i64,
    /// Whether its state is needed.
    pub(super) is_used: bool,
}

/// A key that was touched.
#[derive(Debug)]
pub(super) struct KeyWindows {
    pub(super) key: Box<[u8]>,
    pub(super) live: BTreeMap<i64, Live>,
    /// The stretches whose windows are known.
    known: BTreeSet<i64>,
}

/// An update of a window: under [`Lineage::Every`] each, under [`Lineage::Last`] the first of each window, whose `state` and `time` are then
/// to be looked up among the live ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Update {
    pub(super) key: usize,
    pub(super) start: i64,
    pub(super) row: u32,
    pub(super) state: State,
    pub(super) before: State,
    pub(super) time: i64,
}

/// A record and what decides about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) key: usize,
    pub(super) row: u32,
    pub(super) time: i64,
    /// Windows that end before this are closed.
    pub(super) closed_before: i64,
    /// Windows that start before this are no longer seen.
    pub(super) visible_from: i64,
}

/// What the records of a batch did to the windows of their keys.
pub(super) struct SlidingInterval {
    windows: SlidingWindows,
    lineage: Lineage,
    numbers: HashMap<Box<[u8]>, usize>,
    pub(super) keys: Vec<KeyWindows>,
    pub(super) stored: Vec<StoredWindow>,
    pub(super) versions: Vec<Version>,
    pub(super) updates: Vec<Update>,
    /// The latest start of a window that was written, ever.
    pub(super) latest_start: i64,
}

impl SlidingInterval {
    /// Nothing was touched yet; `latest_start` is the latest start of a window that was written before.
    pub(super) fn new(windows: SlidingWindows, lineage: Lineage, latest_start: i64) -> Self {
        Self {
            windows,
            lineage,
            numbers: HashMap::new(),
            keys: Vec::new(),
            stored: Vec::new(),
            versions: Vec::new(),
            updates: Vec::new(),
            latest_start,
        }
    }

    /// The number of a key: keys are numbered as they first come.
    pub(super) fn number(&mut self, key: &[u8]) -> usize {
        if let Some(&number) = self.numbers.get(key) {
            return number;
        }
        let number = self.keys.len();
        self.numbers.insert(key.into(), number);
        self.keys.push(KeyWindows { key: key.into(), live: BTreeMap::new(), known: BTreeSet::new() });
        number
    }

    /// The first and the last start of windows that a record at `time` may touch, or that say what was before it.
    fn reach(&self, time: i64) -> (i64, i64) {
        let twice = self.windows.time_difference().millis().saturating_mul(2);
        (time.saturating_sub(twice).max(0), time.saturating_add(1))
    }

    /// The stretches that must be looked up for a record at `time`, as far as they are not known.
    pub(super) fn missing(&mut self, key: usize, time: i64, span: TimeSpan, lookups: &mut Vec<(usize, i64)>) {
        let (from, to) = self.reach(time);
        let mut stretch = stretch_of(from, span);
        while stretch <= to {
            if self.keys[key].known.insert(stretch) {
                lookups.push((key, stretch));
            }
            stretch = match stretch.checked_add(span.millis()) {
                Some(next) => next,
                None => return,
            };
        }
    }

    /// Takes a stretch that was looked up.
    pub(super) fn found(&mut self, key: usize, value: &[u8]) {
        for (start, time) in windows_in(value) {
            let state = State::Stored(self.stored.len());
            self.stored.push(StoredWindow { key, start, is_used: false });
            self.keys[key].live.insert(start, Live { time, state, before: state });
        }
    }

    /// Lets a record at a time that is not negative fall into its windows; gives the starts of those that it should have changed but are closed.
    pub(super) fn arrive(&mut self, arrival: Arrival) -> Vec<i64> {
        let mut closed = Vec::new();
        if arrival.time < self.windows.time_difference().millis() {
            self.arrive_early(arrival, &mut closed);
        } else {
            self.arrive_later(arrival, &mut closed);
        }
        closed
    }

    /// The windows that a record sees, by start.
    fn seen(&self, arrival: Arrival) -> impl DoubleEndedIterator<Item = (i64, Live)> {
        let (from, to) = self.reach(arrival.time);
        let from = from.max(arrival.visible_from);
        let live = &self.keys[arrival.key].live;
        let seen = (from <= to).then(|| live.range(from..=to));
        seen.into_iter().flatten().map(|(&start, &live)| (start, live))
    }

    /// Newest windows first, as Kafka Streams looks at them. A window that is right of the record before and left of this one is made twice, which
    /// passes it on twice.
    fn arrive_later(&mut self, arrival: Arrival, closed: &mut Vec<i64>) {
        let time = arrival.time;
        let (mut has_right, mut has_left) = (false, false);
        let (mut right, mut left): (Option<Live>, Option<Live>) = (None, None);
        let mut previous = None;
        let mut holding = Vec::new();
        for (start, live) in self.seen(arrival).rev() {
            let end = self.windows.end_of(start);
            if start > time {
                has_right = true;
            } else if end > time {
                right = right.or(Some(live));
                holding.push((start, live));
            } else if end == time {
                has_left = true;
                holding.push((start, live));
                previous = (live.time < time).then_some(live.time);
                if previous.is_none() {
                    break;
                }
            } else {
                left = Some(live);
                previous = Some(live.time);
                break;
            }
        }
        // A window that ends with an earlier record at this very time: every window that it needs is there.
        let is_complete = has_left && previous.is_none();
        let previous = previous.filter(|_| !is_complete);
        let before_right = previous.map(|previous| previous.saturating_add(1));
        let before_right = before_right
            .filter(|start| !self.keys[arrival.key].live.contains_key(start) && self.windows.end_of(*start) >= time);
        let right = right.filter(|right| !is_complete && !has_right && right.time > time).map(|live| self.copy(live));
        for (start, live) in holding {
            self.fold(arrival, start, Some(live), live.state, closed);
        }
        if is_complete {
            return;
        }
        if let Some(start) = before_right {
            self.fold(arrival, start, None, State::Nothing, closed);
        }
        if !has_left {
            let start = time - self.windows.time_difference().millis();
            let inherits = left.filter(|_| previous.is_some_and(|previous| start <= previous));
            let base = inherits.map_or(State::Nothing, |left| self.copy(left).state);
            self.fold(arrival, start, None, base, closed);
        }
        if let Some(right) = right {
            self.put(arrival, time.saturating_add(1), right);
        }
    }

    /// A record earlier than the time difference: its left window would begin before the epoch, so that it is in `[0, d]` with all others.
    fn arrive_early(&mut self, arrival: Arrival, closed: &mut Vec<i64>) {
        let time = arrival.time;
        let (mut has_right, mut right, mut combined): (bool, Option<Live>, Option<Live>) = (false, None, None);
        let mut holding = Vec::new();
        for (start, live) in self.seen(arrival) {
            if start == 0 {
                combined = Some(live);
            } else if start <= time {
                right = Some(live);
                holding.push((start, live));
            } else {
                has_right = true;
            }
        }
        let before_right = combined.filter(|combined| combined.time < time).map(|combined| combined.time + 1);
        let before_right = before_right.filter(|start| !self.keys[arrival.key].live.contains_key(start));
        // What is in the combined window and later than this record is all that its right window holds, if no other window says so.
        let right = right.or(combined).filter(|right| !has_right && right.time > time).map(|live| self.copy(live));
        for (start, live) in holding {
            self.fold(arrival, start, Some(live), live.state, closed);
        }
        if let Some(right) = right {
            self.put(arrival, time + 1, right);
        }
        if let Some(start) = before_right {
            self.fold(arrival, start, None, State::Nothing, closed);
        }
        let base = combined.map_or(State::Nothing, |combined| combined.state);
        self.fold(arrival, 0, combined, base, closed);
    }

    /// A state that stays as it is whatever becomes of the window that it is taken from.
    fn copy(&mut self, live: Live) -> Live {
        self.needs(live.state);
        match (self.lineage, live.state) {
            (Lineage::Last, State::Version(version)) => {
                self.versions.push(self.versions[version].clone());
                Live { state: State::Version(self.versions.len() - 1), ..live }
            }
            _ => live,
        }
    }

    fn needs(&mut self, state: State) {
        if let State::Stored(stored) = state {
            self.stored[stored].is_used = true;
        }
    }

    /// Folds a record into the window at `start`, unless that is closed: into `base`, which belongs to it.
    fn fold(&mut self, arrival: Arrival, start: i64, was: Option<Live>, base: State, closed: &mut Vec<i64>) {
        if self.windows.end_of(start) < arrival.closed_before {
            closed.push(start);
            return;
        }
        let state = match (self.lineage, base) {
            (Lineage::Last, State::Version(version)) => {
                self.versions[version].rows.push(arrival.row);
                base
            }
            _ => {
                self.needs(base);
                let level = match base {
                    State::Version(version) => self.versions[version].level + 1,
                    State::Nothing | State::Stored(_) => 0,
                };
                self.versions.push(Version { base, rows: vec![arrival.row], level });
                State::Version(self.versions.len() - 1)
            }
        };
        let time = was.map_or(arrival.time, |was| was.time.max(arrival.time));
        self.put(arrival, start, Live { time, state, before: State::Nothing });
    }

    /// Makes a state that of the window at `start`.
    fn put(&mut self, arrival: Arrival, start: i64, now: Live) {
        let was = self.keys[arrival.key].live.get(&start).copied();
        let before = was.map_or(State::Nothing, |was| was.before);
        let is_first = was.is_none_or(|was| was.state == was.before);
        self.keys[arrival.key].live.insert(start, Live { before, ..now });
        self.latest_start = self.latest_start.max(start);
        if self.lineage == Lineage::Every || is_first {
            let before = was.map_or(State::Nothing, |was| was.state);
            let Arrival { key, row, .. } = arrival;
            self.updates.push(Update { key, start, row, state: now.state, before, time: now.time });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(millis: i64) -> TimeSpan {
        TimeSpan::from_millis(millis).expect("not negative")
    }

    /// The updates of records of one key at these times, each as `start{rows}`; rows are letters, states are spelled out.
    fn check(lineage: Lineage, difference: i64, times: &[i64]) -> String {
        let windows = SlidingWindows::new(span(difference), span(1_000));
        let mut interval = SlidingInterval::new(windows, lineage, 0);
        let key = interval.number(b"a");
        for (row, &time) in times.iter().enumerate() {
            let arrival = Arrival { key, row: row as u32, time, closed_before: 0, visible_from: 0 };
            assert_eq!(interval.arrive(arrival), [0_i64; 0], "nothing is closed");
        }
        fn rows(interval: &SlidingInterval, state: State) -> String {
            let State::Version(version) = state else { return String::new() };
            let version = &interval.versions[version];
            let own = version.rows.iter().map(|&row| char::from(b'a' + row as u8));
            rows(interval, version.base) + &own.collect::<String>()
        }
        let text = |update: &Update| {
            let state = match lineage {
                Lineage::Every => update.state,
                Lineage::Last => interval.keys[0].live[&update.start].state,
            };
            format!("{}{{{}}}", update.start, rows(&interval, state))
        };
        interval.updates.iter().map(text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn windows_are_updated_in_the_order_of_kafka_streams() {
        let every = |times: &[i64]| check(Lineage::Every, 10, times);
        assert_eq!(every(&[20, 25, 33]), "10{a} 21{b} 15{ab} 26{c} 23{bc}");
        assert_eq!(every(&[20, 20]), "10{a} 10{ab}", "one moment");
        assert_eq!(every(&[15, 20, 31]), "5{a} 16{b} 10{ab} 21{c} 21{c}", "right of b and left of c");
        assert_eq!(every(&[20, 31]), "10{a} 21{b}", "as far as Kafka Streams looks back there is no window");
        assert_eq!(every(&[20, 32]), "10{a} 22{b}", "too far apart");
        assert_eq!(every(&[25, 20]), "15{a} 15{ab} 10{b} 21{a}", "out of order");
        assert_eq!(every(&[3]), "0{a}", "no window before the epoch");
        assert_eq!(every(&[3, 5, 12]), "0{a} 4{b} 0{ab} 4{bc} 6{c} 2{abc}");
        assert_eq!(every(&[5, 3]), "0{a} 4{a} 0{ab}");
    }

    #[test]
    fn the_last_version_is_what_all_versions_come_to() {
        assert_eq!(check(Lineage::Last, 10, &[20, 25, 33]), "10{a} 21{b} 15{ab} 26{c} 23{bc}");
        assert_eq!(check(Lineage::Last, 10, &[25, 20]), "15{ab} 10{b} 21{a}");
        assert_eq!(check(Lineage::Last, 10, &[5, 3, 4]), "0{abc} 4{ac} 5{a}");
    }
}
