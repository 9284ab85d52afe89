//! The clocks of this folder: deadlines on a network, and the calendar for tokens.
//!
//! The log lies below the runtime and its `Clock`; nothing here has a say in results.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the epoch, by the calendar.
#[expect(clippy::disallowed_methods, reason = "the lifetime of a token is a matter of the calendar")]
pub(crate) fn wall_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Now, on a clock that never goes back.
#[expect(clippy::disallowed_methods, reason = "time-outs of the network; the runtime lies above the log")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A moment by which something is to be done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// So long from now.
    pub(crate) fn after(wait: Duration) -> Self {
        Self(now() + wait)
    }

    /// What is left, down to nothing.
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_duration_since(now())
    }

    /// Whether it has passed.
    pub(crate) fn is_over(self) -> bool {
        self.left().is_zero()
    }
}
