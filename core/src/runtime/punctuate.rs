//! The clocks of a task: its stream time, the time of day, and the ticks that operators have asked for.
//!
//! Stream time is the highest timestamp of the records that the task has taken; it is committed with the positions of its inputs. A tick on
//! stream time is made when the record that moves stream time to it is through the whole task. Of several that are due the earliest is made
//! first, and what comes of it is through before the next. A task that has made a tick has something to commit.

use super::{
    StreamsError,
    task::{RunningNode, Task},
};
use crate::{
    operator::{PunctuationType, TaskTime},
    record::Timestamp,
};

/// When the first tick of a kind is due that an operator waits for.
pub(super) fn next_punctuation(nodes: &[RunningNode], kind: PunctuationType) -> Option<Timestamp> {
    nodes.iter().filter_map(|node| node.operator.as_ref()?.next_punctuation(kind)).min()
}

impl Task {
    /// Lets operators begin, at a time of day, after times were restored.
    pub(super) fn start(&mut self, wall_clock: Timestamp) -> Result<(), StreamsError> {
        self.look_at_clock(wall_clock);
        let mut outputs = Vec::new();
        for node in 0..self.nodes.len() {
            let output = self.run(node, 0, None, |operator, context| operator.on_start(context))?;
            outputs.push((node, output));
        }
        for (node, output) in outputs {
            self.dirty |= !output.batches.is_empty();
            self.deliver(node, output, None)?;
        }
        self.dirty |= self.has_pending_changes();
        Ok(())
    }

    /// Takes the time of day.
    pub(super) fn look_at_clock(&mut self, wall_clock: Timestamp) {
        self.time.wall_clock = wall_clock;
    }

    /// When the first tick by the time of day is due.
    pub(super) fn next_wall_clock_tick(&self) -> Option<Timestamp> {
        next_punctuation(&self.nodes, PunctuationType::WallClockTime)
    }

    /// Makes the ticks that are due by the time of day; says whether there was any.
    pub(super) fn punctuate_by_wall_clock(&mut self) -> Result<bool, StreamsError> {
        self.punctuate(PunctuationType::WallClockTime, self.time.wall_clock)
    }

    /// Makes the ticks of a kind that are due.
    pub(super) fn punctuate(&mut self, kind: PunctuationType, now: Timestamp) -> Result<bool, StreamsError> {
        let mut any = false;
        loop {
            let next = |node: &RunningNode| node.operator.as_ref()?.next_punctuation(kind).filter(|tick| *tick <= now);
            let due = self.nodes.iter().enumerate().filter_map(|(index, node)| Some((next(node)?, index)));
            let Some((_, node)) = due.min() else { return Ok(any) };
            (any, self.dirty) = (true, true);
            let output = self.run(node, 0, None, |operator, context| operator.on_punctuation(kind, now, context))?;
            self.deliver(node, output, None)?;
            self.handle_rejected()?;
        }
    }

    /// Stream time goes on from here.
    pub(super) fn set_stream_time(&mut self, stream_time: Timestamp) {
        self.time = TaskTime::new(self.id, stream_time, self.time.wall_clock);
    }
}
