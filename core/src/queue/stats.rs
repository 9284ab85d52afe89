//! How a queue stands, in numbers.

use std::time::Duration;

use super::{Queue, QueueError, records::Records, state::State};

/// How a queue stands. Nothing of it is estimated, but for `available`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Messages that can be received, or will be when others of their key are done with. Those that were not looked at yet count here, whether
    /// delayed or not.
    pub available: u64,
    /// Messages that consumers hold.
    pub in_flight: u64,
    /// Messages that wait for their time.
    pub delayed: u64,
    /// Messages that were acknowledged since the queue was made.
    pub acknowledged: u64,
    /// Messages that became dead letters since then.
    pub dead: u64,
    /// Messages that retention or compaction took before they were done with.
    pub expired: u64,
    /// Messages that were sent again in the dedup window, and not taken; those of the last moments before a crash may be missing.
    pub duplicates: u64,
    /// How long ago the oldest message was sent that is not done with, by its timestamp; `None` if there is none.
    pub oldest_age: Option<Duration>,
}

impl Queue {
    /// How the queue stands now.
    ///
    /// # Errors
    /// [`QueueError::Fenced`], [`QueueError::Stopped`]; those of the log.
    pub fn stats(&self) -> Result<QueueStats, QueueError> {
        let mut state = self.lock()?;
        self.sweep(&mut state)?;
        let counts = state.counts;
        let mut stats = QueueStats {
            acknowledged: counts.acknowledged,
            dead: counts.dead,
            expired: counts.expired,
            duplicates: counts.duplicates,
            ..QueueStats::default()
        };
        for (index, span) in state.spans.iter().enumerate() {
            let end = self.log.end_offset(&self.partition(index))?.0.max(span.read());
            let unread = end - span.read() - span.done_in(span.read(), end);
            let ahead = span.tracked_in(span.read(), end);
            let (leased, delayed) = (span.leased() as u64, span.delayed() as u64);
            stats.in_flight += leased;
            stats.delayed += delayed;
            stats.available += unread - ahead + span.tracked() as u64 - leased - delayed;
        }
        stats.oldest_age = self.oldest_age(&state)?;
        if state.is_changed() {
            self.settle(state)?;
        }
        Ok(stats)
    }

    fn oldest_age(&self, state: &State) -> Result<Option<Duration>, QueueError> {
        let mut oldest: Option<i64> = None;
        for (index, span) in state.spans.iter().enumerate() {
            let mut records = Records::new(self.log.as_ref(), self.partition(index));
            if let Some(record) = records.get(span.start())? {
                let at = record.timestamp.millis();
                oldest = Some(oldest.map_or(at, |known| known.min(at)));
            }
        }
        let age = |at: i64| Duration::from_millis(u64::try_from(self.now(state).saturating_sub(at)).unwrap_or(0));
        Ok(oldest.map(age))
    }
}
