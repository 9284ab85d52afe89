//! Wall-clock time and waiting, behind a trait so that tests need neither.

use std::time::Duration;

use millstream::record::Timestamp;
use parking_lot::{Condvar, Mutex};

/// Tells a task to end; wakes it if it waits.
#[derive(Debug, Default)]
pub struct StopSignal {
    raised: Mutex<bool>,
    changed: Condvar,
}

impl StopSignal {
    /// Tells the task to end. It cannot be taken back.
    pub fn raise(&self) {
        *self.raised.lock() = true;
        self.changed.notify_all();
    }

    /// Whether the task is to end.
    pub fn is_raised(&self) -> bool {
        *self.raised.lock()
    }

    /// Waits for the signal, at most for `timeout`.
    pub fn wait(&self, timeout: Duration) {
        let mut raised = self.raised.lock();
        if !*raised {
            self.changed.wait_for(&mut raised, timeout);
        }
    }
}

/// The clock of connector tasks.
pub trait Clock: Send + Sync {
    /// Wall-clock time: the timestamp of records that bring none.
    fn now(&self) -> Timestamp;

    /// Lets `duration` pass, or less if `stop` is raised.
    fn wait(&self, duration: Duration, stop: &StopSignal);
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where connectors read the wall clock")]
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp(since_epoch.map_or(0, |duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    fn wait(&self, duration: Duration, stop: &StopSignal) {
        stop.wait(duration);
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A clock that stands at 1000 and moves only when somebody waits; waiting takes no time.
    #[derive(Debug)]
    pub(crate) struct ManualClock(Mutex<i64>);

    impl ManualClock {
        pub(crate) fn new() -> std::sync::Arc<Self> {
            std::sync::Arc::new(Self(Mutex::new(1000)))
        }
    }

    impl Clock for ManualClock {
        fn now(&self) -> Timestamp {
            Timestamp(*self.0.lock())
        }

        fn wait(&self, duration: Duration, _stop: &StopSignal) {
            *self.0.lock() += duration.as_millis() as i64;
            std::thread::yield_now();
        }
    }
}
