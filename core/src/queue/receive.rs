//! Giving messages out.
//!
//! Each call first looks what time has done: leases and delays that have ended, records that retention has taken. Then it gives out what can
//! be, partitions in turn, and reads on in a partition only if nothing that was read before can be given out.

use std::{cmp, time::Duration};

use super::{
    Delivery, Queue, QueueError, Receipt, VISIBLE_AT,
    config::Order,
    records::{Records, header, owned, size_bytes},
    span::Standing,
    state::{State, millis},
};
use crate::record::{Offset, PartitionId, RecordRef, TimeSpan};

/// Most messages that one call receives.
pub const MAX_RECEIVE: usize = 1_000;
/// A call receives no more when it has so many bytes.
const MAX_BYTES: usize = 8 << 20;
/// How much of the log is read at once ..
const SCAN_BYTES: usize = 256 << 10;
/// .. and how many of its records are looked at.
const LOOK_AHEAD: u64 = 256;
/// A consumer that waits looks again after this at the latest.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Queue {
    /// Receives up to `max` messages (and [`MAX_RECEIVE`]), which are hidden from others for the visibility timeout. If there is none, waits
    /// up to `wait` for one; the answer is empty if none came.
    ///
    /// # Ordering
    /// By offset within a partition, as far as messages can be received; partitions take turns. With [`Order::Key`] a message comes
    /// when all earlier ones of its key are done with.
    ///
    /// # Errors
    /// [`QueueError::Fenced`], [`QueueError::Stopped`]; those of the log. Messages that were being given out come again after the timeout.
    pub fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        let until = self.clock.monotonic().saturating_add(wait);
        loop {
            let seen = self.log.wait_for_commit(u64::MAX, Duration::ZERO);
            let (received, next_timer) = self.receive_now(max)?;
            let left = until.saturating_sub(self.clock.monotonic());
            if !received.is_empty() || max == 0 || left.is_zero() {
                return Ok(received);
            }
            let timer = next_timer.map_or(LOOK_AGAIN, |millis| Duration::from_millis(millis.max(1).unsigned_abs()));
            self.log.wait_for_commit(seen, left.min(timer).min(LOOK_AGAIN));
        }
    }

    /// What can be received now, and in how many milliseconds a lease or delay ends.
    fn receive_now(&self, max: usize) -> Result<(Vec<Delivery>, Option<i64>), QueueError> {
        let mut state = self.lock()?;
        self.sweep(&mut state)?;
        let received = self.give_out(&mut state, max.min(MAX_RECEIVE))?;
        let now = self.now(&state);
        let next = state.spans.iter().filter_map(|span| span.next_timer()).min().map(|at| at.saturating_sub(now));
        if state.is_changed() {
            self.settle(state)?;
        }
        Ok((received, next))
    }

    /// Ends leases and delays whose time has come, and counts what retention has taken. Receiving does the same.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn tick(&self) -> Result<(), QueueError> {
        let mut state = self.lock()?;
        self.sweep(&mut state)?;
        if state.is_changed() { self.settle(state) } else { Ok(()) }
    }

    /// Does what time asks for. It may be committed later: whoever opens the queue again does the same.
    pub(super) fn sweep(&self, state: &mut State) -> Result<(), QueueError> {
        for index in 0..state.spans.len() {
            let start = self.log.start_offset(&self.partition(index))?;
            let expired = state.spans[index].expire_below(start.0);
            if expired > 0 {
                tracing::warn!(queue = %self.config.name, partition = index, expired, "messages expired before they were done with");
                state.counts.expired += expired;
            }
            let now = self.now(state);
            while let Some(offset) = state.spans[index].due(now) {
                self.time_is_up(state, index, offset)?;
            }
        }
        Ok(())
    }

    /// The lease or delay of a message has ended.
    fn time_is_up(&self, state: &mut State, index: usize, offset: u64) -> Result<(), QueueError> {
        let span = &mut state.spans[index];
        let Some(slot) = span.slot(offset) else { return Ok(()) };
        if matches!(slot.standing, Standing::Leased(_)) && self.is_used_up(slot.attempts) {
            return self.bury(state, index, offset, "attempts used up: the visibility timeout passed");
        }
        span.put(offset, Standing::Ready);
        Ok(())
    }

    /// Whether a message with so many attempts may not be received again.
    pub(super) fn is_used_up(&self, attempts: u32) -> bool {
        self.config.dead_letter.is_some() && attempts >= self.config.max_attempts
    }

    fn give_out(&self, state: &mut State, max: usize) -> Result<Vec<Delivery>, QueueError> {
        let (mut received, mut bytes) = (Vec::new(), 0);
        let partitions = state.spans.len();
        let first = state.turn;
        state.turn = (first + 1) % partitions;
        for index in (0..partitions).map(|step| (first + step) % partitions) {
            let mut records = Records::new(self.log.as_ref(), self.partition(index));
            while received.len() < max && bytes < MAX_BYTES && self.may_hold_more(state) {
                let Some(offset) = state.spans[index].first_ready() else {
                    if self.read_on(state, index)? {
                        continue;
                    }
                    break;
                };
                let Some(record) = records.get(offset)? else {
                    // It went between the look at the start of the log and now, or compaction took it.
                    state.spans[index].finish(offset);
                    state.counts.expired += 1;
                    continue;
                };
                let record = owned(&record);
                bytes += size_bytes(&as_ref(&record));
                received.push(self.lease(state, index, offset, record));
            }
        }
        Ok(received)
    }

    fn may_hold_more(&self, state: &State) -> bool {
        state.spans.iter().map(|span| span.leased()).sum::<usize>() < self.config.max_in_flight
    }

    fn lease(&self, state: &mut State, index: usize, offset: u64, record: crate::record::Record) -> Delivery {
        let until = self.now(state).saturating_add(millis(self.config.visibility));
        let attempts = state.spans[index].lease(offset, until);
        let receipt = Receipt {
            queue: self.identity,
            partition: PartitionId(index as u32),
            offset: Offset(offset),
            attempt: attempts,
        };
        Delivery { receipt, attempts, record }
    }

    /// Looks at more records of a partition; says whether there were any.
    fn read_on(&self, state: &mut State, index: usize) -> Result<bool, QueueError> {
        let tracked: usize = state.spans.iter().map(|span| span.tracked()).sum();
        let room = self.config.max_tracked.saturating_sub(tracked) as u64;
        let from = state.spans[index].read();
        let partition = self.partition(index);
        if room == 0 || from >= self.log.end_offset(&partition)?.0 {
            return Ok(false);
        }
        let now = self.now(state);
        let fetched = self.log.fetch(&partition, Offset(from), SCAN_BYTES)?;
        let span = &mut state.spans[index];
        let mut looked_at = 0;
        for batch in &fetched.batches {
            for (row, record) in batch.records.iter().enumerate() {
                if looked_at == cmp::min(LOOK_AHEAD, room) {
                    return Ok(true);
                }
                let group = record.key.filter(|_| self.config.order == Order::Key);
                span.admit(batch.offsets.at(row).0, group, self.visible_at(&record), now);
                looked_at += 1;
            }
        }
        span.skip_to(fetched.next.0);
        Ok(span.read() > from)
    }

    /// From when on a record can be received.
    fn visible_at(&self, record: &RecordRef<'_>) -> i64 {
        let said = header(record, VISIBLE_AT).and_then(|text| text.parse().ok());
        match said {
            Some(at) => at,
            None if self.config.delay.is_zero() => i64::MIN,
            None => record.timestamp.plus(TimeSpan::from(self.config.delay)).millis(),
        }
    }
}

/// A record as a row.
pub(super) fn as_ref(record: &crate::record::Record) -> RecordRef<'_> {
    RecordRef {
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        timestamp: record.timestamp,
        headers: &record.headers,
    }
}
