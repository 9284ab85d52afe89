//! Local time: the clock on the wall somewhere, as windows that begin at local midnight need it.
//!
//! A *reading* is what the clock shows, in milliseconds since its own 1970-01-01 00:00. Where clocks are set back the reading stays at the
//! highest one so far until time has caught up, so that readings never go back and a window of readings is one stretch of time:
//!
//! ```text
//! Berlin, 2024-10-27   00:00Z  00:30Z  00:59Z  01:00Z  01:30Z  02:00Z
//! clock on the wall     02:00   02:30   02:59   02:00   02:30   03:00
//! reading               02:00   02:30   02:59   02:59   02:59   03:00      the hour [02:00, 03:00) lasts two hours
//! ```
//!
//! Where clocks are set forward, readings are skipped: windows that end before the gap end when it is reached, and the window of an hour
//! that is skipped is empty. So a day has 23, 24 or 25 hours, as in Flink SQL's windows over local time.
//!
//! The table of changes is given from outside: it knows no database of zones. After its last change the clock goes on as it is.

use super::InvalidWindow;
use crate::record::{TimeSpan, Timestamp};

/// A stretch of time in which clocks are not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    /// Its first moment.
    from: i64,
    /// What is added to a moment to read the clock.
    offset: i64,
    /// The highest reading before it.
    reached: i64,
}

/// The clock of a time zone.
///
/// ```
/// use millstream::{window::LocalTime, record::Timestamp};
///
/// const HOUR: i64 = 3_600_000;
/// // One hour ahead of UTC, and two from the tenth hour on.
/// let clock = LocalTime::new("Test/Zone", HOUR, &[(10 * HOUR, 2 * HOUR)])?;
/// assert_eq!([9, 10].map(|hour| clock.reading(Timestamp(hour * HOUR)) / HOUR), [10, 12]);
/// # Ok::<(), millstream::window::InvalidWindow>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalTime {
    zone: String,
    /// In the order of time; the first one begins before every moment.
    stretches: Vec<Stretch>,
}

impl LocalTime {
    /// The clock of `zone`: at first it shows `offset_ms` more than UTC; `changes` are moments (milliseconds since the epoch) and what it shows
    /// more from then on.
    ///
    /// # Errors
    /// [`InvalidWindow::Zone`] if the moments do not rise.
    ///
    /// ```
    /// # use millstream::{window::LocalTime, record::Timestamp};
    /// let clock = LocalTime::new("Etc/GMT-1", 3_600_000, &[])?;
    /// assert_eq!(clock.reading(Timestamp(0)), 3_600_000);
    /// assert!(LocalTime::new("Test/Broken", 0, &[(5, 1), (5, 2)]).is_err());
    /// # Ok::<(), millstream::window::InvalidWindow>(())
    /// ```
    pub fn new(zone: &str, offset_ms: i64, changes: &[(i64, i64)]) -> Result<Self, InvalidWindow> {
        let mut stretches = vec![Stretch { from: i64::MIN, offset: offset_ms, reached: i64::MIN }];
        for &(from, offset) in changes {
            let last = stretches[stretches.len() - 1];
            if from <= last.from {
                return Err(InvalidWindow::Zone { zone: zone.to_owned() });
            }
            let reached = last.reached.max((from - 1).saturating_add(last.offset));
            stretches.push(Stretch { from, offset, reached });
        }
        Ok(Self { zone: zone.to_owned(), stretches })
    }

    /// The name of the zone.
    ///
    /// ```
    /// # use millstream::window::LocalTime;
    /// assert_eq!(LocalTime::new("Etc/GMT-1", 3_600_000, &[])?.zone(), "Etc/GMT-1");
    /// # Ok::<(), millstream::window::InvalidWindow>(())
    /// ```
    pub fn zone(&self) -> &str {
        &self.zone
    }

    /// What the clock reads at a moment.
    ///
    /// ```
    /// # use millstream::{window::LocalTime, record::Timestamp};
    /// // Set back by an hour: until time has caught up, the clock stays.
    /// let clock = LocalTime::new("Test/Zone", 100, &[(1_000, 0)])?;
    /// assert_eq!([999, 1_000, 1_099, 1_100].map(|moment| clock.reading(Timestamp(moment))), [1_099, 1_099, 1_099, 1_100]);
    /// # Ok::<(), millstream::window::InvalidWindow>(())
    /// ```
    pub fn reading(&self, moment: Timestamp) -> i64 {
        let after = self.stretches.partition_point(|stretch| stretch.from <= moment.millis());
        let stretch = self.stretches[after - 1];
        moment.millis().saturating_add(stretch.offset).max(stretch.reached)
    }

    /// The first moment at which the clock reads `reading` or more.
    ///
    /// ```
    /// # use millstream::{window::LocalTime, record::Timestamp};
    /// let clock = LocalTime::new("Test/Zone", 100, &[(1_000, 0)])?;
    /// assert_eq!((clock.moment(1_099), clock.moment(1_100)), (Timestamp(999), Timestamp(1_100)));
    /// # Ok::<(), millstream::window::InvalidWindow>(())
    /// ```
    pub fn moment(&self, reading: i64) -> Timestamp {
        let after = self.stretches.partition_point(|stretch| stretch.reached < reading);
        let stretch = self.stretches[after.max(1) - 1];
        Timestamp(reading.saturating_sub(stretch.offset).max(stretch.from))
    }

    /// By how much more than its length in readings a window may last.
    ///
    /// ```
    /// # use millstream::window::LocalTime;
    /// let clock = LocalTime::new("Test/Zone", 100, &[(1_000, 0)])?;
    /// assert_eq!(clock.most_set_back().millis(), 100);
    /// # Ok::<(), millstream::window::InvalidWindow>(())
    /// ```
    pub fn most_set_back(&self) -> TimeSpan {
        let mut most = (i64::MIN, 0);
        for stretch in &self.stretches {
            let highest = most.0.max(stretch.offset);
            most = (highest, most.1.max(highest - stretch.offset));
        }
        TimeSpan::from_millis(most.1).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    /// A clock that is one hour ahead, is set forward an hour at 10:00 and back at 20:00; the hours that it reads.
    fn check(reading: impl Fn(&LocalTime) -> i64) -> i64 {
        let clock = LocalTime::new("Test/Zone", HOUR, &[(10 * HOUR, 2 * HOUR), (20 * HOUR, HOUR)]);
        reading(&clock.expect("rises"))
    }

    #[test]
    fn readings_never_go_back_and_moments_are_the_first_of_theirs() {
        for (moment, reading) in [(-HOUR, 0), (0, HOUR), (10 * HOUR - 1, 11 * HOUR - 1), (10 * HOUR, 12 * HOUR)] {
            assert_eq!(check(|clock| clock.reading(Timestamp(moment))), reading);
            assert_eq!(check(|clock| clock.moment(reading).millis()), moment);
        }
        for (moment, reading) in [(20 * HOUR - 1, 22 * HOUR - 1), (20 * HOUR, 22 * HOUR - 1), (21 * HOUR, 22 * HOUR)] {
            assert_eq!(check(|clock| clock.reading(Timestamp(moment))), reading);
        }
        assert_eq!(check(|clock| clock.moment(22 * HOUR).millis()), 21 * HOUR, "22:00 comes an hour late");
        assert_eq!(check(|clock| clock.moment(11 * HOUR + 1).millis()), 10 * HOUR, "skipped");
        assert_eq!(check(|clock| clock.moment(12 * HOUR).millis()), 10 * HOUR);
        assert_eq!(check(|clock| clock.reading(Timestamp::NONE)), i64::MIN + HOUR);
    }

    #[test]
    fn a_window_may_last_longer_by_what_clocks_are_set_back() {
        assert_eq!(check(|clock| clock.most_set_back().millis()), HOUR);
        let fixed = LocalTime::new("Etc/Fixed", -HOUR, &[]).expect("no change");
        assert_eq!((fixed.most_set_back(), fixed.moment(0)), (TimeSpan::ZERO, Timestamp(HOUR)));
        assert!(LocalTime::new("Test/Broken", 0, &[(5, 1), (5, 2)]).is_err());
    }
}
