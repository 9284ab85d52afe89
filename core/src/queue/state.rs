//! All partitions of a queue, its time, and what is to be committed.

use std::{mem, sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::{
    Queue,
    frame::{Counts, Frame},
    span::Span,
};
use crate::{
    log::{Append, OffsetCommit, Producer, Transaction},
    record::{Offset, PartitionId, TopicPartition},
    runtime::Clock,
};

/// Where the offsets are put at which the records of one caller were written.
pub(super) type Written = Arc<Mutex<Vec<Offset>>>;

/// Why a queue is of no use any more.
#[derive(Debug, Clone)]
pub(super) enum Ended {
    Fenced,
    Stopped(String),
}

/// What callers share under one lock.
pub(super) struct State {
    pub(super) spans: Vec<Span>,
    pub(super) counts: Counts,
    pub(super) time: QueueTime,
    /// The partition that is looked at first the next time.
    pub(super) turn: usize,
    /// Spreads messages without a key.
    pub(super) keyless: u64,
    pub(super) batch: Batch,
    /// The number of the batch that is being filled.
    pub(super) filling: u64,
    /// All batches below were committed.
    pub(super) committed: u64,
    /// Taken by whoever commits.
    pub(super) producer: Option<Box<dyn Producer>>,
    pub(super) ended: Option<Ended>,
    pub(super) generation: u64,
    /// Frames since the last whole one.
    pub(super) changes: u32,
}

/// What one commit is to write beside the state.
#[derive(Default)]
pub(super) struct Batch {
    appends: Vec<Append>,
    offsets: Vec<OffsetCommit>,
    /// Who wants to know where its records are, and which of `appends` those are.
    written: Vec<(Written, usize, usize)>,
}

impl Batch {
    /// Adds what a caller writes.
    pub(super) fn add(&mut self, transaction: Transaction) -> Written {
        let written = Written::default();
        let first = self.appends.len();
        self.appends.extend(transaction.appends);
        self.offsets.extend(transaction.offsets);
        self.written.push((Arc::clone(&written), first, self.appends.len()));
        written
    }

    pub(super) fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.offsets.is_empty()
    }

    /// The transaction, and whom to tell about it.
    pub(super) fn take(&mut self) -> (Transaction, Vec<(Written, usize, usize)>) {
        let Self { appends, offsets, written } = mem::take(self);
        (Transaction { appends, offsets }, written)
    }
}

/// Time by the calendar when the queue was opened, moved on by a clock that nobody sets: leases do not end early or late because the
/// calendar was set, and it does not go back at a restart.
pub(super) struct QueueTime {
    opened: i64,
    since: Duration,
}

impl QueueTime {
    pub(super) fn starting(clock: &dyn Clock, not_before: i64) -> Self {
        Self { opened: clock.wall().millis().max(not_before), since: clock.monotonic() }
    }

    /// Now, in milliseconds since the epoch.
    pub(super) fn now(&self, clock: &dyn Clock) -> i64 {
        let passed = clock.monotonic().saturating_sub(self.since);
        self.opened.saturating_add(millis(passed))
    }
}

/// Whole milliseconds of a duration.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl State {
    /// Whether there is something to commit.
    pub(super) fn is_changed(&self) -> bool {
        !self.batch.is_empty() || self.spans.iter().any(Span::is_changed)
    }
}

impl Queue {
    /// The time of the queue.
    pub(super) fn now(&self, state: &State) -> i64 {
        state.time.now(self.clock.as_ref())
    }

    /// Adds to a transaction what has become of the messages since the last one.
    pub(super) fn add_frame(&self, state: &mut State, transaction: &mut Transaction) {
        let frame = |state: &State| Frame::new(self.incarnation, state.generation, self.now(state), state.counts);
        let record = if state.changes >= self.config.snapshot_every {
            (state.generation, state.changes) = (state.generation + 1, 0);
            let mut frame = frame(state);
            frame.spans = (0_u32..).zip(&mut state.spans).map(|(partition, span)| span.snapshot(partition)).collect();
            frame.as_snapshot()
        } else {
            let mut frame = frame(state);
            let changed = (0_u32..).zip(&mut state.spans);
            frame.spans = changed.filter_map(|(partition, span)| span.take_changes(partition)).collect();
            state.changes += 1;
            frame.as_change(state.changes)
        };
        let partition = TopicPartition::new(self.state_topic.clone(), PartitionId(0));
        transaction.appends.push(Append { partition, records: [record].into_iter().collect() });
    }
}
