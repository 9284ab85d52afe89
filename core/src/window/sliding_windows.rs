//! Sliding windows: the records of a key that lie at most a time difference apart share windows, which are aligned to the records.
//!
//! A window `[start, start + time difference]` holds both its ends. A record at `t` makes up to three windows: its *left window*
//! `[t - d, t]`, its *right window* `[t + 1, t + 1 + d]` if a later record falls into it, and the right window of the record before it if `t`
//! falls into that. No window starts before the epoch: records earlier than the time difference share the window `[0, d]`.
//!
//! ```text
//! d = 10    20 (a) -> [10,20] {a}
//!           25 (b) -> [21,31] {b}, the right window of a       [15,25] {a, b}
//!           33 (c) -> [26,36] {c}, the right window of b       [23,33] {b, c}
//! ```
//!
//! A window is closed when `end + grace < stream time`, strictly, for its end belongs to it. A record is late as a whole if the last window
//! that could hold it, the one that it begins, is closed.
//!
//! After Kafka Streams (KIP-450).

use std::fmt;

use super::TimeWindows;
use crate::record::{TimeSpan, Timestamp};

/// Windows of one length around the records of each key.
///
/// ```
/// use std::time::Duration;
/// use millstream::{record::Timestamp, window::SlidingWindows};
///
/// let windows = SlidingWindows::new(Duration::from_millis(10), Duration::from_millis(5));
/// assert!(!windows.is_closed(Timestamp(20), Timestamp(25)), "the end and the grace belong to it");
/// assert!(windows.is_closed(Timestamp(20), Timestamp(26)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlidingWindows {
    time_difference: TimeSpan,
    grace: TimeSpan,
}

impl SlidingWindows {
    /// Windows of records that lie at most `time_difference` apart, which accept late records for another `grace`.
    ///
    /// A time difference of zero makes a window of each moment.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream::{
    ///     StreamsBuilder,
    ///     dsl::{Consumed, Produced},
    ///     record::Record,
    ///     testing::TopologyTestDriver,
    ///     window::SlidingWindows,
    /// };
    ///
    /// let builder = StreamsBuilder::new();
    /// let windows = SlidingWindows::new(Duration::from_millis(10), Duration::from_millis(50));
    /// let clicks = builder.stream::<String, String>("clicks", Consumed::kafka()).group_by_key().windowed_by(windows);
    /// let counts = clicks.count("clicks-in-a-row").to_stream();
    /// counts.map(|window, n| (window.key, format!("{}..{}: {n}", window.start, window.end))).to("counts", Produced::kafka());
    ///
    /// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.push("clicks", Record::new("ada", "x").at_ms(20))?;
    /// driver.push("clicks", Record::new("ada", "x").at_ms(25))?;
    /// let counts: Vec<_> = driver.drain("counts")?.into_iter().flat_map(|record| record.value).collect();
    /// assert_eq!(counts, [&b"10..20: 1"[..], b"21..31: 1", b"15..25: 2"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(time_difference: impl Into<TimeSpan>, grace: impl Into<TimeSpan>) -> Self {
        Self { time_difference: time_difference.into(), grace: grace.into() }
    }

    /// How far apart the first and the last record of a window can lie.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::window::SlidingWindows;
    /// let windows = SlidingWindows::new(Duration::from_secs(10), Duration::ZERO);
    /// assert_eq!(windows.time_difference().millis(), 10_000);
    /// ```
    pub fn time_difference(&self) -> TimeSpan {
        self.time_difference
    }

    /// How long a window accepts records after its end.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::window::SlidingWindows;
    /// let windows = SlidingWindows::new(Duration::from_secs(10), Duration::from_secs(5));
    /// assert_eq!(windows.grace().millis(), 5_000);
    /// ```
    pub fn grace(&self) -> TimeSpan {
        self.grace
    }

    /// The end of the window that starts at `start`; it belongs to the window.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::window::SlidingWindows;
    /// let windows = SlidingWindows::new(Duration::from_millis(10), Duration::ZERO);
    /// assert_eq!(windows.end_of(15), 25);
    /// ```
    pub fn end_of(&self, start: i64) -> i64 {
        start.saturating_add(self.time_difference.millis())
    }

    /// Windows that end before this are closed.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{record::Timestamp, window::SlidingWindows};
    /// let windows = SlidingWindows::new(Duration::from_millis(10), Duration::from_millis(5));
    /// assert_eq!(windows.closed_before(Timestamp(26)), Timestamp(21));
    /// ```
    pub fn closed_before(&self, stream_time: Timestamp) -> Timestamp {
        stream_time.minus(self.grace)
    }

    /// Whether a window that ends at `end` accepts no more records at this stream time.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{record::Timestamp, window::SlidingWindows};
    /// let windows = SlidingWindows::new(Duration::from_millis(10), Duration::ZERO);
    /// assert!(!windows.is_closed(Timestamp(20), Timestamp(20)) && windows.is_closed(Timestamp(20), Timestamp(21)));
    /// ```
    pub fn is_closed(&self, end: Timestamp, stream_time: Timestamp) -> bool {
        end < self.closed_before(stream_time)
    }

    /// Whether every window that could hold a record at `time` is closed at this stream time.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{record::Timestamp, window::SlidingWindows};
    /// let windows = SlidingWindows::new(Duration::from_millis(10), Duration::from_millis(5));
    /// assert!(!windows.is_late(Timestamp(20), Timestamp(35)) && windows.is_late(Timestamp(20), Timestamp(36)));
    /// ```
    pub fn is_late(&self, time: Timestamp, stream_time: Timestamp) -> bool {
        self.is_closed(time.plus(self.time_difference), stream_time)
    }

    /// The same windows as time windows, one for each start: of the same bounds, closed at the same stream time, in the same order.
    pub(crate) fn as_time_windows(&self) -> TimeWindows {
        // Moments are whole milliseconds: `end + grace < stream time` is `end + grace + 1 ms <= stream time`.
        let grace = TimeSpan::from_millis(self.grace.millis().saturating_add(1)).unwrap_or_default();
        TimeWindows::from_every_moment(self.time_difference, grace)
    }
}

impl fmt::Display for SlidingWindows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SLIDING (TIME DIFFERENCE {}, GRACE PERIOD {})", self.time_difference, self.grace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_windows_of_every_moment_close_with_them() {
        let span = |millis| TimeSpan::from_millis(millis).expect("not negative");
        for (difference, grace) in [(10, 5), (0, 0), (1, 0), (3, 7)] {
            let sliding = SlidingWindows::new(span(difference), span(grace));
            let windows = sliding.as_time_windows();
            for start in 0..20 {
                let end = sliding.end_of(start);
                assert_eq!((windows.bounds(start).start, windows.bounds(start).end), (start, end));
                for stream_time in 0..60 {
                    let closed = sliding.is_closed(Timestamp(end), Timestamp(stream_time));
                    assert_eq!(windows.is_closed(Timestamp(end), Timestamp(stream_time)), closed);
                    assert_eq!(
                        start <= windows.last_closed(Timestamp(stream_time)),
                        closed,
                        "{sliding} at {stream_time}"
                    );
                }
            }
        }
    }
}
