//! How long a command has been at work, for people to read. Nothing that is computed depends on it.

use std::time::Duration;

use millstream::runtime::{Clock, SystemClock};

/// Runs from its start.
#[derive(Debug)]
pub struct Stopwatch {
    clock: SystemClock,
    start: Duration,
}

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        let clock = SystemClock::default();
        let start = clock.monotonic();
        Self { clock, start }
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.start)
    }
}
