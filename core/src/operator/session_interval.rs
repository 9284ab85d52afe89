//! The sessions that a commit interval touches: which there were, which records joined them, which became one.
//!
//! Only bounds and places are kept here, states are folded elsewhere and brought together once at the end. A session is a list of *parts*
//! in the order in which Kafka Streams would have merged them: rows of stored sessions, and groups of the fold for records since.
//!
//! ```text
//! stored  [0,4]       records 8, 20, 14 (gap 6)
//! 8       [0,8]       parts  stored 0, group 0
//! 20      [20,20]     parts  group 1
//! 14      [0,20]      parts  stored 0, group 0, group 1, group 2: it reaches both, and begins a group of its own
//! ```
//! Invariants: the sessions of a key are in the order of their ends and do not reach one another, but for closed ones, which no record
//! touches any more.

use std::ops::Range;

use hashbrown::HashMap;

use crate::{
    record::TimeSpan,
    window::{Session, SessionWindows},
};

use super::session_rows::{sessions_in, stretch_of};

/// A part of a session's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The state of this stored session.
    Stored(usize),
    /// The state of this group of the fold.
    Folded(usize),
}

/// A session as it is now.
#[derive(Debug, Clone)]
pub(super) struct Live {
    pub(super) session: Session,
    pub(super) parts: Vec<Part>,
    /// Whether it is other than what is stored.
    pub(super) changed: bool,
}

/// A session as it was stored before the interval.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) key: usize,
    pub(super) session: Session,
    /// Where its state lies in [`SessionInterval::bytes`].
    pub(super) row: Range<usize>,
    /// Whether a record has joined it: it is another session now.
    pub(super) replaced: bool,
}

/// A key that was touched.
#[derive(Debug)]
pub(super) struct KeySessions {
    pub(super) key: Box<[u8]>,
    /// In the order of ends.
    pub(super) live: Vec<Live>,
    /// The start of the first stretch that was looked up; `None` if none was.
    looked_up_from: Option<i64>,
}

/// A stored row to look up: key number and start of the stretch.
pub(super) type Lookup = (usize, i64);

/// What the records since the last flush did to the sessions of their keys.
#[derive(Default)]
pub(super) struct SessionInterval {
    numbers: HashMap<Box<[u8]>, usize>,
    pub(super) keys: Vec<KeySessions>,
    pub(super) stored: Vec<Stored>,
    pub(super) bytes: Vec<u8>,
    /// How many groups of the fold there are.
    pub(super) groups: usize,
}

impl SessionInterval {
    /// The number of a key: keys are numbered as they first come.
    pub(super) fn number(&mut self, key: &[u8]) -> usize {
        if let Some(&number) = self.numbers.get(key) {
            return number;
        }
        let number = self.keys.len();
        self.numbers.insert(key.into(), number);
        self.keys.push(KeySessions { key: key.into(), live: Vec::new(), looked_up_from: None });
        number
    }

    /// The rows that must be looked up so that every stored session of a key that ends at `earliest_end` or later is known, if the newest
    /// stored one ends at `newest_end`.
    pub(super) fn missing(
        &mut self,
        key: usize,
        earliest_end: i64,
        newest_end: i64,
        span: TimeSpan,
        lookups: &mut Vec<Lookup>,
    ) {
        let from = stretch_of(earliest_end, span);
        let known = &mut self.keys[key].looked_up_from;
        let to = known.unwrap_or_else(|| stretch_of(newest_end, span).saturating_add(span.millis()));
        if from >= to {
            return;
        }
        let mut stretch = from;
        while stretch < to {
            lookups.push((key, stretch));
            stretch = stretch.saturating_add(span.millis());
        }
        *known = Some(from);
    }

    /// Takes a row that was looked up.
    pub(super) fn found(&mut self, key: usize, value: &[u8]) {
        let base = self.bytes.len();
        self.bytes.extend_from_slice(value);
        for (session, row) in sessions_in(value) {
            let row = base + row.start..base + row.end;
            let live = Live { session, parts: vec![Part::Stored(self.stored.len())], changed: false };
            self.stored.push(Stored { key, session, row, replaced: false });
            let sessions = &mut self.keys[key].live;
            let by_end = |session: Session| (session.end, session.start);
            let place = sessions.partition_point(|other| by_end(other.session) < by_end(session));
            sessions.insert(place, live);
        }
    }

    /// Lets a record at `time` join the sessions of its key that it reaches, unless they end before `open_from`. Gives the group that
    /// the record is to be folded into; an error with the session it would have joined if that is closed.
    pub(super) fn join(
        &mut self,
        key: usize,
        time: i64,
        windows: SessionWindows,
        open_from: i64,
        closed_before: i64,
    ) -> Result<usize, Session> {
        let live = &mut self.keys[key].live;
        let reached = |one: &Live| one.session.end >= open_from && windows.reaches(one.session, time);
        let first =
            live.partition_point(|one| one.session.end < open_from.max(time.saturating_sub(windows.gap().millis())));
        let count = live[first..].iter().take_while(|one| reached(one)).count();
        let joined = &live[first..first + count];
        let session = joined.iter().fold(Session::at(time), |whole, one| whole.merge(one.session));
        if session.end < closed_before {
            return Err(session);
        }
        let mut parts: Vec<Part> = joined.iter().flat_map(|one| one.parts.iter().copied()).collect();
        let group = match (count, parts.last()) {
            (1, Some(&Part::Folded(group))) => group,
            _ => {
                parts.push(Part::Folded(self.groups));
                self.groups += 1;
                self.groups - 1
            }
        };
        for part in &parts {
            if let Part::Stored(stored) = part {
                self.stored[*stored].replaced = true;
            }
        }
        live.splice(first..first + count, [Live { session, parts, changed: true }]);
        Ok(group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::session_rows::append_session;

    fn span(millis: i64) -> TimeSpan {
        TimeSpan::from_millis(millis).expect("not negative")
    }

    /// Sessions of one key, gap 6, after records at these times; parts are `s0` for stored and `g0` for folded ones.
    fn check(stored: &[(i64, i64)], times: &[i64]) -> String {
        let windows = SessionWindows::new(span(6), span(0)).expect("legal");
        let mut interval = SessionInterval::default();
        let key = interval.number(b"a");
        let mut value = Vec::new();
        stored.iter().for_each(|&(start, end)| append_session(Session { start, end }, b"", &mut value));
        interval.found(key, &value);
        let late: Vec<String> = times
            .iter()
            .filter_map(|&time| interval.join(key, time, windows, 0, 0).err())
            .map(|session| format!("late {}..{}", session.start, session.end))
            .collect();
        let part = |part: &Part| match part {
            Part::Stored(number) => format!("s{number}"),
            Part::Folded(group) => format!("g{group}"),
        };
        let session = |live: &Live| {
            let Session { start, end } = live.session;
            let mark = if live.changed { "" } else { " as it was" };
            format!("{start}..{end} {}{mark}", live.parts.iter().map(part).collect::<Vec<_>>().join("+"))
        };
        interval.keys[key].live.iter().map(session).chain(late).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn records_join_what_they_reach() {
        assert_eq!(check(&[(0, 4)], &[8, 20, 14]), "0..20 s0+g0+g1+g2");
        assert_eq!(check(&[], &[1, 2, 3]), "1..3 g0");
        assert_eq!(check(&[], &[1, 7, 14]), "1..7 g0, 14..14 g1");
        assert_eq!(check(&[(0, 1), (9, 10)], &[30]), "0..1 s0 as it was, 9..10 s1 as it was, 30..30 g0");
        assert_eq!(check(&[(0, 1), (9, 10)], &[4]), "0..10 s0+s1+g0");
        assert_eq!(check(&[(5, 20)], &[10]), "5..20 s0+g0");
        assert_eq!(check(&[(-9, -5)], &[-8]), "-9..-5 s0 as it was, late -8..-8");
    }

    #[test]
    fn stretches_are_looked_up_once() {
        let mut interval = SessionInterval::default();
        let key = interval.number(b"a");
        let mut missing = |earliest, newest| {
            let mut lookups = Vec::new();
            interval.missing(key, earliest, newest, span(10), &mut lookups);
            lookups.into_iter().map(|(_, stretch)| stretch).collect::<Vec<_>>()
        };
        assert_eq!(missing(45, 42), [40]);
        assert_eq!(missing(44, 99), [0_i64; 0]);
        assert_eq!(missing(15, 99), [10, 20, 30]);
        assert_eq!(missing(10, 99), [0_i64; 0]);
    }
}
