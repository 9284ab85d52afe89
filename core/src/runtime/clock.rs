//! The one place that reads a clock.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::record::Timestamp;

/// Wall time and monotonic time. Operators never see one; tests bring their own.
///
/// ```
/// # use std::time::Duration;
/// # use millstream::{record::Timestamp, runtime::Clock};
/// struct Frozen;
///
/// impl Clock for Frozen {
///     fn wall(&self) -> Timestamp {
///         Timestamp(1_000)
///     }
///
///     fn monotonic(&self) -> Duration {
///         Duration::ZERO
///     }
/// }
/// # assert_eq!((Frozen.wall(), Frozen.monotonic()), (Timestamp(1_000), Duration::ZERO));
/// ```
pub trait Clock: Send + Sync {
    /// Now, by the calendar.
    fn wall(&self) -> Timestamp;

    /// Time since some moment that stays the same: never goes back, whatever happens to the calendar.
    fn monotonic(&self) -> Duration;
}

/// The clocks of the machine.
///
/// ```
/// # use millstream::{record::Timestamp, runtime::{Clock, SystemClock}};
/// let clock = SystemClock::default();
/// let before = clock.monotonic();
/// assert!(clock.monotonic() >= before && clock.wall() > Timestamp(0));
/// ```
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    fn wall(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock that is set by hand, for tests: it stands still in between.
///
/// ```
/// use std::time::Duration;
/// use millstream::{record::Timestamp, runtime::{Clock, ManualClock}};
///
/// let clock = ManualClock::at(Timestamp(1_000));
/// clock.advance(Duration::from_millis(500));
/// assert_eq!((clock.wall(), clock.monotonic()), (Timestamp(1_500), Duration::from_millis(500)));
/// ```
#[derive(Debug)]
pub struct ManualClock {
    start: Timestamp,
    passed_nanos: AtomicU64,
}

impl ManualClock {
    /// A clock that shows `start`.
    ///
    /// ```
    /// # use millstream::{record::Timestamp, runtime::{Clock, ManualClock}};
    /// assert_eq!(ManualClock::at(Timestamp(1_000)).wall(), Timestamp(1_000));
    /// ```
    pub const fn at(start: Timestamp) -> Self {
        Self { start, passed_nanos: AtomicU64::new(0) }
    }

    /// Lets time pass: by the calendar whole milliseconds show.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{record::Timestamp, runtime::{Clock, ManualClock}};
    /// let clock = ManualClock::at(Timestamp(1_000));
    /// clock.advance(Duration::from_micros(1_500));
    /// assert_eq!(clock.wall(), Timestamp(1_001));
    /// ```
    pub fn advance(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.passed_nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> Timestamp {
        self.start.plus(self.monotonic().into())
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.passed_nanos.load(Ordering::Relaxed))
    }
}
