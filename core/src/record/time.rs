//! Event time: milliseconds since the epoch, and lengths of time.

use std::{fmt, time::Duration};

/// When something happened: milliseconds since 1970-01-01T00:00:00Z, negative before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The stream time of an operator that has seen no record: before every real timestamp.
    pub const NONE: Self = Self(i64::MIN);

    /// A timestamp of so many milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// This timestamp moved forward; stays at the last representable moment instead of overflowing.
    pub fn plus(self, span: TimeSpan) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// This timestamp moved back; stays at the first representable moment instead of overflowing.
    pub fn minus(self, span: TimeSpan) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match chrono::DateTime::from_timestamp_millis(self.0) {
            Some(moment) => write!(f, "{}", moment.format("%Y-%m-%dT%H:%M:%S%.3fZ")),
            None => write!(f, "{}ms", self.0),
        }
    }
}

/// A length of event time in whole milliseconds, never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct TimeSpan(i64);

impl TimeSpan {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A span of so many milliseconds; `None` if negative.
    pub const fn from_millis(millis: i64) -> Option<Self> {
        if millis < 0 { None } else { Some(Self(millis)) }
    }

    /// The span in milliseconds.
    pub const fn millis(self) -> i64 {
        self.0
    }
}

/// Cuts below the millisecond are dropped; a duration past the representable is the longest span.
impl From<Duration> for TimeSpan {
    fn from(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(i64, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
        match UNITS.iter().find(|(millis, _)| self.0 != 0 && self.0 % millis == 0) {
            Some((millis, unit)) => write!(f, "{} {unit}", self.0 / millis),
            None => write!(f, "{} ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_print_in_their_largest_whole_unit() {
        for (millis, text) in
            [(0, "0 ms"), (1_500, "1500 ms"), (10_000, "10 s"), (3_600_000, "1 h"), (86_400_000, "1 d")]
        {
            assert_eq!(TimeSpan(millis).to_string(), text);
        }
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp(i64::MAX).plus(TimeSpan(1)), Timestamp(i64::MAX));
        assert_eq!(Timestamp::NONE.minus(TimeSpan(1)), Timestamp::NONE);
    }
}
