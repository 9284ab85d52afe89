//! One partition of a queue: what is done with, what is held, what can be given out. It reads no log and no clock.
//!
//! ```text
//!        start                      read                 end of the partition
//!   done   | held  done done ready    | not looked at yet   |
//! ```
//! Offsets below `start` are done with, those from `read` on were not looked at since the queue was opened; in between each is done with
//! or has a [`Slot`]. After a restart `read` is `start`, and slots and runs that were restored lie ahead of it until they are looked at.
//!
//! Invariants: no offset has a slot and is done with; `ready` holds exactly the offsets below `read` whose slot is ready and that are the
//! first of their key; `timers` holds the end of each lease and of each delay; attempts only rise.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
    sync::Arc,
};

use super::{
    frame::{SlotFrame, SpanFrame},
    runs::Runs,
};

/// How a message stands that is not done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    /// It can be received.
    Ready,
    /// It can be received from this time on.
    Delayed(i64),
    /// A consumer has it until this time.
    Leased(i64),
}

/// A message that is not done with.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) attempts: u32,
    pub(super) standing: Standing,
    /// The key, where it decides about the order.
    group: Option<Arc<[u8]>>,
}

/// The messages of one partition.
#[derive(Debug, Default)]
pub(super) struct Span {
    start: u64,
    read: u64,
    done: Runs,
    slots: BTreeMap<u64, Slot>,
    ready: BTreeSet<u64>,
    timers: BTreeSet<(i64, u64)>,
    /// The offsets below `read` that are not done with, by key.
    groups: HashMap<Arc<[u8]>, BTreeSet<u64>>,
    /// Offsets of which the last frame says nothing or something else.
    changed: BTreeSet<u64>,
    leased: usize,
}

impl Span {
    /// A partition of which everything below `start` is done with.
    pub(super) fn starting_at(start: u64) -> Self {
        Self { start, read: start, ..Self::default() }
    }

    /// Applies what a frame says.
    pub(super) fn restore(&mut self, frame: &SpanFrame) {
        for (first, end) in &frame.done {
            let gone: Vec<u64> = self.slots.range(first..end).map(|(offset, _)| *offset).collect();
            gone.into_iter().for_each(|offset| self.forget(offset));
            self.done.insert(*first, *end);
        }
        for SlotFrame(offset, attempts, standing) in &frame.slots {
            self.stand(*offset, Slot { attempts: *attempts, standing: *standing, group: None });
        }
        let gone: Vec<u64> = self.slots.range(..frame.start).map(|(offset, _)| *offset).collect();
        gone.into_iter().for_each(|offset| self.forget(offset));
        self.start = self.done.advance(frame.start.max(self.start));
        self.read = self.start;
    }

    /// The first offset that is not done with.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// The first offset that was not looked at.
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// How many messages are tracked.
    pub(super) fn tracked(&self) -> usize {
        self.slots.len()
    }

    /// Of the offsets from `first` to `end`, those that are tracked.
    pub(super) fn tracked_in(&self, first: u64, end: u64) -> u64 {
        self.slots.range(first..end).count() as u64
    }

    pub(super) fn leased(&self) -> usize {
        self.leased
    }

    /// How many wait for their time.
    pub(super) fn delayed(&self) -> usize {
        self.timers.len() - self.leased
    }

    pub(super) fn slot(&self, offset: u64) -> Option<&Slot> {
        self.slots.get(&offset)
    }

    /// The first that can be given out.
    pub(super) fn first_ready(&self) -> Option<u64> {
        self.ready.first().copied()
    }

    /// When the next lease or delay ends.
    pub(super) fn next_timer(&self) -> Option<i64> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// The first offset whose lease or delay has ended by `now`.
    pub(super) fn due(&self, now: i64) -> Option<u64> {
        self.timers.first().filter(|(at, _)| *at <= now).map(|(_, offset)| *offset)
    }

    /// Of the offsets from `first` to `end`, those that are done with.
    pub(super) fn done_in(&self, first: u64, end: u64) -> u64 {
        self.done.count_in(first, end)
    }

    /// Looks at the next record: its offset, its key if that decides about the order, and when it can be received.
    pub(super) fn admit(&mut self, offset: u64, group: Option<&[u8]>, visible_at: i64, now: i64) {
        self.skip_to(offset);
        self.read = offset + 1;
        if self.done.contains(offset) {
            return self.advance();
        }
        let group = group.map(Arc::<[u8]>::from);
        if let Some(group) = &group {
            self.groups.entry(Arc::clone(group)).or_default().insert(offset);
        }
        match self.slots.get_mut(&offset) {
            Some(restored) => restored.group = group,
            None => {
                let standing = if visible_at > now { Standing::Delayed(visible_at) } else { Standing::Ready };
                self.stand(offset, Slot { attempts: 0, standing, group });
            }
        }
        self.offer(offset);
    }

    /// There are no records from where was read up to `offset`.
    pub(super) fn skip_to(&mut self, offset: u64) {
        if offset > self.read {
            let lost: Vec<u64> = self.slots.range(self.read..offset).map(|(offset, _)| *offset).collect();
            lost.into_iter().for_each(|offset| self.forget(offset));
            self.done.insert(self.read, offset);
            self.read = offset;
            self.advance();
        }
    }

    /// Gives a message out until `until`; says which attempt this is.
    pub(super) fn lease(&mut self, offset: u64, until: i64) -> u32 {
        let (attempts, group) = self.slots.get(&offset).map_or((0, None), |slot| (slot.attempts, slot.group.clone()));
        let attempts = attempts + 1;
        self.stand(offset, Slot { attempts, standing: Standing::Leased(until), group });
        self.changed.insert(offset);
        attempts
    }

    /// Lets a message stand otherwise.
    pub(super) fn put(&mut self, offset: u64, standing: Standing) {
        if let Some(slot) = self.slots.get(&offset).cloned() {
            self.stand(offset, Slot { standing, ..slot });
            self.changed.insert(offset);
            self.offer(offset);
        }
    }

    /// A message is done with.
    pub(super) fn finish(&mut self, offset: u64) {
        let group = self.slots.get(&offset).and_then(|slot| slot.group.clone());
        self.forget(offset);
        self.done.insert(offset, offset + 1);
        self.changed.insert(offset);
        self.advance();
        self.leave(group.as_ref(), offset);
    }

    /// Everything below the start of the log is gone; gives how many messages were not done with.
    pub(super) fn expire_below(&mut self, log_start: u64) -> u64 {
        if log_start <= self.start {
            return 0;
        }
        let lost = log_start - self.start - self.done.count_in(self.start, log_start);
        let gone: Vec<u64> = self.slots.range(..log_start).map(|(offset, _)| *offset).collect();
        for offset in gone {
            let group = self.slots.get(&offset).and_then(|slot| slot.group.clone());
            self.forget(offset);
            self.leave(group.as_ref(), offset);
        }
        // The end of a run below the start says in a frame how far the start has come.
        self.changed.insert(log_start - 1);
        self.start = self.done.advance(log_start);
        self.read = self.read.max(self.start);
        lost
    }

    /// Whether the last frame does not say how everything stands.
    pub(super) fn is_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// What has changed since the last frame; `None` if nothing has.
    pub(super) fn take_changes(&mut self, partition: u32) -> Option<SpanFrame> {
        if self.changed.is_empty() {
            return None;
        }
        let (mut done, mut slots) = (Runs::default(), Vec::new());
        for offset in mem::take(&mut self.changed) {
            match self.slots.get(&offset) {
                Some(slot) => slots.push(SlotFrame(offset, slot.attempts, slot.standing)),
                None => done.insert(offset, offset + 1),
            }
        }
        Some(SpanFrame { partition, start: self.start, done: done.iter().collect(), slots })
    }

    /// Everything that a restart must bring back.
    pub(super) fn snapshot(&mut self, partition: u32) -> SpanFrame {
        self.changed.clear();
        let tried = self.slots.iter().filter(|(_, slot)| slot.attempts > 0);
        SpanFrame {
            partition,
            start: self.start,
            done: self.done.iter().collect(),
            slots: tried.map(|(offset, slot)| SlotFrame(*offset, slot.attempts, slot.standing)).collect(),
        }
    }

    fn advance(&mut self) {
        self.start = self.done.advance(self.start);
        debug_assert!(self.slots.first_key_value().is_none_or(|(offset, _)| *offset >= self.start));
        self.read = self.read.max(self.start);
    }

    /// Puts a slot in the place of another one.
    fn stand(&mut self, offset: u64, slot: Slot) {
        self.forget(offset);
        match slot.standing {
            Standing::Ready => {}
            Standing::Delayed(until) => {
                self.timers.insert((until, offset));
            }
            Standing::Leased(until) => {
                self.timers.insert((until, offset));
                self.leased += 1;
            }
        }
        self.slots.insert(offset, slot);
    }

    /// Removes a slot and what leads to it, its key aside.
    fn forget(&mut self, offset: u64) {
        self.ready.remove(&offset);
        match self.slots.remove(&offset).map(|slot| slot.standing) {
            Some(Standing::Leased(until)) => {
                self.timers.remove(&(until, offset));
                self.leased -= 1;
            }
            Some(Standing::Delayed(until)) => {
                self.timers.remove(&(until, offset));
            }
            Some(Standing::Ready) | None => {}
        }
    }

    /// Takes a message out of its key; the next one may be given out then.
    fn leave(&mut self, group: Option<&Arc<[u8]>>, offset: u64) {
        let Some(group) = group else { return };
        let Some(members) = self.groups.get_mut(group) else { return };
        members.remove(&offset);
        match members.first().copied() {
            Some(next) => self.offer(next),
            None => {
                self.groups.remove(group);
            }
        }
    }

    /// Lets a message be given out if it can be.
    fn offer(&mut self, offset: u64) {
        let Some(slot) = self.slots.get(&offset) else { return };
        let is_first = |group| self.groups.get(group).and_then(BTreeSet::first) == Some(&offset);
        if slot.standing == Standing::Ready && offset < self.read && slot.group.as_ref().is_none_or(is_first) {
            self.ready.insert(offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(span: &Span) -> Vec<u64> {
        span.ready.iter().copied().collect()
    }

    #[test]
    fn a_key_gives_out_one_message_at_a_time() {
        let mut span = Span::starting_at(0);
        for (offset, key) in [(0, "a"), (1, "a"), (2, "b"), (3, "a")] {
            span.admit(offset, Some(key.as_bytes()), 0, 0);
        }
        assert_eq!(ready(&span), [0, 2]);
        assert_eq!(span.lease(0, 10), 1);
        assert_eq!(ready(&span), [2]);
        span.put(0, Standing::Delayed(20));
        assert_eq!((ready(&span), span.due(19), span.due(20)), (vec![2], None, Some(0)));
        span.finish(0);
        assert_eq!((ready(&span), span.start()), (vec![1, 2], 1));
    }

    #[test]
    fn frames_bring_back_what_they_were_taken_from() {
        let mut span = Span::starting_at(0);
        (0..6).for_each(|offset| span.admit(offset, None, 0, 0));
        span.lease(1, 30);
        span.lease(2, 30);
        span.finish(2);
        span.lease(4, 40);
        span.put(4, Standing::Delayed(50));
        let changes = span.take_changes(0).unwrap();
        assert_eq!(span.take_changes(0), None);
        let mut restored = Span::starting_at(0);
        restored.restore(&changes);
        assert_eq!(restored.snapshot(0), changes);
        assert_eq!(span.snapshot(0), changes);
        assert_eq!((restored.leased(), restored.delayed(), restored.read()), (1, 1, 0));
        (0..6).for_each(|offset| restored.admit(offset, None, 0, 0));
        assert_eq!(ready(&restored), [0, 3, 5]);
        assert_eq!(restored.lease(0, 60), 1);
    }

    #[test]
    fn what_the_log_has_lost_is_counted_once() {
        let mut span = Span::starting_at(0);
        (0..4).for_each(|offset| span.admit(offset, None, 0, 0));
        span.lease(1, 30);
        span.finish(1);
        assert_eq!(span.expire_below(6), 5);
        assert_eq!((span.expire_below(6), span.start(), span.read(), span.tracked()), (0, 6, 6, 0));
    }
}
