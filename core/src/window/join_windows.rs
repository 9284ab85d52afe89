//! Join windows: which records of two streams meet, and for how long a record waits for one to meet.
//!
//! Seen from a record of the left stream at `t`, records of the right stream within `[t - before, t + after]` are met; seen from the
//! right it is `[t - after, t + before]`. Both ends are inclusive, as in Kafka Streams.
//!
//! ```text
//! before 10, after 5      left at 100 meets right 90 ..= 105      right at 100 meets left 95 ..= 110
//! ```
//!
//! With a grace, a record that met nothing is passed on with nulls once nothing can meet it any more: at the first stream time *above* the
//! end of its window and the grace. Without one it is passed on at once, and again if it meets something later.

use crate::record::{TimeSpan, Timestamp};

/// How long records are kept for late ones where no grace is given: a day, as Kafka Streams did before it asked for one.
///
/// ```
/// # use std::time::Duration;
/// # use millstream::window::{GRACE_WITHOUT_ONE, JoinWindows};
/// assert_eq!(GRACE_WITHOUT_ONE.millis(), 86_400_000);
/// assert_eq!(JoinWindows::new(Duration::from_millis(10), Duration::from_millis(5)).retention().millis(), 86_400_015);
/// ```
pub const GRACE_WITHOUT_ONE: TimeSpan = match TimeSpan::from_millis(24 * 60 * 60 * 1_000) {
    Some(day) => day,
    None => TimeSpan::ZERO,
};

/// The side of a join that a record is on.
///
/// ```
/// # use millstream::window::JoinSide;
/// assert_eq!(JoinSide::Left.other(), JoinSide::Right);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JoinSide {
    /// The first input.
    Left,
    /// The second input.
    Right,
}

impl JoinSide {
    /// The side of an operator's input number `input`.
    ///
    /// ```
    /// # use millstream::window::JoinSide;
    /// assert_eq!([0, 1].map(JoinSide::of_input), [JoinSide::Left, JoinSide::Right]);
    /// ```
    pub fn of_input(input: usize) -> Self {
        if input == 0 { Self::Left } else { Self::Right }
    }

    /// The side across.
    ///
    /// ```
    /// # use millstream::window::JoinSide;
    /// assert_eq!(JoinSide::Right.other(), JoinSide::Left);
    /// ```
    pub fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

/// Which records of two streams meet.
///
/// ```
/// use std::time::Duration;
/// use millstream::{window::{JoinSide, JoinWindows}, record::Timestamp};
///
/// let windows = JoinWindows::new(Duration::from_millis(10), Duration::from_millis(5));
/// // A record of the left stream at 100 meets those of the right one from 90 to 105, both included.
/// assert_eq!(windows.reach(JoinSide::Left, Timestamp(100)), (Timestamp(90), Timestamp(105)));
/// assert_eq!(windows.reach(JoinSide::Right, Timestamp(100)), (Timestamp(95), Timestamp(110)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JoinWindows {
    before: TimeSpan,
    after: TimeSpan,
    grace: Option<TimeSpan>,
}

impl JoinWindows {
    /// Windows from `before` a record of the left stream until `after` it; what meets nothing is passed on at once.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::window::JoinWindows;
    /// let windows = JoinWindows::new(Duration::from_millis(10), Duration::from_millis(5));
    /// assert_eq!((windows.before().millis(), windows.after().millis(), windows.grace()), (10, 5, None));
    /// ```
    pub fn new(before: impl Into<TimeSpan>, after: impl Into<TimeSpan>) -> Self {
        Self { before: before.into(), after: after.into(), grace: None }
    }

    /// What meets nothing is passed on when its window and `grace` are over.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::window::JoinWindows;
    /// let windows = JoinWindows::new(Duration::ZERO, Duration::from_millis(5)).with_grace(Duration::from_millis(20));
    /// assert_eq!(windows.grace().map(|grace| grace.millis()), Some(20));
    /// ```
    pub fn with_grace(self, grace: impl Into<TimeSpan>) -> Self {
        Self { grace: Some(grace.into()), ..self }
    }

    /// How far before a record of the left stream one of the right stream may lie.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::window::JoinWindows;
    /// assert_eq!(JoinWindows::new(Duration::from_millis(10), Duration::from_millis(5)).before().millis(), 10);
    /// ```
    pub fn before(&self) -> TimeSpan {
        self.before
    }

    /// How far after it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::window::JoinWindows;
    /// assert_eq!(JoinWindows::new(Duration::from_millis(10), Duration::from_millis(5)).after().millis(), 5);
    /// ```
    pub fn after(&self) -> TimeSpan {
        self.after
    }

    /// How long after the end of its window a record still waits; `None` if it does not wait at all.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::window::JoinWindows;
    /// assert_eq!(JoinWindows::new(Duration::ZERO, Duration::ZERO).grace(), None);
    /// ```
    pub fn grace(&self) -> Option<TimeSpan> {
        self.grace
    }

    /// The same windows with the sides exchanged.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{window::{JoinSide, JoinWindows}, record::Timestamp};
    /// let windows = JoinWindows::new(Duration::from_millis(10), Duration::from_millis(5)).swapped();
    /// assert_eq!(windows.reach(JoinSide::Left, Timestamp(100)), (Timestamp(95), Timestamp(110)));
    /// ```
    pub fn swapped(self) -> Self {
        Self { before: self.after, after: self.before, ..self }
    }

    /// The first and the last moment at which a record of the other side meets one of `side` at `time`; never negative.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{window::{JoinSide, JoinWindows}, record::Timestamp};
    /// let windows = JoinWindows::new(Duration::from_millis(10), Duration::from_millis(5));
    /// assert_eq!(windows.reach(JoinSide::Left, Timestamp(3)), (Timestamp(0), Timestamp(8)));
    /// ```
    pub fn reach(&self, side: JoinSide, time: Timestamp) -> (Timestamp, Timestamp) {
        let (before, after) = match side {
            JoinSide::Left => (self.before, self.after),
            JoinSide::Right => (self.after, self.before),
        };
        (time.minus(before).max(Timestamp(0)), time.plus(after).max(Timestamp(0)))
    }

    /// Whether a record of `side` at `time` that has met nothing can meet nothing any more at this stream time, late records included.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{window::{JoinSide, JoinWindows}, record::Timestamp};
    /// let ten = Duration::from_millis(10);
    /// let windows = JoinWindows::new(ten, ten).with_grace(Duration::from_millis(5));
    /// let closed = [115, 116].map(|now| windows.is_closed(JoinSide::Left, Timestamp(100), Timestamp(now)));
    /// assert_eq!(closed, [false, true]);
    /// ```
    pub fn is_closed(&self, side: JoinSide, time: Timestamp, stream_time: Timestamp) -> bool {
        self.closes_after(side, time) < stream_time
    }

    /// The last stream time at which a record of `side` at `time` can still meet something, late records included.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{window::{JoinSide, JoinWindows}, record::Timestamp};
    /// let ten = Duration::from_millis(10);
    /// let windows = JoinWindows::new(ten, ten).with_grace(Duration::from_millis(5));
    /// assert_eq!(windows.closes_after(JoinSide::Left, Timestamp(100)), Timestamp(115));
    /// ```
    pub fn closes_after(&self, side: JoinSide, time: Timestamp) -> Timestamp {
        self.reach(side, time).1.plus(self.grace.unwrap_or_default())
    }

    /// How long records are kept to be met: before, after and grace together, a day's grace if none was given.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::window::JoinWindows;
    /// let ten = Duration::from_millis(10);
    /// assert_eq!(JoinWindows::new(ten, ten).with_grace(Duration::from_millis(5)).retention().millis(), 25);
    /// ```
    pub fn retention(&self) -> TimeSpan {
        let grace = self.grace.unwrap_or(GRACE_WITHOUT_ONE);
        let spans = [self.before, self.after, grace].map(TimeSpan::millis);
        let sum = spans.into_iter().fold(0_i64, i64::saturating_add);
        TimeSpan::from_millis(sum).unwrap_or_default()
    }
}

impl std::fmt::Display for JoinWindows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WITHIN ({}, {})", self.before, self.after)?;
        match self.grace {
            Some(grace) => write!(f, " GRACE PERIOD {grace}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(millis: i64) -> TimeSpan {
        TimeSpan::from_millis(millis).expect("not negative")
    }

    fn check(side: JoinSide, time: i64) -> (i64, i64) {
        let (from, to) = JoinWindows::new(span(10), span(5)).reach(side, Timestamp(time));
        (from.millis(), to.millis())
    }

    #[test]
    fn each_side_sees_the_window_from_its_own_end() {
        assert_eq!(check(JoinSide::Left, 100), (90, 105));
        assert_eq!(check(JoinSide::Right, 100), (95, 110));
        assert_eq!(check(JoinSide::Left, 3), (0, 8));
        let swapped = JoinWindows::new(span(10), span(5)).swapped();
        assert_eq!(swapped.reach(JoinSide::Left, Timestamp(100)), (Timestamp(95), Timestamp(110)));
    }

    #[test]
    fn a_record_waits_until_stream_time_is_above_window_and_grace() {
        let windows = JoinWindows::new(span(10), span(10)).with_grace(span(5));
        for (stream_time, closed) in [(114, false), (115, false), (116, true)] {
            assert_eq!(windows.is_closed(JoinSide::Left, Timestamp(100), Timestamp(stream_time)), closed);
        }
        assert_eq!(windows.retention(), span(25));
        assert_eq!(JoinWindows::new(span(1), span(2)).retention(), span(86_400_003));
    }
}
