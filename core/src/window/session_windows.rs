//! Session windows: records of a key that follow one another with gaps of at most `gap` make one session.
//!
//! A session reaches from its first record to its last, both inclusive. A record at `t` belongs to every session of its key that ends at
//! `t - gap` or later and begins at `t + gap` or earlier; if there are several, they become one. A session is closed when
//! `end + gap + grace < stream time`, where stream time includes the record that is looked at; a record that would make or extend only
//! a closed session is late.
//!
//! ```text
//! gap 5    10 -> [10,10]    14 -> [10,14]    19 -> [10,19], a distance of exactly 5 joins    25 -> [25,25] begins anew
//!          22 -> [10,25], it reaches both
//! ```

use std::fmt;

use super::InvalidWindow;
use crate::record::{TimeSpan, Timestamp};

/// Sessions with one gap for all keys.
///
/// ```
/// use std::time::Duration;
/// use millstream::window::{Session, SessionWindows};
///
/// let windows = SessionWindows::new(Duration::from_millis(5), Duration::ZERO)?;
/// let session = Session { start: 10, end: 14 };
/// assert_eq!([4, 5, 19, 20].map(|time| windows.reaches(session, time)), [false, true, true, false]);
/// # Ok::<(), millstream::window::InvalidWindow>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionWindows {
    gap: TimeSpan,
    grace: TimeSpan,
}

/// A session: from its first record to its last, in milliseconds since the epoch.
///
/// ```
/// # use millstream::window::Session;
/// assert_eq!(Session::at(10).merge(Session::at(14)), Session { start: 10, end: 14 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Session {
    /// The moment of the first record.
    pub start: i64,
    /// The moment of the last record.
    pub end: i64,
}

impl Session {
    /// The session of one record.
    ///
    /// ```
    /// # use millstream::window::Session;
    /// assert_eq!(Session::at(10), Session { start: 10, end: 10 });
    /// ```
    pub const fn at(time: i64) -> Self {
        Self { start: time, end: time }
    }

    /// The session that holds both.
    ///
    /// ```
    /// # use millstream::window::Session;
    /// let earlier = Session { start: 3, end: 9 };
    /// assert_eq!(earlier.merge(Session { start: 7, end: 12 }), Session { start: 3, end: 12 });
    /// ```
    pub fn merge(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

impl SessionWindows {
    /// Sessions that end after `gap` without a record and accept late records for another `grace`.
    ///
    /// # Errors
    /// [`InvalidWindow::Empty`] if the gap is below a millisecond.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::window::{InvalidWindow, SessionWindows};
    /// let windows = SessionWindows::new(Duration::from_millis(5), Duration::from_millis(6))?;
    /// assert_eq!((windows.gap().millis(), windows.grace().millis()), (5, 6));
    /// assert_eq!(SessionWindows::new(Duration::ZERO, Duration::ZERO), Err(InvalidWindow::Empty));
    /// # Ok::<(), millstream::window::InvalidWindow>(())
    /// ```
    pub fn new(gap: impl Into<TimeSpan>, grace: impl Into<TimeSpan>) -> Result<Self, InvalidWindow> {
        let (gap, grace) = (gap.into(), grace.into());
        if gap == TimeSpan::ZERO {
            return Err(InvalidWindow::Empty);
        }
        Ok(Self { gap, grace })
    }

    /// The longest distance between neighbours of one session.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::window::SessionWindows;
    /// # let windows = SessionWindows::new(Duration::from_millis(5), Duration::from_millis(6))?;
    /// assert_eq!(windows.gap().millis(), 5);
    /// # Ok::<(), millstream::window::InvalidWindow>(())
    /// ```
    pub fn gap(&self) -> TimeSpan {
        self.gap
    }

    /// How long a session accepts records after its gap has passed.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::window::SessionWindows;
    /// # let windows = SessionWindows::new(Duration::from_millis(5), Duration::from_millis(6))?;
    /// assert_eq!(windows.grace().millis(), 6);
    /// # Ok::<(), millstream::window::InvalidWindow>(())
    /// ```
    pub fn grace(&self) -> TimeSpan {
        self.grace
    }

    /// Whether a record at `time` belongs to `session`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::window::{Session, SessionWindows};
    /// let windows = SessionWindows::new(Duration::from_millis(5), Duration::ZERO)?;
    /// assert_eq!([15, 16].map(|time| windows.reaches(Session::at(10), time)), [true, false]);
    /// # Ok::<(), millstream::window::InvalidWindow>(())
    /// ```
    pub fn reaches(&self, session: Session, time: i64) -> bool {
        let gap = self.gap.millis();
        session.end >= time.saturating_sub(gap) && session.start <= time.saturating_add(gap)
    }

    /// Sessions that end before this are closed.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{window::SessionWindows, record::Timestamp};
    /// let windows = SessionWindows::new(Duration::from_millis(5), Duration::from_millis(6))?;
    /// assert_eq!(windows.closed_before(Timestamp(26)), Timestamp(15));
    /// # Ok::<(), millstream::window::InvalidWindow>(())
    /// ```
    pub fn closed_before(&self, stream_time: Timestamp) -> Timestamp {
        stream_time.minus(self.grace).minus(self.gap)
    }

    /// The first stream time at which a session that ends at `end` is closed.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{window::SessionWindows, record::Timestamp};
    /// let windows = SessionWindows::new(Duration::from_millis(5), Duration::from_millis(6))?;
    /// assert_eq!(windows.closes_at(Timestamp(14)), Timestamp(26));
    /// # Ok::<(), millstream::window::InvalidWindow>(())
    /// ```
    pub fn closes_at(&self, end: Timestamp) -> Timestamp {
        Timestamp(end.plus(self.gap).plus(self.grace).millis().saturating_add(1))
    }

    /// Whether a session that ends at `end` is closed at this stream time.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{window::SessionWindows, record::Timestamp};
    /// let windows = SessionWindows::new(Duration::from_millis(5), Duration::from_millis(6))?;
    /// assert_eq!([25, 26].map(|now| windows.is_closed(Timestamp(14), Timestamp(now))), [false, true]);
    /// # Ok::<(), millstream::window::InvalidWindow>(())
    /// ```
    pub fn is_closed(&self, end: Timestamp, stream_time: Timestamp) -> bool {
        end < self.closed_before(stream_time)
    }
}

impl fmt::Display for SessionWindows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SESSION ({}, GRACE PERIOD {})", self.gap, self.grace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(gap: i64, grace: i64) -> SessionWindows {
        let span = |millis| TimeSpan::from_millis(millis).expect("not negative");
        SessionWindows::new(span(gap), span(grace)).expect("legal")
    }

    #[test]
    fn a_record_reaches_sessions_at_most_a_gap_away() {
        let check = |start, end, time| windows(5, 0).reaches(Session { start, end }, time);
        assert!(check(10, 14, 19) && !check(10, 14, 20));
        assert!(check(10, 14, 5) && !check(10, 14, 4));
        assert!(check(10, 14, 12));
        assert!(check(i64::MAX - 1, i64::MAX, i64::MAX) && check(0, 0, 0));
    }

    #[test]
    fn a_session_closes_when_gap_and_grace_have_passed() {
        let check = |end, stream_time| windows(5, 6).is_closed(Timestamp(end), Timestamp(stream_time));
        assert!(!check(14, 25) && check(14, 26));
        assert!(!windows(5, 6).is_closed(Timestamp(0), Timestamp::NONE));
        assert!(SessionWindows::new(TimeSpan::ZERO, TimeSpan::ZERO).is_err());
    }

    #[test]
    fn sessions_merge_to_what_spans_both() {
        let spans = Session { start: 3, end: 9 };
        assert_eq!(Session::at(9).merge(Session { start: 3, end: 4 }), spans);
        assert_eq!(spans.merge(Session::at(5)), spans);
    }
}
