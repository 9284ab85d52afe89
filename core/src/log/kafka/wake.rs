//! A count that rises whenever there may be something new to read, and a way to wait for it.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Counts arrivals.
#[derive(Debug, Default)]
pub(super) struct Wake {
    count: Mutex<u64>,
    risen: Condvar,
}

impl Wake {
    /// Something has arrived. Short: it is called by the client library's own threads.
    pub(super) fn bump(&self) {
        *self.count.lock() += 1;
        self.risen.notify_all();
    }

    /// Waits until the count is above `seen`, or for `timeout`; the count.
    pub(super) fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        let mut count = self.count.lock();
        if *count <= seen {
            self.risen.wait_while_for(&mut count, |count| *count <= seen, timeout);
        }
        *count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_seen_is_not_waited_for() {
        let wake = Wake::default();
        assert_eq!(wake.wait(0, Duration::from_millis(1)), 0);
        wake.bump();
        assert_eq!(wake.wait(0, Duration::from_secs(3600)), 1);
    }
}
