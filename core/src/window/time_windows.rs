//! Time windows: tumbling and hopping, aligned to the epoch.
//!
//! A window `[start, end)` accepts a record while `end + grace > stream time`, where the stream time includes the record itself.
//! Starts are never negative: a record shortly after the epoch falls into fewer windows.
//!
//! ```text
//! size 5, advance 3:   [0    )[     3    )        a record at 7 falls into [3,8) and [6,11),
//!                          [3    8)  [6    11)    one at 1 into [0,5) only
//! ```

use crate::record::{TimeSpan, Timestamp};

/// Windows of one size at regular distances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeWindows {
    size: TimeSpan,
    advance: TimeSpan,
    grace: TimeSpan,
}

/// A window definition that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWindow {
    /// The size is zero.
    #[error("a window must be longer than zero milliseconds")]
    Empty,
    /// The advance is zero or larger than the size.
    #[error("a window of {size} cannot advance by {advance}: the advance must be above zero and at most the size")]
    Advance {
        /// The size.
        size: TimeSpan,
        /// The advance.
        advance: TimeSpan,
    },
}

impl TimeWindows {
    /// Windows that follow one another without gap or overlap.
    ///
    /// # Errors
    /// [`InvalidWindow::Empty`] if the size is below a millisecond.
    pub fn tumbling(size: impl Into<TimeSpan>, grace: impl Into<TimeSpan>) -> Result<Self, InvalidWindow> {
        let size = size.into();
        Self::hopping(size, size, grace)
    }

    /// Windows of `size` of which one starts every `advance`.
    ///
    /// # Errors
    /// [`InvalidWindow`] if the size is zero or the advance does not fit it.
    pub fn hopping(
        size: impl Into<TimeSpan>,
        advance: impl Into<TimeSpan>,
        grace: impl Into<TimeSpan>,
    ) -> Result<Self, InvalidWindow> {
        let (size, advance, grace) = (size.into(), advance.into(), grace.into());
        if size == TimeSpan::ZERO {
            return Err(InvalidWindow::Empty);
        }
        if advance == TimeSpan::ZERO || advance > size {
            return Err(InvalidWindow::Advance { size, advance });
        }
        Ok(Self { size, advance, grace })
    }

    /// How long a window is.
    pub fn size(&self) -> TimeSpan {
        self.size
    }

    /// How far apart windows start.
    pub fn advance(&self) -> TimeSpan {
        self.advance
    }

    /// How long after its end a window still accepts records.
    pub fn grace(&self) -> TimeSpan {
        self.grace
    }

    /// Whether every record falls into one window.
    pub fn is_tumbling(&self) -> bool {
        self.size == self.advance
    }

    /// The first moment after the window that starts at `start`.
    pub fn end(&self, start: Timestamp) -> Timestamp {
        start.plus(self.size)
    }

    /// Whether the window that starts at `start` accepts no more records at this stream time.
    pub fn is_closed(&self, start: Timestamp, stream_time: Timestamp) -> bool {
        self.end(start).plus(self.grace) <= stream_time
    }

    /// The starts of the windows that hold `timestamp`, earliest first; none for a negative timestamp.
    pub fn starts(&self, timestamp: Timestamp) -> impl Iterator<Item = Timestamp> + use<> {
        let (time, advance) = (timestamp.millis(), self.advance.millis());
        let first = time.saturating_sub(self.size.millis()).saturating_add(advance).max(0) / advance * advance;
        let count = if time < 0 { 0 } else { (time - first) / advance + 1 };
        (0..count).map(move |step| Timestamp(first + step * advance))
    }
}

impl std::fmt::Display for TimeWindows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_tumbling() {
            write!(f, "TUMBLING (SIZE {}, GRACE PERIOD {})", self.size, self.grace)
        } else {
            write!(f, "HOPPING (SIZE {}, ADVANCE BY {}, GRACE PERIOD {})", self.size, self.advance, self.grace)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(millis: i64) -> TimeSpan {
        TimeSpan::from_millis(millis).expect("not negative")
    }

    fn check(size: i64, advance: i64, timestamp: i64) -> Vec<i64> {
        let windows = TimeWindows::hopping(span(size), span(advance), TimeSpan::ZERO).expect("legal");
        windows.starts(Timestamp(timestamp)).map(Timestamp::millis).collect()
    }

    #[test]
    fn a_timestamp_falls_into_every_window_that_covers_it() {
        assert_eq!(check(5_000, 3_000, 7_000), [3_000, 6_000]);
        assert_eq!(check(5_000, 3_000, 1_000), [0]);
        assert_eq!(check(10, 10, 9), [0]);
        assert_eq!(check(10, 10, 10), [10]);
        assert_eq!(check(10, 2, 9), [0, 2, 4, 6, 8]);
        assert_eq!(check(10, 2, 10), [2, 4, 6, 8, 10]);
        assert_eq!(check(10, 10, -1), [0_i64; 0]);
    }

    #[test]
    fn a_window_closes_when_stream_time_reaches_its_end_and_grace() {
        let windows = TimeWindows::tumbling(span(10), span(5)).expect("legal");
        assert!(!windows.is_closed(Timestamp(0), Timestamp(14)));
        assert!(windows.is_closed(Timestamp(0), Timestamp(15)));
        assert!(!windows.is_closed(Timestamp(0), Timestamp::NONE));
    }

    #[test]
    fn definitions_that_make_no_sense_are_refused() {
        assert_eq!(TimeWindows::tumbling(span(0), span(0)), Err(InvalidWindow::Empty));
        assert!(TimeWindows::hopping(span(5), span(6), span(0)).is_err());
        assert!(TimeWindows::hopping(span(5), span(0), span(0)).is_err());
    }
}
